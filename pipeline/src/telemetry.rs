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
    Ok(handle)
}
