//! What must not matter does not: no byte of anybody else changes.

use serde_json::{Value as Json, json};

use crate::harness::{number, records, replay};
use crate::world::{add_records, copy_log, in_order, read, world};

#[test]
fn followers_who_do_nothing_else_change_no_byte_of_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 51, 1_200);
    copy_log(dir, "log", "followed");
    let views = in_order(&read(dir, "log", "interactions"));
    let uploads = read(dir, "log", "uploads");
    let creator = |n: usize| &uploads[n % 5]["creator_id"];
    // Five hundred new people follow a few creators, at times at which the log has an epoch anyway.
    let follows: Vec<Json> = (0..500usize)
        .map(|n| {
            json!({"event_id": 80_000 + n, "event_time": views[views.len() * n / 500]["event_time"],
                   "user_id": 5_000_000_000u64 + n as u64, "creator_id": creator(n)})
        })
        .collect();
    add_records(dir, "followed", "follows", "part-00001.jsonl", &follows);

    let before = records(&replay(dir, "log", "store", "1"));
    let mut after = records(&replay(dir, "followed", "followed-store", "2"));
    let new = |key: &String| {
        ["feed:50000", "dropped:50000", "account:50000"].iter().any(|new| key.starts_with(new))
    };
    let lists = after.keys().filter(|key| new(key) && key.starts_with("feed:")).count();
    assert_eq!(lists, 500, "the followers themselves have lists");
    after.retain(|key, _| !new(key));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (key, value) in &before {
        assert_eq!(*value, after[key], "{key}");
    }
}

#[test]
fn the_format_of_a_log_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let size = ["--users", "60", "--videos", "90", "--events", "500", "--seed", "52", "--days", "1"];
    let mut dumps = Vec::new();
    for format in ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"] {
        crate::harness::ok(dir, &[&["generate", "--out", format, "--format", format], &size[..]].concat());
        dumps.push((format, replay(dir, format, &format!("{format}-store"), "1")));
    }
    for (format, dump) in &dumps[1..] {
        crate::harness::same(&dumps[0].1, dump, format);
    }
    assert!(number(&records(&dumps[0].1)["newuser:all"]["epoch"]) > 0);
}
