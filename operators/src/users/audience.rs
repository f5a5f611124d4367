//! Who may be invited: users who were active lately, with their interest as it was when their list was last made.
//!
//! For each logical shard a ring, in the order of a hash of the user. Whoever is looked for is looked for in a window of it, from a
//! point that is drawn for the invitation: what a cohort costs has a bound, however many users there are. Up to
//! `cohorts.window` users of a shard all are looked at, and the search is exact; beyond, those found are the best of a sample,
//! and the recall of the best of all is `window / users of the shard`. The comparison is one of 128 dimensions, as the
//! light rank's is.
//!
//! An interest is kept as it was when a list was made (a list is made at each interaction), so that nothing is read from
//! histories here: 128 bytes a user, and no others than the active.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use freshet_learning::{Direction, SHORT_DIMS};
use freshet_schema::hash::{self, shard};
use serde::{Deserialize, Serialize};

use crate::cohorts::Offers;
use crate::cohorts::Wanted;
use crate::cohorts::choose::bound;
use crate::interest::Query;

/// What a user's interest is found by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The time of the last row, in milliseconds since 1970.
    pub(crate) last: u64,
    /// The embedding space of the interest.
    pub(crate) space: u64,
    /// Its short prefix; empty where there is none.
    prefix: Box<[i8]>,
    /// The squared norm of that.
    square: i32,
}

impl Member {
    fn new(last: u64, interest: Option<&Query>) -> Self {
        let prefix: Box<[i8]> =
            interest.map_or_else(Box::default, |query| query.vector.0[..SHORT_DIMS].into());
        let square = prefix.iter().map(|x| i32::from(*x) * i32::from(*x)).sum();
        Self { last, space: interest.map_or(0, |query| query.space), prefix, square }
    }

    /// The cosine of the interest with what is looked for, in ten-thousandths of a direction's norm; below all others where they
    /// cannot be compared.
    fn suits(&self, wanted: &Wanted) -> i64 {
        let Some(toward) = wanted.toward.as_ref().filter(|_| wanted.space == self.space) else {
            return i64::MIN;
        };
        if self.square == 0 {
            return i64::MIN;
        }
        (f64::from(toward.score(&self.prefix)) * 1e4 / f64::from(self.square).sqrt()).round() as i64
    }

    /// The direction of the interest.
    pub(crate) fn direction(&self, space: u64) -> Option<Direction> {
        Direction::of(&self.prefix).filter(|_| self.space == space)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Audience {
    seed: u64,
    /// By shard, then by hash and number of the user.
    rings: BTreeMap<u64, BTreeMap<(u64, u64), Member>>,
    members: usize,
}

impl Audience {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    fn place(&self, user: u64) -> (u64, u64) {
        (hash::mix(self.seed, &[user]), user)
    }

    /// A list of the user is being made: this is their interest, and their last row.
    pub(crate) fn meet(&mut self, user: u64, last: u64, interest: Option<&Query>) {
        self.put(user, Member::new(last, interest));
    }

    pub(crate) fn put(&mut self, user: u64, member: Member) {
        let place = self.place(user);
        let before = self.rings.entry(shard(user)).or_default().insert(place, member);
        self.members += usize::from(before.is_none());
    }

    /// Nothing is left of the user's rows.
    pub(crate) fn leave(&mut self, user: u64) {
        let place = self.place(user);
        let ring = self.rings.get_mut(&shard(user));
        self.members -= usize::from(ring.is_some_and(|ring| ring.remove(&place).is_some()));
    }

    pub(crate) fn get(&self, user: u64) -> Option<&Member> {
        self.rings.get(&shard(user))?.get(&self.place(user))
    }

    /// Lets go of those whose last row is from before `since`.
    pub(crate) fn age(&mut self, since: u64) {
        self.rings.values_mut().for_each(|ring| ring.retain(|_, member| member.last >= since));
        self.rings.retain(|_, ring| !ring.is_empty());
        self.members = self.rings.values().map(BTreeMap::len).sum();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.rings.values().flatten().map(|((_, user), member)| (*user, member))
    }

    /// What each shard offers for an invitation: of a window of `window` users those who are active `since` and `is_free`, and of them
    /// only who `may_come`, which is asked of few.
    pub(crate) fn offers(
        &self,
        wanted: &Wanted,
        (window, since): (usize, u64),
        is_free: impl Fn(u64) -> bool,
        may_come: impl Fn(u64) -> bool,
    ) -> Vec<Offers> {
        let bound = bound(wanted.users);
        let mut offers = Vec::with_capacity(self.rings.len());
        for (shard, ring) in &self.rings {
            let start = hash::mix(wanted.draw, &[*shard]);
            let from = ring.range((start, 0)..).chain(ring.range(..(start, 0)));
            let (mut best, mut drawn, mut looked) = (Vec::new(), Vec::new(), 0);
            for ((_, user), member) in from.take(window) {
                looked += 1;
                if member.last < since || !is_free(*user) {
                    continue;
                }
                let suits = member.suits(wanted);
                if suits > 0 {
                    best.push((Reverse(suits), *user));
                }
                drawn.push((hash::mix(wanted.draw, &[*user]), *user));
            }
            let free = drawn.len() as u32;
            let best = first(best, bound, |(_, user)| may_come(*user));
            offers.push(Offers {
                shard: *shard,
                members: ring.len() as u32,
                looked,
                free,
                best: best.into_iter().map(|(Reverse(suits), user)| (suits, user)).collect(),
                drawn: first(drawn, bound, |(_, user)| may_come(*user)),
            });
        }
        offers
    }

    pub(crate) fn bytes(&self) -> usize {
        self.members * (size_of::<((u64, u64), Member)>() + SHORT_DIMS + 24)
    }
}

/// The lowest `count` that are `wanted`, in order. Few are not: so a little more is sorted than asked for.
fn first<T: Ord>(mut all: Vec<T>, count: usize, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count && !all.is_empty() {
        let some = (2 * count).min(all.len());
        if some < all.len() {
            all.select_nth_unstable(some - 1);
        }
        let rest = all.split_off(some);
        all.sort_unstable();
        let room = count - found.len();
        found.extend(all.into_iter().filter(&wanted).take(room));
        all = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohorts::choose::choose;
    use freshet_learning::{LONG_DIMS, Quantised};

    fn query(user: u64) -> Query {
        let entry = |n: usize| (hash::mix(user, &[n as u64]) % 201) as f64 - 100.0;
        Query { space: 7, vector: Quantised::of(&std::array::from_fn::<f64, LONG_DIMS, _>(entry)) }
    }

    fn audience(users: u64) -> Audience {
        let mut audience = Audience::new(5);
        (1..=users).for_each(|user| audience.meet(user, user, Some(&query(user))));
        audience
    }

    fn wanted(users: u32) -> Wanted {
        let toward = Direction::of(&query(99_999).vector.0[..SHORT_DIMS]);
        Wanted { video: 1, users, toward, space: 7, draw: 11 }
    }

    fn cosine(user: u64) -> f64 {
        query(user).vector.cosine(&query(99_999).vector, SHORT_DIMS)
    }

    /// Share of the truly best `count` among those who are chosen, with windows of this size.
    fn recall(users: u64, count: u32, window: usize) -> f64 {
        let offers = audience(users).offers(&wanted(count), (window, 0), |_| true, |_| true);
        let chosen = choose(offers, count as usize, count as usize);
        let mut all: Vec<u64> = (1..=users).collect();
        all.sort_by(|a, b| cosine(*b).total_cmp(&cosine(*a)));
        let best = &all[..count as usize];
        chosen.iter().filter(|chosen| best.contains(&chosen.user)).count() as f64 / f64::from(count)
    }

    #[test]
    fn the_search_is_exact_up_to_its_window_and_a_sample_beyond() {
        assert!(recall(3_000, 200, 1_024) >= 0.995, "but for rounding: {}", recall(3_000, 200, 1_024));
        let half = recall(3_000, 200, 24);
        assert!((0.4..0.6).contains(&half), "about 47 users a shard, 24 of them looked at: {half}");
    }

    #[test]
    fn offers_are_of_those_who_may_come() {
        let audience = audience(500);
        let all = audience.offers(&wanted(64), (1_024, 0), |_| true, |_| true);
        assert_eq!(all.iter().map(|offers| offers.free).sum::<u32>(), 500);
        let some = audience.offers(&wanted(64), (1_024, 101), |user| user % 2 == 0, |user| user % 3 == 0);
        assert_eq!(some.iter().map(|offers| offers.free).sum::<u32>(), 200);
        assert_eq!(some.iter().map(|offers| offers.looked).sum::<u32>(), 500);
        let users: Vec<u64> = some
            .iter()
            .flat_map(|o| o.best.iter().map(|(_, u)| *u).chain(o.drawn.iter().map(|(_, u)| *u)))
            .collect();
        assert!(users.iter().all(|user| user % 6 == 0 && *user > 100), "{users:?}");
        assert!(some.iter().all(|offers| offers.drawn.is_sorted()));
        let strange = Wanted { space: 8, ..wanted(64) };
        assert!(
            audience
                .offers(&strange, (1_024, 0), |_| true, |_| true)
                .iter()
                .all(|offers| offers.best.is_empty())
        );
    }

    #[test]
    fn who_is_inactive_leaves() {
        let mut audience = audience(10);
        audience.leave(10);
        audience.leave(10);
        audience.age(4);
        let users: std::collections::BTreeSet<u64> = audience.iter().map(|(user, _)| user).collect();
        assert_eq!((users, audience.members), ((4..10).collect(), 6));
        assert!(audience.get(3).is_none() && audience.get(4).is_some());
    }
}
