//! What a live epoch takes of each partition.
//!
//! An epoch has a bound in records and one in bytes. Taken in order of the partitions, a backlog of large records in the first would fill
//! all of it, epoch after epoch, and the others would stand still. So each first takes its share; what is left then goes to those
//! that have more. Which comes first turns with the epochs: where one record is larger than a share, there may be no room for all.
//!
//! None of this has to be repeatable: a binding says how far each partition was read, and a replay goes by that.

use freshet_schema::Millis;

use super::SourceError;
use super::lane::{Content, Head, Lane};
use crate::validate::ClockRule;

/// What may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) records: usize,
    pub(super) bytes: u64,
}

impl Room {
    /// An equal part for each of so many; not less than one record.
    fn share(self, of: usize) -> Self {
        Self { records: self.records.div_ceil(of), bytes: self.bytes.div_ceil(of as u64) }
    }

    /// Whether there is room for one more record: any but the first must fit in.
    fn has(self, taken: &Content, size: u64) -> bool {
        taken.len() < self.records && (taken.len() == 0 || taken.bytes.saturating_add(size) <= self.bytes)
    }

    /// Whether an epoch that holds so much is open for more. It is exceeded by its last record, at most.
    fn is_open(self, records: usize, bytes: u64) -> bool {
        records < self.records && bytes < self.bytes
    }
}

/// What was taken.
pub(super) struct Taken {
    /// By number of the lanes.
    pub(super) contents: Vec<Content>,
    /// Something is left that could have been taken, had there been room.
    pub(super) more: bool,
    /// Records of a lane are on their way.
    pub(super) waits: bool,
}

/// Takes what is `due` of the lanes, up to `room`, beginning with the lane number `first` modulo their count.
pub(super) fn take(
    lanes: &mut [Lane],
    first: u64,
    room: Room,
    (min_event_time, rule): (Millis, ClockRule),
    due: impl Fn(&Lane) -> bool,
) -> Result<Taken, SourceError> {
    let count = lanes.len();
    let mut contents: Vec<Content> = lanes.iter().map(|_| Content::default()).collect();
    let (mut records, mut bytes, mut more) = (0, 0, false);
    let share = room.share(count.max(1));
    for own_room in [share, room] {
        more = false;
        for number in (0..count).map(|n| (n + (first % count as u64) as usize) % count) {
            let (lane, own) = (&mut lanes[number], &mut contents[number]);
            while lane.head()? == Head::Record && due(lane) {
                let size = lane.head_size();
                if !room.is_open(records, bytes) || !own_room.has(own, size) {
                    more = true;
                    break;
                }
                lane.take(min_event_time, rule, own);
                records += 1;
                bytes += size;
            }
        }
    }
    let waits = lanes.iter().any(|lane| lane.state() == Head::Wait);
    Ok(Taken { contents, more, waits })
}
