//! The live part of the event log: what the feed server takes in, as JSON lines that the pipeline follows.
//!
//! One writer thread owns the files. Callers hand over encoded lines and get a receipt that is answered after the fsync
//! that covers them. While one fsync runs, others queue up, and the next one covers them all (group commit): the number
//! of fsyncs does not grow with the number of callers. Pages handed out are offered without a receipt: no reader should
//! wait for a disk, and a lost one costs a training example, not a promise.
//!
//! Each stream's live file exists from the opening on, so that the set of partitions that the pipeline follows does not
//! depend on who posts first.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use freshet_schema::{Event, EventKind};
use tokio::sync::oneshot;

use crate::lines::LineFile;
pub use crate::lines::LineFileError;

/// Name of the live file within each stream's folder.
pub const LIVE_PART: &str = "part-live.jsonl";

/// Appends that may wait for the writer; more are refused, so that a stalled disk cannot eat the memory.
const QUEUE: usize = 4096;

/// Why events were not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// Too many appends wait for the disk or the brokers.
    #[error("the event log is busy: too many appends wait; try again in a second")]
    Busy,
    /// The brokers did not acknowledge. The events may or may not be written.
    #[error("{detail}; send the same events again: each is counted once")]
    Brokers {
        /// Why.
        detail: String,
    },
    /// A stream that has no topic.
    #[error("kafka.{stream} names no topic: events of this stream have nowhere to go")]
    NoTopic {
        /// Which stream.
        stream: &'static str,
    },
    /// The disk failed. Nothing is known to be written.
    #[error("the event log failed: {0}")]
    Write(Arc<LineFileError>),
    /// An event cannot be written as JSON.
    #[error("event {event_id} cannot be written as JSON: {detail}")]
    Encode {
        /// Which.
        event_id: u64,
        /// Why.
        detail: String,
    },
    /// The writer has stopped.
    #[error("the event log is closed")]
    Closed,
}

impl EventLogError {
    /// Whether the caller may send the same events again later.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Busy | Self::Brokers { .. })
    }
}

pub(crate) type Answer = Result<(), EventLogError>;

/// The promise of an append: resolves after the fsync that covers it.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Answer>);

impl Receipt {
    /// A receipt, and what answers it.
    pub(crate) fn pending() -> (oneshot::Sender<Answer>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Waits in a thread. Not for use inside of an async runtime: `await` the receipt there.
    ///
    /// # Errors
    /// Where the disk failed or the log was closed.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or(Err(EventLogError::Closed))
    }
}

impl Future for Receipt {
    type Output = Answer;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(EventLogError::Closed)))
    }
}

/// Where posted events and handed-out pages go.
pub trait EventSink: Send + Sync {
    /// Appends events, in order within each stream and user. The receipt resolves when they are durable.
    ///
    /// # Errors
    /// Where an event cannot be encoded, too much waits, or the sink is closed. Nothing is written then.
    fn append(&self, events: &[Event]) -> Result<Receipt, EventLogError>;

    /// Appends events without waiting: no reader should wait for a disk or a broker.
    ///
    /// # Errors
    /// As [`EventSink::append`]; later failures are not reported here.
    fn offer(&self, events: &[Event]) -> Result<(), EventLogError>;

    /// Makes everything handed over durable, then refuses more.
    fn close(&self);
}

/// Lines on their way to the writer.
struct Job {
    lines: Vec<(EventKind, Vec<u8>)>,
    receipt: Option<oneshot::Sender<Answer>>,
}

/// Appends events to `DIR/{kind}/part-live.jsonl`. Shared by reference; dropping it writes and syncs what was handed over.
#[derive(Debug)]
pub struct EventLog {
    /// `None` once closed; the lock is held for a queue operation only.
    queue: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EventLog {
    /// Opens the live files of all streams in an event log's folder, cuts off torn last lines and starts the writer.
    ///
    /// # Errors
    /// Where another process appends to the log, or the folder cannot be written.
    pub fn open(folder: &Path) -> Result<Self, LineFileError> {
        let mut files = Vec::with_capacity(EventKind::ALL.len());
        for kind in EventKind::ALL {
            files.push((kind, LineFile::open(&folder.join(kind.folder()).join(LIVE_PART))?));
        }
        let (queue, jobs) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || write(files, &jobs))
            .map_err(|source| LineFileError::Io {
                path: folder.to_owned(),
                action: "start the writer of",
                source,
            })?;
        Ok(Self { queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)) })
    }

    fn send(&self, job: Job) -> Result<(), EventLogError> {
        match self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Err(EventLogError::Closed),
            Some(queue) => queue.try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => EventLogError::Busy,
                TrySendError::Disconnected(_) => EventLogError::Closed,
            }),
        }
    }
}

impl EventSink for EventLog {
    /// The receipt resolves after the fsync that covers the events.
    fn append(&self, events: &[Event]) -> Result<Receipt, EventLogError> {
        let lines = encode(events)?;
        let (sender, receipt) = Receipt::pending();
        self.send(Job { lines, receipt: Some(sender) })?;
        Ok(receipt)
    }

    /// What is offered reaches the file soon and the disk with the next fsync.
    fn offer(&self, events: &[Event]) -> Result<(), EventLogError> {
        self.send(Job { lines: encode(events)?, receipt: None })
    }

    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The writer does not panic; if it did, every receipt has been answered with `Closed`.
            drop(writer.join());
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// One buffer of lines a stream. Encoding is done by the callers, so that the one writer only writes.
fn encode(events: &[Event]) -> Result<Vec<(EventKind, Vec<u8>)>, EventLogError> {
    let mut lines: Vec<(EventKind, Vec<u8>)> = Vec::new();
    for event in events {
        let kind = event.kind();
        let at = lines.iter().position(|(other, _)| *other == kind).unwrap_or_else(|| {
            lines.push((kind, Vec::new()));
            lines.len() - 1
        });
        let buffer = &mut lines[at].1;
        serde_json::to_writer(&mut *buffer, event).map_err(|error| EventLogError::Encode {
            event_id: event.event_id().0,
            detail: error.to_string(),
        })?;
        buffer.push(b'\n');
    }
    Ok(lines)
}

/// A live file and whether it has lines that no fsync covers yet.
struct Live {
    kind: EventKind,
    file: LineFile,
    dirty: bool,
}

/// The writer thread: takes all that waits, writes it, syncs once a file if somebody waits for it, answers.
fn write(files: Vec<(EventKind, LineFile)>, jobs: &Receiver<Job>) {
    let mut files: Vec<Live> =
        files.into_iter().map(|(kind, file)| Live { kind, file, dirty: false }).collect();
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(QUEUE)).collect();
        let mut answers: Vec<(oneshot::Sender<Answer>, Answer)> = Vec::new();
        for job in group {
            let written = append(&mut files, &job.lines);
            if let Some(receipt) = job.receipt {
                answers.push((receipt, written));
            }
        }
        if answers.is_empty() {
            continue;
        }
        let synced = sync(&mut files);
        for (receipt, written) in answers {
            // The caller may have gone away; its events are written all the same.
            drop(receipt.send(written.and_then(|()| synced.clone())));
        }
    }
    // Nobody is left to hear of a failure; at the next opening torn lines are cut off.
    drop(sync(&mut files));
}

fn append(files: &mut [Live], lines: &[(EventKind, Vec<u8>)]) -> Answer {
    for (kind, bytes) in lines {
        for live in files.iter_mut().filter(|live| live.kind == *kind) {
            live.file.append(bytes).map_err(|error| EventLogError::Write(Arc::new(error)))?;
            live.dirty = true;
        }
    }
    Ok(())
}

fn sync(files: &mut [Live]) -> Answer {
    for live in files.iter_mut().filter(|live| live.dirty) {
        live.file.sync().map_err(|error| EventLogError::Write(Arc::new(error)))?;
        live.dirty = false;
    }
    Ok(())
}
