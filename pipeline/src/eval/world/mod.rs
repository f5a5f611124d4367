//! `freshet eval world`: lists against what their users would have liked, in a world that was made.
//!
//! On a real log only what was watched is known, and a list is right where it holds that. In a generated world it is known
//! how well every video suits every user at any time: a list has a true value, there is a best one, and what is missing to it
//! is the regret. The graph sees the events and nothing else. The world is made anew from its arguments and not read from a
//! folder: they determine it to the byte, and a folder could hold a log that is not of the truth it is compared with.
//!
//! [`walk`] asks for lists at chosen ages of users, [`judge`] values them, [`report`] adds up.

mod judge;
mod report;
mod show;
mod walk;

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_schema::Event;
use freshet_schema::event::Origin;
use freshet_sources::generate::{Known, World, known};
use serde_json::{Value as Json, json};

use self::report::Facts;
pub use self::report::Report;
use self::walk::Walked;
use super::cost::Stopwatch;
use super::records::{Log, arrange};
use super::{chart_to, check_plot};
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::Display;

/// What a measurement is told beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The world; its seed is the configuration's.
    pub world: World,
    /// Each so many-th user is asked about, at least 1.
    pub every: u64,
    /// Interactions to take at the most.
    pub limit: Option<usize>,
    /// Where to write the plot by age.
    pub plot: Option<PathBuf>,
    /// Show no progress.
    pub quiet: bool,
}

/// Measures lists against the truth of a world.
///
/// # Errors
/// Where an argument is out of range, where nothing is there to be asked, where the graph fails, where the plot cannot be
/// written.
pub fn world(options: &Options, config: &Config) -> anyhow::Result<Report> {
    if let Some(path) = &options.plot {
        check_plot(path)?;
    }
    let interrupt = Interrupt::listen()?;
    let world = World { seed: config.params.seed, ..options.world.clone() };
    let (truth, log) = make(&world, options.limit, options.quiet)?;
    let interactions = log.interactions;
    let progress = Arc::new(Progress::default());
    progress.set_phase(Phase::Replay);
    progress.bytes_total.store(2 * interactions as u64, Relaxed);
    let display = Display::start(&progress, options.quiet);
    let stopwatch = Stopwatch::start();
    let walked = walk::walk(log, options.every, config, &progress, interrupt.flag());
    let cost = stopwatch.stop();
    let judged = walked.map(|walked| {
        let half = progress.bytes_read.load(Relaxed);
        let of = walked.questions.len().max(1) as u64;
        let judged = judge::judge(&walked, &truth, &mut |done| {
            progress.bytes_read.store(half + interactions as u64 * done / of, Relaxed);
        });
        (walked, judged)
    });
    display.finish();
    let (walked, judged) = judged?;
    let Walked { learned, epochs, interrupted, .. } = walked;
    if judged.is_empty() {
        bail!(
            "nothing was asked: {learned} interactions were learned, and of their users none was to be asked about; take more \
             --events, or a smaller --every"
        );
    }
    let facts = Facts { interactions, learned, epochs, interrupted, workers: config.graph.workers, cost };
    let report = Report::of(world, options.every, facts, &judged);
    if let Some(path) = &options.plot {
        chart_to(path, &report.chart())?;
    }
    Ok(report)
}

/// A world as a report in JSON names it.
pub(super) fn described(world: &World) -> Json {
    let World { users, videos, events, days, seed, .. } = world;
    let mut said = json!({ "users": users, "videos": videos, "events": events, "days": days, "seed": seed });
    if !world.attacks.is_empty() {
        said["attacks"] = world.attacks.iter().map(ToString::to_string).collect();
    }
    if let Some(turn) = world.turn {
        said["tastes_turn_on_day"] = turn.into();
    }
    said
}

/// The world's truth and its log in the order of its events.
pub(super) fn make(world: &World, limit: Option<usize>, quiet: bool) -> anyhow::Result<(Known, Log)> {
    let shows = !quiet && stderr().is_terminal();
    let mut records: Vec<(Origin, Box<Event>)> = Vec::new();
    let mut sink = |event: &Event| {
        // As if each stream were one file.
        let partition = event.kind() as u32;
        records.push((Origin { partition, offset: records.len() as u64 }, Box::new(event.clone())));
    };
    let truth = known(world, &mut sink, &mut |done, of| {
        if shows && of > 0 {
            // The progress is for whoever looks; nobody need.
            drop(write!(stderr(), "\r\x1b[2Kgenerating: {} %", done * 100 / of));
        }
    })?;
    if shows {
        drop(write!(stderr(), "\r\x1b[2K"));
    }
    let interactions = arrange(&mut records, limit);
    Ok((truth, Log { records, interactions, refused: 0, first_refusal: None }))
}
