//! What a measurement of predictions says: the figures, by slice and head. [`super::show`] prints them.

use std::collections::BTreeSet;

use freshet_operators::probe::Heads;
use rustc_hash::FxHashMap;

use super::MODELS;
use super::by_user;
use super::figures::{self, Compared};
use super::labels::Head;
use super::over_time::{self, Bin};
use super::resample;
use super::schedule::{Plan, Shown};
use super::watch::{self, PAIRS, Watched};
use crate::eval::bootstrap::{Estimate, RESAMPLES};
use crate::eval::cost::Cost;
use crate::eval::plot::Chart;

/// The slices.
pub const SLICES: [&str; 3] = ["all", "cold_item", "cold_user"];
/// Their names for people.
pub const SLICE_NAMES: [&str; 3] = ["all", "cold item", "cold user"];

/// What was read, and how it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The log's folder, as it was given.
    pub log: String,
    /// Interactions of the log, to the limit.
    pub interactions: usize,
    /// Records that were refused.
    pub refused: u64,
    /// Pages of the log as they were served: without any, nothing that the heads learn is debiased.
    pub pages: usize,
    /// What was scored when.
    pub plan: Plan,
    /// Seed of the graph, of the pairs and of the resampling.
    pub seed: u64,
    /// Worker threads.
    pub workers: usize,
}

/// How the walk went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Interactions learned.
    pub learned: usize,
    /// Epochs closed.
    pub epochs: u64,
    /// Stopped before the log's end.
    pub interrupted: bool,
    /// What learning and scoring took, without reading the log.
    pub cost: Cost,
    /// The same of counting alone.
    pub baseline_cost: Cost,
}

/// All figures of a measurement.
pub struct Report {
    /// What was read, and how it was measured.
    pub setting: Setting,
    /// How it went.
    pub facts: Facts,
    /// Impressions scored.
    pub scored: usize,
    /// Users who had one.
    pub users: usize,
    /// By slice.
    pub slices: Vec<Slice>,
    /// Width of a bin in milliseconds, and the bins.
    pub over_time: (u64, Vec<Bin>),
}

/// The figures of a slice.
pub struct Slice {
    /// Impressions.
    pub scored: usize,
    /// By head.
    pub heads: [Compared; Head::ALL.len()],
    /// Impressions with a watch time.
    pub watched: usize,
    /// By model.
    pub watch: [Watch; MODELS.len()],
}

/// The figures of predicted watch times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// Mean absolute error in seconds.
    pub mae: Option<Estimate>,
    /// See [`watch::xauc`]: over drawn pairs, without an interval.
    pub xauc: Option<f64>,
}

impl Report {
    /// Computes the figures of rows in the order of time and their predictions by model.
    #[must_use]
    pub fn of(setting: Setting, facts: Facts, rows: &[Shown], predicted: [&[Heads]; MODELS.len()]) -> Self {
        let ids: BTreeSet<u64> = rows.iter().map(|row| row.user.0).collect();
        let numbers: FxHashMap<u64, u32> = ids.into_iter().zip(0..).collect();
        let users: Vec<u32> = rows.iter().map(|row| numbers[&row.user.0]).collect();
        let is_in: [fn(&Shown) -> bool; SLICES.len()] = [|_| true, |row| row.cold_item, |row| row.cold_user];
        let slices = is_in.map(|is_in| {
            let own: Vec<usize> = (0..rows.len()).filter(|at| is_in(&rows[*at])).collect();
            Slice {
                scored: own.len(),
                heads: Head::ALL.map(|head| {
                    let known: Vec<(usize, bool)> =
                        own.iter().filter_map(|at| Some((*at, head.label(&rows[*at].labels)?))).collect();
                    let truth: Vec<(u32, bool)> =
                        known.iter().map(|(at, label)| (users[*at], *label)).collect();
                    let scores = predicted
                        .map(|heads| known.iter().map(|(at, _)| head.predicted(&heads[*at])).collect());
                    figures::compare(&truth, &scores, numbers.len(), setting.seed)
                }),
                watched: own.iter().filter(|at| rows[**at].labels.watch_ms.is_some()).count(),
                watch: predicted.map(|heads| {
                    let watched = own.iter().filter_map(|at| {
                        let actual = rows[*at].labels.watch_ms?;
                        Some(Watched { user: users[*at], predicted: heads[*at].watch_ms, actual })
                    });
                    Watch::of(&watched.collect::<Vec<_>>(), numbers.len(), setting.seed)
                }),
            }
        });
        Self {
            facts,
            scored: rows.len(),
            users: numbers.len(),
            slices: slices.into(),
            over_time: over_time::bins(rows, predicted),
            setting,
        }
    }

    /// The plot of AUC over event time.
    #[must_use]
    pub fn chart(&self) -> Chart {
        over_time::chart(&self.setting.log, self.over_time.0, &self.over_time.1)
    }
}

impl Watch {
    fn of(watched: &[Watched], users: usize, seed: u64) -> Self {
        let errors = by_user::means(watched, watch::error_seconds);
        let mean = |weights: &[u32]| vec![by_user::mean(&errors, weights)];
        Self {
            mae: resample::estimates(users, &mean, RESAMPLES, seed)[0],
            xauc: watch::xauc(watched, PAIRS, seed),
        }
    }
}
