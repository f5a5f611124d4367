//! A user's examples: the recent rows as the heads learn from them.
//!
//! What the heads see of a row is fixed when the row comes, by [`crate::request::Purpose::Learn`]; its labels follow the rows.
//! Whoever changes the rows says so here, and the difference goes into the sums.

use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::params::{Interest, Learning};
use crate::scorer::calibrate::Expected;
use crate::scorer::features::Features;
use crate::scorer::learn::{Example, Hours, Labels, first};

/// Served videos are remembered for a user up to this many.
const SERVED: usize = 200;
/// What stands for one example, see [`Example::stands_for`].
const ONE: i64 = 16;

/// What the heads see of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// Whose row.
    pub user: u64,
    /// Its event.
    pub event: u64,
    /// What each video that was passed over stands for, see [`Example::stands_for`].
    pub stands_for: i64,
    /// The features of the row's video, then those of the videos passed over.
    pub features: Vec<Features>,
    /// What the heads say of the row's video.
    pub expected: Expected,
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Examples {
    /// By (time, id).
    known: Vec<Example>,
    /// Videos of the pages served last, with the time of the page.
    served: Vec<(u64, u64)>,
}

impl Examples {
    /// A page was served at `time`.
    pub fn served(&mut self, time: u64, videos: &[u64]) {
        self.served.extend(videos.iter().map(|video| (time, *video)));
        self.served.sort_unstable();
        self.served.dedup();
        let beyond = self.served.len().saturating_sub(SERVED);
        self.served.drain(..beyond);
    }

    /// Forgets the pages up to a time.
    pub fn forget_served(&mut self, until: u64) {
        self.served.retain(|(time, _)| *time > until);
    }

    /// Videos that the user was offered and passed over when they took up `video` at `time`, drawn by a hash of `draw`, and
    /// how many sixteenths of an example each stands for. None where the video was not among those offered.
    #[must_use]
    pub fn passed_over(
        &self,
        (video, time): (u64, u64),
        listed: &[u64],
        history: &History,
        draw: [u64; 3],
        interest: &Interest,
        count: usize,
    ) -> (Vec<u64>, i64) {
        let mut served: Vec<u64> = self
            .served
            .iter()
            .filter(|(at, _)| *at <= time && time - at <= interest.session_gap)
            .map(|(_, video)| *video)
            .collect();
        // What stood on two pages was offered once.
        served.sort_unstable();
        served.dedup();
        let offered = if served.is_empty() { listed } else { &served };
        if !offered.contains(&video) {
            return (Vec::new(), 0);
        }
        let [seed, user, id] = draw;
        let mut others: Vec<(u64, u64)> = offered
            .iter()
            .filter(|other| **other != video && history.watched().binary_search(other).is_err())
            .map(|other| (hash::mix(seed, &[user, id, *other]), *other))
            .collect();
        let count = count.min(others.len());
        if count == 0 {
            return (Vec::new(), 0);
        }
        let stands_for = others.len() as i64 * ONE / count as i64;
        others.select_nth_unstable(count - 1);
        others.truncate(count);
        others.sort_unstable();
        (others.into_iter().map(|(_, video)| video).collect(), stands_for)
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
        sums: &mut Hours,
    ) {
        let Described { event: id, stands_for, features, expected, .. } = row;
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
            stands_for: *stands_for,
            labels: Labels::of(row, goes_on(history, at, gap)),
        };
        if let Err(place) = self.find(row.time, *id) {
            sums.add(&example, 1);
            self.known.insert(place, example);
        }
    }

    /// The row at `at` is new or has changed, or one beside it has gone: its labels may be others now.
    pub fn look_at(&mut self, at: usize, history: &History, gap: u64, sums: &mut Hours) {
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
    pub fn forget(&mut self, time: u64, id: u64, sums: &mut Hours) {
        if let Ok(place) = self.find(time, id) {
            sums.add(&self.known.remove(place), -1);
        }
    }

    /// Lets go of the examples that count no more and of pages from before the sitting; gives the time at which to look at
    /// the pages again.
    pub fn age(&mut self, now: u64, gap: u64, learning: &Learning) -> Option<u64> {
        let from = first(now, learning);
        let gone = self.known.partition_point(|example| example.time < from);
        self.known.drain(..gone);
        // Twice as long as an interaction may take: it may come late.
        self.served.retain(|(time, _)| time.saturating_add(2 * gap) > now);
        self.served.first().map(|(time, _)| time.saturating_add(2 * gap))
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let passed: usize = self.known.iter().map(|example| example.passed.len()).sum();
        self.known.capacity() * size_of::<Example>()
            + passed * size_of::<Features>()
            + self.served.capacity() * 16
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
        video: u64,
        time: u64,
        listed: &[u64],
        count: usize,
    ) -> (Vec<u64>, i64) {
        let interest = Params::default().interest;
        examples.passed_over((video, time), listed, &History::default(), [1, 2, 3], &interest, count)
    }

    #[test]
    fn those_drawn_stand_for_all_that_were_passed_over() {
        let examples = Examples::default();
        let listed: Vec<u64> = (1..=9).collect();
        let (drawn, stands_for) = passed_over(&examples, 4, HOUR, &listed, 2);
        assert_eq!((drawn.len(), stands_for), (2, 4 * ONE));
        assert!(drawn.iter().all(|video| listed.contains(video) && *video != 4), "{drawn:?}");
        assert_eq!(passed_over(&examples, 4, HOUR, &listed, 2), (drawn, stands_for), "drawn by hash");
        let (all, each) = passed_over(&examples, 4, HOUR, &listed, 20);
        assert_eq!((all.len(), each), (8, ONE));
        assert_eq!(passed_over(&examples, 77, HOUR, &listed, 2), (Vec::new(), 0), "it was not offered");
        assert_eq!(passed_over(&examples, 4, HOUR, &[4], 2), (Vec::new(), 0), "nothing was passed over");
    }

    #[test]
    fn a_page_that_was_served_says_what_was_offered() {
        let mut examples = Examples::default();
        examples.served(HOUR, &[10, 11]);
        examples.served(HOUR + MINUTE, &[12, 11]);
        let listed: Vec<u64> = (1..=20).collect();
        let offered = |examples: &Examples, time: u64| {
            let (mut others, _) = passed_over(examples, 10, time, &listed, 20);
            others.sort_unstable();
            others
        };
        assert_eq!(offered(&examples, HOUR + 2 * MINUTE), [11, 12], "what was on both pages once");
        assert_eq!(offered(&examples, HOUR), [11], "what was served later was not offered yet");
        assert_eq!(offered(&examples, HOUR - 1).len(), 19, "before the page there is the list");
        assert_eq!(offered(&examples, 3 * HOUR).len(), 19, "a sitting later, too");
        examples.forget_served(HOUR);
        assert_eq!(passed_over(&examples, 12, HOUR + MINUTE, &listed, 20), (vec![11], ONE));
        assert_eq!(
            passed_over(&examples, 10, HOUR + MINUTE, &listed, 20),
            (Vec::new(), 0),
            "its page is forgotten"
        );
    }

    #[test]
    fn pages_are_let_go_when_their_sitting_is_over() {
        let (mut examples, params) = (Examples::default(), Params::default());
        let gap = params.interest.session_gap;
        examples.served(HOUR, &[10]);
        assert_eq!(examples.age(HOUR, gap, &params.learning), Some(HOUR + 2 * gap));
        assert_eq!(examples.age(HOUR + 2 * gap, gap, &params.learning), None);
        assert!(examples.served.is_empty());
    }
}
