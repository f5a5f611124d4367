//! Files of the first format, kept in the repository: this release must read them, or say that it does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_operators::checkpoint::{Restored, definitions};
use freshet_operators::runtime::{Ask, Durable, EpochInput, Output, start_durable};
use freshet_pipeline::checkpoint::Checkpoints;
use freshet_pipeline::checkpoint::decide::Choice;
use freshet_pipeline::config::Config;
use freshet_schema::{Epoch, UserId};

use crate::support::{golden, ok};

const CONFIG: &str = "[clock]\nmax_event_time = 2030-01-01\n[index]\ntrain_at = 16\ndims = 32\n[checkpoint]\nkeep = 1\n\
                      [cohorts]\nenabled = true\nsize = 5\nfloor = 1\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoint-1")
}

/// Makes the files anew, of a small world.
fn update() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    std::fs::write(dir.join("c.toml"), CONFIG).expect("written");
    let size = ["--users", "12", "--videos", "40", "--events", "150", "--seed", "3", "--days", "1"];
    ok(dir, &[&["generate", "--out", "log"], &size[..]].concat());
    ok(dir, &["run", "--config", "c.toml", "--input", "log", "--store", "store", "--once", "--quiet"]);
    drop(std::fs::remove_dir_all(folder()));
    let copied = std::process::Command::new("cp")
        .args(["-r"])
        .args([dir.join("store/checkpoints"), folder()])
        .status()
        .expect("cp runs");
    assert!(copied.success());
}

#[test]
fn the_first_format_is_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        update();
    }
    let config = Config::resolve("c.toml", CONFIG, &[], &|_| None).expect("a configuration");
    let checkpoints = Checkpoints::open(&folder(), 1).expect("a folder");
    let Choice::From(found, passed) = checkpoints.find(Some(Epoch(u64::MAX))).expect("readable") else {
        panic!("{} holds no checkpoint that can be used", folder().display())
    };
    assert!(passed.is_empty(), "{passed:?}");
    let mismatches = found.manifest.mismatches(&definitions(&config.params));
    assert!(
        mismatches.is_empty(),
        "what a cut holds has changed: raise its version in definitions.rs and say in the changelog that older checkpoints are \
         refused, then make the files anew with UPDATE_GOLDEN=1: {mismatches:?}"
    );
    let (epoch, now) = (found.manifest.epoch, found.manifest.input.base.now);
    let restored = Restored::open(epoch, now, Box::new(found.loaded)).expect("rows of ours");
    let (taken, _snapshots) = channel();
    let durable = Durable { restored: Some(Arc::new(restored)), taken: Some(taken) };
    let (job, outputs) = start_durable(2, &config.params, false, durable).expect("workers start");
    let first = 1_000_001;
    let asks = (first..first + 12).map(|user| Ask { user: UserId(user), offered: false }).collect();
    let input = EpochInput {
        epoch: epoch.next(),
        now: now.plus(1000),
        records: Vec::new(),
        asks,
        probes: Vec::new(),
        remake: Vec::new(),
    };
    job.send(input).expect("workers live");
    job.finish().expect("workers end well");
    let mut lists: Vec<String> = outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::Answers(_, _, answers) => Some(answers),
            _ => None,
        })
        .flatten()
        .map(|answer| format!("{}: {:?}\n", answer.user, &answer.listed[..8.min(answer.listed.len())]))
        .collect();
    lists.sort();
    assert_eq!(lists.len(), 12);
    golden("checkpoint-1.txt", &lists.concat());
}
