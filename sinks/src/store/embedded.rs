//! The embedded store, on fjall.
//!
//! Of the two engines measured for this (100,000 values of 2 KB, a sync every 1,000), fjall wrote 134,000 to 190,000
//! values a second and read 168,000 to 215,000; redb wrote 26,000 to 58,000 and read about a million. Freshet rewrites
//! lists of some 5 KB all the time, and a feed server asks for a few thousand a second at most: writing is what runs out
//! first, so the log-structured engine it is. The price is space: old versions stay on disk until compaction.
//!
//! Memory is bounded on purpose, because the dataflow beside it needs the room: one block cache, one write buffer a
//! keyspace, one compaction thread.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};

use super::{
    Claim, Commit, FeedStore, Pinned, StoreError, crash_point, debug_check_order, next_generation, parse_key,
};
use crate::Bytes;

/// Keys and values of `docs/store.md`.
const RECORDS: &str = "records";
/// The marker and the layout: apart, so that no scan meets them.
const META: &str = "meta";
const EPOCH: &str = "epoch";
const GENERATION: &str = "generation";
const LAYOUT: &str = "layout";
/// Raised when keyspaces or the marker change their form.
const CURRENT_LAYOUT: &str = "freshet-store-1";

/// Memory and disk that the store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Block cache in bytes.
    pub cache_bytes: u64,
    /// Write buffer in bytes; up to about twice as much is held while one is flushed.
    pub write_buffer_bytes: u64,
    /// Write-ahead journal on disk in bytes, at least 64 MiB (smaller values are raised to that).
    pub journal_bytes: u64,
}

/// The engine's own lower bound of the journal.
const MIN_JOURNAL_BYTES: u64 = 64 << 20;

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, write_buffer_bytes: 32 << 20, journal_bytes: 256 << 20 }
    }
}

/// A store in a folder of this machine. One process at a time holds it.
pub struct Embedded {
    path: PathBuf,
    database: Database,
    records: Keyspace,
    meta: Keyspace,
    /// The marker; the lock makes "compare the marker, then write" one step.
    marker: Mutex<Option<Epoch>>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// Where another process holds it, it has an unknown layout, or the folder cannot be read and written.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let open_error = |source| match source {
            fjall::Error::Locked => StoreError::Locked { path: path.to_owned() },
            source => StoreError::Open { path: path.to_owned(), source },
        };
        let database = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes.max(MIN_JOURNAL_BYTES))
            .worker_threads(1)
            .open()
            .map_err(open_error)?;
        let buffer = options.write_buffer_bytes;
        let keyspace = |name, buffer| {
            database
                .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(buffer))
                .map_err(open_error)
        };
        let records = keyspace(RECORDS, buffer)?;
        // Two small keys, rewritten each epoch.
        let meta = keyspace(META, 1 << 20)?;
        match meta.get(LAYOUT).map_err(open_error)? {
            Some(found) if *found != *CURRENT_LAYOUT.as_bytes() => {
                return Err(StoreError::Layout {
                    path: path.to_owned(),
                    found: String::from_utf8_lossy(&found).into_owned(),
                    expected: CURRENT_LAYOUT,
                });
            }
            Some(_) => {}
            None => meta.insert(LAYOUT, CURRENT_LAYOUT).map_err(open_error)?,
        }
        let marker = match meta.get(EPOCH).map_err(open_error)? {
            None => None,
            Some(bytes) => {
                let bytes = <[u8; 8]>::try_from(&*bytes)
                    .map_err(|_| StoreError::Marker { path: path.to_owned(), length: bytes.len() })?;
                Some(Epoch(u64::from_be_bytes(bytes)))
            }
        };
        Ok(Self { path: path.to_owned(), database, records, meta, marker: Mutex::new(marker) })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on disk, journal included.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.database.disk_space().map_err(self.failed("measure"))
    }

    fn failed(&self, action: &'static str) -> impl Fn(fjall::Error) -> StoreError + '_ {
        move |source| StoreError::Engine { path: self.path.clone(), action, source }
    }
}

impl FeedStore for Embedded {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        // Through a snapshot: a plain read would see a batch while it is being applied, so half an epoch.
        let value = self.database.snapshot().get(&self.records, key.to_string());
        Ok(value.map_err(self.failed("read"))?.map(Bytes::from))
    }

    /// The lock on the folder keeps older runs out. The number is kept beside it so that a run which was restored from an
    /// older checkpoint folder is refused.
    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        let held = match self.meta.get(GENERATION).map_err(self.failed("read"))? {
            None => None,
            Some(bytes) => {
                let bytes = <[u8; 8]>::try_from(&*bytes).map_err(|_| StoreError::BrokenGeneration {
                    path: self.path.clone(),
                    length: bytes.len(),
                })?;
                Some(Generation(u64::from_be_bytes(bytes)))
            }
        };
        let generation = next_generation(held, claim, &self.path.display())?;
        self.meta.insert(GENERATION, generation.0.to_be_bytes()).map_err(self.failed("write"))?;
        Ok(generation)
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        debug_check_order(commit);
        // The marker is set last and only after success: after a panic in between it is still the old, true one.
        let mut marker = self.marker.lock().unwrap_or_else(PoisonError::into_inner);
        if marker.is_some_and(|marker| commit.epoch <= marker) {
            return Ok(false);
        }
        let mut batch = self.database.batch();
        for (key, value) in &commit.changes {
            match value {
                Some(bytes) => batch.insert(&self.records, key.to_string(), bytes.as_slice()),
                None => batch.remove(&self.records, key.to_string()),
            }
        }
        crash_point("store-in-batch", &self.path.display())?;
        batch.insert(&self.meta, EPOCH, commit.epoch.0.to_be_bytes());
        batch.commit().map_err(self.failed("write"))?;
        *marker = Some(commit.epoch);
        Ok(true)
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(*self.marker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(self.failed("sync"))
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let start = from.map_or(prefix, |from| from.max(prefix)).as_bytes();
        let found = self.records.range::<&[u8], _>((Bound::Included(start), Bound::Unbounded));
        entries(found, prefix, limit, self.failed("scan"))
    }

    fn pin(&self) -> Result<Option<Box<dyn Pinned>>, StoreError> {
        let (path, records) = (self.path.clone(), self.records.clone());
        Ok(Some(Box::new(EmbeddedPinned { path, records, snapshot: self.database.snapshot() })))
    }
}

/// Entries of a range that begins in `prefix`, as far as the prefix goes.
fn entries(
    range: impl Iterator<Item = fjall::Guard>,
    prefix: &str,
    limit: usize,
    failed: impl Fn(fjall::Error) -> StoreError,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let mut entries = Vec::new();
    for guard in range.take(limit) {
        let (key, value) = guard.into_inner().map_err(&failed)?;
        if !key.starts_with(prefix.as_bytes()) {
            break;
        }
        entries.push((parse_key(&key)?, Bytes::from(value)));
    }
    Ok(entries)
}

/// A snapshot of the engine's: old versions of values are kept for as long as it lives.
struct EmbeddedPinned {
    path: PathBuf,
    records: Keyspace,
    snapshot: fjall::Snapshot,
}

impl EmbeddedPinned {
    fn failed(&self, action: &'static str) -> impl Fn(fjall::Error) -> StoreError + '_ {
        move |source| StoreError::Engine { path: self.path.clone(), action, source }
    }
}

impl Pinned for EmbeddedPinned {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.records, key.to_string());
        Ok(value.map_err(self.failed("read"))?.map(Bytes::from))
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let start = from.map_or(prefix, |from| from.max(prefix)).as_bytes();
        let found =
            self.snapshot.range::<&[u8], _>(&self.records, (Bound::Included(start), Bound::Unbounded));
        entries(found, prefix, limit, self.failed("scan"))
    }
}
