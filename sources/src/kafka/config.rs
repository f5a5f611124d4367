//! What a Kafka source is told.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use freshet_kafka::{Connection, Payloads, Topics};

/// Where to read, and how.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// The cluster.
    pub connection: Connection,
    /// The topic of each stream.
    pub topics: Topics,
    /// How the values of each stream's records are written.
    pub payloads: Payloads,
    /// The group that consumed offsets are committed to, for monitoring alone.
    pub group: Option<String>,
    /// Bytes that are fetched ahead of the dataflow, for each partition.
    pub fetch_ahead: u64,
    /// Set where the job is to end: what waits for brokers looks at it.
    pub stop: Arc<AtomicBool>,
}

impl KafkaConfig {
    /// JSON in these topics, 16 MiB ahead a partition.
    #[must_use]
    pub fn new(connection: Connection, topics: Topics) -> Self {
        Self {
            connection,
            topics,
            payloads: Payloads::default(),
            group: None,
            fetch_ahead: 16 << 20,
            stop: Arc::default(),
        }
    }
}

impl PartialEq for KafkaConfig {
    fn eq(&self, other: &Self) -> bool {
        let of = |c: &Self| {
            (c.connection.clone(), c.topics.clone(), c.payloads.clone(), c.group.clone(), c.fetch_ahead)
        };
        of(self) == of(other)
    }
}

impl Eq for KafkaConfig {}
