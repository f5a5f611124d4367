//! `freshet produce`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::produce::{Options, produce};
use crate::progress_display::count;

/// Send an event log to Kafka
///
/// Reads all parts of the log side by side, by event time, and sends each record to its stream's topic, keyed by user (by
/// video for uploads). Topics, format and client options are those of [kafka] in the configuration. Ctrl-C ends after
/// what was sent is acknowledged.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet produce data/log --brokers 127.0.0.1:9092 --create-topics 3
  freshet produce data/log --config configs/kafka.toml --rate 500 --live
  freshet produce data/log --brokers 127.0.0.1:9092 --first 50000 --ends-now")]
pub struct Produce {
    /// The event log
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The configuration; without it the defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// HOST:PORT of one broker or several, with commas between them (kafka.brokers)
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Records a second; without it as fast as the brokers take them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Make missing topics, with this many partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    create_topics: Option<i32>,
    /// Leave out the first N records
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Send N records at most
    #[arg(long, value_name = "N")]
    first: Option<u64>,
    /// Move all times so that the last record happens now
    #[arg(long, conflicts_with = "live")]
    ends_now: bool,
    /// Each record happens when it is sent
    #[arg(long)]
    live: bool,
}

impl Produce {
    pub fn run(self) -> anyhow::Result<()> {
        let brokers = self.brokers.map(|brokers| ("kafka.brokers", brokers, "--brokers"));
        let config = Config::load(self.config.as_deref(), &Vec::from_iter(brokers))?;
        let options = Options {
            rate: self.rate,
            after: self.after,
            first: self.first,
            ends_now: self.ends_now,
            live: self.live,
            create_topics: self.create_topics,
        };
        let interrupt = Interrupt::listen()?;
        let terminal = stderr().is_terminal();
        let report = produce(&self.log, &config.kafka, options, interrupt.flag(), &mut |sent, percent| {
            if terminal {
                // The progress is for whoever looks; nobody need.
                drop(write!(stderr(), "\r\x1b[2Ksending: {} records, {percent} % of the log", count(sent)));
            }
        });
        if terminal {
            drop(write!(stderr(), "\r\x1b[2K"));
        }
        let report = report?;
        let total: u64 = report.sent.values().sum();
        let rate = total * 1_000 / report.elapsed_ms.max(1);
        let streams: Vec<String> =
            report.sent.iter().map(|(kind, sent)| format!("{} {}", kind.folder(), count(*sent))).collect();
        let mut text = format!(
            "{} {} records in {}.{:03} s ({}/s): {}",
            if report.stopped { "stopped after" } else { "sent" },
            count(total),
            report.elapsed_ms / 1_000,
            report.elapsed_ms % 1_000,
            count(rate),
            if streams.is_empty() { "none".to_owned() } else { streams.join(", ") }
        );
        if report.as_they_are > 0 {
            text.push_str(&format!(
                "\n{} of them are no events and were sent as they are",
                count(report.as_they_are)
            ));
        }
        if report.without_topic > 0 {
            text.push_str(&format!(
                "\n{} were left out: their streams have no topic",
                count(report.without_topic)
            ));
        }
        Ok(writeln!(stdout(), "{text}")?)
    }
}
