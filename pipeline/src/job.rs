//! The running job: a source, the graph, a sink.
//!
//! The calling thread reads epochs and hands them to the workers; a second thread takes what comes out, commits each closed
//! epoch to the store as one batch, and says how far it is. The source never runs more than `in_flight` epochs ahead of what
//! is committed, nor so far that these take more than some `in_flight_bytes` of memory: that is all the back-pressure there is. A restart begins with the newest
//! checkpoint, where there is one ([`crate::keeper`]), and replays the journal from there; the store skips the epochs it has,
//! so nothing is written twice or left out.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use freshet_archive::{Closed, Folder, Records, Resumed, Writer};
use freshet_operators::abuse::{self, Side};
use freshet_operators::cohorts::Standing;
use freshet_operators::pools::Change;
use freshet_operators::runtime::{self, EpochInput, Output};
use freshet_schema::dead_letter::DeadLetter;
use freshet_schema::hash::Slice;
use freshet_schema::store::Key;
use freshet_schema::{Epoch, EventKind, Millis};
use freshet_sinks::{Commit, FeedStore};
use freshet_sources::epochs::{self, Batch, EpochSource, Step};

use crate::checkpoint::crash_point;
use crate::config::{Config, StoreKind};
use crate::dead_letters::DeadLetters;
use crate::fence::Fence;
use crate::input;
use crate::keeper::{Keeper, Start};
use crate::meters;
use crate::progress::{Phase, Progress, RunOptions};
use crate::remake::{Amount, Remake};

/// The store is made durable at least this often. Not for safety (the journal is durable, and what the store lost is
/// written again at a restart) but so that a restart has little to write.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The sink wakes the source when it has committed an epoch. A source that waits looks up this often to see whether it was
/// told to stop, or whether the sink has ended.
const WAIT: Duration = Duration::from_millis(20);
/// How often the metrics of the input's partitions are brought up to date.
const METER_EVERY: Duration = Duration::from_secs(1);

/// What a job did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last epoch committed; 0 where there was none.
    pub last_epoch: Epoch,
}

/// What the sink must know of an epoch that is on its way.
struct Announced {
    /// What is archived of it, where there is an archive.
    closed: Option<Closed>,
    epoch: Epoch,
    live: bool,
    dead_letters: Vec<DeadLetter>,
    /// When its records were read: for measuring.
    read_at: Instant,
    /// What was written again in it, where it was bound in this run.
    remade: Vec<Slice>,
    /// Event times of its interactions, where freshness is measured.
    times: Vec<Millis>,
}

/// Runs until the input is drained (`once`) or `stop` is set.
///
/// # Errors
/// Where a source, the graph or a sink fails.
pub fn run(
    config: &Config,
    store: Arc<dyn FeedStore>,
    options: RunOptions,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Summary> {
    let progress = Arc::clone(&options.progress);
    // Before anything is taken over: while the others are awaited, an older run may go on.
    let cluster = match options.seat.as_deref() {
        Some(seat) if seat.processes() > 1 => match seat.coordinate(config, &stop)? {
            Some(cluster) => Some(cluster),
            None => return Ok(Summary::default()),
        },
        _ => None,
    };
    let dead_letters = DeadLetters::open(config, &stop)?;
    // A job is begun once with its progress.
    let _ = progress.dead_letter_file.set(dead_letters.share());
    let start = Start::look(config, &*store)?;
    let (begun, begun_now) = (start.epoch(), start.now());
    let Some(mut source) = start.open(input::source_config(config, options.once, &stop))? else {
        return Ok(Summary::default());
    };
    let bound_before = source.last_bound().unwrap_or_default();
    if store.newest()? > source.last_bound() {
        let (place, lost) = match config.store.kind {
            StoreKind::Embedded => {
                (format!("store.dir = {:?}", config.store.dir.display().to_string()), String::new())
            }
            StoreKind::Redis => (
                format!("the store {}", config.redis.options().shown()),
                // Without the journal its epochs are bound anew, and those that the store has would be passed over.
                match begun {
                    Epoch(0) => String::new(),
                    begun => format!(
                        "; where that journal was lost with its machine, empty the store: it is filled again from the \
                         checkpoint of epoch {begun} and the input behind it"
                    ),
                },
            ),
        };
        anyhow::bail!(
            "{place} holds epochs that the journal {:?} does not know: they belong to different runs; name the \
             journal that made this store, or begin both anew{lost}",
            config.journal.file().display().to_string()
        );
    }
    let status = Arc::clone(&progress.checkpoints);
    let last_bound = source.last_bound().unwrap_or_default();
    let archive = open_archive(config, Resumed { epoch: begun, now: begun_now, last_bound }, &stop)?;
    if let Some(archive) = &archive {
        let _ = progress.archive.set((Arc::clone(archive.status()), archive.forgetter()));
    }
    let archived = archive.as_ref().map(|archive| Arc::clone(archive.status()));
    let mut taken_over = start.take_over(config, &status).context("the checkpoints")?;
    let generation = store.claim(&taken_over.store_claim()).context("the store")?;
    tracing::info!(%generation, "the store is claimed");
    let durable = std::mem::take(&mut taken_over.durable);
    let started = match cluster {
        None => runtime::start_durable(config.graph.workers, &config.params, false, durable),
        Some(cluster) => cluster.start(&config.params, durable),
    };
    let (graph, outputs) = started.map_err(|e| anyhow!("the dataflow: {e}"))?;
    let workers = graph.peers();
    // A job runs once with its progress.
    let _ = progress.looker.set(graph.looker());
    if let Some(seat) = &options.seat {
        seat.up();
    }

    let committed = Arc::new(AtomicU64::new(begun.0));
    progress.last_epoch.store(begun.0, Relaxed);
    let remake = Arc::new(Remake::default());
    // What the store lacks at the checkpoint's epoch, no later commit would find where nothing more comes.
    let held = |cut: &str| progress.checkpoints.last().map_or(0, |made| made.rows(cut));
    remake.lost(&store.lost(), begun, Amount::of_people(held("users"), held("videos")));
    let (durable, durables) = channel();
    let (announce, announced) = channel();
    let sink = {
        if config.params.abuse.enabled {
            meters::Suspected::nobody();
        }
        let sink = Sink {
            store,
            dead_letters,
            progress: Arc::clone(&progress),
            committed: Arc::clone(&committed),
            stop: Arc::clone(&stop),
            source: std::thread::current(),
            workers: vec![0; workers],
            closed: BTreeMap::new(),
            announced: BTreeMap::new(),
            waiting: vec![0; workers],
            lives: vec![Standing::default(); workers],
            suspects: [vec![abuse::Standing::default(); workers], vec![abuse::Standing::default(); workers]],
            sizes: vec![Vec::new(); workers],
            synced: Instant::now(),
            remake: Arc::clone(&remake),
            taken: BTreeMap::new(),
            durable: Some(durable),
            archive,
            publications: BTreeMap::new(),
            fence: taken_over.fence(),
        };
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || sink.run(&outputs, announced))?
    };
    let ahead = Ahead {
        in_flight: config.graph.in_flight,
        in_flight_bytes: config.graph.in_flight_bytes,
        sent: VecDeque::new(),
        committed: &committed,
        sink: &sink,
    };
    let mut keeper = taken_over.start(config, &graph, status, &mut source, durables)?;
    let mut feeding = Feeding {
        graph: &graph,
        ahead,
        announce: &announce,
        progress: &progress,
        remake: &remake,
        archives: archived.is_some(),
    };
    let fed = feeding.run(&mut source, &mut keeper, bound_before, &stop);
    let kept = keeper.map_or(Ok(()), |keeper| {
        // No checkpoint is published while the archive's disk refuses: whoever ends the run does not wait for that.
        let stuck = || archived.as_ref().is_some_and(|archive| archive.stuck.load(Relaxed));
        let in_vain = || sink.is_finished() || (stop.load(Relaxed) && stuck());
        keeper.end(&mut source, &graph, fed.is_ok(), in_vain).context("the checkpoints")
    });
    drop(announce);
    let ended = graph.finish();
    let written = sink.join().map_err(|_| anyhow!("the sink panicked"))?;
    // The sink's own failure is the cause of the others, where there is one.
    let last_epoch = written?;
    kept?;
    fed?;
    ended?;
    if !stop.load(Relaxed) {
        progress.set_phase(Phase::Drained);
    }
    Ok(Summary { last_epoch })
}

/// How far the source may run ahead.
struct Ahead<'a> {
    in_flight: usize,
    in_flight_bytes: u64,
    /// Epochs that were sent and not known to be committed, with the weight of each.
    sent: VecDeque<(u64, u64)>,
    committed: &'a AtomicU64,
    sink: &'a JoinHandle<anyhow::Result<Epoch>>,
}

impl Ahead<'_> {
    fn is_committed(&self, epoch: Epoch) -> bool {
        epoch.0 <= self.committed.load(Relaxed)
    }

    /// Whether everything up to `epoch` is committed, or nothing more will be.
    fn is_done(&self, epoch: Epoch) -> bool {
        self.is_committed(epoch) || self.sink.is_finished()
    }

    /// Epochs on their way, and their weight.
    fn load(&mut self) -> (usize, u64) {
        let committed = self.committed.load(Relaxed);
        while self.sent.front().is_some_and(|(epoch, _)| *epoch <= committed) {
            self.sent.pop_front();
        }
        (self.sent.len(), self.sent.iter().map(|(_, bytes)| bytes).sum())
    }

    /// Whether one more epoch of this weight must wait. A sink that has ended, by an error or a panic, is waited for no longer.
    fn too_far(&mut self, weight: u64) -> bool {
        let (epochs, held) = self.load();
        let full = epochs >= self.in_flight || (epochs > 0 && held + weight > self.in_flight_bytes);
        full && !self.sink.is_finished()
    }
}

/// What a record takes in the dataflow beside its own bytes, about: the question what the heads see of it, and the answer. A burst of some
/// 74,000 interactions took 490 MiB while only their bytes were counted.
const RECORD_WEIGHT: u64 = 6 << 10;

/// Bytes of memory that an epoch takes on its way, about.
fn weight(bytes: u64, records: usize) -> u64 {
    bytes + records as u64 * RECORD_WEIGHT
}

/// What the feeding thread works with.
struct Feeding<'a> {
    graph: &'a runtime::Job,
    ahead: Ahead<'a>,
    announce: &'a Sender<Announced>,
    progress: &'a Progress,
    remake: &'a Remake,
    /// Whether there is an archive.
    archives: bool,
}

impl Feeding<'_> {
    /// Hands epochs to the workers until there are no more or somebody says stop. Epochs up to `bound_before` stand in the journal of
    /// earlier runs.
    fn run(
        &mut self,
        source: &mut EpochSource,
        keeper: &mut Option<Keeper>,
        bound_before: Epoch,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let Self { graph, ahead, announce, progress, remake, archives } = self;
        // Behind a checkpoint there may be no epoch to read, and the clock of what is posted goes on from its own, not from zero.
        progress.set_now(source.clock().now);
        // The last epoch of the past: until it is in the store, the job has not caught up.
        let mut past = Epoch(0);
        let mut sent = Epoch(0);
        let mut shown = Instant::now();
        let mut meter = |source: &EpochSource, ahead: &mut Ahead<'_>| {
            if shown.elapsed() > METER_EVERY {
                meters::Partitions { partitions: &source.status() }.emit();
                let (epochs, bytes) = ahead.load();
                meters::InFlight { epochs, bytes }.emit();
                shown = Instant::now();
            }
        };
        while !stop.load(Relaxed) {
            remake.take_unbound().into_iter().for_each(|slice| source.remake(slice));
            let step = source.next().context("the input")?;
            show(source, progress, ahead.is_committed(past));
            source.committed(Epoch(ahead.committed.load(Relaxed)));
            meter(source, ahead);
            let batch = match step {
                Step::Batch(batch) => batch,
                // The last commits can find that the store lost something.
                Step::Drained if !ahead.is_done(sent) || remake.left().0 > 0 => {
                    std::thread::park_timeout(WAIT);
                    continue;
                }
                Step::Drained => break,
                Step::Idle => {
                    if let Some(keeper) = keeper {
                        keeper.turn(source, graph)?;
                    }
                    std::thread::sleep(source.idle_for());
                    continue;
                }
            };
            let epoch = batch.binding.epoch;
            let weight = weight(batch.bytes, batch.records.len());
            while ahead.too_far(weight) && !stop.load(Relaxed) {
                std::thread::park_timeout(WAIT);
                // A store that stands still is when the operator looks.
                meter(source, ahead);
            }
            ahead.sent.push_back((epoch.0, weight));
            progress.events.fetch_add(batch.records.len() as u64, Relaxed);
            progress.dead_letters.fetch_add(batch.dead_letters.len() as u64, Relaxed);
            progress.set_now(batch.binding.now);
            meters::Read::of(&batch).emit();
            // Live epochs of the journal are past, too: what is served before them is not what was served last.
            if !batch.binding.live || epoch <= bound_before {
                past = epoch;
            }
            note_deletes(&batch, progress);
            let has_letters = !batch.dead_letters.is_empty();
            let (announced, input) = split(batch, bound_before, *archives);
            // A sink that is gone says itself why, below.
            if announce.send(announced).is_err() {
                break;
            }
            let news = announces_news(&input, has_letters);
            graph.send_shared(input)?;
            sent = epoch;
            if let Some(keeper) = keeper {
                keeper.sent(epoch, news);
                keeper.turn(source, graph)?;
            }
        }
        Ok(())
    }
}

/// Whether more than the clock is in an epoch.
fn announces_news(input: &EpochInput, has_letters: bool) -> bool {
    has_letters || !input.records.is_empty() || !input.remake.is_empty()
}

fn split(batch: Batch, bound_before: Epoch, archives: bool) -> (Announced, Arc<EpochInput>) {
    let Batch { binding, records, dead_letters, read_at, bytes } = batch;
    let interactions = records.iter().filter(|r| r.event.kind() == EventKind::Interactions);
    let times = if binding.live { interactions.map(|r| r.event.event_time()).collect() } else { Vec::new() };
    let remade = if binding.epoch > bound_before { binding.remake.clone() } else { Vec::new() };
    let (epoch, live) = (binding.epoch, binding.live);
    let records = records.into_iter().map(|r| (r.origin, r.event)).collect();
    let input = Arc::new(EpochInput {
        epoch,
        now: binding.now,
        records,
        asks: Vec::new(),
        probes: Vec::new(),
        remake: binding.remake.clone(),
    });
    let closed = archives.then(|| {
        let records = Arc::clone(&input) as Records;
        Closed { binding, publication: None, records, bytes }
    });
    (Announced { closed, epoch, live, dead_letters, read_at, remade, times }, input)
}

/// Whoever forgets waits for the epoch of the delete.
fn note_deletes(batch: &Batch, progress: &Progress) {
    let deletes = batch.records.iter().filter(|record| record.event.kind() == EventKind::Deletes);
    deletes.for_each(|record| progress.note_delete(record.event.event_id(), batch.binding.epoch));
}

/// The archive's writer, where one is configured.
fn open_archive(config: &Config, resumed: Resumed, stop: &Arc<AtomicBool>) -> anyhow::Result<Option<Writer>> {
    let Some(dir) = &config.archive.dir else { return Ok(None) };
    let folder = Folder::claim(Path::new(dir)).context("the archive")?;
    let writer = Writer::start(folder, config.archive.options(), resumed, Arc::clone(stop));
    Ok(Some(writer.context("the archive")?))
}

fn show(source: &EpochSource, progress: &Progress, caught_up: bool) {
    let now = source.progress();
    progress.bytes_read.store(now.bytes_read, Relaxed);
    progress.bytes_total.store(now.bytes_total, Relaxed);
    progress.set_phase(match now.phase {
        epochs::Phase::Journal => Phase::Journal,
        epochs::Phase::Replay => Phase::Replay,
        epochs::Phase::Live if caught_up => Phase::Live,
        epochs::Phase::Live => Phase::Replay,
    });
}

/// Takes what the workers say and commits closed epochs in order.
struct Sink {
    store: Arc<dyn FeedStore>,
    dead_letters: DeadLetters,
    progress: Arc<Progress>,
    committed: Arc<AtomicU64>,
    /// Told to end: what waits for brokers does so no longer.
    stop: Arc<AtomicBool>,
    /// Waits for epochs to be committed.
    source: Thread,
    /// For each worker, the first epoch that is not closed there.
    workers: Vec<u64>,
    closed: BTreeMap<u64, Vec<Change>>,
    announced: BTreeMap<u64, Announced>,
    /// For each worker, the early interactions that wait there.
    waiting: Vec<u64>,
    /// How many lives of new videos each worker has.
    lives: Vec<Standing>,
    /// How many users and videos are suspected of abuse, by worker.
    suspects: [Vec<abuse::Standing>; 2],
    sizes: Vec<Vec<meters::Size>>,
    synced: Instant,
    remake: Arc<Remake>,
    /// How many workers have taken their state as of an epoch.
    taken: BTreeMap<u64, usize>,
    /// Who waits for the store to be durable up to a checkpoint's epoch.
    durable: Option<Sender<(Epoch, Option<Epoch>)>>,
    archive: Option<Writer>,
    /// What was published in epochs that are not committed.
    publications: BTreeMap<u64, (u64, Vec<u64>)>,
    /// Older runs write nothing.
    fence: Option<Fence>,
}

impl Sink {
    fn run(mut self, outputs: &Receiver<Output>, announced: Receiver<Announced>) -> anyhow::Result<Epoch> {
        let mut going = true;
        for output in outputs {
            match output {
                Output::Changes(_, epoch, changes) => {
                    self.closed.entry(epoch.0).or_default().extend(changes);
                }
                Output::Closed(worker, epoch) => {
                    self.workers[worker] = epoch.0;
                    // Every epoch was announced before it was sent.
                    self.announced.extend(announced.try_iter().map(|a| (a.epoch.0, a)));
                    // Once told to end in the middle, the rest is only taken off the workers' hands.
                    going = going && self.commit_closed()?;
                    if !going {
                        // What the workers have now is not what the store has: no checkpoint of it.
                        self.durable = None;
                    }
                }
                Output::Waiting(worker, held, gave_way) => {
                    self.waiting[worker] = held;
                    meters::Early { held: self.waiting.iter().sum(), gave_way }.emit();
                }
                Output::Yields(yields) => meters::Sources(&yields).emit(),
                Output::Index(report) => meters::Index(report).emit(),
                Output::Spread(spread) => meters::Alike(&spread).emit(),
                Output::Cohorts(worker, epoch, report) => {
                    self.lives[worker] = report.standing;
                    meters::Lives { epoch, report: &report, standing: &self.lives }.emit();
                }
                Output::Abuse(worker, epoch, report) => {
                    let standing = match report.side {
                        Side::Users => &mut self.suspects[0],
                        Side::Videos => &mut self.suspects[1],
                    };
                    standing[worker] = report.standing;
                    meters::Suspected { epoch, report: &report, standing }.emit();
                }
                Output::Sizes(worker, sizes) => {
                    self.sizes[worker] = sizes;
                    meters::State { workers: &self.sizes }.emit();
                }
                Output::Published(epoch, version, skip_below) => {
                    self.publications.insert(epoch.0, (version, skip_below.to_vec()));
                }
                Output::Taken(_, epoch) => self.taken(epoch)?,
                // What is committed is that epoch, and nothing later. Once told to end in the middle it may be less.
                Output::Looked(look, epoch) if going => look.passed(epoch.0),
                Output::Looked(look, _) => look.give_up(),
                Output::Taps(..) | Output::Answers(..) | Output::Probed(..) => {}
            }
        }
        self.store.sync().context("the store")?;
        self.dead_letters.sync().context("the dead letters")?;
        if let Some(archive) = self.archive.take() {
            archive.finish().context("the archive")?;
        }
        Ok(Epoch(self.committed.load(Relaxed)))
    }

    /// A worker says nothing more of the epochs up to a checkpoint's. When the last one has said so, all of them are committed.
    fn taken(&mut self, epoch: Epoch) -> anyhow::Result<()> {
        let taken = self.taken.entry(epoch.0).or_default();
        *taken += 1;
        if *taken < self.workers.len() {
            return Ok(());
        }
        self.taken.remove(&epoch.0);
        crash_point("before-store-sync").context("the store")?;
        self.store.sync().context("the store")?;
        self.dead_letters.sync().context("the dead letters")?;
        self.synced = Instant::now();
        let Some(durable) = self.durable.clone() else { return Ok(()) };
        let marker = self.store.marker()?;
        let tell = move || {
            // Who ordered it may have given up.
            let _ = durable.send((epoch, marker));
        };
        match &self.archive {
            // The archive is durable up to a checkpoint's epoch before there is one: what the journal lets go of then is nowhere else.
            Some(archive) => archive.durable(Box::new(tell)).context("the archive")?,
            None => tell(),
        }
        Ok(())
    }

    /// `false`: told to end while an epoch waited for brokers; neither it nor a later one is committed.
    fn commit_closed(&mut self) -> anyhow::Result<bool> {
        let open = self.workers.iter().copied().min().unwrap_or(0);
        let mut closed = Vec::new();
        while let Some(entry) = self.announced.first_entry() {
            if *entry.key() >= open {
                break;
            }
            let announced = entry.remove();
            // Whether a shard is whole again is asked of the store as of that epoch: nothing later goes with it.
            let last = !announced.remade.is_empty();
            closed.push(announced);
            if last && !self.commit(std::mem::take(&mut closed))? {
                return Ok(false);
            }
        }
        if !self.commit(closed)? {
            return Ok(false);
        }
        if self.synced.elapsed() > SYNC_EVERY {
            self.store.sync().context("the store")?;
            self.synced = Instant::now();
            self.look_for_losses();
        }
        Ok(true)
    }

    fn look_for_losses(&self) {
        let losses = self.store.lost();
        if !losses.is_empty() {
            self.remake.lost(&losses, Epoch(self.committed.load(Relaxed)), self.amount());
        }
        let (slices, shards) = self.remake.left();
        meters::Remaking { slices, shards }.emit();
        self.progress.remaking.store(slices as u64, Relaxed);
    }

    fn amount(&self) -> Amount {
        let entries = |wanted: &str| {
            let of = |sizes: &Vec<meters::Size>| {
                sizes.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, size)| size.entries)
            };
            self.sizes.iter().map(of).sum()
        };
        Amount { rows: entries("users"), videos: entries("videos") }
    }

    /// Commits epochs that were closed, in order: what a remote store saves is a round trip for each but the first.
    fn commit(&mut self, epochs: Vec<Announced>) -> anyhow::Result<bool> {
        if epochs.is_empty() {
            return Ok(true);
        }
        if let Some(fence) = &mut self.fence {
            fence.check()?;
        }
        let mut commits = Vec::new();
        let mut done = Vec::new();
        let mut stopped = false;
        for mut announced in epochs {
            let epoch = announced.epoch;
            let publication = self.publications.remove(&epoch.0);
            if let (Some(archive), Some(closed)) = (&self.archive, announced.closed.take())
                && !archive.append(Closed { publication, ..closed }, &self.stop).context("the archive")?
            {
                stopped = true;
                break;
            }
            let letters = &announced.dead_letters;
            if !self.dead_letters.write(epoch, letters, &self.stop).context("the dead letters")? {
                stopped = true;
                break;
            }
            let mut changes = self.closed.remove(&epoch.0).unwrap_or_default();
            let is_list = |change: &&Change| matches!(change.0, Key::Feed(_)) && change.1.is_some();
            done.push((announced, changes.iter().filter(is_list).count() as u64));
            if !changes.is_empty() {
                changes.sort_by_cached_key(|(key, _)| key.to_string());
                commits.push(Commit { epoch, changes });
            }
        }
        if !commits.is_empty() {
            self.store.commit_all(&commits).context("the store")?;
        }
        for (announced, lists) in &done {
            crash_point("after-commit").context("the store")?;
            self.committed(announced, *lists)?;
        }
        Ok(!stopped)
    }

    /// The store has an epoch.
    fn committed(&self, announced: &Announced, lists: u64) -> anyhow::Result<()> {
        let epoch = announced.epoch;
        self.committed.store(epoch.0, Relaxed);
        if !announced.remade.is_empty() {
            let whole = self.remake.committed(epoch, &announced.remade);
            self.store.restored(&whole).context("the store")?;
            self.progress.shards_remade.fetch_add(whole.len() as u64, Relaxed);
        }
        self.look_for_losses();
        self.source.unpark();
        self.progress.epochs.fetch_add(1, Relaxed);
        self.progress.lists.fetch_add(lists, Relaxed);
        self.progress.last_epoch.store(epoch.0, Relaxed);
        meters::Committed { epoch, lists, took: announced.read_at.elapsed() }.emit();
        if announced.live {
            let now = self.progress.now();
            for time in &announced.times {
                meters::Freshness { ms: now.since(*time) }.emit();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred bytes a record are little, and what is made of them is much.
    #[test]
    fn epochs_of_small_records_are_held_back_by_the_memory_they_take() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let sink = std::thread::spawn(move || {
            let _ = ended.recv();
            Ok(Epoch(0))
        });
        let committed = AtomicU64::new(0);
        let (bytes, records) = (20_000, 200);
        let in_flight_bytes = 2 * weight(bytes, records);
        let mut ahead = Ahead {
            in_flight: 100,
            in_flight_bytes,
            sent: VecDeque::new(),
            committed: &committed,
            sink: &sink,
        };
        for epoch in 1..=2 {
            assert!(!ahead.too_far(weight(bytes, records)), "epoch {epoch}");
            ahead.sent.push_back((epoch, weight(bytes, records)));
        }
        assert!(ahead.too_far(weight(bytes, records)));
        assert!(in_flight_bytes > 10 * 3 * bytes, "their bytes alone would let it in");
        committed.store(1, Relaxed);
        assert!(!ahead.too_far(weight(bytes, records)), "one is committed");
        drop(end);
        let end = sink.join().expect("ends").expect("well");
        assert_eq!(end, Epoch(0));
    }
}
