//! From candidates to a list: pure.
//!
//! Merge the workers' answers, keep each source's quota, order by the product of the score parts, and place by the rules.
//! Each candidate's score is its own: nothing here depends on which others are in the batch.

use std::cmp::Reverse;

use freshet_schema::feed::{Source, Stage as Dropped};
use freshet_schema::hash;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::params::Params;
use crate::request::{Candidate, Reply, Request, SourceId, Subject};

/// Watched videos named for the explanation, per source.
pub const WATCHED_NAMED: usize = 20;

/// One place of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The video with its parts.
    pub candidate: Candidate,
    /// The sources whose quota it is in.
    pub sources: Vec<SourceId>,
    /// The rule that moved it back from its place by score.
    pub moved_by: Option<&'static str>,
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

/// Makes the list for `request` from the answers of all workers.
#[must_use]
pub fn make(request: &Request, replies: &[Reply], params: &Params) -> List {
    let (mut pool, watched) = quotas(request, replies);
    pool.retain(|(candidate, _)| !request.last_watched.contains(&candidate.video));
    let (items, rest) = if request.new_user {
        for_strangers(pool, request, params)
    } else {
        pool.sort_unstable_by_key(|(c, _)| (Reverse(c.parts.score()), c.video));
        spread(pool, params.feed.length, params.feed.per_category, params.feed.category_window)
    };
    let mut dropped = rest;
    dropped.truncate(params.feed.dropped_kept);
    let left = params.feed.dropped_kept - dropped.len();
    dropped.extend(watched.into_iter().take(left).map(|video| (video, Dropped::Watched)));
    List { items, dropped }
}

/// The candidates that are within the quota of at least one source, with those sources and only their rank values there,
/// and the best watched videos above the quotas' ends. A source's quota goes to the best of all workers by rank value, then
/// by number; what a worker offers beyond that leaves no trace.
fn quotas(request: &Request, replies: &[Reply]) -> (Vec<(Candidate, Vec<SourceId>)>, Vec<u64>) {
    let mut all: Vec<(Candidate, Vec<SourceId>)> =
        replies.iter().flat_map(|r| &r.candidates).map(|c| (c.clone(), Vec::new())).collect();
    let mut watched = Vec::new();
    for (n, ask) in request.asks.iter().enumerate() {
        let mut ranked: Vec<(Reverse<i64>, u64, usize)> = all
            .iter_mut()
            .enumerate()
            .filter_map(|(at, (c, _))| Some((Reverse(c.ranks.get_mut(n)?.take()?), c.video, at)))
            .collect();
        let mut end = None;
        if ask.quota > 0 && ranked.len() >= ask.quota {
            ranked.select_nth_unstable(ask.quota - 1);
            end = Some(ranked[ask.quota - 1]);
        }
        ranked.truncate(ask.quota);
        for (rank, _, at) in ranked {
            all[at].0.ranks[n] = Some(rank.0);
            all[at].1.push(ask.source);
        }
        let mut passed: Vec<(Reverse<i64>, u64)> = replies
            .iter()
            .flat_map(|r| &r.watched)
            .filter(|(ask, ..)| usize::from(*ask) == n)
            .map(|(_, rank, video)| (Reverse(*rank), *video))
            .filter(|(rank, video)| end.is_none_or(|(last, number, _)| (*rank, *video) < (last, number)))
            .collect();
        passed.sort_unstable();
        watched.extend(passed.into_iter().take(WATCHED_NAMED).map(|(_, video)| video));
    }
    all.retain(|(_, sources)| !sources.is_empty());
    watched.sort_unstable();
    watched.dedup();
    (all, watched)
}

/// Places `ranked` so that among any `window` neighbours at most `per_category` share a category. Where no candidate fits,
/// the best one left is taken: a list that the rule would cut short is filled.
fn spread(
    ranked: Vec<(Candidate, Vec<SourceId>)>,
    length: usize,
    per_category: usize,
    window: usize,
) -> (Vec<Placed>, Vec<(u64, Dropped)>) {
    let mut waiting: Vec<Option<(Candidate, Vec<SourceId>)>> = ranked.into_iter().map(Some).collect();
    let mut items: Vec<Placed> = Vec::with_capacity(length.min(waiting.len()));
    let mut first = 0;
    let mut passed_over = FxHashSet::default();
    while items.len() < length && first < waiting.len() {
        let neighbours = &items[items.len().saturating_sub(window.saturating_sub(1))..];
        let fits = |c: &Candidate| {
            c.category == 0
                || neighbours.iter().filter(|p| p.candidate.category == c.category).count() < per_category
        };
        let open = || (first..waiting.len()).filter(|at| waiting[*at].is_some());
        let Some(best) = open().next() else { break };
        let chosen = open().find(|at| waiting[*at].as_ref().is_some_and(|(c, _)| fits(c))).unwrap_or(best);
        if chosen > best {
            passed_over.extend((best..chosen).filter(|at| waiting[*at].is_some()));
        }
        let Some((candidate, sources)) = waiting[chosen].take() else { break };
        let moved_by = passed_over.contains(&chosen).then_some(CATEGORY_RULE);
        items.push(Placed { candidate, sources, moved_by });
        while first < waiting.len() && waiting[first].is_none() {
            first += 1;
        }
    }
    let rest = waiting
        .into_iter()
        .enumerate()
        .filter_map(|(at, left)| {
            let (candidate, _) = left?;
            let stage = if passed_over.contains(&at) { Dropped::CategoryCap } else { Dropped::Length };
            Some((candidate.video, stage))
        })
        .collect();
    (items, rest)
}

/// The list of somebody without history (seed 002: seven popular and three to explore of ten, shuffled). In each block of
/// ten, `new_user_popular` of the places go to the best of the demographic group, filled up from what was asked for and from
/// the global trend, and the rest to a draw from all videos; the block is shuffled by a seeded hash.
fn for_strangers(
    pool: Vec<(Candidate, Vec<SourceId>)>,
    request: &Request,
    params: &Params,
) -> (Vec<Placed>, Vec<(u64, Dropped)>) {
    const BLOCK: usize = 10;
    let exploration = SourceId::new(Source::Exploration);
    let order_of = |source: Source| request.asks.iter().position(|a| a.source == SourceId::new(source));
    let preferred: Vec<usize> =
        [Source::Followed, Source::Hashtag, Source::Demographic, Source::Sound, Source::Trending]
            .into_iter()
            .filter_map(order_of)
            .collect();
    // (how good the source is, rank within it): the first source that has the video speaks for it.
    let standing = |c: &Candidate| {
        preferred
            .iter()
            .enumerate()
            .find_map(|(n, ask)| Some((n, Reverse((*c.ranks.get(*ask)?)?), c.video)))
    };
    let mut popular: Vec<_> = pool.iter().filter_map(|entry| Some((standing(&entry.0)?, entry))).collect();
    popular.sort_unstable_by_key(|(standing, _)| *standing);
    let explore_at = order_of(Source::Exploration);
    let mut explore: Vec<_> = pool
        .iter()
        .filter(|(_, sources)| sources.contains(&exploration))
        .filter_map(|entry| Some((Reverse((*entry.0.ranks.get(explore_at?)?)?), entry.0.video, entry)))
        .collect();
    explore.sort_unstable_by_key(|(rank, video, _)| (*rank, *video));

    let share = (params.feed.new_user_popular * BLOCK as f64).round() as usize;
    let mut popular = popular.into_iter().map(|(_, entry)| entry).peekable();
    let mut explore = explore.into_iter().map(|(_, _, entry)| entry).peekable();
    let mut used: FxHashSet<u64> = FxHashSet::default();
    let mut items: Vec<Placed> = Vec::new();
    let (kind, subject) = match &request.subject {
        Subject::User(user) => (0, *user),
        Subject::Group(group) => (1, hash::text(group)),
    };
    while items.len() < params.feed.length {
        let mut block: Vec<Placed> = Vec::with_capacity(BLOCK);
        let mut take = |from: &mut dyn Iterator<Item = &(Candidate, Vec<SourceId>)>,
                        wanted: usize,
                        block: &mut Vec<Placed>| {
            while block.len() < wanted {
                let Some((candidate, sources)) = from.next() else { break };
                if used.insert(candidate.video) {
                    block.push(Placed {
                        candidate: candidate.clone(),
                        sources: sources.clone(),
                        moved_by: None,
                    });
                }
            }
        };
        take(&mut popular, share, &mut block);
        take(&mut explore, BLOCK, &mut block);
        take(&mut popular, BLOCK, &mut block);
        if block.is_empty() {
            break;
        }
        block.sort_unstable_by_key(|p| hash::mix(params.seed, &[kind, subject, p.candidate.video]));
        items.append(&mut block);
    }
    let mut rest: Vec<(u64, Dropped)> = items
        .split_off(items.len().min(params.feed.length))
        .into_iter()
        .map(|p| (p.candidate.video, Dropped::Length))
        .collect();
    let left: FxHashMap<u64, ()> = pool.iter().map(|(c, _)| (c.video, ())).collect();
    let mut left: Vec<u64> = left.into_keys().filter(|v| !used.contains(v)).collect();
    left.sort_unstable();
    rest.extend(left.into_iter().map(|video| (video, Dropped::Length)));
    (items, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Ask, Parts};
    use std::sync::Arc;

    fn candidate(video: u64, score: u32, category: u64) -> (Candidate, Vec<SourceId>) {
        let parts = Parts { similarity: score, quality: 1_000_000, creator: 1_000_000, freshness: 1_000_000 };
        (Candidate { video, ranks: vec![Some(i64::from(score))], category, parts }, vec![SourceId(4)])
    }

    fn videos(items: &[Placed]) -> Vec<u64> {
        items.iter().map(|p| p.candidate.video).collect()
    }

    #[test]
    fn at_most_three_of_a_category_among_ten() {
        let ranked: Vec<_> =
            (0..30).map(|n| candidate(n, 1000 - n as u32, if n < 15 { 1 } else { n })).collect();
        let (items, _) = spread(ranked, 20, 3, 10);
        for window in items.windows(10) {
            assert!(window.iter().filter(|p| p.candidate.category == 1).count() <= 3);
        }
        assert_eq!(videos(&items)[..4], [0, 1, 2, 15]);
        assert_eq!(items[10].moved_by, Some(CATEGORY_RULE));
        assert_eq!(items[3].moved_by, None);
    }

    #[test]
    fn a_list_that_the_rule_would_cut_short_is_filled() {
        let ranked: Vec<_> = (0..30).map(|n| candidate(n, 1000 - n as u32, 1)).collect();
        let (items, rest) = spread(ranked, 20, 3, 10);
        assert_eq!(videos(&items), (0..20).collect::<Vec<_>>());
        assert_eq!(rest.len(), 10);
    }

    #[test]
    fn a_quota_goes_to_the_best_of_all_workers() {
        let request = Request {
            subject: Subject::User(1),
            now: 0,
            query: None,
            asks: vec![Ask { source: SourceId(4), quota: 2, pools: Vec::new() }],
            watched: Arc::default(),
            last_watched: Vec::new(),
            new_user: false,
            group: Arc::new("all".to_owned()),
            drift: false,
            obsession: false,
        };
        let reply = |scores: &[(u64, u32)]| Reply {
            request: Arc::new(request.clone()),
            candidates: scores.iter().map(|(v, s)| candidate(*v, *s, 0).0).collect(),
            watched: Vec::new(),
        };
        let (together, _) = quotas(&request, &[reply(&[(1, 10), (2, 30)]), reply(&[(3, 20), (4, 30)])]);
        let mut kept: Vec<u64> = together.iter().map(|(c, _)| c.video).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
    }
}
