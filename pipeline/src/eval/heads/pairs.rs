//! Learn a log, then predict labelled pairs that it does not hold: unbiased exposure, where the file is of videos that were
//! shown at random.
//!
//! Nothing is learned from the pairs, and all are predicted at the moment after the log's end. The file says of a pair yes or
//! no and not why, so each head is tried as a score of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_learning::off_policy::{self, Decision, Value};
use freshet_operators::probe::Heads;
use freshet_schema::{Event, UserId, VideoId};
use freshet_sources::import::pairs::{self, Pair};
use rustc_hash::FxHashSet;

use super::binary::Case;
use super::by_user;
use super::figures::{self, Compared};
use super::item_rate::ItemRates;
use super::probes::{Probes, Row};
use crate::config::Config;
use crate::eval::cost::{Cost, Stopwatch};
use crate::eval::records::Log;
use crate::eval::{Options, read_log};
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::Display;

/// Pairs that are asked about in one epoch.
const ASKED_AT_ONCE: usize = 1_024;

/// What is tested on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The file.
    pub file: PathBuf,
    /// Its column with what came of a pair.
    pub label: String,
}

/// All figures of a measurement.
pub struct Pairs {
    /// The log, as it was given.
    pub train: String,
    /// The file, as it was given.
    pub test: String,
    /// The column.
    pub label: String,
    /// Interactions learned.
    pub learned: usize,
    /// Epochs closed.
    pub epochs: u64,
    /// Pairs.
    pub pairs: usize,
    /// Users among them.
    pub users: usize,
    /// Pairs whose user the log does not know.
    pub new_users: usize,
    /// Pairs whose video has no interaction and no upload in the log.
    pub new_videos: usize,
    /// The pairs have propensities.
    pub weighted: bool,
    /// By score.
    pub scores: Vec<Scored>,
    /// Seed of the graph and of the resampling.
    pub seed: u64,
    /// Worker threads.
    pub workers: usize,
    /// What learning and scoring took, without reading the log.
    pub cost: Cost,
}

/// The figures of a score.
pub struct Scored {
    /// Its name.
    pub name: &'static str,
    /// The graph's and, where counting has it too, counting's.
    pub compared: Compared,
    /// By model, what the policy that shows each user's top choice would have earned; `None` without propensities.
    pub values: Vec<Option<Value>>,
}

/// A score: its name, how it is made of a prediction so that more is better, and whether counting has it.
struct Score {
    name: &'static str,
    of: fn(&Heads) -> f32,
    counted: bool,
}

const SCORES: [Score; 9] = [
    Score { name: "choice", of: |heads| heads.choice, counted: true },
    Score { name: "watch", of: |heads| heads.watch, counted: false },
    Score { name: "complete", of: |heads| heads.completion, counted: true },
    Score { name: "rewatch", of: |heads| heads.rewatch, counted: false },
    Score { name: "continuation", of: |heads| heads.continuation, counted: false },
    Score { name: "1 - skip", of: |heads| 1.0 - heads.skip, counted: false },
    Score { name: "like", of: |heads| heads.like, counted: true },
    Score { name: "long_view", of: |heads| heads.long_view, counted: true },
    Score { name: "watch_ms", of: |heads| heads.watch_ms, counted: true },
];

/// Measures predictions on pairs that the log does not hold.
///
/// # Errors
/// Where the log or the file cannot be read or used, where the graph fails, where it is interrupted.
pub fn pairs(options: &Options, test: &Test, config: &Config) -> anyhow::Result<Pairs> {
    let pairs = pairs::read(&test.file, &test.label)?;
    let interrupt = Interrupt::listen()?;
    let log = read_log(options, config, &interrupt)?;
    let counted = Counted::of(&log);
    let progress = Arc::new(Progress::default());
    progress.set_phase(Phase::Replay);
    progress.bytes_total.store((log.records.len() + pairs.len()) as u64, Relaxed);
    let display = Display::start(&progress, options.quiet);
    let stopwatch = Stopwatch::start();
    let walked = walk(log, &pairs, config, &progress, &interrupt);
    let cost = stopwatch.stop();
    display.finish();
    let (learned, epochs, predicted) = walked?;
    let baseline: Vec<Heads> = pairs.iter().map(|pair| counted.rates.heads(VideoId(pair.item))).collect();
    let seed = config.params.seed;
    let name = |path: &Path| path.display().to_string();
    let (users, scores) = compare(&pairs, &predicted, &baseline, seed);
    Ok(Pairs {
        train: name(&options.log),
        test: name(&test.file),
        label: test.label.clone(),
        learned,
        epochs,
        pairs: pairs.len(),
        users,
        new_users: pairs.iter().filter(|pair| !counted.users.contains(&UserId(pair.user))).count(),
        new_videos: pairs.iter().filter(|pair| !counted.videos.contains(&VideoId(pair.item))).count(),
        weighted: pairs.iter().all(|pair| pair.propensity.is_some()),
        scores,
        seed,
        workers: config.graph.workers,
        cost,
    })
}

/// Learns the log and asks: interactions learned, epochs closed, the predictions in the order of the pairs.
fn walk(
    log: Log,
    pairs: &[Pair],
    config: &Config,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<(usize, u64, Vec<Heads>)> {
    let mut probes = Probes::start(config, pairs.len())?;
    let learned = log.interactions;
    let stopped = || interrupt.flag().load(Relaxed);
    for (origin, event) in log.records {
        let at = event.event_time();
        probes.learn(at, origin, *event)?;
        progress.set_now(at);
        progress.events.fetch_add(1, Relaxed);
        progress.bytes_read.fetch_add(1, Relaxed);
        progress.last_epoch.store(probes.epochs(), Relaxed);
        if stopped() {
            break;
        }
    }
    probes.close()?;
    let now = probes.now();
    for (at, some) in pairs.chunks(ASKED_AT_ONCE).enumerate() {
        if stopped() {
            bail!("interrupted before all pairs were predicted; nothing was measured");
        }
        let rows = some.iter().zip(at * ASKED_AT_ONCE..).map(|(pair, place)| Row {
            place,
            user: UserId(pair.user),
            video: VideoId(pair.item),
        });
        probes.score(now, rows)?;
        progress.bytes_read.fetch_add(some.len() as u64, Relaxed);
    }
    let epochs = probes.epochs();
    Ok((learned, epochs, probes.finish()?))
}

/// What counting alone knows of a log.
#[derive(Default)]
struct Counted {
    rates: ItemRates,
    users: FxHashSet<UserId>,
    videos: FxHashSet<VideoId>,
}

impl Counted {
    fn of(log: &Log) -> Self {
        let mut counted = Self::default();
        let mut known = FxHashSet::default();
        for (_, event) in &log.records {
            match &**event {
                Event::Interaction(view) => {
                    if known.insert((view.user_id, view.event_id)) {
                        counted.rates.learn(event);
                    }
                    counted.users.insert(view.user_id);
                    counted.videos.insert(view.video_id);
                }
                Event::Upload(upload) => {
                    counted.rates.learn(event);
                    counted.videos.insert(upload.video_id);
                }
                Event::User(_) | Event::Follow(_) | Event::Delete(_) | Event::Served(_) => {}
            }
        }
        counted
    }
}

/// The number of users, and the figures of all scores.
fn compare(pairs: &[Pair], predicted: &[Heads], baseline: &[Heads], seed: u64) -> (usize, Vec<Scored>) {
    let mut numbers: BTreeMap<u64, u32> = pairs.iter().map(|pair| (pair.user, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, n)| *number = n);
    let truth: Vec<(u32, bool)> = pairs.iter().map(|pair| (numbers[&pair.user], pair.label)).collect();
    let scores = SCORES.iter().map(|score| {
        let mut models: Vec<Vec<f32>> = vec![predicted.iter().map(score.of).collect()];
        if score.counted {
            models.push(baseline.iter().map(score.of).collect());
        }
        let values =
            models.iter().map(|scores| off_policy::value(&decisions(pairs, &truth, scores)?)).collect();
        Scored { name: score.name, compared: figures::compare(&truth, &models, numbers.len(), seed), values }
    });
    (numbers.len(), scores.collect())
}

/// Each pair as a decision that the policy "show the user's top choice" takes or not. `None` without propensities.
fn decisions(pairs: &[Pair], truth: &[(u32, bool)], scores: &[f32]) -> Option<Vec<Decision>> {
    let case =
        |((user, label), score): (&(u32, bool), &f32)| Case { user: *user, score: *score, label: *label };
    let cases: Vec<Case> = truth.iter().zip(scores).map(case).collect();
    let chosen = by_user::chosen(&cases);
    pairs
        .iter()
        .zip(chosen)
        .map(|(pair, chosen)| {
            let reward = if pair.label { 1.0 } else { 0.0 };
            Some(Decision { reward, propensity: pair.propensity?, chosen, ..Decision::default() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::heads::figures::Measure;

    fn pair(user: u64, item: u64, label: bool, propensity: Option<f64>) -> Pair {
        Pair { user, item, label, propensity }
    }

    fn like(like: f32) -> Heads {
        Heads { like, ..Heads::default() }
    }

    #[test]
    fn each_head_is_a_score_of_its_own() {
        let pairs = [
            pair(9, 1, true, None),
            pair(9, 2, false, None),
            pair(4, 1, false, None),
            pair(4, 3, true, None),
        ];
        let predicted = [like(0.9), like(0.2), like(0.3), like(0.4)];
        let (users, scores) = compare(&pairs, &predicted, &[Heads::default(); 4], 1);
        assert_eq!((users, scores.len()), (2, 9));
        let of = |name: &str| scores.iter().find(|scored| scored.name == name).expect("a score");
        let value = |name: &str, model: usize, measure: Measure| {
            of(name).compared.models[model].values[measure as usize].map(|e| e.value)
        };
        assert_eq!(value("like", 0, Measure::Gauc), Some(1.0));
        assert_eq!(value("like", 0, Measure::TopChoice), Some(1.0));
        assert_eq!(value("like", 1, Measure::TopChoice), Some(0.5), "a constant takes either");
        assert_eq!(value("watch", 0, Measure::Auc), Some(0.5));
        assert_eq!(of("watch").compared.models.len(), 1, "counting does not have it");
        assert!(of("like").values.iter().all(Option::is_none), "no propensities");
    }

    #[test]
    fn with_propensities_the_top_choice_has_a_value() {
        let pairs = [
            pair(9, 1, true, Some(0.5)),
            pair(9, 2, false, Some(0.5)),
            pair(4, 1, false, Some(0.1)),
            pair(4, 3, true, Some(0.9)),
        ];
        let predicted = [like(0.9), like(0.2), like(0.5), like(0.4)];
        let (_, scores) = compare(&pairs, &predicted, &predicted, 1);
        let found =
            scores.iter().find(|scored| scored.name == "like").and_then(|s| s.values[0]).expect("a value");
        // Taken are the first (reward 1, weight 2) and the third (reward 0, weight 10).
        assert!((found.snips - 2.0 / 12.0).abs() < 1e-9 && (found.replay - 0.5).abs() < 1e-9, "{found:?}");
        assert!((found.effective - 144.0 / 104.0).abs() < 1e-9);
    }
}
