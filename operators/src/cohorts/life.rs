//! The life of a new video: pure.
//!
//! A life is a chain of stages. In each so many users are wanted; the stage is judged when its time is up or when enough of them have
//! watched, and topped up a few times before that where too few were reached. Above the threshold the next stage is larger
//! and made of users like those who engaged; else it is smaller, and drawn as the first one was. It ends below a floor, when
//! nobody could be reached, or, in the other direction, when it was promoted often enough.
//!
//! What a stage has gathered is a function of the rows and pages that survive, of the users who were invited. What was decided
//! is history: a judged stage keeps its numbers, whatever is taken back later.

use freshet_learning::SHORT_DIMS;
use serde::{Deserialize, Serialize};

use super::measure::{MILLION, Measured};
use super::part::Part;
use crate::params::Cohorts;

/// Whom a stage's cohort is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Audience {
    /// In part those whom the video should suit by its content, in part drawn from all who are active.
    Sample,
    /// Those most like the users who engaged in the stage before.
    Similar,
}

/// What came of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The next cohort is larger.
    Promoted,
    /// Promoted for the last time that it takes.
    Graduated,
    /// The next cohort is smaller.
    Demoted,
    /// The next cohort would be below the floor.
    Ended,
    /// Nobody watched it.
    Unreached,
}

impl Verdict {
    /// The name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Graduated => "graduated",
            Self::Demoted => "demoted",
            Self::Ended => "ended",
            Self::Unreached => "unreached",
        }
    }
}

/// Sum of the directions of users, in the units of [`freshet_learning::Direction`].
pub type DirectionSum = Box<[i64]>;

/// A stage under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// From 1.
    pub number: u32,
    /// Whom the cohort is made of.
    pub audience: Audience,
    /// Users that it should have.
    pub wanted: u32,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When it is judged or topped up at the latest.
    pub until: u64,
    /// How often it was topped up.
    pub top_ups: u32,
    /// The epoch at which users were asked for that nobody has answered for yet, and how many.
    pub asked: Option<(u64, u32)>,
    /// What it has gathered.
    pub part: Part,
    /// Interest of the users who engaged; empty until somebody has.
    pub engaged: DirectionSum,
    /// What the cohort is to be like; empty where that is the video itself.
    pub toward: DirectionSum,
}

impl Stage {
    fn new(number: u32, audience: Audience, wanted: u32, now: u64, cohorts: &Cohorts) -> Self {
        Self {
            number,
            audience,
            wanted,
            began: now,
            until: now.saturating_add(cohorts.stage_time),
            top_ups: 0,
            asked: None,
            part: Part::default(),
            engaged: Box::default(),
            toward: Box::default(),
        }
    }

    /// The places of a list that its users' invitations may claim, the first and the last, counted from 1.
    #[must_use]
    pub fn slots(&self, cohorts: &Cohorts) -> [usize; 2] {
        match self.audience {
            Audience::Sample => [cohorts.first_slot, cohorts.last_slot],
            Audience::Similar => [cohorts.expanded_first_slot, cohorts.expanded_last_slot],
        }
    }

    /// Adds what a user of the cohort did, or takes it back.
    pub fn add(&mut self, part: Part, engaged: &[i64]) {
        self.part.add(part, 1);
        if engaged.is_empty() {
            return;
        }
        if self.engaged.is_empty() {
            self.engaged = vec![0; SHORT_DIMS].into();
        }
        for (own, other) in self.engaged.iter_mut().zip(engaged) {
            *own += other;
        }
        if self.engaged.iter().all(|entry| *entry == 0) {
            self.engaged = Box::default();
        }
    }

    /// What is due at `now`.
    #[must_use]
    pub fn due(&self, now: u64, cohorts: &Cohorts) -> Due {
        let share = |of: i64| of * MILLION;
        let wanted = i64::from(self.wanted);
        if self.asked.is_some() {
            return Due::Nothing;
        }
        if self.part.watched > 0 && share(self.part.watched) >= wanted * millionths(cohorts.enough_share) {
            return Due::Judging;
        }
        if now < self.until {
            return Due::Nothing;
        }
        let short = share(self.part.exposed) < wanted * millionths(cohorts.reached_share);
        if short && (self.top_ups as usize) < cohorts.top_ups {
            return Due::TopUp(u32::try_from(wanted - self.part.exposed).unwrap_or(self.wanted));
        }
        Due::Judging
    }
}

fn millionths(share: f64) -> i64 {
    (share * MILLION as f64).round() as i64
}

/// What a stage needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// So many more users.
    TopUp(u32),
    /// To be judged.
    Judging,
}

/// A stage that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// See [`Stage`].
    pub number: u32,
    /// See [`Stage`].
    pub audience: Audience,
    /// See [`Stage`].
    pub wanted: u32,
    /// See [`Stage`].
    pub began: u64,
    /// See [`Stage`].
    pub top_ups: u32,
    /// When it was judged.
    pub at: u64,
    /// What it had gathered by then.
    pub part: Part,
    /// How it did.
    pub measured: Measured,
    /// What the performance was compared with, in millionths.
    pub threshold: i64,
    /// Its slots.
    pub slots: [usize; 2],
    /// What came of it.
    pub verdict: Verdict,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// The stages that were judged, from the first.
    pub judged: Vec<Judged>,
    /// The one under way; `None` when the life is over.
    pub stage: Option<Stage>,
}

impl Life {
    /// A life with its first stage.
    #[must_use]
    pub fn new(now: u64, cohorts: &Cohorts) -> Self {
        let wanted = u32::try_from(cohorts.size).unwrap_or(u32::MAX);
        let stage = Stage::new(1, Audience::Sample, wanted, now, cohorts);
        Self { began: now, judged: Vec::new(), stage: Some(stage) }
    }

    /// Judges the stage under way by how it did; where the life goes on, with the next stage. Gives the judged one.
    pub fn judge(&mut self, measured: Measured, now: u64, cohorts: &Cohorts) -> Option<Judged> {
        let stage = self.stage.take()?;
        let threshold = millionths(cohorts.threshold);
        let promotions = self.judged.iter().filter(|judged| judged.verdict == Verdict::Promoted).count();
        let next = |factor: f64| (f64::from(stage.wanted) * factor).round() as u32;
        let (verdict, following) = if stage.part.watched <= 0 {
            (Verdict::Unreached, None)
        } else if measured.performance > threshold {
            if promotions + 1 >= cohorts.graduate_after {
                (Verdict::Graduated, None)
            } else {
                (Verdict::Promoted, Some((Audience::Similar, next(cohorts.factor))))
            }
        } else if (next(cohorts.decay) as usize) < cohorts.floor.max(1) {
            (Verdict::Ended, None)
        } else {
            (Verdict::Demoted, Some((Audience::Sample, next(cohorts.decay))))
        };
        let judged = Judged {
            number: stage.number,
            audience: stage.audience,
            wanted: stage.wanted,
            began: stage.began,
            top_ups: stage.top_ups,
            at: now,
            part: stage.part,
            measured,
            threshold,
            slots: stage.slots(cohorts),
            verdict,
        };
        self.judged.push(judged);
        self.stage = following.map(|(audience, wanted)| {
            let next = Stage::new(stage.number + 1, audience, wanted, now, cohorts);
            // Nobody who engaged had an interest to be found by: then those are invited whom the content suits.
            let toward = if audience == Audience::Similar { stage.engaged } else { Box::default() };
            Stage { toward, ..next }
        });
        Some(judged)
    }

    /// When it has to be looked at again, for time to pass.
    #[must_use]
    pub fn look_at(&self, cohorts: &Cohorts) -> u64 {
        match (&self.stage, self.judged.last()) {
            (Some(stage), _) => stage.until,
            (None, last) => last.map_or(self.began, |last| last.at).saturating_add(cohorts.keep),
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sums = self.stage.as_ref().map_or(0, |stage| stage.engaged.len() + stage.toward.len());
        size_of::<Self>() + self.judged.capacity() * size_of::<Judged>() + sums * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{HOUR, Params};

    fn cohorts() -> Cohorts {
        Params::default().cohorts
    }

    fn watched(watched: i64) -> Part {
        Part { invited: 500, exposed: watched, watched, ..Part::default() }
    }

    /// Judges the stage with this performance, in per cent, after so many watched.
    fn judge(life: &mut Life, rows: i64, per_cent: i64, now: u64) -> Verdict {
        let stage = life.stage.as_mut().expect("a stage is under way");
        stage.add(watched(rows), &[]);
        let measured = Measured { performance: per_cent * 10_000, ..Measured::default() };
        life.judge(measured, now, &cohorts()).expect("a stage is under way").verdict
    }

    #[test]
    fn a_good_video_doubles_until_it_graduates() {
        let mut life = Life::new(0, &cohorts());
        for (n, wanted) in [500, 1000].into_iter().enumerate() {
            assert_eq!(life.stage.as_ref().map(|stage| stage.wanted), Some(wanted));
            assert_eq!(judge(&mut life, 300, 130, n as u64), Verdict::Promoted);
        }
        let stage = life.stage.clone().expect("goes on");
        assert_eq!((stage.number, stage.wanted, stage.audience), (3, 2000, Audience::Similar));
        assert_eq!(stage.slots(&cohorts()), [1, 10]);
        assert_eq!(judge(&mut life, 300, 121, 9), Verdict::Graduated);
        assert_eq!((life.stage.is_none(), life.judged.len()), (true, 3));
        assert_eq!(life.look_at(&cohorts()), 9 + cohorts().keep);
        assert!(life.judge(Measured::default(), 10, &cohorts()).is_none(), "it is over");
    }

    #[test]
    fn a_poor_one_fades_and_ends_below_the_floor() {
        let mut life = Life::new(0, &cohorts());
        let verdicts: Vec<_> = (0..3).map(|n| judge(&mut life, 100, 120, n)).collect();
        assert_eq!(verdicts, [Verdict::Demoted, Verdict::Demoted, Verdict::Ended], "500, 250, 125");
        let mut life = Life::new(0, &cohorts());
        judge(&mut life, 100, 60, 1);
        let stage = life.stage.as_ref().expect("goes on");
        assert_eq!((stage.wanted, stage.audience), (250, Audience::Sample));
        assert_eq!(judge(&mut life, 100, 150, 2), Verdict::Promoted, "it recovers");
        assert_eq!(life.stage.as_ref().map(|stage| stage.wanted), Some(500));
        assert_eq!(judge(&mut life, 0, 60, 3), Verdict::Unreached);
    }

    #[test]
    fn a_stage_is_topped_up_before_it_is_judged() {
        let cohorts = cohorts();
        let mut stage = Life::new(0, &cohorts).stage.expect("the first");
        assert_eq!(stage.due(HOUR - 1, &cohorts), Due::Nothing);
        stage.part.exposed = 249;
        assert_eq!(stage.due(HOUR, &cohorts), Due::TopUp(251));
        stage.asked = Some((3, 251));
        assert_eq!(stage.due(9 * HOUR, &cohorts), Due::Nothing, "its users are being looked for");
        stage.asked = None;
        stage.top_ups = cohorts.top_ups as u32;
        assert_eq!(stage.due(HOUR, &cohorts), Due::Judging);
        stage.top_ups = 0;
        stage.part.exposed = 250;
        assert_eq!(stage.due(HOUR, &cohorts), Due::Judging);
        stage.part.watched = 250;
        assert_eq!(stage.due(1, &cohorts), Due::Judging, "half of them have watched");
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut stage = Life::new(0, &cohorts()).stage.expect("the first");
        let before = stage.clone();
        let direction = vec![3; SHORT_DIMS];
        stage.add(watched(1), &direction);
        assert_eq!(stage.engaged.len(), SHORT_DIMS);
        let back: Vec<i64> = direction.iter().map(|entry| -entry).collect();
        let mut minus = Part::default();
        minus.add(watched(1), -1);
        stage.add(minus, &back);
        assert_eq!(stage, before);
    }
}
