//! The archive: what went into the graph, as Parquet by day, each row with the epoch that counted it.
//!
//! ```text
//! DIR/interactions/day=2024-03-01/00000000000000000001-00000000000000000420-000007.parquet    first and last epoch, number
//! DIR/{uploads,users,follows,deletes,served,epochs}/day=.../
//! DIR/manifest.json                                                       the files that count, and up to which epoch
//! s3://BUCKET/PREFIX/commits/00000000000000000012.json                    the same in a bucket: the greatest holds
//! ```
//!
//! It is exact: a row is in it once, whatever crashed when. Rows wait in memory with their epochs; now and then all that wait are
//! written as whole files, made durable and named in the manifest *together with the epoch up to which nothing is missing*
//! ([`folder`]). A restart replays epochs behind the last checkpoint; those that the manifest covers are passed over, and files that no
//! manifest names are removed. Of two processes that write only one can commit ([`claim`]). A checkpoint is published only when the archive is durable up to its epoch ([`writer`]), so the
//! journal is never trimmed before rows that are still missing.
//!
//! `epochs` holds what the journal knows of each epoch (its clock and where the input stood) and the skip thresholds that were
//! published in it: with it the rows can be gone through as they were ([`read`]), by a verification or a replay.
//!
//! An archive whose last epochs were bound by a journal that is lost can be cut back ([`truncate`]).
//!
//! The columns are those of an event log in Parquet, and `epoch`, `partition`, `offset` ([`columns`]).

pub mod claim;
pub mod columns;
pub mod compact;
pub mod day;
pub mod disk;
mod encode;
mod error;
pub mod folder;
pub mod forget;
pub mod manifest;
mod numbered;
pub mod objects;
pub mod read;
mod rows;
pub mod sealed;
pub mod telemetry;
pub mod truncate;
pub mod writer;

use std::sync::Arc;

use freshet_schema::Event;
use freshet_schema::event::Origin;
use freshet_sources::epochs::Binding;

pub use columns::Table;
pub use disk::{Disk, LocalDisk};
pub use error::ArchiveError;
pub use folder::Folder;
pub use forget::Forgetting;
pub use manifest::{FileEntry, Forgotten, Manifest, Mark};
pub use objects::{Bucket, BucketError, Objects, OnDisk, Unfinished};
pub use read::{ReadEpoch, ReadError, Reader};
pub use truncate::Cut;
pub use writer::{Forgetter, Options, Resumed, Status, Writer};

/// The records of an epoch, shared with the graph.
pub type Records = Arc<dyn AsRef<[(Origin, Event)]> + Send + Sync>;

/// An epoch that is to be archived.
#[derive(Clone)]
pub struct Closed {
    /// What it is bound to.
    pub binding: Binding,
    /// What was published in it: the version, and the skip thresholds by duration class in per mille.
    pub publication: Option<(u64, Vec<u64>)>,
    /// Its records.
    pub records: Records,
    /// Bytes of its records as they were read.
    pub bytes: u64,
}
