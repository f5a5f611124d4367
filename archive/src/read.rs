//! The archive, epoch by epoch, as the graph was handed it.
//!
//! Files are opened when the first of their epochs comes and let go of after the last, so what is in memory is what overlaps. A running
//! service may put other files in their place meanwhile, with the same rows: then the reading goes on in those that the new manifest names.
//! Only where rows were taken out meanwhile it ends with [`ReadError::Changed`], as what was read was another past; whoever reads begins
//! again.

use std::collections::VecDeque;
use std::sync::Arc;

use freshet_schema::event::Origin;
use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Event, Millis};
use serde::Deserialize;

use crate::columns::Table;
use crate::compact::missing;
use crate::error::ArchiveError;
use crate::folder::Folder;
use crate::manifest::{FileEntry, Forgotten, Manifest};
use crate::rows::{self, Batches};

/// Why a reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Rows were taken out meanwhile: read again.
    #[error("rows were taken out of the archive while it was read")]
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
    /// What of the store was written again in it: lists that were made anew, as of its clock.
    pub remake: Vec<Slice>,
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
    remake: Option<Vec<Slice>>,
}

/// See the module.
pub struct Reader {
    folder: Arc<Folder>,
    /// What had been taken out when it began: by deletes, and how often behind an epoch.
    forgotten: Vec<Forgotten>,
    cuts: u64,
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
        let (last, forgotten) = (manifest.begins_behind, manifest.forgotten.clone());
        let (epochs, streams) = lanes(manifest, last.next());
        Self { folder, forgotten, cuts: manifest.cuts, until, epochs, streams, last }
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
        loop {
            match self.take(wanted)? {
                Taken::Whole(epoch) => {
                    self.last = wanted;
                    return Ok(Some(epoch));
                }
                Taken::Gone(file) => self.again(wanted, &file)?,
            }
        }
    }

    fn take(&mut self, wanted: Epoch) -> Result<Taken, ReadError> {
        let mut row = match self.epochs.take(&self.folder, wanted)? {
            Ok(rows) => rows,
            Err(gone) => return Ok(Taken::Gone(gone)),
        };
        let Some(row) = row.pop() else {
            let what = format!("no file has epoch {wanted}, which the archive should hold");
            return Err(ArchiveError::Damaged { path: self.folder.dir().join("epochs"), what }.into());
        };
        let mut records = Vec::new();
        for lane in &mut self.streams {
            let mut own = match lane.take(&self.folder, wanted)? {
                Ok(rows) => rows,
                Err(gone) => return Ok(Taken::Gone(gone)),
            };
            own.sort_unstable_by_key(|(_, origin, _)| *origin);
            records.extend(own.into_iter().map(|(_, origin, event)| (origin, event)));
        }
        Ok(Taken::Whole(ReadEpoch {
            epoch: row.epoch,
            now: row.now,
            live: row.live,
            publication: row.publication.map(|version| (version, row.skip_below.unwrap_or_default())),
            remake: row.remake.unwrap_or_default(),
            records,
        }))
    }

    /// Goes on with the manifest that holds now, from an epoch on. A file is removed only when no manifest names it any more.
    fn again(&mut self, wanted: Epoch, gone: &FileEntry) -> Result<(), ReadError> {
        let manifest = self.folder.existing()?;
        if manifest.files.iter().any(|file| file.path == gone.path) {
            return Err(missing(&self.folder, gone).into());
        }
        if manifest.forgotten != self.forgotten || manifest.cuts != self.cuts {
            return Err(ReadError::Changed);
        }
        (self.epochs, self.streams) = lanes(&manifest, wanted);
        Ok(())
    }
}

/// What came of an attempt to read an epoch.
enum Taken {
    Whole(ReadEpoch),
    /// This file was removed.
    Gone(FileEntry),
}

type Streams = Vec<Lane<(Epoch, Origin, Event)>>;

/// The files that hold what comes from an epoch on.
fn lanes(manifest: &Manifest, from: Epoch) -> (Lane<EpochRow>, Streams) {
    let streams = Table::ALL.into_iter().filter(|table| *table != Table::Epochs);
    let streams = streams.map(|table| Lane::new(table, manifest, from)).collect();
    (Lane::new(Table::Epochs, manifest, from), streams)
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
    fn new(table: Table, manifest: &Manifest, from: Epoch) -> Self {
        let own = manifest.files.iter().filter(|file| file.table == table && file.last_epoch >= from);
        let mut files: Vec<FileEntry> = own.cloned().collect();
        files.sort_by_key(|file| (file.first_epoch, file.last_epoch));
        Self { table, files: files.into(), open: Vec::new() }
    }

    /// All rows of an epoch; each is greater than the one before. Or the file that should have some and is gone.
    fn take(&mut self, folder: &Folder, epoch: Epoch) -> Result<Result<Vec<R>, FileEntry>, ReadError> {
        while let Some(entry) = self.files.pop_front_if(|file| file.first_epoch <= epoch) {
            let Some(bytes) = folder.read(&entry)? else { return Ok(Err(entry)) };
            let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&entry.path), what };
            let batches = Batches::open(self.table, bytes).map_err(damaged)?;
            self.open.push(Open { entry, batches, rows: VecDeque::new() });
        }
        let mut taken = Vec::new();
        for open in &mut self.open {
            loop {
                while let Some(row) = open.rows.pop_front_if(|row| row.epoch() <= epoch) {
                    // Those of epochs before were read already, where it was begun again.
                    if row.epoch() == epoch {
                        taken.push(row);
                    }
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
        Ok(Ok(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::record_batch::RecordBatch;
    use bytes::Bytes;
    use freshet_sources::epochs::Binding;
    use parquet::arrow::ArrowWriter;

    use crate::encode;

    fn rows(batch: &RecordBatch) -> Vec<EpochRow> {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
        writer.write(batch).expect("written");
        let bytes = Bytes::from(writer.into_inner().expect("a file"));
        let batches = Batches::open(Table::Epochs, bytes).expect("a file");
        batches
            .flat_map(|batch| EpochRow::rows(Table::Epochs, &batch.expect("rows")).expect("epochs"))
            .collect()
    }

    #[test]
    fn an_epoch_says_what_was_written_again_in_it_where_its_file_has_the_column() {
        let slice = Slice { shard: 63, part: 2, parts: 7 };
        let binding = |epoch: u64, remake: &[Slice]| Binding {
            epoch: Epoch(epoch),
            now: Millis(5),
            watermark: Millis(4),
            live: true,
            positions: Vec::new(),
            remake: remake.to_vec(),
        };
        let mut lines = Vec::new();
        encode::epoch_line(&binding(1, &[slice]), Some(&(3, vec![100])), &mut lines);
        encode::epoch_line(&binding(2, &[]), None, &mut lines);
        let batch = encode::batches(Table::Epochs, &lines).expect("rows").remove(0);
        let remade: Vec<_> = rows(&batch).into_iter().map(|row| row.remake).collect();
        assert_eq!(remade, [Some(vec![slice]), None]);
        // As a release wrote it that did not keep them.
        let kept: Vec<usize> =
            (0..batch.num_columns()).filter(|n| batch.schema().field(*n).name() != "remake").collect();
        let older = rows(&batch.project(&kept).expect("columns"));
        assert_eq!(older.len(), 2);
        assert!(older.iter().all(|row| row.remake.is_none() && row.now == Millis(5)));
        assert_eq!(older[0].publication, Some(3));
    }
}
