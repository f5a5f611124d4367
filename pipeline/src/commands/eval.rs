//! `freshet eval`

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::config::Config;
use crate::eval::{self, Retrieval};

/// Measure how good the lists are, on a log
///
/// Test, then train, on the same graph as `freshet run`: the log is learned in the order of time, and before an interaction
/// is learned, its user's list is made and compared with it. Nothing is stored.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  freshet import globo clicks.parquet --out data/globo
  freshet eval retrieval data/globo --limit 1000000 --plot data/globo.svg
  freshet eval retrieval data/log --every 10 --json | jq .accuracy.all.re_ranking"
)]
pub struct Eval {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Retrieval(RetrievalArgs),
}

/// Does a user's list hold what they are about to watch?
///
/// The log is ordered by (event time, user, video). The first --warmup of its interactions are only learned. Of the others,
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
    /// The event log (`freshet import` and `freshet generate` write one); it is read whole into memory
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Score each N-th interaction
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Share of the interactions that is only learned, at the beginning
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    warmup: f64,
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
    /// Write HR@10 over event time as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to less than 1, such as 0.1".to_owned()),
    }
}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        let What::Retrieval(args) = self.what;
        let overrides = [("graph.workers", args.workers, "--workers"), ("graph.seed", args.seed, "--seed")];
        let overrides: Vec<_> =
            overrides.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
        let config = Config::load(args.config.as_deref(), &overrides)?;
        // A machine that counts in fewer bits has no such log.
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let what = Retrieval {
            log: args.log,
            every: size(args.every),
            warmup: args.warmup,
            limit: args.limit.map(size),
            plot: args.plot,
            quiet: args.quiet,
        };
        let report = eval::retrieval(&what, &config)?;
        let mut out = std::io::stdout().lock();
        if args.json {
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
