use std::path::Path;

use serde_json::{Value as Json, json};

use crate::support::{ok, run_in};

/// A small world.
fn world(dir: &Path, seed: &str, events: &str, log: &str) {
    let size = ["--users", "20", "--videos", "40", "--events", events, "--seed", seed, "--out", log];
    ok(dir, &[&["generate"], &size[..]].concat());
}

/// A run to the end of a log; with an archive the last epoch that this has then, and its clock.
fn run(dir: &Path, log: &str, store: &str, archive: Option<&str>) -> (u64, u64) {
    let once = ["run", "--input", log, "--store", store, "--once", "--quiet"];
    let Some(archive) = archive else {
        ok(dir, &once);
        return (0, 0);
    };
    ok(dir, &[&once[..], &["--archive", archive]].concat());
    shown(dir, archive)
}

fn shown(dir: &Path, archive: &str) -> (u64, u64) {
    let shown = ok(dir, &["archive", "show", archive, "--check", "--json"]);
    let shown: Json = serde_json::from_str(&shown).expect("JSON");
    let number = |key: &str| shown[key].as_u64().expect("a number");
    (number("through"), number("now_ms"))
}

#[test]
fn an_archive_is_cut_back_where_it_is_asked_for_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, "7", "200", "log");
    let (last, now) = run(dir, "log", "store", Some("archive"));
    let manifest = || std::fs::read(dir.join("archive/manifest.json")).expect("a manifest");
    let truncate = |args: &[&str]| run_in(dir, &[&["archive", "truncate", "archive"], args].concat());

    let (code, out, err) = truncate(&["--store", "store", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with(&format!("nothing to do: the archive ends with epoch {last}, and the newest")),
        "{out}"
    );
    let (code, out, _) = truncate(&["--to", &(last + 7).to_string(), "--yes"]);
    assert!(code == 0 && out == format!("nothing to do: the archive ends with epoch {last}\n"), "{out}");
    let half = (last / 2).to_string();
    let (code, out, err) = truncate(&["--to", &half]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(&format!("epochs {} to {last} go; what stays ends with epoch {half}\n", last / 2 + 1)),
        "{out}"
    );
    let mut row = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.next_back().expect("the table's last line is that of epochs");
    assert_eq!(row, ["epochs", &(last - last / 2).to_string(), &last.to_string()], "{out}");
    assert!(err.contains("--yes") && err.contains("nothing was changed"), "{err}");
    let (code, _, err) = truncate(&["--store", "nowhere", "--yes"]);
    assert!(
        code == 1 && err.contains("nowhere/checkpoints: there is no checkpoint") && err.contains("--to"),
        "{err}"
    );
    let (code, _, err) = truncate(&["--store", "store", "--to", "5"]);
    assert!(code == 2 && err.contains("--to"), "{err}");
    let (code, _, err) = run_in(dir, &["archive", "truncate", "other", "--to", "5", "--yes"]);
    assert!(code == 1 && err.contains("other: no archive is there") && !dir.join("other").exists(), "{err}");

    // The checkpoint of another job says nothing of this archive.
    run(dir, "log", "again", None);
    let more = json!({"event_id": 900_001, "event_time": now + 3_600_000, "user_id": 1, "video_id": 1, "watch_ms": 9});
    std::fs::write(dir.join("log/interactions/part-00001.jsonl"), format!("{more}\n")).expect("written");
    assert!(run(dir, "log", "store", Some("archive")).0 > last);
    let ahead = manifest();
    world(dir, "8", "100", "other-log");
    run(dir, "other-log", "other-store", None);
    let (code, _, err) = truncate(&["--store", "other-store", "--yes"]);
    assert!(code == 1 && err.contains("of different runs, and nothing was taken out"), "{err}");
    assert!(ahead == manifest());

    let (code, out, err) = truncate(&["--store", "again", "--yes"]);
    assert!(code == 0 && out.contains("the newest checkpoint's"), "{out} {err}");
    assert!(out.ends_with(&format!("\nthe archive ends with epoch {last} now\n")), "{out}");
    assert_eq!(shown(dir, "archive"), (last, now));
    assert!(run(dir, "log", "again", Some("archive")).0 > last);
    let verified = ok(dir, &["verify", "--store", "again", "--archive", "archive"]);
    assert!(verified.contains("views are what the events say"), "{verified}");
}
