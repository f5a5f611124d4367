//! Related videos: of which videos the record is made anew, and when.
//!
//! Comes in, at a video's worker: its versions, the terms of its co-engagement with others ([`crate::coengage`]), and which videos its
//! record holds, from the epoch before; and, at every worker, videos that can no longer be shown. Goes out: a question for each
//! record to make. It is answered in the same epoch, by the shelves with the best of the video's `With` pool and by the
//! vector index with what is nearest to it, and [`crate::related_records`] makes the record. So it is made as lists are: of what
//! holds at its epoch, and nothing is kept of the answers.
//!
//! A video waits for a record when it has a new version, so a new one has what is like it before anybody has seen it, and
//! when its sums are others than at the last publication: what came and was taken back meanwhile is as if it had never
//! been. A question costs a search in the index and a look at every worker, and in a busy hour most videos move; so at a
//! publication at most so many records of a logical shard are made, and who has waited longest comes first. A record
//! that holds a video which goes is made anew at once. Records of videos that go are removed at once.
//!
//! Oracle: `tests/graph/related.rs`.

mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_learning::LONG_DIMS;
use freshet_schema::VideoId;
use freshet_schema::hash::{SHARDS, Slice, shard};
use freshet_schema::store::Key;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::coengage::Pair;
use crate::content::Content;
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::interest::Query;
use crate::params::Params;
use crate::pools::Change;

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RelatedIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A video's new version.
    Version(Arc<Content>),
    /// A video can no longer be shown. Heard by every worker.
    Gone(u64),
    /// Terms of the co-engagement of a video, the pair's first.
    Pair(Pair),
    /// The videos of a video's record, from the epoch before, and their hash.
    Written(u64, Arc<[u64]>, u64),
    /// Records of these videos are to be written again.
    Remake(Slice),
}

outputs! {
    /// What the stage says.
    RelatedOut as RelatedStreams {
        /// A record is to be made.
        questions: Question,
        /// A record is to be removed.
        removed: Change,
    }
}

/// A record is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The video whose record it is.
    pub video: u64,
    /// What others are compared with; `None` where the video has no vector.
    pub query: Option<Query>,
    /// The hash of the record there is; `None` where there is none.
    pub written: Option<u64>,
    /// Whether the record is written even if it is the same.
    #[serde(default)]
    pub again: bool,
    /// The clock of the epoch, in milliseconds since 1970.
    pub now: u64,
}

/// See the module.
pub struct Related {
    every: u64,
    /// Records of a shard that a publication makes, at most.
    per_shard: usize,
    /// Ready videos.
    ready: FxHashMap<u64, Arc<Content>>,
    written: FxHashMap<u64, (Arc<[u64]>, u64)>,
    /// Moved videos by shard, who waits longest first.
    waiting: BTreeMap<u64, BTreeSet<(u64, u64)>>,
    since: FxHashMap<u64, u64>,
    /// Sums of pairs since the last publication, where they are not zero: first and second video, period.
    moved: FxHashMap<(u64, u64, u32), i64>,
    /// Videos in all records.
    entries: usize,
    publication: Boundary,
    now: u64,
}

impl Related {
    /// No records yet.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            every: params.feed.pools_every,
            per_shard: (params.related.per_publication / SHARDS as usize).max(1),
            ready: FxHashMap::default(),
            written: FxHashMap::default(),
            waiting: BTreeMap::new(),
            since: FxHashMap::default(),
            moved: FxHashMap::default(),
            entries: 0,
            publication: Boundary::default(),
            now: 0,
        }
    }

    fn pair(&mut self, pair: &Pair) {
        let key = (pair.seed, pair.video, pair.period);
        let sum = self.moved.entry(key).or_default();
        *sum += pair.amounts[1];
        if *sum == 0 {
            self.moved.remove(&key);
        }
    }

    fn wait(&mut self, video: u64) {
        let since = self.now / self.every;
        if self.since.contains_key(&video) {
            return;
        }
        self.since.insert(video, since);
        self.waiting.entry(shard(video)).or_default().insert((since, video));
    }

    fn wait_no_longer(&mut self, video: u64) {
        if let Some(since) = self.since.remove(&video)
            && let Some(shard) = self.waiting.get_mut(&shard(video))
        {
            shard.remove(&(since, video));
        }
    }

    fn remember(&mut self, video: u64, videos: Arc<[u64]>, print: u64) {
        self.entries += videos.len();
        let before = if videos.is_empty() {
            self.written.remove(&video)
        } else {
            self.written.insert(video, (videos, print))
        };
        self.entries -= before.map_or(0, |(videos, _)| videos.len());
    }

    /// The records of this publication.
    fn chosen(&mut self) -> Vec<u64> {
        let mut chosen = Vec::new();
        for shard in self.waiting.values_mut() {
            // Who cannot be shown has no record; when it can be again, it waits again.
            let ready = &self.ready;
            let mut taken = 0;
            while taken < self.per_shard
                && let Some((_, video)) = shard.pop_first()
            {
                self.since.remove(&video);
                if ready.contains_key(&video) {
                    chosen.push(video);
                    taken += 1;
                }
            }
        }
        chosen
    }

    fn question(&self, video: u64) -> Option<Question> {
        let content = self.ready.get(&video)?;
        let known = content.vector.norm(LONG_DIMS) > 0.0;
        let query = known.then(|| Query { space: content.space, vector: content.vector.clone() });
        let written = self.written.get(&video).map(|(_, print)| *print);
        Some(Question { video, query, written, now: self.now, again: false })
    }
}

impl Stage for Related {
    type In = RelatedIn;
    type Out = RelatedOut;

    fn step(&mut self, _epoch: u64, batch: Vec<RelatedIn>, out: &mut RelatedOut) {
        let (mut versions, mut written, mut gone) = (Vec::new(), Vec::new(), FxHashSet::default());
        let mut slices = Vec::new();
        for message in batch {
            match message {
                RelatedIn::Clock(now) => self.now = self.now.max(now),
                RelatedIn::Version(content) => versions.push(content),
                RelatedIn::Gone(video) => drop(gone.insert(video)),
                RelatedIn::Pair(pair) => self.pair(&pair),
                RelatedIn::Written(video, videos, print) => written.push((video, videos, print)),
                RelatedIn::Remake(slice) => slices.push(slice),
            }
        }
        for (video, videos, print) in written {
            self.remember(video, videos, print);
        }
        // Of several versions in one epoch the last one sent holds; they come from one worker, in order.
        let mut touched = BTreeSet::new();
        for content in versions {
            touched.insert(content.video);
            if content.ready {
                self.ready.insert(content.video, content);
            } else {
                self.ready.remove(&content.video);
            }
        }
        for video in touched {
            if self.ready.contains_key(&video) {
                self.wait(video);
            } else {
                self.wait_no_longer(video);
                if self.written.contains_key(&video) {
                    self.remember(video, Arc::default(), 0);
                    out.removed.push((Key::Related(VideoId(video)), None));
                }
            }
        }
        let mut asked = Vec::new();
        if !gone.is_empty() {
            let holders =
                self.written.iter().filter(|(_, (videos, _))| videos.iter().any(|v| gone.contains(v)));
            asked.extend(holders.map(|(video, _)| *video));
        }
        if self.publication.pass(self.now, self.every).is_some() {
            for (video, ..) in std::mem::take(&mut self.moved).into_keys() {
                self.wait(video);
            }
            asked.extend(self.chosen());
        }
        let is_again = |video: u64| slices.iter().any(|slice: &Slice| slice.holds(video));
        if !slices.is_empty() {
            asked.extend(self.written.keys().filter(|video| is_again(**video)));
        }
        asked.sort_unstable();
        asked.dedup();
        let question = |video| self.question(video).map(|asked| Question { again: is_again(video), ..asked });
        out.questions.extend(asked.into_iter().filter_map(question));
    }

    fn size(&self) -> StateSize {
        // Contents are counted where they are made.
        let bytes = self.ready.capacity() * 17
            + self.written.capacity() * 33
            + self.entries * 8
            + self.since.len() * (17 + 24)
            + self.moved.capacity() * 33;
        StateSize {
            entries: (self.written.len() + self.since.len() + self.moved.len()) as u64,
            bytes: bytes as u64,
        }
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
    use super::*;

    const DAY: u64 = 86_400_000;

    fn ready(video: u64) -> RelatedIn {
        RelatedIn::Version(Arc::new(Content { known: true, ready: true, ..Content::unknown(video) }))
    }

    fn pair(seed: u64, amount: i64) -> RelatedIn {
        RelatedIn::Pair(Pair { seed, video: 1, period: 0, amounts: [0, amount] })
    }

    fn step(stage: &mut Related, day: u64, mut batch: Vec<RelatedIn>) -> (Vec<u64>, usize) {
        let mut out = RelatedOut::default();
        batch.push(RelatedIn::Clock(day * DAY));
        stage.step(day, batch, &mut out);
        (out.questions.iter().map(|question| question.video).collect(), out.removed.len())
    }

    /// Videos of one shard, and a stage that makes two records of a shard at each publication.
    fn stage() -> (Vec<u64>, Related) {
        let videos = (1..).filter(|video| shard(*video) == 7).take(5).collect();
        let mut params = Params::default();
        params.related.per_publication = 2 * SHARDS as usize;
        params.feed.pools_every = DAY;
        (videos, Related::new(&params))
    }

    #[test]
    fn who_waits_longest_comes_first() {
        let (v, mut stage) = stage();
        assert_eq!(step(&mut stage, 1, v.iter().map(|video| ready(*video)).collect()).0, v[..2]);
        assert_eq!(step(&mut stage, 2, vec![pair(v[0], 5), pair(v[3], 5)]).0, v[2..4]);
        assert_eq!(step(&mut stage, 3, Vec::new()).0, [v[0], v[4]]);
        assert_eq!(step(&mut stage, 4, vec![pair(v[0], 5), pair(v[1], 5), pair(v[0], -5)]).0, [v[1]]);
        assert_eq!(stage.size().entries, 0);
    }

    #[test]
    fn a_record_goes_with_its_video_and_is_made_anew_without_another() {
        let (v, mut stage) = stage();
        step(&mut stage, 1, v.iter().map(|video| ready(*video)).collect());
        let written = RelatedIn::Written(v[0], Arc::from([v[1], v[2]]), 5);
        step(&mut stage, 2, vec![written]);
        let hide = |video| RelatedIn::Version(Arc::new(Content::unknown(video)));
        let mut out = RelatedOut::default();
        let batch = vec![RelatedIn::Clock(2 * DAY + 1), hide(v[1]), RelatedIn::Gone(v[1])];
        stage.step(3, batch, &mut out);
        let asked: Vec<_> = out.questions.iter().map(|q| (q.video, q.written)).collect();
        assert!(asked.contains(&(v[0], Some(5))) && out.removed.is_empty(), "{asked:?}");
        let (_, removed) = step(&mut stage, 3, vec![hide(v[0]), RelatedIn::Gone(v[0])]);
        assert_eq!((removed, stage.entries, stage.written.len()), (1, 0, 0));
        assert_eq!(step(&mut stage, 4, vec![RelatedIn::Gone(v[2])]).0.len(), 0, "nobody holds it");
    }
}
