//! What a candidate looks like to the heads: whole numbers made from the video's state, the user's and both together.
//!
//! Features are quantised here, once. A list is scored with the same numbers that are kept for learning, so an explanation
//! that multiplies them out gets the very score, and an example that is forgotten is subtracted exactly. Follower counts
//! are no input. Nor are the user's own rates: they are the same for all candidates of a list, and move with each of the user's
//! outcomes, away from what comes next (docs/quality.md has the figures).
//!
//! Attention enters as a share of all that there is, at two paces, and what was watched next as a conditional frequency:
//! a sum of such terms is a mixture of the experts that a co-visitation recommender would choose between. How much the
//! last video tells is known from how often it was followed by anything (`unfollowed`): the terms are there a second time,
//! multiplied by it, so that a linear head can trust the general trend where the particular is not known yet.

use freshet_schema::feed::Source;
use freshet_schema::fixed::{OCTAVE, exp2, exp2_octaves, log2};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::content::{Content, Facet};
use crate::params::SECOND;
use crate::request::{ABSENT, Candidate, Request, SourceId};

/// Number of features.
pub const FEATURES: usize = 27;

/// A feature of one.
pub const UNIT: f64 = 1024.0;

/// Greatest size of a feature, as a multiple of [`UNIT`].
const BOUND: f32 = 8.0;

/// Quantised features, in 1/1024, each within [-8, 8].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(pub [i16; FEATURES]);

/// Names, in order, as explanations give them.
pub const NAMES: [&str; FEATURES] = [
    "one",
    "share of attention",
    "share of quick attention",
    "share of attention, unfollowed",
    "share of quick attention, unfollowed",
    "watched next",
    "watched next, unfollowed",
    "liked together",
    "similarity",
    "category affinity",
    "creator affinity",
    "hashtag affinity",
    "sound affinity",
    "creator followed",
    "attention, logarithm",
    "freshness",
    "few views",
    "quality",
    "creator score",
    "video: watched part",
    "video: completed",
    "video: skipped fast",
    "video: played again",
    "video: liked",
    "length, logarithm",
    "shortness",
    "popular in the group",
];

/// Where things are in [`Features`], as far as priors name them.
pub mod at {
    #![allow(missing_docs, reason = "the names are those of the features")]
    pub const ONE: usize = 0;
    pub const SHARE: usize = 1;
    pub const NEXT: usize = 5;
    pub const TOGETHER: usize = 7;
    pub const SIMILARITY: usize = 8;
    pub const CATEGORY: usize = 9;
    pub const CREATOR: usize = 10;
    pub const HASHTAG: usize = 11;
    pub const SOUND: usize = 12;
    pub const FOLLOWED: usize = 13;
    pub const FRESHNESS: usize = 15;
    pub const QUALITY: usize = 17;
    pub const CREATOR_SCORE: usize = 18;
    pub const VIDEO: usize = 19;
    pub const LENGTH: usize = 24;
    pub const SHORTNESS: usize = 25;
    pub const IN_GROUP: usize = 26;
}

/// A user's side of the features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taste {
    /// Share of the user's interest that each facet has, in per mille, negative where disliked; sorted by facet.
    pub affinities: Vec<(Facet, i16)>,
}

impl Taste {
    /// Affinity to a facet, within [-1, 1].
    fn affinity(&self, facet: Facet) -> f32 {
        let known = self.affinities.binary_search_by_key(&facet, |(facet, _)| *facet);
        known.map_or(0.0, |at| per_mille(self.affinities[at].1))
    }
}

/// A video's side of the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Share of everyone's decayed attention, at the pace of popularity and at the quick one: log2 in 1/65,536 octaves,
    /// at most 0; `None` where there is none.
    pub attention: [Option<i32>; 2],
    /// Watched part, completed, skipped fast, played again, liked, in per mille; shrunk.
    pub rates: [u16; 5],
    /// How little it was seen: [`unseen`] of the views over all time.
    pub unseen: f32,
    /// See [`length`].
    pub length: [f32; 2],
}

/// What rank values stand for: decayed counts.
#[derive(Clone, Copy, Debug)]
pub struct Counts<P, C> {
    /// Of a pool of popularity.
    pub popularity: P,
    /// Of a pool of co-engagement.
    pub coengagement: C,
}

/// Makes features for one request.
pub struct Featuring<'a, P, C> {
    request: &'a Request,
    counts: Counts<P, C>,
    /// How often, decayed, anything was watched next after the seed.
    followed: f64,
    unfollowed: f64,
    /// The numbers of the asks for [`Source::Next`], [`Source::CoEngaged`], [`Source::Demographic`] and
    /// [`Source::Followed`].
    asks: [Option<usize>; 4],
    /// The user's affinities, where many candidates ask for them.
    affinities: Option<FxHashMap<Facet, f32>>,
}

impl<'a, P: Fn(i64) -> f64, C: Fn(i64) -> f64> Featuring<'a, P, C> {
    /// `followed` is how often, decayed, anything was watched next after the request's seed.
    #[must_use]
    pub fn new(request: &'a Request, followed: f64, counts: Counts<P, C>) -> Self {
        let ask = |source: Source| request.asks.iter().position(|a| a.source == SourceId::new(source));
        Self {
            request,
            counts,
            followed,
            unfollowed: exp2(-followed / 10.0),
            asks: [Source::Next, Source::CoEngaged, Source::Demographic, Source::Followed].map(ask),
            affinities: None,
        }
    }

    fn rank(&self, candidate: &Candidate, ask: usize) -> Option<i64> {
        self.asks[ask].map(|ask| candidate.ranks[ask]).filter(|rank| *rank != ABSENT)
    }

    /// The features of a candidate but for the affinities, unquantised: what the light rank goes by.
    #[must_use]
    pub fn light(&self, candidate: &Candidate) -> [f32; FEATURES] {
        let mut x = [0.0; FEATURES];
        let stats = &candidate.stats;
        x[at::ONE] = 1.0;
        for (n, share) in stats.attention.iter().enumerate() {
            // A video with one per cent of all attention has 0.32.
            let Some(log) = share else { continue };
            let share = 32.0 * exp2_octaves(i64::from(*log));
            x[at::SHARE + n] = share as f32;
            x[at::SHARE + 2 + n] = (share * self.unfollowed) as f32;
        }
        if let Some(rank) = self.rank(candidate, 0) {
            let next = (self.counts.coengagement)(rank) / (self.followed + 3.0);
            x[at::NEXT] = next as f32;
            x[at::NEXT + 1] = (next * self.unfollowed) as f32;
        }
        if let Some(rank) = self.rank(candidate, 1) {
            let together = (self.counts.coengagement)(rank);
            x[at::TOGETHER] = (together / (together + 10.0)) as f32;
        }
        if let Some(rank) = self.rank(candidate, 2) {
            let popular = (self.counts.popularity)(rank);
            x[at::IN_GROUP] = (popular / (popular + 10.0)) as f32;
        }
        x[at::FOLLOWED] = if self.rank(candidate, 3).is_some() { 1.0 } else { 0.0 };
        let part = |millionths: u32| millionths as f32 / 1e6;
        x[at::SIMILARITY] = likeness(candidate);
        x[14] = stats.attention[0].map_or(0.0, |log| 1.0 + log as f32 / OCTAVE as f32 / 16.0);
        x[at::FRESHNESS] = part(candidate.parts.freshness);
        x[16] = stats.unseen;
        x[at::QUALITY] = part(candidate.parts.quality) - 1.0;
        x[at::CREATOR_SCORE] = part(candidate.parts.creator) - 1.0;
        for (n, rate) in stats.rates.iter().enumerate() {
            x[at::VIDEO + n] = f32::from(*rate) / 1000.0;
        }
        x[at::LENGTH] = stats.length[0];
        x[at::SHORTNESS] = stats.length[1];
        x
    }

    /// Prepares for many calls of [`Featuring::full`].
    pub fn weigh_many(&mut self) {
        let affinities = self.request.taste.affinities.iter();
        self.affinities = Some(affinities.map(|(facet, affinity)| (*facet, per_mille(*affinity))).collect());
    }

    /// All features of a candidate, from those that [`Featuring::light`] gave. The similarity is taken again, as the light one may
    /// be over a prefix.
    #[must_use]
    pub fn full(&self, candidate: &Candidate, content: &Content, mut x: [f32; FEATURES]) -> Features {
        x[at::SIMILARITY] = likeness(candidate);
        let taste = &self.request.taste;
        match &self.affinities {
            Some(known) => {
                affinities(content, |facet| known.get(&facet).copied().unwrap_or(0.0), &mut x);
            }
            None => affinities(content, |facet| taste.affinity(facet), &mut x),
        }
        let mut quantised = [0; FEATURES];
        for (quantised, x) in quantised.iter_mut().zip(x) {
            // To the nearest; a half goes up. (`f32::round` is a call into the mathematics library.)
            *quantised = (x.clamp(-BOUND, BOUND) * UNIT as f32 + 16384.5) as i32 as i16 - 16384;
        }
        Features(quantised)
    }
}

/// What a video's length says: its logarithm (log2 of a second and the length, in seconds, over 8), and its shortness (half
/// as much each ten seconds); zeros where it is not known.
#[must_use]
pub fn length(duration_ms: u64) -> [f32; 2] {
    if duration_ms == 0 {
        return [0.0; 2];
    }
    let log = log2(u128::from(duration_ms + SECOND)).unwrap_or(0);
    let log = log as f64 / OCTAVE as f64 - 9.965_784; // log2(1,000): from milliseconds to seconds
    [(log / 8.0) as f32, exp2(-(duration_ms as f64) / SECOND as f64 / 10.0) as f32]
}

/// How little a video was seen: half as much each eight views.
#[must_use]
pub fn unseen(views: i64) -> f32 {
    exp2(-(views.max(0) as f64) / 8.0) as f32
}

/// The cosine with the user's interest.
fn likeness(candidate: &Candidate) -> f32 {
    candidate.parts.similarity as f32 / 1e6 * 2.0 - 1.0
}

fn per_mille(affinity: i16) -> f32 {
    f32::from(affinity) / 1000.0
}

fn affinities(content: &Content, affinity: impl Fn(Facet) -> f32, x: &mut [f32; FEATURES]) {
    for (facet, _) in &content.facets {
        let affinity = affinity(*facet);
        match facet {
            Facet::Category(_) => x[at::CATEGORY] = affinity,
            Facet::Creator(_) => x[at::CREATOR] = affinity,
            Facet::Hashtag(_) => x[at::HASHTAG] += affinity,
            Facet::Sound(_) => x[at::SOUND] = affinity,
            Facet::Everyone | Facet::Demographic(_) | Facet::Next(_) | Facet::With(_) | Facet::Topic(_) => {}
        }
    }
}
