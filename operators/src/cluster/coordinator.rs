//! The first process of a cluster.

use std::io::{self, BufReader};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_schema::Epoch;

use super::form::Formed;
use super::wire::{FromMember, Names, ToMember};
use super::{Lost, Plan, frame, patient, tell, unhurried};
use crate::checkpoint::{Block, RestoreError, Restored, Taken};
use crate::params::Params;
use crate::runtime::{Durable, Job, Launched, Output, Part, WorkerGone, launch};

/// What the first process is told by others, at any time.
#[derive(Clone)]
pub struct Events {
    /// See [`Lost`].
    pub lost: Lost,
    /// Somebody asked another process to end: the job should.
    pub stop: Arc<dyn Fn() + Send + Sync>,
}

/// The first process, connected to the others, which wait for their work.
pub struct Cluster {
    plan: Plan,
    data: Vec<Option<TcpStream>>,
    members: Members,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Begins to listen to the others. One that is silent for `lost_after` is lost.
    ///
    /// # Errors
    /// Of the connections, or where there are no threads.
    pub fn new(formed: Formed, lost_after: Duration, events: &Events) -> io::Result<Self> {
        let Formed { plan, data, links } = formed;
        unhurried(&data)?;
        let mut members = Vec::new();
        for (process, link) in links.into_iter().enumerate() {
            if let Some(link) = link {
                patient(&link, lost_after)?;
                let place = format!("process {process} ({})", plan.addresses[process]);
                members.push(Link::new(link, place, events.clone())?);
            }
        }
        Ok(Self { plan, data, members: Members(members) })
    }

    /// Starts the graph on all processes. Returns when all workers have restored their state.
    ///
    /// # Errors
    /// As [`crate::runtime::start_durable`], of any process.
    pub fn start(self, params: &Params, durable: Durable) -> Result<(Job, Receiver<Output>), String> {
        let Self { plan, data, members } = self;
        let (restored, taken) = (durable.restored.clone(), durable.taken.clone());
        let part = Part::of(&plan, data);
        let Launched { job, outside, outputs, to_ready, ready } = launch(part, params, false, durable)?;
        for link in &members.0 {
            *link.shared.ears() = Some(Ears {
                outputs: outside.clone(),
                taken: taken.clone(),
                ready: to_ready.clone(),
                restored: restored.clone(),
                names: Names::new(params),
            });
            let begun = restored.as_ref().map(|restored| (restored.epoch.0, restored.now.0));
            // One that is gone is told of elsewhere.
            let _ = link.tell.send(ToMember::Start(begun, taken.is_some()));
        }
        drop((outside, to_ready, restored, taken));
        let job = job.with(members);
        // A process that is lost has told so, and this one ends for it.
        let error = ready.iter().find_map(Result::err);
        match error {
            None => Ok((job, outputs)),
            Some(error) => {
                let _ = job.finish();
                Err(error.to_string())
            }
        }
    }
}

/// The links to all others.
pub(crate) struct Members(Vec<Link>);

impl Members {
    /// Nobody.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn say(&self, message: impl Fn() -> ToMember) -> Result<(), WorkerGone> {
        self.0.iter().try_for_each(|link| link.tell.send(message()).map_err(|_| WorkerGone))
    }

    /// Hands an epoch to all.
    pub(crate) fn epoch(&self, input: &crate::runtime::EpochInput) -> Result<(), WorkerGone> {
        self.say(|| ToMember::Epoch(input.epoch.0, input.now.0, input.remake.clone()))
    }

    /// Orders a checkpoint.
    pub(crate) fn checkpoint(&self, epoch: Epoch) -> Result<(), WorkerGone> {
        self.say(|| ToMember::Checkpoint(epoch.0))
    }

    /// There are no more epochs.
    pub(crate) fn end(&self) {
        // One that is gone needs no end.
        let _ = self.say(|| ToMember::End);
    }

    /// Waits until all have said that they are done.
    pub(crate) fn wait(&mut self) {
        for link in &mut self.0 {
            if let Some(reader) = link.reader.take() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Members {
    /// Nothing may wait for a job that is not to be.
    fn drop(&mut self) {
        self.end();
    }
}

/// A link to one other process.
struct Link {
    tell: Sender<ToMember>,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

struct Shared {
    place: String,
    events: Events,
    /// `None` before the graph was started, and after the process is done.
    ears: Mutex<Option<Ears>>,
}

/// Where what a process says goes to.
struct Ears {
    outputs: Sender<Output>,
    taken: Option<Sender<Taken>>,
    ready: Sender<Result<(), RestoreError>>,
    /// Until the process has what it needs.
    restored: Option<Arc<Restored>>,
    names: Names,
}

impl Shared {
    fn ears(&self) -> MutexGuard<'_, Option<Ears>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn new(link: TcpStream, place: String, events: Events) -> io::Result<Self> {
        let (to_tell, to_say) = channel();
        let shared = Arc::new(Shared { place, events, ears: Mutex::new(None) });
        let writing = link.try_clone()?;
        let (heard, answer) = (Arc::clone(&shared), to_tell.clone());
        std::thread::Builder::new()
            .name("link-tell".to_owned())
            .spawn(move || tell(writing, &to_say, &ToMember::Hello, |_| false))?;
        let reader = std::thread::Builder::new().name("link-hear".to_owned()).spawn(move || {
            if let Err(what) = hear(BufReader::new(link), &heard, &answer) {
                *heard.ears() = None;
                (heard.events.lost)(&format!("{} is lost: {what}", heard.place));
            }
        })?;
        Ok(Self { tell: to_tell, shared, reader: Some(reader) })
    }
}

/// Takes in what a process says, until it is done.
fn hear(mut link: BufReader<TcpStream>, shared: &Shared, answer: &Sender<ToMember>) -> Result<(), String> {
    loop {
        let message = frame::read(&mut link, frame::MOST).map_err(|error| frame::broken(&error))?;
        let mut ears = shared.ears();
        match message {
            FromMember::Hello => continue,
            FromMember::Stop => {
                (shared.events.stop)();
                continue;
            }
            FromMember::Ended => {
                *ears = None;
                return Ok(());
            }
            _ => {}
        }
        let ears = ears.as_mut().ok_or("it speaks before it was asked")?;
        match message {
            FromMember::Wanted(cut, shard) => {
                let blocks = match &ears.restored {
                    Some(restored) => restored.blocks(&cut, shard),
                    None => Err("no checkpoint is being restored".to_owned()),
                };
                let _ = answer.send(ToMember::Blocks(blocks));
            }
            FromMember::Ready(result) => {
                ears.restored = None;
                let place = &shared.place;
                let result = result.map_err(|what| RestoreError::Elsewhere { place: place.clone(), what });
                let _ = ears.ready.send(result);
                // Whoever waits for all must not wait for this one any longer.
                ears.ready = channel().0;
            }
            FromMember::Said(said) => drop(ears.outputs.send(said.output(&ears.names)?)),
            FromMember::Block(epoch, cut, shard, rows, bytes) => {
                let block = Block { cut: ears.names.of(&cut)?, shard, rows, bytes };
                ears.take(Taken::Block(Epoch(epoch), block));
            }
            FromMember::Worker(epoch, worker, stood) => {
                ears.take(Taken::Worker(Epoch(epoch), worker as usize, stood));
            }
            FromMember::Hello | FromMember::Stop | FromMember::Ended => {}
        }
    }
}

impl Ears {
    fn take(&self, taken: Taken) {
        if let Some(to) = &self.taken {
            // Whoever wanted the checkpoint may have gone: then there is nobody to tell.
            let _ = to.send(taken);
        }
    }
}
