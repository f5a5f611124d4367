//! Search: directions that the lists return, made into videos; and the exact results beside it.

use freshet_learning::direction::dot;

use super::VectorIndex;
use crate::groups::Group;
use crate::rank::Best;
use crate::{Error, Neighbour};

/// Hits that are wanted at once: bounds the memory of a large batch.
const HITS: usize = 1 << 20;

/// How much of the exact results a search found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recall {
    /// Of the exact results, those found.
    pub found: u64,
    /// The exact results.
    pub wanted: u64,
}

impl Recall {
    /// `found` / `wanted`, in 0..=1; 1 where nothing was to be found.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.wanted == 0 { 1.0 } else { self.found as f64 / self.wanted as f64 }
    }
}

impl VectorIndex {
    /// The best `k` videos of each query, by (score descending, id ascending); fewer where the query's lists hold fewer.
    /// A query's result does not depend on the others of its batch. The zero query is similar to nothing and finds nothing.
    /// Changes since the last search are handed to the lists first.
    ///
    /// # Errors
    /// A query that has not `dims` entries, FAISS.
    pub fn search(&mut self, queries: &[&[i8]], k: usize) -> Result<Vec<Vec<Neighbour>>, Error> {
        for (number, query) in queries.iter().enumerate() {
            self.check_query(number, query)?;
        }
        self.settle()?;
        let mut results = vec![Vec::new(); queries.len()];
        let Some(lists) = &self.lists else {
            for (query, result) in queries.iter().zip(&mut results) {
                *result = self.compare_all(query, k);
            }
            return Ok(results);
        };
        let asked: Vec<usize> =
            (0..queries.len()).filter(|i| k > 0 && queries[*i].iter().any(|x| *x != 0)).collect();
        for some in asked.chunks((HITS / k.max(1)).max(1)) {
            let batch: Vec<&[i8]> = some.iter().map(|i| queries[*i]).collect();
            for (i, hits) in some.iter().zip(lists.search(&batch, k)?) {
                // Each direction has a video of its own, so the best k videos are among those of the best k directions.
                let mut best = Best::new(k);
                for (score, slot) in hits {
                    best.offer(score, self.groups.get(slot).map_or(&[], |group| &group.ids));
                }
                results[*i] = best.into_sorted();
            }
        }
        Ok(results)
    }

    /// The best `k` videos by comparing all: what [`search`](Self::search) is measured against.
    ///
    /// # Errors
    /// A query that has not `dims` entries.
    pub fn exact(&self, query: &[i8], k: usize) -> Result<Vec<Neighbour>, Error> {
        self.check_query(0, query)?;
        Ok(self.compare_all(query, k))
    }

    fn compare_all(&self, query: &[i8], k: usize) -> Vec<Neighbour> {
        let mut best = Best::new(k);
        if query.iter().any(|x| *x != 0) {
            let wide: Vec<i16> = query.iter().map(|x| i16::from(*x)).collect();
            for (_, Group { direction, ids, .. }) in self.groups.iter() {
                best.offer(dot(&wide, direction.entries()), ids);
            }
        }
        best.into_sorted()
    }

    /// How much of the exact results of `queries` a search finds.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn recall(&mut self, queries: &[&[i8]], k: usize) -> Result<Recall, Error> {
        let mut recall = Recall::default();
        for (found, query) in self.search(queries, k)?.iter().zip(queries) {
            let wanted = self.compare_all(query, k);
            recall.wanted += wanted.len() as u64;
            recall.found += wanted.iter().filter(|neighbour| found.contains(neighbour)).count() as u64;
        }
        Ok(recall)
    }

    fn check_query(&self, number: usize, query: &[i8]) -> Result<(), Error> {
        let (found, dims) = (query.len(), self.params.dims);
        if found == dims { Ok(()) } else { Err(Error::Query { number, found, dims }) }
    }
}
