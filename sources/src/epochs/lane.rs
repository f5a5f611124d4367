//! One partition on its way into epochs: a reader, one record of look-ahead, and how far it was consumed.

use std::sync::Arc;

use freshet_schema::dead_letter::Stage;
use freshet_schema::{Millis, dead_letter::DeadLetter};

use super::{Position, Record, SourceError};
use crate::journal::{At, Moved};
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

    /// Adds what a partition of a higher number gathered.
    pub(super) fn append(&mut self, mut next: Self) {
        self.records.append(&mut next.records);
        self.dead_letters.append(&mut next.dead_letters);
        self.bytes += next.bytes;
    }
}

pub(super) struct Lane {
    pub(super) name: Arc<str>,
    number: u32,
    reader: PartitionReader,
    extent: Extent,
    head: Option<Item>,
    /// Greatest valid event time consumed.
    pub(super) greatest: Option<Millis>,
    offset: u64,
    checksum: u64,
    /// The file's length when it was last looked at.
    pub(super) length: u64,
}

impl Lane {
    pub(super) fn open(partition: Partition, number: u32, limits: Limits) -> Result<Self, LogError> {
        let name = Arc::from(partition.name.as_str());
        let reader = PartitionReader::open(partition, number, limits)?;
        let length = reader.length()?;
        let extent = Extent { length: 0, ends: false };
        Ok(Self { name, number, reader, extent, head: None, greatest: None, offset: 0, checksum: 0, length })
    }

    /// Goes to where a checkpoint left the partition, and checks that what lies before is what it was.
    pub(super) fn resume(&mut self, at: &At) -> Result<(), SourceError> {
        if at.next_offset > 0 {
            let (offset, checksum) = self.reader.skip(at.next_offset)?;
            if (offset, checksum) != (at.next_offset, at.checksum) {
                return Err(SourceError::PrefixChanged {
                    path: self.reader.partition().path.clone(),
                    offset: at.next_offset,
                    what: if offset < at.next_offset {
                        "it is shorter than it was"
                    } else {
                        "its checksum differs"
                    },
                });
            }
        }
        (self.offset, self.checksum, self.greatest) = (at.next_offset, at.checksum, at.greatest);
        Ok(())
    }

    /// Looks at the file again and makes visible what it holds now. A file that may grow ends nowhere while it is
    /// followed.
    pub(super) fn extend(&mut self, follow: bool) -> Result<(), LogError> {
        let grows = self.reader.partition().format.may_grow();
        // The others do not change, and what they hold is known.
        if grows || self.extent != Extent::ALL {
            self.length = self.reader.length()?;
            self.extent = if grows { Extent { length: self.length, ends: !follow } } else { Extent::ALL };
        }
        Ok(())
    }

    /// Makes what was read of a growing file durable. Its writer may not have come to that yet, and a binding must not name
    /// bytes that a power cut takes back.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let partition = self.reader.partition();
        if !partition.format.may_grow() {
            return Ok(());
        }
        let synced = std::fs::File::open(&partition.path).and_then(|file| file.sync_data());
        synced.map_err(|e| LogError::io("sync", &partition.path, e))
    }

    /// The next record, if there is one.
    pub(super) fn head(&mut self) -> Result<Option<&Item>, LogError> {
        if self.head.is_none() {
            self.head = self.reader.next(self.extent)?;
        }
        Ok(self.head.as_ref())
    }

    /// Whether a record waits in the look-ahead.
    pub(super) fn waits(&self) -> bool {
        self.head.is_some()
    }

    /// The event time of the next record, if there is one and it is valid.
    pub(super) fn head_time(&self) -> Option<Millis> {
        self.head.as_ref().and_then(|item| item.decoded.as_ref().ok()).map(|event| event.event_time())
    }

    /// The greatest event time that this partition has reached with its next record. A refused record moves nothing.
    pub(super) fn reached(&self, min_event_time: Millis, rule: ClockRule) -> Option<Millis> {
        self.head_time().filter(|time| check_clock(*time, min_event_time, rule).is_ok()).max(self.greatest)
    }

    /// Consumes the next record.
    pub(super) fn take(&mut self, min_event_time: Millis, rule: ClockRule, content: &mut Content) {
        let Some(item) = self.head.take() else { return };
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

    /// Consumes exactly what a binding says, and checks that it is what it was.
    pub(super) fn replay(
        &mut self,
        to: Moved,
        min_event_time: Millis,
        rule: ClockRule,
        content: &mut Content,
    ) -> Result<(), SourceError> {
        // The end of the bound part counts as the end of the file: a last line without newline was a record then.
        self.extent = if self.reader.partition().format.may_grow() {
            Extent { length: to.next_offset, ends: true }
        } else {
            Extent::ALL
        };
        let changed = |lane: &Self, what| SourceError::PrefixChanged {
            path: lane.reader.partition().path.clone(),
            offset: to.next_offset,
            what,
        };
        while self.offset < to.next_offset {
            match self.head()? {
                None => return Err(changed(self, "it is shorter than it was")),
                Some(item) if item.next_offset > to.next_offset => {
                    return Err(changed(self, "its records end elsewhere"));
                }
                Some(_) => self.take(min_event_time, rule, content),
            }
        }
        if (self.offset, self.checksum) != (to.next_offset, to.checksum) {
            return Err(changed(self, "its checksum differs"));
        }
        Ok(())
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

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.bytes_read(self.length)
    }
}
