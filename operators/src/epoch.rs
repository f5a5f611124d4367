//! How a stage meets time: [`per_epoch`] collects what arrives for each epoch and hands it over once, in order, when
//! nothing more can come for it.
//!
//! Between epochs a stage is plain code on plain data, with no timely type in sight: it can be tested by calling it, and it
//! cannot see in what order records happened to arrive, as long as it treats a batch as a set. Differential's own
//! operators (see [`crate::cut`]) carry the sums; stages of this kind carry what is an index over them or must look
//! things up *as of* an epoch.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::cut::{Cuts, StateSize};

/// A stage: state, and what one closed epoch does to it.
pub trait Stage: 'static {
    /// What comes in. A batch is a set: its order depends on scheduling and must not matter.
    type In: Clone + 'static;
    /// What goes out, at the same epoch.
    type Out: Clone + 'static;
    /// Applies all of `batch`, which is everything that this worker gets for `epoch`.
    fn step(&mut self, epoch: u64, batch: Vec<Self::In>, out: &mut Vec<Self::Out>);
    /// Entries and bytes held, cheaply.
    fn size(&self) -> StateSize;
}

/// Runs `stage` once for each closed epoch that brought something.
pub fn per_epoch<'s, S: Stage>(
    input: StreamVec<'s, u64, S::In>,
    name: &'static str,
    cuts: &Cuts,
    mut stage: S,
) -> StreamVec<'s, u64, S::Out> {
    let size = Rc::new(Cell::new(StateSize::default()));
    let shown = Rc::clone(&size);
    cuts.register(name, move || shown.get());
    input.unary_frontier(Pipeline, name, move |_capability, _info| {
        let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<S::In>)> = BTreeMap::new();
        let mut out = Vec::new();
        move |(input, frontier), output| {
            input.for_each_time(|time, data| {
                let batch = &mut waiting
                    .entry(*time.time())
                    .or_insert_with(|| (time.retain(output.output_index()), Vec::new()))
                    .1;
                for container in data {
                    batch.append(container);
                }
            });
            while let Some(entry) = waiting.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, batch)) = entry.remove_entry();
                stage.step(epoch, batch, &mut out);
                size.set(stage.size());
                output.session(&capability).give_iterator(out.drain(..));
            }
        }
    })
}

/// The updates of a collection as a plain stream whose timestamps are the updates' own, for a stage to read.
pub fn updates<'s, D, R>(collection: VecCollection<'s, u64, D, R>) -> StreamVec<'s, u64, (D, R)>
where
    D: Clone + 'static,
    R: Clone + differential_dataflow::difference::Semigroup + 'static,
{
    collection.inner.unary(Pipeline, "Updates", |_capability, _info| {
        move |input, output| {
            input.for_each_time(|time, data| {
                for container in data {
                    for (datum, at, diff) in container.drain(..) {
                        output.session(&time.delayed(&at, output.output_index())).give((datum, diff));
                    }
                }
            });
        }
    })
}
