//! Reads one Kafka partition, record by record. Whatever a record holds, it is an event or a dead letter.

use std::sync::Arc;
use std::time::Duration;

use freshet_kafka::rdkafka::consumer::base_consumer::PartitionQueue;
use freshet_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use freshet_kafka::rdkafka::error::{KafkaError as Client, RDKafkaErrorCode as Code};
use freshet_kafka::rdkafka::message::{BorrowedMessage, Message};
use freshet_kafka::{Ears, Payload};
use freshet_schema::dead_letter::{Reason, Stage};
use freshet_schema::event::Origin;
use freshet_schema::wire::{self, WireError};
use freshet_schema::{EventKind, Millis};

use super::cluster::{ANSWER, Cluster, KafkaPartition};
use super::error::KafkaError;
use super::mark;
use crate::log::{Fault, Item, Judge, decode_json};
use crate::validate::Limits;

/// What a partition has now.
#[allow(
    clippy::large_enum_variant,
    reason = "taken apart where it is made; a box would cost each record an allocation"
)]
pub(crate) enum Next {
    /// A record.
    Item(Item),
    /// Nothing yet: records are on their way, or the brokers do not answer.
    Wait,
    /// Nothing: the end of what is to be read, or all that there is.
    End,
}

/// Reads a partition from where it was assigned.
pub(crate) struct KafkaReader {
    partition: KafkaPartition,
    queue: PartitionQueue<Ears>,
    consumer: Arc<BaseConsumer<Ears>>,
    payload: Payload,
    judge: Judge,
    /// The offset that comes next, checksum of what was read before it.
    position: u64,
    checksum: u64,
    /// The record that must lie before `position`, where reading begins there: its offset and its hash.
    anchor: Option<(u64, u32)>,
    /// The client said that there is no more for now.
    at_end: bool,
    /// Bytes and records read.
    bytes: u64,
    records: u64,
}

impl KafkaReader {
    /// Opens a partition's queue; nothing comes before [`Cluster::assign`]. Its `number` goes into the origins. `resume` is
    /// where reading goes on, next offset and checksum; without it reading begins with the partition.
    pub(crate) fn open(
        cluster: &Cluster,
        partition: KafkaPartition,
        number: u32,
        limits: Limits,
        resume: Option<(u64, u64)>,
    ) -> Result<Self, KafkaError> {
        let (position, checksum) = resume.unwrap_or((partition.low, 0));
        if position < partition.low {
            let (name, begins) = (partition.name, partition.low);
            return Err(KafkaError::OutOfRange { name, wanted: position, begins });
        }
        holds(&partition, position)?;
        // What retention took cannot be compared, and need not be read again.
        let anchor = resume.filter(|(next, _)| *next > partition.low);
        Ok(Self {
            queue: cluster.queue(&partition)?,
            consumer: cluster.consumer(),
            payload: cluster.config().payloads.of(partition.kind),
            judge: Judge { name: partition.name.clone(), number, kind: partition.kind, limits },
            position,
            checksum,
            anchor: anchor.map(|(next, checksum)| (next - 1, mark::last(checksum))),
            at_end: false,
            bytes: 0,
            records: 0,
            partition,
        })
    }

    /// Refuses a partition that cannot hold what the journal says was consumed of it: `first` and `last` are the next
    /// offsets of its first and its last binding.
    pub(crate) fn check(&self, first: u64, last: u64) -> Result<(), KafkaError> {
        if self.partition.low >= first && first > 0 {
            let (name, begins) = (self.partition.name.clone(), self.partition.low);
            return Err(KafkaError::OutOfRange { name, wanted: self.position.min(first - 1), begins });
        }
        holds(&self.partition, last)
    }

    /// The partition.
    pub(crate) fn partition(&self) -> &KafkaPartition {
        &self.partition
    }

    /// From where it is to be assigned; `None` is its beginning.
    pub(crate) fn from(&self) -> Option<u64> {
        match self.anchor {
            Some((offset, _)) => Some(offset),
            None => (self.position > self.partition.low).then_some(self.position),
        }
    }

    /// Bytes read so far, and an estimate of what all of the backlog has.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let done = self.position.saturating_sub(self.partition.low);
        let all = self.partition.high.saturating_sub(self.partition.low).max(done);
        let total = u128::from(self.bytes) * u128::from(all) / u128::from(done.max(1));
        (self.bytes, u64::try_from(total).unwrap_or(u64::MAX))
    }

    /// The next record before `until`. Does not wait.
    ///
    /// # Errors
    /// Where the partition is not the one that was consumed, or cannot be read on.
    pub(crate) fn next(&mut self, until: Option<u64>) -> Result<Next, KafkaError> {
        loop {
            if until.is_some_and(|until| self.position >= until) {
                return Ok(Next::End);
            }
            let item = match self.queue.poll(Duration::ZERO) {
                None => return Ok(if self.at_end { Next::End } else { Next::Wait }),
                Some(Err(Client::PartitionEOF(_))) => {
                    self.at_end = true;
                    self.check_anchor(None)?;
                    continue;
                }
                Some(Err(error)) => match self.fault(&error) {
                    Some(fault) => return Err(fault),
                    None => continue,
                },
                Some(Ok(message)) => read(
                    &message,
                    &self.judge,
                    self.payload,
                    (self.position, self.checksum),
                    self.anchor.is_some(),
                )?,
            };
            self.at_end = false;
            match item {
                Read::Before { offset, hash } => self.check_anchor(Some((offset, hash)))?,
                Read::Item(item) => {
                    self.check_anchor(None)?;
                    self.position = item.next_offset;
                    self.checksum = item.checksum;
                    self.bytes += item.raw.len() as u64;
                    self.records += 1;
                    return Ok(Next::Item(item));
                }
            }
        }
    }

    /// Compares the record before the place where reading goes on with the one that was consumed there. `None`: it is gone,
    /// by compaction, and cannot be compared.
    fn check_anchor(&mut self, found: Option<(u64, u32)>) -> Result<(), KafkaError> {
        let Some((offset, hash)) = self.anchor else { return Ok(()) };
        match found {
            Some((at, _)) if at < offset => return Ok(()),
            Some((at, found)) if at == offset && found != hash => {
                return Err(self.recreated(format!("the record at offset {offset} is another one")));
            }
            Some(_) => {}
            None => tracing::warn!(
                partition = self.partition.name,
                offset,
                "the last record that was consumed is gone, so that it cannot be told whether this is the same topic"
            ),
        }
        self.anchor = None;
        Ok(())
    }

    /// The offset that comes next is none of the partition's: it was removed, or there are fewer records than before.
    fn out_of_range(&self) -> KafkaError {
        let wanted = self.position;
        match self.consumer.fetch_watermarks(&self.partition.topic, self.partition.partition, ANSWER) {
            Ok((low, _)) if u64::try_from(low).is_ok_and(|low| low > wanted) => KafkaError::OutOfRange {
                name: self.partition.name.clone(),
                wanted,
                begins: u64::try_from(low).unwrap_or(wanted),
            },
            Ok((_, high)) => {
                self.recreated(format!("it ends at offset {high}, and it was read up to {wanted}"))
            }
            Err(_) => self.recreated(format!("there is no offset {wanted} any more")),
        }
    }

    /// What an exact replay found at `offset` is not what was bound.
    pub(crate) fn mismatch(&self, offset: u64, what: &str) -> KafkaError {
        let low = self.partition.low;
        self.recreated(match low {
            0 => format!("before offset {offset}, {what}"),
            low => {
                format!("before offset {offset}, {what} (retention has moved its beginning to offset {low})")
            }
        })
    }

    fn recreated(&self, what: String) -> KafkaError {
        KafkaError::Recreated { name: self.partition.name.clone(), what }
    }

    /// What an error of the client means; `None` where it mends itself.
    fn fault(&self, error: &Client) -> Option<KafkaError> {
        let (name, kind) = (self.partition.name.clone(), self.partition.kind);
        let read = |what: String| KafkaError::Read { name: name.clone(), what };
        if let Client::MessageConsumptionFatal(code) = error {
            return Some(read(code.to_string()));
        }
        match error.rdkafka_error_code()? {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(self.out_of_range()),
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId => Some(KafkaError::Recreated {
                name,
                what: "the topic was deleted while it was read".to_owned(),
            }),
            Code::TopicAuthorizationFailed => Some(KafkaError::Refused {
                key: kind.folder(),
                topic: self.partition.topic.clone(),
                what: error.to_string(),
            }),
            other => {
                tracing::debug!(partition = self.partition.name, code = %other, "the client mends this itself");
                None
            }
        }
    }
}

/// Whether a partition can hold what was consumed of it.
fn holds(partition: &KafkaPartition, consumed: u64) -> Result<(), KafkaError> {
    if partition.high >= consumed {
        return Ok(());
    }
    let what = format!("it ends at offset {}, and it was read up to {consumed}", partition.high);
    Err(KafkaError::Recreated { name: partition.name.clone(), what })
}

#[allow(clippy::large_enum_variant, reason = "as above")]
enum Read {
    /// A record from before the place where reading goes on.
    Before {
        offset: u64,
        hash: u32,
    },
    Item(Item),
}

fn read(
    message: &BorrowedMessage<'_>,
    judge: &Judge,
    payload: Payload,
    (position, checksum): (u64, u64),
    anchored: bool,
) -> Result<Read, KafkaError> {
    let value = message.payload();
    let offset = u64::try_from(message.offset()).unwrap_or(0);
    if offset < position {
        if anchored {
            return Ok(Read::Before { offset, hash: mark::last_of(offset, value) });
        }
        let what = format!("offset {offset} came after offset {position}");
        return Err(KafkaError::Recreated { name: judge.name.clone(), what });
    }
    let stamp = message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).map(Millis);
    let origin = Origin { partition: judge.number, offset };
    let decoded = match value {
        None => Err(judge.refuse(
            offset,
            Stage::Decode,
            Reason::NoValue,
            "a record without a value; to forget something, write to the topic of deletes".to_owned(),
            &[],
        )),
        Some(bytes) => judge.decide(offset, bytes, |kind, bytes| decode(payload, kind, bytes)),
    };
    Ok(Read::Item(Item {
        origin,
        next_offset: offset + 1,
        checksum: mark::after(checksum, offset, value),
        raw: value.unwrap_or_default().to_vec(),
        stamp,
        decoded,
    }))
}

fn decode(payload: Payload, kind: EventKind, bytes: &[u8]) -> Result<freshet_schema::Event, Fault> {
    match payload {
        Payload::Json => decode_json(kind, bytes.trim_ascii()),
        Payload::Protobuf => wire::decode(kind, bytes).map_err(|error| Fault {
            reason: match error {
                WireError::Malformed(_) => Reason::NotProtobuf,
                WireError::Missing(_) => Reason::MissingField,
                WireError::Unknown { .. } => Reason::WrongType,
            },
            detail: error.to_string(),
        }),
    }
}
