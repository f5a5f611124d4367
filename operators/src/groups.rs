//! Lists for strangers: a new-user list for each demographic group, remade when pools are published and when a group is
//! new. The feed server hands them to users of whom the store knows nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

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
}

/// See the module.
pub struct Groups {
    params: Params,
    groups: BTreeSet<Group>,
    made_at: Option<u64>,
    now: u64,
}

impl Groups {
    /// No groups but those of `own`: the list for everyone has to exist from the first epoch on, on one worker.
    #[must_use]
    pub fn new(params: Params, own: impl IntoIterator<Item = Group>) -> Self {
        Self { params, groups: own.into_iter().collect(), made_at: None, now: 0 }
    }
}

impl Stage for Groups {
    type In = GroupIn;
    type Out = Arc<Request>;

    fn step(&mut self, _epoch: u64, batch: Vec<GroupIn>, out: &mut Vec<Arc<Request>>) {
        let mut fresh = BTreeSet::new();
        for message in batch {
            match message {
                GroupIn::Clock(now) => self.now = self.now.max(now),
                GroupIn::Group(group) => {
                    if self.groups.insert(Arc::clone(&group)) {
                        fresh.insert(group);
                    }
                }
            }
        }
        let period = self.now / self.params.feed.pools_every;
        if self.now > 0 && self.made_at.is_none_or(|last| period > last) {
            self.made_at = Some(period);
            fresh.clone_from(&self.groups);
        }
        if self.params.feed.enabled {
            out.extend(
                fresh.iter().map(|group| Arc::new(profile::group_request(group, self.now, &self.params))),
            );
        }
    }

    fn size(&self) -> StateSize {
        StateSize { entries: self.groups.len() as u64, bytes: self.groups.iter().map(|g| 40 + g.len() as u64).sum() }
    }
}
