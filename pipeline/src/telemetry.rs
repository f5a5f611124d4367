//! Logs and metrics of the process.

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends `tracing` to standard error. `RUST_LOG` wins over the configuration, as people expect of it.
pub fn start_logs(log: &Log) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter)
            .with_context(|| format!("the environment variable RUST_LOG = {filter:?}"))?,
        _ => EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter = {:?}", log.filter))?,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow!("the log cannot be started: {error}"))
}

/// Installs the recorder that `/metrics` renders.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle =
        PrometheusBuilder::new().install_recorder().context("the metrics recorder cannot be installed")?;
    freshet_feed_server::describe_metrics();
    freshet_sinks::telemetry::describe();
    freshet_archive::telemetry::describe();
    crate::metrics_text::describe();
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::Config;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn by_default_the_storage_engine_is_heard_from_warnings_on() {
        let page = Page::default();
        let writer = page.clone();
        let filter = EnvFilter::try_new(Config::default().log.filter).expect("the default is a filter");
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::info!("ours");
            tracing::info!(target: "fjall::db", "small talk of fjall");
            tracing::info!(target: "lsm_tree::tree", "small talk of lsm_tree");
            tracing::warn!(target: "fjall::db", "a warning of fjall");
            tracing::warn!(target: "lsm_tree::tree", "a warning of lsm_tree");
        });
        let text = String::from_utf8(page.0.lock().expect("no writer panics").clone()).expect("UTF-8");
        assert_eq!((text.matches("ours").count(), text.matches("a warning").count()), (1, 2), "{text}");
        assert!(!text.contains("small talk"), "{text}");
    }
}
