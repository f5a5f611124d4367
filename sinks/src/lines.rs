//! A file of whole lines that one process appends to: what the event log and the dead letters share.
//!
//! A crash can cut the last line short. Nobody was ever told that it had been written, so it is cut off at the next
//! opening. A failed write is undone at once for the same reason. After a failed fsync nothing is certain (the kernel may
//! have dropped the pages and forgotten the error), so the file refuses everything until it is opened again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why a file of lines cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFileError {
    /// Another process appends to it.
    #[error("{path} is held by another process: stop that service, or name another folder", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An earlier failure left it unknown what the file holds.
    #[error("{path} failed earlier and takes no more lines: make room on the disk and restart the service", path = path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// A line of it is none of ours.
    #[error("{path}, the line that ends at byte {offset}: {detail}; move the file away or repair that line", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Where the line ends.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
}

/// Read at once when looking for the end of a line.
const WINDOW: u64 = 64 << 10;

/// A locked file of whole lines.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: File,
    length: u64,
    poisoned: bool,
}

impl LineFile {
    /// Opens or creates the file and its folders, locks it and cuts off a torn last line.
    pub(crate) fn open(path: &Path) -> Result<Self, LineFileError> {
        let failed = |action| move |source| LineFileError::Io { path: path.to_owned(), action, source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LineFileError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        // Without this the name of a new file could be lost with its acknowledged lines.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))?;
        let length = file.metadata().map_err(failed("read"))?.len();
        let mut lines = Self { path: path.to_owned(), file, length, poisoned: false };
        let whole = lines.end_of_last_line(length)?;
        if whole < length {
            lines.truncate(whole)?;
        }
        lines.file.seek(SeekFrom::Start(whole)).map_err(failed("seek in"))?;
        Ok(lines)
    }

    /// Bytes of whole lines.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines. After an error nothing of them is in the file.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), LineFileError> {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\n"), "only whole lines are appended");
        self.check()?;
        if let Err(source) = self.file.write_all(lines) {
            self.truncate(self.length)?;
            return Err(self.failed("append to", source));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable.
    pub(crate) fn sync(&mut self) -> Result<(), LineFileError> {
        self.check()?;
        self.file.sync_data().map_err(|source| {
            self.poisoned = true;
            self.failed("sync", source)
        })
    }

    /// Cuts the file.
    pub(crate) fn truncate(&mut self, length: u64) -> Result<(), LineFileError> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map_err(|source| {
            self.poisoned = true;
            self.failed("truncate", source)
        })?;
        self.length = length;
        Ok(())
    }

    /// Puts other bytes in the place of as many; a line feed stays one.
    pub(crate) fn overwrite(&mut self, at: u64, bytes: &[u8]) -> Result<(), LineFileError> {
        self.check()?;
        self.file.write_all_at(bytes, at).map_err(|source| self.failed("overwrite", source))
    }

    /// The line that ends just before `end`, with its line feed, and where it begins. `None` at the file's beginning.
    pub(crate) fn line_before(&self, end: u64) -> Result<Option<(u64, Vec<u8>)>, LineFileError> {
        if end == 0 {
            return Ok(None);
        }
        let begin = self.end_of_last_line(end - 1)?;
        Ok(Some((begin, self.read(begin, end)?)))
    }

    /// The position just behind the last line feed before `end`; 0 where there is none.
    fn end_of_last_line(&self, mut end: u64) -> Result<u64, LineFileError> {
        while end > 0 {
            let begin = end.saturating_sub(WINDOW);
            let window = self.read(begin, end)?;
            if let Some(at) = window.iter().rposition(|byte| *byte == b'\n') {
                return Ok(begin + at as u64 + 1);
            }
            end = begin;
        }
        Ok(0)
    }

    fn read(&self, begin: u64, end: u64) -> Result<Vec<u8>, LineFileError> {
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, begin).map_err(|source| self.failed("read", source))?;
        Ok(bytes)
    }

    fn check(&self) -> Result<(), LineFileError> {
        if self.poisoned { Err(LineFileError::Poisoned { path: self.path.clone() }) } else { Ok(()) }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> LineFileError {
        LineFileError::Io { path: self.path.clone(), action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_however_long_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/lines");
        for torn in [1, WINDOW as usize, WINDOW as usize * 2 + 7] {
            let mut file = LineFile::open(&path).unwrap();
            file.truncate(0).unwrap();
            file.append(b"one\ntwo\n").unwrap();
            drop(file);
            let mut raw = OpenOptions::new().append(true).open(&path).unwrap();
            raw.write_all(&vec![b'x'; torn]).unwrap();
            drop(raw);
            let mut file = LineFile::open(&path).unwrap();
            assert_eq!(file.length(), 8);
            file.append(b"three\n").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
            assert_eq!(file.line_before(14).unwrap(), Some((8, b"three\n".to_vec())));
            assert_eq!(file.line_before(4).unwrap(), Some((0, b"one\n".to_vec())));
            assert_eq!(file.line_before(0).unwrap(), None);
        }
    }

    #[test]
    fn a_second_opening_is_refused_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let held = LineFile::open(&path).unwrap();
        let error = LineFile::open(&path).unwrap_err();
        assert!(matches!(error, LineFileError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(held);
        LineFile::open(&path).unwrap();
    }
}
