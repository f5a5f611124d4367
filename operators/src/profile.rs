//! From a user's state to a request for candidates: pure, made when a list is.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::feed::Source;
use freshet_schema::{User, hash};

use crate::ahead;
use crate::coengage::positive;
use crate::content::Facet;
use crate::history::{Affinity, History, Interests};
use crate::interest;
use crate::params::Params;
use crate::request::{Ask, Purpose, Request, SourceId, Subject};
use crate::row::Group;
use crate::scorer::features::Taste;
use crate::sessions;
use crate::topics::TopicTable;
use crate::users::FollowOrder;

/// What a profile contributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Demographic group.
    pub group: Group,
    /// Hashtags that the user asked for.
    pub preferences: Vec<Facet>,
    /// The same as text, in lower case: what the store shows of them.
    pub tags: Box<[String]>,
}

impl Profile {
    /// Of a member of `group` who asked for these hashtags.
    #[must_use]
    pub fn new(group: Group, tags: Box<[String]>) -> Self {
        Self { group, preferences: tags.iter().map(|tag| Facet::Hashtag(hash::text(tag))).collect(), tags }
    }
}

/// The hashtags that a profile record asks for, in lower case.
#[must_use]
pub fn tags(user: &User) -> Box<[String]> {
    user.preferences.iter().map(|tag| tag.to_lowercase()).collect()
}

/// What a request needs that is not the user's.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// The group of everybody.
    pub everyone: &'a Group,
    /// The topics as last published.
    pub topics: &'a TopicTable,
    /// The configuration.
    pub params: &'a Params,
}

/// A request of a user as of now, for videos that are named: what a choice alone reads of the history is not in it. One is made for
/// every interaction, so it is kept small, and whoever has watched ten thousand videos has no copy made of that.
#[must_use]
pub fn to_describe(
    user: u64,
    history: &History,
    profile: Option<&Profile>,
    follows: &BTreeMap<u64, (FollowOrder, bool)>,
    now: u64,
    shared: &Shared,
) -> Request {
    let Shared { everyone, topics, params } = *shared;
    let rows = history.rows();
    let interests = history.interests();
    let reading = interest::read(
        &rows[rows.len().saturating_sub(4 * params.interest.short_last)..],
        &interests,
        topics,
        &params.interest,
    );
    let group = profile.map_or_else(|| Arc::clone(everyone), |p| Arc::clone(&p.group));
    let preferences = profile.map_or(&[][..], |p| &p.preferences);
    let quotas = &params.candidates;
    let ask = |source, quota, pools: Vec<Facet>| Ask::new(source, quota, pools);
    let per_kind = quotas.facets_per_kind;
    let followed = followed(history, follows, quotas.followed);
    let hashtags = liked(&interests, preferences, per_kind, |f| matches!(f, Facet::Hashtag(_)));
    let sounds = liked(&interests, &[], per_kind, |f| matches!(f, Facet::Sound(_)));
    let new_user = rows.is_empty();
    let mut asks = vec![
        ask(Source::Followed, quotas.followed, followed),
        ask(Source::Hashtag, quotas.hashtags, hashtags),
        ask(Source::Sound, quotas.sounds, sounds),
        ask(Source::Trending, quotas.trending, vec![Facet::Everyone]),
    ];
    let seeds = rows.iter().rev().filter(|row| positive(row, &params.coengagement));
    let mut seeds: Vec<u64> = seeds.take(params.coengagement.seeds).map(|row| row.content.video).collect();
    let seed = seeds.first().copied();
    seeds.sort_unstable();
    seeds.dedup();
    // What comes next is asked of the last one alone: it tells most, and its counts are frequencies.
    asks.push(ask(Source::Next, quotas.next, seed.map(Facet::Next).into_iter().collect()));
    asks.push(ask(Source::CoEngaged, quotas.co_engaged, seeds.into_iter().map(Facet::With).collect()));
    if new_user {
        asks.extend(strangers(&group, params));
    }
    asks.retain(|a| a.quota > 0 && (!a.pools.is_empty() || a.source == SourceId::new(Source::Exploration)));
    Request {
        subject: Subject::User(user),
        purpose: Purpose::List,
        wanted: Vec::new(),
        now,
        query: reading.query,
        taste: taste(&interests, preferences),
        seed,
        asks,
        watched: Arc::default(),
        last_watched: Vec::new(),
        recent: Vec::new(),
        new_user,
        session: sessions::last(rows, params.interest.session_gap),
        group,
        drift: reading.drift,
        obsession: reading.obsession,
        invited: Vec::new(),
        outlook: None,
    }
}

/// What [`to_describe`] made, with what a choice reads of the history besides: the request for the user's list.
#[must_use]
pub fn to_choose(request: Request, history: &History, params: &Params) -> Request {
    let rows = history.rows();
    let last = params.feed.no_repeat_last;
    let reread = params.rerank.novelty_last.max(params.rerank.narrow_last).max(last);
    let recent = &rows[rows.len().saturating_sub(reread)..];
    recent.iter().for_each(|row| ahead::content(&row.content));
    Request {
        watched: Arc::clone(history.watched()),
        last_watched: rows.iter().rev().take(last).map(|r| r.content.video).collect(),
        recent: recent.to_vec(),
        ..request
    }
}

/// The request for the new-user list of a group.
#[must_use]
pub fn group_request(group: &Group, now: u64, params: &Params) -> Request {
    let mut asks = vec![Ask::new(Source::Trending, params.candidates.trending, vec![Facet::Everyone])];
    asks.extend(strangers(group, params));
    Request {
        subject: Subject::Group(Arc::clone(group)),
        purpose: Purpose::List,
        wanted: Vec::new(),
        now,
        query: None,
        taste: taste(&Interests::default(), &[]),
        seed: None,
        asks,
        watched: Arc::default(),
        last_watched: Vec::new(),
        recent: Vec::new(),
        new_user: true,
        session: None,
        group: Arc::clone(group),
        drift: false,
        obsession: false,
        invited: Vec::new(),
        outlook: None,
    }
}

/// So many affinities, the strongest, are sent with a request.
const AFFINITIES: usize = 64;
/// Affinity, in per mille, to a hashtag that the user asked for.
const ASKED_FOR: i16 = 500;
/// Weight of rows, in per mille, that an affinity is shrunk with.
const RESERVE: i64 = 2000;

/// The user's side of the features.
fn taste(interests: &Interests, preferences: &[Facet]) -> Taste {
    // Each row of a known video has one creator.
    let of_creators = |(facet, affinity): (&Facet, &Affinity)| match facet {
        Facet::Creator(_) => i64::from(affinity.long.max(0)),
        _ => 0,
    };
    let whole = RESERVE + interests.facets.iter().map(of_creators).sum::<i64>();
    let shares = interests
        .facets
        .iter()
        .map(|(facet, affinity)| {
            (*facet, (i64::from(affinity.long) * 1000 / whole).clamp(-1000, 1000) as i16)
        })
        // No candidate has a topic among its facets.
        .filter(|(facet, share)| *share != 0 && !matches!(facet, Facet::Topic(_)));
    let mut affinities: Vec<(Facet, i16)> = Vec::with_capacity(interests.facets.len() + preferences.len());
    affinities.extend(shares);
    // What the user asked for counts as much as a strong liking, until the history says more.
    for asked in preferences {
        match affinities.iter_mut().find(|(facet, _)| facet == asked) {
            Some((_, share)) => *share = (*share).max(ASKED_FOR),
            None => affinities.push((*asked, ASKED_FOR)),
        }
    }
    if affinities.len() > AFFINITIES {
        let strongest = |(facet, share): &(Facet, i16)| (Reverse(share.unsigned_abs()), *facet);
        affinities.select_nth_unstable_by_key(AFFINITIES - 1, strongest);
        affinities.truncate(AFFINITIES);
    }
    affinities.sort_unstable();
    Taste { affinities }
}

/// What somebody without history is shown: the popular of their group, and a draw from everything.
fn strangers(group: &Group, params: &Params) -> [Ask; 2] {
    [
        Ask::new(Source::Demographic, params.feed.length, vec![Facet::Demographic(hash::text(group))]),
        Ask::new(Source::Exploration, params.feed.length, Vec::new()),
    ]
}

/// The facets of one kind that the user cares for most: asked for, then by affinity. What was watched in the mid-term window
/// is in the long-term one too and so counts twice.
fn liked(
    interests: &Interests,
    preferences: &[Facet],
    count: usize,
    kind: impl Fn(&Facet) -> bool,
) -> Vec<Facet> {
    let mut facets: Vec<(i32, Facet)> = interests
        .facets
        .iter()
        .filter(|(facet, _)| kind(facet))
        .map(|(facet, affinity)| (affinity.mid.saturating_add(affinity.long), *facet))
        .filter(|(affinity, facet)| *affinity > 0 && !preferences.contains(facet))
        .collect();
    facets.sort_unstable_by_key(|(affinity, facet)| (Reverse(*affinity), *facet));
    preferences.iter().copied().chain(facets.into_iter().map(|(_, facet)| facet)).take(count).collect()
}

/// Creators followed, latest first: by the follow stream or from a video, whichever spoke last.
fn followed(history: &History, follows: &BTreeMap<u64, (FollowOrder, bool)>, count: usize) -> Vec<Facet> {
    let mut creators = followed_creators(history, follows);
    creators.sort_unstable();
    creators.into_iter().rev().take(count).map(|(_, creator)| Facet::Creator(creator)).collect()
}

/// Creators that a user follows, each with the (time, event) that made it so.
pub(crate) fn followed_creators(
    history: &History,
    follows: &BTreeMap<u64, (FollowOrder, bool)>,
) -> Vec<((u64, u64), u64)> {
    let mut latest: BTreeMap<u64, ((u64, u64), bool)> =
        follows.iter().map(|(creator, ((time, id, _), on))| (*creator, ((*time, *id), *on))).collect();
    for (creator, time, id) in history.follows() {
        let mark = latest.entry(*creator).or_insert(((*time, *id), true));
        if mark.0 <= (*time, *id) {
            *mark = ((*time, *id), true);
        }
    }
    latest.into_iter().filter(|(_, (_, on))| *on).map(|(creator, (order, _))| (order, creator)).collect()
}
