//! Small numbers for identifiers, so that counts by creator or category are a look into an array.

use rustc_hash::{FxBuildHasher, FxHashMap};

/// The number of what is unknown: no rule counts it.
pub(super) const NONE: u32 = u32::MAX;

/// So many identifiers are expected where nobody says: of categories.
const EXPECTED: usize = 100;

/// Numbers given in the order of first mention.
pub(super) struct Numbers(FxHashMap<u64, u32>);

impl Default for Numbers {
    fn default() -> Self {
        Self::with_room(EXPECTED)
    }
}

impl Numbers {
    /// For so many identifiers; for more it grows.
    pub(super) fn with_room(identifiers: usize) -> Self {
        Self(FxHashMap::with_capacity_and_hasher(identifiers, FxBuildHasher))
    }

    /// The number of `id`; [`NONE`] for 0, which stands for an unknown one.
    pub(super) fn of(&mut self, id: u64) -> u32 {
        if id == 0 {
            return NONE;
        }
        let next = self.0.len() as u32;
        *self.0.entry(id).or_insert(next)
    }
}
