//! One user's history: the ledger of counted rows, and the sums over its windows.
//!
//! The rows are the truth. They are sorted by (event time, event id), so that "the last N" is a set that does not depend on
//! arrival order, and a window is a suffix: what expires is always the next row after the window's edge, and nothing
//! has to wait anywhere. The sums (vectors, facets) are functions of the rows in the windows.
//!
//! Most users are seen a few times. Their sums are not kept but made when a list is: a pass over a handful of rows costs less
//! than the kilobyte a user that it saves, and less than adding to vectors that nobody reads before the next event.
//!
//! Ledger rules: one row an event id; a higher revision replaces it; of equals the earlier place in the log stays; a known
//! video takes the place of an unknown one.

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::content::Facet;
use crate::interest::SpaceSums;
use crate::params::{DAY, HOUR, Interest};
use crate::row::{Group, Row, View};

/// Rows leave the mid-term window an hour's rows at a time, and the long-term window a day's: one schedule entry a user and
/// bucket, not one an event.
pub const MID_BUCKET: u64 = HOUR;
/// See [`MID_BUCKET`].
pub const LONG_BUCKET: u64 = DAY;

/// When a row of `time` leaves a window of length `window` whose buckets are `bucket` long.
#[must_use]
pub fn expiry(time: u64, window: u64, bucket: u64) -> u64 {
    (time / bucket + 1).saturating_mul(bucket).saturating_add(window)
}

/// Affinity to a facet: sums of row weights, in per mille.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Over the mid-term window.
    pub mid: i32,
    /// Over the long-term window.
    pub long: i32,
    /// Rows in the long-term window that have the facet.
    pub rows: u32,
}

/// Sums are kept for histories longer than this.
const SHORT: usize = 16;

/// What the rows of the windows add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interests {
    /// Vector sums by embedding space.
    pub spaces: Vec<SpaceSums>,
    /// Affinities of the facets that occur.
    pub facets: FxHashMap<Facet, Affinity>,
}

impl Interests {
    /// Adds `mid` times the row to the mid-term and `long` times to the long-term sums; each is 1, 0 or -1.
    fn add(&mut self, row: &Row, mid: i32, long: i32) {
        if !row.content.known || (mid, long) == (0, 0) {
            return;
        }
        let space = row.content.space;
        let at = self.spaces.iter().position(|s| s.space == space).unwrap_or_else(|| {
            self.spaces.push(SpaceSums::new(space));
            self.spaces.len() - 1
        });
        self.spaces[at].add(row, mid, long);
        // A category is among the facets already.
        let topic = row.content.topic.filter(|topic| matches!(topic, Facet::Topic(_)));
        for facet in row.content.facets.iter().map(|(facet, _)| *facet).chain(topic) {
            let affinity = self.facets.entry(facet).or_default();
            affinity.mid += i32::from(row.weight) * mid;
            affinity.long += i32::from(row.weight) * long;
            affinity.rows = affinity.rows.wrapping_add_signed(long);
            if long < 0 && affinity.rows == 0 {
                self.facets.remove(&facet);
            }
        }
        if long < 0 {
            self.spaces.retain(|s| s.rows > 0);
        }
    }

    fn bytes(&self) -> usize {
        let facets = self.facets.capacity() * (size_of::<(Facet, Affinity)>() + 1);
        size_of::<Self>() + facets + self.spaces.len() * (size_of::<SpaceSums>() + SpaceSums::HEAP)
    }
}

/// A creator followed from a video, with the row that did it.
type FollowMark = (u64, u64, u64);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct History {
    rows: Vec<Row>,
    mid_from: usize,
    long_from: usize,
    /// Sorted; a video watched twice stands twice.
    watched: Arc<Vec<u64>>,
    /// Kept for long histories only.
    interests: Option<Box<Interests>>,
    /// Creators followed from a video: (creator, time, event), sorted.
    follows: Vec<FollowMark>,
}

/// What counting a view did.
#[derive(Debug, PartialEq)]
pub enum Counted {
    /// It was known already, or a better row of the same event is.
    Ignored,
    /// It is counted; the row it replaced, if any, is given back.
    Added(Option<Row>),
}

impl History {
    /// The history that these rows make, with its windows beginning at these rows ([`History::edges`]).
    ///
    /// # Errors
    /// Where the rows are not in order, or the edges are beyond them.
    pub fn restore(rows: Vec<Row>, mid_from: usize, long_from: usize) -> Result<Self, String> {
        if !rows.is_sorted_by_key(|row| (row.time, row.id)) || mid_from.max(long_from) > rows.len() {
            return Err(format!("{} rows are not in order or end before their windows", rows.len()));
        }
        let mut watched: Vec<u64> = rows.iter().map(|row| row.content.video).collect();
        watched.sort_unstable();
        let mut follows: Vec<FollowMark> = rows.iter().filter_map(follow_mark).collect();
        follows.sort_unstable();
        let mut history =
            Self { rows, mid_from, long_from, watched: Arc::new(watched), interests: None, follows };
        if history.rows.len() > SHORT {
            history.interests = Some(Box::new(history.added_up()));
        }
        Ok(history)
    }

    /// Where the rows of the mid-term and of the long-term window begin.
    #[must_use]
    pub fn edges(&self) -> (usize, usize) {
        (self.mid_from, self.long_from)
    }

    /// All rows, by (time, id).
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Videos watched, sorted, with repeats.
    #[must_use]
    pub fn watched(&self) -> &Arc<Vec<u64>> {
        &self.watched
    }

    /// The sums over the windows.
    #[must_use]
    pub fn interests(&self) -> Cow<'_, Interests> {
        match &self.interests {
            Some(kept) => Cow::Borrowed(kept),
            None => Cow::Owned(self.added_up()),
        }
    }

    fn added_up(&self) -> Interests {
        let mut interests = Interests::default();
        for (at, row) in self.rows.iter().enumerate() {
            interests.add(row, i32::from(at >= self.mid_from), i32::from(at >= self.long_from));
        }
        interests
    }

    fn add(&mut self, row: &Row, mid: i32, long: i32) {
        if let Some(kept) = &mut self.interests {
            kept.add(row, mid, long);
        }
    }

    /// Creators followed from a video, with time and event id, sorted.
    #[must_use]
    pub fn follows(&self) -> &[FollowMark] {
        &self.follows
    }

    /// Position of the row of an event, wherever its time put it.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<usize> {
        self.rows.iter().rposition(|row| row.id == id)
    }

    /// The nearest rows before and after the place (time, id) that `is` picks, the nearest first, up to `count` of each. The
    /// row of the place itself, if it is there, is neither.
    pub fn around(
        &self,
        place: (u64, u64),
        count: usize,
        is: impl Fn(&Row) -> bool,
    ) -> (Vec<&Row>, Vec<&Row>) {
        let from = self.rows.partition_point(|row| (row.time, row.id) < place);
        let to = from + usize::from(self.rows.get(from).is_some_and(|row| (row.time, row.id) == place));
        let before = self.rows[..from].iter().rev().filter(|row| is(row)).take(count);
        let after = self.rows[to..].iter().filter(|row| is(row)).take(count);
        (before.collect(), after.collect())
    }

    /// Counts `row`, which came as `view`. `seen` says whether an event of this id may have been counted before; where it
    /// certainly was not, no search is needed.
    pub fn count(&mut self, view: &View, row: Row, seen: bool, now: u64, interest: &Interest) -> Counted {
        let old = if seen { self.find(view.id) } else { None };
        let replaced = match old {
            None => None,
            Some(at) if self.rows[at].gives_way_to(view, row.content.known) => {
                Some(self.remove(at, now, interest))
            }
            Some(_) => return Counted::Ignored,
        };
        self.insert(row, now, interest);
        Counted::Added(replaced)
    }

    fn insert(&mut self, row: Row, now: u64, interest: &Interest) {
        let at = self.rows.partition_point(|r| (r.time, r.id) < (row.time, row.id));
        let (mid, long) = within(&row, now, interest);
        self.mid_from += usize::from(!mid);
        self.long_from += usize::from(!long);
        self.add(&row, i32::from(mid), i32::from(long));
        let watched = Arc::make_mut(&mut self.watched);
        let place = watched.partition_point(|v| *v < row.content.video);
        watched.insert(place, row.content.video);
        if let Some(mark) = follow_mark(&row) {
            let place = self.follows.partition_point(|m| *m < mark);
            self.follows.insert(place, mark);
        }
        if self.rows.len() == self.rows.capacity() {
            // Histories are many and most are short: grow by a quarter, not to the double.
            self.rows.reserve_exact(self.rows.len() / 4 + 2);
        }
        self.rows.insert(at, row);
        if self.interests.is_none() && self.rows.len() > SHORT {
            self.interests = Some(Box::new(self.added_up()));
        }
    }

    /// Takes the row at `at` out of everything.
    pub fn remove(&mut self, at: usize, now: u64, interest: &Interest) -> Row {
        let row = self.rows.remove(at);
        let (mid, long) = within(&row, now, interest);
        self.mid_from -= usize::from(!mid);
        self.long_from -= usize::from(!long);
        self.add(&row, -i32::from(mid), -i32::from(long));
        if let Ok(place) = self.watched.binary_search(&row.content.video) {
            Arc::make_mut(&mut self.watched).remove(place);
        }
        if let Some(mark) = follow_mark(&row)
            && let Ok(place) = self.follows.binary_search(&mark)
        {
            self.follows.remove(place);
        }
        row
    }

    /// Gives the row at `at` another demographic group; the row as it was is given back.
    pub fn relabel(&mut self, at: usize, group: Group) -> Row {
        let old = self.rows[at].clone();
        self.rows[at].group = group;
        old
    }

    /// Lets rows leave the windows whose time has come.
    pub fn expire(&mut self, now: u64, interest: &Interest) {
        while let Some(row) = self.rows.get(self.mid_from) {
            if expiry(row.time, interest.mid_window, MID_BUCKET) > now {
                break;
            }
            if let Some(kept) = &mut self.interests {
                kept.add(row, -1, 0);
            }
            self.mid_from += 1;
        }
        while let Some(row) = self.rows.get(self.long_from) {
            if expiry(row.time, interest.long_window, LONG_BUCKET) > now {
                break;
            }
            if let Some(kept) = &mut self.interests {
                kept.add(row, 0, -1);
            }
            self.long_from += 1;
        }
    }

    /// When [`History::expire`] has something to do next.
    #[must_use]
    pub fn next_expiry(&self, interest: &Interest) -> Option<u64> {
        let mid = self.rows.get(self.mid_from).map(|r| expiry(r.time, interest.mid_window, MID_BUCKET));
        let long = self.rows.get(self.long_from).map(|r| expiry(r.time, interest.long_window, LONG_BUCKET));
        mid.into_iter().chain(long).min()
    }

    /// Bytes held, including the heap.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let interests = self.interests.as_ref().map_or(0, |kept| kept.bytes());
        let rows = self.rows.capacity() * size_of::<Row>();
        let lists = self.watched.capacity() * 8 + self.follows.capacity() * size_of::<FollowMark>();
        (size_of::<Self>() + interests + rows + lists) as u64
    }
}

/// Whether a row is in the mid-term and in the long-term window.
fn within(row: &Row, now: u64, interest: &Interest) -> (bool, bool) {
    (
        expiry(row.time, interest.mid_window, MID_BUCKET) > now,
        expiry(row.time, interest.long_window, LONG_BUCKET) > now,
    )
}

fn follow_mark(row: &Row) -> Option<FollowMark> {
    (row.is(Row::FOLLOW) && row.content.known).then_some((row.content.creator, row.time, row.id))
}

#[cfg(test)]
mod tests {
    use freshet_learning::Quantised;
    use freshet_schema::event::Origin;
    use freshet_schema::{EventId, Interaction, Millis, UserId, VideoId};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::content::Content;

    fn content(video: u64) -> Arc<Content> {
        let mut vector = Quantised::zero();
        for (at, entry) in vector.0.iter_mut().enumerate() {
            *entry = (at as u64 * 31 + video * 7) as i8;
        }
        let facets = vec![(Facet::Creator(video % 3), "".into()), (Facet::Sound(video % 5), "".into())];
        let space = video % 2;
        Arc::new(Content { known: video != 4, facets, space, vector, ..Content::unknown(video) })
    }

    /// What the sums say, in an order of its own.
    fn sorted(interests: &Interests) -> (Vec<SpaceSums>, Vec<(Facet, Affinity)>) {
        let mut spaces = interests.spaces.clone();
        spaces.sort_by_key(|s| s.space);
        let mut facets: Vec<_> = interests.facets.iter().map(|(f, a)| (*f, *a)).collect();
        facets.sort_by_key(|(facet, _)| *facet);
        (spaces, facets)
    }

    proptest! {
        /// Long histories keep their sums: they are those of the rows, whatever came, went and expired.
        #[test]
        fn kept_sums_are_those_of_the_rows(
            ops in vec((0u64..60, 0u64..90, 0u64..6, any::<bool>()), SHORT..80),
        ) {
            let interest = crate::params::Params::default().interest;
            let group = Group::default();
            let mut history = History::default();
            let mut now = 100 * DAY;
            for (id, (age, days, video, forget)) in ops.into_iter().enumerate() {
                now += days * HOUR;
                history.expire(now, &interest);
                if forget && history.rows().len() > SHORT {
                    history.remove(age as usize % history.rows().len(), now, &interest);
                } else {
                    let event = Interaction {
                        event_id: EventId(id as u64),
                        user_id: UserId(1),
                        video_id: VideoId(video),
                        event_time: Millis(now - age * DAY),
                        watch_ms: Some(1000 * age),
                        duration_ms: Some(60_000),
                        ..Interaction::default()
                    };
                    let view = View::new(&event, Origin::default());
                    let row = Row::new(&view, content(video), Arc::clone(&group), |_| 100, &interest);
                    history.count(&view, row, false, now, &interest);
                }
                prop_assert_eq!(sorted(&history.interests()), sorted(&history.added_up()));
            }
            prop_assert!(history.interests.is_some() || history.rows().len() <= SHORT);
        }
    }
}
