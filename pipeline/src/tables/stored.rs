//! Tables of what lies outside the graph: the lists in the store, and the dead letters.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use anyhow::Context;
use freshet_feed_server::account;
use freshet_schema::UserId;
use freshet_schema::feed::{FeedRecord, Source};
use freshet_schema::store::{Key, Value as Stored};
use freshet_sinks::store::Pinned;
use serde::Deserialize;

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;

/// Lists that are read at a time.
const PAGE: usize = 64;

pub const FEEDS: &[Column] = &[
    column("user_id", ColumnType::Id, "whose list"),
    column("place", ColumnType::Count, "from 1, the best"),
    column("video_id", ColumnType::Id, "the video"),
    column(
        "score",
        ColumnType::Real,
        "what an offer is worth: the chance that it is taken up x the weighted objectives",
    ),
    column("sources", ColumnType::Texts, "the candidate sources that brought it"),
    maybe("similarity", ColumnType::Real, "(1 + cosine of user and video) / 2, in [0, 1]"),
    maybe("quality", ColumnType::Real, "performance against its cohort's average; 1 is the average"),
    maybe("creator_score", ColumnType::Real, "engagement with the creator against all; 1 is the average"),
    maybe("freshness", ColumnType::Real, "2^(-age / half-life), in (0, 1]"),
    column(
        "policy",
        ColumnType::Text,
        "what decided the place: `rank`, `novelty`, `popular`, `explore`, `cohort` or `bandit`",
    ),
    column(
        "propensity",
        ColumnType::Real,
        "the chance with which it gave the place to this video, in (0, 1]",
    ),
    column("moved_by", ColumnType::Texts, "the re-ranking rules that moved it"),
    column("algorithm", ColumnType::Text, "what made the list"),
    column("heads_version", ColumnType::Id, "the published weights that scored it; 0 before any publication"),
    column("list_epoch", ColumnType::Count, "the epoch that the list was made in"),
    column("made_at", ColumnType::Time, "the pipeline's clock of that epoch, UTC"),
    column("interest_drift", ColumnType::Flag, "the interest moved abruptly"),
    column("obsession_loop", ColumnType::Flag, "the last videos were almost alike"),
];

/// The rows of the lists of some users, or of all.
pub fn feeds(store: &dyn Pinned, keys: Option<&[u64]>, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    match keys {
        Some(keys) => {
            for user in keys {
                let key = Key::Feed(UserId(*user));
                if let Some(bytes) = store.get(&key)?
                    && !feed(&key, &bytes, rows)?
                {
                    return Ok(());
                }
            }
        }
        None => {
            let mut from: Option<String> = None;
            loop {
                let page = store.scan("feed:", from.as_deref(), PAGE)?;
                let Some((last, _)) = page.last() else { return Ok(()) };
                // The smallest text above the last key.
                from = Some(format!("{last}\0"));
                for (key, bytes) in &page {
                    if !feed(key, bytes, rows)? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

fn feed(key: &Key, bytes: &[u8], rows: &mut Rows<'_>) -> anyhow::Result<bool> {
    let Stored::Feed(list) = Stored::decode(key, bytes).with_context(|| format!("the value of {key}"))?
    else {
        return Ok(true);
    };
    Ok(list.items.iter().zip(1..).all(|(item, place)| place_row(&list, item, place, rows)))
}

fn place_row(
    list: &FeedRecord,
    item: &freshet_schema::feed::FeedItem,
    place: i64,
    rows: &mut Rows<'_>,
) -> bool {
    let part = |part: Option<f32>| part.map_or(Value::Null, |part| Value::Real(part.into()));
    let parts = item.parts.as_ref();
    let moved = item.moved_by.split(',').filter(|rule| !rule.is_empty());
    rows.row(&[
        Value::Id(list.user_id),
        Value::Count(place),
        Value::Id(item.video_id),
        Value::Real(item.score.into()),
        Value::Texts(item.sources().map(Source::name).map(Cow::Borrowed).collect()),
        part(parts.map(|parts| parts.similarity)),
        part(parts.map(|parts| parts.quality)),
        part(parts.map(|parts| parts.creator)),
        part(parts.map(|parts| parts.freshness)),
        Value::text(account::policy(item, true)),
        Value::Real(account::propensity(item).into()),
        Value::Texts(moved.map(Cow::Borrowed).collect()),
        Value::text(&list.algorithm),
        Value::Id(list.heads_version),
        Value::count(list.epoch as usize),
        Value::Time(list.now_ms),
        Value::Flag(list.interest_drift),
        Value::Flag(list.obsession_loop),
    ])
}

pub const DEAD_LETTERS: &[Column] = &[
    column("epoch", ColumnType::Count, "the epoch that met it"),
    column("number", ColumnType::Count, "which of the epoch's, from 1"),
    column("file", ColumnType::Text, "the file or partition"),
    column("position", ColumnType::Count, "the byte or offset at which it begins there"),
    column("stage", ColumnType::Text, "what refused it"),
    column("reason", ColumnType::Text, "why, as a word"),
    column("detail", ColumnType::Text, "why, in words"),
    column("raw", ColumnType::Text, "the record as it came, or its Base64 where it is no text"),
    maybe("raw_base64", ColumnType::Flag, "whether `raw` is Base64"),
];

#[derive(Deserialize)]
struct Line<'a> {
    epoch: u64,
    number: u64,
    file: Cow<'a, str>,
    offset: u64,
    stage: Cow<'a, str>,
    reason: Cow<'a, str>,
    detail: Cow<'a, str>,
    raw: Cow<'a, str>,
    #[serde(default)]
    raw_base64: bool,
}

/// The dead letters up to the moment's epoch. Lines are in the order of epochs.
pub fn dead_letters(path: &Path, moment: &Moment, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.with_context(|| path.display().to_string())?,
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        reader.read_until(b'\n', &mut line).with_context(|| path.display().to_string())?;
        if !line.ends_with(b"\n") {
            break;
        }
        let letter: Line<'_> = serde_json::from_slice(&line)
            .with_context(|| format!("{}: line {number} is no dead letter", path.display()))?;
        if letter.epoch > moment.epoch {
            break;
        }
        let row = [
            Value::count(letter.epoch as usize),
            Value::count(letter.number as usize),
            Value::Text(letter.file),
            Value::count(letter.offset as usize),
            Value::Text(letter.stage),
            Value::Text(letter.reason),
            Value::Text(letter.detail),
            Value::Text(letter.raw),
            Value::Flag(letter.raw_base64),
        ];
        if !rows.row(&row) {
            break;
        }
    }
    Ok(())
}
