//! Tables whose rows are videos, or places of videos.

use std::borrow::Cow;

use freshet_operators::content::{Content, Facet};
use freshet_operators::look::Record;
use freshet_operators::pools::group_name;
use freshet_operators::shelf::rank_to_log2;
use freshet_schema::VideoId;
use freshet_schema::feed::VideoCard;
use freshet_schema::store::{Key, Value as Stored};

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;

const MILLION: f64 = 1_000_000.0;

pub const VIDEOS: &[Column] = &[
    column("video_id", ColumnType::Id, "the video"),
    column("creator_id", ColumnType::Id, "its maker"),
    column(
        "status",
        ColumnType::Text,
        "`ready` or what the upload said; others than ready ones are in no list",
    ),
    column("ready", ColumnType::Flag, "whether it may be shown"),
    column("created_at", ColumnType::Time, "first publication, UTC"),
    column("updated_at", ColumnType::Time, "time of the upload event that holds, UTC"),
    maybe("duration_ms", ColumnType::Count, "length in milliseconds; null where unknown"),
    maybe("category", ColumnType::Text, "its category"),
    maybe("sound_id", ColumnType::Id, "its sound"),
    column("hashtags", ColumnType::Texts, "in lower case, in the order of their hashes"),
    column("caption", ColumnType::Text, "as uploaded"),
    maybe("topic_id", ColumnType::Id, "what long-term interest counts it under, as in `topics`"),
    column("space_id", ColumnType::Id, "hash of its embedding space's name"),
];

/// The card's columns: decoded only where they are asked for.
const CARD: [usize; 2] = [2, 10];

/// What long-term interest counts a video under, as a number.
pub fn topic_id(topic: Facet) -> Option<u64> {
    match topic {
        Facet::Category(id) | Facet::Topic(id) => Some(id),
        _ => None,
    }
}

fn named(content: &Content, is: impl Fn(Facet) -> bool) -> impl Iterator<Item = &str> {
    content.facets.iter().filter(move |(facet, _)| is(*facet)).map(|(_, name)| &**name)
}

pub fn videos(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Video(video) = record else { return true };
    let content = video.content;
    let card = if CARD.iter().any(|at| rows.wants(*at..at + 1)) {
        match Stored::decode(&Key::Video(VideoId(content.video)), video.card) {
            Ok(Stored::Video(card)) => card,
            _ => VideoCard::default(),
        }
    } else {
        VideoCard::default()
    };
    let sound = content.facets.iter().find_map(|(facet, _)| match facet {
        Facet::Sound(sound) => Some(*sound),
        _ => None,
    });
    let category = named(content, |facet| matches!(facet, Facet::Category(_))).next();
    let hashtags = if rows.wants(9..10) {
        named(content, |facet| matches!(facet, Facet::Hashtag(_))).map(Cow::Borrowed).collect()
    } else {
        Vec::new()
    };
    rows.row(&[
        Value::Id(content.video),
        Value::Id(content.creator),
        Value::text(&card.status),
        Value::Flag(content.ready),
        Value::Time(content.created_at),
        Value::Time(video.event_time),
        if content.duration_ms == 0 { Value::Null } else { Value::count(content.duration_ms as usize) },
        category.map_or(Value::Null, Value::text),
        sound.map_or(Value::Null, Value::Id),
        Value::Texts(hashtags),
        Value::text(&card.caption),
        content.topic.and_then(topic_id).map_or(Value::Null, Value::Id),
        Value::Id(content.space),
    ])
}

pub const VIDEO_SCORES: &[Column] = &[
    column("video_id", ColumnType::Id, "the video"),
    column("candidate", ColumnType::Flag, "whether it can be in a list"),
    column(
        "popularity",
        ColumnType::Real,
        "engagement-weighted interactions, decayed by `score.popularity_half_life`; a full watch just now counts 1",
    ),
    column(
        "attention",
        ColumnType::Real,
        "the same with a quarter of the half-life: what rises is above popularity's share",
    ),
    maybe(
        "rank",
        ColumnType::Real,
        "what pools are ordered by: log2 of the decayed popularity with a new video's prior, on a scale that does not change with time; null where it is no candidate",
    ),
    column(
        "quality",
        ColumnType::Real,
        "performance against the average of its category and length, shrunk; 1 is the average",
    ),
    column(
        "creator_score",
        ColumnType::Real,
        "engagement with its creator against all creators, 0.5 to 2; 1 is the average",
    ),
    column("freshness", ColumnType::Real, "2^(-age / `score.freshness_half_life`), in (0, 1]"),
    column("week_views", ColumnType::Count, "interactions of the last seven days"),
];

pub fn video_scores(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Standing(standing) = record else { return true };
    rows.row(&[
        Value::Id(standing.video),
        Value::Flag(standing.candidate),
        Value::Real(standing.popularity),
        Value::Real(standing.attention),
        standing.rank.map_or(Value::Null, |rank| Value::Real(rank.into())),
        Value::Real(f64::from(standing.quality) / MILLION),
        Value::Real(f64::from(standing.creator) / MILLION),
        Value::Real(f64::from(standing.freshness) / MILLION),
        Value::Count(standing.week_views),
    ])
}

pub const TRENDING: &[Column] = &[
    column(
        "pool",
        ColumnType::Text,
        "`all`, `hashtag:NAME`, `sound:ID`, `creator:ID`, `category:NAME` or `demographic:NAME`",
    ),
    column("place", ColumnType::Count, "from 1, the best"),
    column("video_id", ColumnType::Id, "the video"),
    column(
        "score",
        ColumnType::Real,
        "log2 of the decayed popularity when the pool was published, on a scale that does not change with time",
    ),
];

pub fn trending(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Pool(facet, name, items) = record else { return true };
    let name = group_name(facet, name);
    (1..).zip(items).all(|(place, (video, rank))| {
        rows.row(&[
            Value::text(&name),
            Value::Count(place),
            Value::Id(*video),
            Value::Real(rank_to_log2(*rank).into()),
        ])
    })
}

pub const TOPICS: &[Column] = &[
    column("topic_id", ColumnType::Id, "as in `videos.topic_id` and `user_interests.topic_id`"),
    column("space_id", ColumnType::Id, "hash of the embedding space's name"),
    column("kind", ColumnType::Text, "`topic` for a trained one, `category` for one that stands in for it"),
    column(
        "version",
        ColumnType::Count,
        "the publication: the multiple of `score.publish_every` that the clock had reached",
    ),
];

pub fn topics(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Published(published) = record else { return true };
    let version = Value::Count(i64::try_from(published.version).unwrap_or(i64::MAX));
    published.topics.places().all(|(space, facet)| {
        let kind = if matches!(facet, Facet::Topic(_)) { "topic" } else { "category" };
        let Some(id) = topic_id(facet) else { return true };
        rows.row(&[Value::Id(id), Value::Id(space), Value::text(kind), version.clone()])
    })
}
