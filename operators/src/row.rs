//! The counted row: an interaction as it was joined and judged, and the only thing that any view is made of.
//!
//! An as-of join cannot be undone by joining again (the video may have changed since), so the enriched row is kept and a
//! deletion is that very row with the sign turned. It is compact: the content is shared between all rows of a video's
//! version.

pub(crate) mod saved;

use std::sync::Arc;

use freshet_schema::event::{Interaction, Origin};
use freshet_schema::signals::{PER_MILLE, Signals};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::params::Interest;

/// A demographic group's name, shared by its rows. The double indirection keeps the pointer at eight bytes.
pub type Group = Arc<String>;

/// An interaction on its way to be counted: what the client said, without the strings that no view uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct View {
    /// Who.
    pub user: u64,
    /// What.
    pub video: u64,
    /// Identity within the user.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Of two with one identity the higher revision holds.
    pub revision: u32,
    /// Breaks ties between equal revisions: the lower holds.
    pub origin: Origin,
    watch_ms: u32,
    duration_ms: u32,
    flags: u16,
}

/// Stands for an unknown number in the compact types.
const UNKNOWN: u32 = u32::MAX;
/// Stands for an unknown watched part.
const UNKNOWN_PART: u16 = u16::MAX;

impl View {
    /// The compact form of `event`.
    #[must_use]
    pub fn new(event: &Interaction, origin: Origin) -> Self {
        let number =
            |n: Option<u64>| n.map_or(UNKNOWN, |n| u32::try_from(n).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1));
        let flags = [
            (event.like, Row::LIKE),
            (event.dislike, Row::DISLIKE),
            (event.share, Row::SHARE),
            (event.comment, Row::COMMENT),
            (event.follow, Row::FOLLOW),
            (event.skip.is_some(), Row::SKIP_KNOWN),
            (event.skip == Some(true), Row::SKIPPED),
            (event.rewatch.is_some(), Row::REWATCH_KNOWN),
            (event.rewatch == Some(true), Row::REWATCHED),
        ];
        Self {
            user: event.user_id.0,
            video: event.video_id.0,
            id: event.event_id.0,
            time: event.event_time.0,
            revision: event.revision,
            origin,
            watch_ms: number(event.watch_ms),
            duration_ms: number(event.duration_ms),
            flags: flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum(),
        }
    }

    /// Derives the signals of this view of a video that lasts `duration_ms`. `skip_below` gives, for a duration, the
    /// watched part under which the fastest skips lie.
    fn signals(&self, duration_ms: u64, skip_below: impl Fn(u64) -> u64) -> Signals {
        let known = |n: u32| (n != UNKNOWN).then_some(u64::from(n));
        let flag = |known: u16, set: u16| (self.flags & known != 0).then_some(self.flags & set != 0);
        let event = Interaction {
            watch_ms: known(self.watch_ms),
            duration_ms: known(self.duration_ms),
            skip: flag(Row::SKIP_KNOWN, Row::SKIPPED),
            rewatch: flag(Row::REWATCH_KNOWN, Row::REWATCHED),
            ..Interaction::default()
        };
        let duration = event.duration_ms.filter(|ms| *ms > 0).unwrap_or(duration_ms);
        Signals::of(&event, Some(duration_ms), skip_below(duration))
    }
}

/// An interaction that counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Identity within the user.
    pub id: u64,
    /// See [`View::origin`].
    pub origin: Origin,
    /// The video as it was when the row was counted.
    pub content: Arc<Content>,
    /// The user's demographic group when the row was counted.
    pub group: Group,
    /// See [`View::revision`].
    pub revision: u32,
    watch_ms: u32,
    watched: u16,
    flags: u16,
    /// How much the user cared, in per mille: the watched part unless skipped, plus a share for a like; a dislike turns
    /// the like's share around.
    pub weight: i16,
}

impl Row {
    /// Liked.
    pub const LIKE: u16 = 1;
    /// Disliked.
    pub const DISLIKE: u16 = 1 << 1;
    /// Shared.
    pub const SHARE: u16 = 1 << 2;
    /// Commented on.
    pub const COMMENT: u16 = 1 << 3;
    /// Followed the creator.
    pub const FOLLOW: u16 = 1 << 4;
    const SKIP_KNOWN: u16 = 1 << 5;
    const SKIPPED: u16 = 1 << 6;
    const REWATCH_KNOWN: u16 = 1 << 7;
    const REWATCHED: u16 = 1 << 8;
    const COMPLETION_KNOWN: u16 = 1 << 9;
    const COMPLETED: u16 = 1 << 10;

    /// Judges `view` of `content`. Everything derived is fixed here: later versions of the video, of the profile or of the
    /// skip thresholds do not change a counted row.
    #[must_use]
    pub fn new(
        view: &View,
        content: Arc<Content>,
        group: Group,
        skip_below: impl Fn(u64) -> u64,
        interest: &Interest,
    ) -> Self {
        let signals = view.signals(content.duration_ms, skip_below);
        let mut flags = view.flags;
        let mut set = |value: Option<bool>, known: u16, on: u16| {
            if let Some(value) = value {
                flags |= known | if value { on } else { 0 };
            }
        };
        set(signals.skipped.known(), Self::SKIP_KNOWN, Self::SKIPPED);
        set(signals.rewatched.known(), Self::REWATCH_KNOWN, Self::REWATCHED);
        set(signals.completed.known(), Self::COMPLETION_KNOWN, Self::COMPLETED);
        let like = (interest.like_weight * PER_MILLE as f64).round() as i64;
        // Without watch time a view is half a sign of interest: neither skipped nor finished.
        let watched = signals.watched.known();
        let base = match signals.skipped.known() {
            Some(true) => 0,
            _ => watched.unwrap_or(PER_MILLE / 2) as i64,
        };
        let weight = if view.flags & Self::DISLIKE != 0 {
            -like
        } else if view.flags & Self::LIKE != 0 {
            base + like
        } else {
            base
        };
        Self {
            time: view.time,
            id: view.id,
            origin: view.origin,
            content,
            group,
            revision: view.revision,
            watch_ms: view.watch_ms,
            watched: watched.map_or(UNKNOWN_PART, |part| part as u16),
            flags,
            weight: weight.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16,
        }
    }

    /// Whether one of the flags [`Row::LIKE`] to [`Row::FOLLOW`] is set.
    #[must_use]
    pub fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Time watched in milliseconds.
    #[must_use]
    pub fn watch_ms(&self) -> Option<u32> {
        (self.watch_ms != UNKNOWN).then_some(self.watch_ms)
    }

    /// Watched part in per mille, at most 1,000.
    #[must_use]
    pub fn watched(&self) -> Option<u16> {
        (self.watched != UNKNOWN_PART).then_some(self.watched)
    }

    /// Watched to the end.
    #[must_use]
    pub fn completed(&self) -> Option<bool> {
        self.is(Self::COMPLETION_KNOWN).then_some(self.is(Self::COMPLETED))
    }

    /// Skipped fast.
    #[must_use]
    pub fn skipped(&self) -> Option<bool> {
        self.is(Self::SKIP_KNOWN).then_some(self.is(Self::SKIPPED))
    }

    /// Played again.
    #[must_use]
    pub fn rewatched(&self) -> Option<bool> {
        self.is(Self::REWATCH_KNOWN).then_some(self.is(Self::REWATCHED))
    }

    /// What the row adds to the popularity of its video, in per mille of a full watch; never negative.
    #[must_use]
    pub fn popularity(&self) -> u64 {
        let bonus = |flag: u16, value: i64| if self.is(flag) { value } else { 0 };
        let reactions = bonus(Self::SHARE, 500) + bonus(Self::COMMENT, 300) + bonus(Self::FOLLOW, 300);
        (i64::from(self.weight) + reactions).max(0) as u64
    }

    /// Whether `view` (of a video that is `known` or not) takes this row's place: by a higher revision, by an earlier place
    /// in the log, or because its video has become known.
    #[must_use]
    pub fn gives_way_to(&self, view: &View, known: bool) -> bool {
        match view.revision.cmp(&self.revision) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                view.origin < self.origin || (view.origin == self.origin && known && !self.content.known)
            }
        }
    }
}
