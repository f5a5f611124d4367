//! `freshet replay`

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{Shown, moment, path_override};
use crate::config::{Config, format_time};
use crate::replay::replay;

/// Make a store as it was at a past moment, from the archive
///
/// Goes through the archived epochs with the same graph, so the lists, pools and explanations of then can be read again. Run it with the
/// configuration of the service.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet replay --config configs/demo.toml --archive data/archive --until 2024-03-01T12:00:00Z --out data/then
  freshet replay --archive data/archive --until 4200 --out data/then
  freshet why 17 1000002650 --store data/then")]
pub struct Replay {
    /// The moment: an epoch, or a time of the pipeline's clock
    #[arg(long, value_name = "EPOCH|TIME")]
    until: String,
    /// Where to make the store; must not hold one yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The archive, or s3://BUCKET/PREFIX (archive.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Worker threads of the dataflow (graph.workers)
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

impl Replay {
    pub fn run(self) -> anyhow::Result<()> {
        let mut overrides = path_override("archive.dir", &self.archive, "--archive");
        overrides.extend(self.workers.map(|n| ("graph.workers", n, "--workers")));
        let config = Config::load(self.config.as_deref(), &overrides)?;
        let Some(archive) = &config.archive.dir else {
            bail!("archive.dir is not set: name the archive with --archive DIR");
        };
        let until = moment("--until", &self.until)?;
        let mut shown = Shown::new(false);
        let replayed = replay(&config, archive.as_ref(), until, &self.out, &mut |epoch| shown.epoch(epoch))?;
        shown.end();
        let mut out = stdout().lock();
        writeln!(
            out,
            "the store of epoch {} (clock {}) is in {}: {} records",
            replayed.epoch,
            format_time(replayed.now),
            self.out.display(),
            replayed.records
        )?;
        if let Some(words) = replayed.forgotten_words() {
            writeln!(out, "{words}")?;
        }
        Ok(())
    }
}
