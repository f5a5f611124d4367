//! What a measurement says: the figures, computed from the outcomes. [`super::show`] prints them.

use super::accuracy::{self, Row};
use super::cost::Cost;
use super::exposure;
use super::judge::Shown;
use super::outcome::{Mode, Outcome};
use super::timeline::{self, Bin};
use super::walk::Walked;
use super::{holdout, walk};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// Test, then train.
    Retrieval(walk::Plan),
    /// Leave-last-out.
    Holdout(holdout::Plan),
}

/// All figures of a measurement.
pub struct Report {
    /// What was read, and how it was measured.
    pub setting: Setting,
    /// Interactions learned, epochs closed, users, repeats: see [`Walked`].
    pub learned: usize,
    /// See `learned`.
    pub epochs: u64,
    /// See `learned`.
    pub users: usize,
    /// See `learned`.
    pub repeats: u64,
    /// Stopped before the log's end.
    pub interrupted: bool,
    /// Scored events.
    pub scored: usize,
    /// Scored events whose target had no earlier interaction or upload.
    pub never_seen: usize,
    /// Share of the scored events whose target was a candidate.
    pub candidate_recall: f64,
    /// Mean number of candidates of a list.
    pub candidates: f64,
    /// By slice.
    pub accuracy: Vec<Row>,
    /// Videos that had an interaction or an upload in the end.
    pub catalogue: usize,
    /// By mode.
    pub lists: [Lists; 2],
    /// Width of a bin in milliseconds, and the bins.
    pub over_time: (u64, Vec<Bin>),
    /// What learning and scoring took, without reading the log.
    pub cost: Cost,
}

/// What the first ten places of the lists are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lists {
    /// See [`exposure::coverage`].
    pub coverage: f64,
    /// See [`exposure::gini`].
    pub gini: f64,
    /// See [`exposure::normalised_entropy`].
    pub entropy: f64,
    /// Mean over the lists, in bits.
    pub novelty: Option<f64>,
    /// Mean over the lists that have a comparable pair.
    pub ild: Option<f64>,
    /// Share of the pairs whose content vectors can be compared.
    pub pairs_known: f64,
}

impl Lists {
    fn of(shown: &Shown, catalogue: usize) -> Self {
        let counts: Vec<u64> = shown.videos.values().copied().collect();
        let mean = |(sum, number): (f64, u64)| (number > 0).then(|| sum / number as f64);
        Self {
            coverage: exposure::coverage(&counts, catalogue),
            gini: exposure::gini(&counts, catalogue),
            entropy: exposure::normalised_entropy(&counts, catalogue),
            novelty: mean(shown.novelty),
            ild: mean(shown.diversity),
            pairs_known: share(shown.pairs.0, shown.pairs.1),
        }
    }
}

/// `part / whole`, 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What was read, and how it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The log's folder, as it was given.
    pub log: String,
    /// Interactions of the log, to the limit.
    pub interactions: usize,
    /// Records that were refused.
    pub refused: u64,
    /// Which interactions were scored, and when.
    pub plan: Plan,
    /// Seed of the graph and of the resampling.
    pub seed: u64,
    /// Places of a list.
    pub length: usize,
    /// Worker threads.
    pub workers: usize,
}

impl Report {
    /// Computes the figures.
    #[must_use]
    pub fn of(setting: Setting, walked: &Walked, cost: Cost) -> Self {
        let judge = &walked.judge;
        let outcomes = &judge.outcomes;
        let number = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
        let scored = outcomes.len() as u64;
        Self {
            learned: walked.learned,
            epochs: walked.epochs,
            users: walked.users,
            repeats: walked.repeats,
            interrupted: walked.interrupted,
            scored: outcomes.len(),
            never_seen: number(|outcome| !outcome.seen),
            candidate_recall: share(number(|o| o.ranks[Mode::Off as usize].is_some()) as u64, scored),
            candidates: share(outcomes.iter().map(|o| o.candidates as u64).sum(), scored),
            accuracy: accuracy::rows(outcomes, setting.length, setting.seed),
            catalogue: judge.catalogue(),
            lists: std::array::from_fn(|mode| Lists::of(&judge.shown[mode], judge.catalogue())),
            over_time: timeline::bins(outcomes),
            cost,
            setting,
        }
    }
}
