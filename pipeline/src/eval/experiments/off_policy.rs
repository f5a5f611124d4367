//! What an arm that draws from fewer candidates earns at its places of novelty, from the draws of the control.
//!
//! The control draws a place evenly from the best m candidates, and the list says which of them it was, counted from the best
//! (`FeedItem.drawn`). The arm would have drawn it evenly from the best few of the same: so its probability is known for each
//! place, 1 / few or 0, and so is the control's, 1 / m. Each place is a decision of its own, given the list before it. The reward
//! is whether the video was watched to its end. What else might have been drawn is not in the log, so the model of doubly robust
//! may know nothing of the video: it is the rate of the other half of the users, which expects the same of every policy and takes
//! the noise of the weights out. Users are resampled, not places.

use std::collections::BTreeMap;

use freshet_learning::off_policy::{Decision, Sums, Value};
use freshet_operators::params::Params;
use freshet_schema::feed::SlotPolicy;

use crate::eval::bootstrap::{self, Estimate, RESAMPLES};
use crate::eval::browse::Exposure;

/// The estimates, and the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimated {
    /// Drawn places of the control that were looked at.
    pub decisions: usize,
    /// Effective sample size.
    pub effective: f64,
    /// Whether it is enough for a claim.
    pub claimed: bool,
    /// What the control earned at these places.
    pub control: Estimate,
    /// What the arm earned at its own.
    pub arm: Estimate,
    /// Inverse propensity scoring, self-normalised, doubly robust.
    pub estimates: [(&'static str, Estimate); 3],
}

/// A drawn place that was looked at.
struct Place {
    reward: f64,
    propensity: f64,
    drawn: u32,
}

/// By user.
type Places = BTreeMap<u64, Vec<Place>>;

/// The estimates from what was looked at. Users of the first experiment's second arm are left out, whose lists are ordered by nothing;
/// the second experiment's arms draw, the control from more candidates than `few`.
pub fn estimate(
    params: &Params,
    exposures: &[Exposure],
    (planted, slots): (&str, &str),
    few: usize,
    seed: u64,
) -> Estimated {
    let number = |name: &str| params.experiments.iter().position(|of| of.name == name);
    let (planted, slots) = (number(planted), number(slots));
    let mut arms: [Places; 2] = Default::default();
    for exposure in exposures.iter().filter(|e| e.policy == SlotPolicy::Novelty && e.drawn > 0) {
        let user = exposure.user.0;
        let arm = |experiment: Option<usize>| params.experiments.get(experiment?)?.arm_of(params.seed, user);
        if arm(planted) == Some(1) {
            continue;
        }
        if let Some(places) = arm(slots).and_then(|arm| arms.get_mut(arm)) {
            places.entry(user).or_default().push(Place {
                reward: f64::from(u8::from(exposure.completed)),
                propensity: f64::from(exposure.propensity),
                drawn: exposure.drawn,
            });
        }
    }
    let [control, arm] = &arms;
    let sums = decided(control, few);
    let value = |users: &mut dyn Iterator<Item = usize>| -> Option<Value> {
        let mut all = Sums::default();
        users.for_each(|n| all.plus(&sums[n]));
        all.value()
    };
    let found = value(&mut (0..sums.len()));
    let mut drawn: [Vec<f64>; 3] = Default::default();
    for resample in 0..RESAMPLES as u64 {
        if let Some(value) = value(&mut bootstrap::draw(sums.len(), resample, seed)) {
            let values = [value.ips, value.snips, value.doubly_robust];
            drawn.iter_mut().zip(values).for_each(|(drawn, value)| drawn.push(value));
        }
    }
    let [ips, snips, doubly] = drawn;
    let of =
        |value: &dyn Fn(&Value) -> f64, drawn| bootstrap::estimate(found.as_ref().map_or(0.0, value), drawn);
    Estimated {
        decisions: control.values().map(Vec::len).sum(),
        effective: found.map_or(0.0, |found| found.effective),
        claimed: found.is_some_and(|found| found.is_enough()),
        control: mean(control, seed),
        arm: mean(arm, seed),
        estimates: [
            ("ips", of(&|v| v.ips, ips)),
            ("snips", of(&|v| v.snips, snips)),
            ("doubly_robust", of(&|v| v.doubly_robust, doubly)),
        ],
    }
}

/// The sums of each user's places.
fn decided(places: &Places, few: usize) -> Vec<Sums> {
    let half = |user: &u64| (freshet_schema::hash::mix(0x0dd, &[*user]) & 1) as usize;
    let rates =
        [0, 1].map(|of| rate(places.iter().filter(|(user, _)| half(user) == of).flat_map(|(_, own)| own)));
    let one = |(user, places): (&u64, &Vec<Place>)| {
        let rate = rates[1 - half(user)];
        let mut sums = Sums::default();
        for place in places {
            // Where fewer than `few` were there to be drawn from, the arm draws from all of them, too.
            let few = (few as f64).min((1.0 / place.propensity).round().max(1.0));
            sums.plus(&Sums::of(&Decision {
                reward: place.reward,
                propensity: place.propensity,
                chosen: if f64::from(place.drawn) <= few { 1.0 / few } else { 0.0 },
                modelled: rate,
                expected: rate,
            }));
        }
        sums
    };
    places.iter().map(one).collect()
}

/// The mean reward; 0 without places.
fn rate<'a>(places: impl Iterator<Item = &'a Place>) -> f64 {
    let (earned, shown) =
        places.fold((0.0, 0.0), |(earned, shown), place| (earned + place.reward, shown + 1.0));
    if shown > 0.0 { earned / shown } else { 0.0 }
}

fn mean(places: &Places, seed: u64) -> Estimate {
    let users: Vec<[f64; 2]> =
        places.values().map(|own| [own.iter().map(|place| place.reward).sum(), own.len() as f64]).collect();
    let of = |draws: &mut dyn Iterator<Item = usize>| {
        let [earned, shown] = draws.fold([0.0, 0.0], |sum, n| [sum[0] + users[n][0], sum[1] + users[n][1]]);
        if shown > 0.0 { earned / shown } else { 0.0 }
    };
    let resampled =
        (0..RESAMPLES as u64).map(|resample| of(&mut bootstrap::draw(users.len(), resample, seed)));
    bootstrap::estimate(of(&mut (0..users.len())), resampled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::hash;

    /// Places of ten candidates each, of which the n-th from the best is completed with a chance of 1 - n / 10; `of` draws.
    fn places(draw_from: u64, seed: u64) -> Places {
        let place = |user: u64, n: u64| {
            let drawn = 1 + hash::mix(seed, &[user, n]) % draw_from;
            let completed = hash::mix(seed, &[user, n, 1]) % 10 >= drawn;
            Place {
                reward: f64::from(u8::from(completed)),
                propensity: 1.0 / draw_from as f64,
                drawn: drawn as u32,
            }
        };
        (0..400).map(|user| (user, (0..20).map(|n| place(user, n)).collect())).collect()
    }

    #[test]
    fn the_best_few_are_found_in_draws_from_all() {
        let all = places(10, 1);
        let mut sums = Sums::default();
        decided(&all, 2).iter().for_each(|own| sums.plus(own));
        let found = sums.value().expect("a fifth of them");
        // Of the best two, 0.9 and 0.8 are completed; of all, 0.45.
        for value in [found.ips, found.snips, found.doubly_robust] {
            assert!((value - 0.85).abs() < 0.05, "{found:?}");
        }
        assert!(
            (mean(&all, 1).value - 0.45).abs() < 0.03 && (mean(&places(2, 2), 1).value - 0.85).abs() < 0.03
        );
        assert!((found.effective - 1_600.0).abs() < 200.0, "{found:?}");
        // Whoever draws from all has the log's own value.
        let mut own = Sums::default();
        decided(&all, 10).iter().for_each(|sums| own.plus(sums));
        assert!((own.value().expect("all").ips - mean(&all, 1).value).abs() < 1e-9);
    }
}
