//! The heads: one linear estimate of the features for each objective, and what they make a candidate worth.
//!
//! `choice` estimates whether the user takes the video up when it is offered; the others what happens then. Their product is
//! what is expected of an offer (the decomposition of Ma et al. 2018, ESMM): in a feed that plays by itself nearly everything
//! offered is taken up and `choice` is flat; in a list of links it is most of the matter. The weights of the objectives are the
//! seed's: .4 watch + .2 completion + .15 rewatch + .15 continuation - .05 fast skip - .05 fatigue.

use serde::{Deserialize, Serialize};

use super::calibrate::{BINS, Curve, Expected};
use super::features::{FEATURES, Features, UNIT, at};
use crate::params::Ranking;

/// Number of heads that are estimated for every candidate.
pub const HEADS: usize = 8;

/// The heads, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Head {
    /// Taken up when offered.
    Choice,
    /// Watched part.
    Watch,
    /// Watched to the end.
    Completion,
    /// Played again.
    Rewatch,
    /// The session goes on after it.
    Continuation,
    /// Skipped fast.
    Skip,
    /// Liked.
    Like,
    /// Watched to the end or for 18 seconds.
    LongView,
}

/// Names, in order.
pub const HEAD_NAMES: [&str; HEADS] =
    ["choice", "watch", "completion", "rewatch", "continuation", "fast_skip", "like", "long_view"];

/// Published weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    /// The publication that they were solved at; 0 are the weights before any.
    pub version: u64,
    /// For each feature its weight in each head.
    pub weights: Box<[[f32; HEADS]; FEATURES]>,
    /// The same for the watched time in minutes.
    pub watch_time: Box<[f32; FEATURES]>,
    /// Sum of the decayed weights of the examples that each head has learned from.
    pub examples: [f32; HEADS],
    /// Share of the examples, weighted alike, whose place on a served page is known, in [0, 1]: what they say of the choice is
    /// debiased ([`crate::examples`]), what the others say is not.
    pub placed: f32,
    /// For each head, what was seen by what it said.
    pub curves: Box<[Curve; HEADS]>,
}

impl Heads {
    /// Bytes that one version takes, at most.
    pub const BYTES: usize = FEATURES * (HEADS + 1) * size_of::<f32>()
        + HEADS * BINS * size_of::<(f32, f32)>()
        + size_of::<Self>();
}

impl Default for Heads {
    fn default() -> Self {
        let mut weights = Box::new([[0.0; HEADS]; FEATURES]);
        for head in 0..HEADS {
            for (feature, weight) in prior(head).into_iter().enumerate() {
                weights[feature][head] = weight as f32;
            }
        }
        let watch_time = Box::new(watch_time_prior().map(|weight| weight as f32));
        Self { version: 0, weights, watch_time, examples: [0.0; HEADS], placed: 0.0, curves: Box::default() }
    }
}

/// The weights of a head before anything was learned, and towards which few examples are shrunk: chosen by hand, so that a new
/// service ranks by the plain signs (what is shared, followed, similar, well watched).
#[must_use]
pub fn prior(head: usize) -> [f64; FEATURES] {
    let mut weights = [0.0; FEATURES];
    let mut set = |pairs: &[(usize, f64)]| pairs.iter().for_each(|(at, weight)| weights[*at] = *weight);
    // Half of a rate is told by the video.
    let rates = |middle: f64, n: usize| [(at::ONE, middle), (at::VIDEO + n, 0.5)];
    match head {
        h if h == Head::Choice as usize => set(&[
            (at::ONE, 0.01),
            (at::SHARE, 0.03),
            (at::NEXT, 0.4),
            (at::TOGETHER, 0.02),
            (at::SIMILARITY, 0.01),
            (at::CATEGORY, 0.01),
            (at::CREATOR, 0.02),
            (at::HASHTAG, 0.03),
            (at::SOUND, 0.01),
            (at::FOLLOWED, 0.01),
            (at::FRESHNESS, 0.005),
            (at::QUALITY, 0.005),
            (at::CREATOR_SCORE, 0.005),
            (at::IN_GROUP, 0.03),
        ]),
        h if h == Head::Watch as usize => set(&rates(0.25, 0)),
        h if h == Head::Completion as usize => set(&rates(0.14, 1)),
        h if h == Head::Rewatch as usize => set(&[(at::ONE, 0.02), (at::VIDEO + 3, 0.5)]),
        h if h == Head::Continuation as usize => set(&[(at::ONE, 0.7)]),
        h if h == Head::Skip as usize => set(&rates(0.11, 2)),
        h if h == Head::Like as usize => set(&rates(0.015, 4)),
        _ => set(&rates(0.25, 0)),
    }
    weights
}

/// See [`prior`]: the watched time in minutes.
#[must_use]
pub fn watch_time_prior() -> [f64; FEATURES] {
    let mut weights = [0.0; FEATURES];
    weights[at::ONE] = 0.5;
    weights[at::SHORTNESS] = -0.4;
    weights
}

/// Below this a linear estimate of a choice bends so that it stays positive.
pub const FLOOR: f32 = 0.002;

/// The estimate as a chance: itself above a floor, below it a hyperbola that goes on with the same value and slope and never
/// reaches zero. So the order of linear estimates is kept, and a product with them has the sign of the other factor.
fn chance(estimate: f32) -> f32 {
    if estimate >= FLOOR { estimate.min(1.0) } else { FLOOR * FLOOR / (2.0 * FLOOR - estimate) }
}

impl Heads {
    /// The heads' estimates, by what was seen where they said the like: for choice a chance above zero, for the others within
    /// [0, 1].
    #[must_use]
    pub fn estimates(&self, x: &Features) -> [f32; HEADS] {
        let mut estimates = self.of(x.0.map(|x| f32::from(x) / UNIT as f32));
        for (estimate, curve) in estimates.iter_mut().zip(self.curves.iter()) {
            *estimate = curve.of(*estimate);
        }
        estimates
    }

    /// What the heads say of a row, for the counts that the next curves are drawn from.
    #[must_use]
    pub fn expected(&self, x: &Features) -> Expected {
        Expected::of(&self.of(x.0.map(|x| f32::from(x) / UNIT as f32)))
    }

    /// What the heads say of features that were not quantised, before the curves: what the light rank goes by.
    #[must_use]
    pub fn of(&self, x: [f32; FEATURES]) -> [f32; HEADS] {
        let mut sums = [0.0f32; HEADS];
        for (x, weights) in x.iter().zip(self.weights.iter()) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
        let choice = chance(sums[Head::Choice as usize]);
        let mut estimates = sums.map(|sum| sum.clamp(0.0, 1.0));
        estimates[Head::Choice as usize] = choice;
        estimates
    }

    /// The expected time watched in milliseconds, at least 0.
    #[must_use]
    pub fn watch_ms(&self, x: &Features) -> f32 {
        let minutes: f32 =
            x.0.iter().zip(self.watch_time.iter()).map(|(x, weight)| f32::from(*x) * weight).sum();
        (minutes / UNIT as f32 * 60_000.0).max(0.0)
    }
}

/// What an objective adds to a candidate's value, given that the candidate is taken up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The objective.
    pub name: &'static str,
    /// Its estimate.
    pub value: f32,
    /// Its weight.
    pub weight: f32,
}

/// The terms of R, in the order in which they are added.
#[must_use]
pub fn terms(estimates: &[f32; HEADS], fatigue: f32, ranking: &Ranking) -> [Term; 6] {
    let head = |head: Head, weight: f64| Term {
        name: HEAD_NAMES[head as usize],
        value: estimates[head as usize],
        weight: weight as f32,
    };
    [
        head(Head::Watch, ranking.watch),
        head(Head::Completion, ranking.completion),
        head(Head::Rewatch, ranking.rewatch),
        head(Head::Continuation, ranking.continuation),
        head(Head::Skip, -ranking.fast_skip),
        Term { name: "fatigue", value: fatigue, weight: -(ranking.fatigue as f32) },
    ]
}

/// What an offer of the candidate is worth: chance of the choice x R.
#[must_use]
pub fn value(estimates: &[f32; HEADS], fatigue: f32, ranking: &Ranking) -> f32 {
    let r: f32 = terms(estimates, fatigue, ranking).iter().map(|term| term.value * term.weight).sum();
    estimates[Head::Choice as usize] * r
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;

    #[test]
    fn the_order_of_estimates_is_that_of_chances() {
        let estimates = [-3.0, -0.1, -0.001, 0.0, 0.001, 0.001999, 0.002, 0.0021, 0.5, 1.0f32];
        for pair in estimates.windows(2) {
            assert!(0.0 < chance(pair[0]) && chance(pair[0]) < chance(pair[1]), "{pair:?}");
        }
        assert_eq!(chance(7.0), 1.0);
    }

    #[test]
    fn the_terms_add_up_to_the_value() {
        let ranking = Params::default().ranking;
        let estimates = [0.1, 0.5, 0.4, 0.2, 0.8, 0.3, 0.1, 0.6];
        let r = 0.4 * 0.5 + 0.2 * 0.4 + 0.15 * 0.2 + 0.15 * 0.8 - 0.05 * 0.3 - 0.05 * 0.5;
        assert!((value(&estimates, 0.5, &ranking) - 0.1 * r).abs() < 1e-6);
    }

    #[test]
    fn before_anything_is_learned_the_plain_signs_count() {
        let heads = Heads::default();
        let mut plain = Features([0; FEATURES]);
        plain.0[at::ONE] = UNIT as i16;
        let mut followed = plain;
        followed.0[at::FOLLOWED] = UNIT as i16;
        let mut watched = plain;
        watched.0[at::VIDEO] = UNIT as i16;
        let ranking = Params::default().ranking;
        let value = |x: &Features| super::value(&heads.estimates(x), 0.0, &ranking);
        assert!(value(&followed) > value(&plain) && value(&watched) > value(&plain));
    }
}
