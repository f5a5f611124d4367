//! The durable list of bindings: which records made which epoch, at which `now`.
//!
//! A binding is on disk before its epoch is released. A restart reads the same epochs again, so whatever was written
//! downstream is written again with the same bytes, and no write that a sink needs can be cancelled by two epochs that
//! flow together.
//!
//! The file is a head (`FRESHETJ`, format version) and frames `{length u32, xxh3 u64 seeded with the length, payload}`,
//! little-endian; a payload is a Protobuf message. **One append is one frame and one fsync.** So a crash can tear the
//! last frame only, and what it held was not released: it is cut off. Damage with a whole frame behind it is no crash:
//! the disk or somebody changed what was released, and that is an error.
//!
//! What lies before a checkpoint that will not be gone back behind is needed no longer. [`Journal::trim`] makes a journal that
//! begins with where the partitions stood at that checkpoint ([`Base`]) and puts it in the place of the old one at once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Millis};
use prost::Message;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::validate::Limits;

const MAGIC: &[u8; 8] = b"FRESHETJ";
const VERSION: u32 = 1;
const HEAD: usize = 12;
const FRAME_HEAD: usize = 12;

/// What must be the same in every run over one journal: the content of an epoch depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Length of a replay epoch in event time, in milliseconds.
    pub replay_epoch_ms: u64,
    /// Earliest admitted event time.
    pub min_event_time: Millis,
    /// Latest admitted event time of a replay, as resolved at the first start.
    pub max_event_time: Millis,
    /// How far ahead of `now` a live record may be, in milliseconds.
    pub max_future_skew_ms: u64,
    /// What a record may hold.
    pub limits: Limits,
}

/// How far one partition was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Number of the partition.
    pub partition: u32,
    /// Where to go on reading.
    pub next_offset: u64,
    /// Checksum of the consumed prefix.
    pub checksum: u64,
}

/// The binding of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The epoch.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// The watermark, for information.
    pub watermark: Millis,
    /// Whether the clock was live.
    pub live: bool,
    /// The partitions that moved, by number.
    pub moved: Vec<Moved>,
    /// What is written again in it.
    pub remake: Vec<Slice>,
}

/// Where everything stood at the end of an epoch: what a source needs to go on behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The epoch; 0 before the first.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// Its watermark.
    pub watermark: Millis,
    /// The shift of the clock, where the epoch was live.
    pub shift: Option<i64>,
    /// The partitions by number.
    pub partitions: Vec<At>,
}

/// Where one partition stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its name.
    pub name: String,
    /// Where to go on reading.
    pub next_offset: u64,
    /// Checksum of the consumed prefix.
    pub checksum: u64,
    /// The greatest valid event time consumed.
    pub greatest: Option<Millis>,
}

impl At {
    /// At the beginning of a partition.
    #[must_use]
    pub fn beginning(name: &str) -> Self {
        Self { name: name.to_owned(), next_offset: 0, checksum: 0, greatest: None }
    }
}

/// An entry of the journal, in the order in which things came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The parameters; the first entry, once.
    Parameters(Parameters),
    /// Where a journal begins that was trimmed; the second entry, once.
    Base(Base),
    /// A partition appeared. Its number is the count of those before it.
    Partition(String),
    /// The service went live: `now` is the wall clock minus this, in milliseconds.
    Shift(i64),
    /// An epoch was closed.
    Binding(Bound),
}

/// A journal that cannot be used. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("{path}: cannot {action} the journal: {source}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The journal.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{path}: another process uses this journal; stop that one first, or give a journal of its own", path = .0.display())]
    Locked(PathBuf),
    /// No journal at all.
    #[error("{path}: not a Freshet journal; give another path, or remove the file", path = .0.display())]
    Foreign(PathBuf),
    /// Written by another release.
    #[error("{path}: journal format {found}, this release reads {VERSION}; use the release that wrote it, or start with a new journal and a new store", path = path.display())]
    Version {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What was released is damaged.
    #[error("{path}: broken at byte {offset}: {what}; restore the file from a copy, or start with a new journal and a new store", path = path.display())]
    Broken {
        /// The journal.
        path: PathBuf,
        /// Where the broken frame begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// An open journal. It is locked against other processes as long as it lives.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Journal {
    /// Opens the journal, or makes it, and reads what it holds. A torn last frame is cut off.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let io = |action| move |source| JournalError::Io { action, path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(io("make the folder of"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        lock(&file, path)?;
        // The file may have been replaced (see `trim`) between opening and locking it: then it is nobody's any more.
        let (named, opened) = (fs::metadata(path), file.metadata().map_err(io("look at"))?);
        if !named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            return Err(JournalError::Locked(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let scan = scan(&bytes).map_err(|fault| match fault {
            Fault::Foreign => JournalError::Foreign(path.to_owned()),
            Fault::Version(found) => JournalError::Version { path: path.to_owned(), found },
            Fault::Broken { offset, what } => JournalError::Broken { path: path.to_owned(), offset, what },
        })?;
        let mut journal = Self { file, path: path.to_owned(), length: scan.length };
        if scan.length < bytes.len() as u64 {
            tracing::warn!(
                journal = %path.display(), kept = scan.length, cut = bytes.len() as u64 - scan.length,
                "the journal's last frame was torn by a crash and is cut off; it was not released"
            );
            journal.file.set_len(scan.length).map_err(io("cut"))?;
            journal.file.sync_all().map_err(io("sync"))?;
        }
        if scan.length == 0 {
            journal.begin()?;
        }
        Ok((journal, scan.entries))
    }

    fn begin(&mut self) -> Result<(), JournalError> {
        self.write(&head())?;
        self.sync_folder()
    }

    /// A file's name is durable when its folder is.
    fn sync_folder(&self) -> Result<(), JournalError> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(|source| JournalError::Io {
            action: "sync the folder of",
            path: self.path.clone(),
            source,
        })
    }

    /// Lets go of the bindings up to `base`: the journal begins there. The new file takes the old one's place when it is whole and
    /// durable; a crash leaves one or the other. Nothing is done where the journal does not reach back that far, or not on
    /// to it.
    ///
    /// # Errors
    /// [`JournalError`]; the journal is as it was, unless the last step, making its new name durable, failed.
    pub fn trim(&mut self, base: &Base) -> Result<(), JournalError> {
        let broken = |what| JournalError::Broken { path: self.path.clone(), offset: 0, what };
        let io = |action| move |source| (action, source);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |(action, source)| JournalError::Io { action, path, source }
        };
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(io("read")).map_err(failed(&self.path))?;
        let entries =
            scan(&bytes).map_err(|_| broken("it was changed while it was open".to_owned()))?.entries;
        let Some(entries) = trimmed(entries, base) else { return Ok(()) };
        let mut bytes = head();
        bytes.extend(frame(&entries));
        let new = self.path.with_extension("new");
        // What a crash left there was never in use.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new);
        let mut file = file.map_err(io("make")).map_err(failed(&new))?;
        lock(&file, &new)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        written.map_err(io("write")).map_err(failed(&new))?;
        crash_point("before-trim").map_err(io("put into its place")).map_err(failed(&new))?;
        fs::rename(&new, &self.path).map_err(io("put into its place")).map_err(failed(&new))?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.sync_folder()
    }

    /// Appends entries as one frame; they are durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::Io`]; nothing that was appended may then be released.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        if entries.is_empty() { Ok(()) } else { self.write(&frame(entries)) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes))
            .and_then(|()| crash_point("before-journal-sync"))
            .and_then(|()| self.file.sync_data())
            .and_then(|()| crash_point("after-journal-sync"));
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Best effort: a torn frame that stays is cut off by the next open.
                let _ = self.file.set_len(self.length);
                Err(JournalError::Io { action: "append to", path: self.path.clone(), source })
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// A place where a test can let the process die, fail or wait; nothing in a build without the crate `fail`'s feature.
fn crash_point(name: &str) -> io::Result<()> {
    let _ = name;
    fail::fail_point!(name, |_| Err(io::Error::other(format!("the crash point {name}"))));
    Ok(())
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => {
            Err(JournalError::Io { action: "lock", path: path.to_owned(), source })
        }
    }
}

fn head() -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&VERSION.to_le_bytes());
    head
}

/// The entries of a journal that begins at `base`; `None` where this one does not hold the binding of that epoch.
fn trimmed(entries: Vec<Entry>, base: &Base) -> Option<Vec<Entry>> {
    let at = entries.iter().position(|entry| matches!(entry, Entry::Binding(b) if b.epoch == base.epoch))?;
    let parameters = entries.iter().find(|entry| matches!(entry, Entry::Parameters(_)))?.clone();
    // Partitions have the numbers in whose order they appeared, before the epoch or behind it.
    let mut base = base.clone();
    for entry in &entries {
        let names: Vec<&str> = match entry {
            Entry::Base(earlier) => earlier.partitions.iter().map(|p| p.name.as_str()).collect(),
            Entry::Partition(name) => vec![name],
            _ => continue,
        };
        for name in names {
            if base.partitions.iter().all(|p| p.name != name) {
                base.partitions.push(At::beginning(name));
            }
        }
    }
    let behind = entries.into_iter().skip(at + 1).filter(|entry| match entry {
        Entry::Shift(_) => base.shift.is_none(),
        Entry::Binding(_) => true,
        Entry::Parameters(_) | Entry::Base(_) | Entry::Partition(_) => false,
    });
    let behind: Vec<Entry> = behind.collect();
    Some([parameters, Entry::Base(base)].into_iter().chain(behind).collect())
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Foreign,
    Version(u32),
    Broken { offset: u64, what: String },
}

#[derive(Debug, PartialEq, Eq)]
struct Scan {
    entries: Vec<Entry>,
    /// Bytes that hold; 0 where not even the head is whole.
    length: u64,
}

/// The entries in a journal's bytes, a torn last frame left out: what [`Journal::open`] would read, for whoever has only the bytes.
///
/// # Errors
/// What is wrong with them, and where.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    scan(bytes).map(|scan| scan.entries).map_err(|fault| match fault {
        Fault::Foreign => "no journal".to_owned(),
        Fault::Version(found) => format!("format {found} is none of this release's"),
        Fault::Broken { offset, what } => format!("at byte {offset}: {what}"),
    })
}

/// Reads the bytes of a journal: the pure part of opening one.
fn scan(bytes: &[u8]) -> Result<Scan, Fault> {
    if bytes.len() < HEAD {
        let begun = MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())])
            && bytes.get(8..).is_none_or(|version| VERSION.to_le_bytes().starts_with(version));
        return if begun { Ok(Scan { entries: Vec::new(), length: 0 }) } else { Err(Fault::Foreign) };
    }
    if &bytes[..8] != MAGIC {
        return Err(Fault::Foreign);
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let mut entries = Vec::new();
    let mut at = HEAD;
    while at < bytes.len() {
        let broken = |what: String| Fault::Broken { offset: at as u64, what };
        let Some(payload) = payload_at(bytes, at) else {
            if (at + 1..bytes.len()).any(|later| payload_at(bytes, later).is_some()) {
                return Err(broken("a checksum does not match, and whole frames follow".to_owned()));
            }
            break;
        };
        let group = Group::decode(payload).map_err(|e| broken(e.to_string()))?;
        for wire in group.entries {
            entries.push(wire.read().map_err(broken)?);
        }
        at += FRAME_HEAD + payload.len();
    }
    Ok(Scan { entries, length: at as u64 })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

/// The payload of a whole frame at `at`.
fn payload_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let head = bytes.get(at..at + FRAME_HEAD)?;
    let length = u32_at(head, 0) as usize;
    let checksum = u64::from_le_bytes(head[4..].try_into().expect("eight bytes are eight bytes"));
    let payload = bytes.get(at + FRAME_HEAD..)?.get(..length)?;
    // A file that was lengthened but not filled holds zeros.
    (length > 0 && xxh3_64_with_seed(payload, length as u64) == checksum).then_some(payload)
}

fn frame(entries: &[Entry]) -> Vec<u8> {
    let payload = Group { entries: entries.iter().map(Wire::of).collect() }.encode_to_vec();
    let length = u32::try_from(payload.len()).expect("a group of bindings stays far below 4 GiB");
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&xxh3_64_with_seed(&payload, u64::from(length)).to_le_bytes());
    frame.extend_from_slice(&payload);
    frame
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Wire>,
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    /// JSON: read by people who wonder what changed, and rare.
    #[prost(string, tag = "1")]
    Parameters(String),
    #[prost(string, tag = "2")]
    Partition(String),
    #[prost(sint64, tag = "3")]
    Shift(i64),
    #[prost(message, tag = "4")]
    Binding(WireBinding),
    /// JSON, as the parameters are.
    #[prost(string, tag = "5")]
    Base(String),
}

#[derive(Clone, PartialEq, Message)]
struct WireBinding {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    now: u64,
    #[prost(uint64, tag = "3")]
    watermark: u64,
    #[prost(bool, tag = "4")]
    live: bool,
    #[prost(message, repeated, tag = "5")]
    moved: Vec<WireMoved>,
    #[prost(message, repeated, tag = "15")]
    remake: Vec<WireSlice>,
}

#[derive(Clone, PartialEq, Message)]
struct WireSlice {
    #[prost(uint64, tag = "1")]
    shard: u64,
    #[prost(uint32, tag = "2")]
    part: u32,
    #[prost(uint32, tag = "3")]
    parts: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireMoved {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(uint64, tag = "2")]
    next_offset: u64,
    #[prost(fixed64, tag = "3")]
    checksum: u64,
}

impl Wire {
    fn of(entry: &Entry) -> Self {
        let kind = match entry {
            Entry::Parameters(p) => {
                Kind::Parameters(serde_json::to_string(p).expect("numbers and names have a JSON form"))
            }
            Entry::Base(base) => {
                Kind::Base(serde_json::to_string(base).expect("numbers and names have a JSON form"))
            }
            Entry::Partition(name) => Kind::Partition(name.clone()),
            Entry::Shift(ms) => Kind::Shift(*ms),
            Entry::Binding(b) => {
                let moved = b.moved.iter().map(|m| WireMoved {
                    partition: m.partition,
                    next_offset: m.next_offset,
                    checksum: m.checksum,
                });
                Kind::Binding(WireBinding {
                    epoch: b.epoch.0,
                    now: b.now.0,
                    watermark: b.watermark.0,
                    live: b.live,
                    moved: moved.collect(),
                    remake: b
                        .remake
                        .iter()
                        .map(|s| WireSlice { shard: s.shard, part: s.part, parts: s.parts })
                        .collect(),
                })
            }
        };
        Self { kind: Some(kind) }
    }

    fn read(self) -> Result<Entry, String> {
        Ok(match self.kind.ok_or("an entry of a kind that this release does not know")? {
            Kind::Parameters(json) => {
                Entry::Parameters(serde_json::from_str(&json).map_err(|e| format!("parameters: {e}"))?)
            }
            Kind::Base(json) => Entry::Base(serde_json::from_str(&json).map_err(|e| format!("base: {e}"))?),
            Kind::Partition(name) => Entry::Partition(name),
            Kind::Shift(ms) => Entry::Shift(ms),
            Kind::Binding(b) => {
                let moved = b.moved.iter().map(|m| Moved {
                    partition: m.partition,
                    next_offset: m.next_offset,
                    checksum: m.checksum,
                });
                Entry::Binding(Bound {
                    epoch: Epoch(b.epoch),
                    now: Millis(b.now),
                    watermark: Millis(b.watermark),
                    live: b.live,
                    moved: moved.collect(),
                    remake: b
                        .remake
                        .iter()
                        .map(|s| Slice { shard: s.shard, part: s.part, parts: s.parts })
                        .collect(),
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every third epoch writes something again.
    fn remake(epoch: u64) -> Vec<Slice> {
        if epoch.is_multiple_of(3) { vec![Slice { shard: 63, part: 2, parts: 7 }] } else { Vec::new() }
    }

    fn bound(epoch: u64) -> Entry {
        let moved = vec![Moved { partition: 3, next_offset: epoch * 100, checksum: u64::MAX - epoch }];
        Entry::Binding(Bound {
            epoch: Epoch(epoch),
            now: Millis(7),
            watermark: Millis(5),
            live: true,
            moved,
            remake: remake(epoch),
        })
    }

    fn groups() -> Vec<Vec<Entry>> {
        let parameters = Parameters {
            replay_epoch_ms: 60_000,
            min_event_time: Millis(1),
            max_event_time: Millis(u64::MAX),
            max_future_skew_ms: 3,
            limits: Limits::default(),
        };
        vec![
            vec![Entry::Parameters(parameters), Entry::Partition("users/part-0.jsonl".to_owned())],
            vec![bound(1), bound(2), Entry::Shift(-5)],
            vec![bound(3)],
        ]
    }

    fn bytes_of(groups: &[Vec<Entry>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        groups.iter().for_each(|g| bytes.extend(frame(g)));
        bytes
    }

    #[test]
    fn what_is_appended_is_read_again_and_others_are_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/journal");
        let (mut journal, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries, vec![]);
        groups().iter().for_each(|group| journal.append(group).unwrap());
        assert!(matches!(Journal::open(&path), Err(JournalError::Locked(_))));
        drop(journal);
        assert_eq!(fs::read(&path).unwrap(), bytes_of(&groups()));
        assert_eq!(Journal::open(&path).unwrap().1, groups().concat());
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_the_crash_fell() {
        let whole = bytes_of(&groups());
        let kept = bytes_of(&groups()[..2]).len();
        for cut in kept..whole.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            // The file may already have its new length and hold zeros.
            for zeros in [0, whole.len() - cut] {
                let mut torn = whole[..cut].to_vec();
                torn.resize(cut + zeros, 0);
                if torn == whole {
                    continue; // the last byte was a zero anyway
                }
                fs::write(&path, &torn).unwrap();
                let (mut journal, entries) = Journal::open(&path).unwrap();
                assert_eq!(entries, groups()[..2].concat(), "cut at {cut}");
                assert_eq!(fs::metadata(&path).unwrap().len(), kept as u64);
                journal.append(&groups()[2]).unwrap();
                assert_eq!(fs::read(&path).unwrap(), whole);
            }
        }
        for cut in 0..HEAD {
            assert_eq!(scan(&whole[..cut]), Ok(Scan { entries: vec![], length: 0 }));
        }
    }

    fn base(epoch: u64, partitions: &[(&str, u64)]) -> Base {
        let at = |(name, next_offset): &(&str, u64)| At {
            next_offset: *next_offset,
            greatest: Some(Millis(9)),
            ..At::beginning(name)
        };
        Base {
            epoch: Epoch(epoch),
            now: Millis(7),
            watermark: Millis(5),
            shift: None,
            partitions: partitions.iter().map(at).collect(),
        }
    }

    #[test]
    fn a_trimmed_journal_begins_at_its_base_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        groups().iter().for_each(|group| journal.append(group).unwrap());
        journal.append(&[Entry::Partition("users/part-1.jsonl".to_owned()), bound(4)]).unwrap();
        let before = journal.length();
        // An epoch that it does not hold: nothing to let go of.
        journal.trim(&base(9, &[])).unwrap();
        assert_eq!(journal.length(), before);

        journal.trim(&base(1, &[("users/part-0.jsonl", 100)])).unwrap();
        journal.append(&[bound(5)]).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Locked(_))), "the new file is locked, too");
        drop(journal);
        let (mut journal, entries) = Journal::open(&path).unwrap();
        let mut whole = base(1, &[("users/part-0.jsonl", 100)]);
        whole.partitions.push(At::beginning("users/part-1.jsonl"));
        let expected = vec![
            groups()[0][0].clone(),
            Entry::Base(whole),
            bound(2),
            Entry::Shift(-5),
            bound(3),
            bound(4),
            bound(5),
        ];
        assert_eq!(entries, expected);

        let mut live = base(4, &[("users/part-0.jsonl", 400), ("users/part-1.jsonl", 0)]);
        live.shift = Some(-5);
        journal.trim(&live).unwrap();
        drop(journal);
        let entries = Journal::open(&path).unwrap().1;
        assert_eq!(entries, vec![groups()[0][0].clone(), Entry::Base(live), bound(5)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn damage_before_the_last_frame_is_an_error() {
        let whole = bytes_of(&groups());
        let last = bytes_of(&groups()[..2]).len();
        for at in HEAD..last {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            assert!(matches!(scan(&bytes), Err(Fault::Broken { .. })), "byte {at}");
        }
        let mut bytes = whole.clone();
        bytes[8] = 9;
        assert_eq!(scan(&bytes), Err(Fault::Version(9)));
        assert_eq!(scan(b"{\"not\": \"a journal\"}"), Err(Fault::Foreign));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes_of(&groups()[..1]);
            bytes.extend(tail);
            let _ = scan(&bytes);
            let _ = scan(&bytes[HEAD..]);
        }
    }
}
