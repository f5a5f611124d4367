//! The loop closes: what a user does over HTTP is in the next list.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::harness::{SELDOM, dump, number, records, same, videos, wait_for};
use crate::service::Service;
use crate::world::world;

const STRANGER: u64 = 999_999_999_999;

/// Users with a list that was ranked for them, most items first.
pub fn ranked_users(dir: &Path) -> Vec<u64> {
    let records = records(&dump(dir, "store"));
    let lists =
        records.iter().filter(|(key, list)| key.starts_with("feed:") && list["algorithm"] == "heads-1");
    let mut users: Vec<(usize, u64)> = lists
        .map(|(_, list)| (videos(list).len(), number(&list["user_id"])))
        .filter(|(n, _)| *n > 20)
        .collect();
    users.sort_unstable();
    assert!(users.len() > 10, "too few ranked lists: {}", users.len());
    users.into_iter().rev().map(|(_, user)| user).collect()
}

/// How many users' lists hold each video.
fn holders(dump: &str) -> BTreeMap<u64, usize> {
    let mut holders = BTreeMap::new();
    for (_, list) in records(dump).iter().filter(|(key, _)| key.starts_with("feed:")) {
        for video in videos(list) {
            *holders.entry(video).or_default() += 1;
        }
    }
    holders
}

#[test]
fn a_click_changes_the_list_and_forgetting_it_changes_it_back() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 11, 1_500);
    let service = Service::start(dir.path());
    let user = ranked_users(dir.path())[0];
    let before = service.feed(user);
    let video = videos(&before)[0];
    assert_eq!(before["list"], "own");

    let click =
        json!({"event_id": 900_001, "user_id": user, "video_id": video, "watch_ms": 60_000, "like": true});
    let after = service.post_and_see(&click, user);
    assert!(!videos(&after).contains(&video), "what was watched does not come back");
    let (status, why) = service.get(&format!("/v1/why/{user}/{video}"));
    assert_eq!((status, &why["stage"]), (404, &json!("watched")), "{why}");

    // The same record again changes nothing; a forgotten one has never been.
    service.post(&click);
    let forget = json!({"kind": "deletes", "event_id": 900_002, "target": "interaction", "user_id": user, "target_event_id": 900_001});
    let again = service.post_and_see(&forget, user);
    assert!(videos(&again).contains(&video), "the best of the list is a candidate again: {again}");
    let why = service.found(&format!("/v1/why/{user}/{video}"));
    assert_eq!(number(&why["video_id"]), video);

    // A forgotten user is a stranger.
    assert_eq!(service.feed(STRANGER)["list"], "new_user");
    service.post(&json!({"kind": "deletes", "event_id": 900_003, "target": "user", "user_id": user}));
    let strange =
        wait_for("the new-user list", || Some(service.feed(user)).filter(|feed| feed["list"] == "new_user"));
    assert!(!videos(&strange).is_empty());
    // It may be made anew between two looks at it.
    wait_for("the list of a stranger", || {
        (videos(&service.feed(user)) == videos(&service.feed(STRANGER))).then_some(())
    });
    service.stop();
}

#[test]
fn a_deleted_or_removed_video_is_in_no_list_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 12, 1_500);
    let service = Service::start(dir.path());
    let whole = dump(dir.path(), "store");
    let held = holders(&whole);
    let trending = records(&whole).remove("trending:all").expect("a global pool");
    let mut popular = videos(&trending);
    popular.sort_by_key(|video| Reverse(held.get(video)));
    let (deleted, removed) = (popular[0], popular[1]);
    assert!(held[&deleted] > 5 && held[&removed] > 5, "videos that nobody has show nothing");

    service.post(&json!({"kind": "deletes", "event_id": 900_001, "target": "video", "video_id": deleted}));
    service.post(&json!({"kind": "uploads", "event_id": 900_002, "video_id": removed, "creator_id": 1,
                         "created_at": 1_649_347_200_000u64, "status": "removed"}));
    wait_for("no user's list to hold them", || {
        let held = holders(&dump(dir.path(), "store"));
        (!held.contains_key(&deleted) && !held.contains_key(&removed)).then_some(())
    });
    // Pools and new-user lists are published on the hour; what is handed out does not wait for that.
    let strangers: Vec<u64> = service.scroll(STRANGER, 40);
    assert!(!strangers.contains(&removed), "a stranger is shown a video that was taken down");
    assert!(!strangers.contains(&deleted), "a stranger is shown a video that was deleted");
    let trending = videos(&service.found("/v1/trending?limit=100"));
    assert!(!trending.is_empty());
    assert!(!trending.contains(&removed), "trending shows a video that was taken down");
    assert!(!trending.contains(&deleted), "trending shows a video that was deleted");
    let user = ranked_users(dir.path())[0];
    let (status, why) = service.get(&format!("/v1/why/{user}/{deleted}"));
    assert_eq!((status, &why["stage"]), (404, &json!("unknown_video")), "{why}");
    let (status, why) = service.get(&format!("/v1/why/{user}/{removed}"));
    assert_eq!((status, &why["stage"]), (404, &json!("not_ready")), "{why}");
    service.stop();
}

#[test]
fn a_chain_shows_everything_once_while_lists_are_remade() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 13, 1_500);
    let service = Service::start(dir.path());
    let users = ranked_users(dir.path());
    for user in [users[0], users[1], STRANGER] {
        for limit in [1, 7, 100] {
            let all = service.scroll(user, limit);
            let unique: BTreeSet<u64> = all.iter().copied().collect();
            assert_eq!(unique.len(), all.len(), "user {user}, pages of {limit}: {all:?}");
            assert!(all.len() > 20, "user {user}, pages of {limit}: {all:?}");
        }
    }

    // A page, a click that remakes the list, the next page: still nothing twice.
    let user = users[0];
    let mut seen = Vec::new();
    let mut path = format!("/v1/feed/{user}?limit=5");
    let mut epochs = BTreeSet::new();
    for turn in 0..6u64 {
        let page: Json = service.found(&path);
        let shown = videos(&page);
        epochs.insert(number(&page["epoch"]));
        assert!(shown.iter().all(|video| !seen.contains(video)), "page {turn}: {shown:?} after {seen:?}");
        seen.extend(&shown);
        let click =
            json!({"event_id": 910_000 + turn, "user_id": user, "video_id": shown[0], "watch_ms": 40_000});
        service.post_and_see(&click, user);
        let cursor = page["next_cursor"].as_str().expect("there is more");
        path = format!("/v1/feed/{user}?limit=5&cursor={cursor}");
    }
    assert_eq!(epochs.len(), 6, "each page was read from a list of its own");
    service.stop();
}

#[test]
fn a_restart_serves_the_same_lists_and_knows_what_was_posted() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 14, 1_500);
    std::fs::write(dir.path().join("seldom.toml"), SELDOM).expect("written");
    let start =
        || Service::launch(dir.path(), &["--input", "log", "--config", "seldom.toml"], Stdio::inherit());
    let service = start();
    let users = ranked_users(dir.path());
    let mut clicked = Vec::new();
    for (at, user) in (0u64..).zip(&users[..5]) {
        let video = videos(&service.feed(*user))[0];
        let click = json!({"event_id": 920_000 + at, "user_id": user, "video_id": video, "watch_ms": 9_000, "share": true});
        service.post_and_see(&click, *user);
        clicked.push((*user, video));
    }
    let feeds: Vec<Json> = clicked.iter().map(|(user, _)| service.feed(*user)).collect();
    service.stop();
    let whole = dump(dir.path(), "store");

    // The store is thrown away: the journal and the log are enough to make the same bytes, live epochs included.
    std::fs::rename(dir.path().join("store/kv"), dir.path().join("kv.before")).expect("renamed");
    let service = start();
    same(&whole, &dump(dir.path(), "store"), "before the restart and after it");
    for ((user, video), before) in clicked.iter().zip(&feeds) {
        let after = service.feed(*user);
        assert_eq!((&after["epoch"], &after["items"]), (&before["epoch"], &before["items"]));
        assert_eq!(service.get(&format!("/v1/why/{user}/{video}")).1["stage"], "watched");
    }
    // And it goes on from there.
    let user = users[6];
    let video = videos(&service.feed(user))[0];
    let click = json!({"event_id": 930_000, "user_id": user, "video_id": video, "watch_ms": 9_000});
    assert!(!videos(&service.post_and_see(&click, user)).contains(&video));
    service.stop();
}
