//! The archive, epoch by epoch, as the graph was handed it.
//!
//! Files are opened when the first of their epochs comes and let go of after the last, so what is in memory is what overlaps. A running
//! service may put other files in their place meanwhile: then the reading ends with [`ReadError::Changed`], and whoever reads begins
//! again with the new manifest.

use std::collections::VecDeque;
use std::sync::Arc;

use freshet_schema::event::Origin;
use freshet_schema::{Epoch, Event, Millis};
use serde::Deserialize;

use crate::columns::Table;
use crate::error::ArchiveError;
use crate::folder::Folder;
use crate::manifest::{FileEntry, Manifest};
use crate::rows::{self, Batches};

/// Why a reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file was replaced meanwhile: read again.
    #[error("the archive was compacted while it was read")]
    Changed,
    /// Anything else.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// An epoch with its records.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// Whether the clock was the (shifted) wall clock.
    pub live: bool,
    /// What was published in it: the version, and the skip thresholds by duration class in per mille.
    pub publication: Option<(u64, Vec<u64>)>,
    /// Its records, by stream in the order of [`Table::ALL`] and then by (partition, offset).
    pub records: Vec<(Origin, Event)>,
}

#[derive(Deserialize)]
struct EpochRow {
    epoch: Epoch,
    now: Millis,
    live: bool,
    publication: Option<u64>,
    skip_below: Option<Vec<u64>>,
}

/// See the module.
pub struct Reader {
    folder: Arc<Folder>,
    until: Epoch,
    epochs: Lane<EpochRow>,
    streams: Vec<Lane<(Epoch, Origin, Event)>>,
    last: Epoch,
}

impl Reader {
    /// Begins with the first epoch, up to `until` or to all that is there.
    #[must_use]
    pub fn new(folder: Arc<Folder>, manifest: &Manifest, until: Option<Epoch>) -> Self {
        let until = until.unwrap_or(Epoch(u64::MAX)).min(manifest.through.epoch);
        let streams = Table::ALL.into_iter().filter(|table| *table != Table::Epochs);
        Self {
            folder,
            until,
            epochs: Lane::new(Table::Epochs, manifest),
            streams: streams.map(|table| Lane::new(table, manifest)).collect(),
            last: manifest.begins_behind,
        }
    }

    /// The next epoch; none where all were read.
    ///
    /// # Errors
    /// [`ReadError`].
    #[allow(clippy::should_implement_trait, reason = "a reading can fail, and is then over")]
    pub fn next(&mut self) -> Result<Option<ReadEpoch>, ReadError> {
        let wanted = self.last.next();
        if wanted > self.until {
            return Ok(None);
        }
        let row = self.epochs.take(&self.folder, wanted)?.pop();
        let Some(row) = row else {
            let what = format!("no file has epoch {wanted}, which the archive should hold");
            return Err(ArchiveError::Damaged { path: self.folder.dir().join("epochs"), what }.into());
        };
        let mut records = Vec::new();
        for lane in &mut self.streams {
            let mut own = lane.take(&self.folder, wanted)?;
            own.sort_unstable_by_key(|(_, origin, _)| *origin);
            records.extend(own.into_iter().map(|(_, origin, event)| (origin, event)));
        }
        self.last = wanted;
        Ok(Some(ReadEpoch {
            epoch: row.epoch,
            now: row.now,
            live: row.live,
            publication: row.publication.map(|version| (version, row.skip_below.unwrap_or_default())),
            records,
        }))
    }
}

/// The files of a table.
struct Lane<R> {
    table: Table,
    /// Not yet open, by first epoch.
    files: VecDeque<FileEntry>,
    open: Vec<Open<R>>,
}

struct Open<R> {
    entry: FileEntry,
    batches: Batches,
    rows: VecDeque<R>,
}

/// A row of a table.
trait Row: Sized {
    fn epoch(&self) -> Epoch;
    fn rows(table: Table, batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, String>;
}

impl Row for EpochRow {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn rows(_table: Table, batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, String> {
        let text = rows::lines(batch)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|e| e.to_string())).collect()
    }
}

impl Row for (Epoch, Origin, Event) {
    fn epoch(&self) -> Epoch {
        self.0
    }

    fn rows(table: Table, batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, String> {
        match table {
            Table::Stream(kind) => rows::records(kind, batch),
            Table::Epochs => Ok(Vec::new()),
        }
    }
}

impl<R: Row> Lane<R> {
    fn new(table: Table, manifest: &Manifest) -> Self {
        let mut files: Vec<FileEntry> =
            manifest.files.iter().filter(|file| file.table == table).cloned().collect();
        files.sort_by_key(|file| (file.first_epoch, file.last_epoch));
        Self { table, files: files.into(), open: Vec::new() }
    }

    /// All rows of an epoch; each is greater than the one before.
    fn take(&mut self, folder: &Folder, epoch: Epoch) -> Result<Vec<R>, ReadError> {
        while let Some(entry) = self.files.pop_front_if(|file| file.first_epoch <= epoch) {
            let bytes = folder.read(&entry)?.ok_or(ReadError::Changed)?;
            let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&entry.path), what };
            let batches = Batches::open(self.table, bytes).map_err(damaged)?;
            self.open.push(Open { entry, batches, rows: VecDeque::new() });
        }
        let mut taken = Vec::new();
        for open in &mut self.open {
            loop {
                while open.rows.front().is_some_and(|row| row.epoch() <= epoch) {
                    // Those of epochs before are none of anybody's: the reader passes no epoch by.
                    taken.extend(open.rows.pop_front());
                }
                if !open.rows.is_empty() {
                    break;
                }
                let damaged =
                    |what| ArchiveError::Damaged { path: folder.dir().join(&open.entry.path), what };
                match open.batches.next() {
                    None => break,
                    Some(batch) => {
                        let batch = batch.map_err(damaged)?;
                        open.rows.extend(R::rows(self.table, &batch).map_err(damaged)?);
                    }
                }
            }
        }
        self.open.retain(|open| open.entry.last_epoch > epoch);
        Ok(taken)
    }
}
