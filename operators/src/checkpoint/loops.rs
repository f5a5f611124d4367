//! Edges that lead back into the next epoch.
//!
//! What a stage says at T for T + 1 is on its way when T is closed: no stage holds it. So the edge remembers what passed in
//! the last epoch that used it, which is little (the videos of the lists just made), and a restored graph hears it at T + 1 as
//! if it had just been said.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};

use crate::cut::{Cuts, StateSize};

/// Passes on what leads back, and remembers the last epoch's under `name`. A record lies in the logical shard that `shard`
/// says, so it is restored on the worker that it was on its way to, or on any where the edge exchanges behind this.
pub fn remember<'s, D: Clone + Serialize + Send + 'static>(
    stream: StreamVec<'s, u64, D>,
    name: &'static str,
    cuts: &Cuts,
    shard: impl Fn(&D) -> u64 + Copy + Send + 'static,
) -> StreamVec<'s, u64, D> {
    let last: Rc<RefCell<(u64, Vec<D>)>> = Rc::default();
    let reached = Rc::new(Cell::new(0));
    let taken = Rc::clone(&last);
    let take = move |epoch: u64| -> super::Rows {
        let last = taken.borrow();
        let passed = if last.0 == epoch { last.1.clone() } else { Vec::new() };
        Box::new(move |to| passed.iter().for_each(|record| to.row(shard(record), record)))
    };
    let size = {
        let last = Rc::clone(&last);
        move || {
            let entries = last.borrow().1.len() as u64;
            StateSize { entries, bytes: entries * size_of::<D>() as u64 }
        }
    };
    cuts.register(name, size, Rc::clone(&reached), take);
    let keeps = cuts.are_taken();
    stream.unary_frontier::<CapacityContainerBuilder<Vec<D>>, _, _, _>(
        Pipeline,
        name,
        move |_capability, _info| {
            move |(input, frontier), output| {
                input.for_each_time(|time, data| {
                    let mut session = output.session(&time);
                    for container in data {
                        if keeps {
                            let mut last = last.borrow_mut();
                            if last.0 < *time.time() {
                                *last = (*time.time(), Vec::new());
                            }
                            if last.0 == *time.time() {
                                last.1.extend_from_slice(container);
                            }
                        }
                        session.give_container(container);
                    }
                });
                reached.set(frontier.frontier().first().copied().unwrap_or(u64::MAX));
            }
        },
    )
}

/// What was on its way under `name` when the checkpoint was taken; nothing where the graph begins without one. It comes at the
/// epoch after.
pub fn restored<'s, D: Clone + DeserializeOwned + 'static>(
    scope: Scope<'s, u64>,
    name: &'static str,
    cuts: &Cuts,
) -> StreamVec<'s, u64, D> {
    let records = cuts.restored_rows(name);
    let at = cuts.restored_epoch().map_or(0, |epoch| epoch + 1);
    once(scope, name, records, at)
}

/// Says `records` at one time and nothing more.
pub fn once<'s, D: Clone + 'static>(
    scope: Scope<'s, u64>,
    name: &str,
    records: Vec<D>,
    at: u64,
) -> StreamVec<'s, u64, D> {
    source::<_, CapacityContainerBuilder<Vec<D>>, _, _>(scope, name, move |capability, _info| {
        let mut held = (!records.is_empty()).then(|| (capability.delayed(&at), records));
        drop(capability);
        move |output| {
            if let Some((capability, mut records)) = held.take() {
                output.session(&capability).give_container(&mut records);
            }
        }
    })
}
