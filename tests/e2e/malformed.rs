//! Whatever stands in a log: what cannot be processed becomes a dead letter with its reason, and the rest goes on as if it
//! had not been there.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::harness::{ok, once, replay, same};
use crate::world::{add_part, copy_log, in_order, read, world};

/// The lines that must not pass: what is written, and the stage and reason that are expected.
fn bad_interactions(time: u64) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let ids = r#""event_id":77,"user_id":1000001"#;
    let with = |rest: &str| format!("{{{ids},\"event_time\":{time},{rest}}}").into_bytes();
    let at = |time: u64| format!("{{{ids},\"event_time\":{time},\"video_id\":1000000001}}").into_bytes();
    vec![
        (b"user_id,video_id,watch_ms".to_vec(), "decode", "not_json"),
        (b"{".to_vec(), "decode", "not_json"),
        (format!("{{{ids},\"event_time\":{time},\"video_id\":10000").into_bytes(), "decode", "not_json"),
        (with("\"video_id\":1000000001} {}"), "decode", "not_json"),
        (with("\"video_id\":1000000001,\"watch_ms\":NaN"), "decode", "not_json"),
        (b"\0\0\0\0".to_vec(), "decode", "not_json"),
        (b"[1,2,3]".to_vec(), "decode", "wrong_type"),
        (b"null".to_vec(), "decode", "wrong_type"),
        (with("\"watch_ms\":5"), "decode", "missing_field"),
        (with("\"video_id\":\"a video\""), "decode", "wrong_type"),
        (with("\"video_id\":-1"), "decode", "wrong_type"),
        (with("\"video_id\":18446744073709551616"), "decode", "wrong_type"),
        (with("\"video_id\":1.5"), "decode", "wrong_type"),
        (with("\"video_id\":1e999"), "decode", "wrong_type"),
        (with("\"video_id\":null"), "decode", "wrong_type"),
        (with("\"video_id\":1000000001,\"like\":\"yes\""), "decode", "wrong_type"),
        (with("\"video_id\":1000000001,\"watch_ms\":-4"), "decode", "wrong_type"),
        (with("\"video_id\":1000000001,\"revision\":4294967296"), "decode", "wrong_type"),
        ([&with("\"video_id\":1000000001,\"os\":\"")[..], b"\xff\xfe\"}"].concat(), "decode", "not_utf8"),
        (with(&format!("\"video_id\":1000000001,\"os\":\"{}\"", "x".repeat(2 << 20))), "decode", "too_long"),
        (with("\"video_id\":1000000001,\"like\":true,\"dislike\":true"), "validate", "invalid_value"),
        (with("\"video_id\":1000000001,\"watch_ms\":9999999999999"), "validate", "invalid_value"),
        (
            with(&format!("\"video_id\":1000000001,\"os\":\"{}\"", "x".repeat(300))),
            "validate",
            "invalid_value",
        ),
        (at(4_102_444_800_000), "clock", "too_far_ahead"), // the year 2100
        (at(u64::MAX), "clock", "too_far_ahead"),
        (at(631_152_000_000), "clock", "too_old"), // 1990
        (at(0), "clock", "too_old"),
    ]
}

fn bad_uploads(time: u64) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let with = |rest: &str| {
        format!("{{\"event_id\":88,\"event_time\":{time},\"video_id\":1000000001,\"creator_id\":1,\"created_at\":{time},{rest}}}")
            .into_bytes()
    };
    vec![
        (with("\"status\":\"sparkling\""), "decode", "wrong_type"),
        (with("\"status\":\"ready\",\"hashtags\":\"one\""), "decode", "wrong_type"),
        (with("\"status\":\"ready\",\"content_embedding\":[0,0]"), "validate", "invalid_value"),
        (with("\"status\":\"ready\",\"content_embedding\":[1,0.5]"), "validate", "invalid_value"),
        (with(&format!("\"caption\":\"{}\"", "x".repeat(10_001))), "validate", "invalid_value"),
    ]
}

fn bad_deletes(time: u64) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let with = |rest: &str| format!("{{\"event_id\":99,\"event_time\":{time},{rest}}}").into_bytes();
    vec![
        (with("\"target\":\"everything\""), "decode", "wrong_type"),
        (with("\"target\":\"video\""), "decode", "missing_field"),
    ]
}

#[test]
fn each_bad_line_is_a_dead_letter_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 31, 600);
    copy_log(dir, "log", "clean");
    let views = in_order(&read(dir, "log", "interactions"));
    let time = crate::harness::number(&views[views.len() / 2]["event_time"]);

    // Between any two bad lines stands a good one. The clean log has the good ones alone.
    let streams = [
        ("interactions", bad_interactions(time)),
        ("uploads", bad_uploads(time)),
        ("deletes", bad_deletes(time)),
    ];
    let mut expected = Vec::new();
    for (stream, bad) in &streams {
        let (mut mixed, mut clean) = (Vec::new(), Vec::new());
        for (n, (line, stage, reason)) in (0u64..).zip(bad) {
            expected.push((format!("{stream}/part-00001.jsonl"), mixed.len() as u64, *stage, *reason));
            mixed.extend_from_slice(line);
            mixed.push(b'\n');
            let good = match *stream {
                "interactions" => {
                    json!({"event_id": 700_000 + n, "event_time": time + n, "user_id": views[7]["user_id"],
                                         "video_id": views[(n * 11 % 400) as usize]["video_id"], "watch_ms": 7_000})
                }
                "uploads" => {
                    json!({"event_id": 800_000 + n, "event_time": time + n, "video_id": 5_000 + n, "creator_id": 1,
                                    "created_at": time, "duration_ms": 9_000, "status": "ready", "hashtags": ["new"]})
                }
                _ => json!({"event_id": 900_000 + n, "event_time": time + n, "target": "video",
                            "video_id": views[(n * 31) as usize]["video_id"]}),
            };
            let good = format!("{good}\n").into_bytes();
            mixed.extend_from_slice(&good);
            clean.extend_from_slice(&good);
        }
        add_part(dir, "log", stream, "part-00001.jsonl", &mixed);
        add_part(dir, "clean", stream, "part-00001.jsonl", &clean);
    }

    let whole = replay(dir, "log", "store", "2");
    same(&replay(dir, "clean", "clean-store", "1"), &whole, "without the bad lines and with them");
    assert!(whole.contains("{\"key\":\"video:5001\""), "the good uploads between the bad ones are there");
    assert!(!dir.join("clean-store/dead-letters.jsonl").metadata().is_ok_and(|m| m.len() > 0));

    let path = dir.join("store/dead-letters.jsonl");
    let text = std::fs::read_to_string(&path).expect("dead letters");
    let letters: Vec<Json> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let place =
        |letter: &Json| (letter["file"].as_str().unwrap_or_default().to_owned(), letter["offset"].as_u64());
    let found: BTreeMap<_, _> = letters.iter().map(|letter| (place(letter), letter)).collect();
    for (file, offset, stage, reason) in &expected {
        let letter = found.get(&(file.clone(), Some(*offset)));
        let letter = letter
            .unwrap_or_else(|| panic!("no dead letter at {file}:{offset} ({reason}): {:?}", found.keys()));
        assert_eq!(
            (&letter["stage"], &letter["reason"]),
            (&json!(stage), &json!(reason)),
            "{}",
            letter["detail"]
        );
        assert!(letter["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{letter}");
    }
    assert_eq!(letters.len(), expected.len(), "each once, and no other");

    // Once more, over the same journal: not one is doubled.
    ok(dir, &once("log", "store", "1"));
    assert!(text == std::fs::read_to_string(&path).expect("dead letters"));
}
