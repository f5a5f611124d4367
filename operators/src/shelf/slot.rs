//! What the shelves know of one video.

use std::sync::Arc;

use crate::content::{Content, Facet};
use crate::popularity::{add_term, log_sum};
use crate::score;
use crate::sums::Sums;

pub(super) struct Slot {
    pub(super) content: Arc<Content>,
    /// Norms of the vector, whole and of the prefix that short-term interest lives in.
    pub(super) norm: f64,
    pub(super) short_norm: f64,
    /// What a new video has to begin with: a contribution at its publication.
    pub(super) prior: (u32, i64),
    pub(super) week: Sums,
    pub(super) all: Sums,
    pub(super) quality: u32,
    /// The creator's score, as of `judged`.
    pub(super) creator: u32,
    /// The publication that the quality was measured with; 0 where it must be measured again.
    pub(super) judged: u64,
    /// Decayed popularity with everyone, by period.
    pub(super) popularity: Vec<(u32, i64)>,
    /// The same at the quick pace.
    pub(super) quick: Vec<(u32, i64)>,
    /// Logarithms of the decayed attention at both paces.
    pub(super) attention: [Option<i64>; 2],
    /// Rates of the video in per mille, as of `judged`.
    pub(super) rates: [u16; 5],
    /// How little it was seen, and its length, as the heads see them, as of `judged`.
    pub(super) unseen: f32,
    pub(super) length: [f32; 2],
    /// The same with demographic groups.
    pub(super) audiences: Vec<(Facet, u32, i64)>,
    /// Rank value in the global pool and in those of the content's facets; `None` off the shelves.
    pub(super) rank: Option<i64>,
    /// Rank values in demographic pools.
    pub(super) ranks: Vec<(Facet, i64)>,
}

impl Slot {
    /// Nothing is known of the video but its number.
    pub(super) fn new(video: u64) -> Self {
        Self {
            content: Arc::new(Content::unknown(video)),
            norm: 0.0,
            short_norm: 0.0,
            prior: (0, 0),
            week: Sums::default(),
            all: Sums::default(),
            quality: score::ONE,
            creator: score::ONE,
            judged: 0,
            popularity: Vec::new(),
            quick: Vec::new(),
            attention: [None; 2],
            rates: [0; 5],
            unseen: 1.0,
            length: [0.0; 2],
            audiences: Vec::new(),
            rank: None,
            ranks: Vec::new(),
        }
    }

    /// Takes a term of quick attention in.
    pub(super) fn quick(&mut self, period: u32, amount: i64) {
        add_term(&mut self.quick, period, amount);
        self.attention[1] = log_sum(self.quick.iter().copied());
    }

    /// Lets go of quick attention before the period `oldest`.
    pub(super) fn age(&mut self, oldest: u32) {
        if self.quick.iter().any(|(period, _)| *period < oldest) {
            self.quick.retain(|(period, _)| *period >= oldest);
            self.attention[1] = log_sum(self.quick.iter().copied());
        }
    }

    /// Takes a total of popularity in, among everyone or in a demographic group.
    pub(super) fn popularity(&mut self, facet: Facet, period: u32, total: i64) {
        if facet == Facet::Everyone {
            set(&mut self.popularity, |(p, _)| *p == period, (total != 0).then_some((period, total)));
            self.attention[0] = log_sum(self.popularity.iter().copied());
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
