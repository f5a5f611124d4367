//! A job that dies, fails or dawdles at each durable step, and is started again with another number of workers, leaves the same
//! store as one that was never disturbed. Built with the feature `failpoints` only.
#![cfg(feature = "failpoints")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freshet_archive::{ArchiveError, Folder, ReadEpoch, Reader};
use freshet_pipeline::config::Config;
use freshet_pipeline::forget;
use freshet_pipeline::job;
use freshet_pipeline::progress::{Progress, RunOptions};
use freshet_schema::UserId;
use freshet_schema::event::Target;
use freshet_sinks::{Embedded, EmbeddedOptions, FeedStore, StoreError};

fn config(dir: &Path, store: &str, workers: usize) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[input]\ndir = {:?}\nfollow = false\n[store]\ndir = {:?}\n[graph]\nworkers = {workers}\n[checkpoint]\nevery = \"1ms\"\n\
         [archive]\ndir = {:?}\n",
        path("log"),
        path(store),
        path(&format!("{store}-archive"))
    );
    Config::resolve("test.toml", &text, &[], &|_| None).expect("a configuration")
}

/// The threads of a job that panicked may hold the store for a moment.
fn open(config: &Config) -> Arc<Embedded> {
    let since = Instant::now();
    std::fs::create_dir_all(&config.store.dir).expect("a folder");
    loop {
        match Embedded::open(&config.store.kv_dir(), EmbeddedOptions::default()) {
            Err(StoreError::Locked { .. }) if since.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return Arc::new(opened.expect("a store")),
        }
    }
}

/// Runs to the end of the log; what went wrong, if anything did.
fn run(dir: &Path, store: &str, workers: usize) -> Result<(), String> {
    let config = config(dir, store, workers);
    // The thread of a job that panicked may hold the archive for a moment, too.
    let archive = config.archive.dir.clone().expect("an archive");
    let since = Instant::now();
    while matches!(Folder::claim(archive.as_ref()), Err(ArchiveError::Locked { .. })) {
        assert!(since.elapsed() < Duration::from_secs(60), "the archive is held");
        std::thread::sleep(Duration::from_millis(5));
    }
    let opened = open(&config);
    let options = RunOptions { once: true, progress: Arc::new(Progress::default()), seat: None };
    let stop = Arc::new(AtomicBool::new(false));
    let ran = std::thread::spawn(move || job::run(&config, opened, options, stop)).join();
    match ran {
        Err(_) => Err("it panicked".to_owned()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Ok(Ok(_)) => Ok(()),
    }
}

fn dump(dir: &Path, store: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let store: Arc<dyn FeedStore> = open(&config(dir, store, 1));
    freshet_sinks::dump(&*store, &mut bytes).expect("a dump");
    bytes
}

/// Everything in the archive, in order.
fn archived(dir: &Path, store: &str) -> Vec<ReadEpoch> {
    let archive = config(dir, store, 1).archive.dir.expect("an archive");
    let folder = Arc::new(Folder::open(archive.as_ref()).expect("a folder"));
    let manifest = folder.existing().expect("a manifest");
    let mut reader = Reader::new(folder, &manifest, None);
    let mut epochs = Vec::new();
    while let Some(epoch) = reader.next().expect("readable") {
        epochs.push(epoch);
    }
    epochs
}

const POINTS: [&str; 15] = [
    "before-generation",
    "before-journal-sync",
    "after-journal-sync",
    "before-file",
    "after-files",
    "before-manifest",
    "before-claim",
    "after-claim",
    "during-clean",
    "before-trim",
    "before-store-sync",
    "after-commit",
    "archive-before-file",
    "archive-before-manifest",
    "archive-after-manifest",
];

/// Fail points are the process's: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_forget_that_is_cut_short_is_carried_out_by_the_next_start() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    for point in ["forget-planned", "forget-blanked", "forget-amended", "forget-journal"] {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let folder = dir.join("log/interactions");
        std::fs::create_dir_all(&folder).expect("a folder");
        let line = |event: u64, user: u64| {
            format!(
                "{{\"event_id\":{event},\"event_time\":{},\"user_id\":{user},\"video_id\":3}}\n",
                1_600_000_000_000 + event
            )
        };
        let live = folder.join("part-live.jsonl");
        std::fs::write(&live, format!("{}{}{}", line(1, 7), line(2, 8), line(3, 7))).expect("written");
        run(dir, "store", 1).expect("a run");
        let config = config(dir, "store", 2);
        let target = Target::User { user_id: UserId(7) };
        fail::cfg(point, "return").expect("an action");
        let error = forget::stopped(&config, target).expect_err("cut short");
        fail::remove(point);
        assert!(format!("{error:#}").contains(point), "{error:#}");
        // As `freshet run` does it before anything else.
        forget::log::finish(&config).expect("carried out");
        forget::log::finish(&config).expect("nothing is left");
        let text = std::fs::read_to_string(&live).expect("a file");
        let left: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!((left, text.len()), (vec![line(2, 8).trim()], 3 * line(1, 7).len()), "{point}");
        // It goes on from the checkpoint, and once more there is nothing to blank.
        let certificate =
            forget::stopped(&config, target).unwrap_or_else(|error| panic!("{point}: {error:#}"));
        assert_eq!(certificate["log"], serde_json::json!({ "done": true, "lines": 0 }), "{point}");
        run(dir, "store", 1).unwrap_or_else(|error| panic!("{point}, afterwards: {error}"));
    }
    scenario.teardown();
}

#[test]
fn whatever_happens_at_a_durable_step_the_store_is_the_same() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let generate =
        ["generate", "--users", "30", "--videos", "40", "--events", "300", "--seed", "5", "--days", "1"];
    let generated = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .current_dir(dir)
        .args(generate)
        .args(["--out", "log"])
        .output()
        .expect("the binary runs");
    assert!(generated.status.success());
    run(dir, "whole", 1).expect("an undisturbed run");
    let expected = dump(dir, "whole");
    assert!(expected.len() > 10_000);
    let rows = archived(dir, "whole");
    assert!(rows.iter().map(|epoch| epoch.records.len()).sum::<usize>() > 300);

    for (n, point) in POINTS.iter().enumerate() {
        // Some way into the run, where there is one: a start has one generation, a short log few frames of its journal.
        let skip = match *point {
            "before-generation" | "before-trim" => 0,
            "before-journal-sync" | "after-journal-sync" => 2,
            // Of these there are two for sure: after the first epoch and at the end.
            "before-manifest" | "after-claim" | "archive-before-manifest" => 1,
            _ => 1 + n % 2,
        };
        for (action, disturbs) in [("panic", true), ("return", true), ("sleep(30)", false)] {
            let store = format!("{point}-{}", action.split('(').next().unwrap_or(action));
            fail::cfg(*point, &format!("{skip}*off->1*{action}->off")).expect("an action");
            let first = run(dir, &store, 1 + n % 2);
            fail::remove(*point);
            if disturbs {
                // An error of a checkpoint is told and the job goes on; a panic nobody survives.
                assert!(action != "panic" || first.is_err(), "{store}: the crash point was not reached");
            } else {
                first.unwrap_or_else(|error| panic!("{store}: {error}"));
            }
            // Twice more, on other numbers of workers: the second has nothing left to do.
            run(dir, &store, 2 - n % 2).unwrap_or_else(|error| panic!("{store}, again: {error}"));
            run(dir, &store, 3).unwrap_or_else(|error| panic!("{store}, and again: {error}"));
            assert!(dump(dir, &store) == expected, "{store}: another store than that of an undisturbed run");
            assert!(
                archived(dir, &store) == rows,
                "{store}: another archive than that of an undisturbed run"
            );
            std::fs::remove_dir_all(dir.join(&store)).expect("removed");
            std::fs::remove_dir_all(dir.join(format!("{store}-archive"))).expect("removed");
        }
    }
    scenario.teardown();
}
