//! Which impressions are scored, when, and when each event is learned: decided from the log alone.
//!
//! Test, then train: an impression is scored just before it is learned, from everything before it. Two options make it as
//! late as a service is. With a label delay an interaction is learned so much after it happened; what is no interaction is
//! known at once. With a refresh the scores are those of a copy that is taken at each multiple of the span, and all
//! impressions until the next are scored at that moment.

use std::collections::VecDeque;
use std::ops::Range;

use freshet_schema::event::{Origin, Target};
use freshet_schema::{Event, Millis, UserId, VideoId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::labels::Labels;

/// An item or user with fewer earlier impressions is cold.
pub const COLD: u64 = 10;

/// How a log is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Interactions that are learned before the first is scored.
    pub warmup: usize,
    /// How long after it happened an interaction is learned, in milliseconds.
    pub label_delay: u64,
    /// Between two copies that score, in milliseconds; 0 scores from the present state.
    pub refresh: u64,
}

/// An impression that is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// To whom.
    pub user: UserId,
    /// What.
    pub video: VideoId,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// What it came to.
    pub labels: Labels,
    /// The video had fewer than [`COLD`] earlier impressions.
    pub cold_item: bool,
    /// The user had.
    pub cold_user: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Learn the record of this place in the log.
    Learn {
        /// Its place.
        record: usize,
        /// When; never before the step before.
        at: Millis,
        /// It is an interaction that was not met before, by its user and number.
        first: bool,
    },
    /// Score these rows, as of now.
    Score {
        /// When.
        at: Millis,
        /// Places in [`Schedule::rows`].
        rows: Range<usize>,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Schedule {
    /// In order.
    pub steps: Vec<Step>,
    /// The impressions that are scored.
    pub rows: Vec<Shown>,
}

/// Interactions that are on their way.
struct Underway {
    delay: u64,
    queue: VecDeque<(u64, Step)>,
}

impl Underway {
    /// Those that arrive by this time.
    fn until(&mut self, time: u64, steps: &mut Vec<Step>) {
        while let Some((_, step)) = self.queue.pop_front_if(|(due, _)| *due <= time) {
            steps.push(step);
        }
    }
}

/// Plans the measurement of records that are in order. A revision or repetition of a record is learned and not scored.
#[must_use]
pub fn schedule(records: &[(Origin, Box<Event>)], plan: Plan) -> Schedule {
    let mut schedule = Schedule::default();
    let mut past = Past::default();
    let mut underway = Underway { delay: plan.label_delay, queue: VecDeque::new() };
    let mut interactions = 0;
    // Where the step of the present copy stands, with its time.
    let mut copy: Option<(u64, usize)> = None;
    for (record, (_, event)) in records.iter().enumerate() {
        let time = event.event_time().0;
        if let Some(taken) = (time.checked_div(plan.refresh)).map(|n| n * plan.refresh)
            && copy.is_none_or(|(last, _)| last < taken)
        {
            underway.until(taken, &mut schedule.steps);
            copy = Some((taken, schedule.steps.len()));
            let none = schedule.rows.len()..schedule.rows.len();
            schedule.steps.push(Step::Score { at: Millis(taken), rows: none });
        }
        underway.until(time, &mut schedule.steps);
        let shown = past.meet(event);
        let first = shown.is_some();
        if let Some(shown) = shown
            && interactions >= plan.warmup
        {
            let row = schedule.rows.len();
            schedule.rows.push(shown);
            match copy.map(|(_, place)| &mut schedule.steps[place]) {
                Some(Step::Score { rows, .. }) => rows.end = row + 1,
                _ => schedule.steps.push(Step::Score { at: Millis(time), rows: row..row + 1 }),
            }
        }
        let is_interaction = matches!(&**event, Event::Interaction(_));
        interactions += usize::from(is_interaction);
        if is_interaction && underway.delay > 0 {
            let due = time.saturating_add(underway.delay);
            underway.queue.push_back((due, Step::Learn { record, at: Millis(due), first }));
        } else {
            schedule.steps.push(Step::Learn { record, at: Millis(time), first });
        }
    }
    underway.until(u64::MAX, &mut schedule.steps);
    schedule.steps.retain(|step| !matches!(step, Step::Score { rows, .. } if rows.is_empty()));
    schedule
}

/// What was met so far.
#[derive(Default)]
struct Past {
    known: FxHashSet<(UserId, u64)>,
    videos: FxHashMap<VideoId, u64>,
    users: FxHashMap<UserId, u64>,
    durations: FxHashMap<VideoId, u64>,
}

impl Past {
    /// Takes an event in. If it is an impression that was not met before: what it is.
    fn meet(&mut self, event: &Event) -> Option<Shown> {
        match event {
            Event::Interaction(view) => {
                let (user, video) = (view.user_id, view.video_id);
                if !self.known.insert((user, view.event_id.0)) {
                    return None;
                }
                let (met, seen) =
                    (self.videos.entry(video).or_default(), self.users.entry(user).or_default());
                let (cold_item, cold_user) = (*met < COLD, *seen < COLD);
                *met += 1;
                *seen += 1;
                let labels = Labels::of(view, self.durations.get(&video).copied());
                Some(Shown { user, video, time: view.event_time.0, labels, cold_item, cold_user })
            }
            Event::Upload(upload) => {
                self.durations.insert(upload.video_id, upload.duration_ms);
                None
            }
            Event::Delete(delete) => {
                match delete.target {
                    Target::User { user_id } => self.users.remove(&user_id),
                    Target::Video { video_id } => self.videos.remove(&video_id),
                    Target::Interaction { .. } => None,
                };
                None
            }
            Event::User(_) | Event::Follow(_) | Event::Served(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::{EventId, Interaction, Upload};

    fn view(time: u64, user: u64, id: u64) -> (Origin, Box<Event>) {
        let view = Interaction {
            event_id: EventId(id),
            event_time: Millis(time),
            user_id: UserId(user),
            video_id: VideoId(7),
            watch_ms: Some(1_000),
            ..Interaction::default()
        };
        (Origin::default(), Box::new(Event::Interaction(view)))
    }

    fn upload(time: u64) -> (Origin, Box<Event>) {
        let upload =
            Upload { event_time: Millis(time), video_id: VideoId(7), duration_ms: 900, ..Upload::default() };
        (Origin::default(), Box::new(Event::Upload(upload)))
    }

    fn learn(record: usize, at: u64, first: bool) -> Step {
        Step::Learn { record, at: Millis(at), first }
    }

    fn score(at: u64, rows: Range<usize>) -> Step {
        Step::Score { at: Millis(at), rows }
    }

    #[test]
    fn each_is_scored_before_it_is_learned_and_revisions_are_not() {
        let records = [upload(5), view(5, 1, 1), view(8, 1, 2), view(8, 1, 2), view(9, 2, 1)];
        let found = schedule(&records, Plan { warmup: 1, ..Plan::default() });
        let expected = [
            learn(0, 5, false),
            learn(1, 5, true),
            score(8, 0..1),
            learn(2, 8, true),
            learn(3, 8, false),
            score(9, 1..2),
            learn(4, 9, true),
        ];
        assert_eq!(found.steps, expected);
        assert_eq!(found.rows[0].labels.complete, Some(true), "with the upload's duration");
        assert_eq!((found.rows[1].user, found.rows[1].time), (UserId(2), 9));
    }

    #[test]
    fn a_late_label_is_learned_late_and_an_upload_is_not() {
        let records = [view(10, 1, 1), upload(15), view(20, 1, 2), view(21, 1, 3)];
        let found = schedule(&records, Plan { label_delay: 10, ..Plan::default() });
        let expected = [
            score(10, 0..1),
            learn(1, 15, false),
            learn(0, 20, true),
            score(20, 1..2),
            score(21, 2..3),
            learn(2, 30, true),
            learn(3, 31, true),
        ];
        assert_eq!(found.steps, expected);
    }

    #[test]
    fn a_copy_scores_until_the_next_is_taken() {
        let records = [view(3, 1, 1), view(9, 1, 2), view(10, 1, 3), view(25, 1, 4), upload(31)];
        let found = schedule(&records, Plan { refresh: 10, ..Plan::default() });
        let expected = [
            score(0, 0..2),
            learn(0, 3, true),
            learn(1, 9, true),
            score(10, 2..3),
            learn(2, 10, true),
            score(20, 3..4),
            learn(3, 25, true),
            learn(4, 31, false),
        ];
        assert_eq!(found.steps, expected);
        // Late labels reach the copy that is taken after they arrive.
        let found = schedule(&records, Plan { refresh: 10, label_delay: 1, warmup: 2 });
        let expected = [
            learn(0, 4, true),
            learn(1, 10, true),
            score(10, 0..1),
            learn(2, 11, true),
            score(20, 1..2),
            learn(3, 26, true),
            learn(4, 31, false),
        ];
        assert_eq!(found.steps, expected);
    }

    #[test]
    fn steps_never_go_back_in_time() {
        let records: Vec<_> = (0..200).map(|n| view(n * n % 97 + 40 * (n / 10), n % 7, n)).collect();
        let mut records = records;
        records.sort_by_key(|(_, event)| event.event_time());
        for plan in [(0, 0, 0), (5, 13, 0), (5, 0, 50), (0, 120, 50), (0, 33, 7)] {
            let plan = Plan { warmup: plan.0, label_delay: plan.1, refresh: plan.2 };
            let Schedule { steps, rows } = schedule(&records, plan);
            let time = |step: &Step| match step {
                Step::Learn { at, .. } | Step::Score { at, .. } => *at,
            };
            assert!(steps.is_sorted_by_key(time), "{plan:?}");
            let scored =
                steps.iter().map(|step| if let Step::Score { rows, .. } = step { rows.len() } else { 0 });
            assert_eq!((scored.sum::<usize>(), rows.len()), (200 - plan.warmup, 200 - plan.warmup));
            assert_eq!(steps.iter().filter(|step| matches!(step, Step::Learn { .. })).count(), 200);
        }
    }

    #[test]
    fn cold_is_what_was_met_fewer_than_ten_times() {
        let records: Vec<_> = (0..12).map(|n| view(n, 1 + n % 2, n)).collect();
        let rows = schedule(&records, Plan::default()).rows;
        assert_eq!(rows.iter().filter(|row| row.cold_item).count(), 10);
        assert!(rows.iter().all(|row| row.cold_user), "six each");
    }
}
