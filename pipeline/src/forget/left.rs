//! What the store still has of who or what was forgotten: what a certificate says of it was looked at.
//!
//! A user is named by the values under the user's own keys and by no other, and an interaction by none. A video is named by those of others,
//! too: their lists, with what is said of each place, the candidates that a list dropped, what goes with other videos, and pools. Whoever holds it in a list
//! has it made anew in the delete's epoch, but who had it dropped keeps the record until the next list. So all of them are read.

use std::collections::BTreeMap;

use anyhow::Context;
use freshet_schema::UserId;
use freshet_schema::event::Target;
use freshet_schema::store::{Key, Value};
use freshet_sinks::FeedStore;
use serde_json::{Value as Json, json};

/// Entries that are read at once.
const PAGE: usize = 256;

/// The subject's own keys, and whether the store still has them. One who has come back since has new ones.
///
/// # Errors
/// Where the store cannot be read.
pub fn keys(store: &dyn FeedStore, target: Target) -> anyhow::Result<Json> {
    let user =
        |user: UserId| vec![Key::Feed(user), Key::Account(user), Key::Dropped(user), Key::Preferences(user)];
    let keys = match target {
        Target::User { user_id } => user(user_id),
        Target::Video { video_id } => {
            vec![Key::Video(video_id), Key::Related(video_id), Key::Cohort(video_id)]
        }
        Target::Interaction { .. } => Vec::new(),
    };
    let mut held = serde_json::Map::new();
    for key in keys {
        let there = store.get(&key)?.is_some();
        held.insert(key.to_string(), json!(if there { "there" } else { "gone" }));
    }
    Ok(Json::Object(held))
}

/// How many values may name a video (`read`), and how many of them name this one, by kind of key (`naming`; empty where none does). Null
/// for a user and an interaction, which no value under another's key names.
///
/// # Errors
/// Where the store cannot be read, or a value is none of its key's kind.
pub fn named(store: &dyn FeedStore, target: Target) -> anyhow::Result<Json> {
    let Target::Video { video_id } = target else { return Ok(Json::Null) };
    let mut read = 0_u64;
    let mut naming: BTreeMap<&str, u64> = BTreeMap::new();
    for page in store.pages("", PAGE) {
        for (key, bytes) in page? {
            let Some(kind) = naming_kind(&key) else { continue };
            let value = Value::decode(&key, &bytes).with_context(|| format!("the value of {key}"))?;
            read += 1;
            if names(&value, video_id.0) {
                *naming.entry(kind).or_default() += 1;
            }
        }
    }
    Ok(json!({ "read": read, "naming": naming }))
}

/// The kind of a key whose value names videos of others.
fn naming_kind(key: &Key) -> Option<&'static str> {
    match key {
        Key::Feed(_) => Some("feed"),
        Key::NewUser(_) => Some("newuser"),
        Key::Account(_) => Some("account"),
        Key::Dropped(_) => Some("dropped"),
        Key::Related(_) => Some("related"),
        Key::Trending(_) => Some("trending"),
        Key::Video(_)
        | Key::Cohort(_)
        | Key::Heads(_)
        | Key::Preferences(_)
        | Key::Experiments
        | Key::Diversity => None,
    }
}

fn names(value: &Value, video: u64) -> bool {
    match value {
        Value::Feed(list) => list.items.iter().any(|item| item.video_id == video),
        Value::Account(of) => of.items.iter().any(|item| item.video_id == video),
        Value::Dropped(of) => of.items.iter().any(|item| item.video_id == video),
        Value::Related(of) => of.video_id == video || of.items.iter().any(|item| item.video_id == video),
        Value::Trending(pool) => pool.items.iter().any(|item| item.video_id == video),
        Value::Video(_)
        | Value::Cohort(_)
        | Value::Heads(_)
        | Value::Preferences(_)
        | Value::Experiments(_)
        | Value::Diversity(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::feed::{
        Account, AccountRecord, CohortRecord, Dropped, DroppedRecord, FeedItem, FeedRecord, RelatedItem,
        RelatedRecord, TrendingItem, TrendingRecord, VideoCard,
    };
    use freshet_schema::{Epoch, VideoId};
    use freshet_sinks::{Commit, Memory};

    use super::*;

    /// Every kind of value that names videos names 7 once and 8 otherwise.
    fn store() -> Memory {
        let (one, two) = (UserId(1), UserId(2));
        let item = |video_id| FeedItem { video_id, ..FeedItem::default() };
        let list =
            |video| Value::Feed(FeedRecord { items: vec![item(8), item(video)], ..FeedRecord::default() });
        let account = Account { video_id: 7, ..Account::default() };
        let values = [
            (Key::Feed(one), list(7)),
            (Key::Feed(two), list(9)),
            (Key::NewUser("all".to_owned()), list(7)),
            (
                Key::Account(one),
                Value::Account(AccountRecord { items: vec![account], ..AccountRecord::default() }),
            ),
            (
                Key::Dropped(two),
                Value::Dropped(DroppedRecord {
                    items: vec![Dropped { video_id: 7, ..Dropped::default() }],
                    ..DroppedRecord::default()
                }),
            ),
            (
                Key::Related(VideoId(8)),
                Value::Related(RelatedRecord {
                    video_id: 8,
                    items: vec![RelatedItem { video_id: 7, ..RelatedItem::default() }],
                    ..RelatedRecord::default()
                }),
            ),
            (
                Key::Trending("all".to_owned()),
                Value::Trending(TrendingRecord {
                    items: vec![TrendingItem { video_id: 7, score: 1.0 }],
                    ..TrendingRecord::default()
                }),
            ),
            (Key::Video(VideoId(8)), Value::Video(VideoCard { video_id: 8, ..VideoCard::default() })),
            (Key::Cohort(VideoId(7)), Value::Cohort(CohortRecord { video_id: 7, ..CohortRecord::default() })),
        ];
        let mut changes = values.map(|(key, value)| (key, Some(value.encode()))).to_vec();
        changes.sort_by_key(|(key, _)| key.to_string());
        let store = Memory::default();
        store.commit(&Commit { epoch: Epoch(1), changes }).expect("committed");
        store
    }

    #[test]
    fn a_video_is_looked_for_in_every_value_that_may_name_it() {
        let store = store();
        let of = |video: u64| named(&store, Target::Video { video_id: VideoId(video) }).expect("readable");
        let each =
            json!({ "feed": 1, "newuser": 1, "account": 1, "dropped": 1, "related": 1, "trending": 1 });
        assert_eq!(of(7), json!({ "read": 7, "naming": each }));
        assert_eq!(of(6), json!({ "read": 7, "naming": {} }));
        assert_eq!(named(&store, Target::User { user_id: UserId(1) }).expect("nothing to read"), Json::Null);
    }

    #[test]
    fn the_life_of_a_video_is_its_own_key() {
        let held = keys(&store(), Target::Video { video_id: VideoId(7) }).expect("readable");
        assert_eq!(held, json!({ "video:7": "gone", "related:7": "gone", "cohort:7": "there" }));
    }
}
