//! The same in a bucket, where nothing locks: requests fail, answers are lost, and two processes write who each think that the other is
//! dead.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use freshet_archive::{
    ArchiveError, Closed, Folder, Forgetting, Manifest, Options, ReadEpoch, Resumed, Writer, compact,
};
use freshet_schema::event::Target;
use freshet_schema::{Delete, Epoch, EventId, Millis, UserId};
use proptest::prelude::*;

use crate::support::bucket::{BadBucket, Fault};
use crate::support::{epochs, expected, options, read, run};

fn from_the_start(last: u64) -> Resumed {
    Resumed { last_bound: Epoch(last), ..Resumed::default() }
}

/// Nobody is told to end.
pub fn start(folder: Folder, options: Options, last: u64) -> Writer {
    Writer::start(folder, options, from_the_start(last), Arc::default()).expect("a sound bucket")
}

#[track_caller]
pub fn append(writer: &Writer, epochs: &[Closed]) {
    for closed in epochs {
        assert!(writer.append(closed.clone(), &AtomicBool::new(false)).expect("a writer"));
    }
}

/// Waits until all that was handed over is durable.
#[track_caller]
pub fn durable(writer: &Writer) {
    let (tell, told) = channel();
    writer.durable(Box::new(move || tell.send(()).expect("waited for"))).expect("a writer");
    told.recv().expect("it is durable");
}

fn go_on(folder: &Folder) -> (Manifest, u64) {
    folder.own(|held| held.ok_or_else(|| folder.none())).expect("an archive")
}

/// That the bucket has the files of its manifest and no others, but for what arrives when nobody waits for it any more.
#[track_caller]
pub fn nothing_is_left(bucket: &BadBucket) {
    bucket.arrive();
    let (manifest, _) = go_on(&bucket.folder());
    let named: Vec<String> = manifest.files.into_iter().map(|file| file.path).collect();
    assert_eq!(bucket.files(), named);
    assert!(bucket.commits().len() <= 2, "{:?}", bucket.commits());
}

#[test]
fn what_goes_into_a_bucket_comes_out_and_a_start_goes_on() {
    let bucket = BadBucket::new();
    assert!(bucket.folder().manifest().expect("readable").is_none());
    let error = bucket.folder().existing().expect_err("no archive").to_string();
    assert!(error.contains("s3://memory/a/one") && error.contains("no archive is there"), "{error}");
    let all = epochs(1, 60);
    run(bucket.folder(), from_the_start(35), 3_000, &all[..35]).expect("a sound bucket");
    assert_eq!(read(bucket.folder()), expected(&all[..35]));
    let first = bucket.files();
    assert!(first.iter().all(|name| name.ends_with("-000001.parquet")), "{first:?}");
    run(bucket.folder(), from_the_start(60), 3_000, &all).expect("a sound bucket");
    assert_eq!(read(bucket.folder()), expected(&all));
    let more = bucket.files().into_iter().filter(|name| !name.ends_with("-000001.parquet"));
    assert!(more.count() > 5, "the second run wrote under a claim of its own");
    assert!(go_on(&bucket.folder()).1 == 0, "a clean end leaves nothing");
    nothing_is_left(&bucket);
    // Another run's, and nobody has taken it over by asking.
    let before = bucket.commits();
    let error = run(bucket.folder(), from_the_start(59), 3_000, &all).expect_err("of another journal");
    assert!(matches!(error, ArchiveError::Ahead { through: Epoch(60), known: Epoch(59), .. }), "{error}");
    assert_eq!(bucket.commits(), before);
}

/// The old run commits nothing once there is a new one, whether the new one has made one manifest since or so many that the old one's next
/// number is free again; and it ends.
#[test]
fn an_old_run_commits_nothing_and_the_new_one_loses_nothing() {
    for (roll, removed) in [(1 << 20, false), (400, true)] {
        let bucket = BadBucket::new();
        let all = epochs(1, 40);
        let old = start(bucket.folder(), options(1 << 20), 40);
        append(&old, &all[..10]);
        durable(&old);
        let next = bucket.commits().last().expect("a manifest") + 1;
        let new = start(bucket.folder(), options(roll), 40);
        append(&new, &all);
        durable(&new);
        assert_eq!(!bucket.commits().contains(&next), removed, "{:?}", bucket.commits());
        // What it would have written of the same epochs is another's by now.
        append(&old, &all[10..12]);
        let since = Instant::now();
        let (tell, told) = channel();
        let error = loop {
            let tell = tell.clone();
            match old.durable(Box::new(move || tell.send(()).expect("somebody listens"))) {
                Ok(()) => assert!(since.elapsed() < Duration::from_secs(60), "nobody is told"),
                Err(error) => break error,
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(error.is_taken() && error.to_string().contains("taken the archive over"), "{error}");
        let error = old.finish().expect_err("it is over");
        assert!(matches!(error, ArchiveError::Taken { .. }), "{error}");
        assert!(told.try_recv().is_err(), "it is said to be durable");
        assert!(!bucket.commits().contains(&next) || !removed, "it left its manifest");
        new.finish().expect("the owner");
        assert_eq!(read(bucket.folder()), expected(&all));
        nothing_is_left(&bucket);
        assert_eq!(read(bucket.folder()), expected(&all));
    }
}

/// A run that is thought dead puts files together, takes rows out or cleans up: what the new one has stays.
#[test]
fn an_old_run_removes_nothing_of_the_new_one() {
    let bucket = BadBucket::new();
    let all = epochs(1, 50);
    let never = Options { compact: false, ..options(600) };
    let begun = start(bucket.folder(), never, 50);
    append(&begun, &all[..25]);
    begun.finish().expect("a sound bucket");
    let old = bucket.folder();
    let (held, _) = go_on(&old);
    let new = start(bucket.folder(), never, 50);
    append(&new, &all);
    new.finish().expect("the new run");
    let files = bucket.files();
    let error = compact::compact(&old, held.clone(), 1 << 30, true).expect_err("taken over");
    assert!(matches!(error, ArchiveError::Taken { .. }), "{error}");
    let now = all[24].binding.now;
    let delete = Delete {
        event_id: EventId(1),
        revision: 0,
        event_time: now,
        target: Target::User { user_id: UserId(3) },
    };
    let forgetting = Forgetting { delete, epoch: Epoch(25) };
    let error = freshet_archive::forget::forget(&old, &held, &forgetting).expect_err("taken over");
    assert!(matches!(error, ArchiveError::Taken { .. }), "{error}");
    assert!(matches!(old.settle(), Err(ArchiveError::Taken { .. })));
    // Both have written files for nothing, and these it may remove: they are its own.
    let written: Vec<String> = bucket.files().into_iter().filter(|name| !files.contains(name)).collect();
    assert!(!written.is_empty());
    assert_eq!(old.clean(&held).expect("a sound bucket"), written.len() as u64);
    assert_eq!(bucket.files(), files);
    assert_eq!(read(bucket.folder()), expected(&all));
}

/// Files that a run wrote and did not come to name are removed by the next start, but not before that run cannot name them any more.
#[test]
fn a_start_claims_the_archive_before_it_cleans() {
    let bucket = BadBucket::new();
    let all = epochs(1, 50);
    let never = Options { compact: false, ..options(600) };
    let writer = start(bucket.folder(), never, 50);
    append(&writer, &all);
    writer.finish().expect("a sound bucket");
    let old = bucket.folder();
    let (held, _) = go_on(&old);
    let (files, commits) = (bucket.files(), bucket.commits());
    for at in 0.. {
        bucket.set_faults(&[(at, Fault::Broken)]);
        compact::compact(&old, held.clone(), 1 << 30, true).expect_err("it fails");
        assert_eq!(bucket.commits(), commits, "it was to fail before it commits");
        if bucket.files() != files {
            break;
        }
    }
    let left = bucket.files();
    let new = bucket.folder();
    let begin = || new.own(|held| held.ok_or_else(|| new.none()));
    for at in 0.. {
        bucket.set_faults(&[(at, Fault::Broken)]);
        begin().expect_err("it fails");
        assert_eq!(bucket.files(), left, "nothing is removed by a start that fails");
        if bucket.commits() != commits {
            break;
        }
        assert!(at < 10, "it claims nothing");
    }
    bucket.set_faults(&[]);
    let (manifest, removed) = begin().expect("a sound bucket");
    assert_eq!((manifest.files.len(), removed), (files.len(), 1));
    assert_eq!(bucket.files(), files);
    let error = compact::compact(&old, held, 1 << 30, true).expect_err("taken over");
    assert!(matches!(error, ArchiveError::Taken { .. }), "{error}");
    assert_eq!(read(bucket.folder()), expected(&all));
}

#[test]
fn a_server_that_passes_over_conditions_is_refused() {
    let bucket = BadBucket::new();
    bucket.set_careless();
    let error = run(bucket.folder(), from_the_start(1), 1, &epochs(1, 1)).expect_err("nobody can own it");
    assert!(matches!(error, ArchiveError::NotExclusive { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("s3://memory/a/one/commits/00000000000000000001.json"), "{text}");
    assert!(text.contains("If-None-Match"), "{text}");
}

#[test]
fn a_bucket_that_is_away_holds_the_run_back_and_loses_nothing() {
    let bucket = BadBucket::new();
    let all = epochs(1, 40);
    let writer = start(bucket.folder(), options(1_500), 40);
    let status = Arc::clone(writer.status());
    bucket.set_down();
    let feeder = {
        let all = all.clone();
        std::thread::spawn(move || {
            append(&writer, &all);
            writer.finish()
        })
    };
    let since = Instant::now();
    while status.error().is_none() {
        assert!(since.elapsed() < Duration::from_secs(60), "it writes although nobody answers");
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = status.error().expect("a failure");
    assert!(error.contains("s3://memory/a/one/") && error.contains("AWS_ENDPOINT"), "{error}");
    assert!(!feeder.is_finished(), "what waits is bounded");
    // A start does not wait for it.
    let error = Writer::start(bucket.folder(), options(1), from_the_start(40), Arc::default());
    let error = error.err().expect("nobody answers").to_string();
    assert!(
        error.contains("cannot read s3://memory/a/one/commits") && error.contains("no answer"),
        "{error}"
    );
    bucket.set_faults(&[]);
    feeder.join().expect("no panic").expect("a sound bucket");
    assert!(status.error().is_none());
    assert_eq!(read(bucket.folder()), expected(&all));
    nothing_is_left(&bucket);
}

/// However a forget ends, and whatever of it is carried out when nobody waits for it any more: no other row is lost, none is there twice,
/// and once a forget has succeeded no file of the bucket holds the subject.
#[test]
fn a_forget_in_a_bucket_that_fails_anywhere_loses_nothing_else() {
    let all = epochs(1, 28);
    let (before, after) = all.split_at(24);
    let now = before[23].binding.now;
    let target = Target::User { user_id: UserId(3) };
    let delete = Delete { event_id: EventId(1), revision: 0, event_time: now, target };
    let forgetting = Forgetting { delete, epoch: Epoch(24) };
    let small = Options { compact: false, ..options(6_000) };
    let begun = BadBucket::new();
    let writer = start(begun.folder(), small, 28);
    append(&writer, before);
    writer.finish().expect("a sound bucket");
    // With compaction, which may go on from a forget that failed.
    let small = Options { compact: true, ..small };
    let resumed = Resumed { epoch: Epoch(24), now, last_bound: Epoch(28) };
    let goes_on = |fault: Option<(u64, Fault)>| -> (bool, u64, Vec<ReadEpoch>) {
        let bucket = begun.copy();
        let writer = Writer::start(bucket.folder(), small, resumed, Arc::default()).expect("a sound bucket");
        bucket.set_faults(fault.as_slice());
        let first = writer.forgetter().forget(forgetting.clone());
        let met = bucket.faults_left() == 0;
        if met && let Err(error) = &first {
            assert!(error.contains("no answer"), "{fault:?}: {error}");
        }
        append(&writer, after);
        durable(&writer);
        let second = writer.forgetter().forget(forgetting.clone());
        second.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        writer.finish().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let held = bucket.folder().existing().expect("an archive");
        let named: Vec<String> = held.files.iter().map(|file| file.path.clone()).collect();
        assert_eq!(bucket.files(), named, "{fault:?}");
        nothing_is_left(&bucket);
        (met, held.forgotten[0].rows, read(bucket.folder()))
    };
    let (_, rows, left) = goes_on(None);
    assert!(rows > 3, "{rows} rows are too few to show anything");
    assert!(left != expected(&all), "nobody was forgotten");
    for fault in [Fault::Silent, Fault::Late(2)] {
        for at in 0.. {
            let (met, taken_out, read) = goes_on(Some((at, fault)));
            assert!(read == left && taken_out == rows, "{fault:?} of request {at}: {taken_out} rows");
            if !met {
                assert!(at > 20, "{at} ways to fail are too few to show anything");
                break;
            }
        }
    }
}

fn faults() -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let fault = prop_oneof![
        2 => Just(Fault::Broken),
        3 => Just(Fault::Silent),
        3 => (0u64..12).prop_map(Fault::Late),
        1 => Just(Fault::Gone),
    ];
    prop::collection::vec((0u64..150, fault), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 15, ..ProptestConfig::default() })]

    /// Requests fail in any way, and the process dies; then the run is started again, from any checkpoint that could have been published,
    /// a few times over. Nobody is told that the archive was taken over where nobody else writes.
    #[test]
    fn whatever_fails_neither_loses_nor_doubles(
        runs in prop::collection::vec((faults(), 300u64..6_000, any::<bool>()), 1..4),
        checkpoint in 0usize..30,
    ) {
        let bucket = BadBucket::new();
        let all = epochs(1, 30);
        let mut durable = 0;
        for (faults, roll, from_checkpoint) in runs {
            let at = if from_checkpoint { checkpoint.min(durable) } else { 0 };
            let now = if at == 0 { Millis(0) } else { all[at - 1].binding.now };
            let resumed = Resumed { epoch: Epoch(at as u64), now, last_bound: Epoch(30) };
            bucket.set_faults(&faults);
            // Told to end it gives up at the first failure, and what it has sent may arrive later.
            if let Err(error) = run(bucket.folder(), resumed, roll, &all) {
                prop_assert!(!error.is_taken(), "{}", error);
            }
            bucket.set_faults(&[]);
            if bucket.folder().manifest().expect("readable").is_some() {
                let read = read(bucket.folder());
                prop_assert!(read.len() >= durable, "it went back");
                durable = read.len();
                prop_assert_eq!(&read[..], &expected(&all)[..durable]);
            }
        }
        // It goes on by itself where failures pass, however often.
        let passing: Vec<(u64, Fault)> =
            (2..60).step_by(13).map(|at| (at, [Fault::Silent, Fault::Late(1), Fault::Late(5)][at as usize % 3])).collect();
        let writer = start(bucket.folder(), options(3_000), 30);
        bucket.set_faults(&passing);
        append(&writer, &all);
        let ended = writer.finish();
        prop_assert!(ended.is_ok(), "{:?}", ended);
        bucket.set_faults(&[]);
        prop_assert_eq!(read(bucket.folder()), expected(&all));
        nothing_is_left(&bucket);
        prop_assert_eq!(read(bucket.folder()), expected(&all));
    }
}
