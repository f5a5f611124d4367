//! The graph on worker threads, behind channels.
//!
//! Epochs go in whole ([`Job::send`]) and changes come out with word of which epochs are closed ([`Output`]). Timely has no
//! back-pressure of its own; whoever sends must not run further ahead of what is closed than it can afford. The same workers may
//! be spread over several processes: [`crate::cluster`].

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use freshet_schema::event::{Event, Origin};
use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, Millis, UserId};
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, WorkerGuards};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

use crate::abuse;
use crate::checkpoint::{RestoreError, Restored, Restoring, Taken};
use crate::cluster::{Members, Plan};
use crate::cohorts::Report;
use crate::cut::{Cuts, StateSize};
use crate::enrich;
use crate::graph::{self, Entering, Leaving, Tap};
use crate::lists::Answer;
use crate::look::{Look, Looked};
use crate::neighbours::IndexReport;
use crate::params::Params;
use crate::pools::Change;
use crate::probe::Probed;
use crate::spread::Spread;
use crate::users::{SkipThresholds, UserIn};
use crate::yields::Yields;

/// How long an idle worker sleeps before it looks at its neighbours again.
const IDLE: Duration = Duration::from_millis(5);
/// How long a worker that waits for others parks.
const PARK: Duration = Duration::from_millis(1);
/// Sizes are reported each so many epochs.
const SIZES_EVERY: u64 = 64;

/// All that happens in one epoch.
#[derive(Clone, Debug)]
pub struct EpochInput {
    /// Its number; each is greater than the one before.
    pub epoch: Epoch,
    /// What the clock reads in it.
    pub now: Millis,
    /// Its records, in any order.
    pub records: Vec<(Origin, Event)>,
    /// Whose lists to make and answer as they are at the epoch's end, whether or not `feed.enabled`: see
    /// [`Output::Answers`]. Nothing is stored for it and nothing is changed by it, but for what [`Ask::offered`] says.
    pub asks: Vec<Ask>,
    /// For which users and videos to predict, as of the epoch's end: see [`Output::Probed`]. Each user stands here once at the
    /// most. Nothing is stored for it and nothing is changed by it.
    pub probes: Vec<(u64, Vec<u64>)>,
    /// What to write again, as it is at the epoch's end, whether or not it changed: everything that the store holds of these
    /// slices.
    pub remake: Vec<Slice>,
}

impl AsRef<[(Origin, Event)]> for EpochInput {
    fn as_ref(&self) -> &[(Origin, Event)] {
        &self.records
    }
}

/// A question for a user's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose list.
    pub user: UserId,
    /// Whether the user is shown the list, so that the heads learn from what is taken up of it. One is learned from where
    /// lists are not stored.
    pub offered: bool,
}

/// What a worker says.
#[derive(Clone, Debug)]
pub enum Output {
    /// What an epoch changes in the store, on this worker. Comes once an epoch and worker at the most.
    Changes(usize, Epoch, Vec<Change>),
    /// What an epoch changes in the inner views, on this worker; only where the job was started with `tapped`.
    Taps(usize, Epoch, Vec<Tap>),
    /// The lists that were asked for, of this worker's users. Comes once an epoch and worker at the most, before the epoch
    /// is closed.
    Answers(usize, Epoch, Vec<Answer>),
    /// The predictions that were asked for, of this worker's users: before the epoch is closed, and for a user in the order
    /// of the epochs.
    Probed(Vec<Probed>),
    /// Nothing more comes from this worker for epochs before this one.
    Closed(usize, Epoch),
    /// What the candidate sources brought in an epoch, of lists made on one worker.
    Yields(Yields),
    /// Early interactions that wait on this worker, and that gave way since it was last said.
    Waiting(usize, u64, u64),
    /// How the vector index is; it lies on one worker.
    Index(IndexReport),
    /// How alike lists are, at a publication; it is counted on one worker.
    Spread(Arc<Spread>),
    /// What happened to the lives of new videos, of those on a worker, in an epoch.
    Cohorts(usize, Epoch, Report),
    /// What is suspected of users or of videos, of those on a worker, since a publication of an epoch.
    Abuse(usize, Epoch, abuse::Report),
    /// A worker has taken its state as of an epoch ([`Job::checkpoint`]), of which it has said all.
    Taken(usize, Epoch),
    /// A worker has taken what a look wants, as of an epoch of which it has said all. Comes only where the look wants to know
    /// ([`Look::passed`]).
    Looked(Arc<Look>, Epoch),
    /// A publication of an epoch: its number and its skip thresholds. Comes before the epoch is closed.
    Published(Epoch, u64, SkipThresholds),
    /// Sizes of the worker's state by name.
    Sizes(usize, Vec<(&'static str, StateSize)>),
}

/// What a worker is handed, in order.
#[derive(Clone)]
enum Message {
    Epoch(Arc<EpochInput>),
    /// A checkpoint of the epoch before this message is to be taken.
    Checkpoint(u64),
    /// A look at the state as of the epoch before this message; `None` where there was none.
    Look(Option<u64>, Arc<Look>),
    /// Is anybody there?
    Hello,
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("last", &self.last).finish_non_exhaustive()
    }
}

/// The workers' queues, and what was sent last. The lock makes all workers get messages in one order, whoever sends.
struct Inputs {
    to: Vec<Sender<Message>>,
    last: Option<u64>,
}

type SharedInputs = Arc<Mutex<Inputs>>;

/// The job's hold on the queues: they end with it, whoever looks.
struct OwnInputs(SharedInputs);

impl Drop for OwnInputs {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to.clear();
    }
}

/// Tells all workers what `message` makes of the last epoch that was sent.
fn tell(inputs: &SharedInputs, message: impl FnOnce(&mut Inputs) -> Message) -> Result<(), WorkerGone> {
    let mut inputs = inputs.lock().unwrap_or_else(PoisonError::into_inner);
    if inputs.to.is_empty() {
        return Err(WorkerGone);
    }
    let message = message(&mut inputs);
    inputs.to.iter().try_for_each(|to| to.send(message.clone()).map_err(|_| WorkerGone))
}

/// Orders looks at a running graph ([`crate::look`]), from any thread and for as long as the graph runs.
#[derive(Clone, Debug)]
pub struct Looker {
    inputs: SharedInputs,
    workers: usize,
}

impl Looker {
    /// Orders a look as of the last epoch that was sent. Each worker answers once, when it has closed that epoch.
    ///
    /// # Errors
    /// Where the graph has ended, or a worker is gone.
    pub fn look(&self, look: &Arc<Look>) -> Result<(), WorkerGone> {
        look.expect(self.workers);
        tell(&self.inputs, |inputs| Message::Look(inputs.last, Arc::clone(look)))
    }

    /// How many workers answer.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }
}

/// A running graph. The order of its fields is the order of its end: workers are waited for when all have been told.
pub struct Job {
    inputs: OwnInputs,
    members: Members,
    peers: usize,
    workers: WorkerGuards<()>,
}

/// What a graph begins with, and where its checkpoints go.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// The checkpoint that it begins with; the next epoch must be the one after.
    pub restored: Option<Arc<Restored>>,
    /// Who takes the checkpoints; without it none can be asked for.
    pub taken: Option<Sender<Taken>>,
}

/// Starts `workers` threads. `tapped` asks for the changes of the inner views, too.
///
/// # Errors
/// Where a parameter of the vector index is out of its range, or the threads cannot be started.
pub fn start(workers: usize, params: &Params, tapped: bool) -> Result<(Job, Receiver<Output>), String> {
    start_durable(workers, params, tapped, Durable::default())
}

/// As [`start`], beginning with a checkpoint or ready for some. Returns when all workers have restored their state.
///
/// # Errors
/// As [`start`], and where the checkpoint does not hold what it should.
pub fn start_durable(
    workers: usize,
    params: &Params,
    tapped: bool,
    durable: Durable,
) -> Result<(Job, Receiver<Output>), String> {
    let part = Part { first: 0, workers, takers: workers, peers: workers, data: Vec::new() };
    let Launched { job, outside, outputs, to_ready, ready } = launch(part, params, tapped, durable)?;
    drop((outside, to_ready));
    // A worker that panicked says nothing; its end is seen with the first epoch.
    let error = ready.iter().find_map(Result::err);
    match error {
        None => Ok((job, outputs)),
        Some(error) => {
            let _ = job.finish();
            Err(error.to_string())
        }
    }
}

/// The workers of one process.
pub(crate) struct Part {
    /// Number of the first one.
    first: usize,
    workers: usize,
    /// How many workers, from the first of all on, take records in.
    takers: usize,
    /// Workers of all processes.
    peers: usize,
    /// Connections to the other processes.
    data: Vec<Option<TcpStream>>,
}

impl Part {
    /// Those of a process of a cluster. Records come in at the first process.
    pub(crate) fn of(plan: &Plan, data: Vec<Option<TcpStream>>) -> Self {
        let workers = plan.workers;
        let peers = workers * plan.addresses.len();
        Self { first: workers * plan.process, workers, takers: workers, peers, data }
    }
}

/// Workers that restore their state.
pub(crate) struct Launched {
    pub(crate) job: Job,
    /// Where more may be said.
    pub(crate) outside: Sender<Output>,
    pub(crate) outputs: Receiver<Output>,
    /// Where more may say that they are ready.
    pub(crate) to_ready: Sender<Result<(), RestoreError>>,
    pub(crate) ready: Receiver<Result<(), RestoreError>>,
}

/// Starts the threads of one process.
pub(crate) fn launch(
    part: Part,
    params: &Params,
    tapped: bool,
    durable: Durable,
) -> Result<Launched, String> {
    params.index.of(params.seed).check().map_err(|error| error.to_string())?;
    let Part { first, workers, takers, peers, data } = part;
    let (outside, outputs) = channel();
    let (inputs, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel()).unzip();
    let (to_ready, ready) = channel();
    // What each worker takes for itself: nothing of it must outlive the worker, least of all the checkpoint.
    let own = receivers.into_iter().map(|input| {
        let (outside, ready) = (outside.clone(), to_ready.clone());
        Mutex::new(Some(Own { input, outside, ready, durable: durable.clone(), takers }))
    });
    let own: Vec<_> = own.collect();
    let last = durable.restored.as_ref().map(|restored| restored.epoch.0);
    drop(durable);
    let params = params.clone();
    let main = move |worker: &mut timely::worker::Worker| {
        let own = own[worker.index() - first].lock().ok().and_then(|mut slot| slot.take());
        if let Some(own) = own {
            work(worker, own, &params, tapped);
        }
    };
    let guards = if data.is_empty() {
        timely::execute(timely::Config::process(workers), main)?
    } else {
        let hooks = Hooks::default();
        let inside = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
        let (builders, network) =
            initialize_networking_from_sockets(inside, data, first / workers, workers, hooks)
                .map_err(|error| format!("the connections of the dataflow: {error}"))?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        timely::execute::execute_from(builders, Box::new(network), timely::WorkerConfig::default(), main)?
    };
    let inputs = OwnInputs(Arc::new(Mutex::new(Inputs { to: inputs, last })));
    let job = Job { inputs, members: Members::none(), peers, workers: guards };
    Ok(Launched { job, outside, outputs, to_ready, ready })
}

impl Job {
    /// The same with the other processes of its cluster.
    pub(crate) fn with(self, members: Members) -> Self {
        Self { members, ..self }
    }

    /// Processes of the job.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.members.len() + 1
    }

    /// Workers of all processes.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers
    }

    /// Hands an epoch to all workers.
    ///
    /// # Errors
    /// Where a worker is gone.
    pub fn send(&self, input: EpochInput) -> Result<(), WorkerGone> {
        self.send_shared(Arc::new(input))
    }

    /// As [`Job::send`], for who keeps the epoch's records.
    ///
    /// # Errors
    /// Where a worker is gone.
    pub fn send_shared(&self, input: Arc<EpochInput>) -> Result<(), WorkerGone> {
        self.members.epoch(&input)?;
        tell(&self.inputs.0, |inputs| {
            inputs.last = Some(input.epoch.0);
            Message::Epoch(input)
        })
    }

    /// Asks all workers for a checkpoint of `epoch`, the last one sent. It comes by [`Durable::taken`].
    ///
    /// # Errors
    /// Where a worker is gone.
    pub fn checkpoint(&self, epoch: Epoch) -> Result<(), WorkerGone> {
        self.members.checkpoint(epoch)?;
        tell(&self.inputs.0, |_| Message::Checkpoint(epoch.0))
    }

    /// What orders looks at this graph; `None` where it runs in several processes, of which this one has a part of the state.
    #[must_use]
    pub fn looker(&self) -> Option<Looker> {
        let whole = self.members.len() == 0;
        whole.then(|| Looker { inputs: Arc::clone(&self.inputs.0), workers: self.peers })
    }

    /// Whether all workers live.
    ///
    /// # Errors
    /// Where one is gone.
    pub fn check(&self) -> Result<(), WorkerGone> {
        tell(&self.inputs.0, |_| Message::Hello)
    }

    /// Ends the input and waits until all that was sent is processed.
    ///
    /// # Errors
    /// Where a worker panicked.
    pub fn finish(self) -> Result<(), WorkerGone> {
        let Self { inputs, mut members, workers, .. } = self;
        drop(inputs);
        members.end();
        let ended = workers.join().into_iter().try_for_each(|result| result.map_err(|_| WorkerGone));
        members.wait();
        ended
    }
}

/// A worker thread has ended early, by a panic: what it said is on the standard error output. The job cannot go on; a
/// restart replays from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerGone;

impl std::fmt::Display for WorkerGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a dataflow worker ended unexpectedly; restart the job, which replays from its journal")
    }
}

impl std::error::Error for WorkerGone {}

/// What one worker begins with.
struct Own {
    input: Receiver<Message>,
    outside: Sender<Output>,
    /// Says whether the state is restored.
    ready: Sender<Result<(), RestoreError>>,
    durable: Durable,
    /// How many workers take records in.
    takers: usize,
}

fn work(worker: &mut timely::worker::Worker, own: Own, params: &Params, tapped: bool) {
    let (index, peers) = (worker.index(), worker.peers());
    let Own { input, outside, ready, durable: Durable { restored, taken }, takers } = own;
    let from = restored.as_ref().map_or(0, |restored| restored.epoch.0 + 1);
    let mut now = restored.as_ref().map_or(0, |restored| restored.now.0);
    let restoring = restored.map(|restored| Restoring::new(restored, index, peers));
    let cuts = Cuts::new(restoring, taken.is_some());
    let probe = ProbeHandle::new();
    let (mut clock, mut videos, mut users) = (InputHandle::new(), InputHandle::new(), InputHandle::new());
    let mut remake = InputHandle::new();
    worker.dataflow(|scope| {
        let entering = Entering {
            clock: scope.input_from(&mut clock),
            videos: scope.input_from(&mut videos),
            users: scope.input_from(&mut users),
            remake: scope.input_from(&mut remake),
        };
        let leaving = graph::build(scope, entering, params, &cuts, tapped);
        leave(leaving, index, outside.clone()).probe_with(&probe);
    });
    let failed = cuts.error();
    let mut open = failed.is_none();
    // The blocks of the checkpoint are let go of when the last worker has what it needs.
    cuts.restored();
    let _ = ready.send(failed.map_or(Ok(()), Err));
    drop(ready);
    clock.advance_to(from);
    videos.advance_to(from);
    users.advance_to(from);
    remake.advance_to(from);
    let mut sent = from;
    let mut sized = from;
    while open {
        let next = if probe.less_than(clock.time()) {
            worker.step_or_park(Some(PARK));
            input.try_recv().map_err(|e| e == std::sync::mpsc::TryRecvError::Disconnected)
        } else {
            // All is done that there was to do: wait for more.
            input.recv_timeout(IDLE).map_err(|e| e == RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(Message::Checkpoint(epoch)) => {
                if let Some(taken) = &taken {
                    while !cuts.settled(epoch) || probe.less_than(&(epoch + 1)) {
                        worker.step_or_park(Some(PARK));
                    }
                    cuts.take(epoch, index, taken);
                    let _ = outside.send(Output::Taken(index, Epoch(epoch)));
                }
            }
            Ok(Message::Look(epoch, look)) => {
                let open = |epoch| !cuts.settled(epoch) || probe.less_than(&(epoch + 1));
                while epoch.is_some_and(open) && !look.is_given_up() {
                    worker.step_or_park(Some(PARK));
                }
                let epoch = epoch.unwrap_or(0);
                if !look.is_given_up() {
                    let began = Instant::now();
                    let records = look.wanted().iter().map(|wanted| cuts.look(wanted, index)).collect();
                    let stood = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    look.answer(Looked { worker: index, epoch, now, records, stood });
                }
                if look.wants_sink() {
                    let _ = outside.send(Output::Looked(look, Epoch(epoch)));
                }
            }
            Ok(Message::Hello) => {}
            Ok(Message::Epoch(batch)) => {
                sent = batch.epoch.0;
                now = now.max(batch.now.0);
                clock.advance_to(sent);
                videos.advance_to(sent);
                users.advance_to(sent);
                remake.advance_to(sent);
                clock.send(batch.now.0);
                batch.remake.iter().for_each(|slice| remake.send(*slice));
                for (origin, event) in batch.records.iter().skip(index).step_by(takers) {
                    enrich::of_event(event, *origin).into_iter().for_each(|m| videos.send(m));
                    crate::users::of_event(event).into_iter().for_each(|m| users.send(m));
                }
                for ask in batch.asks.iter().skip(index).step_by(takers) {
                    users.send(UserIn::Ask(ask.user.0, ask.offered));
                }
                for (user, videos) in batch.probes.iter().skip(index).step_by(takers) {
                    users.send(UserIn::Probe(*user, videos.clone()));
                }
                clock.advance_to(sent + 1);
                videos.advance_to(sent + 1);
                users.advance_to(sent + 1);
                remake.advance_to(sent + 1);
                worker.step();
            }
            Err(disconnected) => open = !disconnected,
        }
        let closed = probe.with_frontier(|f| f.first().copied().unwrap_or(sent));
        cuts.compact(closed);
        if closed >= sized + SIZES_EVERY {
            sized = closed;
            let _ = outside.send(Output::Sizes(index, cuts.sizes()));
        }
    }
    clock.close();
    videos.close();
    users.close();
    remake.close();
    // The loops carry the last epoch's lists into an epoch that never comes; the graph ends when they have been taken in.
    while !probe.done() {
        worker.step_or_park(Some(PARK));
    }
    let _ = outside.send(Output::Sizes(index, cuts.sizes()));
}

/// What an epoch says outside.
type Said = (Vec<Change>, Vec<Tap>, Vec<Answer>, Vec<Probed>, Yields);

/// Sends what leaves the graph outside, and word of closed epochs. Outside may have stopped listening: then there is nobody
/// to tell.
fn leave<'s>(
    leaving: timely::dataflow::StreamVec<'s, u64, Leaving>,
    index: usize,
    outside: Sender<Output>,
) -> timely::dataflow::StreamVec<'s, u64, ()> {
    leaving.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Pipeline,
        "Leave",
        move |_capability, _info| {
            let mut waiting: BTreeMap<u64, Said> = BTreeMap::new();
            let mut closed = 0;
            move |(input, frontier), _output| {
                input.for_each_time(|time, data| {
                    let (changes, taps, answers, probed, brought) = waiting.entry(*time.time()).or_default();
                    for leaving in data.flat_map(|container| container.drain(..)) {
                        match leaving {
                            Leaving::Change(change) => changes.push(change),
                            Leaving::Tap(tap) => taps.push(tap),
                            Leaving::Answer(answer) => answers.push(answer),
                            Leaving::Probed(heads) => probed.push(heads),
                            Leaving::Yields(yields) => brought.plus(&yields),
                            Leaving::Index(report) => drop(outside.send(Output::Index(report))),
                            Leaving::Spread(spread) => drop(outside.send(Output::Spread(spread))),
                            Leaving::Published(version, skip_below) => {
                                let _ =
                                    outside.send(Output::Published(Epoch(*time.time()), version, skip_below));
                            }
                            Leaving::Cohorts(report) => {
                                let _ = outside.send(Output::Cohorts(index, Epoch(*time.time()), report));
                            }
                            Leaving::Abuse(report) => {
                                let _ = outside.send(Output::Abuse(index, Epoch(*time.time()), report));
                            }
                            Leaving::Waiting(held, gave_way) => {
                                let _ = outside.send(Output::Waiting(index, held, gave_way));
                            }
                        }
                    }
                });
                let upper = frontier.frontier().first().copied();
                while let Some(entry) = waiting.first_entry() {
                    if upper.is_some_and(|upper| *entry.key() >= upper) {
                        break;
                    }
                    let (epoch, (changes, taps, answers, probed, brought)) = entry.remove_entry();
                    if !brought.sources.is_empty() {
                        let _ = outside.send(Output::Yields(brought));
                    }
                    if !answers.is_empty() {
                        let _ = outside.send(Output::Answers(index, Epoch(epoch), answers));
                    }
                    if !probed.is_empty() {
                        let _ = outside.send(Output::Probed(probed));
                    }
                    if !taps.is_empty() {
                        let _ = outside.send(Output::Taps(index, Epoch(epoch), taps));
                    }
                    if !changes.is_empty() {
                        let _ = outside.send(Output::Changes(index, Epoch(epoch), changes));
                    }
                }
                let now_closed = upper.unwrap_or(u64::MAX);
                if now_closed > closed {
                    closed = now_closed;
                    let _ = outside.send(Output::Closed(index, Epoch(closed)));
                }
            }
        },
    )
}
