//! The account of a list entry over HTTP: that it adds up, and what is said where there is none.

mod support;

use freshet_schema::UserId;
use freshet_schema::feed::{AccountRecord, FeedRecord};
use freshet_schema::store::{Key, Value};
use serde_json::{Value as Json, json};
use support::explained::{PLACES, USER, explained, heads};
use support::{NOW, Server, adds_up, put, world};

fn accounts(server: &Server) -> Vec<(f64, Json)> {
    (1..PLACES)
        .map(|video| {
            let mut why = server.get(&format!("/v1/why/{USER}/{video}")).json();
            assert_eq!(why["account_gap"], json!(null), "{why}");
            (why["score"].as_f64().unwrap(), why["account"].take())
        })
        .collect()
}

#[test]
fn the_parts_add_up_to_the_stored_score() {
    let list = accounts(&Server::start(world(), |_| {}));
    assert_eq!(adds_up::broken(&list), [""; 0]);
    let third = &list[2].1["estimate"];
    assert!(third["heads"][0]["sum"].as_f64() < Some(0.0), "one of them is bent at the floor");
    assert!(list.iter().any(|(_, account)| account["compared"] != account["value"]), "one of them is scaled");
}

#[test]
fn no_number_can_be_altered_unnoticed() {
    let list = accounts(&Server::start(world(), |_| {}));
    let altered = adds_up::alterations(&list);
    assert!(altered.len() > 150, "{}", altered.len());
    for (path, list) in altered {
        assert!(!adds_up::broken(&list).is_empty(), "{path} was altered, and everything still adds up");
    }
}

#[test]
fn the_account_is_told_in_words() {
    let server = Server::start(world(), |_| {});
    let text = |video: u64| {
        server.get(&format!("/v1/why/{USER}/{video}")).json()["explanation"].as_str().unwrap().to_owned()
    };
    let cases: [(u64, &[&str]); 3] = [
        (
            1,
            &[
                "watched it next",
                "What speaks most for it: how",
                "about 1200 offers",
                "set by hand: like",
                "no chance",
            ],
        ),
        (2, &["score counts 0.850 times", "score counts 0.600 times", "score counts 1.50 times"]),
        (
            3,
            &[
                "What speaks most against it",
                "its category had its share",
                "given up here: neighbours",
                "1 in 20",
            ],
        ),
    ];
    for (video, words) in cases {
        for words in words {
            assert!(text(video).contains(words), "{video}: {words:?} is not in {:?}", text(video));
        }
    }
}

#[test]
fn a_gap_is_named() {
    let server = Server::start(world(), |_| {});
    let why = |user: u64, video: u64| server.get(&format!("/v1/why/{user}/{video}")).json();
    let gap = |user: u64, video: u64, gap: &str, words: &str| {
        let why = why(user, video);
        assert_eq!((&why["account"], &why["account_gap"]), (&json!(null), &json!(gap)), "{why}");
        assert!(why["explanation"].as_str().unwrap().contains(words), "{why}");
    };
    gap(1, 3, "not_stored", "feed.explained is 0");
    gap(USER, PLACES, "not_explained", "below the first places");
    gap(4711, 71, "group_list", "everybody without a history");
    let stranger = why(4711, 71);
    assert_eq!((&stranger["policy"], &stranger["propensity"]), (&json!("new_user"), &json!(1.0)));
    let third = why(USER, 3);
    assert_eq!((&third["policy"], third["propensity"].as_f64().unwrap() as f32), (&json!("novelty"), 0.05));

    // The list is remade, and its account is not.
    let (list, record) = explained(6, NOW);
    let store = |epoch, list: FeedRecord, record: AccountRecord, heads| {
        let values = vec![
            (Key::Feed(UserId(USER)), Some(Value::Feed(list))),
            (Key::Account(UserId(USER)), Some(Value::Account(record))),
            (Key::Heads(7), heads),
        ];
        put(&*server.store, epoch, values);
    };
    let own = |record: &AccountRecord| record.clone();
    store(6, list.clone(), AccountRecord { epoch: 5, ..own(&record) }, Some(Value::Heads(heads())));
    gap(USER, 1, "other_epoch", "of another epoch");
    // What re-ranking did is told without the weights.
    let part = |gap: &str| {
        let why = why(USER, 2);
        assert_eq!((&why["account_gap"], &why["account"]["estimate"]), (&json!(gap), &json!(null)), "{why}");
        assert_eq!(why["account"]["moved_by"], json!(["creator", "fatigue", "taste"]));
        assert_eq!(why["account"]["rank_by_value"], 3);
        assert!(why["explanation"].as_str().unwrap().contains("number 3 of the candidates"), "{why}");
    };
    store(7, list.clone(), own(&record), None);
    part("weights_not_stored");
    let mut short = heads();
    short.weights.pop();
    store(8, list, record, Some(Value::Heads(short)));
    part("other_shape");
}
