//! What ends a Kafka source. Brokers that do not answer are none of these: they are waited for.

use freshet_kafka::ConnectError;

/// Kafka as an input that cannot be read on. Each message names topic, partition and remedy.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The options.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Told to stop while brokers were waited for.
    #[error("stopped while waiting for the brokers at {0}")]
    Stopped(String),
    /// The brokers do not let us in.
    #[error(
        "{brokers}: the brokers do not let us in: {what}; check security.protocol, ssl.* and sasl.* in kafka.options"
    )]
    Denied {
        /// Which brokers.
        brokers: String,
        /// Why, in librdkafka's words.
        what: String,
    },
    /// A topic is not there.
    #[error(
        "kafka.{key} = {topic:?}: the cluster at {brokers} has no such topic; make it with the cluster's tools, name another, \
         or write kafka.{key} = \"\" to do without that stream"
    )]
    NoTopic {
        /// The stream, and the configuration's key.
        key: &'static str,
        /// The topic.
        topic: String,
        /// Which brokers.
        brokers: String,
    },
    /// A topic may not be read, or not now.
    #[error("kafka.{key} = {topic:?}: cannot be read: {what}; the user needs READ and DESCRIBE on the topic")]
    Refused {
        /// The stream, and the configuration's key.
        key: &'static str,
        /// The topic.
        topic: String,
        /// Why, in librdkafka's words.
        what: String,
    },
    /// The journal has consumed a partition that is gone.
    #[error(
        "{name}: the journal has consumed this partition, and the topic does not have it (any more); name the topic and the \
         cluster that it was read from, or start with a new journal and a new store"
    )]
    NoPartition {
        /// The partition.
        name: String,
    },
    /// Not the log that was consumed.
    #[error(
        "{name}: not the log that was consumed: {what}. The topic was deleted and made again, kafka.brokers names another \
         cluster, or records were removed one by one (cleanup.policy=compact). Name the topic and the cluster that were read, \
         or start with a new journal and a new store"
    )]
    Recreated {
        /// The partition.
        name: String,
        /// How it shows.
        what: String,
    },
    /// Records that are needed were removed.
    #[error(
        "{name}: offset out of range: records from offset {wanted} on are needed, and the partition begins at {begins} now: \
         retention has removed them. Start from a newer checkpoint, or with a new journal and a new store at what is left; \
         then keep records longer (retention.ms, retention.bytes) than a restart may take"
    )]
    OutOfRange {
        /// The partition.
        name: String,
        /// What is needed.
        wanted: u64,
        /// What there is.
        begins: u64,
    },
    /// The broker or the client has failed in another way.
    #[error("{name}: cannot be read on: {what}")]
    Read {
        /// The partition.
        name: String,
        /// Why, in librdkafka's words.
        what: String,
    },
}

impl KafkaError {
    /// Whether it is no failure, but the answer to a request to end.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}
