//! Videos like what a user cares for: the vector index as a stage.
//!
//! Comes in, at one worker: every video's versions, every request, the clock. Goes out, in the same epoch: the requests, each
//! that has a query vector with one more ask, whose candidates are found already; the shelves score those as any others.
//! It is an as-of lookup: the epoch's versions are taken in first, and a later one tells no user.
//!
//! One worker holds the index, because what an approximate search finds depends on its centroids: sharded, on the number of
//! workers (the crate [`freshet_index`] says more). Vectors of different embedding spaces cannot be compared, so each space
//! has an index of its own, made by its first video; a query looks into the index of its space.
//!
//! What a user has watched is never a candidate, and a user's interest points to just that. So more is asked for than the quota,
//! by as many as were watched, up to [`BEYOND`]; who has watched more may get fewer than the quota.
//!
//! Centroids are a published version: they are trained at the multiples of `score.publish_every`, where the index says that it
//! is time. Oracle: `tests/graph/neighbours.rs`, which compares all surviving vectors, and beyond `index.train_at` an index
//! that is fed in another order.

mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_index::{Error, Neighbour, Params as IndexParams, Recall, VectorIndex};
use freshet_schema::feed::Source;
use freshet_schema::{VideoId, hash};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::Content;
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::interest::Query;
use crate::params::Params;
use crate::request::{Ask, MAX_ASKS, Request, SourceId, Subject};

/// So many results beyond the quota are asked for at most, to make up for watched videos.
pub const BEYOND: usize = 1000;

/// Queries on which the recall is measured at a boundary.
const SAMPLE: usize = 8;

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NeighbourIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A video's new version.
    Version(Arc<Content>),
    /// A list is to be made.
    Request(Arc<Request>),
    /// A record of what goes with a video is to be made.
    Like(u64, Query),
}

outputs! {
    /// What the stage says.
    NeighbourOut as NeighbourStreams {
        /// A request, completed.
        requests: Arc<Request>,
        /// The videos nearest to a video, best first.
        likes: (u64, Vec<u64>),
        /// How the index is, at a publication time.
        reports: IndexReport,
    }
}

/// How the index is. It reaches no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexReport {
    /// Embedding spaces, each with an index.
    pub spaces: u64,
    /// Videos in all of them.
    pub videos: u64,
    /// Of the space with most videos, the version of the centroids; 0 before the first training.
    pub version: u64,
    /// Of the same, the lists that its videos are in; 0 where all are compared.
    pub lists: u64,
    /// Distinct directions there were at its last training.
    pub trained_on: u64,
    /// What was found of the exact results for a sample of the queries since the last publication, in all spaces.
    pub recall: Recall,
}

/// See the module.
pub struct Neighbours {
    index: IndexParams,
    quota: usize,
    related: usize,
    publish_every: u64,
    spaces: BTreeMap<u64, VectorIndex>,
    /// The space of each video that is in an index.
    homes: FxHashMap<u64, u64>,
    /// Queries by what they are drawn by, for the recall.
    sample: BTreeMap<(u64, u64), Query>,
    publication: Boundary,
    now: u64,
}

impl Neighbours {
    /// An empty index.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            index: params.index.of(params.seed),
            quota: params.candidates.similar,
            related: params.related.length,
            publish_every: params.score.publish_every,
            spaces: BTreeMap::new(),
            homes: FxHashMap::default(),
            sample: BTreeMap::new(),
            publication: Boundary::default(),
            now: 0,
        }
    }

    fn version(&mut self, content: &Content) {
        let id = VideoId(content.video);
        let home = content.ready.then_some(content.space);
        let before = match home {
            Some(space) => self.homes.insert(content.video, space),
            None => self.homes.remove(&content.video),
        };
        if before != home
            && let Some(index) = before.and_then(|space| self.spaces.get_mut(&space))
        {
            index.remove(id);
        }
        if let Some(space) = home {
            let index =
                self.spaces.entry(space).or_insert_with(|| sound(VectorIndex::new(self.index.clone())));
            sound(index.upsert(id, &content.vector.0[..self.index.dims]));
        }
    }

    /// Trains where it is time. A space without videos is let go of, with its version.
    fn publish(&mut self) -> IndexReport {
        self.spaces.retain(|_, index| !index.is_empty());
        let mut report = IndexReport { spaces: self.spaces.len() as u64, ..IndexReport::default() };
        let mut most = 0;
        let sample = std::mem::take(&mut self.sample);
        for (space, index) in &mut self.spaces {
            sound(index.maintain());
            report.videos += index.len() as u64;
            let (videos, version) = (index.len(), index.version());
            let lists = version.centroids.as_ref().map_or(0, |centroids| centroids.len()) as u64;
            if videos > most {
                most = videos;
                report.version = version.number;
                report.lists = lists;
                report.trained_on = version.trained_on;
            }
            if lists > 0 {
                let queries: Vec<&[i8]> = sample
                    .values()
                    .filter(|query| query.space == *space)
                    .map(|query| &query.vector.0[..self.index.dims])
                    .collect();
                let recall = sound(index.recall(&queries, self.quota));
                report.recall.found += recall.found;
                report.recall.wanted += recall.wanted;
            }
        }
        report
    }

    /// Results to ask for: a request's own number, so that what it gets does not depend on the others of its batch.
    fn depth(&self, request: &Request) -> usize {
        self.quota + request.watched.len().min(BEYOND)
    }

    /// Finds candidates for all requests that can be compared with videos: one batch for each space.
    fn search(&mut self, requests: &mut [Arc<Request>]) {
        let mut batches: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, request) in requests.iter().enumerate() {
            if let Some(query) = &request.query {
                batches.entry(query.space).or_default().push(at);
            }
        }
        for (space, batch) in batches {
            let depth = batch.iter().map(|at| self.depth(&requests[*at])).max().unwrap_or(0);
            let Some(index) = self.spaces.get_mut(&space) else { continue };
            let dims = self.index.dims;
            let queries: Vec<&[i8]> = batch
                .iter()
                .filter_map(|at| requests[*at].query.as_ref().map(|query| &query.vector.0[..dims]))
                .collect();
            // The best of a greater number begin with the best of a smaller one.
            let results = sound(index.search(&queries, depth));
            for (at, result) in batch.into_iter().zip(results) {
                let depth = self.depth(&requests[at]);
                let found = unwatched(&result[..depth.min(result.len())], &requests[at], self.quota);
                if !found.is_empty() {
                    let request = Arc::make_mut(&mut requests[at]);
                    // Who has a query has a history, and so no asks of the new-user list.
                    debug_assert!(request.asks.len() < MAX_ASKS, "no place for an ask: {:?}", request.asks);
                    request.asks.push(Ask {
                        source: SourceId::new(Source::Similar),
                        quota: self.quota,
                        pools: Vec::new(),
                        found,
                    });
                }
            }
        }
    }

    /// Finds what is nearest to each of some videos: one batch for each space.
    fn like(&mut self, videos: Vec<(u64, Query)>, out: &mut Vec<(u64, Vec<u64>)>) {
        let mut batches: BTreeMap<u64, Vec<(u64, Query)>> = BTreeMap::new();
        for (video, query) in videos {
            batches.entry(query.space).or_default().push((video, query));
        }
        for (space, batch) in batches {
            let Some(index) = self.spaces.get_mut(&space) else { continue };
            let dims = self.index.dims;
            let queries: Vec<&[i8]> = batch.iter().map(|(_, query)| &query.vector.0[..dims]).collect();
            // One more, as a video is nearest to itself.
            let results = sound(index.search(&queries, self.related + 1));
            for ((video, _), result) in batch.iter().zip(results) {
                let others = result.iter().filter(|n| n.score > 0 && n.id.0 != *video);
                out.push((*video, others.take(self.related).map(|n| n.id.0).collect()));
            }
        }
    }

    fn draw(&mut self, request: &Request) {
        if let (Subject::User(user), Some(query)) = (&request.subject, &request.query) {
            let drawn = hash::mix(self.index.seed, &[*user, request.now]);
            if self.sample.len() < SAMPLE || self.sample.keys().next_back().is_some_and(|last| drawn < last.0)
            {
                self.sample.insert((drawn, *user), query.clone());
                if self.sample.len() > SAMPLE {
                    self.sample.pop_last();
                }
            }
        }
    }
}

/// The best `quota` of what was found that the user has not watched. What points away from the query is not like it.
fn unwatched(found: &[Neighbour], request: &Request, quota: usize) -> Vec<(u64, i64)> {
    found
        .iter()
        .take_while(|neighbour| neighbour.score > 0)
        .filter(|neighbour| request.watched.binary_search(&neighbour.id.0).is_err())
        .take(quota)
        .map(|neighbour| (neighbour.id.0, i64::from(neighbour.score)))
        .collect()
}

/// What the index answers: its parameters were checked before the graph was built, and vectors are cut to its dimensions.
///
/// # Panics
/// Where FAISS finds no memory; what else it says is a bug of ours.
fn sound<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| {
        panic!("{error}; parameters and dimensions were checked, is the memory full?")
    })
}

impl Stage for Neighbours {
    type In = NeighbourIn;
    type Out = NeighbourOut;

    fn step(&mut self, _epoch: u64, batch: Vec<NeighbourIn>, out: &mut NeighbourOut) {
        let mut videos = Vec::new();
        for message in batch {
            match message {
                NeighbourIn::Clock(now) => self.now = self.now.max(now),
                // Of several in one epoch the last one sent holds; they come from one worker, in order.
                NeighbourIn::Version(content) => self.version(&content),
                NeighbourIn::Request(request) => out.requests.push(request),
                NeighbourIn::Like(video, query) => videos.push((video, query)),
            }
        }
        if self.publication.pass(self.now, self.publish_every).is_some() {
            out.reports.push(self.publish());
        }
        self.search(&mut out.requests);
        self.like(videos, &mut out.likes);
        for request in &out.requests {
            self.draw(request);
        }
    }

    fn size(&self) -> StateSize {
        // A video is known by its number, to us and to its index. A direction is kept as 16-bit numbers and, in the lists, as floats.
        let videos: usize = self.spaces.values().map(VectorIndex::len).sum();
        let distinct: usize = self.spaces.values().map(VectorIndex::distinct).sum();
        let bytes = self.homes.capacity() * 17 + videos * 48 + distinct * (self.index.dims * 6 + 120);
        StateSize { entries: videos as u64, bytes: bytes as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

#[cfg(test)]
mod tests {
    use freshet_learning::Quantised;

    use super::*;

    fn content(video: u64, x: i8, y: i8) -> Content {
        let mut vector = Quantised::zero();
        (vector.0[0], vector.0[1]) = (x, y);
        Content { known: true, ready: true, space: 5, vector, ..Content::unknown(video) }
    }

    fn request(space: u64, watched: Vec<u64>) -> Request {
        let vector = content(0, 100, 0).vector;
        Request {
            subject: Subject::User(1),
            query: Some(Query { space, vector }),
            asks: Vec::new(),
            watched: Arc::new(watched),
            new_user: false,
            ..crate::profile::group_request(&Arc::new("all".to_owned()), 1, &Params::default())
        }
    }

    fn stage(similar: usize) -> Neighbours {
        let mut params = Params::default();
        params.candidates.similar = similar;
        Neighbours::new(&params)
    }

    fn found(stage: &mut Neighbours, batch: Vec<NeighbourIn>) -> Vec<Vec<u64>> {
        let mut out = NeighbourOut::default();
        stage.step(1, batch, &mut out);
        let ids = |request: &Arc<Request>| {
            request.asks.iter().flat_map(|ask| &ask.found).map(|(video, _)| *video).collect()
        };
        out.requests.iter().map(ids).collect()
    }

    fn versions(contents: impl IntoIterator<Item = Content>) -> Vec<NeighbourIn> {
        contents.into_iter().map(|content| NeighbourIn::Version(Arc::new(content))).collect()
    }

    fn ask(space: u64, watched: Vec<u64>) -> NeighbourIn {
        NeighbourIn::Request(Arc::new(request(space, watched)))
    }

    #[test]
    fn it_sees_the_versions_of_its_epoch_and_none_that_went() {
        let mut stage = stage(10);
        let mut batch = vec![ask(5, Vec::new())];
        batch.extend(versions([content(1, 100, 90), content(2, 100, 1), content(3, -100, 0)]));
        assert_eq!(found(&mut stage, batch), [[2, 1]], "nearest first, and none that points away");
        let hidden = Content { ready: false, ..content(2, 100, 1) };
        let moved = Content { space: 6, ..content(1, 100, 90) };
        let mut batch = versions([hidden, moved, content(4, 50, 1)]);
        batch.extend([ask(5, Vec::new()), ask(6, Vec::new()), ask(7, Vec::new())]);
        assert_eq!(found(&mut stage, batch), [vec![4], vec![1], vec![]]);
        assert_eq!(stage.size().entries, 3);
    }

    #[test]
    fn watched_videos_take_no_places() {
        let mut stage = stage(3);
        let mut batch = versions((0..2000).map(|n| content(n, 100, (n / 16) as i8)));
        batch.push(ask(5, (0..20).collect()));
        batch.push(ask(5, Vec::new()));
        batch.push(ask(5, (0..BEYOND as u64 + 1).collect()));
        let expected = [vec![20, 21, 22], vec![0, 1, 2], vec![BEYOND as u64 + 1, BEYOND as u64 + 2]];
        assert_eq!(found(&mut stage, batch), expected, "up to a bound, whoever else asks");
    }

    #[test]
    fn the_report_says_how_it_is() {
        let mut params = Params::default();
        (params.index.train_at, params.index.nprobe, params.score.publish_every) = (16, 1, 10);
        let mut stage = Neighbours::new(&params);
        let mut out = NeighbourOut::default();
        let mut batch = versions((0..40).map(|n| content(n, 100 - n as i8, n as i8)));
        batch.extend([NeighbourIn::Clock(5), ask(5, Vec::new())]);
        stage.step(1, batch, &mut out);
        stage.step(2, vec![NeighbourIn::Clock(12)], &mut out);
        stage.step(3, vec![NeighbourIn::Clock(19)], &mut out);
        assert_eq!(out.reports.len(), 2, "once a period");
        let IndexReport { spaces, videos, version, lists, trained_on, recall } = out.reports[1];
        assert_eq!((spaces, videos, version, trained_on, recall.wanted), (1, 40, 1, 40, 40));
        assert!(lists > 1 && recall.found > 0 && recall.found < 40, "{lists} {recall:?}");
    }
}
