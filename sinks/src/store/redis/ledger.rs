//! What a writer knows of its shards, and what follows from it: which batches an epoch becomes, and what their answers mean.
//! Nothing here talks to a server.
//!
//! A shard is *good* as long as its marker has not fallen behind the last epoch that wrote values into it. What falls behind has lost
//! them: the shard is *lost*, its marker is taken away, and stays away until everything of the shard was written again. So
//! neither a crash in between nor a second loss can make it look whole. While it is lost, its values are still written as they come, for
//! they are final values, and remembered by hash: what is in the store beyond them, once all is written again, is from before the loss.
//!
//! The values of lost shards can be lost again, and there is no marker to tell. So one field more, the *tail*, moves with each epoch
//! and is compared like a shard's: when it falls behind, every lost shard begins again.

use freshet_schema::hash::{self, SHARDS};
use freshet_schema::{Epoch, store::Key};
use rustc_hash::FxHashSet;

use super::script::{Batch, Entry, Mark, Said, size};
use crate::store::{Commit, Loss};

/// Place of the tail behind the shards.
pub(super) const TAIL: usize = SHARDS as usize;
pub(super) const PLACES: usize = TAIL + 1;

/// The markers as they were read: of each shard, then the tail.
pub(super) type Markers = [Option<Epoch>; PLACES];

/// The field of a place in the hash of markers.
pub(super) fn field(place: usize) -> String {
    if place == TAIL { "tail".to_owned() } else { place.to_string() }
}

/// A key with its final value; `None` deletes.
type Change = (Key, Option<Vec<u8>>);

#[derive(Debug)]
struct Lost {
    incident: u64,
    /// Hashes of the keys that were set since.
    written: FxHashSet<u64>,
}

#[derive(Debug, Default)]
struct Place {
    /// The last epoch that wrote values: a marker below it has lost some.
    least: Option<Epoch>,
    /// Epochs up to here are in the store.
    done: Option<Epoch>,
    lost: Option<Lost>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    prefix: String,
    batch_bytes: usize,
    places: [Place; PLACES],
    incidents: u64,
    /// The last epoch committed.
    last: Option<Epoch>,
}

impl Ledger {
    /// What the markers say to a run whose state is that of the epoch `resumed`, which will commit the epochs after it.
    ///
    /// With nothing to resume from the replay writes all of a shard that has no marker: of a new store, of one that was
    /// emptied, of one whose first epoch was cut off by a crash. Otherwise a marker that is missing is of a shard that was lost and
    /// not restored.
    pub(super) fn new(prefix: &str, batch_bytes: usize, markers: &Markers, resumed: Epoch) -> Self {
        let newest = markers.iter().flatten().max().copied();
        let mut ledger = Self {
            prefix: prefix.to_owned(),
            batch_bytes,
            places: std::array::from_fn(|place| Place {
                least: markers[place],
                done: if resumed == Epoch(0) { markers[place] } else { markers[place].or(newest) },
                lost: None,
            }),
            incidents: 0,
            last: newest,
        };
        for (place, marker) in markers.iter().take(TAIL).enumerate() {
            if marker.unwrap_or_default() < resumed {
                ledger.lose(place);
            }
        }
        ledger
    }

    fn lose(&mut self, place: usize) {
        self.incidents += 1;
        let incident = self.incidents;
        self.places[place].least = None;
        if place != TAIL {
            self.places[place].lost = Some(Lost { incident, written: FxHashSet::default() });
        }
    }

    /// The store was emptied or put back, and taken again: lost shards begin anew. (The others' markers tell themselves.)
    pub(super) fn begin_again(&mut self) {
        self.lose(TAIL);
        let lost: Vec<usize> = (0..TAIL).filter(|place| self.places[*place].lost.is_some()).collect();
        lost.into_iter().for_each(|place| self.lose(place));
    }

    /// The shards that are lost.
    pub(super) fn lost(&self) -> Vec<Loss> {
        let of = |(shard, place): (usize, &Place)| {
            place.lost.as_ref().map(|lost| Loss { shard: shard as u64, incident: lost.incident })
        };
        self.places.iter().enumerate().filter_map(of).collect()
    }

    /// Whether every shard has the epoch.
    pub(super) fn has(&self, epoch: Epoch) -> bool {
        self.places[..TAIL].iter().all(|place| place.done >= Some(epoch))
    }

    /// The batches of some epochs in order, each with its own. Whole shards share a batch as long as they fit; a shard that alone
    /// is larger has several, and the marker comes with the last.
    pub(super) fn plan(&self, commits: &[Commit]) -> Vec<Batch> {
        let mut least: [Option<Epoch>; PLACES] = std::array::from_fn(|place| self.places[place].least);
        let mut batches = Vec::new();
        for commit in commits {
            let mut shards: Vec<Vec<&Change>> = vec![Vec::new(); PLACES];
            for change in &commit.changes {
                shards[change.0.shard() as usize].push(change);
            }
            let mut batch = Batch { epoch: commit.epoch, entries: Vec::new() };
            let mut filled = 0;
            let tail = least[TAIL];
            // The tail comes last: where it is, all that was written before it is.
            for place in 0..PLACES {
                let Place { done, lost, .. } = &self.places[place];
                let values = &shards[place];
                if *done >= Some(commit.epoch) || (lost.is_some() && values.is_empty()) {
                    continue;
                }
                let least_here = if place == TAIL { tail } else { least[place] };
                let entry = |mark| Entry { shard: place, least: least_here, mark, values: Vec::new() };
                let last = if lost.is_some() { Mark::Ignore } else { Mark::Set };
                let mut part = entry(last);
                let bytes: usize = values.iter().map(|(key, value)| self.size(key, value.as_deref())).sum();
                if filled > 0 && filled + bytes > self.batch_bytes {
                    batches.push(std::mem::replace(
                        &mut batch,
                        Batch { epoch: commit.epoch, entries: Vec::new() },
                    ));
                    filled = 0;
                }
                for (key, value) in values {
                    let bytes = self.size(key, value.as_deref());
                    if filled > 0 && filled + bytes > self.batch_bytes {
                        if last == Mark::Set {
                            part.mark = Mark::Leave;
                        }
                        batch.entries.push(std::mem::replace(&mut part, entry(last)));
                        batches.push(std::mem::replace(
                            &mut batch,
                            Batch { epoch: commit.epoch, entries: Vec::new() },
                        ));
                        filled = 0;
                    }
                    filled += bytes;
                    part.values.push((self.key(key), value.clone()));
                }
                batch.entries.push(part);
                if !values.is_empty() {
                    least[if lost.is_some() { TAIL } else { place }] = Some(commit.epoch);
                }
            }
            if !batch.entries.is_empty() {
                batches.push(batch);
            }
        }
        batches
    }

    /// A batch that writes nothing: it finds markers that have fallen behind.
    pub(super) fn check(&self) -> Batch {
        let entry = |(shard, place): (usize, &Place)| {
            (place.lost.is_none()).then(|| Entry {
                shard,
                least: place.least,
                mark: Mark::Compare,
                values: Vec::new(),
            })
        };
        Batch {
            epoch: super::script::NEVER,
            entries: self.places.iter().enumerate().filter_map(entry).collect(),
        }
    }

    /// A batch after which every shard is lost.
    pub(super) fn distrust(&self) -> Batch {
        let mut batch = self.check();
        batch.entries.iter_mut().for_each(|entry| entry.least = Some(super::script::NEVER));
        batch
    }

    /// The batches that make lost shards whole: `stale` are keys that they hold and should not.
    pub(super) fn restore(&self, shards: &[usize], stale: &[String]) -> Vec<Batch> {
        let Some(epoch) = self.last else { return Vec::new() };
        let tail =
            || Entry { shard: TAIL, least: self.places[TAIL].least, mark: Mark::Compare, values: Vec::new() };
        let of = |shard: usize, mark, keys: &[&String]| {
            let values = keys.iter().map(|key| ((*key).clone(), None)).collect();
            Batch { epoch, entries: vec![tail(), Entry { shard, least: None, mark, values }] }
        };
        let mut batches = Vec::new();
        for shard in shards {
            let keys: Vec<&String> = stale
                .iter()
                .filter(|key| self.parse(key).is_some_and(|key| key.shard() as usize == *shard))
                .collect();
            batches.extend(keys.chunks(10_000).map(|keys| of(*shard, Mark::Ignore, keys)));
            batches.push(of(*shard, Mark::Restore, &[]));
        }
        batches
    }

    /// Takes the answer to a batch in.
    pub(super) fn note(&mut self, batch: &Batch, said: &[Said]) {
        for (entry, said) in batch.entries.iter().zip(said) {
            let place = entry.shard;
            let wrote = !entry.values.is_empty();
            match said {
                Said::Lost if place == TAIL => self.begin_again(),
                // A batch that was made before the loss was known finds the marker gone once more.
                Said::Lost if self.places[place].lost.is_none() => self.lose(place),
                Said::Applied if entry.mark == Mark::Restore => {
                    self.places[place].lost = None;
                    self.places[place].least = Some(batch.epoch);
                }
                Said::Lost | Said::Applied | Said::Skipped | Said::Values => {}
            }
            if let Some(lost) = &mut self.places[place].lost {
                for (key, value) in &entry.values {
                    let key = hash::text(key);
                    if value.is_some() {
                        lost.written.insert(key)
                    } else {
                        lost.written.remove(&key)
                    };
                }
            }
            if matches!(entry.mark, Mark::Compare | Mark::Leave) {
                continue;
            }
            if wrote {
                let of = if self.places[place].lost.is_some() { TAIL } else { place };
                self.places[of].least = self.places[of].least.max(Some(batch.epoch));
            }
            self.places[place].done = self.places[place].done.max(Some(batch.epoch));
        }
    }

    /// An epoch was committed as a whole: lost shards without values in it have it too.
    pub(super) fn committed(&mut self, epoch: Epoch) {
        for place in &mut self.places {
            place.done = place.done.max(Some(epoch));
        }
        self.last = self.last.max(Some(epoch));
    }

    /// Whether a key of a shard was set since the shard was lost.
    pub(super) fn is_written(&self, key: &str) -> bool {
        let Some(parsed) = self.parse(key) else { return true };
        let lost = &self.places[parsed.shard() as usize].lost;
        lost.as_ref().is_none_or(|lost| lost.written.contains(&hash::text(key)))
    }

    /// Those of `losses` that are still the latest of their shard.
    pub(super) fn current(&self, losses: &[Loss]) -> Vec<usize> {
        let now = self.lost();
        losses.iter().filter(|loss| now.contains(loss)).map(|loss| loss.shard as usize).collect()
    }

    fn key(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn parse(&self, key: &str) -> Option<Key> {
        key.strip_prefix(&self.prefix).and_then(Key::parse)
    }

    fn size(&self, key: &Key, value: Option<&[u8]>) -> usize {
        self.prefix.len() + size(&key.to_string(), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::UserId;

    fn ledger(markers: Markers) -> Ledger {
        Ledger::new("", 100, &markers, Epoch(0))
    }

    fn commit(epoch: u64, users: &[u64]) -> Commit {
        let changes = users.iter().map(|user| (Key::Feed(UserId(*user)), Some(vec![0]))).collect();
        Commit { epoch: Epoch(epoch), changes }
    }

    /// Notes that all of `batches` were answered with `said`.
    fn answer(ledger: &mut Ledger, batches: &[Batch], said: impl Fn(&Entry) -> Said) {
        for batch in batches {
            let said: Vec<Said> = batch.entries.iter().map(&said).collect();
            ledger.note(batch, &said);
        }
    }

    #[test]
    fn every_epoch_moves_every_marker_and_the_tail_last() {
        let ledger = ledger([None; PLACES]);
        let batches = ledger.plan(&[commit(3, &[])]);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].entries.len(), PLACES);
        assert_eq!(batches[0].entries.last().map(|entry| entry.shard), Some(TAIL));
        assert!(batches[0].entries.iter().all(|entry| entry.mark == Mark::Set && entry.least.is_none()));
    }

    #[test]
    fn a_marker_comes_with_the_last_piece_of_its_shard() {
        let ledger = ledger([None; PLACES]);
        let batches = ledger.plan(&[commit(3, &[5; 7])]);
        let shard = hash::shard(5) as usize;
        let marks: Vec<Mark> =
            batches.iter().flat_map(|b| &b.entries).filter(|e| e.shard == shard).map(|e| e.mark).collect();
        assert!(marks.len() > 1, "{marks:?}");
        assert_eq!(marks.iter().filter(|mark| **mark == Mark::Set).count(), 1);
        assert_eq!(marks.last(), Some(&Mark::Set));
        assert!(batches.iter().all(|batch| batch.bytes() <= 100 + 64));
    }

    #[test]
    fn the_next_epoch_expects_the_values_of_the_one_before() {
        let mut ledger = ledger([None; PLACES]);
        let batches = ledger.plan(&[commit(3, &[5]), commit(4, &[]), commit(5, &[5])]);
        let shard = hash::shard(5) as usize;
        let least: Vec<_> =
            batches.iter().flat_map(|b| &b.entries).filter(|e| e.shard == shard).map(|e| e.least).collect();
        assert_eq!(least, [None, Some(Epoch(3)), Some(Epoch(3))]);
        answer(&mut ledger, &batches, |_| Said::Applied);
        (3..6).for_each(|epoch| ledger.committed(Epoch(epoch)));
        assert!(ledger.has(Epoch(5)) && !ledger.has(Epoch(6)));
        let check = ledger.check();
        assert_eq!(check.entries[shard].least, Some(Epoch(5)));
        assert_eq!(check.entries[(shard + 1) % TAIL].least, None);
    }

    #[test]
    fn a_lost_shard_stays_so_until_it_is_restored() {
        let mut ledger = ledger([Some(Epoch(9)); PLACES]);
        let shard = hash::shard(5) as usize;
        let batches = ledger.plan(&[commit(10, &[5])]);
        answer(&mut ledger, &batches, |e| if e.shard == shard { Said::Lost } else { Said::Applied });
        ledger.committed(Epoch(10));
        let lost = ledger.lost();
        assert_eq!(lost.len(), 1);
        assert!(
            ledger.is_written("feed:5") && !ledger.is_written("dropped:5") && ledger.is_written("feed:6")
        );
        let next = ledger.plan(&[commit(11, &[5])]);
        let entry = next[0].entries.iter().find(|e| e.shard == shard).map(|e| e.mark);
        assert_eq!(entry, Some(Mark::Ignore));
        let silent = ledger.plan(&[commit(11, &[6])]);
        assert!(silent.iter().flat_map(|b| &b.entries).all(|e| e.shard != shard), "nothing to say of it");
        let tail = next[0].entries.last().map(|e| e.least);
        assert_eq!(tail, Some(Some(Epoch(10))), "its values are the tail's to watch");
        let restore = ledger.restore(&[shard], &["dropped:5".to_owned()]);
        answer(&mut ledger, &restore, |e| if e.mark == Mark::Ignore { Said::Values } else { Said::Applied });
        assert!(ledger.lost().is_empty());
        assert_eq!(ledger.check().entries[shard].least, Some(Epoch(10)));
    }

    #[test]
    fn a_tail_that_falls_behind_makes_lost_shards_begin_again() {
        let mut ledger = ledger([Some(Epoch(9)); PLACES]);
        let check = ledger.check();
        answer(&mut ledger, std::slice::from_ref(&check), |e| {
            if e.shard < 2 { Said::Lost } else { Said::Applied }
        });
        let first = ledger.lost();
        assert_eq!(first.iter().map(|loss| loss.shard).collect::<Vec<_>>(), [0, 1]);
        answer(&mut ledger, &[check], |e| if e.shard == TAIL { Said::Lost } else { Said::Applied });
        let second = ledger.lost();
        assert_eq!(second.len(), 2);
        assert!(ledger.current(&first).is_empty());
        assert_eq!(ledger.current(&second), [0, 1]);
    }

    #[test]
    fn what_a_new_run_finds() {
        let found = |markers: Markers, resumed| {
            let ledger = Ledger::new("", 100, &markers, Epoch(resumed));
            (ledger.lost().len(), ledger.has(Epoch(9)), ledger.has(Epoch(10)))
        };
        assert_eq!(found([None; PLACES], 0), (0, false, false), "a new store, and a replay from the start");
        assert_eq!(found([None; PLACES], 9), (TAIL, false, false), "an emptied one, and a restored state");
        assert_eq!(found([Some(Epoch(9)); PLACES], 9), (0, true, false));
        assert_eq!(found([Some(Epoch(9)); PLACES], 10), (TAIL, true, false));
        let mut missing = [Some(Epoch(9)); PLACES];
        missing[3] = None;
        assert_eq!(
            found(missing, 0),
            (0, false, false),
            "an epoch was cut off by a crash, or the replay writes what was lost"
        );
        assert_eq!(found(missing, 9), (1, true, false));
        let mut half = [Some(Epoch(9)); PLACES];
        half[7] = Some(Epoch(8));
        assert_eq!(found(half, 8), (0, false, false), "an epoch was cut off by a crash");
    }
}
