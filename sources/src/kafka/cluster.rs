//! The connection: which partitions there are, where they begin and end, and the one consumer of them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_kafka::Ears;
use freshet_kafka::rdkafka::consumer::base_consumer::PartitionQueue;
use freshet_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use freshet_kafka::rdkafka::error::RDKafkaErrorCode as Code;
use freshet_kafka::rdkafka::{Offset, TopicPartitionList};
use freshet_schema::EventKind;

use super::config::KafkaConfig;
use super::error::KafkaError;

/// How a Kafka partition's name begins; no part file's does.
pub(crate) const PREFIX: &str = "kafka:";
/// How long brokers may take for an answer before they are asked again, and the pauses between.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a complaint of the client is waited for between two attempts, and how many are heard.
const LISTEN: Duration = Duration::from_millis(10);
const COMPLAINTS: usize = 16;
/// How often the thread that serves the main queue looks whether it is to end.
const SERVE: Duration = Duration::from_millis(100);

/// A partition as it was when the source was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KafkaPartition {
    /// `kafka:TOPIC/P`
    pub(crate) name: String,
    pub(crate) kind: EventKind,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Its first offset.
    pub(crate) low: u64,
    /// The offset of the record that came next: the end of the backlog.
    pub(crate) high: u64,
}

/// A connected consumer.
pub(crate) struct Cluster {
    config: KafkaConfig,
    consumer: Arc<BaseConsumer<Ears>>,
    partitions: Vec<KafkaPartition>,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

/// Something to be tried again, or not.
enum Fault {
    Later(String),
    Never(KafkaError),
}

impl Cluster {
    /// Connects, and looks up the partitions of all topics. Waits for brokers that do not answer, until told to stop.
    pub(crate) fn connect(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let ahead = (config.fetch_ahead >> 10).clamp(1, 2_097_151).to_string();
        let own = [
            // The client wants a group's name to be assigned partitions; without commits nobody else hears of it.
            ("group.id", config.group.as_deref().unwrap_or("freshet")),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("statistics.interval.ms", "1000"),
            // A queue of its own for each partition: the bound counts for each.
            ("queued.max.messages.kbytes", &ahead),
            // A partition whose queue was full is fetched again soon.
            ("fetch.queue.backoff.ms", "20"),
            ("reconnect.backoff.max.ms", "2000"),
        ];
        let consumer: BaseConsumer<Ears> =
            config.connection.client(&own, Ears::new("input", &config.connection.brokers))?;
        let consumer = Arc::new(consumer);
        let mut pause = FIRST_PAUSE;
        let partitions = loop {
            match find(config, &consumer) {
                Ok(partitions) => break partitions,
                Err(Fault::Never(error)) => return Err(error),
                Err(Fault::Later(reason)) => {
                    // Errors of the client come through its main queue, behind statistics: a look without waiting would end with
                    // the first of these. Brokers that are away add errors without end: some are enough.
                    for _ in 0..COMPLAINTS {
                        if consumer.context().denied().is_some() || consumer.poll(LISTEN).is_none() {
                            break;
                        }
                    }
                    if let Some(what) = consumer.context().denied() {
                        return Err(KafkaError::Denied { brokers: config.connection.brokers.clone(), what });
                    }
                    consumer.context().unreachable(&reason);
                    wait(config, pause)?;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        consumer.context().reachable();
        let ended = Arc::new(AtomicBool::new(false));
        let server = {
            let (consumer, ended) = (Arc::clone(&consumer), Arc::clone(&ended));
            std::thread::Builder::new()
                .name("kafka".to_owned())
                .spawn(move || {
                    while !ended.load(Relaxed) {
                        // Partitions have queues of their own: what comes here is for the context.
                        if let Some(Err(error)) = consumer.poll(SERVE) {
                            tracing::debug!(target: "librdkafka", %error, "on the main queue");
                        }
                    }
                })
                .map_err(|e| KafkaError::Read {
                    name: "the thread \"kafka\"".to_owned(),
                    what: e.to_string(),
                })?
        };
        Ok(Self { config: config.clone(), consumer, partitions, ended, server: Some(server) })
    }

    /// All partitions, by kind, topic and number.
    pub(crate) fn partitions(&self) -> &[KafkaPartition] {
        &self.partitions
    }

    pub(crate) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    pub(super) fn consumer(&self) -> Arc<BaseConsumer<Ears>> {
        Arc::clone(&self.consumer)
    }

    /// The queue of one partition. To be asked for before [`Cluster::assign`].
    pub(super) fn queue(&self, partition: &KafkaPartition) -> Result<PartitionQueue<Ears>, KafkaError> {
        self.consumer.split_partition_queue(&partition.topic, partition.partition).ok_or_else(|| {
            KafkaError::Read {
                name: partition.name.clone(),
                what: "the client has no queue for it".to_owned(),
            }
        })
    }

    /// Begins to fetch: each partition from an offset on, or from its beginning.
    pub(crate) fn assign<'a>(
        &self,
        from: impl IntoIterator<Item = (&'a KafkaPartition, Option<u64>)>,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        let failed = |name: &str| {
            let name = name.to_owned();
            move |e: freshet_kafka::rdkafka::error::KafkaError| KafkaError::Read { name, what: e.to_string() }
        };
        for (partition, from) in from {
            let from = from.and_then(|offset| i64::try_from(offset).ok());
            let offset = from.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&partition.topic, partition.partition, offset)
                .map_err(failed(&partition.name))?;
        }
        self.consumer.assign(&list).map_err(failed("the assignment"))
    }

    /// The high watermark as it was heard last.
    pub(crate) fn high(&self, partition: &KafkaPartition) -> u64 {
        self.consumer.context().high(&partition.topic, partition.partition).unwrap_or(partition.high)
    }

    /// What the client has handed out of each partition, as the offset behind it: also behind what no reader ever sees, such as the
    /// marker at the end of a transaction. By topic and number; those of which nothing was handed out are missing.
    pub(crate) fn positions(&self) -> BTreeMap<(String, i32), u64> {
        // The client's own state, no question to a broker; it fails where nothing is assigned.
        let Ok(list) = self.consumer.position() else { return BTreeMap::new() };
        let next = |offset| match offset {
            Offset::Offset(next) => u64::try_from(next).ok(),
            _ => None,
        };
        let elements = list.elements();
        let known = elements
            .iter()
            .filter_map(|of| Some(((of.topic().to_owned(), of.partition()), next(of.offset())?)));
        known.collect()
    }

    /// Commits consumed offsets to the group, where one is configured. For monitoring: a failure is of no consequence.
    pub(crate) fn commit(&self, consumed: &[(&KafkaPartition, u64)]) {
        if self.config.group.is_none() || consumed.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in consumed {
            let offset = Offset::Offset(i64::try_from(*next).unwrap_or(i64::MAX));
            if list.add_partition_offset(&partition.topic, partition.partition, offset).is_err() {
                return;
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "offsets were not committed for monitoring");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(server) = self.server.take() {
            // It only polls; were it to panic, there would be nothing left to do here.
            drop(server.join());
        }
    }
}

/// Sleeps, unless told to stop.
fn wait(config: &KafkaConfig, pause: Duration) -> Result<(), KafkaError> {
    let mut left = pause;
    loop {
        if config.stop.load(Relaxed) {
            return Err(KafkaError::Stopped(config.connection.brokers.clone()));
        }
        if left.is_zero() {
            return Ok(());
        }
        let nap = left.min(SERVE);
        std::thread::sleep(nap);
        left -= nap;
    }
}

fn find(config: &KafkaConfig, consumer: &BaseConsumer<Ears>) -> Result<Vec<KafkaPartition>, Fault> {
    let mut found = Vec::new();
    for (kind, topic) in config.topics.iter() {
        if config.stop.load(Relaxed) {
            return Err(Fault::Never(KafkaError::Stopped(config.connection.brokers.clone())));
        }
        let metadata =
            consumer.fetch_metadata(Some(topic), ANSWER).map_err(|error| Fault::Later(error.to_string()))?;
        let Some(about) = metadata.topics().iter().find(|t| t.name() == topic) else {
            return Err(Fault::Later(format!("no answer about the topic {topic}")));
        };
        if let Some(code) = about.error() {
            return Err(topic_fault(config, kind, topic, code.into()));
        }
        let mut numbers: Vec<i32> = about.partitions().iter().map(|p| p.id()).collect();
        numbers.sort_unstable();
        for partition in numbers {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition, ANSWER)
                .map_err(|error| Fault::Later(error.to_string()))?;
            found.push(KafkaPartition {
                name: format!("{PREFIX}{topic}/{partition}"),
                kind,
                topic: topic.to_owned(),
                partition,
                low: u64::try_from(low).unwrap_or(0),
                high: u64::try_from(high).unwrap_or(0),
            });
        }
    }
    Ok(found)
}

fn topic_fault(config: &KafkaConfig, kind: EventKind, topic: &str, code: Code) -> Fault {
    let (key, topic) = (kind.folder(), topic.to_owned());
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            Fault::Never(KafkaError::NoTopic { key, topic, brokers: config.connection.brokers.clone() })
        }
        Code::TopicAuthorizationFailed | Code::InvalidTopic | Code::ClusterAuthorizationFailed => {
            Fault::Never(KafkaError::Refused { key, topic, what: code.to_string() })
        }
        other => Fault::Later(format!("{topic}: {other}")),
    }
}
