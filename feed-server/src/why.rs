//! `GET /v1/why/{user}/{video}`: why a video is in a user's list, or which stage kept it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use freshet_schema::feed::{DrawnArm, DroppedRecord};
use freshet_schema::ids::decimal;
use freshet_schema::store::{Key, Value};
use freshet_schema::{Millis, UserId, VideoId};
use freshet_sinks::StoreError;
use serde::Serialize;

use crate::account::{self, Account, Gap};
use crate::feed::ListKind;
use crate::negotiate::{Path, id};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::{Card, Parts, card, is_hidden, read, rfc3339, source_names};
use crate::words;

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
    policy: &'static str,
    propensity: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<DrawnArm>,
    algorithm: String,
    arms: Vec<String>,
    epoch: u64,
    now_ms: u64,
    as_of: String,
    account: Option<Account>,
    account_gap: Option<Gap>,
    explanation: String,
    card: Option<Card>,
}

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Path((user, video)): Path<(String, String)>,
) -> Result<Json<WhyAnswer>, Problem> {
    let (user, video): (UserId, VideoId) = (id("user", &user)?, id("video", &video)?);
    let store = &*state.store;
    let stored = account::gather(user, |key| {
        let decode = |bytes: freshet_sinks::Bytes| {
            Value::decode(key, &bytes).map_err(|source| StoreError::Value { key: key.to_string(), source })
        };
        store.get(key)?.map(decode).transpose()
    })?;
    let card = card(store, video)?;
    let found = stored.as_ref().and_then(|stored| {
        let at = stored.list.items.iter().position(|item| item.video_id == video.0)?;
        Some((stored, at))
    });
    let Some((stored, at)) = found else {
        let dropped: Option<DroppedRecord> = read(store, &Key::Dropped(user))?;
        let stage = dropped
            .and_then(|d| d.items.iter().find(|item| item.video_id == video.0).map(|item| item.stage()));
        let (stage, words) = match (stage, &card) {
            (Some(stage), _) => {
 let (name, words) = words::dropped(stage);
 (name, words.to_owned())
 }
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
        .with("epoch", stored.map_or(0, |stored| stored.list.epoch)));
    };
    let record = &stored.list;
    let item = &record.items[at];
    let (account, account_gap) = account::account(stored, at);
    let explanation = words::explain(stored, at, account.as_ref(), account_gap).join(" ");
    Ok(Json(WhyAnswer {
        user_id: user.0,
        video_id: video.0,
        list: if stored.own { ListKind::Own } else { ListKind::NewUser },
        rank: at + 1,
        of: record.items.len(),
        score: item.score,
        sources: source_names(item),
        parts: item.parts.map(Parts::from),
        moved_by: Some(item.moved_by.clone()).filter(|rule| !rule.is_empty()),
        policy: account::policy(item, stored.own),
        propensity: account::propensity(item),
        arm: item.arm.clone(),
        algorithm: record.algorithm.clone(),
        arms: record.arms.clone(),
        epoch: record.epoch,
        now_ms: record.now_ms,
        as_of: rfc3339(Millis(record.now_ms)),
        account,
        account_gap,
        explanation,
        card: card.map(Card::from),
    }))
}
