//! What earlier runs left: the journal's entries put together, and where a checkpoint lets a source go on.
//!
//! A checkpoint knows what the journal's bindings do not say: the greatest event time that each partition had reached. Pure code,
//! so that every way in which journal and checkpoint can disagree is told in one place.

use serde::{Deserialize, Serialize};

use super::Binding;
use crate::journal::{At, Base, Bound, Entry, Parameters};

/// What earlier runs left in the journal.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) parameters: Option<Parameters>,
    /// Where the bindings begin.
    pub(super) base: Base,
    pub(super) partitions: Vec<String>,
    pub(super) bound: Vec<Bound>,
    pub(super) shift: Option<i64>,
}

/// Where a checkpoint left a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What the journal was begun with.
    pub parameters: Parameters,
    /// Where everything stood at the end of the checkpoint's epoch.
    pub base: Base,
}

impl Past {
    /// Puts the entries together; `Err` says how they contradict each other.
    pub(super) fn of(entries: Vec<Entry>) -> Result<Self, String> {
        let mut past = Self::default();
        let mut offsets: Vec<u64> = Vec::new();
        for (i, entry) in entries.into_iter().enumerate() {
            match entry {
                Entry::Parameters(p) if i == 0 => past.parameters = Some(p),
                Entry::Parameters(_) => return Err(format!("entry {i} gives parameters a second time")),
                Entry::Base(base) if i == 1 => {
                    past.partitions = base.partitions.iter().map(|at| at.name.clone()).collect();
                    offsets = base.partitions.iter().map(|at| at.next_offset).collect();
                    past.shift = base.shift;
                    past.base = base;
                }
                Entry::Base(_) => return Err(format!("entry {i} is a base, which only the second may be")),
                _ if i == 0 => return Err("it does not begin with its parameters".to_owned()),
                Entry::Partition(name) if past.partitions.contains(&name) => {
                    return Err(format!("the partition {name} appears twice"));
                }
                Entry::Partition(name) => {
                    past.partitions.push(name);
                    offsets.push(0);
                }
                Entry::Shift(_) if past.shift.is_some() => return Err("it goes live twice".to_owned()),
                Entry::Shift(ms) => past.shift = Some(ms),
                Entry::Binding(bound) => {
                    let expected = past.base.epoch.0 + past.bound.len() as u64 + 1;
                    if bound.epoch.0 != expected {
                        return Err(format!("epoch {} follows epoch {}", bound.epoch, expected - 1));
                    }
                    if past.bound.last().map_or(past.base.now, |last| last.now) > bound.now {
                        return Err(format!("the clock of epoch {expected} goes back"));
                    }
                    for moved in &bound.moved {
                        match offsets.get_mut(moved.partition as usize) {
                            Some(offset) if *offset < moved.next_offset => *offset = moved.next_offset,
                            Some(_) => {
                                return Err(format!(
                                    "partition {} goes back in epoch {expected}",
                                    moved.partition
                                ));
                            }
                            None => {
                                return Err(format!(
                                    "epoch {expected} names the unknown partition {}",
                                    moved.partition
                                ));
                            }
                        }
                    }
                    past.bound.push(bound);
                }
            }
        }
        Ok(past)
    }

    /// The past behind a checkpoint, and what a journal that is new has to begin with.
    pub(super) fn resume(mut self, resume: Option<Resume>) -> Result<(Self, Vec<Entry>), String> {
        let Some(Resume { parameters, base }) = resume else {
            return if self.base.epoch.0 == 0 {
                Ok((self, Vec::new()))
            } else {
                Err(format!(
                    "it begins behind epoch {}, and there is no checkpoint to go on from: name the folder of the \
                     checkpoints that belong to it (checkpoint.dir)",
                    self.base.epoch
                ))
            };
        };
        if self.parameters.is_none() {
            let begin = vec![Entry::Parameters(parameters.clone()), Entry::Base(base.clone())];
            let partitions = base.partitions.iter().map(|at| at.name.clone()).collect();
            let shift = base.shift;
            return Ok((
                Self { parameters: Some(parameters), base, partitions, bound: Vec::new(), shift },
                begin,
            ));
        }
        let epoch = base.epoch;
        let first = self.base.epoch;
        let last = self.bound.last().map_or(first, |bound| bound.epoch);
        if !(first..=last).contains(&epoch) {
            return Err(format!(
                "it holds the epochs behind {first} up to {last}, and the checkpoint is of epoch {epoch}: they belong to \
                 different runs"
            ));
        }
        let behind = self.bound.split_off((epoch.0 - first.0) as usize);
        let mut here = std::mem::take(&mut self.base);
        let mut places = here.partitions.clone();
        places.resize(self.partitions.len(), At::beginning(""));
        for bound in &self.bound {
            (here.epoch, here.now, here.watermark) = (bound.epoch, bound.now, bound.watermark);
            for moved in &bound.moved {
                let at = &mut places[moved.partition as usize];
                (at.next_offset, at.checksum) = (moved.next_offset, moved.checksum);
            }
        }
        let place = |name: &str| base.partitions.iter().find(|at| at.name == name);
        let same = |name: &String, at: &At| {
            place(name).map_or((0, 0), |at| (at.next_offset, at.checksum)) == (at.next_offset, at.checksum)
        };
        let all_same = self.partitions.iter().zip(&places).all(|(name, at)| same(name, at));
        let in_order = base.partitions.iter().zip(&self.partitions).all(|(at, name)| at.name == *name);
        if here.now != base.now || !all_same || !in_order || base.partitions.len() > self.partitions.len() {
            return Err(format!(
                "its epoch {epoch} is not that of the checkpoint: they belong to different runs"
            ));
        }
        self.bound = behind;
        self.base = base;
        Ok((self, Vec::new()))
    }

    /// Where each partition stands at the base.
    pub(super) fn places(&self) -> Vec<At> {
        let known = self.base.partitions.iter().cloned();
        known
            .chain(self.partitions.iter().skip(self.base.partitions.len()).map(|name| At::beginning(name)))
            .collect()
    }
}

/// Moves a base on by an epoch.
pub(super) fn advance(base: &mut Base, binding: &Binding, shift: Option<i64>) {
    base.epoch = binding.epoch;
    base.now = binding.now;
    base.watermark = binding.watermark;
    base.shift = if binding.live { shift } else { None };
    for position in &binding.positions {
        let at = position.partition as usize;
        if base.partitions.len() <= at {
            // Those between have not been read from: their names are filled in by whoever knows them.
            base.partitions.resize(at + 1, At::beginning(""));
        }
        base.partitions[at] = At {
            name: position.name.to_string(),
            next_offset: position.next_offset,
            checksum: position.checksum,
            greatest: position.greatest,
        };
    }
}
