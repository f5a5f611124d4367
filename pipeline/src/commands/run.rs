//! `freshet run`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::path_override;
use crate::cluster::{Seat, hosts, member};
use crate::config::Config;
use crate::service::{self, Mode};
use crate::{input, supervisor};

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
  freshet run --config configs/seed.toml --listen 127.0.0.1:9000 --workers 2
  freshet run --config configs/redis.toml --processes 2
  freshet run --config configs/redis.toml --hosts hosts.txt --process 0")]
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
    /// The folder of the checkpoints, or s3://BUCKET/PREFIX (checkpoint.dir)
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Write all that is counted into an archive of Parquet files: a folder, or s3://BUCKET/PREFIX (archive.dir)
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Worker threads of the dataflow (graph.workers)
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Run as so many processes of this machine, with --workers threads each, and begin again from the last checkpoint where
    /// one is lost ([supervisor]); 1 is one process that is begun again
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(1..=hosts::MOST as i64), conflicts_with = "hosts")]
    processes: Option<u16>,
    /// Run as one process of a job on several machines: HOST:PORT of each, one a line. Start it on each with the same
    /// configuration and its --process
    #[arg(long, value_name = "FILE", requires = "process")]
    hosts: Option<PathBuf>,
    /// This machine's line in --hosts, from 0; the first one has the input, the store and the feed server
    #[arg(long, value_name = "I", requires = "hosts")]
    process: Option<usize>,
    /// The supervisor starts its processes with it
    #[arg(long, hide = true)]
    child: Option<usize>,
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
        let mode = Mode { once: self.once, quiet: self.quiet };
        let hosts = self.hosts.as_deref().map(hosts::read).transpose()?;
        if let (Some(path), Some(hosts), Some(process)) = (&self.hosts, &hosts, self.process) {
            hosts::check_process(path, hosts, process)?;
        }
        let processes = hosts.as_ref().map(Vec::len).or(self.processes.map(usize::from));
        match (processes, self.child) {
            (None, _) => service::run(&config, mode, None),
            (Some(processes), None) => {
                // What can fail early fails before there are processes.
                if self.process.is_none_or(|process| process == 0) {
                    input::check(&config)?;
                }
                let all: Vec<usize> = self.process.map_or_else(|| (0..processes).collect(), |one| vec![one]);
                supervisor::run(&config, &all)
            }
            (Some(processes), Some(child)) => {
                let seat = Seat::take(child, hosts, processes)?;
                match child {
                    0 => service::run(&config, mode, Some(Arc::new(seat))),
                    _ => member::run(&config, &seat),
                }
            }
        }
    }
}
