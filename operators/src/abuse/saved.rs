//! What a checkpoint keeps of suspicions: each video's engagements, what was told of its bursts, and how it was judged last. Who is
//! suspected, which every worker knows alike.

use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::{Known, Signals, Suspicions};
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};

const CUT: &str = "abuse";

#[derive(Serialize, Deserialize)]
enum Saved {
    Video(u64, Box<Known>),
    Suspect(u64, Signals),
}

pub(super) fn take(suspicions: &Suspicions) -> Rows {
    let all: Vec<(u64, Known)> =
        suspicions.videos.iter().map(|(video, known)| (*video, known.clone())).collect();
    let suspects = suspicions.is_first.then(|| suspicions.suspects.clone());
    Box::new(move |to| {
        for (video, known) in all {
            to.row(shard(video), &Saved::Video(video, Box::new(known)));
        }
        for (user, signals) in suspects.into_iter().flatten() {
            to.shared(&Saved::Suspect(user, signals));
        }
    })
}

pub(super) fn restore(suspicions: &mut Suspicions, from: &Restoring) -> Result<(), RestoreError> {
    suspicions.now = from.now();
    suspicions.publication = Boundary::after(from.now(), suspicions.publish_every);
    let mut take = |row| {
        match row {
            Saved::Video(video, known) => {
                suspicions.entries += known.engagements.len() as u64;
                suspicions.videos.insert(video, *known);
            }
            Saved::Suspect(user, signals) => drop(suspicions.suspects.insert(user, signals)),
        }
        Ok(())
    };
    from.own(CUT, &mut take)?;
    from.shared(CUT, take)
}

/// The penalties of the worker's own videos.
pub(crate) fn penalties(from: &Restoring, mut take: impl FnMut(u64, u16)) -> Result<(), RestoreError> {
    from.own(CUT, |row| {
        if let Saved::Video(video, known) = row
            && let Some(factor) = known.factor
        {
            take(video, factor);
        }
        Ok(())
    })
}
