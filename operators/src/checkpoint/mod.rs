//! Checkpoints: what a worker's state was at the end of an epoch, and a graph that begins with it.
//!
//! A checkpoint of epoch T is an entry in each worker's queue of epochs, behind T. A worker that comes to it feeds nothing more
//! until all of its stages have closed T ([`crate::cut::Cuts::settled`]) and then takes the state of every cut. No stage can
//! have seen anything of T + 1: that epoch closes only when *every* worker has fed it. So nothing has to be fixed in advance,
//! no history has to be held back from compaction, and whether an epoch has a checkpoint changes nothing in it. The price is
//! that the worker's own pipeline runs empty once.
//!
//! On the worker a cut is only *taken*: what is large is shared (a user's state is behind an `Arc` and copied when it changes
//! while it is still being written), the rest is copied flat. Encoding happens where the snapshots are written ([`Encoder`]),
//! on another thread.
//!
//! What is kept is the smallest from which the rest follows; each stage says in its `saved` module what it keeps and what it
//! makes again. Rows lie in logical shards ([`freshet_schema::hash::SHARDS`]), and what every worker has alike in a shard of its own
//! ([`SHARED`]): a graph of any number of workers takes its own shards. A video's version is written once, and rows name it
//! by number ([`CONTENTS`]); so restored rows share it again.
//!
//! What was on its way from T to T + 1 at an edge that leads back belongs to the state of T: [`loops`].

pub mod definitions;
mod encode;
pub mod kept;
pub(crate) mod loops;
mod restore;

use freshet_schema::Epoch;

pub use definitions::{Definition, definitions};
pub use encode::{Block, CutWriter, Encoder, WriteFailed};
pub use restore::{Blocks, RestoreError, Restored, Restoring};

/// The shard of what is the same on every worker.
pub const SHARED: u64 = freshet_schema::hash::SHARDS;

/// The cut of the videos' versions that rows refer to.
pub const CONTENTS: &str = "contents";

/// Writes the rows of a cut as they were when it was taken.
pub type Rows = Box<dyn FnOnce(&mut CutWriter<'_>) + Send>;

/// The state of one cut on one worker, as of the end of an epoch.
pub struct Snapshot {
    /// The cut.
    pub cut: &'static str,
    /// Its rows.
    pub rows: Rows,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("cut", &self.cut).finish_non_exhaustive()
    }
}

/// What a worker says of a checkpoint.
#[derive(Debug)]
pub enum Taken {
    /// A cut.
    Cut(Epoch, Snapshot),
    /// A part of a cut that another process has encoded. All of them come before its workers say that theirs were sent.
    Block(Epoch, Block),
    /// All cuts of a worker were sent; the time in microseconds that the worker stood still to take them.
    Worker(Epoch, usize, u64),
}

/// Nothing is kept.
pub(crate) fn nothing() -> Rows {
    Box::new(|_| {})
}
