//! A store in memory: for tests, and for looking at a pipeline that should leave nothing behind.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};

use super::{Claim, Commit, FeedStore, StoreError, debug_check_order, next_generation, parse_key};
use crate::Bytes;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Bytes>,
    marker: Option<Epoch>,
    generation: Option<Generation>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that panicked in between has applied a prefix of its inserts at worst; they are final values.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedStore for Memory {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        Ok(self.read().entries.get(&key.to_string()).cloned())
    }

    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let generation = next_generation(state.generation, claim, &"in memory")?;
        state.generation = Some(generation);
        Ok(generation)
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        debug_check_order(commit);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.marker.is_some_and(|marker| commit.epoch <= marker) {
            return Ok(false);
        }
        for (key, value) in &commit.changes {
            match value {
                Some(bytes) => drop(state.entries.insert(key.to_string(), Bytes::copy_from_slice(bytes))),
                None => drop(state.entries.remove(&key.to_string())),
            }
        }
        state.marker = Some(commit.epoch);
        Ok(true)
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(self.read().marker)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let start = from.map_or(prefix, |from| from.max(prefix));
        self.read()
            .entries
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| Ok((parse_key(key.as_bytes())?, value.clone())))
            .collect()
    }
}
