//! `GET /v1/related/{video}`: what goes with a video, what the reader asked for first.
//!
//! The stored order is everybody's. Explicit preferences, the request's or those of the user's profile, move what matches them to the
//! front and leave the order among those, and among the others, as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use freshet_schema::feed::{PreferencesRecord, RelatedRecord, Source, VideoCard};
use freshet_schema::ids::decimal;
use freshet_schema::store::Key;
use freshet_schema::{Millis, UserId, VideoId};
use serde::{Deserialize, Serialize};

use crate::negotiate::{Parameters, Path, bounded, id};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::video::unknown;
use crate::view::{Card, card, is_hidden, read, rfc3339};

/// Preferences of one request, at most.
const MAX_PREFERENCES: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelatedQuery {
    count: Option<String>,
    prefer: Option<String>,
    user: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct RelatedAnswer {
    #[serde(with = "decimal")]
    video_id: u64,
    epoch: u64,
    now_ms: u64,
    as_of: String,
    preferences: Vec<String>,
    explanation: String,
    items: Vec<RelatedView>,
}

#[derive(Serialize)]
struct RelatedView {
    #[serde(with = "decimal")]
    video_id: u64,
    position: usize,
    sources: Vec<&'static str>,
    /// The preferences that it matches.
    preferred: Vec<String>,
    card: Card,
}

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Path(video): Path<String>,
    Parameters(query): Parameters<RelatedQuery>,
) -> Result<Json<RelatedAnswer>, Problem> {
    let video: VideoId = id("video", &video)?;
    let options = &state.options;
    let count = bounded("count", query.count.as_deref(), options.page_limit_default, options.page_limit_max)?;
    let user: Option<UserId> = query.user.as_deref().map(|text| id("user", text)).transpose()?;
    let asked = query.prefer.as_deref().map(preferences).transpose()?;
    let store = &*state.store;
    let shown = card(store, video)?.ok_or_else(|| unknown(video))?;
    let (preferences, whose) = match (asked, user) {
        (Some(asked), _) => (asked, "the request"),
        (None, Some(user)) => {
            let record: Option<PreferencesRecord> = read(store, &Key::Preferences(user))?;
            (record.unwrap_or_default().hashtags, "the user's profile")
        }
        (None, None) => (Vec::new(), ""),
    };
    let record: RelatedRecord = read(store, &Key::Related(video))?.unwrap_or_default();
    let mut items = Vec::new();
    for item in &record.items {
        let Some(card) = card(store, VideoId(item.video_id))?.filter(|card| !is_hidden(card)) else {
            continue;
        };
        items.push(RelatedView {
            video_id: item.video_id,
            position: 0,
            sources: item.sources().map(Source::name).collect(),
            preferred: matching(&preferences, &card),
            card: Card::from(card),
        });
    }
    // A stable sort: the record's order holds on both sides.
    items.sort_by_key(|item| item.preferred.is_empty());
    items.truncate(count);
    for (position, item) in items.iter_mut().enumerate() {
        item.position = position;
    }
    Ok(Json(RelatedAnswer {
        video_id: video.0,
        epoch: record.epoch,
        now_ms: record.now_ms,
        as_of: rfc3339(Millis(record.now_ms)),
        explanation: explain(&shown, &items, &preferences, whose),
        preferences,
        items,
    }))
}

/// The words of `prefer`, in lower case, without a `#` before them, each once.
fn preferences(text: &str) -> Result<Vec<String>, Problem> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',').map(|word| word.trim().trim_start_matches('#').to_lowercase()) {
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
        if words.len() > MAX_PREFERENCES {
            return Err(Problem::bad_parameter(format!(
                "prefer names more than {MAX_PREFERENCES} hashtags or categories; name those that matter most"
            )));
        }
    }
    Ok(words)
}

/// Those of the preferences that name a hashtag or the category of a video.
fn matching(preferences: &[String], card: &VideoCard) -> Vec<String> {
    let names: Vec<String> =
        card.hashtags.iter().chain([&card.category]).map(|name| name.to_lowercase()).collect();
    preferences.iter().filter(|preference| names.contains(preference)).cloned().collect()
}

fn explain(shown: &VideoCard, items: &[RelatedView], preferences: &[String], whose: &str) -> String {
    if items.is_empty() {
        return if is_hidden(shown) {
            format!(
                "The video cannot be shown (its status is {:?}), so nothing is kept for it.",
                shown.status
            )
        } else {
            "Nothing is related so far: nobody has liked another video together with it, and none that can be \
             shown is like it. Records are made at the multiples of feed.pools_every."
                .to_owned()
        };
    }
    let by = "Videos that others liked together with this one, and videos that are like it";
    let first = items.iter().filter(|item| !item.preferred.is_empty()).count();
    match (preferences.is_empty(), first) {
        (true, _) => format!("{by}."),
        (false, 0) => format!("{by}; none matches the preferences of {whose}."),
        (false, first) => format!("{by}; the first {first} match the preferences of {whose}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_words() {
        assert_eq!(preferences(" #Köln, music,,MUSIC ,").unwrap(), ["köln", "music"]);
        assert!(preferences("").unwrap().is_empty());
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        assert_eq!(preferences(&many[..100].join(",")).unwrap().len(), 100);
        assert!(preferences(&many.join(",")).is_err());
    }
}
