//! New is what is unlike all of the videos last watched: the greatest cosine with them is below a threshold.
//!
//! Fifty comparisons a candidate are the dearest part of re-ranking, and the question is a rough one. So they are made over
//! the prefix that short-term interest lives in, from one block of memory, and stop at the first video that is too near. A prefix of 128 dimensions gives a cosine to within some 0.09 (its standard deviation for unlike videos).

use freshet_learning::vector::dot;
use freshet_learning::{Quantised, SHORT_DIMS};

use crate::content::Content;
use crate::row::Row;

type Prefix = [i8; SHORT_DIMS];

fn prefix(vector: &Quantised) -> &Prefix {
    vector.0.first_chunk().expect("a vector is at least as long as its prefix")
}

/// The videos last watched, as far as they have vectors; in no order.
pub struct LastWatched {
    videos: Vec<(u64, f64, Prefix)>,
}

impl LastWatched {
    /// Of the last `count` rows, which are in order of time.
    #[must_use]
    pub fn of(rows: &[Row], count: usize) -> Self {
        let mut videos = Vec::with_capacity(count.min(rows.len()));
        for row in rows.iter().rev().take(count) {
            let vector = &row.content.vector;
            let norm = vector.norm(SHORT_DIMS);
            if norm > 0.0 {
                videos.push((row.content.space, norm, *prefix(vector)));
            }
        }
        Self { videos }
    }

    /// The cosine with one of them, where they can be compared.
    fn cosine(&self, at: usize, content: &Content, own: f64) -> Option<f64> {
        let (space, norm, other) = &self.videos[at];
        (own > 0.0 && *space == content.space)
            .then(|| f64::from(dot(prefix(&content.vector), other)) / (own * norm))
    }

    /// The greatest cosine with them, in [-1, 1]; `None` where there is none to compare with.
    #[must_use]
    pub fn nearest(&self, content: &Content) -> Option<f64> {
        let own = content.vector.norm(SHORT_DIMS);
        (0..self.videos.len()).filter_map(|at| self.cosine(at, content, own)).reduce(f64::max)
    }

    /// Whether the greatest cosine is below `below`. What cannot be compared is not known to be new.
    #[must_use]
    pub fn is_new(&mut self, content: &Content, below: f64) -> bool {
        let own = content.vector.norm(SHORT_DIMS);
        let mut compared = false;
        for at in 0..self.videos.len() {
            let Some(cosine) = self.cosine(at, content, own) else { continue };
            if cosine >= below {
                // What is near to many candidates is compared earlier with the next; in which order makes no difference else.
                self.videos.swap(at, at / 2);
                return false;
            }
            compared = true;
        }
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rerank::testing::{Signal, content_at, row};

    #[test]
    fn new_is_what_is_unlike_each_of_the_last() {
        let rows: Vec<Row> = [90.0, 0.0, 20.0]
            .iter()
            .enumerate()
            .map(|(n, angle)| row(content_at(n as u64, *angle), n as u64, Signal::Watched))
            .collect();
        let mut last = LastWatched::of(&rows, 2);
        let at = |angle: f32| content_at(9, angle);
        assert!((last.nearest(&at(50.0)).expect("comparable") - 30f64.to_radians().cos()).abs() < 0.01);
        assert!(last.is_new(&at(100.0), 0.3));
        assert!(!last.is_new(&at(80.0), 0.3));
        // The one at 90 degrees counts only while it is among the last.
        assert!(!LastWatched::of(&rows, 3).is_new(&at(100.0), 0.3));
        let elsewhere = Content { space: 99, ..at(100.0) };
        assert_eq!((last.nearest(&elsewhere), last.is_new(&elsewhere, 0.3)), (None, false));
        assert!(!LastWatched::of(&[], 50).is_new(&at(100.0), 0.3));
    }
}
