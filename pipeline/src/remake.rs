//! What the store lost is written again: which slices, and when a shard is whole.
//!
//! The sink finds losses and sees commits, the feeding thread binds slices; this stands between them. A shard is cut into
//! slices so that an epoch has some hundreds of lists to make and the events of the moment do not wait for all of a shard. Who
//! counts is who was bound in this run: what an earlier run had written again is not known to have reached the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use freshet_schema::Epoch;
use freshet_schema::hash::{SHARDS, Slice};
use freshet_sinks::Loss;

/// Counted rows of users, and videos, that one slice should have, about: some hundreds of lists, and cards that cost as much.
const ROWS: u64 = 4_000;
/// The lists of a slice, where it is people that are known.
const LISTS: u64 = 500;
const VIDEOS: u64 = 5_000;
/// The most slices of one shard.
const MOST_PARTS: u64 = 1 << 16;

/// How much the store holds, about: it decides how finely shards are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Rows that count, of all users.
    pub rows: u64,
    /// Videos.
    pub videos: u64,
}

impl Amount {
    /// Where people are known and not their rows: so many that a slice has the same number of lists.
    #[must_use]
    pub fn of_people(people: u64, videos: u64) -> Self {
        Self { rows: people.saturating_mul(ROWS / LISTS), videos }
    }
}

#[derive(Debug)]
struct Shard {
    loss: Loss,
    /// Commits of epochs up to this one may have been lost.
    since: Epoch,
    missing: BTreeSet<Slice>,
}

#[derive(Debug, Default)]
struct State {
    shards: BTreeMap<u64, Shard>,
    unbound: VecDeque<Slice>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Remake(Mutex<State>);

impl Remake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes losses in as they are known after the commit of `committed`. A loss that is known already goes on.
    pub fn lost(&self, losses: &[Loss], committed: Epoch, amount: Amount) {
        let mut state = self.state();
        let parts = parts(amount);
        for loss in losses {
            if state.shards.get(&loss.shard).is_some_and(|shard| shard.loss == *loss) {
                continue;
            }
            let slices = (0..parts).map(|part| Slice { shard: loss.shard, part, parts });
            let missing: BTreeSet<Slice> = slices.collect();
            state.unbound.retain(|slice| slice.shard != loss.shard);
            state.unbound.extend(&missing);
            state.shards.insert(loss.shard, Shard { loss: *loss, since: committed, missing });
        }
    }

    /// The slices to bind next, each once.
    pub fn take_unbound(&self) -> Vec<Slice> {
        self.state().unbound.drain(..).collect()
    }

    /// An epoch of this run was committed that wrote `slices` again. Answers the losses that are made good by it.
    pub fn committed(&self, epoch: Epoch, slices: &[Slice]) -> Vec<Loss> {
        let mut state = self.state();
        let mut whole = Vec::new();
        for slice in slices {
            let Some(shard) = state.shards.get_mut(&slice.shard) else { continue };
            if epoch > shard.since && shard.missing.remove(slice) && shard.missing.is_empty() {
                whole.push(shard.loss);
                state.shards.remove(&slice.shard);
            }
        }
        whole
    }

    /// Slices that are still to be committed, and shards that they belong to.
    #[must_use]
    pub fn left(&self) -> (usize, usize) {
        let state = self.state();
        (state.shards.values().map(|shard| shard.missing.len()).sum(), state.shards.len())
    }
}

fn parts(amount: Amount) -> u32 {
    let wanted = (amount.rows / SHARDS).div_ceil(ROWS).max((amount.videos / SHARDS).div_ceil(VIDEOS));
    u32::try_from(wanted.clamp(1, MOST_PARTS)).expect("clamped below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Amount = Amount { rows: 0, videos: 0 };
    /// Three parts a shard.
    const SOME: Amount = Amount { rows: SHARDS * (2 * ROWS + 1), videos: 0 };

    fn loss(shard: u64, incident: u64) -> Loss {
        Loss { shard, incident }
    }

    #[test]
    fn slices_have_some_hundreds_of_lists_however_the_amount_is_known() {
        assert_eq!(parts(Amount::of_people(SHARDS * LISTS, 0)), 1);
        assert_eq!(parts(Amount::of_people(200_000, 100_000)), 7);
        assert_eq!(parts(Amount { rows: 200_000 * ROWS / LISTS, videos: 100_000 }), 7);
    }

    #[test]
    fn a_shard_is_whole_when_all_its_slices_are_committed() {
        let remake = Remake::default();
        remake.lost(&[loss(3, 1), loss(9, 2)], Epoch(10), SOME);
        let slices = remake.take_unbound();
        assert_eq!((slices.len(), remake.left()), (6, (6, 2)));
        assert!(remake.take_unbound().is_empty());
        let mut whole = Vec::new();
        for (slice, epoch) in slices.iter().zip(11..) {
            whole.extend(remake.committed(Epoch(epoch), &[*slice]));
        }
        assert_eq!(whole, [loss(3, 1), loss(9, 2)]);
        assert_eq!(remake.left(), (0, 0));
    }

    #[test]
    fn what_was_committed_before_a_loss_was_found_does_not_count() {
        let remake = Remake::default();
        remake.lost(&[loss(3, 1)], Epoch(10), ONE);
        let slice = remake.take_unbound()[0];
        remake.lost(&[loss(3, 2)], Epoch(11), ONE);
        assert!(remake.committed(Epoch(11), &[slice]).is_empty(), "the second loss may have taken it");
        assert_eq!(remake.take_unbound(), [slice]);
        assert_eq!(remake.committed(Epoch(12), &[slice]), [loss(3, 2)]);
    }

    #[test]
    fn a_known_loss_goes_on() {
        let remake = Remake::default();
        remake.lost(&[loss(3, 1)], Epoch(10), SOME);
        let slices = remake.take_unbound();
        remake.committed(Epoch(11), &slices[..2]);
        remake.lost(&[loss(3, 1)], Epoch(11), SOME);
        assert!(remake.take_unbound().is_empty());
        assert_eq!(remake.left(), (1, 1));
    }

    #[test]
    fn large_stores_are_cut_finely() {
        assert_eq!(parts(ONE), 1);
        assert_eq!(parts(Amount { rows: 5_000_000, videos: 100_000 }), 20);
        assert_eq!(parts(Amount { rows: 0, videos: 10_000_000 }), 32);
        assert_eq!(parts(Amount { rows: u64::MAX, videos: 0 }), 1 << 16);
    }
}
