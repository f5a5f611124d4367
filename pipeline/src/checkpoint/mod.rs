//! Checkpoints in a folder or a bucket: how they are written, which one a start goes on from, and what is deleted.
//!
//! ```text
//! DIR/generations/0000000007                   one file a start: who holds the greatest number owns the job
//! DIR/data/0000000007-00000000000000000420/    the cuts of a checkpoint, a file each ([`blocks`])
//! DIR/manifests/00000000000000000420.json      the checkpoint of epoch 420: what belongs to it ([`manifest`])
//! ```
//!
//! The order makes it safe, not luck. Data files are whole and durable before a manifest names them; the manifest is whole and
//! durable under a temporary name before it is linked to its own (in a bucket: put under its own on condition that there is none), which fails where another run has that epoch; and
//! that is done only when the store has everything up to its epoch durably. So a manifest that can be seen is a checkpoint, whatever
//! crashed when. Deleting goes the other way: the manifest first, then what nothing names ([`decide`]).
//!
//! The decisions are pure functions of facts already read ([`decide`]); what they are read from and written to are [`Objects`], and the tests
//! put a disk under them that forgets, tears and fails, and a bucket that fails.

pub mod blocks;
pub mod decide;
mod error;
mod folder;
pub mod manifest;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub use error::CheckpointError;
pub(crate) use folder::crash_point;
pub use folder::{Checkpoints, Found, Listed, Loaded};
/// What a folder and a bucket have in common.
pub use freshet_archive::Objects;
pub use manifest::Manifest;
pub use status::{Published, Status};
pub use writer::{Begin, Writer};
