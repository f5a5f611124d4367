//! Whether all lists are alike: how many users' lists hold each video, exactly, and what is lowered where too many hold the same.
//!
//! Looked at are the first `diversity.places` places of the list that the store has of each user. The user side keeps what changed
//! since the last publication ([`Watch`]) and says it there; the publisher adds it up ([`Counts`]). With c(v) lists that hold v, n
//! lists and m places in all, two lists share sum of c (c - 1) / (n (n - 1)) videos on average, and the *overlap* is that over the mean
//! number of places: sum of c (c - 1) / ((n - 1) m), from 0, where no two lists share anything, to 1, where all are the same. All of
//! it is whole numbers, so a list that is made anew or removed is taken back exactly.
//!
//! Above `diversity.overlap_above` the rule comes in, an eighth stronger with each publication at which the overlap is above, an eighth weaker
//! with each at which it is below nine tenths of that: switched on and off by a threshold, lists would be alike and unlike by turns.
//! To lower a video for everybody would make users who are alike lists that are alike again. So it is lowered for some: each user has a lot
//! for each video, a hash that never changes, and the score is scaled by `diversity.least` for those whose lot is below the video's
//! *chance*. Were it in a share q of the lists without the rule, it should be in `diversity.share` of them, so the chance is 1 - share / q
//! at full strength; q is what the lists hold over one less the chance that was published last, as so many were spared. The chances
//! are a published version as the heads are, the same for all lists until the next one. As only the order counts, what few
//! lists hold rises by as much.

use std::collections::BTreeMap;

use freshet_schema::feed::DiversityRecord;
use freshet_schema::hash;
use freshet_schema::store::Value;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::params::{Diversity, Params};

/// One, of overlaps and factors.
pub const MILLION: u64 = 1_000_000;

/// Steps from no rule to all of it.
const STEPS: u64 = 8;

/// What changed in the lists of a worker's users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Lists that came, less those that went.
    lists: i64,
    /// For each video the lists that hold it now, less those that held it.
    videos: Vec<(u64, i64)>,
}

/// The user side of it: changes since the last publication.
#[derive(Debug, Default)]
pub struct Watch {
    places: usize,
    lists: i64,
    videos: FxHashMap<u64, i64>,
}

impl Watch {
    /// Nothing has changed. Where lists are not stored there is nothing to watch.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let places = if params.feed.enabled { params.diversity.places } else { 0 };
        Self { places, ..Self::default() }
    }

    /// A user's list was `before` and is `after`; one that is empty is none.
    pub fn listed(&mut self, before: &[u64], after: &[u64]) {
        if self.places == 0 {
            return;
        }
        for (list, sign) in [(before, -1), (after, 1)] {
            self.lists += if list.is_empty() { 0 } else { sign };
            for video in list.iter().take(self.places) {
                *self.videos.entry(*video).or_default() += sign;
            }
        }
    }

    /// What changed, to be said at a publication; `None` where nothing did.
    pub fn take(&mut self) -> Option<Listing> {
        let changed = std::mem::take(&mut self.videos).into_iter().filter(|(_, change)| *change != 0);
        let listing = Listing { lists: std::mem::take(&mut self.lists), videos: changed.collect() };
        (listing != Listing::default()).then_some(listing)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.videos.capacity() * (size_of::<(u64, i64)>() + 1)
    }
}

/// The publisher's side: what the lists hold.
#[derive(Debug, Default)]
pub struct Counts {
    lists: i64,
    videos: FxHashMap<u64, i64>,
}

/// How alike lists are, and what is done about it: a part of a publication.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Lists.
    pub lists: u64,
    /// Places that were looked at.
    pub places: u64,
    /// Different videos there.
    pub videos: u64,
    /// Lists that hold the most frequent of them.
    pub most: u64,
    /// Ordered pairs of lists that share a video, over all videos: the sum of c (c - 1).
    pub pairs: u128,
    /// How much of the rule applies, in eighths.
    pub strength: u64,
    /// Chances, in millionths, that a user's list has the video lowered.
    pub chances: BTreeMap<u64, u32>,
    /// The factor on its score then, in millionths.
    pub least: u32,
    /// What the users' lots are drawn by.
    pub seed: u64,
}

impl Spread {
    /// The share of a list's places that another list has as well, on average over all pairs of lists, in millionths; 0 with fewer than two.
    #[must_use]
    pub fn overlap(&self) -> u64 {
        let below = u128::from(self.lists.saturating_sub(1)) * u128::from(self.places);
        let overlap = (self.pairs * u128::from(MILLION)).checked_div(below).unwrap_or(0);
        u64::try_from(overlap).unwrap_or(u64::MAX)
    }

    /// The factor on a video's score in the list of a subject: a user, or the hash of a group's name.
    #[must_use]
    pub fn factor(&self, subject: u64, video: u64) -> f32 {
        let Some(chance) = self.chances.get(&video) else { return 1.0 };
        let lot = (u128::from(hash::mix(self.seed, &[subject, video])) * u128::from(MILLION)) >> 64;
        if lot < u128::from(*chance) { self.least as f32 / MILLION as f32 } else { 1.0 }
    }

    /// The record in the store.
    #[must_use]
    pub fn record(&self, version: u64) -> Vec<u8> {
        Value::Diversity(DiversityRecord {
            version,
            lists: self.lists,
            places: self.places,
            videos: self.videos,
            most: self.most,
            pairs_high: (self.pairs >> 64) as u64,
            pairs_low: self.pairs as u64,
            overlap: self.overlap() as f64 / MILLION as f64,
            strength: self.strength as f64 / STEPS as f64,
            lowered: self.chances.len() as u64,
        })
        .encode()
    }
}

impl Counts {
    /// Takes changes in.
    pub fn plus(&mut self, listing: &Listing) {
        self.lists += listing.lists;
        for (video, change) in &listing.videos {
            let count = self.videos.entry(*video).or_default();
            *count += change;
            if *count == 0 {
                self.videos.remove(video);
            }
        }
    }

    /// How alike lists are now; `before` is what was published last.
    #[must_use]
    pub fn publish(&self, before: Option<&Spread>, params: &Diversity, seed: u64) -> Spread {
        let count = |count: &i64| u64::try_from(*count).unwrap_or(0);
        let counts = || self.videos.values().map(count);
        let mut spread = Spread {
            lists: count(&self.lists),
            places: counts().sum(),
            videos: self.videos.len() as u64,
            most: counts().max().unwrap_or(0),
            pairs: counts().map(|c| u128::from(c) * u128::from(c.saturating_sub(1))).sum(),
            least: (params.least * MILLION as f64).round() as u32,
            seed,
            ..Spread::default()
        };
        let millionths = |share: f64| (share * MILLION as f64).round() as u64;
        let (overlap, above) = (spread.overlap(), millionths(params.overlap_above));
        let strength = before.map_or(0, |before| before.strength);
        spread.strength = match strength {
            s if overlap > above => (s + 1).min(STEPS),
            s if overlap < above - above / 10 => s.saturating_sub(1),
            s => s,
        };
        if spread.strength > 0 {
            let share = millionths(params.share);
            let chance = |video: u64, c: u64| {
                let before = before.and_then(|before| before.chances.get(&video)).copied().unwrap_or(0);
                let spared = u128::from(MILLION - u64::from(before)) * u128::from(spread.lists);
                // What the lists would hold without the rule, and the chance, in millionths.
                let free = (u128::from(c) * u128::from(MILLION * MILLION)).checked_div(spared).unwrap_or(0);
                let free = u64::try_from(free).unwrap_or(MILLION).clamp(1, MILLION);
                MILLION.saturating_sub(share * MILLION / free) * spread.strength / STEPS
            };
            let chances = self.videos.iter().map(|(video, c)| (*video, chance(*video, count(c))));
            let some = chances.filter(|(_, chance)| *chance > 0);
            spread.chances = some.map(|(video, chance)| (video, chance as u32)).collect();
        }
        spread
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.videos.capacity() * (size_of::<(u64, i64)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn params(places: usize, overlap_above: f64) -> Params {
        let diversity = Diversity { places, overlap_above, share: 0.25, least: 0.1 };
        Params { diversity, ..Params::default() }
    }

    fn spread(lists: &[Vec<u64>], params: &Params, before: Option<&Spread>) -> Spread {
        let (mut watch, mut counts) = (Watch::new(params), Counts::default());
        lists.iter().for_each(|list| watch.listed(&[], list));
        watch.take().iter().for_each(|listing| counts.plus(listing));
        counts.publish(before, &params.diversity, 7)
    }

    #[test]
    fn lists_by_hand() {
        let params = params(2, 1.0);
        let same = vec![vec![1, 2, 9]; 4];
        let found = spread(&same, &params, None);
        assert_eq!((found.lists, found.places, found.videos, found.most, found.pairs), (4, 8, 2, 4, 24));
        assert_eq!(found.overlap(), MILLION, "what stands behind the first two is not looked at");
        assert_eq!(spread(&[vec![1, 2], vec![3, 4]], &params, None).overlap(), 0);
        assert_eq!(spread(&[vec![1, 2], vec![1, 4]], &params, None).overlap(), MILLION / 2);
        assert_eq!(spread(&[vec![1, 2]], &params, None).overlap(), 0, "one list is like none");
        assert_eq!(spread(&[], &params, None).overlap(), 0);
        assert_eq!(found.strength, 0, "it is not above one");
    }

    #[test]
    fn the_rule_comes_in_by_steps_and_goes_the_same_way() {
        let params = params(2, 0.5);
        let (same, unlike) = (vec![vec![1, 2]; 4], [vec![1, 2], vec![3, 4], vec![5, 6], vec![7, 8]]);
        let one = spread(&same, &params, None);
        // All lists hold it and a quarter may: 1/8 x (1 - 1/4).
        assert_eq!((one.strength, one.chances.get(&1)), (1, Some(&93_750)));
        let mut last = one;
        for step in 2..=10 {
            last = spread(&same, &params, Some(&last));
            assert_eq!(last.strength, step.min(STEPS));
        }
        assert_eq!(last.chances, BTreeMap::from([(1, 750_000), (2, 750_000)]), "a quarter may hold it");
        let gone = spread(&unlike, &params, Some(&last));
        assert_eq!(gone.strength, STEPS - 1);
        // A quarter holds the first two, as they should: without the rule all would. The others are in no more lists than may.
        assert_eq!(gone.chances.keys().copied().collect::<Vec<_>>(), [1, 2]);
        // Between nine tenths and the threshold it stays as it is.
        let between = [vec![1, 2], vec![1, 4]];
        assert_eq!(spread(&between, &params, Some(&gone)).strength, STEPS - 1);
    }

    #[test]
    fn a_chance_is_that_of_a_lot() {
        let chances = BTreeMap::from([(1, 300_000), (2, 1_000_000)]);
        let spread = Spread { chances, least: 100_000, seed: 5, ..Spread::default() };
        let lowered = |video: u64| (0..10_000).filter(|user| spread.factor(*user, video) < 1.0).count();
        assert!((2_800..=3_200).contains(&lowered(1)), "{}", lowered(1));
        assert_eq!((lowered(2), lowered(3)), (10_000, 0));
        assert!((spread.factor(1, 2) - 0.1).abs() < 1e-6);
    }

    /// A video that everybody would have ends up in the share that may, and stays there.
    #[test]
    fn it_settles_at_the_share() {
        let params = params(1, 0.3);
        let mut last: Option<Spread> = None;
        let mut shares = Vec::new();
        for _ in 0..20 {
            let own = |user: u64| match &last {
                Some(spread) if spread.factor(user, 1) < 1.0 => 1_000 + user,
                _ => 1,
            };
            let lists: Vec<Vec<u64>> = (0..2_000).map(|user| vec![own(user)]).collect();
            let next = spread(&lists, &params, last.as_ref());
            shares.push(next.most as f64 / 2_000.0);
            last = Some(next);
        }
        // 0.3 is the square of 0.55: there the overlap is neither above nor below.
        assert!(
            shares[0] == 1.0 && shares[12..].iter().all(|share| (0.45..0.6).contains(share)),
            "{shares:?}"
        );
    }

    proptest! {
        #[test]
        fn what_goes_leaves_no_trace(
            stay in vec(vec(0..20u64, 0..6), 0..8), go in vec(vec(0..20u64, 0..6), 0..8), places in 1..5usize,
        ) {
            let params = params(places, 0.2);
            let (mut watch, mut counts) = (Watch::new(&params), Counts::default());
            let unique = |lists: Vec<Vec<u64>>| -> Vec<Vec<u64>> {
                lists.into_iter().map(|list| {
                    let mut seen = std::collections::BTreeSet::new();
                    list.into_iter().filter(|video| seen.insert(*video)).collect()
                }).collect()
            };
            let (stay, go) = (unique(stay), unique(go));
            stay.iter().chain(&go).for_each(|list| watch.listed(&[], list));
            watch.take().iter().for_each(|listing| counts.plus(listing));
            go.iter().rev().for_each(|list| watch.listed(list, &[]));
            watch.take().iter().for_each(|listing| counts.plus(listing));
            let found = counts.publish(None, &params.diversity, 7);
            prop_assert_eq!(&found, &spread(&stay, &params, None));
            // By going through all pairs.
            let firsts: Vec<&[u64]> =
                stay.iter().filter(|l| !l.is_empty()).map(|l| &l[..l.len().min(places)]).collect();
            let mut shared = 0;
            for (a, one) in firsts.iter().enumerate() {
                for (b, other) in firsts.iter().enumerate() {
                    if a != b {
                        shared += one.iter().filter(|video| other.contains(video)).count() as u128;
                    }
                }
            }
            prop_assert_eq!(found.pairs, shared);
            prop_assert!(found.overlap() <= MILLION || firsts.iter().any(|l| l.len() != firsts[0].len()));
        }
    }
}
