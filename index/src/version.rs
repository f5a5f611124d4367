//! Versions: when centroids are trained, on what, and how many.
//!
//! Centroids move slowly and every search depends on them, so they are a published version: a numbered value that is kept,
//! restored and never trained again by a restart.

use freshet_learning::{Centroids, Direction, kmeans};
use freshet_schema::{VideoId, hash};
use serde::{Deserialize, Serialize};

use crate::Params;

/// Points of the sample per list, at least.
const MIN_PER_LIST: usize = 8;

/// A numbered training, complete: with it and the directions an index answers as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// 0 before the first training, then one more each time.
    pub number: u64,
    /// Distinct directions there were.
    pub trained_on: u64,
    /// The lists' centroids; none: all are compared.
    pub centroids: Option<Centroids>,
}

impl Version {
    /// Before any training.
    pub(crate) fn first() -> Self {
        Self { number: 0, trained_on: 0, centroids: None }
    }

    /// Whether `live` distinct directions call for another version: without lists from `train_at` on; with lists, when there
    /// are twice as many as at the training, or a quarter.
    pub(crate) fn is_due(&self, live: usize, params: &Params) -> bool {
        let (live, then) = (live as u64, self.trained_on);
        match self.centroids {
            None => live >= params.train_at as u64,
            Some(_) => live >= then.saturating_mul(2) || live <= then / 4,
        }
    }

    /// The version after this one for these distinct directions, each with its least video id, in any order.
    pub(crate) fn next(&self, mut points: Vec<(VideoId, &Direction)>, params: &Params) -> Self {
        let live = points.len();
        let centroids = (live >= params.train_at).then(|| {
            if live > params.sample {
                points.sort_unstable_by_key(|(id, _)| (hash::mix(params.seed, &[id.0]), *id));
                points.truncate(params.sample);
            }
            points.sort_unstable_by_key(|(id, _)| *id);
            let lists = lists(live).min(points.len() / MIN_PER_LIST).max(1);
            let points: Vec<&Direction> = points.into_iter().map(|(_, direction)| direction).collect();
            kmeans::fit_nested(&points, params.dims, lists, params.iterations, params.seed)
        });
        Self {
            number: self.number + 1,
            trained_on: live as u64,
            centroids: centroids.filter(|c| !c.is_empty()),
        }
    }
}

/// Lists for `live` directions: a power of two between 2 sqrt(`live`) and 4 sqrt(`live`).
fn lists(live: usize) -> usize {
    1 << (2 + live.max(1).ilog2() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_with_the_root() {
        assert_eq!([1, 4096, 100_000, 1_000_000].map(lists), [4, 256, 1024, 2048]);
        for live in 1..5_000usize {
            let root = (live as f64).sqrt();
            assert!((2.0 * root..=4.0 * root).contains(&(lists(live) as f64)), "{live}");
        }
    }

    #[test]
    fn a_version_is_due_when_the_count_doubles_or_falls_to_a_quarter() {
        let params = Params { train_at: 100, ..Params::default() };
        let first = Version::first();
        assert_eq!([0, 99, 100].map(|live| first.is_due(live, &params)), [false, false, true]);
        let centroids = Centroids::new(1, vec![4000]).ok();
        let trained = Version { number: 1, trained_on: 400, centroids };
        assert_eq!(
            [0, 100, 101, 799, 800].map(|live| trained.is_due(live, &params)),
            [true, true, false, false, true]
        );
        let flat = Version { number: 2, trained_on: 90, centroids: None };
        assert_eq!([0, 99, 100].map(|live| flat.is_due(live, &params)), [false, false, true]);
    }

    #[test]
    fn the_sample_is_drawn_by_id() {
        let params = Params { dims: 2, train_at: 16, sample: 256, ..Params::default() };
        let all: Vec<Direction> = (0..100).map(|i| Direction::of(&[i - 50, 7]).unwrap()).collect();
        let points = |turn: usize| -> Vec<(VideoId, &Direction)> {
            (0..1000).map(|i| (i + turn) % 1000).map(|i| (VideoId(i as u64), &all[i % 100])).collect()
        };
        let version = Version::first().next(points(0), &params);
        assert_eq!(version, Version::first().next(points(617), &params));
        assert_eq!((version.number, version.trained_on), (1, 1000));
        let other = Params { seed: 1, ..params };
        assert_ne!(version, Version::first().next(points(0), &other));
    }
}
