//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

/// A store's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the store {path} is held by another process: stop that service, or go through its control socket",
        path = path.display()
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("cannot open the store {path}: {source}", path = path.display())]
    Open {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: fjall::Error,
    },
    /// Written by a release whose layout this one does not know.
    #[error(
        "the store {path} has layout {found:?}, this release reads {expected:?}: use the release that wrote it, or \
         begin with an empty folder and replay the log",
        path = path.display()
    )]
    Layout {
        /// The store's folder.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this release writes.
        expected: &'static str,
    },
    /// It holds a key that is none of ours.
    #[error(
        "the store holds the key {key:?}, which Freshet does not write: was something else stored there?"
    )]
    ForeignKey {
        /// The key, as text.
        key: String,
    },
    /// The marker is no epoch.
    #[error("the store {path} holds a broken epoch marker ({length} bytes, 8 expected)", path = path.display())]
    Marker {
        /// The store's folder.
        path: PathBuf,
        /// What was found.
        length: usize,
    },
    /// A value is no message of its key's kind.
    #[error("the value of {key} cannot be decoded: {source}")]
    Value {
        /// Its key.
        key: String,
        /// Why.
        source: prost::DecodeError,
    },
    /// The engine failed.
    #[error("the store {path} failed to {action}: {source}", path = path.display())]
    Engine {
        /// The store's folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: fjall::Error,
    },
}

impl StoreError {
    /// Whether trying again later, with nothing changed here, can help.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}
