//! What happened to lives in an epoch, for metrics and the log: on one worker.

use serde::{Deserialize, Serialize};

use super::life::{Audience, Judged, Life, Stage};
use super::part::Part;

/// A stage was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Of this video.
    pub video: u64,
    /// The stage with its numbers.
    pub judged: Judged,
    /// Users of the next one; `None` where the life is over.
    pub next: Option<u32>,
}

/// A stage under way, as it was when something happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// Of this video.
    pub video: u64,
    /// The stage's number, from 1.
    pub stage: u32,
    /// Users that it should have.
    pub wanted: u32,
    /// How often it was topped up.
    pub top_ups: u32,
    /// What it had gathered.
    pub part: Part,
}

impl Under {
    pub(super) fn of(video: u64, stage: &Stage) -> Self {
        let Stage { number, wanted, top_ups, part, .. } = *stage;
        Self { video, stage: number, wanted, top_ups, part }
    }
}

/// How many lives there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// New videos whose life has not begun.
    pub waiting: u64,
    /// Lives in a first stage.
    pub first: u64,
    /// In a later stage that is a sample.
    pub fading: u64,
    /// In a stage of users like those who engaged.
    pub expanding: u64,
}

impl Standing {
    /// Counts a life in (1) or out (-1), by its stage.
    pub(super) fn count(&mut self, life: &Life, sign: i64) {
        let Some(stage) = &life.stage else { return };
        let count = match (stage.audience, stage.number) {
            (Audience::Similar, _) => &mut self.expanding,
            (Audience::Sample, 1) => &mut self.first,
            (Audience::Sample, _) => &mut self.fading,
        };
        *count = count.wrapping_add_signed(sign);
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Lives that began, by their first stage.
    pub begun: Vec<Under>,
    /// Users who were invited, less those whose invitation was taken back.
    pub invited: i64,
    /// Users who were shown a video of their invitations, less those of whom it was taken back.
    pub exposed: i64,
    /// Stages that were topped up, and how many users more were asked for.
    pub top_ups: Vec<(Under, u32)>,
    /// Lives that ended with their video, by the stage that was under way.
    pub removed: Vec<Under>,
    /// Stages that were judged.
    pub moves: Vec<Moved>,
    /// How many lives there are after it.
    pub standing: Standing,
}

impl Report {
    pub(super) fn says_something(&self) -> bool {
        *self != Self::default()
    }
}
