//! The API over real HTTP.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_feed_server::cursor::Cursor;
use freshet_feed_server::{Options, Readiness};
use freshet_schema::feed::{Dropped, DroppedRecord, FeedRecord, Stage};
use freshet_schema::store::{Key, Value};
use freshet_schema::{UserId, VideoId};
use freshet_sinks::{FeedStore, Memory};
use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use support::{NOW, Server, list, put, world};

fn ids(answer: &serde_json::Value) -> Vec<u64> {
    answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["video_id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_page_shows_the_list_with_cards_and_reasons() {
    let server = Server::start(world(), |_| {});
    let answer = server.get("/v1/feed/1?limit=3");
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        (answer.headers["freshet-epoch"].as_str(), answer.headers["freshet-list"].as_str()),
        ("5", "own")
    );
    let feed = answer.json();
    assert_eq!(ids(&feed), [1, 2, 3]);
    assert_eq!(feed["user_id"], "1");
    assert_eq!(
        (&feed["epoch"], &feed["now_ms"], &feed["algorithm"]),
        (&json!(5), &json!(NOW), &json!("heads-1"))
    );
    assert_eq!(feed["as_of"], "2022-09-20T12:00:00.000Z");
    let third = &feed["items"][2];
    assert_eq!(third["position"], 2);
    assert_eq!(third["sources"], json!(["hashtag", "trending"]));
    assert_eq!(third["policy"], "rank");
    assert_eq!(third["moved_by"], json!(null));
    assert!(third["parts"]["quality"].as_f64().unwrap() > 1.19);
    assert_eq!(third["card"]["creator_id"], "9000000000000000003");
    assert_eq!(third["card"]["category"], "sports");
    assert_eq!(server.get("/v1/feed/1").json()["items"].as_array().unwrap().len(), 10);
}

#[test]
fn the_life_of_a_new_video_is_told_stage_by_stage() {
    let server = Server::start(world(), |_| {});
    let life = server.get("/v1/cohorts/7").json();
    assert_eq!((&life["state"], &life["video_id"]), (&json!("shown"), &json!("7")));
    let [first, second] = &life["stages"].as_array().unwrap()[..] else { panic!("two stages: {life}") };
    assert_eq!((&first["audience"], &second["audience"]), (&json!("sample"), &json!("similar")));
    assert_eq!((&first["judged"]["verdict"], &second["judged"]), (&json!("promoted"), &json!(null)));
    assert_eq!((&first["exposed"], &first["slots"]), (&json!(300), &json!([5, 20])));
    assert!(life["explanation"].as_str().unwrap().starts_with("Stage 2 is under way: 300 of 1000"), "{life}");
    let none = server.get("/v1/cohorts/1");
    assert_eq!(
        (none.status, &none.json()["type"]),
        (404, &json!("urn:freshet:problem:no-cohort")),
        "{}",
        none.json()
    );
    assert_eq!(server.get("/v1/cohorts/1000").status, 404);
}

#[test]
fn related_videos_can_be_shown_and_match_preferences_first() {
    let server = Server::start(world(), |_| {});
    let plain = server.get("/v1/related/7").json();
    assert_eq!(ids(&plain), [9, 12, 8, 13, 10], "17 is not ready, 500 was deleted");
    assert_eq!(
        (&plain["video_id"], &plain["epoch"], &plain["preferences"]),
        (&json!("7"), &json!(5), &json!([]))
    );
    assert_eq!(
        (&plain["items"][0]["sources"], &plain["items"][1]["sources"]),
        (&json!(["similar"]), &json!(["co_engaged"]))
    );
    let own = server.get("/v1/related/7?user=1").json();
    assert_eq!(ids(&own), [8, 13, 9, 12, 10]);
    assert_eq!(
        (&own["items"][0]["preferred"], &own["items"][1]["position"]),
        (&json!(["tag3", "food"]), &json!(1))
    );
    assert_eq!(
        ids(&server.get("/v1/related/7?user=2").json()),
        ids(&plain),
        "nothing is known of what they prefer"
    );
    let asked = server.get("/v1/related/7?user=1&prefer=%23ANIMALS,nothing&count=2").json();
    assert_eq!((ids(&asked), &asked["preferences"]), (vec![10, 9], &json!(["animals", "nothing"])));
    assert!(
        asked["explanation"].as_str().unwrap().contains("the first 1 match the preferences of the request")
    );

    let none = server.get("/v1/related/8").json();
    assert!(
        ids(&none).is_empty() && none["explanation"].as_str().unwrap().contains("Nothing is related so far")
    );
    let hidden = server.get("/v1/related/17").json();
    assert!(hidden["explanation"].as_str().unwrap().contains("cannot be shown"), "{hidden}");
    assert!(server.get("/v1/related/1000").problem(404).contains("no upload of video 1000"));
    for (wrong, word) in
        [("7?count=101", "from 1 to 100"), ("7?user=x", "user is"), ("x", "video is"), ("7?limit=3", "limit")]
    {
        assert!(server.get(&format!("/v1/related/{wrong}")).problem(400).contains(word), "{wrong}");
    }
}

/// Follows a chain to its end; `between` runs before each page after the first.
fn chain(server: &Server, user: u64, limit: usize, mut between: impl FnMut(usize)) -> Vec<u64> {
    let mut target = format!("/v1/feed/{user}?limit={limit}");
    let mut all = Vec::new();
    for turn in 1.. {
        let page = server.get(&target).json();
        let first = page["items"].get(0).map(|item| item["position"].as_u64().unwrap());
        assert!(first.is_none_or(|position| position == all.len() as u64));
        all.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        target = format!("/v1/feed/{user}?limit={limit}&cursor={cursor}");
        between(turn);
    }
    all
}

#[test]
fn a_chain_hands_out_the_list_then_trending_each_once() {
    let server = Server::start(world(), |_| {});
    // 34 is not ready, like 68, 85, 102 and 119 of trending; 3 and 4 of trending were in the list.
    let mut expected: Vec<u64> = (1..=40).chain((60..=120).rev()).collect();
    expected.retain(|id| !id.is_multiple_of(17));
    for limit in [1, 7, 40, 100] {
        assert_eq!(chain(&server, 1, limit, |_| {}), expected, "pages of {limit}");
    }
}

#[test]
fn what_the_user_has_watched_does_not_come_back_after_the_list() {
    let server = Server::start(world(), |_| {});
    let before = chain(&server, 1, 7, |_| {});
    let dropped = [(90, Stage::Watched), (91, Stage::Length), (92, Stage::Watched)]
        .map(|(video_id, stage)| Dropped { video_id, stage: stage.into() });
    let dropped = DroppedRecord { user_id: 1, epoch: 6, items: dropped.to_vec() };
    put(&*server.store, 6, vec![(Key::Dropped(UserId(1)), Some(Value::Dropped(dropped)))]);
    let expected: Vec<u64> = before.into_iter().filter(|id| ![90, 92].contains(id)).collect();
    assert!(expected.contains(&91));
    for limit in [1, 7, 100] {
        assert_eq!(chain(&server, 1, limit, |_| {}), expected, "pages of {limit}");
    }
}

#[test]
fn no_repeats_while_the_list_is_rewritten() {
    let server = Server::start(world(), |_| {});
    let all = chain(&server, 1, 4, |turn| {
        let turn = turn as u64;
        // Another order and other members before every page.
        let ids = (0..40).map(|n| 1 + (n * 7 + turn * 11) % 97);
        put(
            &*server.store,
            5 + turn,
            vec![(Key::Feed(UserId(1)), Some(Value::Feed(list(1, 5 + turn, ids))))],
        );
    });
    let mut unique = all.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "{all:?}");
    assert!(all.len() > 90);
}

#[test]
fn unknown_users_get_the_new_user_list_and_an_empty_store_an_empty_one() {
    let server = Server::start(world(), |_| {});
    let feed = server.get("/v1/feed/18446744073709551615?limit=2").json();
    assert_eq!(
        (ids(&feed), &feed["list"], &feed["user_id"]),
        (vec![70, 71], &json!("new_user"), &json!("18446744073709551615"))
    );
    assert_eq!(feed["items"][0]["policy"], "new_user");
    assert_eq!(ids(&server.get("/v1/feed/77?limit=2&group=DE/18-24/-").json()), [100, 101]);
    assert_eq!(ids(&server.get("/v1/feed/77?limit=2&group=XX/-/-").json()), [70, 71]);
    assert_eq!(
        ids(&server.get("/v1/feed/1?limit=2&group=DE/18-24/-").json()),
        [1, 2],
        "a user's own list goes first"
    );

    let empty = Server::start(Memory::new(), |_| {});
    let feed = empty.get("/v1/feed/1").json();
    assert_eq!((&feed["items"], &feed["next_cursor"], &feed["epoch"]), (&json!([]), &json!(null), &json!(0)));
    assert_eq!(empty.get("/v1/trending").json()["items"], json!([]));
    empty.get("/v1/why/1/2").problem(404);
    let record = empty.ask("GET", "/v1/feed/4", &[("accept", "application/x-protobuf")], b"");
    assert_eq!(FeedRecord::decode(&*record.body).unwrap().user_id, 4);
}

#[test]
fn protobuf_is_the_stored_record_or_a_page_of_it() {
    let server = Server::start(world(), |_| {});
    for accept in ["application/x-protobuf", "application/protobuf"] {
        let whole = server.ask("GET", "/v1/feed/1", &[("accept", accept)], b"");
        assert_eq!(whole.headers["content-type"], "application/x-protobuf");
        assert_eq!(
            whole.body,
            server.store.get(&Key::Feed(UserId(1))).unwrap().unwrap(),
            "the stored bytes, unchanged"
        );
    }
    assert!(server.log("served").is_empty(), "the whole list is no page");
    let mut all = Vec::new();
    let mut target = "/v1/feed/1?limit=50".to_owned();
    loop {
        let page = server.ask("GET", &target, &[("accept", "application/x-protobuf")], b"");
        let record = FeedRecord::decode(&*page.body).unwrap();
        assert_eq!((record.user_id, record.epoch), (1, 5));
        all.extend(record.items.iter().map(|item| item.video_id));
        let Some(cursor) = page.headers.get("next-cursor") else { break };
        target = format!("/v1/feed/1?limit=50&cursor={cursor}");
    }
    assert_eq!(all, chain(&server, 1, 50, |_| {}));
}

#[test]
fn pages_are_logged_with_propensities_and_head_hands_nothing_out() {
    let mut server = Server::start(world(), |_| {});
    let head = server.ask("HEAD", "/v1/feed/1", &[], b"");
    assert_eq!((head.status, head.headers["freshet-epoch"].as_str(), head.body.len()), (200, "5", 0));
    let first = server.get("/v1/feed/2?limit=5").json();
    server.get("/v1/feed/99?limit=1");
    server.stop();
    let served = server.log("served");
    assert_eq!(served.len(), 2);
    assert_eq!(served[0]["request_id"].to_string(), first["request_id"].as_str().unwrap());
    assert_eq!(
        (&served[0]["user_id"], &served[0]["list_epoch"], &served[0]["event_time"]),
        (&json!(2), &json!(5), &json!(NOW))
    );
    let items = served[0]["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|i| i["video_id"].as_u64().unwrap()).collect::<Vec<_>>(), ids(&first));
    assert_eq!(items.iter().map(|i| i["position"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let policies: Vec<_> = items.iter().map(|i| i["slot_policy"].as_str().unwrap()).collect();
    assert_eq!(policies, ["rank", "rank", "rank", "trending", "trending"]);
    assert!(items.iter().all(|i| i["propensity"] == 1.0));
    assert_eq!(
        (&served[1]["list_epoch"], &served[1]["items"][0]["slot_policy"]),
        (&json!(0), &json!("new_user"))
    );
}

#[test]
fn the_arms_of_a_list_are_said_and_logged() {
    let mut server = Server::start(world(), |_| {});
    let own = FeedRecord { arms: vec!["x/calm".to_owned()], ..list(7, 6, 1..=10) };
    put(&*server.store, 6, vec![(Key::Feed(UserId(7)), Some(Value::Feed(own)))]);
    assert_eq!(server.get("/v1/feed/7?limit=2").json()["arms"], json!(["x/calm"]));
    assert_eq!(server.get("/v1/why/7/2").json()["arms"], json!(["x/calm"]));
    assert_eq!(server.get("/v1/feed/2?limit=2").json()["arms"], json!([]));
    server.stop();
    let served = server.log("served");
    assert_eq!(served[0]["arms"], json!(["x/calm"]));
    assert!(served[1].get("arms").is_none(), "a list that no arm made names none: {}", served[1]);
}

#[test]
fn experiments_are_told_with_their_intervals() {
    let server = Server::start(world(), |_| {});
    let told = server.get("/v1/experiments").json();
    let calm = &told["experiments"][0]["arms"][1];
    assert_eq!((&calm["name"], &calm["users"]), (&json!("calm"), &json!(2_000)));
    let likes = &calm["metrics"][0];
    assert_eq!((&likes["mean"], &likes["difference"]["verdict"]), (&json!(0.7), &json!("higher")));
    assert!(likes["difference"]["low"].as_f64() > Some(0.1), "{likes}");
    let none = Server::start(Memory::new(), |_| {});
    assert!(none.get("/v1/experiments").problem(404).contains("[[experiment]]"));
}

#[test]
fn why_explains_what_is_listed_and_names_the_stage_otherwise() {
    let server = Server::start(world(), |_| {});
    let why = server.get("/v1/why/1/3").json();
    assert_eq!((&why["rank"], &why["of"], &why["list"]), (&json!(3), &json!(40), &json!("own")));
    let text = why["explanation"].as_str().unwrap();
    assert!(text.contains("hashtag that the user likes and it is trending"), "{text}");
    assert!(server.get("/v1/why/1/7").json()["explanation"].as_str().unwrap().contains("category_cap"));
    assert_eq!(server.get("/v1/why/500/70").json()["list"], "new_user");
    let cases = [
        (50, "watched"),
        (51, "category_cap"),
        (52, "length"),
        (68, "not_ready"),
        (999, "unknown_video"),
        (60, "not_a_candidate"),
    ];
    for (video, stage) in cases {
        let answer = server.get(&format!("/v1/why/1/{video}"));
        let detail = answer.problem(404);
        assert_eq!(answer.json()["stage"], stage, "{detail}");
        assert!(detail.contains(&format!("video {video}")), "{detail}");
    }
}

#[test]
fn trending_and_cards() {
    let server = Server::start(world(), |_| {});
    let pool = server.get("/v1/trending?limit=4").json();
    assert_eq!((ids(&pool), &pool["group"]), (vec![120, 118, 117, 116], &json!("all")));
    assert_eq!(ids(&server.get("/v1/trending?group=hashtag:k%C3%B6ln%20%26+co").json()), [7, 9]);
    assert_eq!(server.get("/v1/trending?group=sound:5").json()["items"], json!([]));
    let detail = server.get("/v1/trending?group=everybody").problem(400);
    assert!(detail.contains("everybody") && detail.contains("hashtag:NAME"), "{detail}");
    let card = server.get("/v1/video/17").json();
    assert_eq!((&card["video_id"], &card["status"]), (&json!("17"), &json!("processing")));
    server.get("/v1/video/4711").problem(404);
}

#[test]
fn posted_events_are_in_the_log_when_the_answer_comes() {
    let server = Server::start(world(), |state| {
        state.validate = Arc::new(|event| {
            if event.event_time().0 > NOW + 1000 {
                Err(format!("event_time is {}: too far ahead", event.event_time()))
            } else {
                Ok(())
            }
        });
    });
    let answer = server.post(
        r#"{"user_id":"7","video_id":18446744073709551615,"watch_ms":900,"like":true,"request_id":"77"}"#,
    );
    assert_eq!(answer.status, 202);
    let logged = server.log("interactions");
    assert_eq!((logged.len(), &logged[0]["event_time"], &logged[0]["like"]), (1, &json!(NOW), &json!(true)));
    assert_eq!((&logged[0]["video_id"], &logged[0]["request_id"]), (&json!(u64::MAX), &json!(77)));
    assert_eq!(answer.json()["event_ids"][0], logged[0]["event_id"].to_string());

    let many = r#"[{"user_id":1,"video_id":2,"event_id":5,"event_time":6},{"kind":"follows","user_id":1,"creator_id":3},
        {"kind":"deletes","target":"video","video_id":"9"},{"kind":"users","user_id":4},
        {"kind":"uploads","video_id":1,"creator_id":2,"created_at":3,"status":"ready"}]"#;
    assert_eq!(server.post(many).json()["accepted"], 5);
    assert_eq!(server.log("interactions")[1]["event_id"], 5);
    assert_eq!(server.log("deletes")[0]["target"], "video");
    for kind in ["follows", "users", "uploads"] {
        assert_eq!(server.log(kind).len(), 1, "{kind}");
    }
    let lines = b"{\"user_id\":1,\"video_id\":2}\n\n{\"user_id\":1,\"video_id\":3}\r\n";
    let answer =
        server.ask("POST", "/v1/events", &[("content-type", "application/x-ndjson; charset=utf-8")], lines);
    assert_eq!((answer.status, server.log("interactions").len()), (202, 4));

    // All or nothing.
    let answer = server.post(r#"[{"user_id":1,"video_id":2},{"user_id":1},{"user_id":-1,"video_id":2}]"#);
    let detail = answer.problem(422);
    assert!(detail.contains("event 1") && detail.contains("video_id"), "{detail}");
    assert_eq!(
        answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["index"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let refused = [
        (r#"{"user_id":1,"video_id":2,"event_time":99999999999999}"#, "too far ahead"),
        (r#"{"kind":"served","user_id":1}"#, "only the feed server"),
        (r#"{"kind":"likes","user_id":1}"#, "interactions"),
        (r#"{"kind":3}"#, "kind is 3"),
        ("[]", "0 events"),
        ("[7]", "JSON object"),
        (
            r#"{"kind":"uploads","video_id":1,"creator_id":2,"created_at":3,"content_embedding":[]}"#,
            "content_embedding",
        ),
    ];
    for (body, words) in refused {
        let detail = server.post(body).problem(422);
        assert!(detail.contains(words), "{body}: {detail}");
    }
    assert_eq!(server.log("interactions").len(), 4, "nothing of a refused request is taken");
}

#[test]
fn bodies_that_cannot_be_read_are_problems() {
    let options = Options { max_body_bytes: 300, max_events: 3, ..Options::default() };
    let server = Server::start(world(), |state| state.options = Arc::new(options));
    assert!(server.post("{\"user_id\":").problem(400).contains("not JSON"));
    assert!(server.post("").problem(400).contains("not JSON"));
    assert!(server.post("[1,2,3,4]").problem(422).contains("1 to 3"));
    assert!(server.post(&"[".repeat(290)).problem(400).contains("recursion"));
    let large = format!("[{}]", " ".repeat(400));
    assert!(server.post(&large).problem(413).contains("300 bytes"));
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let detail = server.ask("POST", "/v1/events", &[("content-type", kind)], b"{}").problem(415);
        assert!(detail.contains("application/json"), "{detail}");
    }
    let read_only = Server::start(world(), |state| state.events = None);
    read_only.post("{}").problem(403);
    assert_eq!(read_only.get("/v1/feed/1").status, 200);
}

#[test]
fn a_configured_token_is_required_for_post_only() {
    let options = Options { bearer_token: Some("s3cret".to_owned()), ..Options::default() };
    let server = Server::start(world(), |state| state.options = Arc::new(options));
    let body = br#"{"user_id":1,"video_id":2}"#;
    for given in ["Bearer s3cret!", "Bearer s3cre", "Basic s3cret", "s3cret", "Bearer ", ""] {
        let answer = server.ask(
            "POST",
            "/v1/events",
            &[("content-type", "application/json"), ("authorization", given)],
            body,
        );
        answer.problem(401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let headers = [("content-type", "application/json"), ("authorization", "bearer s3cret")];
    assert_eq!(server.ask("POST", "/v1/events", &headers, body).status, 202);
    assert_eq!(server.get("/v1/feed/1").status, 200);
}

#[test]
fn bad_requests_are_problems_that_name_what_is_wrong() {
    let server = Server::start(world(), |_| {});
    let cases = [
        ("/v1/feed/abc", "abc"),
        ("/v1/feed/-1", "-1"),
        ("/v1/feed/+1", "+1"),
        ("/v1/feed/18446744073709551616", "18446744073709551616"),
        ("/v1/feed/1?limit=0", "1 to 100"),
        ("/v1/feed/1?limit=101", "1 to 100"),
        ("/v1/feed/1?limit=ten", "ten"),
        ("/v1/feed/1?limt=5", "limt"),
        ("/v1/feed/1?limit=5&limit=6", "limit"),
        ("/v1/feed/1?cursor=AAAA", "cursor"),
        ("/v1/feed/1?cursor=CQAAAAAAAAA", "version is 9"),
        ("/v1/feed/%ff", "invalid utf-8 in `user`"),
        ("/v1/why/1/x", "x"),
        ("/v1/video/1.5", "1.5"),
        ("/v1/trending?limit=-3", "-3"),
    ];
    for (target, words) in cases {
        let answer = server.get(target);
        let detail = answer.problem(400);
        assert!(detail.to_lowercase().contains(words), "{target}: {detail}");
        assert_eq!(answer.json()["instance"], target.split('?').next().unwrap());
    }
    let cursor = server.get("/v1/feed/1?limit=1").json()["next_cursor"].as_str().unwrap().to_owned();
    assert!(server.get(&format!("/v1/feed/2?cursor={cursor}")).problem(400).contains("another user"));
    // A cursor that a client made itself, checksum and all: floors beyond every list are an end, not a panic.
    let forged =
        Cursor { handed_out: 1 << 40, list_floor: u64::MAX, trending_floor: u64::MAX, memory: vec![] };
    let end = server.get(&format!("/v1/feed/1?cursor={}", forged.encode(UserId(1)))).json();
    assert_eq!((&end["items"], &end["next_cursor"]), (&json!([]), &json!(null)));
    for target in ["/v1/feed", "/v1/feed/1/2", "/nothing", "/v1/feed/"] {
        server.get(target).problem(404);
    }
    for (method, target) in [("DELETE", "/v1/feed/1"), ("GET", "/v1/events"), ("POST", "/v1/trending")] {
        let answer = server.ask(method, target, &[], b"");
        answer.problem(405);
        assert!(answer.headers.contains_key("allow"));
    }
}

#[test]
fn health_readiness_and_metrics() {
    let server = Server::start(world(), |state| {
        state.ready = Arc::new(|| Readiness::NotReady("the replay is at 40 %".to_owned()));
        state.metrics_text = Arc::new(|| "freshet_up 1\n".to_owned());
    });
    assert_eq!(server.get("/healthz").json()["status"], "ok");
    assert_eq!(server.get("/readyz").problem(503), "the replay is at 40 %");
    assert_eq!(server.get("/metrics").body, b"freshet_up 1\n");
    let ready = Server::start(world(), |_| {});
    assert_eq!(ready.get("/readyz").json(), json!({"status": "ready", "epoch": 5}));
}

#[test]
fn a_broken_value_is_a_500_without_insides() {
    let store = world();
    let changes = vec![(Key::Feed(UserId(3)), Some(vec![0xff])), (Key::Video(VideoId(1)), Some(vec![0xff]))];
    store.commit(&freshet_sinks::Commit { epoch: freshet_schema::Epoch(6), changes }).unwrap();
    let server = Server::start(store, |_| {});
    for target in ["/v1/feed/3", "/v1/feed/1", "/v1/video/1", "/v1/why/3/1"] {
        assert!(!server.get(target).problem(500).contains("wire"));
    }
    assert_eq!(server.get("/v1/feed/2").status, 200);
}

#[test]
fn shutdown_lets_requests_finish_and_waits_for_no_idle_one() {
    let mut server = Server::start(world(), |_| {});
    let mut idle = std::net::TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).unwrap();
    // A request of which only a part has come.
    let mut half = std::net::TcpStream::connect(server.address).unwrap();
    half.write_all(b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        half.write_all(br#"{"user_id":1,"video_id":2}"#).unwrap();
        let mut text = String::new();
        let _ = half.read_to_string(&mut text);
        text
    });
    server.stop();
    assert!(sender.join().unwrap().starts_with("HTTP/1.1 202"));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn who_sends_no_request_head_is_hung_up_on_and_others_are_served() {
    let limit = Duration::from_secs(2);
    let mut server = Server::start(world(), |state| {
        state.options = Arc::new(Options { head_timeout: limit, ..Options::default() });
    });
    let begin = Instant::now();
    let connect = || {
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let silent = connect();
    let mut half = connect();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\nx-slow: ").unwrap();
    let mut kept = connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    assert_eq!(server.get("/healthz").status, 200);
    for (what, mut stream) in [("silent", silent), ("half", half), ("kept", kept)] {
        let mut text = String::new();
        // A reset is an end as well.
        if let Err(error) = stream.read_to_string(&mut text) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}");
        }
        assert_eq!(text.starts_with("HTTP/1.1 200"), what == "kept", "{what}: {text}");
    }
    assert!((limit..Duration::from_secs(10)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    server.stop();
}

#[test]
fn long_bodies_and_metrics_are_answered_beside_reads() {
    // The metrics are not ready before a read was answered.
    let (began, beginning) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let server = Server::start(world(), |state| {
        state.metrics_text = Arc::new(move || {
            began.send(()).unwrap();
            gone.lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(60))
                .expect("a read waited for the metrics");
            "a 1\n".to_owned()
        });
    });
    let address = server.address;
    let scrape = std::thread::spawn(move || support::ask(address, "GET", "/metrics", &[], b""));
    beginning.recv().unwrap();
    assert_eq!(server.get("/v1/feed/1").status, 200);
    go.send(()).unwrap();
    assert_eq!(scrape.join().unwrap().body, b"a 1\n");
    // More than is read on the answering thread.
    let events: Vec<_> =
        (0..900).map(|n| json!({"user_id": n, "video_id": 2, "device": "a phone"})).collect();
    let answer = server.post(&json!(events).to_string());
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(900)));
    let mut broken = events;
    broken[899] = json!({"user_id": 1});
    assert!(server.post(&json!(broken).to_string()).problem(422).contains("event 899"));
    assert_eq!(server.log("interactions").len(), 900);
}

/// One server for all cases of a property.
fn shared() -> &'static Server {
    static SERVER: std::sync::OnceLock<Server> = std::sync::OnceLock::new();
    SERVER.get_or_init(|| Server::start(world(), |_| {}))
}

fn target() -> impl Strategy<Value = String> {
    let route = prop::sample::select(vec![
        "/v1/feed/",
        "/v1/why/1/",
        "/v1/video/",
        "/v1/trending",
        "/",
        "/v1/feed/1",
    ]);
    let name = prop::sample::select(vec!["limit", "cursor", "group", "x", "", "%", "limit[]"]);
    let value =
        prop_oneof!["[!-~&&[^#]]{0,40}", "[0-9]{1,25}", "(%[0-9a-f]{2}){0,12}", "[A-Za-z0-9_-]{0,60}"];
    (route, value.clone(), prop::collection::vec((name, value), 0..3)).prop_map(|(route, tail, query)| {
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{route}{tail}?{}", query.join("&"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is asked: an answer below 500, and a problem where it is an error.
    #[test]
    fn no_request_breaks_the_server(target in target()) {
        let answer = shared().get(&target);
        prop_assert!(answer.status < 500, "{target}: {}", answer.status);
        // A target that is no URI never reaches a route; the HTTP library answers it alone.
        if answer.status >= 400 && !answer.body.is_empty() {
            answer.problem(answer.status);
        }
    }

    /// Whatever is posted: taken or refused with a reason.
    #[test]
    fn no_body_breaks_the_server(body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), r#"\{("[a-z_]{1,9}":(null|-?[0-9]{1,22}|"[a-z0-9]{0,6}"|\[\]|true),?){0,4}\}"#.prop_map(String::into_bytes)]) {
        let answer = shared().ask("POST", "/v1/events", &[("content-type", "application/json")], &body);
        prop_assert!([202, 400, 422].contains(&answer.status), "{}", answer.status);
    }
}
