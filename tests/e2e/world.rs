//! Event logs: generated ones, and lines added to them by hand.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{number, ok};

/// A generated world in `DIR/log`: 120 users and 150 videos over two days. It has late and duplicate records, revisions and
/// deletes; more deletes are added.
pub fn world(dir: &Path, seed: u64, events: u64) -> String {
    let (seed, events) = (seed.to_string(), events.to_string());
    let size = ["--users", "120", "--videos", "150", "--events", &events, "--seed", &seed, "--days", "2"];
    ok(dir, &[&["generate", "--out", "log"], &size[..]].concat())
}

/// The records of a stream, in the order of the file.
pub fn read(dir: &Path, log: &str, stream: &str) -> Vec<Json> {
    let path = dir.join(log).join(stream).join("part-00000.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a log is JSON lines")).collect()
}

/// Adds a part file to a stream of a log.
pub fn add_part(dir: &Path, log: &str, stream: &str, part: &str, lines: &[u8]) {
    let folder = dir.join(log).join(stream);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(part), lines).expect("written");
}

/// As [`add_part`], of whole records.
pub fn add_records(dir: &Path, log: &str, stream: &str, part: &str, records: &[Json]) {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    add_part(dir, log, stream, part, text.as_bytes());
}

/// Adds pages that were served: before each interaction one to its user, of the videos that had become ready last.
pub fn add_pages(dir: &Path, log: &str) {
    let uploads = in_order(&read(dir, log, "uploads"));
    let ready: Vec<&Json> = uploads.iter().filter(|upload| upload["status"] == "ready").collect();
    let pages: Vec<Json> = in_order(&read(dir, log, "interactions"))
        .iter()
        .zip(1..)
        .map(|(view, n): (&Json, u64)| {
            let at = number(&view["event_time"]);
            let before = ready.partition_point(|upload| number(&upload["event_time"]) <= at);
            let items: Vec<Json> = ready[before.saturating_sub(12)..before]
                .iter()
                .rev()
                .zip(0..)
                .map(|(upload, place): (&&Json, u32)| {
                    json!({"video_id": upload["video_id"], "position": place, "propensity": 1.0, "slot_policy": "rank"})
                })
                .collect();
            json!({"event_id": n, "event_time": at, "request_id": n, "user_id": view["user_id"], "list_epoch": 0,
                   "items": items})
        })
        .collect();
    add_records(dir, log, "served", "part-00000.jsonl", &pages);
}

/// Copies a log of plain files.
pub fn copy_log(dir: &Path, from: &str, to: &str) {
    for stream in std::fs::read_dir(dir.join(from)).expect("a log").flatten() {
        let target = dir.join(to).join(stream.file_name());
        std::fs::create_dir_all(&target).expect("a folder");
        for part in std::fs::read_dir(stream.path()).expect("a stream").flatten() {
            std::fs::copy(part.path(), target.join(part.file_name())).expect("copied");
        }
    }
}

/// Adds the deletes of an interaction, a video and a user to the log, at the time of interactions in its middle.
pub fn add_deletes(dir: &Path, log: &str) {
    let views = in_order(&read(dir, log, "interactions"));
    let at = |part: usize| &views[views.len() * part / 10];
    let deletes = [
        json!({"event_id": 9001, "event_time": at(4)["event_time"], "target": "interaction",
               "user_id": at(2)["user_id"], "target_event_id": at(2)["event_id"]}),
        json!({"event_id": 9002, "event_time": at(5)["event_time"], "target": "video", "video_id": at(3)["video_id"]}),
        json!({"event_id": 9003, "event_time": at(6)["event_time"], "target": "user", "user_id": at(1)["user_id"]}),
    ];
    add_records(dir, log, "deletes", "part-00001.jsonl", &deletes);
}

/// The records that are not late: each at or after all that stand before it. A record added at such a time falls into an
/// epoch that the log has anyway.
pub fn in_order(records: &[Json]) -> Vec<Json> {
    let mut reached = 0;
    let in_order = records.iter().filter(|record| {
        let time = number(&record["event_time"]);
        let on_time = time >= reached;
        reached = reached.max(time);
        on_time
    });
    in_order.cloned().collect()
}
