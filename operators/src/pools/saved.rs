//! What a checkpoint keeps of the pools: the records as they were written. The workers' last words are not: each worker of a
//! restored graph speaks of all its pools at the next publication ([`crate::shelf`]), and what is the same is not written.

use freshet_schema::hash::text_shard;
use std::sync::Arc;

use super::{Items, Pool, Pools};
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::Facet;

const CUT: &str = "pools";

type Saved = (Facet, Arc<str>, Items);

pub(super) fn take(pools: &Pools) -> Rows {
    let pools: Vec<Saved> = pools
        .pools
        .iter()
        .filter(|(_, pool)| !pool.written.is_empty())
        .map(|(facet, pool)| (*facet, Arc::clone(&pool.name), pool.written.clone()))
        .collect();
    Box::new(move |to| pools.iter().for_each(|row| to.row(text_shard(&row.1), row)))
}

pub(super) fn restore(pools: &mut Pools, from: &Restoring) -> Result<(), RestoreError> {
    pools.now = from.now();
    from.own(CUT, |(facet, name, written): Saved| {
        pools.entries += written.len();
        pools.pools.insert(facet, Pool { name, written, ..Pool::default() });
        Ok(())
    })
}

/// The pools that have a record, of the worker's own shards.
pub fn written(from: &Restoring, mut take: impl FnMut(Facet, Arc<str>)) -> Result<(), RestoreError> {
    from.own(CUT, |(facet, name, _): Saved| {
        take(facet, name);
        Ok(())
    })
}
