//! The input streams. Every kind has an `event_id`, an `event_time` and a `revision`; a higher revision replaces the
//! record, and of equals the one with the lower (partition, offset) stays. `docs/events.md` shows each with examples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CreatorId, Epoch, EventId, Millis, SessionId, SoundId, UserId, VideoId};

/// A user met a video: what was watched and what was done about it. Known by (`user_id`, `event_id`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interaction {
    /// Unique within the user.
    pub event_id: EventId,
    /// A higher revision replaces the record: that is how a like is withdrawn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When it happened.
    pub event_time: Millis,
    /// Who watched.
    pub user_id: UserId,
    /// What was shown.
    pub video_id: VideoId,
    /// The sitting; derived by a gap of inactivity where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Time watched in milliseconds, all plays added; absent where the source has no watch time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_ms: Option<u64>,
    /// The video's length in milliseconds as the player saw it; the upload's stands in where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Liked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub like: bool,
    /// Disliked ("not interested").
    #[serde(default, skip_serializing_if = "is_false")]
    pub dislike: bool,
    /// Shared or forwarded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub share: bool,
    /// Commented on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub comment: bool,
    /// Followed the creator from this video.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follow: bool,
    /// Played again; derived from the watch time where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewatch: Option<bool>,
    /// Skipped fast; derived from the watch time where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<bool>,
    /// Place in the feed, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_position: Option<u32>,
    /// The served page that showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// Device class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Coarse place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Connection class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Whether a video can be shown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Uploaded, not yet transcoded: not a candidate.
    #[default]
    Processing,
    /// Playable: the only status that makes a candidate.
    Ready,
    /// The media work failed.
    Failed,
    /// Taken down without deleting its history.
    Removed,
}

impl Status {
    /// The name used in events and cards.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// A video as its creator published it, or a change to it: the latest by (`event_time`, `event_id`) holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// Unique within the stream.
    pub event_id: EventId,
    /// A higher revision replaces the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When this state of the video became true.
    pub event_time: Millis,
    /// The video.
    pub video_id: VideoId,
    /// Its maker.
    pub creator_id: CreatorId,
    /// When it was first published.
    pub created_at: Millis,
    /// Length in milliseconds; 0 where unknown.
    #[serde(default)]
    pub duration_ms: u64,
    /// Caption.
    #[serde(default)]
    pub caption: String,
    /// Hashtags without `#`; case does not matter.
    #[serde(default)]
    pub hashtags: Vec<String>,
    /// Sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_id: Option<SoundId>,
    /// Category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A content vector made elsewhere, of 1 to 4,096 finite numbers; the built-in embedder stands in where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_embedding: Option<Vec<f32>>,
    /// Which model made the vector; vectors of different spaces are never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_space: Option<String>,
    /// Whether it can be shown.
    #[serde(default)]
    pub status: Status,
}

/// A user's profile; the latest by (`event_time`, `event_id`) holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Unique within the stream.
    pub event_id: EventId,
    /// A higher revision replaces the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When this profile became true.
    pub event_time: Millis,
    /// The user.
    pub user_id: UserId,
    /// Coarse place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Age band, such as `18-24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_band: Option<String>,
    /// Gender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
    /// Hashtags that the user asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<String>,
}

/// Whether a follow begins or ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FollowAction {
    /// Begins.
    #[default]
    Follow,
    /// Ends.
    Unfollow,
}

/// A user follows a creator or stops; the latest by (`event_time`, `event_id`) holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Follow {
    /// Unique within the stream.
    pub event_id: EventId,
    /// A higher revision replaces the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When.
    pub event_time: Millis,
    /// Who follows.
    pub user_id: UserId,
    /// Whom.
    pub creator_id: CreatorId,
    /// Begin or end.
    #[serde(default)]
    pub action: FollowAction,
}

/// What a delete forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "target", rename_all = "lowercase")]
pub enum Target {
    /// One interaction, whether it came before the delete or comes after it.
    Interaction {
        /// Whose.
        user_id: UserId,
        /// Which.
        target_event_id: EventId,
    },
    /// A video, and every interaction with it up to the delete's event time, whenever that arrives.
    Video {
        /// Which.
        video_id: VideoId,
    },
    /// A user, and all their interactions, follows and profiles up to the delete's event time, whenever they arrive.
    User {
        /// Who.
        user_id: UserId,
    },
}

/// A request to forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delete {
    /// Unique within the stream.
    pub event_id: EventId,
    /// A higher revision replaces the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// Covers what happened up to this time.
    pub event_time: Millis,
    /// What is forgotten.
    #[serde(flatten)]
    pub target: Target,
}

/// One place of a page handed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServedItem {
    /// The video.
    pub video_id: VideoId,
    /// Its place along the cursor chain, from 0.
    pub position: u32,
    /// Probability with which the policy put it there, in (0, 1].
    pub propensity: f32,
    /// The policy that filled the slot, such as `rank` or `trending`.
    pub slot_policy: String,
    /// Of a slot that was drawn evenly from the best candidates for it, which of them the video was, counted from the best, 1; 0
    /// for other slots. There were 1 / `propensity` of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drawn: u32,
}

/// A page that the feed server handed out. It feeds the label join and off-policy evaluation; only experiments count pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// Unique within the stream.
    pub event_id: EventId,
    /// A higher revision replaces the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When.
    pub event_time: Millis,
    /// The request; interactions name it.
    pub request_id: u64,
    /// To whom.
    pub user_id: UserId,
    /// The epoch of the list that was read; 0 where it was none of the user's own.
    pub list_epoch: Epoch,
    /// The page.
    pub items: Vec<ServedItem>,
    /// The experiments whose parameters made the list, each as `EXPERIMENT/ARM`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<String>,
}

/// The streams, in the order in which an epoch applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// [`User`]
    Users,
    /// [`Upload`]
    Uploads,
    /// [`Follow`]
    Follows,
    /// [`Interaction`]
    Interactions,
    /// [`Delete`]
    Deletes,
    /// [`Served`]
    Served,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Users, Self::Uploads, Self::Follows, Self::Interactions, Self::Deletes, Self::Served];

    /// The folder of this stream within an event log, and its name in messages.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Uploads => "uploads",
            Self::Follows => "follows",
            Self::Interactions => "interactions",
            Self::Deletes => "deletes",
            Self::Served => "served",
        }
    }
}

/// A record of any stream. Serialized as the record alone: which kind it is, its folder or topic says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A profile.
    User(User),
    /// A video.
    Upload(Upload),
    /// A follow or unfollow.
    Follow(Follow),
    /// A view.
    Interaction(Interaction),
    /// A request to forget.
    Delete(Delete),
    /// A page handed out.
    Served(Served),
}

impl Event {
    /// The stream it belongs to.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::User(_) => EventKind::Users,
            Self::Upload(_) => EventKind::Uploads,
            Self::Follow(_) => EventKind::Follows,
            Self::Interaction(_) => EventKind::Interactions,
            Self::Delete(_) => EventKind::Deletes,
            Self::Served(_) => EventKind::Served,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn event_time(&self) -> Millis {
        match self {
            Self::User(e) => e.event_time,
            Self::Upload(e) => e.event_time,
            Self::Follow(e) => e.event_time,
            Self::Interaction(e) => e.event_time,
            Self::Delete(e) => e.event_time,
            Self::Served(e) => e.event_time,
        }
    }

    /// Its identity within the stream (within the user, for interactions).
    #[must_use]
    pub fn event_id(&self) -> EventId {
        match self {
            Self::User(e) => e.event_id,
            Self::Upload(e) => e.event_id,
            Self::Follow(e) => e.event_id,
            Self::Interaction(e) => e.event_id,
            Self::Delete(e) => e.event_id,
            Self::Served(e) => e.event_id,
        }
    }
}

/// Where a record was read: breaks ties between equal revisions, names it in a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Number of the partition (file or Kafka partition) in the order of names.
    pub partition: u32,
    /// Offset in it: bytes in plain JSON lines, record number elsewhere.
    pub offset: u64,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}
