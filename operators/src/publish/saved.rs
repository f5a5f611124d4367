//! What a checkpoint keeps of publications: what the heads learn from, which scores were told, and the last publication, which
//! is also what the shelves, the lists and the users go by. Totals follow from the arrangements.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Publish, Published};
use crate::boundary::Boundary;
use crate::checkpoint::kept::Kept;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::scorer::heads::Heads;
use crate::scorer::learn;

const CUT: &str = "published";

/// All of it is made on one worker and heard by all.
#[derive(Serialize, Deserialize)]
enum Saved {
    Hour(u64, Box<learn::Sums>),
    Kept(Arc<Heads>),
    Told(u64, u32),
    Last(Box<Published>),
    /// The record of the experiments as it was written.
    Experiments(Vec<u8>),
}

pub(super) fn take(publish: &Publish) -> Rows {
    let hours: Vec<(u64, learn::Sums)> =
        publish.hours.iter().map(|(hour, sums)| (hour, sums.clone())).collect();
    let kept = publish.kept.clone();
    let told: Vec<(u64, u32)> = publish.told.iter().map(|(creator, score)| (*creator, *score)).collect();
    let last = publish.last.clone();
    let experiments = publish.tally.written.clone();
    Box::new(move |to| {
        experiments.into_iter().for_each(|record| to.shared(&Saved::Experiments(record)));
        hours.into_iter().for_each(|(hour, sums)| to.shared(&Saved::Hour(hour, Box::new(sums))));
        kept.into_iter().for_each(|heads| to.shared(&Saved::Kept(heads)));
        told.into_iter().for_each(|(creator, score)| to.shared(&Saved::Told(creator, score)));
        if let Some(last) = last {
            // Scores are told as they change: all of them are above.
            to.shared(&Saved::Last(Box::new(Published { creators: BTreeMap::new(), ..(*last).clone() })));
        }
    })
}

pub(super) fn restore(publish: &mut Publish, from: &Restoring) -> Result<(), RestoreError> {
    publish.now = from.now();
    publish.publication = Boundary::after(from.now(), publish.score.publish_every);
    if !from.is_first() {
        return Ok(());
    }
    from.shared(CUT, |row| {
        match row {
            Saved::Hour(hour, sums) => publish.hours.plus(hour, &sums),
            Saved::Kept(heads) => publish.kept.push_back(heads),
            Saved::Told(creator, score) => drop(publish.told.insert(creator, score)),
            Saved::Last(last) => publish.last = Some(Arc::from(last)),
            Saved::Experiments(record) => publish.tally.written = Some(record),
        }
        Ok(())
    })?;
    from.all("creator_sums", |(creator, sums)| {
        publish.creators.insert(creator, sums);
        Ok(())
    })?;
    from.all("cohort_sums", |(cohort, sums)| {
        publish.cohorts.insert(cohort, sums);
        Ok(())
    })?;
    from.all("watched_parts", |(bin, views)| {
        publish.watched.insert(bin, views);
        Ok(())
    })
}

/// The last publication before the end of the checkpoint's epoch, without the creators' scores.
pub fn last(from: &Restoring) -> Result<Option<Published>, RestoreError> {
    let mut found = None;
    from.shared(CUT, |row| {
        if let Saved::Last(last) = row {
            found = Some(*last);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The creators' scores as they were told.
pub fn told(from: &Restoring, mut take: impl FnMut(u64, u32)) -> Result<(), RestoreError> {
    from.shared(CUT, |row| {
        if let Saved::Told(creator, score) = row {
            take(creator, score);
        }
        Ok(())
    })
}

/// All of it, for [`crate::checkpoint::kept`].
pub fn kept(from: &Restoring, kept: &mut Kept) -> Result<(), RestoreError> {
    from.shared(CUT, |row| {
        match row {
            Saved::Hour(hour, sums) => kept.hours.plus(hour, &sums),
            // Of versions before, and what the store has.
            Saved::Kept(_) | Saved::Experiments(_) => {}
            Saved::Told(creator, score) => drop(kept.creator_scores.insert(creator, score)),
            Saved::Last(last) => kept.published = Some(*last),
        }
        Ok(())
    })
}
