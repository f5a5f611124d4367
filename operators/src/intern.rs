//! Versions of videos that come from another process, shared again.
//!
//! Within a process every row of a version points at one [`Content`], whose vector alone has half a kilobyte. What comes over a
//! connection is a copy each time. The user side keeps it with its rows, so each worker remembers the version of each video that
//! it has seen last, as long as somebody holds it, and hands out that one where the same comes again.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer};

use crate::content::Content;

/// Below so many entries nothing is cleared away.
const LEAST: usize = 1 << 12;

#[derive(Default)]
struct Seen {
    versions: FxHashMap<u64, Weak<Content>>,
    /// Entries from which on those that nobody holds are looked for.
    full: usize,
}

impl Seen {
    fn share(&mut self, content: Content) -> Arc<Content> {
        let known = self.versions.get(&content.video).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| **known == content) {
            return known;
        }
        if self.versions.len() >= self.full.max(LEAST) {
            self.versions.retain(|_, version| version.strong_count() > 0);
            self.full = self.versions.len() * 2;
        }
        let content = Arc::new(content);
        self.versions.insert(content.video, Arc::downgrade(&content));
        content
    }
}

thread_local! {
    /// Timely reads what arrives on the worker's thread.
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// Reads a version that is kept.
///
/// # Errors
/// Of the format.
pub fn content<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Content>, D::Error> {
    let content = Content::deserialize(from)?;
    Ok(SEEN.with_borrow_mut(|seen| seen.share(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(video: u64, created_at: u64) -> Content {
        Content { known: true, created_at, ..Content::unknown(video) }
    }

    #[test]
    fn what_is_held_is_shared_and_a_new_version_takes_its_place() {
        let mut seen = Seen::default();
        let first = seen.share(version(1, 5));
        assert!(Arc::ptr_eq(&first, &seen.share(version(1, 5))));
        let second = seen.share(version(1, 6));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &seen.share(version(1, 6))));
        assert!(!Arc::ptr_eq(&first, &seen.share(version(2, 5))));
    }

    #[test]
    fn what_nobody_holds_is_let_go_of() {
        let mut seen = Seen::default();
        let held: Vec<_> = (0..100).map(|video| seen.share(version(video, 1))).collect();
        for video in 100..20_000 {
            seen.share(version(video, 1));
        }
        assert!(seen.versions.len() <= LEAST, "{}", seen.versions.len());
        assert!(Arc::ptr_eq(&held[7], &seen.share(version(7, 1))));
    }
}
