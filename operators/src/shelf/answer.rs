//! A request is answered from the shelves: the best of each source, as the shelves stand at its epoch.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use freshet_learning::{LONG_DIMS, SHORT_DIMS};
use freshet_schema::hash;
use freshet_schema::hash::shard as route;

use super::Shelf;
use super::face::Face;
use crate::ahead::{self, AHEAD};
use crate::coengage::Relation;
use crate::content::Facet;
use crate::interest::Likeness;
use crate::light::{Basis, WATCHED_NAMED, light};
use crate::order::Order;
use crate::request::{ABSENT, Ask, Candidate, MAX_ASKS, Parts, Reply, Request, Subject};
use crate::score;
use crate::scorer::features::Stats;
use crate::sums::Sums;

/// So many videos are looked at before the first of them is taken.
const TOGETHER: usize = 32;

/// What a walk meets: the rank value, the video, and its place on the shelf.
type Met = (i64, u64, u32);

impl Shelf {
    fn parts(&self, face: &Face, request: &Request, similarity: u32) -> Parts {
        Parts {
            similarity,
            quality: face.quality,
            creator: face.creator,
            // What nobody has announced yet is as new as can be.
            freshness: face.created_at.map_or(score::ONE, |created_at| {
                score::freshness(created_at, request.now, self.params.score.freshness_half_life).max(1)
            }),
        }
    }

    pub(super) fn answer(&mut self, request: &Arc<Request>) -> Reply {
        self.requests += 1;
        for facet in request.asks.iter().flat_map(|ask| &ask.pools) {
            self.settle(*facet);
        }
        let mut found = std::mem::take(&mut self.found);
        let mut watched = Vec::new();
        let mut faces = std::mem::take(&mut self.faces);
        for (n, ask) in request.asks.iter().take(MAX_ASKS).enumerate() {
            let mut taken = 0;
            let mut named = 0;
            self.walk(ask, request, &mut faces, |faces, met| {
                for (rank, video, at) in met {
                    let face = &mut faces[*at as usize];
                    // Co-engagement knows videos that cannot be shown.
                    if !face.shown {
                        continue;
                    }
                    if request.watched.binary_search(video).is_ok() {
                        if named < WATCHED_NAMED {
                            watched.push((n as u8, *rank, *video));
                            named += 1;
                        }
                        continue;
                    }
                    if face.asked != self.requests {
                        (face.asked, face.found) = (self.requests, found.len() as u32);
                        found.push((*at, [ABSENT; MAX_ASKS]));
                    }
                    let ranks = &mut found[face.found as usize].1;
                    // A video in several of the source's pools is met several times and counts once.
                    if ranks[n] == ABSENT {
                        ranks[n] = *rank;
                        taken += 1;
                    }
                    if taken >= ask.quota {
                        return false;
                    }
                }
                true
            });
        }
        self.faces = faces;
        let likeness = Likeness::new(request.query.as_ref(), SHORT_DIMS);
        let mut candidates = std::mem::take(&mut self.candidates);
        found.iter().take(AHEAD).for_each(|(at, _)| self.faces[*at as usize].fetch());
        for (n, (at, ranks)) in found.iter().enumerate() {
            if let Some((later, _)) = found.get(n + AHEAD) {
                self.faces[*later as usize].fetch();
            }
            self.judge(*at);
            let face = &self.faces[*at as usize];
            let similarity = likeness.within(face.space, &face.prefix, face.short_norm);
            candidates.push(self.candidate(face, *ranks, request, similarity));
        }
        let mut reply = self.reply(request);
        let content = |n: usize| &self.faces[found[n].0 as usize].content;
        if self.peers == 1 {
            let own = request.own(&self.params);
            let basis = Basis::new(&self.heads, &own, request, reply.followed.iter());
            reply.light = Some(light(&basis, &mut candidates, &watched, content, &mut self.scratch));
            candidates.clear();
            self.candidates = candidates;
        } else {
            let contents = (0..found.len()).map(|n| Arc::clone(content(n)));
            (reply.contents, reply.candidates, reply.watched) = (contents.collect(), candidates, watched);
        }
        found.clear();
        self.found = found;
        reply
    }

    fn reply(&self, request: &Arc<Request>) -> Reply {
        Reply {
            request: Arc::clone(request),
            candidates: Vec::new(),
            contents: Vec::new(),
            watched: Vec::new(),
            light: None,
            followed: request.seed.map_or_else(Vec::new, |seed| self.pairs.followed(seed).to_vec()),
            heads: Arc::clone(&self.heads),
            spread: self.spread.clone(),
        }
    }

    /// What is known of the wanted videos, where they are this worker's.
    pub(super) fn describe(&mut self, request: &Arc<Request>) -> Reply {
        let likeness = Likeness::new(request.query.as_ref(), LONG_DIMS);
        let mut reply = self.reply(request);
        reply.candidates.reserve(request.wanted.len());
        reply.contents.reserve(request.wanted.len());
        for video in &request.wanted {
            let Some(at) = self.index.get(video).copied() else {
                // Nobody has met it: whose it would be says so.
                if route(*video) % self.peers == self.worker {
                    let mut face = Face::new(*video);
                    let prior = self.params.score.shrinkage_views;
                    face.rates = score::video_rates(&Sums::default(), self.baseline(&face.content), prior);
                    let candidate = self.candidate(&face, [ABSENT; MAX_ASKS], request, score::ONE / 2);
                    reply.candidates.push(candidate);
                    reply.contents.push(face.content);
                }
                continue;
            };
            self.judge(at);
            let mut ranks = [ABSENT; MAX_ASKS];
            for (ask, rank) in request.asks.iter().zip(&mut ranks) {
                let found = ask.found.iter().find(|(found, _)| found == video).map(|(_, rank)| *rank);
                let best = ask.pools.iter().filter_map(|pool| self.rank_in(*pool, at)).max();
                *rank = found.max(best).unwrap_or(ABSENT);
            }
            let face = &self.faces[at as usize];
            let similarity = likeness.of(&face.content, face.norm);
            reply.candidates.push(self.candidate(face, ranks, request, similarity));
            reply.contents.push(Arc::clone(&face.content));
        }
        reply
    }

    /// The rank value that a video has, or would have could it be shown, in a pool; `None` where it is not in it.
    fn rank_in(&self, pool: Facet, at: u32) -> Option<i64> {
        let slot = &self.slots[at as usize];
        match pool {
            Facet::Next(seed) => self.pairs.rank(seed, at, Relation::Next),
            Facet::With(seed) => self.pairs.rank(seed, at, Relation::With),
            Facet::Demographic(_) => {
                slot.ranks.iter().find(|(facet, _)| *facet == pool).map(|(_, rank)| *rank)
            }
            Facet::Everyone => slot.rank,
            _ => slot
                .rank
                .filter(|_| self.faces[at as usize].content.facets.iter().any(|(facet, _)| *facet == pool)),
        }
    }

    fn candidate(
        &self,
        face: &Face,
        ranks: [i64; MAX_ASKS],
        request: &Request,
        similarity: u32,
    ) -> Candidate {
        let share = |pace: usize| {
            let log = Some(face.attention[pace]).filter(|log| *log != ABSENT)? - self.attention_log[pace]?;
            Some(log.clamp(i64::from(i32::MIN), 0) as i32)
        };
        Candidate {
            video: face.video,
            ranks,
            parts: self.parts(face, request, similarity),
            norm: face.norm,
            trusted: face.trusted,
            stage: face.stage,
            stats: Stats {
                attention: [share(0), share(1)],
                rates: face.rates,
                unseen: face.unseen,
                length: face.length,
            },
        }
    }

    /// The best of what was liked together with a video and can be shown.
    pub(super) fn related(&mut self, video: u64) -> Vec<(u64, i64)> {
        self.settle(Facet::With(video));
        let Some(pool) = self.order(Facet::With(video)) else { return Vec::new() };
        let shown = pool.best().filter(|(_, _, at)| self.faces[*at as usize].shown);
        shown.take(self.params.related.length).map(|(rank, video, _)| (*video, rank.0)).collect()
    }

    fn settle(&mut self, facet: Facet) {
        let order = match facet {
            Facet::Next(seed) => self.pairs.pool_mut(seed, Relation::Next),
            Facet::With(seed) => self.pairs.pool_mut(seed, Relation::With),
            _ => self.pools.get_mut(&facet).map(|pool| &mut pool.order),
        };
        if let Some(order) = order {
            order.settle();
        }
    }

    fn order(&self, facet: Facet) -> Option<&Order> {
        match facet {
            Facet::Next(seed) => self.pairs.pool(seed, Relation::Next),
            Facet::With(seed) => self.pairs.pool(seed, Relation::With),
            _ => self.pools.get(&facet).map(|pool| &pool.order),
        }
    }

    /// Visits the videos of an ask and their faces, best first, some at a time, until `visit` says no.
    fn walk(
        &self,
        ask: &Ask,
        request: &Request,
        faces: &mut [Face],
        visit: impl FnMut(&mut [Face], &[Met]) -> bool,
    ) {
        if !ask.found.is_empty() {
            let known = |(video, rank): &(u64, i64)| Some((*rank, *video, *self.index.get(video)?));
            return together(ask.found.iter().filter_map(known), faces, visit);
        }
        if ask.pools.is_empty() {
            // Exploration: from a point drawn for this list, once around the ring. Nearer is better.
            let (kind, id) = match &request.subject {
                Subject::User(user) => (0, *user),
                Subject::Group(group) => (1, hash::text(group)),
            };
            let start = hash::mix(self.params.seed, &[kind, id]);
            let from = self.ring.range((start, 0)..).chain(self.ring.range(..(start, 0)));
            let near = from.map(|((point, video), at)| {
                let distance = (point.wrapping_sub(start) >> 1) as i64;
                (-distance, *video, *at)
            });
            return together(near, faces, visit);
        }
        let mut pools: Vec<_> =
            ask.pools.iter().filter_map(|facet| self.order(*facet)).map(Order::best).collect();
        if let [pool] = &mut pools[..] {
            return together(pool.map(|(Reverse(rank), video, at)| (*rank, *video, *at)), faces, visit);
        }
        let mut heads: BinaryHeap<_> = BinaryHeap::new();
        for (n, pool) in pools.iter_mut().enumerate() {
            if let Some(head) = pool.next() {
                heads.push(Reverse((head, n)));
            }
        }
        let merged = std::iter::from_fn(|| {
            let Reverse(((Reverse(rank), video, at), n)) = heads.pop()?;
            if let Some(head) = pools[n].next() {
                heads.push(Reverse((head, n)));
            }
            Some((*rank, *video, *at))
        });
        together(merged, faces, visit);
    }
}

/// Hands on what is met, [`TOGETHER`] at a time, until `visit` says no. While some are gathered the first of their faces come.
fn together(
    met: impl Iterator<Item = Met>,
    faces: &mut [Face],
    mut visit: impl FnMut(&mut [Face], &[Met]) -> bool,
) {
    let mut met = met.fuse();
    let mut some = [(0, 0, 0); TOGETHER];
    loop {
        let mut n = 0;
        for (place, met) in some.iter_mut().zip(&mut met) {
            *place = met;
            n += 1;
            ahead::value(&faces[met.2 as usize].shown);
        }
        if n == 0 || !visit(faces, &some[..n]) {
            return;
        }
    }
}
