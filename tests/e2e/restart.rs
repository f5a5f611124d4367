//! A start from a checkpoint: it reads what lies behind it and no more, with any number of workers, and the store is the same.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::harness::{SELDOM, dump, freshet, number, ok, ok_json, records, run, same, wait_for};
use crate::service::{Guard, Service};
use crate::world::{add_deletes, add_pages, add_records, in_order, read, world};

/// New videos are shown to cohorts.
const COHORTS: &str = "[cohorts]\nenabled = true\nsize = 20\nfloor = 4\nthreshold = 0.85\n";
/// Checkpoints as often as can be.
const OFTEN: &str = "[checkpoint]\nevery = \"1ms\"\n";

fn args<'a>(store: &'a str, workers: &'a str) -> Vec<&'a str> {
    vec!["run", "--config", "often.toml", "--input", "log", "--store", store, "--workers", workers, "--once"]
}

/// The epochs of the checkpoints in a store's folder, newest first.
fn checkpoints(dir: &Path, store: &str) -> Vec<u64> {
    let list = ok_json(dir, &["checkpoint", "list", "--json", "--store", store]);
    let list = list.as_array().expect("a list");
    assert!(list.iter().all(|one| one.get("unusable").is_none()), "{list:?}");
    list.iter().map(|one| number(&one["epoch"])).collect()
}

/// Epochs that a run has handled, from what it says at its end.
fn epochs(said: &str) -> u64 {
    let summary =
        said.lines().rev().find(|line| line.contains(" epochs, ")).unwrap_or_else(|| panic!("{said}"));
    let before = summary.split(" epochs, ").next().expect("a part");
    let count: String =
        before.rsplit(", ").next().expect("a number").chars().filter(char::is_ascii_digit).collect();
    count.parse().expect("a number")
}

/// There are lives of new videos in every state, and one can be drawn.
fn lives(dir: &Path, dump: &str) {
    let records = records(dump);
    let lives: Vec<&Json> =
        records.iter().filter(|(key, _)| key.starts_with("cohort:")).map(|(_, life)| life).collect();
    let stages = || lives.iter().filter_map(|life| life["stages"].as_array()).flatten();
    let verdicts: std::collections::BTreeSet<u64> = stages().map(|stage| number(&stage["verdict"])).collect();
    let exposed = stages().map(|stage| number(&stage["exposed"])).max();
    assert!(
        lives.len() > 10 && verdicts.len() > 2 && exposed > Some(1),
        "{} {verdicts:?} {exposed:?}",
        lives.len()
    );
    let claimed = records.iter().filter(|(key, _)| key.starts_with("feed:"));
    let claimed = claimed.filter_map(|(_, list)| list["items"].as_array()).flatten();
    assert!(
        claimed.filter(|item| number(&item["policy"]) == 5).count() > 0,
        "no list has a place for a cohort"
    );
    let video = lives[0]["video_id"].as_str().expect("an identifier");
    let drawn = ok(dir, &["cohort", video, "--store", "whole"]);
    assert!(drawn.contains("stage 1  sampled, places 5 to 20") && drawn.contains('|'), "{drawn}");
    let told = ok_json(dir, &["cohort", video, "--store", "whole", "--json"]);
    assert_eq!(
        (&told["video_id"], told["stages"].as_array().map(Vec::len)),
        (&lives[0]["video_id"], lives[0]["stages"].as_array().map(Vec::len))
    );
    let (code, _, err) = run(dir, &["cohort", "1", "--store", "whole"]);
    assert!(code == Some(1) && err.contains("no upload of it"), "{err}");
}

#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 31, 900);
    add_deletes(dir, "log");
    add_pages(dir, "log");
    std::fs::write(dir.join("often.toml"), format!("{OFTEN}{COHORTS}")).expect("written");
    std::fs::write(dir.join("seldom.toml"), format!("{SELDOM}{COHORTS}")).expect("written");
    let seldom = |store: &str, workers: &str| {
        let args =
            ["run", "--config", "seldom.toml", "--input", "log", "--store", store, "--workers", workers];
        ok(dir, &[&args[..], &["--once", "--quiet"]].concat());
        dump(dir, store)
    };
    let expected = seldom("whole", "1");
    same(&expected, &seldom("four", "4"), "one worker and four");
    lives(dir, &expected);
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);

    for (store, workers) in [("a", ["1", "2", "1"]), ("b", ["2", "1", "3"]), ("c", ["3", "1", "2"])] {
        let mut seen = 0;
        for (n, workers) in workers[..2].iter().enumerate() {
            let mut command = freshet(dir, &args(store, workers));
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
            let mut process = Guard(child);
            let least = last * (n as u64 + 1) / 3;
            seen = wait_for("a checkpoint", || {
                let newest = || checkpoints(dir, store).first().copied().filter(|epoch| *epoch >= least);
                let seen = newest();
                // It may end between two looks: then it is the last one that counts.
                let ended = process.0.try_wait().expect("our child").is_some();
                assert!(seen.is_some() || !ended || newest().is_some(), "it ended before epoch {least}");
                seen
            });
            process.signal("KILL");
            process.wait();
        }
        // What it begins with may be a later one than was seen.
        let from = checkpoints(dir, store)[0];
        assert!(from >= seen);
        ok(dir, &["checkpoint", "verify", "--store", store]);
        let (code, _, said) = run(dir, &args(store, workers[2]));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("going on from a checkpoint"), "{said}");
        assert!(epochs(&said) <= last - from, "{} epochs behind {from} of {last}: {said}", epochs(&said));
        same(&expected, &dump(dir, store), store);
        // The journal begins behind the oldest that is kept, and a start after a clean end has nothing to do.
        let (_, _, said) = run(dir, &args(store, "2"));
        assert_eq!(epochs(&said), 0, "{said}");
        let kept = checkpoints(dir, store);
        assert!(kept.len() == 2 && kept[0] == last, "{kept:?}");
        let journal = |store: &str| {
            std::fs::metadata(dir.join(store).join("journal/bindings.journal")).expect("a journal").len()
        };
        assert!(journal(store) < journal("whole") / 2, "{} of {}", journal(store), journal("whole"));
        same(&expected, &dump(dir, store), store);
    }
}

#[test]
fn what_comes_after_a_checkpoint_is_read_and_what_changed_before_it_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 32, 300);
    ok(dir, &["run", "--input", "log", "--store", "one", "--once", "--quiet"]);
    let views = in_order(&read(dir, "log", "interactions"));
    let mut more = views[views.len() - 1].clone();
    more["event_id"] = Json::from(777_777);
    more["user_id"] = Json::from(5);
    add_records(dir, "log", "interactions", "part-00001.jsonl", &[more]);
    ok(dir, &["run", "--input", "log", "--store", "one", "--once", "--quiet", "--workers", "2"]);
    // The same with a journal and no checkpoint.
    std::fs::write(dir.join("never.toml"), "[checkpoint]\nevery = \"0s\"\n").expect("written");
    std::fs::rename(dir.join("log/interactions/part-00001.jsonl"), dir.join("later")).expect("renamed");
    let never = ["run", "--config", "never.toml", "--input", "log", "--store", "two", "--once", "--quiet"];
    ok(dir, &never);
    std::fs::rename(dir.join("later"), dir.join("log/interactions/part-00001.jsonl")).expect("renamed");
    ok(dir, &never);
    assert!(!dir.join("two/checkpoints").exists(), "none are made");
    same(&dump(dir, "two"), &dump(dir, "one"), "with checkpoints and without");

    let path = dir.join("log/interactions/part-00000.jsonl");
    let text = std::fs::read_to_string(&path).expect("a log");
    std::fs::write(&path, text.replacen("\"watch_ms\":", "\"watch_mz\":", 1)).expect("written");
    let (code, _, err) = run(dir, &["run", "--input", "log", "--store", "one", "--once", "--quiet"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("part-00000.jsonl") && err.contains("checksum"), "{err}");
}

#[test]
fn a_parameter_of_the_state_that_changed_is_a_choice() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 33, 300);
    let with = |config: &str| {
        std::fs::write(dir.join("c.toml"), config).expect("written");
        run(dir, &["run", "--config", "c.toml", "--input", "log", "--store", "store", "--once", "--quiet"])
    };
    let (code, _, err) = with("");
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = with("[interest]\nmid_window = \"3d\"\n");
    assert_eq!(code, Some(1), "{err}");
    let remedies =
        ["users", "interest.mid_window was 604800000 and is 259200000 now", "on_mismatch", "manifests/"];
    assert!(remedies.iter().all(|part| err.contains(part)), "{err}");
    let (code, _, err) = with("[interest]\nmid_window = \"3d\"\n[checkpoint]\non_mismatch = \"drop-cut\"\n");
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("begins empty"), "{err}");
    let (code, _, err) = with("[checkpoint]\non_mismatch = \"rebuild\"\n");
    assert_eq!(code, Some(0), "{err}");
    // What only ranks is free to change.
    let (code, _, err) = with("[ranking]\nwatch = 0.5\n");
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = with("[checkpoint]\non_mismatch = \"perhaps\"\n");
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn a_run_that_was_taken_over_writes_nothing_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 34, 300);
    std::fs::write(dir.join("often.toml"), "[checkpoint]\nevery = \"50ms\"\ndir = \"shared\"\n")
        .expect("written");
    let service = |store: &str, log: &str| {
        let args =
            ["run", "--config", "often.toml", "--input", log, "--store", store, "--listen", "127.0.0.1:0"];
        let errors = std::fs::File::create(dir.join(format!("{store}.err"))).expect("a file");
        let mut command = freshet(dir, &args);
        Guard(command.stdout(Stdio::null()).stderr(errors).spawn().expect("the binary runs"))
    };
    let said = |store: &str| std::fs::read_to_string(dir.join(format!("{store}.err"))).expect("a file");
    let newest = || -> Option<(u64, u64)> {
        let list = ok_json(dir, &["checkpoint", "list", "--json", "--config", "often.toml"]);
        list.as_array()?.first().map(|one| (number(&one["generation"]), number(&one["epoch"])))
    };
    let mut old = service("old", "log");
    wait_for("the first run to be live", || said("old").contains("caught up").then_some(()));
    wait_for("a checkpoint", newest);
    old.signal("STOP");
    let (_, stopped) = newest().expect("those that the first run made");
    // Another machine: a copy of what this one has on its disk, and the same folder of checkpoints.
    let copied = std::process::Command::new("sh")
        .current_dir(dir)
        .args(["-c", "rm -f old/control.sock && cp -r old new && cp -r old frozen && cp -r log other-log"])
        .status()
        .expect("sh runs");
    assert!(copied.success());
    let new = service("new", "other-log");
    wait_for("a checkpoint of the second run", || newest().filter(|(generation, _)| *generation == 2));
    old.signal("CONT");
    let status = old.wait();
    assert_eq!(status.code(), Some(3), "{}", said("old"));
    assert!(said("old").contains("has taken over the checkpoints"), "{}", said("old"));
    same(&dump(dir, "frozen"), &dump(dir, "old"), "what it wrote into its store after it was taken over");
    // What it had made before it was stopped may still be kept; since then it has made none.
    let list = ok_json(dir, &["checkpoint", "list", "--json", "--config", "often.toml"]);
    let list = list.as_array().expect("a list");
    assert_eq!(number(&list[0]["generation"]), 2, "{list:?}");
    let later = |one: &&Json| number(&one["epoch"]) > stopped;
    assert!(list.iter().filter(later).all(|one| number(&one["generation"]) == 2), "{stopped}: {list:?}");
    drop(new);
}

#[test]
fn a_checkpoint_can_be_had_at_any_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 35, 200);
    let service = Service::start(dir);
    let said = ok(dir, &["checkpoint", "now", "--store", "store"]);
    assert!(said.starts_with("a checkpoint of epoch "), "{said}");
    let shown = ok(dir, &["checkpoint", "show", "--store", "store"]);
    for part in ["generation 1", "users", "contents", "MB on disk"] {
        assert!(shown.contains(part), "{shown}");
    }
    let stats = ok_json(dir, &["stats", "--json", "--store", "store"]);
    assert_eq!(number(&stats["checkpoint"]["last"]["epoch"]), checkpoints(dir, "store")[0], "{stats}");
    service.stop();
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "store"])["epoch"]);
    assert!(checkpoints(dir, "store")[0] >= last, "the clean end makes one more");
    let (code, _, err) = run(dir, &["checkpoint", "now", "--store", "store"]);
    assert!(code == Some(1) && err.contains("freshet run"), "{err}");
    let (code, _, err) = run(dir, &["checkpoint", "show", "99999", "--store", "store"]);
    assert!(code == Some(1) && err.contains("there is no checkpoint of epoch 99999"), "{err}");
}
