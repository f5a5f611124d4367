//! Interest vectors.
//!
//! The mid-term vector is a sum of whole numbers, weight x video vector, kept in place where a history is long: one
//! addition when an interaction is counted and one subtraction when it expires or is deleted, exact in any order. (As a difference type in
//! an arrangement it would be copied at every merge.) The long-term vector is a blend of topics: those with more than a tenth
//! of what was counted over the long-term window, by their shares, each with its own direction ([`crate::topics`]). The
//! short-term vector depends on *which* interactions are
//! the last ones, so it is made from that set when a list is made; as a set ordered by (event time, event id) it does not
//! depend on arrival order.
//!
//! Formulas: seed 004, 4.1-4.4. Its short-term update normalises after each step, which depends on arrival order; ours is
//! the decayed sum of the last N, normalised once. Its obsession test takes the mean over the whole similarity matrix, whose
//! diagonal of ones lifts small samples; ours leaves the diagonal out.

use freshet_learning::vector::dot;
use freshet_learning::{LONG_DIMS, MID_DIMS, Quantised, SHORT_DIMS};
use serde::{Deserialize, Serialize};

use crate::content::{Content, Facet};
use crate::history::{Affinity, Interests};
use crate::params::Interest;
use crate::row::Row;
use crate::topics::TopicTable;

/// Sums of one user in one embedding space; vectors of different spaces are never added or compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceSums {
    /// Hash of the space's name.
    pub space: u64,
    /// Rows in the long-term window.
    pub rows: u32,
    /// Sum over the mid-term window.
    pub mid: Box<[i32; MID_DIMS]>,
}

impl SpaceSums {
    /// Nothing yet.
    #[must_use]
    pub fn new(space: u64) -> Self {
        Self { space, rows: 0, mid: Box::new([0; MID_DIMS]) }
    }

    /// Bytes of the vectors.
    pub const HEAP: usize = MID_DIMS * size_of::<i32>();

    /// Adds `mid` times the row to the sum and counts it `long` times; each is 1, 0 or -1.
    pub fn add(&mut self, row: &Row, mid: i32, long: i32) {
        self.rows = self.rows.wrapping_add_signed(long);
        if mid != 0 {
            add(&mut self.mid[..], &row.content.vector.0[..MID_DIMS], coarse(row) * mid);
        }
    }
}

/// The weight in steps of 8 per mille: 90,000 rows of the greatest weight fit into 32 bits.
fn coarse(row: &Row) -> i32 {
    i32::from(row.weight) / 8
}

/// Wraps rather than saturates: whole numbers modulo 2^32 are a group, so what was added can always be taken away.
fn add(sum: &mut [i32], vector: &[i8], weight: i32) {
    for (entry, x) in sum.iter_mut().zip(vector) {
        *entry = entry.wrapping_add(weight * i32::from(*x));
    }
}

/// The vector that candidates are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Hash of the embedding space's name.
    pub space: u64,
    /// Blend of the three interest vectors.
    pub vector: Quantised,
}

/// What the recent interactions say about the user's interest.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The query vector; `None` where no counted interaction has a vector.
    pub query: Option<Query>,
    /// The short- and the mid-term vector have parted.
    pub drift: bool,
    /// The last videos are almost alike.
    pub obsession: bool,
}

/// Reads the interest from the last rows (`last` in order of time, the latest at the end) and the sums. The space is that
/// of the latest row that has one.
#[must_use]
pub fn read(last: &[Row], interests: &Interests, topics: &TopicTable, interest: &Interest) -> Reading {
    let Some(space) = last.iter().rev().find(|row| row.content.known).map(|row| row.content.space) else {
        return Reading { query: None, drift: false, obsession: false };
    };
    let recent: Vec<&Row> = last
        .iter()
        .rev()
        .filter(|row| row.content.known && row.content.space == space)
        .take(interest.short_last)
        .collect();
    let short = short(&recent, interest.short_decay);
    let sums = interests.spaces.iter().find(|s| s.space == space);
    let mid = sums.map_or([0.0; MID_DIMS], |s| unit(&s.mid.map(f64::from)));
    let long = long(space, interests, topics, interest.topic_share);

    let mut blend = [0.0; LONG_DIMS];
    for (part, share) in [(&short[..], 0), (&mid[..], 1), (&long[..], 2)] {
        for (entry, x) in blend.iter_mut().zip(part) {
            *entry += interest.blend[share] * x;
        }
    }
    let vector = Quantised::of(&blend);
    let enough = recent.len() >= interest.min_videos;
    let drift = enough && {
        let prefix: [f64; SHORT_DIMS] = std::array::from_fn(|i| mid[i]);
        let cosine: f64 = short.iter().zip(unit(&prefix)).map(|(x, y)| x * y).sum();
        cosine < interest.drift_below
    };
    let obsession = enough && mean_similarity(&recent) > interest.obsession_above;
    let query = (vector != Quantised::zero()).then_some(Query { space, vector });
    Reading { query, drift, obsession }
}

/// Decayed sum of unit vectors, latest first, normalised.
fn short(recent: &[&Row], decay: f64) -> [f64; SHORT_DIMS] {
    let mut sum = [0.0; SHORT_DIMS];
    let mut factor = 1.0;
    for row in recent {
        let norm = row.content.vector.norm(SHORT_DIMS);
        if norm > 0.0 {
            let weight = factor * f64::from(row.weight) / norm;
            for (entry, x) in sum.iter_mut().zip(&row.content.vector.0[..]) {
                *entry += weight * f64::from(*x);
            }
        }
        factor *= decay;
    }
    unit(&sum)
}

/// The directions of the topics with more than `least` of the user's lasting interest, by their shares, normalised.
fn long(space: u64, interests: &Interests, topics: &TopicTable, least: f64) -> [f64; LONG_DIMS] {
    let weighed = |(facet, affinity): (&Facet, &Affinity)| {
        let direction = topics.direction((space, *facet)).filter(|_| affinity.long > 0)?;
        Some((*facet, affinity.long, direction))
    };
    let mut weighed: Vec<_> = interests.facets.iter().filter_map(weighed).collect();
    let whole: i64 = weighed.iter().map(|(_, weight, _)| i64::from(*weight)).sum();
    weighed.retain(|(_, weight, _)| f64::from(*weight) > least * whole as f64);
    // In one order: the sum is of floats.
    weighed.sort_unstable_by_key(|(facet, ..)| *facet);
    let mut sum = [0.0; LONG_DIMS];
    for (_, weight, direction) in weighed {
        for (entry, x) in sum.iter_mut().zip(direction.entries()) {
            *entry += f64::from(weight) * f64::from(*x);
        }
    }
    unit(&sum)
}

/// `v` scaled to length 1; zero stays zero.
fn unit<const N: usize>(v: &[f64; N]) -> [f64; N] {
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm == 0.0 { *v } else { v.map(|x| x / norm) }
}

/// Mean cosine over all pairs of different rows.
fn mean_similarity(rows: &[&Row]) -> f64 {
    let vectors = rows.iter().map(|row| &row.content.vector);
    let vectors: Vec<(f64, &Quantised)> = vectors.map(|vector| (vector.norm(SHORT_DIMS), vector)).collect();
    let mut sum = 0.0;
    let mut pairs = 0u32;
    for (i, (norm, a)) in vectors.iter().enumerate() {
        for (other, b) in &vectors[i + 1..] {
            let norms = norm * other;
            sum += if norms == 0.0 { 0.0 } else { f64::from(a.dot(b, SHORT_DIMS)) / norms };
            pairs += 1;
        }
    }
    if pairs == 0 { 0.0 } else { sum / f64::from(pairs) }
}

/// What videos are compared with, over the first `dims` dimensions.
pub struct Likeness<'a> {
    query: Option<&'a Query>,
    norm: f64,
    dims: usize,
}

impl<'a> Likeness<'a> {
    /// To a query over the first `dims` dimensions.
    #[must_use]
    pub fn new(query: Option<&'a Query>, dims: usize) -> Self {
        Self { query, norm: query.map_or(0.0, |query| query.vector.norm(dims)), dims }
    }

    /// Similarity of a video in millionths: (1 + cosine) / 2, and a half where they cannot be compared. `norm` is that of the
    /// video's vector over the same dimensions.
    #[must_use]
    pub fn of(&self, content: &Content, norm: f64) -> u32 {
        self.within(content.space, &content.vector.0[..self.dims], norm)
    }

    /// The same of a vector's first dimensions, in an embedding space.
    #[must_use]
    pub fn within(&self, space: u64, vector: &[i8], norm: f64) -> u32 {
        let cosine = match self.query {
            Some(query) if query.space == space && self.norm * norm > 0.0 => {
                f64::from(dot(&query.vector.0[..self.dims], vector)) / (self.norm * norm)
            }
            _ => 0.0,
        };
        // To the nearest; a cosine is at least -1. (`f64::round` is a call into the mathematics library.)
        ((1.0 + cosine) * 500_000.0 + 0.5) as u32
    }
}
