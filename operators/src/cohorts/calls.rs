//! What goes between the video side of cohorts and the user side.

use std::sync::Arc;

use freshet_learning::Direction;
use freshet_schema::hash::Slice;
use serde::{Deserialize, Serialize};

use super::choose::Offers;
use super::part::Part;
use crate::content::Content;
use crate::publish::Published;

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CohortIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A video's new version.
    Version(Arc<Content>),
    /// A publication.
    Published(Arc<Published>),
    /// Users of a logical shard for the video's next cohort.
    Offers(u64, Box<Offers>),
    /// What users of the cohort of a video's stage did since the last epoch, with its sign.
    Did(u64, u32, Box<Deeds>),
    /// Records of these videos are to be written again.
    Remake(Slice),
}

/// What users of a cohort did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deeds {
    /// The sums.
    pub part: Part,
    /// The interest of those who engaged; empty where nothing of it changed.
    pub engaged: Vec<i64>,
}

/// What the stage calls out to the user side, which hears it in the next epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Users are wanted. Heard by every worker.
    Wanted(Arc<Wanted>),
    /// Somebody is invited.
    Invited(Invitation),
    /// This stage of a video was judged: its invitations claim no places any more. Heard by every worker.
    Judged(u64, u32),
    /// The life of a video is over, or the video is gone: its invitations are void. Heard by every worker.
    Over(u64),
}

/// Users are wanted for a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// For this video.
    pub video: u64,
    /// How many.
    pub users: u32,
    /// What the users' interest is compared with; `None` where the video has no vector.
    pub toward: Option<Direction>,
    /// The embedding space of that.
    pub space: u64,
    /// Draws users' lots: another one for each stage and top-up.
    pub draw: u64,
}

/// An invitation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// Who.
    pub user: u64,
    /// The video.
    pub video: u64,
    /// The stage in whose cohort the user is.
    pub stage: u32,
    /// With what chance the user was chosen, in (0, 1].
    pub chance: f32,
    /// First and last place of a list that it may claim, counted from 1.
    pub slots: [u16; 2],
}
