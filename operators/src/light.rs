//! The first cut of a request's candidates: each source keeps its quota, and of those the light rank keeps the best few hundred.
//! Pure.
//!
//! The light rank leaves the user's affinities out and compares the vectors' prefixes, so it needs nothing of a candidate's content.
//! Where one worker has all videos it is made on the shelves, and contents are touched for what is left alone: to share a
//! content is to wait for its memory, and most candidates go no further. With several workers it is made where their
//! answers meet, as a quota goes to the best of all of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use crate::ahead;
use crate::bandit;
use crate::content::Content;
use crate::params::Params;
use crate::popularity::{Decay, STEP, add_term, decayed, log_sum};
use crate::request::{ABSENT, Candidate, MAX_ASKS, Request};
use crate::scorer::features::{Counts, FEATURES, Featuring};
use crate::scorer::heads::{self, Heads};

/// Watched videos named for the explanation, per source.
pub const WATCHED_NAMED: usize = 20;

/// What the candidates of a request are seen by.
#[derive(Clone, Copy)]
pub struct Basis<'a> {
    /// What weighs.
    pub heads: &'a Heads,
    /// The configuration: the user's own, where a list is made.
    pub params: &'a Params,
    /// What was asked.
    pub request: &'a Request,
    /// How often, decayed, anything was watched next after the request's seed.
    followed: f64,
}

impl<'a> Basis<'a> {
    /// What was watched next after the request's seed comes as terms, from each worker its part.
    #[must_use]
    pub fn new<'t>(
        heads: &'a Heads,
        params: &'a Params,
        request: &'a Request,
        followed: impl Iterator<Item = &'t (u32, i64)>,
    ) -> Self {
        let mut terms: Vec<(u32, i64)> = Vec::new();
        followed.for_each(|(period, amount)| add_term(&mut terms, *period, *amount));
        let half_life = params.coengagement.half_life;
        let followed = log_sum(terms.into_iter()).map_or(0.0, |log| decayed(log, request.now, half_life));
        Self { heads, params, request, followed }
    }

    /// Makes the features.
    pub fn featuring(&self) -> Featuring<'a, impl Fn(i64) -> f64 + use<>, impl Fn(i64) -> f64 + use<>> {
        let now = self.request.now;
        let count = |half_life: u64| {
            let decay = Decay::new(now, half_life);
            move |rank: i64| decay.of(rank * STEP)
        };
        let counts = Counts {
            popularity: count(self.params.score.popularity_half_life),
            coengagement: count(self.params.coengagement.half_life),
        };
        Featuring::new(self.request, self.followed, counts)
    }
}

/// What is left of a request's candidates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// The best, in no order.
    pub kept: Vec<Kept>,
    /// Those within a quota that were left behind, in no order.
    pub rest: Vec<Behind>,
    /// The best watched videos above the quotas' ends.
    pub watched: Vec<u64>,
}

/// A candidate that the light rank left behind: its value there, greatest first, and the video. The lesser is the better.
pub type Behind = (Reverse<u32>, u64);

/// A candidate that the light rank kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The candidate; of its rank values only those within whose quota it is.
    pub candidate: Candidate,
    /// The video as it is.
    pub content: Arc<Content>,
    /// The asks in whose quota it is, as bits by their number.
    pub asks: u8,
    /// What the light rank saw of it.
    pub x: [f32; FEATURES],
}

/// What the light rank works in, kept for its memory: the tables of a thousand candidates are larger than what an allocator
/// has at hand.
#[derive(Default)]
pub struct Scratch {
    lights: Vec<[f32; FEATURES]>,
    order: Vec<Lit>,
    asks: Vec<u8>,
    quotas: [Vec<Within>; MAX_ASKS],
}

/// A candidate by the light rank: its value, greatest first, the video, and its number.
type Lit = (Reverse<u32>, u64, u32);

/// A candidate within an ask: its rank value there, greatest first, the video, and its number.
type Within = (Reverse<i64>, u64, u32);

/// A watched video that would have been offered: the number of the ask, its rank value there, and the video.
pub type Passed = (u8, i64, u64);

/// Keeps each source's quota of `candidates`, and the best `ranking.light` of what is left. (Somebody new has no affinities, and
/// draws from all videos: theirs are all kept.) `content` gives a candidate's by its number.
#[must_use]
pub fn light<'c>(
    basis: &Basis,
    candidates: &mut [Candidate],
    passed: &[Passed],
    content: impl Fn(usize) -> &'c Arc<Content>,
    scratch: &mut Scratch,
) -> Light {
    let Basis { heads, params, request, .. } = basis;
    let Scratch { lights, order, asks, quotas } = scratch;
    let watched = self::quotas(request, candidates, passed, asks, quotas);
    let featuring = basis.featuring();
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
        let arm = |n: usize| bandit::arm(candidates[n].stage, content(n).category);
        best = arms(order, best, arm, |n| asks[n] == invited);
    }
    // Taking a share of a content is atomic: it waits for its memory, and all that is behind it waits, too.
    for (.., n) in &order[..best] {
        ahead::content(content(*n as usize));
    }
    let rest = order[best..].iter().map(|(value, video, _)| (*value, *video)).collect();
    let keep = |n: usize| Kept {
        candidate: candidates[n],
        content: Arc::clone(content(n)),
        asks: asks[n],
        x: lights[n],
    };
    Light { kept: order[..best].iter().map(|(.., n)| keep(*n as usize)).collect(), rest, watched }
}

/// A number with the order of finite floats.
#[must_use]
pub fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits(); // + 0.0 makes one of both zeros
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Brings the best of each arm that has none among the first `best` behind them; how many they are then. What is there
/// for its claim alone does not stand for its arm: it has the place that it claims or none.
fn arms(
    order: &mut [Lit],
    best: usize,
    arm: impl Fn(usize) -> u64,
    claimed: impl Fn(usize) -> bool,
) -> usize {
    let arm = |at: &Lit| arm(at.2 as usize);
    let stands = |at: &&Lit| !claimed(at.2 as usize);
    let known: FxHashSet<u64> = order[..best].iter().filter(stands).map(arm).collect();
    let mut missing: BTreeMap<u64, Lit> = BTreeMap::new();
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

/// Finds which candidates are within the quota of at least one source, and leaves them only their rank values there. A source's
/// quota goes to the best by rank value, then by number; what a worker offers beyond that leaves no trace. Nor does what was
/// just watched. `asks` are then the quotas that each is in, as bits; none for those that are no candidates after all. Gives the
/// best watched videos above the quotas' ends.
fn quotas(
    request: &Request,
    candidates: &mut [Candidate],
    passed: &[Passed],
    asks: &mut Vec<u8>,
    ranked: &mut [Vec<Within>; MAX_ASKS],
) -> Vec<u64> {
    ranked.iter_mut().for_each(Vec::clear);
    for (at, candidate) in candidates.iter_mut().enumerate() {
        let video = candidate.video;
        for (rank, ranked) in candidate.ranks.iter_mut().zip(&mut *ranked) {
            let rank = std::mem::replace(rank, ABSENT);
            if rank != ABSENT {
                ranked.push((Reverse(rank), video, at as u32));
            }
        }
    }
    asks.clear();
    asks.resize(candidates.len(), 0);
    let mut watched = Vec::new();
    for ((n, ask), ranked) in request.asks.iter().enumerate().zip(ranked) {
        let mut end = None;
        if ask.quota > 0 && ranked.len() >= ask.quota {
            ranked.select_nth_unstable(ask.quota - 1);
            end = Some(ranked[ask.quota - 1]);
        }
        ranked.truncate(ask.quota);
        for (rank, _, at) in ranked.iter() {
            candidates[*at as usize].ranks[n] = rank.0;
            asks[*at as usize] |= 1 << n;
        }
        let mut passed: Vec<(Reverse<i64>, u64)> = passed
            .iter()
            .filter(|(ask, ..)| usize::from(*ask) == n)
            .map(|(_, rank, video)| (Reverse(*rank), *video))
            .filter(|(rank, video)| end.is_none_or(|(last, number, _)| (*rank, *video) < (last, number)))
            .collect();
        passed.sort_unstable();
        watched.extend(passed.into_iter().take(WATCHED_NAMED).map(|(_, video)| video));
    }
    for (candidate, asks) in candidates.iter().zip(asks) {
        if request.last_watched.contains(&candidate.video) {
            *asks = 0;
        }
    }
    watched.sort_unstable();
    watched.dedup();
    watched
}

#[cfg(test)]
pub(crate) mod testing {
    use freshet_schema::feed::Source;

    use super::*;
    use crate::request::{Ask, Invited, Purpose, Subject};
    use crate::scorer::features::Taste;

    /// A user's request with these quotas.
    pub(crate) fn request(new_user: bool, asks: &[(Source, usize)]) -> Request {
        let ask = |(source, quota): &(Source, usize)| Ask::new(*source, *quota, Vec::new());
        Request {
            subject: Subject::User(1),
            purpose: Purpose::List,
            wanted: Vec::new(),
            now: 0,
            query: None,
            taste: Taste::default(),
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

    pub(crate) fn invited(video: u64, from: u16, propensity: f32) -> Invited {
        Invited { video, from, to: 20, propensity }
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::feed::Source;

    use super::testing::{invited, request};
    use super::*;
    use crate::bandit::Outlook;

    fn candidate(video: u64, rank: i64) -> Candidate {
        let mut ranks = [ABSENT; MAX_ASKS];
        ranks[0] = rank;
        Candidate { ranks, ..Candidate::unknown(video) }
    }

    /// What is left of some candidates with their categories.
    fn left(request: &Request, params: &Params, offered: &[(Candidate, u64)]) -> Light {
        let content = |(candidate, category): &(Candidate, u64)| {
            Arc::new(Content { category: *category, ..Content::unknown(candidate.video) })
        };
        let contents: Vec<Arc<Content>> = offered.iter().map(content).collect();
        let mut candidates: Vec<Candidate> = offered.iter().map(|(candidate, _)| *candidate).collect();
        let heads = Heads::default();
        let basis = Basis::new(&heads, params, request, [].iter());
        light(&basis, &mut candidates, &[], |n| &contents[n], &mut Scratch::default())
    }

    fn videos(light: &Light) -> Vec<u64> {
        let mut videos: Vec<u64> = light.kept.iter().map(|kept| kept.candidate.video).collect();
        videos.sort_unstable();
        videos
    }

    #[test]
    fn who_is_invited_is_kept() {
        let mut request = request(false, &[(Source::Trending, 3)]);
        request.invite(vec![invited(100, 7, 1.0)]);
        let mut params = Params::default();
        params.ranking.light = 1;
        let mut offered: Vec<(Candidate, u64)> = (1..=3).map(|n| (candidate(n, n as i64), 0)).collect();
        let mut poor = Candidate { norm: 0.0, ..Candidate::unknown(100) };
        poor.parts.quality = 0;
        poor.parts.freshness = 0;
        poor.ranks[1] = 0;
        offered.push((poor, 0));
        let light = left(&request, &params, &offered);
        assert_eq!((light.kept.len(), light.rest.len()), (2, 2));
        assert!(videos(&light).contains(&100), "{light:?}");
    }

    #[test]
    fn the_best_of_each_category_is_kept_where_places_explore() {
        let mut params = Params::default();
        params.ranking.light = 3;
        let pool = |outlook: Option<Box<Outlook>>| -> Vec<u64> {
            let request = Request { outlook, ..request(false, &[(Source::Trending, 40)]) };
            // Of one category the best, of another those behind.
            let offered = (1..=20).map(|n| {
                let mut candidate = candidate(n, 100 - n as i64);
                candidate.parts.quality = 2_000_000 - 50_000 * n as u32;
                (candidate, if n <= 10 { 1 } else { n % 2 + 2 })
            });
            videos(&left(&request, &params, &offered.collect::<Vec<_>>()))
        };
        assert_eq!(pool(None), [1, 2, 3]);
        assert_eq!(pool(Some(Box::default())), [1, 2, 3, 11, 12]);
    }

    #[test]
    fn numbers_have_the_order_of_values() {
        let values = [f32::MIN, -1.0, -1e-9, 0.0, 1e-9, 0.5, 7.0];
        let numbers = values.map(ordered);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn a_quota_goes_to_the_best() {
        let request = request(false, &[(Source::Trending, 2)]);
        let offered = [(1, 10), (2, 30), (3, 20), (4, 30)].map(|(video, rank)| (candidate(video, rank), 0));
        let light = left(&request, &Params::default(), &offered);
        assert_eq!(videos(&light), [2, 4]);
        assert!(light.rest.is_empty(), "what is beyond a quota leaves no trace");
        assert!(light.kept.iter().all(|kept| kept.asks == 1));
    }
}
