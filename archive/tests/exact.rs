//! Rows in are rows archived, exactly once: with a disk that runs full, forgets what was not synced, and crashes anywhere; whatever was
//! replayed, compacted and forgotten in between.

mod bucket;
mod support;
mod truncate;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freshet_archive::{
    ArchiveError, Closed, Folder, Forgetting, Manifest, Options, ReadEpoch, ReadError, Reader, Resumed,
    Table, Writer, compact,
};
use freshet_schema::event::Target;
use freshet_schema::{Delete, Epoch, Event, EventId, EventKind, Millis, UserId, VideoId};
use proptest::prelude::*;
use support::{BadDisk, closed, epochs, expected, on, options, read, run};

#[test]
fn what_goes_in_comes_out_in_order_by_day() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 60);
    let resumed = Resumed { last_bound: Epoch(60), ..Resumed::default() };
    run(Folder::claim(dir.path()).unwrap(), resumed, 4_000, &all).unwrap();
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
    let manifest = Folder::open(dir.path()).unwrap().existing().unwrap();
    assert_eq!(manifest.rows(Table::Epochs), 60);
    for kind in EventKind::ALL {
        let written = all.iter().flat_map(|c| (*c.records).as_ref()).filter(|(_, e)| e.kind() == kind);
        assert_eq!(manifest.rows(Table::Stream(kind)), written.count() as u64, "{kind:?}");
    }
    assert!(
        manifest.files.iter().all(|file| file.path.contains("/day=20") && file.path.ends_with(".parquet"))
    );
    let days: std::collections::BTreeSet<u64> = manifest.files.iter().map(|file| file.day).collect();
    assert!(days.len() > 1, "one day shows nothing");
    // Until the folder is let go of nobody else writes.
    let held = Folder::claim(dir.path()).unwrap();
    assert!(matches!(Folder::claim(dir.path()), Err(ArchiveError::Locked { .. })));
    drop(held);
}

#[test]
fn an_archive_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 20);
    let resumed = |epoch, now, last_bound| Resumed {
        epoch: Epoch(epoch),
        now: Millis(now),
        last_bound: Epoch(last_bound),
    };
    run(Folder::claim(dir.path()).unwrap(), resumed(0, 0, 20), 1_000, &all).unwrap();
    let before = std::fs::read(dir.path().join("manifest.json")).unwrap();
    let open = |at: Resumed, all: &[Closed]| run(Folder::claim(dir.path()).unwrap(), at, 1_000, all);
    // A run that is new, and one that knows some of its epochs.
    let error = open(resumed(0, 0, 0), &all).unwrap_err();
    assert!(matches!(error, ArchiveError::OtherRun { epoch: Epoch(20), .. }), "{error}");
    let error = open(resumed(0, 0, 19), &all).unwrap_err();
    assert!(matches!(error, ArchiveError::Ahead { through: Epoch(20), known: Epoch(19), .. }), "{error}");
    let text = error.to_string();
    let remedy = format!("`freshet archive truncate {} --to 19`", dir.path().display());
    assert!(text.contains("belongs to another journal") && text.contains(&remedy), "{text}");
    let error = open(resumed(25, 9, 30), &[]).unwrap_err();
    assert!(matches!(error, ArchiveError::Behind { through: Epoch(20), resumed: Epoch(25), .. }), "{error}");
    assert!(error.to_string().contains("archive.dir"), "{error}");
    // The checkpoint is of the archive's last epoch, and that was another one.
    let error = open(resumed(20, 12345, 20), &[]).unwrap_err();
    assert!(matches!(error, ArchiveError::OtherRun { .. }), "{error}");
    // A replay that comes to the archive's last epoch and finds another one there.
    let mut other = epochs(1, 20);
    other[19].binding.positions[0].checksum ^= 1;
    let error = open(resumed(0, 0, 20), &other).unwrap_err();
    assert!(matches!(error, ArchiveError::OtherRun { epoch: Epoch(20), .. }), "{error}");
    assert_eq!(std::fs::read(dir.path().join("manifest.json")).unwrap(), before);
    // The same run goes on.
    let longer = epochs(1, 30);
    open(resumed(12, longer[11].binding.now.0, 30), &longer).unwrap();
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&longer));
}

#[test]
fn a_full_disk_holds_the_run_back_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(BadDisk::new(dir.path()));
    let all = epochs(1, 40);
    let stop = Arc::new(AtomicBool::new(false));
    let resumed = Resumed { last_bound: Epoch(40), ..Resumed::default() };
    let folder = on(&disk);
    let writer = Writer::start(folder, options(1_500), resumed, Arc::clone(&stop)).unwrap();
    let status = Arc::clone(writer.status());
    disk.room(Some(6_000));
    let feeder = {
        let (all, stop) = (all.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            for closed in all {
                assert!(writer.append(closed, &stop).unwrap());
            }
            writer.finish()
        })
    };
    let since = Instant::now();
    while status.error().is_none() {
        assert!(since.elapsed() < Duration::from_secs(60), "the disk has room for all of it");
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = status.error().unwrap();
    assert!(error.contains("has room") && error.contains(dir.path().to_str().unwrap()), "{error}");
    assert!(!feeder.is_finished(), "what waits is bounded");
    disk.room(None);
    feeder.join().unwrap().unwrap();
    assert!(status.error().is_none());
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
}

#[test]
fn who_ends_a_run_does_not_wait_for_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(BadDisk::new(dir.path()));
    let all = epochs(1, 10);
    let stop = Arc::new(AtomicBool::new(false));
    let resumed = Resumed { last_bound: Epoch(10), ..Resumed::default() };
    let folder = on(&disk);
    let writer = Writer::start(folder, options(1 << 20), resumed, Arc::clone(&stop)).unwrap();
    for closed in all.clone() {
        writer.append(closed, &stop).unwrap();
    }
    disk.room(Some(0));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = writer.finish().unwrap_err();
    assert!(
        matches!(error, ArchiveError::GivenUp { .. }) && error.to_string().contains("next start"),
        "{error}"
    );
    disk.room(None);
    run(Folder::open(dir.path()).unwrap(), resumed, 1_000, &all).unwrap();
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
}

#[test]
fn who_meets_a_dead_writer_is_told_of_what_it_died() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 3);
    let resumed = Resumed { last_bound: Epoch(3), ..Resumed::default() };
    let stop = Arc::new(AtomicBool::new(false));
    let writer =
        Writer::start(Folder::claim(dir.path()).unwrap(), options(1), resumed, Arc::clone(&stop)).unwrap();
    let forgetter = writer.forgetter();
    // An epoch that does not follow is none of this run.
    let mut handed_over = [0, 2].into_iter().chain(std::iter::repeat(1));
    let since = Instant::now();
    let error = loop {
        match writer.append(all[handed_over.next().unwrap()].clone(), &stop) {
            Ok(_) => assert!(since.elapsed() < Duration::from_secs(60), "nobody is told"),
            Err(error) => break error.to_string(),
        }
    };
    let cause =
        |error: &str| assert!(error.contains("has ended") && error.contains("its epoch 3 is"), "{error}");
    cause(&error);
    cause(&writer.durable(Box::new(|| ())).unwrap_err().to_string());
    let delete = Delete {
        event_id: EventId(1),
        revision: 0,
        event_time: Millis(1),
        target: Target::User { user_id: UserId(1) },
    };
    cause(&forgetter.forget(Forgetting { delete, epoch: Epoch(1) }).unwrap_err());
    assert!(matches!(writer.finish(), Err(ArchiveError::OtherRun { epoch: Epoch(3), .. })));
    run(Folder::claim(dir.path()).unwrap(), resumed, 1, &all).unwrap();
    // One who comes after a clean end is told that, too.
    let writer =
        Writer::start(Folder::claim(dir.path()).unwrap(), options(1), resumed, Arc::clone(&stop)).unwrap();
    let forgetter = writer.forgetter();
    writer.finish().unwrap();
    let delete = Delete {
        event_id: EventId(1),
        revision: 0,
        event_time: Millis(1),
        target: Target::User { user_id: UserId(1) },
    };
    let error = forgetter.forget(Forgetting { delete, epoch: Epoch(1) }).unwrap_err();
    assert!(error.contains("its run is over"), "{error}");
}

#[test]
fn compaction_keeps_every_row_and_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 50);
    let resumed = Resumed { last_bound: Epoch(50), ..Resumed::default() };
    let never = Options { compact: false, ..options(600) };
    let stop = Arc::new(AtomicBool::new(false));
    let writer =
        Writer::start(Folder::claim(dir.path()).unwrap(), never, resumed, Arc::clone(&stop)).unwrap();
    for closed in all.clone() {
        writer.append(closed, &stop).unwrap();
    }
    writer.finish().unwrap();
    let folder = Folder::claim(dir.path()).unwrap();
    let manifest = folder.existing().unwrap();
    let (before, rows) = (manifest.files.len(), manifest.files.iter().map(|f| f.rows).sum::<u64>());
    let (manifest, less) = compact::compact(&folder, manifest, 1 << 30, true).unwrap();
    assert!(less > 20 && manifest.files.len() + less == before, "{before} files, {less} less");
    assert_eq!(manifest.files.iter().map(|file| file.rows).sum::<u64>(), rows);
    drop(folder);
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
    let folder = Folder::claim(dir.path()).unwrap();
    assert_eq!(folder.clean(&manifest).unwrap(), 0, "what was replaced is gone");
}

#[test]
fn a_checkpoint_does_not_wait_for_what_small_files_become() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 24);
    let resumed = Resumed { last_bound: Epoch(24), ..Resumed::default() };
    let stop = AtomicBool::new(false);
    let folder = on(&Arc::new(BadDisk::new(dir.path())));
    let writer = Writer::start(folder, options(1 << 20), resumed, Arc::default()).unwrap();
    // The files of one table and day.
    let most = |dir: &std::path::Path| {
        let manifest = Folder::open(dir).unwrap().existing().unwrap();
        let files = |day| manifest.files.iter().filter(move |f| f.table == Table::Epochs && f.day == day);
        manifest.files.iter().map(|file| files(file.day).count()).max().unwrap()
    };
    let (tell, told) = std::sync::mpsc::channel();
    for closed in all.clone() {
        assert!(writer.append(closed, &stop).unwrap());
        let (tell, dir) = (tell.clone(), dir.path().to_owned());
        writer.durable(Box::new(move || tell.send(most(&dir)).unwrap())).unwrap();
    }
    writer.finish().unwrap();
    drop(tell);
    assert_eq!(told.iter().max(), Some(8), "whoever waited saw the eight files that are put together");
    assert!(most(dir.path()) < 8, "they were put together");
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
}

#[test]
fn a_reading_goes_on_in_the_files_that_took_the_place_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 50);
    let resumed = Resumed { last_bound: Epoch(50), ..Resumed::default() };
    let never = Options { compact: false, ..options(600) };
    let stop = AtomicBool::new(false);
    let writer = Writer::start(Folder::claim(dir.path()).unwrap(), never, resumed, Arc::default()).unwrap();
    all.iter().for_each(|closed| assert!(writer.append(closed.clone(), &stop).unwrap()));
    writer.finish().unwrap();
    let folder = Folder::claim(dir.path()).unwrap();
    let manifest = folder.existing().unwrap();
    let begin =
        |manifest: &Manifest| Reader::new(Arc::new(Folder::open(dir.path()).unwrap()), manifest, None);
    let (mut reader, mut other) = (begin(&manifest), begin(&manifest));
    let mut epochs: Vec<ReadEpoch> = (0..7).map(|_| reader.next().unwrap().unwrap()).collect();
    assert_eq!(other.next().unwrap().unwrap().epoch, Epoch(1));
    let (manifest, less) = compact::compact(&folder, manifest, 1 << 30, true).unwrap();
    assert!(less > 20, "{less} files less");
    while let Some(epoch) = reader.next().unwrap() {
        epochs.push(epoch);
    }
    assert!(epochs == expected(&all), "{} epochs", epochs.len());
    // Rows that were taken out meanwhile make it another past, and nobody reads half of each.
    let mut reader = begin(&manifest);
    reader.next().unwrap();
    let delete = Delete {
        event_id: EventId(1),
        revision: 0,
        event_time: all[49].binding.now,
        target: Target::User { user_id: UserId(3) },
    };
    let forgetting = Forgetting { delete, epoch: Epoch(50) };
    let (manifest, _) = freshet_archive::forget::forget(&folder, &manifest, &forgetting).unwrap();
    let ended = |mut reader: Reader| loop {
        match reader.next() {
            Ok(epoch) => assert!(epoch.is_some(), "it was read to its end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended(other), ReadError::Changed));
    assert!(matches!(ended(reader), ReadError::Changed));
    // A file that the manifest names and that is not there was removed by somebody else.
    let last = manifest.files.iter().max_by_key(|file| file.first_epoch).unwrap();
    std::fs::remove_file(dir.path().join(&last.path)).unwrap();
    let error = ended(begin(&manifest)).to_string();
    assert!(error.contains(&last.path), "{error}");
}

#[test]
fn what_is_forgotten_is_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, 50);
    let resumed = Resumed { last_bound: Epoch(50), ..Resumed::default() };
    run(Folder::claim(dir.path()).unwrap(), resumed, 2_000, &all).unwrap();
    let until = Millis(all[39].binding.now.0);
    let delete =
        |event_id, target| Delete { event_id: EventId(event_id), revision: 0, event_time: until, target };
    let user = UserId(3);
    let (stays_user, video) = (UserId(5), VideoId(4));
    let event = {
        let of = |(_, event): &(_, Event)| match event {
            Event::Interaction(view) if view.user_id == stays_user && view.video_id != video => {
                Some(view.event_id)
            }
            _ => None,
        };
        all.iter().flat_map(|closed| (*closed.records).as_ref()).find_map(of).unwrap()
    };
    let deletes = [
        delete(1, Target::User { user_id: user }),
        delete(2, Target::Video { video_id: video }),
        delete(3, Target::Interaction { user_id: stays_user, target_event_id: event }),
    ];
    let folder = Folder::claim(dir.path()).unwrap();
    let mut manifest = folder.existing().unwrap();
    for delete in deletes.clone() {
        let forgetting = Forgetting { delete, epoch: Epoch(45) };
        let (next, forgotten) = freshet_archive::forget::forget(&folder, &manifest, &forgetting).unwrap();
        assert!(forgotten.rows > 0, "{forgotten:?}");
        manifest = next;
    }
    assert_eq!(manifest.forgotten.len(), 3);
    assert_eq!(folder.clean(&manifest).unwrap(), 0, "the files with them are gone");
    drop(folder);
    let mut left = expected(&all);
    for epoch in left.iter_mut().filter(|epoch| epoch.epoch <= Epoch(45)) {
        let covered = |event: &Event| event.event_time() <= until;
        epoch.records.retain(|(_, e)| match e {
            Event::Interaction(view) => {
                !(covered(e) && (view.user_id == user || view.video_id == video)
                    || view.user_id == stays_user && view.event_id == event)
            }
            Event::User(profile) => !(covered(e) && profile.user_id == user),
            Event::Follow(follow) => !(covered(e) && follow.user_id == user),
            Event::Upload(upload) => !(covered(e) && upload.video_id == video),
            Event::Served(page) => {
                !(covered(e)
                    && (page.user_id == user || page.items.iter().all(|item| item.video_id == video)))
            }
            Event::Delete(_) => true,
        });
        for (_, e) in &mut epoch.records {
            if let Event::Served(page) = e
                && page.event_time <= until
            {
                page.items.retain(|item| item.video_id != video);
            }
        }
    }
    assert_eq!(read(Folder::open(dir.path()).unwrap()), left);
    assert_ne!(left, expected(&all));
}

/// However a forget ends: what the writer goes on with is what the folder has. A manifest from before would name removed files and not
/// those in their place, and the next start would remove these.
#[test]
fn a_forget_that_fails_anywhere_loses_nothing_else() {
    let all = epochs(1, 28);
    let (before, after) = all.split_at(24);
    let now = before[23].binding.now;
    let target = Target::User { user_id: UserId(3) };
    let delete = Delete { event_id: EventId(1), revision: 0, event_time: now, target };
    let forgetting = Forgetting { delete, epoch: Epoch(24) };
    let stop = AtomicBool::new(false);
    // Small files, so that there are several to be taken out of.
    let small = Options { compact: false, ..options(6_000) };
    let begun = tempfile::tempdir().unwrap();
    let resumed = Resumed { last_bound: Epoch(28), ..Resumed::default() };
    let writer = Writer::start(Folder::claim(begun.path()).unwrap(), small, resumed, Arc::default()).unwrap();
    before.iter().for_each(|closed| assert!(writer.append(closed.clone(), &stop).unwrap()));
    writer.finish().unwrap();
    let manifest = Folder::open(begun.path()).unwrap().existing().unwrap();
    let resumed = Resumed { epoch: Epoch(24), now, ..resumed };
    let goes_on = |operations: Option<u64>| {
        let dir = tempfile::tempdir().unwrap();
        for name in manifest.files.iter().map(|file| &*file.path).chain(["manifest.json"]) {
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::copy(begun.path().join(name), dir.path().join(name)).unwrap();
        }
        let disk = Arc::new(BadDisk::new(dir.path()));
        let folder = on(&disk);
        let writer = Writer::start(folder, small, resumed, Arc::default()).unwrap();
        if let Some(operations) = operations {
            disk.fail_after(operations);
        }
        let first = writer.forgetter().forget(forgetting.clone());
        disk.heal();
        after.iter().for_each(|closed| assert!(writer.append(closed.clone(), &stop).unwrap()));
        let second = writer.forgetter().forget(forgetting.clone());
        second.unwrap_or_else(|error| panic!("after {operations:?} operations: {error}"));
        writer.finish().unwrap();
        let folder = Folder::claim(dir.path()).unwrap();
        let held = folder.existing().unwrap();
        assert_eq!(folder.clean(&held).unwrap(), 0, "left after {operations:?} operations");
        let forgotten: Vec<u64> = held.forgotten.iter().map(|one| one.rows).collect();
        (first, forgotten[0], read(folder))
    };
    let (first, rows, left) = goes_on(None);
    assert!(first.unwrap().rows > 3 && rows > 3, "{rows} rows are too few to show anything");
    assert!(left != expected(&all), "nobody was forgotten");
    for operations in 0.. {
        let (first, taken_out, read) = goes_on(Some(operations));
        assert!(read == left && taken_out == rows, "after {operations} operations: {taken_out} rows");
        match first {
            Ok(_) => {
                assert!(operations > 20, "{operations} ways to fail are too few to show anything");
                break;
            }
            Err(error) => assert!(error.contains("the disk is gone"), "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// The disk fails at any operation, for good, and what was not synced is lost; then the run is started again, from any checkpoint
    /// that could have been published, a few times over.
    #[test]
    fn a_crash_anywhere_neither_loses_nor_doubles(
        crashes in prop::collection::vec((0u64..220, 300u64..6_000, any::<bool>()), 1..4),
        checkpoint in 0usize..30,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let all = epochs(1, 30);
        let mut durable = 0;
        for (operations, roll, from_checkpoint) in crashes {
            let disk = Arc::new(BadDisk::new(dir.path()));
            disk.fail_after(operations);
            let at = if from_checkpoint { checkpoint.min(durable) } else { 0 };
            let now = if at == 0 { Millis(0) } else { all[at - 1].binding.now };
            let resumed = Resumed { epoch: Epoch(at as u64), now, last_bound: Epoch(30) };
            let _ = run(on(&disk), resumed, roll, &all);
            disk.power_cut();
            if let Some(manifest) = Folder::open(dir.path()).unwrap().manifest().unwrap() {
                prop_assert!(manifest.through.epoch.0 as usize >= durable, "it went back");
                durable = manifest.through.epoch.0 as usize;
                // What it names is there and whole, at every moment.
                let read = read(Folder::open(dir.path()).unwrap());
                prop_assert_eq!(&read[..], &expected(&all)[..durable]);
            }
        }
        let resumed = Resumed { last_bound: Epoch(30), ..Resumed::default() };
        run(Folder::open(dir.path()).unwrap(), resumed, 3_000, &all).unwrap();
        prop_assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&all));
        let folder = Folder::open(dir.path()).unwrap();
        let manifest = folder.existing().unwrap();
        prop_assert_eq!(folder.clean(&manifest).unwrap(), 0);
    }
}

#[test]
fn closed_epochs_share_their_records() {
    let one = closed(7, 1);
    let two = one.clone();
    assert!(Arc::ptr_eq(&one.records, &two.records));
}
