//! What the sinks count and log, each as a struct with `emit`: the names and labels stand here and nowhere else.
#![allow(clippy::disallowed_macros, reason = "this is the crate's one place for them")]

use freshet_schema::Generation;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const RETRIES: &str = "freshet_store_retries_total";
const UP: &str = "freshet_store_up";
const BATCHES: &str = "freshet_store_batches_total";
const BYTES: &str = "freshet_store_written_bytes_total";
const TAKEN_AGAIN: &str = "freshet_store_taken_again_total";

/// Registers units and descriptions with the process's recorder; call it once after installing that.
pub fn describe() {
    describe_counter!(RETRIES, "Writes to the Redis store that failed and were tried again, by reason.");
    describe_gauge!(UP, "Whether the last write to the Redis store was answered: 1 or 0.");
    describe_counter!(BATCHES, "Atomic batches that the Redis store has applied.");
    describe_counter!(BYTES, Unit::Bytes, "Keys and values in those batches.");
    describe_counter!(TAKEN_AGAIN, "Times the Redis store had forgotten its writer, and was taken again.");
    // An alert on what grows needs a first value.
    for reason in ["timeout", "connection", "refused", "owner"] {
        counter!(RETRIES, "reason" => reason).increment(0);
    }
    counter!(TAKEN_AGAIN).increment(0);
}

/// An attempt to write failed; another will follow.
pub(crate) struct StoreAway<'a> {
    pub(crate) store: &'a str,
    pub(crate) failures: u64,
    pub(crate) error: &'a redis::RedisError,
}

impl StoreAway<'_> {
    pub(crate) fn emit(self) {
        let Self { store, failures, error } = self;
        let reason = if error.is_timeout() {
            "timeout"
        } else if error.is_io_error() {
            "connection"
        } else {
            "refused"
        };
        counter!(RETRIES, "reason" => reason).increment(1);
        gauge!(UP).set(0.0);
        // The first says it; with growing pauses, each tenth after it is one in most of a minute.
        if failures == 1 || failures.is_multiple_of(10) {
            tracing::warn!(store, failures, %error, "the store cannot be written; the pipeline waits and tries again");
        }
    }
}

/// The store has forgotten its writer, and whether that is still this run cannot be seen; it is looked again.
pub(crate) struct OwnerUnseen<'a> {
    pub(crate) store: &'a str,
    pub(crate) failures: u64,
    pub(crate) reason: &'a str,
}

impl OwnerUnseen<'_> {
    pub(crate) fn emit(self) {
        let Self { store, failures, reason } = self;
        counter!(RETRIES, "reason" => "owner").increment(1);
        gauge!(UP).set(0.0);
        if failures == 1 || failures.is_multiple_of(10) {
            tracing::warn!(
                store,
                failures,
                reason,
                "the store had forgotten its writer, and whether a newer run has taken over cannot be seen; the pipeline waits and \
                 looks again"
            );
        }
    }
}

/// A write was answered after some were not.
pub(crate) struct StoreBack<'a> {
    pub(crate) store: &'a str,
    pub(crate) attempts: u64,
}

impl StoreBack<'_> {
    pub(crate) fn emit(self) {
        tracing::info!(store = self.store, failed_attempts = self.attempts, "the store answers again");
    }
}

/// Batches were applied.
pub(crate) struct StoreBatches {
    pub(crate) batches: usize,
    pub(crate) bytes: usize,
}

impl StoreBatches {
    pub(crate) fn emit(self) {
        counter!(BATCHES).increment(self.batches as u64);
        counter!(BYTES).increment(self.bytes as u64);
        gauge!(UP).set(1.0);
    }
}

/// The store had forgotten who writes.
pub(crate) struct StoreTakenAgain<'a> {
    pub(crate) store: &'a str,
    pub(crate) held: &'a str,
    pub(crate) generation: Generation,
}

impl StoreTakenAgain<'_> {
    pub(crate) fn emit(self) {
        let Self { store, held, generation } = self;
        counter!(TAKEN_AGAIN).increment(1);
        tracing::warn!(
            store, held, %generation,
            "the store had forgotten its writer (it started empty or from an old file); this run has taken it again, and \
             what it lost is written again"
        );
    }
}

/// The store may drop keys.
pub(crate) struct StoreEvicts<'a> {
    pub(crate) store: &'a str,
    pub(crate) policy: &'a str,
}

impl StoreEvicts<'_> {
    pub(crate) fn emit(self) {
        tracing::warn!(
            store = self.store,
            policy = self.policy,
            "the store drops keys when its memory is full: lists would go missing unseen; set maxmemory-policy noeviction"
        );
    }
}
