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

/// The logical shard of a text, in `0..SHARDS`: of a pool's or a group's name.
#[must_use]
pub fn text_shard(name: &str) -> u64 {
    text(name) % SHARDS
}
