//! What stops an import. A row that cannot be used stops nothing: it is counted in the report.

use std::io;

use thiserror::Error;

use crate::log::LogError;

/// Why an import failed as a whole. Each message names the file, the column where there is one, and a remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// No file was named.
    #[error("no files to import: name files of {set}, which are {expected}")]
    NoFiles {
        /// The data set.
        set: &'static str,
        /// The kinds of files it has.
        expected: String,
    },
    /// The same file twice would count everything twice.
    #[error("{file}: named twice; name each file once")]
    Twice {
        /// The file.
        file: String,
    },
    /// The file cannot be opened, or its compression is broken.
    #[error("{file}: cannot be read: {source}; check that it exists and that its download is complete")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// Not a Parquet file, or a broken one.
    #[error("{file}: cannot be read as Parquet: {source}; check that its download is complete")]
    Parquet {
        /// The file.
        file: String,
        /// What the reader says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The name does not say how the file is written.
    #[error("{file}: its name must end in .csv, .tsv, .txt (each also with .gz or .zst behind) or .parquet")]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// The columns belong to none of the set's files.
    #[error("{file}: no file of {set}: it has the columns {found}; {set} has {expected}")]
    UnknownColumns {
        /// The file.
        file: String,
        /// The data set.
        set: &'static str,
        /// The columns it has.
        found: String,
        /// The files of the set with the columns that they need.
        expected: String,
    },
    /// A column of a Parquet file holds something that is no number and no text.
    #[error("{file}: column {column} has the type {found}; it must be a number, a boolean or text")]
    ColumnType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// The file has no column with the time.
    #[error(
        "{file}: {shape} has no time, and an event log is ordered by time; with --derive-time each user's items are \
         put one a minute in the order of the file, and the report marks the time as derived"
    )]
    NoTime {
        /// The file.
        file: String,
        /// What kind of file it is.
        shape: &'static str,
    },
    /// Identifiers that do not mean the same across the files.
    #[error(
        "{file}: its identifiers were renumbered by its publisher and do not join those of {other}; import it alone"
    )]
    RemappedIds {
        /// The renumbered file.
        file: String,
        /// Another one.
        other: String,
    },
    /// Sorted runs could not be written beside the log.
    #[error("cannot write a temporary file in {dir}: {source}; free space there, or choose another --out")]
    Spill {
        /// The folder.
        dir: String,
        /// What the system says.
        source: io::Error,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}
