//! A run that was taken over says so, however it found out; and one that cannot see whether it was does not.

use anyhow::{Context, anyhow};
use freshet_pipeline::checkpoint::{CheckpointError, Checkpoints};
use freshet_pipeline::commands::taken_over;
use freshet_schema::Generation;
use freshet_sinks::{NotMine, StoreError};

/// Whoever begins it again (the supervisor, systemd) goes by the exit code.
#[test]
fn each_way_to_find_out_has_the_exit_code() {
    let (mine, newer) = (Generation(1), Generation(2));
    let (store, reason) = (|| "redis://here".to_owned(), || "because".to_owned());
    let ends_for_good = |error: anyhow::Error| taken_over(&error.context("the sink").context("the job"));
    assert!(ends_for_good(CheckpointError::Superseded { dir: "here".into(), mine, newer }.into()));
    assert!(ends_for_good(StoreError::Superseded { store: store(), mine, held: newer }.into()));
    assert!(ends_for_good(StoreError::Disowned { store: store(), reason: reason() }.into()));
    // These the next attempt may not meet.
    assert!(!ends_for_good(StoreError::OwnerUnseen { store: store(), reason: reason() }.into()));
    assert!(!ends_for_good(StoreError::Unavailable { store: store(), reason: reason() }.into()));
    assert!(!ends_for_good(CheckpointError::Abandoned.into()));
    let plain = Err::<(), _>(anyhow!("generation 2 has taken over")).context("the job");
    assert!(!taken_over(&plain.expect_err("just made")));
}

#[test]
fn a_newer_run_is_told_from_a_place_that_does_not_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let checkpoints = Checkpoints::open(dir.path(), 2).expect("a folder");
    let mine = checkpoints.claim().expect("a sound place");
    assert_eq!(checkpoints.still_mine(mine), Ok(()));
    let newer = checkpoints.claim().expect("a sound place");
    let said = checkpoints.still_mine(mine);
    assert!(matches!(&said, Err(NotMine::TakenOver(who)) if who.contains("generation 2")), "{said:?}");
    assert_eq!(checkpoints.still_mine(newer), Ok(()));
    // In its place a file: nobody can say.
    let generations = dir.path().join("generations");
    std::fs::remove_dir_all(&generations).expect("removed");
    std::fs::write(&generations, "").expect("written");
    for generation in [mine, newer] {
        let said = checkpoints.still_mine(generation);
        assert!(matches!(&said, Err(NotMine::Unseen(why)) if why.contains("generations")), "{said:?}");
    }
}
