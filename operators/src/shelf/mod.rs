//! The video side: every worker keeps its own videos on shelves, ordered within each pool, and answers requests from them.
//!
//! Comes in: versions of videos, their sums and popularity as they change, publications, and requests (every worker hears
//! each). Goes out: for each request the worker's best candidates with their score parts; and, at publication times, the top
//! of the pools that changed. A pool's top-K over all videos is the best K of the workers' tops, so no list depends on how
//! videos are spread; the query travels to the vectors, never the vectors to the query.
//!
//! A pool is ordered by log2 of the decayed popularity alone, so its order does not change with time, and only an interaction
//! with a video moves it. (With the quality in the order, each publication moved every video of every cohort: three
//! fifths of the job's time went there. Quality counts where it is used, in the score of a candidate.) Requests are as-of
//! lookups: they see the shelves at their epoch, and a shelf that changes tells no user.

mod answer;
mod face;
mod look;
pub(crate) mod saved;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::hash;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::coengage::{CoEngagement, Pair};
use crate::content::{Cohort, Content, Facet};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::light::Scratch;
use crate::look::{Kind, Records, Wanted};
use crate::order::Order;
use crate::params::Params;
use crate::popularity::{QUICK, STEP, add_term, contribution, first_kept, log_sum};
use crate::publish::Published;
use crate::request::{Candidate, MAX_ASKS, Purpose, Reply, Request};
use crate::row::Group;
use crate::score::{self, Rates};
use crate::scorer::features::{length, unseen};
use crate::scorer::heads::Heads;
use crate::spread::Spread;
use crate::sums::WindowSums;
use crate::windows::{Attention, Pace};
use face::Face;
use slot::Slot;

/// What the shelves hear. Totals come as they change, zero where nothing is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ShelfIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A video's new version.
    Version(Arc<Content>),
    /// A video's sums over the last week and over all time.
    Sums(u64, Box<WindowSums>),
    /// A video's popularity in a group and landmark period.
    Popularity((u64, Facet, u32), i64),
    /// A term of quick attention.
    Quick(Attention),
    /// A term of everybody's attention, by pace and landmark period. Heard by every worker.
    Everybody((Pace, u32), i64),
    /// Terms of co-engagement.
    Pair(Pair),
    /// A demographic group's name.
    Group(Group),
    /// A publication.
    Published(Arc<Published>),
    /// A list is to be made.
    Request(Arc<Request>),
    /// A record of what goes with this video is to be made.
    Related(u64),
    /// The factor on a video's score for abuse, in per mille.
    Penalty(u64, u16),
    /// The stage of a video's cohort, 0 where it is over. Said where stages are arms of exploration.
    Stage(u64, u8),
}

/// So many requests are answered before the answers go on: each is some hundred kilobytes, and what is used while it is in the
/// processor's cache costs less.
const REPLIES: usize = 8;

outputs! {
    /// What the shelves say.
    ShelfOut as ShelfStreams {
        /// An answer.
        replies: Reply,
        /// The worker's top of a pool, at a publication time.
        tops: Top,
        /// A video is in a pool no longer.
        left: Left,
        /// The worker's best of what was liked together with a video, with their rank values.
        related: (u64, Vec<(u64, i64)>),
    }
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
    /// Videos and rank values, best first.
    pub items: Vec<(u64, i64)>,
}

/// A video is in a pool no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// The pool.
    pub facet: Facet,
    /// Its name without the kind.
    pub name: Arc<str>,
    /// The video.
    pub video: u64,
}

/// A video that a request found: its slot, and its rank value for each ask.
type Found = (u32, [i64; MAX_ASKS]);

#[derive(Default)]
struct Pool {
    name: Arc<str>,
    order: Order,
    changed: bool,
}

/// See the module.
pub struct Shelf {
    params: Params,
    worker: u64,
    peers: u64,
    /// The videos, by number of their slot: what requests read of them, and what else there is.
    faces: Vec<Face>,
    slots: Vec<Slot>,
    index: FxHashMap<u64, u32>,
    pools: FxHashMap<Facet, Pool>,
    pairs: CoEngagement,
    /// Candidates by the hash of their number: a ring to draw from.
    ring: BTreeMap<(u64, u64), u32>,
    creators: FxHashMap<u64, u32>,
    cohorts: BTreeMap<Cohort, Rates>,
    everyone: Rates,
    heads: Arc<Heads>,
    spread: Option<Arc<Spread>>,
    /// Requests of the epoch that are not answered yet, the next one last.
    asked: Vec<Arc<Request>>,
    /// Everybody's attention by landmark period, at both paces.
    attention: [Vec<(u32, i64)>; 2],
    /// Its logarithms.
    attention_log: [Option<i64>; 2],
    /// Quick attention of earlier periods is not kept.
    oldest_quick: u32,
    /// Number of publications heard, from 1.
    publications: u64,
    group_names: FxHashMap<Facet, Arc<str>>,
    requests: u64,
    /// What a request found, its candidates, and what the light rank works in: kept for their memory.
    found: Vec<Found>,
    candidates: Vec<Candidate>,
    scratch: Scratch,
    /// Entries of all pools.
    places: usize,
    /// Pools that changed since their tops were sent.
    changed: Vec<Facet>,
    /// Videos that left a demographic pool in this epoch.
    left: Vec<(Facet, u64)>,
    publication: Boundary,
    now: u64,
}

impl Shelf {
    /// Empty shelves of one of `peers` workers.
    #[must_use]
    pub fn new(params: Params, worker: usize, peers: usize) -> Self {
        Self {
            params,
            worker: worker as u64,
            peers: peers as u64,
            faces: Vec::new(),
            slots: Vec::new(),
            index: FxHashMap::default(),
            pools: FxHashMap::default(),
            pairs: CoEngagement::default(),
            ring: BTreeMap::new(),
            creators: FxHashMap::default(),
            cohorts: BTreeMap::new(),
            everyone: Rates::default(),
            heads: Arc::default(),
            spread: None,
            asked: Vec::new(),
            attention: [const { Vec::new() }; 2],
            oldest_quick: 0,
            attention_log: [None; 2],
            publications: 1,
            group_names: FxHashMap::default(),
            requests: 0,
            found: Vec::new(),
            candidates: Vec::new(),
            scratch: Scratch::default(),
            places: 0,
            changed: Vec::new(),
            left: Vec::new(),
            publication: Boundary::default(),
            now: 0,
        }
    }

    fn slot(&mut self, video: u64) -> u32 {
        if let Some(slot) = self.index.get(&video) {
            return *slot;
        }
        let slot = self.slots.len() as u32;
        self.faces.push(Face::new(video));
        self.slots.push(Slot::default());
        self.index.insert(video, slot);
        slot
    }

    /// Puts a new version in its place. The old one leaves the shelves first, as it may have stood in other pools; if it was on
    /// them, it is given back.
    fn version(&mut self, content: Arc<Content>) -> (u32, Option<Arc<Content>>) {
        let at = self.slot(content.video);
        let face = &self.faces[at as usize];
        let old = face.shown.then(|| Arc::clone(&face.content));
        self.stand(at, None);
        let score = &self.params.score;
        let prior = (score.prior_popularity * 1000.0) as u64;
        let prior = contribution(prior, content.created_at, score.popularity_half_life);
        self.slots[at as usize].prior = prior;
        self.faces[at as usize].version(content);
        (at, old)
    }

    /// The pools in which a video was by its `old` version and is not by the present one.
    fn leaves(&self, at: u32, old: &Content, out: &mut Vec<Left>) {
        let face = &self.faces[at as usize];
        let stays = |facet: Facet| {
            face.shown && (facet == Facet::Everyone || face.content.facets.iter().any(|(f, _)| *f == facet))
        };
        let facets = old.facets.iter().map(|(facet, _)| *facet);
        let left = std::iter::once(Facet::Everyone).chain(facets).filter(|facet| !stays(*facet));
        out.extend(left.map(|facet| self.left(facet, old.video)));
    }

    fn left(&self, facet: Facet, video: u64) -> Left {
        Left {
            facet,
            name: self.pools.get(&facet).map(|pool| Arc::clone(&pool.name)).unwrap_or_default(),
            video,
        }
    }

    /// Moves a video to where it belongs in the global pool and its facets', if that is elsewhere.
    fn place(&mut self, at: u32) {
        let slot = &self.slots[at as usize];
        let log = || log_sum(slot.popularity.iter().copied().chain([slot.prior]));
        let rank =
            if self.faces[at as usize].content.ready { log().map(|log| log.div_euclid(STEP)) } else { None };
        if rank != slot.rank {
            self.stand(at, rank);
        }
    }

    /// Moves a video to where it belongs in the pool of a demographic group.
    fn place_with(&mut self, at: u32, group: Facet) {
        let (slot, content) = (&mut self.slots[at as usize], &self.faces[at as usize].content);
        let video = content.video;
        let periods = slot.audiences.iter().filter(|(facet, ..)| *facet == group);
        let log = || log_sum(periods.map(|(_, period, sum)| (*period, *sum)));
        let rank = if content.ready { log().map(|log| log.div_euclid(STEP)) } else { None };
        let known = slot.ranks.iter().position(|(facet, _)| *facet == group);
        let old = known.map(|n| slot.ranks[n].1);
        if rank == old {
            return;
        }
        match (known, rank) {
            (Some(n), Some(rank)) => slot.ranks[n].1 = rank,
            (Some(n), None) => drop(slot.ranks.swap_remove(n)),
            (None, Some(rank)) => slot.ranks.push((group, rank)),
            (None, None) => {}
        }
        self.places = self.places + usize::from(rank.is_some()) - usize::from(old.is_some());
        let name = self.group_names.get(&group).cloned();
        self.pool(group, name.as_ref(), (video, at), old, rank);
        if rank.is_none() {
            self.left.push((group, video));
        }
    }

    /// Gives a video this rank value in the global pool and its content's pools, or takes it off them.
    fn stand(&mut self, at: u32, rank: Option<i64>) {
        let old = std::mem::replace(&mut self.slots[at as usize].rank, rank);
        let face = &mut self.faces[at as usize];
        face.shown = rank.is_some();
        let content = Arc::clone(&face.content);
        let video = content.video;
        let everyone = [(Facet::Everyone, Arc::default())];
        for (facet, name) in everyone.iter().chain(&content.facets) {
            self.pool(*facet, Some(name), (video, at), old, rank);
        }
        if old.is_some() != rank.is_some() {
            let places = content.facets.len() + 1;
            self.places = if rank.is_some() { self.places + places } else { self.places - places };
            let key = (hash::mix(self.params.seed, &[video]), video);
            if rank.is_some() {
                self.ring.insert(key, at);
            } else {
                self.ring.remove(&key);
            }
        }
    }

    /// Moves a video within a pool.
    fn pool(
        &mut self,
        facet: Facet,
        name: Option<&Arc<str>>,
        (video, at): (u64, u32),
        old: Option<i64>,
        rank: Option<i64>,
    ) {
        if old == rank {
            return;
        }
        let pool = self.pools.entry(facet).or_default();
        if let Some(name) = name
            && pool.name.is_empty()
        {
            pool.name = Arc::clone(name);
        }
        pool.order.note(at, video, old, rank);
        if !std::mem::replace(&mut pool.changed, true) {
            self.changed.push(facet);
        }
    }

    fn baseline(&self, content: &Content) -> &Rates {
        self.cohorts.get(&content.cohort()).unwrap_or(&self.everyone)
    }

    /// Measures a video against its cohort's baseline, unless it was since its sums or the baselines changed.
    fn judge(&mut self, at: u32) {
        let face = &self.faces[at as usize];
        if face.judged == self.publications {
            return;
        }
        let slot = &self.slots[at as usize];
        let baseline = self.baseline(&face.content);
        // The week tells how the video does now; a video without a week has only its past.
        let sums = if slot.week.views > 0 { &slot.week } else { &slot.all };
        let quality = score::quality(sums, baseline, &self.params.score);
        let rates = score::video_rates(&slot.all, baseline, self.params.score.shrinkage_views);
        let creator = self.creators.get(&face.content.creator).copied().unwrap_or(score::ONE);
        let face = &mut self.faces[at as usize];
        face.quality = quality;
        face.creator = creator;
        face.rates = rates;
        face.unseen = unseen(slot.all.views);
        face.length = length(face.content.duration_ms);
        face.judged = self.publications;
    }

    fn published(&mut self, published: &Published) {
        self.publications += 1;
        self.everyone = published.everyone;
        self.heads = Arc::clone(&published.heads);
        self.spread.clone_from(&published.spread);
        self.cohorts.clone_from(&published.cohorts);
        self.creators.extend(published.creators.iter().map(|(creator, score)| (*creator, *score)));
    }

    /// Sends the tops of the pools that changed, when the clock passes a multiple of `pools_every`.
    fn tops(&mut self, out: &mut Vec<Top>) {
        let feed = &self.params.feed;
        if !feed.enabled || self.publication.pass(self.now, feed.pools_every).is_none() {
            return;
        }
        for facet in std::mem::take(&mut self.changed) {
            let Some(pool) = self.pools.get_mut(&facet) else { continue };
            pool.changed = false;
            pool.order.settle();
            let best = pool.order.best().take(feed.pool_length);
            let items = best.map(|(rank, video, _)| (*video, rank.0)).collect();
            out.push(Top { facet, name: Arc::clone(&pool.name), worker: self.worker, items });
        }
    }
}

impl Stage for Shelf {
    type In = ShelfIn;
    type Out = ShelfOut;

    fn step(&mut self, _epoch: u64, batch: Vec<ShelfIn>, out: &mut ShelfOut) {
        // What a row is learned from is what was known before its epoch: nothing in the batch has been taken in yet.
        for message in &batch {
            if let ShelfIn::Request(request) = message
                && matches!(request.purpose, Purpose::Learn(..))
            {
                let reply = self.describe(request);
                out.replies.push(reply);
            }
        }
        let quick = (self.params.score.popularity_half_life / QUICK).max(1);
        let (mut versions, mut requests, mut leaving) = (Vec::new(), Vec::new(), Vec::new());
        let (mut touched, mut pairs, mut terms) = (FxHashSet::default(), Vec::new(), Vec::new());
        let mut everybody = false;
        let mut related = Vec::new();
        for message in batch {
            match message {
                ShelfIn::Clock(now) => self.now = self.now.max(now),
                ShelfIn::Version(content) => versions.push(content),
                ShelfIn::Sums(video, totals) => {
                    let at = self.slot(video);
                    let slot = &mut self.slots[at as usize];
                    WindowSums([slot.week, slot.all]) = *totals;
                    self.faces[at as usize].judged = 0;
                }
                ShelfIn::Popularity((video, facet, period), total) => {
                    let at = self.slot(video);
                    let face = &mut self.faces[at as usize];
                    self.slots[at as usize].popularity(facet, period, total, face);
                    touched.insert((at, facet));
                }
                ShelfIn::Quick(term) => terms.push(term),
                ShelfIn::Everybody((pace, period), amount) => {
                    add_term(&mut self.attention[pace as usize], period, amount);
                    everybody = true;
                }
                ShelfIn::Pair(pair) => pairs.push(pair),
                ShelfIn::Group(group) => {
                    let name: Arc<str> = group.as_str().into();
                    self.group_names.insert(Facet::Demographic(hash::text(&group)), name);
                }
                ShelfIn::Published(version) => self.published(&version),
                ShelfIn::Request(request) => match request.purpose {
                    Purpose::Learn(..) => {}
                    Purpose::List | Purpose::Ask { .. } | Purpose::Probe => requests.push(request),
                },
                ShelfIn::Related(video) => related.push(video),
                ShelfIn::Penalty(video, factor) => {
                    let at = self.slot(video);
                    self.faces[at as usize].trusted = factor;
                }
                ShelfIn::Stage(video, stage) => {
                    let at = self.slot(video);
                    self.faces[at as usize].stage = stage;
                }
            }
        }
        let oldest = first_kept(self.now, quick);
        if oldest > self.oldest_quick {
            self.oldest_quick = oldest;
            self.slots.iter_mut().zip(&mut self.faces).for_each(|(slot, face)| slot.age(oldest, face));
            everybody = true;
        }
        for term in terms.into_iter().filter(|term: &Attention| term.period >= oldest) {
            let at = self.slot(term.video);
            self.slots[at as usize].quick(term.period, term.amount, &mut self.faces[at as usize]);
        }
        if everybody {
            self.attention[Pace::Quick as usize].retain(|(period, _)| *period >= oldest);
            self.attention_log = [0, 1].map(|pace| log_sum(self.attention[pace].iter().copied()));
        }
        let faces = &self.faces;
        let half_life = self.params.coengagement.half_life;
        self.pairs.age(self.now, half_life, |at| faces[at as usize].video);
        for pair in pairs {
            let at = self.slot(pair.video);
            self.pairs.add(&pair, at);
        }
        // Of several versions in one epoch the last one sent holds; they come from one worker, in order.
        for content in versions {
            let (at, old) = self.version(content);
            leaving.extend(old.map(|old| (at, old)));
            touched.insert((at, Facet::Everyone));
            touched.extend(self.slots[at as usize].audiences.iter().map(|(group, ..)| (at, *group)));
        }
        for (at, facet) in touched {
            match facet {
                Facet::Everyone => self.place(at),
                group => self.place_with(at, group),
            }
        }
        for (at, old) in leaving {
            self.leaves(at, &old, &mut out.left);
        }
        for (facet, video) in std::mem::take(&mut self.left) {
            out.left.push(self.left(facet, video));
        }
        self.tops(&mut out.tops);
        for video in related {
            out.related.push((video, self.related(video)));
        }
        self.asked = requests;
    }

    fn more(&mut self, out: &mut ShelfOut) -> bool {
        for _ in 0..REPLIES {
            let Some(request) = self.asked.pop() else { break };
            let reply =
                if request.wanted.is_empty() { self.answer(&request) } else { self.describe(&request) };
            out.replies.push(reply);
        }
        !self.asked.is_empty()
    }

    fn size(&self) -> StateSize {
        // Shared contents are counted where they are made. A place in a pool is a sorted set's entry, about half filled, or a noted move.
        let slot = size_of::<Slot>() + size_of::<Face>() + size_of::<(u64, u32)>() + 16 + 48;
        let bytes =
            self.slots.len() * slot + self.places * 48 + self.pools.len() * 120 + self.ring.len() * 48;
        let entries = self.slots.len() + self.pairs.len();
        StateSize { entries: entries as u64, bytes: (bytes + self.pairs.bytes()) as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, wanted: &Wanted) -> Records {
        if wanted.kind == Kind::Pairs { look::pairs(self, wanted) } else { look::standings(self, wanted) }
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

/// The rank value of a pool as a plain number: log2 of the decayed popularity, on a scale that does not change with time.
#[must_use]
pub fn rank_to_log2(rank: i64) -> f32 {
    (rank as f64 * STEP as f64 / freshet_schema::fixed::OCTAVE as f64) as f32
}
