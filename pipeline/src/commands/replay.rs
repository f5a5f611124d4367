//! `freshet replay`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use freshet_schema::Epoch;

use super::path_override;
use crate::config::{Config, format_time, parse_time};
use crate::replay::{Until, replay};

/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);

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
    /// The archive (archive.dir), instead of the file's
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
        let until = match self.until.parse() {
            Ok(epoch) => Until::Epoch(Epoch(epoch)),
            Err(_) => match parse_time(&self.until) {
                Some(time) => Until::Time(time),
                None => bail!(
                    "--until {:?}: neither an epoch nor a time; write a number, or a time such as 2024-03-01T12:00:00Z",
                    self.until
                ),
            },
        };
        let shows = stderr().is_terminal();
        let mut shown = Instant::now();
        let replayed = replay(&config, archive.as_ref(), until, &self.out, &mut |epoch| {
            if shows && shown.elapsed() > SHOW_EVERY {
                eprint!("\repoch {epoch} ");
                shown = Instant::now();
            }
        })?;
        let mut out = stdout().lock();
        writeln!(
            out,
            "the store of epoch {} (clock {}) is in {}: {} records",
            replayed.epoch,
            format_time(replayed.now),
            self.out.display(),
            replayed.records
        )?;
        if replayed.forgotten_since > 0 {
            writeln!(
                out,
                "{} deletes came later and were carried out in the archive: what they name was there then, and is not here",
                replayed.forgotten_since
            )?;
        }
        Ok(())
    }
}
