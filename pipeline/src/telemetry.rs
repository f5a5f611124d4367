//! Logs and metrics of the process.

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends `tracing` to standard error; of several processes each line says which one `process` it is of. `RUST_LOG` wins over the
/// configuration, as people expect of it.
pub fn start_logs(log: &Log, process: Option<usize>) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter)
            .with_context(|| format!("the environment variable RUST_LOG = {filter:?}"))?,
        _ => EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter = {:?}", log.filter))?,
    };
    let json = log.format == LogFormat::Json;
    let writer = move || Numbered { to: std::io::stderr(), process, json };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow!("the log cannot be started: {error}"))
}

/// Writes the process's number into each line; a line comes as a whole.
struct Numbered<W> {
    to: W,
    process: Option<usize>,
    json: bool,
}

impl<W: Write> Write for Numbered<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let numbered = match (self.process, line.strip_prefix(b"{")) {
            (None, _) => return self.to.write(line),
            (Some(process), Some(rest)) if self.json => {
                [format!("{{\"process\":{process},").as_bytes(), rest].concat()
            }
            (Some(process), _) => [format!("[{process}] ").as_bytes(), line].concat(),
        };
        self.to.write_all(&numbered)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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
    fn a_line_says_which_process_it_is_of() {
        let page = Page::default();
        for json in [false, true] {
            for process in [None, Some(2)] {
                let writer = page.clone();
                let writer = move || Numbered { to: writer.clone(), process, json };
                let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(writer);
                let say = || tracing::info!("ours");
                match json {
                    true => tracing::subscriber::with_default(log.json().finish(), say),
                    false => tracing::subscriber::with_default(log.with_target(false).finish(), say),
                }
            }
        }
        let text = String::from_utf8(page.0.lock().expect("no writer panics").clone()).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[1]), (4, " INFO ours", "[2]  INFO ours"));
        let process = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["fields"]["message"], "ours");
            line["process"].as_u64()
        };
        assert_eq!((process(lines[2]), process(lines[3])), (None, Some(2)));
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
