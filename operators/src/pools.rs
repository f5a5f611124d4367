//! Pools for everybody: the tops that the workers send become `trending:{group}` records.
//!
//! Comes in, at the pool's worker: the workers' tops of changed pools at publication times, and at once the videos that can
//! no longer be shown. Goes out: a record for each pool whose top changed. A pool that did not change on a worker is not sent
//! again, so the last word of each worker is kept. A video that goes leaves the record as it was published, without what has
//! changed since: what the workers have not said yet depends on how videos are spread over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_schema::feed::{TrendingItem, TrendingRecord};
use freshet_schema::store::{EVERYONE, Key, Value};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::content::Facet;
use crate::cut::StateSize;
use crate::epoch::Stage;
use crate::shelf::{Top, rank_to_log2};

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
    }
}

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PoolIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A worker's top of a pool.
    Top(Top),
    /// A video can no longer be shown. Heard by every worker.
    Gone(u64),
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
    now: u64,
}

impl Pools {
    /// No pools yet; records hold up to `length` videos.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { length, pools: FxHashMap::default(), now: 0 }
    }
}

impl Stage for Pools {
    type In = PoolIn;
    type Out = Change;

    fn step(&mut self, epoch: u64, batch: Vec<PoolIn>, out: &mut Vec<Change>) {
        let (mut tops, mut gone) = (Vec::new(), BTreeSet::new());
        for message in batch {
            match message {
                PoolIn::Clock(now) => self.now = self.now.max(now),
                PoolIn::Top(top) => tops.push(top),
                PoolIn::Gone(video) => drop(gone.insert(video)),
            }
        }
        let mut merged: BTreeMap<Facet, Items> = BTreeMap::new();
        if !gone.is_empty() {
            let goes = |(video, _): &(u64, i64)| gone.contains(video);
            for (facet, pool) in &mut self.pools {
                if pool.written.iter().any(goes) {
                    merged.insert(*facet, pool.written.iter().filter(|item| !goes(item)).copied().collect());
                }
                pool.workers.values_mut().for_each(|items| items.retain(|item| !goes(item)));
            }
        }
        let mut spoken = BTreeSet::new();
        for top in tops {
            let pool = self.pools.entry(top.facet).or_default();
            if !top.name.is_empty() {
                pool.name = top.name;
            }
            pool.workers.insert(top.worker, top.items);
            spoken.insert(top.facet);
        }
        for facet in spoken {
            if let Some(pool) = self.pools.get(&facet) {
                let mut items: Items = pool.workers.values().flatten().copied().collect();
                items.sort_unstable_by_key(|(video, rank)| (std::cmp::Reverse(*rank), *video));
                items.truncate(self.length);
                merged.insert(facet, items);
            }
        }
        for (facet, items) in merged {
            if let Some(pool) = self.pools.get_mut(&facet)
                && items != pool.written
            {
                out.push(change(epoch, self.now, group_name(facet, &pool.name), &items));
                pool.written = items;
            }
        }
    }

    fn size(&self) -> StateSize {
        let entries: usize = self
            .pools
            .values()
            .map(|p| p.written.len() + p.workers.values().map(Vec::len).sum::<usize>())
            .sum();
        StateSize { entries: self.pools.len() as u64, bytes: (entries * 16 + self.pools.len() * 120) as u64 }
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
