//! The archive holds each row of the log once, however often a run was killed; the state is what it says; and who is forgotten is in
//! none of it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use freshet_archive::{Folder, ReadEpoch, Reader};
use freshet_schema::Event;
use serde_json::{Value as Json, json};

use crate::crash::{eventful, kill_at};
use crate::harness::{dump, number, ok, ok_json, run, videos, wait_for};
use crate::live::ranked_users;
use crate::redis::ranked_users_of;
use crate::service::Service;
use crate::world::{add_records, read, world};

/// Everything in an archive, in order.
pub fn archived(dir: &Path, name: &str) -> Vec<ReadEpoch> {
    epochs_of(Folder::open(&dir.join(name)).expect("a folder"))
}

/// The same of one anywhere.
pub fn epochs_of(folder: Folder) -> Vec<ReadEpoch> {
    let manifest = folder.existing().expect("an archive");
    let mut reader = Reader::new(Arc::new(folder), &manifest, None);
    let mut epochs = Vec::new();
    while let Some(epoch) = reader.next().expect("readable") {
        epochs.push(epoch);
    }
    epochs
}

/// Lines of the log that are records, or would be.
pub fn lines(dir: &Path, log: &str) -> usize {
    let mut lines = 0;
    for stream in std::fs::read_dir(dir.join(log)).expect("a log").flatten() {
        for part in std::fs::read_dir(stream.path()).expect("a stream").flatten() {
            let text = std::fs::read_to_string(part.path()).expect("a part");
            lines += text.lines().filter(|line| !line.trim().is_empty()).count();
        }
    }
    lines
}

/// What is off by default and leaves something in the store.
const EVERYTHING: &str = "[diversity]\nplaces = 3\n[exploration]\npolicy = \"linucb\"\nslots = 2\n\
    [[experiment]]\nname = \"weights\"\nshare = 0.8\nsince = 2020-01-01T00:00:00Z\n\
    [[experiment.arm]]\nname = \"control\"\n[[experiment.arm]]\nname = \"calm\"\nset = { rerank.novelty_share = 0.3 }\n";

#[test]
fn killed_runs_archive_each_row_once_and_are_what_it_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 61);
    let often =
        "[checkpoint]\nevery = \"150ms\"\n[archive]\nroll_every = \"100ms\"\nroll_bytes = \"64KiB\"\n";
    std::fs::write(dir.join("often.toml"), format!("{often}{EVERYTHING}")).expect("written");
    let args = |store: &'static str, archive: &'static str, workers: &'static str| {
        let config = ["run", "--config", "often.toml", "--input", "log", "--once", "--quiet"];
        [&config[..], &["--store", store, "--archive", archive, "--workers", workers]].concat()
    };
    ok(dir, &args("whole", "whole-archive", "1"));
    let expected = archived(dir, "whole-archive");
    let letters = std::fs::read_to_string(dir.join("whole/dead-letters.jsonl")).expect("a file");
    let rows: usize = expected.iter().map(|epoch| epoch.records.len()).sum();
    assert_eq!(rows + letters.lines().count(), lines(dir, "log"), "rows in, rows archived");
    let last = expected.last().expect("epochs").epoch.0;

    for (n, part) in [2, 5, 7].into_iter().enumerate() {
        let workers = ["2", "1", "3"][n];
        kill_at(dir, &args("killed", "archive", workers), "killed", last * part / 10);
    }
    ok(dir, &args("killed", "archive", "2"));
    assert!(
        archived(dir, "archive") == expected,
        "the archive differs from that of a run that was never killed"
    );
    let whole = ok_json(dir, &["archive", "show", "archive", "--check", "--json"]);
    assert_eq!((number(&whole["through"]), number(&whole["begins_behind"])), (last, 0), "{whole}");

    for (store, archive) in [("whole", "whole-archive"), ("killed", "archive"), ("killed", "whole-archive")] {
        let report = ok_json(
            dir,
            &["verify", "--config", "often.toml", "--store", store, "--archive", archive, "--json"],
        );
        assert_eq!((&report["holds"], number(&report["epoch"])), (&json!(true), last), "{report}");
        assert_eq!(number(&report["records"]), rows as u64);
    }
    // Killed and rescaled as it was, it holds the values that one worker makes of the archive from nothing.
    let values = |config: &str| {
        run(dir, &["verify", "--config", config, "--store", "killed", "--archive", "archive", "--values"])
    };
    let (code, out, err) = values("often.toml");
    assert_eq!(code, Some(0), "{out} {err}");
    for kind in ["lists", "cards", "experiments", "diversity"] {
        assert!(out.contains(kind), "no {kind}: {out}");
    }
    assert!(out.contains(&format!("values of the store as of epoch {last}, each made again")), "{out}");
    // Other lists than the archive's are found and shown.
    std::fs::write(dir.join("short.toml"), "[feed]\nlength = 7\n").expect("written");
    let (code, out, _) = values("short.toml");
    assert!(
        code == Some(1) && out.contains("lists: the first of ") && out.contains("  feed:"),
        "{code:?} {out}"
    );
    let said = ok(dir, &["archive", "compact", "archive"]);
    assert!(said.contains("files before"), "{said}");
    assert!(archived(dir, "archive") == expected, "compaction changed rows");

    // An archive that was begun later cannot prove anything, and a wrong one not either.
    let moved = std::fs::rename(dir.join("archive"), dir.join("kept"));
    moved.expect("moved");
    ok(dir, &args("killed", "archive", "1"));
    let verify = |view: &'static str, archive: &'static str| {
        run(dir, &["verify", "--store", "killed", "--archive", archive, "--view", view])
    };
    let (code, _, err) = verify("rows", "archive");
    assert!(code == Some(2) && err.contains(&format!("begun behind epoch {last}")), "{code:?} {err}");
    let (code, _, err) = verify("row", "kept");
    assert!(code == Some(2) && err.contains("no such view") && err.contains("video_sums"), "{code:?} {err}");
    let (code, out, _) = verify("rows", "kept");
    assert!(code == Some(0) && out.contains("all 1 views"), "{code:?} {out}");
    // A run that goes on elsewhere does not write into another's.
    let (code, _, err) = run(dir, &args("third", "kept", "1"));
    assert!(code == Some(1) && err.contains("belongs to another journal"), "{code:?} {err}");
}

#[test]
fn the_store_of_a_past_epoch_can_be_had_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 63);
    let args = |store: &'static str, workers: &'static str| {
        [
            "run",
            "--input",
            "log",
            "--store",
            store,
            "--archive",
            "archive",
            "--workers",
            workers,
            "--once",
            "--quiet",
        ]
    };
    // What a killed run has committed is the store of some epoch in the middle.
    kill_at(dir, &args("store", "1"), "store", 200);
    std::fs::remove_file(dir.join("store/control.sock")).expect("left over");
    let then = dump(dir, "store");
    let epoch = number(&ok_json(dir, &["stats", "--json", "--store", "store"])["epoch"]);
    ok(dir, &args("store", "2"));
    assert!(dump(dir, "store") != then, "the run was at its end already");
    let epochs = archived(dir, "archive");
    let now = epochs.iter().find(|one| one.epoch.0 == epoch).expect("the epoch").now.0;
    let replay = |out: &str, until: &str, workers: &str| {
        ok(dir, &["replay", "--archive", "archive", "--until", until, "--out", out, "--workers", workers])
    };
    let said = replay("then", &epoch.to_string(), "2");
    assert!(said.contains(&format!("epoch {epoch} ")), "{said}");
    crate::harness::same(&then, &dump(dir, "then"), "the store then, and made again");
    replay("end", &epochs.len().to_string(), "1");
    crate::harness::same(&dump(dir, "store"), &dump(dir, "end"), "the store at the end, and made again");
    // By the clock: an epoch of a replay has a time of its own.
    let day = freshet_archive::day::name(freshet_archive::day::of(now));
    let said = replay("day", &day, "1");
    assert!(said.contains("the store of epoch "), "{said}");
    let refused = |args: &[&str]| {
        let (code, _, err) = run(dir, &[&["replay", "--archive", "archive"], args].concat());
        assert_eq!(code, Some(1), "{err}");
        err
    };
    // The same without keeping it.
    let user = ranked_users_of(&then)[0].to_string();
    let (at, archive) = (["--at", &epoch.to_string()], ["--archive", "archive"]);
    for command in [&["feed", &user, "--json"][..], &["dump"][..], &["trending", "all", "--json"][..]] {
        let now = ok(dir, &[command, &["--store", "store"][..], &at, &archive].concat());
        assert_eq!(now, ok(dir, &[command, &["--store", "then"][..]].concat()), "{command:?}");
    }
    let (code, _, err) = run(dir, &["feed", &user, "--at", "soon", "--archive", "archive"]);
    assert!(code == Some(1) && err.contains("--at \"soon\""), "{code:?} {err}");
    let (code, _, err) = run(dir, &["feed", &user, "--at", "7"]);
    assert!(code == Some(1) && err.contains("archive.dir is not set"), "{code:?} {err}");
    assert!(refused(&["--until", "999999", "--out", "x"]).contains("was asked for"));
    assert!(refused(&["--until", "soon", "--out", "x"]).contains("2024-03-01T12:00:00Z"));
    assert!(refused(&["--until", "5", "--out", "then"]).contains("a store is there already"));
    assert!(
        refused(&["--until", "1990-01-01", "--out", "y"]).contains("no epoch of the archive is so early")
    );
    // What failed leaves no part of a store, which would be read like a whole one.
    let manifest = Folder::open(&dir.join("archive")).expect("a folder").existing().expect("an archive");
    let last = manifest.files.iter().max_by_key(|file| file.last_epoch).expect("files");
    let path = dir.join("archive").join(&last.path);
    let bytes = std::fs::read(&path).expect("a file");
    std::fs::write(&path, &bytes[1..]).expect("written");
    assert!(refused(&["--until", &epochs.len().to_string(), "--out", "y"]).contains(&last.path));
    assert!(!dir.join("y").exists());
    std::fs::write(&path, &bytes).expect("written");
    replay("y", "5", "1");
}

/// The rows of an archive and the lines of a log that have to do with a user.
fn traces(dir: &Path, archive: &str, user: u64) -> usize {
    traces_of(&archived(dir, archive), user)
}

/// The rows that have to do with a user.
pub fn traces_of(epochs: &[ReadEpoch], user: u64) -> usize {
    let of = |event: &Event| match event {
        Event::Interaction(view) => view.user_id.0 == user,
        Event::User(profile) => profile.user_id.0 == user,
        Event::Follow(follow) => follow.user_id.0 == user,
        Event::Served(page) => page.user_id.0 == user,
        Event::Upload(_) | Event::Delete(_) => false,
    };
    epochs.iter().flat_map(|epoch| &epoch.records).filter(|(_, event)| of(event)).count()
}

/// Lines that Freshet itself wrote into the log: posted interactions, and pages that were served.
fn live_lines(dir: &Path, user: u64) -> usize {
    let part = |stream: &str| {
        let path = dir.join("log").join(stream).join("part-live.jsonl");
        std::fs::read_to_string(path).expect("a live part")
    };
    let text = part("interactions") + &part("served");
    let own = |line: &&str| {
        serde_json::from_str::<Json>(line).is_ok_and(|record| number(&record["user_id"]) == user)
    };
    text.lines().filter(own).count()
}

#[test]
fn who_is_forgotten_is_a_stranger_and_nowhere() {
    const STRANGER: u64 = 888_888_888_888;
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 62, 700);
    let input = ["--input", "log", "--archive", "archive"];
    let service = Service::launch(dir, &input, Stdio::inherit());
    let users = ranked_users(dir);
    let (user, other) = (users[0], users[1]);
    let video = videos(&service.feed(user))[0];
    for (id, who) in [(700_001, user), (700_002, other)] {
        let click =
            json!({"event_id": id, "user_id": who, "video_id": video, "watch_ms": 30_000, "like": true});
        service.post_and_see(&click, who);
    }
    let bad = format!("{{\"event_id\":1,\"user_id\":\"{user}\"\n");
    std::fs::create_dir_all(dir.join("log/follows")).expect("a folder");
    std::fs::write(dir.join("log/follows/part-90000.jsonl"), bad).expect("written");
    let letters = || std::fs::read_to_string(dir.join("store/dead-letters.jsonl")).unwrap_or_default();
    wait_for("the dead letter", || letters().contains(&user.to_string()).then_some(()));
    // A checkpoint is durable in the archive.
    ok(dir, &["checkpoint", "now", "--store", "store"]);
    assert!(traces(dir, "archive", user) > 3 && live_lines(dir, user) > 1);

    let forget = |who: u64| {
        let who = who.to_string();
        ok_json(
            dir,
            &[
                "forget",
                "--user",
                &who,
                "--store",
                "store",
                "--input",
                "log",
                "--archive",
                "archive",
                "--json",
            ],
        )
    };
    let certificate = forget(user);
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert!(number(&certificate["archive"]["rows"]) > 3, "{certificate}");
    assert_eq!(number(&certificate["dead_letters"]), 1, "{certificate}");
    assert_eq!(certificate["store"][format!("feed:{user}")], json!("gone"), "{certificate}");
    assert_eq!(certificate["log"]["done"], json!(false), "the service runs: {certificate}");
    assert!(!certificate["beyond_reach"].as_array().expect("a list").is_empty());
    assert_eq!(traces(dir, "archive", user), 0);
    assert!(!letters().contains(&user.to_string()), "{}", letters());
    let epoch = number(&certificate["epoch"]);
    let list = ok_json(dir, &["checkpoint", "list", "--json", "--store", "store"]);
    assert!(list.as_array().expect("a list").iter().all(|one| number(&one["epoch"]) >= epoch), "{list}");
    // The feed of somebody who was never here.
    // (The list of strangers may be made anew between two looks at it.)
    wait_for("the feed of a stranger", || {
        let (forgotten, stranger) = (service.feed(user), service.feed(STRANGER));
        let same = forgotten["list"] == stranger["list"] && videos(&forgotten) == videos(&stranger);
        (same && !videos(&stranger).is_empty()).then_some(())
    });
    service.stop();

    // With the service stopped the log's own lines go too, and the next start goes on as if nothing had been.
    let certificate = forget(other);
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert_eq!(certificate["log"]["done"], json!(true), "{certificate}");
    assert!(number(&certificate["log"]["lines"]) > 1, "{certificate}");
    assert_eq!((traces(dir, "archive", other), live_lines(dir, other)), (0, 0));
    let left = live_lines(dir, user);
    assert!(left > 1);
    let certificate = forget(user);
    assert_eq!(number(&certificate["log"]["lines"]), left as u64, "{certificate}");
    assert_eq!((traces(dir, "archive", user), live_lines(dir, user)), (0, 0));
    assert!(!dir.join("store/forget-plan.json").exists());
    let before = dump(dir, "store");
    let service = Service::launch(dir, &input, Stdio::inherit());
    let click = json!({"event_id": 700_003, "user_id": users[2], "video_id": video, "watch_ms": 30_000});
    service.post_and_see(&click, users[2]);
    wait_for("the feed of a stranger", || {
        (videos(&service.feed(user)) == videos(&service.feed(STRANGER))).then_some(())
    });
    service.stop();
    assert!(dump(dir, "store") != before);
    let report = ok_json(dir, &["verify", "--store", "store", "--archive", "archive", "--json"]);
    assert_eq!((&report["holds"], &report["forgotten"]), (&json!(true), &json!(3)), "{report}");
}

/// The certificate of `freshet forget` in a folder's `store`, `log` and `archive`.
#[track_caller]
fn forget(dir: &Path, config: &str, who: &[&str]) -> Json {
    let folders = ["--store", "store", "--input", "log", "--archive", "archive", "--json"];
    ok_json(dir, &[&["forget", "--config", config], who, &folders[..]].concat())
}

#[test]
fn what_came_after_the_last_checkpoint_is_forgotten_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 64, 700);
    std::fs::write(dir.join("rare.toml"), "[checkpoint]\nevery = \"1h\"\n").expect("written");
    let input = ["--config", "rare.toml", "--input", "log", "--archive", "archive"];
    let service = Service::launch(dir, &input, Stdio::inherit());
    let user = ranked_users(dir)[0];
    let video = videos(&service.feed(user))[0];
    ok(dir, &["checkpoint", "now", "--store", "store"]);
    let click = |id: u64| json!({"event_id": id, "user_id": user, "video_id": video, "watch_ms": 30_000, "like": true});
    service.post_and_see(&click(700_001), user);
    // Durable in the log; read or not.
    service.post(&click(700_002));
    service.kill();
    let certificate = forget(dir, "rare.toml", &["--user", &user.to_string()]);
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert!(number(&certificate["log"]["lines"]) > 1, "{certificate}");
    assert_eq!((traces(dir, "archive", user), live_lines(dir, user)), (0, 0), "{certificate}");
    assert_eq!(certificate["store"][format!("feed:{user}")], json!("gone"), "{certificate}");
}

#[test]
fn a_delete_in_a_replayed_world_is_of_its_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 65, 300);
    std::fs::write(dir.join("never.toml"), "[checkpoint]\nevery = \"0s\"\n").expect("written");
    let args = ["--config", "never.toml", "--input", "log", "--store", "store", "--archive", "archive"];
    ok(dir, &[&["run", "--once", "--quiet"], &args[..]].concat());
    let last = archived(dir, "archive").last().expect("epochs").now.0;
    let user = number(&read(dir, "log", "interactions")[150]["user_id"]);
    let certificate = forget(dir, "never.toml", &["--user", &user.to_string()]);
    assert_eq!(number(&certificate["delete"]["event_time"]), last, "{certificate}");
    assert_eq!(traces(dir, "archive", user), 0);
}

#[test]
fn a_forgotten_video_is_verified_before_and_after_the_next_publication() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 66, 700);
    std::fs::write(dir.join("plain.toml"), "").expect("written");
    let once = || {
        ok(dir, &["run", "--once", "--quiet", "--input", "log", "--store", "store", "--archive", "archive"])
    };
    once();
    let verify = || ok_json(dir, &["verify", "--store", "store", "--archive", "archive", "--json"]);
    let before = verify();
    assert_eq!((&before["holds"], &before["left_out"]), (&json!(true), &Json::Null), "{before}");
    let views = read(dir, "log", "interactions");
    let video = number(&views[views.len() / 2]["video_id"]);
    let certificate = forget(dir, "plain.toml", &["--video", &video.to_string()]);
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert!(number(&certificate["archive"]["rows"]) > 1, "{certificate}");
    let left_out = certificate["verify"]["left_out"].as_str().expect("what the archive cannot say any more");
    assert!(left_out.contains(&format!("epoch {}", certificate["epoch"])), "{left_out}");
    // Two hours later everything was published anew.
    let at = number(&certificate["delete"]["event_time"]) + 7_200_000;
    let other = views.iter().find(|view| number(&view["video_id"]) != video).expect("another video");
    let (user, other) = (&other["user_id"], &other["video_id"]);
    let view =
        json!({"event_id": 800_001, "event_time": at, "user_id": user, "video_id": other, "watch_ms": 9_000});
    add_records(dir, "log", "interactions", "part-00001.jsonl", &[view]);
    once();
    let after = verify();
    assert_eq!((&after["holds"], &after["left_out"]), (&json!(true), &Json::Null), "{after}");
}
