//! Who and what is suspected of abuse, as tables: what `freshet abuse` says of the same service.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::harness::{Service, freshet, lines, ok, rows};

/// Rows by their identifier, as the names of the columns say it.
fn by_id(rows: &[Json], id: &str) -> BTreeMap<u64, Json> {
    let number = |row: &Json| row[id].as_u64().or_else(|| row[id].as_str()?.parse().ok());
    rows.iter().map(|row| (number(row).unwrap_or_else(|| panic!("{row}: no {id}")), row.clone())).collect()
}

#[test]
fn suspects_are_those_that_the_command_lists() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let attacked = [
        "generate", "--users", "150", "--videos", "200", "--events", "5000", "--days", "8", "--seed", "3",
        "--out", "log", "--attack", "bots=5", "--attack", "ring=12",
    ];
    ok(freshet(dir, &attacked));
    // Without ticks nothing changes between two looks.
    let guarded =
        "[clock]\ntick_ms = 3600000\n[abuse]\nenabled = true\nwindow = \"7d\"\n[feed]\nenabled = false\n";
    std::fs::write(dir.join("guarded.toml"), guarded).expect("written");
    let service = Service::start(dir, &["--config", "guarded.toml"]);
    let said = ok(freshet(dir, &["abuse", "--config", "guarded.toml", "--store", "store", "--json"]));
    let said = lines(&said).remove(0);
    let list = |key: &str| said[key].as_array().expect("a list").clone();
    let (users, videos) = (by_id(&list("users"), "user_id"), by_id(&list("videos"), "video_id"));
    assert!(users.values().any(|user| user["flagged"] == json!(true)) && videos.len() >= 4, "{said}");

    let asked = by_id(&rows(dir, "select * from suspect_users"), "user_id");
    assert_eq!(asked.keys().collect::<Vec<_>>(), users.keys().collect::<Vec<_>>());
    for (id, user) in &users {
        for column in [
            "flagged",
            "signals",
            "interactions",
            "engaged",
            "unwatched",
            "skipped",
            "per_minute",
            "together",
        ] {
            assert_eq!(asked[id][column], user[column], "{column} of user {id}");
        }
    }
    let asked = by_id(&rows(dir, "select *, to_unixtime(last_at) as last_s from suspect_videos"), "video_id");
    assert_eq!(asked.keys().collect::<Vec<_>>(), videos.keys().collect::<Vec<_>>());
    for (id, video) in &videos {
        let row = &asked[id];
        for column in ["signals", "engaged", "engagers", "burst"] {
            assert_eq!(row[column], video[column], "{column} of video {id}");
        }
        assert_eq!(json!([row["bots"], row["farmers"], row["coordinated"]]), video["suspects"], "video {id}");
        assert_eq!(row["last_s"].as_u64(), video["last_ms"].as_u64().map(|ms| ms / 1_000), "video {id}");
        let [factor, expected] = [&row["factor"], &video["factor"]].map(|of| of.as_f64().expect("a number"));
        assert!((factor - expected).abs() < 1e-9, "{factor} and {expected}, video {id}");
    }

    // One is looked up by its number, and somebody of whom nothing is suspected is not there.
    let (user, video) = (users.keys().next().expect("one"), videos.keys().next().expect("one"));
    let one = rows(dir, &format!("select user_id from suspect_users where user_id in ({user}, 77)"));
    assert_eq!(by_id(&one, "user_id").keys().collect::<Vec<_>>(), [user]);
    let one = rows(dir, &format!("select video_id from suspect_videos where video_id = {video}"));
    assert_eq!(by_id(&one, "video_id").keys().collect::<Vec<_>>(), [video]);
    service.stop();
}
