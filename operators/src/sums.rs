//! The counters of a video, a creator or a cohort: an abelian group of whole numbers, used as the difference type of
//! differential arrangements.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Semigroup};
use serde::{Deserialize, Serialize};

use crate::row::Row;

/// Sums over a set of interactions. Where a signal is absent from an interaction it enters neither its sum nor its count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sums {
    /// Interactions.
    pub views: i64,
    /// Time watched, in milliseconds.
    pub watch_ms: i64,
    /// Interactions whose watched part is known.
    pub watched_known: i64,
    /// Sum of watched parts, in per mille.
    pub watched: i64,
    /// Watched to the end, among those whose watched part is known.
    pub completed: i64,
    /// Interactions of which it is known whether they were skipped fast.
    pub skip_known: i64,
    /// Skipped fast.
    pub skipped: i64,
    /// Played again.
    pub rewatched: i64,
    /// Liked.
    pub likes: i64,
    /// Disliked.
    pub dislikes: i64,
    /// Shared.
    pub shares: i64,
    /// Commented on.
    pub comments: i64,
    /// Followed the creator from here.
    pub follows: i64,
}

impl Sums {
    /// What one interaction contributes.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let count = i64::from;
        let watched = row.watched();
        Self {
            views: 1,
            watch_ms: i64::from(row.watch_ms().unwrap_or(0)),
            watched_known: count(watched.is_some()),
            watched: i64::from(watched.unwrap_or(0)),
            completed: count(row.completed() == Some(true)),
            skip_known: count(row.skipped().is_some()),
            skipped: count(row.skipped() == Some(true)),
            rewatched: count(row.rewatched() == Some(true)),
            likes: count(row.is(Row::LIKE)),
            dislikes: count(row.is(Row::DISLIKE)),
            shares: count(row.is(Row::SHARE)),
            comments: count(row.is(Row::COMMENT)),
            follows: count(row.is(Row::FOLLOW)),
        }
    }

    /// `self` as many times as `n` says, negative for a retraction.
    #[must_use]
    pub fn times(self, n: i64) -> Self {
        Self {
            views: self.views * n,
            watch_ms: self.watch_ms * n,
            watched_known: self.watched_known * n,
            watched: self.watched * n,
            completed: self.completed * n,
            skip_known: self.skip_known * n,
            skipped: self.skipped * n,
            rewatched: self.rewatched * n,
            likes: self.likes * n,
            dislikes: self.dislikes * n,
            shares: self.shares * n,
            comments: self.comments * n,
            follows: self.follows * n,
        }
    }
}

impl IsZero for Sums {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for Sums {
    fn plus_equals(&mut self, other: &Self) {
        self.views += other.views;
        self.watch_ms += other.watch_ms;
        self.watched_known += other.watched_known;
        self.watched += other.watched;
        self.completed += other.completed;
        self.skip_known += other.skip_known;
        self.skipped += other.skipped;
        self.rewatched += other.rewatched;
        self.likes += other.likes;
        self.dislikes += other.dislikes;
        self.shares += other.shares;
        self.comments += other.comments;
        self.follows += other.follows;
    }
}

impl Monoid for Sums {
    fn zero() -> Self {
        Self::default()
    }
}

impl Abelian for Sums {
    fn negate(&mut self) {
        *self = self.times(-1);
    }
}

/// Which of a video's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Span {
    /// The last hour and the last day.
    Recent,
    /// The last week and all time: what videos are judged by.
    Lasting,
}

/// A video's sums over the two windows of a [`Span`], the shorter one first. The windows end at different times, so with all
/// four in one sum each end would copy all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowSums(pub [Sums; 2]);

impl IsZero for WindowSums {
    fn is_zero(&self) -> bool {
        self.0.iter().all(IsZero::is_zero)
    }
}

impl Semigroup for WindowSums {
    fn plus_equals(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.plus_equals(theirs);
        }
    }
}

impl Monoid for WindowSums {
    fn zero() -> Self {
        Self::default()
    }
}

impl Abelian for WindowSums {
    fn negate(&mut self) {
        for sums in &mut self.0 {
            sums.negate();
        }
    }
}
