//! `GET /v1/trending`: the best of a pool.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use freshet_schema::feed::TrendingRecord;
use freshet_schema::ids::decimal;
use freshet_schema::store::{EVERYONE, Key};
use freshet_schema::{Millis, VideoId};
use serde::{Deserialize, Serialize};

use crate::negotiate::{Parameters, limit};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::{Card, card, is_hidden, read, rfc3339};

/// Forms of a group besides `all`.
const GROUPS: [&str; 5] = ["category:", "hashtag:", "sound:", "creator:", "demographic:"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrendingQuery {
    group: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct TrendingAnswer {
    group: String,
    epoch: u64,
    now_ms: u64,
    as_of: String,
    items: Vec<TrendingView>,
}

#[derive(Serialize)]
struct TrendingView {
    #[serde(with = "decimal")]
    video_id: u64,
    position: usize,
    score: f32,
    card: Option<Card>,
}

/// A group of a right form that nothing is stored for is an empty pool: it may fill at any time.
pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Parameters(query): Parameters<TrendingQuery>,
) -> Result<Json<TrendingAnswer>, Problem> {
    let options = &state.options;
    let limit = limit(
        query.limit.as_deref(),
        options.page_limit_default,
        options.feed_length.max(options.page_limit_max),
    )?;
    let group = query.group.unwrap_or_else(|| EVERYONE.to_owned());
    if group != EVERYONE && !GROUPS.iter().any(|form| group.len() > form.len() && group.starts_with(form)) {
        return Err(Problem::bad_parameter(format!(
            "group is {group:?}; it must be `all`, `category:NAME`, `hashtag:NAME`, `sound:ID`, `creator:ID` or \
             `demographic:COUNTRY/AGE/GENDER`"
        )));
    }
    let store = &*state.store;
    let record: TrendingRecord = read(store, &Key::Trending(group.clone()))?.unwrap_or_default();
    let mut items = Vec::new();
    for item in record.items {
        if items.len() == limit {
            break;
        }
        let card = card(store, VideoId(item.video_id))?;
        if card.as_ref().is_none_or(is_hidden) {
            continue;
        }
        let position = items.len();
        items.push(TrendingView {
            video_id: item.video_id,
            position,
            score: item.score,
            card: card.map(Card::from),
        });
    }
    Ok(Json(TrendingAnswer {
        group,
        epoch: record.epoch,
        now_ms: record.now_ms,
        as_of: rfc3339(Millis(record.now_ms)),
        items,
    }))
}
