//! What a checkpoint keeps, as plain maps: for those who compare it with what the events say, and for nobody's start.
//!
//! Each stage's `saved` module reads its own rows; here they are put together over all logical shards. What is summed up twice over
//! (an arrangement, and what waits for the next publication) stands here apart, as it lies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_schema::event::Origin;

use super::{RestoreError, Restored, Restoring};
use crate::abuse::Withheld;
use crate::coengage::Pair;
use crate::content::{Cohort, Content, Facet};
use crate::publish::Published;
use crate::row::{Row, View};
use crate::scorer::learn::Hours;
use crate::sums::{Sums, WindowSums};
use crate::users::FollowOrder;
use crate::{enrich, publish, shelf, users, windows};

/// A video of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptVideo {
    /// By which it is the latest: event time, event, revision, place in the log.
    pub order: (u64, u64, u32, Origin),
    /// Its version.
    pub content: Arc<Content>,
    /// Its card as it was stored.
    pub card: Arc<[u8]>,
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptPerson {
    /// Counted rows, by (time, id).
    pub rows: Vec<Row>,
    /// Where the rows of the mid-term and of the long-term window begin.
    pub edges: (u64, u64),
    /// The profile: by which it is the latest, the demographic group, the hashtags asked for.
    pub profile: Option<(FollowOrder, String, Vec<String>)>,
    /// By creator: by which it is the latest, and whether it is a follow.
    pub follows: BTreeMap<u64, (FollowOrder, bool)>,
    /// The videos of the list that was made last.
    pub listed: Vec<u64>,
}

/// By what an interaction that waits for its upload is known: epoch of arrival, event, user, revision, place in the log.
pub type Early = (u64, u64, u64, u32, Origin);

/// See the module.
#[derive(Debug, Default)]
pub struct Kept {
    /// The catalogue.
    pub videos: BTreeMap<u64, KeptVideo>,
    /// Deleted videos, with the time up to which a delete covers.
    pub deleted_videos: BTreeMap<u64, u64>,
    /// Interactions that wait for their upload, with the clock at their arrival.
    pub early: BTreeMap<Early, (u64, View)>,
    /// The users.
    pub people: BTreeMap<u64, KeptPerson>,
    /// Deleted interactions.
    pub forgotten_events: BTreeSet<(u64, u64)>,
    /// Deleted users, with the time up to which a delete covers.
    pub forgotten_users: BTreeMap<u64, u64>,
    /// Whose rows are withheld from the sums, and which, as the last publication judged.
    pub withheld: BTreeMap<u64, Withheld>,
    /// Deleted videos, as the users' side knows them.
    pub forgotten_videos: BTreeMap<u64, u64>,
    /// Sums that wait to leave a window: (window, time of leaving, video).
    pub waiting: BTreeMap<(u8, u64, u64), Sums>,
    /// Sums by creator since the last publication.
    pub unpublished_creators: BTreeMap<u64, Sums>,
    /// Sums by cohort since the last publication.
    pub unpublished_cohorts: BTreeMap<Cohort, Sums>,
    /// Views by duration class and watched part since the last publication.
    pub unpublished_watched: BTreeMap<(u8, u8), i64>,
    /// The cut `recent_sums`.
    pub recent_sums: BTreeMap<u64, WindowSums>,
    /// The cut `video_sums`.
    pub video_sums: BTreeMap<u64, WindowSums>,
    /// The cut `popularity`: (video, group, landmark period).
    pub popularity: BTreeMap<(u64, Facet, u32), i64>,
    /// The cut `creator_sums`, as of the last publication.
    pub creator_sums: BTreeMap<u64, Sums>,
    /// The cut `cohort_sums`, as of the last publication.
    pub cohort_sums: BTreeMap<Cohort, Sums>,
    /// The cut `watched_parts`, as of the last publication.
    pub watched_parts: BTreeMap<(u8, u8), i64>,
    /// The last publication, without the creators' scores.
    pub published: Option<Published>,
    /// The creators' scores as published.
    pub creator_scores: BTreeMap<u64, u32>,
    /// What the heads learn from, by hour.
    pub hours: Hours,
    /// Quick attention by video and landmark period.
    pub quick: BTreeMap<(u64, u32), i64>,
    /// Co-engagement: first video, second video, landmark period; watched next, and with each other.
    pub pairs: BTreeMap<(u64, u64, u32), [i64; 2]>,
    /// Everybody's attention by landmark period, at both paces.
    pub attention: [BTreeMap<u32, i64>; 2],
}

impl Kept {
    /// Reads all of a checkpoint.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn read(restored: &Arc<Restored>) -> Result<Self, RestoreError> {
        let from = Restoring::new(Arc::clone(restored), 0, 1);
        let mut kept = Self::default();
        enrich::saved::kept(&from, &mut kept)?;
        users::saved::kept(&from, &mut kept)?;
        windows::saved::kept(&from, &mut kept)?;
        publish::saved::kept(&from, &mut kept)?;
        shelf::saved::kept(&from, &mut kept)?;
        from.all("recent_sums", |(video, sums)| add(&mut kept.recent_sums, video, sums))?;
        from.all("video_sums", |(video, sums)| add(&mut kept.video_sums, video, sums))?;
        from.all("popularity", |(key, sum)| add(&mut kept.popularity, key, sum))?;
        from.all("creator_sums", |(creator, sums)| add(&mut kept.creator_sums, creator, sums))?;
        from.all("cohort_sums", |(cohort, sums)| add(&mut kept.cohort_sums, cohort, sums))?;
        from.all("watched_parts", |(bin, views)| add(&mut kept.watched_parts, bin, views))?;
        Ok(kept)
    }

    pub(crate) fn pair(&mut self, pair: &Pair) {
        let sums = self.pairs.entry((pair.seed, pair.video, pair.period)).or_default();
        *sums = [sums[0] + pair.amounts[0], sums[1] + pair.amounts[1]];
    }
}

/// Two rows of a key would be two terms of its sum.
fn add<K: Ord, R: differential_dataflow::difference::Monoid>(
    to: &mut BTreeMap<K, R>,
    key: K,
    term: R,
) -> Result<(), RestoreError> {
    to.entry(key).or_insert_with(R::zero).plus_equals(&term);
    Ok(())
}
