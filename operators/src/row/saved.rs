//! A counted row as a checkpoint keeps it: its version by number, its group only where it is another one than that of the row
//! before it.

use std::borrow::Cow;
use std::sync::Arc;

use freshet_schema::event::Origin;
use serde::{Deserialize, Serialize};

use super::{Group, Row};
use crate::checkpoint::{CutWriter, RestoreError, Restoring};

/// See the module.
#[derive(Serialize, Deserialize)]
pub struct SavedRow<'a> {
    time: u64,
    id: u64,
    origin: Origin,
    content: u64,
    group: Option<Cow<'a, str>>,
    revision: u32,
    watch_ms: u32,
    watched: u16,
    flags: u16,
    weight: i16,
}

impl<'a> SavedRow<'a> {
    /// The rows of a user, in their order.
    pub fn of(rows: &'a [Row], to: &mut CutWriter<'_>) -> Vec<Self> {
        let mut before: Option<&Group> = None;
        let save = |row: &'a Row| {
            let same = before.replace(&row.group).is_some_and(|group| *group == row.group);
            Self {
                time: row.time,
                id: row.id,
                origin: row.origin,
                content: to.content(&row.content),
                group: (!same).then(|| Cow::Borrowed(row.group.as_str())),
                revision: row.revision,
                watch_ms: row.watch_ms,
                watched: row.watched,
                flags: row.flags,
                weight: row.weight,
            }
        };
        rows.iter().map(save).collect()
    }

    /// The rows again; `group` shares the names of groups.
    pub fn rows(
        saved: Vec<Self>,
        cut: &'static str,
        from: &Restoring,
        mut group: impl FnMut(&str) -> Group,
    ) -> Result<Vec<Row>, RestoreError> {
        let mut before = Group::default();
        let restore = |row: Self| {
            if let Some(name) = &row.group {
                before = group(name);
            }
            Ok(Row {
                time: row.time,
                id: row.id,
                origin: row.origin,
                content: from.content(cut, row.content)?,
                group: Arc::clone(&before),
                revision: row.revision,
                watch_ms: row.watch_ms,
                watched: row.watched,
                flags: row.flags,
                weight: row.weight,
            })
        };
        saved.into_iter().map(restore).collect()
    }
}
