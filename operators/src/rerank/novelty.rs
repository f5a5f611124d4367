//! New is what is unlike all of the videos last watched: the greatest cosine with them is below a threshold.
//!
//! Fifty comparisons a candidate are the dearest part of re-ranking, and the question is a rough one. So they are made over
//! the prefix that short-term interest lives in, from one block of memory, and stop at the first video that is too near. A prefix of 128 dimensions gives a cosine to within some 0.09 (its standard deviation for unlike videos).

use freshet_learning::direction::dot;
use freshet_learning::{Quantised, SHORT_DIMS};

use crate::ahead;
use crate::content::Content;
use crate::row::Row;

/// A prefix in entries of 16 bits. It is widened once for all its comparisons; any x86-64 then multiplies and adds eight pairs
/// at a time, where entries of 8 bits would have to be widened for each. A product is at most 128 x 127 x 127: exact.
type Prefix = [i16; SHORT_DIMS];

fn prefix(vector: &Quantised) -> Prefix {
    let first: &[i8; SHORT_DIMS] =
        vector.0.first_chunk().expect("a vector is at least as long as its prefix");
    first.map(i16::from)
}

fn norm(prefix: &Prefix) -> f64 {
    f64::from(dot(prefix, prefix)).sqrt()
}

/// The videos last watched, as far as they have vectors; in no order.
pub struct LastWatched {
    videos: Vec<(u64, f64, Prefix)>,
}

impl LastWatched {
    /// Of the last `count` rows, which are in order of time.
    #[must_use]
    pub fn of(rows: &[Row], count: usize) -> Self {
        let rows = &rows[rows.len().saturating_sub(count)..];
        let mut videos = Vec::with_capacity(rows.len());
        for row in rows {
            ahead::values(&row.content.vector.0[..SHORT_DIMS]);
        }
        for row in rows.iter().rev() {
            let prefix = prefix(&row.content.vector);
            let norm = norm(&prefix);
            if norm > 0.0 {
                videos.push((row.content.space, norm, prefix));
            }
        }
        Self { videos }
    }

    /// Whether the greatest cosine is below `below`. What cannot be compared is not known to be new.
    #[must_use]
    pub fn is_new(&mut self, content: &Content, below: f64) -> bool {
        let own = prefix(&content.vector);
        let own_norm = norm(&own);
        if own_norm == 0.0 {
            return false;
        }
        let mut compared = false;
        for at in 0..self.videos.len() {
            let (space, norm, other) = &self.videos[at];
            if *space != content.space {
                continue;
            }
            let cosine = f64::from(dot(&own, other)) / (own_norm * norm);
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
        let near = 30f64.to_radians().cos();
        assert!(last.is_new(&at(50.0), near + 0.01) && !last.is_new(&at(50.0), near - 0.01));
        assert!(last.is_new(&at(100.0), 0.3));
        assert!(!last.is_new(&at(80.0), 0.3));
        // The one at 90 degrees counts only while it is among the last.
        assert!(!LastWatched::of(&rows, 3).is_new(&at(100.0), 0.3));
        let elsewhere = Content { space: 99, ..at(100.0) };
        assert!(!last.is_new(&elsewhere, 0.3) && !last.is_new(&elsewhere, 1.1));
        assert!(!LastWatched::of(&[], 50).is_new(&at(100.0), 0.3));
    }
}
