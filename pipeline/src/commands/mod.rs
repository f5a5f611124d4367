//! The command line. Each command is a struct of its arguments with a `run`; what its `--help` says stands at its fields.

mod abuse;
mod archive;
mod check;
mod checkpoint;
mod cohort;
mod eval;
pub(crate) mod experiment;
mod forget;
mod generate;
mod heads;
mod import;
mod produce;
mod read;
mod replay;
mod resync;
mod run;
mod serve;
mod sql;
mod tables;
mod top;
mod train;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use freshet_schema::Epoch;

use crate::checkpoint::CheckpointError;
use crate::config::{Config, Mistakes, Override};
use crate::replay::Until;

/// Exit code of a mistake in the arguments or the configuration; clap uses the same.
const USAGE: u8 = 2;
/// Exit code of a run that a newer one has taken over from.
const TAKEN_OVER: u8 = crate::supervisor::TAKEN_OVER as u8;

/// Streaming For You feeds: raw interactions and uploads in, ranked short-video lists out.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, arg_required_else_help = true, after_help = EXAMPLES)]
#[command(max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Make a world, replay it, look at a list:
    freshet generate --users 2000 --videos 3000 --events 60000 --seed 7 --out data/log
    freshet run --input data/log --store data/store --once
    freshet feed 17 --store data/store
  Run as a service, with the feed server on http://127.0.0.1:8080/:
    freshet run --config configs/demo.toml --input data/log
  Measure the lists:
    freshet eval retrieval data/log
  While it runs, commands go through its control socket:
    freshet stats --config configs/demo.toml

Exit codes: 0 done, 1 failed, 2 a mistake in the arguments or the configuration, 3 a newer run has taken the job over.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Serve(serve::Serve),
    Check(check::Check),
    Checkpoint(checkpoint::Checkpoint),
    Archive(archive::Archive),
    Verify(verify::Verify),
    Forget(forget::Forget),
    Replay(replay::Replay),
    Import(import::Import),
    Generate(generate::Generate),
    Produce(produce::Produce),
    Eval(eval::Eval),
    Train(train::Train),
    Feed(read::Feed),
    Why(why::Why),
    Related(read::Related),
    Cohort(cohort::ShowCohort),
    Experiment(experiment::ShowExperiment),
    Abuse(abuse::Abuse),
    Heads(heads::ShowHeads),
    Stats(read::Stats),
    Trending(read::Trending),
    Dump(read::Dump),
    Resync(resync::Resync),
    Sql(sql::Sql),
    Tables(tables::Tables),
    Top(top::Top),
}

impl Cli {
    /// Runs the command; errors are written to standard error.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Run(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Checkpoint(command) => command.run(),
            Command::Archive(command) => command.run(),
            Command::Verify(command) => return command.run(),
            Command::Forget(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Produce(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Feed(command) => command.run(),
            Command::Why(command) => command.run(),
            Command::Related(command) => command.run(),
            Command::Cohort(command) => command.run(),
            Command::Experiment(command) => command.run(),
            Command::Abuse(command) => command.run(),
            Command::Heads(command) => command.run(),
            Command::Stats(command) => command.run(),
            Command::Trending(command) => command.run(),
            Command::Dump(command) => command.run(),
            Command::Resync(command) => command.run(),
            Command::Sql(command) => command.run(),
            Command::Tables(command) => command.run(),
            Command::Top(command) => command.run(),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            // `freshet dump | head` is no failure.
            Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => match error.downcast_ref::<Mistakes>() {
                Some(mistakes) => {
                    eprintln!("{mistakes}");
                    ExitCode::from(USAGE)
                }
                None => {
                    eprintln!("error: {error:#}");
                    if taken_over(&error) { ExitCode::from(TAKEN_OVER) } else { ExitCode::FAILURE }
                }
            },
        }
    }
}

/// Whether a newer run has taken the job: to begin this one again would take it back.
#[must_use]
pub fn taken_over(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(CheckpointError::Superseded { .. }))
            || cause.downcast_ref().is_some_and(freshet_sinks::StoreError::is_taken)
            || cause.downcast_ref().is_some_and(freshet_archive::ArchiveError::is_taken)
    })
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || matches!(
                cause.downcast_ref::<freshet_sinks::dump::DumpError>(),
                Some(freshet_sinks::dump::DumpError::Write(e)) if e.kind() == std::io::ErrorKind::BrokenPipe
            )
    })
}

/// Which store a reading command reads.
#[derive(Debug, Args)]
struct StoreArgs {
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// As it was then: an epoch, or a time of the pipeline's clock. The store is made again from the archive, which goes through
    /// all epochs up to it; `freshet replay` keeps what it makes
    #[arg(long, value_name = "EPOCH|TIME")]
    at: Option<String>,
    /// The archive for --at, or s3://BUCKET/PREFIX (archive.dir), instead of the file's
    #[arg(long, value_name = "DIR", requires = "at")]
    archive: Option<PathBuf>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl StoreArgs {
    fn open(&self) -> anyhow::Result<crate::view::View> {
        let mut overrides = path_override("store.dir", &self.store, "--store");
        overrides.extend(path_override("archive.dir", &self.archive, "--archive"));
        let config = Config::load(self.config.as_deref(), &overrides)?;
        let Some(at) = &self.at else { return crate::view::View::open(&config) };
        let until = moment("--at", at)?;
        let Some(archive) = &config.archive.dir else {
            bail!("archive.dir is not set: name the archive that --at goes through with --archive DIR");
        };
        let mut shown = Shown::new(false);
        let (view, replayed) =
            crate::view::View::open_past(&config, archive.as_ref(), until, &mut |epoch| shown.epoch(epoch))?;
        shown.end();
        eprintln!("as of epoch {} (clock {})", replayed.epoch, crate::config::format_time(replayed.now));
        if let Some(words) = replayed.forgotten_words() {
            eprintln!("{words}");
        }
        Ok(view)
    }
}

/// Where a service keeps what it would begin again from.
#[derive(Debug, Args)]
struct KeptArgs {
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The folder of the checkpoints, or s3://BUCKET/PREFIX (checkpoint.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
}

impl KeptArgs {
    fn config(&self) -> anyhow::Result<Config> {
        let mut overrides = path_override("store.dir", &self.store, "--store");
        overrides.extend(path_override("checkpoint.dir", &self.checkpoints, "--checkpoints"));
        Ok(Config::load(self.config.as_deref(), &overrides)?)
    }
}

/// A past moment as it is given: the number of an epoch, or a time.
fn moment(flag: &str, text: &str) -> anyhow::Result<Until> {
    if let Ok(epoch) = text.parse() {
        return Ok(Until::Epoch(Epoch(epoch)));
    }
    match crate::config::parse_time(text) {
        Some(time) => Ok(Until::Time(time)),
        None => bail!(
            "{flag} {text:?}: neither an epoch nor a time; write a number, or a time such as 2024-03-01T12:00:00Z"
        ),
    }
}

/// The epoch that long work is at, on a terminal's standard error.
struct Shown {
    on: bool,
    last: std::time::Instant,
}

impl Shown {
    /// How often it is shown.
    const EVERY: std::time::Duration = std::time::Duration::from_millis(200);

    fn new(quiet: bool) -> Self {
        let on = !quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self { on, last: std::time::Instant::now() }
    }

    fn epoch(&mut self, epoch: Epoch) {
        if self.on && self.last.elapsed() > Self::EVERY {
            eprint!("\repoch {epoch} ");
            self.last = std::time::Instant::now();
        }
    }

    fn end(&self) {
        if self.on {
            eprintln!();
        }
    }
}

fn path_override(key: &'static str, path: &Option<PathBuf>, flag: &'static str) -> Vec<Override> {
    path.iter().map(|path| (key, path.display().to_string(), flag)).collect()
}
