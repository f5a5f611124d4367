//! Questions on their way through the graph, with a judge who hears the same ([`super::judge`]).

use std::collections::{BTreeMap, VecDeque};

use anyhow::anyhow;
use freshet_operators::lists::Answer;
use freshet_operators::runtime::{Ask, Output};
use freshet_schema::event::Origin;
use freshet_schema::{Event, Millis};

use super::judge::Judge;
use super::outcome::{Heard, Question};
use super::pump::{Hear, Pump, Wanted};
use crate::config::Config;

/// See the module.
pub struct Drive {
    pump: Pump,
    inbox: Inbox,
}

/// What came back, and who looks at it.
struct Inbox {
    queue: VecDeque<(u64, Heard)>,
    /// By epoch and user.
    answers: BTreeMap<(u64, u64), Answer>,
    judge: Judge,
}

impl Drive {
    /// Starts the graph of this configuration.
    ///
    /// # Errors
    /// Where its threads cannot be started.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let judge = Judge::new(config.params.seed);
        let inbox = Inbox { queue: VecDeque::new(), answers: BTreeMap::new(), judge };
        Ok(Self { pump: Pump::start(config)?, inbox })
    }

    /// Epochs closed so far.
    pub fn epochs(&self) -> u64 {
        self.pump.epochs()
    }

    /// Clock of the last epoch closed.
    pub fn now(&self) -> Millis {
        self.pump.now()
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
        self.pump.reach(time, &mut self.inbox)?;
        self.inbox.judge_answers();
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
        let epoch = self.pump.epochs() + 1;
        self.inbox.queue.extend(heard.map(|heard| (epoch, heard)));
        self.pump.push(origin, event);
        Ok(())
    }

    /// Closes an epoch with all that was learned, at `now`, and asks for these users' lists as of then. What is `offered` is
    /// learned from, as a list that is stored would be.
    ///
    /// # Errors
    /// As [`Drive::reach`].
    pub fn ask(&mut self, now: Millis, questions: Vec<Question>, offered: bool) -> anyhow::Result<()> {
        let asks = questions.iter().map(|question| Ask { user: question.user, offered }).collect();
        let epoch = self.pump.epochs() + 1;
        self.inbox.queue.extend(questions.into_iter().map(|question| (epoch, Heard::Asked(question))));
        self.pump.send(now, Wanted { asks, ..Wanted::default() }, &mut self.inbox)?;
        self.inbox.judge_answers();
        Ok(())
    }

    /// Closes the epoch of the time that was reached, if anything was learned in it.
    ///
    /// # Errors
    /// As [`Drive::reach`].
    pub fn close(&mut self) -> anyhow::Result<()> {
        self.pump.close(&mut self.inbox)
    }

    /// Ends the graph and judges what was still on its way.
    ///
    /// # Errors
    /// Where a worker has ended early.
    pub fn finish(self) -> anyhow::Result<Judge> {
        let Self { pump, mut inbox } = self;
        pump.finish(&mut inbox)?;
        inbox.judge_answers();
        match inbox.queue.front() {
            None => Ok(inbox.judge),
            Some(heard) => Err(anyhow!("the dataflow ended without an answer: {heard:?}; this is a bug")),
        }
    }
}

impl Hear for Inbox {
    fn take(&mut self, output: Output) {
        if let Output::Answers(_, epoch, answers) = output {
            self.answers.extend(answers.into_iter().map(|answer| ((epoch.0, answer.user), answer)));
        }
    }
}

impl Inbox {
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
