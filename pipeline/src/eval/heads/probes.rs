//! Probes on their way through the graph: what is to be predicted goes in, predictions come back, row by row.
//!
//! A user's answers come in the order in which they were asked for, so each user has a queue; what is answered is held
//! against what was asked, and an epoch that closes with a probe unanswered is an error at once.

use std::collections::{BTreeMap, VecDeque};

use anyhow::bail;
use freshet_operators::probe::{Heads, Probed};
use freshet_operators::runtime::Output;
use freshet_schema::event::Origin;
use freshet_schema::{Event, Millis, UserId, VideoId};
use rustc_hash::FxHashMap;

use crate::config::Config;
use crate::eval::pump::{Hear, Pump, Wanted};

/// What is to be predicted: a row of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the measurement.
    pub place: usize,
    /// For whom.
    pub user: UserId,
    /// Of what.
    pub video: VideoId,
}

/// The graph, asked for predictions.
pub struct Probes {
    pump: Pump,
    inbox: Inbox,
}

/// A probe that is not answered yet: for each video the rows that want it.
#[derive(Debug)]
struct Open {
    epoch: u64,
    videos: BTreeMap<u64, Vec<usize>>,
}

#[derive(Default)]
struct Inbox {
    /// By user.
    open: FxHashMap<u64, VecDeque<Open>>,
    /// Probes that are open, by epoch.
    epochs: BTreeMap<u64, usize>,
    predictions: Vec<Heads>,
    wrong: Option<String>,
}

impl Probes {
    /// Starts the graph of this configuration, for a measurement of so many rows.
    ///
    /// # Errors
    /// Where its threads cannot be started.
    pub fn start(config: &Config, rows: usize) -> anyhow::Result<Self> {
        let inbox = Inbox { predictions: vec![Heads::default(); rows], ..Inbox::default() };
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

    /// Learns an event at a time, which never goes back.
    ///
    /// # Errors
    /// Where a worker has ended, or has not answered.
    pub fn learn(&mut self, at: Millis, origin: Origin, event: Event) -> anyhow::Result<()> {
        self.pump.reach(at, &mut self.inbox)?;
        self.pump.push(origin, event);
        Ok(())
    }

    /// Closes an epoch with all that was learned and asks for these rows' predictions as of then.
    ///
    /// # Errors
    /// As [`Probes::learn`].
    pub fn score(&mut self, at: Millis, rows: impl Iterator<Item = Row>) -> anyhow::Result<()> {
        self.pump.reach(at, &mut self.inbox)?;
        let probes = self.inbox.ask(self.pump.epochs() + 1, rows);
        self.pump.send(at, Wanted { probes, ..Wanted::default() }, &mut self.inbox)?;
        self.inbox.check(self.pump.done())
    }

    /// Closes the epoch that is open.
    ///
    /// # Errors
    /// As [`Probes::learn`].
    pub fn close(&mut self) -> anyhow::Result<()> {
        self.pump.close(&mut self.inbox)
    }

    /// Ends the graph; the predictions by row.
    ///
    /// # Errors
    /// As [`Probes::learn`].
    pub fn finish(self) -> anyhow::Result<Vec<Heads>> {
        let Self { pump, mut inbox } = self;
        pump.finish(&mut inbox)?;
        inbox.check(u64::MAX)?;
        Ok(inbox.predictions)
    }
}

impl Inbox {
    /// Notes what is asked in an epoch; the probes, each user and each of their videos once and in order.
    fn ask(&mut self, epoch: u64, rows: impl Iterator<Item = Row>) -> Vec<(u64, Vec<u64>)> {
        let mut asked: BTreeMap<u64, BTreeMap<u64, Vec<usize>>> = BTreeMap::new();
        for row in rows {
            asked.entry(row.user.0).or_default().entry(row.video.0).or_default().push(row.place);
        }
        let mut probes = Vec::with_capacity(asked.len());
        for (user, videos) in asked {
            probes.push((user, videos.keys().copied().collect()));
            *self.epochs.entry(epoch).or_default() += 1;
            self.open.entry(user).or_default().push_back(Open { epoch, videos });
        }
        probes
    }

    fn answered(&mut self, probed: Probed) {
        let queue = self.open.get_mut(&probed.user);
        let Some(open) = queue.and_then(VecDeque::pop_front) else {
            return self.say(format!("predictions for user {}, who was not asked about", probed.user));
        };
        if !open.videos.keys().eq(probed.videos.iter().map(|(video, _)| video)) {
            let got: Vec<u64> = probed.videos.iter().map(|(video, _)| *video).collect();
            return self.say(format!(
                "other videos than it was asked about for user {} in epoch {}: {got:?} instead of {:?}",
                probed.user,
                open.epoch,
                open.videos.keys().collect::<Vec<_>>()
            ));
        }
        for (places, (_, heads)) in open.videos.values().zip(&probed.videos) {
            for place in places {
                self.predictions[*place] = *heads;
            }
        }
        if let Some(left) = self.epochs.get_mut(&open.epoch) {
            *left -= 1;
            if *left == 0 {
                self.epochs.remove(&open.epoch);
            }
        }
    }

    fn say(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }

    /// Whether all that was asked in epochs up to `done` was answered.
    fn check(&self, done: u64) -> anyhow::Result<()> {
        if let Some(wrong) = &self.wrong {
            bail!("the dataflow answered with {wrong}; this is a bug");
        }
        match self.epochs.first_key_value().filter(|(epoch, _)| **epoch <= done) {
            Some((epoch, open)) => bail!(
                "the dataflow ended epoch {epoch} without an answer to {open} of its probes; this is a bug, or this build's \
                 graph predicts nothing"
            ),
            None => Ok(()),
        }
    }
}

impl Hear for Inbox {
    fn take(&mut self, output: Output) {
        if let Output::Probed(probed) = output {
            probed.into_iter().for_each(|probed| self.answered(probed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: usize, user: u64, video: u64) -> Row {
        Row { place, user: UserId(user), video: VideoId(video) }
    }

    fn heads(like: f32) -> Heads {
        Heads { like, ..Heads::default() }
    }

    fn probed(user: u64, videos: &[(u64, f32)]) -> Probed {
        Probed { user, videos: videos.iter().map(|(video, like)| (*video, heads(*like))).collect() }
    }

    #[test]
    fn answers_find_their_rows_in_the_order_of_each_user() {
        let mut inbox = Inbox { predictions: vec![Heads::default(); 5], ..Inbox::default() };
        let first = inbox.ask(1, [row(0, 9, 2), row(1, 4, 7), row(2, 9, 1), row(3, 9, 2)].into_iter());
        assert_eq!(first, [(4, vec![7]), (9, vec![1, 2])], "each once, in order");
        assert_eq!(inbox.ask(2, std::iter::once(row(4, 9, 2))), [(9, vec![2])]);
        inbox.answered(probed(9, &[(1, 0.1), (2, 0.2)]));
        assert!(inbox.check(0).is_ok() && inbox.check(1).is_err(), "user 4 waits in epoch 1");
        inbox.answered(probed(9, &[(2, 0.5)]));
        inbox.answered(probed(4, &[(7, 0.7)]));
        inbox.check(u64::MAX).expect("all answered");
        let likes: Vec<f32> = inbox.predictions.iter().map(|heads| heads.like).collect();
        assert_eq!(likes, [0.2, 0.7, 0.1, 0.2, 0.5]);
    }

    #[test]
    fn what_was_not_asked_is_a_bug() {
        let mut inbox = Inbox { predictions: vec![Heads::default()], ..Inbox::default() };
        inbox.ask(3, std::iter::once(row(0, 1, 2)));
        inbox.answered(probed(1, &[(5, 0.5)]));
        let said = inbox.check(0).expect_err("another video").to_string();
        assert!(said.contains("[5] instead of [2]") && said.contains("user 1"), "{said}");
        let mut inbox = Inbox::default();
        inbox.answered(probed(1, &[]));
        assert!(inbox.check(0).expect_err("nobody asked").to_string().contains("not asked"));
    }
}
