//! What the arms learn from: the rows that the heads learn from, each with the arm that its video had and the context that its
//! user had before it. Both are kept with the row: a video changes its category and its stage, and what a row has added is taken back where it was added.
//!
//! *Every labelled row counts*, not only those of places that the bandit drew. A disjoint model says what an arm earns in a
//! context; who chose to show it does not matter to that, and the ranked places say a hundred times as much as the drawn ones. So
//! each counts once: an inverse propensity would tell the matrix of examples that there were none of. What stood above on a page that is
//! known and was passed over earned nothing, and counts, too. Where the page is not known nobody can say what was met, and
//! only the rows count.
//!
//! *The reward*: 1 for a like, 0 for a fast skip, else the watched part. It is in [0, 1], known soon, and near to what lists are
//! ranked for; an estimate of the heads as the reward would learn from what was learned. Where a log has no word of watching (clicks),
//! to be taken up is all there is: 1.

use std::collections::BTreeMap;

use freshet_learning::linucb::Arm;
use freshet_learning::ridge::{Moments, Ridge, Units};
use serde::{Deserialize, Serialize};

use super::{CONTEXT, Context, UNIT};
use crate::examples::Offer;
use crate::scorer::learn::{Labels, WEIGHT};

/// A reward of one.
const ONE: i64 = 1000;

/// What the arms see of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The user's context before it.
    pub context: Context,
    /// The arm ([`super::arm`]) that the row's video had when the row came, then those of the videos passed over; 0 for none.
    pub arms: Vec<u64>,
}

/// What a row earned, in per mille.
#[must_use]
pub fn reward(labels: &Labels) -> i64 {
    match (labels.liked, labels.skipped, labels.watched, labels.completed) {
        (true, ..) => ONE,
        (_, Some(true), ..) => 0,
        (_, _, Some(watched), _) => i64::from(watched).min(ONE),
        (_, _, None, Some(completed)) => i64::from(completed) * ONE,
        (_, _, None, None) => ONE,
    }
}

/// The sums of the examples of an hour, by arm; an arm that has none is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums(BTreeMap<u64, Moments>);

impl Sums {
    /// Adds (1) or takes back (-1) a row.
    pub fn add(&mut self, tried: &Tried, labels: &Labels, offer: &Offer, sign: i64) {
        let Some((own, passed)) = tried.arms.split_first() else { return };
        self.one(*own, &tried.context, reward(labels), WEIGHT * sign);
        if offer.placed {
            for arm in passed {
                self.one(*arm, &tried.context, 0, offer.stands_for * sign);
            }
        }
    }

    fn one(&mut self, arm: u64, context: &Context, reward: i64, weight: i64) {
        if arm == 0 {
            return;
        }
        let sums = self.0.entry(arm).or_insert_with(|| Moments::new(CONTEXT, 1));
        sums.add(&context.0, &[reward], weight);
        if sums.is_zero() {
            self.0.remove(&arm);
        }
    }

    /// Adds the sums of others.
    pub fn plus(&mut self, other: &Self) {
        for (arm, moments) in &other.0 {
            let sums = self.0.entry(*arm).or_insert_with(|| Moments::new(CONTEXT, 1));
            sums.plus(moments);
            if sums.is_zero() {
                self.0.remove(arm);
            }
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.values().map(|moments| size_of::<u64>() + moments.bytes()).sum()
    }
}

/// Adds up hours and solves the arms. The hours come in their order, each with its weight.
#[must_use]
pub fn solve<'a>(hours: impl Iterator<Item = (&'a Sums, f64)>) -> Vec<(u64, Arm)> {
    let units = Units { x: UNIT, y: ONE as f64, weight: WEIGHT as f64 };
    let mut arms: BTreeMap<u64, Ridge> = BTreeMap::new();
    for (sums, weight) in hours {
        for (arm, moments) in &sums.0 {
            arms.entry(*arm).or_insert_with(|| Ridge::new(CONTEXT, 1)).add(moments, weight, units);
        }
    }
    arms.into_iter().filter_map(|(arm, sums)| Some((arm, Arm::of(&sums, CONTEXT)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(watched: Option<u16>, skipped: Option<bool>, liked: bool) -> Labels {
        Labels {
            watched,
            completed: None,
            long_view: None,
            watch_ms: None,
            skipped,
            rewatched: None,
            liked,
            continued: false,
        }
    }

    #[test]
    fn a_reward_is_what_was_made_of_it() {
        assert_eq!(reward(&labels(Some(400), Some(false), false)), 400);
        assert_eq!(reward(&labels(Some(2_500), Some(false), false)), 1000);
        assert_eq!(reward(&labels(Some(90), Some(true), false)), 0);
        assert_eq!(reward(&labels(Some(90), Some(true), true)), 1000);
        assert_eq!(reward(&labels(None, None, false)), 1000, "a click");
        assert_eq!(reward(&Labels { completed: Some(false), ..labels(None, None, false) }), 0);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let context = |n: i16| Context([64, n, -n, 3, 0, 7, n / 2, 1, -64]);
        let tried = |n: i16, arms: &[u64]| Tried { context: context(n), arms: arms.to_vec() };
        let placed = Offer { chosen: true, placed: true, weight: 64, stands_for: 24 };
        let known = labels(Some(500), None, false);
        let mut kept = Sums::default();
        kept.add(&tried(5, &[1, 2]), &known, &placed, 1);
        let mut all = kept.clone();
        all.add(&tried(9, &[3, 1, 0]), &known, &placed, 1);
        all.add(&tried(-4, &[2]), &labels(None, None, true), &Offer::default(), 1);
        assert_eq!(all.0.len(), 3, "none is no arm");
        all.add(&tried(-4, &[2]), &labels(None, None, true), &Offer::default(), -1);
        all.add(&tried(9, &[3, 1, 0]), &known, &placed, -1);
        assert_eq!(all, kept);
        let listed = Offer { placed: false, ..placed };
        let mut rows = Sums::default();
        rows.add(&tried(5, &[1, 2]), &known, &listed, 1);
        assert_eq!(rows.0.keys().collect::<Vec<_>>(), [&1], "what was met of a list nobody knows");
    }

    #[test]
    fn an_arm_learns_what_it_earns_in_a_context() {
        let at = |sign: i16| Context([64, 64 * sign, 0, 0, 0, 0, 0, 0, 0]);
        let mut sums = Sums::default();
        for n in 0..100 {
            let sign = if n % 2 == 0 { 1 } else { -1 };
            let tried = Tried { context: at(sign), arms: vec![7] };
            let watched = if sign == 1 { 900 } else { 100 };
            sums.add(&tried, &labels(Some(watched), None, false), &Offer::default(), 1);
        }
        let arms = solve([(&sums, 1.0)].into_iter());
        let (number, arm) = &arms[0];
        let estimate = |sign| arm.estimate(&at(sign).real());
        assert_eq!((arms.len(), *number, arm.examples()), (1, 7, 100.0));
        assert!((estimate(1) - 0.9).abs() < 0.02 && (estimate(-1) - 0.1).abs() < 0.02, "{arm:?}");
        // A day later it is less sure of itself.
        let older = solve([(&sums, 0.5)].into_iter());
        assert!(older[0].1.width(&at(1).real()) > arm.width(&at(1).real()));
    }
}
