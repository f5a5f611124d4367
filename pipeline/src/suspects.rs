//! Who and what is suspected of abuse, as a graph has it at one epoch: for `freshet abuse`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{anyhow, bail};
use freshet_operators::abuse::{FULL, Signals};
use freshet_operators::look::{Kind, Look, Record, SuspectLook, Wanted};
use freshet_operators::runtime::Looker;
use freshet_schema::Millis;
use serde::{Deserialize, Serialize};

use crate::config::format_time;
use crate::table::{Align, render};

/// The graph answers within this, or is said not to.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspects {
    /// The epoch that it is of.
    pub epoch: u64,
    /// The clock of that epoch, in milliseconds since 1970.
    pub now_ms: u64,
    /// Users, those with the most signals first.
    pub users: Vec<User>,
    /// Videos, likewise.
    pub videos: Vec<Video>,
}

/// A user of whom something is suspected, with the numbers of the last publication over `abuse.window`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's number.
    pub user_id: u64,
    /// Whether what they do counts for nobody else.
    pub flagged: bool,
    /// Names of the signals that fire.
    pub signals: Vec<String>,
    /// Interactions.
    pub interactions: u32,
    /// Of those, with a like, a share, a comment or a follow.
    pub engaged: u32,
    /// Of those, without watching.
    pub unwatched: u32,
    /// Interactions skipped fast.
    pub skipped: u32,
    /// Engagements of the busiest minute.
    pub per_minute: u32,
    /// Videos in whose bursts they were with the same others.
    pub together: u32,
}

/// A video of which something is suspected, likewise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// The video's number.
    pub video_id: u64,
    /// Factor on its score, in [0, 1]; 1 where it is not flagged.
    pub factor: f64,
    /// Names of the signals that fire.
    pub signals: Vec<String>,
    /// Engagements.
    pub engaged: u32,
    /// Users who engaged.
    pub engagers: u32,
    /// Of those, with the signals bot, farming and coordinated.
    pub suspects: [u32; 3],
    /// Users of the burst with the most that are in lockstep.
    pub burst: u32,
    /// The last engagement that speaks against it, in milliseconds since 1970.
    pub last_ms: u64,
}

impl Suspects {
    /// Asks a graph, and waits for all of its workers.
    ///
    /// # Errors
    /// Where the graph has ended, or does not come to a common epoch in time.
    pub fn of(looker: &Looker) -> anyhow::Result<Self> {
        let (to, looked) = channel();
        let wanted = [Kind::SuspectUsers, Kind::SuspectVideos].map(|kind| Wanted { kind, keys: None });
        let look = Arc::new(Look::new(wanted.to_vec(), to, None));
        looker.look(&look).map_err(|_| anyhow!("the job has ended: it answers no questions any more"))?;
        let mut suspects = Self::default();
        for _ in 0..looker.workers() {
            let Ok(answer) = looked.recv_timeout(PATIENCE) else {
                look.give_up();
                bail!(
                    "the pipeline did not come to a common epoch within {} s: it may be replaying a long log, or wait for its \
                     store; see `freshet top`",
                    PATIENCE.as_secs()
                );
            };
            (suspects.epoch, suspects.now_ms) = (answer.epoch, answer.now);
            for records in answer.records {
                records(&mut |record| {
                    suspects.take(record);
                    true
                });
            }
        }
        let order = |signals: &[String], id: u64| (std::cmp::Reverse(signals.len()), id);
        suspects.users.sort_by_key(|user| order(&user.signals, user.user_id));
        suspects.videos.sort_by_key(|video| order(&video.signals, video.video_id));
        Ok(suspects)
    }

    fn take(&mut self, record: Record<'_>) {
        match record {
            Record::Suspect(SuspectLook::User(user_id, numbers, flagged)) => self.users.push(User {
                user_id,
                flagged,
                signals: names(numbers.signals),
                interactions: numbers.rows,
                engaged: numbers.engaged,
                unwatched: numbers.unwatched,
                skipped: numbers.skipped,
                per_minute: numbers.per_minute,
                together: numbers.together,
            }),
            Record::Suspect(SuspectLook::Video(video_id, numbers, factor)) => self.videos.push(Video {
                video_id,
                factor: f64::from(factor) / f64::from(FULL),
                signals: names(numbers.signals),
                engaged: numbers.engaged,
                engagers: numbers.engagers,
                suspects: numbers.suspects,
                burst: numbers.burst[0],
                last_ms: numbers.last,
            }),
            _ => {}
        }
    }

    /// For people: the first `most` of each.
    #[must_use]
    pub fn to_text(&self, most: usize) -> String {
        let mut text = String::new();
        let number = |n: u32| n.to_string();
        let rows: Vec<Vec<String>> = self
            .users
            .iter()
            .take(most)
            .map(|user| {
                vec![
                    user.user_id.to_string(),
                    if user.flagged { "flagged" } else { "" }.to_owned(),
                    user.signals.join(","),
                    number(user.interactions),
                    number(user.engaged),
                    number(user.unwatched),
                    number(user.skipped),
                    number(user.per_minute),
                    number(user.together),
                ]
            })
            .collect();
        let right = Align::Right;
        let flagged = self.users.iter().filter(|user| user.flagged).count();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{} users are suspected, {flagged} of them flagged", self.users.len());
        if !rows.is_empty() {
            let columns = [
                ("user", Align::Left),
                ("", Align::Left),
                ("signals", Align::Left),
                ("views", right),
                ("engaged", right),
                ("blind", right),
                ("skips", right),
                ("a minute", right),
                ("together", right),
            ];
            text.push_str(&render(&columns, &rows));
        }
        let flagged = self.videos.iter().filter(|video| video.factor < 1.0).count();
        let _ = writeln!(text, "{} videos are suspected, {flagged} of them lowered", self.videos.len());
        let rows: Vec<Vec<String>> = self
            .videos
            .iter()
            .take(most)
            .map(|video| {
                let [bots, farmers, coordinated] = video.suspects;
                vec![
                    video.video_id.to_string(),
                    format!("x {:.2}", video.factor),
                    video.signals.join(","),
                    number(video.engaged),
                    number(video.engagers),
                    format!("{bots}/{farmers}/{coordinated}"),
                    number(video.burst),
                ]
            })
            .collect();
        if !rows.is_empty() {
            let columns = [
                ("video", Align::Left),
                ("score", right),
                ("signals", Align::Left),
                ("engaged", right),
                ("by", right),
                ("b/f/c", right),
                ("burst", right),
            ];
            text.push_str(&render(&columns, &rows));
        }
        let _ = writeln!(text, "epoch {}, as of {}", self.epoch, format_time(Millis(self.now_ms)));
        text
    }
}

fn names(signals: Signals) -> Vec<String> {
    let fire = Signals::ALL.iter().filter(|(signal, _)| signals.has(*signal));
    fire.map(|(_, name)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flagged_are_counted_and_named() {
        let user = User {
            user_id: 7,
            flagged: true,
            signals: vec!["bot".to_owned(), "farming".to_owned()],
            interactions: 120,
            engaged: 60,
            unwatched: 59,
            skipped: 3,
            per_minute: 31,
            together: 0,
        };
        let video = Video {
            video_id: 9,
            factor: 0.7,
            signals: vec!["bot".to_owned()],
            engaged: 40,
            engagers: 8,
            suspects: [7, 6, 0],
            burst: 0,
            last_ms: 1,
        };
        let other = User { user_id: 8, flagged: false, ..user.clone() };
        let suspects = Suspects { epoch: 3, now_ms: 0, users: vec![user, other], videos: vec![video] };
        let text = suspects.to_text(1);
        assert!(text.contains("2 users are suspected, 1 of them flagged"), "{text}");
        assert!(text.contains("bot,farming") && text.contains("x 0.70") && text.contains("7/6/0"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with('8')), "only the first is shown: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
