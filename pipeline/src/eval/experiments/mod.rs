//! `freshet eval experiments`: whether experiments tell the truth, in a world that was made and that answers.
//!
//! The world's users look at what the graph lists for them ([`super::browse`]), and experiments run in it of which the
//! outcome is known:
//!
//! - *A/A*: arms that differ in nothing, so that whatever is shown of them is an error. Their salts draw users anew, so many of
//!   them fit into one world. An experiment errs where an interval leaves zero out at any publication: whoever watches it all the
//!   time would have been misled.
//! - *planted*: an arm whose lists are ordered by nothing, which has to be found.
//! - *slots*: an arm that draws its places of novelty from fewer and better candidates. What it earns there is estimated from the
//!   draws of the control alone ([`off_policy`]), and compared with what it did earn.

mod off_policy;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use freshet_feed_server::experiments::Experiments;
use freshet_operators::experiments::settings::find;
use freshet_operators::experiments::{Arm, Experiment, MAX_EXPERIMENTS, METRICS, Value};
use freshet_operators::params::Params;
use freshet_sources::generate::World;

use self::off_policy::{Estimated, estimate};
use super::browse::{Browsed, to_the_end};
use super::cost::Cost;
use super::world::make;
use crate::config::Config;
use crate::interrupt::Interrupt;

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The world; that of the n-th run has the configuration's seed and n.
    pub world: World,
    /// Worlds.
    pub runs: u64,
    /// A/A experiments in each of them.
    pub copies: usize,
    /// No verdict before each arm has so many users.
    pub min_users: u64,
    /// Interactions to take of each world at the most.
    pub limit: Option<usize>,
    /// Show no progress.
    pub quiet: bool,
}

/// A/A experiments at the most: two are needed for the others.
pub const MAX_COPIES: usize = MAX_EXPERIMENTS - 2;
/// The stated chance to err.
const ALPHA: f64 = 0.05;
/// The slots' arm draws from so many candidates.
const POOL: usize = 4;
/// The planted arm.
const PLANTED: &str = "planted";
/// The arm that draws from fewer.
const SLOTS: &str = "slots";

/// What a metric of the planted arm came to in a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The metric.
    pub metric: String,
    /// The first publication, counted from the first one with a verdict, at which a difference was shown; `None` where none was.
    pub at: Option<usize>,
    /// At the end: the difference and the ends of its interval.
    pub last: [f64; 3],
}

/// How a world went.
#[derive(Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Publications at which there was a verdict.
    pub looks: usize,
    /// For each A/A experiment and metric, whether an interval ever left zero out.
    pub erred: Vec<BTreeMap<String, bool>>,
    /// A/A experiments whose users seemed to be missing at some publication.
    pub mismatched: usize,
    /// By metric.
    pub planted: Vec<Found>,
    /// The slots' arm from the control's draws.
    pub slots: Estimated,
    /// The slots' experiment as the graph's own view has it at the end; `None` where nothing was published.
    pub view: Option<freshet_feed_server::experiments::Experiment>,
    /// Users of the smallest arm of all experiments.
    pub smallest: u64,
    /// What it took.
    pub cost: Cost,
}

/// All figures of a measurement.
#[derive(Debug)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// Worker threads.
    pub workers: usize,
    /// By world.
    pub runs: Vec<Run>,
}

fn arm(name: &str, sets: &[(&str, Value)]) -> Arm {
    let sets = sets.iter().filter_map(|(key, value)| Some((find(key)?, *value))).collect();
    Arm { name: name.to_owned(), share: 0.5, sets }
}

/// The experiments of a world that begins at `since`.
fn experiments(options: &Options, since: u64) -> Arc<[Experiment]> {
    let of = |name: String, share: f64, arms: Vec<Arm>| Experiment {
        salt: name.clone(),
        name,
        share,
        since,
        alpha: ALPHA,
        min_users: options.min_users,
        arms,
    };
    let blind = ["watch", "completion", "rewatch", "continuation", "fast_skip", "fatigue"];
    let blind = blind.map(|objective| format!("ranking.{objective}"));
    let blind: Vec<(&str, Value)> = blind.iter().map(|key| (key.as_str(), Value::Real(0.0))).collect();
    let few = [("rerank.draw_pool", Value::Count(POOL))];
    let own = [
        of(PLANTED.to_owned(), 0.5, vec![arm("control", &[]), arm("blind", &blind)]),
        of(SLOTS.to_owned(), 1.0, vec![arm("control", &[]), arm("few", &few)]),
    ];
    let copies =
        (1..=options.copies).map(|n| of(format!("aa-{n}"), 1.0, vec![arm("control", &[]), arm("same", &[])]));
    own.into_iter().chain(copies).collect()
}

/// Measures experiments in worlds.
///
/// # Errors
/// Where an argument is out of range, where no arm ever has the users for a verdict, where the graph fails, where it is interrupted.
pub fn experiments_report(options: &Options, config: &Config) -> anyhow::Result<Report> {
    let interrupt = Interrupt::listen()?;
    let mut runs = Vec::new();
    for n in 0..options.runs {
        runs.push(run(options, config, config.params.seed.wrapping_add(n), &interrupt)?);
    }
    if runs.iter().all(|run| run.looks == 0) {
        bail!(
            "no arm ever had {} users (the smallest had {}): take more --users and --events, or a smaller --min-users",
            options.min_users,
            runs.iter().map(|run| run.smallest).max().unwrap_or(0)
        );
    }
    Ok(Report { options: options.clone(), workers: config.graph.workers, runs })
}

fn run(options: &Options, config: &Config, seed: u64, interrupt: &Interrupt) -> anyhow::Result<Run> {
    let world = World { seed, ..options.world.clone() };
    let made = make(&world, options.limit, options.quiet)?;
    let mut params = config.params.clone();
    params.seed = seed;
    params.experiments = experiments(options, world.start.0);
    let (browsed, cost) = to_the_end(&made, params.clone(), None, config, options.quiet, interrupt)?;
    Ok(told(seed, &params, &browsed, cost))
}

/// What the publications of a world say.
fn told(seed: u64, params: &Params, browsed: &Browsed, cost: Cost) -> Run {
    let mut erred: Vec<BTreeMap<String, bool>> = Vec::new();
    let mut mismatched: Vec<bool> = Vec::new();
    let mut planted: Vec<Found> = Vec::with_capacity(METRICS);
    let (mut looks, mut smallest) = (0, 0);
    for record in &browsed.experiments {
        let all = Experiments::from(record).experiments;
        let users =
            |of: &freshet_feed_server::experiments::Experiment| of.arms.iter().map(|arm| arm.users).min();
        smallest = all.iter().filter_map(users).min().unwrap_or(0);
        let enough = all.iter().all(|of| of.arms.iter().all(|arm| arm.users >= of.min_users));
        looks += usize::from(enough);
        let copies = all.iter().filter(|of| of.name != PLANTED && of.name != SLOTS);
        for (n, of) in copies.enumerate() {
            if erred.len() <= n {
                erred.push(BTreeMap::new());
                mismatched.push(false);
            }
            mismatched[n] |= of.sample_ratio.is_some_and(|ratio| ratio.mismatch) && enough;
            for metric in &of.arms[1].metrics {
                // Users who are missing withhold the verdict; here it is asked what the interval says.
                let out = metric.difference.is_some_and(|d| d.low > 0.0 || d.high < 0.0) && enough;
                *erred[n].entry(metric.name.clone()).or_insert(false) |= out;
            }
        }
        for of in all.iter().filter(|of| of.name == PLANTED && enough) {
            for (n, metric) in of.arms[1].metrics.iter().enumerate() {
                if planted.len() <= n {
                    planted.push(Found { metric: metric.name.clone(), at: None, last: [0.0; 3] });
                }
                let Some(difference) = metric.difference else { continue };
                planted[n].last = [difference.value, difference.low, difference.high];
                if matches!(difference.verdict, "higher" | "lower") {
                    planted[n].at.get_or_insert(looks);
                }
            }
        }
    }
    let slots = estimate(params, &browsed.exposures, (PLANTED, SLOTS), POOL, seed);
    let mismatched = mismatched.into_iter().filter(|mismatch| *mismatch).count();
    let last = browsed.experiments.last().map(Experiments::from);
    let view = last.and_then(|last| last.experiments.into_iter().find(|of| of.name == SLOTS));
    Run { seed, looks, erred, mismatched, planted, slots, view, smallest, cost }
}

impl Report {
    /// A/A experiments, and in how many of them a metric erred.
    #[must_use]
    pub fn errors(&self) -> (usize, BTreeMap<String, usize>) {
        let copies = || self.runs.iter().flat_map(|run| &run.erred);
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        for (metric, erred) in copies().flatten() {
            *errors.entry(metric.clone()).or_default() += usize::from(*erred);
        }
        (copies().count(), errors)
    }
}
