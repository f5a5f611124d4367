//! Test, then train: the log goes through the real graph once, and each scored interaction is asked about before it is
//! learned.
//!
//! Epochs close by event time, as in a replay, and just before each scored interaction, with its time for the clock: the
//! list is made from everything before it and nothing after. Nobody waits for the answer; up to [`IN_FLIGHT`] epochs are on
//! their way, and the judge catches up as they come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::anyhow;
use freshet_operators::lists::Answer;
use freshet_operators::runtime::{self, EpochInput, Job, Output, WorkerGone};
use freshet_schema::event::{Origin, Target};
use freshet_schema::{Epoch, Event, Millis, UserId, VideoId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::judge::{Heard, Judge, Question};
use super::records::Log;
use crate::config::Config;
use crate::progress::Progress;

/// Epochs that may be in the graph at once, at least. More than a service needs: nothing waits for a list here, and a
/// question makes an epoch of few records.
const IN_FLIGHT: usize = 64;
/// How long to wait for the graph before looking again whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which interactions are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Those whose place in the log, from 0, is a multiple of this.
    pub every: usize,
    /// Interactions that are learned before the first is scored.
    pub warmup: usize,
}

/// What a walk came to.
pub struct Walked {
    /// With the outcomes.
    pub judge: Judge,
    /// Interactions learned.
    pub learned: usize,
    /// Interactions that would have been scored, but their user had the video already.
    pub repeats: u64,
    /// Users with an interaction.
    pub users: usize,
    /// Epochs closed.
    pub epochs: u64,
    /// Whether it was stopped before the log's end.
    pub interrupted: bool,
}

/// Walks the log.
///
/// # Errors
/// Where the graph cannot be started or one of its workers ends early.
pub fn walk(
    log: Log,
    plan: Plan,
    config: &Config,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Walked> {
    let mut params = config.params.clone();
    // Only lists that are asked for are made.
    params.feed.enabled = false;
    let workers = config.graph.workers;
    let (job, outputs) = runtime::start(workers, &params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
    let mut run = Run {
        outputs,
        closed: vec![0; workers],
        in_flight: config.graph.in_flight.max(IN_FLIGHT) as u64,
        epoch: 0,
        queue: VecDeque::new(),
        answers: BTreeMap::new(),
        judge: Judge::new(params.seed),
    };
    let width = config.clock.replay_epoch_ms;
    let mut had = Had::default();
    let (mut batch, mut bucket) = (Vec::new(), 0);
    let (mut learned, mut repeats, mut interrupted) = (0, 0, false);
    for (origin, event) in log.records {
        if stop.load(Relaxed) {
            interrupted = true;
            break;
        }
        let time = event.event_time();
        if time.0 / width != bucket && !batch.is_empty() {
            run.send(&job, upper(bucket, width), std::mem::take(&mut batch), None)?;
        }
        bucket = time.0 / width;
        match &*event {
            Event::Interaction(view) => {
                let (user, video) = (view.user_id, view.video_id);
                if learned >= plan.warmup && learned.is_multiple_of(plan.every) {
                    if had.has(user, video) {
                        repeats += 1;
                    } else {
                        let cold_user = !had.knows(user);
                        let before = std::mem::take(&mut batch);
                        let question = Question { epoch: 0, user, target: video, time: time.0, cold_user };
                        run.send(&job, time, before, Some(question))?;
                    }
                }
                had.add(user, video);
                run.queue.push_back(Heard::Learned(video, time.0));
                learned += 1;
                progress.bytes_read.store(learned as u64, Relaxed);
            }
            Event::Upload(upload) => run.queue.push_back(Heard::Upload(Box::new(upload.clone()))),
            Event::Delete(delete) => {
                if let Target::User { user_id } = delete.target {
                    had.forget(user_id);
                }
            }
            Event::User(_) | Event::Follow(_) | Event::Served(_) => {}
        }
        batch.push((origin, *event));
        progress.events.fetch_add(1, Relaxed);
        progress.set_now(time);
        progress.lists.store(run.judge.outcomes.len() as u64, Relaxed);
        progress.last_epoch.store(run.epoch, Relaxed);
    }
    if !batch.is_empty() && !interrupted {
        run.send(&job, upper(bucket, width), batch, None)?;
    }
    let epochs = run.epoch;
    let judge = run.finish(job)?;
    Ok(Walked { judge, learned, repeats, users: had.users(), epochs, interrupted })
}

/// The clock of a replay's epoch: the end of its bucket.
fn upper(bucket: u64, width: u64) -> Millis {
    Millis(bucket.saturating_add(1).saturating_mul(width))
}

/// Who had what already. A deleted user had nothing; what else is deleted was had all the same.
#[derive(Default)]
struct Had {
    pairs: FxHashSet<(UserId, VideoId, u32)>,
    /// For each user that was deleted: how often. Their pairs from before are left behind under an older number.
    lives: FxHashMap<UserId, u32>,
    known: FxHashSet<UserId>,
    ever: usize,
}

impl Had {
    fn life(&self, user: UserId) -> u32 {
        self.lives.get(&user).copied().unwrap_or(0)
    }

    fn has(&self, user: UserId, video: VideoId) -> bool {
        self.pairs.contains(&(user, video, self.life(user)))
    }

    fn knows(&self, user: UserId) -> bool {
        self.known.contains(&user)
    }

    fn add(&mut self, user: UserId, video: VideoId) {
        self.pairs.insert((user, video, self.life(user)));
        if self.known.insert(user) && !self.lives.contains_key(&user) {
            self.ever += 1;
        }
    }

    fn forget(&mut self, user: UserId) {
        if self.known.remove(&user) {
            *self.lives.entry(user).or_default() += 1;
        }
    }

    /// Users who ever had something.
    fn users(&self) -> usize {
        self.ever
    }
}

/// The running graph with its judge.
struct Run {
    outputs: Receiver<Output>,
    /// For each worker, the first epoch that is not closed there.
    closed: Vec<u64>,
    in_flight: u64,
    /// The last epoch sent.
    epoch: u64,
    queue: VecDeque<Heard>,
    answers: BTreeMap<u64, Answer>,
    judge: Judge,
}

impl Run {
    /// Closes an epoch with these records, and asks the question at its end. Waits while too many epochs are on their way.
    fn send(
        &mut self,
        job: &Job,
        now: Millis,
        records: Vec<(Origin, Event)>,
        question: Option<Question>,
    ) -> anyhow::Result<()> {
        self.epoch += 1;
        let asks = question.iter().map(|question| question.user).collect();
        if let Some(question) = question {
            self.queue.push_back(Heard::Asked(Question { epoch: self.epoch, ..question }));
        }
        job.send(EpochInput { epoch: Epoch(self.epoch), now, records, asks })?;
        while let Ok(output) = self.outputs.try_recv() {
            self.take(output);
        }
        while self.epoch - self.done() > self.in_flight {
            match self.outputs.recv_timeout(PATIENCE) {
                Ok(output) => self.take(output),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(WorkerGone.into()),
            }
        }
        self.judge_answers();
        Ok(())
    }

    /// The last epoch that is closed on all workers.
    fn done(&self) -> u64 {
        self.closed.iter().copied().min().unwrap_or(0).saturating_sub(1).min(self.epoch)
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Answers(_, epoch, answers) => {
                // One question an epoch.
                self.answers.extend(answers.into_iter().map(|answer| (epoch.0, answer)));
            }
            Output::Closed(worker, epoch) => self.closed[worker] = epoch.0,
            Output::Changes(..) | Output::Taps(..) | Output::Waiting(..) | Output::Sizes(..) => {}
        }
    }

    /// Hears what happened up to the first question that is not answered yet.
    fn judge_answers(&mut self) {
        while let Some(heard) = self.queue.pop_front() {
            match heard {
                Heard::Learned(video, time) => self.judge.learned(video, time),
                Heard::Upload(upload) => self.judge.uploaded(upload),
                Heard::Asked(question) => match self.answers.remove(&question.epoch) {
                    Some(answer) => self.judge.answered(&question, &answer),
                    None => return self.queue.push_front(Heard::Asked(question)),
                },
            }
        }
    }

    /// Ends the graph and judges what was still on its way.
    fn finish(self, job: Job) -> anyhow::Result<Judge> {
        let mut run = self;
        job.finish()?;
        while let Ok(output) = run.outputs.try_recv() {
            run.take(output);
        }
        run.judge_answers();
        match run.queue.front() {
            None => Ok(run.judge),
            Some(heard) => Err(anyhow!("the dataflow ended without an answer: {heard:?}; this is a bug")),
        }
    }
}
