//! `freshet eval cohorts`: whether new videos find their users, in a world that was made and that answers.
//!
//! A log that is replayed cannot tell: nobody in it was shown what the lists would have shown. Here the world's users come when the
//! generator says, but what they see is the page that a feed server would hand out, from the list that the graph has stored for
//! them by then, and what they do with it follows from how well it suits them ([`Known::instead`]). So the loop is closed, and
//! the truth is known: for whom each video is. A quarter of the creators are unknown: nobody in this world follows them.
//!
//! Four worlds are run that differ in how new videos are treated and in nothing else: without cohorts; with cohorts; with *boosting*, which
//! wants for each new video as many users as the cohorts reached on average, drawn from all, whatever comes of it; and with
//! promotion by *followers* ([`super::promote`]), which has as large a share of what is looked at as the cohorts had.
//! [`super::browse`] runs one, [`judge`] looks at the new videos of unknown creators, and [`show`] prints.

mod chart;
mod judge;
mod show;

use std::path::PathBuf;

use anyhow::bail;
use freshet_operators::params::{Cohorts, Params};
use freshet_sources::generate::World;

use self::judge::{Figures, Subjects, judge};
use super::browse::{Counts, to_the_end};
use super::cost::Cost;
use super::promote::Promotion;
use super::runs::Runs;
use super::world::make;
use super::{chart_to, check_plot};
use crate::config::Config;
use crate::interrupt::Interrupt;

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The world; that of the n-th run has the configuration's seed and n.
    pub world: World,
    /// Worlds, at least 1.
    pub runs: u64,
    /// Interactions to take at the most.
    pub limit: Option<usize>,
    /// Where to write how soon good videos meet their audience.
    pub plot: Option<PathBuf>,
    /// Show no progress.
    pub quiet: bool,
}

/// A way of treating new videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// As any other video.
    None,
    /// With cohorts.
    Cohorts,
    /// Each is to be shown to the same number of users, drawn from all.
    Boosting,
    /// By how many follow their creators.
    Followers,
}

impl Arm {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 4] = [Self::None, Self::Cohorts, Self::Boosting, Self::Followers];

    /// As in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ["none", "cohorts", "boosting", "followers"][self as usize]
    }
}

/// How an arm went.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub arm: Arm,
    /// Cohorts as they were configured for it.
    pub cohorts: Cohorts,
    /// What came of it.
    pub figures: Figures,
    /// What was counted on the way.
    pub browsed: Counts,
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
    /// The videos that are looked at.
    pub subjects: Subjects,
    /// By arm.
    pub runs: Vec<Run>,
}

/// The configured cohorts, enabled; where a first cohort would have more than a twentieth of the users, or than an eighth of what is
/// looked at for each new video, smaller, with its floor in proportion.
#[must_use]
pub fn scaled(cohorts: &Cohorts, users: u64, looks: usize) -> Cohorts {
    let most = (usize::try_from(users).unwrap_or(usize::MAX) / 20).min(looks / 8).max(5);
    if cohorts.size <= most {
        return Cohorts { enabled: true, ..cohorts.clone() };
    }
    let floor = (cohorts.floor * most).div_ceil(cohorts.size).max(1);
    Cohorts { enabled: true, size: most, floor, ..cohorts.clone() }
}

/// Cohorts that show each new video to so many users who are drawn, as far as they come, and stop.
fn boosting(cohorts: &Cohorts, size: usize) -> Cohorts {
    let size = size.max(1);
    Cohorts {
        size,
        floor: size,
        predicted_share: 0.0,
        decay: 0.0,
        threshold: 100.0,
        enough_share: 1.0,
        reached_share: 1.0,
        ..cohorts.clone()
    }
}

/// Measures what cohorts do for new videos in worlds.
///
/// # Errors
/// Where an argument is out of range, where no world has both good and poor new videos to look at, where the graph fails, where it is interrupted
/// in its first world, where the plot cannot be written.
pub fn cohorts(options: &Options, config: &Config) -> anyhow::Result<Runs<Report>> {
    if let Some(path) = &options.plot {
        check_plot(path)?;
    }
    let interrupt = Interrupt::listen()?;
    let runs = Runs::measure(options.runs, options.quiet, config, &interrupt, |config, before| {
        one(options, config, &interrupt, before)
    })?;
    if let (Some(path), Some(chart)) = (&options.plot, chart::chart(runs.runs())) {
        chart_to(path, &chart)?;
    }
    Ok(runs)
}

fn one(
    options: &Options,
    config: &Config,
    interrupt: &Interrupt,
    before: &[Report],
) -> anyhow::Result<Report> {
    let world = World { seed: config.params.seed, ..options.world.clone() };
    let made = make(&world, options.limit, options.quiet)?;
    let (truth, log) = &made;
    let subjects = Subjects::of(truth, &log.records, &world);
    // A world without them says nothing of them beside others that have some.
    let is_last = before.len() as u64 + 1 == options.runs;
    if is_last && subjects.lack() && before.iter().all(|run| run.subjects.lack()) {
        bail!(
            "no new video could be looked at: {} good and {} poor ones of creators without followers became ready a day or more \
             before the world's end; take more --videos, or more --days",
            subjects.good.len(),
            subjects.poor.len()
        );
    }
    let own = scaled(&config.params.cohorts, world.users, log.interactions / subjects.new.max(1));
    let mut runs: Vec<Run> = Vec::new();
    for arm in Arm::ALL {
        let with = runs.iter().find(|run| run.arm == Arm::Cohorts).map(|run| run.browsed).unwrap_or_default();
        let cohorts = match arm {
            Arm::None | Arm::Followers => Cohorts { enabled: false, ..own.clone() },
            Arm::Cohorts => own.clone(),
            Arm::Boosting => boosting(&own, with.per_life()),
        };
        let promotion = (arm == Arm::Followers).then(|| {
            let share = with.claimed as f64 / with.impressions.max(1) as f64;
            Promotion::new(share, world.start, world.seed)
        });
        let params = Params { cohorts: cohorts.clone(), ..config.params.clone() };
        let (browsed, cost) = to_the_end(&made, params, promotion, config, options.quiet, interrupt)?;
        let figures = judge(&subjects, &browsed.exposures);
        runs.push(Run { arm, cohorts, figures, browsed: browsed.counts, cost });
    }
    Ok(Report { world, workers: config.graph.workers, subjects, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cohorts_are_scaled_to_the_world() {
        let configured = Cohorts::default();
        let large = scaled(&configured, 20_000, 4_000);
        assert_eq!((large.enabled, large.size, large.floor), (true, 500, 100));
        let small = scaled(&configured, 600, 4_000);
        assert_eq!((small.size, small.floor), (30, 6));
        assert_eq!((scaled(&configured, 600, 80).size, scaled(&configured, 5, 80).size), (10, 5));
        let boost = boosting(&small, 42);
        assert_eq!((boost.size, boost.predicted_share), (42, 0.0));
        assert!(((boost.size as f64) * boost.decay) < boost.floor as f64, "it ends with its first stage");
    }
}
