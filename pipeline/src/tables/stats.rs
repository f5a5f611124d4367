//! Tables of sums.

use freshet_operators::look::Record;
use freshet_operators::sums::{Span, Sums};

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;

pub const VIDEO_STATS: &[Column] = &[
    column("video_id", ColumnType::Id, "the video"),
    column(
        "span",
        ColumnType::Text,
        "`1h`, `24h`, `7d` or `all`; a window ends with the snapshot's clock and begins at a full minute, quarter of an hour or hour",
    ),
    column("views", ColumnType::Count, "interactions"),
    column("watch_ms", ColumnType::Count, "time watched in milliseconds"),
    maybe(
        "watched_part",
        ColumnType::Real,
        "mean watched part in [0, 1], where it is known; null where it never is",
    ),
    column("watched_known", ColumnType::Count, "interactions whose watched part is known"),
    column("completed", ColumnType::Count, "of these, watched to the end"),
    column(
        "skip_known",
        ColumnType::Count,
        "interactions of which it is known whether they were skipped fast",
    ),
    column("skipped", ColumnType::Count, "of these, skipped fast"),
    column("rewatched", ColumnType::Count, "played again"),
    column("likes", ColumnType::Count, "liked"),
    column("dislikes", ColumnType::Count, "disliked"),
    column("shares", ColumnType::Count, "shared"),
    column("comments", ColumnType::Count, "commented on"),
    column("follows", ColumnType::Count, "followed the creator from here"),
];

/// The columns from `views` on.
fn sums(sums: &Sums) -> [Value<'static>; 13] {
    [
        Value::Count(sums.views),
        Value::Count(sums.watch_ms),
        Value::ratio(sums.watched, sums.watched_known.saturating_mul(1_000)),
        Value::Count(sums.watched_known),
        Value::Count(sums.completed),
        Value::Count(sums.skip_known),
        Value::Count(sums.skipped),
        Value::Count(sums.rewatched),
        Value::Count(sums.likes),
        Value::Count(sums.dislikes),
        Value::Count(sums.shares),
        Value::Count(sums.comments),
        Value::Count(sums.follows),
    ]
}

pub fn video_stats(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Sums(video, span, windows) = record else { return true };
    let names = match span {
        Span::Recent => ["1h", "24h"],
        Span::Lasting => ["7d", "all"],
    };
    let held = names.into_iter().zip(&windows.0).filter(|(_, held)| **held != Sums::default());
    let mut row = |(name, held): (&'static str, &Sums)| {
        let key = [Value::Id(video), Value::text(name)];
        rows.row(&key.into_iter().chain(sums(held)).collect::<Vec<_>>())
    };
    held.into_iter().all(&mut row)
}

pub const CREATORS: &[Column] = &[
    column("creator_id", ColumnType::Id, "the creator"),
    column("views", ColumnType::Count, "interactions with their videos"),
    column("watch_ms", ColumnType::Count, "time watched in milliseconds"),
    maybe("watched_part", ColumnType::Real, "mean watched part in [0, 1], where it is known"),
    column("watched_known", ColumnType::Count, "interactions whose watched part is known"),
    column("completed", ColumnType::Count, "of these, watched to the end"),
    column(
        "skip_known",
        ColumnType::Count,
        "interactions of which it is known whether they were skipped fast",
    ),
    column("skipped", ColumnType::Count, "of these, skipped fast"),
    column("rewatched", ColumnType::Count, "played again"),
    column("likes", ColumnType::Count, "liked"),
    column("dislikes", ColumnType::Count, "disliked"),
    column("shares", ColumnType::Count, "shared"),
    column("comments", ColumnType::Count, "commented on"),
    column("follows", ColumnType::Count, "followed from one of their videos"),
    maybe(
        "score",
        ColumnType::Real,
        "engagement against all creators, 0.5 to 2; null before the first publication that saw the creator",
    ),
];

pub fn creators(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Creator(creator, held, score) = record else { return true };
    let score = score.map_or(Value::Null, |score| Value::Real(f64::from(score) / 1_000_000.0));
    rows.row(&[Value::Id(creator)].into_iter().chain(sums(held)).chain([score]).collect::<Vec<_>>())
}
