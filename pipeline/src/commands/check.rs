//! `freshet check`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, describe_keys};

/// Check a configuration and print what holds
///
/// Reports every mistake at once, each with file, line, key, value and remedy, and exits with 2. Without a mistake it
/// prints the whole configuration as TOML; what does not come from the defaults says where it comes from.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet check --config configs/demo.toml
  freshet check              the defaults
  freshet check --keys       every key with its default, range and meaning")]
pub struct Check {
    /// The configuration; without it the defaults are printed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List every key instead
    #[arg(long, conflicts_with = "config")]
    keys: bool,
}

impl Check {
    pub fn run(self) -> anyhow::Result<()> {
        let text =
            if self.keys { describe_keys() } else { Config::load(self.config.as_deref(), &[])?.to_toml() };
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }
}
