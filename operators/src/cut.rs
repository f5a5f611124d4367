//! Cuts: everything that lasts has a name here.
//!
//! A cut is state such that all that follows from it is a pure function of the cuts and of later input. Every lasting
//! arrangement is made by [`Cuts::arrange`], and every stage that keeps an index registers through
//! [`crate::epoch::per_epoch`]; so sizes can be shown for all of them, compaction is driven in one place, and a checkpoint
//! has one list to walk. Names are chosen by people and never derived from construction order.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::VecCollection;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::KeySpine;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

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

/// The lasting state of one worker.
#[derive(Clone, Default)]
pub struct Cuts(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    sizes: Vec<(&'static str, Size)>,
    compact: Vec<Compact>,
}

impl Cuts {
    /// Gives a piece of state its name.
    ///
    /// # Panics
    /// Where the name is taken: two cuts of one name could not be told apart in a checkpoint.
    pub fn register(&self, name: &'static str, size: impl Fn() -> StateSize + 'static) {
        let mut inner = self.0.borrow_mut();
        assert!(inner.sizes.iter().all(|(n, _)| *n != name), "two cuts are named {name}");
        inner.sizes.push((name, Box::new(size)));
    }

    /// Arranges contributions by their key, with the sum in the difference: the arrangement *is* the state, and holds one
    /// entry a key however many contributions made it.
    pub fn arrange<'s, K, R>(
        &self,
        name: &'static str,
        contributions: VecCollection<'s, u64, K, R>,
    ) -> Arranged<'s, TraceAgent<KeySpine<K, u64, R>>>
    where
        K: differential_dataflow::ExchangeData + Hashable,
        R: differential_dataflow::ExchangeData + Semigroup,
    {
        let arranged = contributions.arrange_by_self_named(name);
        // One handle for both uses: every clone of a trace handle is a hold of its own.
        let holder = Rc::new(RefCell::new(arranged.trace.clone()));
        let reader = Rc::clone(&holder);
        self.register(name, move || {
            let mut entries = 0;
            reader.borrow().map_batches(|batch| entries += batch.len() as u64);
            let row = size_of::<K>() + size_of::<u64>() + size_of::<R>() + size_of::<usize>();
            StateSize { entries, bytes: entries * row as u64 }
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
        self.0.borrow().sizes.iter().map(|(name, size)| (*name, size())).collect()
    }
}
