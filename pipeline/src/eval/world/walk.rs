//! Which lists are asked for when: just before a user's interaction, at ages that stand for their group.
//!
//! An age is the number of interactions that the user has so far. Users differ in how much they watch: asking before each
//! interaction would measure the busiest. So each user is asked about at the same few ages, as far as they come.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::anyhow;
use freshet_operators::runtime::Ask;
use freshet_operators::runtime::Output;
use freshet_schema::event::Target;
use freshet_schema::{Event, Millis, UserId, VideoId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::config::Config;
use crate::eval::pump::{Hear, Pump, Wanted};
use crate::eval::records::Log;
use crate::progress::Progress;

/// Places of a list that are looked at.
pub const TOP: usize = 20;

/// Ages at which users are asked about: the young ones closely, as a taste is found then.
pub const ASKED: [u64; 22] =
    [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 35, 50, 60, 80, 100, 150, 200, 300, 500];

/// A list that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose.
    pub user: UserId,
    /// As of when.
    pub time: Millis,
    /// The user's interactions so far.
    pub age: u64,
    /// The number of interactions of all before it: what was watched before is known by this.
    pub moment: usize,
}

/// The first places of a list: without re-ranking, and with it.
pub type Lists = [Vec<VideoId>; 2];

/// What a walk came to.
#[derive(Debug, Default)]
pub struct Walked {
    /// In the order of time, with their answers.
    pub questions: Vec<(Question, Lists)>,
    /// For each user and video, before how many interactions of all it was first watched.
    pub watched: FxHashMap<(UserId, VideoId), usize>,
    /// Interactions learned.
    pub learned: usize,
    /// Epochs closed.
    pub epochs: u64,
    /// Whether it was stopped before the log's end.
    pub interrupted: bool,
}

/// Takes the log through the graph and asks about each `every`-th user.
///
/// # Errors
/// Where the graph cannot be started or one of its workers ends early.
pub fn walk(
    log: Log,
    every: u64,
    config: &Config,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Walked> {
    let mut pump = Pump::start(config)?;
    let mut inbox = Inbox::default();
    let mut ages = Ages::default();
    let mut walked = Walked::default();
    let mut asked = Vec::new();
    for (origin, event) in log.records {
        if stop.load(Relaxed) {
            walked.interrupted = true;
            break;
        }
        let time = event.event_time();
        pump.reach(time, &mut inbox)?;
        if let Event::Interaction(view) = &*event {
            let (user, moment) = (view.user_id, walked.learned);
            if let Some(age) = ages.of(user, view.event_id.0).filter(|age| ASKED.contains(age))
                && user.0.is_multiple_of(every)
            {
                asked.push((pump.epochs() + 1, Question { user, time, age, moment }));
                let wanted = Wanted { asks: vec![Ask { user, offered: true }], ..Wanted::default() };
                pump.send(time, wanted, &mut inbox)?;
            }
            walked.watched.entry((user, view.video_id)).or_insert(moment);
            walked.learned += 1;
            progress.bytes_read.store(walked.learned as u64, Relaxed);
        }
        ages.learn(&event);
        pump.push(origin, *event);
        progress.events.fetch_add(1, Relaxed);
        progress.set_now(time);
        progress.lists.store(inbox.answers.len() as u64, Relaxed);
        progress.last_epoch.store(pump.epochs(), Relaxed);
    }
    pump.close(&mut inbox)?;
    walked.epochs = pump.epochs();
    pump.finish(&mut inbox)?;
    for (epoch, question) in asked {
        let answer = inbox.answers.remove(&(epoch, question.user.0)).ok_or_else(|| {
            anyhow!("the dataflow ended without an answer to {question:?} in epoch {epoch}; this is a bug")
        })?;
        walked.questions.push((question, answer));
    }
    Ok(walked)
}

/// How old users are. A deleted user begins anew.
#[derive(Default)]
struct Ages {
    known: FxHashSet<(UserId, u64)>,
    ages: FxHashMap<UserId, u64>,
}

impl Ages {
    /// The age of a user before this interaction; `None` where it is one that was met before.
    fn of(&self, user: UserId, event: u64) -> Option<u64> {
        (!self.known.contains(&(user, event))).then(|| self.ages.get(&user).copied().unwrap_or(0))
    }

    fn learn(&mut self, event: &Event) {
        match event {
            Event::Interaction(view) if self.known.insert((view.user_id, view.event_id.0)) => {
                *self.ages.entry(view.user_id).or_default() += 1;
            }
            Event::Delete(delete) => {
                if let Target::User { user_id } = delete.target {
                    self.ages.remove(&user_id);
                }
            }
            _ => {}
        }
    }
}

#[derive(Default)]
struct Inbox {
    /// By epoch and user.
    answers: BTreeMap<(u64, u64), Lists>,
}

impl Hear for Inbox {
    fn take(&mut self, output: Output) {
        let Output::Answers(_, epoch, answers) = output else { return };
        for answer in answers {
            let scored = answer.scored.iter().map(|(video, _)| VideoId(*video)).take(TOP).collect();
            let listed = answer.listed.iter().map(|video| VideoId(*video)).take(TOP).collect();
            self.answers.insert((epoch.0, answer.user), [scored, listed]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::event::Delete;
    use freshet_schema::{EventId, Interaction};

    #[test]
    fn an_age_counts_what_is_new() {
        let mut ages = Ages::default();
        let view = |id: u64, revision: u32| {
            let (user_id, event_id) = (UserId(7), EventId(id));
            Event::Interaction(Interaction { user_id, event_id, revision, ..Interaction::default() })
        };
        assert_eq!(ages.of(UserId(7), 1), Some(0));
        ages.learn(&view(1, 0));
        ages.learn(&view(1, 1));
        assert_eq!((ages.of(UserId(7), 1), ages.of(UserId(7), 2)), (None, Some(1)));
        let target = Target::User { user_id: UserId(7) };
        ages.learn(&Event::Delete(Delete {
            event_id: EventId(9),
            revision: 0,
            event_time: Millis(1),
            target,
        }));
        assert_eq!(ages.of(UserId(7), 2), Some(0));
    }
}
