//! From blocks of bytes to the state of a worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::hash::SHARDS;
use freshet_schema::{Epoch, Millis};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use super::encode::SavedContent;
use super::{CONTENTS, SHARED};
use crate::content::Content;

/// Where the blocks of a checkpoint are.
pub trait Blocks: Send + Sync {
    /// The blocks of a cut in a logical shard, each with its number of rows; none where it has none.
    ///
    /// # Errors
    /// What is wrong with them, with the file.
    fn blocks(&self, cut: &str, shard: u64) -> Result<Vec<(u64, Vec<u8>)>, String>;
}

/// A checkpoint that a graph begins with. Shared by its workers.
pub struct Restored {
    /// The epoch that it is of.
    pub epoch: Epoch,
    /// The clock of that epoch.
    pub now: Millis,
    blocks: Box<dyn Blocks>,
    contents: FxHashMap<u64, Arc<Content>>,
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored").field("epoch", &self.epoch).field("now", &self.now).finish_non_exhaustive()
    }
}

/// A checkpoint does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The blocks cannot be read.
    #[error("the cut {cut} of the checkpoint cannot be read: {what}")]
    Unreadable {
        /// The cut.
        cut: String,
        /// Why.
        what: String,
    },
    /// The bytes are no rows of the cut.
    #[error(
        "row {row} of shard {shard} of the cut {cut} is none of this release ({what}), although its checksum holds: \
         start the release that wrote the checkpoint, or one before it"
    )]
    Row {
        /// The cut.
        cut: String,
        /// The logical shard.
        shard: u64,
        /// The row's number in its block.
        row: u64,
        /// What the decoder says.
        what: String,
    },
    /// A row names a version that is not there.
    #[error("the cut {cut} names the version {number} of a video, which the cut contents does not hold")]
    Content {
        /// The cut.
        cut: &'static str,
        /// The number.
        number: u64,
    },
    /// In another process of the cluster.
    #[error("in {place}: {what}")]
    Elsewhere {
        /// Which.
        place: String,
        /// Why.
        what: String,
    },
    /// What another part of the graph refuses.
    #[error("the cut {cut} cannot be restored: {what}")]
    Refused {
        /// The cut.
        cut: &'static str,
        /// Why.
        what: String,
    },
}

impl Restored {
    /// Reads the versions of videos that all cuts share.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn open(epoch: Epoch, now: Millis, blocks: Box<dyn Blocks>) -> Result<Self, RestoreError> {
        let mut restored = Self { epoch, now, blocks, contents: FxHashMap::default() };
        let mut contents = FxHashMap::default();
        for shard in 0..SHARDS {
            // Workers of several processes may each have written a version; the graph is to share it.
            let mut versions: FxHashMap<u64, Vec<Arc<Content>>> = FxHashMap::default();
            restored.rows(CONTENTS, shard, |(number, content): (u64, SavedContent)| {
                let content = content.content();
                let known = versions.entry(content.video).or_default();
                let same = known.iter().find(|other| ***other == content).cloned();
                contents.insert(
                    number,
                    same.unwrap_or_else(|| {
                        known.push(Arc::new(content));
                        Arc::clone(&known[known.len() - 1])
                    }),
                );
                Ok(())
            })?;
        }
        restored.contents = contents;
        Ok(restored)
    }

    /// The encoded blocks of a cut in a logical shard.
    pub(crate) fn blocks(&self, cut: &str, shard: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
        self.blocks.blocks(cut, shard)
    }

    fn rows<R: DeserializeOwned>(
        &self,
        cut: &str,
        shard: u64,
        mut take: impl FnMut(R) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let unreadable = |what| RestoreError::Unreadable { cut: cut.to_owned(), what };
        for (rows, bytes) in self.blocks.blocks(cut, shard).map_err(unreadable)? {
            let mut rest = &bytes[..];
            let wrong = |row, what: String| RestoreError::Row { cut: cut.to_owned(), shard, row, what };
            for number in 0..rows {
                let (row, behind) =
                    postcard::take_from_bytes(rest).map_err(|e| wrong(number, e.to_string()))?;
                rest = behind;
                take(row)?;
            }
            if !rest.is_empty() {
                return Err(wrong(rows, format!("{} bytes are left", rest.len())));
            }
        }
        Ok(())
    }
}

/// A checkpoint as one of `peers` workers sees it.
#[derive(Clone)]
pub struct Restoring {
    restored: Arc<Restored>,
    worker: u64,
    peers: u64,
}

impl Restoring {
    /// The view of `worker`.
    #[must_use]
    pub fn new(restored: Arc<Restored>, worker: usize, peers: usize) -> Self {
        Self { restored, worker: worker as u64, peers: peers as u64 }
    }

    /// The epoch that the checkpoint is of.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.restored.epoch.0
    }

    /// The clock of that epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.restored.now.0
    }

    /// Whether this is the first worker, which takes what must be taken once.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.worker == 0
    }

    /// The rows of the worker's own logical shards.
    ///
    /// # Errors
    /// [`RestoreError`], or what `take` says.
    pub fn own<R: DeserializeOwned>(
        &self,
        cut: &str,
        mut take: impl FnMut(R) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let own = (0..SHARDS).filter(|shard| shard % self.peers == self.worker);
        own.into_iter().try_for_each(|shard| self.restored.rows(cut, shard, &mut take))
    }

    /// The rows of all logical shards.
    ///
    /// # Errors
    /// [`RestoreError`], or what `take` says.
    pub fn all<R: DeserializeOwned>(
        &self,
        cut: &str,
        mut take: impl FnMut(R) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        (0..SHARDS).try_for_each(|shard| self.restored.rows(cut, shard, &mut take))
    }

    /// The rows of what every worker has alike.
    ///
    /// # Errors
    /// [`RestoreError`], or what `take` says.
    pub fn shared<R: DeserializeOwned>(
        &self,
        cut: &str,
        take: impl FnMut(R) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        self.restored.rows(cut, SHARED, take)
    }

    /// The version that a row of `cut` names.
    ///
    /// # Errors
    /// [`RestoreError::Content`].
    pub fn content(&self, cut: &'static str, number: u64) -> Result<Arc<Content>, RestoreError> {
        self.restored.contents.get(&number).cloned().ok_or(RestoreError::Content { cut, number })
    }
}

/// Blocks in memory, for tests.
impl Blocks for BTreeMap<(String, u64), Vec<(u64, Vec<u8>)>> {
    fn blocks(&self, cut: &str, shard: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
        Ok(self.get(&(cut.to_owned(), shard)).cloned().unwrap_or_default())
    }
}
