//! `freshet eval`: how good the lists are, measured on a log.
//!
//! The lists are those of the real graph, not of a model of it: the same operators as `freshet run`, with asks
//! ([`freshet_operators::lists::Answer`]) in place of a store. [`records`] brings the log into the order of its events,
//! [`walk`] sends it through the graph and asks before it learns, [`judge`] looks at each answer as of its moment, and
//! [`report`] adds up. What is computed from ranks and counts is a pure function in a file of its own ([`metrics`],
//! [`exposure`], [`diversity`], [`bootstrap`], [`timeline`]).

mod accuracy;
mod bootstrap;
mod cost;
mod diversity;
mod exposure;
mod judge;
mod metrics;
mod plot;
mod records;
mod report;
mod timeline;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use self::cost::Stopwatch;
pub use self::report::Report;
use self::report::Setting;
use self::walk::Plan;
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::{Display, count};

/// What `freshet eval retrieval` is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The log's folder.
    pub log: PathBuf,
    /// Each so many-th interaction is scored; at least 1.
    pub every: usize,
    /// Share of the interactions that is learned before the first is scored, from 0 to less than 1.
    pub warmup: f64,
    /// Interactions to read at the most.
    pub limit: Option<usize>,
    /// Where to write the plot.
    pub plot: Option<PathBuf>,
    /// Show no progress.
    pub quiet: bool,
}

/// Measures retrieval: does the list that a user would get now hold what they are about to watch?
///
/// # Errors
/// Where the log cannot be read or leaves nothing to score, where the graph fails, where the plot cannot be written.
pub fn retrieval(what: &Retrieval, config: &Config) -> anyhow::Result<Report> {
    if let Some(path) = &what.plot {
        check_plot(path)?;
    }
    let interrupt = Interrupt::listen()?;
    let reading = Arc::new(Progress::default());
    let display = Display::start(&reading, what.quiet);
    let log = records::read(&what.log, &config.clock, what.limit, &reading, interrupt.flag());
    display.finish();
    let log = log.context("the log")?;
    if !what.quiet
        && let Some(why) = &log.first_refusal
    {
        eprintln!("{} records refused, as a replay would; the first: {why}", count(log.refused));
    }

    let interactions = log.interactions;
    let plan = Plan { every: what.every, warmup: (interactions as f64 * what.warmup).ceil() as usize };
    let setting = Setting {
        log: what.log.display().to_string(),
        interactions,
        refused: log.refused,
        plan,
        seed: config.params.seed,
        length: config.params.feed.length,
        workers: config.graph.workers,
    };
    let walking = Arc::new(Progress::default());
    walking.set_phase(Phase::Replay);
    // Shares are of interactions here.
    walking.bytes_total.store(interactions as u64, std::sync::atomic::Ordering::Relaxed);
    let display = Display::start(&walking, what.quiet);
    let stopwatch = Stopwatch::start();
    let walked = walk::walk(log, plan, config, &walking, interrupt.flag());
    let cost = stopwatch.stop();
    display.finish();
    let walked = walked?;
    if walked.judge.outcomes.is_empty() {
        bail!(
            "{}: nothing was scored: {} interactions were learned, {} of them as the warm-up, and each {}. of the rest that \
             was no repeat would have been; take a longer log, or lower --every or --warmup",
            what.log.display(),
            count(walked.learned as u64),
            count(plan.warmup.min(walked.learned) as u64),
            plan.every,
        );
    }
    let report = Report::of(setting, &walked, cost);
    if let Some(path) = &what.plot {
        let (width, bins) = &report.over_time;
        let svg = plot::svg(&report.log, *width, bins);
        std::fs::write(path, svg).with_context(|| cannot_write(path))?;
    }
    Ok(report)
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
