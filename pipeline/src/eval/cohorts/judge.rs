//! Whether new videos met those whom they are for, and how many others.
//!
//! Looked at are the videos that became ready within the world and at least a day before its end, of creators whom nobody follows.
//! *Good* are the fifth of them with the greatest quality for everybody, *poor* the two fifths with the least. A video's
//! *audience* are the users who come within the day after it and whom it suits: whose value of it is at least [`SUITS`].

use std::collections::{BTreeMap, BTreeSet};

use freshet_schema::event::{Event, Origin, Status};
use freshet_schema::{Millis, UserId, VideoId};
use freshet_sources::generate::{Known, World};
use rustc_hash::FxHashMap;

use super::super::browse::{Exposure, unknown};

/// A day in milliseconds: as long as a video has.
const DAY: u64 = 86_400_000;
/// The same in hours.
pub const HOURS: usize = 24;
/// A video suits a user whose value of it is at least this, in per mille: about what a category that is none of theirs
/// can give at the most.
pub const SUITS: u64 = 500;

/// A new video.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which.
    pub video: VideoId,
    /// When it became ready.
    pub ready: u64,
    /// Whom it suits, of those who come within a day.
    pub audience: BTreeSet<UserId>,
}

/// The videos that are looked at.
#[derive(Debug, Default)]
pub struct Subjects {
    /// Good ones with an audience.
    pub good: Vec<Subject>,
    /// Poor ones.
    pub poor: Vec<Subject>,
    /// All new ones.
    pub new: usize,
    /// Those of creators whom nobody follows that had a day.
    pub looked_at: usize,
    /// So many exposures are the first ones: a twentieth of the users.
    pub first: usize,
}

impl Subjects {
    /// Those of a world.
    #[must_use]
    pub fn of(truth: &Known, records: &[(Origin, Box<Event>)], world: &World) -> Self {
        let mut new: BTreeMap<VideoId, u64> = BTreeMap::new();
        let (mut all, mut visits): (usize, Vec<(u64, UserId)>) = (0, Vec::new());
        let mut met: BTreeSet<VideoId> = BTreeSet::new();
        for (_, event) in records {
            match &**event {
                Event::Upload(upload) if upload.status == Status::Ready && met.insert(upload.video_id) => {
                    let is_new = upload.created_at.0 >= world.start.0;
                    all += usize::from(is_new);
                    if is_new && unknown(upload.creator_id) {
                        new.insert(upload.video_id, upload.event_time.0);
                    }
                }
                Event::Interaction(view) => visits.push((view.event_time.0, view.user_id)),
                _ => {}
            }
        }
        let end = visits.last().map_or(0, |(at, _)| *at);
        new.retain(|_, ready| *ready + DAY <= end);
        let mut by_quality: Vec<(u64, VideoId)> =
            new.keys().map(|video| (truth.quality(*video).unwrap_or(0), *video)).collect();
        by_quality.sort_unstable();
        let n = by_quality.len();
        let subject = |(_, video): &(u64, VideoId)| {
            let ready = new[video];
            let from = visits.partition_point(|(at, _)| *at < ready);
            let to = visits.partition_point(|(at, _)| *at <= ready + DAY);
            let users: BTreeSet<UserId> = visits[from..to].iter().map(|(_, user)| *user).collect();
            // As of an hour later: a minute after its upload a video may still be hidden.
            let at = Millis(ready + 3_600_000);
            let suits = |user: &UserId| {
                truth
                    .taste(*user, at)
                    .and_then(|taste| taste.value(*video))
                    .is_some_and(|value| value >= SUITS)
            };
            Subject { video: *video, ready, audience: users.into_iter().filter(suits).collect() }
        };
        Self {
            good: by_quality[n - n / 5..].iter().map(subject).filter(|s| !s.audience.is_empty()).collect(),
            poor: by_quality[..2 * n / 5].iter().map(subject).collect(),
            new: all,
            looked_at: n,
            first: (usize::try_from(world.users).unwrap_or(usize::MAX) / 20).max(5),
        }
    }

    /// Whether there is no good one or no poor one.
    #[must_use]
    pub fn lack(&self) -> bool {
        self.good.is_empty() || self.poor.is_empty()
    }
}

/// What came of an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Share of the good videos that half of their audience looked at within a day.
    pub reached_half: f64,
    /// Share of its audience that looked at a good video within a day, on average.
    pub reach: f64,
    /// The same within each hour from the first on: the last is `reach`.
    pub reach_by_hour: [f64; HOURS],
    /// Users that looked at a good video within a day, on average.
    pub good_exposures: f64,
    /// The same of a poor one: mostly wasted.
    pub poor_exposures: f64,
    /// Those of them that it does not suit.
    pub wasted: f64,
    /// Share of the good videos that had their first exposures (a twentieth of the users) within a day.
    pub had_first: f64,
    /// Hours until then, in the middle of those that had them; `None` where none had.
    pub hours_to_first: Option<f64>,
}

/// Judges what was looked at.
#[must_use]
pub fn judge(subjects: &Subjects, exposures: &[Exposure]) -> Figures {
    let wanted: BTreeSet<VideoId> = subjects.good.iter().chain(&subjects.poor).map(|s| s.video).collect();
    let mut by_video: FxHashMap<VideoId, Vec<&Exposure>> = FxHashMap::default();
    for exposure in exposures.iter().filter(|exposure| wanted.contains(&exposure.video)) {
        by_video.entry(exposure.video).or_default().push(exposure);
    }
    // Each user once, within the day.
    let users = |subject: &Subject| -> BTreeMap<UserId, (u64, u64)> {
        let mut users = BTreeMap::new();
        for exposure in by_video.get(&subject.video).into_iter().flatten() {
            if exposure.at <= subject.ready + DAY {
                users.entry(exposure.user).or_insert((exposure.at, exposure.value));
            }
        }
        users
    };
    let mut figures = Figures::default();
    let mut hours = Vec::new();
    let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
    for subject in &subjects.good {
        let users = users(subject);
        let met = users.iter().filter(|(user, _)| subject.audience.contains(user));
        let mut by_hour = [0; HOURS];
        for (_, (at, _)) in met {
            // What came at the very end of an hour came within it.
            let hour = at.saturating_sub(subject.ready + 1) / (DAY / HOURS as u64);
            by_hour[(hour as usize).min(HOURS - 1)] += 1;
        }
        let mut met = 0;
        for (sum, here) in figures.reach_by_hour.iter_mut().zip(by_hour) {
            met += here;
            *sum += share(met, subject.audience.len());
        }
        let reach = share(met, subject.audience.len());
        figures.reach += reach;
        figures.reached_half += f64::from(u8::from(reach >= 0.5));
        figures.good_exposures += users.len() as f64;
        let mut times: Vec<u64> = users.values().map(|(at, _)| *at).collect();
        times.sort_unstable();
        hours.extend(times.get(subjects.first - 1).map(|at| at.saturating_sub(subject.ready) as f64 / 3.6e6));
    }
    for subject in &subjects.poor {
        let users = users(subject);
        figures.poor_exposures += users.len() as f64;
        figures.wasted += users.values().filter(|(_, value)| *value < SUITS).count() as f64;
    }
    let (good, poor) = (subjects.good.len().max(1) as f64, subjects.poor.len().max(1) as f64);
    figures.reached_half /= good;
    figures.reach /= good;
    figures.reach_by_hour.iter_mut().for_each(|reach| *reach /= good);
    figures.good_exposures /= good;
    figures.poor_exposures /= poor;
    figures.wasted /= poor;
    figures.had_first = hours.len() as f64 / good;
    hours.sort_unstable_by(f64::total_cmp);
    figures.hours_to_first = hours.get(hours.len() / 2).copied();
    figures
}

#[cfg(test)]
mod tests {
    use freshet_schema::feed::SlotPolicy;

    use super::*;

    #[test]
    fn a_video_by_hand() {
        let users = |of: std::ops::Range<u64>| of.map(UserId).collect();
        let subject = |video, audience| Subject { video: VideoId(video), ready: 1_000, audience };
        let subjects = Subjects {
            good: vec![subject(1, users(0..4)), subject(2, users(0..4))],
            poor: vec![subject(3, users(0..1))],
            new: 9,
            looked_at: 5,
            first: 3,
        };
        let exposure = |video, user, at, value| Exposure {
            video: VideoId(video),
            user: UserId(user),
            at,
            value,
            completed: false,
            policy: SlotPolicy::Unspecified,
            propensity: 1.0,
            drawn: 0,
        };
        let hour = 3_600_000;
        let exposures = [
            exposure(1, 0, 1_000 + hour, 700),
            exposure(1, 0, 1_000 + hour, 700),
            exposure(1, 1, 1_000 + 2 * hour, 700),
            exposure(1, 9, 1_000 + 3 * hour, 100),
            exposure(2, 2, 1_001 + DAY, 800),
            exposure(3, 5, 2_000, 499),
            exposure(3, 6, 2_000, 500),
            exposure(4, 6, 2_000, 500),
        ];
        let figures = judge(&subjects, &exposures);
        assert_eq!((figures.reached_half, figures.reach), (0.5, 0.25), "a day later is too late");
        let by_hour = figures.reach_by_hour;
        assert_eq!((by_hour[0], by_hour[1], by_hour[HOURS - 1]), (0.125, 0.25, figures.reach));
        assert_eq!((figures.good_exposures, figures.poor_exposures, figures.wasted), (1.5, 2.0, 1.0));
        assert_eq!((figures.had_first, figures.hours_to_first), (0.5, Some(3.0)));
    }
}
