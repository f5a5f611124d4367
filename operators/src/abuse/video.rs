//! The signals of a video: pure, from the engagements with it and from what is suspected of who engaged.

use std::collections::{BTreeMap, BTreeSet};

use freshet_schema::{fixed, hash};
use serde::{Deserialize, Serialize};

use super::{Engaged, FULL, Signals};
use crate::params::Abuse;

/// Fewest suspects for whom a video is suspected.
const FEW: usize = 3;
/// A burst holds at least this share of all who engaged, as a divisor: what is popular all day has no bursts.
const BURST_PART: usize = 10;
/// Few distinct engagers: so many engagements of each, on average.
const EACH: usize = 3;

/// Least hashes of a sketch.
pub const SKETCHES: usize = 8;
/// The least of a set of users' hashes, each of another hash.
pub type Sketch = [u64; SKETCHES];

/// The hashes of a user.
#[must_use]
pub fn hashed(user: u64) -> Sketch {
    std::array::from_fn(|n| hash::mix(u64::from_be_bytes(*b"lockstep"), &[n as u64, user]))
}

/// The sketch of a set of users.
#[must_use]
pub fn sketch(users: impl Iterator<Item = u64>) -> Sketch {
    users.map(hashed).fold([u64::MAX; SKETCHES], |least, of| std::array::from_fn(|n| least[n].min(of[n])))
}

/// The engagements with a video.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagements(BTreeMap<(u64, u64, u64), i64>);

impl Engagements {
    /// Adds an engagement (1) or takes it back (-1). What was let go of meanwhile is let go of again.
    pub fn add(&mut self, engaged: &Engaged, sign: i64) {
        let key = (engaged.time, engaged.user, engaged.id);
        let count = self.0.entry(key).or_default();
        *count += sign;
        if *count == 0 {
            self.0.remove(&key);
        }
    }

    /// Lets go of what was before `from`.
    pub fn forget_before(&mut self, from: u64) {
        while let Some(first) = self.0.first_entry() {
            if first.key().0 >= from {
                break;
            }
            first.remove();
        }
    }

    /// Those that count: (time, user).
    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        // A retraction that came before its row's own time had a place is none of ours.
        self.0.iter().filter(|(_, count)| **count > 0).map(|((time, user, _), _)| (*time, *user))
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stretches of `abuse.burst` in which at least `abuse.ring_users` users engaged, and not only a small part of all who did:
    /// who, by the stretch's number.
    #[must_use]
    pub fn bursts(&self, abuse: &Abuse) -> BTreeMap<u64, BTreeSet<u64>> {
        if self.len() < abuse.ring_users {
            return BTreeMap::new();
        }
        let mut all = BTreeSet::new();
        let mut bursts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (time, user) in self.iter() {
            all.insert(user);
            // Stretches overlap by half: whatever takes no longer than that is in one of them as a whole.
            let half = (abuse.burst / 2).max(1);
            for stretch in [time / half, (time / half).saturating_sub(1)] {
                bursts.entry(stretch).or_default().insert(user);
            }
        }
        bursts.retain(|_, users| users.len() >= abuse.ring_users && users.len() * BURST_PART >= all.len());
        bursts
    }
}

/// The numbers that a video is judged by, over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoNumbers {
    /// Engagements.
    pub engaged: u32,
    /// Users who engaged.
    pub engagers: u32,
    /// Of those, such with each signal, in the order of [`Signals::ALL`].
    pub suspects: [u32; 3],
    /// Users of the burst with the most that are in lockstep, and how many of them are.
    pub burst: [u32; 2],
    /// The last engagement that speaks against it, in milliseconds since 1970.
    pub last: u64,
    /// What follows.
    pub signals: Signals,
}

/// Judges a video; `suspected` says the signals of a user.
#[must_use]
pub fn judge(
    engagements: &Engagements,
    bursts: &BTreeMap<u64, BTreeSet<u64>>,
    suspected: impl Fn(u64) -> Signals,
    abuse: &Abuse,
) -> VideoNumbers {
    let mut users: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut engaged, mut latest) = (0usize, 0);
    for (time, user) in engagements.iter() {
        engaged += 1;
        latest = time;
        users.insert(user, time);
    }
    let mut suspects = [0usize; 3];
    let mut last = 0;
    for (user, time) in &users {
        let signals = suspected(*user);
        if !signals.is_empty() {
            last = last.max(*time);
        }
        for (count, (signal, _)) in suspects.iter_mut().zip(Signals::ALL) {
            *count += usize::from(signals.has(signal));
        }
    }
    let many = |part: usize, of: usize| part as f64 >= abuse.suspect_share * of as f64;
    let few_engagers = engaged >= 2 * abuse.least && users.len() * EACH <= engaged;
    let together = |users: &BTreeSet<u64>| {
        users.iter().filter(|user| suspected(**user).has(Signals::COORDINATED)).count()
    };
    let burst = bursts.values().map(|users| (together(users), users.len())).max().unwrap_or_default();
    if few_engagers {
        last = latest;
    }
    let signals = Signals::default()
        .with(Signals::BOT, suspects[0] >= FEW && many(suspects[0], users.len()))
        .with(Signals::FARMING, few_engagers || suspects[1] >= FEW && many(suspects[1], users.len()))
        .with(Signals::COORDINATED, burst.0 >= abuse.ring_users && many(burst.0, burst.1));
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    VideoNumbers {
        engaged: number(engaged),
        engagers: number(users.len()),
        suspects: suspects.map(number),
        burst: [number(burst.1), number(burst.0)],
        last,
        signals,
    }
}

/// The factor on a flagged video's score, in per mille: 1 - score x penalty (seed 004, 8.4), of which half is forgiven with each
/// half-life since what speaks against it (seed 004, 9.1: decay for suspicious content).
#[must_use]
pub fn factor(numbers: &VideoNumbers, now: u64, abuse: &Abuse) -> u16 {
    let age = now.saturating_sub(numbers.last) as f64 / abuse.half_life.max(1) as f64;
    let strength = numbers.signals.score() * fixed::exp2(-age);
    let factor = (1.0 - strength * abuse.penalty).clamp(0.0, 1.0);
    (factor * f64::from(FULL)).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{DAY, MINUTE, Params};

    fn engagements(of: impl IntoIterator<Item = (u64, u64)>) -> Engagements {
        let mut all = Engagements::default();
        for (id, (time, user)) in (0..).zip(of) {
            all.add(&Engaged { video: 1, time, user, id }, 1);
        }
        all
    }

    fn judged(all: &Engagements, suspected: impl Fn(u64) -> Signals) -> VideoNumbers {
        let abuse = Params::default().abuse;
        judge(all, &all.bursts(&abuse), suspected, &abuse)
    }

    #[test]
    fn an_engagement_that_is_taken_back_was_never_there() {
        let mut all = engagements((0..9).map(|n| (n, n)));
        let before = all.clone();
        let another = Engaged { video: 1, time: 5, user: 5, id: 99 };
        all.add(&another, 1);
        all.add(&another, -1);
        assert_eq!(all, before);
        all.forget_before(4);
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_sketch_is_that_of_the_set() {
        assert_eq!(sketch([3, 1, 2].into_iter()), sketch([1, 2, 3, 3].into_iter()));
        assert_ne!(sketch([3, 1, 2].into_iter()), sketch([4, 5, 6].into_iter()));
        // Of two sets of nine with one member less in common, each hash is the same with the chance of their overlap.
        let alike = (0..1000u64)
            .filter(|n| {
                let (a, b) = (sketch(n * 100..n * 100 + 9), sketch(n * 100 + 1..n * 100 + 10));
                a[0] == b[0]
            })
            .count();
        assert!((760..840).contains(&alike), "{alike} of 1000, and the overlap is 8 of 10");
    }

    #[test]
    fn many_at_once_are_a_burst_unless_many_always_are() {
        let abuse = Params::default().abuse;
        let wave = || (0..8).map(|user| (DAY + user * 1_000, user));
        assert_eq!(engagements(wave()).bursts(&abuse).len(), 2, "two stretches overlap");
        let popular = (0..500).map(|n| (n * MINUTE, 100 + n));
        assert_eq!(engagements(wave().chain(popular)).bursts(&abuse).len(), 0);
        assert_eq!(engagements(wave().take(4)).bursts(&abuse).len(), 0);
    }

    #[test]
    fn who_engages_decides() {
        let all = engagements((0..8).map(|user| (user * DAY / 10, user)));
        assert_eq!(judged(&all, |_| Signals::default()).signals, Signals::default());
        let some =
            |n: u64, signals: Signals| move |user: u64| if user < n { signals } else { Signals::default() };
        assert_eq!(judged(&all, some(4, Signals::BOT)).signals, Signals::BOT);
        assert_eq!(judged(&all, some(3, Signals::BOT)).signals, Signals::default(), "not the half");
        assert_eq!(judged(&all, some(4, Signals::FARMING)).signals, Signals::FARMING);
        assert_eq!(
            judged(&all, some(8, Signals::COORDINATED)).signals,
            Signals::default(),
            "there is no burst"
        );
        let wave = engagements((0..8).map(|user| (DAY + user * 1_000, user)));
        assert_eq!(judged(&wave, some(6, Signals::COORDINATED)).signals, Signals::COORDINATED);
        let few = engagements((0..24).map(|n| (n * MINUTE, n % 5)));
        assert_eq!(judged(&few, |_| Signals::default()).signals, Signals::FARMING);
        assert_eq!(judged(&few, |_| Signals::default()).last, 23 * MINUTE);
    }

    #[test]
    fn the_penalty_fades() {
        let abuse = Params::default().abuse;
        let numbers = VideoNumbers { last: DAY, signals: Signals::BOT, ..VideoNumbers::default() };
        let whole = 1000.0 * (1.0 - abuse.penalty / 3.0);
        assert_eq!(factor(&numbers, DAY, &abuse), whole.round() as u16);
        let half = 1000.0 * (1.0 - abuse.penalty / 6.0);
        assert_eq!(factor(&numbers, DAY + abuse.half_life, &abuse), half.round() as u16);
        assert_eq!(factor(&numbers, 1000 * DAY, &abuse), FULL);
    }
}
