//! What a client says while it runs. librdkafka reconnects by itself, with growing pauses, and says so at each attempt; a
//! person wants to hear that the brokers are gone once, and that they are back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Listens to one client.
#[derive(Debug)]
pub struct Ears {
    client: &'static str,
    brokers: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    down_since: Option<Instant>,
    denied: Option<String>,
    last: Option<String>,
    highs: BTreeMap<(String, i32), u64>,
}

impl Ears {
    /// For a client of these brokers; `client` is what it is for, in the log.
    #[must_use]
    pub fn new(client: &'static str, brokers: &str) -> Self {
        Self { client, brokers: brokers.to_owned(), state: Mutex::default() }
    }

    /// No broker can be reached: said once.
    pub fn unreachable(&self, reason: &str) {
        let mut state = self.state();
        if state.down_since.is_none() {
            state.down_since = Some(Instant::now());
            tracing::warn!(
                client = self.client,
                brokers = self.brokers,
                reason,
                "no broker answers; it is tried again with growing pauses, and nothing is lost meanwhile (kafka.brokers)"
            );
        }
    }

    /// A broker has answered.
    pub fn reachable(&self) {
        if let Some(since) = self.state().down_since.take() {
            let seconds = since.elapsed().as_secs();
            tracing::info!(client = self.client, brokers = self.brokers, seconds, "the brokers answer again");
        }
    }

    /// Whether no broker could be reached when it was last tried.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state().down_since.is_some()
    }

    /// Why the brokers do not let us in, where they do not.
    #[must_use]
    pub fn denied(&self) -> Option<String> {
        self.state().denied.clone()
    }

    fn refused(&self, reason: &str) {
        let mut state = self.state();
        if state.denied.is_none() {
            let (client, brokers) = (self.client, &self.brokers);
            tracing::warn!(client, brokers, reason, "the brokers do not let us in (kafka.options)");
            state.denied = Some(reason.to_owned());
        }
    }

    /// The high watermark of a partition as the client heard it last.
    #[must_use]
    pub fn high(&self, topic: &str, partition: i32) -> Option<u64> {
        self.state().highs.get(&(topic.to_owned(), partition)).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Ears {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too; this is for who looks for a cause.
        tracing::debug!(target: "librdkafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => self.unreachable(reason),
            // Of one partition: whoever reads it hears of it too, and knows what it means.
            Some(
                Code::PartitionEOF
                | Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopicId
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed,
            ) => {}
            // With TLS 1.3 a broker refuses a certificate, or the lack of one, when the connection is made already: librdkafka takes
            // it for one that broke.
            Some(Code::BrokerTransportFailure) if reason.contains("SSL alert") => self.refused(reason),
            // One broker of several, or an idle connection that was closed: the client opens it again.
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {
                tracing::debug!(target: "librdkafka", brokers = self.brokers, reason);
            }
            Some(
                Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState,
            ) => self.refused(reason),
            _ => {
                let mut state = self.state();
                if state.last.as_deref() != Some(reason) {
                    tracing::warn!(client = self.client, brokers = self.brokers, %error, reason, "the Kafka client has a complaint");
                    state.last = Some(reason.to_owned());
                }
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP" && broker.nodeid >= 0) {
            self.reachable();
        }
        let mut state = self.state();
        for topic in statistics.topics.into_values() {
            for partition in topic.partitions.values() {
                if let Ok(high) = u64::try_from(partition.hi_offset) {
                    state.highs.insert((topic.topic.clone(), partition.partition), high);
                }
            }
        }
    }
}

impl ConsumerContext for Ears {}
