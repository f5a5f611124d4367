//! Pools for everybody: the tops that the workers send become `trending:{group}` records.
//!
//! Comes in, at the pool's worker: the workers' tops of changed pools at publication times, and at once the videos that left
//! a pool. Goes out: a record for each pool whose top changed. A pool that did not change on a worker is not sent
//! again, so the last word of each worker is kept. A video that leaves is taken out of the record as it was published, without
//! what has changed since: what the workers have not said yet depends on how videos are spread over them. The worker's
//! own word needs no such repair: it lost a video, so it speaks again at the next publication, before anything is merged.

pub(crate) mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_schema::feed::{TrendingItem, TrendingRecord};
use freshet_schema::hash::Slice;
use freshet_schema::store::{EVERYONE, Key, Value};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::Facet;
use crate::cut::StateSize;
use crate::epoch::Stage;
use crate::look::{Record, Records, Wanted};
use crate::shelf::{Left, Top, rank_to_log2};

/// A change to the store: the final value of a key, or its removal.
pub type Change = (Key, Option<Vec<u8>>);

/// The name under which a pool is asked for.
#[must_use]
pub fn group_name(facet: Facet, name: &str) -> String {
    match facet {
        Facet::Everyone => EVERYONE.to_owned(),
        Facet::Hashtag(_) => format!("hashtag:{name}"),
        Facet::Sound(_) => format!("sound:{name}"),
        Facet::Creator(_) => format!("creator:{name}"),
        Facet::Category(_) => format!("category:{name}"),
        Facet::Demographic(_) => format!("demographic:{name}"),
        Facet::Next(video) => format!("next:{video}"),
        Facet::With(video) => format!("with:{video}"),
        Facet::Topic(topic) => format!("topic:{topic}"),
    }
}

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PoolIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A worker's top of a pool.
    Top(Top),
    /// A video is in a pool no longer.
    Left(Left),
    /// Records of these pools are to be written again.
    Remake(Slice),
}

/// Videos with their rank values, best first.
type Items = Vec<(u64, i64)>;

#[derive(Default)]
struct Pool {
    name: Arc<str>,
    workers: BTreeMap<u64, Items>,
    written: Items,
}

/// See the module.
pub struct Pools {
    length: usize,
    pools: FxHashMap<Facet, Pool>,
    /// Videos in all lists of all pools.
    entries: usize,
    now: u64,
}

impl Pools {
    /// No pools yet; records hold up to `length` videos.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { length, pools: FxHashMap::default(), entries: 0, now: 0 }
    }

    /// Makes `items` the record of a pool, if it is another one.
    fn write(&mut self, epoch: u64, facet: Facet, items: Items, out: &mut Vec<Change>) {
        if let Some(pool) = self.pools.get_mut(&facet)
            && items != pool.written
        {
            out.push(change(epoch, self.now, group_name(facet, &pool.name), &items));
            self.entries = self.entries + items.len() - pool.written.len();
            pool.written = items;
        }
    }

    /// Says the records of `slices` again that were not said in this epoch.
    fn write_again(&self, epoch: u64, slices: &[Slice], out: &mut Vec<Change>) {
        let said: BTreeSet<String> = out.iter().map(|(key, _)| key.to_string()).collect();
        let mut again: Vec<Change> = Vec::new();
        for (facet, pool) in self.pools.iter().filter(|(_, pool)| !pool.written.is_empty()) {
            let name = group_name(*facet, &pool.name);
            if slices.iter().any(|slice| slice.holds_text(&name)) {
                again.push(change(epoch, self.now, name, &pool.written));
            }
        }
        out.extend(again.into_iter().filter(|(key, _)| !said.contains(&key.to_string())));
    }
}

impl Stage for Pools {
    type In = PoolIn;
    type Out = Vec<Change>;

    fn step(&mut self, epoch: u64, batch: Vec<PoolIn>, out: &mut Vec<Change>) {
        let mut spoken = BTreeSet::new();
        let mut slices = Vec::new();
        let mut left: BTreeMap<Facet, BTreeSet<u64>> = BTreeMap::new();
        for message in batch {
            match message {
                PoolIn::Clock(now) => self.now = self.now.max(now),
                PoolIn::Top(top) => {
                    let pool = self.pools.entry(top.facet).or_default();
                    if !top.name.is_empty() {
                        pool.name = top.name;
                    }
                    self.entries += top.items.len();
                    let before = pool.workers.insert(top.worker, top.items);
                    self.entries -= before.map_or(0, |items| items.len());
                    spoken.insert(top.facet);
                }
                PoolIn::Remake(slice) => slices.push(slice),
                PoolIn::Left(Left { facet, video, .. }) => drop(left.entry(facet).or_default().insert(video)),
            }
        }
        left.retain(|facet, _| !spoken.contains(facet));
        for (facet, videos) in left {
            if let Some(pool) = self.pools.get(&facet) {
                let stays = |(video, _): &&(u64, i64)| !videos.contains(video);
                let items = pool.written.iter().filter(stays).copied().collect();
                self.write(epoch, facet, items, out);
            }
        }
        for facet in spoken {
            if let Some(pool) = self.pools.get(&facet) {
                let mut items: Items = pool.workers.values().flatten().copied().collect();
                items.sort_unstable_by_key(|(video, rank)| (std::cmp::Reverse(*rank), *video));
                items.truncate(self.length);
                self.write(epoch, facet, items, out);
            }
        }
        if !slices.is_empty() {
            self.write_again(epoch, &slices, out);
        }
    }

    fn size(&self) -> StateSize {
        let bytes = self.entries * size_of::<(u64, i64)>() + self.pools.len() * 120;
        StateSize { entries: self.pools.len() as u64, bytes: bytes as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, _wanted: &Wanted) -> Records {
        let written = self.pools.iter().filter(|(_, pool)| !pool.written.is_empty());
        let pools: Vec<(Facet, Arc<str>, Items)> =
            written.map(|(facet, pool)| (*facet, Arc::clone(&pool.name), pool.written.clone())).collect();
        Box::new(move |to| {
            let _ = pools.iter().all(|(facet, name, items)| to(Record::Pool(*facet, name, items)));
        })
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

fn change(epoch: u64, now_ms: u64, group: String, items: &Items) -> Change {
    let key = Key::Trending(group.clone());
    if items.is_empty() {
        return (key, None);
    }
    let item = |(video, rank): &(u64, i64)| TrendingItem { video_id: *video, score: rank_to_log2(*rank) };
    let items = items.iter().map(item).collect();
    (key, Some(Value::Trending(TrendingRecord { group, epoch, now_ms, items }).encode()))
}
