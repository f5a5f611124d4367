//! `freshet eval`: how good the lists are, measured on a log.
//!
//! The lists are those of the real graph, not of a model of it: the same operators as `freshet run`, with asks
//! ([`freshet_operators::lists::Answer`]) in place of a store. [`records`] brings the log into the order of its events,
//! [`walk`] decides what is asked when, [`drive`] takes it through the graph, [`judge`] looks at each answer as of its
//! moment, and [`report`] adds up what [`show`] prints. [`runs`] repeats a
//! measurement in other worlds. What is computed from ranks and counts is a pure function in a file of its own ([`metrics`],
//! [`exposure`], [`diversity`], [`bootstrap`], [`student`], [`timeline`]).

mod accuracy;
mod attacks;
mod bandit;
mod bootstrap;
mod browse;
mod cohorts;
mod cost;
mod diversity;
mod drive;
mod experiments;
mod exploration;
mod exposure;
mod heads;
mod holdout;
mod judge;
mod metrics;
mod outcome;
mod plot;
mod promote;
mod pump;
mod records;
mod report;
mod runs;
mod show;
mod student;
mod timeline;
mod walk;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, bail};

pub use self::attacks::{Options as AttackOptions, Report as AttackReport, attacks};
pub use self::bandit::{Bandit, bandit};
pub use self::cohorts::{Options as CohortOptions, Report as CohortReport, cohorts};
use self::cost::Stopwatch;
pub use self::experiments::{
    MAX_COPIES, Options as ExperimentOptions, Report as ExperimentReport, experiments_report as experiments,
};
pub use self::exploration::{Options as ExplorationOptions, Report as ExplorationReport, exploration};
pub use self::heads::{Delays, Impressions, Pairs, Test, impressions, pairs};
pub use self::holdout::Held;
use self::records::Log;
pub use self::report::Report;
use self::report::{Plan, Setting};
pub use self::runs::{InOneWorld, Runs};
use self::walk::Walked;
pub use self::world::{Options as WorldOptions, Report as WorldReport, world};
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::{Display, count};

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The log's folder.
    pub log: PathBuf,
    /// Interactions to read at the most.
    pub limit: Option<usize>,
    /// Where to write the plot of HR@10 over event time.
    pub plot: Option<PathBuf>,
    /// Show no progress.
    pub quiet: bool,
}

/// Measures retrieval, test-then-train: does the list that a user would get now hold what they are about to watch? Each
/// `every`-th interaction (at least 1) behind a share `warmup` (from 0 to less than 1) of them is scored.
///
/// # Errors
/// Where the log cannot be read or leaves nothing to score, where the graph fails, where the plot cannot be written.
pub fn retrieval(options: &Options, every: usize, warmup: f64, config: &Config) -> anyhow::Result<Report> {
    measure(options, config, |log, progress, interrupt| {
        let plan = walk::Plan { every, warmup: (log.interactions as f64 * warmup).ceil() as usize };
        Ok((Plan::Retrieval(plan), walk::walk(log, plan, config, progress, interrupt.flag())?))
    })
}

/// Measures leave-last-out, with each user's last `events` events (at least 3).
///
/// # Errors
/// As [`retrieval`].
pub fn holdout(options: &Options, events: usize, held: Held, config: &Config) -> anyhow::Result<Report> {
    measure(options, config, |log, progress, interrupt| {
        let plan = holdout::Plan { events, held };
        Ok((Plan::Holdout(plan), holdout::walk(log, plan, config, progress, interrupt.flag())?))
    })
}

fn measure(
    options: &Options,
    config: &Config,
    walk: impl FnOnce(Log, &Progress, &Interrupt) -> anyhow::Result<(Plan, Walked)>,
) -> anyhow::Result<Report> {
    let interrupt = Interrupt::listen()?;
    let log = read_log(options, config, &interrupt)?;
    let (interactions, refused) = (log.interactions, log.refused);
    let walking = Arc::new(Progress::default());
    walking.set_phase(Phase::Replay);
    // Shares are of interactions here.
    walking.bytes_total.store(interactions as u64, Relaxed);
    let display = Display::start(&walking, options.quiet);
    let stopwatch = Stopwatch::start();
    let walked = walk(log, &walking, &interrupt);
    let cost = stopwatch.stop();
    display.finish();
    let (plan, walked) = walked?;
    if walked.judge.outcomes.is_empty() {
        bail!(
            "{}: nothing was scored: {} interactions were learned, and those to score were none or repeats{}; take a longer \
             log, or score more of it (--every, --warmup, --events)",
            options.log.display(),
            count(walked.learned as u64),
            if walked.interrupted { ", until it was interrupted" } else { "" },
        );
    }
    let setting = Setting {
        log: options.log.display().to_string(),
        interactions,
        refused,
        plan,
        seed: config.params.seed,
        length: config.params.feed.length,
        workers: config.graph.workers,
    };
    let report = Report::of(setting, &walked, cost);
    if let Some(path) = &options.plot {
        let (width, bins) = &report.over_time;
        chart_to(path, &timeline::chart(&report.setting.log, *width, bins))?;
    }
    Ok(report)
}

/// Reads the log, showing how far it is and what was refused. Looks first whether the plot can be written.
fn read_log(options: &Options, config: &Config, interrupt: &Interrupt) -> anyhow::Result<Log> {
    if let Some(path) = &options.plot {
        check_plot(path)?;
    }
    let reading = Arc::new(Progress::default());
    let display = Display::start(&reading, options.quiet);
    let log = records::read(&options.log, &config.clock, options.limit, &reading, interrupt.flag());
    display.finish();
    let log = log.context("the log")?;
    if !options.quiet
        && let Some(why) = &log.first_refusal
    {
        eprintln!("{} records refused, as a replay would; the first: {why}", count(log.refused));
    }
    Ok(log)
}

fn chart_to(path: &Path, chart: &plot::Chart) -> anyhow::Result<()> {
    std::fs::write(path, plot::svg(chart)).with_context(|| cannot_write(path))
}

/// A mistyped folder should show before the work, not after it.
fn check_plot(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        bail!(cannot_write(path));
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("--plot {:?}: cannot be written; name a file in a folder that exists", path.display().to_string())
}
