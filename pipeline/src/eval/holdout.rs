//! Leave-last-out, the rules of MicroLens (Ni et al. 2023): of each user's last events the last is the test and the one before
//! it the validation; the others are learned once in the order of time, then nothing is learned any more and each user's
//! list is compared with the one event that was held out.
//!
//! Unlike test-then-train this knows the future: what one user does late is learned before another's early test. It is there
//! to compare with published figures. What the user had does not compete, and in the test that includes the validation's
//! video, of which the graph is not told.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_schema::event::Origin;
use freshet_schema::{Event, EventId, UserId, VideoId};
use rustc_hash::FxHashSet;

use super::drive::Drive;
use super::outcome::Question;
use super::records::Log;
use super::walk::Walked;
use crate::config::Config;
use crate::progress::Progress;

/// Users asked about in one epoch: many answers share its fixed cost, and few wait to be judged.
const ASKED_AT_ONCE: usize = 32;

/// Which event of each user is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The last.
    Test,
    /// The one before.
    Validation,
}

/// How a log is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Each user's last so many events count.
    pub events: usize,
    /// What is scored.
    pub held: Held,
}

/// A user whose last two events are held out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeldOut {
    validation: VideoId,
    test: VideoId,
    /// Videos of the events that are learned.
    history: Vec<VideoId>,
}

struct Split {
    /// What is learned, in order.
    train: Vec<(Origin, Box<Event>)>,
    /// Interactions in it.
    learned: usize,
    held: BTreeMap<UserId, HeldOut>,
}

/// Splits records that are in order. An event is known by its user and number: its repetitions and revisions go where it
/// goes. Users with fewer than three events have nothing to hold out; theirs are learned.
fn split(records: Vec<(Origin, Box<Event>)>, events: usize) -> Split {
    let mut sequences: BTreeMap<UserId, Vec<(EventId, VideoId)>> = BTreeMap::new();
    let mut known: FxHashSet<(UserId, EventId)> = FxHashSet::default();
    for (_, event) in &records {
        if let Event::Interaction(view) = &**event
            && known.insert((view.user_id, view.event_id))
        {
            sequences.entry(view.user_id).or_default().push((view.event_id, view.video_id));
        }
    }
    let mut held = BTreeMap::new();
    let mut apart: FxHashSet<(UserId, EventId)> = FxHashSet::default();
    for (user, sequence) in sequences {
        let (early, last) = sequence.split_at(sequence.len().saturating_sub(events));
        apart.extend(early.iter().map(|(id, _)| (user, *id)));
        if let [history @ .., validation, test] = last
            && !history.is_empty()
        {
            apart.extend([validation, test].map(|(id, _)| (user, *id)));
            let history = history.iter().map(|(_, video)| *video).collect();
            held.insert(user, HeldOut { validation: validation.1, test: test.1, history });
        }
    }
    let mut learned = 0;
    let mut train = records;
    train.retain(|(_, event)| match &**event {
        Event::Interaction(view) if apart.contains(&(view.user_id, view.event_id)) => false,
        Event::Interaction(_) => {
            learned += 1;
            true
        }
        _ => true,
    });
    Split { train, learned, held }
}

/// Learns, freezes and asks.
///
/// # Errors
/// Where no user has three events; where the graph cannot be started or one of its workers ends early.
pub fn walk(
    log: Log,
    plan: Plan,
    config: &Config,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Walked> {
    let Split { train, learned, held } = split(log.records, plan.events);
    if held.is_empty() {
        bail!(
            "no user has three events among their last {} (--events): there is nothing to learn from and to hold out; take a \
             longer log",
            plan.events
        );
    }
    progress.bytes_total.store((learned + held.len()) as u64, Relaxed);
    let mut drive = Drive::start(config)?;
    let mut users: FxHashSet<UserId> = FxHashSet::default();
    let (mut done, mut repeats, mut interrupted) = (0, 0, false);
    for (origin, event) in train {
        if stop.load(Relaxed) {
            interrupted = true;
            break;
        }
        progress.set_now(event.event_time());
        if let Event::Interaction(view) = &*event {
            users.insert(view.user_id);
            done += 1;
        }
        drive.learn(origin, *event)?;
        progress.events.fetch_add(1, Relaxed);
        progress.bytes_read.store(done, Relaxed);
        progress.last_epoch.store(drive.epochs(), Relaxed);
    }
    drive.close()?;
    let now = drive.now();
    let mut asked = 0;
    let mut questions = Vec::with_capacity(ASKED_AT_ONCE);
    for (user, own) in &held {
        // A graph that has not learned all of it would be measured as if it had.
        if interrupted || stop.load(Relaxed) {
            interrupted = true;
            break;
        }
        asked += 1;
        let (target, masked) = match plan.held {
            Held::Test => (own.test, Some(own.validation)),
            Held::Validation => (own.validation, None),
        };
        if own.history.contains(&target) || masked == Some(target) {
            repeats += 1;
            continue;
        }
        questions.push(Question { user: *user, target, masked, time: now.0, cold_user: false });
        if questions.len() == ASKED_AT_ONCE {
            drive.ask(now, std::mem::take(&mut questions), false)?;
            progress.bytes_read.store(done + asked, Relaxed);
            progress.lists.store(drive.judged() as u64, Relaxed);
        }
    }
    if !questions.is_empty() {
        drive.ask(now, questions, false)?;
    }
    let epochs = drive.epochs();
    let learned = usize::try_from(done).unwrap_or(learned);
    Ok(Walked { judge: drive.finish()?, learned, repeats, users: users.len(), epochs, interrupted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::{Interaction, Millis, Upload};

    fn view(user: u64, id: u64, video: u64, revision: u32) -> (Origin, Box<Event>) {
        let view = Interaction {
            event_id: EventId(id),
            revision,
            event_time: Millis(id),
            user_id: UserId(user),
            video_id: VideoId(video),
            ..Interaction::default()
        };
        (Origin::default(), Box::new(Event::Interaction(view)))
    }

    #[test]
    fn the_last_two_of_the_last_few_are_held_out_with_all_their_revisions() {
        let mut records: Vec<_> = (1..=6).map(|n| view(1, n, 10 * n, 0)).collect();
        records.push(view(1, 6, 60, 1));
        records.push(view(1, 4, 40, 1));
        records.extend([view(2, 1, 7, 0), view(2, 2, 8, 0)]);
        records.push((Origin::default(), Box::new(Event::Upload(Upload::default()))));
        let Split { train, learned, held } = split(records, 4);
        let expected =
            HeldOut { validation: VideoId(50), test: VideoId(60), history: vec![VideoId(30), VideoId(40)] };
        assert_eq!(held, BTreeMap::from([(UserId(1), expected)]));
        let rows: Vec<(u64, u64)> = train
            .iter()
            .filter_map(|(_, event)| match &**event {
                Event::Interaction(view) => Some((view.user_id.0, view.event_id.0)),
                _ => None,
            })
            .collect();
        // Of user 1 the third and the fourth with its revision; of user 2, who has only two, both.
        assert_eq!(rows, [(1, 3), (1, 4), (1, 4), (2, 1), (2, 2)]);
        assert_eq!((learned, train.len()), (5, 6));
    }
}
