//! From candidates to a list: pure.
//!
//! What the light rank left ([`crate::light`]) is weighed by what an offer of each is worth ([`crate::scorer`]), and placed by
//! the rules. Each candidate's worth is its own: nothing here depends on which others are in the batch.

use std::cmp::Reverse;
use std::sync::Arc;

use freshet_learning::LONG_DIMS;
use freshet_schema::feed::{Source, Stage as Dropped};
use freshet_schema::hash;

use crate::abuse::FULL;
use crate::ahead::{self, AHEAD};
use crate::bandit;
use crate::content::Content;
use crate::interest::Likeness;
use crate::light::{Basis, Behind, Kept, Light, ordered};
use crate::request::{Candidate, Invited, Request, SourceId, Subject};
use crate::rerank::{
    self, Claim, Context, Entry, Fatigue, Kind, Policy, Reranked, Rule, Slot, Taste, narrow,
};
use crate::scorer::Scorer;
use crate::scorer::features::Features;
use crate::spread::Spread;

/// A candidate with what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// The candidate with its parts.
    pub candidate: Candidate,
    /// The video as it is.
    pub content: Arc<Content>,
    /// The asks in whose quota it is, as bits by their number.
    pub asks: u8,
    /// What the heads see of it.
    pub x: Features,
    /// How tired the user is of what it shows.
    pub fatigue: f32,
    /// What an offer of it is worth.
    pub value: f32,
}

/// One place of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What stands there.
    pub chosen: Weighed,
    /// How it came there.
    pub slot: Slot,
}

impl Placed {
    /// The sources whose quota it is in.
    pub fn sources<'a>(&self, request: &'a Request) -> impl Iterator<Item = SourceId> + use<'a> {
        let asks = self.chosen.asks;
        request.asks.iter().enumerate().filter(move |(n, _)| asks & (1 << n) != 0).map(|(_, ask)| ask.source)
    }
}

/// A list and what did not make it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// Best first.
    pub items: Vec<Placed>,
    /// Best first.
    pub dropped: Vec<(u64, Dropped)>,
}

/// All candidates of a request, before any rule places them.
#[derive(Clone, Debug)]
pub struct Scored {
    /// In no order: the rules order them by more than their value.
    pool: Vec<Weighed>,
    /// Those that the light rank left behind, in no order.
    rest: Vec<Behind>,
    /// The best watched videos above the quotas' ends.
    watched: Vec<u64>,
}

impl Scored {
    /// The candidates, in no order.
    pub fn pool(&self) -> impl Iterator<Item = &Weighed> {
        self.pool.iter()
    }

    /// The candidates with a number that orders them, best first, of equals the lower video first. Those that the light
    /// rank left behind all have 0.
    #[must_use]
    pub fn scores(&self) -> Vec<(u64, u64)> {
        let scored = self.pool.iter().map(|c| (c.candidate.video, u64::from(ordered(c.value))));
        let rest = self.rest.iter().map(|(_, video)| (*video, 0));
        let mut scores: Vec<(u64, u64)> = scored.chain(rest).collect();
        scores.sort_unstable_by_key(|(video, score)| (Reverse(*score), *video));
        scores
    }
}

/// Weighs candidates for a request.
pub struct Scales<'a> {
    /// What they are seen by.
    pub basis: Basis<'a>,
    fatigue: Fatigue,
    spread: Option<Arc<Spread>>,
}

impl<'a> Scales<'a> {
    /// `spread` is how alike all users' lists are.
    #[must_use]
    pub fn new(basis: Basis<'a>, spread: Option<Arc<Spread>>) -> Self {
        let Basis { params, request, .. } = basis;
        // To describe a video is not to rank it.
        let ranks = request.wanted.is_empty();
        let fatigue = if ranks {
            request.recent.iter().for_each(|row| ahead::content(&row.content));
            Fatigue::of(&request.recent, request.now, params)
        } else {
            Fatigue::default()
        };
        Self { basis, fatigue, spread }
    }

    /// Whether the user's lists have become too narrow for them.
    #[must_use]
    pub fn narrowed(&self) -> bool {
        let Basis { params, request, .. } = self.basis;
        narrow::narrowed(&request.recent, request.obsession, &params.rerank)
    }

    /// What the heads see of some videos.
    pub fn features<'c>(&self, videos: impl Iterator<Item = (&'c Candidate, &'c Content)>) -> Vec<Features> {
        let featuring = self.basis.featuring();
        videos
            .map(|(candidate, content)| featuring.full(candidate, content, featuring.light(candidate)))
            .collect()
    }
}

/// Weighs what the light rank left by everything: whole vectors, and the user's affinities.
#[must_use]
pub fn score(scales: &Scales, light: Light) -> Scored {
    let Scales { basis, fatigue, .. } = scales;
    let Basis { heads, params, request, .. } = basis;
    let Light { kept, rest, watched } = light;
    let mut featuring = basis.featuring();
    featuring.weigh_many();
    let likeness = Likeness::new(request.query.as_ref(), LONG_DIMS);
    let weigh = |Kept { mut candidate, content, asks, x }: Kept| {
        candidate.parts.similarity = likeness.of(&content, candidate.norm);
        let x = featuring.full(&candidate, &content, x);
        let fatigue = fatigue.penalty(&content);
        let value = heads.value(&x, fatigue, &params.ranking);
        Weighed { candidate, content, asks, x, fatigue, value }
    };
    let mut pool: Vec<Weighed> = Vec::with_capacity(kept.len());
    kept.iter().take(AHEAD).for_each(|kept| ahead::pointed_to(&kept.content));
    let mut kept = kept.into_iter();
    while let Some(next) = kept.next() {
        if let Some(later) = kept.as_slice().get(AHEAD - 1) {
            ahead::pointed_to(&later.content);
        }
        pool.push(weigh(next));
    }
    Scored { pool, rest, watched }
}

/// Makes the list of what was scored, by the rules.
#[must_use]
pub fn place(scored: Scored, scales: &Scales) -> List {
    let Scored { pool, rest, watched } = scored;
    let Scales { basis: Basis { request, params, .. }, fatigue, .. } = scales;
    let (kind, subject) = match &request.subject {
        Subject::User(user) if request.new_user => (Kind::NewUser, *user),
        Subject::User(user) => (Kind::User, *user),
        Subject::Group(group) => (Kind::Group, hash::text(group)),
    };
    let drawn = request.asks.iter().position(|ask| ask.source == SourceId::new(Source::Exploration));
    let drawn = drawn.map(|ask| 1u8 << ask);
    let invited = request.cohort_bit();
    let entries: Vec<Entry> = pool
        .iter()
        .map(|c| Entry {
            score: c.value,
            content: &c.content,
            norm: c.candidate.norm,
            drawn: Some(c.asks) == drawn,
            claimed: c.asks == invited,
            trusted: f32::from(c.candidate.trusted) / f32::from(FULL),
            arm: bandit::arm(c.candidate.stage, c.content.category),
        })
        .collect();
    let claim = |invited: &Invited| {
        let entry = pool.iter().position(|weighed| weighed.candidate.video == invited.video)?;
        let Invited { from, to, propensity, .. } = *invited;
        Some(Claim { entry, policy: Policy::Cohort, from: from.into(), to: to.into(), propensity })
    };
    let claims: Vec<Claim> = request.invited.iter().filter_map(claim).collect();
    let taste = Taste::of(&request.recent, params);
    let context = Context {
        kind,
        subject,
        now: request.now,
        rows: &request.recent,
        fatigue: fatigue.is_strong().then_some(fatigue),
        taste: taste.is_known().then_some(&taste),
        claims: &claims,
        narrowed: scales.narrowed(),
        outlook: request.outlook.as_deref(),
        spread: scales.spread.as_deref(),
    };
    let Reranked { slots, left } = rerank::rerank(&entries, &context, params);
    let items =
        slots.into_iter().map(|slot| Placed { chosen: pool[slot.account.entry].clone(), slot }).collect();
    // What was just watched comes first: it is what people ask about.
    let mut latest: Vec<u64> = Vec::new();
    for video in request.last_watched.iter().chain(&watched) {
        if !latest.contains(video) {
            latest.push(*video);
        }
    }
    latest.truncate(params.feed.dropped_kept);
    let room = params.feed.dropped_kept - latest.len();
    let mut dropped: Vec<(u64, Dropped)> = left
        .into_iter()
        .take(room)
        .map(|left| (pool[left.account.entry].candidate.video, dropped_by(left.rule)))
        .collect();
    let room = room - dropped.len();
    dropped.extend(best(rest, room).into_iter().map(|(_, video)| (video, Dropped::LightRank)));
    dropped.extend(latest.into_iter().map(|video| (video, Dropped::Watched)));
    List { items, dropped }
}

/// The best `count` of what the light rank left behind, best first.
fn best(mut behind: Vec<Behind>, count: usize) -> Vec<Behind> {
    if count < behind.len() {
        behind.select_nth_unstable(count);
        behind.truncate(count);
    }
    behind.sort_unstable();
    behind
}

fn dropped_by(rule: Rule) -> Dropped {
    match rule {
        Rule::Watched => Dropped::Watched,
        Rule::Twin => Dropped::Twin,
        Rule::Category => Dropped::CategoryCap,
        Rule::Similarity => Dropped::Similarity,
        Rule::Creator => Dropped::Creator,
        Rule::Fatigue => Dropped::Fatigue,
        Rule::Taste => Dropped::Taste,
        Rule::Abuse => Dropped::Abuse,
        Rule::Spread => Dropped::Spread,
        Rule::Slot => Dropped::Slot,
        Rule::Length => Dropped::Length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::testing::{invited, request};
    use crate::params::Params;
    use crate::request::{ABSENT, MAX_ASKS};
    use crate::scorer::features::FEATURES;
    use crate::scorer::heads::Heads;

    fn weighed(video: u64, score: u32, category: u64) -> Weighed {
        let mut ranks = [ABSENT; MAX_ASKS];
        ranks[0] = i64::from(score);
        let content = Arc::new(Content { category, ..Content::unknown(video) });
        let candidate = Candidate { ranks, ..Candidate::unknown(video) };
        Weighed { candidate, content, asks: 1, x: Features([0; FEATURES]), fatigue: 0.0, value: score as f32 }
    }

    #[test]
    fn an_invited_video_has_the_place_that_it_claims_or_one_of_its_own() {
        let mut request = request(false, &[(Source::Trending, 40)]);
        request.invite(vec![invited(100, 7, 0.125), invited(101, 9, 0.25), invited(102, 3, 0.5)]);
        let (trending, cohort) = (1, request.cohort_bit());
        assert_eq!(cohort, 2);
        let mut pool = vec![
            Weighed { asks: cohort, ..weighed(100, 90, 0) },
            Weighed { asks: trending | cohort, ..weighed(101, 80, 0) },
            Weighed { asks: cohort, ..weighed(102, 0, 0) },
        ];
        pool.extend((1..30).map(|n| weighed(n, 70 - n as u32, n)));
        pool.sort_by_key(|c| Reverse(ordered(c.value)));
        let params = Params::default();
        let heads = Heads::default();
        let scales = Scales::new(Basis::new(&heads, &params, &request, [].iter()), None);
        let list = place(Scored { pool, rest: Vec::new(), watched: Vec::new() }, &scales);
        let at = |video: u64| {
            let at = list.items.iter().position(|placed| placed.chosen.candidate.video == video);
            let at = at.unwrap_or_else(|| panic!("{video} has no place"));
            (at + 1, list.items[at].slot.policy, list.items[at].slot.propensity)
        };
        assert_eq!(at(100), (7, Policy::Cohort, 0.125), "not the first, however good it is");
        assert_eq!(at(101), (1, Policy::Rank, 1.0), "a trending video needs no claim");
        assert_eq!(at(102), (3, Policy::Cohort, 0.5), "not the last, however poor it is");
        assert_eq!(list.items.len(), 32);
    }
}
