//! Compaction: many small files become one.
//!
//! Each roll leaves a file for each table and day it had rows of. Eight or more neighbours (by epoch) of one table and day are put
//! together when the largest of them is no more than half of the whole: so each row is written again only a few times in all,
//! whatever the number of rolls. Nothing grows beyond the target size. Neighbours alone, so that files stay in the order of epochs; rows
//! keep their order, epoch, partition and offset.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use freshet_schema::Epoch;

use crate::columns::Table;
use crate::encode;
use crate::error::ArchiveError;
use crate::folder::{Folder, NewFile};
use crate::manifest::{FileEntry, Manifest};
use crate::rows::Batches;

/// Neighbours that are put together, at least.
const TOGETHER: usize = 8;

/// What is to be put together, the oldest first; nothing where nothing is worth it. With `all`, whatever fits the target size.
#[must_use]
pub fn choose(manifest: &Manifest, target_bytes: u64, all: bool) -> Option<Vec<FileEntry>> {
    let mut groups: BTreeMap<(Table, u64), Vec<&FileEntry>> = BTreeMap::new();
    for file in &manifest.files {
        groups.entry((file.table, file.day)).or_default().push(file);
    }
    groups.into_values().find_map(|mut files| {
        files.sort_by_key(|file| (file.first_epoch, file.last_epoch));
        (0..files.len()).find_map(|from| {
            let mut bytes = 0;
            let fits = files[from..].iter().take_while(|file| {
                bytes += file.bytes;
                bytes <= target_bytes
            });
            let run = &files[from..from + fits.count()];
            let whole: u64 = run.iter().map(|file| file.bytes).sum();
            let largest = run.iter().map(|file| file.bytes).max()?;
            let worth = if all { run.len() >= 2 } else { run.len() >= TOGETHER && 2 * largest <= whole };
            worth.then(|| run.iter().map(|file| (*file).clone()).collect())
        })
    })
}

/// Puts files together, and gives the new manifest.
///
/// # Errors
/// As [`Folder::commit`]; a file that is not what was written.
pub fn merge(folder: &Folder, manifest: &Manifest, files: &[FileEntry]) -> Result<Manifest, ArchiveError> {
    let Some(first) = files.first() else { return Ok(manifest.clone()) };
    let (table, day) = (first.table, first.day);
    let mut all = Vec::new();
    for file in files {
        all.push(open(folder, file)?);
    }
    let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&first.path), what };
    let (bytes, rows) = encode::file(table, all.into_iter().flatten()).map_err(damaged)?;
    let expected: u64 = files.iter().map(|file| file.rows).sum();
    if rows != expected {
        return Err(damaged(format!(
            "it and those after it hold {rows} rows, and were written with {expected}"
        )));
    }
    let epoch = |of: fn(&FileEntry) -> Epoch| files.iter().map(of);
    let new = NewFile {
        number: folder.number(manifest),
        table,
        day,
        bytes,
        rows,
        first_epoch: epoch(|file| file.first_epoch).min().unwrap_or_default(),
        last_epoch: epoch(|file| file.last_epoch).max().unwrap_or_default(),
    };
    let replaced: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    folder.commit(manifest.clone(), &[new], &replaced)
}

/// The batches of a file that the manifest in force names.
pub(crate) fn open(folder: &Folder, file: &FileEntry) -> Result<Batches, ArchiveError> {
    let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&file.path), what };
    Batches::open(file.table, content(folder, file)?).map_err(damaged)
}

/// The content of such a file.
pub(crate) fn content(folder: &Folder, file: &FileEntry) -> Result<Bytes, ArchiveError> {
    folder.read(file)?.ok_or_else(|| missing(folder, file))
}

/// It is named, and is not there.
pub(crate) fn missing(folder: &Folder, file: &FileEntry) -> ArchiveError {
    folder.failed("read", &file.path, io::Error::from(io::ErrorKind::NotFound))
}

/// Puts together all that is worth it, and gives how many files there were less.
///
/// # Errors
/// As [`merge`].
pub fn compact(
    folder: &Folder,
    manifest: Manifest,
    target_bytes: u64,
    all: bool,
) -> Result<(Manifest, usize), ArchiveError> {
    let before = manifest.files.len();
    let mut manifest = manifest;
    while let Some(files) = choose(&manifest, target_bytes, all) {
        manifest = merge(folder, &manifest, &files)?;
    }
    let less = before - manifest.files.len();
    Ok((manifest, less))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u64, day: u64, bytes: u64) -> FileEntry {
        FileEntry {
            path: format!("{number:03}"),
            table: Table::Epochs,
            day,
            rows: 1,
            bytes,
            checksum: String::new(),
            first_epoch: Epoch(number),
            last_epoch: Epoch(number),
        }
    }

    fn chosen(files: Vec<FileEntry>, all: bool) -> Vec<u64> {
        let manifest = Manifest { files, ..Manifest::default() };
        let chosen = choose(&manifest, 1 << 20, all).unwrap_or_default();
        chosen.iter().map(|file| file.first_epoch.0).collect()
    }

    #[test]
    fn eight_neighbours_are_put_together() {
        let small = |n: u64| (1..=n).rev().map(|number| file(number, 1, 1_000)).collect::<Vec<_>>();
        assert_eq!(chosen(small(7), false), Vec::<u64>::new());
        assert_eq!(chosen(small(8), false), (1..=8).collect::<Vec<_>>());
        let mut mixed = small(7);
        mixed.push(file(8, 2, 1_000));
        mixed.push(file(9, 1, 200_000));
        assert_eq!(
            chosen(mixed.clone(), false),
            Vec::<u64>::new(),
            "another day, and one that outweighs the rest"
        );
        assert_eq!(chosen(mixed, true), [1, 2, 3, 4, 5, 6, 7, 9]);
        let mut behind: Vec<_> = (2..=9).map(|number| file(number, 1, 1_000)).collect();
        behind.push(file(1, 1, 200_000));
        assert_eq!(chosen(behind, false), (2..=9).collect::<Vec<_>>(), "the large one is left alone");
        let big: Vec<_> = (1..=9).map(|number| file(number, 1, 1 << 20)).collect();
        assert_eq!(chosen(big, true), Vec::<u64>::new(), "large enough");
        let half: Vec<_> = (1..=3).map(|number| file(number, 1, 600 << 10)).collect();
        assert_eq!(chosen(half, true), Vec::<u64>::new(), "two would be beyond the target");
    }

    /// However long a day is: few files, and each row is written again a few times.
    #[test]
    fn a_day_of_rolls_stays_small() {
        let mut manifest = Manifest::default();
        let (mut written, rolls) = (0u64, 2_000u64);
        for number in 0..rolls {
            manifest.files.push(file(number, 1, 100));
            while let Some(files) = choose(&manifest, 1 << 20, false) {
                let bytes = files.iter().map(|file| file.bytes).sum();
                written += bytes;
                let at = manifest.files.iter().position(|f| f.path == files[0].path).unwrap();
                manifest.files.drain(at..at + files.len());
                manifest.files.insert(at, FileEntry { bytes, ..files[0].clone() });
            }
        }
        assert!(manifest.files.len() < 30, "{} files", manifest.files.len());
        assert!(written < rolls * 100 * 12, "{written} bytes were written again");
    }
}
