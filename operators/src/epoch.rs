//! How a stage meets time: [`per_epoch`] collects what arrives for each epoch and hands it over once, in order, when
//! nothing more can come for it.
//!
//! Between epochs a stage is plain code on plain data, with no timely type in sight: it can be tested by calling it, and it
//! cannot see in what order records happened to arrive, as long as it treats a batch as a set. Differential's own
//! operators (see [`crate::cut`]) carry the sums; stages of this kind carry what is an index over them or must look
//! things up *as of* an epoch.
//!
//! A stage that says several kinds of things has a stream for each ([`outputs!`]): with one stream of an enum, every
//! consumer would get a copy of all of it, and throw most of it away.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::cut::{Cuts, StateSize};
use crate::look::{self, Records, Wanted};

/// A stage: state, and what one closed epoch does to it.
pub trait Stage: 'static {
    /// What comes in. A batch is a set: its order depends on scheduling and must not matter.
    type In: Clone + 'static;
    /// What goes out, at the same epoch: a vector, or a struct of vectors made by [`outputs!`].
    type Out: Outputs;
    /// Applies all of `batch`, which is everything that this worker gets for `epoch`.
    fn step(&mut self, epoch: u64, batch: Vec<Self::In>, out: &mut Self::Out);
    /// Says a piece of what [`Stage::step`] left unsaid of its epoch; whether there is more. Asked until there is not, before the
    /// next epoch. Between two pieces whoever listens takes the first one in: an epoch that says much is never in memory
    /// as a whole.
    fn more(&mut self, _out: &mut Self::Out) -> bool {
        false
    }
    /// Entries and bytes held. Asked for after each epoch, so it must not walk the state.
    fn size(&self) -> StateSize;
    /// Takes the state as it is between epochs, for a checkpoint. The worker stands still for it: what is large is to be shared
    /// or copied flat, and encoded later.
    fn take(&self) -> Rows;
    /// Takes what is wanted of the state as it is between epochs, to be read elsewhere: see [`crate::look`]. Asked only for the
    /// kinds that are in this stage's cut.
    fn look(&self, _wanted: &Wanted) -> Records {
        look::none()
    }
    /// Becomes what was taken, or what follows from it. Called once, on a new stage.
    ///
    /// # Errors
    /// Where the rows are not those of this stage.
    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError>;
}

/// What a stage says in one epoch, kind by kind, and the streams it says it on.
pub trait Outputs: Default + 'static {
    /// A stream for each kind.
    type Streams<'s>;
    /// The operator's ends of the streams.
    type Ports: 'static;
    /// Number of kinds.
    const KINDS: usize;
    /// Adds the streams to an operator.
    fn attach<'s>(builder: &mut OperatorBuilder<'s, u64>) -> (Self::Ports, Self::Streams<'s>);
    /// Sends all that was said, each kind with its capability, and is empty after it.
    fn send(&mut self, ports: &mut Self::Ports, capabilities: &[Capability<u64>]);
}

impl<D: Clone + 'static> Outputs for Vec<D> {
    type Streams<'s> = StreamVec<'s, u64, D>;
    type Ports = Output<u64, Self>;
    const KINDS: usize = 1;

    fn attach<'s>(builder: &mut OperatorBuilder<'s, u64>) -> (Self::Ports, Self::Streams<'s>) {
        builder.new_output()
    }

    fn send(&mut self, port: &mut Self::Ports, capabilities: &[Capability<u64>]) {
        if let [capability] = capabilities
            && !self.is_empty()
        {
            // The whole epoch goes as one container: nothing is copied on the way to a neighbour on this worker.
            port.activate().give(capability, self);
            self.clear();
        }
    }
}

/// Declares what a stage says: a struct of vectors, and the struct of streams that goes with it, field by field.
macro_rules! outputs {
    (
        $(#[$doc:meta])* $out:ident as $streams:ident {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Default)]
        pub struct $out {
            $($(#[$field_doc])* pub $field: Vec<$kind>),+
        }

        #[doc = concat!("The streams of [`", stringify!($out), "`].")]
        pub struct $streams<'s> {
            $($(#[$field_doc])* pub $field: timely::dataflow::StreamVec<'s, u64, $kind>),+
        }

        impl $crate::epoch::Outputs for $out {
            type Streams<'s> = $streams<'s>;
            type Ports = ($(<Vec<$kind> as $crate::epoch::Outputs>::Ports,)+);
            const KINDS: usize = [$(stringify!($field)),+].len();

            fn attach<'s>(
                builder: &mut timely::dataflow::operators::generic::builder_rc::OperatorBuilder<'s, u64>,
            ) -> (Self::Ports, Self::Streams<'s>) {
                $(let $field = <Vec<$kind> as $crate::epoch::Outputs>::attach(builder);)+
                (($($field.0,)+), $streams { $($field: $field.1),+ })
            }

            fn send(
                &mut self,
                ports: &mut Self::Ports,
                capabilities: &[timely::dataflow::operators::Capability<u64>],
            ) {
                let ($($field,)+) = ports;
                let mut each = capabilities.chunks(1);
                $(if let Some(capability) = each.next() {
                    $crate::epoch::Outputs::send(&mut self.$field, $field, capability);
                })+
            }
        }
    };
}
pub(crate) use outputs;

/// What has come for an epoch that is not closed, with the right to answer at it.
type Gathered<D> = (Vec<Capability<u64>>, Vec<D>);

/// Runs `stage` once for each closed epoch that brought something.
pub fn per_epoch<'s, S: Stage>(
    input: StreamVec<'s, u64, S::In>,
    name: &'static str,
    cuts: &Cuts,
    mut stage: S,
) -> <S::Out as Outputs>::Streams<'s> {
    if let Some(restoring) = cuts.restoring() {
        cuts.note(stage.restore(&restoring));
    }
    let size = Rc::new(Cell::new(stage.size()));
    let shown = Rc::clone(&size);
    let reached = Rc::new(Cell::new(0));
    let stage = Rc::new(RefCell::new(stage));
    let (taken, shown_by) = (Rc::clone(&stage), Rc::clone(&stage));
    cuts.show(name, move |wanted| shown_by.borrow().look(wanted));
    cuts.register(name, move || shown.get(), Rc::clone(&reached), move |_epoch| taken.borrow().take());
    let scope = input.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let mut input = builder.new_input(input, Pipeline);
    let (mut ports, streams) = S::Out::attach(&mut builder);
    let again = scope.activator_for(builder.operator_info().address);
    builder.build(move |_initial| {
        let mut waiting: BTreeMap<u64, Gathered<S::In>> = BTreeMap::new();
        let mut unsaid: Option<Vec<Capability<u64>>> = None;
        let mut out = S::Out::default();
        move |frontiers| {
            input.for_each_time(|time, data| {
                let batch = &mut waiting
                    .entry(*time.time())
                    .or_insert_with(|| {
                        ((0..S::Out::KINDS).map(|kind| time.retain(kind)).collect(), Vec::new())
                    })
                    .1;
                for container in data {
                    if batch.is_empty() {
                        std::mem::swap(batch, container);
                    } else {
                        batch.append(container);
                    }
                }
            });
            let mut stage = stage.borrow_mut();
            loop {
                let capabilities = match unsaid.take() {
                    Some(capabilities) => capabilities,
                    None => {
                        let Some(entry) = waiting.first_entry() else { break };
                        if frontiers[0].less_equal(entry.key()) {
                            break;
                        }
                        let (epoch, (capabilities, batch)) = entry.remove_entry();
                        stage.step(epoch, batch, &mut out);
                        size.set(stage.size());
                        capabilities
                    }
                };
                let more = stage.more(&mut out);
                out.send(&mut ports, &capabilities);
                if more {
                    unsaid = Some(capabilities);
                    again.activate();
                    break;
                }
            }
            // What is closed has been applied and said.
            let open = unsaid.as_ref().and_then(|capabilities| capabilities.first()).map(|at| *at.time());
            let frontier = frontiers[0].frontier().first().copied();
            reached.set(open.or(frontier).unwrap_or(u64::MAX));
        }
    });
    streams
}

/// A stage that keeps nothing between epochs and answers as soon as it has all it needs: what it gets and says need not be
/// in memory for an epoch as a whole.
pub trait Arrivals: 'static {
    /// What comes in.
    type In: Clone + 'static;
    /// What goes out, at the same epoch.
    type Out: Outputs;
    /// Takes one message of `epoch`.
    fn take(&mut self, epoch: u64, message: Self::In, out: &mut Self::Out);
}

/// Hands each message to `stage` when it arrives.
pub fn on_arrival<'s, S: Arrivals>(
    input: StreamVec<'s, u64, S::In>,
    name: &'static str,
    mut stage: S,
) -> <S::Out as Outputs>::Streams<'s> {
    let mut builder = OperatorBuilder::new(name.to_owned(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (mut ports, streams) = S::Out::attach(&mut builder);
    builder.build(move |_initial| {
        let mut out = S::Out::default();
        move |_frontiers| {
            input.for_each_time(|time, data| {
                for message in data.flat_map(|container| container.drain(..)) {
                    stage.take(*time.time(), message, &mut out);
                }
                let capabilities: Vec<_> = (0..S::Out::KINDS).map(|kind| time.retain(kind)).collect();
                out.send(&mut ports, &capabilities);
            });
        }
    });
    streams
}
