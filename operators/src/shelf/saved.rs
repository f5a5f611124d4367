//! What a checkpoint keeps of the shelves: quick attention, everybody's attention, co-engagement, and which videos have a slot.
//! All else is an index: contents are in `videos`, sums in the arrangements, baselines and scores in the last publication, and
//! ranks follow from them.
//!
//! A restored worker takes every pool for changed, whatever it was: its last word at a publication was another worker's set of
//! videos. And where a record is, but no video any more, one worker has an empty pool, so that the record goes.

use std::sync::Arc;

use freshet_schema::hash;
use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::Shelf;
use crate::boundary::Boundary;
use crate::checkpoint::kept::Kept;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::coengage::Pair;
use crate::content::Facet;
use crate::popularity::{QUICK, first_kept, log_sum};
use crate::sums::WindowSums;
use crate::{abuse, cohorts, enrich, groups, pools, publish};

const CUT: &str = "shelf";

#[derive(Serialize, Deserialize)]
enum Saved {
    /// A video with its quick attention by period.
    Slot(u64, Vec<(u32, i64)>),
    Pair(Pair),
    /// Everybody's attention at both paces.
    Attention([Vec<(u32, i64)>; 2]),
}

pub(super) fn take(shelf: &Shelf) -> Rows {
    let slots: Vec<(u64, Vec<(u32, i64)>)> =
        shelf.faces.iter().zip(&shelf.slots).map(|(face, slot)| (face.video, slot.quick.clone())).collect();
    let pairs = shelf.pairs.terms(|slot| shelf.faces[slot as usize].video);
    // The same on every worker.
    let attention = (shelf.worker == 0).then(|| shelf.attention.clone());
    Box::new(move |to| {
        for (video, quick) in slots {
            to.row(shard(video), &Saved::Slot(video, quick));
        }
        for pair in pairs {
            to.row(shard(pair.video), &Saved::Pair(pair));
        }
        if let Some(attention) = attention {
            to.shared(&Saved::Attention(attention));
        }
    })
}

pub(super) fn restore(shelf: &mut Shelf, from: &Restoring) -> Result<(), RestoreError> {
    shelf.now = from.now();
    shelf.publication = Boundary::after(from.now(), shelf.params.feed.pools_every);
    let quick = (shelf.params.score.popularity_half_life / QUICK).max(1);
    shelf.oldest_quick = first_kept(from.now(), quick);
    shelf.pairs.age(from.now(), shelf.params.coengagement.half_life, |_| 0);
    groups::saved::names(from, |group| {
        shelf.group_names.insert(Facet::Demographic(hash::text(&group)), group.as_str().into());
    })?;
    if let Some(published) = publish::saved::last(from)? {
        shelf.published(&published);
    }
    publish::saved::told(from, |creator, score| {
        shelf.creators.insert(creator, score);
    })?;

    let mut take = |row| {
        match row {
            Saved::Slot(video, quick) => {
                let at = shelf.slot(video);
                let (slot, face) = (&mut shelf.slots[at as usize], &mut shelf.faces[at as usize]);
                quick.into_iter().for_each(|(period, amount)| slot.quick(period, amount, face));
            }
            Saved::Pair(pair) => {
                let at = shelf.slot(pair.video);
                shelf.pairs.add(&pair, at);
            }
            Saved::Attention(attention) => shelf.attention = attention,
        }
        Ok(())
    };
    from.own(CUT, &mut take)?;
    from.shared(CUT, take)?;
    shelf.attention_log = [0, 1].map(|pace| log_sum(shelf.attention[pace].iter().copied()));
    from.own("video_sums", |(video, WindowSums([week, all])): (u64, WindowSums)| {
        let at = shelf.slot(video);
        let slot = &mut shelf.slots[at as usize];
        (slot.week, slot.all) = (week, all);
        Ok(())
    })?;
    from.own("popularity", |((video, facet, period), total): ((u64, Facet, u32), i64)| {
        let at = shelf.slot(video);
        let face = &mut shelf.faces[at as usize];
        shelf.slots[at as usize].popularity(facet, period, total, face);
        Ok(())
    })?;
    enrich::saved::versions(from, false, |content| {
        shelf.version(content);
    })?;
    if shelf.params.abuse.enabled {
        abuse::saved::penalties(from, |video, factor| {
            let at = shelf.slot(video);
            shelf.faces[at as usize].trusted = factor;
        })?;
    }
    if shelf.params.explores_stages() {
        cohorts::saved::stages(from, |video, stage| {
            let at = shelf.slot(video);
            shelf.faces[at as usize].stage = stage;
        })?;
    }
    for at in 0..shelf.slots.len() as u32 {
        shelf.place(at);
        let mut groups: Vec<Facet> =
            shelf.slots[at as usize].audiences.iter().map(|(group, ..)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().for_each(|group| shelf.place_with(at, group));
    }
    shelf.left.clear();
    pools::saved::written(from, |facet, name| {
        let pool = shelf.pools.entry(facet).or_default();
        if pool.name.is_empty() {
            pool.name = Arc::clone(&name);
        }
        if !std::mem::replace(&mut pool.changed, true) {
            shelf.changed.push(facet);
        }
    })
}

/// All of it, for [`crate::checkpoint::kept`].
pub fn kept(from: &Restoring, kept: &mut Kept) -> Result<(), RestoreError> {
    let mut take = |row| {
        match row {
            Saved::Slot(video, quick) => {
                quick.into_iter().for_each(|(period, amount)| {
                    *kept.quick.entry((video, period)).or_default() += amount;
                });
            }
            Saved::Pair(pair) => kept.pair(&pair),
            Saved::Attention(attention) => {
                kept.attention = attention.map(|periods| periods.into_iter().collect());
            }
        }
        Ok(())
    };
    from.all(CUT, &mut take)?;
    from.shared(CUT, take)
}
