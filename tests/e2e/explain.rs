//! Explanations: what the real binary says of each place can be added up to the score that it stored.

use serde_json::{Value as Json, json};

use crate::adds_up::{alterations, broken};
use crate::harness::{dump, number, ok, ok_json, records, run, videos};
use crate::live::ranked_users;
use crate::service::Service;
use crate::world::world;

const STRANGER: u64 = 999_999_999_999;

/// The scores of a user's stored list with the accounts that HTTP gives of its places.
fn accounts(service: &Service, list: &Json) -> Vec<(f64, Json)> {
    let user = number(&list["user_id"]);
    let items = list["items"].as_array().expect("items").iter().enumerate();
    items
        .map(|(at, item)| {
            let video = number(&item["video_id"]);
            let mut why = service.found(&format!("/v1/why/{user}/{video}"));
            assert_eq!(why["account_gap"], Json::Null, "user {user}, video {video}: {why}");
            assert_eq!((&why["rank"], &why["epoch"]), (&json!(at + 1), &list["epoch"]));
            assert_eq!((&why["score"], &why["propensity"]), (&item["score"], &item["propensity"]));
            (item["score"].as_f64().expect("a number"), why["account"].take())
        })
        .collect()
}

#[test]
fn the_parts_of_every_place_add_up_to_the_stored_score() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 21, 2_000);
    let service = Service::start(dir);
    let stored = records(&dump(dir, "store"));
    let explained = |user: &u64| {
        let list = &stored[&format!("feed:{user}")];
        stored.contains_key(&format!("heads:{}", list["heads_version"])).then_some(list)
    };
    let users = ranked_users(dir);
    let lists: Vec<&Json> = users.iter().filter_map(explained).take(6).collect();
    assert_eq!(lists.len(), 6, "lists whose weights are kept");
    let (mut learned, mut moved, mut drawn) = (0, 0, 0);
    let mut accounts_of_first = Vec::new();
    for list in lists {
        let accounts = accounts(&service, list);
        assert!(accounts.len() > 20);
        let errors = broken(&accounts);
        assert!(errors.is_empty(), "user {}: {errors:#?}", list["user_id"]);
        for (item, (_, account)) in list["items"].as_array().expect("items").iter().zip(&accounts) {
            learned += usize::from(account["estimate"]["heads"][0]["examples"].as_f64() > Some(0.0));
            moved += usize::from(account["compared"] != account["value"]);
            drawn += usize::from(item["propensity"].as_f64() < Some(1.0));
        }
        if accounts_of_first.is_empty() {
            accounts_of_first = accounts;
        }
    }
    assert!(learned > 100, "places scored by learned weights: {learned}");
    assert!(moved > 20 && drawn > 5, "places that were moved: {moved}, and drawn: {drawn}");

    // A check that nothing can fail shows nothing. Two places, to keep it short; what no weight reads cannot be told.
    accounts_of_first.truncate(2);
    let altered = alterations(&accounts_of_first);
    let total = altered.len();
    assert!(total > 1_000, "numbers: {total}");
    let unnoticed: Vec<String> =
        altered.into_iter().filter(|(_, list)| broken(list).is_empty()).map(|(path, _)| path).collect();
    assert!(unnoticed.is_empty(), "{} of {total} can be altered: {unnoticed:#?}", unnoticed.len());
    service.stop();
}

#[test]
fn the_terminal_says_what_http_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 22, 1_500);
    let service = Service::start(dir);
    let stored = records(&dump(dir, "store"));
    for user in ranked_users(dir).into_iter().take(3).chain([STRANGER]) {
        let (name, list) = (user.to_string(), service.feed(user));
        for video in [videos(&list)[0], videos(&list)[4]] {
            let video = video.to_string();
            let http = service.found(&format!("/v1/why/{name}/{video}"));
            let cli = ok_json(dir, &["why", &name, &video, "--json", "--store", "store"]);
            for field in ["account", "account_gap", "explanation", "policy", "propensity", "rank", "epoch"] {
                assert_eq!(cli[field], http[field], "user {user}, video {video}: {field}");
            }
            let text = ok(dir, &["why", &name, &video, "--store", "store"]);
            let words = http["explanation"].as_str().expect("words").split(". ").next().expect("a sentence");
            let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flowing.contains(words), "{words:?} is not in {text}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line:?} is wider than a terminal");
            }
            assert_eq!(http["account"].is_null(), user == STRANGER, "{http}");
        }
    }
    let why = service.found(&format!("/v1/why/{STRANGER}/{}", videos(&service.feed(STRANGER))[0]));
    assert_eq!(why["account_gap"], "group_list", "{why}");

    // The weights.
    let latest = stored.keys().filter_map(|key| key.strip_prefix("heads:")?.parse::<u64>().ok()).max();
    let latest = latest.expect("weights are published");
    let heads = ok_json(dir, &["heads", "--json", "--store", "store"]);
    assert_eq!(heads, stored[&format!("heads:{latest}")]);
    let table = ok(dir, &["heads", &latest.to_string(), "--store", "store"]);
    for feature in heads["features"].as_array().expect("features") {
        let line = |line: &&str| line.starts_with(feature.as_str().expect("a name"));
        assert!(table.lines().filter(line).count() >= 2, "{feature} is not in {table}");
    }
    let (code, _, err) = run(dir, &["heads", "17", "--store", "store"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("version 17") && err.contains(&latest.to_string()), "{err}");
    service.stop();
}
