//! An event log into topics: all parts side by side, by event time, as clients would have sent them.
//!
//! Records that are no events are sent as they are: what a pipeline makes of them is the pipeline's to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use freshet_kafka::{DeliveryError, Payload, Publisher, SendError, Ticket, create_topics, key};
use freshet_schema::{Event, EventKind, Millis};
use freshet_sources::log::{Extent, Item, PartitionReader, discover};
use freshet_sources::validate::Limits;

use crate::config::Kafka;

/// Records that share a ticket.
const CHUNK: usize = 500;
/// A record that is not acknowledged within this has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the progress is told.
const TELL: Duration = Duration::from_millis(250);

/// What to send, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Records a second; as fast as possible without.
    pub rate: Option<u64>,
    /// Leave out so many records first.
    pub after: u64,
    /// Send so many at most.
    pub first: Option<u64>,
    /// Move all times by as much as makes the last record that is sent happen now.
    pub ends_now: bool,
    /// Each record happens when it is sent.
    pub live: bool,
    /// Make missing topics, with so many partitions.
    pub create_topics: Option<i32>,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Acknowledged records of each stream.
    pub sent: BTreeMap<EventKind, u64>,
    /// Records among them that are no events.
    pub as_they_are: u64,
    /// Records of streams that have no topic.
    pub without_topic: u64,
    /// Told to stop before the end.
    pub stopped: bool,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Sends a log. `tell` hears how many records were sent and the share of the log's bytes that was read, in percent.
///
/// # Errors
/// Where the log cannot be read, a topic not be made, or a record is not acknowledged.
pub fn produce(
    log: &Path,
    kafka: &Kafka,
    options: Options,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Report> {
    let connection = kafka.connection().context("kafka.brokers is not set: name them with --brokers")?;
    let publisher = Publisher::new("produce", &connection, Some(PATIENCE))?;
    let topics = kafka.topics();
    if let Some(partitions) = options.create_topics {
        let dead_letters = kafka.dead_letters.as_deref();
        let names = topics.iter().map(|(_, name)| name).chain(dead_letters);
        // To the request that the brokers did not hear it only ran out of time.
        create_topics(&connection, names, partitions)
            .or_else(|error| let_in(&publisher, &connection.brokers).and(Err(error.into())))?;
    }
    let by = match options.ends_now {
        true => wall() - last_time(log, options)?,
        false => 0,
    };
    let acknowledged = Acknowledged::default();
    let mut report = Report::default();
    let started = Instant::now();
    let mut told = started;
    let mut merge = Merge::open(log)?;
    let mut taken = 0;
    let mut in_chunk = 0;
    let mut ticket = acknowledged.ticket();
    let payloads = kafka.payloads();
    while let Some((kind, item)) = merge.next()? {
        taken += 1;
        if taken <= options.after {
            continue;
        }
        let number = taken - options.after;
        if options.first.is_some_and(|first| number > first) {
            break;
        }
        let Some(topic) = topics.of(kind) else {
            report.without_topic += 1;
            continue;
        };
        if let Some(rate) = options.rate {
            wait_until(started + Duration::from_secs_f64((number - 1) as f64 / rate as f64), stop);
        }
        let (key, value) = match item.decoded {
            Ok(event) => {
                let by = if options.live { wall() - time(event.event_time()) } else { by };
                let key = key(&event);
                // As it stands in the log, with the fields that we do not know.
                let value = match (payloads.of(kind), by) {
                    (Payload::Json, 0) => item.raw,
                    (payload, by) => {
                        payload.encode(&moved(event, by)).context("a record has no JSON form")?
                    }
                };
                (key, value)
            }
            Err(_) => {
                report.as_they_are += 1;
                (String::new(), item.raw)
            }
        };
        send(&publisher, &connection.brokers, (topic, &key, &value), &ticket, stop)?;
        *report.sent.entry(kind).or_default() += 1;
        in_chunk += 1;
        if in_chunk == CHUNK {
            in_chunk = 0;
            acknowledged.check(&publisher, &connection.brokers)?;
            ticket = acknowledged.ticket();
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            tell(number, merge.percent());
        }
        if stop.load(Relaxed) {
            report.stopped = true;
            break;
        }
    }
    if in_chunk < CHUNK {
        ticket.settle(CHUNK - in_chunk, Ok(()));
    }
    while acknowledged.open.load(Relaxed) > 0 {
        // Each record has a time limit of its own, so this ends.
        let _ = publisher.flush(Duration::from_millis(200));
        let_in(&publisher, &connection.brokers)?;
    }
    acknowledged.check(&publisher, &connection.brokers)?;
    report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Whoever waits for records to be taken need not wait where the brokers have said that they take none.
fn let_in(publisher: &Publisher, brokers: &str) -> anyhow::Result<()> {
    match publisher.denied() {
        Some(what) => bail!(
            "{brokers}: the brokers do not let us in: {what}; check security.protocol, ssl.* and sasl.* in kafka.options"
        ),
        None => Ok(()),
    }
}

fn send(
    publisher: &Publisher,
    brokers: &str,
    (topic, key, value): (&str, &str, &[u8]),
    ticket: &Arc<Ticket>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    loop {
        match publisher.send(topic, key, value, &[], ticket) {
            Ok(()) => return Ok(()),
            Err(SendError::Full) if stop.load(Relaxed) => bail!("stopped while the brokers took nothing"),
            Err(SendError::Full) => {
                let_in(publisher, brokers)?;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the brokers have said so far.
#[derive(Clone, Default)]
struct Acknowledged {
    /// Tickets without an answer.
    open: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<DeliveryError>>>,
}

impl Acknowledged {
    fn ticket(&self) -> Arc<Ticket> {
        self.open.fetch_add(1, Relaxed);
        let own = self.clone();
        Ticket::new(CHUNK, move |result| {
            if let Err(error) = result {
                own.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            own.open.fetch_sub(1, Relaxed);
        })
    }

    fn check(&self, publisher: &Publisher, brokers: &str) -> anyhow::Result<()> {
        let_in(publisher, brokers)?;
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Ok(()),
            Some(error) => Err(anyhow!(
                "{error} (brokers {brokers}): check that they run and that the topic exists (--create-topics N makes it), \
                 then send the log again: records that are there twice count once"
            )),
        }
    }
}

/// All parts of a log, by event time; of one part in its order.
struct Merge(Vec<Part>);

struct Part {
    kind: EventKind,
    reader: PartitionReader,
    head: Option<Item>,
    /// The time that it has reached.
    reached: Millis,
    length: u64,
}

impl Merge {
    fn open(log: &Path) -> anyhow::Result<Self> {
        let mut parts = Vec::new();
        for (number, partition) in (0..).zip(discover(log)?) {
            let kind = partition.kind;
            let reader = PartitionReader::open(partition, number, Limits::default())?;
            let length = reader.length()?;
            let mut part = Part { kind, reader, head: None, reached: Millis(0), length };
            part.advance()?;
            parts.push(part);
        }
        Ok(Self(parts))
    }

    fn next(&mut self) -> anyhow::Result<Option<(EventKind, Item)>> {
        let with_head = self.0.iter_mut().filter(|part| part.head.is_some());
        let Some(part) = with_head.min_by_key(|part| part.reached) else { return Ok(None) };
        let item = part.head.take();
        part.advance()?;
        Ok(item.map(|item| (part.kind, item)))
    }

    fn percent(&self) -> u64 {
        let read: u64 = self.0.iter().map(|part| part.reader.bytes_read(part.length)).sum();
        let total: u64 = self.0.iter().map(|part| part.length).sum();
        (read * 100).checked_div(total).unwrap_or(100)
    }
}

impl Part {
    fn advance(&mut self) -> anyhow::Result<()> {
        self.head = self.reader.next(Extent::ALL)?;
        let time = self.head.as_ref().and_then(|item| item.decoded.as_ref().ok()).map(Event::event_time);
        self.reached = self.reached.max(time.unwrap_or_default());
        Ok(())
    }
}

/// The greatest time among the records that would be sent.
fn last_time(log: &Path, options: Options) -> anyhow::Result<i64> {
    let mut merge = Merge::open(log)?;
    let (mut taken, mut last) = (0, None);
    while let Some((_, item)) = merge.next()? {
        taken += 1;
        if options.first.is_some_and(|first| taken > options.after + first) {
            break;
        }
        if taken > options.after {
            last = last.max(item.decoded.ok().map(|event| event.event_time()));
        }
    }
    last.map(time).with_context(|| format!("{}: no event whose time could be moved", log.display()))
}

/// The event, as much later.
fn moved(mut event: Event, by: i64) -> Event {
    let later = |at: &mut Millis| *at = Millis(at.0.saturating_add_signed(by));
    match &mut event {
        Event::User(e) => later(&mut e.event_time),
        Event::Upload(e) => {
            later(&mut e.event_time);
            later(&mut e.created_at);
        }
        Event::Follow(e) => later(&mut e.event_time),
        Event::Interaction(e) => later(&mut e.event_time),
        Event::Delete(e) => later(&mut e.event_time),
        Event::Served(e) => later(&mut e.event_time),
    }
    event
}

fn time(at: Millis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn wait_until(at: Instant, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::{Upload, VideoId};

    use super::*;

    #[test]
    fn a_moved_upload_keeps_its_age() {
        let upload = Upload {
            video_id: VideoId(1),
            event_time: Millis(1_000),
            created_at: Millis(400),
            ..Upload::default()
        };
        let Event::Upload(later) = moved(Event::Upload(upload.clone()), 50) else {
            panic!("still an upload")
        };
        assert_eq!((later.event_time, later.created_at), (Millis(1_050), Millis(450)));
        let Event::Upload(earlier) = moved(Event::Upload(upload), -500) else { panic!("still an upload") };
        assert_eq!((earlier.event_time, earlier.created_at), (Millis(500), Millis(0)));
    }

    #[test]
    fn parts_are_merged_by_time_and_each_keeps_its_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |kind: &str, lines: &[&str]| {
            let folder = dir.path().join(kind);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("part-0.jsonl"), lines.join("\n")).expect("written");
        };
        let user = |id: u64, at: u64| format!(r#"{{"event_id":{id},"event_time":{at},"user_id":1}}"#);
        let follow =
            |id: u64, at: u64| format!(r#"{{"event_id":{id},"event_time":{at},"user_id":1,"creator_id":2}}"#);
        // The second line is late, the third is none.
        write("users", &[&user(1, 10), &user(2, 5), "nonsense", &user(3, 30)]);
        write("follows", &[&follow(1, 7), &follow(2, 20), &follow(3, 40)]);
        let mut merge = Merge::open(dir.path()).expect("a log");
        let mut order = Vec::new();
        while let Some((kind, item)) = merge.next().expect("readable") {
            order.push((kind.folder(), item.decoded.ok().map(|event| event.event_id().0)));
        }
        let expected = [
            ("follows", Some(1)),
            ("users", Some(1)),
            ("users", Some(2)),
            ("users", None),
            ("follows", Some(2)),
            ("users", Some(3)),
            ("follows", Some(3)),
        ];
        assert_eq!(order, expected);
        assert_eq!(last_time(dir.path(), Options::default()).expect("events"), 40);
        let first = Options { after: 1, first: Some(2), ..Options::default() };
        assert_eq!(last_time(dir.path(), first).expect("events"), 10);
    }
}
