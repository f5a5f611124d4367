//! A log in the order of its events, whole in memory.
//!
//! A replay takes a log as it arrived; a measurement takes it as it happened: by (event time, user, item), of equals in the
//! order of the log. Of one moment, what is no interaction comes first, so that an upload which an importer derived from the
//! first view stands before that view, and before nothing else.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_schema::Event;
use freshet_schema::event::Origin;
use freshet_sources::log::{Extent, PartitionReader, discover};
use freshet_sources::validate::{ClockRule, Limits, check_clock};

use crate::config::Clock;
use crate::progress::Progress;

/// See the module. Boxed, so that memory is given back as events are learned.
pub struct Log {
    /// In order.
    pub records: Vec<(Origin, Box<Event>)>,
    /// Interactions among them.
    pub interactions: usize,
    /// Records that a replay would set aside as dead letters.
    pub refused: u64,
    /// Why the first of them was.
    pub first_refusal: Option<String>,
}

/// Reads the log at `dir`: the first `limit` interactions in order and whatever lies before them.
///
/// # Errors
/// Where there is no log, or a file cannot be read, or it holds no interaction; where `stop` is set.
pub fn read(
    dir: &Path,
    clock: &Clock,
    limit: Option<usize>,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Log> {
    let mut log = Log { records: Vec::new(), interactions: 0, refused: 0, first_refusal: None };
    // A measurement has no wall clock: without a configured end, no time is too late.
    let rule = ClockRule::Replay {
        max_event_time: clock.max_event_time.unwrap_or(freshet_schema::Millis(u64::MAX)),
    };
    let mut readers = Vec::new();
    for (number, partition) in discover(dir)?.into_iter().enumerate() {
        let number = u32::try_from(number).expect("a log has fewer than 2^32 part files");
        readers.push(PartitionReader::open(partition, number, Limits::default())?);
    }
    let lengths = readers.iter().map(PartitionReader::length).collect::<Result<Vec<u64>, _>>()?;
    progress.bytes_total.store(lengths.iter().sum(), Relaxed);
    let mut done = 0;
    for (mut reader, length) in readers.into_iter().zip(lengths) {
        while let Some(item) = reader.next(Extent { length, ends: true })? {
            let refusal = match item.decoded {
                Ok(event) => match check_clock(event.event_time(), clock.min_event_time, rule) {
                    Ok(()) => {
                        log.records.push((item.origin, Box::new(event)));
                        progress.events.fetch_add(1, Relaxed);
                        if log.records.len().is_multiple_of(4096) {
                            progress.bytes_read.store(done + reader.bytes_read(length), Relaxed);
                            if stop.load(Relaxed) {
                                bail!("interrupted while the log was read; nothing was measured");
                            }
                        }
                        continue;
                    }
                    Err(rejection) => rejection.detail,
                },
                Err(letter) => letter.detail,
            };
            log.refused += 1;
            log.first_refusal.get_or_insert_with(|| {
                format!("{}, offset {}: {refusal}", reader.partition().name, item.origin.offset)
            });
        }
        done += length;
    }
    log.interactions = arrange(&mut log.records, limit);
    if log.interactions == 0 {
        bail!(
            "{}: no usable interaction ({} records refused); name the folder of a log that `freshet import` or \
             `freshet generate` has written",
            dir.display(),
            log.refused
        );
    }
    Ok(log)
}

/// Orders records as the module says and cuts them behind the interaction number `limit`; how many interactions are left.
pub fn arrange(records: &mut Vec<(Origin, Box<Event>)>, limit: Option<usize>) -> usize {
    order(records);
    cut(records, limit)
}

/// Orders records as the module says.
fn order(records: &mut [(Origin, Box<Event>)]) {
    records.sort_by_cached_key(|(_, event)| match &**event {
        Event::Interaction(view) => (view.event_time, true, view.user_id, view.video_id),
        other => (other.event_time(), false, Default::default(), Default::default()),
    });
}

/// Cuts behind the interaction number `limit`, and says how many interactions are left.
fn cut(records: &mut Vec<(Origin, Box<Event>)>, limit: Option<usize>) -> usize {
    let mut interactions = 0;
    let is_last = |event: &Event| {
        interactions += usize::from(matches!(event, Event::Interaction(_)));
        limit == Some(interactions)
    };
    if let Some(at) = records.iter().map(|(_, event)| &**event).position(is_last) {
        records.truncate(at + 1);
    }
    interactions
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::{Interaction, Millis, Upload, UserId, VideoId};

    fn view(time: u64, user: u64, video: u64, offset: u64) -> (Origin, Box<Event>) {
        let view = Interaction {
            event_time: Millis(time),
            user_id: UserId(user),
            video_id: VideoId(video),
            ..Interaction::default()
        };
        (Origin { partition: 1, offset }, Box::new(Event::Interaction(view)))
    }

    fn upload(time: u64, offset: u64) -> (Origin, Box<Event>) {
        let upload = Upload { event_time: Millis(time), ..Upload::default() };
        (Origin { partition: 0, offset }, Box::new(Event::Upload(upload)))
    }

    #[test]
    fn by_time_user_and_item_and_uploads_just_before_what_shows_them() {
        let mut records = vec![
            upload(20, 0),
            upload(30, 1),
            view(20, 2, 1, 2),
            view(20, 1, 9, 3),
            view(10, 5, 5, 4),
            view(20, 1, 3, 5),
            view(20, 1, 3, 6),
        ];
        order(&mut records);
        let offsets: Vec<u64> = records.iter().map(|(origin, _)| origin.offset).collect();
        assert_eq!(offsets, [4, 0, 5, 6, 3, 2, 1]);
        assert_eq!(cut(&mut records, Some(2)), 2);
        assert_eq!(records.len(), 3, "up to the second interaction");
        assert_eq!(cut(&mut records, Some(9)), 2);
        assert_eq!(cut(&mut records, None), 2);
    }
}
