//! What a checkpoint keeps of the groups: their names and the videos of their lists.

use freshet_schema::hash::text_shard;
use std::sync::Arc;

use super::Groups;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::row::Group;

const CUT: &str = "groups";

type Saved = (Group, Arc<[u64]>);

pub(super) fn take(groups: &Groups) -> Rows {
    let groups: Vec<Saved> =
        groups.groups.iter().map(|(group, listed)| (Arc::clone(group), Arc::clone(listed))).collect();
    Box::new(move |to| groups.iter().for_each(|row| to.row(text_shard(&row.0), row)))
}

pub(super) fn restore(groups: &mut Groups, from: &Restoring) -> Result<(), RestoreError> {
    groups.now = from.now();
    groups.published = Boundary::after(from.now(), groups.params.feed.pools_every);
    from.own(CUT, |(group, listed): Saved| {
        groups.groups.insert(group, listed);
        Ok(())
    })
}

/// The names of all groups.
pub fn names(from: &Restoring, mut take: impl FnMut(Group)) -> Result<(), RestoreError> {
    from.all(CUT, |(group, _): Saved| {
        take(group);
        Ok(())
    })
}
