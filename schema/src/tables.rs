//! What the service and `freshet-sql` say to each other about tables.
//!
//! Over a Unix socket. A request is one JSON line, and so is its answer:
//!
//! ```text
//! "tables"                        -> {"ok":{"tables":[{"name":"videos","key":"video_id","columns":[...]},...]}}
//! "archive"                       -> {"ok":{"archive":"/srv/freshet/archive"}}, or null
//! {"snapshot":{"scans":[...]}}    -> {"ok":{"snapshot":{"id":7,"epoch":42,"now_ms":1700000000000}}}
//! {"scan":{"id":7,"scan":0}}      -> {"ok":"rows"}, then frames
//! anything else, or in vain       -> {"error":"..."}
//! ```
//!
//! A snapshot lives as long as the connection that asked for it, and at the longest until its time is over. Each of its scans
//! is read once, over a connection of its own, so that one scan that is read slowly does not hold up another. A frame is a
//! byte that says what it is ([`FRAME_ARROW`] and so on), four bytes of length (little-endian), and so many bytes. The Arrow
//! frames, one after the other, are an Arrow IPC stream.

use serde::{Deserialize, Serialize};

/// A piece of an Arrow IPC stream.
pub const FRAME_ARROW: u8 = 0;
/// The end: all rows have come. Empty.
pub const FRAME_END: u8 = 1;
/// The end: there are more rows, and why they do not come. UTF-8.
pub const FRAME_ERROR: u8 = 2;

/// The longest request line in bytes.
pub const MAX_REQUEST: u64 = 1 << 20;
/// More keys than this are not looked up one by one.
pub const MAX_KEYS: usize = 10_000;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Which tables there are.
    Tables,
    /// Where the archive is.
    Archive,
    /// Fixes an epoch and takes what the scans want of it.
    Snapshot(SnapshotRequest),
    /// The rows of a scan of a snapshot.
    Scan {
        /// The snapshot.
        id: u64,
        /// Which of its scans, from 0.
        scan: usize,
    },
}

/// What a snapshot is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// What is to be read, all of it at one epoch.
    pub scans: Vec<Scan>,
}

/// What to read of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The table.
    pub table: String,
    /// The columns, in the order in which they are wanted. May be empty: then rows are counted.
    pub columns: Vec<String>,
    /// Only rows with these values in the table's key column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<u64>>,
    /// At most so many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for.
    Ok(Payload),
    /// Why it cannot be had.
    Error(String),
}

/// What an answer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Of [`Request::Tables`].
    Tables(Vec<TableInfo>),
    /// Of [`Request::Archive`]: the folder, absolute; none where no archive is written.
    Archive(Option<String>),
    /// Of [`Request::Snapshot`].
    Snapshot(SnapshotInfo),
    /// Of [`Request::Scan`]: frames follow.
    Rows,
}

/// A snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// By which its scans are asked for.
    pub id: u64,
    /// The epoch; 0 before the first one.
    pub epoch: u64,
    /// The pipeline's clock of that epoch, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// What a row is.
    pub about: String,
    /// The column whose values are looked up where a query names them.
    pub key: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<ColumnInfo>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it can be null.
    pub nullable: bool,
    /// What it means.
    pub about: String,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// An identifier or a hash: Arrow `UInt64`.
    Id,
    /// A whole number: Arrow `Int64`.
    Count,
    /// A real number: Arrow `Float64`.
    Real,
    /// True or false: Arrow `Boolean`.
    Flag,
    /// A text: Arrow `Utf8`.
    Text,
    /// A point in time in UTC: Arrow `Timestamp(Millisecond, None)`.
    Time,
    /// Several texts: Arrow `List(Utf8)`.
    Texts,
}
