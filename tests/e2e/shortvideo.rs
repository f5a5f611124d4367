//! The main job on real input: four days of a public short-video log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;

use crate::harness::{number, ok, records, replay, root, videos};
use crate::world::read;

const FILE: &str = "shortvideo_tsinghua_0916_0920.parquet";
/// `feed.per_category` of `feed.category_window`, as the defaults have them.
const PER_CATEGORY: usize = 3;
const WINDOW: usize = 10;

/// Compares with `golden/NAME`, or rewrites it where `UPDATE_GOLDEN` is set.
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("the golden file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        expected,
        actual,
        "{} differs; UPDATE_GOLDEN=1 rewrites it, then review the diff",
        path.display()
    );
}

/// What is known of a video: its category and whether it can be shown.
type Cards = BTreeMap<u64, (String, bool)>;

/// At most three of a category among ten neighbours; where a fourth stands, nothing that came later or was dropped for the
/// length or the category would have fitted there.
fn check_spread(list: &Json, dropped: &[u64], cards: &Cards) {
    let items = videos(list);
    let category = |video: &u64| cards[video].0.as_str();
    for (at, video) in items.iter().enumerate() {
        let neighbours = &items[at.saturating_sub(WINDOW - 1)..at];
        let fits = |video: &u64| {
            let own = category(video);
            own.is_empty() || neighbours.iter().filter(|other| category(other) == own).count() < PER_CATEGORY
        };
        if !fits(video) {
            let better = items[at..].iter().chain(dropped).find(|other| fits(other));
            assert_eq!(
                better,
                None,
                "place {at} of user {} is a fourth {}",
                list["user_id"],
                category(video)
            );
        }
    }
}

/// Each score is what its account says (`explain.rs` takes accounts apart), and each place says who decided and by what chance.
fn check_scores(list: &Json, account: &Json) {
    assert_eq!(list["epoch"], account["epoch"], "an account of this very list");
    assert_eq!(list["heads_version"], account["heads_version"]);
    let (items, accounts) =
        (list["items"].as_array().expect("items"), account["items"].as_array().expect("items"));
    assert_eq!(items.len(), accounts.len(), "an account of each place");
    for (item, account) in items.iter().zip(accounts) {
        assert_eq!(item["video_id"], account["video_id"]);
        assert_eq!(item["score"], account["value"], "{item}");
        assert!(item["score"].as_f64().is_some_and(|score| score > 0.0), "{item}");
        assert!(item["propensity"].as_f64().is_some_and(|chance| chance > 0.0 && chance <= 1.0), "{item}");
        assert!(item["policy"].as_u64().is_some_and(|policy| (1..=4).contains(&policy)), "{item}");
        let part = |name: &str| item["parts"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {item}"));
        let (similarity, freshness) = (part("similarity"), part("freshness"));
        assert!((0.0..=1.0).contains(&similarity) && freshness > 0.0 && freshness <= 1.0, "{item}");
        assert!(!item["sources"].as_array().expect("sources").is_empty(), "{item}");
    }
}

#[test]
fn real_events_become_lists_that_keep_their_rules() {
    let file = root().join("../shared/data").join(FILE);
    if !file.is_file() {
        eprintln!("SKIPPED: {FILE} is not there; the end-to-end run on real events was NOT made");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let report = ok(dir, &["import", "shortvideo", &file.display().to_string(), "--out", "log"]);
    golden("shortvideo_import.txt", &report.replace(&file.display().to_string(), FILE));

    let mut watched: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let views = read(dir, "log", "interactions");
    for view in &views {
        watched.entry(number(&view["user_id"])).or_default().insert(number(&view["video_id"]));
    }
    assert_eq!((views.len(), watched.len()), (19_358, 1_287));

    let records = records(&replay(dir, "log", "store", "1"));
    assert!(
        !dir.join("store/dead-letters.jsonl").metadata().is_ok_and(|m| m.len() > 0),
        "an import is clean"
    );
    let cards: Cards = records
        .iter()
        .filter(|(key, _)| key.starts_with("video:"))
        .map(|(_, card)| {
            let category = card["category"].as_str().unwrap_or_default().to_owned();
            (number(&card["video_id"]), (category, card["status"] == "ready"))
        })
        .collect();
    assert_eq!(cards.len(), read(dir, "log", "uploads").len(), "a card for each video");
    assert!(cards.values().filter(|(category, _)| !category.is_empty()).count() > 100);

    let mut lists = 0;
    let mut ranked = 0;
    for (user, seen) in &watched {
        let list = records.get(&format!("feed:{user}")).unwrap_or_else(|| panic!("user {user} has no list"));
        let items = videos(list);
        assert_eq!(number(&list["user_id"]), *user);
        assert!((1..=100).contains(&items.len()), "user {user} has {} items", items.len());
        assert_eq!(items.iter().collect::<BTreeSet<_>>().len(), items.len(), "user {user} has one twice");
        for video in &items {
            assert!(cards.get(video).is_some_and(|(_, ready)| *ready), "{video} of user {user} is not ready");
            assert!(!seen.contains(video), "user {user} has watched {video}");
        }
        check_scores(list, &records[&format!("account:{user}")]);
        lists += 1;
        if list["algorithm"] == "heads-1" {
            ranked += 1;
            // Those that the watched stage dropped were no candidates (1 is STAGE_WATCHED); a near-duplicate (4) is worse
            // than a fourth of a category; and what the light rank left behind (10) was not looked at.
            let dropped = records.get(&format!("dropped:{user}")).map(|record| record["items"].clone());
            let dropped: Vec<u64> = dropped
                .iter()
                .flat_map(|items| items.as_array().expect("items"))
                .filter(|item| ![1, 4, 10].iter().any(|stage| item["stage"] == *stage))
                .map(|item| number(&item["video_id"]))
                .collect();
            check_spread(list, &dropped, &cards);
        }
    }
    assert_eq!(lists, records.keys().filter(|key| key.starts_with("feed:")).count(), "lists of nobody");
    assert!(ranked * 10 > lists * 9, "{ranked} of {lists} lists are ranked");
    assert!(videos(&records["trending:all"]).len() >= 100);
    assert!(!videos(&records["newuser:all"]).is_empty());
    let pools = records.keys().filter(|key| key.starts_with("trending:hashtag:")).count();
    assert!(pools > 10, "{pools} hashtags have a pool");
}
