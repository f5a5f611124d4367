//! `freshet eval`

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::config::Config;
use crate::eval::{self, Held, Options};

/// Measure how good the lists are, on a log
///
/// On the same graph as `freshet run`: the log is learned in the order of time, and lists are compared with what was watched
/// next. Nothing is stored.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  freshet import globo clicks.parquet --out data/globo
  freshet eval retrieval data/globo --limit 1000000 --plot data/globo.svg
  freshet eval retrieval data/log --every 10 --json | jq .accuracy.all.re_ranking
  freshet eval holdout data/microlens"
)]
pub struct Eval {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Retrieval(RetrievalArgs),
    Holdout(HoldoutArgs),
}

/// Does a user's list hold what they are about to watch?
///
/// Test, then train: the log is ordered by (event time, user, video). The first --warmup of its interactions are only learned. Of the others,
/// each --every-th is scored before it is learned: an epoch closes just before it and the user's list is made from all that
/// came before. The video watched is ranked among all videos known by then but those that the user had already. An
/// interaction with a video that the user had is learned and not scored. A video that nobody could know yet is a miss and
/// counts.
///
/// Shown without re-ranking (candidates by score; ties share the middle rank) and with it (the list as it would be stored):
/// HR@10, HR@20, NDCG@10, NDCG@20 and MRR (0 beyond the list), with 95 % intervals over users, for all scored events and for
/// those whose video was first met less than two hours ago (fresh), whose video had fewer than 10 interactions (cold item),
/// or whose user had none (cold user). Beside it, for the first ten places: coverage of the catalogue, Gini coefficient and
/// normalised entropy of exposure, novelty (mean -log2 of a video's share of the interactions) and intra-list diversity
/// (mean of 1 - cosine of content vectors).
///
/// Ctrl-C ends early with the figures so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval retrieval data/log
  freshet eval retrieval data/globo --limit 1000000 --every 40 --plot data/globo.svg
  freshet eval retrieval data/log --json > before.json    then change a key and compare")]
struct RetrievalArgs {
    /// Score each N-th interaction
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Share of the interactions that is only learned, at the beginning
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    warmup: f64,
    /// Write HR@10 over event time as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Is what each user watched last in the list made from what they watched before?
///
/// Leave-last-out, for comparison with published figures. Of each user's last --events events, the last is held out and the
/// one before it is left out as well; the others are learned in the order of time. Then nothing is learned any more, and each
/// user's list is compared with the event held out, among all videos but those that the user had. Users with fewer than three
/// events are only learned. The figures are those of `freshet eval retrieval`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval holdout data/microlens
  freshet eval holdout data/microlens --validation    to choose keys by")]
struct HoldoutArgs {
    /// Each user's last N events count
    #[arg(long, value_name = "N", default_value_t = 13, value_parser = clap::value_parser!(u64).range(3..))]
    events: u64,
    /// Hold out the event before the last instead: for tuning
    #[arg(long)]
    validation: bool,
    #[command(flatten)]
    common: Common,
}

/// What all measurements are told.
#[derive(Debug, Args)]
struct Common {
    /// The event log (`freshet import` and `freshet generate` write one); it is read whole into memory
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Take only the first N interactions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Seed of the graph's draws (graph.seed) and of the intervals
    #[arg(long, value_name = "S")]
    seed: Option<String>,
    /// The configuration to measure; without it the defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Worker threads of the dataflow (graph.workers); the figures are the same for any number
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

impl Common {
    fn config(&self) -> anyhow::Result<Config> {
        let overrides = [("graph.workers", &self.workers, "--workers"), ("graph.seed", &self.seed, "--seed")];
        let overrides: Vec<_> = overrides
            .into_iter()
            .filter_map(|(key, value, flag)| Some((key, value.clone()?, flag)))
            .collect();
        Ok(Config::load(self.config.as_deref(), &overrides)?)
    }

    fn options(&self, plot: Option<PathBuf>) -> Options {
        Options { log: self.log.clone(), limit: self.limit.map(size), plot, quiet: self.quiet }
    }
}

/// A machine that counts in fewer bits has no such log.
fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to less than 1, such as 0.1".to_owned()),
    }
}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        let (report, json) = match self.what {
            What::Retrieval(args) => {
                let options = args.common.options(args.plot);
                let config = args.common.config()?;
                (eval::retrieval(&options, size(args.every), args.warmup, &config)?, args.common.json)
            }
            What::Holdout(args) => {
                let held = if args.validation { Held::Validation } else { Held::Test };
                let config = args.common.config()?;
                let report = eval::holdout(&args.common.options(None), size(args.events), held, &config)?;
                (report, args.common.json)
            }
        };
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", report.to_json())?;
        } else {
            write!(out, "{}", report.to_text())?;
        }
        if report.interrupted {
            bail!("interrupted: the figures are those of the first {} interactions only", report.learned);
        }
        Ok(())
    }
}
