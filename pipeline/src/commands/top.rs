//! `freshet top`

use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::config::{Config, parse_duration};
use crate::top::{Sample, fetch, show};

/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Show a running pipeline's or feed server's metrics
///
/// Reads /metrics over HTTP, so it can look at another machine. Rates are between two looks. Ends with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet top --config configs/redis.toml
  freshet top --address 10.0.0.7:8080 --every 5s
  freshet top --once")]
pub struct Top {
    /// The configuration that the service was started with: server.listen is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this address and port instead
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    /// Print one view, with rates over one interval, and end
    #[arg(long)]
    once: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write one of at least 100ms, such as 1s");
    parse_duration(text).filter(|ms| *ms >= 100).map(Duration::from_millis).ok_or_else(wrong)
}

impl Top {
    pub fn run(self) -> anyhow::Result<()> {
        let address = match self.address {
            Some(address) => address,
            None => Config::load(self.config.as_deref(), &[])?.server.listen.to_string(),
        };
        let mut before = Sample::parse(&fetch(&address)?, Instant::now());
        loop {
            std::thread::sleep(self.every);
            let now = Sample::parse(&fetch(&address)?, Instant::now());
            let view = show(&address, &before, &now);
            let mut out = stdout().lock();
            if !self.once && out.is_terminal() {
                write!(out, "{CLEAR}")?;
            }
            out.write_all(view.as_bytes())?;
            out.flush()?;
            if self.once {
                return Ok(());
            }
            before = now;
        }
    }
}
