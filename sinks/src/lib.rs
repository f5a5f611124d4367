//! Where results go: the key-value store that feed servers read ([`store`]), the live part of the event log
//! ([`event_log`], or topics: [`kafka`]), the records that could not be processed ([`dead_letters`]), and the whole store as text ([`dump`]).
//!
//! Every sink is driven by epochs or acknowledged after an fsync, and a replay after a restart leaves the same bytes: a
//! sink skips what its own marker says it has.

pub mod dead_letters;
pub mod dump;
pub mod event_log;
pub mod kafka;
mod lines;
pub mod mention;
pub mod store;
pub mod telemetry;

pub use dead_letters::DeadLetterFile;
pub use dump::dump;
pub use event_log::{EventLog, EventSink};
pub use kafka::{DeadLetterTopic, KafkaEventLog};
pub use mention::Mention;
pub use store::{
    Claim, Commit, Embedded, EmbeddedOptions, FeedStore, Loss, Memory, NotMine, Redis, RedisOptions,
    StoreError,
};

/// A value as it is stored: shared, not copied.
pub type Bytes = bytes::Bytes;
