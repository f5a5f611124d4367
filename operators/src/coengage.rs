//! Co-engagement: which videos the same people cared for, one after another.
//!
//! Of each user's positive rows, in order of (event time, event id), every two that are at most `window` places apart are a pair.
//! A pair counts at the time of its later row, with forward decay ([`crate::popularity`]): in both directions as watched
//! *with* each other, and neighbours also as watched *next*. A row that comes late, changes or goes moves the places of its
//! neighbours; [`changes`] says exactly which terms come and go with it, so the sums are a function of the surviving rows.
//!
//! The sums lie with the second video, beside everything else that is known of a candidate, in a pool for each first one
//! ([`CoEngagement`]): a request that names the videos a user cared for last is answered like any other.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::params::CoEngaging;
use crate::popularity::{STEP, add_term, contribution, first_kept, log_sum};
use crate::row::Row;

/// Weight of a pair, in the unit of popularity: a full watch.
const PAIR: u64 = 1000;

/// How two videos are a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Relation {
    /// The second was the next positive after the first.
    Next,
    /// Both were within the window, in either order.
    With,
}

/// Terms of the sums of a pair of videos in a landmark period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair {
    /// The first video.
    pub seed: u64,
    /// The second, whose worker keeps the sum.
    pub video: u64,
    /// The landmark period of the decay.
    pub period: u32,
    /// To [`Relation::Next`] and [`Relation::With`].
    pub amounts: [i64; 2],
}

/// Whether a row makes pairs.
#[must_use]
pub fn positive(row: &Row, params: &CoEngaging) -> bool {
    f64::from(row.weight) >= params.min_weight * 1000.0
}

/// The terms that come (`sign` 1) or go (-1) with the positive `row`, which stands between the positive rows `before` it and
/// `after` it, the nearest first, up to `window` of each.
pub fn changes(
    before: &[&Row],
    row: &Row,
    after: &[&Row],
    sign: i64,
    params: &CoEngaging,
    out: &mut Vec<Pair>,
) {
    let window = params.window;
    let mut pair = |first: &Row, second: &Row, next: i64, with: i64| {
        let (a, b) = (first.content.video, second.content.video);
        if a == b || (next, with) == (0, 0) {
            return;
        }
        let (period, amount) = contribution(PAIR, second.time, params.half_life);
        out.push(Pair { seed: a, video: b, period, amounts: [amount * next * sign, amount * with * sign] });
        if with != 0 {
            out.push(Pair { seed: b, video: a, period, amounts: [0, amount * with * sign] });
        }
    };
    for (n, first) in before.iter().take(window).enumerate() {
        pair(first, row, i64::from(n == 0), 1);
    }
    for (n, second) in after.iter().take(window).enumerate() {
        pair(row, second, i64::from(n == 0), 1);
    }
    // Those on both sides are one place further apart with the row between them.
    for (i, first) in before.iter().enumerate() {
        for (j, second) in after.iter().enumerate().take_while(|(j, _)| i + j < window) {
            let distance = i + j + 1;
            pair(first, second, -i64::from(distance == 1), -i64::from(distance == window));
        }
    }
}

/// Decayed sums of one pair by landmark period.
type Periods = Vec<(u32, [i64; 2])>;

/// One worker's pairs, by the first video in the order of their sums. The second video is one of the worker's, known by its
/// slot.
#[derive(Default)]
pub struct CoEngagement {
    sums: FxHashMap<(u64, u32), Periods>,
    pools: FxHashMap<(u64, Relation), Order>,
    /// By the first video, the sums of [`Relation::Next`] over all second ones.
    followed: FxHashMap<u64, Vec<(u32, i64)>>,
    /// Terms of earlier periods are not kept.
    oldest: u32,
}

fn ranks(periods: &Periods) -> [Option<i64>; 2] {
    [0, 1].map(|n| {
        let log = log_sum(periods.iter().map(|(period, sums)| (*period, sums[n])));
        log.map(|log| log.div_euclid(STEP))
    })
}

impl CoEngagement {
    /// Lets go of the periods that are long over; `video` gives the number of the video in a slot.
    pub fn age(&mut self, now: u64, half_life: u64, video: impl Fn(u32) -> u64) {
        let oldest = first_kept(now, half_life);
        if oldest <= self.oldest {
            return;
        }
        self.oldest = oldest;
        let pools = &mut self.pools;
        self.sums.retain(|(seed, slot), periods| {
            let old = ranks(periods);
            periods.retain(|(period, _)| *period >= oldest);
            note(pools, *seed, (*slot, video(*slot)), old, ranks(periods));
            !periods.is_empty()
        });
        self.followed.retain(|_, periods| {
            periods.retain(|(period, _)| *period >= oldest);
            !periods.is_empty()
        });
        self.pools.retain(|_, pool| {
            pool.settle();
            !pool.is_empty()
        });
    }

    /// Takes a term in; `slot` is the second video's.
    pub fn add(&mut self, pair: &Pair, slot: u32) {
        if pair.period < self.oldest {
            return;
        }
        if pair.amounts[0] != 0 {
            let followed = self.followed.entry(pair.seed).or_default();
            add_term(followed, pair.period, pair.amounts[0]);
            if followed.is_empty() {
                self.followed.remove(&pair.seed);
            }
        }
        let key = (pair.seed, slot);
        let periods = self.sums.entry(key).or_default();
        let old = ranks(periods);
        match periods.iter_mut().position(|(period, _)| *period == pair.period) {
            Some(at) => {
                let sums = &mut periods[at].1;
                *sums = [sums[0] + pair.amounts[0], sums[1] + pair.amounts[1]];
                if *sums == [0, 0] {
                    periods.swap_remove(at);
                }
            }
            None => periods.push((pair.period, pair.amounts)),
        }
        let new = ranks(periods);
        if periods.is_empty() {
            self.sums.remove(&key);
        }
        note(&mut self.pools, pair.seed, (slot, pair.video), old, new);
    }

    /// All sums as terms: added to nothing, they make this. `video` gives the number of the video in a slot.
    pub fn terms(&self, video: impl Fn(u32) -> u64) -> Vec<Pair> {
        self.terms_of(|_| true, video)
    }

    /// The terms of the first videos that `wanted` picks. Those of one pair follow one another.
    pub fn terms_of(&self, wanted: impl Fn(u64) -> bool, video: impl Fn(u32) -> u64) -> Vec<Pair> {
        let mut terms = Vec::new();
        for ((seed, slot), periods) in self.sums.iter().filter(|((seed, _), _)| wanted(*seed)) {
            let (seed, video) = (*seed, video(*slot));
            terms.extend(periods.iter().map(|(period, amounts)| Pair {
                seed,
                video,
                period: *period,
                amounts: *amounts,
            }));
        }
        terms
    }

    /// The pool of a first video.
    #[must_use]
    pub fn pool(&self, seed: u64, relation: Relation) -> Option<&Order> {
        self.pools.get(&(seed, relation))
    }

    /// The same, to settle it.
    pub fn pool_mut(&mut self, seed: u64, relation: Relation) -> Option<&mut Order> {
        self.pools.get_mut(&(seed, relation))
    }

    /// What was watched next after a video, over all videos kept here: decayed sums by landmark period.
    #[must_use]
    pub fn followed(&self, seed: u64) -> &[(u32, i64)] {
        self.followed.get(&seed).map_or(&[], Vec::as_slice)
    }

    /// The rank of the video in `slot` in the pool of a first video.
    #[must_use]
    pub fn rank(&self, seed: u64, slot: u32, relation: Relation) -> Option<i64> {
        ranks(self.sums.get(&(seed, slot))?)[relation as usize]
    }

    /// Pairs held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether no pair is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Bytes held, about: a sum with its period and key, and a place in a pool.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sums.len() * 150 + self.pools.len() * 96 + self.followed.len() * 64
    }
}

/// Moves a video within the pools of `seed` where its rank changed.
fn note(
    pools: &mut FxHashMap<(u64, Relation), Order>,
    seed: u64,
    (slot, video): (u32, u64),
    old: [Option<i64>; 2],
    new: [Option<i64>; 2],
) {
    for (n, relation) in [Relation::Next, Relation::With].into_iter().enumerate() {
        if old[n] != new[n] {
            pools.entry((seed, relation)).or_default().note(slot, video, old[n], new[n]);
        }
    }
}
