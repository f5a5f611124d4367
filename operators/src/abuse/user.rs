//! The signals of a user: pure, from their rows and the bursts that they were in.
//!
//! The window ends with the user's last row and counts for as long again: so of a user who does nothing more the signals can only fall
//! with time, and only who did something, or has a signal, has to be looked at. What each compares is in the configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Signals;
use super::video::{SKETCHES, Sketch, hashed};
use crate::params::{Abuse, MINUTE};
use crate::row::Row;

/// Watched parts below this, in per mille, are no watching.
const UNWATCHED: u16 = 100;
/// Skips among the rows of which it is known, in per cent, up to which nothing is skipped.
const NO_SKIPS: usize = 2;

/// The numbers that a user is judged by, over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNumbers {
    /// Rows.
    pub rows: u32,
    /// Rows with a like, a share, a comment or a follow.
    pub engaged: u32,
    /// Of those, such without watching: skipped, or less than a tenth of the video.
    pub unwatched: u32,
    /// Rows of which it is known whether they were skipped.
    pub skip_known: u32,
    /// Skipped.
    pub skipped: u32,
    /// Engaged rows of the busiest minute.
    pub per_minute: u32,
    /// Videos in whose bursts the user was together with the same other one.
    pub together: u32,
    /// What follows.
    pub signals: Signals,
}

/// Whether a row is an engagement.
#[must_use]
pub fn engaged(row: &Row) -> bool {
    row.is(Row::LIKE | Row::SHARE | Row::COMMENT | Row::FOLLOW)
}

/// The bursts that a user was in, by video and time.
pub type Bursts = BTreeMap<(u64, u64), Sketch>;

/// The first and the last time of the rows that a judgement sees, of rows in the order of time; `None` where none is recent enough.
#[must_use]
pub fn seen(rows: &[Row], now: u64, abuse: &Abuse) -> Option<[u64; 2]> {
    let last = rows.last()?.time;
    (now <= last.saturating_add(abuse.window)).then(|| [(last + 1).saturating_sub(abuse.window), last])
}

/// Judges a user by their rows, which are in the order of time, and their bursts.
#[must_use]
pub fn judge(user: u64, rows: &[Row], bursts: &Bursts, now: u64, abuse: &Abuse) -> UserNumbers {
    let Some([first, _]) = seen(rows, now, abuse) else { return UserNumbers::default() };
    let rows = &rows[rows.partition_point(|row| row.time < first)..];
    let count = |is: &dyn Fn(&&Row) -> bool| rows.iter().filter(is).count();
    let unwatched = |row: &&Row| {
        engaged(row) && (row.skipped() == Some(true) || row.watched().is_some_and(|part| part < UNWATCHED))
    };
    let times: Vec<u64> = rows.iter().filter(|row| engaged(row)).map(|row| row.time).collect();
    let (all, likes, blind) = (rows.len(), times.len(), count(&unwatched));
    let skip_known = count(&|row| row.skipped().is_some());
    let skipped = count(&|row| row.skipped() == Some(true));
    let (busiest, together) = (most_within(&times, MINUTE), together(user, bursts));
    let share = |part: usize, of: usize, least: f64| part as f64 >= least * of as f64;
    let enough = likes >= abuse.least;
    let signals = Signals::default()
        .with(
            Signals::BOT,
            busiest >= abuse.per_minute || enough && share(blind, likes, abuse.unwatched_share),
        )
        .with(
            Signals::FARMING,
            enough
                && share(likes, all, abuse.farming_share)
                && skip_known >= abuse.least
                && skipped * 100 <= skip_known * NO_SKIPS,
        )
        .with(Signals::COORDINATED, together >= abuse.ring_videos);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    UserNumbers {
        rows: number(all),
        engaged: number(likes),
        unwatched: number(blind),
        skip_known: number(skip_known),
        skipped: number(skipped),
        per_minute: number(busiest),
        together: number(together),
        signals,
    }
}

/// The most of `times`, which are in order, within any stretch shorter than `length`.
fn most_within(times: &[u64], length: u64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (at, time) in times.iter().enumerate() {
        while times[first].saturating_add(length) <= *time {
            first += 1;
        }
        most = most.max(at + 1 - first);
    }
    most
}

/// The most videos whose bursts have the same least hash of somebody else.
fn together(user: u64, bursts: &Bursts) -> usize {
    let own = hashed(user);
    let mut videos: BTreeMap<(usize, u64), BTreeSet<u64>> = BTreeMap::new();
    for ((video, _), sketch) in bursts {
        for n in (0..SKETCHES).filter(|n| sketch[*n] != own[*n]) {
            videos.entry((n, sketch[n])).or_default().insert(*video);
        }
    }
    videos.values().map(BTreeSet::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_schema::event::{Interaction, Origin};
    use freshet_schema::{EventId, Millis, UserId, VideoId};

    use super::super::video::sketch;
    use super::*;
    use crate::content::Content;
    use crate::params::{DAY, Params, SECOND};
    use crate::row::{Group, View};

    /// A row at `time` of 10 s of video, of which `watch` ms were watched.
    fn row(time: u64, watch: u64, like: bool, skip: bool) -> Row {
        let event = Interaction {
            event_id: EventId(time),
            user_id: UserId(1),
            video_id: VideoId(time),
            event_time: Millis(time),
            watch_ms: Some(watch),
            duration_ms: Some(10_000),
            skip: Some(skip),
            like,
            ..Interaction::default()
        };
        let view = View::new(&event, Origin::default());
        let content = Arc::new(Content::unknown(time));
        Row::new(&view, content, Group::default(), |_| 100, &Params::default().interest)
    }

    fn signals(rows: &[Row], now: u64) -> Signals {
        judge(1, rows, &Bursts::new(), now, &Params::default().abuse).signals
    }

    #[test]
    fn a_person_has_no_signals() {
        // Watches some, skips some, likes one of ten.
        let rows: Vec<Row> = (0..200).map(|n| row(n * 10 * SECOND, 4_000, n % 10 == 0, n % 2 == 1)).collect();
        assert_eq!(signals(&rows, 2_000 * SECOND), Signals::default());
        // Somebody who likes much, and skips now and then.
        let rows: Vec<Row> =
            (0..200).map(|n| row(n * 20 * SECOND, 9_000, n % 10 != 0, n % 10 == 0)).collect();
        assert_eq!(signals(&rows, 4_000 * SECOND), Signals::default());
        assert_eq!(signals(&[], 0), Signals::default());
    }

    #[test]
    fn a_program_likes_without_watching_or_faster_than_people_do() {
        let blind: Vec<Row> = (0..20).map(|n| row(n * 60 * SECOND, 500, n % 2 == 0, n % 2 == 1)).collect();
        assert_eq!(signals(&blind, DAY), Signals::BOT);
        let fast: Vec<Row> = (0..40).map(|n| row(n * 2 * SECOND, 1_900, n % 2 == 0, n % 2 == 1)).collect();
        assert_eq!(signals(&fast, DAY), Signals::BOT);
        let numbers = judge(1, &fast, &Bursts::new(), DAY, &Params::default().abuse);
        assert_eq!((numbers.rows, numbers.engaged, numbers.per_minute, numbers.unwatched), (40, 20, 15, 0));
    }

    #[test]
    fn a_farm_likes_everything_and_skips_nothing() {
        let farm: Vec<Row> = (0..12).map(|n| row(n * 60 * SECOND, 10_000, n != 3, false)).collect();
        assert_eq!(signals(&farm, DAY), Signals::FARMING);
        let mut likes = farm.clone();
        likes.truncate(8);
        assert_eq!(signals(&likes, DAY), Signals::default(), "too few");
    }

    #[test]
    fn signals_fall_when_the_window_is_over() {
        let farm: Vec<Row> = (0..12).map(|n| row(n * 60 * SECOND, 10_000, true, false)).collect();
        let abuse = Params::default().abuse;
        let last = farm[11].time;
        assert_eq!(signals(&farm, last + abuse.window), Signals::FARMING);
        assert_eq!(signals(&farm, last + abuse.window + 1), Signals::default());
    }

    #[test]
    fn who_is_always_there_with_the_same_others_is_in_lockstep() {
        let abuse = Params::default().abuse;
        let ring = [1, 2, 3, 4, 5, 6];
        let rows = [row(DAY, 9_000, true, false)];
        let of = |members: &dyn Fn(u64) -> Vec<u64>| -> Bursts {
            (1..=4).map(|video| ((video, video * 7), sketch(members(video).into_iter()))).collect()
        };
        let lockstep = |bursts: &Bursts| {
            let user = |user: &u64| judge(*user, &rows, bursts, DAY, &abuse).signals == Signals::COORDINATED;
            ring.iter().filter(|member| user(member)).count()
        };
        assert_eq!(lockstep(&of(&|_| ring.to_vec())), ring.len());
        // One and the same user among ever others: whoever likes much is not yet a ring.
        let alone = of(&|video| (1..2).chain(video * 100..video * 100 + 5).collect());
        assert_eq!(alone.len(), 4);
        assert_eq!(judge(1, &rows, &alone, DAY, &abuse).signals, Signals::default());
        assert_eq!(judge(1, &rows, &alone, DAY, &abuse).together, 1);
    }

    #[test]
    fn the_busiest_stretch() {
        assert_eq!(most_within(&[], 10), 0);
        assert_eq!(most_within(&[0, 9, 10, 19, 50], 10), 2);
        assert_eq!(most_within(&[5, 5, 5, 14], 10), 4);
    }
}
