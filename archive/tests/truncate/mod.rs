//! What is cut off is gone as if it had never come, on a disk and in a bucket, wherever the cut fails; and a run whose epochs are other
//! ones goes on from there.

use std::path::Path;
use std::sync::Arc;

use freshet_archive::{
    ArchiveError, Closed, Cut, FileEntry, Folder, Forgetting, Manifest, Options, ReadError, Reader, Resumed,
    Table, Writer, forget,
};
use freshet_schema::event::Target;
use freshet_schema::{Delete, Epoch, EventId, EventKind, Millis, UserId};

use crate::bucket::{append, durable, nothing_is_left, start};
use crate::support::bucket::{BadBucket, Fault};
use crate::support::{BadDisk, closed, epochs, expected, on, options, read, run};

/// The epoch that all is cut back to, and the last one there is.
const TO: u64 = 23;
const LAST: u64 = 40;

/// Files of several epochs, as they were written.
const ROLL: u64 = 6_000;

fn never() -> Options {
    Options { compact: false, ..options(ROLL) }
}

/// The run that had the archive, which nobody tells to end.
fn written(folder: Folder, all: &[Closed]) {
    let resumed = Resumed { last_bound: Epoch(LAST), ..Resumed::default() };
    let writer = Writer::start(folder, never(), resumed, Arc::default()).expect("a sound place");
    append(&writer, all);
    writer.finish().expect("a sound place");
}

/// Epochs behind the cut as a new journal binds them: at other moments, with other records.
fn bound_anew(from: u64, to: u64) -> Vec<Closed> {
    let anew = |epoch| {
        let mut closed = closed(epoch, (epoch + 3) % 5);
        closed.binding.now.0 += 1;
        closed
    };
    (from..=to).map(anew).collect()
}

/// The run after it, which goes on behind a checkpoint of `at` with a new journal.
fn goes_on(folder: Folder, at: &Closed, anew: &[Closed]) {
    let epoch = at.binding.epoch;
    let resumed = Resumed { epoch, now: at.binding.now, last_bound: epoch };
    run(folder, resumed, ROLL, anew).expect("it is this run's now");
}

fn straddles(file: &&FileEntry) -> bool {
    file.first_epoch.0 <= TO && file.last_epoch.0 > TO
}

/// Takes the archive over and cuts it back; whether there was anything to be taken out.
fn cut_back(folder: &Folder) -> Result<bool, ArchiveError> {
    let (held, _) = folder.own(|held| held.ok_or_else(|| folder.none()))?;
    let Some(cut) = Cut::plan(folder, &held, Epoch(TO))? else { return Ok(false) };
    cut.commit(folder).map(|_| true)
}

#[test]
fn what_is_cut_off_is_as_if_it_had_never_come() {
    let (dir, shorter) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = epochs(1, LAST);
    let stays = &all[..TO as usize];
    written(Folder::claim(dir.path()).unwrap(), &all);
    written(Folder::claim(shorter.path()).unwrap(), stays);
    let folder = Folder::claim(dir.path()).unwrap();
    let before = folder.existing().unwrap();
    let through = Folder::open(shorter.path()).unwrap().existing().unwrap().through;
    assert!(before.files.iter().filter(straddles).count() > 2, "few files are rewritten");
    assert!(before.files.iter().any(|file| file.first_epoch.0 > TO), "no file is dropped");

    // Said beforehand, and nothing is changed by that.
    let cut = Cut::plan(&folder, &before, Epoch(TO)).unwrap().expect("rows that go");
    assert_eq!(cut.to, through);
    let rows = |table: Table, closed: &Closed| match table {
        Table::Epochs => 1,
        Table::Stream(kind) => {
            (*closed.records).as_ref().iter().filter(|(_, event)| event.kind() == kind).count() as u64
        }
    };
    for table in Table::ALL {
        let gone: u64 = all[TO as usize..].iter().map(|closed| rows(table, closed)).sum();
        assert_eq!(cut.rows.get(&table).copied().unwrap_or(0), gone, "{table:?}");
    }
    assert!(cut.rows[&Table::Stream(EventKind::Interactions)] > 10);
    assert_eq!(folder.existing().unwrap(), before);

    let after = cut.commit(&folder).unwrap();
    assert_eq!((&after.through, after.begins_behind, after.cuts), (&through, Epoch(0), 1));
    assert_eq!(folder.existing().unwrap(), after);
    assert_eq!(folder.clean(&after).unwrap(), 0, "what was replaced is gone");
    assert_eq!(after.rows(Table::Epochs), TO);
    let untouched = |manifest: &Manifest| -> Vec<FileEntry> {
        manifest.files.iter().filter(|file| file.last_epoch.0 <= TO).cloned().collect()
    };
    assert!(untouched(&before).iter().all(|file| after.files.contains(file)), "it wrote more than it had to");
    drop(folder);
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(stays));

    // A run over the journal of old passes over what is there, and knows whether its last epoch is the same.
    let resumed = Resumed { last_bound: Epoch(LAST), ..Resumed::default() };
    let mut other = all.clone();
    other[TO as usize - 1].binding.positions[0].checksum ^= 1;
    let error = run(Folder::claim(dir.path()).unwrap(), resumed, ROLL, &other[..TO as usize]).unwrap_err();
    assert!(matches!(error, ArchiveError::OtherRun { epoch: Epoch(TO), .. }), "{error}");
    run(Folder::claim(dir.path()).unwrap(), resumed, ROLL, stays).unwrap();
    // And one that binds them anew goes on.
    let anew = bound_anew(TO + 1, LAST + 5);
    goes_on(Folder::claim(dir.path()).unwrap(), &all[TO as usize - 1], &anew);
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&[stays, &anew[..]].concat()));
}

#[test]
fn only_what_is_there_can_be_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, LAST);
    // It was begun behind epoch 10.
    let begins = |now| Resumed { epoch: Epoch(10), now, last_bound: Epoch(LAST) };
    run(Folder::claim(dir.path()).unwrap(), begins(all[9].binding.now), ROLL, &all).unwrap();
    let folder = Folder::claim(dir.path()).unwrap();
    let held = folder.existing().unwrap();
    for nothing in [LAST, LAST + 1, u64::MAX] {
        assert!(Cut::plan(&folder, &held, Epoch(nothing)).unwrap().is_none());
    }
    let error = Cut::plan(&folder, &held, Epoch(9)).map(drop).unwrap_err();
    assert!(
        matches!(error, ArchiveError::BeginsBehind { begins_behind: Epoch(10), to: Epoch(9), .. }),
        "{error}"
    );
    assert!(error.to_string().contains("archive.dir"), "{error}");
    let after = Cut::plan(&folder, &held, Epoch(10)).unwrap().expect("all of it").commit(&folder).unwrap();
    assert_eq!((after.files.len(), after.through.epoch, after.begins_behind), (0, Epoch(10), Epoch(10)));
    assert!(read(folder).is_empty());
    // What is left is nobody's, and the next run's: whoever comes, but one that has gone on since.
    let error =
        run(Folder::open(dir.path()).unwrap(), Resumed { epoch: Epoch(11), ..begins(Millis(3)) }, ROLL, &[]);
    assert!(matches!(error.unwrap_err(), ArchiveError::Behind { .. }));
    let anew = bound_anew(11, 30);
    run(Folder::claim(dir.path()).unwrap(), begins(Millis(3)), ROLL, &anew).unwrap();
    assert_eq!(read(Folder::open(dir.path()).unwrap()), expected(&anew));
}

#[test]
fn what_was_forgotten_stays_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, LAST);
    written(Folder::claim(dir.path()).unwrap(), &all);
    let folder = Folder::claim(dir.path()).unwrap();
    let target = Target::User { user_id: UserId(3) };
    let event_time = all[LAST as usize - 1].binding.now;
    let delete = Delete { event_id: EventId(1), revision: 0, event_time, target };
    let forgetting = Forgetting { delete, epoch: Epoch(LAST) };
    let (held, _) = forget::forget(&folder, &folder.existing().unwrap(), &forgetting).unwrap();
    let mut left = expected(&all[..TO as usize]);
    left.iter_mut().for_each(|epoch| epoch.records.retain(|(_, event)| !forgetting.takes(event)));
    assert!(left != expected(&all[..TO as usize]), "nobody was forgotten");
    let after = Cut::plan(&folder, &held, Epoch(TO)).unwrap().expect("rows that go").commit(&folder).unwrap();
    assert_eq!(after.forgotten, held.forgotten);
    assert_eq!(read(folder), left);
}

#[test]
fn a_reading_does_not_go_on_in_another_past() {
    let dir = tempfile::tempdir().unwrap();
    let all = epochs(1, LAST);
    written(Folder::claim(dir.path()).unwrap(), &all);
    let folder = Folder::claim(dir.path()).unwrap();
    let held = folder.existing().unwrap();
    let mut reader = Reader::new(Arc::new(Folder::open(dir.path()).unwrap()), &held, None);
    (0..TO + 3).for_each(|_| assert!(reader.next().unwrap().is_some()));
    assert!(cut_back(&folder).unwrap());
    drop(folder);
    goes_on(Folder::claim(dir.path()).unwrap(), &all[TO as usize - 1], &bound_anew(TO + 1, LAST + 5));
    let error = loop {
        match reader.next() {
            Ok(epoch) => assert!(epoch.is_some(), "it was read to its end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Changed), "{error}");
}

fn copy(from: &Path, manifest: &Manifest, to: &Path) {
    for name in manifest.files.iter().map(|file| &*file.path).chain(["manifest.json"]) {
        std::fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// An archive with one file for each table and day, so that there are not many ways to fail.
fn in_few_files(all: &[Closed], folder: impl Fn() -> Folder) -> Manifest {
    let resumed = Resumed { last_bound: Epoch(LAST), ..Resumed::default() };
    run(folder(), resumed, 1 << 30, all).expect("a sound place");
    let manifest = folder().existing().expect("an archive");
    assert!(manifest.files.iter().filter(straddles).count() > 2, "few files are rewritten");
    manifest
}

#[test]
fn a_cut_that_fails_anywhere_is_whole_or_was_not_made() {
    let (all, anew) = (epochs(1, TO + 3), bound_anew(TO + 1, TO + 2));
    let stays = &all[..TO as usize];
    let begun = tempfile::tempdir().unwrap();
    let manifest = in_few_files(&all, || Folder::open(begun.path()).unwrap());
    let (whole, cut, gone_on) = (expected(&all), expected(stays), expected(&[stays, &anew[..]].concat()));
    let (mut made, mut not_made) = (0, 0);
    for operations in 0.. {
        let dir = tempfile::tempdir().unwrap();
        copy(begun.path(), &manifest, dir.path());
        let disk = Arc::new(BadDisk::new(dir.path()));
        disk.fail_after(operations);
        let first = cut_back(&on(&disk));
        disk.power_cut();
        disk.heal();
        let held = read(on(&disk));
        assert!(held == whole || held == cut, "after {operations} operations");
        match held == cut {
            true => made += 1,
            false => not_made += 1,
        }
        assert_eq!(cut_back(&on(&disk)).unwrap(), held == whole, "after {operations} operations");
        goes_on(on(&disk), &stays[TO as usize - 1], &anew);
        assert_eq!(
            on(&disk).clean(&on(&disk).existing().unwrap()).unwrap(),
            0,
            "after {operations} operations"
        );
        assert!(read(on(&disk)) == gone_on, "after {operations} operations");
        match first {
            Ok(_) => break,
            Err(error) => assert!(error.to_string().contains("the disk is gone"), "{error}"),
        }
    }
    assert!(made > 1 && not_made > 10, "{made} and {not_made} ways to fail are too few to show anything");
}

/// Requests are done unheard, or when nobody waits for them any more.
#[test]
fn a_cut_in_a_bucket_that_fails_anywhere_is_whole_or_was_not_made() {
    let (all, anew) = (epochs(1, TO + 3), bound_anew(TO + 1, TO + 2));
    let stays = &all[..TO as usize];
    let begun = BadBucket::new();
    in_few_files(&all, || begun.folder());
    let (whole, cut, gone_on) = (expected(&all), expected(stays), expected(&[stays, &anew[..]].concat()));
    for fault in [Fault::Silent, Fault::Late(2)] {
        let (mut made, mut not_made) = (0, 0);
        for at in 0.. {
            let bucket = begun.copy();
            bucket.set_faults(&[(at, fault)]);
            let first = cut_back(&bucket.folder());
            let met = bucket.faults_left() == 0;
            bucket.set_faults(&[]);
            let held = read(bucket.folder());
            assert!(held == whole || held == cut, "{fault:?} of request {at}");
            assert!(first.is_err() || held == cut, "{fault:?} of request {at}");
            match held == cut {
                true => made += 1,
                false => not_made += 1,
            }
            let again = cut_back(&bucket.folder());
            assert!(again.is_ok(), "{fault:?} of request {at}: {again:?}");
            goes_on(bucket.folder(), &stays[TO as usize - 1], &anew);
            nothing_is_left(&bucket);
            assert!(read(bucket.folder()) == gone_on, "{fault:?} of request {at}");
            if !met {
                break;
            }
        }
        assert!(made > 1 && not_made > 5, "{fault:?}: {made} and {not_made} ways to fail are too few");
    }
}

/// A run that is thought dead, and is not, brings nothing back of what was cut off.
#[test]
fn a_run_of_old_writes_no_more_of_what_was_cut_back() {
    let all = epochs(1, LAST);
    let bucket = BadBucket::new();
    let old = start(bucket.folder(), never(), LAST);
    append(&old, &all[..TO as usize + 5]);
    durable(&old);
    assert!(cut_back(&bucket.folder()).unwrap());
    append(&old, &all[TO as usize + 5..TO as usize + 7]);
    let error = old.finish().expect_err("it was taken over");
    assert!(matches!(error, ArchiveError::Taken { .. }), "{error}");
    nothing_is_left(&bucket);
    assert_eq!(read(bucket.folder()), expected(&all[..TO as usize]));
}
