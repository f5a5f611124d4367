//! What the user side asks of the video side to make one list, and what it gets back.

use std::borrow::Cow;
use std::sync::Arc;

use freshet_schema::feed::Source;
use serde::{Deserialize, Serialize};

use crate::bandit::Outlook;
use crate::content::{Content, Facet};
use crate::examples::Offer;
use crate::interest::Query;
use crate::light::{Light, Passed};
use crate::params::Params;
use crate::row::{Group, Row};
use crate::score::ONE;
use crate::scorer::features::{Stats, Taste};
use crate::scorer::heads::Heads;
use crate::sessions::Session;
use crate::spread::Spread;

/// Whose list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A user's.
    User(u64),
    /// The new-user list of a demographic group.
    Group(Group),
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// The stored list.
    List,
    /// Somebody asked to see the list: it is answered ([`crate::lists::Answer`]) and leaves no trace, but for its being
    /// learned from where it is said to be offered to the user.
    Ask {
        /// Whether the user is shown the list: then the heads learn what they take up of it.
        offered: bool,
    },
    /// The wanted videos as the user met them, before this epoch: for the row with this event id, which is of the first of
    /// them and was offered so; the others were passed over.
    Learn(u64, Offer),
    /// Somebody asked what is expected of the wanted videos.
    Probe,
}

/// A quota of candidates from the union of some pools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The source as the list names it.
    pub source: SourceId,
    /// Best so many, over all of the pools together.
    pub quota: usize,
    /// The pools; for exploration none, as it draws from all videos.
    pub pools: Vec<Facet>,
    /// Candidates that were found elsewhere, with their rank values, best first. Where there are some, no pool is asked.
    pub found: Vec<(u64, i64)>,
}

impl Ask {
    /// The best `quota` of `pools`.
    #[must_use]
    pub fn new(source: Source, quota: usize, pools: Vec<Facet>) -> Self {
        Self { source: SourceId::new(source), quota, pools, found: Vec::new() }
    }
}

/// A candidate source, as a small number: the Protobuf enumeration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u8);

impl SourceId {
    /// See [`Source`].
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self(source as u8)
    }

    /// The name, as lists and metrics give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Source::try_from(i32::from(self.0)).unwrap_or_default().name()
    }
}

/// Everything a list is made from that the user side knows. Sent to every worker: each answers for its own videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Whose list.
    pub subject: Subject,
    /// What it is for.
    pub purpose: Purpose,
    /// Videos to describe rather than to choose from: nothing else is looked for then.
    pub wanted: Vec<u64>,
    /// The clock of the epoch, in milliseconds since 1970.
    pub now: u64,
    /// What candidates are compared with; `None` where nothing is known of the user's interest.
    pub query: Option<Query>,
    /// The user's side of the features.
    pub taste: Taste,
    /// The video that the user cared for last.
    pub seed: Option<u64>,
    /// Quotas by source, in the order of the list's sources.
    pub asks: Vec<Ask>,
    /// Videos watched, sorted: never candidates.
    pub watched: Arc<Vec<u64>>,
    /// The videos last watched, latest first.
    pub last_watched: Vec<u64>,
    /// The last rows in order of time, the latest at the end: for what re-ranking reads of them.
    pub recent: Vec<Row>,
    /// Whether this is the list of somebody without history.
    pub new_user: bool,
    /// The sitting that the last interaction belongs to; `None` without history.
    pub session: Option<Session>,
    /// Demographic group.
    pub group: Group,
    /// Signs read from the history.
    pub drift: bool,
    /// See `drift`.
    pub obsession: bool,
    /// Videos in whose cohort the user is, and that claim a place: the ask of [`Source::Cohort`] brings them.
    pub invited: Vec<Invited>,
    /// What the user makes of the arms: of a list with places to explore, and without arms where a row is learned from.
    pub outlook: Option<Box<Outlook>>,
}

/// A video that claims a place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invited {
    /// The video.
    pub video: u64,
    /// The first place that it may have, counted from 1: drawn for the list.
    pub from: u16,
    /// The last.
    pub to: u16,
    /// The chance, in (0, 1], with which it got this invitation and this first place.
    pub propensity: f32,
}

impl Request {
    /// The parameters that it is answered by: the user's own where a list is made. To describe videos takes what is the same for
    /// everybody: what is learned of it is for all.
    #[must_use]
    pub fn own<'p>(&self, params: &'p Params) -> Cow<'p, Params> {
        match (&self.subject, self.purpose) {
            (Subject::User(user), Purpose::List | Purpose::Ask { .. }) => params.of_user(*user),
            _ => Cow::Borrowed(params),
        }
    }

    /// Lets videos claim places.
    pub fn invite(&mut self, invited: Vec<Invited>) {
        if invited.is_empty() {
            return;
        }
        let found = invited.iter().map(|invited| (invited.video, 0)).collect();
        self.asks.push(Ask { found, ..Ask::new(Source::Cohort, invited.len(), Vec::new()) });
        self.invited = invited;
    }

    /// The bit of the ask that brings the invited videos; 0 where there is none.
    #[must_use]
    pub fn cohort_bit(&self) -> u8 {
        let of = SourceId::new(Source::Cohort);
        self.asks.iter().take(MAX_ASKS).position(|ask| ask.source == of).map_or(0, |n| 1 << n)
    }
}

/// Asks of a request are at most this many.
pub const MAX_ASKS: usize = 8;

/// The rank value in a source that does not have the video: below all others.
pub const ABSENT: i64 = i64::MIN;

/// A video that one worker offers for a request: what is at hand of it, beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The video.
    pub video: u64,
    /// For each ask of the request, the video's rank value in that source's pools; [`ABSENT`] where it is in none of them.
    pub ranks: [i64; MAX_ASKS],
    /// What speaks for it. Where a list is chosen, the similarity is over the prefix that the light rank goes by:
    /// [`crate::rank::score`] compares what that leaves over all dimensions.
    pub parts: Parts,
    /// The norm of the content's vector.
    pub norm: f64,
    /// Factor on its score for abuse, in per mille: [`crate::abuse::FULL`] where nothing is suspected.
    pub trusted: u16,
    /// The stage of its cohort, where that is its arm; 0 for none.
    pub stage: u8,
    /// The video's side of the features.
    pub stats: Stats,
}

/// What a video has in its favour, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// (1 + cosine) / 2.
    pub similarity: u32,
    /// 1,000,000 is the cohort's baseline.
    pub quality: u32,
    /// 1,000,000 is the average creator.
    pub creator: u32,
    /// 2^(-age / half-life).
    pub freshness: u32,
}

impl Candidate {
    /// A video of which nothing is known.
    #[must_use]
    pub fn unknown(video: u64) -> Self {
        Self {
            video,
            ranks: [ABSENT; MAX_ASKS],
            parts: Parts { similarity: ONE / 2, quality: ONE, creator: ONE, freshness: ONE },
            norm: 0.0,
            trusted: crate::abuse::FULL,
            stage: 0,
            stats: Stats::default(),
        }
    }
}

/// One worker's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What was asked.
    pub request: Arc<Request>,
    /// The worker's best for each ask, each video once; or the wanted videos.
    pub candidates: Vec<Candidate>,
    /// The same videos as they are.
    pub contents: Vec<Arc<Content>>,
    /// Videos that would have been offered had they not been watched.
    pub watched: Vec<Passed>,
    /// Where the worker has all videos: what is left of its best for each ask, and `candidates` has none.
    pub light: Option<Light>,
    /// What was watched next after the request's seed, as far as the worker keeps it: decayed sums by landmark period.
    pub followed: Vec<(u32, i64)>,
    /// The heads that hold at the epoch; the same in all replies to a request.
    pub heads: Arc<Heads>,
    /// How alike lists are, as published; the same in all replies, too.
    pub spread: Option<Arc<Spread>>,
}
