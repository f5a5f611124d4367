//! Kafka to Redis, with the real servers on the same machine: how many interactions a second go through and who takes the
//! processor for it, and how soon after an event is produced its list can be read from Redis.
//!
//! Broker, Redis and this program share the cores with the pipeline. So a rate by the wall is what this machine does with all of
//! them, and the CPU seconds of each say what it would be on others.

mod drain;
mod fresh;
mod servers;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::ensure;

use self::servers::{Broker, RedisServer};
use crate::Bench;
use crate::report::Report;

const GROUP: &str = "kafka";
/// The streams, as topics are named after them.
const STREAMS: [&str; 6] = ["interactions", "uploads", "users", "follows", "deletes", "served"];

/// A section of each configuration that has no other.
const QUIET: &str = "[log]\nfilter = \"warn\"\n";

/// What each measurement runs between.
pub struct Servers {
    broker: Broker,
    redis: RedisServer,
}

impl Servers {
    /// Writes a configuration from topics `PREFIX.STREAM` to Redis; `settings` are further sections.
    fn config(&self, dir: &Path, prefix: &str, name: &str, settings: &str) -> io::Result<PathBuf> {
        let topics: String =
            STREAMS.iter().map(|stream| format!("{stream} = \"{prefix}.{stream}\"\n")).collect();
        let (brokers, url) = (self.broker.address(), self.redis.url());
        let path = dir.join(name);
        let text = format!(
            "[input]\nsource = \"kafka\"\n\n[kafka]\nbrokers = \"{brokers}\"\n{topics}\n[store]\nkind = \"redis\"\n\n\
             [redis]\nurl = \"{url}\"\n\n{settings}"
        );
        fs::write(&path, text).map(|()| path)
    }

    /// Sends a log into the topics of a configuration.
    fn produce(&self, bench: &Bench, log: &Path, config: &Path, more: &[&str]) -> anyhow::Result<()> {
        let mut command: Command = bench.worlds.freshet("produce");
        command.arg(log).arg("--config").arg(config).args(["--create-topics", "2"]).args(more);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "{command:?} ended with {status}");
        Ok(())
    }
}

/// Measures both.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let scratch = bench.worlds.scratch()?;
    let servers =
        Servers { broker: Broker::start(scratch.path())?, redis: RedisServer::start(scratch.path())? };
    fresh::measure(bench, &servers, report)?;
    drain::measure(bench, &servers, report)
}
