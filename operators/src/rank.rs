//! From candidates to a list: pure.
//!
//! Merge the workers' answers, keep each source's quota, order by what an offer of each is worth ([`crate::scorer`]), and
//! place by the rules. Each candidate's worth is its own: nothing here depends on which others are in the batch.

use std::cmp::Reverse;

use freshet_schema::feed::{Source, Stage as Dropped};
use freshet_schema::hash;
use rustc_hash::FxHashSet;

use crate::params::Params;
use crate::popularity::{STEP, add_term, decayed, log_sum};
use crate::request::{ABSENT, Candidate, MAX_ASKS, Reply, Request, SourceId, Subject};
use crate::scorer::Scorer;
use crate::scorer::features::{Features, Seed, features};
use crate::scorer::heads::Heads;

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
    /// What an offer of it is worth.
    pub value: f32,
}

/// One place of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What stands there.
    pub chosen: Weighed,
    /// The rule that moved it back from its place by score.
    pub moved_by: Option<&'static str>,
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

/// The name of the rule in [`Placed::moved_by`].
pub const CATEGORY_RULE: &str = "category";

/// All candidates of a request, before any rule places them.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Best first, of equals the lower video first.
    pool: Vec<Weighed>,
    /// The best watched videos above the quotas' ends.
    watched: Vec<u64>,
}

impl Scored {
    /// The candidates with a number that orders them, best first, of equals the lower video first.
    #[must_use]
    pub fn scores(&self) -> Vec<(u64, u64)> {
        self.pool.iter().map(|c| (c.candidate.video(), ordered(c.value))).collect()
    }
}

/// A number with the order of finite floats.
fn ordered(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits(); // + 0.0 makes one of both zeros
    u64::from(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
}

/// Weighs candidates for a request.
pub struct Scales<'a> {
    heads: &'a Heads,
    params: &'a Params,
    request: &'a Request,
    seed: Seed,
}

impl<'a> Scales<'a> {
    /// `followed` is what was watched next after the request's seed, over all workers.
    #[must_use]
    pub fn new(heads: &'a Heads, params: &'a Params, request: &'a Request, replies: &[Reply]) -> Self {
        let mut followed: Vec<(u32, i64)> = Vec::new();
        for (period, amount) in replies.iter().flat_map(|reply| &reply.followed) {
            add_term(&mut followed, *period, *amount);
        }
        let half_life = params.coengagement.half_life;
        let followed = log_sum(followed.into_iter()).map_or(0.0, |log| decayed(log, request.now, half_life));
        Self { heads, params, request, seed: Seed { followed } }
    }

    /// What the heads see of a candidate.
    #[must_use]
    pub fn features(&self, candidate: &Candidate) -> Features {
        let half_life = self.params.coengagement.half_life;
        features(candidate, self.request, self.seed, |rank| decayed(rank * STEP, self.request.now, half_life))
    }

    fn weigh(&self, candidate: Candidate, asks: u8) -> Weighed {
        let x = self.features(&candidate);
        let value = self.heads.value(&x, 0.0, &self.params.ranking);
        Weighed { candidate, asks, x, value }
    }
}

/// Keeps each source's quota of all workers' answers, and orders what is left.
#[must_use]
pub fn score(scales: &Scales, replies: Vec<Reply>) -> Scored {
    let (pool, watched) = quotas(scales.request, replies);
    let last = &scales.request.last_watched;
    let mut pool: Vec<Weighed> = pool
        .into_iter()
        .filter(|(candidate, _)| !last.contains(&candidate.video()))
        .map(|(candidate, asks)| scales.weigh(candidate, asks))
        .collect();
    pool.sort_by_cached_key(|c| (Reverse(ordered(c.value)), c.candidate.video()));
    Scored { pool, watched }
}

/// Makes the list of what was scored, by the rules.
#[must_use]
pub fn place(scored: Scored, request: &Request, params: &Params) -> List {
    let Scored { pool, watched } = scored;
    let (items, rest) = if request.new_user {
        for_strangers(&pool, request, params)
    } else {
        spread(&pool, params.feed.length, params.feed.per_category, params.feed.category_window)
    };
    let mut dropped = rest;
    // What was just watched comes first: it is what people ask about.
    let mut latest: Vec<u64> = Vec::new();
    for video in request.last_watched.iter().chain(&watched) {
        if !latest.contains(video) {
            latest.push(*video);
        }
    }
    latest.truncate(params.feed.dropped_kept);
    dropped.truncate(params.feed.dropped_kept - latest.len());
    dropped.extend(latest.into_iter().map(|video| (video, Dropped::Watched)));
    List { items, dropped }
}

/// The candidates that are within the quota of at least one source, with those sources and only their rank values there,
/// and the best watched videos above the quotas' ends. A source's quota goes to the best of all workers by rank value, then
/// by number; what a worker offers beyond that leaves no trace.
fn quotas(request: &Request, replies: Vec<Reply>) -> (Vec<(Candidate, u8)>, Vec<u64>) {
    let mut offered_watched = Vec::new();
    let mut all: Vec<(Candidate, u8)> = Vec::with_capacity(replies.iter().map(|r| r.candidates.len()).sum());
    for reply in replies {
        all.extend(reply.candidates.into_iter().map(|candidate| (candidate, 0)));
        offered_watched.extend(reply.watched);
    }
    let mut watched = Vec::new();
    let mut ranked: Vec<(Reverse<i64>, u64, usize)> = Vec::with_capacity(all.len());
    for (n, ask) in request.asks.iter().enumerate().take(MAX_ASKS) {
        ranked.clear();
        for (at, (candidate, _)) in all.iter_mut().enumerate() {
            let rank = std::mem::replace(&mut candidate.ranks[n], ABSENT);
            if rank != ABSENT {
                ranked.push((Reverse(rank), candidate.video(), at));
            }
        }
        let mut end = None;
        if ask.quota > 0 && ranked.len() >= ask.quota {
            ranked.select_nth_unstable(ask.quota - 1);
            end = Some(ranked[ask.quota - 1]);
        }
        ranked.truncate(ask.quota);
        for (rank, _, at) in &ranked {
            let (candidate, asks) = &mut all[*at];
            candidate.ranks[n] = rank.0;
            *asks |= 1 << n;
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
    all.retain(|(_, asks)| *asks != 0);
    watched.sort_unstable();
    watched.dedup();
    (all, watched)
}

/// Places `ranked` so that among any `window` neighbours at most `per_category` share a category. Where no candidate fits,
/// the best one left is taken: a list that the rule would cut short is filled.
fn spread(
    ranked: &[Weighed],
    length: usize,
    per_category: usize,
    window: usize,
) -> (Vec<Placed>, Vec<(u64, Dropped)>) {
    let mut items: Vec<Placed> = Vec::with_capacity(length.min(ranked.len()));
    let mut taken = vec![false; ranked.len()];
    let mut passed_over = vec![false; ranked.len()];
    let mut first = 0;
    while items.len() < length && first < ranked.len() {
        let neighbours = &items[items.len().saturating_sub(window.saturating_sub(1))..];
        let fits = |category: u64| {
            category == 0
                || neighbours.iter().filter(|p| p.chosen.candidate.content.category == category).count()
                    < per_category
        };
        let fitting =
            (first..ranked.len()).find(|at| !taken[*at] && fits(ranked[*at].candidate.content.category));
        let chosen = fitting.unwrap_or(first);
        for at in first..chosen {
            passed_over[at] |= !taken[at];
        }
        taken[chosen] = true;
        let moved_by = passed_over[chosen].then_some(CATEGORY_RULE);
        items.push(Placed { chosen: ranked[chosen].clone(), moved_by });
        while first < ranked.len() && taken[first] {
            first += 1;
        }
    }
    let rest = (0..ranked.len())
        .filter(|at| !taken[*at])
        .map(|at| {
            (
                ranked[at].candidate.video(),
                if passed_over[at] { Dropped::CategoryCap } else { Dropped::Length },
            )
        })
        .collect();
    (items, rest)
}

/// How good a new user's candidate is: the preference of its source, the value there, its number.
type Standing = (usize, Reverse<i64>, u64);

/// A candidate with what orders it.
type By<'a, T> = (T, &'a Weighed);

/// A new user's candidates: those of a source that says something, best first, and those drawn to explore with the value of
/// the draw, best first. A candidate can be both.
fn by_standing<'a>(pool: &'a [Weighed], request: &Request) -> (Vec<By<'a, Standing>>, Vec<By<'a, i64>>) {
    let ask_of = |source: Source| request.asks.iter().position(|a| a.source == SourceId::new(source));
    let preferred: Vec<usize> =
        [Source::Followed, Source::Hashtag, Source::Demographic, Source::Sound, Source::Trending]
            .into_iter()
            .filter_map(ask_of)
            .collect();
    // The first source that has the video speaks for it.
    let standing = |c: &Candidate| {
        let best = preferred.iter().enumerate().find(|(_, ask)| c.ranks[**ask] != ABSENT);
        best.map(|(n, ask)| (n, Reverse(c.ranks[*ask]), c.video()))
    };
    let mut popular: Vec<_> =
        pool.iter().filter_map(|entry| Some((standing(&entry.candidate)?, entry))).collect();
    popular.sort_unstable_by_key(|(standing, _)| *standing);
    let drawn = |c: &Candidate| ask_of(Source::Exploration).map_or(ABSENT, |ask| c.ranks[ask]);
    let mut explore: Vec<_> = pool
        .iter()
        .map(|entry| (drawn(&entry.candidate), entry))
        .filter(|(value, _)| *value != ABSENT)
        .collect();
    explore.sort_unstable_by_key(|(value, c)| (Reverse(*value), c.candidate.video()));
    (popular, explore)
}

/// The list of somebody without history (seed 002: seven popular and three to explore of ten, shuffled). In each block of
/// ten, `new_user_popular` of the places go to the best of the demographic group, filled up from what was asked for and from
/// the global trend, and the rest to a draw from all videos; the block is shuffled by a seeded hash.
fn for_strangers(pool: &[Weighed], request: &Request, params: &Params) -> (Vec<Placed>, Vec<(u64, Dropped)>) {
    const BLOCK: usize = 10;
    let (popular, explore) = by_standing(pool, request);
    let (kind, subject) = match &request.subject {
        Subject::User(user) => (0, *user),
        Subject::Group(group) => (1, hash::text(group)),
    };
    let share = (params.feed.new_user_popular * BLOCK as f64).round() as usize;
    let mut popular = popular.into_iter().map(|(_, entry)| entry);
    let mut explore = explore.into_iter().map(|(_, entry)| entry);
    let mut used: FxHashSet<u64> = FxHashSet::default();
    let mut items: Vec<Placed> = Vec::new();
    while items.len() < params.feed.length {
        let mut block: Vec<Placed> = Vec::with_capacity(BLOCK);
        let mut fill = |from: &mut dyn Iterator<Item = &Weighed>, wanted: usize, block: &mut Vec<Placed>| {
            while block.len() < wanted {
                let Some(chosen) = from.next() else { break };
                if used.insert(chosen.candidate.video()) {
                    block.push(Placed { chosen: chosen.clone(), moved_by: None });
                }
            }
        };
        fill(&mut popular, share, &mut block);
        fill(&mut explore, BLOCK, &mut block);
        fill(&mut popular, BLOCK, &mut block);
        if block.is_empty() {
            break;
        }
        block.sort_unstable_by_key(|p| hash::mix(params.seed, &[kind, subject, p.chosen.candidate.video()]));
        items.append(&mut block);
    }
    let beyond = items.split_off(items.len().min(params.feed.length));
    let mut rest: Vec<u64> = beyond.into_iter().map(|p| p.chosen.candidate.video()).collect();
    let mut left: Vec<u64> = pool.iter().map(|c| c.candidate.video()).filter(|v| !used.contains(v)).collect();
    left.sort_unstable();
    rest.append(&mut left);
    (items, rest.into_iter().map(|video| (video, Dropped::Length)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::request::{Ask, Purpose};
    use crate::scorer::features::{FEATURES, Taste};
    use std::sync::Arc;

    fn candidate(video: u64, score: u32, category: u64) -> Weighed {
        let mut ranks = [ABSENT; MAX_ASKS];
        ranks[0] = i64::from(score);
        let content = Arc::new(Content { category, ..Content::unknown(video) });
        let candidate = Candidate { content, ranks, ..Candidate::unknown(video) };
        Weighed { candidate, asks: 1, x: Features([0; FEATURES]), value: score as f32 }
    }

    fn videos(items: &[Placed]) -> Vec<u64> {
        items.iter().map(|p| p.chosen.candidate.video()).collect()
    }

    #[test]
    fn at_most_three_of_a_category_among_ten() {
        let ranked: Vec<_> =
            (0..30).map(|n| candidate(n, 1000 - n as u32, if n < 15 { 1 } else { n })).collect();
        let (items, _) = spread(&ranked, 20, 3, 10);
        for window in items.windows(10) {
            assert!(window.iter().filter(|p| p.chosen.candidate.content.category == 1).count() <= 3);
        }
        assert_eq!(videos(&items)[..4], [0, 1, 2, 15]);
        assert_eq!(items[10].moved_by, Some(CATEGORY_RULE));
        assert_eq!(items[3].moved_by, None);
    }

    #[test]
    fn a_list_that_the_rule_would_cut_short_is_filled() {
        let ranked: Vec<_> = (0..30).map(|n| candidate(n, 1000 - n as u32, 1)).collect();
        let (items, rest) = spread(&ranked, 20, 3, 10);
        assert_eq!(videos(&items), (0..20).collect::<Vec<_>>());
        assert_eq!(rest.len(), 10);
    }

    fn request(new_user: bool, asks: &[(Source, usize)]) -> Request {
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
            last_watched: Vec::new(),
            new_user,
            session: None,
            group: Arc::new("all".to_owned()),
            drift: false,
            obsession: false,
        }
    }

    #[test]
    fn scores_have_the_order_of_values() {
        let values = [f32::MIN, -1.0, -1e-9, 0.0, 1e-9, 0.5, 7.0];
        let scores = values.map(ordered);
        assert!(scores.is_sorted_by(|a, b| a < b), "{scores:?}");
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn strangers_get_the_popular_of_their_group_and_a_draw() {
        let request =
            request(true, &[(Source::Trending, 9), (Source::Demographic, 9), (Source::Exploration, 9)]);
        let with = |video: u64, trend: i64, group: i64, draw: i64| {
            let mut weighed = candidate(video, 1, 0);
            weighed.candidate.ranks[..3].copy_from_slice(&[trend, group, draw]);
            weighed
        };
        let pool = vec![
            with(1, 50, ABSENT, -7),
            with(2, ABSENT, ABSENT, -3),
            with(3, 40, 10, ABSENT),
            with(5, 50, ABSENT, ABSENT),
            with(4, 50, ABSENT, ABSENT),
        ];
        let (popular, explore) = by_standing(&pool, &request);
        let popular: Vec<u64> = popular.iter().map(|(_, c)| c.candidate.video()).collect();
        let explore: Vec<u64> = explore.iter().map(|(_, c)| c.candidate.video()).collect();
        // The group's popular, then the trend's, of equals the lower number first.
        assert_eq!((popular, explore), (vec![3, 1, 4, 5], vec![2, 1]));
    }

    #[test]
    fn a_quota_goes_to_the_best_of_all_workers() {
        let request = request(false, &[(Source::Trending, 2)]);
        let reply = |scores: &[(u64, u32)]| Reply {
            request: Arc::new(request.clone()),
            candidates: scores.iter().map(|(v, s)| candidate(*v, *s, 0).candidate).collect(),
            watched: Vec::new(),
            followed: Vec::new(),
        };
        let (together, _) = quotas(&request, vec![reply(&[(1, 10), (2, 30)]), reply(&[(3, 20), (4, 30)])]);
        let mut kept: Vec<u64> = together.iter().map(|(c, _)| c.video()).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
    }
}
