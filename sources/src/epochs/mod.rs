//! Cuts a log into epochs, and makes each cut durable before it is used.
//!
//! Three phases, in this order. **Journal**: the bindings of earlier runs are read again, exactly as they were, from the
//! beginning or behind a checkpoint ([`past`]).
//! **Replay**: what the log holds beyond them is cut by event time, so that the cuts depend on the data alone.
//! **Live**: what is appended from then on is cut by the wall clock. [`cut`] has the decisions, [`source`] the order of
//! reading, journalling and releasing.

mod clock;
mod config;
mod cut;
mod error;
mod lane;
mod past;
mod share;
mod source;

use std::sync::Arc;
use std::time::Instant;

use freshet_schema::dead_letter::DeadLetter;
use freshet_schema::event::Origin;
use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Event, Millis};

pub use clock::{Clock, ClockShift, SystemClock};
pub use config::{LiveClock, SourceConfig};
pub use error::SourceError;
pub use past::Resume;
pub use source::EpochSource;

/// How far a partition was consumed at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition's number, as in [`Origin`].
    pub partition: u32,
    /// Its name, `KIND/FILE` or `kafka:TOPIC/P`.
    pub name: Arc<str>,
    /// Where to go on reading: a byte offset in plain JSON lines, an offset in Kafka, a record number elsewhere.
    pub next_offset: u64,
    /// Checksum of the consumed prefix.
    pub checksum: u64,
    /// The greatest valid event time consumed.
    pub greatest: Option<Millis>,
}

/// How a partition is doing; for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Records between what was read and the end, as far as that is known: of Kafka alone.
    pub lag: Option<u64>,
    /// Whether the others wait for it, or will: it has more, and the least event time was read from it.
    pub holds: bool,
}

/// What an epoch is bound to. Whatever depends on time reads it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The epoch, from 1 without gaps.
    pub epoch: Epoch,
    /// Its clock; never goes back.
    pub now: Millis,
    /// The least of the event times that the partitions still being read have reached; for information. Never goes back.
    pub watermark: Millis,
    /// Whether `now` is the (shifted) wall clock.
    pub live: bool,
    /// The partitions that moved, by number.
    pub positions: Vec<Position>,
    /// What of the store is written again in it: see [`EpochSource::remake`].
    pub remake: Vec<Slice>,
}

/// An event with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it was read.
    pub origin: Origin,
    /// The event.
    pub event: Event,
}

/// An epoch: closed, bound and durable in the journal.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it is bound to.
    pub binding: Binding,
    /// Its events in the order of (partition, offset).
    pub records: Vec<Record>,
    /// What was refused, in the same order.
    pub dead_letters: Vec<DeadLetter>,
    /// Bytes of its records as they were read, refused ones included.
    pub bytes: u64,
    /// When it was read; for measuring.
    pub read_at: Instant,
}

/// What a call of [`EpochSource::next`] found.
#[derive(Debug)]
pub enum Step {
    /// An epoch.
    Batch(Batch),
    /// Nothing to do now; see [`EpochSource::idle_for`].
    Idle,
    /// The input is finite and was read to its end.
    Drained,
}

/// Where a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reads the epochs of earlier runs again.
    Journal,
    /// Cuts the log by event time.
    Replay,
    /// Follows the log by the wall clock.
    Live,
}

/// How far a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were read; estimated for compressed files.
    pub bytes_read: u64,
    /// Bytes of all files, or an estimate of those of a Kafka backlog.
    pub bytes_total: u64,
    /// Records read, refused ones included.
    pub records: u64,
    /// The phase.
    pub phase: Phase,
}
