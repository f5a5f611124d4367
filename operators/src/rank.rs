//! From candidates to a list: pure.
//!
//! Merge the workers' answers, keep each source's quota, order by what an offer of each is worth ([`crate::scorer`]), and
//! place by the rules. Each candidate's worth is its own: nothing here depends on which others are in the batch.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::BitXor;
use std::sync::Arc;

use freshet_learning::LONG_DIMS;
use freshet_schema::feed::{Source, Stage as Dropped};
use freshet_schema::hash;
use rustc_hash::FxHashSet;

use crate::abuse::FULL;
use crate::content::Content;
use crate::interest::Likeness;
use crate::params::Params;
use crate::popularity::{STEP, add_term, decayed, log_sum};
use crate::request::{ABSENT, Candidate, Invited, MAX_ASKS, Reply, Request, SourceId, Subject};
use crate::rerank::{
    self, Claim, Context, Entry, Fatigue, Kind, Policy, Reranked, Rule, Slot, Taste, narrow,
};
use crate::scorer::Scorer;
use crate::scorer::features::{Counts, FEATURES, Features, Featuring};
use crate::scorer::heads::{self, Heads};
use crate::spread::Spread;

/// Watched videos named for the explanation, per source.
pub const WATCHED_NAMED: usize = 20;

/// A candidate with what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// The video with its parts.
    pub candidate: Candidate,
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
    /// Best first, of equals the lower video first.
    pool: Vec<Weighed>,
    /// Those that the light rank left behind, best first.
    rest: Vec<u64>,
    /// The best watched videos above the quotas' ends.
    watched: Vec<u64>,
}

impl Scored {
    /// The candidates, best first.
    pub fn pool(&self) -> impl Iterator<Item = &Weighed> {
        self.pool.iter()
    }

    /// The candidates with a number that orders them, best first, of equals the lower video first. Those that the light
    /// rank left behind all have 0.
    #[must_use]
    pub fn scores(&self) -> Vec<(u64, u64)> {
        let scored = self.pool.iter().map(|c| (c.candidate.video, ordered(c.value)));
        let rest = self.rest.iter().map(|video| (*video, 0));
        let mut scores: Vec<(u64, u64)> = scored.chain(rest).collect();
        scores[self.pool.len()..].sort_unstable();
        scores
    }
}

/// A number with the order of finite floats.
fn ordered(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits(); // + 0.0 makes one of both zeros
    u64::from(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
}

/// What scoring a request works in, kept for its memory: the tables of a thousand candidates are larger than what an allocator
/// has at hand.
#[derive(Default)]
pub struct Scratch {
    lights: Vec<[f32; FEATURES]>,
    order: Vec<(Reverse<u64>, u64, u32)>,
    kept: Vec<bool>,
    quotas: [Vec<Within>; MAX_ASKS],
}

/// A candidate within an ask: its rank value there, greatest first, the video, and its number.
type Within = (Reverse<i64>, u64, u32);

/// Weighs candidates for a request.
pub struct Scales<'a> {
    /// What weighs.
    pub heads: &'a Heads,
    /// The configuration.
    pub params: &'a Params,
    request: &'a Request,
    followed: f64,
    fatigue: Fatigue,
    spread: Option<Arc<Spread>>,
}

impl<'a> Scales<'a> {
    /// What was watched next after the request's seed comes with the replies, from each worker its part.
    #[must_use]
    pub fn new(heads: &'a Heads, params: &'a Params, request: &'a Request, replies: &[Reply]) -> Self {
        let mut followed: Vec<(u32, i64)> = Vec::new();
        for (period, amount) in replies.iter().flat_map(|reply| &reply.followed) {
            add_term(&mut followed, *period, *amount);
        }
        let half_life = params.coengagement.half_life;
        let followed = log_sum(followed.into_iter()).map_or(0.0, |log| decayed(log, request.now, half_life));
        // To describe a video is not to rank it.
        let ranks = request.wanted.is_empty();
        let fatigue =
            if ranks { Fatigue::of(&request.recent, request.now, params) } else { Fatigue::default() };
        let spread = replies.first().and_then(|reply| reply.spread.clone());
        Self { heads, params, request, followed, fatigue, spread }
    }

    /// Whether the user's lists have become too narrow for them.
    pub fn narrowed(&self) -> bool {
        narrow::narrowed(&self.request.recent, self.request.obsession, &self.params.rerank)
    }

    fn featuring(&self) -> Featuring<'a, impl Fn(i64) -> f64 + use<>, impl Fn(i64) -> f64 + use<>> {
        let now = self.request.now;
        let count = |half_life: u64| move |rank: i64| decayed(rank * STEP, now, half_life);
        let counts = Counts {
            popularity: count(self.params.score.popularity_half_life),
            coengagement: count(self.params.coengagement.half_life),
        };
        Featuring::new(self.request, self.followed, counts)
    }

    /// What the heads see of some candidates.
    pub fn features<'c>(&self, candidates: impl Iterator<Item = &'c Candidate>) -> Vec<Features> {
        let featuring = self.featuring();
        candidates.map(|candidate| featuring.full(candidate, featuring.light(candidate))).collect()
    }
}

/// Keeps each source's quota of all workers' answers, and orders what is left: all by the light rank, which leaves the
/// user's affinities out and compares the vectors' prefixes, and the best `ranking.light` of them by everything. (Somebody
/// new has no affinities, and draws from all videos: theirs are all weighed.)
#[must_use]
pub fn score(scales: &Scales, replies: Vec<Reply>, scratch: &mut Scratch) -> Scored {
    let Scales { heads, params, request, fatigue, .. } = scales;
    let Scratch { lights, order, kept, quotas } = scratch;
    let Offered { candidates, asks, watched } = self::quotas(request, replies, quotas);
    let mut featuring = scales.featuring();
    lights.clear();
    order.clear();
    for (n, candidate) in candidates.iter().enumerate() {
        let x = featuring.light(candidate);
        lights.push(x);
        if asks[n] != 0 {
            let value = heads::value(&heads.of(x), 0.0, &params.ranking);
            order.push((Reverse(ordered(value)), candidate.video, n as u32));
        }
    }
    let mut best = if request.new_user { order.len() } else { params.ranking.light.min(order.len()) };
    if best < order.len() {
        order.select_nth_unstable(best);
    }
    // Whoever is invited has a place to claim, however little is known of it.
    let invited = request.cohort_bit();
    if invited != 0 {
        let behind = best..order.len();
        for at in behind {
            if asks[order[at].2 as usize] & invited != 0 {
                order.swap(best, at);
                best += 1;
            }
        }
    }
    // So has the best of each arm, where places explore.
    if request.outlook.is_some() {
        best = arms(order, best, &candidates, |n| asks[n] == invited);
    }
    order[best..].sort_unstable();
    let rest = order[best..].iter().map(|(_, video, _)| *video).collect();
    kept.clear();
    kept.resize(candidates.len(), false);
    order[..best].iter().for_each(|(.., n)| kept[*n as usize] = true);
    featuring.weigh_many();
    let likeness = Likeness::new(request.query.as_ref(), LONG_DIMS);
    // What is read of the contents is fetched at once, as on the shelves: the vectors, and what the affinities are taken of.
    let contents = || order[..best].iter().map(|(.., n)| &*candidates[*n as usize].content);
    black_box(contents().flat_map(|content| content.vector.0.iter().step_by(64)).fold(0, BitXor::bitxor));
    let named = |content: &Content| content.facets.last().map_or(0, |(_, name)| name.as_ptr() as usize);
    black_box(contents().map(|content| named(content) ^ content.space as usize).fold(0, BitXor::bitxor));
    let mut pool: Vec<Weighed> = Vec::with_capacity(best);
    for (n, mut candidate) in candidates.into_iter().enumerate().filter(|(n, _)| kept[*n]) {
        candidate.parts.similarity = likeness.of(&candidate.content, candidate.norm);
        let x = featuring.full(&candidate, lights[n]);
        let fatigue = fatigue.penalty(&candidate.content);
        let value = heads.value(&x, fatigue, &params.ranking);
        pool.push(Weighed { candidate, asks: asks[n], x, fatigue, value });
    }
    pool.sort_by_cached_key(|c| (Reverse(ordered(c.value)), c.candidate.video));
    Scored { pool, rest, watched }
}

/// Brings the best of each arm that has none among the first `best` behind them; how many they are then. What is there
/// for its claim alone does not stand for its arm: it has the place that it claims or none.
fn arms(
    order: &mut [(Reverse<u64>, u64, u32)],
    best: usize,
    candidates: &[Candidate],
    claimed: impl Fn(usize) -> bool,
) -> usize {
    let arm = |at: &(Reverse<u64>, u64, u32)| candidates[at.2 as usize].arm();
    let stands = |at: &&(Reverse<u64>, u64, u32)| !claimed(at.2 as usize);
    let known: FxHashSet<u64> = order[..best].iter().filter(stands).map(arm).collect();
    let mut missing: BTreeMap<u64, (Reverse<u64>, u64, u32)> = BTreeMap::new();
    for at in order[best..].iter().filter(|at| !known.contains(&arm(at))) {
        let first = missing.entry(arm(at)).or_insert(*at);
        *first = (*first).min(*at);
    }
    let missing: FxHashSet<u32> = missing.into_values().map(|(.., number)| number).collect();
    let mut end = best;
    for at in best..order.len() {
        if missing.contains(&order[at].2) {
            order.swap(end, at);
            end += 1;
        }
    }
    end
}

/// Makes the list of what was scored, by the rules.
#[must_use]
pub fn place(scored: Scored, scales: &Scales) -> List {
    let Scored { pool, rest, watched } = scored;
    let Scales { request, params, fatigue, .. } = scales;
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
            content: &c.candidate.content,
            drawn: Some(c.asks) == drawn,
            claimed: c.asks == invited,
            trusted: f32::from(c.candidate.trusted) / f32::from(FULL),
            arm: c.candidate.arm(),
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
    dropped.extend(rest.into_iter().take(room).map(|video| (video, Dropped::LightRank)));
    dropped.extend(latest.into_iter().map(|video| (video, Dropped::Watched)));
    List { items, dropped }
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

/// All workers' candidates.
struct Offered {
    candidates: Vec<Candidate>,
    /// The asks in whose quota each is, as bits by their number; none for those that are no candidates after all.
    asks: Vec<u8>,
    /// The best watched videos above the quotas' ends.
    watched: Vec<u64>,
}

/// Which candidates are within the quota of at least one source, with only their rank values there. A source's quota goes to
/// the best of all workers by rank value, then by number; what a worker offers beyond that leaves no trace. Nor does what was
/// just watched.
fn quotas(request: &Request, replies: Vec<Reply>, ranked: &mut [Vec<Within>; MAX_ASKS]) -> Offered {
    let mut offered_watched = Vec::new();
    let mut all: Vec<Candidate> = Vec::new();
    for mut reply in replies {
        if all.is_empty() {
            all = reply.candidates;
        } else {
            all.append(&mut reply.candidates);
        }
        offered_watched.extend(reply.watched);
    }
    ranked.iter_mut().for_each(Vec::clear);
    for (at, candidate) in all.iter_mut().enumerate() {
        let video = candidate.video;
        for (rank, ranked) in candidate.ranks.iter_mut().zip(&mut *ranked) {
            let rank = std::mem::replace(rank, ABSENT);
            if rank != ABSENT {
                ranked.push((Reverse(rank), video, at as u32));
            }
        }
    }
    let mut asks: Vec<u8> = vec![0; all.len()];
    let mut watched = Vec::new();
    for ((n, ask), ranked) in request.asks.iter().enumerate().zip(ranked) {
        let mut end = None;
        if ask.quota > 0 && ranked.len() >= ask.quota {
            ranked.select_nth_unstable(ask.quota - 1);
            end = Some(ranked[ask.quota - 1]);
        }
        ranked.truncate(ask.quota);
        for (rank, _, at) in ranked.iter() {
            all[*at as usize].ranks[n] = rank.0;
            asks[*at as usize] |= 1 << n;
        }
        let mut passed: Vec<(Reverse<i64>, u64)> = offered_watched
            .iter()
            .filter(|(ask, ..)| usize::from(*ask) == n)
            .map(|(_, rank, video)| (Reverse(*rank), *video))
            .filter(|(rank, video)| end.is_none_or(|(last, number, _)| (*rank, *video) < (last, number)))
            .collect();
        passed.sort_unstable();
        watched.extend(passed.into_iter().take(WATCHED_NAMED).map(|(_, video)| video));
    }
    for (candidate, asks) in all.iter().zip(&mut asks) {
        if request.last_watched.contains(&candidate.video) {
            *asks = 0;
        }
    }
    watched.sort_unstable();
    watched.dedup();
    Offered { candidates: all, asks, watched }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bandit::Outlook;
    use crate::content::Content;
    use crate::request::{Ask, Purpose};
    use crate::scorer::features;

    fn candidate(video: u64, score: u32, category: u64) -> Weighed {
        let mut ranks = [ABSENT; MAX_ASKS];
        ranks[0] = i64::from(score);
        let content = Arc::new(Content { category, ..Content::unknown(video) });
        let candidate = Candidate { content, ranks, ..Candidate::unknown(video) };
        Weighed { candidate, asks: 1, x: Features([0; FEATURES]), fatigue: 0.0, value: score as f32 }
    }

    fn request(new_user: bool, asks: &[(Source, usize)]) -> Request {
        let ask = |(source, quota): &(Source, usize)| Ask::new(*source, *quota, Vec::new());
        Request {
            subject: Subject::User(1),
            purpose: Purpose::List,
            wanted: Vec::new(),
            now: 0,
            query: None,
            taste: features::Taste::default(),
            seed: None,
            asks: asks.iter().map(ask).collect(),
            watched: Arc::default(),
            recent: Vec::new(),
            last_watched: Vec::new(),
            new_user,
            session: None,
            group: Arc::new("all".to_owned()),
            drift: false,
            obsession: false,
            invited: Vec::new(),
            outlook: None,
        }
    }

    fn invited(video: u64, from: u16, propensity: f32) -> Invited {
        Invited { video, from, to: 20, propensity }
    }

    #[test]
    fn an_invited_video_has_the_place_that_it_claims_or_one_of_its_own() {
        let mut request = request(false, &[(Source::Trending, 40)]);
        request.invite(vec![invited(100, 7, 0.125), invited(101, 9, 0.25), invited(102, 3, 0.5)]);
        let (trending, cohort) = (1, request.cohort_bit());
        assert_eq!(cohort, 2);
        let mut pool = vec![
            Weighed { asks: cohort, ..candidate(100, 90, 0) },
            Weighed { asks: trending | cohort, ..candidate(101, 80, 0) },
            Weighed { asks: cohort, ..candidate(102, 0, 0) },
        ];
        pool.extend((1..30).map(|n| candidate(n, 70 - n as u32, n)));
        pool.sort_by_key(|c| Reverse(ordered(c.value)));
        let params = Params::default();
        let heads = Heads::default();
        let scales = Scales::new(&heads, &params, &request, &[]);
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

    #[test]
    fn the_light_rank_keeps_who_is_invited() {
        let mut request = request(false, &[(Source::Trending, 3)]);
        request.invite(vec![invited(100, 7, 1.0)]);
        let mut params = Params::default();
        params.ranking.light = 1;
        let mut candidates: Vec<Candidate> = (1..=3).map(|n| candidate(n, n as u32, 0).candidate).collect();
        let mut poor = Candidate { norm: 0.0, ..Candidate::unknown(100) };
        poor.parts.quality = 0;
        poor.parts.freshness = 0;
        poor.ranks[1] = 0;
        candidates.push(poor);
        let reply = Reply {
            request: Arc::new(request.clone()),
            candidates,
            watched: Vec::new(),
            followed: Vec::new(),
            heads: Arc::default(),
            spread: None,
        };
        let heads = Heads::default();
        let replies = vec![reply];
        let scales = Scales::new(&heads, &params, &request, &replies);
        let scored = score(&scales, replies, &mut Scratch::default());
        let pool: Vec<u64> = scored.pool().map(|weighed| weighed.candidate.video).collect();
        assert!(pool.contains(&100) && pool.len() <= 2, "{pool:?}");
    }

    #[test]
    fn the_light_rank_keeps_the_best_of_each_category_where_places_explore() {
        let mut params = Params::default();
        params.ranking.light = 3;
        let pool = |outlook: Option<Box<Outlook>>| -> Vec<(u64, u64)> {
            let request = Request { outlook, ..request(false, &[(Source::Trending, 40)]) };
            // Of one category the best, of another those behind.
            let candidates = (1..=20).map(|n| {
                let mut candidate =
                    candidate(n, 100 - n as u32, if n <= 10 { 1 } else { n % 2 + 2 }).candidate;
                candidate.parts.quality = 2_000_000 - 50_000 * n as u32;
                candidate
            });
            let reply = Reply {
                request: Arc::new(request.clone()),
                candidates: candidates.collect(),
                watched: Vec::new(),
                followed: Vec::new(),
                heads: Arc::default(),
                spread: None,
            };
            let (heads, replies) = (Heads::default(), vec![reply]);
            let scales = Scales::new(&heads, &params, &request, &replies);
            let scored = score(&scales, replies, &mut Scratch::default());
            scored.pool().map(|c| (c.candidate.video, c.candidate.content.category)).collect()
        };
        assert_eq!(pool(None), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(pool(Some(Box::default())), [(1, 1), (2, 1), (3, 1), (11, 3), (12, 2)]);
    }

    #[test]
    fn scores_have_the_order_of_values() {
        let values = [f32::MIN, -1.0, -1e-9, 0.0, 1e-9, 0.5, 7.0];
        let scores = values.map(ordered);
        assert!(scores.is_sorted_by(|a, b| a < b), "{scores:?}");
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn a_quota_goes_to_the_best_of_all_workers() {
        let request = request(false, &[(Source::Trending, 2)]);
        let reply = |scores: &[(u64, u32)]| Reply {
            request: Arc::new(request.clone()),
            candidates: scores.iter().map(|(v, s)| candidate(*v, *s, 0).candidate).collect(),
            watched: Vec::new(),
            followed: Vec::new(),
            heads: Arc::default(),
            spread: None,
        };
        let replies = vec![reply(&[(1, 10), (2, 30)]), reply(&[(3, 20), (4, 30)])];
        let offered = quotas(&request, replies, &mut Default::default());
        let within = offered.candidates.iter().zip(offered.asks).filter(|(_, asks)| *asks == 1);
        let mut kept: Vec<u64> = within.map(|(c, _)| c.video).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
    }
}
