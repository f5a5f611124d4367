//! The members of a pool in the order of their rank, sorted when somebody looks.
//!
//! Most pools (a creator's, a rare hashtag's) are asked for far less often than their members move. A move is noted in a hash
//! table, where a later one of the same member replaces it, and is made in the sorted set when the pool is read.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

/// A member in order: rank (greatest first), video, slot.
pub type Place = (Reverse<i64>, u64, u32);

struct Move {
    video: u64,
    from: Option<i64>,
    to: Option<i64>,
}

/// See the module.
#[derive(Default)]
pub struct Order {
    sorted: BTreeSet<Place>,
    moved: FxHashMap<u32, Move>,
}

impl Order {
    /// The member at `slot` moves from one rank to another; `None` is outside the pool.
    pub fn note(&mut self, slot: u32, video: u64, from: Option<i64>, to: Option<i64>) {
        match self.moved.entry(slot) {
            Entry::Vacant(entry) => drop(entry.insert(Move { video, from, to })),
            Entry::Occupied(entry) if entry.get().from == to => drop(entry.remove()),
            Entry::Occupied(mut entry) => entry.get_mut().to = to,
        }
    }

    /// Makes the moves noted. To be called before [`Order::best`].
    pub fn settle(&mut self) {
        for (slot, Move { video, from, to }) in self.moved.drain() {
            if let Some(rank) = from {
                self.sorted.remove(&(Reverse(rank), video, slot));
            }
            if let Some(rank) = to {
                self.sorted.insert((Reverse(rank), video, slot));
            }
        }
    }

    /// Whether the pool has no members, as of the last [`Order::settle`].
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The members as of the last [`Order::settle`], best first; of equals the lower number.
    pub fn best(&self) -> std::collections::btree_set::Iter<'_, Place> {
        debug_assert!(self.moved.is_empty(), "a pool is read before its moves are made");
        self.sorted.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_of_what_was_noted(moves in vec((0u32..6, prop::option::of(0i64..4), any::<bool>()), 0..60)) {
            let mut order = Order::default();
            let mut ranks: BTreeMap<u32, Option<i64>> = BTreeMap::new();
            for (slot, to, look) in moves {
                let from = ranks.insert(slot, to).flatten();
                if from != to {
                    order.note(slot, u64::from(slot) + 10, from, to);
                }
                if look {
                    order.settle();
                    let mut expected: Vec<Place> = ranks
                        .iter()
                        .filter_map(|(slot, rank)| Some((Reverse((*rank)?), u64::from(*slot) + 10, *slot)))
                        .collect();
                    expected.sort_unstable();
                    prop_assert_eq!(order.best().copied().collect::<Vec<_>>(), expected);
                }
            }
        }
    }
}
