//! A user as a table shows them: the counted rows, and what follows from them at the look's time.

use std::collections::BTreeMap;

use crate::content::Facet;
use crate::history::{Affinity, History};
use crate::interest;
use crate::params::{Interest, Rerank};
use crate::profile::{Profile, followed_creators};
use crate::rerank::narrow;
use crate::row::Row;
use crate::topics::TopicTable;
use crate::users::FollowOrder;

/// What all users of a look share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The clock, in milliseconds since 1970.
    pub now: u64,
    /// Windows and thresholds.
    pub interest: Interest,
    /// What says whether lists have become too narrow.
    pub rerank: Rerank,
    /// The topics as last published.
    pub topics: std::sync::Arc<TopicTable>,
}

/// A user.
#[derive(Clone, Copy, Debug)]
pub struct PersonLook<'a> {
    /// Their number.
    pub user: u64,
    /// The profile, if there is one.
    pub profile: Option<&'a Profile>,
    /// Videos of the list, best first.
    pub listed: &'a [u64],
    pub(crate) history: &'a History,
    pub(crate) follows: &'a BTreeMap<u64, (FollowOrder, bool)>,
    pub(crate) shared: &'a Shared,
}

/// What a user's rows say about the interest at the look's time.
#[derive(Clone, Debug)]
pub struct UserInterest {
    /// Short- and mid-term interest have parted.
    pub drift: bool,
    /// The last videos are almost alike.
    pub obsession: bool,
    /// Lists have become too narrow ([`narrow`]).
    pub narrowed: bool,
    /// Affinities, in the order of the facets.
    pub facets: Vec<(Facet, Affinity)>,
}

impl PersonLook<'_> {
    /// The counted rows, by (time, id).
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        self.history.rows()
    }

    /// Creators that the user follows, sorted.
    #[must_use]
    pub fn follows(&self) -> Vec<u64> {
        let followed = followed_creators(self.history, self.follows);
        followed.into_iter().map(|(_, creator)| creator).collect()
    }

    /// A session ends with a pause longer than this, in milliseconds.
    #[must_use]
    pub fn session_gap(&self) -> u64 {
        self.shared.interest.session_gap
    }

    /// What the rows say now. Windows that ended since the user's last event are ended for it.
    #[must_use]
    pub fn interest(&self) -> UserInterest {
        let mut history = self.history.clone();
        history.expire(self.shared.now, &self.shared.interest);
        let interests = history.interests();
        let last =
            &history.rows()[history.rows().len().saturating_sub(4 * self.shared.interest.short_last)..];
        let reading = interest::read(last, &interests, &self.shared.topics, &self.shared.interest);
        let mut facets: Vec<(Facet, Affinity)> =
            interests.facets.iter().map(|(facet, affinity)| (*facet, *affinity)).collect();
        facets.sort_unstable_by_key(|(facet, _)| *facet);
        let narrowed = narrow::narrowed(history.rows(), reading.obsession, &self.shared.rerank);
        UserInterest { drift: reading.drift, obsession: reading.obsession, narrowed, facets }
    }
}
