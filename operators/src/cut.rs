//! Cuts: everything that lasts has a name here.
//!
//! A cut is state such that all that follows from it is a pure function of the cuts and of later input. Every lasting
//! arrangement is made by [`Cuts::arrange`], and every stage that keeps an index registers through
//! [`crate::epoch::per_epoch`]; so sizes can be shown for all of them, compaction is driven in one place, and a checkpoint
//! ([`crate::checkpoint`]) has one list to walk. Names are chosen by people and never derived from construction order.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::Monoid;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::KeySpine;
use differential_dataflow::trace::{BatchReader, Cursor, TraceReader};
use freshet_schema::Epoch;
use serde::de::DeserializeOwned;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concatenate;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use crate::checkpoint::loops::once;
use crate::checkpoint::{RestoreError, Restoring, Rows, Snapshot, Taken};
use crate::look::{self, Record, Records, Wanted};

/// Entries and bytes of one piece of state on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys, rows or updates held.
    pub entries: u64,
    /// Bytes held, estimated from the sizes of the types and the lengths of their heap parts.
    pub bytes: u64,
}

impl StateSize {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { entries: self.entries + other.entries, bytes: self.bytes + other.bytes }
    }
}

type Compact = Box<dyn FnMut(u64)>;
type Size = Box<dyn Fn() -> StateSize>;
type Take = Box<dyn FnMut(u64) -> Rows>;
type Show = Box<dyn FnMut(&Wanted) -> Records>;
/// The first epoch that a cut has not closed.
type Reached = Box<dyn Fn() -> u64>;

/// The lasting state of one worker.
#[derive(Clone, Default)]
pub struct Cuts(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    cuts: Vec<Cut>,
    /// How to look at cuts that can be looked at, by name.
    shows: Vec<(&'static str, Show)>,
    compact: Vec<Compact>,
    restoring: Option<Restoring>,
    /// Whether checkpoints will be asked for.
    taken: bool,
    /// The first thing that went wrong with restoring.
    error: Option<RestoreError>,
}

struct Cut {
    name: &'static str,
    size: Size,
    reached: Reached,
    take: Take,
}

/// How the sums of an arrangement are looked at.
pub struct Shown<K, R> {
    /// The arrangement's key that goes by a number.
    pub key: fn(u64) -> K,
    /// The record of a sum.
    pub record: for<'a> fn(&'a K, &'a R) -> Record<'a>,
}

impl<K, R> Shown<K, R>
where
    K: differential_dataflow::ExchangeData + Hashable,
    R: differential_dataflow::ExchangeData + Monoid,
{
    /// The sums of the keys that are wanted. Of all there is, times do not matter: nothing behind the epoch was fed.
    fn records(&self, trace: &mut TraceAgent<KeySpine<K, u64, R>>, wanted: &Wanted) -> Records {
        let (mut cursor, storage) = trace.cursor();
        let mut sums: Vec<(K, R)> = Vec::new();
        let mut keys = wanted.keys.as_ref().map(|keys| keys.iter());
        loop {
            if let Some(keys) = &mut keys {
                let Some(key) = keys.next() else { break };
                // They are sorted as the arrangement's keys are: the cursor only moves on.
                let key = (self.key)(*key);
                cursor.seek_key(&storage, &key);
                if cursor.get_key(&storage) != Some(&key) {
                    continue;
                }
            }
            let Some(key) = cursor.get_key(&storage).cloned() else { break };
            let mut sum = R::zero();
            while cursor.val_valid(&storage) {
                cursor.map_times(&storage, |_, amount| sum.plus_equals(amount));
                cursor.step_val(&storage);
            }
            if !sum.is_zero() {
                sums.push((key, sum));
            }
            if keys.is_none() {
                cursor.step_key(&storage);
            }
        }
        let record = self.record;
        Box::new(move |to| {
            let _ = sums.iter().all(|(key, sum)| to(record(key, sum)));
        })
    }
}

impl Cuts {
    /// The cuts of a graph that begins with a checkpoint, or with nothing; `taken` says whether checkpoints will be asked for.
    #[must_use]
    pub fn new(restoring: Option<Restoring>, taken: bool) -> Self {
        Self(Rc::new(RefCell::new(Inner { restoring, taken, ..Inner::default() })))
    }

    /// Gives a piece of state its name. `reached` is the first epoch that it has not closed; `take` takes it as of the epoch
    /// before, which it is told.
    ///
    /// # Panics
    /// Where the name is taken: two cuts of one name could not be told apart in a checkpoint.
    pub fn register(
        &self,
        name: &'static str,
        size: impl Fn() -> StateSize + 'static,
        reached: Rc<Cell<u64>>,
        take: impl FnMut(u64) -> Rows + 'static,
    ) {
        self.add(Cut {
            name,
            size: Box::new(size),
            reached: Box::new(move || reached.get()),
            take: Box::new(take),
        });
    }

    fn add(&self, cut: Cut) {
        let mut inner = self.0.borrow_mut();
        assert!(inner.cuts.iter().all(|known| known.name != cut.name), "two cuts are named {}", cut.name);
        inner.cuts.push(cut);
    }

    /// Says how to look at the cut `name`.
    pub fn show(&self, name: &'static str, show: impl FnMut(&Wanted) -> Records + 'static) {
        self.0.borrow_mut().shows.push((name, Box::new(show)));
    }

    /// Takes what is wanted, as of an epoch that every cut has closed and after which nothing was fed.
    #[must_use]
    pub fn look(&self, wanted: &Wanted, worker: usize) -> Records {
        let Some(name) = wanted.kind.cut() else {
            let sizes = self.sizes();
            return Box::new(move |to| {
                let _ = sizes.iter().all(|(cut, size)| to(Record::Size(cut, worker, *size)));
            });
        };
        let mut inner = self.0.borrow_mut();
        let show = inner.shows.iter_mut().find(|(known, _)| *known == name);
        show.map_or_else(look::none, |(_, show)| show(wanted))
    }

    /// Whether checkpoints will be asked for.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.0.borrow().taken
    }

    /// The checkpoint that the graph begins with.
    #[must_use]
    pub fn restoring(&self) -> Option<Restoring> {
        self.0.borrow().restoring.clone()
    }

    /// Its epoch.
    #[must_use]
    pub fn restored_epoch(&self) -> Option<u64> {
        self.0.borrow().restoring.as_ref().map(Restoring::epoch)
    }

    /// The restored rows of the worker's own shards of a cut that is nothing but rows.
    #[must_use]
    pub fn restored_rows<R: DeserializeOwned>(&self, name: &str) -> Vec<R> {
        let mut rows = Vec::new();
        if let Some(restoring) = self.restoring() {
            self.note(restoring.own(name, |row| {
                rows.push(row);
                Ok(())
            }));
        }
        rows
    }

    /// Remembers what went wrong with restoring, for [`Cuts::error`].
    pub fn note(&self, restored: Result<(), RestoreError>) {
        if let Err(error) = restored {
            self.0.borrow_mut().error.get_or_insert(error);
        }
    }

    /// The graph is built: the checkpoint is needed no longer.
    pub fn restored(&self) {
        self.0.borrow_mut().restoring = None;
    }

    /// What went wrong with restoring. The graph must not run then.
    #[must_use]
    pub fn error(&self) -> Option<RestoreError> {
        self.0.borrow().error.clone()
    }

    /// Whether every cut has closed `epoch`.
    #[must_use]
    pub fn settled(&self, epoch: u64) -> bool {
        self.0.borrow().cuts.iter().all(|cut| (cut.reached)() > epoch)
    }

    /// Takes every cut as of `epoch`, which all have closed and after which nothing was fed.
    pub fn take(&self, epoch: u64, worker: usize, to: &Sender<Taken>) {
        let began = Instant::now();
        assert!(self.settled(epoch), "a checkpoint of epoch {epoch} is taken before the epoch is closed");
        for cut in &mut self.0.borrow_mut().cuts {
            let snapshot = Snapshot { cut: cut.name, rows: (cut.take)(epoch) };
            // Whoever wanted the checkpoint may have gone: then there is nobody to tell.
            let _ = to.send(Taken::Cut(Epoch(epoch), snapshot));
        }
        let stood = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let _ = to.send(Taken::Worker(Epoch(epoch), worker, stood));
    }

    /// Arranges contributions by their key, with the sum in the difference: the arrangement *is* the state, and holds one
    /// entry a key however many contributions made it. `shard` says in which logical shard a key's sum is kept. Restored sums
    /// are contributions of the checkpoint's epoch.
    pub fn arrange<'s, K, R>(
        &self,
        name: &'static str,
        contributions: StreamVec<'s, u64, (K, u64, R)>,
        shard: impl Fn(&K) -> u64 + Copy + Send + 'static,
    ) -> Arranged<'s, TraceAgent<KeySpine<K, u64, R>>>
    where
        K: differential_dataflow::ExchangeData + Hashable + DeserializeOwned,
        R: differential_dataflow::ExchangeData + Monoid + DeserializeOwned,
    {
        self.arrange_shown(name, contributions, shard, None)
    }

    /// As [`Cuts::arrange`], for sums that can be looked at.
    pub fn arrange_shown<'s, K, R>(
        &self,
        name: &'static str,
        contributions: StreamVec<'s, u64, (K, u64, R)>,
        shard: impl Fn(&K) -> u64 + Copy + Send + 'static,
        shown: Option<Shown<K, R>>,
    ) -> Arranged<'s, TraceAgent<KeySpine<K, u64, R>>>
    where
        K: differential_dataflow::ExchangeData + Hashable + DeserializeOwned,
        R: differential_dataflow::ExchangeData + Monoid + DeserializeOwned,
    {
        let scope = contributions.scope();
        let epoch = self.restored_epoch().unwrap_or(0);
        let restored: Vec<(K, R)> = self.restored_rows(name);
        let restored = restored.into_iter().map(|(key, sum)| (key, epoch, sum)).collect();
        let restored = once(scope, name, restored, epoch);
        let arranged =
            scope.concatenate([contributions, restored]).as_collection().arrange_by_self_named(name);
        // One handle for all uses: every clone of a trace handle is a hold of its own.
        let holder = Rc::new(RefCell::new(arranged.trace.clone()));
        if let Some(shown) = shown {
            let trace = Rc::clone(&holder);
            self.show(name, move |wanted| shown.records(&mut trace.borrow_mut(), wanted));
        }
        let (reader, reached, taken) = (Rc::clone(&holder), Rc::clone(&holder), Rc::clone(&holder));
        self.add(Cut {
            name,
            size: Box::new(move || {
                let mut entries = 0;
                reader.borrow().map_batches(|batch| entries += batch.len() as u64);
                let row = size_of::<K>() + size_of::<u64>() + size_of::<R>() + size_of::<usize>();
                StateSize { entries, bytes: entries * row as u64 }
            }),
            reached: Box::new(move || {
                let mut upper = Antichain::new();
                reached.borrow_mut().read_upper(&mut upper);
                upper.elements().first().copied().unwrap_or(u64::MAX)
            }),
            take: Box::new(move |_epoch| {
                let mut sums: Vec<(K, R)> = Vec::new();
                // All there is: nothing behind the epoch was fed, so times do not matter, nor that they were compacted.
                let (mut cursor, storage) = taken.borrow_mut().cursor();
                while let Some(key) = cursor.get_key(&storage) {
                    let mut sum = R::zero();
                    while cursor.val_valid(&storage) {
                        cursor.map_times(&storage, |_, amount| sum.plus_equals(amount));
                        cursor.step_val(&storage);
                    }
                    if !sum.is_zero() {
                        sums.push((key.clone(), sum));
                    }
                    cursor.step_key(&storage);
                }
                Box::new(move |to| sums.iter().for_each(|sum| to.row(shard(&sum.0), sum)))
            }),
        });
        self.0.borrow_mut().compact.push(Box::new(move |closed| {
            let mut holder = holder.borrow_mut();
            holder.set_logical_compaction(AntichainRef::new(&[closed]));
            let mut upper = Antichain::new();
            holder.read_upper(&mut upper);
            holder.set_physical_compaction(upper.borrow());
        }));
        arranged
    }

    /// Lets the arrangements forget distinctions of time before `closed`. Called every turn of the worker: a hold that
    /// does not advance pins all of history.
    pub fn compact(&self, closed: u64) {
        for compact in &mut self.0.borrow_mut().compact {
            compact(closed);
        }
    }

    /// Name and size of every cut.
    #[must_use]
    pub fn sizes(&self) -> Vec<(&'static str, StateSize)> {
        self.0.borrow().cuts.iter().map(|cut| (cut.name, (cut.size)())).collect()
    }
}
