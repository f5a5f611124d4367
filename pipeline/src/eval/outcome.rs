//! Questions and what their answers come to.

use freshet_schema::{Upload, UserId, VideoId};

/// A video is fresh for this long after its first interaction: 2 hours, in milliseconds.
pub const FRESH: u64 = 2 * 3_600_000;
/// A video with fewer earlier interactions is a cold item.
pub const COLD_ITEM: u64 = 10;
/// What happened, in order.
#[derive(Debug)]
pub enum Heard {
    /// An interaction with this video at this time was learned.
    Learned(VideoId, u64),
    /// An upload.
    Upload(Box<Upload>),
    /// A list was asked for.
    Asked(Question),
}

/// A list was asked for just before an interaction was learned.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Whose list.
    pub user: UserId,
    /// The video of the interaction.
    pub target: VideoId,
    /// A video that the user has, though the graph was not told: it does not compete.
    pub masked: Option<VideoId>,
    /// Its time in milliseconds since 1970.
    pub time: u64,
    /// The user has no earlier interaction.
    pub cold_user: bool,
}

/// What a question's answer came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Whose list.
    pub user: UserId,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// The target's rank among all candidates, without re-ranking: for [`Mode::Off`]; and in the list: for [`Mode::On`].
    pub ranks: [Option<f64>; 2],
    /// The target had an earlier interaction or upload; else it is a miss whatever was listed.
    pub seen: bool,
    /// The target's first interaction was less than [`FRESH`] ago.
    pub fresh: bool,
    /// The target had fewer than [`COLD_ITEM`] interactions.
    pub cold_item: bool,
    /// See [`Question`].
    pub cold_user: bool,
    /// Candidates of the list.
    pub candidates: usize,
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Candidates by score.
    Off,
    /// The list as it would be stored.
    On,
}

impl Mode {
    /// Both, the target of the measurement first.
    pub const ALL: [Self; 2] = [Self::Off, Self::On];

    /// As in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}
