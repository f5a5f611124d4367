//! The writer over a disk that forgets, tears, fills up and fails, and over a bucket that fails, loses answers and falls silent: whatever
//! happens when, what was said to be made is there.

mod bucket;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use freshet_archive::{Disk, OnDisk};
use freshet_operators::checkpoint::{Blocks, Snapshot, Taken};
use freshet_schema::{Epoch, Generation, hash};
use proptest::prelude::*;

use super::decide::{Choice, folder_name};
use super::manifest::tests::manifest;
use super::{Begin, CheckpointError, Checkpoints, Manifest, Objects, Status, Writer};

/// What goes wrong at one of the disk's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The machine stops.
    Crash,
    /// No space: half of what is written is.
    Full,
    /// The device fails.
    Broken,
    /// Another machine begins a run of generation 2; the operation itself succeeds.
    Overtaken,
    /// A folder that is removed has been given another file by a run that was taken over.
    Refilled,
}

/// The claim of that run.
const OTHER_RUN: &str = "generations/0000000002";

/// A disk in memory. What was not synced may be lost by a crash, name by name and byte by byte.
#[derive(Default)]
struct State {
    /// Names as a process sees them.
    names: BTreeMap<String, usize>,
    /// Names that survive a crash.
    durable_names: BTreeMap<String, usize>,
    /// Contents, and how many of their bytes survive.
    files: Vec<(Vec<u8>, usize)>,
    operations: usize,
    faults: Vec<(usize, Fault)>,
    down: bool,
}

#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<State>>);

impl State {
    /// Counts an operation; what is to go wrong with it.
    fn next(&mut self) -> io::Result<Option<Fault>> {
        if self.down {
            return Err(io::Error::other("the machine is down"));
        }
        self.operations += 1;
        let fault = self.faults.iter().find(|(at, _)| *at == self.operations).map(|(_, fault)| *fault);
        match fault {
            Some(Fault::Crash) => {
                self.down = true;
                Err(io::Error::other("the machine is down"))
            }
            Some(Fault::Broken) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Overtaken) => {
                self.files.push((Vec::new(), 0));
                self.names.insert(OTHER_RUN.to_owned(), self.files.len() - 1);
                Ok(fault)
            }
            fault => Ok(fault),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut (Vec<u8>, usize)> {
        let at = *self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[at])
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl MemoryDisk {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().expect("no test panics while it holds the disk"))
    }

    fn set_faults(&self, faults: Vec<(usize, Fault)>) {
        self.with(|disk| {
            disk.operations = 0;
            disk.faults = faults;
        });
    }

    /// The machine starts again. Of names that were not synced some have changed and some have not, and of bytes that were
    /// not synced a beginning is there, the rest lost or zeros.
    fn reboot(&self, seed: u64) {
        self.with(|disk| {
            let draw = |n: u64, below: u64| hash::mix(seed, &[n]) % below;
            let changed: Vec<String> = disk.names.keys().chain(disk.durable_names.keys()).cloned().collect();
            let mut names = disk.durable_names.clone();
            for (n, name) in (0..).zip(changed) {
                if draw(n, 2) == 0 {
                    match disk.names.get(&name) {
                        Some(at) => drop(names.insert(name, *at)),
                        None => drop(names.remove(&name)),
                    }
                }
            }
            for (n, (bytes, durable)) in (1000..).zip(&mut disk.files) {
                let unsynced = bytes.len() - *durable;
                let kept = *durable + draw(n, unsynced as u64 + 1) as usize;
                let whole = bytes.len();
                bytes.truncate(kept);
                if draw(n + 1000, 3) == 0 {
                    bytes.resize(whole, 0);
                }
                *durable = bytes.len();
            }
            disk.names.clone_from(&names);
            disk.durable_names = names;
            disk.down = false;
            disk.faults.clear();
        });
    }
}

impl Disk for MemoryDisk {
    fn root(&self) -> &Path {
        Path::new("memory")
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|disk| {
            let fault = disk.next()?;
            if !disk.names.contains_key(name) {
                disk.files.push((Vec::new(), 0));
                disk.names.insert(name.to_owned(), disk.files.len() - 1);
            }
            let file = disk.file(name)?;
            if fault == Some(Fault::Full) {
                file.0.extend_from_slice(&bytes[..bytes.len() / 2]);
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.0.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with(|disk| {
            disk.next()?;
            let file = disk.file(name)?;
            file.1 = file.0.len();
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|disk| {
            disk.next()?;
            let at = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            disk.names.insert(to.to_owned(), at);
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|disk| {
            disk.next()?;
            if disk.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let at = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            disk.names.insert(to.to_owned(), at);
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.with(|disk| {
            disk.next()?;
            disk.durable_names.retain(|name, _| folder_of(name) != folder);
            let here = disk.names.iter().filter(|(name, _)| folder_of(name) == folder);
            disk.durable_names.extend(here.map(|(name, at)| (name.clone(), *at)));
            Ok(())
        })
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(|disk| {
            disk.next()?;
            disk.file(name).map(|file| file.0.clone())
        })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.with(|disk| {
            disk.next()?;
            let within = |name: &String| {
                let rest = name.strip_prefix(folder)?.strip_prefix('/')?;
                Some(rest.split('/').next().unwrap_or(rest).to_owned())
            };
            let mut names: Vec<String> = disk.names.keys().filter_map(within).collect();
            names.dedup();
            Ok(names)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|disk| {
            disk.next()?;
            disk.names.remove(name);
            Ok(())
        })
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.with(|disk| {
            if disk.next()? == Some(Fault::Refilled) {
                disk.files.push((Vec::new(), 0));
                disk.names.insert(format!("{folder}/late"), disk.files.len() - 1);
            }
            let filled = disk.names.keys().any(|name| folder_of(name) == folder);
            if filled { Err(io::ErrorKind::DirectoryNotEmpty.into()) } else { Ok(()) }
        })
    }
}

/// The rows that a checkpoint of an epoch has in each of two cuts.
fn rows(epoch: u64) -> Vec<(u64, u64)> {
    (0..20).map(|n| (hash::shard(n), epoch * 1000 + n)).collect()
}

impl MemoryDisk {
    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(OnDisk::new(Arc::new(self.clone())))
    }
}

/// Makes checkpoints of `epochs` in one run, and says of which it was told that they were made.
fn make(objects: &Arc<dyn Objects>, epochs: &[u64]) -> Result<Vec<u64>, CheckpointError> {
    let checkpoints = Checkpoints::new(Arc::clone(objects), 2);
    let generation = checkpoints.claim()?;
    checkpoints.clean(generation)?;
    let (to_writer, taken) = channel();
    let (to_durable, durable) = channel();
    let (order, orders) = channel();
    let status = Arc::new(Status::default());
    let writer = Writer {
        checkpoints,
        generation,
        definitions: Vec::new(),
        workers: 1,
        processes: 1,
        taken,
        durable,
        status: Arc::clone(&status),
    };
    let thread = std::thread::spawn(move || writer.run(&orders));
    let mut made = Vec::new();
    for epoch in epochs {
        status.begin();
        let input = manifest(generation.0, *epoch).input;
        order.send(Begin { input, at: Instant::now() }).expect("the writer listens");
        for cut in ["one", "two"] {
            let rows = rows(*epoch);
            let snapshot = Snapshot {
                cut,
                rows: Box::new(move |to| rows.iter().for_each(|(shard, n)| to.row(*shard, n))),
            };
            to_writer.send(Taken::Cut(Epoch(*epoch), snapshot)).expect("the writer listens");
        }
        to_writer.send(Taken::Worker(Epoch(*epoch), 0, 1)).expect("the writer listens");
        to_durable.send((Epoch(*epoch), Some(Epoch(*epoch)))).expect("the writer listens");
        while status.in_work.load(Relaxed) {
            std::thread::yield_now();
        }
        if status.error().is_none() {
            made.push(*epoch);
        }
    }
    drop(order);
    thread.join().expect("the writer does not panic")?;
    Ok(made)
}

/// The newest checkpoint, which must hold what was written.
fn newest(objects: &Arc<dyn Objects>) -> Option<Manifest> {
    let checkpoints = Checkpoints::new(Arc::clone(objects), 2);
    match checkpoints.find(Some(Epoch(u64::MAX))).expect("a readable disk") {
        Choice::None => None,
        Choice::Refuse(why) => panic!("a faithful disk was refused: {why:?}"),
        Choice::From(found, passed) => {
            assert!(passed.is_empty(), "what can be seen is whole: {passed:?}");
            for cut in ["one", "two"] {
                let mut expected: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
                for (shard, n) in rows(found.manifest.epoch.0) {
                    let row = n.to_string();
                    expected.entry(shard).or_default().extend(row.as_bytes());
                }
                for (shard, text) in expected {
                    let blocks = found.loaded.blocks(cut, shard).expect("readable");
                    let read: String =
                        blocks.iter().flat_map(|(rows, bytes)| numbers(*rows, bytes)).collect();
                    assert_eq!(read.as_bytes(), text, "{cut} {shard}");
                }
            }
            Some(found.manifest)
        }
    }
}

/// Varints, as postcard writes them.
fn numbers(rows: u64, bytes: &[u8]) -> Vec<String> {
    let mut at = 0;
    let mut number = || {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let byte = bytes[at];
            at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return n.to_string();
            }
        }
    };
    (0..rows).map(|_| number()).collect()
}

/// How many manifests, files of data and generations there are, unfinished ones among them.
fn names(objects: &Arc<dyn Objects>) -> [usize; 3] {
    let list = |folder: &str| objects.list(folder).expect("a sound place");
    let data = list("data").iter().map(|folder| list(&format!("data/{folder}")).len()).sum();
    [list("manifests").len(), data, list("generations").len()]
}

/// What may go wrong in a run, by the number of the operation, and a seed for what a crash then leaves.
type Run = (Vec<(usize, Fault)>, u64);

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let kind = prop_oneof![3 => Just(Fault::Crash), 1 => Just(Fault::Full), 1 => Just(Fault::Broken)];
    let faults = prop::collection::vec((1usize..180, kind), 0..3);
    prop::collection::vec((faults, any::<u64>()), 1..4)
}

/// Runs follow each other in a place: `begin` says what goes wrong in the next, `reboot` makes the place sound again.
fn what_was_made_survives(
    runs: Vec<Run>,
    objects: &Arc<dyn Objects>,
    begin: impl Fn(Vec<(usize, Fault)>),
    reboot: impl Fn(u64),
) -> Result<(), TestCaseError> {
    let mut epoch = 0;
    let mut promised = 0;
    for (faults, seed) in runs {
        begin(faults);
        let epochs: Vec<u64> = (1..=4).map(|n| epoch + n).collect();
        epoch += 4;
        match make(objects, &epochs) {
            Ok(made) => promised = made.last().copied().unwrap_or(promised).max(promised),
            // Nothing can be begun in a place that fails; what there was is there.
            Err(error) => prop_assert!(matches!(error, CheckpointError::Io { .. }), "{error}"),
        }
        reboot(seed);
        let found = newest(objects).map_or(0, |manifest| manifest.epoch.0);
        prop_assert!(found >= promised, "the checkpoint of epoch {promised} was made, and {found} is there");
        // The next run goes on from it.
        epoch = epoch.max(found);
        promised = promised.max(found);
    }
    // In a sound place all is well, and only what is kept is left.
    let made = make(objects, &[epoch + 1, epoch + 2, epoch + 3]).expect("a sound place");
    prop_assert_eq!(made.len(), 3);
    prop_assert_eq!(names(objects), [2, 4, 1]);
    reboot(1);
    prop_assert_eq!(newest(objects).map(|manifest| manifest.epoch.0), Some(epoch + 3));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_was_made_on_a_disk_survives(runs in runs()) {
        let disk = MemoryDisk::default();
        what_was_made_survives(runs, &disk.objects(), |faults| disk.set_faults(faults), |seed| disk.reboot(seed))?;
    }
}

/// Data files are named by epoch and cut.
fn data_file(objects: &Arc<dyn Objects>, epoch: u64, cut: &str) -> String {
    let of = format!("-{epoch:020}");
    let folders = objects.list("data").expect("a sound place");
    let folder = folders.iter().rfind(|folder| folder.ends_with(&of)).expect("a folder");
    format!("data/{folder}/{cut}.blocks")
}

fn a_damaged_file_is_named_and_the_checkpoint_before_it_is_used(objects: &Arc<dyn Objects>) {
    make(objects, &[5, 9]).expect("a sound place");
    let newest = data_file(objects, 9, "two");
    let mut bytes = objects.read(&newest).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    objects.replace(&newest, "test", &bytes).expect("a sound place");
    let checkpoints = Checkpoints::new(Arc::clone(objects), 2);
    let find = || checkpoints.find(Some(Epoch(9))).expect("readable");
    match find() {
        Choice::From(found, passed) => {
            assert_eq!(found.manifest.epoch, Epoch(5));
            assert!(passed[0].1.contains("two.blocks") && passed[0].1.contains("checksum"), "{passed:?}");
            checkpoints.set_aside(&passed).expect("a sound place");
        }
        _ => panic!("the earlier one holds"),
    }
    // Its epoch can be written again.
    assert_eq!(make(objects, &[9]).expect("a sound place"), [9]);
    for epoch in [5, 9] {
        objects.remove(&data_file(objects, epoch, "one")).expect("a sound place");
    }
    match find() {
        Choice::Refuse(why) => {
            let error = checkpoints.none_valid(&why).to_string();
            assert!(
                error.contains("epoch 9") && error.contains("epoch 5") && error.contains("begin anew"),
                "{error}"
            );
        }
        _ => panic!("none holds"),
    }
}

fn an_old_run_publishes_nothing(objects: &Arc<dyn Objects>) {
    let old = Checkpoints::new(Arc::clone(objects), 2);
    assert_eq!(old.claim().expect("a sound place"), Generation(1));
    make(objects, &[3]).expect("a sound place");
    let error = old.publish(&manifest(1, 4)).expect_err("a newer run owns the job");
    assert!(matches!(error, CheckpointError::Superseded { newer: Generation(2), .. }), "{error}");
    // An epoch that somebody has is nobody else's.
    let new = Checkpoints::new(Arc::clone(objects), 2);
    let mine = new.claim().expect("a sound place");
    let error = new.publish(&manifest(mine.0, 3)).expect_err("it is taken");
    assert!(matches!(error, CheckpointError::Taken { epoch: Epoch(3), .. }), "{error}");
    let epochs: Vec<Epoch> = new.manifests().expect("readable").into_iter().map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs, [Epoch(3)]);
}

/// Eight runs that begin at once: each has a generation of its own, and the greatest owns the job.
fn of_runs_that_race_one_owns_the_job(objects: &Arc<dyn Objects>) {
    let claim = |_| {
        let checkpoints = Checkpoints::new(Arc::clone(objects), 2);
        std::thread::spawn(move || checkpoints.claim().expect("a sound place").0)
    };
    let threads: Vec<_> = (0..8).map(claim).collect();
    let mut claimed: Vec<u64> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=8).collect::<Vec<_>>());
    let checkpoints = Checkpoints::new(Arc::clone(objects), 2);
    for generation in claimed {
        assert_eq!(checkpoints.check_owner(Generation(generation)).is_ok(), generation == 8);
    }
}

/// Another run takes over at each operation in turn: what was published is there, and what was not is not. `with` is a place that is
/// taken over at that operation.
fn a_run_that_is_overtaken_takes_back_what_it_published(with: impl Fn(usize) -> Arc<dyn Objects>) {
    let mut taken_back = 0;
    for at in 1..20 {
        let checkpoints = Checkpoints::new(with(at), 2);
        let mine = checkpoints.claim().expect("a sound place");
        let published = checkpoints.publish(&manifest(mine.0, 4));
        let there = checkpoints.manifests().expect("readable").len();
        match published {
            Ok(()) => assert_eq!(there, 1, "overtaken at operation {at}"),
            Err(CheckpointError::Superseded { newer: Generation(2), .. }) => {
                assert_eq!(there, 0, "overtaken at operation {at}");
                taken_back += 1;
            }
            Err(error) => panic!("overtaken at operation {at}: {error}"),
        }
    }
    assert!((2..19).contains(&taken_back), "{taken_back}");
}

#[test]
fn on_a_disk_a_damaged_file_is_named_and_the_checkpoint_before_it_is_used() {
    a_damaged_file_is_named_and_the_checkpoint_before_it_is_used(&MemoryDisk::default().objects());
}

/// A run that was taken over, and does not know it yet, writes into its folder while that is deleted: the new run begins all the same,
/// and deletes the rest with its first checkpoint.
#[test]
fn a_folder_that_an_old_run_still_fills_is_deleted_later() {
    let disk = MemoryDisk::default();
    let objects = disk.objects();
    let checkpoints = Checkpoints::new(Arc::clone(&objects), 2);
    let old = checkpoints.claim().expect("a sound place");
    let folder = format!("data/{}", folder_name(old, Epoch(7)));
    disk.append(&format!("{folder}/one"), b"half").expect("a sound place");
    let new = checkpoints.claim().expect("a sound place");
    let files = || objects.list(&folder).expect("a sound place");
    let mut refilled = 0;
    for at in 1..20 {
        disk.set_faults(vec![(at, Fault::Refilled)]);
        checkpoints.clean(new).unwrap_or_else(|error| panic!("filled at operation {at}: {error}"));
        if files() == ["late"] {
            refilled += 1;
            checkpoints.clean(new).expect("nobody writes any more");
        }
        assert!(files().is_empty());
        disk.append(&format!("{folder}/one"), b"half").expect("a sound place");
    }
    assert_eq!(refilled, 1, "the folder is removed by one operation");
}

#[test]
fn on_a_disk_an_old_run_publishes_nothing() {
    an_old_run_publishes_nothing(&MemoryDisk::default().objects());
}

#[test]
fn on_a_disk_a_run_that_is_overtaken_takes_back_what_it_published() {
    a_run_that_is_overtaken_takes_back_what_it_published(|at| {
        let disk = MemoryDisk::default();
        disk.set_faults(vec![(at, Fault::Overtaken)]);
        disk.objects()
    });
}
