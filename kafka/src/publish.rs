//! Writes records, and says when they are written.
//!
//! Each record carries a [`Ticket`]; the last one of a ticket to be acknowledged by all in-sync replicas, or given up,
//! calls back. The producer is idempotent, so that what the client sends again by itself is written once; what *we* send again
//! after a crash is a second record with the same identifier, and whoever reads counts it once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Message, Statistics};

use crate::{ConnectError, Connection, Ears};

/// A record that was given up. It may or may not be in the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{topic}: not acknowledged: {what}")]
pub struct DeliveryError {
    /// Where it should have gone.
    pub topic: String,
    /// Why, in librdkafka's words.
    pub what: String,
}

/// A record that was not taken. Nothing of it is in the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for the brokers.
    #[error("too many records wait for the brokers")]
    Full,
    /// Larger than `message.max.bytes`, or the client has failed for good.
    #[error("{topic}: {what}")]
    Refused {
        /// Where it should have gone.
        topic: String,
        /// Why.
        what: String,
    },
}

type Done = Box<dyn FnOnce(Result<(), DeliveryError>) + Send>;

/// What some records have in common: one answer.
pub struct Ticket {
    left: AtomicUsize,
    failure: Mutex<Option<DeliveryError>>,
    done: Mutex<Option<Done>>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Ticket {
    /// For `records` records, at least one; `done` is called once, on the producer's thread, with the first failure.
    pub fn new(records: usize, done: impl FnOnce(Result<(), DeliveryError>) + Send + 'static) -> Arc<Self> {
        debug_assert!(records > 0, "a ticket without records would never be answered");
        Arc::new(Self {
            left: AtomicUsize::new(records),
            failure: Mutex::default(),
            done: Mutex::new(Some(Box::new(done))),
        })
    }

    /// Takes records off that were never sent.
    pub fn settle(&self, records: usize, result: Result<(), DeliveryError>) {
        if let Err(error) = result {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        if self.left.fetch_sub(records, Ordering::AcqRel) != records {
            return;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            done(failure.map_or(Ok(()), Err));
        }
    }
}

/// Hands acknowledgements to tickets.
#[derive(Debug)]
pub struct Deliveries(Ears);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Ticket>;
    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        match result {
            Ok(_) => {
                self.0.reachable();
                ticket.settle(1, Ok(()));
            }
            Err((error, message)) => {
                let what = error.to_string();
                ticket.settle(1, Err(DeliveryError { topic: message.topic().to_owned(), what }));
            }
        }
    }
}

/// Writes to topics. Dropped, it gives up what was not acknowledged; [`Publisher::flush`] waits for it.
pub struct Publisher(ThreadedProducer<Deliveries>);

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl Publisher {
    /// Makes a publisher; it connects in the background. `client` is what it is for, in the log. A record is given up after
    /// `patience`; never where that is `None`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn new(
        client: &'static str,
        connection: &Connection,
        patience: Option<Duration>,
    ) -> Result<Self, ConnectError> {
        let timeout = patience.map_or(0, |p| p.as_millis()).to_string();
        let own = [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            // As Java's producers partition by key, so that a user's events meet in one partition whoever sends them.
            ("partitioner", "murmur2_random"),
            ("message.timeout.ms", &timeout),
            ("linger.ms", "2"),
            ("statistics.interval.ms", "1000"),
            ("reconnect.backoff.max.ms", "2000"),
        ];
        Ok(Self(connection.client(&own, Deliveries(Ears::new(client, &connection.brokers)))?))
    }

    /// Sends a record. It is on its way when this returns, and the ticket hears of its end.
    ///
    /// # Errors
    /// [`SendError`]; the ticket does not hear of the record then.
    pub fn send(
        &self,
        topic: &str,
        key: &str,
        value: &[u8],
        headers: &[(&str, &str)],
        ticket: &Arc<Ticket>,
    ) -> Result<(), SendError> {
        let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(ticket)).key(key).payload(value);
        if !headers.is_empty() {
            let all = OwnedHeaders::new_with_capacity(headers.len());
            let add = |all: OwnedHeaders, (key, value): &(&str, &str)| {
                all.insert(Header { key, value: Some(value.as_bytes()) })
            };
            record = record.headers(headers.iter().fold(all, add));
        }
        self.0.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => SendError::Full,
            _ => SendError::Refused { topic: topic.to_owned(), what: error.to_string() },
        })
    }

    /// Why the brokers do not let us in, where they do not: records wait for as long as they may, in case that they do later.
    #[must_use]
    pub fn denied(&self) -> Option<String> {
        self.0.client().context().0.denied()
    }

    /// Whether the brokers have a topic that this client may see; `None` where they cannot say so far.
    #[must_use]
    pub fn has_topic(&self, topic: &str, patience: Duration) -> Option<bool> {
        let metadata = self.0.client().fetch_metadata(Some(topic), patience).ok()?;
        let found = metadata.topics().iter().find(|known| known.name() == topic)?;
        match found.error().map(RDKafkaErrorCode::from) {
            None => Some(true),
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::InvalidTopic,
            ) => Some(false),
            Some(_) => None,
        }
    }

    /// Waits until everything is acknowledged or given up; `false` where that took longer than `patience`.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        self.0.flush(patience).is_ok()
    }

    /// Records that wait for an acknowledgement.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.0.in_flight_count()).unwrap_or(0)
    }
}
