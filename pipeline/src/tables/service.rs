//! Tables about the job itself.

use std::sync::atomic::Ordering::Relaxed;

use freshet_operators::look::Record;

use super::column::{Column, ColumnType, Rows, Value, column, maybe};
use super::list::Moment;
use crate::progress::Progress;

pub const FRESHNESS: &[Column] = &[
    column("epoch", ColumnType::Count, "the snapshot's epoch"),
    column("clock", ColumnType::Time, "the pipeline's clock of that epoch, UTC"),
    column(
        "phase",
        ColumnType::Text,
        "`starting`, `journal`, `replay`, `live`, `drained`, or `stopped` for a checkpoint that is read",
    ),
    column("behind_ms", ColumnType::Count, "milliseconds from that clock to the pipeline's clock now"),
    column("committed_epoch", ColumnType::Count, "the last epoch in the store"),
    column("events", ColumnType::Count, "records that this run has read"),
    column("dead_letters", ColumnType::Count, "records that this run has set aside"),
    column("lists", ColumnType::Count, "lists that this run has written"),
    maybe("checkpoint_epoch", ColumnType::Count, "the epoch of the newest checkpoint"),
];

/// What a job says of itself.
#[derive(Clone, Debug)]
pub struct Report {
    phase: &'static str,
    now: u64,
    committed: u64,
    events: u64,
    dead_letters: u64,
    lists: u64,
    checkpoint: Option<u64>,
}

impl Report {
    /// Of a running job.
    #[must_use]
    pub fn of(progress: &Progress) -> Self {
        Self {
            phase: progress.phase().as_str(),
            now: progress.now().0,
            committed: progress.last_epoch.load(Relaxed),
            events: progress.events.load(Relaxed),
            dead_letters: progress.dead_letters.load(Relaxed),
            lists: progress.lists.load(Relaxed),
            checkpoint: progress.checkpoints.last().map(|last| last.epoch.0),
        }
    }

    /// Of a checkpoint of `epoch`, with a store that holds epochs up to `committed`.
    #[must_use]
    pub fn stopped(epoch: u64, committed: u64) -> Self {
        let checkpoint = Some(epoch);
        Self { phase: "stopped", now: 0, committed, events: 0, dead_letters: 0, lists: 0, checkpoint }
    }
}

fn number(number: u64) -> Value<'static> {
    Value::Count(i64::try_from(number).unwrap_or(i64::MAX))
}

pub fn freshness(report: &Report, moment: &Moment, rows: &mut Rows<'_>) {
    rows.row(&[
        number(moment.epoch),
        Value::Time(moment.now),
        Value::text(report.phase),
        number(report.now.saturating_sub(moment.now)),
        number(report.committed),
        number(report.events),
        number(report.dead_letters),
        number(report.lists),
        report.checkpoint.map_or(Value::Null, number),
    ]);
}

pub const STATE_SIZE: &[Column] = &[
    column("name", ColumnType::Text, "the piece of state, as in ARCHITECTURE.md"),
    column("worker", ColumnType::Count, "the worker, from 0"),
    column("entries", ColumnType::Count, "keys, rows or updates held"),
    column("bytes", ColumnType::Count, "bytes held, estimated from the sizes of the types"),
];

pub fn state_size(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Size(name, worker, size) = record else { return true };
    rows.row(&[Value::text(name), Value::count(worker), number(size.entries), number(size.bytes)])
}

pub const SNAPSHOT: &[Column] = &[
    column("epoch", ColumnType::Count, "the epoch; 0 before the first one"),
    column("clock", ColumnType::Time, "the pipeline's clock of that epoch, UTC"),
];

pub fn snapshot(moment: &Moment, rows: &mut Rows<'_>) {
    rows.row(&[number(moment.epoch), Value::Time(moment.now)]);
}
