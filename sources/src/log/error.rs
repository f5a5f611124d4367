//! What can go wrong with a log as a whole. A bad record is none of these: it becomes a dead letter.

use std::io;
use std::path::{Path, PathBuf};

/// A log that cannot be read or written. Each message names the path and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The log's folder is not there.
    #[error(
        "{path}: no such folder; give the folder that holds users/, uploads/, interactions/, ... \
         (`freshet generate` and `freshet import` write one)",
        path = .0.display()
    )]
    NoSuchLog(PathBuf),
    /// The folder holds no part file.
    #[error(
        "{path}: no part files; expected {path}/KIND/part-*.EXT with KIND of users, uploads, follows, \
         interactions, deletes, served and EXT of jsonl, jsonl.gz, jsonl.zst, parquet",
        path = .0.display()
    )]
    Empty(PathBuf),
    /// A part file's extension is none of ours.
    #[error(
        "{path}: unknown format; a part file ends in .jsonl, .jsonl.gz, .jsonl.zst or .parquet: \
         convert it, or rename it so that it does not begin with `part-`",
        path = .0.display()
    )]
    UnknownFormat(PathBuf),
    /// A log is written into a folder that already holds one.
    #[error(
        "{path}: already a log (it holds {found}); give a new folder, or remove the old log first",
        path = path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// A part file in it.
        found: String,
    },
    /// A Parquet file could not be written or its footer could not be read.
    #[error("{path}: Parquet: {message}", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The cause.
        message: String,
    },
    /// An event could not be written as JSON: a number is not finite.
    #[error("{path}: an event of kind {kind} has no JSON form: {message}; JSON holds finite numbers only", path = path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The kind's folder name.
        kind: &'static str,
        /// The cause.
        message: String,
    },
    /// A file is shorter than what was already read from it.
    #[error(
        "{path}: truncated: {offset} bytes were consumed, {length} are left; put the file back as it was, \
         or start with a new journal and a new store",
        path = path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes consumed.
        offset: u64,
        /// Its length now.
        length: u64,
    },
}

impl LogError {
    /// An operating system's error on `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A Parquet error on `path`.
    pub(crate) fn parquet(path: &Path, message: impl ToString) -> Self {
        Self::Parquet { path: path.to_owned(), message: message.to_string() }
    }
}
