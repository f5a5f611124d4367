//! A process of a cluster that is not the first: workers, and what the first one asks of them.

use std::io::{self, BufReader};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_schema::{Epoch, Millis};

use super::form::Formed;
use super::wire::{FromMember, Said, ToMember};
use super::{HELLO, Lost, Plan, frame, patient, tell, unhurried};
use crate::checkpoint::{Block, Blocks, Encoder, Restored, Taken, WriteFailed};
use crate::params::Params;
use crate::runtime::{Durable, EpochInput, Job, Launched, Output, Part, launch};

/// Messages that wait for the link. Blocks of a checkpoint have a mebibyte each; beyond these, whoever speaks waits.
const WAITING: usize = 64;

/// The blocks of a logical shard, or why there are none.
type Answer = Result<Vec<(u64, Vec<u8>)>, String>;

/// A process of a cluster, connected to the others.
pub struct Member {
    plan: Plan,
    data: Vec<Option<TcpStream>>,
    says: SyncSender<FromMember>,
    orders: Receiver<ToMember>,
    answers: Receiver<Answer>,
    /// All is said: the end of the link is no loss.
    ended: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Member {
    /// Begins to listen to the first process. If that is silent for `lost_after`, it is lost.
    ///
    /// # Errors
    /// Of the connections, or where there are no threads.
    pub fn new(formed: Formed, lost_after: Duration, lost: Lost) -> io::Result<Self> {
        let Formed { plan, data, mut links } = formed;
        unhurried(&data)?;
        let link = links.first_mut().and_then(Option::take);
        let link =
            link.ok_or_else(|| io::Error::other("the first process is no member of its own cluster"))?;
        patient(&link, lost_after)?;
        let (says, to_say) = sync_channel(WAITING);
        let (to_orders, orders) = channel();
        let (to_answers, answers) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let writing = link.try_clone()?;
        let last = |message: &FromMember| matches!(message, FromMember::Ended);
        let writer = std::thread::Builder::new()
            .name("link-tell".to_owned())
            .spawn(move || tell(writing, &to_say, &FromMember::Hello, last))?;
        let (over, place) = (Arc::clone(&ended), format!("process 0 ({})", plan.addresses[0]));
        std::thread::Builder::new().name("link-hear".to_owned()).spawn(move || {
            let error = hear(BufReader::new(link), &to_orders, &to_answers);
            if !over.load(Relaxed) {
                lost(&format!("{place} is lost: {}", frame::broken(&error)));
            }
        })?;
        Ok(Self { plan, data, says, orders, answers, ended, writer })
    }

    /// What asks the first process to end the job.
    #[must_use]
    pub fn stopper(&self) -> Box<dyn Fn() + Send> {
        let says = self.says.clone();
        // Where nobody listens any more, all has ended.
        Box::new(move || drop(says.send(FromMember::Stop)))
    }

    /// Works until the first process says that it is done.
    ///
    /// # Errors
    /// What went wrong with this process's workers.
    pub fn serve(self, params: &Params) -> Result<(), String> {
        let Self { plan, data, says, orders, answers, ended, writer } = self;
        let served = match begun(&orders) {
            Some((restored, takes)) => {
                let work = Work { plan: &plan, params, says: &says, orders: &orders };
                work.run(data, restored, takes, answers)
            }
            None => Ok(()),
        };
        ended.store(true, Relaxed);
        if served.is_ok() {
            let _ = says.send(FromMember::Ended);
            let _ = writer.join();
        }
        served
    }
}

/// Waits for the start: the checkpoint's epoch and clock, where there is one, and whether some will be asked for. `None`: it
/// will not come.
fn begun(orders: &Receiver<ToMember>) -> Option<(Option<(u64, u64)>, bool)> {
    orders.iter().find_map(|order| match order {
        ToMember::Start(restored, takes) => Some(Some((restored, takes))),
        ToMember::End => Some(None),
        _ => None,
    })?
}

/// Hands on what the first process says; why it says no more.
fn hear(mut link: BufReader<TcpStream>, orders: &Sender<ToMember>, answers: &Sender<Answer>) -> io::Error {
    loop {
        match frame::read(&mut link, frame::MOST) {
            Ok(ToMember::Hello) => {}
            Ok(ToMember::Blocks(blocks)) => drop(answers.send(blocks)),
            Ok(order) => drop(orders.send(order)),
            Err(error) => return error,
        }
    }
}

struct Work<'a> {
    plan: &'a Plan,
    params: &'a Params,
    says: &'a SyncSender<FromMember>,
    orders: &'a Receiver<ToMember>,
}

impl Work<'_> {
    fn run(
        &self,
        data: Vec<Option<TcpStream>>,
        restored: Option<(u64, u64)>,
        takes: bool,
        answers: Receiver<Answer>,
    ) -> Result<(), String> {
        let far = FarBlocks { says: self.says.clone(), answers: Mutex::new(answers) };
        let opened = restored
            .map(|(epoch, now)| Restored::open(Epoch(epoch), Millis(now), Box::new(far)).map(Arc::new))
            .transpose();
        let (taken, snapshots) = channel();
        let (restored, failed) = match opened {
            Ok(restored) => (restored, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let durable = Durable { restored, taken: takes.then_some(taken) };
        let part = Part::of(self.plan, data);
        let Launched { job, outside, outputs, to_ready, ready } = launch(part, self.params, false, durable)?;
        drop((outside, to_ready));
        let (says, plan) = (self.says, self.plan);
        std::thread::scope(|scope| {
            scope.spawn(move || pass_on(outputs, says));
            scope.spawn(move || encode(&snapshots, plan, says));
            let failed = failed.or_else(|| ready.iter().find_map(Result::err).map(|error| error.to_string()));
            // Where it failed, the first process ends the job.
            let _ = says.send(FromMember::Ready(failed.map_or(Ok(()), Err)));
            let obeyed = self.obey(&job);
            let finished = job.finish().map_err(|error| error.to_string());
            obeyed.and(finished)
        })
    }

    /// Does what the first process says, until it says no more.
    fn obey(&self, job: &Job) -> Result<(), String> {
        loop {
            let done = match self.orders.recv_timeout(HELLO) {
                Ok(ToMember::Epoch(epoch, now, remake)) => job.send(EpochInput {
                    epoch: Epoch(epoch),
                    now: Millis(now),
                    records: Vec::new(),
                    asks: Vec::new(),
                    probes: Vec::new(),
                    remake,
                }),
                Ok(ToMember::Checkpoint(epoch)) => job.checkpoint(Epoch(epoch)),
                Ok(ToMember::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(_) | Err(RecvTimeoutError::Timeout) => job.check(),
            };
            done.map_err(|error| error.to_string())?;
        }
    }
}

/// Tells the first process what the workers say.
fn pass_on(outputs: Receiver<Output>, says: &SyncSender<FromMember>) {
    for said in outputs.into_iter().filter_map(Said::of) {
        if says.send(FromMember::Said(said)).is_err() {
            return;
        }
    }
}

/// A checkpoint in work: its encoder, and the workers that are done, with how long each stood still.
type Encoding = (Epoch, Encoder, Vec<(usize, u64)>);

/// Encodes the checkpoints of this process's workers and sends them home. Versions of videos are numbered so that no other process
/// uses the same numbers.
fn encode(taken: &Receiver<Taken>, plan: &Plan, says: &SyncSender<FromMember>) {
    let mut open: Option<Encoding> = None;
    let send = |epoch: Epoch, block: Block| {
        let Block { cut, shard, rows, bytes } = block;
        let message = FromMember::Block(epoch.0, cut.to_owned(), shard, rows, bytes);
        says.send(message).map_err(|_| WriteFailed)
    };
    for taken in taken {
        let (Taken::Cut(of, _) | Taken::Block(of, _) | Taken::Worker(of, ..)) = taken;
        // What is left of an epoch whose taking was given up is dropped.
        let fresh = || (of, Encoder::of_process(plan.process, plan.addresses.len()), Vec::new());
        let (epoch, mut encoder, mut done) = open.take().filter(|(at, ..)| *at == of).unwrap_or_else(fresh);
        match taken {
            Taken::Cut(_, snapshot) => {
                let _ = encoder.encode(snapshot, &mut |block| send(epoch, block));
            }
            Taken::Block(_, block) => drop(send(epoch, block)),
            Taken::Worker(_, worker, stood) => {
                done.push((worker, stood));
                if done.len() == plan.workers {
                    let _ = encoder.finish(&mut |block| send(epoch, block));
                    for (worker, stood) in done {
                        let _ = says.send(FromMember::Worker(epoch.0, worker as u64, stood));
                    }
                    continue;
                }
            }
        }
        open = Some((epoch, encoder, done));
    }
}

/// The checkpoint, which lies with the first process.
struct FarBlocks {
    says: SyncSender<FromMember>,
    /// One question at a time.
    answers: Mutex<Receiver<Answer>>,
}

impl Blocks for FarBlocks {
    fn blocks(&self, cut: &str, shard: u64) -> Answer {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || "the first process is gone".to_owned();
        self.says.send(FromMember::Wanted(cut.to_owned(), shard)).map_err(|_| gone())?;
        answers.recv().map_err(|_| gone())?
    }
}
