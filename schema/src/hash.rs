//! The one hash of Freshet: XXH3 with a seed. It shards, samples and names, and is part of what a store's bytes depend
//! on, so it must never change with a release of the standard library.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Number of logical shards. State and store are divided by [`shard`], never by worker, so that any number of workers
/// can read any other's.
pub const SHARDS: u64 = 64;

/// Hash of a text without a seed: names hashtags and categories inside the dataflow.
#[must_use]
pub fn text(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Seeded hash of a few numbers: the source of every random choice, so that a replay chooses alike.
#[must_use]
pub fn mix(seed: u64, parts: &[u64]) -> u64 {
    let mut state = seed;
    for part in parts {
        state = xxh3_64_with_seed(&part.to_le_bytes(), state);
    }
    state
}

/// The logical shard of an identifier, in `0..SHARDS`. Records are routed by it: a shard lives on one worker as a whole, so
/// that a bound kept per shard means the same for any number of workers.
#[must_use]
pub fn shard(id: u64) -> u64 {
    mix(0x5eed, &[id]) % SHARDS
}

/// A part of a logical shard: what is written again at once, where a store has lost it. The parts of a shard together are all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Slice {
    /// The shard, in `0..SHARDS`.
    pub shard: u64,
    /// Which part, in `0..parts`.
    pub part: u32,
    /// Into how many parts the shard is divided, from 1.
    pub parts: u32,
}

impl Slice {
    /// Whether what belongs to an identifier (a user, a video, a version of the weights) is in it.
    #[must_use]
    pub fn holds(&self, id: u64) -> bool {
        self.covers(mix(0x5eed, &[id]))
    }

    /// Whether what belongs to a name (a pool, a group) is in it.
    #[must_use]
    pub fn holds_text(&self, name: &str) -> bool {
        self.covers(text(name))
    }

    fn covers(&self, hash: u64) -> bool {
        hash % SHARDS == self.shard && hash / SHARDS % u64::from(self.parts.max(1)) == u64::from(self.part)
    }
}

/// The logical shard of a text, in `0..SHARDS`: of a pool's or a group's name.
#[must_use]
pub fn text_shard(name: &str) -> u64 {
    text(name) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_a_shard_are_all_of_it_and_nothing_twice() {
        for parts in [1, 3, 8] {
            for id in 0..2_000 {
                let holding = (0..SHARDS)
                    .flat_map(|shard| (0..parts).map(move |part| Slice { shard, part, parts }))
                    .filter(|slice| slice.holds(id))
                    .collect::<Vec<_>>();
                assert_eq!(holding.len(), 1);
                assert_eq!(holding[0].shard, shard(id));
            }
            let name = "hashtag:köln";
            let slices = (0..parts).map(|part| Slice { shard: text_shard(name), part, parts });
            assert_eq!(slices.filter(|slice| slice.holds_text(name)).count(), 1);
        }
    }
}
