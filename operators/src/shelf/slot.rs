//! What the shelves know of one video and no request reads: what its place in the pools follows from.

use super::face::Face;
use crate::content::Facet;
use crate::popularity::{add_term, log_sum};
use crate::sums::Sums;
use crate::windows::Pace;

#[derive(Default)]
pub(super) struct Slot {
    /// What a new video has to begin with: a contribution at its publication.
    pub(super) prior: (u32, i64),
    pub(super) week: Sums,
    pub(super) all: Sums,
    /// Decayed popularity with everyone, by period.
    pub(super) popularity: Vec<(u32, i64)>,
    /// The same at the quick pace.
    pub(super) quick: Vec<(u32, i64)>,
    /// The same with demographic groups.
    pub(super) audiences: Vec<(Facet, u32, i64)>,
    /// Rank value in the global pool and in those of the content's facets; `None` off the shelves.
    pub(super) rank: Option<i64>,
    /// Rank values in demographic pools.
    pub(super) ranks: Vec<(Facet, i64)>,
}

impl Slot {
    /// Takes a term of quick attention in.
    pub(super) fn quick(&mut self, period: u32, amount: i64, face: &mut Face) {
        add_term(&mut self.quick, period, amount);
        face.attention(Pace::Quick as usize, log_sum(self.quick.iter().copied()));
    }

    /// Lets go of quick attention before the period `oldest`.
    pub(super) fn age(&mut self, oldest: u32, face: &mut Face) {
        if self.quick.iter().any(|(period, _)| *period < oldest) {
            self.quick.retain(|(period, _)| *period >= oldest);
            face.attention(Pace::Quick as usize, log_sum(self.quick.iter().copied()));
        }
    }

    /// Takes a total of popularity in, among everyone or in a demographic group.
    pub(super) fn popularity(&mut self, facet: Facet, period: u32, total: i64, face: &mut Face) {
        if facet == Facet::Everyone {
            set(&mut self.popularity, |(p, _)| *p == period, (total != 0).then_some((period, total)));
            face.attention(Pace::Plain as usize, log_sum(self.popularity.iter().copied()));
        } else {
            let known = |(f, p, _): &(Facet, u32, i64)| (*f, *p) == (facet, period);
            set(&mut self.audiences, known, (total != 0).then_some((facet, period, total)));
        }
    }
}

/// Replaces the entry that `is` picks, if there is one; `None` removes it.
fn set<T>(entries: &mut Vec<T>, is: impl Fn(&T) -> bool, new: Option<T>) {
    match (entries.iter().position(is), new) {
        (Some(at), Some(new)) => entries[at] = new,
        (Some(at), None) => drop(entries.swap_remove(at)),
        (None, Some(new)) => entries.push(new),
        (None, None) => {}
    }
}
