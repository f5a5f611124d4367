//! Reads, binds, journals, releases: in this order.
//!
//! A live epoch costs one fsync. A replay would be bounded by the disk that way, so it reads several epochs ahead, writes
//! their bindings with one fsync and then hands them out one by one.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Millis};

use super::clock::{shift_between, shifted};
use super::cut::{LiveNow, next_bucket, upper_boundary};
use super::lane::{Content, Lane};
use super::past::{self, Past, Resume};
use super::{
    Batch, Binding, Clock, ClockShift, Phase, Progress, SourceConfig, SourceError, Step, SystemClock,
};
use crate::journal::{At, Base, Bound, Entry, Journal, Parameters};
use crate::log::{Partition, discover, discover_or_none};
use crate::validate::ClockRule;

/// Replay epochs that one fsync makes durable, at most.
const GROUP_EPOCHS: usize = 256;
/// Records in them, and the time spent on reading them, after which a group is closed.
const GROUP_RECORDS: usize = 20_000;
const GROUP_MS: u64 = 100;
/// Time between two looks for new files.
const SCAN_MS: u64 = 1000;

/// A log as a sequence of epochs.
pub struct EpochSource {
    config: SourceConfig,
    parameters: Parameters,
    clock: Box<dyn Clock>,
    journal: Journal,
    lanes: Vec<Lane>,
    phase: Phase,
    /// Bindings of earlier runs that are still to be read again.
    bound: VecDeque<Bound>,
    /// Epochs that are durable and not yet released.
    ready: VecDeque<Batch>,
    /// Where everything stood at the end of the last epoch released.
    base: Base,
    /// The last epoch made, its `now` and watermark (0 before the first).
    epoch: Epoch,
    now: Millis,
    watermark: Millis,
    /// `now` of the last epoch released.
    released: Millis,
    shift: Option<i64>,
    records: u64,
    /// Stopwatch readings of the last live epoch, look at the files and look for new ones.
    closed_at: u64,
    polled_at: u64,
    scanned_at: u64,
    /// The last live epoch left records behind.
    more: bool,
    /// What is to be written again, and is in no binding yet.
    remake: VecDeque<Slice>,
    /// The last complaint about the log's folder, so that it is made once.
    complaint: Option<String>,
}

impl EpochSource {
    /// Opens the log and the journal.
    ///
    /// # Errors
    /// [`SourceError`]: what is missing, locked, broken, or not as the journal says.
    pub fn open(config: SourceConfig) -> Result<Self, SourceError> {
        Self::open_with_clock(config, Box::<SystemClock>::default())
    }

    /// As [`EpochSource::open`], by another clock.
    ///
    /// # Errors
    /// As [`EpochSource::open`].
    pub fn open_with_clock(config: SourceConfig, clock: Box<dyn Clock>) -> Result<Self, SourceError> {
        Self::open_at(config, clock, None)
    }

    /// As [`EpochSource::open_with_clock`], behind a checkpoint. A journal that is there must hold the epoch that the
    /// checkpoint is of; a new one begins with it.
    ///
    /// # Errors
    /// As [`EpochSource::open`], and where journal and checkpoint are not of the same run.
    pub fn open_at(
        config: SourceConfig,
        clock: Box<dyn Clock>,
        resume: Option<Resume>,
    ) -> Result<Self, SourceError> {
        config.check()?;
        let found = if config.follow { discover_or_none(&config.dir)? } else { discover(&config.dir)? };
        let (mut journal, entries) = Journal::open(&config.journal)?;
        let inconsistent = |what| SourceError::Inconsistent { journal: config.journal.clone(), what };
        let past = Past::of(entries).map_err(inconsistent)?;
        let (past, mut begin) = past.resume(resume).map_err(inconsistent)?;
        let parameters = match past.parameters.clone() {
            Some(held) => {
                config.compare(&held)?;
                held
            }
            None => {
                let parameters = config.parameters(clock.wall());
                begin.push(Entry::Parameters(parameters.clone()));
                parameters
            }
        };
        let mut lanes = Vec::new();
        for (name, at) in past.partitions.iter().zip(past.places()) {
            let partition = found.iter().find(|p| p.name == *name).cloned();
            let partition = partition.ok_or_else(|| SourceError::Missing {
                path: config.dir.join(name),
                journal: config.journal.clone(),
            })?;
            let mut lane = open_lane(&config, partition, lanes.len())?;
            lane.resume(&at)?;
            lanes.push(lane);
        }
        for partition in found.into_iter().filter(|p| !past.partitions.contains(&p.name)) {
            begin.push(Entry::Partition(partition.name.clone()));
            lanes.push(open_lane(&config, partition, lanes.len())?);
        }
        journal.append(&begin)?;
        let started = clock.elapsed_ms();
        let mut source = Self {
            config,
            parameters,
            clock,
            journal,
            lanes,
            phase: Phase::Journal,
            bound: past.bound.into(),
            ready: VecDeque::new(),
            epoch: past.base.epoch,
            now: past.base.now,
            watermark: past.base.watermark,
            released: past.base.now,
            base: past.base,
            shift: past.shift,
            records: 0,
            closed_at: started,
            polled_at: started,
            scanned_at: started,
            more: false,
            remake: VecDeque::new(),
            complaint: None,
        };
        if source.bound.is_empty() {
            source.leave_journal()?;
        }
        Ok(source)
    }

    /// The next epoch, durable in the journal. Does not wait: where nothing is due it says so at once.
    ///
    /// # Errors
    /// [`SourceError`]; the source cannot be used any further.
    #[allow(clippy::should_implement_trait, reason = "a source may have nothing now and something later")]
    pub fn next(&mut self) -> Result<Step, SourceError> {
        let step = loop {
            if let Some(batch) = self.ready.pop_front() {
                break Step::Batch(batch);
            }
            match self.phase {
                Phase::Journal => match self.bound.pop_front() {
                    Some(bound) => break Step::Batch(self.again(bound)?),
                    None => self.leave_journal()?,
                },
                Phase::Replay => {
                    if !self.replay_group()? {
                        if !self.config.follow {
                            break Step::Drained;
                        }
                        self.go_live()?;
                    }
                }
                Phase::Live => break self.live()?,
            }
        };
        if let Step::Batch(batch) = &step {
            self.released = batch.binding.now;
            past::advance(&mut self.base, &batch.binding, self.shift);
        }
        Ok(step)
    }

    /// Has what the store holds of a slice written again, in one of the next epochs that are bound, one slice an epoch. It stands in
    /// the binding, so a replay does the same.
    pub fn remake(&mut self, slice: Slice) {
        self.remake.push_back(slice);
    }

    /// The last epoch that is bound in the journal; `None` before the first.
    #[must_use]
    pub fn last_bound(&self) -> Option<Epoch> {
        let ready = self.ready.back().map(|batch| batch.binding.epoch);
        self.bound.back().map(|bound| bound.epoch).or(ready).or((self.epoch.0 > 0).then_some(self.epoch))
    }

    /// Where everything stood at the end of the last epoch that was released: what a checkpoint of it must know.
    #[must_use]
    pub fn resume(&self) -> Resume {
        let mut base = self.base.clone();
        let known = base.partitions.len();
        base.partitions.extend(self.lanes.iter().skip(known).map(|lane| At::beginning(&lane.name)));
        for (at, lane) in base.partitions.iter_mut().zip(&self.lanes) {
            at.name = lane.name.to_string();
        }
        Resume { parameters: self.parameters.clone(), base }
    }

    /// Lets the journal begin behind the epoch of a checkpoint that will not be gone back behind.
    ///
    /// # Errors
    /// [`SourceError::Journal`].
    pub fn trim(&mut self, checkpoint: &Resume) -> Result<(), SourceError> {
        Ok(self.journal.trim(&checkpoint.base)?)
    }

    /// How long a caller with nothing else to do may sleep after [`Step::Idle`].
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let now = self.clock.elapsed_ms();
        let due = (self.closed_at + self.config.epoch_ms).max(self.polled_at + self.poll_ms());
        Duration::from_millis(due.saturating_sub(now))
    }

    /// How far the source is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            bytes_read: self.lanes.iter().map(Lane::bytes_read).sum(),
            bytes_total: self.lanes.iter().map(|lane| lane.length).sum(),
            records: self.records,
            phase: self.phase,
        }
    }

    /// How the pipeline's clock relates to the wall clock.
    #[must_use]
    pub fn clock(&self) -> ClockShift {
        let shift_ms = self.shift.unwrap_or(0);
        ClockShift { live: self.phase == Phase::Live, shift_ms, now: self.released }
    }

    /// The names of the partitions by number, `KIND/FILE`.
    pub fn partitions(&self) -> impl Iterator<Item = &str> {
        self.lanes.iter().map(|lane| &*lane.name)
    }

    /// The latest admitted event time of a replay, as the journal holds it.
    #[must_use]
    pub fn max_event_time(&self) -> Millis {
        self.parameters.max_event_time
    }

    /// Reads an epoch of an earlier run.
    fn again(&mut self, bound: Bound) -> Result<Batch, SourceError> {
        let rule = if bound.live { self.live_rule(bound.now) } else { self.replay_rule() };
        let mut content = Content::default();
        for moved in &bound.moved {
            let lane = &mut self.lanes[moved.partition as usize];
            lane.replay(*moved, self.parameters.min_event_time, rule, &mut content)?;
        }
        self.epoch = bound.epoch;
        self.now = bound.now;
        self.watermark = bound.watermark;
        let moved: Vec<usize> = bound.moved.iter().map(|m| m.partition as usize).collect();
        Ok(self.batch(&bound, &moved, content))
    }

    fn leave_journal(&mut self) -> Result<(), SourceError> {
        for lane in &mut self.lanes {
            lane.extend(self.config.follow)?;
        }
        self.phase = if self.shift.is_some() { Phase::Live } else { Phase::Replay };
        self.closed_at = self.clock.elapsed_ms();
        Ok(())
    }

    /// Prepares some epochs; `false` where the log is drained.
    fn replay_group(&mut self) -> Result<bool, SourceError> {
        let started = self.clock.elapsed_ms();
        let mut bindings = Vec::new();
        let mut records = 0;
        while bindings.len() < GROUP_EPOCHS
            && records < GROUP_RECORDS
            && self.clock.elapsed_ms().saturating_sub(started) < GROUP_MS
        {
            let Some((bound, batch)) = self.replay_epoch()? else { break };
            records += batch.records.len();
            bindings.push(Entry::Binding(bound));
            self.ready.push_back(batch);
        }
        if let Err(e) = self.journal.append(&bindings) {
            self.ready.clear();
            return Err(e.into());
        }
        Ok(!bindings.is_empty())
    }

    fn replay_epoch(&mut self) -> Result<Option<(Bound, Batch)>, SourceError> {
        let (width, min, rule) =
            (self.parameters.replay_epoch_ms, self.parameters.min_event_time, self.replay_rule());
        let before: Vec<u64> = self.lanes.iter().map(Lane::offset).collect();
        let mut contents: Vec<Content> = self.lanes.iter().map(|_| Content::default()).collect();
        let mut heads = Vec::new();
        for (lane, content) in self.lanes.iter_mut().zip(&mut contents) {
            // Refused records before the first valid one have no time: they go along with the epoch that comes next, and
            // must not hide the time of what follows them.
            while lane.head()?.is_some() && lane.reached(min, rule).is_none() {
                lane.take(min, rule, content);
            }
            if lane.head()?.is_some() {
                heads.extend(lane.reached(min, rule).map(|time| time.0 / width));
            }
        }
        if heads.is_empty() && contents.iter().all(|content| content.len() == 0) {
            if self.remake.is_empty() || self.config.follow {
                return Ok(None);
            }
            // Nothing more comes, and something is to be written again.
            return Ok(Some(self.bind(self.now, None, false, &[], Content::default())));
        }
        let bucket = next_bucket(heads.into_iter(), self.now, min, width);
        let mut content = Content::default();
        let mut moved = Vec::new();
        for (number, (lane, mut own)) in self.lanes.iter_mut().zip(contents).enumerate() {
            while lane.head()?.is_some() && lane.reached(min, rule).is_none_or(|t| t.0 / width <= bucket) {
                lane.take(min, rule, &mut own);
            }
            content.append(own);
            if lane.offset() != before[number] {
                moved.push(number);
            }
        }
        let reading = self.lanes.iter().filter(|lane| lane.waits());
        let watermark = reading.filter_map(|lane| lane.greatest).min();
        Ok(Some(self.bind(upper_boundary(bucket, width), watermark, false, &moved, content)))
    }

    /// Fixes the shift such that the clock goes on where the replay ended.
    fn go_live(&mut self) -> Result<(), SourceError> {
        let shift = if self.now == Millis(0) { 0 } else { shift_between(self.clock.wall(), self.now) };
        self.journal.append(&[Entry::Shift(shift)])?;
        self.shift = Some(shift);
        self.phase = Phase::Live;
        self.closed_at = self.clock.elapsed_ms();
        tracing::info!(shift_ms = shift, now = self.now.0, "the log is replayed; the clock is live");
        Ok(())
    }

    fn live(&mut self) -> Result<Step, SourceError> {
        let elapsed = self.clock.elapsed_ms();
        let wall = shifted(self.clock.wall(), self.shift.unwrap_or(0));
        let clock = LiveNow::next(self.now, wall, self.config.max_now_step_ms);
        let hurry = self.more || clock.lags() || !self.config.follow || !self.remake.is_empty();
        let since = |at: u64| elapsed.saturating_sub(at);
        if !hurry && (since(self.closed_at) < self.config.epoch_ms || since(self.polled_at) < self.poll_ms())
        {
            return Ok(Step::Idle);
        }
        self.polled_at = elapsed;
        self.look_for_files(elapsed)?;

        let (min, skew, rule) =
            (self.parameters.min_event_time, self.parameters.max_future_skew_ms, self.live_rule(clock.now));
        // Shared out, so that one busy file does not starve the others.
        let quota = self.config.max_epoch_records.div_ceil(self.lanes.len().max(1));
        let mut content = Content::default();
        let mut moved = Vec::new();
        self.more = false;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            lane.extend(self.config.follow)?;
            let before = content.len();
            while lane.head()?.is_some() {
                if lane.head_time().is_some_and(|time| clock.holds(time, skew)) {
                    break;
                }
                if content.len() - before == quota {
                    self.more = true;
                    break;
                }
                lane.take(min, rule, &mut content);
            }
            if content.len() > before {
                moved.push(number);
            }
        }
        if moved.is_empty() && !clock.lags() && self.remake.is_empty() {
            if !self.config.follow {
                return Ok(Step::Drained);
            }
            if since(self.closed_at) < self.config.tick_ms {
                return Ok(Step::Idle);
            }
        }
        let watermark = moved.iter().filter_map(|number| self.lanes[*number].greatest).min();
        for number in &moved {
            self.lanes[*number].sync()?;
        }
        let (bound, batch) = self.bind(clock.now, watermark, true, &moved, content);
        self.journal.append(&[Entry::Binding(bound)])?;
        self.closed_at = elapsed;
        Ok(Step::Batch(batch))
    }

    /// Gives new part files the next numbers.
    fn look_for_files(&mut self, elapsed: u64) -> Result<(), SourceError> {
        if elapsed.saturating_sub(self.scanned_at) < SCAN_MS {
            return Ok(());
        }
        self.scanned_at = elapsed;
        let found = match discover_or_none(&self.config.dir) {
            Ok(found) => found,
            // A stray file must not end a service that runs.
            Err(e) => {
                let complaint = Some(e.to_string());
                if self.complaint != complaint {
                    tracing::warn!(error = %e, "new files are not looked for until this is mended");
                    self.complaint = complaint;
                }
                return Ok(());
            }
        };
        self.complaint = None;
        if found.len() == self.lanes.len() {
            return Ok(());
        }
        let known: BTreeSet<String> = self.lanes.iter().map(|lane| lane.name.to_string()).collect();
        let mut entries = Vec::new();
        for partition in found.into_iter().filter(|p| !known.contains(&p.name)) {
            tracing::info!(partition = partition.name, number = self.lanes.len(), "a new partition");
            entries.push(Entry::Partition(partition.name.clone()));
            let lane = open_lane(&self.config, partition, self.lanes.len())?;
            self.lanes.push(lane);
        }
        Ok(self.journal.append(&entries)?)
    }

    /// Closes an epoch. It must be journalled before it is released.
    fn bind(
        &mut self,
        now: Millis,
        watermark: Option<Millis>,
        live: bool,
        moved: &[usize],
        content: Content,
    ) -> (Bound, Batch) {
        self.epoch = self.epoch.next();
        self.now = now;
        // Where every partition has ended or is idle, nothing holds it back.
        let greatest = self.lanes.iter().filter_map(|lane| lane.greatest).max();
        self.watermark = self.watermark.max(watermark.or(greatest).unwrap_or(Millis(0)));
        let bound = Bound {
            epoch: self.epoch,
            now,
            watermark: self.watermark,
            live,
            moved: moved.iter().map(|number| self.lanes[*number].moved()).collect(),
            remake: self.remake.pop_front().into_iter().collect(),
        };
        let batch = self.batch(&bound, moved, content);
        (bound, batch)
    }

    fn batch(&mut self, bound: &Bound, moved: &[usize], content: Content) -> Batch {
        self.records += content.len() as u64;
        Batch {
            binding: Binding {
                epoch: bound.epoch,
                now: bound.now,
                watermark: bound.watermark,
                live: bound.live,
                positions: moved.iter().map(|number| self.lanes[*number].position()).collect(),
                remake: bound.remake.clone(),
            },
            records: content.records,
            dead_letters: content.dead_letters,
            bytes: content.bytes,
            read_at: Instant::now(),
        }
    }

    fn replay_rule(&self) -> ClockRule {
        ClockRule::Replay { max_event_time: self.parameters.max_event_time }
    }

    fn live_rule(&self, now: Millis) -> ClockRule {
        ClockRule::Live { now, max_future_skew_ms: self.parameters.max_future_skew_ms }
    }

    /// Time between two looks at the files' lengths.
    fn poll_ms(&self) -> u64 {
        (self.config.epoch_ms / 10).max(1)
    }
}

fn open_lane(config: &SourceConfig, partition: Partition, number: usize) -> Result<Lane, SourceError> {
    let number = u32::try_from(number).expect("a log has fewer than 2^32 part files");
    Ok(Lane::open(partition, number, config.limits.clone())?)
}
