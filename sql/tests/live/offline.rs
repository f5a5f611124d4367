//! A stopped pipeline's checkpoint shows what the running one showed, with any number of workers.

use std::path::Path;

use crate::harness::{Service, freshet, ok, run, sql, world};

/// All that does not depend on the process that answers, in one order.
const TABLES: &[(&str, &str)] = &[
    ("videos", "video_id"),
    ("users", "user_id"),
    ("interactions", "user_id, event_time, event_id"),
    ("sessions", "user_id, number"),
    ("video_stats", "video_id, span"),
    ("video_scores", "video_id"),
    ("creators", "creator_id"),
    ("user_interests", "user_id, topic_id"),
    ("user_facets", "user_id, kind, name"),
    ("trending", "pool, place"),
    ("co_engagement", "video_id, with_video_id, relation"),
    ("feeds", "user_id, place"),
    ("topics", "space_id, topic_id"),
    ("dead_letters", "epoch, number"),
    ("snapshot", "epoch"),
];

fn all(dir: &Path, args: &[&str]) -> Vec<(String, String)> {
    // One process a place, one query a table: of a pipeline that stands still all are of one epoch.
    let mut out = Vec::new();
    let queries: Vec<String> = TABLES
        .iter()
        .map(|(table, order)| format!("select '{table}' as the_table, * from {table} order by {order}"))
        .collect();
    let mut args = args.to_vec();
    args.extend(["--format", "json"]);
    queries.iter().for_each(|query| args.extend(["-c", query.as_str()]));
    let text = ok(sql(dir, &args));
    for (table, _) in TABLES {
        let mark = format!("{{\"the_table\":\"{table}\"");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&mark)).collect();
        out.push(((*table).to_owned(), rows.join("\n")));
    }
    out
}

#[track_caller]
fn same(one: &[(String, String)], other: &[(String, String)], what: &str) {
    for ((table, a), (_, b)) in one.iter().zip(other) {
        let differ = a.lines().zip(b.lines()).find(|(a, b)| a != b);
        assert!(differ.is_none(), "{what}: {table}\n{differ:?}");
        assert_eq!(a.lines().count(), b.lines().count(), "{what}: {table}");
    }
}

#[test]
fn a_checkpoint_shows_what_the_pipeline_showed_with_any_number_of_workers() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 8, 2_500);
    // Two lines that are no events, for the dead letters.
    let part = dir.join("log/interactions/part-bad.jsonl");
    std::fs::write(part, "{\"user_id\":1}\nnonsense\n").expect("written");
    // Without ticks the last epoch stays the last one.
    std::fs::write(dir.join("still.toml"), "[clock]\ntick_ms = 3600000\n").expect("written");
    let service = Service::start(dir, &["--config", "still.toml"]);
    let live = all(dir, &["--store", "store"]);
    for (table, rows) in &live {
        assert!(!rows.is_empty(), "{table} is empty: it shows nothing");
    }
    // While a service runs there is nothing to read past it.
    let (code, _, err) = run(sql(dir, &["--offline", "--store", "store", "-c", "select 1"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("without --offline"), "{err}");
    service.stop();
    same(&live, &all(dir, &["--offline", "--store", "store", "--config", "still.toml"]), "stopped");
    // `freshet sql` hands over to it.
    let handed = ok(freshet(
        dir,
        &[
            "sql",
            "--offline",
            "--store",
            "store",
            "--format",
            "csv",
            "-c",
            "select epoch, phase from freshness",
        ],
    ));
    assert!(handed.starts_with("epoch,phase\n") && handed.ends_with(",stopped\n"), "{handed}");

    let twice = [
        "run",
        "--input",
        "log",
        "--store",
        "two",
        "--workers",
        "2",
        "--once",
        "--quiet",
        "--config",
        "still.toml",
    ];
    ok(freshet(dir, &twice));
    same(&live, &all(dir, &["--offline", "--store", "two"]), "two workers");

    let (code, _, err) = run(sql(dir, &["--store", "store", "-c", "select 1"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("no service answers") && err.contains("--offline"), "{err}");
    let (code, _, err) = run(sql(dir, &["--offline", "--store", "log", "-c", "select 1"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("there is no store in this folder"), "{err}");
}
