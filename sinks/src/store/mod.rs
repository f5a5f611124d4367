//! The key-value store, as a trait that says what every implementation must do.
//!
//! Only final values are written, never increments, so that writing an epoch twice does no harm. The epoch marker lies in
//! the same atomic batch as the values: a crash leaves an epoch whole or absent, and the marker says which, so a
//! restarted pipeline can replay from anywhere before it. That is why `commit` alone writes, and why it takes an epoch.
//!
//! A store of another machine can lose what it had acknowledged (a Redis that restarts from an old file, or empty). It says
//! so by [`FeedStore::lost`]; the job then has everything of those shards written again, and says when by
//! [`FeedStore::restored`].

mod claim;
mod embedded;
mod error;
mod memory;
pub mod redis;

use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};

pub use claim::{Claim, NotMine, StillMine, next_generation};
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::StoreError;
pub use memory::Memory;
pub use redis::{Redis, RedisOptions};

use crate::Bytes;

/// What one epoch changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The epoch whose events the changes reflect.
    pub epoch: Epoch,
    /// Final values; `None` deletes. Sorted by the key's text, each key once.
    pub changes: Vec<(Key, Option<Vec<u8>>)>,
}

/// A logical shard of the store has lost writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loss {
    /// The shard, in `0..SHARDS`.
    pub shard: u64,
    /// Which loss it is, growing: a shard that loses writes again while they are being written again has a new one.
    pub incident: u64,
}

/// Pages of entries in the order of keys.
pub type Pages<'a> = Box<dyn Iterator<Item = Result<Vec<(Key, Bytes)>, StoreError>> + 'a>;

/// A store as it was at one moment, whatever is committed since.
pub trait Pinned: Send {
    /// As [`FeedStore::get`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// As [`FeedStore::scan`].
    ///
    /// # Errors
    /// Where the store cannot be read or holds a key that is none of ours.
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError>;
}

/// A store of final values.
///
/// The rules, which `tests/store_spec.rs` runs over every implementation:
///
/// - `commit` MUST apply all changes and the marker, or nothing. A store that is far away may apply an epoch beyond
///   the size of one batch shard by shard, the marker of a shard last (`docs/store.md` says what that means to readers).
/// - `commit` MUST skip an epoch at or below the marker, changing nothing, and return `false`.
/// - `commit` MUST accept an epoch without changes: the marker moves.
/// - `get` and `scan` MUST see a commit as soon as it has returned.
/// - a reader MUST NOT see half an epoch: once a read shows a value of an epoch, later reads show all of it.
/// - `scan` MUST return keys in the order of their bytes, of the prefix only, and never the marker.
/// - what was committed before `sync` returned MUST survive a crash of the machine, or MUST be found as lost.
/// - what was committed SHOULD survive a crash of the process without `sync`.
/// - `claim` MUST refuse a generation below the one that holds the store, and after it MUST refuse the commits of older
///   ones. (A store that one process at a time can open is held by its lock.)
pub trait FeedStore: Send + Sync {
    /// The bytes stored under a key; `None` where there are none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// The bytes stored under some keys, in their order: one round trip to a store that is far away.
    ///
    /// # Errors
    /// As [`FeedStore::get`].
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Takes the store for a run of a job: the generation that [`Claim`] names or, without one, the next after the
    /// store's. Call it once, before the first commit.
    ///
    /// # Errors
    /// Where a newer run holds the store, or it cannot be written.
    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError>;

    /// Applies an epoch atomically. `false`: the marker says that it was applied before; nothing was changed.
    ///
    /// # Errors
    /// Where the store cannot be written; nothing of the epoch is visible then. Where a newer run has taken the store.
    fn commit(&self, commit: &Commit) -> Result<bool, StoreError>;

    /// Applies several epochs in order, in fewer round trips where that saves any.
    ///
    /// # Errors
    /// As [`FeedStore::commit`]; a beginning of them may have been applied.
    fn commit_all(&self, commits: &[Commit]) -> Result<(), StoreError> {
        commits.iter().try_for_each(|commit| self.commit(commit).map(drop))
    }

    /// The last epoch that is whole in every shard; `None` in a new store, and where a shard has lost all it had.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn marker(&self) -> Result<Option<Epoch>, StoreError>;

    /// The last epoch of which anything may have been applied; `None` in a new store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn newest(&self) -> Result<Option<Epoch>, StoreError> {
        self.marker()
    }

    /// Makes everything committed so far durable, or looks whether it still is there: see [`FeedStore::lost`].
    ///
    /// # Errors
    /// Where the store cannot be written. Durability is unknown then: open the store again.
    fn sync(&self) -> Result<(), StoreError>;

    /// The shards that have lost writes and wait for them to be written again. Empty for stores that cannot lose any.
    fn lost(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// Treats all shards as lost: for an operator who does not trust what the store holds.
    fn distrust(&self) {}

    /// Everything that these shards should hold was committed since they were found lost: what they hold beyond it goes, and
    /// their markers are set again. A loss that is not the shard's latest is passed over.
    ///
    /// # Errors
    /// As [`FeedStore::commit`].
    fn restored(&self, _losses: &[Loss]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Lets calls that wait for a store to come back end with an error: the process wants to stop.
    fn give_up(&self) {}

    /// Whether a call can wait for another machine: such calls do not belong on a thread that others wait for.
    fn is_remote(&self) -> bool {
        false
    }

    /// Whether the store can be read now, and holds what a pipeline wrote; why not, in words.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Up to `limit` entries whose key's text begins with `prefix`, in the order of keys, from the first key that is
    /// not below `from`. [`FeedStore::pages`] walks a whole prefix.
    ///
    /// # Errors
    /// Where the store cannot be read or holds a key that is none of ours.
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError>;

    /// The store as it is now, to be read later; `None` where the store cannot keep it. Costs next to nothing.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn pin(&self) -> Result<Option<Box<dyn Pinned>>, StoreError> {
        Ok(None)
    }

    /// Some keys of a prefix, at most `limit`, whichever are found soonest: to show examples.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn sample(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        Ok(self.scan(prefix, None, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    /// Walks a prefix in the order of keys, `page` entries at a time, so that memory stays bounded. Each page reads the store
    /// as it is then: for one consistent picture nobody may commit meanwhile.
    fn pages<'a>(&'a self, prefix: &'a str, page: usize) -> Pages<'a> {
        let mut from: Option<String> = None;
        let mut done = false;
        Box::new(std::iter::from_fn(move || {
            if done {
                return None;
            }
            let entries = self.scan(prefix, from.as_deref(), page);
            match entries.as_deref() {
                // The smallest text above the last key.
                Ok([.., (last, _)]) => from = Some(format!("{last}\0")),
                _ => done = true,
            }
            match entries {
                Ok(entries) if entries.is_empty() => None,
                other => Some(other),
            }
        }))
    }
}

/// Checks what callers of `commit` owe: in debug builds only, it costs a pass over the texts.
fn debug_check_order(commit: &Commit) {
    debug_assert!(
        commit.changes.windows(2).all(|pair| pair[0].0.to_string() < pair[1].0.to_string()),
        "the changes of epoch {} must be sorted by key text, each key once",
        commit.epoch
    );
}

/// A place where a test can let the process die, fail or wait; nothing in a build without the crate `fail`'s feature.
fn crash_point(name: &str, store: &dyn std::fmt::Display) -> Result<(), StoreError> {
    let _ = (name, store);
    fail::fail_point!(name, |_| Err(StoreError::Refused {
        store: store.to_string(),
        action: "commit",
        reason: format!("the crash point {name}"),
    }));
    Ok(())
}

fn parse_key(text: &[u8]) -> Result<Key, StoreError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(Key::parse)
        .ok_or_else(|| StoreError::ForeignKey { key: String::from_utf8_lossy(text).into_owned() })
}
