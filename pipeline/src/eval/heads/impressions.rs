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
        pages: log.records.iter().filter(|(_, event)| matches!(**event, Event::Served(_))).count(),
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
        interrupted: walked.interrupted,
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

#[cfg(test)]
mod tests {
    use super::super::binary::{Case, Ordered};
    use super::super::by_user;
    use super::super::labels::Head;
    use super::super::watch::{self, PAIRS, Watched};
    use super::*;
    use crate::eval::records;
    use freshet_sources::import::{DataSet, import};
    use std::path::{Path, PathBuf};

    const FILE: &str = "shortvideo_tsinghua_0916_0920.parquet";

    /// The public file, beside the repository.
    fn file() -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
        Some(root.join("../shared/data").join(FILE)).filter(|path| path.exists())
    }

    /// `../shared/QUALITY.md`, protocol A, has the figures of the smoothed item rate on this file; labels, order, warm-up and
    /// measures must come to the same.
    #[test]
    fn counting_reaches_on_the_public_file_what_is_published() {
        let Some(file) = file() else {
            eprintln!(
                "SKIPPED: ../shared/data/{FILE} is not there; nothing was compared with the published figures"
            );
            return;
        };
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        import(DataSet::ShortVideo, &[file], &log, Default::default()).expect("the file is imported");
        let config = Config::load(None, &[]).expect("the defaults hold");
        let log = records::read(&log, &config.clock, None, &Progress::default(), &AtomicBool::new(false))
            .expect("a log");
        assert_eq!(log.interactions, 19_358);
        let plan = Plan { warmup: 1_936, ..Plan::default() };
        let Schedule { steps, rows } = schedule(&log.records, plan);
        assert_eq!(rows.len(), 19_358 - 1_936);
        let predicted = count_rates(&log.records, &steps, &rows);

        let users = 1 + rows.iter().map(|row| row.user.0).max().expect("rows") as usize;
        let cases = |head: Head| -> Vec<Case> {
            let case = |(row, heads): (&Shown, &Heads)| {
                let (user, label) = (row.user.0 as u32, head.label(&row.labels)?);
                Some(Case { user, score: head.predicted(heads), label })
            };
            rows.iter().zip(&predicted).filter_map(case).collect()
        };
        let weights = vec![1; users];
        for (head, auc, gauc) in [(Head::LongView, 0.582, 0.579), (Head::Complete, 0.765, 0.765)] {
            let cases = cases(head);
            let found = by_user::mean(&by_user::aucs(&cases), &weights).expect("both classes");
            let over_all = Ordered::new(cases).auc(&weights).expect("both classes");
            println!("{}: AUC {over_all:.4}, GAUC {found:.4}", head.as_str());
            assert!((over_all - auc).abs() < 0.002, "{}: AUC {over_all}", head.as_str());
            assert!((found - gauc).abs() < 0.002, "{}: GAUC {found}", head.as_str());
        }
        let watched: Vec<Watched> = rows
            .iter()
            .zip(&predicted)
            .filter_map(|(row, heads)| {
                Some(Watched {
                    user: row.user.0 as u32,
                    predicted: heads.watch_ms,
                    actual: row.labels.watch_ms?,
                })
            })
            .collect();
        let xauc = watch::xauc(&watched, PAIRS, 1).expect("watch times differ");
        let mae = watched.iter().map(watch::error_seconds).sum::<f64>() / watched.len() as f64;
        println!("watch time: MAE {mae:.2} s, XAUC {xauc:.4}");
        assert!((xauc - 0.649).abs() < 0.003, "XAUC {xauc}");
        assert!((mae - 48.5).abs() < 0.5, "MAE {mae} s");
    }
}
