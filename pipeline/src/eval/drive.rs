//! The graph on its way through a log, with a judge who hears the same.
//!
//! Epochs close by event time, as in a replay, and where somebody asks. Nobody waits for an answer: many epochs are on their
//! way, bounded, and the judge catches up as answers come ([`super::judge`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::anyhow;
use freshet_operators::lists::Answer;
use freshet_operators::runtime::{self, EpochInput, Job, Output, WorkerGone};
use freshet_schema::event::Origin;
use freshet_schema::{Epoch, Event, Millis};

use super::judge::Judge;
use super::outcome::{Heard, Question};
use crate::config::Config;

/// Epochs that may be in the graph at once, at least. More than a service needs: nothing waits for a list here, and a
/// question makes an epoch of few records.
const IN_FLIGHT: usize = 64;
/// How long to wait for the graph before looking again.
const PATIENCE: Duration = Duration::from_millis(50);

/// See the module.
pub struct Drive {
    job: Job,
    /// Length of an epoch in milliseconds of event time.
    width: u64,
    bucket: u64,
    batch: Vec<(Origin, Event)>,
    in_flight: u64,
    /// The last epoch sent.
    epoch: u64,
    /// Its clock.
    now: Millis,
    inbox: Inbox,
}

/// What came back, and who looks at it.
struct Inbox {
    outputs: Receiver<Output>,
    /// For each worker, the first epoch that is not closed there.
    closed: Vec<u64>,
    queue: VecDeque<(u64, Heard)>,
    /// By epoch and user.
    answers: BTreeMap<(u64, u64), Answer>,
    judge: Judge,
}

impl Drive {
    /// Starts the graph of this configuration. It makes lists for those who ask and for nobody else.
    ///
    /// # Errors
    /// Where its threads cannot be started.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let mut params = config.params.clone();
        params.feed.enabled = false;
        let workers = config.graph.workers;
        let (job, outputs) =
            runtime::start(workers, &params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
        Ok(Self {
            job,
            width: config.clock.replay_epoch_ms,
            bucket: 0,
            batch: Vec::new(),
            in_flight: config.graph.in_flight.max(IN_FLIGHT) as u64,
            epoch: 0,
            now: Millis(0),
            inbox: Inbox {
                outputs,
                closed: vec![0; workers],
                queue: VecDeque::new(),
                answers: BTreeMap::new(),
                judge: Judge::new(params.seed),
            },
        })
    }

    /// Epochs closed so far.
    pub fn epochs(&self) -> u64 {
        self.epoch
    }

    /// Clock of the last epoch closed.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Answers judged so far.
    pub fn judged(&self) -> usize {
        self.inbox.judge.outcomes.len()
    }

    /// Comes to this time, which never goes back: closes the epoch that it is past.
    ///
    /// # Errors
    /// Where a worker has ended.
    pub fn reach(&mut self, time: Millis) -> anyhow::Result<()> {
        let bucket = time.0 / self.width;
        if bucket != self.bucket {
            self.close()?;
        }
        self.bucket = bucket;
        Ok(())
    }

    /// Learns an event.
    ///
    /// # Errors
    /// As [`Drive::reach`].
    pub fn learn(&mut self, origin: Origin, event: Event) -> anyhow::Result<()> {
        self.reach(event.event_time())?;
        let heard = match &event {
            Event::Interaction(view) => Some(Heard::Learned(view.video_id, view.event_time.0)),
            Event::Upload(upload) => Some(Heard::Upload(Box::new(upload.clone()))),
            _ => None,
        };
        // What is learned now goes out with the epoch after the last one sent.
        self.inbox.queue.extend(heard.map(|heard| (self.epoch + 1, heard)));
        self.batch.push((origin, event));
        Ok(())
    }

    /// Closes an epoch with all that was learned, at `now`, and asks for these users' lists as of then.
    ///
    /// # Errors
    /// As [`Drive::reach`].
    pub fn ask(&mut self, now: Millis, questions: Vec<Question>) -> anyhow::Result<()> {
        let records = std::mem::take(&mut self.batch);
        self.send(now, records, questions)
    }

    /// Closes the epoch of the time that was reached, if anything was learned in it.
    ///
    /// # Errors
    /// As [`Drive::reach`].
    pub fn close(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let upper = self.bucket.saturating_add(1).saturating_mul(self.width);
        let records = std::mem::take(&mut self.batch);
        self.send(Millis(upper), records, Vec::new())
    }

    /// Ends the graph and judges what was still on its way.
    ///
    /// # Errors
    /// Where a worker has ended early.
    pub fn finish(mut self) -> anyhow::Result<Judge> {
        self.close()?;
        let Self { job, mut inbox, .. } = self;
        job.finish()?;
        while let Ok(output) = inbox.outputs.try_recv() {
            inbox.take(output);
        }
        inbox.judge_answers();
        match inbox.queue.front() {
            None => Ok(inbox.judge),
            Some(heard) => Err(anyhow!("the dataflow ended without an answer: {heard:?}; this is a bug")),
        }
    }

    fn send(
        &mut self,
        now: Millis,
        records: Vec<(Origin, Event)>,
        questions: Vec<Question>,
    ) -> anyhow::Result<()> {
        self.epoch += 1;
        self.now = now;
        let asks = questions.iter().map(|question| question.user).collect();
        let asked = questions.into_iter().map(|question| (self.epoch, Heard::Asked(question)));
        self.inbox.queue.extend(asked);
        self.job.send(EpochInput { epoch: Epoch(self.epoch), now, records, asks })?;
        while let Ok(output) = self.inbox.outputs.try_recv() {
            self.inbox.take(output);
        }
        while self.epoch > self.inbox.done() + self.in_flight {
            match self.inbox.outputs.recv_timeout(PATIENCE) {
                Ok(output) => self.inbox.take(output),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(WorkerGone.into()),
            }
        }
        self.inbox.judge_answers();
        Ok(())
    }
}

impl Inbox {
    /// The last epoch that is closed on all workers.
    fn done(&self) -> u64 {
        self.closed.iter().copied().min().unwrap_or(0).saturating_sub(1)
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Answers(_, epoch, answers) => {
                self.answers.extend(answers.into_iter().map(|answer| ((epoch.0, answer.user), answer)));
            }
            Output::Closed(worker, epoch) => self.closed[worker] = epoch.0,
            Output::Changes(..)
            | Output::Taps(..)
            | Output::Index(..)
            | Output::Waiting(..)
            | Output::Sizes(..) => {}
        }
    }

    /// Hears what happened up to the first question that is not answered yet.
    fn judge_answers(&mut self) {
        while let Some((epoch, heard)) = self.queue.pop_front() {
            match heard {
                Heard::Learned(video, time) => self.judge.learned(video, time),
                Heard::Upload(upload) => self.judge.uploaded(upload),
                Heard::Asked(question) => match self.answers.remove(&(epoch, question.user.0)) {
                    Some(answer) => self.judge.answered(&question, &answer),
                    None => return self.queue.push_front((epoch, Heard::Asked(question))),
                },
            }
        }
    }
}
