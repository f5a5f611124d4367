//! Tables whose rows are users, or what they care for.

use std::borrow::Cow;
use std::collections::HashMap;

use freshet_operators::content::Facet;
use freshet_operators::look::{PersonLook, Record};

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;
use super::videos::topic_id;

pub const USERS: &[Column] = &[
    column("user_id", ColumnType::Id, "the user"),
    column("interactions", ColumnType::Count, "interactions that count"),
    maybe("first_at", ColumnType::Time, "the first of them, UTC"),
    maybe("last_at", ColumnType::Time, "the last of them, UTC"),
    column("watch_ms", ColumnType::Count, "time watched in milliseconds"),
    column("likes", ColumnType::Count, "interactions with a like"),
    maybe("demographic", ColumnType::Text, "the demographic group of the profile; null without a profile"),
    column("preferences", ColumnType::Texts, "hashtags that the profile asks for, in lower case"),
    column("follows", ColumnType::Count, "creators followed"),
    column("listed", ColumnType::Count, "videos in the list as the graph knows it"),
    column(
        "drift",
        ColumnType::Flag,
        "the short- and mid-term interest have parted (`interest.drift_below`)",
    ),
    column("obsession", ColumnType::Flag, "the last videos are almost alike (`interest.obsession_above`)"),
    column(
        "narrowed",
        ColumnType::Flag,
        "lists have become too narrow for the user and are widened (`rerank.narrow_last`)",
    ),
];

pub fn users(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Person(person) = record else { return true };
    let history = person.rows();
    let time =
        |row: Option<&freshet_operators::row::Row>| row.map_or(Value::Null, |row| Value::Time(row.time));
    let interest = rows.wants(10..13).then(|| person.interest());
    let watched: i64 = history.iter().map(|row| i64::from(row.watch_ms().unwrap_or(0))).sum();
    let likes = history.iter().filter(|row| row.is(freshet_operators::row::Row::LIKE)).count();
    let tags = person.profile.map_or(&[][..], |profile| &profile.tags);
    rows.row(&[
        Value::Id(person.user),
        Value::count(history.len()),
        time(history.first()),
        time(history.last()),
        Value::Count(watched),
        Value::count(likes),
        person.profile.map_or(Value::Null, |profile| Value::text(profile.group.as_str())),
        Value::Texts(tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect()),
        if rows.wants(8..9) { Value::count(person.follows().len()) } else { Value::Null },
        Value::count(person.listed.len()),
        Value::Flag(interest.as_ref().is_some_and(|interest| interest.drift)),
        Value::Flag(interest.as_ref().is_some_and(|interest| interest.obsession)),
        Value::Flag(interest.as_ref().is_some_and(|interest| interest.narrowed)),
    ])
}

/// The names of the facets that a user's rows have.
fn names<'a>(person: &'a PersonLook<'_>) -> HashMap<Facet, &'a str> {
    let facets = person.rows().iter().flat_map(|row| &row.content.facets);
    facets.map(|(facet, name)| (*facet, &**name)).collect()
}

pub const USER_INTERESTS: &[Column] = &[
    column("user_id", ColumnType::Id, "the user"),
    column("topic_id", ColumnType::Id, "as in `videos.topic_id`"),
    column("kind", ColumnType::Text, "`topic` for a trained one, `category` for one that stands in for it"),
    maybe("name", ColumnType::Text, "the category's name; null for a trained topic"),
    column(
        "weight",
        ColumnType::Real,
        "what was watched and liked of it over `interest.long_window`, in full watches",
    ),
    column(
        "share",
        ColumnType::Real,
        "its share of all topics with a positive weight; those above `interest.topic_share` make the long-term vector",
    ),
    column("interactions", ColumnType::Count, "interactions of the window that count under it"),
];

pub fn user_interests(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Person(person) = record else { return true };
    let interest = person.interest();
    // A video counts under its trained topic or, where its space has none, under its category.
    let mut topics: Vec<Facet> = person.rows().iter().filter_map(|row| row.content.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let of_topics = interest.facets.iter().filter(|(facet, _)| topics.binary_search(facet).is_ok());
    let weighed: Vec<_> = of_topics.filter(|(_, affinity)| affinity.rows > 0).collect();
    let whole: i64 = weighed.iter().map(|(_, affinity)| i64::from(affinity.long.max(0))).sum();
    let names = if rows.wants(3..4) { names(person) } else { HashMap::new() };
    weighed.into_iter().all(|(facet, affinity)| {
        let Some(id) = topic_id(*facet) else { return true };
        let kind = if matches!(facet, Facet::Topic(_)) { "topic" } else { "category" };
        let share = if whole == 0 { 0.0 } else { f64::from(affinity.long.max(0)) / whole as f64 };
        rows.row(&[
            Value::Id(person.user),
            Value::Id(id),
            Value::text(kind),
            names.get(facet).map_or(Value::Null, |name| Value::text(*name)),
            Value::Real(f64::from(affinity.long) / 1_000.0),
            Value::Real(share),
            Value::Count(affinity.rows.into()),
        ])
    })
}

pub const USER_FACETS: &[Column] = &[
    column("user_id", ColumnType::Id, "the user"),
    column("kind", ColumnType::Text, "`hashtag`, `sound`, `creator`, `category` or `topic`"),
    maybe(
        "name",
        ColumnType::Text,
        "the hashtag or category, or the number of the sound or creator; null for a trained topic",
    ),
    column(
        "mid",
        ColumnType::Real,
        "affinity over `interest.mid_window`, in full watches; a dislike counts against it",
    ),
    column("long", ColumnType::Real, "the same over `interest.long_window`"),
    column("interactions", ColumnType::Count, "interactions of the long window that have it"),
];

pub fn user_facets(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Person(person) = record else { return true };
    let interest = person.interest();
    let names = if rows.wants(2..3) { names(person) } else { HashMap::new() };
    interest.facets.iter().all(|(facet, affinity)| {
        let kind = match facet {
            Facet::Hashtag(_) => "hashtag",
            Facet::Sound(_) => "sound",
            Facet::Creator(_) => "creator",
            Facet::Category(_) => "category",
            Facet::Topic(_) => "topic",
            // Pools alone are keyed by these.
            Facet::Everyone | Facet::Demographic(_) | Facet::Next(_) | Facet::With(_) => return true,
        };
        rows.row(&[
            Value::Id(person.user),
            Value::text(kind),
            names.get(facet).map_or(Value::Null, |name| Value::text(*name)),
            Value::Real(f64::from(affinity.mid) / 1_000.0),
            Value::Real(f64::from(affinity.long) / 1_000.0),
            Value::Count(affinity.rows.into()),
        ])
    })
}
