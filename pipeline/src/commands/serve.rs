//! `freshet serve`

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::serve;

/// Run a feed server alone, over a store on a Redis or Valkey server
///
/// It keeps nothing: start as many as you like, anywhere. While the store is away it answers 503 and says so at /readyz.
///
/// Where the pipeline reads from Kafka, it takes events (POST /v1/events) and records the pages that it hands out, as the
/// pipeline's own server does: into the topics. Where the pipeline reads files, it only reads.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet serve --config configs/redis.toml
  freshet serve --config configs/redis.toml --listen 127.0.0.1:8081
  freshet serve --config configs/kafka-redis.toml        # takes events, too")]
pub struct Serve {
    /// The configuration that the pipeline was started with: [store], [redis], [server], [input], [clock] and [kafka] are read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port (server.listen); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        let overrides: Vec<_> =
            self.listen.into_iter().map(|address| ("server.listen", address, "--listen")).collect();
        serve::run(&Config::load(self.config.as_deref(), &overrides)?)
    }
}
