//! What a generated world holds.

use std::collections::BTreeMap;
use std::fmt;

use freshet_schema::{EventKind, Interaction};
use serde::Serialize;

use super::AttackTruth;

/// What the users did, each interaction counted once however often it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// Interactions.
    pub impressions: u64,
    /// Flicked away.
    pub skips: u64,
    /// Watched above 90 %.
    pub completions: u64,
    /// Watched at least one and a half times.
    pub rewatches: u64,
    /// Likes.
    pub likes: u64,
    /// Dislikes.
    pub dislikes: u64,
    /// Shares.
    pub shares: u64,
    /// Comments.
    pub comments: u64,
    /// Follows from a video.
    pub follows: u64,
    /// Written later than they happened.
    pub late: u64,
    /// Written twice.
    pub duplicates: u64,
    /// Written again with a higher revision: likes taken back.
    pub revisions: u64,
}

impl Behaviour {
    pub(super) fn count(&mut self, event: &Interaction, skip: bool) {
        let part = match (event.watch_ms, event.duration_ms) {
            (Some(watch), Some(duration)) => watch * 1000 / duration.max(1),
            _ => 0,
        };
        self.impressions += 1;
        self.skips += u64::from(skip);
        self.completions += u64::from(part > 900);
        self.rewatches += u64::from(part >= 1500);
        self.likes += u64::from(event.like);
        self.dislikes += u64::from(event.dislike);
        self.shares += u64::from(event.share);
        self.comments += u64::from(event.comment);
        self.follows += u64::from(event.follow);
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records of each kind.
    pub written: BTreeMap<&'static str, u64>,
    /// What the users did.
    pub behaviour: Behaviour,
    /// What attackers did beside them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<AttackTruth>,
}

impl Report {
    /// Records written of a kind.
    #[must_use]
    pub fn written(&self, kind: EventKind) -> u64 {
        self.written.get(kind.folder()).copied().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "written")?;
        for (kind, count) in &self.written {
            writeln!(f, "  {kind}: {count}")?;
        }
        let b = &self.behaviour;
        writeln!(f, "of {} interactions", b.impressions)?;
        let rows = [
            ("skipped", b.skips),
            ("completed", b.completions),
            ("rewatched", b.rewatches),
            ("liked", b.likes),
            ("disliked", b.dislikes),
            ("shared", b.shares),
            ("commented", b.comments),
            ("followed", b.follows),
            ("late", b.late),
            ("written twice", b.duplicates),
            ("unliked", b.revisions),
        ];
        for (what, count) in rows {
            let ppm = count * 1_000_000 / b.impressions.max(1);
            writeln!(f, "  {what:<14} {count} ({}.{:02} %)", ppm / 10_000, ppm % 10_000 / 100)?;
        }
        for attack in &self.attacks {
            let AttackTruth { attack, users, videos, interactions } = attack;
            let (users, videos) = (users.len(), videos.len());
            let name = attack.as_str();
            writeln!(
                f,
                "attack {name}: {users} accounts, {videos} videos, {interactions} interactions on top"
            )?;
        }
        Ok(())
    }
}
