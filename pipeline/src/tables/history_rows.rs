//! Tables of the interactions that count.

use freshet_operators::look::Record;
use freshet_operators::row::Row;

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;

pub const INTERACTIONS: &[Column] = &[
    column("user_id", ColumnType::Id, "who"),
    column("event_id", ColumnType::Id, "identity within the user"),
    column("video_id", ColumnType::Id, "what"),
    column("event_time", ColumnType::Time, "when, UTC"),
    column("revision", ColumnType::Count, "of two with one identity the higher revision holds"),
    column("video_known", ColumnType::Flag, "whether the video's upload was known when it was counted"),
    maybe(
        "creator_id",
        ColumnType::Id,
        "the video's maker as it was then; null where the video was not known",
    ),
    maybe("watch_ms", ColumnType::Count, "time watched in milliseconds"),
    maybe("watched_part", ColumnType::Real, "watched part in [0, 1]"),
    maybe("completed", ColumnType::Flag, "watched to the end"),
    maybe("skipped", ColumnType::Flag, "skipped fast"),
    maybe("rewatched", ColumnType::Flag, "played again"),
    column("liked", ColumnType::Flag, "liked"),
    column("disliked", ColumnType::Flag, "disliked"),
    column("shared", ColumnType::Flag, "shared"),
    column("commented", ColumnType::Flag, "commented on"),
    column("followed", ColumnType::Flag, "followed the creator from here"),
    column(
        "weight",
        ColumnType::Real,
        "how much the user cared: the watched part unless skipped, plus a like's share; a dislike turns that share around",
    ),
    column(
        "demographic",
        ColumnType::Text,
        "the user's demographic group when it was counted, `all` where none was known",
    ),
];

pub fn interactions(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Person(person) = record else { return true };
    person.rows().iter().all(|row| {
        let known = row.content.known;
        rows.row(&[
            Value::Id(person.user),
            Value::Id(row.id),
            Value::Id(row.content.video),
            Value::Time(row.time),
            Value::Count(row.revision.into()),
            Value::Flag(known),
            if known { Value::Id(row.content.creator) } else { Value::Null },
            Value::maybe_count(row.watch_ms()),
            row.watched().map_or(Value::Null, |part| Value::Real(f64::from(part) / 1_000.0)),
            Value::maybe_flag(row.completed()),
            Value::maybe_flag(row.skipped()),
            Value::maybe_flag(row.rewatched()),
            Value::Flag(row.is(Row::LIKE)),
            Value::Flag(row.is(Row::DISLIKE)),
            Value::Flag(row.is(Row::SHARE)),
            Value::Flag(row.is(Row::COMMENT)),
            Value::Flag(row.is(Row::FOLLOW)),
            Value::Real(f64::from(row.weight) / 1_000.0),
            Value::text(row.group.as_str()),
        ])
    })
}

pub const SESSIONS: &[Column] = &[
    column("user_id", ColumnType::Id, "who"),
    column("number", ColumnType::Count, "which of the user's sittings, from 1"),
    column("started_at", ColumnType::Time, "time of the first interaction, UTC"),
    column("ended_at", ColumnType::Time, "time of the last interaction, UTC"),
    column("interactions", ColumnType::Count, "interactions"),
    column("watch_ms", ColumnType::Count, "time watched in milliseconds"),
    column("likes", ColumnType::Count, "interactions with a like"),
];

pub fn sessions(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Person(person) = record else { return true };
    let gap = person.session_gap();
    let sittings = person.rows().chunk_by(|a, b| b.time - a.time <= gap);
    (1..).zip(sittings).all(|(number, sitting)| {
        let [first, ..] = sitting else { return true };
        let last = sitting.last().unwrap_or(first);
        rows.row(&[
            Value::Id(person.user),
            Value::Count(number),
            Value::Time(first.time),
            Value::Time(last.time),
            Value::count(sitting.len()),
            Value::Count(sitting.iter().map(|row| i64::from(row.watch_ms().unwrap_or(0))).sum()),
            Value::count(sitting.iter().filter(|row| row.is(Row::LIKE)).count()),
        ])
    })
}
