//! Lists for strangers: a new-user list for each demographic group, remade when pools are published, when a group is new, and
//! when one of its videos can no longer be shown. The feed server hands them to users of whom the store knows nothing.

pub(crate) mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_schema::hash::Slice;

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::cut::StateSize;
use crate::epoch::Stage;
use crate::params::Params;
use crate::profile;
use crate::request::Request;
use crate::row::Group;
use serde::{Deserialize, Serialize};

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A group that exists.
    Group(Group),
    /// A video can no longer be shown. Heard by every worker.
    Gone(u64),
    /// The videos of a group's list, from the epoch before.
    Listed(Group, Arc<[u64]>),
    /// Lists of these groups are to be written again.
    Remake(Slice),
}

/// See the module.
pub struct Groups {
    params: Params,
    groups: BTreeMap<Group, Arc<[u64]>>,
    published: Boundary,
    now: u64,
}

impl Groups {
    /// No groups but those of `own`: the list for everyone has to exist from the first epoch on, on one worker.
    #[must_use]
    pub fn new(params: Params, own: impl IntoIterator<Item = Group>) -> Self {
        let groups = own.into_iter().map(|group| (group, Arc::default())).collect();
        Self { params, groups, published: Boundary::default(), now: 0 }
    }
}

impl Stage for Groups {
    type In = GroupIn;
    type Out = Vec<Arc<Request>>;

    fn step(&mut self, _epoch: u64, batch: Vec<GroupIn>, out: &mut Vec<Arc<Request>>) {
        let (mut fresh, mut gone, mut slices) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for message in batch {
            match message {
                GroupIn::Clock(now) => self.now = self.now.max(now),
                GroupIn::Group(group) => {
                    if !self.groups.contains_key(&group) {
                        self.groups.insert(Arc::clone(&group), Arc::default());
                        fresh.insert(group);
                    }
                }
                GroupIn::Gone(video) => drop(gone.insert(video)),
                GroupIn::Listed(group, videos) => drop(self.groups.insert(group, videos)),
                GroupIn::Remake(slice) => slices.push(slice),
            }
        }
        if !gone.is_empty() {
            let holders = self.groups.iter().filter(|(_, listed)| listed.iter().any(|v| gone.contains(v)));
            fresh.extend(holders.map(|(group, _)| Arc::clone(group)));
        }
        for slice in slices {
            fresh.extend(self.groups.keys().filter(|group| slice.holds_text(group)).map(Arc::clone));
        }
        if self.published.pass(self.now, self.params.feed.pools_every).is_some() {
            fresh = self.groups.keys().cloned().collect();
        }
        if self.params.feed.enabled {
            out.extend(
                fresh.iter().map(|group| Arc::new(profile::group_request(group, self.now, &self.params))),
            );
        }
    }

    fn size(&self) -> StateSize {
        // A name and a list's identifiers; groups are few.
        let each = 80 + self.params.feed.length * 8;
        StateSize { entries: self.groups.len() as u64, bytes: (self.groups.len() * each) as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}
