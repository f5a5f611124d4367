//! What a checkpoint keeps of the lives: all but the contents of their videos and the baselines, which follow from `videos` and from
//! the last publication.

use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::{Kept, Lives};
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::{bandit, enrich, publish};

const CUT: &str = "cohorts";

#[derive(Serialize, Deserialize)]
enum Saved {
    Life(u64, Box<Kept>),
    /// A video, and since when it waits.
    Waiting(u64, u64),
}

pub(super) fn take(lives: &Lives) -> Rows {
    let all: Vec<(u64, Kept)> = lives.lives.iter().map(|(video, kept)| (*video, kept.clone())).collect();
    let waiting: Vec<(u64, u64)> = lives.since.iter().map(|(video, since)| (*video, *since)).collect();
    Box::new(move |to| {
        for (video, kept) in all {
            to.row(shard(video), &Saved::Life(video, Box::new(kept)));
        }
        for (video, since) in waiting {
            to.row(shard(video), &Saved::Waiting(video, since));
        }
    })
}

pub(super) fn restore(lives: &mut Lives, from: &Restoring) -> Result<(), RestoreError> {
    lives.now = from.now();
    lives.publication = Boundary::after(from.now(), lives.publish_every);
    if let Some(published) = publish::saved::last(from)? {
        lives.published(&published);
    }
    from.own(CUT, |row| {
        match row {
            Saved::Life(video, kept) => {
                *lives.open.entry(shard(video)).or_default() += usize::from(kept.life.stage.is_some());
                lives.insert(video, *kept);
            }
            Saved::Waiting(video, since) => {
                lives.since.insert(video, since);
                lives.waiting.entry(shard(video)).or_default().insert((since, video));
            }
        }
        Ok(())
    })?;
    enrich::saved::versions(from, false, |content| {
        let (video, open) = (content.video, |kept: &Kept| kept.life.stage.is_some());
        if lives.since.contains_key(&video) || lives.lives.get(&video).is_some_and(open) {
            lives.contents.insert(video, content);
        }
    })
}

/// The stages under way of the worker's own videos.
pub(crate) fn stages(from: &Restoring, mut take: impl FnMut(u64, u8)) -> Result<(), RestoreError> {
    from.own(CUT, |row| {
        if let Saved::Life(video, kept) = row
            && let Some(stage) = &kept.life.stage
        {
            take(video, bandit::stage(stage.number));
        }
        Ok(())
    })
}
