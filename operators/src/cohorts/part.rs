//! What a cohort did, as whole numbers: the sums that a stage is judged by.

use serde::{Deserialize, Serialize};

use crate::row::Row;

/// Sums over the users of a stage's cohort and their rows of its video. A group: what is taken back is subtracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Users who were invited.
    pub invited: i64,
    /// Those who were shown the video: on a page that was served, or they met it.
    pub exposed: i64,
    /// Their rows.
    pub watched: i64,
    /// Rows whose watched part is known.
    pub part_known: i64,
    /// Sum of the watched parts, in per mille.
    pub part: i64,
    /// Rows that were watched to the end, among those.
    pub completed: i64,
    /// Rows of which it is known whether they were skipped fast.
    pub skip_known: i64,
    /// Rows that were.
    pub skipped: i64,
    /// Rows that say that the user cared: see [`engaged`].
    pub engaged: i64,
}

/// Whether a row says that its user cared for the video: watched to the end, liked, shared, commented on or followed from, and
/// not disliked.
#[must_use]
pub fn engaged(row: &Row) -> bool {
    let reacted = Row::LIKE | Row::SHARE | Row::COMMENT | Row::FOLLOW;
    !row.is(Row::DISLIKE) && (row.is(reacted) || row.completed() == Some(true))
}

impl Part {
    /// What a row of an invited user contributes.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let count = |is: bool| i64::from(is);
        Self {
            invited: 0,
            exposed: 0,
            watched: 1,
            part_known: count(row.watched().is_some()),
            part: i64::from(row.watched().unwrap_or(0)),
            completed: count(row.completed() == Some(true)),
            skip_known: count(row.skipped().is_some()),
            skipped: count(row.skipped() == Some(true)),
            engaged: count(engaged(row)),
        }
    }

    fn numbers(&mut self) -> [&mut i64; 9] {
        let Self { invited, exposed, watched, part_known, part, completed, skip_known, skipped, engaged } =
            self;
        [invited, exposed, watched, part_known, part, completed, skip_known, skipped, engaged]
    }

    /// Adds `other` as many times as `sign` says.
    pub fn add(&mut self, mut other: Self, sign: i64) {
        for (own, other) in self.numbers().into_iter().zip(other.numbers()) {
            *own += *other * sign;
        }
    }
}
