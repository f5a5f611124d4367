//! Lists on a real Redis server: written by one process, read by others.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{SELDOM, number, ok, ok_json, replay, run, same, videos, wait_for};
use crate::redis_server::RedisServer;
use crate::service::Service;
use crate::world::{add_deletes, world};

/// A configuration beside the log: `DIR/redis.toml`, and what the pipeline itself keeps in `DIR/store`.
pub fn configure(dir: &Path, server: &RedisServer) {
    let text = format!(
        "[input]\ndir = \"log\"\n[store]\ndir = \"store\"\nkind = \"redis\"\n[redis]\nurl = \"{}\"\n[server]\n\
         listen = \"127.0.0.1:0\"\n",
        server.url()
    );
    std::fs::write(dir.join("redis.toml"), text).expect("written");
}

const RUN_ONCE: [&str; 5] = ["run", "--config", "redis.toml", "--once", "--quiet"];
/// A pipeline that serves.
pub const RUN: [&str; 4] = ["run", "--config", "redis.toml", "--quiet"];
/// A feed server alone.
pub const SERVE: [&str; 3] = ["serve", "--config", "redis.toml"];

/// The whole of the Redis store as text.
pub fn dump_redis(dir: &Path) -> String {
    ok(dir, &["dump", "--config", "redis.toml"])
}

#[test]
fn a_log_leaves_the_same_values_as_in_the_embedded_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 31, 900);
    add_deletes(dir, "log");
    let expected = replay(dir, "log", "embedded", "1");
    let server = RedisServer::start();
    configure(dir, &server);
    ok(dir, &RUN_ONCE);
    same(&expected, &dump_redis(dir), "embedded and Redis");
    ok(dir, &RUN_ONCE);
    same(&expected, &dump_redis(dir), "a drained log, run again");

    // The reading commands, without a pipeline.
    let user = ranked_users_of(&expected)[0].to_string();
    let list = ok_json(dir, &["feed", &user, "--json", "--config", "redis.toml"]);
    let video = videos(&list)[0].to_string();
    let why = ok(dir, &["why", &user, &video, "--config", "redis.toml"]);
    assert!(why.contains("Number 1 of"), "{why}");
    ok(dir, &["trending", "--config", "redis.toml"]);
    ok(dir, &["heads", "--config", "redis.toml"]);
    let stats = ok_json(dir, &["stats", "--json", "--config", "redis.toml"]);
    assert_eq!(number(&stats["entries"]["feed"]) as usize, expected.matches("{\"key\":\"feed:").count());

    // Another journal is another run, where no checkpoint says what came before it.
    std::fs::remove_dir_all(dir.join("store/journal")).expect("removed");
    std::fs::remove_dir_all(dir.join("store/checkpoints")).expect("removed");
    let (code, _, err) = run(dir, &RUN_ONCE);
    assert_eq!(code, Some(1));
    assert!(err.contains(&server.url()) && err.contains("journal"), "{err}");
}

/// Users with a list of their own.
pub fn ranked_users_of(dump: &str) -> Vec<u64> {
    let records = crate::harness::records(dump);
    let ranked = |(key, list): (&String, &Json)| {
        (key.starts_with("feed:") && list["algorithm"] == "heads-1").then(|| number(&list["user_id"]))
    };
    records.iter().filter_map(ranked).collect()
}

#[test]
fn an_interrupted_run_goes_on_over_a_server_that_was_emptied() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 32, 500);
    let expected = replay(dir, "log", "embedded", "1");
    let server = RedisServer::start();
    configure(dir, &server);
    let config = std::fs::read_to_string(dir.join("redis.toml")).expect("written above");
    std::fs::write(dir.join("redis.toml"), format!("{config}\n[checkpoint]\nevery = \"0s\"\n"))
        .expect("written");
    ok(dir, &RUN_ONCE);
    server.ask("FLUSHALL").expect("an answer");
    // Nothing was restored, so the replay of the journal writes everything.
    ok(dir, &RUN_ONCE);
    same(&expected, &dump_redis(dir), "after the loss");
}

/// Behind a checkpoint the replay writes nothing: what the server lacks is found when it is claimed, and written again at epochs of
/// its own, from what is known by then.
#[test]
fn a_run_that_goes_on_from_a_checkpoint_fills_a_server_that_was_emptied() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 34, 500);
    let server = RedisServer::start();
    configure(dir, &server);
    ok(dir, &RUN_ONCE);
    let before = crate::harness::records(&dump_redis(dir));
    server.ask("FLUSHALL").expect("an answer");
    ok(dir, &RUN_ONCE);
    let after = crate::harness::records(&dump_redis(dir));
    assert!(before.len() > 300, "{} keys", before.len());
    let missing: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    // A list that is made later may leave out what the one before had room for.
    let more = after.keys().filter(|key| !before.contains_key(*key) && !key.starts_with("dropped:"));
    let more: Vec<&String> = more.collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
    let lists = |records: &std::collections::BTreeMap<String, Json>| -> usize {
        let feeds = records.iter().filter(|(key, _)| key.starts_with("feed:"));
        feeds.map(|(_, list)| videos(list).len()).sum()
    };
    // Made later, of more videos: no list is shorter in sum.
    assert!(lists(&before) <= lists(&after), "{} and {} places", lists(&before), lists(&after));
    let cards = |key: &&String| key.starts_with("video:");
    for key in before.keys().filter(cards) {
        assert_eq!(before[key], after[key], "{key}");
    }
}

#[test]
fn feed_servers_read_what_a_pipeline_writes_and_stand_a_server_that_goes_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 33, 900);
    let mut server = RedisServer::durable();
    configure(dir, &server);

    // Before any pipeline: alive, and not ready.
    let early = Service::spawn(dir, &SERVE);
    assert_eq!(early.get("/healthz").0, 200);
    let (status, why) = early.get("/readyz");
    assert_eq!(status, 503, "{why}");
    assert!(why["detail"].as_str().is_some_and(|text| text.contains("no pipeline")), "{why}");

    let pipeline = Service::run(dir, &RUN);
    let readers = [early, Service::run(dir, &SERVE)];
    let stored = crate::harness::records(&dump_redis(dir));
    let user = ranked_users_of(&dump_redis(dir))[0];
    for reader in &readers {
        wait_for("readyz", || (reader.get("/readyz").0 == 200).then_some(()));
        let feed = reader.feed(user);
        assert_eq!(videos(&feed), videos(&stored[&format!("feed:{user}")]));
        assert!(
            feed["items"].as_array().expect("items").iter().all(|item| item["card"].is_object()),
            "{feed}"
        );
        assert_eq!(reader.scroll(user, 7)[..20], videos(&feed)[..20]);
        reader.found(&format!("/v1/why/{user}/{}", videos(&feed)[0]));
        reader.found("/v1/trending");
    }
    // Who only reads says so.
    let (status, answer) = readers[1].ask(
        "POST /v1/events HTTP/1.1\r\nhost: e2e\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n{}",
    );
    assert_eq!((status, &answer["type"]), (403, &json!("urn:freshet:problem:read-only")), "{answer}");

    // A click at the pipeline's server is seen at the others'.
    let before = number(&readers[0].feed(user)["epoch"]);
    let video = videos(&readers[0].feed(user))[0];
    let click =
        json!({"event_id": 900_001, "user_id": user, "video_id": video, "watch_ms": 60_000, "like": true});
    pipeline.post(&click);
    for reader in &readers {
        let after =
            wait_for("a new list", || Some(reader.feed(user)).filter(|f| number(&f["epoch"]) > before));
        assert!(!videos(&after).contains(&video));
    }

    server.kill();
    for reader in &readers {
        let (status, answer) = reader.get(&format!("/v1/feed/{user}"));
        assert_eq!((status, &answer["type"]), (503, &json!("urn:freshet:problem:store-away")), "{answer}");
        assert_eq!(reader.get("/readyz").0, 503);
        assert_eq!(reader.get("/healthz").0, 200);
    }
    // What is posted meanwhile is in the log, and in the lists when the server is back.
    let video = videos(&stored[&format!("feed:{user}")])[3];
    let again = json!({"event_id": 900_002, "user_id": user, "video_id": video, "watch_ms": 60_000});
    pipeline.post(&again);
    server.restart();
    for reader in &readers {
        wait_for("readyz", || (reader.get("/readyz").0 == 200).then_some(()));
        wait_for("the list without what was watched", || {
            let (status, feed) = reader.get(&format!("/v1/feed/{user}?limit=100"));
            (status == 200 && !videos(&feed).contains(&video)).then_some(())
        });
    }
    pipeline.stop();
    for reader in readers {
        reader.stop();
    }
}

#[test]
fn a_pipeline_ends_cleanly_while_its_server_is_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 34, 300);
    let mut server = RedisServer::start();
    configure(dir, &server);
    let pipeline = Service::run(dir, &RUN);
    server.kill();
    // It waits for the server, and for nothing once it is told to end.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let begin = std::time::Instant::now();
    assert_eq!(pipeline.end().code(), Some(1), "not all was written");
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn an_embedded_store_has_no_server_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run(dir.path(), &["serve"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("store.kind") && err.contains("freshet run"), "{err}");
}

/// Waits until nothing waits to be written again, and something was.
fn remade(dir: &Path, shards: u64) {
    wait_for("what was lost", || {
        let stats = ok_json(dir, &["stats", "--json", "--config", "redis.toml"]);
        (number(&stats["shards_remade"]) >= shards && stats["remaking"] == 0).then_some(())
    });
}

/// What the store holds after a loss is what a store holds that lost nothing and saw the same epochs: the bindings are in the journal,
/// and a replay of it into another store does the same.
#[test]
fn an_emptied_server_is_filled_again_under_a_running_pipeline() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 35, 900);
    let server = RedisServer::start();
    configure(dir, &server);
    let config = std::fs::read_to_string(dir.join("redis.toml")).expect("just written");
    std::fs::write(dir.join("redis.toml"), config + SELDOM).expect("written");
    let pipeline = Service::run(dir, &RUN);
    let before = dump_redis(dir);
    server.ask("FLUSHALL").expect("an answer");
    remade(dir, 1);
    let after = dump_redis(dir);
    let keys = |dump: &str| -> Vec<String> { crate::harness::records(dump).into_keys().collect() };
    assert_eq!(keys(&before), keys(&after), "everything is back");
    // Only part of it is lost, and something is there that should not be.
    let user = ranked_users_of(&after)[0];
    server.ask(&format!("DEL feed:{user} freshet:generation")).expect("an answer");
    server.ask("SET feed:424242424242 nonsense").expect("an answer");
    let out = ok(dir, &["resync", "--config", "redis.toml"]);
    assert!(out.contains("written again"), "{out}");
    assert_eq!(keys(&before), keys(&dump_redis(dir)));
    let video = videos(&pipeline.feed(user))[0];
    pipeline.post_and_see(&json!({"user_id": user, "video_id": video, "watch_ms": 60_000}), user);
    pipeline.stop();

    let last = dump_redis(dir);
    let mut journal = dir.join("other");
    std::fs::create_dir_all(&journal).expect("made");
    journal.push("journal");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(dir.join("store/journal")).arg(&journal).status();
    assert!(copied.expect("cp runs").success());
    same(&last, &replay(dir, "log", "other", "2"), "a store that lost nothing");
}

#[test]
fn an_embedded_store_is_written_again_on_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 36, 500);
    let pipeline = Service::start(dir);
    let epoch = |user: u64| number(&pipeline.feed(user)["epoch"]);
    let dumped = crate::harness::dump(dir, "store");
    let user = ranked_users_of(&dumped)[0];
    let before = epoch(user);
    ok(dir, &["resync", "--store", "store"]);
    assert!(epoch(user) > before);
    let again = crate::harness::dump(dir, "store");
    assert_eq!(dumped.lines().count(), again.lines().count());
    pipeline.stop();
    let (code, _, err) = run(dir, &["resync", "--store", "store"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no pipeline runs"), "{err}");
}

/// A server that accepts and does not answer: the pipeline reads no further than it may be ahead, and takes up what was posted.
#[test]
fn a_server_that_stands_still_holds_the_pipeline_and_not_the_machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 37, 500);
    let server = RedisServer::start();
    configure(dir, &server);
    let pipeline = Service::run(dir, &RUN);
    let reader = Service::run(dir, &SERVE);
    let user = ranked_users_of(&dump_redis(dir))[0];
    let liked: Vec<u64> = videos(&pipeline.feed(user)).into_iter().take(30).collect();
    let stats = |name: &str| number(&ok_json(dir, &["stats", "--json", "--config", "redis.toml"])[name]);
    let events = stats("events");
    server.freeze(true);
    for round in 0..4 {
        for video in &liked {
            let id = 900_000 + round * 1_000 + video;
            pipeline.post(&json!({"event_id": id, "user_id": user, "video_id": video, "watch_ms": 9_000}));
        }
    }
    let epoch = stats("epoch");
    assert_eq!(reader.get("/healthz").0, 200, "who does not ask the store is answered");
    assert_eq!(reader.get(&format!("/v1/feed/{user}")).0, 503);
    let ahead = || {
        let (_, text) = pipeline.get("/metrics");
        let text = text.as_str().expect("text").to_owned();
        let line = text.lines().find(|line| line.starts_with("freshet_in_flight_epochs ")).expect("a gauge");
        line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")
    };
    let most = (0..20)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            ahead()
        })
        .fold(0.0, f64::max);
    assert!((1.0..=9.0).contains(&most), "{most} epochs ahead; graph.in_flight is 8");
    assert_eq!(stats("epoch"), epoch, "nothing is committed");
    server.freeze(false);
    wait_for("all that was posted", || (stats("events") >= events + 4 * liked.len() as u64).then_some(()));
    wait_for("its list", || {
        let (status, feed) = reader.get(&format!("/v1/feed/{user}?limit=100"));
        (status == 200 && liked.iter().all(|video| !videos(&feed).contains(video))).then_some(())
    });
    assert_eq!(stats("shards_remade"), 0, "nothing was lost");
    pipeline.stop();
}
