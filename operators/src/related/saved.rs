//! What a checkpoint keeps of the records of related videos: what they hold, who waits, and the pairs' sums since the last
//! publication. Which videos are ready follows from their versions.

use std::sync::Arc;

use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::Related;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::enrich;

const CUT: &str = "related";

#[derive(Serialize, Deserialize)]
enum Saved {
    Written(u64, Arc<[u64]>, u64),
    /// A video, and since which publication it waits.
    Waiting(u64, u64),
    /// First and second video, period, sum.
    Moved(u64, u64, u32, i64),
}

pub(super) fn take(related: &Related) -> Rows {
    let written = related.written.iter();
    let written: Vec<_> =
        written.map(|(video, (videos, print))| (*video, Arc::clone(videos), *print)).collect();
    let waiting: Vec<(u64, u64)> = related.since.iter().map(|(video, since)| (*video, *since)).collect();
    let moved: Vec<_> = related.moved.iter().map(|(key, sum)| (*key, *sum)).collect();
    Box::new(move |to| {
        for (video, videos, print) in written {
            to.row(shard(video), &Saved::Written(video, videos, print));
        }
        for (video, since) in waiting {
            to.row(shard(video), &Saved::Waiting(video, since));
        }
        for ((first, second, period), sum) in moved {
            to.row(shard(first), &Saved::Moved(first, second, period, sum));
        }
    })
}

pub(super) fn restore(related: &mut Related, from: &Restoring) -> Result<(), RestoreError> {
    related.now = from.now();
    related.publication = Boundary::after(from.now(), related.every);
    from.own(CUT, |row| {
        match row {
            Saved::Written(video, videos, print) => related.remember(video, videos, print),
            Saved::Waiting(video, since) => {
                related.since.insert(video, since);
                related.waiting.entry(shard(video)).or_default().insert((since, video));
            }
            Saved::Moved(first, second, period, sum) => {
                related.moved.insert((first, second, period), sum);
            }
        }
        Ok(())
    })?;
    enrich::saved::versions(from, false, |content| {
        if content.ready {
            related.ready.insert(content.video, content);
        }
    })
}
