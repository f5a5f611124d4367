//! What a checkpoint keeps of the vector index: its version for each embedding space. Directions follow from the videos.

use std::collections::BTreeMap;

use freshet_index::{Snapshot, VectorIndex, Version};
use freshet_learning::Direction;
use freshet_schema::VideoId;
use serde::{Deserialize, Serialize};

use super::Neighbours;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::enrich;
use crate::interest::Query;

const CUT: &str = "neighbours";

#[derive(Serialize, Deserialize)]
enum Saved {
    Version(u64, Box<Version>),
    /// A query on which the recall will be measured.
    Sample((u64, u64), Query),
}

pub(super) fn take(neighbours: &Neighbours) -> Rows {
    let spaces = neighbours.spaces.iter();
    let versions: Vec<(u64, Version)> =
        spaces.map(|(space, index)| (*space, index.version().clone())).collect();
    let sample = neighbours.sample.clone();
    Box::new(move |to| {
        versions.into_iter().for_each(|(space, v)| to.shared(&Saved::Version(space, Box::new(v))));
        sample.into_iter().for_each(|(drawn, query)| to.shared(&Saved::Sample(drawn, query)));
    })
}

pub(super) fn restore(neighbours: &mut Neighbours, from: &Restoring) -> Result<(), RestoreError> {
    neighbours.now = from.now();
    neighbours.publication = Boundary::after(from.now(), neighbours.publish_every);
    if !from.is_first() {
        return Ok(());
    }
    let mut versions = BTreeMap::new();
    from.shared(CUT, |row| {
        match row {
            Saved::Version(space, version) => drop(versions.insert(space, *version)),
            Saved::Sample(drawn, query) => drop(neighbours.sample.insert(drawn, query)),
        }
        Ok(())
    })?;
    let mut videos: BTreeMap<u64, Vec<(VideoId, Direction)>> = BTreeMap::new();
    let dims = neighbours.index.dims;
    enrich::saved::versions(from, true, |content| {
        if content.ready {
            neighbours.homes.insert(content.video, content.space);
            let direction = Direction::of(&content.vector.0[..dims]);
            let homes = videos.entry(content.space).or_default();
            homes.extend(direction.map(|direction| (VideoId(content.video), direction)));
        }
    })?;
    for (space, version) in versions {
        let mut videos = videos.remove(&space).unwrap_or_default();
        videos.sort_unstable_by_key(|(id, _)| *id);
        let index = VectorIndex::restore(neighbours.index.clone(), Snapshot { version, videos })
            .map_err(|error| RestoreError::Refused { cut: CUT, what: error.to_string() })?;
        neighbours.spaces.insert(space, index);
    }
    // Without the cut (where it was dropped) every space begins without centroids.
    for (space, mut videos) in videos {
        let mut index = VectorIndex::new(neighbours.index.clone())
            .map_err(|error| RestoreError::Refused { cut: CUT, what: error.to_string() })?;
        videos.sort_unstable_by_key(|(id, _)| *id);
        let snapshot = Snapshot { videos, ..index.snapshot() };
        index = VectorIndex::restore(neighbours.index.clone(), snapshot)
            .map_err(|error| RestoreError::Refused { cut: CUT, what: error.to_string() })?;
        neighbours.spaces.insert(space, index);
    }
    Ok(())
}
