//! `freshet eval attacks`: who is found, and how far attackers' videos still get, in a world that answers.
//!
//! The world is that of `freshet eval cohorts` ([`super::browse`]): honest users see what the graph lists for them and do what
//! suits them. Attackers ([`freshet_sources::generate::AttackKind`]) do what they came for. It is run three times: with all attacks
//! and nobody judged, with all attacks and `[abuse]` as configured and enabled, and without any attack but judged, which shows who is
//! taken for an attacker and is none. Otherwise the runs do not differ.

mod judge;
mod show;

use freshet_sources::generate::{Attack, AttackTruth, World};

use self::judge::{Figures, judge};
use super::browse::to_the_end;
use super::cost::Cost;
use super::runs::Runs;
use super::world::make;
use crate::config::Config;
use crate::interrupt::Interrupt;

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The world with its attacks; that of the n-th run has the configuration's seed and n.
    pub world: World,
    /// Worlds, at least 1.
    pub runs: u64,
    /// Interactions to take at the most.
    pub limit: Option<usize>,
    /// Show no progress.
    pub quiet: bool,
}

/// What is different from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// Attacked, and nobody is judged.
    Undamped,
    /// Attacked, and judged.
    Damped,
    /// Judged, and there is nobody to find.
    Honest,
}

impl Arm {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 3] = [Self::Undamped, Self::Damped, Self::Honest];

    /// As in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ["undamped", "damped", "honest"][self as usize]
    }
}

/// How an arm went.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub arm: Arm,
    /// What came of it.
    pub figures: Figures,
    /// What it took.
    pub cost: Cost,
}

/// All figures of a measurement.
#[derive(Debug)]
pub struct Report {
    /// The world.
    pub world: World,
    /// Worker threads.
    pub workers: usize,
    /// The attacks, as they were.
    pub attacks: Vec<AttackTruth>,
    /// By arm.
    pub runs: Vec<Run>,
}

/// Measures what `[abuse]` does against attacks on worlds.
///
/// # Errors
/// Where an argument is out of range, where the graph fails, where it is interrupted in its first world.
pub fn attacks(options: &Options, config: &Config) -> anyhow::Result<Runs<Report>> {
    let interrupt = Interrupt::listen()?;
    Runs::measure(options.runs, options.quiet, config, &interrupt, |config, _| {
        one(options, config, &interrupt)
    })
}

fn one(options: &Options, config: &Config, interrupt: &Interrupt) -> anyhow::Result<Report> {
    let world = World { seed: config.params.seed, ..options.world.clone() };
    let honest = World { attacks: Vec::<Attack>::new(), ..world.clone() };
    let mut runs = Vec::new();
    let mut truth_of_attacks = Vec::new();
    for arm in Arm::ALL {
        let made = make(if arm == Arm::Honest { &honest } else { &world }, options.limit, options.quiet)?;
        let mut params = config.params.clone();
        params.abuse.enabled = arm != Arm::Undamped;
        let (browsed, cost) = to_the_end(&made, params, None, config, options.quiet, interrupt)?;
        let truth = &made.0;
        if arm != Arm::Honest {
            truth_of_attacks = truth.attacks().to_vec();
        }
        runs.push(Run { arm, figures: judge(truth.attacks(), &browsed), cost });
    }
    Ok(Report { world, workers: config.graph.workers, attacks: truth_of_attacks, runs })
}
