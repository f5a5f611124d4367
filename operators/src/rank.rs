//! From candidates to a list: pure.
//!
//! Merge the workers' answers, keep each source's quota, order by the product of the score parts, and place by the rules.
//! Each candidate's score is its own: nothing here depends on which others are in the batch.

use std::cmp::Reverse;

use freshet_schema::feed::{Source, Stage as Dropped};
use freshet_schema::hash;
use rustc_hash::FxHashSet;

use crate::params::Params;
use crate::request::{ABSENT, Candidate, MAX_ASKS, Reply, Request, SourceId, Subject};

/// Watched videos named for the explanation, per source.
pub const WATCHED_NAMED: usize = 20;

/// One place of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The video with its parts.
    pub candidate: Candidate,
    /// The asks in whose quota it is, as bits by their number.
    pub asks: u8,
    /// The rule that moved it back from its place by score.
    pub moved_by: Option<&'static str>,
}

impl Placed {
    /// The sources whose quota it is in.
    pub fn sources<'a>(&self, request: &'a Request) -> impl Iterator<Item = SourceId> + use<'a> {
        let asks = self.asks;
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

/// A candidate and the asks in whose quota it is.
type Chosen = (Candidate, u8);

/// All candidates of a request, before any rule places them.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Best first; for a new user in no order that means anything.
    pool: Vec<Chosen>,
    /// The best watched videos above the quotas' ends.
    watched: Vec<u64>,
}

impl Scored {
    /// The candidates with the number that orders them, best first, of equals the lower video first. For a user with a
    /// history that is the product of the score parts. A new user's list is not made by it: there it is the place among the
    /// sources in the order of their preference and the values in them, counted from the worst (1).
    #[must_use]
    pub fn scores(&self, request: &Request) -> Vec<(u64, u64)> {
        if !request.new_user {
            return self.pool.iter().map(|(c, _)| (c.video(), c.parts.score())).collect();
        }
        let (popular, explore) = by_standing(&self.pool, request);
        let known: FxHashSet<u64> = popular.iter().map(|(_, (c, _))| c.video()).collect();
        let popular = popular.into_iter().map(|((source, value, video), _)| ((source, value), video));
        let explore = explore
            .into_iter()
            .filter(|(_, (c, _))| !known.contains(&c.video()))
            .map(|(value, (c, _))| ((usize::MAX, Reverse(value)), c.video()));
        let mut scores: Vec<(u64, u64)> = Vec::with_capacity(self.pool.len());
        let (mut last, mut level) = (None, 0);
        for (standing, video) in popular.chain(explore) {
            level += u64::from(last != Some(standing));
            last = Some(standing);
            scores.push((video, level));
        }
        for (_, score) in &mut scores {
            *score = level + 1 - *score;
        }
        scores
    }
}

/// Keeps each source's quota of all workers' answers, and orders what is left.
#[must_use]
pub fn score(request: &Request, replies: Vec<Reply>) -> Scored {
    let (mut pool, watched) = quotas(request, replies);
    pool.retain(|(candidate, _)| !request.last_watched.contains(&candidate.video()));
    if !request.new_user {
        pool.sort_by_cached_key(|(c, _)| (Reverse(c.parts.score()), c.video()));
    }
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
fn quotas(request: &Request, replies: Vec<Reply>) -> (Vec<Chosen>, Vec<u64>) {
    let mut offered_watched = Vec::new();
    let mut all: Vec<Chosen> = Vec::with_capacity(replies.iter().map(|r| r.candidates.len()).sum());
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
    ranked: &[Chosen],
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
                || neighbours.iter().filter(|p| p.candidate.content.category == category).count()
                    < per_category
        };
        let fitting = (first..ranked.len()).find(|at| !taken[*at] && fits(ranked[*at].0.content.category));
        let chosen = fitting.unwrap_or(first);
        for at in first..chosen {
            passed_over[at] |= !taken[at];
        }
        taken[chosen] = true;
        let (candidate, asks) = ranked[chosen].clone();
        items.push(Placed { candidate, asks, moved_by: passed_over[chosen].then_some(CATEGORY_RULE) });
        while first < ranked.len() && taken[first] {
            first += 1;
        }
    }
    let rest = (0..ranked.len())
        .filter(|at| !taken[*at])
        .map(|at| {
            (ranked[at].0.video(), if passed_over[at] { Dropped::CategoryCap } else { Dropped::Length })
        })
        .collect();
    (items, rest)
}

/// How good a new user's candidate is: the preference of its source, the value there, its number.
type Standing = (usize, Reverse<i64>, u64);

/// A candidate with what orders it.
type By<'a, T> = (T, &'a Chosen);

/// A new user's candidates: those of a source that says something, best first, and those drawn to explore with the value of
/// the draw, best first. A candidate can be both.
fn by_standing<'a>(pool: &'a [Chosen], request: &Request) -> (Vec<By<'a, Standing>>, Vec<By<'a, i64>>) {
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
    let mut popular: Vec<_> = pool.iter().filter_map(|entry| Some((standing(&entry.0)?, entry))).collect();
    popular.sort_unstable_by_key(|(standing, _)| *standing);
    let drawn = |c: &Candidate| ask_of(Source::Exploration).map_or(ABSENT, |ask| c.ranks[ask]);
    let mut explore: Vec<_> =
        pool.iter().map(|entry| (drawn(&entry.0), entry)).filter(|(value, _)| *value != ABSENT).collect();
    explore.sort_unstable_by_key(|(value, (c, _))| (Reverse(*value), c.video()));
    (popular, explore)
}

/// The list of somebody without history (seed 002: seven popular and three to explore of ten, shuffled). In each block of
/// ten, `new_user_popular` of the places go to the best of the demographic group, filled up from what was asked for and from
/// the global trend, and the rest to a draw from all videos; the block is shuffled by a seeded hash.
fn for_strangers(pool: &[Chosen], request: &Request, params: &Params) -> (Vec<Placed>, Vec<(u64, Dropped)>) {
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
        let mut fill = |from: &mut dyn Iterator<Item = &Chosen>, wanted: usize, block: &mut Vec<Placed>| {
            while block.len() < wanted {
                let Some((candidate, asks)) = from.next() else { break };
                if used.insert(candidate.video()) {
                    block.push(Placed { candidate: candidate.clone(), asks: *asks, moved_by: None });
                }
            }
        };
        fill(&mut popular, share, &mut block);
        fill(&mut explore, BLOCK, &mut block);
        fill(&mut popular, BLOCK, &mut block);
        if block.is_empty() {
            break;
        }
        block.sort_unstable_by_key(|p| hash::mix(params.seed, &[kind, subject, p.candidate.video()]));
        items.append(&mut block);
    }
    let beyond = items.split_off(items.len().min(params.feed.length));
    let mut rest: Vec<u64> = beyond.into_iter().map(|p| p.candidate.video()).collect();
    let mut left: Vec<u64> = pool.iter().map(|(c, _)| c.video()).filter(|v| !used.contains(v)).collect();
    left.sort_unstable();
    rest.append(&mut left);
    (items, rest.into_iter().map(|video| (video, Dropped::Length)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::request::{Ask, Parts};
    use std::sync::Arc;

    fn candidate(video: u64, score: u32, category: u64) -> Chosen {
        let parts = Parts { similarity: score, quality: 1_000_000, creator: 1_000_000, freshness: 1_000_000 };
        let mut ranks = [ABSENT; MAX_ASKS];
        ranks[0] = i64::from(score);
        let content = Arc::new(Content { category, ..Content::unknown(video) });
        (Candidate { content, ranks, parts }, 1)
    }

    fn videos(items: &[Placed]) -> Vec<u64> {
        items.iter().map(|p| p.candidate.video()).collect()
    }

    #[test]
    fn at_most_three_of_a_category_among_ten() {
        let ranked: Vec<_> =
            (0..30).map(|n| candidate(n, 1000 - n as u32, if n < 15 { 1 } else { n })).collect();
        let (items, _) = spread(&ranked, 20, 3, 10);
        for window in items.windows(10) {
            assert!(window.iter().filter(|p| p.candidate.content.category == 1).count() <= 3);
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
            asked: false,
            now: 0,
            query: None,
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
    fn scores_say_by_what_a_list_is_ordered() {
        let ranked = request(false, &[(Source::Trending, 9)]);
        let pool = vec![candidate(2, 30, 0), candidate(1, 20, 0)];
        let scored = Scored { pool, watched: Vec::new() };
        let score = |millionths: u64| millionths * 1_000_000;
        assert_eq!(scored.scores(&ranked), [(2, score(30)), (1, score(20))]);

        // For a new user: the group's popular, then the trend's, of equals the lower number first, then what was drawn.
        let stranger =
            request(true, &[(Source::Trending, 9), (Source::Demographic, 9), (Source::Exploration, 9)]);
        let with = |video: u64, trend: i64, group: i64, draw: i64| {
            let (mut candidate, asks) = candidate(video, 1, 0);
            candidate.ranks[..3].copy_from_slice(&[trend, group, draw]);
            (candidate, asks)
        };
        let pool = vec![
            with(1, 50, ABSENT, -7),
            with(2, ABSENT, ABSENT, -3),
            with(3, 40, 10, ABSENT),
            with(5, 50, ABSENT, ABSENT),
            with(4, 50, ABSENT, ABSENT),
        ];
        let scored = Scored { pool, watched: Vec::new() };
        assert_eq!(scored.scores(&stranger), [(3, 3), (1, 2), (4, 2), (5, 2), (2, 1)]);
    }

    #[test]
    fn a_quota_goes_to_the_best_of_all_workers() {
        let request = request(false, &[(Source::Trending, 2)]);
        let reply = |scores: &[(u64, u32)]| Reply {
            request: Arc::new(request.clone()),
            candidates: scores.iter().map(|(v, s)| candidate(*v, *s, 0).0).collect(),
            watched: Vec::new(),
        };
        let (together, _) = quotas(&request, vec![reply(&[(1, 10), (2, 30)]), reply(&[(3, 20), (4, 30)])]);
        let mut kept: Vec<u64> = together.iter().map(|(c, _)| c.video()).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
    }
}
