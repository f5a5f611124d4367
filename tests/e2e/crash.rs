//! Promise 3: the same bytes, for any number of workers and for any crash and restart in between. The boundaries of a
//! replay depend on the data alone, so any two runs over one log can be compared.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::harness::{SELDOM, dump, freshet, number, ok, ok_json, once, replay, run, same, wait_for};
use crate::service::Guard;
use crate::world::{add_deletes, add_part, world};

/// A world with everything in it: late, duplicate and revised records, deletes of each kind, and two dead letters.
pub fn eventful(dir: &Path, seed: u64) {
    let report = world(dir, seed, 900);
    for accident in ["late", "written twice"] {
        let row = report.lines().find(|line| line.trim_start().starts_with(accident)).expect("a row");
        assert!(!row.contains(" 0 ("), "the world lacks records that are {accident}: {report}");
    }
    add_deletes(dir, "log");
    add_part(dir, "log", "follows", "part-00001.jsonl", b"{\"event_id\":1\nnot json\n");
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    eventful(dir.path(), 21);
    let one = replay(dir.path(), "log", "one", "1");
    for kind in ["feed", "dropped", "newuser", "related", "trending", "video"] {
        assert!(
            one.contains(&format!("\n{{\"key\":\"{kind}:")) || one.starts_with("{\"key\":\"dropped:"),
            "no {kind}"
        );
    }
    same(&one, &replay(dir.path(), "log", "two", "2"), "one worker and two");
    same(&one, &replay(dir.path(), "log", "four", "4"), "one worker and four");
    let letters =
        |store: &str| std::fs::read(dir.path().join(store).join("dead-letters.jsonl")).expect("a file");
    assert!(!letters("one").is_empty());
    assert!(letters("one") == letters("two") && letters("one") == letters("four"), "dead letters differ");
    // A drained log, run again: nothing changes.
    same(&one, &replay(dir.path(), "log", "two", "3"), "a second run");
    assert!(letters("one") == letters("two"), "a second run doubles dead letters");
}

/// The epoch that a running service or job has committed last, asked over its control socket.
pub fn epoch(dir: &Path, store: &str) -> Option<u64> {
    let socket = UnixStream::connect(dir.join(store).join("control.sock")).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    (&socket).write_all(b"\"stats\"\n").ok()?;
    let mut line = String::new();
    BufReader::new(&socket).read_line(&mut line).ok()?;
    let answer: Json = serde_json::from_str(&line).ok()?;
    answer["ok"]["epoch"].as_u64()
}

/// Starts a run into `DIR/STORE` and kills it as soon as it has committed this epoch.
#[track_caller]
pub fn kill_at(dir: &Path, args: &[&str], store: &str, at: u64) {
    kill_when(freshet(dir, args), dir, store, |epoch| epoch >= at);
}

/// Starts a command that runs into `DIR/STORE` and kills it as soon as this can be said of the epoch that it has committed.
#[track_caller]
pub fn kill_when(mut command: Command, dir: &Path, store: &str, enough: impl Fn(u64) -> bool) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let mut process = Guard(child);
    wait_for("the epoch to kill at", || {
        assert!(process.0.try_wait().expect("our child").is_none(), "it ended before that epoch");
        epoch(dir, store).filter(|epoch| enough(*epoch))
    });
    process.signal("KILL");
    assert_eq!(process.wait().signal(), Some(9), "it ended before it was killed");
}

#[test]
fn a_killed_run_goes_on_and_leaves_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 22);
    let expected = replay(dir, "log", "whole", "1");
    let letters = std::fs::read(dir.join("whole/dead-letters.jsonl")).expect("a file");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    assert!(last > 150, "{last} epochs are too few to be interrupted");
    let percent = |part: u64| last * part / 100;

    for (store, kills, workers) in [
        ("early", &[(percent(20), "1")][..], "2"),
        ("half", &[(percent(50), "2")], "1"),
        ("late", &[(percent(80), "1")], "3"),
        // The second run is killed while it still reads the first one's journal, the third further on.
        ("often", &[(percent(60), "2"), (percent(10), "1"), (percent(75), "3")], "1"),
    ] {
        for (at, workers) in kills {
            kill_at(dir, &once("log", store, workers), store, *at);
        }
        same(&expected, &replay(dir, "log", store, workers), store);
        assert!(
            letters == std::fs::read(dir.join(store).join("dead-letters.jsonl")).expect("a file"),
            "{store}"
        );
    }
}

#[test]
fn a_torn_journal_is_cut_where_it_tore() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 23);
    let expected = replay(dir, "log", "whole", "1");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    let journal = |store: &str| dir.join(store).join("journal/bindings.journal");
    std::fs::write(dir.join("seldom.toml"), SELDOM).expect("written");
    let args =
        |workers: &'static str| [&once("log", "torn", workers)[..], &["--config", "seldom.toml"]].concat();
    let again = |workers: &'static str| {
        ok(dir, &args(workers));
        dump(dir, "torn")
    };

    // What a crash within an append leaves: the first bytes of a frame that was never released.
    kill_at(dir, &args("1"), "torn", last / 2);
    let mut bytes = std::fs::read(journal("torn")).expect("a journal");
    let frame: Vec<u8> = bytes[12..].iter().copied().take(20).collect();
    bytes.extend(frame);
    std::fs::write(journal("torn"), &bytes).expect("written");
    same(&expected, &again("2"), "after half a frame");

    // Bytes lost of a frame that was released and is in the store: that is no crash, and it is said.
    let bytes = std::fs::read(journal("torn")).expect("a journal");
    std::fs::write(journal("torn"), &bytes[..bytes.len() - 3]).expect("written");
    let (code, _, err) = run(dir, &args("1"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("checkpoint") && err.contains("bindings.journal"), "{err}");
    same(&expected, &dump(dir, "torn"), "a refused start");

    // With a new store the same journal serves: what was cut off is bound again, at the same boundaries.
    std::fs::remove_dir_all(dir.join("torn/kv")).expect("removed");
    same(&expected, &again("2"), "a new store over a journal that lost its end");
}

#[test]
fn a_log_that_changed_behind_the_journal_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 24, 200);
    ok(dir, &once("log", "store", "1"));
    let path = dir.join("log/interactions/part-00000.jsonl");
    let text = std::fs::read_to_string(&path).expect("a log");
    let changed = text.replacen("\"watch_ms\":", "\"watch_mz\":", 1);
    assert_ne!(text, changed);
    std::fs::write(&path, changed).expect("written");
    let (code, _, err) = run(dir, &once("log", "store", "1"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("part-00000.jsonl"), "the file is named: {err}");
}
