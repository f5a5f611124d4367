//! `freshet run`

use std::path::PathBuf;

use clap::Args;

use super::path_override;
use crate::config::Config;
use crate::service::{self, Mode};

/// Run the pipeline and the feed server
///
/// Replays the event log at input.dir, or the topics of [kafka], then follows what is appended to it, and serves the lists over
/// HTTP. A restart goes on from the newest checkpoint. Ctrl-C ends cleanly, a second one at once.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet run --config configs/demo.toml --input data/log
  freshet run --input data/log --store data/store --once
  freshet run --kafka 127.0.0.1:9092 --store data/store
  freshet run --config configs/seed.toml --listen 127.0.0.1:9000 --workers 2")]
pub struct Run {
    /// The configuration; without it the defaults hold (`freshet check` prints them)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End with exit code 0 when the log is drained; no feed server
    #[arg(long)]
    once: bool,
    /// The event log (input.dir)
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// Read the topics of [kafka] from these brokers (input.source, kafka.brokers)
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "input")]
    kafka: Option<String>,
    /// The folder to keep everything in (store.dir)
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The folder of the checkpoints (checkpoint.dir)
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Write all that is counted into an archive of Parquet files (archive.dir)
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Worker threads of the dataflow (graph.workers)
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Address and port of the feed server (server.listen); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

impl Run {
    pub fn run(self) -> anyhow::Result<()> {
        let mut overrides = path_override("input.dir", &self.input, "--input");
        overrides.extend(path_override("store.dir", &self.store, "--store"));
        overrides.extend(path_override("checkpoint.dir", &self.checkpoints, "--checkpoints"));
        overrides.extend(path_override("archive.dir", &self.archive, "--archive"));
        if let Some(brokers) = self.kafka {
            overrides.push(("input.source", "kafka".to_owned(), "--kafka"));
            overrides.push(("kafka.brokers", brokers, "--kafka"));
        }
        overrides.extend(self.workers.map(|n| ("graph.workers", n, "--workers")));
        overrides.extend(self.listen.map(|address| ("server.listen", address, "--listen")));
        if self.once {
            overrides.push(("input.follow", "false".to_owned(), "--once"));
        }
        let config = Config::load(self.config.as_deref(), &overrides)?;
        service::run(&config, Mode { once: self.once, quiet: self.quiet })
    }
}
