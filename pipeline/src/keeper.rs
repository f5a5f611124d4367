//! How a job begins with a checkpoint, and when it makes one.
//!
//! The thread that feeds the graph orders checkpoints, because it alone knows which epoch it sent last and where the input stands
//! then; the writer's thread makes them ([`crate::checkpoint`]). One is in work at a time. When one is there, the journal lets go of
//! what lies before the oldest that is kept: a start may have to go back to that one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use freshet_operators::checkpoint::{Restored, Taken, definitions};
use freshet_operators::runtime::{Durable, Job};
use freshet_schema::{Epoch, Generation, Millis};
use freshet_sinks::{Claim, FeedStore};
use freshet_sources::epochs::{EpochSource, Resume, SourceConfig, SystemClock};

use crate::checkpoint::decide::Choice;
use crate::checkpoint::{Begin, CheckpointError, Checkpoints, Found, Manifest, Published, Status, Writer};
use crate::config::{Config, OnMismatch};
use crate::fence::Fence;

/// Without any input since the last checkpoint so many intervals pass before the next: what a restart would replay is the clock
/// alone, thousands of epochs a second.
const IDLE_INTERVALS: u32 = 60;
/// Time between two looks at a checkpoint that is waited for.
const WAIT: Duration = Duration::from_millis(5);

/// What a start has found.
pub struct Start {
    checkpoints: Checkpoints,
    found: Option<Found>,
    /// Checkpoints that are not used, with why.
    passed: Vec<(Epoch, String)>,
}

impl Start {
    /// Looks for the checkpoint to go on from.
    ///
    /// A store of this machine must reach as far as it did when the checkpoint was made: what it lost since would not be
    /// written again. What a store of another machine lacks is found when it is claimed, and remade.
    ///
    /// # Errors
    /// Where the one that can be used was made by other parameters (`checkpoint.on_mismatch`), or the folder cannot be read.
    pub fn look(config: &Config, store: &dyn FeedStore) -> anyhow::Result<Self> {
        let marker = if store.is_remote() { Some(Epoch(u64::MAX)) } else { store.marker()? };
        let checkpoints = Checkpoints::open(&config.checkpoint.dir, config.checkpoint.keep)?;
        let (mut found, mut passed) = match checkpoints.find(marker)? {
            Choice::None => (None, Vec::new()),
            Choice::From(found, passed) => (Some(found), passed),
            Choice::Refuse(passed) => (None, passed),
        };
        for (epoch, why) in &passed {
            tracing::warn!(epoch = epoch.0, why, "a checkpoint cannot be used");
        }
        if let Some(of) = &mut found {
            let mismatches = of.manifest.mismatches(&definitions(&config.params));
            if !mismatches.is_empty() {
                let path = config.checkpoint.dir.join("manifests").join(Manifest::name(of.manifest.epoch));
                let what: Vec<String> =
                    mismatches.iter().map(|(cut, how)| format!("the cut {cut}: {how}")).collect();
                match config.checkpoint.on_mismatch {
                    OnMismatch::Reject => {
                        return Err(CheckpointError::Mismatch { path, what: what.join("\n") }.into());
                    }
                    OnMismatch::DropCut => {
                        for (cut, how) in &mismatches {
                            tracing::warn!(
                                cut,
                                how,
                                "the cut begins empty (checkpoint.on_mismatch = drop-cut)"
                            );
                            of.loaded.drop_cut(cut);
                        }
                    }
                    OnMismatch::Rebuild => {
                        tracing::warn!(
                            what = what.join("; "),
                            "the checkpoint is not used (checkpoint.on_mismatch = rebuild)"
                        );
                        passed.push((of.manifest.epoch, what.join("; ")));
                        found = None;
                    }
                }
            }
        }
        Ok(Self { checkpoints, found, passed })
    }

    /// Opens the input where the checkpoint left it. Without one it begins where the journal does; if that lies behind a
    /// checkpoint, or there is none, the checkpoints that cannot be used are the trouble.
    ///
    /// # Errors
    /// Of the input, or that no checkpoint can be used. `None`: told to stop before it was open.
    pub fn open(&self, source: SourceConfig) -> anyhow::Result<Option<EpochSource>> {
        let resume = self.found.as_ref().map(|found| found.manifest.input.clone());
        let opened = match EpochSource::open_at(source, Box::<SystemClock>::default(), resume) {
            Err(error) if error.is_stop() => return Ok(None),
            opened => opened,
        };
        if self.found.is_some() || self.passed.is_empty() {
            return opened.map(Some).context("the input");
        }
        match opened {
            Ok(source) if source.last_bound().is_some() => {
                tracing::warn!(
                    "no checkpoint is used: the epochs are read again from the journal's beginning"
                );
                Ok(Some(source))
            }
            Ok(_) => Err(self.checkpoints.none_valid(&self.passed).into()),
            Err(error) => Err(anyhow::Error::from(self.checkpoints.none_valid(&self.passed)).context(error)),
        }
    }

    /// Reads the checkpoint without taking the job over; `None` where there is none.
    ///
    /// # Errors
    /// Where none of those there are can be used, or it does not hold what it should.
    pub fn read(self, config: &Config) -> anyhow::Result<Option<(Epoch, Restored)>> {
        let Self { checkpoints, found, passed } = self;
        let Some(Found { manifest, loaded }) = found else {
            return if passed.is_empty() { Ok(None) } else { Err(checkpoints.none_valid(&passed).into()) };
        };
        let restored = Restored::open(manifest.epoch, manifest.input.base.now, Box::new(loaded));
        Ok(Some((manifest.epoch, restored.with_context(|| config.checkpoint.dir.display().to_string())?)))
    }

    /// The clock of that epoch; 0 without one.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.found.as_ref().map_or(Millis(0), |found| found.manifest.input.base.now)
    }

    /// The epoch of the checkpoint; 0 without one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.found.as_ref().map_or(Epoch(0), |found| found.manifest.epoch)
    }

    /// Takes the job over, and gives what the graph begins with.
    ///
    /// # Errors
    /// Where the folder cannot be written, or the checkpoint does not hold what it should.
    pub fn take_over(self, config: &Config, status: &Arc<Status>) -> anyhow::Result<TakenOver> {
        let Self { checkpoints, found, passed } = self;
        let makes = config.checkpoint.every_ms > 0;
        let generation = if makes { Some(checkpoints.claim()?) } else { None };
        let mut restored = None;
        let mut oldest = None;
        let epoch = found.as_ref().map_or(Epoch(0), |found| found.manifest.epoch);
        let store_marker = found.as_ref().and_then(|found| found.manifest.store_marker);
        if makes {
            checkpoints.set_aside(&passed)?;
        }
        if let Some(Found { manifest, loaded }) = found {
            status.begun_with(Published::of(&manifest));
            let now = manifest.input.base.now;
            let blocks = Box::new(loaded);
            let open = Restored::open(manifest.epoch, now, blocks);
            restored = Some(Arc::new(open.with_context(|| config.checkpoint.dir.display().to_string())?));
            tracing::info!(
                epoch = manifest.epoch.0,
                generation = manifest.generation.0,
                "going on from a checkpoint"
            );
        }
        let mut fence = None;
        if let Some(generation) = generation {
            oldest = checkpoints.clean(generation)?;
            fence = Some(Fence::new(&checkpoints, generation).context("the thread \"owner\"")?);
        }
        let (taken, snapshots) = channel();
        let taken = makes.then_some(taken);
        Ok(TakenOver {
            durable: Durable { restored, taken },
            snapshots,
            checkpoints,
            generation,
            fence,
            epoch,
            store_marker,
            trim: oldest.map(|manifest| manifest.input),
        })
    }
}

/// What is needed to begin.
pub struct TakenOver {
    /// For the graph.
    pub durable: Durable,
    snapshots: Receiver<Taken>,
    checkpoints: Checkpoints,
    /// Which run this is; none where no checkpoints are made.
    pub generation: Option<Generation>,
    fence: Option<Fence>,
    epoch: Epoch,
    /// How far the store was then.
    store_marker: Option<Epoch>,
    /// Where the journal may begin.
    trim: Option<Resume>,
}

impl TakenOver {
    /// With what the store is claimed. What it lacks up to where it was at the checkpoint is lost, as the replay begins after it.
    /// The store hands out its own generations, so that a new folder of checkpoints can go with an old store; while this run
    /// lives, the lock on the journal and the checkpoints' owner say whose it is.
    #[must_use]
    pub fn store_claim(&self) -> Claim {
        let claim = Claim { resumed: self.store_marker.unwrap_or(self.epoch), ..Claim::default() };
        let Some(generation) = self.generation else { return claim };
        let checkpoints = self.checkpoints.clone();
        Claim { still_mine: Arc::new(move || checkpoints.still_mine(generation)), ..claim }
    }

    /// For the sink.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.fence.clone()
    }

    /// Starts the writer for a graph. `None` where no checkpoints are made.
    ///
    /// # Errors
    /// Where there is no thread.
    pub fn start(
        self,
        config: &Config,
        graph: &Job,
        status: Arc<Status>,
        source: &mut EpochSource,
        durable: Receiver<(Epoch, Option<Epoch>)>,
    ) -> anyhow::Result<Option<Keeper>> {
        let (Some(generation), Some(fence)) = (self.generation, self.fence) else { return Ok(None) };
        if let Some(trim) = &self.trim {
            source.trim(trim).context("the journal")?;
        }
        let (orders, ordered) = channel();
        let writer = Writer {
            checkpoints: self.checkpoints,
            generation,
            definitions: definitions(&config.params),
            workers: graph.peers(),
            processes: graph.processes(),
            taken: self.snapshots,
            durable,
            status: Arc::clone(&status),
        };
        let writer = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || writer.run(&ordered))
            .context("the thread \"checkpoints\"")?;
        Ok(Some(Keeper {
            fence,
            status,
            orders,
            writer,
            every: Duration::from_millis(config.checkpoint.every_ms),
            at_end: config.checkpoint.at_end,
            ordered_at: Instant::now(),
            sent: self.epoch,
            kept: self.epoch,
            news: false,
        }))
    }
}

/// Orders checkpoints.
pub struct Keeper {
    fence: Fence,
    status: Arc<Status>,
    orders: Sender<Begin>,
    writer: JoinHandle<Result<(), CheckpointError>>,
    every: Duration,
    at_end: bool,
    ordered_at: Instant,
    /// The last epoch that the graph has been sent.
    sent: Epoch,
    /// The last one that has a checkpoint, or will have.
    kept: Epoch,
    /// Whether more than the clock was sent since.
    news: bool,
}

impl Keeper {
    /// An epoch was sent; whether there was more in it than the clock.
    pub fn sent(&mut self, epoch: Epoch, news: bool) {
        self.sent = epoch;
        self.news |= news;
    }

    /// Orders one if it is time. To be called after each epoch, and now and then without one.
    ///
    /// # Errors
    /// Where a newer run has taken over, or a thread is gone.
    pub fn turn(&mut self, source: &mut EpochSource, graph: &Job) -> anyhow::Result<()> {
        self.fence.check()?;
        if self.status.in_work.load(Relaxed) {
            return Ok(());
        }
        self.trim(source)?;
        if self.writer.is_finished() {
            // Why, `end` says.
            bail!("no checkpoints can be made any more");
        }
        if self.status.error().is_some() {
            self.kept = self.status.last().map_or(Epoch(0), |last| last.epoch);
            self.news = true;
        }
        let asked = self.status.is_asked();
        let every = if self.news { self.every } else { self.every.saturating_mul(IDLE_INTERVALS) };
        if self.sent > self.kept {
            if asked || self.ordered_at.elapsed() >= every {
                self.order(source, graph)?;
            }
        } else if asked {
            self.status.nothing_to_do();
        }
        Ok(())
    }

    fn trim(&self, source: &mut EpochSource) -> anyhow::Result<()> {
        self.status.take_trim().map_or(Ok(()), |trim| source.trim(&trim)).context("the journal")
    }

    fn order(&mut self, source: &EpochSource, graph: &Job) -> anyhow::Result<()> {
        self.status.begin();
        self.ordered_at = Instant::now();
        self.kept = self.sent;
        self.news = false;
        let order = Begin { input: source.resume(), at: self.ordered_at };
        self.orders.send(order).map_err(|_| anyhow!("no checkpoints can be made any more"))?;
        Ok(graph.checkpoint(self.sent)?)
    }

    /// Makes the last one, if the job has ended well and wants it, and ends. `stopped` says whether waiting is in vain.
    ///
    /// # Errors
    /// Where a newer run has taken over, or a thread is gone.
    pub fn end(
        mut self,
        source: &mut EpochSource,
        graph: &Job,
        well: bool,
        stopped: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let ended = if well && self.at_end { self.last(source, graph, &stopped) } else { Ok(()) };
        self.status.closed.store(true, Relaxed);
        let Self { orders, writer, .. } = self;
        drop(orders);
        if !writer.is_finished() && self.status.in_work.load(Relaxed) {
            // It waits for workers or a sink that may be gone; nothing of it is visible.
            return ended;
        }
        match writer.join() {
            Ok(written) => written.map_err(anyhow::Error::from).and(ended),
            Err(_) => Err(anyhow!("the thread that makes checkpoints panicked")),
        }
    }

    fn last(
        &mut self,
        source: &mut EpochSource,
        graph: &Job,
        stopped: &impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        self.wait(graph, stopped)?;
        self.every = Duration::ZERO;
        self.turn(source, graph)?;
        self.wait(graph, stopped)?;
        self.trim(source)
    }

    fn wait(&self, graph: &Job, stopped: &impl Fn() -> bool) -> anyhow::Result<()> {
        while self.status.in_work.load(Relaxed) && !self.writer.is_finished() && !stopped() {
            std::thread::sleep(WAIT);
            graph.check()?;
        }
        Ok(())
    }
}
