//! Test, then train: the log goes through the graph once, and each scored interaction is asked about before it is learned.
//!
//! An epoch closes just before each scored interaction, with its time for the clock: the list is made from everything before
//! it and nothing after.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use freshet_schema::event::Target;
use freshet_schema::{Event, UserId, VideoId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::drive::Drive;
use super::judge::Judge;
use super::outcome::Question;
use super::records::Log;
use crate::config::Config;
use crate::progress::Progress;

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
    let mut drive = Drive::start(config)?;
    let mut had = Had::default();
    let (mut learned, mut repeats, mut interrupted) = (0, 0, false);
    for (origin, event) in log.records {
        if stop.load(Relaxed) {
            interrupted = true;
            break;
        }
        let time = event.event_time();
        drive.reach(time)?;
        match &*event {
            Event::Interaction(view) => {
                let (user, target) = (view.user_id, view.video_id);
                if learned >= plan.warmup && learned.is_multiple_of(plan.every) {
                    if had.has(user, target) {
                        repeats += 1;
                    } else {
                        let cold_user = !had.knows(user);
                        let question = Question { user, target, masked: None, time: time.0, cold_user };
                        drive.ask(time, vec![question], true)?;
                    }
                }
                had.add(user, target);
                learned += 1;
                progress.bytes_read.store(learned as u64, Relaxed);
            }
            Event::Delete(delete) => {
                if let Target::User { user_id } = delete.target {
                    had.forget(user_id);
                }
            }
            Event::Upload(_) | Event::User(_) | Event::Follow(_) | Event::Served(_) => {}
        }
        drive.learn(origin, *event)?;
        progress.events.fetch_add(1, Relaxed);
        progress.set_now(time);
        progress.lists.store(drive.judged() as u64, Relaxed);
        progress.last_epoch.store(drive.epochs(), Relaxed);
    }
    drive.close()?;
    let epochs = drive.epochs();
    Ok(Walked { judge: drive.finish()?, learned, repeats, users: had.users(), epochs, interrupted })
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
