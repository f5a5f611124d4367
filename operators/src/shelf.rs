//! The video side: every worker keeps its own videos on shelves, ordered within each pool, and answers requests from them.
//!
//! Comes in: versions of videos, their sums and popularity as they change, publications, and requests (every worker hears
//! each). Goes out: for each request the worker's best candidates with their score parts; and, at publication times, the top
//! of the pools that changed. A pool's top-K over all videos is the best K of the workers' tops, so no list depends on how
//! videos are spread; the query travels to the vectors, never the vectors to the query.
//!
//! A pool is ordered by log2(decayed popularity) + log2(quality): products only, so the order does not change with time and
//! nothing is done when nothing happens. Requests are as-of lookups: they see the shelves at their epoch, and a shelf that
//! changes tells no user.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use freshet_learning::LONG_DIMS;
use freshet_schema::hash;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::content::{Cohort, Content, Facet};
use crate::cut::StateSize;
use crate::epoch::Stage;
use crate::interest;
use crate::params::Params;
use crate::popularity::{self, STEP, contribution, log_sum};
use crate::publish::Published;
use crate::rank::WATCHED_NAMED;
use crate::request::{ABSENT, Ask, Candidate, MAX_ASKS, Parts, Reply, Request, Subject};
use crate::row::Group;
use crate::score::{self, Rates};
use crate::sums::{Sums, WindowSums};

/// What the shelves hear. Totals come as they change: withdrawn with -1, set with 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ShelfIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A video's new version.
    Version(Arc<Content>),
    /// A video's window sums.
    Sums(u64, Box<WindowSums>, i64),
    /// A video's popularity in a group and landmark period.
    Popularity((u64, Facet, u32), i64, i64),
    /// A demographic group's name.
    Group(Group),
    /// A publication.
    Published(Arc<Published>),
    /// A list is to be made.
    Request(Arc<Request>),
}

/// What the shelves say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ShelfOut {
    /// An answer.
    Reply(Reply),
    /// The worker's top of a pool, at a publication time.
    Top(Top),
}

/// One worker's top of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// The pool.
    pub facet: Facet,
    /// Its name without the kind.
    pub name: Arc<str>,
    /// The worker that speaks.
    pub worker: u64,
    /// The epoch's `now`.
    pub now: u64,
    /// Videos and rank values, best first.
    pub items: Vec<(u64, i64)>,
}

struct Slot {
    content: Arc<Content>,
    norm: f64,
    week: Sums,
    all: Sums,
    quality: u32,
    /// Decayed popularity by group and period.
    popularity: Vec<(Facet, u32, i64)>,
    /// Where the video stands, while it is on the shelves.
    places: Vec<(Facet, i64)>,
}

#[derive(Default)]
struct Pool {
    name: Arc<str>,
    order: BTreeSet<(Reverse<i64>, u64, u32)>,
    changed: bool,
}

/// See the module.
pub struct Shelf {
    params: Params,
    worker: u64,
    slots: Vec<Slot>,
    index: FxHashMap<u64, u32>,
    pools: FxHashMap<Facet, Pool>,
    /// Candidates by the hash of their number: a ring to draw from.
    ring: BTreeMap<(u64, u64), u32>,
    creators: FxHashMap<u64, u32>,
    cohorts: BTreeMap<Cohort, Rates>,
    everyone: Rates,
    group_names: FxHashMap<Facet, Arc<str>>,
    /// For each slot, the request that found it last and its candidate there.
    marks: Vec<(u64, u32)>,
    requests: u64,
    published_at: Option<u64>,
    now: u64,
    bytes: u64,
}

impl Shelf {
    /// Empty shelves of a worker.
    #[must_use]
    pub fn new(params: Params, worker: usize) -> Self {
        Self {
            params,
            worker: worker as u64,
            slots: Vec::new(),
            index: FxHashMap::default(),
            pools: FxHashMap::default(),
            ring: BTreeMap::new(),
            creators: FxHashMap::default(),
            cohorts: BTreeMap::new(),
            everyone: Rates::default(),
            group_names: FxHashMap::default(),
            marks: Vec::new(),
            requests: 0,
            published_at: None,
            now: 0,
            bytes: 0,
        }
    }

    fn slot(&mut self, video: u64) -> u32 {
        if let Some(slot) = self.index.get(&video) {
            return *slot;
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot {
            content: Arc::new(Content::unknown(video)),
            norm: 0.0,
            week: Sums::default(),
            all: Sums::default(),
            quality: score::ONE,
            popularity: Vec::new(),
            places: Vec::new(),
        });
        self.marks.push((0, 0));
        self.index.insert(video, slot);
        self.bytes += (size_of::<Slot>() + 32 + 600) as u64;
        slot
    }

    /// Where the video belongs now: in each of its facets' pools and the global one by its popularity with everyone, in its
    /// audience's demographic pools by that with them.
    fn belongs(&self, slot: &Slot) -> Vec<(Facet, i64)> {
        let content = &slot.content;
        if !content.ready {
            return Vec::new();
        }
        let quality = score::log_part(slot.quality);
        let prior = (self.params.score.prior_popularity * 1000.0) as u64;
        let half_life = self.params.score.popularity_half_life;
        let value = |group: Facet, prior: u64| {
            let mut periods: Vec<(u32, i64)> = slot
                .popularity
                .iter()
                .filter(|(facet, ..)| *facet == group)
                .map(|(_, period, sum)| (*period, *sum))
                .collect();
            if prior > 0 {
                periods.push(contribution(prior, content.created_at, half_life));
            }
            log_sum(&periods).map(|log| log.div_euclid(STEP) + quality)
        };
        let mut places = Vec::new();
        if let Some(rank) = value(Facet::Everyone, prior) {
            places.push((Facet::Everyone, rank));
            places.extend(content.facets.iter().map(|(facet, _)| (*facet, rank)));
        }
        let mut groups: Vec<Facet> = slot
            .popularity
            .iter()
            .map(|(facet, ..)| *facet)
            .filter(|facet| matches!(facet, Facet::Demographic(_)))
            .collect();
        groups.sort_unstable();
        groups.dedup();
        places.extend(groups.into_iter().filter_map(|group| Some((group, value(group, 0)?))));
        places
    }

    /// Moves a video to where it belongs, if that is elsewhere.
    fn place(&mut self, at: u32) {
        let slot = &self.slots[at as usize];
        let places = self.belongs(slot);
        if places == slot.places {
            return;
        }
        let video = slot.content.video;
        let was_ready = !slot.places.is_empty();
        let old = std::mem::take(&mut self.slots[at as usize].places);
        for (facet, rank) in &old {
            if let Some(pool) = self.pools.get_mut(facet) {
                pool.order.remove(&(Reverse(*rank), video, at));
                pool.changed = true;
            }
        }
        for (facet, rank) in &places {
            let pool = self.pools.entry(*facet).or_default();
            if pool.name.is_empty() {
                let content = &self.slots[at as usize].content;
                let own = content.facets.iter().find(|(f, _)| f == facet).map(|(_, name)| Arc::clone(name));
                pool.name = own.or_else(|| self.group_names.get(facet).cloned()).unwrap_or_default();
            }
            pool.order.insert((Reverse(*rank), video, at));
            pool.changed = true;
        }
        let ready = !places.is_empty();
        if ready != was_ready {
            let key = (hash::mix(self.params.seed, &[video]), video);
            if ready {
                self.ring.insert(key, at);
            } else {
                self.ring.remove(&key);
            }
        }
        self.bytes = self.bytes + places.len() as u64 * 48 - old.len() as u64 * 48;
        self.slots[at as usize].places = places;
    }

    fn judge(&mut self, at: u32) {
        let slot = &self.slots[at as usize];
        let baseline = self.cohorts.get(&slot.content.cohort()).unwrap_or(&self.everyone);
        // The week tells how the video does now; a video without a week has only its past.
        let sums = if slot.week.views > 0 { &slot.week } else { &slot.all };
        self.slots[at as usize].quality = score::quality(sums, baseline, &self.params.score);
    }

    fn publication(&mut self, published: &Published) {
        self.everyone = published.everyone;
        self.cohorts.clone_from(&published.cohorts);
        self.creators.extend(published.creators.iter().map(|(creator, score)| (*creator, *score)));
        for at in 0..self.slots.len() as u32 {
            self.judge(at);
            self.place(at);
        }
    }

    /// Sends the tops of the pools that changed, when the clock passes a multiple of `pools_every`.
    fn tops(&mut self, out: &mut Vec<ShelfOut>) {
        let period = self.now / self.params.feed.pools_every;
        if self.now == 0 || self.published_at.is_some_and(|last| period <= last) {
            return;
        }
        self.published_at = Some(period);
        let length = self.params.feed.pool_length;
        for (facet, pool) in &mut self.pools {
            if std::mem::take(&mut pool.changed) {
                let items = pool.order.iter().take(length).map(|(rank, video, _)| (*video, rank.0)).collect();
                out.push(ShelfOut::Top(Top {
                    facet: *facet,
                    name: Arc::clone(&pool.name),
                    worker: self.worker,
                    now: self.now,
                    items,
                }));
            }
        }
    }

    fn parts(&self, slot: &Slot, request: &Request, query_norm: f64) -> Parts {
        Parts {
            similarity: interest::similarity(request.query.as_ref(), query_norm, &slot.content, slot.norm),
            quality: slot.quality,
            creator: self.creators.get(&slot.content.creator).copied().unwrap_or(score::ONE),
            freshness: score::freshness(
                slot.content.created_at,
                request.now,
                self.params.score.freshness_half_life,
            )
            .max(1),
        }
    }

    fn answer(&mut self, request: &Arc<Request>) -> Reply {
        self.requests += 1;
        let quota: usize = request.asks.iter().map(|ask| ask.quota).sum();
        let mut found: Vec<(u32, [i64; MAX_ASKS])> = Vec::with_capacity(quota.min(self.slots.len()));
        let mut watched = Vec::new();
        let mut marks = std::mem::take(&mut self.marks);
        for (n, ask) in request.asks.iter().take(MAX_ASKS).enumerate() {
            let mut taken = 0;
            let mut named = 0;
            self.walk(ask, request, |rank, video, at| {
                if request.watched.binary_search(&video).is_ok() {
                    if named < WATCHED_NAMED {
                        watched.push((n as u8, rank, video));
                        named += 1;
                    }
                    return true;
                }
                let mark = &mut marks[at as usize];
                if mark.0 != self.requests {
                    *mark = (self.requests, found.len() as u32);
                    found.push((at, [ABSENT; MAX_ASKS]));
                }
                let ranks = &mut found[mark.1 as usize].1;
                // A video in several of the source's pools is met several times and counts once.
                if ranks[n] == ABSENT {
                    ranks[n] = rank;
                    taken += 1;
                }
                taken < ask.quota
            });
        }
        self.marks = marks;
        let query_norm = request.query.as_ref().map_or(0.0, |q| q.vector.norm(LONG_DIMS));
        let candidates = found
            .into_iter()
            .map(|(at, ranks)| {
                let slot = &self.slots[at as usize];
                Candidate {
                    video: slot.content.video,
                    ranks,
                    category: slot.content.category,
                    parts: self.parts(slot, request, query_norm),
                }
            })
            .collect();
        Reply { request: Arc::clone(request), candidates, watched }
    }

    /// Visits the videos of an ask, best first, until `visit` says no.
    fn walk(&self, ask: &Ask, request: &Request, mut visit: impl FnMut(i64, u64, u32) -> bool) {
        if ask.pools.is_empty() {
            // Exploration: from a point drawn for this list, once around the ring. Nearer is better.
            let (kind, id) = match &request.subject {
                Subject::User(user) => (0, *user),
                Subject::Group(group) => (1, hash::text(group)),
            };
            let start = hash::mix(self.params.seed, &[kind, id]);
            let from = self.ring.range((start, 0)..).chain(self.ring.range(..(start, 0)));
            for ((point, video), at) in from {
                let distance = (point.wrapping_sub(start) >> 1) as i64;
                if !visit(-distance, *video, *at) {
                    return;
                }
            }
            return;
        }
        let mut pools: Vec<_> =
            ask.pools.iter().filter_map(|p| self.pools.get(p)).map(|p| p.order.iter()).collect();
        if let [pool] = &mut pools[..] {
            for (Reverse(rank), video, at) in pool {
                if !visit(*rank, *video, *at) {
                    return;
                }
            }
            return;
        }
        let mut heads: BinaryHeap<_> = BinaryHeap::new();
        for (n, pool) in pools.iter_mut().enumerate() {
            if let Some(head) = pool.next() {
                heads.push(Reverse((head, n)));
            }
        }
        while let Some(Reverse(((Reverse(rank), video, at), n))) = heads.pop() {
            if !visit(*rank, *video, *at) {
                return;
            }
            if let Some(head) = pools[n].next() {
                heads.push(Reverse((head, n)));
            }
        }
    }
}

impl Stage for Shelf {
    type In = ShelfIn;
    type Out = ShelfOut;

    fn step(&mut self, _epoch: u64, batch: Vec<ShelfIn>, out: &mut Vec<ShelfOut>) {
        let mut touched = FxHashSet::default();
        let (mut sums, mut popularity, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        let mut published = None;
        for message in batch {
            match message {
                ShelfIn::Clock(now) => self.now = self.now.max(now),
                // Of several versions in one epoch the last one sent holds; they come from one worker, in order.
                ShelfIn::Version(content) => {
                    let at = self.slot(content.video);
                    self.slots[at as usize].norm = content.vector.norm(LONG_DIMS);
                    self.slots[at as usize].content = content;
                    touched.insert(at);
                }
                ShelfIn::Sums(video, total, diff) => sums.push((diff, video, total)),
                ShelfIn::Popularity(key, total, diff) => popularity.push((diff, key, total)),
                ShelfIn::Group(group) => {
                    let name: Arc<str> = group.as_str().into();
                    self.group_names.insert(Facet::Demographic(hash::text(&group)), name);
                }
                ShelfIn::Published(version) => published = Some(version),
                ShelfIn::Request(request) => requests.push(request),
            }
        }
        // Withdrawals first: of a key that changed, the old total and the new one come in any order.
        sums.sort_by_key(|(diff, ..)| *diff);
        for (diff, video, total) in sums {
            let at = self.slot(video);
            let slot = &mut self.slots[at as usize];
            let total = if diff > 0 { *total } else { WindowSums::default() };
            slot.week = total.windows[WindowSums::WEEK];
            slot.all = total.windows[WindowSums::ALL];
            touched.insert(at);
        }
        popularity.sort_by_key(|(diff, ..)| *diff);
        for (diff, (video, facet, period), total) in popularity {
            let at = self.slot(video);
            let known = &mut self.slots[at as usize].popularity;
            known.retain(|(f, p, _)| (*f, *p) != (facet, period));
            if diff > 0 {
                known.push((facet, period, total));
            }
            touched.insert(at);
        }
        for at in touched {
            self.judge(at);
            self.place(at);
        }
        if let Some(published) = published {
            self.publication(&published);
        }
        self.tops(out);
        for request in &requests {
            let reply = self.answer(request);
            out.push(ShelfOut::Reply(reply));
        }
    }

    fn size(&self) -> StateSize {
        StateSize { entries: self.slots.len() as u64, bytes: self.bytes }
    }
}

/// The rank value of a pool as a plain number: log2 of popularity times quality.
#[must_use]
pub fn rank_to_log2(rank: i64) -> f32 {
    (rank as f64 * popularity::STEP as f64 / freshet_schema::fixed::OCTAVE as f64) as f32
}
