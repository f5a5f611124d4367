//! One partition on its way into epochs: a reader, one record of look-ahead, and how far it was consumed.

use std::sync::Arc;

use freshet_schema::dead_letter::Stage;
use freshet_schema::{Millis, dead_letter::DeadLetter};

use super::{Position, Record, SourceError};
use crate::journal::{At, Moved};
use crate::kafka::{Cluster, KafkaError, KafkaPartition, KafkaReader, Next};
use crate::log::{Extent, Item, LogError, Partition, PartitionReader, dead_letter};
use crate::validate::{ClockRule, Limits, check_clock};

/// What an epoch gathers.
#[derive(Default)]
pub(super) struct Content {
    pub(super) records: Vec<Record>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) bytes: u64,
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.records.len() + self.dead_letters.len()
    }

    /// What all partitions gathered, in order of their numbers.
    pub(super) fn all(of: Vec<Self>) -> Self {
        let mut all = Self::default();
        for mut own in of {
            all.records.append(&mut own.records);
            all.dead_letters.append(&mut own.dead_letters);
            all.bytes += own.bytes;
        }
        all
    }
}

/// What a lane has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A record.
    Record,
    /// Nothing now, and more is known to come: nobody can say what time it has.
    Wait,
    /// Nothing more, as far as the input goes now.
    End,
}

enum Input {
    File {
        reader: Box<PartitionReader>,
        extent: Extent,
        /// The file's length when it was last looked at.
        length: u64,
    },
    Kafka {
        reader: Box<KafkaReader>,
        /// The offset before which it ends; none while it is followed.
        until: Option<u64>,
    },
}

pub(super) struct Lane {
    pub(super) name: Arc<str>,
    number: u32,
    input: Input,
    head: Option<Item>,
    /// What it had to give when it was last asked.
    state: Head,
    /// How far ahead of its own timestamp a record's time may be, in milliseconds.
    max_future_skew_ms: u64,
    /// Greatest valid event time consumed.
    pub(super) greatest: Option<Millis>,
    offset: u64,
    checksum: u64,
}

impl Lane {
    pub(super) fn open(partition: Partition, number: u32, limits: Limits) -> Result<Self, LogError> {
        let name = Arc::from(partition.name.as_str());
        let reader = Box::new(PartitionReader::open(partition, number, limits)?);
        let length = reader.length()?;
        let extent = Extent { length: 0, ends: false };
        Ok(Self::of(name, number, Input::File { reader, extent, length }, (0, 0)))
    }

    /// A file, from where a checkpoint left it. What lies before must be what it was.
    pub(super) fn resume(
        partition: Partition,
        number: u32,
        limits: Limits,
        at: &At,
    ) -> Result<Self, SourceError> {
        let mut lane = Self::open(partition, number, limits)?;
        if let Input::File { reader, .. } = &mut lane.input
            && at.next_offset > 0
        {
            let (offset, checksum) = reader.skip(at.next_offset)?;
            if (offset, checksum) != (at.next_offset, at.checksum) {
                return Err(SourceError::PrefixChanged {
                    path: reader.partition().path.clone(),
                    offset: at.next_offset,
                    what: if offset < at.next_offset {
                        "it is shorter than it was"
                    } else {
                        "its checksum differs"
                    },
                });
            }
        }
        (lane.offset, lane.checksum, lane.greatest) = (at.next_offset, at.checksum, at.greatest);
        Ok(lane)
    }

    /// Over a Kafka partition, from its beginning or from where a checkpoint says.
    pub(super) fn kafka(
        cluster: &Cluster,
        partition: KafkaPartition,
        number: u32,
        limits: Limits,
        max_future_skew_ms: u64,
        at: &At,
    ) -> Result<Self, KafkaError> {
        let name = Arc::from(partition.name.as_str());
        let resume = (at.next_offset > 0).then_some((at.next_offset, at.checksum));
        let reader = Box::new(KafkaReader::open(cluster, partition, number, limits, resume)?);
        let input = Input::Kafka { reader, until: None };
        let lane = Self::of(name, number, input, resume.unwrap_or((0, 0)));
        Ok(Self { max_future_skew_ms, greatest: at.greatest, ..lane })
    }

    fn of(name: Arc<str>, number: u32, input: Input, (offset, checksum): (u64, u64)) -> Self {
        let (head, state, greatest) = (None, Head::Wait, None);
        Self { name, number, input, head, state, max_future_skew_ms: 0, greatest, offset, checksum }
    }

    /// The Kafka partition, where it is one.
    pub(super) fn kafka_reader(&self) -> Option<&KafkaReader> {
        match &self.input {
            Input::Kafka { reader, .. } => Some(reader),
            Input::File { .. } => None,
        }
    }

    /// Looks at the input again and makes visible what it holds now. A file that may grow ends nowhere while it is
    /// followed. A Kafka partition ends where it ended when the source was opened; see [`Lane::go_on`].
    pub(super) fn extend(&mut self, follow: bool) -> Result<(), LogError> {
        match &mut self.input {
            Input::File { reader, extent, length } => {
                let grows = reader.partition().format.may_grow();
                // The others do not change, and what they hold is known.
                if grows || *extent != Extent::ALL {
                    *length = reader.length()?;
                    *extent = if grows { Extent { length: *length, ends: !follow } } else { Extent::ALL };
                }
            }
            Input::Kafka { reader, until } => {
                if !follow {
                    *until = Some(reader.partition().high);
                }
            }
        }
        Ok(())
    }

    /// Ends where the partition ended when the source was opened: that is the backlog.
    pub(super) fn stop_at_backlog(&mut self) {
        if let Input::Kafka { reader, until } = &mut self.input {
            *until = Some(reader.partition().high);
        }
    }

    /// Ends no more: what comes is followed.
    pub(super) fn go_on(&mut self) {
        if let Input::Kafka { until, .. } = &mut self.input {
            *until = None;
        }
    }

    /// Makes what was read of a growing file durable. Its writer may not have come to that yet, and a binding must not name
    /// bytes that a power cut takes back. Of Kafka only what is replicated is read.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let Input::File { reader, .. } = &self.input else { return Ok(()) };
        let partition = reader.partition();
        if !partition.format.may_grow() {
            return Ok(());
        }
        let synced = std::fs::File::open(&partition.path).and_then(|file| file.sync_data());
        synced.map_err(|e| LogError::io("sync", &partition.path, e))
    }

    /// Looks for the next record.
    pub(super) fn head(&mut self) -> Result<Head, SourceError> {
        if self.head.is_none() {
            (self.head, self.state) = match &mut self.input {
                Input::File { reader, extent, .. } => match reader.next(*extent)? {
                    Some(item) => (Some(item), Head::Record),
                    None => (None, Head::End),
                },
                Input::Kafka { reader, until } => match reader.next(*until)? {
                    Next::Item(item) => (Some(item), Head::Record),
                    Next::Wait => (None, Head::Wait),
                    Next::End => (None, Head::End),
                },
            };
        }
        Ok(self.state)
    }

    /// What the last look found.
    pub(super) fn state(&self) -> Head {
        self.state
    }

    /// Whether a record waits in the look-ahead.
    pub(super) fn waits(&self) -> bool {
        self.head.is_some()
    }

    /// Bytes of the next record; 0 without one.
    pub(super) fn head_size(&self) -> u64 {
        self.head.as_ref().map_or(0, |item| item.raw.len() as u64)
    }

    /// The event time of the next record, if there is one and it is valid.
    pub(super) fn head_time(&self) -> Option<Millis> {
        self.head.as_ref().and_then(|item| item.decoded.as_ref().ok()).map(|event| event.event_time())
    }

    /// The greatest event time that this partition has reached with its next record. A refused record moves nothing.
    pub(super) fn reached(&self, min_event_time: Millis, rule: ClockRule) -> Option<Millis> {
        let rule = self.head.as_ref().map_or(rule, |item| self.rule(item, rule));
        self.head_time().filter(|time| check_clock(*time, min_event_time, rule).is_ok()).max(self.greatest)
    }

    /// In a replay a record may not be from after its own timestamp, where it has one: whoever wrote it could not know.
    fn rule(&self, item: &Item, rule: ClockRule) -> ClockRule {
        match (rule, item.stamp) {
            (ClockRule::Replay { max_event_time }, Some(stamp)) => {
                ClockRule::Replay { max_event_time: max_event_time.min(stamp.plus(self.max_future_skew_ms)) }
            }
            _ => rule,
        }
    }

    /// Consumes the next record.
    pub(super) fn take(&mut self, min_event_time: Millis, rule: ClockRule, content: &mut Content) {
        let Some(item) = self.head.take() else { return };
        let rule = self.rule(&item, rule);
        // Until the next look.
        self.state = Head::Wait;
        self.offset = item.next_offset;
        self.checksum = item.checksum;
        content.bytes += item.raw.len() as u64;
        match item.decoded {
            Err(letter) => content.dead_letters.push(letter),
            Ok(event) => match check_clock(event.event_time(), min_event_time, rule) {
                Ok(()) => {
                    self.greatest = self.greatest.max(Some(event.event_time()));
                    content.records.push(Record { origin: item.origin, event });
                }
                Err(r) => content.dead_letters.push(dead_letter(
                    &self.name,
                    item.origin.offset,
                    Stage::Clock,
                    r.reason,
                    r.detail,
                    &item.raw,
                )),
            },
        }
    }

    /// Consumes exactly what a binding says, and checks that it is what it was. `false`: the rest is still on its way; to be
    /// called again.
    pub(super) fn replay(
        &mut self,
        to: Moved,
        min_event_time: Millis,
        rule: ClockRule,
        content: &mut Content,
    ) -> Result<bool, SourceError> {
        if let Input::File { reader, extent, .. } = &mut self.input {
            // The end of the bound part counts as the end of the file: a last line without newline was a record then.
            *extent = if reader.partition().format.may_grow() {
                Extent { length: to.next_offset, ends: true }
            } else {
                Extent::ALL
            };
        }
        let changed = |lane: &Self, what| match &lane.input {
            Input::File { reader, .. } => SourceError::PrefixChanged {
                path: reader.partition().path.clone(),
                offset: to.next_offset,
                what,
            },
            Input::Kafka { reader, .. } => reader.mismatch(to.next_offset, what).into(),
        };
        while self.offset < to.next_offset {
            match self.head()? {
                Head::Wait => return Ok(false),
                Head::End => return Err(changed(self, "it is shorter than it was")),
                Head::Record => {
                    if self.head.as_ref().is_some_and(|item| item.next_offset > to.next_offset) {
                        return Err(changed(self, "its records end elsewhere"));
                    }
                    self.take(min_event_time, rule, content);
                }
            }
        }
        if (self.offset, self.checksum) != (to.next_offset, to.checksum) {
            return Err(changed(self, "its checksum differs"));
        }
        Ok(true)
    }

    pub(super) fn moved(&self) -> Moved {
        Moved { partition: self.number, next_offset: self.offset, checksum: self.checksum }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            partition: self.number,
            name: Arc::clone(&self.name),
            next_offset: self.offset,
            checksum: self.checksum,
            greatest: self.greatest,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes read, and bytes that there are.
    pub(super) fn progress(&self) -> (u64, u64) {
        match &self.input {
            Input::File { reader, length, .. } => (reader.bytes_read(*length), *length),
            Input::Kafka { reader, .. } => reader.progress(),
        }
    }
}
