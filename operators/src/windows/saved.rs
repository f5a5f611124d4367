//! What a checkpoint keeps of the windows: the sums that wait. They are terms, so any worker may say them when their time comes;
//! each waits where its video is.

use differential_dataflow::difference::Semigroup;
use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::Windows;
use crate::boundary::Boundary;
use crate::checkpoint::kept::Kept;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::Cohort;
use crate::sums::Sums;

const CUT: &str = "windows";

#[derive(Serialize, Deserialize)]
enum Saved {
    /// Window, time of leaving, video.
    Waiting(u8, u64, u64, Sums),
    Creator(u64, Sums),
    Cohort(Cohort, Sums),
    /// Duration class, watched part in per cent, views.
    Watched(u8, u8, i64),
}

pub(super) fn take(windows: &Windows) -> Rows {
    let mut waiting = Vec::with_capacity(windows.entries as usize);
    for (window, buckets) in (0u8..).zip(&windows.waiting) {
        for (leaves, videos) in buckets {
            waiting.extend(videos.iter().map(|(video, sums)| (window, *leaves, *video, *sums)));
        }
    }
    let unpublished = &windows.unpublished;
    let creators: Vec<_> = unpublished.creators.iter().map(|(creator, sums)| (*creator, *sums)).collect();
    let cohorts: Vec<_> = unpublished.cohorts.iter().map(|(cohort, sums)| (*cohort, *sums)).collect();
    let watched: Vec<_> = unpublished.watched.iter().map(|(key, views)| (*key, *views)).collect();
    Box::new(move |to| {
        for (window, leaves, video, sums) in waiting {
            to.row(shard(video), &Saved::Waiting(window, leaves, video, sums));
        }
        for (creator, sums) in creators {
            to.row(shard(creator), &Saved::Creator(creator, sums));
        }
        for (cohort, sums) in cohorts {
            to.row(shard(cohort.category), &Saved::Cohort(cohort, sums));
        }
        for ((class, part), views) in watched {
            to.row(shard(class.into()), &Saved::Watched(class, part, views));
        }
    })
}

pub(super) fn restore(windows: &mut Windows, from: &Restoring) -> Result<(), RestoreError> {
    windows.now = from.now();
    windows.publication = Boundary::after(from.now(), windows.score.publish_every);
    from.own(CUT, |row| {
        match row {
            Saved::Waiting(window, leaves, video, sums) => {
                let Some(buckets) = windows.waiting.get_mut(usize::from(window)) else {
                    let what = format!("there is no window {window}");
                    return Err(RestoreError::Refused { cut: CUT, what });
                };
                if buckets.entry(leaves).or_default().insert(video, sums).is_none() {
                    windows.entries += 1;
                }
            }
            // Two workers may have had terms of one sum.
            Saved::Creator(creator, sums) => {
                windows.unpublished.creators.entry(creator).or_default().plus_equals(&sums);
            }
            Saved::Cohort(cohort, sums) => {
                windows.unpublished.cohorts.entry(cohort).or_default().plus_equals(&sums);
            }
            Saved::Watched(class, part, views) => {
                *windows.unpublished.watched.entry((class, part)).or_default() += views;
            }
        }
        Ok(())
    })
}

/// All of it, for [`crate::checkpoint::kept`].
pub fn kept(from: &Restoring, kept: &mut Kept) -> Result<(), RestoreError> {
    from.all(CUT, |row| {
        match row {
            Saved::Waiting(window, leaves, video, sums) => {
                kept.waiting.entry((window, leaves, video)).or_default().plus_equals(&sums);
            }
            Saved::Creator(creator, sums) => {
                kept.unpublished_creators.entry(creator).or_default().plus_equals(&sums);
            }
            Saved::Cohort(cohort, sums) => {
                kept.unpublished_cohorts.entry(cohort).or_default().plus_equals(&sums);
            }
            Saved::Watched(class, part, views) => {
                *kept.unpublished_watched.entry((class, part)).or_default() += views;
            }
        }
        Ok(())
    })
}
