//! A user's examples: the recent rows as the heads learn from them.
//!
//! What the heads see of a row is fixed when the row comes, by [`crate::request::Purpose::Learn`]; its labels follow the rows.
//! Whoever changes the rows says so here, and the difference goes into the sums. Of a user whose rows others do not see the examples are
//! kept and followed like any other's, and enter no sum until the rows count again.
//!
//! Two biases of what was shown are corrected where the page is known as it was served. Nobody chose against a video that they
//! never got to: passed over is what stood between the place before that was taken up and this one (examined from the top down,
//! the cascade of Craswell et al. 2008; "skip above" of Joachims et al. 2005). And a video that a policy drew by chance stands
//! for those that it might have drawn: its labels count by the inverse of its propensity (Horvitz and Thompson 1952), within a
//! bound.

use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::abuse::Withheld;
use crate::bandit::sums::Tried;
use crate::history::History;
use crate::params::Learning;
use crate::scorer::calibrate::Expected;
use crate::scorer::features::Features;
use crate::scorer::learn::{Example, Hours, Labels, WEIGHT, first};

/// Served videos are remembered for a user up to this many.
const SERVED: usize = 200;

/// A place of a page as it was served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// When the page was.
    pub time: u64,
    /// Its place along the chain of pages, from 0.
    pub position: u32,
    /// What stood there.
    pub video: u64,
    /// Probability with which the policy put it there, in (0, 1].
    pub propensity: f32,
}

/// How a row's video had been offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Whether the row says something about the choice: its video was offered, and other videos were passed over for it
    /// where the page is not known.
    pub chosen: bool,
    /// Whether the page is known.
    pub placed: bool,
    /// What the row's labels stand for, in 1/16 ([`WEIGHT`]).
    pub weight: i64,
    /// What each video that was drawn from those passed over stands for, in 1/16.
    pub stands_for: i64,
}

impl Default for Offer {
    fn default() -> Self {
        Self { chosen: false, placed: false, weight: WEIGHT, stands_for: 0 }
    }
}

/// What the heads see of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// Whose row.
    pub user: u64,
    /// Its event.
    pub event: u64,
    /// How its video had been offered.
    pub offer: Offer,
    /// The features of the row's video, then those of the videos passed over.
    pub features: Vec<Features>,
    /// What the heads say of the row's video.
    pub expected: Expected,
    /// What the arms see of it; `None` where there are none.
    pub tried: Option<Box<Tried>>,
}

/// The sums that a user's examples enter, but for those of rows that are withheld ([`Withheld`]).
#[derive(Debug)]
pub struct Open<'a> {
    /// They, by hour.
    pub sums: &'a mut Hours,
    /// What withholds a row.
    pub withheld: &'a Withheld,
}

impl Open<'_> {
    fn add(&mut self, example: &Example, sign: i64) {
        if !self.withheld.covers(example.time) {
            self.sums.add(example, sign);
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Examples {
    /// By (time, id).
    known: Vec<Example>,
    /// The pages served last, by (time, position, video, propensity).
    served: Vec<Place>,
}

impl Examples {
    /// A page was served.
    pub fn served(&mut self, page: &[Place]) {
        self.served.extend(page);
        // All of a place is in the order: of records of one epoch that disagree, it must not matter which came first.
        let key = |place: &Place| (place.time, place.position, place.video, place.propensity.to_bits());
        self.served.sort_by_key(key);
        self.served.dedup_by_key(|place| key(place));
        let beyond = self.served.len().saturating_sub(SERVED);
        self.served.drain(..beyond);
    }

    /// Forgets the pages up to a time.
    pub fn forget_served(&mut self, until: u64) {
        self.served.retain(|place| place.time > until);
    }

    /// Videos that the user was offered and passed over when they took up `video` at `time`, drawn by a hash of `draw`, and
    /// how the video itself had been offered. None where it was not among those offered. `watched` rises.
    #[must_use]
    pub fn passed_over(
        &self,
        (video, time): (u64, u64),
        listed: &[u64],
        watched: &[u64],
        draw: [u64; 3],
        gap: u64,
        learning: &Learning,
    ) -> (Vec<u64>, Offer) {
        let from = self.served.partition_point(|place| place.time.saturating_add(gap) < time);
        let until = self.served.partition_point(|place| place.time <= time);
        let pages = &self.served[from.min(until)..until];
        let taken = |other: &u64| watched.binary_search(other).is_ok();
        let mut offer = Offer::default();
        let mut others: Vec<u64> = if pages.is_empty() {
            if !listed.contains(&video) {
                return (Vec::new(), offer);
            }
            listed.iter().copied().filter(|other| *other != video && !taken(other)).collect()
        } else {
            // What stood in several places was taken up where it stood last.
            let Some(at) = pages.iter().rposition(|place| place.video == video) else {
                return (Vec::new(), offer);
            };
            let propensity = f64::from(pages[at].propensity).max(learning.least_propensity);
            // At least one: propensities are at most 1, as validation has it.
            offer =
                Offer { chosen: true, placed: true, weight: (WEIGHT as f64 / propensity) as i64, ..offer };
            let above = pages[..at].iter().rev().map(|place| place.video).filter(|other| *other != video);
            above.take_while(|other| !taken(other)).collect()
        };
        // What stood in two places was passed over once.
        others.sort_unstable();
        others.dedup();
        let count = learning.negatives.min(others.len());
        if count == 0 {
            return (Vec::new(), offer);
        }
        offer = Offer { chosen: true, stands_for: others.len() as i64 * WEIGHT / count as i64, ..offer };
        let [seed, user, id] = draw;
        let mut drawn: Vec<(u64, u64)> =
            others.into_iter().map(|other| (hash::mix(seed, &[user, id, other]), other)).collect();
        drawn.select_nth_unstable(count - 1);
        drawn.truncate(count);
        drawn.sort_unstable();
        (drawn.into_iter().map(|(_, video)| video).collect(), offer)
    }

    fn find(&self, time: u64, id: u64) -> Result<usize, usize> {
        self.known.binary_search_by_key(&(time, id), |example| (example.time, example.id))
    }

    /// What the heads see of a row is known.
    pub fn learn(
        &mut self,
        row: &Described,
        history: &History,
        (now, gap): (u64, u64),
        learning: &Learning,
        mut sums: Open<'_>,
    ) {
        let Described { event: id, offer, features, expected, tried, .. } = row;
        let (Some(at), [x, passed @ ..]) = (history.find(*id), &features[..]) else { return };
        let row = &history.rows()[at];
        if row.time < first(now, learning) {
            return;
        }
        let example = Example {
            time: row.time,
            id: *id,
            x: *x,
            expected: *expected,
            passed: passed.to_vec(),
            tried: tried.clone(),
            offer: *offer,
            labels: Labels::of(row, goes_on(history, at, gap)),
        };
        if let Err(place) = self.find(row.time, *id) {
            sums.add(&example, 1);
            self.known.insert(place, example);
        }
    }

    /// The row at `at` is new or has changed, or one beside it has gone: its labels may be others now.
    pub fn look_at(&mut self, at: usize, history: &History, gap: u64, mut sums: Open<'_>) {
        let Some(row) = history.rows().get(at) else { return };
        let Ok(place) = self.find(row.time, row.id) else { return };
        let labels = Labels::of(row, goes_on(history, at, gap));
        let example = &mut self.known[place];
        if example.labels != labels {
            sums.add(example, -1);
            example.labels = labels;
            sums.add(example, 1);
        }
    }

    /// The row of (time, id) is gone.
    pub fn forget(&mut self, time: u64, id: u64, mut sums: Open<'_>) {
        if let Ok(place) = self.find(time, id) {
            sums.add(&self.known.remove(place), -1);
        }
    }

    /// Says all that are not withheld once more (1), or takes them out (-1).
    pub fn say_all(&self, sign: i64, mut sums: Open<'_>) {
        self.known.iter().for_each(|example| sums.add(example, sign));
    }

    /// Lets go of the examples that count no more and of pages from before the sitting; gives the time at which to look at
    /// the pages again.
    pub fn age(&mut self, now: u64, gap: u64, learning: &Learning) -> Option<u64> {
        let from = first(now, learning);
        let gone = self.known.partition_point(|example| example.time < from);
        self.known.drain(..gone);
        // Twice as long as an interaction may take: it may come late.
        self.served.retain(|place| place.time.saturating_add(2 * gap) > now);
        self.served.first().map(|place| place.time.saturating_add(2 * gap))
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let passed: usize = self.known.iter().map(|example| example.passed.len()).sum();
        let tried = self.known.iter().filter_map(|example| example.tried.as_ref());
        let tried: usize = tried.map(|tried| size_of::<Tried>() + tried.arms.len() * 8).sum();
        self.known.capacity() * size_of::<Example>()
            + passed * size_of::<Features>()
            + tried
            + self.served.capacity() * size_of::<Place>()
    }
}

/// Whether the session goes on after the row at `at`.
fn goes_on(history: &History, at: usize, gap: u64) -> bool {
    let rows = history.rows();
    rows.get(at + 1).is_some_and(|next| next.time - rows[at].time <= gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{MINUTE, Params};

    const HOUR: u64 = 60 * MINUTE;

    fn passed_over(
        examples: &Examples,
        (video, time): (u64, u64),
        listed: &[u64],
        watched: &[u64],
        negatives: usize,
    ) -> (Vec<u64>, Offer) {
        let params = Params::default();
        let learning = Learning { negatives, least_propensity: 0.25, ..params.learning };
        let gap = params.interest.session_gap;
        let (mut others, offer) =
            examples.passed_over((video, time), listed, watched, [1, 2, 3], gap, &learning);
        others.sort_unstable();
        (others, offer)
    }

    fn page(time: u64, from: u32, videos: &[u64]) -> Vec<Place> {
        (from..)
            .zip(videos)
            .map(|(position, video)| Place { time, position, video: *video, propensity: 1.0 })
            .collect()
    }

    #[test]
    fn those_drawn_stand_for_all_that_were_passed_over() {
        let examples = Examples::default();
        let listed: Vec<u64> = (1..=9).collect();
        let (drawn, offer) = passed_over(&examples, (4, HOUR), &listed, &[], 2);
        let expected = Offer { chosen: true, placed: false, weight: WEIGHT, stands_for: 4 * WEIGHT };
        assert_eq!((drawn.len(), offer), (2, expected));
        assert!(drawn.iter().all(|video| listed.contains(video) && *video != 4), "{drawn:?}");
        assert_eq!(passed_over(&examples, (4, HOUR), &listed, &[], 2), (drawn, offer), "drawn by hash");
        let (all, offer) = passed_over(&examples, (4, HOUR), &listed, &[], 20);
        assert_eq!((all.len(), offer.stands_for), (8, WEIGHT));
        let (all, _) = passed_over(&examples, (4, HOUR), &listed, &[1, 9], 20);
        assert_eq!(all, [2, 3, 5, 6, 7, 8], "what was watched before is not passed over");
        assert_eq!(
            passed_over(&examples, (77, HOUR), &listed, &[], 2).1,
            Offer::default(),
            "it was not offered"
        );
        assert_eq!(
            passed_over(&examples, (4, HOUR), &[4], &[], 2).1,
            Offer::default(),
            "nothing was passed over"
        );
    }

    #[test]
    fn on_a_page_only_what_was_met_on_the_way_is_passed_over() {
        let mut examples = Examples::default();
        examples.served(&page(HOUR, 0, &[10, 11, 12, 13]));
        examples.served(&page(HOUR + MINUTE, 4, &[14, 11, 15, 16]));
        let others = |video: u64, watched: &[u64]| {
            let (others, offer) = passed_over(&examples, (video, HOUR + 2 * MINUTE), &[], watched, 20);
            assert!(offer.chosen && offer.placed, "{offer:?}");
            others
        };
        assert_eq!(others(12, &[]), [10, 11], "what is further down was not met");
        assert_eq!(others(12, &[10]), [11], "a place that was taken up ends the way back");
        assert_eq!(others(10, &[]), [0; 0], "at the top nothing is passed over, and it is a choice");
        assert_eq!(others(15, &[13]), [11, 14], "over the seam of two pages");
        assert_eq!(others(15, &[]), [10, 11, 12, 13, 14], "what stood in two places once");
        assert_eq!(others(11, &[]), [10, 12, 13, 14], "it was taken up where it stood last");
    }

    #[test]
    fn a_page_counts_from_when_it_was_served_and_for_a_sitting() {
        let mut examples = Examples::default();
        examples.served(&page(HOUR, 0, &[10, 11]));
        examples.served(&page(HOUR + MINUTE, 0, &[12, 13]));
        let listed: Vec<u64> = (1..=20).collect();
        let of = |examples: &Examples, video: u64, time: u64| {
            passed_over(examples, (video, time), &listed, &[], 20)
        };
        assert_eq!(of(&examples, 11, HOUR).0, [10]);
        assert_eq!(of(&examples, 13, HOUR).1, Offer::default(), "it was served later");
        let (others, offer) = of(&examples, 11, HOUR - 1);
        assert_eq!((others.len(), offer.placed), (19, false), "before the page there is the list");
        assert_eq!(of(&examples, 11, 3 * HOUR).0.len(), 19, "a sitting later, too");
        examples.forget_served(HOUR);
        assert_eq!(of(&examples, 13, HOUR + MINUTE).0, [12]);
        assert_eq!(of(&examples, 11, HOUR + MINUTE).1, Offer::default(), "its page is forgotten");
    }

    #[test]
    fn what_was_drawn_by_chance_stands_for_what_might_have_been_drawn() {
        let mut examples = Examples::default();
        let mut places = page(HOUR, 0, &[10, 11, 12]);
        (places[1].propensity, places[2].propensity) = (0.5, 0.001);
        examples.served(&places);
        let weight = |video: u64| passed_over(&examples, (video, HOUR), &[], &[], 2).1.weight;
        assert_eq!((weight(10), weight(11), weight(12)), (WEIGHT, 2 * WEIGHT, 4 * WEIGHT), "up to a bound");
    }

    #[test]
    fn records_that_disagree_say_the_same_in_any_order() {
        let places = [0.5, 0.25].map(|propensity| Place { propensity, ..page(HOUR, 0, &[10])[0] });
        let of = |order: [usize; 2]| {
            let mut examples = Examples::default();
            order.iter().for_each(|at| examples.served(&places[*at..=*at]));
            passed_over(&examples, (10, HOUR), &[], &[], 2).1
        };
        assert_eq!(of([0, 1]), of([1, 0]));
        assert_eq!(of([0, 1]).weight, 2 * WEIGHT);
    }

    #[test]
    fn pages_are_let_go_when_their_sitting_is_over() {
        let (mut examples, params) = (Examples::default(), Params::default());
        let gap = params.interest.session_gap;
        examples.served(&page(HOUR, 0, &[10]));
        assert_eq!(examples.age(HOUR, gap, &params.learning), Some(HOUR + 2 * gap));
        assert_eq!(examples.age(HOUR + 2 * gap, gap, &params.learning), None);
        assert!(examples.served.is_empty());
    }
}
