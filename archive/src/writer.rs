//! The thread that writes the archive.
//!
//! Epochs are handed over when the graph has closed them; they share their records with the graph, so nothing is copied. They wait in
//! memory until there are enough of them, until it is time, or until somebody needs them durable (a checkpoint), and then leave as whole
//! files with one commit ([`crate::folder`]). So the archive is always that of a whole epoch.
//!
//! A disk that refuses, or a bucket that does not answer, is tried again with growing pauses while the epochs wait; when too much
//! waits, whoever hands over the next one waits too, and that is the back-pressure. A run that is told to end meanwhile ends: its
//! checkpoint was never published, so the next start replays what is missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freshet_schema::{Epoch, Millis};

use crate::Closed;
use crate::columns::Table;
use crate::compact;
use crate::day;
use crate::encode;
use crate::error::ArchiveError;
use crate::folder::{Folder, NewFile};
use crate::forget::{self, Forgetting};
use crate::manifest::{Forgotten, Manifest, Mark};
use crate::telemetry::{Back, Committed, Died, Failed, Waiting};

/// Pauses between two attempts: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a pause looks whether the run is told to end.
const LOOK: Duration = Duration::from_millis(20);
/// What an epoch weighs beside its records, in bytes.
const EPOCH_BYTES: u64 = 256;

/// How the archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Records that wait, in bytes as they were read, after which they are written; twice as many may wait at all.
    pub roll_bytes: u64,
    /// The longest time that a record waits.
    pub roll_every: Duration,
    /// Compaction makes no file larger than this.
    pub target_bytes: u64,
    /// Whether small files are put together as they come.
    pub compact: bool,
}

/// Where the run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The epoch of the checkpoint that it begins with; 0 without one.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// The last epoch that the journal knows.
    pub last_bound: Epoch,
}

/// How the writer is, for whoever watches.
#[derive(Debug, Default)]
pub struct Status {
    /// The epoch up to which the archive is durable.
    pub through: AtomicU64,
    /// Whether the last attempt failed.
    pub stuck: AtomicBool,
    /// Bytes that wait.
    waiting: Mutex<u64>,
    less: Condvar,
    /// The thread has ended.
    ended: AtomicBool,
    /// Another process writes the archive now.
    taken: AtomicBool,
    /// Whoever handed over has failed: what waits is left to the next start.
    abandoned: AtomicBool,
    /// What went wrong last.
    error: Mutex<Option<String>>,
}

impl Status {
    fn waiting(&self) -> std::sync::MutexGuard<'_, u64> {
        // A number is whole whatever happened to who held it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaves(&self, bytes: u64) {
        let mut waiting = self.waiting();
        *waiting = waiting.saturating_sub(bytes);
        Waiting(*waiting).emit();
        self.less.notify_all();
    }

    /// What went wrong last.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What everybody is told after the end.
    fn ended(&self) -> ArchiveError {
        let cause = self.error().unwrap_or_else(|| "its run is over".to_owned());
        ArchiveError::Ended { cause, taken: self.taken.load(Relaxed) }
    }

    fn set_error(&self, error: Option<String>) {
        self.stuck.store(error.is_some(), Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// To be called when all before it is durable.
type Then = Box<dyn FnOnce() + Send>;

enum Message {
    Epoch(Closed),
    Durable(Then),
    Forget(Forgetting, Sender<Result<Forgotten, String>>),
    /// No more comes: what waits is written.
    End,
    /// To look whether it is abandoned.
    Wake,
}

/// The handle of the thread.
pub struct Writer {
    messages: Sender<Message>,
    status: Arc<Status>,
    limit: u64,
    /// Until it is waited for.
    thread: Option<JoinHandle<Result<(), ArchiveError>>>,
}

/// Asks a running writer to take rows out.
#[derive(Clone, Debug)]
pub struct Forgetter {
    messages: Sender<Message>,
    status: Arc<Status>,
}

impl Forgetter {
    /// Takes the rows of a subject out and waits for it.
    ///
    /// # Errors
    /// What the writer says, in words.
    pub fn forget(&self, forgetting: Forgetting) -> Result<Forgotten, String> {
        let (to, answer) = channel();
        let ended = || self.status.ended().to_string();
        self.messages.send(Message::Forget(forgetting, to)).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }
}

impl Writer {
    /// Makes the archive this run's, cleans up what a crash left and starts the thread. `stop` is looked at where a disk is waited for.
    ///
    /// # Errors
    /// Where the archive belongs to another run or lacks something for good, or of the disk or the server.
    pub fn start(
        folder: Folder,
        options: Options,
        resumed: Resumed,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ArchiveError> {
        let manifest = open(&folder, resumed)?;
        let status = Arc::new(Status::default());
        status.through.store(manifest.through.epoch.0, Relaxed);
        let (messages, received) = channel();
        let work = Work {
            last: resumed.epoch,
            folder,
            options,
            manifest,
            in_doubt: false,
            waiting: Vec::new(),
            bytes: 0,
            since: Instant::now(),
            status: Arc::clone(&status),
            stop,
        };
        let ends = Ends(Arc::clone(&status));
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            let ends = ends;
            let ended = work.run(&received);
            if let Err(error) = &ended {
                // Before anybody can see that it has ended: this is what they are told.
                ends.0.set_error(Some(error.to_string()));
                ends.0.taken.store(error.is_taken(), Relaxed);
                Died(error).emit();
            }
            drop(ends);
            ended
        });
        let thread = thread.map_err(|source| ArchiveError::Io {
            action: "start a thread for",
            path: "archive.dir".into(),
            source,
            remedy: "see that this process may have more threads",
        })?;
        Ok(Self { messages, status, limit: options.roll_bytes.saturating_mul(2), thread: Some(thread) })
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Whoever wants rows to be taken out.
    #[must_use]
    pub fn forgetter(&self) -> Forgetter {
        Forgetter { messages: self.messages.clone(), status: Arc::clone(&self.status) }
    }

    /// Hands an epoch over; waits where too much waits. `false`: told to end while it waited, and nothing was handed over.
    ///
    /// # Errors
    /// [`ArchiveError::Ended`] with the cause.
    pub fn append(&self, closed: Closed, stop: &AtomicBool) -> Result<bool, ArchiveError> {
        let bytes = closed.bytes + EPOCH_BYTES;
        let mut waiting = self.status.waiting();
        // Whatever the size of the next one: what waits is beyond a roll then, so that one comes.
        while *waiting >= self.limit {
            if self.status.ended.load(Relaxed) {
                return Err(self.status.ended());
            }
            if stop.load(Relaxed) && self.status.stuck.load(Relaxed) {
                return Ok(false);
            }
            (waiting, _) =
                self.status.less.wait_timeout(waiting, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
        *waiting += bytes;
        Waiting(*waiting).emit();
        drop(waiting);
        self.messages.send(Message::Epoch(closed)).map_err(|_| self.status.ended())?;
        Ok(true)
    }

    /// Has `then` called when all that was handed over is durable. It may be dropped uncalled, where it never is.
    ///
    /// # Errors
    /// [`ArchiveError::Ended`] with the cause.
    pub fn durable(&self, then: Then) -> Result<(), ArchiveError> {
        if self.status.ended.load(Relaxed) {
            return Err(self.status.ended());
        }
        self.messages.send(Message::Durable(then)).map_err(|_| self.status.ended())
    }

    /// Writes what waits and ends.
    ///
    /// # Errors
    /// Where it could not be written, or the thread had ended before.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        // Where it has ended already, it says why.
        let _ = self.messages.send(Message::End);
        let thread = self.thread.take();
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|_| Err(self.status.ended())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody is told that anything is durable after the failure, and nothing is written.
            self.status.abandoned.store(true, Relaxed);
            let _ = self.messages.send(Message::Wake);
            let _ = thread.join();
        }
    }
}

/// Says that the thread has ended, however it does.
struct Ends(Arc<Status>);

impl Drop for Ends {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_error(Some("its thread panicked".to_owned()));
        }
        self.0.ended.store(true, Relaxed);
        self.0.less.notify_all();
    }
}

/// The manifest to go on from, after looking at what is there.
fn open(folder: &Folder, resumed: Resumed) -> Result<Manifest, ArchiveError> {
    let (manifest, removed) = folder.own(|held| goes_on(held, resumed, folder.dir()))?;
    if removed > 0 {
        tracing::info!(removed, "files of the archive that no manifest names were removed");
    }
    Ok(manifest)
}

/// What a run goes on from, which resumes there and finds this manifest.
fn goes_on(held: Option<Manifest>, resumed: Resumed, dir: &Path) -> Result<Manifest, ArchiveError> {
    let Some(held) = held else {
        let behind = Mark { epoch: resumed.epoch, now: resumed.now, binding: String::new() };
        return Ok(Manifest::beginning(behind));
    };
    let (dir, through) = (dir.to_owned(), held.through.epoch);
    let known = resumed.last_bound.max(resumed.epoch);
    if through > known {
        // What a run knows nothing of cannot be cut back to it.
        return Err(match known > Epoch(0) && known >= held.begins_behind {
            true => ArchiveError::Ahead { dir, through, known, resumed: resumed.epoch },
            false => ArchiveError::OtherRun { dir, epoch: through },
        });
    }
    if through < resumed.epoch {
        return Err(ArchiveError::Behind { dir, through, resumed: resumed.epoch });
    }
    // One without an epoch is nobody's.
    if through == resumed.epoch && through > held.begins_behind && held.through.now != resumed.now {
        return Err(ArchiveError::OtherRun { dir, epoch: through });
    }
    Ok(held)
}

/// What the thread works with.
struct Work {
    folder: Folder,
    options: Options,
    manifest: Manifest,
    /// Something failed that may have committed or not: the folder says which, before the next commit.
    in_doubt: bool,
    /// The last epoch that came.
    last: Epoch,
    waiting: Vec<Closed>,
    bytes: u64,
    /// When the first of them came.
    since: Instant,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), ArchiveError> {
        loop {
            let patience = match self.waiting.is_empty() {
                true => Duration::from_secs(3600),
                false => self.options.roll_every.saturating_sub(self.since.elapsed()),
            };
            let message = messages.recv_timeout(patience);
            if self.status.abandoned.load(Relaxed) {
                return Ok(());
            }
            match message {
                Ok(Message::Epoch(closed)) => {
                    self.take(closed)?;
                    if self.bytes >= self.options.roll_bytes {
                        self.roll()?;
                    }
                }
                Ok(Message::Durable(then)) => {
                    let wrote = self.write()?;
                    // A checkpoint does not wait for what small files become.
                    then();
                    self.compact_after(wrote);
                }
                Ok(Message::Forget(forgetting, answer)) => {
                    self.write()?;
                    // Who asked may have gone.
                    let _ = answer.send(self.forget(&forgetting).map_err(|error| error.to_string()));
                }
                Err(RecvTimeoutError::Timeout) => self.roll()?,
                Ok(Message::End) => return self.roll(),
                Ok(Message::Wake) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Takes an epoch in, or passes it over where the archive has it.
    fn take(&mut self, closed: Closed) -> Result<(), ArchiveError> {
        let epoch = closed.binding.epoch;
        let other = || ArchiveError::OtherRun { dir: self.folder.dir().to_owned(), epoch };
        if epoch != self.last.next() {
            return Err(other());
        }
        self.last = epoch;
        let through = &self.manifest.through;
        if epoch <= through.epoch {
            let same =
                epoch < through.epoch || through.binding.is_empty() || Mark::of(&closed.binding) == *through;
            self.status.leaves(closed.bytes + EPOCH_BYTES);
            return if same { Ok(()) } else { Err(other()) };
        }
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.bytes += closed.bytes + EPOCH_BYTES;
        self.waiting.push(closed);
        Ok(())
    }

    /// Writes what waits, and puts together what is small.
    fn roll(&mut self) -> Result<(), ArchiveError> {
        let wrote = self.write()?;
        self.compact_after(wrote);
        Ok(())
    }

    fn compact_after(&mut self, wrote: bool) {
        if wrote && self.options.compact {
            self.compact();
        }
    }

    /// Writes what waits, however often it takes. `false`: nothing did.
    fn write(&mut self) -> Result<bool, ArchiveError> {
        let Some(last) = self.waiting.last() else { return Ok(false) };
        let through = Mark::of(&last.binding);
        let files = self.files()?;
        let mut failures = 0;
        let mut pause = PAUSE;
        loop {
            match self.commit(&files, &through) {
                Ok(()) => break,
                Err(error) if error.may_retry() => {
                    failures += 1;
                    Failed { failures, error: &error }.emit();
                    self.status.set_error(Some(error.to_string()));
                    if !self.wait(pause) {
                        return Err(ArchiveError::GivenUp {
                            dir: self.folder.dir().to_owned(),
                            through: self.manifest.through.epoch,
                            last: error.to_string(),
                        });
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        if failures > 0 {
            Back { failures }.emit();
        }
        self.status.set_error(None);
        self.waiting.clear();
        self.status.through.store(through.epoch.0, Relaxed);
        self.status.leaves(std::mem::take(&mut self.bytes));
        Ok(true)
    }

    fn forget(&mut self, forgetting: &Forgetting) -> Result<Forgotten, ArchiveError> {
        self.settle()?;
        self.in_doubt = true;
        let (manifest, forgotten) = forget::forget(&self.folder, &self.manifest, forgetting)?;
        self.manifest = manifest;
        self.in_doubt = false;
        Ok(forgotten)
    }

    /// Small files can stay small for a while: what fails here is tried again after the next roll.
    fn compact(&mut self) {
        self.in_doubt = true;
        match compact::compact(&self.folder, self.manifest.clone(), self.options.target_bytes, false) {
            Ok((manifest, _)) => {
                self.manifest = manifest;
                self.in_doubt = false;
            }
            Err(error) => {
                tracing::warn!(%error, "the archive was not compacted; it is, after the next roll");
            }
        }
    }

    /// What failed may have committed, and then the manifest from before names files that are gone and none of those in their place:
    /// with it the next commit would lose them for good.
    fn settle(&mut self) -> Result<(), ArchiveError> {
        if self.in_doubt {
            self.manifest = self.folder.settle()?;
            self.in_doubt = false;
        }
        Ok(())
    }

    fn commit(&mut self, files: &[NewFile], through: &Mark) -> Result<(), ArchiveError> {
        self.settle()?;
        let mut next = self.manifest.clone();
        next.through = through.clone();
        let positions = self.waiting.iter().flat_map(|closed| &closed.binding.positions);
        for position in positions {
            let at = position.partition as usize;
            if next.partitions.len() <= at {
                next.partitions.resize(at + 1, String::new());
            }
            if next.partitions[at] != *position.name {
                next.partitions[at] = position.name.to_string();
            }
        }
        self.manifest = self.folder.commit(next, files, &[])?;
        Committed {
            through: through.epoch.0,
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes.len() as u64).sum(),
            files: self.manifest.files.len(),
        }
        .emit();
        Ok(())
    }

    /// What waits, as files: one for each table and day.
    fn files(&self) -> Result<Vec<NewFile>, ArchiveError> {
        let mut groups: BTreeMap<(Table, u64), Group> = BTreeMap::new();
        let failed = |table: Table, what: String| ArchiveError::Damaged {
            path: self.folder.dir().join(table.folder()),
            what: format!("a row on its way to it has no form there ({what})"),
        };
        for Closed { binding, publication, records, .. } in &self.waiting {
            let epoch = binding.epoch;
            let group = |table: Table, time: Millis| (table, day::of(time.0));
            let own = groups.entry(group(Table::Epochs, binding.now)).or_default();
            encode::epoch_line(binding, publication.as_ref(), own.row(epoch));
            // Sources hand them over in the order of (partition, offset).
            for (origin, event) in (**records).as_ref() {
                let table = Table::Stream(event.kind());
                let own = groups.entry(group(table, event.event_time())).or_default();
                encode::stream_line(event, epoch, *origin, own.row(epoch))
                    .map_err(|e| failed(table, e.to_string()))?;
            }
        }
        let file = |((table, day), group): ((Table, u64), Group)| {
            let batches = encode::batches(table, &group.lines).map_err(|what| failed(table, what))?;
            let (bytes, rows) =
                encode::file(table, batches.into_iter().map(Ok)).map_err(|what| failed(table, what))?;
            let (first_epoch, last_epoch) = (group.first, group.last);
            let number = self.folder.number(&self.manifest);
            Ok(NewFile { number, table, day, bytes, rows, first_epoch, last_epoch })
        };
        groups.into_iter().map(file).collect()
    }

    /// `false`: told to end.
    fn wait(&self, pause: Duration) -> bool {
        let since = Instant::now();
        while since.elapsed() < pause {
            if self.ends() {
                return false;
            }
            std::thread::sleep(LOOK.min(pause));
        }
        !self.ends()
    }

    fn ends(&self) -> bool {
        self.stop.load(Relaxed) || self.status.abandoned.load(Relaxed)
    }
}

/// Rows of one table and day.
#[derive(Default)]
struct Group {
    lines: Vec<u8>,
    first: Epoch,
    last: Epoch,
}

impl Group {
    /// Where to write the next row, which is of this epoch.
    fn row(&mut self, epoch: Epoch) -> &mut Vec<u8> {
        if self.lines.is_empty() {
            self.first = epoch;
        }
        self.last = epoch;
        &mut self.lines
    }
}
