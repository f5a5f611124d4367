//! What goes wrong with Kafka: brokers that are away, topics that are not what they were, records that nobody can read. What
//! can be waited for is waited for; the rest ends with a message that says what to do.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::broker::{Broker, STREAMS};
use crate::harness::{SELDOM, dump, freshet, number, ok, run, same, videos, wait_for};
use crate::live::ranked_users;
use crate::service::{Guard, Service};
use crate::world::world;

const ONCE: [&str; 5] = ["run", "--config", "kafka.toml", "--once", "--quiet"];

fn drain(dir: &Path, store: &str) -> (Option<i32>, String) {
    let (code, _, err) = run(dir, &[&ONCE[..], &["--store", store]].concat());
    (code, err)
}

#[track_caller]
fn refused(dir: &Path, store: &str, expected: &[&str]) {
    let (code, err) = drain(dir, store);
    assert_eq!(code, Some(1), "{err}");
    for part in expected {
        assert!(err.contains(part), "{part:?} is not said: {err}");
    }
}

/// A user's record at a second of September 2020.
fn user(id: u64, second: u64) -> Vec<u8> {
    format!(r#"{{"event_id":{id},"event_time":{},"user_id":{id}}}"#, 1_600_000_000_000 + second * 1_000)
        .into_bytes()
}

fn users(broker: &Broker, topic: &str, ids: std::ops::Range<u64>) {
    let records: Vec<(String, Vec<u8>)> = ids.map(|id| (id.to_string(), user(id, id * 60))).collect();
    let records: Vec<(&str, &[u8])> =
        records.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    broker.write(topic, &records);
}

fn said(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("stderr")).expect("what it said")
}

#[test]
fn a_broker_that_dies_and_comes_back_costs_time_and_nothing_else() {
    let mut broker = Broker::start();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 61, 900);
    broker.config(dir, "down", &format!("ack_timeout = \"2s\"\n{SELDOM}"));
    ok(dir, &["produce", "log", "--config", "kafka.toml", "--create-topics", "1"]);
    let stderr = File::create(dir.join("stderr")).expect("a file");
    let service = Service::launch(dir, &["--config", "kafka.toml"], Stdio::from(stderr));
    let user = ranked_users(dir)[0];
    let video = videos(&service.feed(user))[0];
    let click = json!({"event_id": 940_001, "user_id": user, "video_id": video, "watch_ms": 9_000});

    broker.kill();
    let (status, problem) = service.try_post(&click);
    assert_eq!(status, 503, "{problem}");
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("send the same events again")),
        "{problem}"
    );
    wait_for("the service to say so", || said(dir).contains("no broker answers").then_some(()));
    assert_eq!(videos(&service.feed(user))[0], video, "lists are read all the while");
    // Long enough for several attempts: it is said once.
    std::thread::sleep(Duration::from_secs(6));
    broker.start_again();
    let after = wait_for("the click to be taken and seen", || {
        let (status, _) = service.try_post(&click);
        let feed = service.feed(user);
        (status == 202 && !videos(&feed).contains(&video)).then_some(feed)
    });
    assert!(number(&after["epoch"]) > 0);
    wait_for("the service to say so", || said(dir).contains("the brokers answer again").then_some(()));
    service.stop();
    let log = said(dir);
    // The source's client and the feed server's.
    assert!(log.matches("no broker answers").count() <= 2, "{log}");
    assert!(!log.contains("ERROR"), "{log}");

    // The same event again and again was counted once: the journal over the topics leaves the same bytes.
    let whole = dump(dir, "store");
    std::fs::rename(dir.join("store/kv"), dir.join("kv.before")).expect("renamed");
    let service = Service::launch(dir, &["--config", "kafka.toml"], Stdio::inherit());
    service.stop();
    same(&whole, &dump(dir, "store"), "after a broker was down");
}

/// While the service stands still, far more is written than it may hold at once.
#[test]
fn a_pause_and_a_burst_are_worked_off_in_bounded_memory() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let bounds = "fetch_ahead = \"1MiB\"\n[graph]\nin_flight_bytes = \"1MiB\"\n[feed]\nenabled = false\n";
    broker.config(dir, "burst", bounds);
    for stream in STREAMS {
        broker.create(&format!("burst.{stream}"), 1);
    }
    users(broker, "burst.users", 1..5);
    let service = Service::launch(dir, &["--config", "kafka.toml"], Stdio::inherit());
    let metric = |name: &str| -> f64 {
        let (_, text) = service.get("/metrics");
        let text = text.as_str().unwrap_or_default();
        // Of a metric with labels, all of them.
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")).sum()
    };
    wait_for("the first records", || (metric("freshet_events_total{kind=\"users\"}") >= 4.0).then_some(()));
    let before = service.peak_memory();

    service.signal("STOP");
    // 120 MB: a field that nobody knows is read and forgotten, and so is an event that was counted already.
    let padding = "x".repeat(4_000);
    for chunk in 0..30u64 {
        let record = |id: u64| {
            let time = 1_600_000_240_000u64;
            let ids = format!(
                "\"event_id\":{},\"event_time\":{time},\"user_id\":{},\"video_id\":1",
                id % 100,
                id % 4
            );
            format!("{{{ids},\"padding\":\"{padding}\"}}")
        };
        let lines: Vec<String> = (chunk * 1_000..(chunk + 1) * 1_000).map(record).collect();
        let records: Vec<(&str, &[u8])> = lines.iter().map(|line| ("1", line.as_bytes())).collect();
        broker.write("burst.interactions", &records);
    }
    service.signal("CONT");
    wait_for("all of the burst", || {
        (metric("freshet_events_total{kind=\"interactions\"}") >= 30_000.0).then_some(())
    });
    let grown = service.peak_memory().saturating_sub(before) >> 20;
    assert!(grown < 80, "{grown} MiB more, of a burst of 120 MB");
    wait_for("nothing on its way", || (metric("freshet_in_flight_bytes") == 0.0).then_some(()));
    assert_eq!(metric("freshet_dead_letters_total"), 0.0);
    service.stop();
}

#[test]
fn brokers_that_never_answered_are_waited_for_until_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let stderr = File::create(dir.join("stderr")).expect("a file");
    // Nobody listens on the discard port.
    let args = ["run", "--kafka", "127.0.0.1:9", "--store", "store", "--listen", "127.0.0.1:0"];
    let child = freshet(dir, &args).stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary runs");
    let mut process = Guard(child);
    let complaints = || {
        let log = said(dir);
        log.lines()
            .filter(|line| line.contains("no broker answers") && line.contains("client=\"input\""))
            .count()
    };
    wait_for("the complaint", || (complaints() > 0).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "told to end, it ends: {}", said(dir));
    let log = said(dir);
    assert_eq!(complaints(), 1, "{log}");
    assert!(log.contains("127.0.0.1:9"), "{log}");
}

#[test]
fn a_topic_that_was_made_again_is_noticed() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    broker.config(dir, "again", "");
    for stream in STREAMS {
        broker.create(&format!("again.{stream}"), 1);
    }
    users(broker, "again.users", 1..30);
    assert_eq!(drain(dir, "store").0, Some(0));
    users(broker, "again.users", 30..40);
    assert_eq!(drain(dir, "store").0, Some(0), "it goes on with what came");

    // Fewer records than were consumed.
    broker.delete("again.users");
    broker.create("again.users", 1);
    users(broker, "again.users", 1..10);
    refused(
        dir,
        "store",
        &["kafka:again.users/0", "not the log that was consumed", "ends at offset 9", "new journal"],
    );
    // As many and more, but others.
    users(broker, "again.users", 100..150);
    refused(dir, "store", &["kafka:again.users/0", "not the log that was consumed", "made again"]);
    // With a new journal and a new store it is read.
    let (code, err) = drain(dir, "other");
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn records_that_retention_has_taken_are_missed_by_name() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // A start from a checkpoint would not need them.
    broker.config(dir, "short", "[checkpoint]\nevery = \"0s\"\n");
    for stream in STREAMS {
        broker.create(&format!("short.{stream}"), 1);
    }
    users(broker, "short.users", 1..30);
    // What was gone before the first start was never needed.
    broker.truncate("short.users", 0, 5);
    assert_eq!(drain(dir, "store").0, Some(0));
    assert_eq!(drain(dir, "store").0, Some(0));
    broker.truncate("short.users", 0, 20);
    refused(dir, "store", &["kafka:short.users/0", "offset out of range", "begins at 20 now", "retention"]);
}

#[test]
fn topics_and_partitions_that_are_missing_are_named_and_new_ones_are_read() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    broker.config(dir, "missing", "");
    refused(dir, "store", &["kafka.users = \"missing.users\"", "no such topic", "kafka.users = \"\""]);
    for stream in STREAMS {
        broker.create(&format!("missing.{stream}"), 2);
    }
    users(broker, "missing.users", 1..30);
    broker.config(dir, "missing", "dead_letters = \"missing.dead\"\n");
    refused(
        dir,
        "store",
        &["kafka.dead_letters = \"missing.dead\"", "do not have this topic", "remove the key"],
    );
    broker.config(dir, "missing", "");
    assert_eq!(drain(dir, "store").0, Some(0));

    // More partitions: read from the next start on, and said.
    broker.add_partitions("missing.users", 4);
    users(broker, "missing.users", 30..60);
    let (code, err) = drain(dir, "store");
    assert_eq!(code, Some(0), "{err}");
    for partition in ["kafka:missing.users/2", "kafka:missing.users/3"] {
        assert!(err.contains("a new partition") && err.contains(partition), "{err}");
    }
    let before = dump(dir, "store");
    same(
        &before,
        &{
            drain(dir, "store");
            dump(dir, "store")
        },
        "a second run",
    );

    broker.delete("missing.users");
    broker.create("missing.users", 1);
    refused(dir, "store", &["kafka:missing.users/", "the topic does not have it"]);

    // A journal over files is no journal over topics.
    world(dir, 62, 50);
    ok(dir, &["run", "--input", "log", "--store", "files", "--once", "--quiet"]);
    broker.config(dir, "missing", "");
    refused(dir, "files", &["begun over users/part-00000.jsonl", "input.source"]);
}

#[test]
fn poison_goes_to_the_dead_letter_topic_with_its_bytes_and_its_place() {
    let broker = Broker::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // Without checkpoints, so that the last start reads all of it again.
    broker.config(dir, "poison", "dead_letters = \"poison.dead\"\n[checkpoint]\nevery = \"0s\"\n");
    for stream in STREAMS {
        broker.create(&format!("poison.{stream}"), 1);
    }
    broker.create("poison.dead", 1);
    users(broker, "poison.users", 1..5);
    let long = vec![b'x'; 2_000];
    broker.write(
        "poison.users",
        &[("7", b"not json"), ("7", b"{\"event_id\":\xff}"), ("7", &user(9, 60)[..20])],
    );
    broker.write("poison.users", &[("7", br#"{"event_id":1,"event_time":1600000000000}"#), ("7", &long)]);
    let future = r#"{"event_id":8,"event_time":4102444800000,"user_id":8}"#;
    broker.write("poison.users", &[("8", future.as_bytes())]);
    users(broker, "poison.users", 10..15);
    let (code, err) = drain(dir, "store");
    assert_eq!(code, Some(0), "{err}");

    let letters = broker.read("poison.dead");
    let told: Vec<(&str, &str, &str)> = letters
        .iter()
        .map(|letter| {
            (letter.header("freshet-offset"), letter.header("freshet-stage"), letter.header("freshet-reason"))
        })
        .collect();
    let expected = [
        ("4", "decode", "not_json"),
        ("5", "decode", "not_utf8"),
        ("6", "decode", "not_json"),
        ("7", "decode", "missing_field"),
        ("8", "decode", "not_json"),
        // A record from the year 2100 must not move the clock: its own timestamp bounds it.
        ("9", "clock", "too_far_ahead"),
    ];
    assert_eq!(told, expected);
    for letter in &letters {
        assert_eq!(
            (letter.header("freshet-topic"), letter.header("freshet-partition")),
            ("poison.users", "0")
        );
        let id = format!("kafka:poison.users/0@{}", letter.header("freshet-offset"));
        assert_eq!((letter.header("freshet-id"), letter.key.as_deref()), (id.as_str(), Some(id.as_str())));
        assert!(letter.header("freshet-detail").len() > 5);
    }
    assert_eq!(letters[1].value.as_deref(), Some(&b"{\"event_id\":\xff}"[..]), "the bytes as they were");
    assert_eq!(letters[4].value.as_deref(), Some(long.as_slice()));

    // The file has the same, and a second run writes neither again.
    let file = || std::fs::read_to_string(dir.join("store/dead-letters.jsonl")).expect("a file");
    let text = file();
    let places: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("JSON lines"))
        .map(|letter| {
            assert_eq!(letter["file"], "kafka:poison.users/0");
            number(&letter["offset"])
        })
        .collect();
    assert_eq!(places, [4, 5, 6, 7, 8, 9]);
    assert_eq!(drain(dir, "store").0, Some(0));
    assert_eq!((file(), broker.read("poison.dead").len()), (text, 6));

    // Where the file was lost, the letters are written again, with the same identifiers.
    std::fs::remove_file(dir.join("store/dead-letters.jsonl")).expect("removed");
    assert_eq!(drain(dir, "store").0, Some(0));
    let again = broker.read("poison.dead");
    let ids = |letters: &[crate::broker::Record]| -> Vec<String> {
        letters.iter().map(|letter| letter.header("freshet-id").to_owned()).collect()
    };
    assert_eq!((again.len(), ids(&again[6..])), (12, ids(&letters)));
}
