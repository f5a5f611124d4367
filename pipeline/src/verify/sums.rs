//! Sums over the rows that count.

use std::collections::BTreeMap;

use freshet_operators::checkpoint::kept::Kept;
use freshet_operators::content::{Facet, duration_class};
use freshet_operators::history::expiry;
use freshet_operators::params::Params;
use freshet_operators::popularity::{QUICK, contribution, first_kept};
use freshet_operators::row::Row;
use freshet_operators::sums::{Span, Sums, WindowSums};
use freshet_operators::windows::{ALL_TIME, WINDOWS};
use freshet_schema::hash;
use freshet_schema::store::EVERYONE;

use super::compare::{maps, with};
use super::past::Past;
use super::report::ViewReport;

/// Adds field by field.
pub(super) fn plus(to: &mut Sums, more: &Sums) {
    to.views += more.views;
    to.watch_ms += more.watch_ms;
    to.watched_known += more.watched_known;
    to.watched += more.watched;
    to.completed += more.completed;
    to.skip_known += more.skip_known;
    to.skipped += more.skipped;
    to.rewatched += more.rewatched;
    to.likes += more.likes;
    to.dislikes += more.dislikes;
    to.shares += more.shares;
    to.comments += more.comments;
    to.follows += more.follows;
}

/// What a row contributes.
fn of(row: &Row) -> Sums {
    let one = i64::from;
    Sums {
        views: 1,
        watch_ms: row.watch_ms().map_or(0, i64::from),
        watched_known: one(row.watched().is_some()),
        watched: row.watched().map_or(0, i64::from),
        completed: one(row.completed() == Some(true)),
        skip_known: one(row.skipped().is_some()),
        skipped: one(row.skipped() == Some(true)),
        rewatched: one(row.rewatched() == Some(true)),
        likes: one(row.is(Row::LIKE)),
        dislikes: one(row.is(Row::DISLIKE)),
        shares: one(row.is(Row::SHARE)),
        comments: one(row.is(Row::COMMENT)),
        follows: one(row.is(Row::FOLLOW)),
    }
}

fn is_nothing(sums: &Sums) -> bool {
    *sums == Sums::default()
}

fn by_video(past: &Past, wanted: Span) -> BTreeMap<u64, WindowSums> {
    let mut all: BTreeMap<u64, WindowSums> = BTreeMap::new();
    for (_, row) in past.summed_rows() {
        let mut add =
            |window: usize| plus(&mut all.entry(row.content.video).or_default().0[window], &of(row));
        for (length, bucket, span, window) in WINDOWS {
            if span == wanted && expiry(row.time, length, bucket) > past.now {
                add(window);
            }
        }
        if ALL_TIME.0 == wanted {
            add(ALL_TIME.1);
        }
    }
    all.retain(|_, sums| !sums.0.iter().all(is_nothing));
    all
}

fn video(video: &u64) -> String {
    format!("video {video}")
}

fn windows(names: [&'static str; 2]) -> impl Fn(&WindowSums) -> String {
    move |sums| format!("{}: {:?}; {}: {:?}", names[0], sums.0[0], names[1], sums.0[1])
}

/// The last hour and the last day.
pub fn recent(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    with(&kept.recent_sums, &by_video(past, Span::Recent), video, windows(["1 h", "24 h"]))
}

/// The last week and all time.
pub fn lasting(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    with(&kept.video_sums, &by_video(past, Span::Lasting), video, windows(["7 d", "all"]))
}

/// What waits to leave each window.
pub fn waiting(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let mut expected: BTreeMap<(u8, u64, u64), Sums> = BTreeMap::new();
    for (_, row) in past.summed_rows() {
        for (number, (length, bucket, ..)) in (0u8..).zip(WINDOWS) {
            let leaves = expiry(row.time, length, bucket);
            if leaves > past.now {
                plus(expected.entry((number, leaves, row.content.video)).or_default(), &of(row));
            }
        }
    }
    expected.retain(|_, sums| !is_nothing(sums));
    with(
        &kept.waiting,
        &expected,
        |(window, leaves, video)| format!("video {video}, window {window}, leaving at {leaves}"),
        |sums| format!("{sums:?}"),
    )
}

/// Decayed attention with everybody and in each demographic group.
pub fn popularity(kept: &Kept, past: &Past, params: &Params) -> ViewReport {
    let mut expected: BTreeMap<(u64, Facet, u32), i64> = BTreeMap::new();
    for (_, row) in past.summed_rows() {
        let (period, amount) = contribution(row.popularity(), row.time, params.score.popularity_half_life);
        let mut add = |group| *expected.entry((row.content.video, group, period)).or_default() += amount;
        add(Facet::Everyone);
        if row.group.as_str() != EVERYONE {
            add(Facet::Demographic(hash::text(&row.group)));
        }
    }
    expected.retain(|_, amount| *amount != 0);
    with(
        &kept.popularity,
        &expected,
        |(video, group, period)| format!("video {video}, {group:?}, period {period}"),
        |amount| amount.to_string(),
    )
}

/// Quick attention by video, and everybody's at both paces, over the periods that still count.
pub fn attention(kept: &Kept, past: &Past, params: &Params) -> ViewReport {
    let plain = params.score.popularity_half_life;
    let quick = (plain / QUICK).max(1);
    let oldest = first_kept(past.now, quick);
    let mut videos: BTreeMap<(u64, u32), i64> = BTreeMap::new();
    let mut everybody = [BTreeMap::new(), BTreeMap::new()];
    for (_, row) in past.summed_rows() {
        let (period, amount) = contribution(row.popularity(), row.time, plain);
        *everybody[0].entry(period).or_default() += amount;
        let (period, amount) = contribution(row.popularity(), row.time, quick);
        *everybody[1].entry(period).or_default() += amount;
        *videos.entry((row.content.video, period)).or_default() += amount;
    }
    videos.retain(|(_, period), amount| *amount != 0 && *period >= oldest);
    for sums in &mut everybody {
        sums.retain(|_, amount: &mut i64| *amount != 0);
    }
    everybody[1].retain(|period, _| *period >= oldest);
    let held: BTreeMap<(u64, u32), i64> = kept
        .quick
        .iter()
        .filter(|((_, period), amount)| *period >= oldest && **amount != 0)
        .map(|(key, amount)| (*key, *amount))
        .collect();
    let mut held_everybody = kept.attention.clone();
    held_everybody[1].retain(|period, _| *period >= oldest);
    let name = |pace: &'static str| move |period: &u32| format!("everybody, {pace} pace, period {period}");
    with(&held, &videos, |(video, period)| format!("video {video}, period {period}"), i64::to_string)
        .and(with(&held_everybody[0], &everybody[0], name("plain"), i64::to_string))
        .and(with(&held_everybody[1], &everybody[1], name("quick"), i64::to_string))
}

/// Two parts of sums: what was published, and what came since.
fn both<K: Ord + Copy>(published: &BTreeMap<K, Sums>, since: &BTreeMap<K, Sums>) -> BTreeMap<K, Sums> {
    let mut all = published.clone();
    for (key, sums) in since {
        plus(all.entry(*key).or_default(), sums);
    }
    all.retain(|_, sums| !is_nothing(sums));
    all
}

fn known_by<K: Ord>(past: &Past, key: impl Fn(&Row) -> K) -> BTreeMap<K, Sums> {
    let mut all: BTreeMap<K, Sums> = BTreeMap::new();
    for (_, row) in past.summed_rows().filter(|(_, row)| row.content.known) {
        plus(all.entry(key(row)).or_default(), &of(row));
    }
    all
}

/// All time by creator.
pub fn creators(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let held = both(&kept.creator_sums, &kept.unpublished_creators);
    let expected = known_by(past, |row| row.content.creator);
    with(&held, &expected, |creator| format!("creator {creator}"), |sums| format!("{sums:?}"))
}

/// All time by category and duration class.
pub fn cohorts(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    maps(&both(&kept.cohort_sums, &kept.unpublished_cohorts), &known_by(past, |row| row.content.cohort()))
}

/// Views by duration class and watched part in per cent.
pub fn watched(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let mut held = kept.watched_parts.clone();
    for (key, views) in &kept.unpublished_watched {
        *held.entry(*key).or_default() += views;
    }
    held.retain(|_, views| *views != 0);
    let mut expected: BTreeMap<(u8, u8), i64> = BTreeMap::new();
    for (_, row) in past.summed_rows().filter(|(_, row)| row.content.known) {
        if let Some(part) = row.watched() {
            *expected.entry((duration_class(row.content.duration_ms), (part / 10) as u8)).or_default() += 1;
        }
    }
    with(
        &held,
        &expected,
        |(class, part)| format!("duration class {class}, {part} % watched"),
        |views| format!("{views} views"),
    )
}
