//! A job that dies, fails or dawdles at each durable step, and is started again with another number of workers, leaves the same
//! store as one that was never disturbed. Built with the feature `failpoints` only.
#![cfg(feature = "failpoints")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freshet_pipeline::config::Config;
use freshet_pipeline::job;
use freshet_pipeline::progress::{Progress, RunOptions};
use freshet_sinks::{Embedded, EmbeddedOptions, FeedStore, StoreError};

fn config(dir: &Path, store: &str, workers: usize) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[input]\ndir = {:?}\nfollow = false\n[store]\ndir = {:?}\n[graph]\nworkers = {workers}\n[checkpoint]\nevery = \"1ms\"\n",
        path("log"),
        path(store)
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

const POINTS: [&str; 12] = [
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
];

#[test]
fn whatever_happens_at_a_durable_step_the_store_is_the_same() {
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

    for (n, point) in POINTS.iter().enumerate() {
        // Some way into the run, where there is one: a start has one generation, a short log few frames of its journal.
        let skip = match *point {
            "before-generation" | "before-trim" => 0,
            "before-journal-sync" | "after-journal-sync" => 2,
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
            std::fs::remove_dir_all(dir.join(&store)).expect("removed");
        }
    }
    scenario.teardown();
}
