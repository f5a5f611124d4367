//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

use freshet_schema::Generation;

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
    /// The stored generation is no number.
    #[error("the store {path} holds a broken generation ({length} bytes, 8 expected)", path = path.display())]
    BrokenGeneration {
        /// The store's folder.
        path: PathBuf,
        /// What was found.
        length: usize,
    },
    /// A newer run of the job holds the store.
    #[error(
        "the store {store} belongs to generation {held}, and this run is generation {mine}: a newer run has taken over, so \
         this one must not write; stop it. (If no other runs, the store is another job's: name another redis.key_prefix)"
    )]
    Superseded {
        /// The store.
        store: String,
        /// This run.
        mine: Generation,
        /// Who holds it.
        held: Generation,
    },
    /// The store has no owner any more, and the job is a newer run's.
    #[error("the store {store} lost its owner, and this run must not take it again: {reason}")]
    Disowned {
        /// The store.
        store: String,
        /// Who owns the job.
        reason: String,
    },
    /// The store has no owner any more, and this run was ended before it saw whether the job is still its own.
    #[error(
        "the store {store} lost its owner, and whether this run may take it again could not be seen: {reason}; what is not \
         written yet, the next start writes"
    )]
    OwnerUnseen {
        /// The store.
        store: String,
        /// Why it could not be seen.
        reason: String,
    },
    /// Written without a claim.
    #[error("the store {store} was opened to be read: nothing may be written without a claim")]
    Unclaimed {
        /// The store.
        store: String,
    },
    /// It cannot be reached now.
    #[error("the store {store} cannot be reached: {reason}")]
    Unavailable {
        /// The store.
        store: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error that waiting does not mend.
    #[error("the store {store} refused to {action}: {reason}")]
    Refused {
        /// The store.
        store: String,
        /// What was tried.
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// The address, a password or a certificate cannot be used.
    #[error("the store {store} cannot be used as configured: {reason}")]
    Settings {
        /// The store.
        store: String,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A layout in a store without a folder.
    #[error(
        "the store {store} has layout {found:?}, this release reads {expected:?}: use the release that wrote it, or name an \
         empty database or another redis.key_prefix"
    )]
    OtherLayout {
        /// The store.
        store: String,
        /// What it says.
        found: String,
        /// What this release writes.
        expected: &'static str,
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
        matches!(self, Self::Locked { .. } | Self::Unavailable { .. } | Self::OwnerUnseen { .. })
    }

    /// Whether a newer run has the store or the job: to begin this one again would take it back.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Superseded { .. } | Self::Disowned { .. })
    }
}
