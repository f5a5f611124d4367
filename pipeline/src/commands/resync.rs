//! `freshet resync`

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use freshet_schema::hash::SHARDS;

use super::path_override;
use crate::config::Config;
use crate::control::{Client, socket_path};

/// How often the service is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Have the running pipeline write everything again
///
/// What the store should hold is made anew from the pipeline's state, a part at a time, beside the events of the moment; what
/// it should not hold is removed from a Redis store. A loss that the pipeline finds itself (a Redis that was emptied, or came
/// back with older values) is made good without this command.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  freshet resync --config configs/redis.toml\n  freshet resync --store data/store --no-wait"
)]
pub struct Resync {
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

impl Resync {
    pub fn run(self) -> anyhow::Result<()> {
        let config =
            Config::load(self.config.as_deref(), &path_override("store.dir", &self.store, "--store"))?;
        let dir = config.store.dir.display().to_string();
        let socket = match config.store.dir.is_dir() {
            true => Some(socket_path(&config.store.dir).with_context(|| format!("store.dir = {dir:?}"))?),
            false => None,
        };
        let client = socket.as_deref().map(Client::connect).transpose()?.flatten();
        let Some(mut client) = client else {
            bail!(
                "store.dir = {dir:?}: no pipeline runs there, and nobody else knows what the store should hold; start \
                 `freshet run`, and ask on its machine"
            );
        };
        let before = client.stats()?;
        client.resync()?;
        if self.no_wait {
            return Ok(());
        }
        let number = |stats: &serde_json::Value, name: &str| stats[name].as_u64().unwrap_or_default();
        let wanted = number(&before, "shards_remade") + SHARDS;
        loop {
            std::thread::sleep(LOOK);
            let now = client.stats()?;
            if number(&now, "shards_remade") >= wanted && number(&now, "remaking") == 0 {
                return Ok(writeln!(std::io::stdout(), "all of the store was written again")?);
            }
        }
    }
}
