//! Pools for everybody: the tops that the workers send become `trending:{group}` records.
//!
//! Comes in, at the pool's worker: the workers' tops of changed pools. Goes out: a record for each pool whose top changed.
//! A pool that did not change on a worker is not sent again, so the last word of each worker is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::feed::{TrendingItem, TrendingRecord};
use freshet_schema::store::{EVERYONE, Key, Value};
use rustc_hash::FxHashMap;

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
}

impl Pools {
    /// No pools yet; records hold up to `length` videos.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { length, pools: FxHashMap::default() }
    }
}

impl Stage for Pools {
    type In = Top;
    type Out = Change;

    fn step(&mut self, epoch: u64, batch: Vec<Top>, out: &mut Vec<Change>) {
        let mut changed = BTreeMap::new();
        for top in batch {
            let pool = self.pools.entry(top.facet).or_default();
            if !top.name.is_empty() {
                pool.name = top.name;
            }
            pool.workers.insert(top.worker, top.items);
            changed.insert(top.facet, top.now);
        }
        for (facet, now) in changed {
            let Some(pool) = self.pools.get_mut(&facet) else { continue };
            let mut items: Items = pool.workers.values().flatten().copied().collect();
            items.sort_unstable_by_key(|(video, rank)| (std::cmp::Reverse(*rank), *video));
            items.truncate(self.length);
            if items == pool.written {
                continue;
            }
            let group = group_name(facet, &pool.name);
            let key = Key::Trending(group.clone());
            if items.is_empty() {
                out.push((key, None));
            } else {
                let record = TrendingRecord {
                    group,
                    epoch,
                    now_ms: now,
                    items: items
                        .iter()
                        .map(|(video, rank)| TrendingItem { video_id: *video, score: rank_to_log2(*rank) })
                        .collect(),
                };
                out.push((key, Some(Value::Trending(record).encode())));
            }
            pool.written = items;
        }
    }

    fn size(&self) -> StateSize {
        let entries: usize =
            self.pools.values().map(|p| p.written.len() + p.workers.values().map(Vec::len).sum::<usize>()).sum();
        StateSize { entries: self.pools.len() as u64, bytes: (entries * 16 + self.pools.len() * 120) as u64 }
    }
}
