//! The key-value store, as a trait that says what every implementation must do.
//!
//! Only final values are written, never increments, so that writing an epoch twice does no harm. The epoch marker lies in
//! the same atomic batch as the values: a crash leaves an epoch whole or absent, and the marker says which, so a
//! restarted pipeline can replay from anywhere before it. That is why `commit` alone writes, and why it takes an epoch.

mod embedded;
mod error;
mod memory;

use freshet_schema::Epoch;
use freshet_schema::store::Key;

pub use embedded::{Embedded, EmbeddedOptions};
pub use error::StoreError;
pub use memory::Memory;

use crate::Bytes;

/// What one epoch changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The epoch whose events the changes reflect.
    pub epoch: Epoch,
    /// Final values; `None` deletes. Sorted by the key's text, each key once.
    pub changes: Vec<(Key, Option<Vec<u8>>)>,
}

/// A store of final values.
///
/// The rules, which `tests/store_spec.rs` runs over every implementation:
///
/// - `commit` MUST apply all changes and the marker, or nothing.
/// - `commit` MUST skip an epoch at or below the marker, changing nothing, and return `false`.
/// - `commit` MUST accept an epoch without changes: the marker moves.
/// - `get` and `scan` MUST see a commit as soon as it has returned.
/// - a reader MUST NOT see half an epoch: once a read shows a value of an epoch, later reads show all of it.
/// - `scan` MUST return keys in the order of their bytes, of the prefix only, and never the marker.
/// - what was committed before `sync` returned MUST survive a crash of the machine.
/// - what was committed SHOULD survive a crash of the process without `sync`.
pub trait FeedStore: Send + Sync {
    /// The bytes stored under a key; `None` where there are none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// Applies an epoch atomically. `false`: the marker says that it was applied before; nothing was changed.
    ///
    /// # Errors
    /// Where the store cannot be written; nothing of the epoch is visible then.
    fn commit(&self, commit: &Commit) -> Result<bool, StoreError>;

    /// The last epoch applied; `None` in a new store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn marker(&self) -> Result<Option<Epoch>, StoreError>;

    /// Makes everything committed so far durable.
    ///
    /// # Errors
    /// Where the store cannot be written. Durability is unknown then: open the store again.
    fn sync(&self) -> Result<(), StoreError>;

    /// Up to `limit` entries whose key's text begins with `prefix`, in the order of keys, from the first key that is
    /// not below `from`. [`pages`] walks a whole prefix.
    ///
    /// # Errors
    /// Where the store cannot be read or holds a key that is none of ours.
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError>;
}

/// Walks a prefix in the order of keys, `page` entries at a time, so that memory stays bounded. Each page reads the store
/// as it is then: for one consistent picture nobody may commit meanwhile.
pub fn pages<'a>(
    store: &'a dyn FeedStore,
    prefix: &'a str,
    page: usize,
) -> impl Iterator<Item = Result<Vec<(Key, Bytes)>, StoreError>> + 'a {
    let mut from: Option<String> = None;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let entries = store.scan(prefix, from.as_deref(), page);
        match entries.as_deref() {
            // The smallest text above the last key.
            Ok([.., (last, _)]) => from = Some(format!("{last}\0")),
            _ => done = true,
        }
        match entries {
            Ok(entries) if entries.is_empty() => None,
            other => Some(other),
        }
    })
}

/// Checks what callers of `commit` owe: in debug builds only, it costs a pass over the texts.
fn debug_check_order(commit: &Commit) {
    debug_assert!(
        commit.changes.windows(2).all(|pair| pair[0].0.to_string() < pair[1].0.to_string()),
        "the changes of epoch {} must be sorted by key text, each key once",
        commit.epoch
    );
}

fn parse_key(text: &[u8]) -> Result<Key, StoreError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(Key::parse)
        .ok_or_else(|| StoreError::ForeignKey { key: String::from_utf8_lossy(text).into_owned() })
}
