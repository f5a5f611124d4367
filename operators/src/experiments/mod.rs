//! Controlled experiments: who is in which arm, whose lists differ by what, and what comes of it.
//!
//! An arm sets parameters that rank ([`settings`]) and nothing that keeps state, so experiments share one graph: the user side and
//! the lists look a user's parameters up ([`Params::of_user`]), and all else never hears of them. Who is in which arm is a
//! function of the seed, the experiment's salt and the user: nothing is stored, any worker says the same at any time, and
//! experiments with different salts are independent of each other.
//!
//! What users do is counted by the arm that they were assigned to, whether a list of theirs was made by it or not (intention to
//! treat): what they were shown depends on what they did before, and to look only at those who were shown something would
//! compare people who are not alike. [`numbers`] makes a user's numbers from their rows, [`draws`] what their drawn places earned,
//! [`sums`] adds them up over users, and [`tally`] writes them down at each publication. Without experiments none of it holds
//! anything.

pub mod draws;
pub mod numbers;
pub mod settings;
pub mod sums;
pub mod tally;

use std::borrow::Cow;
use std::sync::Arc;

use freshet_schema::hash;

pub use numbers::{METRICS, Metric, Numbers};
pub use settings::{SETTINGS, Setting, Value};
pub use sums::{ArmSums, Term};
pub use tally::Tally;

use crate::params::Params;

/// An experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What users are drawn by. Two experiments with one salt would draw the same users.
    pub salt: String,
    /// Share of all users that are in it, in (0, 1].
    pub share: f64,
    /// What users do from here on counts, in milliseconds since 1970 (event time).
    pub since: u64,
    /// Chance, in (0, 1), with which an interval may ever miss what it should hold.
    pub alpha: f64,
    /// There is no verdict before each arm has so many users.
    pub min_users: u64,
    /// At least two, at most [`MAX_ARMS`]; the first is the control.
    pub arms: Vec<Arm>,
}

/// An arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name, of the same letters.
    pub name: String,
    /// Share of the experiment's users, in (0, 1]; those of all arms add up to 1.
    pub share: f64,
    /// What its lists are made with instead of the configuration's.
    pub sets: Vec<(&'static Setting, Value)>,
}

/// Experiments at the most: each costs a hash a list.
pub const MAX_EXPERIMENTS: usize = 16;
/// Arms of an experiment at the most.
pub const MAX_ARMS: usize = 8;

/// Whether `hash`, which is evenly spread, lies in the lower `share` of all hashes.
fn below(hash: u64, share: f64) -> bool {
    // 2^64 itself is no u64: a share of 1 is everybody.
    share >= 1.0 || hash < (share * 2.0_f64.powi(64)) as u64
}

impl Experiment {
    /// The number of a user's arm; `None` for who is not in the experiment. Whether somebody is in it and where are separate
    /// draws: a larger share takes more users in and moves nobody.
    #[must_use]
    pub fn arm_of(&self, seed: u64, user: u64) -> Option<usize> {
        let salt = hash::text(&self.salt);
        if !below(hash::mix(seed, &[salt, user, 0]), self.share) {
            return None;
        }
        let draw = hash::mix(seed, &[salt, user, 1]);
        let mut share = 0.0;
        let last = self.arms.len().checked_sub(1)?;
        Some(
            self.arms[..last]
                .iter()
                .position(|arm| {
                    share += arm.share;
                    below(draw, share)
                })
                .unwrap_or(last),
        )
    }
}

impl Params {
    /// The arms that a user is in: numbers of the experiment and of its arm.
    pub fn arms_of(&self, user: u64) -> impl Iterator<Item = (usize, usize)> + use<'_> {
        let seed = self.seed;
        let arm = move |(n, of): (usize, &Experiment)| Some((n, of.arm_of(seed, user)?));
        self.experiments.iter().enumerate().filter_map(arm)
    }

    /// The parameters that a user's lists are made with. No two experiments set the same, so their order does not matter.
    #[must_use]
    pub fn of_user(&self, user: u64) -> Cow<'_, Self> {
        let mut own = Cow::Borrowed(self);
        for (experiment, arm) in self.arms_of(user) {
            let sets = &self.experiments[experiment].arms[arm].sets;
            for (setting, value) in sets {
                setting.set(own.to_mut(), *value);
            }
        }
        own
    }

    /// The names of a user's arms, each as `EXPERIMENT/ARM`.
    #[must_use]
    pub fn arm_names(&self, user: u64) -> Vec<String> {
        let name = |(n, arm): (usize, usize)| {
            let experiment = &self.experiments[n];
            format!("{}/{}", experiment.name, experiment.arms[arm].name)
        };
        self.arms_of(user).map(name).collect()
    }
}

/// No experiments.
#[must_use]
pub fn none() -> Arc<[Experiment]> {
    Arc::from([])
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An experiment of two arms of the same size that set nothing.
    pub fn experiment(name: &str, share: f64) -> Experiment {
        let arm = |name: &str| Arm { name: name.to_owned(), share: 0.5, sets: Vec::new() };
        Experiment {
            name: name.to_owned(),
            salt: name.to_owned(),
            share,
            since: 0,
            alpha: 0.05,
            min_users: 100,
            arms: vec![arm("control"), arm("other")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::experiment;
    use super::*;

    const USERS: u64 = 20_000;

    /// Whether `count` of `of` is within five standard deviations of its share.
    #[track_caller]
    fn about(count: usize, of: usize, share: f64) {
        let (expected, deviation) = (of as f64 * share, (of as f64 * share * (1.0 - share)).sqrt());
        assert!((count as f64 - expected).abs() <= 5.0 * deviation, "{count} of {of} is not about {share}");
    }

    #[test]
    fn shares_are_kept_and_salts_are_independent() {
        let mut one = experiment("one", 0.4);
        (one.arms[0].share, one.arms[1].share) = (0.25, 0.75);
        let two = experiment("two", 0.5);
        let (mut inside, mut first, mut both, mut agree) = (0, 0, 0, 0);
        for user in 0..USERS {
            let (a, b) = (one.arm_of(7, user), two.arm_of(7, user));
            inside += usize::from(a.is_some());
            first += usize::from(a == Some(0));
            both += usize::from(a.is_some() && b.is_some());
            agree += usize::from(a == Some(0) && b == Some(0));
        }
        about(inside, USERS as usize, 0.4);
        about(first, inside, 0.25);
        about(both, USERS as usize, 0.4 * 0.5);
        about(agree, both, 0.25 * 0.5);
    }

    #[test]
    fn a_larger_share_moves_nobody() {
        let (small, large) = (experiment("x", 0.1), experiment("x", 1.0));
        let everyone: Vec<u64> = (0..2_000).collect();
        assert!(everyone.iter().all(|user| large.arm_of(1, *user).is_some()));
        let kept = |user: &&u64| small.arm_of(1, **user).is_some();
        assert!(everyone.iter().filter(kept).all(|user| small.arm_of(1, *user) == large.arm_of(1, *user)));
        assert!(
            everyone.iter().any(|user| large.arm_of(1, *user) != large.arm_of(2, *user)),
            "the seed draws"
        );
        let mut salted = large.clone();
        salted.salt = "y".to_owned();
        assert!(
            everyone.iter().any(|user| large.arm_of(1, *user) != salted.arm_of(1, *user)),
            "the salt draws"
        );
    }

    #[test]
    fn who_is_in_an_arm_has_its_parameters() {
        let mut params = Params::default();
        assert!(matches!(params.of_user(1), Cow::Borrowed(_)));
        let (mut one, mut two) = (experiment("one", 0.5), experiment("two", 0.5));
        let watch = settings::find("ranking.watch").expect("it ranks");
        let cap = settings::find("feed.per_category").expect("it ranks");
        one.arms[1].sets.push((watch, Value::Real(0.0)));
        two.arms[1].sets.push((cap, Value::Count(9)));
        params.experiments = Arc::from([one, two]);
        let mut met = [0; 4];
        for user in 0..200 {
            let arms: Vec<(usize, usize)> = params.arms_of(user).collect();
            let own = params.of_user(user);
            let (calm, wide) = (arms.contains(&(0, 1)), arms.contains(&(1, 1)));
            met[usize::from(calm) + 2 * usize::from(wide)] += 1;
            assert_eq!(own.ranking.watch == 0.0, calm);
            assert_eq!(own.feed.per_category == 9, wide);
            assert_eq!(
                matches!(own, Cow::Borrowed(_)),
                !calm && !wide,
                "who differs in nothing costs nothing"
            );
            assert_eq!(params.arm_names(user).contains(&"one/other".to_owned()), calm);
        }
        assert!(met.iter().all(|users| *users > 0), "{met:?}");
    }
}
