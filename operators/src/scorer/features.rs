//! What a candidate looks like to the heads: whole numbers made from the video's state, the user's and both together.
//!
//! Features are quantised here, once. A list is scored with the same numbers that are kept for learning, so an explanation
//! that multiplies them out gets the very score, and an example that is forgotten is subtracted exactly. Follower counts
//! are no input.
//!
//! Attention enters as a share of all that there is, at two paces, and what was watched next as a conditional frequency:
//! a sum of such terms is a mixture of the experts that a co-visitation recommender would choose between. How much the
//! last video tells is known from how often it was followed by anything (`unfollowed`): the terms are there a second time,
//! multiplied by it, so that a linear head can trust the general trend where the particular is not known yet.

use freshet_schema::feed::Source;
use freshet_schema::fixed::{OCTAVE, exp2, log2};
use serde::{Deserialize, Serialize};

use crate::content::{Content, Facet};
use crate::params::SECOND;
use crate::request::{ABSENT, Candidate, Request, SourceId};

/// Number of features.
pub const FEATURES: usize = 32;

/// A feature of one.
pub const UNIT: f64 = 1024.0;

/// Greatest size of a feature, as a multiple of [`UNIT`].
const BOUND: f64 = 8.0;

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
    "user: watched part",
    "user: completed",
    "user: skips fast",
    "user: likes",
    "length, logarithm",
    "shortness",
    "user x video: completed",
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
    pub const USER: usize = 24;
    pub const SHORTNESS: usize = 29;
    pub const IN_GROUP: usize = 31;
}

/// A user's side of the features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taste {
    /// The user's own watched part, completion, fast skips and likes, in per mille; shrunk.
    pub rates: [u16; 4],
    /// Share of the user's interest that each facet has, in per mille, negative where disliked; sorted by facet.
    pub affinities: Vec<(Facet, i16)>,
}

impl Taste {
    /// Affinity to a facet, within [-1, 1].
    fn affinity(&self, facet: Facet) -> f64 {
        let known = self.affinities.binary_search_by_key(&facet, |(facet, _)| *facet);
        known.map_or(0.0, |at| f64::from(self.affinities[at].1) / 1000.0)
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
    /// Views over all time.
    pub views: u32,
}

/// What is known of the video that the user cared for last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seed {
    /// How often, decayed, anything was watched next after it.
    pub followed: f64,
}

/// What rank values stand for: decayed counts.
#[derive(Clone, Copy, Debug)]
pub struct Counts<P, C> {
    /// Of a pool of popularity.
    pub popularity: P,
    /// Of a pool of co-engagement.
    pub coengagement: C,
}

/// The features of a candidate.
#[must_use]
pub fn features(
    candidate: &Candidate,
    request: &Request,
    seed: Seed,
    counts: Counts<impl Fn(i64) -> f64, impl Fn(i64) -> f64>,
) -> Features {
    let mut x = [0.0; FEATURES];
    x[at::ONE] = 1.0;
    let ask = |source: Source| request.asks.iter().position(|a| a.source == SourceId::new(source));
    let count = |source: Source, decayed: &dyn Fn(i64) -> f64| {
        let rank = ask(source).map_or(ABSENT, |ask| candidate.ranks[ask]);
        if rank == ABSENT { 0.0 } else { decayed(rank) }
    };
    let unfollowed = exp2(-seed.followed / 10.0);
    for (n, share) in candidate.stats.attention.iter().enumerate() {
        // A video with one per cent of all attention has 0.32.
        let share = share.map_or(0.0, |log| 32.0 * exp2(f64::from(log) / OCTAVE as f64));
        x[at::SHARE + n] = share;
        x[at::SHARE + 2 + n] = share * unfollowed;
    }
    let next = count(Source::Next, &counts.coengagement) / (seed.followed + 3.0);
    x[at::NEXT] = next;
    x[at::NEXT + 1] = next * unfollowed;
    let together = count(Source::CoEngaged, &counts.coengagement);
    x[at::TOGETHER] = together / (together + 10.0);
    x[at::SIMILARITY] = f64::from(candidate.parts.similarity) / 500_000.0 - 1.0;
    affinities(&candidate.content, request, &mut x);
    x[14] = candidate.stats.attention[0].map_or(0.0, |log| 1.0 + f64::from(log) / OCTAVE as f64 / 16.0);
    let part = |millionths: u32| f64::from(millionths) / 1e6;
    x[at::FRESHNESS] = part(candidate.parts.freshness);
    x[16] = exp2(-f64::from(candidate.stats.views) / 8.0);
    x[at::QUALITY] = part(candidate.parts.quality) - 1.0;
    x[at::CREATOR_SCORE] = part(candidate.parts.creator) - 1.0;
    for (n, rate) in candidate.stats.rates.iter().enumerate() {
        x[at::VIDEO + n] = f64::from(*rate) / 1000.0;
    }
    for (n, rate) in request.taste.rates.iter().enumerate() {
        x[at::USER + n] = f64::from(*rate) / 1000.0;
    }
    let seconds = candidate.content.duration_ms as f64 / SECOND as f64;
    if seconds > 0.0 {
        let log = log2(u128::from(candidate.content.duration_ms + SECOND)).unwrap_or(0);
        x[28] = (log as f64 / OCTAVE as f64 - 9.965_784) / 8.0; // log2(1,000): from milliseconds to seconds
        x[at::SHORTNESS] = exp2(-seconds / 10.0);
    }
    x[30] = x[at::USER + 1] * x[at::VIDEO + 1];
    let popular = count(Source::Demographic, &counts.popularity);
    x[at::IN_GROUP] = popular / (popular + 10.0);
    Features(x.map(|x| (x.clamp(-BOUND, BOUND) * UNIT).round() as i16))
}

fn affinities(content: &Content, request: &Request, x: &mut [f64; FEATURES]) {
    for (facet, _) in &content.facets {
        let affinity = request.taste.affinity(*facet);
        match facet {
            Facet::Category(_) => x[at::CATEGORY] = affinity,
            Facet::Creator(_) => x[at::CREATOR] = affinity,
            Facet::Hashtag(_) => x[at::HASHTAG] += affinity,
            Facet::Sound(_) => x[at::SOUND] = affinity,
            Facet::Everyone | Facet::Demographic(_) | Facet::Next(_) | Facet::With(_) => {}
        }
    }
}
