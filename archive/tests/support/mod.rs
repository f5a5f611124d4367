//! Epochs to archive, runs over them, and a disk that does it worse.

pub mod bucket;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshet_archive::{
    ArchiveError, Closed, Disk, Folder, LocalDisk, OnDisk, Options, ReadEpoch, Reader, Resumed, Writer,
};
use freshet_schema::event::{FollowAction, Origin, ServedItem, Target};
use freshet_schema::hash::Slice;
use freshet_schema::{
    CreatorId, Delete, Epoch, Event, EventId, Follow, Interaction, Millis, Served, Upload, User, UserId,
    VideoId,
};
use freshet_sources::epochs::{Binding, Position};

/// Files so small, put together as they come.
pub fn options(roll_bytes: u64) -> Options {
    Options { roll_bytes, roll_every: Duration::from_secs(600), target_bytes: 1 << 20, compact: true }
}

/// All that is in an archive, in order.
pub fn read(folder: Folder) -> Vec<ReadEpoch> {
    let manifest = folder.existing().expect("a manifest");
    let mut reader = Reader::new(Arc::new(folder), &manifest, None);
    let mut epochs = Vec::new();
    while let Some(epoch) = reader.next().expect("readable") {
        epochs.push(epoch);
    }
    epochs
}

/// What was handed over, as it must be read.
pub fn expected(all: &[Closed]) -> Vec<ReadEpoch> {
    all.iter()
        .map(|closed| {
            let mut records = (*closed.records).as_ref().to_vec();
            records.sort_by_key(|(origin, event)| (event.kind(), *origin));
            ReadEpoch {
                epoch: closed.binding.epoch,
                now: closed.binding.now,
                live: closed.binding.live,
                publication: closed.publication.clone(),
                remake: closed.binding.remake.clone(),
                records,
            }
        })
        .collect()
}

/// Runs over these epochs to the end.
pub fn run(folder: Folder, resumed: Resumed, roll: u64, all: &[Closed]) -> Result<(), ArchiveError> {
    let stop = Arc::new(AtomicBool::new(true));
    let writer = Writer::start(folder, options(roll), resumed, Arc::clone(&stop))?;
    for closed in all.iter().filter(|closed| closed.binding.epoch > resumed.epoch) {
        if !writer.append(closed.clone(), &stop)? {
            break;
        }
    }
    writer.finish()
}

/// The archive on a disk, without a lock.
pub fn on(disk: &Arc<BadDisk>) -> Folder {
    Folder::over(Arc::new(OnDisk::new(Arc::clone(disk) as Arc<dyn Disk>)))
}

const HOUR: u64 = 3_600_000;
const START: u64 = 1_709_200_000_000;

/// Epochs `from` to `to`, of two hours each.
pub fn epochs(from: u64, to: u64) -> Vec<Closed> {
    (from..=to).map(|epoch| closed(epoch, epoch % 5)).collect()
}

/// An epoch with so many records, and some more.
pub fn closed(epoch: u64, records: u64) -> Closed {
    let now = START + epoch * 2 * HOUR;
    let place = |n: u64| Origin { partition: (n % 3) as u32, offset: epoch * 1_000 + n };
    let mut all = Vec::new();
    for n in 0..records {
        let id = EventId(epoch * 100 + n);
        // Some come late, from the day before.
        let event_time = Millis(now - n * 17 * HOUR);
        let (user_id, video_id) = (UserId(epoch % 7), VideoId((epoch * 3 + n) % 9));
        all.push(Event::Interaction(Interaction {
            event_id: id,
            event_time,
            user_id,
            video_id,
            watch_ms: (n % 2 == 0).then_some(u64::MAX - n),
            like: n == 1,
            device: Some("phone \"x\"\n".to_owned()),
            ..Interaction::default()
        }));
        if n == 2 {
            all.push(Event::Upload(Upload {
                event_id: id,
                event_time,
                video_id,
                creator_id: CreatorId(8),
                caption: "ünï \\ code".to_owned(),
                hashtags: vec!["a".to_owned(), String::new()],
                content_embedding: Some(vec![0.1, -1.5e-20, f32::MAX, 1.0 / 3.0]),
                ..Upload::default()
            }));
            all.push(Event::User(User {
                event_id: id,
                event_time,
                user_id,
                preferences: vec!["p".to_owned()],
                ..User::default()
            }));
        }
        if n == 3 {
            let (creator_id, action) = (CreatorId(4), FollowAction::Unfollow);
            all.push(Event::Follow(Follow {
                event_id: id,
                revision: 2,
                event_time,
                user_id,
                creator_id,
                action,
            }));
            let target = Target::Interaction { user_id, target_event_id: EventId(77) };
            all.push(Event::Delete(Delete { event_id: id, revision: 0, event_time, target }));
            let item = |video: u64| ServedItem {
                video_id: VideoId(video),
                position: 3,
                propensity: 0.1,
                slot_policy: "rank".to_owned(),
                drawn: u32::from(video == 4),
            };
            all.push(Event::Served(Served {
                event_id: id,
                event_time,
                request_id: 5,
                user_id,
                list_epoch: Epoch(3),
                items: vec![item(epoch % 9), item(4)],
                ..Served::default()
            }));
        }
    }
    let mut numbered: Vec<(Origin, Event)> = (0..).zip(all).map(|(n, event)| (place(n), event)).collect();
    numbered.sort_by_key(|(origin, _)| *origin);
    let records: Arc<Shared> = Arc::new(Shared(numbered));
    Closed {
        binding: Binding {
            epoch: Epoch(epoch),
            now: Millis(now),
            watermark: Millis(now - 1),
            live: epoch > 20,
            positions: vec![Position {
                partition: (epoch % 3) as u32,
                name: format!("interactions/part-{}.jsonl", epoch % 3).into(),
                next_offset: epoch * 1_000,
                checksum: u64::MAX - epoch,
                greatest: None,
            }],
            remake: (1..epoch % 6).map(|part| Slice { shard: epoch, part: part as u32, parts: 6 }).collect(),
        },
        publication: epoch.is_multiple_of(4).then(|| (epoch / 4, vec![100, 110, 120, epoch])),
        records,
        bytes: 200 * records_len(epoch, 5),
    }
}

fn records_len(epoch: u64, least: u64) -> u64 {
    epoch % 5 + least
}

struct Shared(Vec<(Origin, Event)>);

impl AsRef<[(Origin, Event)]> for Shared {
    fn as_ref(&self) -> &[(Origin, Event)] {
        &self.0
    }
}

/// A folder of this machine that can run full, fail from some operation on, and lose what was not synced.
pub struct BadDisk {
    inner: LocalDisk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    room: Option<u64>,
    /// Operations that still work.
    left: Option<u64>,
    /// Written, and not synced.
    unsynced: BTreeSet<PathBuf>,
}

impl BadDisk {
    pub fn new(root: &Path) -> Self {
        Self { inner: LocalDisk::new(root), state: Mutex::default() }
    }

    /// So many bytes can be written; with none, as many as one likes.
    pub fn room(&self, bytes: Option<u64>) {
        self.state.lock().unwrap().room = bytes;
    }

    /// After so many changes nothing works any more, reading neither.
    pub fn fail_after(&self, operations: u64) {
        self.state.lock().unwrap().left = Some(operations);
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.state.lock().unwrap().left = None;
    }

    /// The files whose content was never synced are torn.
    pub fn power_cut(&self) {
        for path in std::mem::take(&mut self.state.lock().unwrap().unsynced) {
            if let Ok(bytes) = std::fs::read(&path) {
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
    }

    fn change(&self) -> io::Result<()> {
        match &mut self.state.lock().unwrap().left {
            Some(0) => Err(io::Error::other("the disk is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for BadDisk {
    fn root(&self) -> &Path {
        self.inner.root()
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change()?;
        let mut state = self.state.lock().unwrap();
        state.unsynced.insert(self.root().join(name));
        if let Some(room) = &mut state.room {
            if (bytes.len() as u64) > *room {
                // As a full disk does it: a part is written.
                let part = *room as usize;
                *room = 0;
                self.inner.append(name, &bytes[..part])?;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            *room -= bytes.len() as u64;
        }
        self.inner.append(name, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.change()?;
        // The real disk's syncs would be most of a test's time.
        self.state.lock().unwrap().unsynced.remove(&self.root().join(name));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?;
        let mut state = self.state.lock().unwrap();
        if state.unsynced.remove(&self.root().join(from)) {
            state.unsynced.insert(self.root().join(to));
        }
        self.inner.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?;
        self.inner.link(from, to)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let _ = folder;
        self.change()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        if self.state.lock().unwrap().left == Some(0) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.inner.read(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?;
        self.inner.remove(name)
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.change()?;
        self.inner.remove_folder(folder)
    }
}
