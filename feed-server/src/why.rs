//! `GET /v1/why/{user}/{video}`: why a video is in a user's list, or which stage kept it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use freshet_schema::feed::{DroppedRecord, FeedItem, FeedRecord, Source, Stage};
use freshet_schema::ids::decimal;
use freshet_schema::store::Key;
use freshet_schema::{Millis, UserId, VideoId};
use serde::Serialize;

use crate::feed::{ListKind, decode, find};
use crate::negotiate::{Path, id};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::{Card, Parts, card, is_hidden, read, rfc3339, source_names};

#[derive(Serialize)]
pub(crate) struct WhyAnswer {
    #[serde(with = "decimal")]
    user_id: u64,
    #[serde(with = "decimal")]
    video_id: u64,
    list: ListKind,
    /// From 1.
    rank: usize,
    of: usize,
    score: f32,
    sources: Vec<&'static str>,
    parts: Option<Parts>,
    moved_by: Option<String>,
    algorithm: String,
    epoch: u64,
    now_ms: u64,
    as_of: String,
    explanation: String,
    card: Option<Card>,
}

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Path((user, video)): Path<(String, String)>,
) -> Result<Json<WhyAnswer>, Problem> {
    let (user, video): (UserId, VideoId) = (id("user", &user)?, id("video", &video)?);
    let store = &*state.store;
    let (list, found) = find(store, user, None)?;
    let record = decode(found, user)?;
    let card = card(store, video)?;
    let Some(at) = record.items.iter().position(|item| item.video_id == video.0) else {
        let dropped: Option<DroppedRecord> = read(store, &Key::Dropped(user))?;
        let stage = dropped
            .and_then(|d| d.items.iter().find(|item| item.video_id == video.0).map(|item| item.stage()));
        let (stage, words) = match (stage, &card) {
            (Some(stage), _) => dropped_words(stage),
            (None, None) => ("unknown_video", "no upload of it has reached the store, or it was deleted".to_owned()),
            (None, Some(card)) if is_hidden(card) => {
                ("not_ready", format!("its status is {:?}; only ready videos are candidates", card.status))
            }
            (None, Some(_)) => (
                "not_a_candidate",
                "no source brought it: the user follows nobody who made it, likes none of its hashtags or its sound \
                 enough, and it is not among the trending"
                    .to_owned(),
            ),
        };
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-listed",
            "The video is not in the list",
            format!("video {video} is not in the list of user {user}: {words}"),
        )
        .with("stage", stage)
        .with("user_id", user.to_string())
        .with("video_id", video.to_string())
        .with("epoch", record.epoch));
    };
    let item = &record.items[at];
    Ok(Json(WhyAnswer {
        user_id: user.0,
        video_id: video.0,
        list,
        rank: at + 1,
        of: record.items.len(),
        score: item.score,
        sources: source_names(item),
        parts: item.parts.map(Parts::from),
        moved_by: Some(item.moved_by.clone()).filter(|rule| !rule.is_empty()),
        explanation: explain(list, &record, item, at + 1),
        algorithm: record.algorithm.clone(),
        epoch: record.epoch,
        now_ms: record.now_ms,
        as_of: rfc3339(Millis(record.now_ms)),
        card: card.map(Card::from),
    }))
}

fn dropped_words(stage: Stage) -> (&'static str, String) {
    match stage {
        Stage::Watched => ("watched", "the user has watched it".to_owned()),
        Stage::CategoryCap => {
            ("category_cap", "the rule of three videos a category left no place for it".to_owned())
        }
        Stage::Twin => {
            ("twin", "a near-duplicate of it, with the same sound and caption, has a place".to_owned())
        }
        Stage::Similarity => ("similarity", "it is too much like its neighbours".to_owned()),
        Stage::Creator => ("creator", "its creator has places already".to_owned()),
        Stage::Fatigue => ("fatigue", "the user has tired of what it shows".to_owned()),
        Stage::Taste => {
            ("taste", "others share something with what the user liked first, and passed it".to_owned())
        }
        Stage::Slot => ("slot", "a place that was drawn went to another".to_owned()),
        Stage::LightRank => {
            ("light_rank", "it was too far behind the other candidates to be looked at closely".to_owned())
        }
        Stage::Length => ("length", "it ranked below the end of the list".to_owned()),
        Stage::Unspecified => {
            ("unspecified", "it was a candidate and was dropped by a stage of another release".to_owned())
        }
    }
}

/// The reason in one or two sentences.
fn explain(list: ListKind, record: &FeedRecord, item: &FeedItem, rank: usize) -> String {
    let brought: Vec<&str> = item.sources().map(source_words).collect();
    let brought = if brought.is_empty() { "it is listed".to_owned() } else { join(&brought) };
    let mut text = match list {
        ListKind::Own => format!("Number {rank} of {}, because {brought}.", record.items.len()),
        ListKind::NewUser | ListKind::None => {
            format!("Number {rank} of {} in the list for new users, because {brought}.", record.items.len())
        }
    };
    if let Some(parts) = &item.parts {
        text.push_str(&format!(
            " Its score {:.3} is similarity {:.3} x quality {:.3} x creator {:.3} x freshness {:.3}.",
            item.score, parts.similarity, parts.quality, parts.creator, parts.freshness
        ));
    }
    if !item.moved_by.is_empty() {
        text.push_str(&format!(" The rule \"{}\" moved it from its place by score.", item.moved_by));
    }
    text
}

fn source_words(source: Source) -> &'static str {
    match source {
        Source::Unspecified => "a source of another release brought it",
        Source::Followed => "the user follows its creator",
        Source::Hashtag => "it carries a hashtag that the user likes",
        Source::Sound => "it uses a sound that the user likes",
        Source::Trending => "it is trending",
        Source::Demographic => "it is popular in the user's group",
        Source::Exploration => "it was drawn to be tried out",
        Source::Next => "others watched it next after what the user watched last",
        Source::Similar => "it is like what the user watches",
        Source::CoEngaged => "others liked it together with what the user watched last",
    }
}

fn join(parts: &[&str]) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
