//! What the heads learn from: each counted row with its features as of the moment before it, beside a few videos that the
//! user was offered at the time and passed over.
//!
//! The sums are whole numbers by hour of event time. A publication weighs the hours by their age and solves the heads; an hour
//! that has left the window is let go. A row that is withdrawn, or whose label changes late (whether the session went on is
//! known with the next row), takes its old example out and puts the new one in. Examples are kept beside the rows for as long
//! as their hour counts.
//!
//! With each example is kept what the heads of its day said of it: what was seen by what was said is counted beside the sums
//! ([`super::calibrate`]).
//!
//! Passed-over videos are drawn by seeded hash from the offered ones and weighed so that they stand for all of them. What was
//! offered is the page as it was served where that is known, and else the list as it was stored: then nothing corrects for how
//! far down the user looked, and reports say "not debiased" ([`Heads::placed`]).

use std::collections::BTreeMap;

use freshet_learning::ridge::{Moments, Ridge, Units};
use serde::{Deserialize, Serialize};

use super::calibrate::{Counts, Expected, Weighed};
use super::features::{FEATURES, Features, UNIT};
use super::heads::{HEADS, Head, Heads, prior, watch_time_prior};
use crate::bandit::{Arms, sums as bandit};
use crate::examples::Offer;
use crate::params::{HOUR, Learning};
use crate::row::Row;

/// Weight of an example in whole numbers.
pub const WEIGHT: i64 = 16;
/// A target of one.
const TARGET: f64 = 1000.0;

/// What a row says about the objectives; nothing where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Watched part in per mille.
    pub watched: Option<u16>,
    /// Watched to the end.
    pub completed: Option<bool>,
    /// Watched to the end or for 18 seconds.
    pub long_view: Option<bool>,
    /// Time watched in milliseconds.
    pub watch_ms: Option<u32>,
    /// Skipped fast.
    pub skipped: Option<bool>,
    /// Played again.
    pub rewatched: Option<bool>,
    /// Liked.
    pub liked: bool,
    /// The session went on.
    pub continued: bool,
}

/// A view of at least this long is a long one.
const LONG_VIEW_MS: u64 = 18_000;
/// Watched times are learned up to this.
const LONGEST_WATCH_MS: u32 = 300_000;

impl Labels {
    /// What `row` says; `continued` says whether another row of the user follows within the session.
    #[must_use]
    pub fn of(row: &Row, continued: bool) -> Self {
        let duration = Some(row.content.duration_ms).filter(|ms| *ms > 0);
        let completed = row.completed();
        let long_view = row.watch_ms().and_then(|watched| {
            let long = duration.map_or(LONG_VIEW_MS, |ms| ms.min(LONG_VIEW_MS));
            (u64::from(watched) >= LONG_VIEW_MS || duration.is_some()).then_some(u64::from(watched) >= long)
        });
        Self {
            watched: row.watched(),
            completed,
            long_view: long_view.or_else(|| completed.filter(|completed| *completed)),
            watch_ms: row.watch_ms(),
            skipped: row.skipped(),
            rewatched: row.rewatched(),
            liked: row.is(Row::LIKE),
            continued,
        }
    }
}

/// A row as the heads learn from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Event time of the row.
    pub time: u64,
    /// Event id of the row.
    pub id: u64,
    /// Its video's features.
    pub x: Features,
    /// What the heads of the day said of it.
    pub expected: Expected,
    /// Those of videos that were passed over.
    pub passed: Vec<Features>,
    /// What the arms see of it; `None` where there are none.
    pub tried: Option<Box<bandit::Tried>>,
    /// How its video had been offered.
    pub offer: Offer,
    /// Its labels.
    pub labels: Labels,
}

/// The problems that are solved: which targets are known together. The targets of each are heads or, as [`HEADS`], the time
/// watched.
const PROBLEMS: [&[usize]; 7] = [
    &[Head::Choice as usize],
    &[Head::Continuation as usize, Head::Like as usize],
    &[Head::Watch as usize, Head::Completion as usize],
    &[Head::LongView as usize],
    &[HEADS],
    &[Head::Skip as usize],
    &[Head::Rewatch as usize],
];

/// The sums of the examples of an hour; a problem that has none is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    problems: [Option<Box<Moments>>; PROBLEMS.len()],
    /// What was seen by what was said.
    counts: Counts,
    /// What the arms earned.
    arms: bandit::Sums,
    /// Examples whose place on a page is known.
    placed: i64,
    /// All.
    examples: i64,
}

impl Sums {
    fn problem(&mut self, problem: usize, x: &Features, y: &[i64], weight: i64) {
        let moments = self.problems[problem].get_or_insert_with(|| Box::new(Moments::new(FEATURES, y.len())));
        moments.add(&x.0, y, weight);
    }

    /// Adds (1) or takes back (-1) an example.
    pub fn add(&mut self, example: &Example, sign: i64) {
        let known = |is: bool| if is { TARGET as i64 } else { 0 };
        let (x, labels, offer) = (&example.x, &example.labels, &example.offer);
        self.counts.add(example.expected, labels, sign);
        if let Some(tried) = &example.tried {
            self.arms.add(tried, labels, offer, sign);
        }
        self.examples += sign;
        self.placed += if offer.placed { sign } else { 0 };
        if offer.chosen {
            // A page's places came about by the same draws: what is chosen among them is compared as it is.
            self.problem(0, x, &[known(true)], WEIGHT * sign);
            for passed in &example.passed {
                self.problem(0, passed, &[0], offer.stands_for * sign);
            }
        }
        let one = offer.weight * sign;
        self.problem(1, x, &[known(labels.continued), known(labels.liked)], one);
        if let (Some(watched), Some(completed)) = (labels.watched, labels.completed) {
            self.problem(2, x, &[i64::from(watched), known(completed)], one);
        }
        if let Some(long) = labels.long_view {
            self.problem(3, x, &[known(long)], one);
        }
        if let Some(ms) = labels.watch_ms {
            self.problem(4, x, &[i64::from(ms.min(LONGEST_WATCH_MS)) / 60], one);
        }
        if let Some(skipped) = labels.skipped {
            self.problem(5, x, &[known(skipped)], one);
        }
        if let Some(rewatched) = labels.rewatched {
            self.problem(6, x, &[known(rewatched)], one);
        }
    }

    /// Adds the sums of others.
    pub fn plus(&mut self, other: &Self) {
        self.counts.plus(&other.counts);
        self.arms.plus(&other.arms);
        self.placed += other.placed;
        self.examples += other.examples;
        for (sum, other) in self.problems.iter_mut().zip(&other.problems) {
            match (sum.as_mut(), other) {
                (Some(sum), Some(other)) => sum.plus(other),
                (None, Some(_)) => sum.clone_from(other),
                (_, None) => {}
            }
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.counts.bytes()
            + self.arms.bytes()
            + self.problems.iter().flatten().map(|moments| moments.bytes()).sum::<usize>()
    }
}

/// Sums by hour of event time: an index of the examples, kept by the users' workers until they are published and by the
/// publisher after that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hours(BTreeMap<u64, Sums>);

impl Hours {
    /// Adds or takes back an example.
    pub fn add(&mut self, example: &Example, sign: i64) {
        self.0.entry(example.time / HOUR).or_default().add(example, sign);
    }

    /// Adds the sums of an hour.
    pub fn plus(&mut self, hour: u64, sums: &Sums) {
        self.0.entry(hour).or_default().plus(sums);
    }

    /// Lets the hours before the window go.
    pub fn age(&mut self, now: u64, learning: &Learning) {
        self.0 = self.0.split_off(&(first(now, learning) / HOUR));
    }

    /// The sums of each hour.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Sums)> {
        self.0.iter().map(|(hour, sums)| (*hour, sums))
    }

    /// Takes all out.
    pub fn take(&mut self) -> impl Iterator<Item = (u64, Sums)> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.values().map(Sums::bytes).sum()
    }

    /// Number of hours.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Solves the heads as of `now`: each hour counts half as much a half-life later. A problem without examples keeps its
    /// prior.
    #[must_use]
    pub fn solve(&self, version: u64, now: u64, learning: &Learning) -> Heads {
        let mut heads = Heads { version, ..Heads::default() };
        let units = Units { x: UNIT, y: TARGET, weight: WEIGHT as f64 };
        for (problem, targets) in PROBLEMS.iter().enumerate() {
            let mut ridge = Ridge::new(FEATURES, targets.len());
            for (hour, sums) in &self.0 {
                let Some(moments) = &sums.problems[problem] else { continue };
                ridge.add(moments, weight(*hour, now, learning), units);
            }
            if ridge.weight() <= 0.0 {
                continue;
            }
            let priors: Vec<[f64; FEATURES]> = targets
                .iter()
                .map(|head| if *head == HEADS { watch_time_prior() } else { prior(*head) })
                .collect();
            let priors: Vec<&[f64]> = priors.iter().map(|prior| &prior[..]).collect();
            let Some(solved) = ridge.solve(learning.shrinkage, &priors) else { continue };
            for (head, weights) in targets.iter().zip(solved) {
                for (feature, weight) in weights.into_iter().enumerate() {
                    match heads.weights[feature].get_mut(*head) {
                        Some(entry) => *entry = weight as f32,
                        None => heads.watch_time[feature] = weight as f32,
                    }
                }
                if let Some(examples) = heads.examples.get_mut(*head) {
                    *examples = ridge.weight() as f32;
                }
            }
        }
        let mut seen = Weighed::default();
        let (mut placed, mut examples) = (0.0, 0.0);
        for (hour, sums) in &self.0 {
            let weight = weight(*hour, now, learning);
            seen.add(&sums.counts, weight);
            placed += weight * sums.placed as f64;
            examples += weight * sums.examples as f64;
        }
        *heads.curves = seen.curves();
        heads.placed = if examples > 0.0 { (placed / examples) as f32 } else { 0.0 };
        heads
    }

    /// Solves the arms as of `now`, the hours weighed alike.
    #[must_use]
    pub fn arms(&self, version: u64, now: u64, learning: &Learning) -> Arms {
        let hours = self.0.iter().map(|(hour, sums)| (&sums.arms, weight(*hour, now, learning)));
        Arms::new(version, bandit::solve(hours))
    }
}

/// What an example of an hour counts as of `now`.
fn weight(hour: u64, now: u64, learning: &Learning) -> f64 {
    let age = now.saturating_sub((hour + 1) * HOUR) as f64 / learning.half_life as f64;
    freshet_schema::fixed::exp2(-age)
}

/// The time from which on examples count.
#[must_use]
pub fn first(now: u64, learning: &Learning) -> u64 {
    now.saturating_sub(learning.window) / HOUR * HOUR
}
