//! Takes out what lies behind an epoch.
//!
//! An archive can outlive the journal that bound its last epochs: the machine is lost, and what is left are a checkpoint and an archive
//! in a bucket that reaches further. A run that goes on from the checkpoint binds those epochs anew and otherwise, so the archive can be
//! gone on with only when it has none of them. Cut back to the checkpoint's epoch it is as if it had never come further: what stays
//! keeps epoch, partition and offset, and the last epoch that stays is known again as it was.
//!
//! All of it is one commit. Files of later rows are no longer named; a file that has both is written again without the later rows, and
//! waits in memory for the commit: there is one for each table and day that the epoch fell into, most often, and none is larger than
//! what compaction makes. What was forgotten stays forgotten.

use std::collections::BTreeMap;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use freshet_schema::{Epoch, Millis};
use freshet_sources::epochs::{Binding, Position};
use serde::Deserialize;

use crate::columns::Table;
use crate::compact::open;
use crate::encode::{self, text};
use crate::error::ArchiveError;
use crate::folder::{Folder, NewFile};
use crate::manifest::{FileEntry, Manifest, Mark};
use crate::rows::{self, numbers};

/// What is to be taken out, and the files that take the place of others.
pub struct Cut {
    /// The last epoch that stays. Of one that is itself not in the archive (it begins behind it) nothing but the number is known.
    pub to: Mark,
    /// Rows that go, by table; a table that loses none is not in it.
    pub rows: BTreeMap<Table, u64>,
    next: Manifest,
    files: Vec<NewFile>,
    replaced: Vec<String>,
}

impl Cut {
    /// Plans to take out the rows of all epochs behind `to`; nothing is changed yet. None where the archive has none.
    ///
    /// # Errors
    /// [`ArchiveError::BeginsBehind`]; of the disk or the server; a file that is not what was written.
    pub fn plan(folder: &Folder, manifest: &Manifest, to: Epoch) -> Result<Option<Self>, ArchiveError> {
        if to >= manifest.through.epoch {
            return Ok(None);
        }
        if to < manifest.begins_behind {
            let (dir, begins_behind) = (folder.dir().to_owned(), manifest.begins_behind);
            return Err(ArchiveError::BeginsBehind { dir, begins_behind, to });
        }
        let to = mark(folder, manifest, to)?;
        let mut next = manifest.clone();
        next.through = to.clone();
        next.cuts += 1;
        let mut cut = Self { to, rows: BTreeMap::new(), next, files: Vec::new(), replaced: Vec::new() };
        for file in manifest.files.iter().filter(|file| file.last_epoch > cut.to.epoch) {
            let left = cut.left(folder, file)?;
            *cut.rows.entry(file.table).or_default() += file.rows - left.as_ref().map_or(0, |left| left.rows);
            cut.files.extend(left);
            cut.replaced.push(file.path.clone());
        }
        Ok(Some(cut))
    }

    /// Does it, and gives the manifest that holds then.
    ///
    /// # Errors
    /// As [`Folder::commit`]: it was done as a whole, or not at all.
    pub fn commit(self, folder: &Folder) -> Result<Manifest, ArchiveError> {
        folder.commit(self.next, &self.files, &self.replaced)
    }

    /// What stays of a file that has later rows.
    fn left(&self, folder: &Folder, file: &FileEntry) -> Result<Option<NewFile>, ArchiveError> {
        let to = self.to.epoch;
        if file.first_epoch > to {
            return Ok(None);
        }
        let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&file.path), what };
        let mut last_epoch = file.first_epoch;
        let batches = open(folder, file)?.map(|batch| {
            let batch = batch?;
            let epochs = numbers(&batch, "epoch")?;
            let stays: BooleanArray = epochs.iter().map(|epoch| Some(*epoch <= to.0)).collect();
            let greatest = epochs.iter().copied().filter(|epoch| *epoch <= to.0).max();
            last_epoch = last_epoch.max(Epoch(greatest.unwrap_or_default()));
            filter_record_batch(&batch, &stays).map_err(text)
        });
        let (bytes, rows) = encode::file(file.table, batches).map_err(damaged)?;
        if rows == 0 || rows >= file.rows {
            return Err(damaged(format!(
                "{rows} of its {} rows are of epochs up to {to}, and it was written with some of {} and some of {}",
                file.rows, file.first_epoch, file.last_epoch
            )));
        }
        let (number, table, day) = (folder.number(&self.next), file.table, file.day);
        Ok(Some(NewFile { number, table, day, bytes, rows, first_epoch: file.first_epoch, last_epoch }))
    }
}

/// A row of the table of epochs.
#[derive(Deserialize)]
struct EpochRow {
    now: Millis,
    watermark: Millis,
    live: bool,
    positions: Vec<PositionRow>,
}

#[derive(Deserialize)]
struct PositionRow {
    partition: u32,
    next_offset: u64,
    checksum: u64,
}

/// What an epoch of the archive is known again by, as when it was the last one.
fn mark(folder: &Folder, manifest: &Manifest, epoch: Epoch) -> Result<Mark, ArchiveError> {
    if epoch == manifest.begins_behind {
        return Ok(Mark { epoch, ..Mark::default() });
    }
    let holds = |file: &&FileEntry| {
        file.table == Table::Epochs && file.first_epoch <= epoch && file.last_epoch >= epoch
    };
    for file in manifest.files.iter().filter(holds) {
        let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&file.path), what };
        for batch in open(folder, file)? {
            let batch = batch.map_err(damaged)?;
            let found = numbers(&batch, "epoch").map_err(damaged)?.iter().position(|of| *of == epoch.0);
            let Some(at) = found else { continue };
            let line = rows::lines(&batch.slice(at, 1)).map_err(damaged)?;
            let row: EpochRow = serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
            return Ok(Mark::of(&binding(manifest, epoch, row)));
        }
    }
    let what = format!("no file has epoch {epoch}, which the archive should hold");
    Err(ArchiveError::Damaged { path: folder.dir().join(Table::Epochs.folder()), what })
}

/// The binding that was archived as this row.
fn binding(manifest: &Manifest, epoch: Epoch, row: EpochRow) -> Binding {
    let position = |PositionRow { partition, next_offset, checksum }: PositionRow| {
        let name = manifest.partitions.get(partition as usize).map_or("", String::as_str).into();
        Position { partition, name, next_offset, checksum, greatest: None }
    };
    let EpochRow { now, watermark, live, positions } = row;
    let positions = positions.into_iter().map(position).collect();
    Binding { epoch, now, watermark, live, positions, remake: Vec::new() }
}
