//! The event log: `DIR/{interactions,uploads,users,follows,deletes,served}/part-*.{jsonl[.gz|.zst],parquet}`.
//!
//! One layout for what data sets are imported into, what the generator writes, what the feed server appends to and what
//! the pipeline reads. Every format is brought to one JSON object a record ([`decode_json`]), so that there is one place
//! where bytes become events and one set of reasons why they do not.

mod columns;
mod decode;
mod discover;
mod error;
mod format;
mod lines;
mod read;
pub mod scrub;
mod table;
mod write;

pub use columns::schema;
pub use decode::{Fault, decode_json, encode_line};
pub use discover::{Partition, discover, discover_or_none};
pub use error::LogError;
pub use format::{Format, UnknownFormat};
pub use lines::Extent;
pub use read::{Item, PartitionReader, dead_letter};

pub(crate) use read::Judge;
pub use write::{LogWriter, Summary, Written};
