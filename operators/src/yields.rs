//! What each candidate source is good for: how much it brings, how much of that nobody else brings, and how much of it is
//! shown at the top.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rank::{Placed, Weighed};
use crate::request::{Request, SourceId};

/// The top of a list: a candidate that ends up here was worth bringing.
pub const TOP: usize = 50;

/// Counts of one source over some lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yield {
    /// Candidates within its quota.
    pub candidates: u64,
    /// Those that no other source brought; the rest overlaps.
    pub alone: u64,
    /// Those among the first [`TOP`] of the list.
    pub top: u64,
}

impl Yield {
    fn plus(&mut self, other: Self) {
        self.candidates += other.candidates;
        self.alone += other.alone;
        self.top += other.top;
    }
}

/// Counts by source over some lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yields {
    /// By source.
    pub sources: BTreeMap<SourceId, Yield>,
    /// Lists that had become too narrow for their users, and were made wider.
    pub widened: u64,
    /// Lists of users whose last videos were almost alike.
    pub looping: u64,
    /// Lists of users whose short- and mid-term interest have parted.
    pub drifting: u64,
    /// Places that went to a category by what it may be worth, and of those the ones whose category nobody had tried.
    pub explored: [u64; 2],
}

impl Yields {
    /// Counts the candidates of a list, and what is noticed of its user.
    pub fn candidates<'a>(&mut self, request: &Request, pool: impl Iterator<Item = &'a Weighed>) {
        let mut counts = [Yield::default(); u8::BITS as usize];
        for chosen in pool {
            let mut asks = chosen.asks;
            let alone = u64::from(asks.is_power_of_two());
            while asks != 0 {
                let count = &mut counts[asks.trailing_zeros() as usize];
                count.candidates += 1;
                count.alone += alone;
                asks &= asks - 1;
            }
        }
        self.count(request, counts);
        self.looping += u64::from(request.obsession);
        self.drifting += u64::from(request.drift);
    }

    /// Counts the places of a list.
    pub fn places(&mut self, request: &Request, items: &[Placed]) {
        let mut counts = [Yield::default(); u8::BITS as usize];
        for placed in items.iter().take(TOP) {
            let mut asks = placed.chosen.asks;
            while asks != 0 {
                counts[asks.trailing_zeros() as usize].top += 1;
                asks &= asks - 1;
            }
        }
        self.count(request, counts);
        for drawn in items.iter().filter_map(|placed| placed.slot.arm) {
            let untried = request.outlook.as_ref().is_some_and(|outlook| outlook.unseen == drawn.bet);
            self.explored[0] += 1;
            self.explored[1] += u64::from(untried);
        }
    }

    fn count(&mut self, request: &Request, counts: [Yield; u8::BITS as usize]) {
        for (ask, count) in request.asks.iter().zip(counts) {
            self.sources.entry(ask.source).or_default().plus(count);
        }
    }

    /// Adds the counts of other lists.
    pub fn plus(&mut self, other: &Self) {
        self.widened += other.widened;
        self.looping += other.looping;
        self.drifting += other.drifting;
        self.explored = [self.explored[0] + other.explored[0], self.explored[1] + other.explored[1]];
        for (source, counts) in &other.sources {
            self.sources.entry(*source).or_default().plus(*counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::feed::Source;

    use super::*;
    use crate::content::Content;
    use crate::params::Params;
    use crate::profile::group_request;
    use crate::request::Candidate;
    use crate::scorer::features::{FEATURES, Features};

    #[test]
    fn what_two_sources_bring_is_no_ones_alone() {
        let request = group_request(&std::sync::Arc::new("all".to_owned()), 1, &Params::default());
        let chosen = |video: u64, asks: u8| Weighed {
            candidate: Candidate::unknown(video),
            content: std::sync::Arc::new(Content::unknown(video)),
            asks,
            x: Features([0; FEATURES]),
            fatigue: 0.0,
            value: 0.0,
        };
        // The request's asks: trending, demographic, exploration.
        let pool = [chosen(1, 0b001), chosen(2, 0b011), chosen(3, 0b100)];
        let mut yields = Yields::default();
        yields.candidates(&request, pool.iter());
        yields.candidates(&request, pool[..1].iter());
        let of = |source: Source| yields.sources[&SourceId::new(source)];
        assert_eq!(of(Source::Trending), Yield { candidates: 3, alone: 2, top: 0 });
        assert_eq!(of(Source::Demographic), Yield { candidates: 1, alone: 0, top: 0 });
        assert_eq!(of(Source::Exploration), Yield { candidates: 1, alone: 1, top: 0 });
    }
    #[test]
    fn lists_are_counted_by_what_is_noticed_of_their_users() {
        let request = group_request(&std::sync::Arc::new("all".to_owned()), 1, &Params::default());
        let mut yields = Yields::default();
        for (obsession, drift) in [(true, false), (true, true), (false, false)] {
            let mut one = Yields::default();
            one.candidates(&Request { obsession, drift, ..request.clone() }, std::iter::empty());
            yields.plus(&one);
        }
        assert_eq!((yields.looping, yields.drifting), (2, 1));
    }
}
