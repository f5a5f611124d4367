//! Kafka in place of files, against the real broker: what holds of a log of files holds of topics too.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::archive::lines;
use crate::broker::{Broker, STREAMS};
use crate::crash::{eventful, kill_at};
use crate::harness::{SELDOM, dump, number, ok, ok_json, replay, run, same, videos, wait_for};
use crate::live::ranked_users;
use crate::redis::ranked_users_of;
use crate::redis_server::RedisServer;
use crate::service::Service;
use crate::world::{add_part, world};

const RUN: [&str; 2] = ["--config", "kafka.toml"];

/// Sends `DIR/log` into topics with so many partitions.
fn send(dir: &Path, partitions: &str) -> String {
    ok(dir, &["produce", "log", "--config", "kafka.toml", "--create-topics", partitions])
}

/// The arguments of a run over the topics that ends with the backlog.
fn once<'a>(store: &'a str, workers: &'a str) -> Vec<&'a str> {
    vec!["run", "--config", "kafka.toml", "--store", store, "--workers", workers, "--once", "--quiet"]
}

fn drained(dir: &Path, store: &str, workers: &str) -> String {
    ok(dir, &once(store, workers));
    dump(dir, store)
}

/// Stage and reason of each dead letter, counted.
fn letters(dir: &Path, store: &str) -> BTreeMap<(String, String), usize> {
    let text = std::fs::read_to_string(dir.join(store).join("dead-letters.jsonl")).expect("a file");
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let letter: Json = serde_json::from_str(line).expect("JSON lines");
        let word = |field: &str| letter[field].as_str().expect("a word").to_owned();
        *counts.entry((word("stage"), word("reason"))).or_default() += 1;
    }
    counts
}

/// One partition a stream, late and duplicate and bad records and all: the epochs are the same, and so is every byte.
#[test]
fn a_world_through_topics_leaves_the_bytes_that_it_leaves_through_files() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 51);
    let files = replay(dir, "log", "files", "1");

    broker.config(dir, "same-json", "");
    let report = send(dir, "1");
    assert!(report.contains("2 of them are no events"), "{report}");
    same(&files, &drained(dir, "json", "2"), "files and JSON topics");
    assert_eq!(letters(dir, "files"), letters(dir, "json"));
    // A drained log, run again: nothing changes.
    same(&files, &drained(dir, "json", "1"), "a second run");

    broker.config(dir, "same-protobuf", "format = \"protobuf\"\n");
    send(dir, "1");
    same(&files, &drained(dir, "protobuf", "1"), "files and Protobuf topics");
    let reasons = letters(dir, "protobuf");
    assert_eq!(reasons, [(("decode".to_owned(), "not_protobuf".to_owned()), 2)].into());

    broker.config(dir, "same-mixed", "formats = { uploads = \"protobuf\", users = \"protobuf\" }\n");
    send(dir, "1");
    let upload = &broker.read("same-mixed.uploads")[0];
    assert!(!upload.value.as_deref().expect("a value").starts_with(b"{"));
    same(&files, &drained(dir, "mixed", "1"), "files and topics of both formats");
    assert_eq!(letters(dir, "files"), letters(dir, "mixed"));
}

/// A Kafka partition is to an epoch what a part file is: the records of each partition, written into a part file of their own,
/// give the same bytes. Some of the partitions are empty, one gets a single record.
#[test]
fn three_partitions_are_three_part_files() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 52);
    broker.config(dir, "three", "");
    send(dir, "3");
    let mut busy = BTreeMap::new();
    for stream in STREAMS {
        let records = broker.read(&format!("three.{stream}"));
        for partition in 0..3 {
            let own = records.iter().filter(|record| record.partition == partition);
            let lines: Vec<u8> =
                own.flat_map(|record| [record.value.as_deref().expect("a value"), b"\n"].concat()).collect();
            let name = format!("part-0000{partition}.jsonl");
            busy.entry(stream).or_insert_with(Vec::new).push(lines.len());
            add_part(dir, "parts", stream, &name, &lines);
        }
    }
    assert!(busy["interactions"].iter().all(|bytes| *bytes > 1_000), "{busy:?}");
    assert_eq!(busy["served"], [0, 0, 0], "an idle topic");
    let files = replay(dir, "parts", "files", "1");
    same(&files, &drained(dir, "topics", "1"), "three part files and three partitions");
    same(&files, &drained(dir, "topics-3", "3"), "the same with three workers");
}

#[test]
fn a_killed_run_goes_on_from_its_journal_and_leaves_the_same_bytes() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 53);
    broker.config(dir, "killed", "");
    send(dir, "2");
    let expected = drained(dir, "whole", "1");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    assert!(last > 150, "{last} epochs are too few to be interrupted");
    for (at, workers) in [(last * 3 / 10, "1"), (last / 10, "2"), (last * 7 / 10, "1")] {
        kill_at(dir, &once("often", workers), "often", at);
    }
    same(&expected, &drained(dir, "often", "2"), "killed three times");
    assert_eq!(letters(dir, "whole"), letters(dir, "often"));
}

/// The topics are read from where the checkpoint left them, and what comes after is the same.
#[test]
fn a_killed_run_goes_on_from_its_checkpoint_and_leaves_the_same_bytes() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 55);
    broker.config(dir, "kept", "[checkpoint]\nevery = \"1ms\"\n");
    send(dir, "2");
    let expected = drained(dir, "whole", "1");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    let archiving = |store: &'static str, workers: &'static str| {
        [&once(store, workers)[..], &["--archive", "rows"]].concat()
    };
    for (at, workers) in [(last * 3 / 10, "1"), (last * 7 / 10, "2")] {
        kill_at(dir, &archiving("often", workers), "often", at);
    }
    let args = archiving("often", "3");
    let args: Vec<&str> = args.into_iter().filter(|arg| *arg != "--quiet").collect();
    let (code, _, said) = run(dir, &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("going on from a checkpoint"), "{said}");
    same(&expected, &dump(dir, "often"), "killed twice");
    assert_eq!(letters(dir, "whole"), letters(dir, "often"));
    // Each record of the topics is in the archive once, and the state is what it says.
    let verify = ["verify", "--config", "kafka.toml", "--store", "often", "--archive", "rows", "--json"];
    let report = ok_json(dir, &verify);
    assert_eq!(report["holds"], true, "{report}");
    let refused: usize = letters(dir, "whole").values().sum();
    assert_eq!(number(&report["records"]) as usize, lines(dir, "log") - refused);
}

#[test]
fn a_record_in_a_topic_changes_the_list_and_a_click_goes_into_the_topic() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 54, 1_500);
    broker.config(dir, "live", "group = \"live-watch\"\n");
    send(dir, "3");
    let service = Service::launch(dir, &RUN, Stdio::inherit());
    let users = ranked_users(dir);
    let user = users[0];
    let before = service.feed(user);
    let (video, next) = (videos(&before)[0], videos(&before)[1]);

    // Posted: acknowledged by the broker, read from the topic, in the list.
    let click =
        json!({"event_id": 900_001, "user_id": user, "video_id": video, "watch_ms": 60_000, "like": true});
    let after = service.post_and_see(&click, user);
    assert!(!videos(&after).contains(&video), "what was watched does not come back");
    let taken: Vec<Json> = broker
        .read("live.interactions")
        .iter()
        .filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok())
        .collect();
    let posted =
        taken.iter().find(|event| number(&event["event_id"]) == 900_001).expect("it is in the topic");
    assert_eq!((number(&posted["user_id"]), &posted["like"]), (user, &json!(true)));

    // Written by somebody else, into one of three partitions while the others are idle, and in a transaction: its marker takes an offset
    // that is nobody's record.
    let time = number(&posted["event_time"]) + 1;
    let watch = json!({"event_id": 900_002, "event_time": time, "user_id": user, "video_id": next, "watch_ms": 50_000});
    let seen = number(&after["epoch"]);
    broker.write_transaction("live.interactions", &[(&user.to_string(), watch.to_string().as_bytes())]);
    let again = wait_for("the written record in the list", || {
        Some(service.feed(user)).filter(|f| number(&f["epoch"]) > seen)
    });
    assert!(!videos(&again).contains(&next));

    // Pages that were handed out are in their topic, and the metrics know the partitions.
    let pages = wait_for("served pages in the topic", || {
        let pages = broker.read("live.served");
        (!pages.is_empty()).then_some(pages)
    });
    let page: Json = serde_json::from_slice(pages[0].value.as_deref().expect("a value")).expect("JSON");
    assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{page}");
    let metrics = wait_for("lag of all partitions to be 0", || {
        let (_, text) = service.get("/metrics");
        let text = text.as_str().unwrap_or_default().to_owned();
        let lags: Vec<&str> =
            text.lines().filter(|line| line.starts_with("freshet_input_lag_records{")).collect();
        (lags.len() == 18 && lags.iter().all(|line| line.ends_with(" 0"))).then_some(text)
    });
    assert!(
        metrics.contains("freshet_input_holds_frontier{partition=\"kafka:live.interactions/2\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("freshet_in_flight_epochs"), "{metrics}");
    service.stop();
}

#[test]
fn a_service_that_is_killed_while_live_leaves_the_bytes_of_one_that_was_not() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 55, 1_500);
    broker.config(dir, "live-kill", SELDOM);
    send(dir, "2");
    let service = Service::launch(dir, &RUN, Stdio::inherit());
    let users = ranked_users(dir);
    for (at, user) in (0u64..).zip(&users[..4]) {
        let video = videos(&service.feed(*user))[0];
        let click = json!({"event_id": 920_000 + at, "user_id": user, "video_id": video, "watch_ms": 9_000});
        service.post_and_see(&click, *user);
    }
    // Acknowledged, and most likely not yet read when the end comes.
    let video = videos(&service.feed(users[5]))[0];
    service.post(&json!({"event_id": 930_000, "user_id": users[5], "video_id": video, "watch_ms": 9_000}));
    service.kill();

    let service = Service::launch(dir, &RUN, Stdio::inherit());
    wait_for("the last click", || (!videos(&service.feed(users[5])).contains(&video)).then_some(()));
    service.stop();
    let whole = dump(dir, "store");
    // Without the store, the journal and the topics make the same bytes: what the two runs wrote is what one would have.
    std::fs::rename(dir.join("store/kv"), dir.join("kv.before")).expect("renamed");
    let service = Service::launch(dir, &RUN, Stdio::inherit());
    service.stop();
    same(&whole, &dump(dir, "store"), "killed while live, and read again from the journal");
}

/// A start from a checkpoint reads on at its offsets: what lies before may be gone, but must not have been other records.
#[test]
fn a_start_from_a_checkpoint_needs_no_record_from_before_it() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 56);
    let halves = |config: &str, part: &[&str]| {
        ok(dir, &[&["produce", "log", "--config", config, "--create-topics", "2"], part].concat());
    };
    // The same log twice: one run replays its journal from the topics' beginning, one begins with a checkpoint.
    for (config, every) in [("journal", "0s"), ("checkpoint", "1m")] {
        broker.config(dir, config, &format!("[checkpoint]\nevery = \"{every}\"\n"));
        std::fs::rename(dir.join("kafka.toml"), dir.join(config)).expect("renamed");
        halves(config, &["--first", "800"]);
    }
    let store = |config: &str| format!("stores/{config}");
    let drain =
        |config: &str| run(dir, &["run", "--config", config, "--store", &store(config), "--once", "--quiet"]);
    for config in ["journal", "checkpoint"] {
        let (code, _, err) = drain(config);
        assert_eq!(code, Some(0), "{err}");
    }
    // Retention takes all that the checkpoint has.
    for stream in STREAMS {
        let topic = format!("checkpoint.{stream}");
        for partition in 0..2 {
            let records = broker.read(&topic);
            let end = records
                .iter()
                .filter(|record| record.partition == partition)
                .map(|record| record.offset + 1)
                .max();
            if let Some(end) = end {
                broker.truncate(&topic, partition, end);
            }
        }
    }
    for config in ["journal", "checkpoint"] {
        halves(config, &["--after", "800"]);
        let (code, _, err) = drain(config);
        assert_eq!(code, Some(0), "{err}");
    }
    same(
        &dump(dir, &store("journal")),
        &dump(dir, &store("checkpoint")),
        "from the journal and from a checkpoint",
    );

    // As many records and more, but others: the one before the place where reading goes on tells.
    broker.delete("checkpoint.users");
    broker.create("checkpoint.users", 2);
    let other: Vec<(String, String)> = (0..500)
        .map(|n| (n.to_string(), format!("{{\"event_id\":{n},\"event_time\":1,\"user_id\":{n}}}")))
        .collect();
    let other: Vec<(&str, &[u8])> =
        other.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
    broker.write("checkpoint.users", &other);
    let (code, _, err) = drain("checkpoint");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("kafka:checkpoint.users/") && err.contains("is another one"), "{err}");
}

/// What is deployed: the pipeline between topics and Redis, and feed servers apart that know nothing of each other. A click that one
/// of them takes is in the lists that all of them read, and each page is recorded under a number of its own.
#[test]
fn feed_servers_apart_send_clicks_and_pages_into_the_topics() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 58, 500);
    let redis = RedisServer::start();
    broker.config_to(&redis, dir, "apart", "");
    let shifted = std::fs::read_to_string(dir.join("kafka.toml")).expect("just written");
    let wall = shifted.replace("live = \"shifted\"", "live = \"wall\"");
    std::fs::write(dir.join("kafka.toml"), wall).expect("written");
    std::fs::write(dir.join("shifted.toml"), shifted).expect("written");
    ok(dir, &["produce", "log", "--config", "kafka.toml", "--create-topics", "2", "--ends-now"]);
    let run = ["run", "--config", "kafka.toml", "--quiet"];
    let pipeline = Service::run(dir, &run);
    let servers = [(); 2].map(|()| Service::run(dir, &["serve", "--config", "kafka.toml"]));
    let users = ranked_users_of(&ok(dir, &["dump", "--config", "kafka.toml"]));

    let watch = |at: &Service, user: u64| {
        let page = at.feed(user);
        let video = videos(&page)[0];
        at.post(&json!({
            "user_id": user, "video_id": video, "watch_ms": 9_000, "feed_position": 0, "request_id": page["request_id"],
        }));
        (video, page["request_id"].as_str().expect("text").parse::<u64>().expect("a number"))
    };
    let gone = |at: &Service, user: u64, video: u64| {
        wait_for("the click", || (!videos(&at.feed(user)).contains(&video)).then_some(()));
    };
    let mut pages = Vec::new();
    for (n, server) in servers.iter().enumerate() {
        let (video, page) = watch(server, users[n]);
        gone(&servers[1 - n], users[n], video);
        pages.push((page, users[n]));
    }
    // What the pipeline would refuse is refused at once.
    let (status, why) = servers[0].try_post(&json!({
        "user_id": users[0], "video_id": 1_000_000_001, "watch_ms": 1, "event_time": 9_000_000_000_000_u64,
    }));
    assert!((400..500).contains(&status), "{status} {why}");

    // While the pipeline is away lists are served as they are, and clicks wait in the topic.
    pipeline.kill();
    let (video, page) = watch(&servers[1], users[2]);
    pages.push((page, users[2]));
    assert!(videos(&servers[0].feed(users[2])).contains(&video), "nobody made another list");
    let pipeline = Service::run(dir, &run);
    gone(&servers[0], users[2], video);

    wait_for("the pages in the topic", || {
        let served: Vec<Json> = broker
            .read("apart.served")
            .iter()
            .map(|record| serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON"))
            .collect();
        let of = |page: u64| served.iter().filter(move |record| number(&record["request_id"]) == page);
        pages.iter().all(|(page, _)| of(*page).next().is_some()).then(|| {
            for (page, user) in &pages {
                assert_eq!(of(*page).map(|record| number(&record["user_id"])).collect::<Vec<_>>(), [*user]);
            }
        })
    });
    // Only the pipeline knows what time it is in a world of the past.
    let reader = Service::run(dir, &["serve", "--config", "shifted.toml"]);
    let (status, why) = reader.try_post(&json!({"user_id": users[0], "video_id": video, "watch_ms": 1}));
    assert_eq!(status, 403, "{why}");
    pipeline.stop();
}
