//! Sums by key in a named arrangement, and word of each total as it changes.
//!
//! Differential's `count_total` says the old total with -1 and the new one with 1. A consumer that keeps an index needs only
//! the new one, so that is all that is said here: a key's total as of the epoch, once an epoch in which it changed, and zero
//! where nothing is left of it. That halves what is built, sent and looked up.

use std::collections::BTreeMap;

use differential_dataflow::ExchangeData;
use differential_dataflow::difference::Monoid;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::cursor::cursor_list;
use differential_dataflow::trace::implementations::KeySpine;
use differential_dataflow::trace::{BatchReader, Cursor, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use crate::cut::Cuts;

/// Sums by key: the state of one name.
pub type Sums<'s, K, R> = Arranged<'s, TraceAgent<KeySpine<K, u64, R>>>;

/// The totals of an arrangement as they change. What was restored is no change: who keeps an index of it has restored its own.
pub fn totals<'s, K, R>(cuts: &Cuts, arranged: Sums<'s, K, R>) -> StreamVec<'s, u64, (K, R)>
where
    K: ExchangeData + Hashable,
    R: ExchangeData + Monoid,
{
    let mut trace = arranged.trace.clone();
    let restored = cuts.restored_epoch();
    arranged.stream.unary::<CapacityContainerBuilder<Vec<(K, R)>>, _, _, _>(
        Pipeline,
        "Totals",
        move |_capability, _info| {
            // What the batches taken in so far reach up to.
            let mut upper = Antichain::from_elem(0);
            move |input, output| {
                let lower = upper.clone();
                let mut batches = Vec::new();
                let mut first = None;
                input.for_each(|capability, arrived| {
                    // Batches come in order, so the first capability is good for all of them.
                    first.get_or_insert_with(|| capability.retain(0));
                    for batch in arrived.drain(..) {
                        upper.clone_from(batch.upper());
                        batches.push(batch);
                    }
                });
                if let Some(capability) = first {
                    let (mut changes, batches) = cursor_list(batches);
                    let (mut known, storage) = trace
                        .cursor_through(lower.borrow())
                        .expect("the trace holds all batches before these");
                    let mut steps: Vec<(u64, R)> = Vec::new();
                    let mut said: BTreeMap<u64, Vec<(K, R)>> = BTreeMap::new();
                    while let Some(key) = changes.get_key(&batches) {
                        let mut total = R::zero();
                        known.seek_key(&storage, key);
                        if known.get_key(&storage) == Some(key) {
                            known.map_times(&storage, |_, amount| total.plus_equals(amount));
                        }
                        changes.map_times(&batches, |time, amount| steps.push((*time, amount.clone())));
                        steps.sort_unstable_by_key(|(time, _)| *time);
                        // Batches are disjoint in time, so a time comes once a key.
                        for (time, amount) in steps.drain(..) {
                            total.plus_equals(&amount);
                            if restored == Some(time) {
                                continue;
                            }
                            said.entry(time).or_default().push((key.clone(), total.clone()));
                        }
                        changes.step_key(&batches);
                    }
                    for (time, mut totals) in said {
                        output.session(&capability.delayed(&time)).give_container(&mut totals);
                    }
                }
                trace.advance_upper(&mut upper);
                trace.set_logical_compaction(upper.borrow());
                trace.set_physical_compaction(upper.borrow());
            }
        },
    )
}
