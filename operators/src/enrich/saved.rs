//! What a checkpoint keeps of the catalogue: all but the sums by category, which follow from the videos. Versions are shared
//! with the rows that name them.

use std::sync::Arc;

use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::{Enrich, HeldKey, UploadOrder, Video};
use crate::boundary::Boundary;
use crate::checkpoint::kept::{Kept, KeptVideo};
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::Content;
use crate::row::View;

const CUT: &str = "videos";

#[derive(Serialize, Deserialize)]
enum Saved {
    Video(UploadOrder, u64, Arc<[u8]>),
    Tombstone(u64, u64),
    Held(HeldKey, u64, View),
}

pub(super) fn take(enrich: &Enrich) -> Rows {
    let videos: Vec<_> = enrich
        .videos
        .values()
        .map(|video| (video.order, Arc::clone(&video.content), Arc::clone(&video.card)))
        .collect();
    let tombstones: Vec<(u64, u64)> = enrich.tombstones.iter().map(|(video, time)| (*video, *time)).collect();
    let shards = enrich.shards.values();
    let held: Vec<(HeldKey, u64, View)> =
        shards.flat_map(|shard| shard.held.iter().map(|(key, (at, view))| (*key, *at, *view))).collect();
    Box::new(move |to| {
        for (order, content, card) in videos {
            let number = to.content(&content);
            to.row(shard(content.video), &Saved::Video(order, number, card));
        }
        for (video, time) in tombstones {
            to.row(shard(video), &Saved::Tombstone(video, time));
        }
        for (key, arrived, view) in held {
            to.row(shard(view.video), &Saved::Held(key, arrived, view));
        }
    })
}

pub(super) fn restore(enrich: &mut Enrich, from: &Restoring) -> Result<(), RestoreError> {
    enrich.now = from.now();
    enrich.publication = Boundary::after(from.now(), enrich.params.score.publish_every);
    let mut held = Vec::new();
    from.own(CUT, |row| {
        match row {
            Saved::Video(order, number, card) => {
                let content = from.content(CUT, number)?;
                enrich.themes.count(&content, 1);
                let (video, known) = (content.video, Video { order, content, card });
                enrich.bytes += known.bytes();
                enrich.videos.insert(video, known);
            }
            Saved::Tombstone(video, time) => drop(enrich.tombstones.insert(video, time)),
            Saved::Held(key, arrived, view) => held.push((key, arrived, view)),
        }
        Ok(())
    })?;
    for (key, arrived, view) in held {
        let video = view.video;
        enrich.unknown.entry(video).or_insert_with(|| Arc::new(Content::unknown(video)));
        enrich.waiting.entry(video).or_default().push(key);
        enrich.shards.entry(shard(video)).or_default().held.insert(key, (arrived, view));
        enrich.held += 1;
    }
    Ok(())
}

/// The present version of each video, of the worker's own shards or of all.
pub fn versions(from: &Restoring, all: bool, mut take: impl FnMut(Arc<Content>)) -> Result<(), RestoreError> {
    let row = |row| {
        if let Saved::Video(_, number, _) = row {
            take(from.content(CUT, number)?);
        }
        Ok(())
    };
    if all { from.all(CUT, row) } else { from.own(CUT, row) }
}

/// All of it, for [`crate::checkpoint::kept`].
pub fn kept(from: &Restoring, kept: &mut Kept) -> Result<(), RestoreError> {
    let row = |row| {
        match row {
            Saved::Video((time, event, revision, std::cmp::Reverse(origin)), number, card) => {
                let content = from.content(CUT, number)?;
                let order = (time, event, revision, origin);
                kept.videos.insert(content.video, KeptVideo { order, content, card });
            }
            Saved::Tombstone(video, time) => drop(kept.deleted_videos.insert(video, time)),
            Saved::Held(key, arrived, view) => drop(kept.early.insert(key, (arrived, view))),
        }
        Ok(())
    };
    from.all(CUT, row)
}
