//! `freshet abuse`: who and what is suspected, with the numbers.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::path_override;
use crate::config::Config;
use crate::control::{self, Client};
use crate::suspects::Suspects;
use crate::tables::offline;

/// List users and videos that are suspected of abuse, with the numbers that they were judged by
///
/// Of a running service, as of its last publication; with --offline of a stopped one, from its newest checkpoint. Nobody is
/// judged unless `[abuse] enabled = true`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet abuse --store data/store
  freshet abuse --config configs/seed.toml --offline --json | jq '.users[] | select(.flagged) | .user_id'")]
pub struct Abuse {
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Read the newest checkpoint of a stopped service
    #[arg(long)]
    offline: bool,
    /// Show at most so many users and as many videos; --json has all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Abuse {
    pub fn run(self) -> anyhow::Result<()> {
        let config =
            Config::load(self.config.as_deref(), &path_override("store.dir", &self.store, "--store"))?;
        let suspects = if self.offline { offline(&config)? } else { live(&config)? };
        let mut out = stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&suspects)?)?);
        }
        Ok(write!(out, "{}", suspects.to_text(self.limit))?)
    }
}

fn live(config: &Config) -> anyhow::Result<Suspects> {
    let dir = &config.store.dir;
    let socket =
        control::socket_path(dir).with_context(|| format!("store.dir = {:?}", dir.display().to_string()))?;
    let Some(mut client) = Client::connect(&socket)? else {
        bail!(
            "no service answers at {}: start it with `freshet run`, or read its newest checkpoint with --offline",
            socket.display()
        )
    };
    client.suspects()
}

fn offline(config: &Config) -> anyhow::Result<Suspects> {
    let (standing, source) = offline::Standing::open(config)?;
    let suspects = Suspects::of(&(source.looker)()?);
    drop(source);
    drop(standing);
    suspects
}
