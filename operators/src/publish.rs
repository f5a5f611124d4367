//! Published versions: values that everybody shares and that move slowly.
//!
//! The cohorts' baselines, the creators' scores and the skip thresholds are recomputed when the clock passes a multiple of
//! `publish_every`, as a pure function of the sums at that epoch, and told to every worker. Between publications they stand
//! still: otherwise one event would move a baseline and with it every score. They are made in one place; the inputs are
//! sums, so what comes here is small.

pub(crate) mod saved;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Semigroup};
use freshet_schema::hash::Slice;
use freshet_schema::store::{EVERYONE, Key};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::bandit::Arms;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::{Cohort, DURATION_CLASSES};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::experiments::{self, Tally};
use crate::look::{Kind, Record, Records, Wanted};
use crate::params::{Diversity, Learning, Params, Score};
use crate::pools::Change;
use crate::score::{self, Rates};
use crate::scorer::heads::Heads;
use crate::scorer::learn::{self, Hours};
use crate::spread::{Counts, Listing, Spread};
use crate::sums::Sums;
use crate::topics::{Place, Sum, TopicTable};
use crate::users::{INITIAL_SKIP_BELOW, SkipThresholds};

/// Heads of so many versions are kept for explanations.
const HEADS_KEPT: usize = 1000;

/// Fewest views of a duration class from which its skip threshold is read.
const ENOUGH_VIEWS: i64 = 100;

/// What the publisher hears: totals as they change, zero where nothing is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PublishIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A creator's total.
    Creator(u64, Sums),
    /// A cohort's total.
    Cohort(Cohort, Sums),
    /// A change in the sums of an experiment's arm.
    Trial(experiments::Term),
    /// Number of views of a duration class with a watched part in per cent.
    Watched((u8, u8), i64),
    /// Terms of the sums that the heads learn from, by hour.
    Learned(u64, Box<learn::Sums>),
    /// What changed in the lists of a worker's users, in an epoch of a publication.
    Listing(Listing),
    /// A worker's sum of a category's videos, in an epoch of a publication.
    Theme(Place, Sum),
    /// Weights of these versions are to be written again.
    Remake(Slice),
}

outputs! {
    /// What the publisher says.
    PublishOut as PublishStreams {
        /// A publication.
        published: Arc<Published>,
        /// Weights to write again.
        again: Arc<Heads>,
        /// The record of the experiments.
        experiments: Change,
        /// The record of how alike lists are.
        diversity: Change,
    }
}

/// One publication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Its number: the multiple of `publish_every` that the clock had reached.
    pub version: u64,
    /// Averages over everything.
    pub everyone: Rates,
    /// Averages by cohort.
    pub cohorts: BTreeMap<Cohort, Rates>,
    /// Scores, in millionths, of the creators whose sums changed since the last publication, or all where `everyone` moved.
    pub creators: BTreeMap<u64, u32>,
    /// Skip thresholds.
    pub skip_below: SkipThresholds,
    /// Directions of topics.
    pub topics: Arc<TopicTable>,
    /// Heads.
    pub heads: Arc<Heads>,
    /// Arms of exploration.
    pub arms: Arc<Arms>,
    /// How alike lists are; `None` where nobody looks.
    pub spread: Option<Arc<Spread>>,
    /// The version whose heads are not kept any longer.
    pub retired: Option<u64>,
}

/// See the module.
pub struct Publish {
    score: Score,
    learning: Learning,
    trained: TopicTable,
    hours: Hours,
    /// The heads that the store has.
    kept: VecDeque<Arc<Heads>>,
    publication: Boundary,
    creators: FxHashMap<u64, Sums>,
    cohorts: BTreeMap<Cohort, Sums>,
    watched: BTreeMap<(u8, u8), i64>,
    told: FxHashMap<u64, u32>,
    /// What was published last.
    last: Option<Arc<Published>>,
    tally: Tally,
    diversity: Diversity,
    seed: u64,
    listed: Counts,
    now: u64,
}

impl Publish {
    /// Nothing published yet.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            score: params.score.clone(),
            learning: params.learning.clone(),
            trained: params.interest.trained(),
            hours: Hours::default(),
            kept: VecDeque::new(),
            publication: Boundary::default(),
            creators: FxHashMap::default(),
            cohorts: BTreeMap::new(),
            watched: BTreeMap::new(),
            told: FxHashMap::default(),
            last: None,
            tally: Tally::new(params),
            diversity: params.diversity.clone(),
            seed: params.seed,
            listed: Counts::default(),
            now: 0,
        }
    }

    /// How alike lists were at the last publication.
    fn spread(&self) -> Option<&Spread> {
        self.last.as_ref()?.spread.as_deref()
    }

    fn publish(&mut self, version: u64, themes: &BTreeMap<Place, Sum>) -> Published {
        let mut total = Sums::default();
        for sums in self.cohorts.values() {
            total.plus_equals(sums);
        }
        let everyone = score::rates(&total).rounded();
        let mut creators: BTreeMap<u64, u32> = self
            .creators
            .iter()
            .map(|(creator, sums)| (*creator, score::creator(sums, &everyone, &self.score)))
            .filter(|(creator, score)| self.told.get(creator) != Some(score))
            .collect();
        let gone: FxHashSet<u64> =
            self.told.keys().filter(|c| !self.creators.contains_key(c)).copied().collect();
        creators.extend(gone.iter().map(|creator| (*creator, score::ONE)));
        self.told.extend(creators.iter().map(|(creator, score)| (*creator, *score)));
        self.told.retain(|creator, _| !gone.contains(creator));
        Published {
            version,
            everyone,
            cohorts: self
                .cohorts
                .iter()
                .map(|(cohort, sums)| (*cohort, score::rates(sums).rounded()))
                .collect(),
            creators,
            skip_below: skip_thresholds(&self.watched, self.score.skip_share),
            topics: Arc::new(self.trained.with(themes)),
            heads: Arc::new(self.hours.solve(version, self.now, &self.learning)),
            arms: Arc::new(self.hours.arms(version, self.now, &self.learning)),
            spread: (self.diversity.places > 0)
                .then(|| Arc::new(self.listed.publish(self.spread(), &self.diversity, self.seed))),
            retired: None,
        }
    }
}

/// Per duration class, the watched part (in per mille, a multiple of 10) under which `share` of the views lie.
#[must_use]
pub fn skip_thresholds(watched: &BTreeMap<(u8, u8), i64>, share: f64) -> SkipThresholds {
    let mut thresholds = INITIAL_SKIP_BELOW;
    for class in 0..DURATION_CLASSES as u8 {
        let bins = || watched.range((class, 0)..=(class, u8::MAX));
        let total: i64 = bins().map(|(_, count)| count).sum();
        if total < ENOUGH_VIEWS {
            continue;
        }
        let wanted = (total as f64 * share).round() as i64;
        let mut below = 0;
        for ((_, bin), count) in bins() {
            below += count;
            if below >= wanted {
                thresholds[class as usize] = (u64::from(*bin) + 1) * 10;
                break;
            }
        }
    }
    thresholds
}

impl Stage for Publish {
    type In = PublishIn;
    type Out = PublishOut;

    fn step(&mut self, epoch: u64, batch: Vec<PublishIn>, out: &mut PublishOut) {
        let mut slices = Vec::new();
        let mut themes: BTreeMap<Place, Sum> = BTreeMap::new();
        for message in batch {
            match message {
                PublishIn::Remake(slice) => slices.push(slice),
                PublishIn::Theme(place, sum) => themes.entry(place).or_default().plus(&sum),
                PublishIn::Clock(now) => self.now = self.now.max(now),
                PublishIn::Creator(creator, sums) if sums.is_zero() => drop(self.creators.remove(&creator)),
                PublishIn::Creator(creator, sums) => drop(self.creators.insert(creator, sums)),
                PublishIn::Cohort(cohort, sums) if sums.is_zero() => drop(self.cohorts.remove(&cohort)),
                PublishIn::Cohort(cohort, sums) => drop(self.cohorts.insert(cohort, sums)),
                PublishIn::Trial(term) => self.tally.add(&term),
                PublishIn::Listing(listing) => self.listed.plus(&listing),
                PublishIn::Learned(hour, sums) => self.hours.plus(hour, &sums),
                PublishIn::Watched(bin, 0) => drop(self.watched.remove(&bin)),
                PublishIn::Watched(bin, count) => drop(self.watched.insert(bin, count)),
            }
        }
        if let Some(version) = self.publication.pass(self.now, self.score.publish_every) {
            self.hours.age(self.now, &self.learning);
            let retired = if self.kept.len() < HEADS_KEPT { None } else { self.kept.pop_front() };
            let retired = retired.map(|heads| heads.version);
            let published = Published { retired, ..self.publish(version, &themes) };
            self.kept.push_back(Arc::clone(&published.heads));
            let published = Arc::new(published);
            let record = published.spread.as_ref().map(|spread| spread.record(version));
            if record.is_some() || self.spread().is_some() {
                out.diversity.push((Key::Diversity, record));
            }
            self.last = Some(Arc::clone(&published));
            out.published.push(published);
            out.experiments.extend(self.tally.publish(epoch, self.now));
        } else {
            out.experiments.extend(self.tally.again(&slices));
            if let Some(last) = self.last.as_ref().filter(|_| slices.iter().any(|s| s.holds_text(EVERYONE))) {
                let record = last.spread.as_ref().map(|spread| spread.record(last.version));
                out.diversity.extend(record.map(|record| (Key::Diversity, Some(record))));
            }
        }
        if !slices.is_empty() && !self.kept.is_empty() {
            // Version 0 is written beside every other; so both are said already where there is a new one.
            let said = out.published.last().map(|published| published.version);
            let zero = Arc::<Heads>::default();
            let others = self.kept.iter().filter(|heads| heads.version != 0).chain([&zero]);
            let again = others
                .filter(|heads| said.is_none_or(|said| heads.version != said && heads.version != 0))
                .filter(|heads| slices.iter().any(|slice| slice.holds(heads.version)));
            out.again.extend(again.map(Arc::clone));
        }
    }

    fn size(&self) -> StateSize {
        let entries = self.creators.len() + self.cohorts.len() + self.watched.len() + self.told.len();
        StateSize {
            entries: entries as u64,
            bytes: (entries * (size_of::<Sums>() + 16)
                + self.hours.bytes()
                + self.kept.len() * Heads::BYTES
                + self.listed.bytes()) as u64,
        }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, wanted: &Wanted) -> Records {
        if wanted.kind == Kind::Published {
            let last = self.last.clone();
            return Box::new(move |to| {
                if let Some(published) = &last {
                    to(Record::Published(published));
                }
            });
        }
        // The totals are those of the last publication: their terms come with it.
        let creator = |(creator, sums): (&u64, &Sums)| (*creator, *sums, self.told.get(creator).copied());
        let creators: Vec<(u64, Sums, Option<u32>)> = match &wanted.keys {
            None => self.creators.iter().map(creator).collect(),
            Some(keys) => {
                keys.iter().filter_map(|key| self.creators.get_key_value(key)).map(creator).collect()
            }
        };
        Box::new(move |to| {
            let _ = creators.iter().all(|(creator, sums, score)| to(Record::Creator(*creator, sums, *score)));
        })
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_cuts_off_the_fastest_fifth() {
        let mut watched = BTreeMap::new();
        for part in 0..100u8 {
            watched.insert((3, part), 10);
        }
        let thresholds = skip_thresholds(&watched, 0.2);
        assert_eq!(thresholds[3], 200);
        assert_eq!(thresholds[2], INITIAL_SKIP_BELOW[2]);
    }
}
