//! Results: the best `k` by (score descending, id ascending), a total order, so that there is one right answer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use freshet_learning::{direction, vector};
use freshet_schema::VideoId;
use serde::{Deserialize, Serialize};

/// A video found by a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The video.
    pub id: VideoId,
    /// Inner product of the query and the video's direction, exact: for one query it orders by the cosine.
    pub score: i32,
}

impl Neighbour {
    /// Cosine of the video's vector and `query`, which found it; 0 where that is zero.
    #[must_use]
    pub fn cosine(&self, query: &[i8]) -> f64 {
        let norm = f64::from(vector::dot(query, query)).sqrt();
        if norm > 0.0 { f64::from(self.score) / (norm * f64::from(direction::NORM)) } else { 0.0 }
    }
}

/// Keeps the best `k` of what it is offered, in whichever order.
pub(crate) struct Best {
    k: usize,
    /// The worst that is kept is on top.
    heap: BinaryHeap<Reverse<(i32, Reverse<VideoId>)>>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.heap.len() == self.k
    }

    /// Offers the videos of one direction, ids ascending.
    pub(crate) fn offer(&mut self, score: i32, ids: &[VideoId]) {
        for id in ids {
            let entry = Reverse((score, Reverse(*id)));
            if !self.is_full() {
                self.heap.push(entry);
            } else if self.heap.peek().is_some_and(|worst| entry < *worst) {
                self.heap.pop();
                self.heap.push(entry);
            } else {
                // A later id is no better.
                return;
            }
        }
    }

    /// Best first.
    pub(crate) fn into_sorted(self) -> Vec<Neighbour> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse((score, Reverse(id)))| Neighbour { id, score })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_by_score_then_by_id() {
        let ids = |ids: &[u64]| ids.iter().map(|id| VideoId(*id)).collect::<Vec<_>>();
        let offers = [(5, ids(&[7, 9])), (6, ids(&[8])), (5, ids(&[1])), (4, ids(&[0]))];
        for turn in 0..4 {
            let mut best = Best::new(3);
            (0..4).map(|i| &offers[(i + turn) % 4]).for_each(|(score, ids)| best.offer(*score, ids));
            let found: Vec<_> = best.into_sorted().iter().map(|n| (n.id.0, n.score)).collect();
            assert_eq!(found, [(8, 6), (1, 5), (7, 5)]);
        }
        let mut none = Best::new(0);
        none.offer(1, &ids(&[1]));
        assert!(none.is_full() && none.into_sorted().is_empty());
    }
}
