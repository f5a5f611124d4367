//! Finds the part files of a log, in an order that depends on their names alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use freshet_schema::EventKind;

use super::error::LogError;
use super::format::Format;

/// A part file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the log, `KIND/FILE`: the name by which the journal and dead letters know it.
    pub name: String,
    /// The stream it belongs to.
    pub kind: EventKind,
    /// How it is written.
    pub format: Format,
    /// Where it is.
    pub path: PathBuf,
}

impl Partition {
    /// The partition that `name` (`KIND/FILE`) means in the log at `dir`; `None` where the name has another shape.
    #[must_use]
    pub fn named(dir: &Path, name: &str) -> Option<Self> {
        let (folder, file) = name.split_once('/')?;
        let kind = EventKind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
        let format = Format::of_file(file)?;
        Some(Self { name: name.to_owned(), kind, format, path: dir.join(folder).join(file) })
    }
}

/// The part files of the log at `dir`: kinds in the order of [`EventKind::ALL`], files of a kind by name. The index is
/// the partition's number in a log that is read once.
///
/// Only names that begin with `part-` count, and of those none that end in `.tmp` or `.partial`: that is how files under
/// construction are called.
///
/// # Errors
/// [`LogError::NoSuchLog`], [`LogError::Empty`], [`LogError::UnknownFormat`], or [`LogError::Io`] for what cannot be
/// listed.
pub fn discover(dir: &Path) -> Result<Vec<Partition>, LogError> {
    let found = discover_or_none(dir)?;
    if found.is_empty() { Err(LogError::Empty(dir.to_owned())) } else { Ok(found) }
}

/// As [`discover`], but a log without part files is no error: a service may begin with an empty log and fill it.
///
/// # Errors
/// Those of [`discover`] but [`LogError::Empty`].
pub fn discover_or_none(dir: &Path) -> Result<Vec<Partition>, LogError> {
    if !dir.is_dir() {
        return Err(LogError::NoSuchLog(dir.to_owned()));
    }
    let mut found = Vec::new();
    for kind in EventKind::ALL {
        let folder = dir.join(kind.folder());
        for file in part_files(&folder)? {
            let name = format!("{}/{file}", kind.folder());
            match Partition::named(dir, &name) {
                Some(partition) => found.push(partition),
                None => return Err(LogError::UnknownFormat(folder.join(file))),
            }
        }
    }
    Ok(found)
}

/// The first part file below `dir`, as `KIND/FILE`.
pub(super) fn first_part_file(dir: &Path) -> Result<Option<String>, LogError> {
    for kind in EventKind::ALL {
        if let Some(file) = part_files(&dir.join(kind.folder()))?.first() {
            return Ok(Some(format!("{}/{file}", kind.folder())));
        }
    }
    Ok(None)
}

fn part_files(folder: &Path) -> Result<Vec<String>, LogError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(LogError::io("list the folder", folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| LogError::io("list the folder", folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let unfinished = name.ends_with(".tmp") || name.ends_with(".partial");
        if name.starts_with("part-") && !unfinished && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
