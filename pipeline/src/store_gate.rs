//! A store whose commits can be held off while somebody reads several pages that must agree.
//!
//! The store's interface has no snapshots. A dump reads page by page; between two pages an epoch may be committed. So a
//! dump holds this gate for as long as it copies the store to a file, and the sink waits; the copy is then sent without
//! the gate, so that a slow reader never holds the pipeline.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use freshet_schema::hash::SHARDS;
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};
use freshet_sinks::store::{Pages, Pinned};
use freshet_sinks::{Bytes, Claim, Commit, FeedStore, Loss, StoreError};

/// See the module.
pub struct GatedStore {
    inner: Arc<dyn FeedStore>,
    gate: RwLock<()>,
    /// Shards of a store that finds no losses itself, which somebody does not trust; and how often somebody said so.
    distrusted: Mutex<(u64, Vec<Loss>)>,
}

impl GatedStore {
    /// Puts the gate before a store. All commits must go through it.
    #[must_use]
    pub fn new(inner: Arc<dyn FeedStore>) -> Self {
        Self { inner, gate: RwLock::new(()), distrusted: Mutex::new((0, Vec::new())) }
    }

    /// Holds commits off until the guard is dropped. Others may hold at the same time.
    pub fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedStore for GatedStore {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.get_many(keys)
    }

    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        self.inner.claim(claim)
    }

    fn commit_all(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let _passing = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.inner.commit_all(commits)
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        let _passing = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.inner.commit(commit)
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        self.inner.marker()
    }

    fn newest(&self) -> Result<Option<Epoch>, StoreError> {
        self.inner.newest()
    }

    fn lost(&self) -> Vec<Loss> {
        let distrusted = &self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).1;
        if distrusted.is_empty() { self.inner.lost() } else { distrusted.clone() }
    }

    fn distrust(&self) {
        self.inner.distrust();
        if !self.inner.is_remote() {
            let mut distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
            let incident = distrusted.0 + 1;
            *distrusted = (incident, (0..SHARDS).map(|shard| Loss { shard, incident }).collect());
        }
    }

    fn restored(&self, losses: &[Loss]) -> Result<(), StoreError> {
        let _passing = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .retain(|loss| !losses.contains(loss));
        self.inner.restored(losses)
    }

    fn give_up(&self) {
        self.inner.give_up();
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn ready(&self) -> Result<(), String> {
        self.inner.ready()
    }

    fn sample(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.inner.sample(prefix, limit)
    }

    fn pages<'a>(&'a self, prefix: &'a str, page: usize) -> Pages<'a> {
        self.inner.pages(prefix, page)
    }

    fn pin(&self) -> Result<Option<Box<dyn Pinned>>, StoreError> {
        self.inner.pin()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.inner.scan(prefix, from, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_sinks::Memory;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_commit_waits_for_the_gate() {
        let store = Arc::new(GatedStore::new(Arc::new(Memory::default())));
        let held = store.hold();
        let (sender, receiver) = channel();
        let committer = Arc::clone(&store);
        let thread = std::thread::spawn(move || {
            let done = committer.commit(&Commit { epoch: Epoch(1), changes: Vec::new() });
            sender.send(done.is_ok()).expect("the test listens");
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "the commit must wait");
        assert_eq!(store.marker().expect("readable"), None);
        drop(held);
        assert!(receiver.recv_timeout(Duration::from_secs(10)).expect("the commit goes on"));
        thread.join().expect("no panic");
        assert_eq!(store.marker().expect("readable"), Some(Epoch(1)));
    }
}
