//! `freshet eval`

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use freshet_sources::generate::{Attack, AttackKind, World};
use serde_json::Value as Json;

use crate::config::{Config, parse_duration};
use crate::eval::{
    self, AttackOptions, CohortOptions, Delays, ExperimentOptions, ExplorationOptions, Held, InOneWorld,
    Options, Runs, Test, WorldOptions,
};

/// Measure how good lists and predictions are, on a log
///
/// On the same graph as `freshet run`: the log is learned in the order of time, and lists and predictions are compared with
/// what came next. Nothing is stored.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  freshet import globo clicks.parquet --out data/globo
  freshet eval retrieval data/globo --limit 1000000 --plot data/globo.svg
  freshet eval retrieval data/log --every 10 --json | jq .accuracy.all.re_ranking
  freshet eval holdout data/microlens
  freshet eval impressions data/shortvideo --label-delay 10m
  freshet eval pairs --train data/kuairand --test random.csv --label is_click
  freshet eval world --plot regret.svg
  freshet eval cohorts --users 5000 --videos 4000 --events 400000
  freshet eval exploration --runs 10 --plot explored.svg
  freshet eval experiments --runs 10
  freshet eval attacks --attack ring=30 --attack bots=5%
  freshet eval bandit open_bandit"
)]
pub struct Eval {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Retrieval(RetrievalArgs),
    Holdout(HoldoutArgs),
    Impressions(ImpressionsArgs),
    Pairs(PairsArgs),
    World(WorldArgs),
    Cohorts(CohortArgs),
    Exploration(ExplorationArgs),
    Bandit(BanditArgs),
    Experiments(ExperimentArgs),
    Attacks(AttackArgs),
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
    /// The event log (`freshet import` and `freshet generate` write one); it is read whole into memory
    #[arg(value_name = "LOG")]
    log: PathBuf,
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
    /// The event log (`freshet import` and `freshet generate` write one); it is read whole into memory
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Each user's last N events count
    #[arg(long, value_name = "N", default_value_t = 13, value_parser = clap::value_parser!(u64).range(3..))]
    events: u64,
    /// Hold out the event before the last instead: for tuning
    #[arg(long)]
    validation: bool,
    #[command(flatten)]
    common: Common,
}

/// How well is foreseen what becomes of an impression?
///
/// Test, then train: the log is ordered by (event time, user, video). The first --warmup of its interactions are only learned.
/// Each of the others is scored just before it is learned: long_view (played for at least its duration, or 18 s of it),
/// complete (played for at least its duration), like, and the watch time. Where an interaction has no watch time or no
/// duration is known, only the rest is scored. Revisions are learned and not scored.
///
/// AUC (of equal scores one half), GAUC (within users, impression-weighted, users with both outcomes), nDCG@5 (within users,
/// without a positive 0), log loss, normalised entropy (1: no better than the rate), calibration (predicted over observed, and by
/// tenths), mean absolute error of the watch time and XAUC over 2 million pairs; for all, and for videos (cold item) or users
/// (cold user) with fewer than 10 earlier impressions. Beside it the same of each video's smoothed rates alone, with the
/// paired difference.
///
/// An epoch closes before each score, which is what most of the time goes to; with --refresh 1m the impressions of a minute
/// share one, as in a service.
///
/// Ctrl-C ends early with the figures so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval impressions data/shortvideo
  freshet eval impressions data/shortvideo --label-delay 10m --refresh 1h    as late as a service is
  freshet eval impressions data/log --json --plot auc.svg")]
struct ImpressionsArgs {
    /// The event log (`freshet import` and `freshet generate` write one); it is read whole into memory
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Share of the interactions that is only learned, at the beginning
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    warmup: f64,
    /// Learn each interaction so much after it happened, such as 10m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    label_delay: u64,
    /// Score from a copy that is taken at each multiple of this, such as 1h; without it from the present state
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    refresh: u64,
    /// Write AUC over event time as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Which of the videos that a user was shown does the user like?
///
/// Learns a log, then predicts labelled pairs of users and videos, all at the moment after the log's end; nothing is learned from
/// them. Where the pairs are of videos shown at random, that is a measure without the bias of what was chosen to be shown. The
/// file is CSV, tab-separated text or Parquet with a header: user (or user_id), item (or item_id, video, video_id), the
/// label (0, 1, true, false), and where it is known the propensity with which the pair was shown.
///
/// Each prediction is tried as a score: AUC, GAUC, nDCG@5, the mean label of each user's top choice, log loss and normalised
/// entropy, with 95 % intervals over users, beside the same of each video's smoothed rates alone. With propensities also
/// replay, IPS and SNIPS of showing each user's top choice, with the effective sample size.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet import kuairand log_standard_*.csv --out data/kuairand
  freshet eval pairs --train data/kuairand --test log_random.csv --label is_click")]
struct PairsArgs {
    /// The event log to learn; it is read whole into memory
    #[arg(long, value_name = "LOG")]
    train: PathBuf,
    /// The pairs to predict
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// The column with what came of a pair
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    label: String,
    #[command(flatten)]
    common: Common,
}

/// How far are lists from the best ones, in a world whose tastes are known?
///
/// Makes a synthetic world, as `freshet generate` does, and learns it. Just before interactions of each --every-th user, at
/// chosen ages (an age is the number of interactions that the user has so far), the user's list is made and compared with
/// the truth, which the graph is not told: how well each video suits the user at that time.
///
/// By age: the regret, 1 - the true value of the list's first 10 (20) places over that of the best 10 (20) among the videos that
/// exist and the user has not watched; and the share of the first 20 places in the user's three true favourite categories,
/// which shows how fast a taste is found. Without and with re-ranking, beside random and best lists, with 95 % intervals
/// over users.
///
/// The world is not read from a folder: its arguments determine it to the byte, and so its truth is always its own. Another
/// --seed is another world. Ctrl-C ends early with the figures so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval world
  freshet eval world --users 10000 --videos 20000 --events 500000 --every 10 --plot regret.svg
  freshet eval world --config new.toml --json | jq '.groups[] | [.interactions_so_far, .kinds.on.regret_10.value]'")]
struct WorldArgs {
    /// Users
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    videos: u64,
    /// Interactions; duplicates and revisions come on top
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Days that the log covers
    #[arg(long, value_name = "N", default_value_t = World::DAYS)]
    days: u64,
    /// Ask about each N-th user
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Write regret and taste discovery by age as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Do new videos of creators without followers find their users?
///
/// In a generated world whose users look at the pages that the graph lists for them, and do with each video what suits them. It is run
/// four times: without cohorts, with those of the configuration (`[cohorts]`; enabled, and smaller where a first cohort would
/// have more than a twentieth of the users, or than an eighth of what is looked at for each new video), with boosting, which
/// wants as many users for each new video as the cohorts reached on average, drawn from all, and with promotion by followers, which has
/// as large a share of the places, for new videos drawn in proportion to who follows their creators. A small world has small cohorts, whose
/// verdicts are mostly chance: take many users who come often.
/// A video's audience are the users who come within its first day and whom it suits, by the truth of the world.
///
/// One world says little: two that differ in their seed alone may contradict each other. --runs takes more, shows each figure as its mean with a
/// 95 % interval over worlds (Student's t), and what each arm has more of than the first, compared within each world; where that interval leaves
/// zero out, the arms differ. A figure that a world does not have, such as one without a good new video, is taken over the others. Ctrl-C ends early
/// with the worlds so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval cohorts --users 5000 --videos 4000 --events 400000 --plot reach.svg
  freshet eval cohorts --runs 10                      seeds 1 to 10, with intervals over them
  freshet eval cohorts --runs 10 --json | jq '.summary.arms.cohorts[\"good.mean_reach\"].less_first'")]
struct CohortArgs {
    /// Users
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    videos: u64,
    /// Videos that are looked at
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events: u64,
    /// Days that the world lasts
    #[arg(long, value_name = "N", default_value_t = 3)]
    days: u64,
    /// Write how soon good new videos meet those whom they suit as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    common: Common,
}

/// What do places that explore cost, and what do they find?
///
/// In a generated world whose users look at the pages that the graph lists for them, and do with each video what suits them. In its
/// middle everybody has other favourites at once. It is run four times: without places that explore, and with as many
/// (`exploration.slots`) given to categories evenly, by epsilon-greedy and by LinUCB. Places of novelty are as they are.
///
/// Regret is 1 - the value of what was looked at over that of the best that the user could have been shown and had not seen, of one
/// exposure in five: before the tastes turn, in the day after, and later. The first half day counts for nothing. The intervals of one world
/// are over its users, and another world may say the contrary: --runs takes more, and shows means with 95 % intervals over worlds (Student's t) and
/// differences to `off` within each world. Ctrl-C ends early with the worlds so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval exploration --plot explored.svg
  freshet eval exploration --runs 10 --users 300 --videos 1500 --events 40000 --days 4
  freshet eval exploration --runs 10 --json | jq .summary.arms.linucb")]
struct ExplorationArgs {
    /// Users
    #[arg(long, value_name = "N", default_value_t = 500)]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    videos: u64,
    /// Videos that are looked at
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Days that the world lasts
    #[arg(long, value_name = "N", default_value_t = 6)]
    days: u64,
    /// Write regret over time as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    common: Common,
}

/// Do experiments tell the truth, where it is known?
///
/// In generated worlds whose users look at the pages that the graph lists for them. Arms that differ in nothing: how often an
/// interval leaves zero out at any of the publications (at most alpha = 5 %). A planted arm whose lists are ordered by nothing: when it
/// is found. An arm that draws its places of novelty from fewer candidates: whether what it earns there is estimated from the draws
/// of the control alone.
#[derive(Debug, Args)]
struct ExperimentArgs {
    /// Worlds, with seeds from --seed on
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,
    /// Experiments in each world whose arms do not differ
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=eval::MAX_COPIES as u64))]
    copies: u64,
    /// No verdict before each arm has so many users
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u64).range(2..))]
    min_users: u64,
    /// Users
    #[arg(long, value_name = "N", default_value_t = 1_500)]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    videos: u64,
    /// Videos that are looked at
    #[arg(long, value_name = "N", default_value_t = 150_000)]
    events: u64,
    /// Days that a world lasts
    #[arg(long, value_name = "N", default_value_t = 3)]
    days: u64,
    #[command(flatten)]
    common: Common,
}

/// Do off-policy estimates hold, where the truth is known?
///
/// In the Open Bandit Dataset two policies ran side by side: one drew evenly, the other is Bernoulli Thompson sampling. What each earns
/// is estimated from the log of the other, by inverse propensity scoring (ips), self-normalised (snips) and doubly robust, with
/// intervals from resampled decisions, and compared with what it earned in its own log. Below an effective sample size of 1,000
/// nothing is claimed.
#[derive(Debug, Args)]
struct BanditArgs {
    /// A folder with random_all_all.parquet and bts_all_all.parquet, or with random/all/all.csv and bts/all/all.csv
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Seed of the intervals and of the model's halves
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Are attackers found, and how far do their videos still get?
///
/// In a generated world whose honest users look at the pages that the graph lists for them, and do with each video what suits them;
/// attackers come on top and do what they came for (`freshet generate --attack` says what). It is run three times: attacked with nobody
/// judged, attacked with `[abuse]` of the configuration (enabled), and judged without any attack, which shows who is taken for an
/// attacker and is none. Without --attack all kinds attack at their usual size.
///
/// --runs takes more worlds than one, and shows means with 95 % intervals over worlds (Student's t) and differences to `undamped` within each world.
/// Ctrl-C ends early with the worlds so far and exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet eval attacks --attack ring=30 --attack bots=5%
  freshet eval attacks --runs 5 --users 500 --videos 1000 --events 40000 --days 5
  freshet eval attacks --runs 5 --json | jq '.summary.arms.damped[\"ring.users_reached\"]'")]
struct AttackArgs {
    /// Users
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    videos: u64,
    /// Videos that honest users look at
    #[arg(long, value_name = "N", default_value_t = 150_000)]
    events: u64,
    /// Days that the world lasts
    #[arg(long, value_name = "N", default_value_t = 6)]
    days: u64,
    /// An attack: bots, farming, ring or spam-uploads, with a number of accounts or a share of the users; repeatable
    #[arg(long = "attack", value_name = "KIND[=SIZE]")]
    attacks: Vec<Attack>,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    common: Common,
}

/// What measurements of worlds with arms are told.
#[derive(Debug, Args)]
struct Repeat {
    /// Worlds, with seeds from --seed on; of more than one, figures and differences are means with intervals over them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,
}

/// What all measurements are told.
#[derive(Debug, Args)]
struct Common {
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

    fn options(&self, log: PathBuf, plot: Option<PathBuf>) -> Options {
        Options { log, limit: self.limit.map(size), plot, quiet: self.quiet }
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

fn duration(text: &str) -> Result<u64, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 10m or 1h30m".to_owned())
}

/// What a measurement prints.
struct Said {
    json: Json,
    text: String,
    /// Why the figures are not those of the whole, if they are not.
    short: Option<String>,
}

impl Said {
    fn lists(report: &eval::Report) -> Self {
        Self {
            json: report.to_json(),
            text: report.to_text(),
            short: short(report.interrupted, report.learned),
        }
    }

    fn runs<R: InOneWorld>(report: &Runs<R>) -> Self {
        Self { json: report.to_json(), text: report.to_text(), short: report.short() }
    }
}

fn short(interrupted: bool, learned: usize) -> Option<String> {
    interrupted
        .then(|| format!("interrupted: the figures are those of the first {learned} interactions only"))
}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        let (said, json) = match self.what {
            What::Retrieval(args) => {
                let config = args.common.config()?;
                let options = args.common.options(args.log, args.plot);
                let report = eval::retrieval(&options, size(args.every), args.warmup, &config)?;
                (Said::lists(&report), args.common.json)
            }
            What::Holdout(args) => {
                let held = if args.validation { Held::Validation } else { Held::Test };
                let config = args.common.config()?;
                let options = args.common.options(args.log, None);
                let report = eval::holdout(&options, size(args.events), held, &config)?;
                (Said::lists(&report), args.common.json)
            }
            What::Impressions(args) => {
                let config = args.common.config()?;
                let options = args.common.options(args.log, args.plot);
                let delays = Delays { label: args.label_delay, refresh: args.refresh };
                let report = eval::impressions(&options, args.warmup, delays, &config)?;
                let short = short(report.facts.interrupted, report.facts.learned);
                (Said { json: report.to_json(), text: report.to_text(), short }, args.common.json)
            }
            What::Pairs(args) => {
                let config = args.common.config()?;
                let options = args.common.options(args.train, None);
                let report = eval::pairs(&options, &Test { file: args.test, label: args.label }, &config)?;
                (Said { json: report.to_json(), text: report.to_text(), short: None }, args.common.json)
            }
            What::World(args) => {
                let config = args.common.config()?;
                let world = World { days: args.days, ..World::new(args.users, args.videos, args.events, 0) };
                let limit = args.common.limit.map(size);
                let quiet = args.common.quiet;
                let options = WorldOptions { world, every: args.every, limit, plot: args.plot, quiet };
                let report = eval::world(&options, &config)?;
                let short = short(report.facts.interrupted, report.facts.learned);
                (Said { json: report.to_json(), text: report.to_text(), short }, args.common.json)
            }
            What::Cohorts(args) => {
                let config = args.common.config()?;
                let world = World { days: args.days, ..World::new(args.users, args.videos, args.events, 0) };
                let limit = args.common.limit.map(size);
                let options = CohortOptions {
                    world,
                    runs: args.repeat.runs,
                    limit,
                    plot: args.plot,
                    quiet: args.common.quiet,
                };
                let report = eval::cohorts(&options, &config)?;
                (Said::runs(&report), args.common.json)
            }
            What::Exploration(args) => {
                let config = args.common.config()?;
                let world = World { days: args.days, ..World::new(args.users, args.videos, args.events, 0) };
                let limit = args.common.limit.map(size);
                let options = ExplorationOptions {
                    world,
                    runs: args.repeat.runs,
                    limit,
                    plot: args.plot,
                    quiet: args.common.quiet,
                };
                let report = eval::exploration(&options, &config)?;
                (Said::runs(&report), args.common.json)
            }
            What::Experiments(args) => {
                let config = args.common.config()?;
                let world = World { days: args.days, ..World::new(args.users, args.videos, args.events, 0) };
                let limit = args.common.limit.map(size);
                let (copies, quiet) = (size(args.copies), args.common.quiet);
                let (runs, min_users) = (args.runs, args.min_users);
                let options = ExperimentOptions { world, runs, copies, min_users, limit, quiet };
                let report = eval::experiments(&options, &config)?;
                (Said { json: report.to_json(), text: report.to_text(), short: None }, args.common.json)
            }
            What::Bandit(args) => {
                let report = eval::bandit(&args.dir, args.seed)?;
                (Said { json: report.to_json(), text: report.to_text(), short: None }, args.json)
            }
            What::Attacks(args) => {
                let config = args.common.config()?;
                let usual = AttackKind::ALL.map(Attack::new).to_vec();
                let attacks = if args.attacks.is_empty() { usual } else { args.attacks };
                let world =
                    World { days: args.days, attacks, ..World::new(args.users, args.videos, args.events, 0) };
                let limit = args.common.limit.map(size);
                let options =
                    AttackOptions { world, runs: args.repeat.runs, limit, quiet: args.common.quiet };
                let report = eval::attacks(&options, &config)?;
                (Said::runs(&report), args.common.json)
            }
        };
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", said.json)?;
        } else {
            write!(out, "{}", said.text)?;
        }
        match said.short {
            Some(why) => bail!(why),
            None => Ok(()),
        }
    }
}
