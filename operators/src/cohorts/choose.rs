//! Who is in a cohort: the workers' offers meet, and the quota of the whole is taken. Pure.
//!
//! Each logical shard of users offers its best and its lowest lots, more of both than its share of any likely outcome
//! ([`bound`]), whatever worker it lives on; so the cohort does not depend on the number of workers. A part of the
//! cohort goes to the best by predicted interest, the rest to the lowest lots among the others.
//!
//! With what chance somebody was chosen: a shard looks at a window of its ring of users that begins at a point drawn for the
//! invitation, so a user is looked at with the chance `looked / members`. Whoever is among the best then is in for certain; whoever is
//! not is drawn with the chance `places left / users who may come`.

use std::cmp::Reverse;

use freshet_schema::hash::SHARDS;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

/// What the users of a logical shard offer for an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// The shard.
    pub shard: u64,
    /// Users who were active lately.
    pub members: u32,
    /// Those that were looked at.
    pub looked: u32,
    /// Those of them that may come.
    pub free: u32,
    /// Predicted interest and user, best first, of equals the lower user.
    pub best: Vec<(i64, u64)>,
    /// Lot and user, lowest first.
    pub drawn: Vec<(u64, u64)>,
}

/// Somebody who was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// Who.
    pub user: u64,
    /// With what chance, in (0, 1].
    pub chance: f32,
}

/// So many a logical shard offers at the most where `wanted` are chosen of all: its share and six standard deviations of it.
#[must_use]
pub fn bound(wanted: u32) -> usize {
    let share = wanted.div_ceil(SHARDS as u32);
    (share + 6 * (share.isqrt() + 1) + 8) as usize
}

/// The `wanted` of all offers; `predicted` of them, or fewer where there are not so many, by predicted interest.
#[must_use]
pub fn choose(mut offers: Vec<Offers>, wanted: usize, predicted: usize) -> Vec<Chosen> {
    offers.sort_unstable_by_key(|offers| offers.shard);
    let mut best: Vec<(Reverse<i64>, u64, usize)> = Vec::new();
    let mut drawn: Vec<(u64, u64)> = Vec::new();
    // Users who may come, those included that nobody looked at.
    let mut free = 0u64;
    for (at, offers) in offers.iter().enumerate() {
        best.extend(offers.best.iter().map(|(score, user)| (Reverse(*score), *user, at)));
        drawn.extend(&offers.drawn);
        free += u64::from(offers.free) * u64::from(offers.members) / u64::from(offers.looked.max(1));
    }
    best.sort_unstable();
    best.truncate(predicted.min(wanted));
    let mut chosen: Vec<Chosen> = best
        .iter()
        .map(|(_, user, at)| {
            let Offers { looked, members, .. } = offers[*at];
            Chosen { user: *user, chance: (f64::from(looked) / f64::from(members.max(1))).min(1.0) as f32 }
        })
        .collect();
    let taken: FxHashSet<u64> = chosen.iter().map(|chosen| chosen.user).collect();
    drawn.retain(|(_, user)| !taken.contains(user));
    drawn.sort_unstable();
    let left = wanted - chosen.len();
    drawn.truncate(left);
    let others = free.saturating_sub(chosen.len() as u64).max(1);
    let chance = (left as f64 / others as f64).min(1.0) as f32;
    chosen.extend(drawn.into_iter().map(|(_, user)| Chosen { user, chance }));
    chosen.sort_unstable_by_key(|chosen| chosen.user);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::hash::{mix, shard};
    use std::collections::BTreeMap;

    /// Users from 1 with interest by hash, offered by shard.
    fn offers(users: u64, wanted: u32) -> Vec<Offers> {
        let mut shards: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        (1..=users).for_each(|user| shards.entry(shard(user)).or_default().push(user));
        let of = |(shard, users): (u64, Vec<u64>)| {
            let mut best: Vec<_> = users.iter().map(|user| (interest(*user), *user)).collect();
            best.sort_unstable_by_key(|(score, user)| (Reverse(*score), *user));
            let mut drawn: Vec<_> = users.iter().map(|user| (lot(*user), *user)).collect();
            drawn.sort_unstable();
            best.truncate(bound(wanted));
            drawn.truncate(bound(wanted));
            let n = users.len() as u32;
            Offers { shard, members: n, looked: n, free: n, best, drawn }
        };
        shards.into_iter().map(of).collect()
    }

    fn interest(user: u64) -> i64 {
        (mix(7, &[user]) % 1_000_000) as i64
    }

    fn lot(user: u64) -> u64 {
        mix(8, &[user])
    }

    #[test]
    fn bounded_offers_lose_nobody() {
        for (users, wanted) in [(3_000, 500), (20_000, 500), (20_000, 100), (30_000, 4_000)] {
            let mut everybody: Vec<u64> = (1..=users).collect();
            everybody.sort_unstable_by_key(|user| (Reverse(interest(*user)), *user));
            let (best, rest) = everybody.split_at(wanted as usize / 2);
            let mut rest = rest.to_vec();
            rest.sort_unstable_by_key(|user| lot(*user));
            let mut expected = [best, &rest[..wanted as usize / 2]].concat();
            expected.sort_unstable();
            let chosen = choose(offers(users, wanted), wanted as usize, wanted as usize / 2);
            assert_eq!(chosen.iter().map(|chosen| chosen.user).collect::<Vec<_>>(), expected);
            let mut reversed = offers(users, wanted);
            reversed.reverse();
            assert_eq!(choose(reversed, wanted as usize, wanted as usize / 2), chosen);
        }
    }

    #[test]
    fn the_chance_is_that_of_the_draw() {
        let chosen = choose(offers(1_000, 200), 200, 100);
        let drawn = chosen.iter().filter(|chosen| chosen.chance < 1.0).collect::<Vec<_>>();
        assert_eq!((chosen.len(), drawn.len()), (200, 100));
        assert!(drawn.iter().all(|chosen| (chosen.chance - 100.0 / 900.0).abs() < 1e-6), "{drawn:?}");
        // Half of the users were looked at.
        let half: Vec<Offers> = offers(1_000, 200)
            .into_iter()
            .map(|offers| Offers { members: 2 * offers.members, ..offers })
            .collect();
        let chosen = choose(half, 200, 100);
        let mean: f64 = chosen.iter().map(|chosen| 1.0 / f64::from(chosen.chance)).sum::<f64>();
        assert!((mean - (100.0 * 2.0 + 1_900.0)).abs() < 1.0, "who is chosen stands for all 2,000: {mean}");
    }

    #[test]
    fn where_there_are_too_few_all_come() {
        let chosen = choose(offers(30, 500), 500, 250);
        assert_eq!(chosen.len(), 30);
        assert!(chosen.iter().all(|chosen| chosen.chance == 1.0));
        assert!(choose(Vec::new(), 500, 250).is_empty());
    }
}
