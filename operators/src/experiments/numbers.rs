//! A user's numbers: a pure function of their rows and pages since an experiment began. All of them are whole numbers, and the unit
//! of the analysis is the user: what a user does hangs together, and users do not.

use crate::history::History;
use crate::params::DAY;
use crate::row::Row;

/// Number of metrics.
pub const METRICS: usize = 9;

/// What is compared between arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Pages served.
    Pages,
    /// Interactions.
    Views,
    /// Time watched, in milliseconds.
    WatchMs,
    /// Share of the views, of which it is known, that were watched to the end, in millionths.
    Completion,
    /// Share of the views, of which it is known, that were skipped fast, in millionths.
    Skips,
    /// Likes.
    Likes,
    /// Mean time from a session's first interaction to its last, in milliseconds.
    SessionMs,
    /// Distinct categories looked at.
    Categories,
    /// Whether there were interactions on two days (UTC) or more, in millionths: 0 or 1,000,000.
    Returning,
}

/// One, of shares.
pub const MILLION: i64 = 1_000_000;

impl Metric {
    /// All, in order.
    pub const ALL: [Self; METRICS] = [
        Self::Pages,
        Self::Views,
        Self::WatchMs,
        Self::Completion,
        Self::Skips,
        Self::Likes,
        Self::SessionMs,
        Self::Categories,
        Self::Returning,
    ];

    /// The name in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Views => "views",
            Self::WatchMs => "watch_ms",
            Self::Completion => "completion",
            Self::Skips => "skips",
            Self::Likes => "likes",
            Self::SessionMs => "session_ms",
            Self::Categories => "categories",
            Self::Returning => "returning",
        }
    }
}

/// A user's numbers by [`Metric::ALL`]; `None` where the user has none, such as a share of no views.
pub type Numbers = [Option<i64>; METRICS];

/// The numbers of a user with `rows` in the order of time and so many `pages`; `None` for who did nothing and was served nothing.
#[must_use]
pub fn of(rows: &[Row], pages: usize, session_gap: u64) -> Option<Numbers> {
    if rows.is_empty() && pages == 0 {
        return None;
    }
    let count = |is: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count() as i64;
    let share = |of: &dyn Fn(&Row) -> Option<bool>| {
        let known = count(&|row| of(row).is_some());
        (known > 0).then(|| count(&|row| of(row) == Some(true)) * MILLION / known)
    };
    let mut categories: Vec<u64> =
        rows.iter().filter(|row| row.content.known).map(|row| row.content.category).collect();
    categories.sort_unstable();
    categories.dedup();
    let days = rows.chunk_by(|a, b| a.time / DAY == b.time / DAY).count();
    let sessions = rows.chunk_by(|a, b| b.time - a.time <= session_gap);
    let (sessions, length) = sessions.fold((0u64, 0u64), |(sessions, length), session| {
        (sessions + 1, length + session.last().map_or(0, |last| last.time - session[0].time))
    });
    let watched = rows.iter().map(|row| i64::from(row.watch_ms().unwrap_or(0))).sum();
    Some([
        Some(pages as i64),
        Some(rows.len() as i64),
        Some(watched),
        share(&Row::completed),
        share(&Row::skipped),
        Some(count(&|row| row.is(Row::LIKE))),
        (sessions > 0).then(|| i64::try_from(length / sessions).unwrap_or(i64::MAX)),
        Some(categories.len() as i64),
        Some(if days > 1 { MILLION } else { 0 }),
    ])
}

/// The rows from `since` on.
#[must_use]
pub fn since(history: &History, since: u64) -> &[Row] {
    let rows = history.rows();
    &rows[rows.partition_point(|row| row.time < since)..]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_schema::event::Origin;
    use freshet_schema::{EventId, Interaction, Millis, VideoId};

    use super::*;
    use crate::content::Content;
    use crate::params::{HOUR, MINUTE, Params};
    use crate::row::View;

    fn row(time: u64, category: u64, change: impl FnOnce(&mut Interaction)) -> Row {
        let mut event = Interaction {
            event_id: EventId(time),
            event_time: Millis(time),
            video_id: VideoId(category),
            ..Interaction::default()
        };
        change(&mut event);
        let content = Content { known: category > 0, category, ..Content::unknown(category) };
        let view = View::new(&event, Origin::default());
        Row::new(&view, Arc::new(content), Arc::default(), |_| 0, &Params::default().interest)
    }

    #[test]
    fn a_user_by_hand() {
        let watched = |ms: u64| {
            move |event: &mut Interaction| (event.watch_ms, event.duration_ms) = (Some(ms), Some(10_000))
        };
        let rows = [
            row(10 * MINUTE, 1, watched(10_000)),
            row(15 * MINUTE, 2, watched(5_000)),
            row(3 * HOUR, 1, |event| event.like = true),
            row(26 * HOUR, 0, |event| event.skip = Some(true)),
        ];
        let numbers = of(&rows, 3, 30 * MINUTE).expect("they did something");
        let known = |metric: Metric| numbers[metric as usize].expect("known");
        assert_eq!(known(Metric::Pages), 3);
        assert_eq!(known(Metric::Views), 4);
        assert_eq!(known(Metric::WatchMs), 15_000);
        assert_eq!(known(Metric::Completion), 500_000, "of the two with a watch time, one");
        assert_eq!(known(Metric::Skips), 333_333, "of three, rounded down");
        assert_eq!(known(Metric::Likes), 1);
        assert_eq!(known(Metric::SessionMs), 5 * MINUTE as i64 / 3, "three sessions");
        assert_eq!(known(Metric::Categories), 2, "a video that nobody announced has none");
        assert_eq!(known(Metric::Returning), MILLION);
        assert_eq!(of(&rows[..3], 0, 30 * MINUTE).expect("rows")[Metric::Returning as usize], Some(0));
    }

    #[test]
    fn who_only_was_served_has_no_shares() {
        let numbers = of(&[], 2, 1).expect("pages");
        let none: Vec<&str> =
            Metric::ALL.into_iter().filter(|m| numbers[*m as usize].is_none()).map(Metric::name).collect();
        assert_eq!(none, ["completion", "skips", "session_ms"]);
        assert_eq!(of(&[], 0, 1), None);
        assert!(Metric::ALL.iter().enumerate().all(|(n, metric)| *metric as usize == n));
    }
}
