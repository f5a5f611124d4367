//! What the first process and the others tell each other beside the dataflow.

use std::sync::Arc;

use freshet_schema::Epoch;
use freshet_schema::hash::Slice;
use freshet_schema::store::Key;
use serde::{Deserialize, Serialize};

use crate::abuse;
use crate::checkpoint::definitions;
use crate::cohorts::Report;
use crate::cut::StateSize;
use crate::lists::Answer;
use crate::neighbours::IndexReport;
use crate::params::Params;
use crate::probe::Probed;
use crate::runtime::Output;
use crate::spread::Spread;
use crate::users::SkipThresholds;
use crate::yields::Yields;

/// From the first process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToMember {
    /// Nothing: the sender lives.
    Hello,
    /// Begin: with a checkpoint of this epoch and clock, where there is one; whether checkpoints will be asked for.
    Start(Option<(u64, u64)>, bool),
    /// The answer to [`FromMember::Wanted`].
    Blocks(Result<Vec<(u64, Vec<u8>)>, String>),
    /// An epoch: its number, its clock, what is to be written again. Its records enter at the first process.
    Epoch(u64, u64, Vec<Slice>),
    /// A checkpoint of this epoch, the last one sent, is to be taken.
    Checkpoint(u64),
    /// There are no more epochs.
    End,
}

/// To the first process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromMember {
    /// Nothing: the sender lives.
    Hello,
    /// The blocks of a cut in a logical shard are needed.
    Wanted(String, u64),
    /// The state is restored, or not, and why.
    Ready(Result<(), String>),
    /// What a worker said.
    Said(Said),
    /// Of a checkpoint: epoch, cut, logical shard, number of rows, rows.
    Block(u64, String, u64, u64, Vec<u8>),
    /// All blocks of a worker were sent: epoch, worker, microseconds that it stood still.
    Worker(u64, u64, u64),
    /// Somebody asked this process to end: the job should.
    Stop,
    /// All is done.
    Ended,
}

/// [`Output`] on its way; taps stay at home. Keys go as text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Changes(u64, u64, Vec<(String, Option<Vec<u8>>)>),
    Answers(u64, u64, Vec<Answer>),
    Probed(Vec<Probed>),
    Closed(u64, u64),
    Yields(Yields),
    Waiting(u64, u64, u64),
    Index(IndexReport),
    Spread(Arc<Spread>),
    Cohorts(u64, u64, Box<Report>),
    Abuse(u64, u64, abuse::Report),
    Taken(u64, u64),
    Published(u64, u64, SkipThresholds),
    Sizes(u64, Vec<(String, u64, u64)>),
}

impl Said {
    pub(super) fn of(output: Output) -> Option<Self> {
        Some(match output {
            Output::Changes(worker, epoch, changes) => {
                let changes = changes.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
                Self::Changes(worker as u64, epoch.0, changes)
            }
            // Whoever looks is in one process with all workers.
            Output::Taps(..) | Output::Looked(..) => return None,
            Output::Answers(worker, epoch, answers) => Self::Answers(worker as u64, epoch.0, answers),
            Output::Probed(probed) => Self::Probed(probed),
            Output::Closed(worker, epoch) => Self::Closed(worker as u64, epoch.0),
            Output::Yields(yields) => Self::Yields(yields),
            Output::Waiting(worker, held, gave_way) => Self::Waiting(worker as u64, held, gave_way),
            Output::Index(report) => Self::Index(report),
            Output::Spread(spread) => Self::Spread(spread),
            Output::Cohorts(worker, epoch, report) => Self::Cohorts(worker as u64, epoch.0, Box::new(report)),
            Output::Abuse(worker, epoch, report) => Self::Abuse(worker as u64, epoch.0, report),
            Output::Taken(worker, epoch) => Self::Taken(worker as u64, epoch.0),
            Output::Published(epoch, version, below) => Self::Published(epoch.0, version, below),
            Output::Sizes(worker, sizes) => {
                let sizes = sizes.into_iter().map(|(name, size)| (name.to_owned(), size.entries, size.bytes));
                Self::Sizes(worker as u64, sizes.collect())
            }
        })
    }

    /// The output. What names a key or a cut that is none of ours is refused with it.
    pub(super) fn output(self, names: &Names) -> Result<Output, String> {
        Ok(match self {
            Self::Changes(worker, epoch, changes) => {
                let key = |text: &str| Key::parse(text).ok_or_else(|| format!("{text:?} is no key"));
                let changes: Result<_, String> =
                    changes.into_iter().map(|(text, value)| Ok((key(&text)?, value))).collect();
                Output::Changes(worker as usize, Epoch(epoch), changes?)
            }
            Self::Answers(worker, epoch, answers) => Output::Answers(worker as usize, Epoch(epoch), answers),
            Self::Probed(probed) => Output::Probed(probed),
            Self::Closed(worker, epoch) => Output::Closed(worker as usize, Epoch(epoch)),
            Self::Yields(yields) => Output::Yields(yields),
            Self::Waiting(worker, held, gave_way) => Output::Waiting(worker as usize, held, gave_way),
            Self::Index(report) => Output::Index(report),
            Self::Spread(spread) => Output::Spread(spread),
            Self::Cohorts(worker, epoch, report) => Output::Cohorts(worker as usize, Epoch(epoch), *report),
            Self::Taken(worker, epoch) => Output::Taken(worker as usize, Epoch(epoch)),
            Self::Abuse(worker, epoch, report) => Output::Abuse(worker as usize, Epoch(epoch), report),
            Self::Published(epoch, version, below) => Output::Published(Epoch(epoch), version, below),
            Self::Sizes(worker, sizes) => {
                let size = |(name, entries, bytes): (String, u64, u64)| {
                    Ok((names.of(&name)?, StateSize { entries, bytes }))
                };
                let sizes: Result<_, String> = sizes.into_iter().map(size).collect();
                Output::Sizes(worker as usize, sizes?)
            }
        })
    }
}

/// The names of the graph's cuts.
pub(super) struct Names(Vec<&'static str>);

impl Names {
    pub(super) fn new(params: &Params) -> Self {
        Self(definitions(params).into_iter().map(|definition| definition.name).collect())
    }

    pub(super) fn of(&self, name: &str) -> Result<&'static str, String> {
        let known = self.0.iter().find(|known| **known == name).copied();
        known.ok_or_else(|| format!("{name:?} is no cut of this graph"))
    }
}
