//! `freshet eval exploration`: what places that explore cost and find, in a world that answers and whose tastes turn.
//!
//! The world's users see what the graph lists for them ([`super::browse`]). In its middle all of them have other favourites, at once and
//! without a sign ([`World::turn`]). It is run four times: without places that explore, and with the same number of places given out
//! evenly, by epsilon-greedy, and by LinUCB. All else is the same, places of novelty too.
//!
//! The oracle knows the truth: at each moment the video that suits the user best among those that can be shown and the user has
//! not seen. Regret is the part of its value that what was looked at fell short of ([`judge`]).

mod judge;
mod show;

use std::path::PathBuf;

use anyhow::bail;
use freshet_operators::params::{Exploration, Explore, Params};
use freshet_sources::generate::World;

use self::judge::{Judged, Periods, Run, judge};
use super::bootstrap::RESAMPLES;
use super::browse::to_the_end;
use super::runs::Runs;
use super::world::make;
use super::{chart_to, check_plot};
use crate::config::Config;
use crate::interrupt::Interrupt;

/// The policies, in the order in which they are run. The first is what the others are compared with.
const POLICIES: [Explore; 4] = [Explore::Off, Explore::Random, Explore::EpsilonGreedy, Explore::Linucb];

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The world, whose tastes turn in its middle; that of the n-th run has the configuration's seed and n.
    pub world: World,
    /// Worlds, at least 1.
    pub runs: u64,
    /// Interactions to take at the most.
    pub limit: Option<usize>,
    /// Where to write regret over time.
    pub plot: Option<PathBuf>,
    /// Show no progress.
    pub quiet: bool,
}

/// All figures of a measurement.
#[derive(Debug)]
pub struct Report {
    /// The world.
    pub world: World,
    /// Worker threads.
    pub workers: usize,
    /// The budget, and how it was spent.
    pub exploration: Exploration,
    /// When the tastes turned.
    pub periods: Periods,
    /// By policy.
    pub runs: Vec<Run>,
}

/// Measures the policies in worlds.
///
/// # Errors
/// Where an argument is out of range, where lists are to have no place that explores, where the graph fails, where it is interrupted in its first
/// world, where the plot cannot be written.
pub fn exploration(options: &Options, config: &Config) -> anyhow::Result<Runs<Report>> {
    if let Some(path) = &options.plot {
        check_plot(path)?;
    }
    let own = &config.params.exploration;
    if own.slots == 0 {
        bail!("exploration.slots is 0: there is no place to compare policies at; configure at least 1");
    }
    if !config.params.learning.enabled {
        bail!("learning.enabled is false: no policy could learn; set it to true");
    }
    if options.world.days < 2 {
        bail!(
            "--days is {}: the tastes turn in the middle, and a day must be left on either side; take at least 2",
            options.world.days
        );
    }
    let interrupt = Interrupt::listen()?;
    let runs = Runs::measure(options.runs, options.quiet, config, &interrupt, |config, _| {
        one(options, config, &interrupt)
    })?;
    if let (Some(path), Some(chart)) = (&options.plot, show::chart(runs.runs())) {
        chart_to(path, &chart)?;
    }
    Ok(runs)
}

fn one(options: &Options, config: &Config, interrupt: &Interrupt) -> anyhow::Result<Report> {
    let own = &config.params.exploration;
    let turn = options.world.days / 2;
    let world = World { seed: config.params.seed, turn: Some(turn), ..options.world.clone() };
    let made = make(&world, options.limit, options.quiet)?;
    let periods = Periods::of(&world, turn);
    let mut judged: Vec<(Explore, Judged)> = Vec::new();
    for policy in POLICIES {
        let exploration = Exploration { policy, ..own.clone() };
        let params = Params { exploration, ..config.params.clone() };
        let (browsed, cost) = to_the_end(&made, params, None, config, options.quiet, interrupt)?;
        judged.push((policy, judge(&made.0, &browsed, &periods, cost)));
    }
    if judged.iter().any(|(_, judged)| judged.counted() == 0) {
        bail!("nobody looked at anything; take more --events");
    }
    let runs = judge::compare(judged, RESAMPLES, config.params.seed);
    Ok(Report { world, workers: config.graph.workers, exploration: own.clone(), periods, runs })
}
