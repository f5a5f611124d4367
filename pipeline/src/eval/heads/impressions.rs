//! Test, then train, over all impressions of a log: scored by the graph and by counting, then learned.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_operators::probe::Heads;
use freshet_schema::Event;
use freshet_schema::event::Origin;

use super::item_rate::ItemRates;
use super::probes::{Probes, Row};
use super::report::{Report, Setting};
use super::schedule::{Plan, Schedule, Shown, Step, schedule};
use crate::config::Config;
use crate::eval::cost::Stopwatch;
use crate::eval::{Options, chart_to, read_log};
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::{Display, count};

/// How much later than it happened things are known, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// From an interaction to its learning.
    pub label: u64,
    /// Between two copies that score; 0 scores from the present state.
    pub refresh: u64,
}

/// Measures predictions, test-then-train, behind a share `warmup` (from 0 to less than 1) of the interactions.
///
/// # Errors
/// Where the log cannot be read or leaves nothing to score, where the graph fails, where the plot cannot be written.
pub fn impressions(
    options: &Options,
    warmup: f64,
    delays: Delays,
    config: &Config,
) -> anyhow::Result<Report> {
    let interrupt = Interrupt::listen()?;
    let log = read_log(options, config, &interrupt)?;
    let plan = Plan {
        warmup: (log.interactions as f64 * warmup).ceil() as usize,
        label_delay: delays.label,
        refresh: delays.refresh,
    };
    let Schedule { steps, mut rows } = schedule(&log.records, plan);
    if rows.is_empty() {
        bail!(
            "{}: nothing was scored: of {} interactions the first {} are only learned, and the others are revisions; take a \
             longer log, or a smaller --warmup",
            options.log.display(),
            count(log.interactions as u64),
            count(plan.warmup as u64),
        );
    }
    let stopwatch = Stopwatch::start();
    let mut counted = count_rates(&log.records, &steps, &rows);
    let baseline_cost = stopwatch.stop();

    let walking = Arc::new(Progress::default());
    walking.set_phase(Phase::Replay);
    walking.bytes_total.store(steps.len() as u64, Relaxed);
    let display = Display::start(&walking, options.quiet);
    let stopwatch = Stopwatch::start();
    let setting = Setting {
        log: options.log.display().to_string(),
        interactions: log.interactions,
        refused: log.refused,
        plan,
        seed: config.params.seed,
        workers: config.graph.workers,
    };
    let walked = walk(log.records, &steps, &rows, config, &walking, interrupt.flag());
    let cost = stopwatch.stop();
    display.finish();
    let walked = walked?;
    let mut predicted = walked.predictions;
    for predictions in [&mut predicted, &mut counted] {
        predictions.truncate(walked.scored);
    }
    rows.truncate(walked.scored);
    if rows.is_empty() {
        bail!("interrupted before anything was scored; nothing was measured");
    }
    let facts = super::report::Facts {
        learned: walked.learned,
        epochs: walked.epochs,
        interrupted: walked.scored < counted.len() || walked.interrupted,
        cost,
        baseline_cost,
    };
    let report = Report::of(setting, facts, &rows, [&predicted, &counted]);
    if let Some(path) = &options.plot {
        chart_to(path, &report.chart())?;
    }
    Ok(report)
}

/// What a walk came to.
struct Walked {
    predictions: Vec<Heads>,
    /// Rows that were scored: those before this one.
    scored: usize,
    /// Interactions learned.
    learned: usize,
    epochs: u64,
    interrupted: bool,
}

/// Takes the log through the graph.
fn walk(
    records: Vec<(Origin, Box<Event>)>,
    steps: &[Step],
    rows: &[Shown],
    config: &Config,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Walked> {
    let mut records: Vec<Option<(Origin, Box<Event>)>> = records.into_iter().map(Some).collect();
    let mut probes = Probes::start(config, rows.len())?;
    let (mut learned, mut scored, mut interrupted) = (0, 0, false);
    for (done, step) in steps.iter().enumerate() {
        if stop.load(Relaxed) {
            interrupted = true;
            break;
        }
        match step {
            Step::Learn { record, at, .. } => {
                let (origin, event) = records[*record].take().expect("a schedule learns each record once");
                learned += usize::from(matches!(*event, Event::Interaction(_)));
                probes.learn(*at, origin, *event)?;
                progress.events.fetch_add(1, Relaxed);
                progress.set_now(*at);
            }
            Step::Score { at, rows: range } => {
                let asked = range.clone().map(|place| Row {
                    place,
                    user: rows[place].user,
                    video: rows[place].video,
                });
                probes.score(*at, asked)?;
                scored = range.end;
            }
        }
        progress.bytes_read.store(done as u64 + 1, Relaxed);
        progress.last_epoch.store(probes.epochs(), Relaxed);
    }
    probes.close()?;
    let epochs = probes.epochs();
    Ok(Walked { predictions: probes.finish()?, scored, learned, epochs, interrupted })
}

/// The predictions of counting alone, by row.
fn count_rates(records: &[(Origin, Box<Event>)], steps: &[Step], rows: &[Shown]) -> Vec<Heads> {
    let mut rates = ItemRates::default();
    let mut predictions = Vec::with_capacity(rows.len());
    for step in steps {
        match step {
            Step::Learn { record, first, .. } => {
                let event = &*records[*record].1;
                if *first || !matches!(event, Event::Interaction(_)) {
                    rates.learn(event);
                }
            }
            Step::Score { rows: range, .. } => {
                predictions.extend(rows[range.clone()].iter().map(|row| rates.heads(row.video)));
            }
        }
    }
    predictions
}
