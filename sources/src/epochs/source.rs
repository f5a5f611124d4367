//! Reads, binds, journals, releases: in this order.
//!
//! A live epoch costs one fsync. A replay would be bounded by the disk that way, so it reads several epochs ahead, writes
//! their bindings with one fsync and then hands them out one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Millis};

use super::clock::{shift_between, shifted};
use super::cut::{LiveNow, next_bucket, upper_boundary};
use super::lane::{Content, Head, Lane};
use super::past::{self, Past, Resume};
use super::share::{self, Room, Taken};
use super::{
    Batch, Binding, Clock, ClockShift, LiveClock, PartitionStatus, Phase, Progress, SourceConfig,
    SourceError, Step, SystemClock,
};
use crate::journal::{At, Base, Bound, Entry, Journal, Moved, Parameters};
use crate::kafka::{Cluster, KafkaError, KafkaPartition, PREFIX};
use crate::log::{Partition, discover, discover_or_none};
use crate::validate::ClockRule;

/// Replay epochs that one fsync makes durable, at most.
const GROUP_EPOCHS: usize = 256;
/// Records in them, and the time spent on reading them, after which a group is closed.
const GROUP_RECORDS: usize = 20_000;
const GROUP_MS: u64 = 100;
/// Time between two looks for new files.
const SCAN_MS: u64 = 1000;
/// How long to sleep where records are on their way.
const ON_THEIR_WAY: Duration = Duration::from_millis(2);
/// Time between two commits of consumed offsets.
const COMMIT_MS: u64 = 2000;

/// A log as a sequence of epochs.
pub struct EpochSource {
    config: SourceConfig,
    parameters: Parameters,
    clock: Box<dyn Clock>,
    journal: Journal,
    lanes: Vec<Lane>,
    /// The connection, where the lanes are Kafka's.
    cluster: Option<Cluster>,
    phase: Phase,
    /// Bindings of earlier runs that are still to be read again.
    bound: VecDeque<Bound>,
    /// The epoch that is being read, where its records are still on their way.
    open: Option<Open>,
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
    /// What released epochs have consumed of Kafka and nobody has called committed yet; when offsets were last committed.
    unconfirmed: VecDeque<(Epoch, Vec<Moved>)>,
    confirmed: BTreeMap<u32, u64>,
    told_at: u64,
}

/// An epoch that is being read: by lane what was taken of it so far. A lane of Kafka may have to wait for its broker, and the
/// caller is not to be kept waiting with it.
struct Open {
    before: Vec<u64>,
    contents: Vec<Content>,
    /// The bucket of a replay, once all lanes have told what time they have reached.
    bucket: Option<u64>,
    /// How many of the lanes that a binding names are done.
    done: usize,
}

/// What came of preparing epochs.
#[derive(PartialEq, Eq)]
enum Group {
    Ready,
    /// Records are on their way.
    Waits,
    /// There is no more.
    Over,
}

/// What there is to read.
enum Found {
    Files(Vec<Partition>),
    Kafka(Box<Cluster>),
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
        let found = match &config.kafka {
            Some(kafka) => Found::Kafka(Box::new(Cluster::connect(kafka)?)),
            None if config.follow => Found::Files(discover_or_none(&config.dir)?),
            None => Found::Files(discover(&config.dir)?),
        };
        let (mut journal, entries) = Journal::open(&config.journal)?;
        let inconsistent = |what| SourceError::Inconsistent { journal: config.journal.clone(), what };
        let past = Past::of(entries).map_err(inconsistent)?;
        let (past, mut begin) = past.resume(resume).map_err(inconsistent)?;
        let parameters = match &past.parameters {
            Some(held) => {
                config.compare(held)?;
                held.clone()
            }
            None => {
                let parameters = config.parameters(clock.wall());
                begin.push(Entry::Parameters(parameters.clone()));
                parameters
            }
        };
        let (lanes, cluster) = match found {
            Found::Files(found) => (file_lanes(&config, &past, found, &mut begin)?, None),
            Found::Kafka(cluster) => (kafka_lanes(&config, &past, &cluster, &mut begin)?, Some(*cluster)),
        };
        journal.append(&begin)?;
        if let Some(cluster) = &cluster {
            let readers = lanes.iter().filter_map(Lane::kafka_reader);
            cluster.assign(readers.map(|reader| (reader.partition(), reader.from())))?;
        }
        let started = clock.elapsed_ms();
        let mut source = Self {
            config,
            parameters,
            clock,
            journal,
            lanes,
            cluster,
            phase: Phase::Journal,
            bound: past.bound.into(),
            open: None,
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
            unconfirmed: VecDeque::new(),
            confirmed: BTreeMap::new(),
            told_at: started,
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
                Phase::Journal if self.bound.is_empty() => self.leave_journal()?,
                Phase::Journal => match self.again()? {
                    Some(batch) => break Step::Batch(batch),
                    None => break Step::Idle,
                },
                Phase::Replay => match self.replay_group()? {
                    Group::Ready => {}
                    Group::Waits => break Step::Idle,
                    Group::Over if !self.config.follow => break Step::Drained,
                    Group::Over => self.go_live()?,
                },
                Phase::Live => break self.live()?,
            }
        };
        if let Step::Batch(batch) = &step {
            self.released = batch.binding.now;
            past::advance(&mut self.base, &batch.binding, self.shift);
            self.note_consumed(&batch.binding);
        }
        Ok(step)
    }

    /// Has what the store holds of a slice written again, in one of the next epochs that are bound, one slice an epoch. It stands in
    /// the binding, so a replay does the same.
    pub fn remake(&mut self, slice: Slice) {
        self.remake.push_back(slice);
    }

    /// Says that an epoch and all before it are in the store. Consumed offsets are committed to the Kafka group by it, for
    /// monitoring, every few seconds.
    pub fn committed(&mut self, epoch: Epoch) {
        let Some(cluster) = &self.cluster else { return };
        while self.unconfirmed.front().is_some_and(|(consumed, _)| *consumed <= epoch) {
            if let Some((_, moved)) = self.unconfirmed.pop_front() {
                self.confirmed.extend(moved.iter().map(|m| (m.partition, m.next_offset)));
            }
        }
        let now = self.clock.elapsed_ms();
        if self.confirmed.is_empty() || now.saturating_sub(self.told_at) < COMMIT_MS {
            return;
        }
        self.told_at = now;
        let offsets: Vec<(&KafkaPartition, u64)> = std::mem::take(&mut self.confirmed)
            .into_iter()
            .filter_map(|(number, next)| {
                Some((self.lanes.get(number as usize)?.kafka_reader()?.partition(), next))
            })
            .collect();
        cluster.commit(&offsets);
    }

    fn note_consumed(&mut self, binding: &Binding) {
        if self.cluster.as_ref().is_some_and(|cluster| cluster.config().group.is_some()) {
            let of = |p: &super::Position| Moved {
                partition: p.partition,
                next_offset: p.next_offset,
                checksum: p.checksum,
            };
            self.unconfirmed.push_back((binding.epoch, binding.positions.iter().map(of).collect()));
        }
    }

    /// How each partition is doing.
    #[must_use]
    pub fn status(&self) -> Vec<PartitionStatus> {
        let unfinished = self.lanes.iter().filter(|lane| lane.state() != Head::End);
        let holder = unfinished.min_by_key(|lane| (lane.greatest, lane.number())).map(Lane::number);
        let positions = self.cluster.as_ref().map(Cluster::positions).unwrap_or_default();
        let lag = |lane: &Lane| {
            let partition = lane.kafka_reader()?.partition();
            let high = self.cluster.as_ref()?.high(partition).max(partition.high);
            // What the client has handed out may still wait here for its epoch.
            let handed_out = positions.get(&(partition.topic.clone(), partition.partition));
            let read = handed_out.filter(|_| !lane.waits()).copied().unwrap_or(0).max(lane.offset());
            Some(high.saturating_sub(read.max(partition.low)))
        };
        let of = |lane: &Lane| PartitionStatus {
            name: std::sync::Arc::clone(&lane.name),
            lag: lag(lane),
            holds: holder == Some(lane.number()),
        };
        self.lanes.iter().map(of).collect()
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
        if self.phase != Phase::Live {
            return ON_THEIR_WAY;
        }
        let now = self.clock.elapsed_ms();
        let due = (self.closed_at + self.config.epoch_ms).max(self.polled_at + self.poll_ms());
        Duration::from_millis(due.saturating_sub(now))
    }

    /// How far the source is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let add = |(read, total): (u64, u64), lane: &Lane| {
            let own = lane.progress();
            (read.saturating_add(own.0), total.saturating_add(own.1))
        };
        let (bytes_read, bytes_total) = self.lanes.iter().fold((0, 0), add);
        Progress { bytes_read, bytes_total, records: self.records, phase: self.phase }
    }

    /// How the pipeline's clock relates to the wall clock.
    #[must_use]
    pub fn clock(&self) -> ClockShift {
        let shift_ms = self.shift.unwrap_or(0);
        ClockShift { live: self.phase == Phase::Live, shift_ms, now: self.released }
    }

    /// The names of the partitions by number, `KIND/FILE` or `kafka:TOPIC/P`.
    pub fn partitions(&self) -> impl Iterator<Item = &str> {
        self.lanes.iter().map(|lane| &*lane.name)
    }

    /// The latest admitted event time of a replay, as the journal holds it.
    #[must_use]
    pub fn max_event_time(&self) -> Millis {
        self.parameters.max_event_time
    }

    /// Reads an epoch of an earlier run; `None` where the rest of it is on its way.
    fn again(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(bound) = self.bound.front() else { return Ok(None) };
        let rule = if bound.live { self.live_rule(bound.now) } else { self.replay_rule() };
        let mut open = self.open.take().unwrap_or_else(|| Open::new(&self.lanes));
        while let Some(moved) = bound.moved.get(open.done) {
            let number = moved.partition as usize;
            let (lane, content) = (&mut self.lanes[number], &mut open.contents[number]);
            if !lane.replay(*moved, self.parameters.min_event_time, rule, content)? {
                self.open = Some(open);
                return Ok(None);
            }
            open.done += 1;
        }
        let bound = self.bound.pop_front().expect("it was looked at above");
        self.epoch = bound.epoch;
        self.now = bound.now;
        self.watermark = bound.watermark;
        let moved: Vec<usize> = bound.moved.iter().map(|m| m.partition as usize).collect();
        Ok(Some(self.batch(&bound, &moved, Content::all(open.contents))))
    }

    fn leave_journal(&mut self) -> Result<(), SourceError> {
        self.phase = if self.shift.is_some() { Phase::Live } else { Phase::Replay };
        for lane in &mut self.lanes {
            lane.extend(self.config.follow)?;
            if self.phase == Phase::Replay {
                lane.stop_at_backlog();
            }
        }
        self.closed_at = self.clock.elapsed_ms();
        Ok(())
    }

    /// Prepares some epochs.
    fn replay_group(&mut self) -> Result<Group, SourceError> {
        let started = self.clock.elapsed_ms();
        let mut bindings = Vec::new();
        let mut records = 0;
        let mut rest = Group::Ready;
        while bindings.len() < GROUP_EPOCHS
            && records < GROUP_RECORDS
            && self.clock.elapsed_ms().saturating_sub(started) < GROUP_MS
        {
            match self.replay_epoch()? {
                Ok((bound, batch)) => {
                    records += batch.records.len();
                    bindings.push(Entry::Binding(bound));
                    self.ready.push_back(batch);
                }
                Err(why) => {
                    rest = why;
                    break;
                }
            }
        }
        if let Err(e) = self.journal.append(&bindings) {
            self.ready.clear();
            return Err(e.into());
        }
        Ok(if bindings.is_empty() { rest } else { Group::Ready })
    }

    /// The next epoch of a replay, or why there is none.
    fn replay_epoch(&mut self) -> Result<Result<(Bound, Batch), Group>, SourceError> {
        let (width, min, rule) =
            (self.parameters.replay_epoch_ms, self.parameters.min_event_time, self.replay_rule());
        let mut open = self.open.take().unwrap_or_else(|| Open::new(&self.lanes));
        let mut waits = false;
        let bucket = match open.bucket {
            Some(bucket) => bucket,
            None => {
                let mut heads = Vec::new();
                for (lane, content) in self.lanes.iter_mut().zip(&mut open.contents) {
                    // Refused records before the first valid one have no time: they go along with the epoch that comes
                    // next, and must not hide the time of what follows them.
                    while lane.head()? == Head::Record && lane.reached(min, rule).is_none() {
                        lane.take(min, rule, content);
                    }
                    match lane.head()? {
                        Head::Record => heads.extend(lane.reached(min, rule).map(|time| time.0 / width)),
                        Head::Wait => waits = true,
                        Head::End => {}
                    }
                }
                if waits {
                    self.open = Some(open);
                    return Ok(Err(Group::Waits));
                }
                if heads.is_empty() && open.contents.iter().all(|content| content.len() == 0) {
                    if self.remake.is_empty() || self.config.follow {
                        return Ok(Err(Group::Over));
                    }
                    // Nothing more comes, and something is to be written again.
                    return Ok(Ok(self.bind(self.now, None, false, &[], Content::default())));
                }
                next_bucket(heads.into_iter(), self.now, min, width)
            }
        };
        for (lane, own) in self.lanes.iter_mut().zip(&mut open.contents) {
            while lane.head()? == Head::Record
                && lane.reached(min, rule).is_none_or(|t| t.0 / width <= bucket)
            {
                lane.take(min, rule, own);
            }
            waits |= lane.head()? == Head::Wait;
        }
        if waits {
            open.bucket = Some(bucket);
            self.open = Some(open);
            return Ok(Err(Group::Waits));
        }
        let moved: Vec<usize> = (0..self.lanes.len())
            .filter(|number| self.lanes[*number].offset() != open.before[*number])
            .collect();
        let content = Content::all(open.contents);
        let reading = self.lanes.iter().filter(|lane| lane.waits());
        let watermark = reading.filter_map(|lane| lane.greatest).min();
        Ok(Ok(self.bind(upper_boundary(bucket, width), watermark, false, &moved, content)))
    }

    /// Fixes the shift such that the clock goes on where the replay ended.
    fn go_live(&mut self) -> Result<(), SourceError> {
        let shift = match self.config.live_clock {
            LiveClock::Shifted if self.now > Millis(0) => shift_between(self.clock.wall(), self.now),
            _ => 0,
        };
        self.journal.append(&[Entry::Shift(shift)])?;
        self.shift = Some(shift);
        self.phase = Phase::Live;
        self.lanes.iter_mut().for_each(Lane::go_on);
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
        for lane in &mut self.lanes {
            lane.extend(self.config.follow)?;
        }
        let room = Room { records: self.config.max_epoch_records, bytes: self.config.max_epoch_bytes };
        let due = |lane: &Lane| !lane.head_time().is_some_and(|time| clock.holds(time, skew));
        let Taken { contents, more, waits } =
            share::take(&mut self.lanes, self.epoch.0, room, (min, rule), due)?;
        self.more = more;
        let moved: Vec<usize> = (0..contents.len()).filter(|number| contents[*number].len() > 0).collect();
        if moved.is_empty() && !clock.lags() && self.remake.is_empty() {
            if !self.config.follow && !waits {
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
        let (bound, batch) = self.bind(clock.now, watermark, true, &moved, Content::all(contents));
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
        // New partitions of a topic come with the next start: what numbers they have must not depend on when they are heard of.
        if self.cluster.is_some() {
            return Ok(());
        }
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

impl Open {
    fn new(lanes: &[Lane]) -> Self {
        Self {
            before: lanes.iter().map(Lane::offset).collect(),
            contents: lanes.iter().map(|_| Content::default()).collect(),
            bucket: None,
            done: 0,
        }
    }
}

/// Lanes over files: those that the journal knows, by its numbers, then new ones.
fn file_lanes(
    config: &SourceConfig,
    past: &Past,
    found: Vec<Partition>,
    begin: &mut Vec<Entry>,
) -> Result<Vec<Lane>, SourceError> {
    let mut lanes = Vec::new();
    for (name, at) in past.partitions.iter().zip(past.places()) {
        if name.starts_with(PREFIX) {
            let (journal, then) = (config.journal.clone(), name.clone());
            return Err(SourceError::OtherInput { journal, then, now: "files" });
        }
        let partition = found.iter().find(|p| p.name == *name).cloned();
        let partition = partition.ok_or_else(|| SourceError::Missing {
            path: config.dir.join(name),
            journal: config.journal.clone(),
        })?;
        lanes.push(Lane::resume(partition, lane_number(lanes.len()), config.limits.clone(), &at)?);
    }
    for partition in found.into_iter().filter(|p| !past.partitions.contains(&p.name)) {
        begin.push(Entry::Partition(partition.name.clone()));
        lanes.push(open_lane(config, partition, lanes.len())?);
    }
    Ok(lanes)
}

/// Lanes over Kafka partitions, numbered as those over files are.
fn kafka_lanes(
    config: &SourceConfig,
    past: &Past,
    cluster: &Cluster,
    begin: &mut Vec<Entry>,
) -> Result<Vec<Lane>, SourceError> {
    let mut consumed: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for moved in past.bound.iter().flat_map(|bound| &bound.moved) {
        let (_, last) = consumed.entry(moved.partition).or_insert((moved.next_offset, 0));
        *last = moved.next_offset;
    }
    let open = |partition: &KafkaPartition, number: usize, at: &At| {
        let number = lane_number(number);
        let (limits, skew) = (config.limits.clone(), config.max_future_skew_ms);
        Lane::kafka(cluster, partition.clone(), number, limits, skew, at)
    };
    // What is there at all comes first: a topic with fewer partitions than before says more than one with fewer records.
    let mut known = Vec::new();
    for name in &past.partitions {
        if !name.starts_with(PREFIX) {
            let (journal, then) = (config.journal.clone(), name.clone());
            return Err(SourceError::OtherInput { journal, then, now: "kafka" });
        }
        let partition = cluster.partitions().iter().find(|p| p.name == *name);
        known.push(partition.ok_or_else(|| KafkaError::NoPartition { name: name.clone() })?);
    }
    let mut lanes = Vec::new();
    for (partition, at) in known.into_iter().zip(past.places()) {
        let lane = open(partition, lanes.len(), &at)?;
        if let (Some(reader), Some((first, last))) = (lane.kafka_reader(), consumed.get(&lane.number())) {
            // Behind a checkpoint the place to go on from was looked at when the lane was opened.
            reader.check(if at.next_offset > 0 { 0 } else { *first }, *last)?;
        }
        lanes.push(lane);
    }
    for partition in cluster.partitions().iter().filter(|p| !past.partitions.contains(&p.name)) {
        if past.parameters.is_some() {
            tracing::info!(partition = partition.name, number = lanes.len(), "a new partition");
        }
        begin.push(Entry::Partition(partition.name.clone()));
        lanes.push(open(partition, lanes.len(), &At::beginning(&partition.name))?);
    }
    Ok(lanes)
}

fn lane_number(number: usize) -> u32 {
    u32::try_from(number).expect("a log has fewer than 2^32 partitions")
}

fn open_lane(config: &SourceConfig, partition: Partition, number: usize) -> Result<Lane, SourceError> {
    Ok(Lane::open(partition, lane_number(number), config.limits.clone())?)
}
