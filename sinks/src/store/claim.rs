//! Who may write: the run with the highest generation.
//!
//! The store hands out its generations itself, also to a job with checkpoints, whose folder has a count of its own: a new folder
//! can go with an old store. Whoever has a number from elsewhere can give it. A store can forget who holds it (a Redis that
//! starts empty); who then says "it is mine" must first look again whether it still owns its job.

use std::fmt;
use std::sync::Arc;

use freshet_schema::{Epoch, Generation};

use super::StoreError;

/// Why a run cannot say that it still owns its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMine {
    /// A newer run does; the text says which.
    TakenOver(String),
    /// It cannot be seen now (a bucket that does not answer); the text says why. To be asked again.
    Unseen(String),
}

/// Looks whether the run still owns its job.
pub type StillMine = Arc<dyn Fn() -> Result<(), NotMine> + Send + Sync>;

/// What a run of a job says when it takes a store.
#[derive(Clone)]
pub struct Claim {
    /// The run's generation, where one was handed out elsewhere; `None` takes the store's next one.
    pub generation: Option<Generation>,
    /// The epoch that the run's state was restored at; 0 where it begins anew. What a shard lacks up to it is lost: the
    /// replay begins after it.
    pub resumed: Epoch,
    /// Asked before a store without an owner is taken again.
    pub still_mine: StillMine,
}

impl Default for Claim {
    /// For a job that keeps no checkpoints: it replays its journal from the start, and the lock on the journal is its claim.
    fn default() -> Self {
        Self { generation: None, resumed: Epoch(0), still_mine: Arc::new(|| Ok(())) }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("generation", &self.generation)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

/// The generation of a run that claims a store which `held` holds.
///
/// # Errors
/// Where a newer run holds it.
pub fn next_generation(
    held: Option<Generation>,
    claim: &Claim,
    store: &dyn fmt::Display,
) -> Result<Generation, StoreError> {
    match (claim.generation, held) {
        (Some(mine), Some(held)) if mine < held => {
            Err(StoreError::Superseded { store: store.to_string(), mine, held })
        }
        (Some(mine), _) => Ok(mine),
        (None, held) => Ok(Generation(held.unwrap_or_default().0 + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_only_grow() {
        let claim = |generation| Claim { generation, ..Claim::default() };
        let next = |held: Option<u64>, mine: Option<u64>| {
            next_generation(held.map(Generation), &claim(mine.map(Generation)), &"here").map(|g| g.0)
        };
        assert_eq!(next(None, None).unwrap(), 1);
        assert_eq!(next(Some(4), None).unwrap(), 5);
        assert_eq!(next(None, Some(3)).unwrap(), 3);
        assert_eq!(next(Some(3), Some(3)).unwrap(), 3);
        assert_eq!(next(Some(2), Some(3)).unwrap(), 3);
        let error = next(Some(4), Some(3)).unwrap_err().to_string();
        assert!(error.contains("generation 4") && error.contains("generation 3"), "{error}");
    }
}
