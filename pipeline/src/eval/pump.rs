//! The graph on its way through a log: epochs go in, what comes back is handed on.
//!
//! Epochs close by event time, as in a replay, and where somebody wants to know something. Nobody waits for an answer: many
//! epochs are on their way, bounded, and whoever asked hears the answer when it comes.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::anyhow;
use freshet_operators::runtime::{self, Ask, EpochInput, Job, Output, WorkerGone};
use freshet_schema::event::Origin;
use freshet_schema::{Epoch, Event, Millis};

use crate::cluster::end_on_panic_beside;
use crate::config::Config;

/// Epochs that may be in the graph at once, at least. More than a service needs: nothing waits for a list here, and a
/// question makes an epoch of few records.
const IN_FLIGHT: usize = 64;
/// How long to wait for the graph before looking again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Who hears what the graph says.
pub trait Hear {
    /// Takes it; what it says of closed epochs is known to the pump.
    fn take(&mut self, output: Output);
}

/// What is wanted of an epoch.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Users whose lists are made.
    pub asks: Vec<Ask>,
    /// Users and videos for which predictions are made.
    pub probes: Vec<(u64, Vec<u64>)>,
}

/// See the module.
pub struct Pump {
    job: Job,
    outputs: Receiver<Output>,
    /// Length of an epoch in milliseconds of event time.
    width: u64,
    bucket: u64,
    batch: Vec<(Origin, Event)>,
    in_flight: u64,
    /// The last epoch sent.
    epoch: u64,
    /// Its clock.
    now: Millis,
    /// For each worker, the first epoch that is not closed there.
    closed: Vec<u64>,
}

impl Pump {
    /// Starts the graph of this configuration. It makes lists for those who ask and for nobody else.
    ///
    /// # Errors
    /// Where its threads cannot be started.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let mut params = config.params.clone();
        params.feed.enabled = false;
        let workers = config.graph.workers;
        end_on_panic_beside(workers);
        let (job, outputs) =
            runtime::start(workers, &params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
        Ok(Self {
            job,
            outputs,
            width: config.clock.replay_epoch_ms,
            bucket: 0,
            batch: Vec::new(),
            in_flight: config.graph.in_flight.max(IN_FLIGHT) as u64,
            epoch: 0,
            now: Millis(0),
            closed: vec![0; workers],
        })
    }

    /// Epochs sent so far. What is given to [`Pump::push`] goes out with the next one.
    pub fn epochs(&self) -> u64 {
        self.epoch
    }

    /// Clock of the last epoch sent.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The last epoch that is closed on all workers: all that it said was heard.
    pub fn done(&self) -> u64 {
        self.closed.iter().copied().min().unwrap_or(0).saturating_sub(1)
    }

    /// Comes to this time, which never goes back: closes the epoch that it is past.
    ///
    /// # Errors
    /// Where a worker has ended.
    pub fn reach(&mut self, time: Millis, to: &mut impl Hear) -> anyhow::Result<()> {
        let bucket = time.0 / self.width;
        if bucket != self.bucket {
            self.close(to)?;
        }
        self.bucket = bucket;
        Ok(())
    }

    /// Puts an event into the epoch that is open.
    pub fn push(&mut self, origin: Origin, event: Event) {
        self.batch.push((origin, event));
    }

    /// Closes the epoch of the time that was reached, if anything is in it.
    ///
    /// # Errors
    /// As [`Pump::reach`].
    pub fn close(&mut self, to: &mut impl Hear) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let upper = self.bucket.saturating_add(1).saturating_mul(self.width);
        self.send(Millis(upper), Wanted::default(), to)
    }

    /// Closes an epoch with all that is in it, at `now`, and asks as of then.
    ///
    /// # Errors
    /// As [`Pump::reach`].
    pub fn send(&mut self, now: Millis, wanted: Wanted, to: &mut impl Hear) -> anyhow::Result<()> {
        self.epoch += 1;
        self.now = now;
        let records = std::mem::take(&mut self.batch);
        let Wanted { asks, probes } = wanted;
        self.job.send(EpochInput {
            epoch: Epoch(self.epoch),
            now,
            records,
            asks,
            probes,
            remake: Vec::new(),
        })?;
        while let Ok(output) = self.outputs.try_recv() {
            self.take(output, to);
        }
        while self.epoch > self.done() + self.in_flight {
            match self.outputs.recv_timeout(PATIENCE) {
                Ok(output) => self.take(output, to),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(WorkerGone.into()),
            }
        }
        Ok(())
    }

    /// Ends the graph; all that it has to say is heard before this returns.
    ///
    /// # Errors
    /// Where a worker has ended early.
    pub fn finish(mut self, to: &mut impl Hear) -> anyhow::Result<()> {
        self.close(to)?;
        let Self { job, outputs, .. } = self;
        job.finish()?;
        while let Ok(output) = outputs.try_recv() {
            to.take(output);
        }
        Ok(())
    }

    fn take(&mut self, output: Output, to: &mut impl Hear) {
        match output {
            Output::Closed(worker, epoch) => self.closed[worker] = epoch.0,
            other => to.take(other),
        }
    }
}
