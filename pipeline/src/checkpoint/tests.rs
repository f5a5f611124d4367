//! The writer over a disk that forgets, tears, fills up and fails: whatever happens when, what was said to be made is there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use freshet_operators::checkpoint::{Blocks, Snapshot, Taken};
use freshet_schema::{Epoch, Generation, hash};
use proptest::prelude::*;

use super::decide::Choice;
use super::manifest::tests::manifest;
use super::{Begin, CheckpointError, Checkpoints, Disk, Manifest, Status, Writer};

/// What goes wrong at one of the disk's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The machine stops.
    Crash,
    /// No space: half of what is written is.
    Full,
    /// The device fails.
    Broken,
}

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

    fn remove_folder(&self, _folder: &str) -> io::Result<()> {
        self.with(|disk| disk.next().map(drop))
    }
}

/// The rows that a checkpoint of an epoch has in each of two cuts.
fn rows(epoch: u64) -> Vec<(u64, u64)> {
    (0..20).map(|n| (hash::shard(n), epoch * 1000 + n)).collect()
}

/// Makes checkpoints of `epochs` in one run, and says of which it was told that they were made.
fn make(disk: &MemoryDisk, epochs: &[u64]) -> Result<Vec<u64>, CheckpointError> {
    let checkpoints = Checkpoints::new(Arc::new(disk.clone()), 2);
    let generation = checkpoints.claim()?;
    checkpoints.clean(generation, None)?;
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
fn newest(disk: &MemoryDisk) -> Option<Manifest> {
    let checkpoints = Checkpoints::new(Arc::new(disk.clone()), 2);
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

fn fault() -> impl Strategy<Value = (usize, Fault)> {
    let kind = prop_oneof![3 => Just(Fault::Crash), 1 => Just(Fault::Full), 1 => Just(Fault::Broken)];
    (1usize..180, kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_was_made_survives(
        runs in prop::collection::vec((prop::collection::vec(fault(), 0..3), any::<u64>()), 1..4),
    ) {
        let disk = MemoryDisk::default();
        let mut epoch = 0;
        let mut promised = 0;
        for (faults, seed) in runs {
            disk.set_faults(faults);
            let epochs: Vec<u64> = (1..=4).map(|n| epoch + n).collect();
            epoch += 4;
            match make(&disk, &epochs) {
                Ok(made) => promised = made.last().copied().unwrap_or(promised).max(promised),
                // Nothing can be begun on a disk that fails; what there was is there.
                Err(error) => prop_assert!(matches!(error, CheckpointError::Io { .. }), "{error}"),
            }
            disk.reboot(seed);
            let found = newest(&disk).map_or(0, |manifest| manifest.epoch.0);
            prop_assert!(found >= promised, "the checkpoint of epoch {promised} was made, and {found} is there");
            // The next run goes on from it.
            epoch = epoch.max(found);
            promised = promised.max(found);
        }
        // On a sound disk all is well, and only what is kept is left.
        let made = make(&disk, &[epoch + 1, epoch + 2, epoch + 3]).expect("a sound disk");
        prop_assert_eq!(made.len(), 3);
        let names: Vec<String> = disk.with(|disk| disk.names.keys().cloned().collect());
        let of = |folder: &str| names.iter().filter(|name| name.starts_with(folder)).count();
        prop_assert_eq!((of("manifests/"), of("data/"), of("generations/")), (2, 4, 1), "{:?}", names);
        disk.reboot(1);
        prop_assert_eq!(newest(&disk).map(|manifest| manifest.epoch.0), Some(epoch + 3));
    }
}

#[test]
fn a_damaged_file_is_named_and_the_checkpoint_before_it_is_used() {
    let disk = MemoryDisk::default();
    make(&disk, &[5, 9]).expect("a sound disk");
    let data = |of: &str| {
        let name = disk
            .with(|disk| disk.names.keys().find(|name| name.contains(of) && name.contains("two")).cloned());
        name.expect("a file")
    };
    let flip = |name: &str| {
        disk.with(|disk| {
            let file = disk.file(name).expect("a file");
            let middle = file.0.len() / 2;
            file.0[middle] ^= 1;
        });
    };
    let newest = data("-00000000000000000009/");
    flip(&newest);
    let checkpoints = Checkpoints::new(Arc::new(disk.clone()), 2);
    let find = || checkpoints.find(Some(Epoch(9))).expect("readable");
    match find() {
        Choice::From(found, passed) => {
            assert_eq!(found.manifest.epoch, Epoch(5));
            assert!(passed[0].1.contains("two.blocks") && passed[0].1.contains("checksum"), "{passed:?}");
            checkpoints.set_aside(&passed).expect("a sound disk");
        }
        _ => panic!("the earlier one holds"),
    }
    // Its epoch can be written again.
    assert_eq!(make(&disk, &[9]).expect("a sound disk"), [9]);
    disk.with(|disk| disk.names.remove(&data_of(disk, 5)));
    disk.with(|disk| disk.names.remove(&data_of(disk, 9)));
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

fn data_of(disk: &State, epoch: u64) -> String {
    let folder = format!("-{epoch:020}/one");
    disk.names.keys().rfind(|name| name.contains(&folder)).expect("a file").clone()
}

#[test]
fn an_old_run_publishes_nothing() {
    let disk = MemoryDisk::default();
    let old = Checkpoints::new(Arc::new(disk.clone()), 2);
    assert_eq!(old.claim().expect("a sound disk"), Generation(1));
    make(&disk, &[3]).expect("a sound disk");
    let error = old.publish(&manifest(1, 4)).expect_err("a newer run owns the job");
    assert!(matches!(error, CheckpointError::Superseded { newer: Generation(2), .. }), "{error}");
    // An epoch that somebody has is nobody else's.
    let new = Checkpoints::new(Arc::new(disk.clone()), 2);
    let mine = new.claim().expect("a sound disk");
    let error = new.publish(&manifest(mine.0, 3)).expect_err("it is taken");
    assert!(matches!(error, CheckpointError::Taken { epoch: Epoch(3), .. }), "{error}");
    let epochs: Vec<Epoch> = new.manifests().expect("readable").into_iter().map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs, [Epoch(3)]);
}
