//! Spherical k-means (Dhillon and Modha 2001) in whole numbers.
//!
//! Points and centroids are [`Direction`]s; a point belongs to the centroid of greatest inner product, of equals the first.
//! Sums and products are exact in any order, and a centroid's scaling is correctly rounded: the same points in the same
//! order give the same centroids on every machine. A library that multiplies matrices in floats cannot promise that.
//!
//! [`fit`] is Lloyd's iteration. [`fit_nested`] splits twice and then polishes: hundreds of centroids at a cost that
//! grows with their square root but for the polishing. It serves where a stream waits for the result.

use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::direction::{Direction, NORM, check, dot};
use crate::vector::LONG_DIMS;

/// Points compared with a centroid while it is in the cache.
const TOGETHER: usize = 8;

/// Fewer centroids than this are fitted in one step.
const NEST_FROM: usize = 64;

/// Full iterations after the nested split.
const POLISH: u32 = 2;

/// Directions about which points gather, by number from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Rows")]
pub struct Centroids {
    dims: usize,
    entries: Vec<i16>,
}

/// Centroids as they were read, not yet checked.
#[derive(Deserialize)]
struct Rows {
    dims: usize,
    entries: Vec<i16>,
}

impl TryFrom<Rows> for Centroids {
    type Error = BadCentroids;

    fn try_from(rows: Rows) -> Result<Self, BadCentroids> {
        Self::new(rows.dims, rows.entries)
    }
}

/// Numbers that are no centroids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCentroids {
    /// The dimensions are not in range.
    #[error("centroids: dims = {0} is not in 1..={LONG_DIMS}")]
    Dims(usize),
    /// The last row is not whole.
    #[error("centroids: {entries} entries are no whole number of rows of {dims}")]
    Rows {
        /// Dimensions of a row.
        dims: usize,
        /// Entries in all.
        entries: usize,
    },
    /// A row is no direction.
    #[error("centroids: row {row}: {source}")]
    Row {
        /// Its number, from 0.
        row: usize,
        /// What it is.
        source: crate::direction::NoDirection,
    },
}

impl Centroids {
    /// Centroids from their rows, one after the other; none at all is allowed.
    ///
    /// # Errors
    /// `dims` out of 1..=[`LONG_DIMS`], a row that is not whole, or one that is no direction.
    pub fn new(dims: usize, entries: Vec<i16>) -> Result<Self, BadCentroids> {
        if !(1..=LONG_DIMS).contains(&dims) {
            return Err(BadCentroids::Dims(dims));
        }
        if !entries.len().is_multiple_of(dims) {
            return Err(BadCentroids::Rows { dims, entries: entries.len() });
        }
        for (row, centroid) in entries.chunks_exact(dims).enumerate() {
            check(centroid).map_err(|source| BadCentroids::Row { row, source })?;
        }
        Ok(Self { dims, entries })
    }

    /// Entries of a centroid.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() / self.dims
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each centroid, in order; entries in -[`NORM`]..=[`NORM`].
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[i16]> {
        self.entries.chunks_exact(self.dims)
    }

    /// All rows, one after the other.
    #[must_use]
    pub fn entries(&self) -> &[i16] {
        &self.entries
    }

    /// The centroid of greatest inner product with `point`, of equals the first; none where there is none or `point` has
    /// other dimensions.
    #[must_use]
    pub fn nearest(&self, point: &Direction) -> Option<usize> {
        if point.entries().len() != self.dims {
            return None;
        }
        let mut best: Option<(i32, usize)> = None;
        for (number, row) in self.rows().enumerate() {
            let score = dot(point.entries(), row);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, number));
            }
        }
        best.map(|(_, number)| number)
    }
}

/// At most `k` centroids of `points` of `dims` entries, by at most `iterations` of Lloyd's steps. Those begin at points drawn by
/// `seed` and their place in the slice (k-means++). A centroid that loses all its points takes the one that fits worst
/// where it is. Points of other dimensions are left out.
///
/// # Panics
/// For `dims` beyond 1..=[`LONG_DIMS`].
#[must_use]
pub fn fit(points: &[&Direction], dims: usize, k: usize, iterations: u32, seed: u64) -> Centroids {
    let points = Points::new(points, dims);
    let all: Vec<u32> = (0..points.len() as u32).collect();
    finish(dims, lloyd(&points, &all, points.draw(&all, k, seed), iterations))
}

/// As [`fit`], but the points are first split into about sqrt(`k`) cells, each cell into its share of the `k` by size, and two
/// full iterations polish the outcome.
///
/// # Panics
/// For `dims` beyond 1..=[`LONG_DIMS`].
#[must_use]
pub fn fit_nested(points: &[&Direction], dims: usize, k: usize, iterations: u32, seed: u64) -> Centroids {
    if k < NEST_FROM {
        return fit(points, dims, k, iterations, seed);
    }
    let points = Points::new(points, dims);
    let all: Vec<u32> = (0..points.len() as u32).collect();
    let cells = lloyd(&points, &all, points.draw(&all, k.isqrt(), seed), iterations);
    let mut members = vec![Vec::new(); cells.len() / dims];
    for (point, (cell, _)) in all.iter().zip(points.assign(&all, &cells)) {
        members[cell as usize].push(*point);
    }
    let mut split = Vec::with_capacity(k * dims);
    // Each cell brings the number of centroids up to what is due for the points so far.
    let mut seen = 0;
    for (number, cell) in members.iter().enumerate() {
        seen += cell.len();
        let due = (seen * k / all.len().max(1)).saturating_sub(split.len() / dims);
        let start = points.draw(cell, due.max(1), hash::mix(seed, &[number as u64]));
        split.extend(lloyd(&points, cell, start, iterations));
    }
    split.truncate(k * dims);
    finish(dims, lloyd(&points, &all, split, POLISH))
}

fn finish(dims: usize, entries: Vec<i16>) -> Centroids {
    Centroids::new(dims, entries).expect("rows are whole, and scaled to NORM before they are rounded")
}

/// The points' entries, one after the other.
struct Points {
    dims: usize,
    entries: Vec<i16>,
}

impl Points {
    fn new(points: &[&Direction], dims: usize) -> Self {
        let rows = points.iter().map(|point| point.entries()).filter(|row| row.len() == dims);
        Self { dims, entries: rows.collect::<Vec<_>>().concat() }
    }

    fn len(&self) -> usize {
        self.entries.len() / self.dims
    }

    fn row(&self, point: u32) -> &[i16] {
        &self.entries[point as usize * self.dims..][..self.dims]
    }

    /// At most `k` of `of`: each is drawn by hash with a chance of one less its greatest cosine with those before it
    /// (k-means++, Arthur and Vassilvitskii 2007). Fewer where `of` has fewer directions.
    fn draw(&self, of: &[u32], k: usize, seed: u64) -> Vec<i16> {
        let mut drawn: Vec<i16> = Vec::with_capacity(k * self.dims);
        let mut chances = vec![2 * i64::from(NORM).pow(2) as u64; of.len()];
        for number in 0..k as u64 {
            let total: u64 = chances.iter().sum();
            if total == 0 {
                break;
            }
            let mut ticket = hash::mix(seed, &[number]) % total;
            let lucky = chances.iter().position(|chance| match ticket.checked_sub(*chance) {
                Some(rest) => {
                    ticket = rest;
                    false
                }
                None => true,
            });
            let lucky = lucky.expect("the ticket is below the sum of all chances");
            let centroid = self.row(of[lucky]);
            for (point, chance) in of.iter().zip(&mut chances) {
                let row = self.row(*point);
                let apart = i64::from(NORM).pow(2) - i64::from(dot(row, centroid));
                *chance = if row == centroid { 0 } else { (*chance).min(apart.max(0) as u64) };
            }
            drawn.extend_from_slice(centroid);
        }
        drawn
    }

    /// For each of `of` its centroid (of equals the first) and the inner product.
    fn assign(&self, of: &[u32], centroids: &[i16]) -> Vec<(u32, i32)> {
        let mut out = vec![(0, i32::MIN); of.len()];
        for (points, best) in of.chunks(TOGETHER).zip(out.chunks_mut(TOGETHER)) {
            for (number, centroid) in centroids.chunks_exact(self.dims).enumerate() {
                for (point, best) in points.iter().zip(best.iter_mut()) {
                    let score = dot(self.row(*point), centroid);
                    if score > best.1 {
                        *best = (number as u32, score);
                    }
                }
            }
        }
        out
    }
}

/// Lloyd's iteration over the points `of` from `centroids`, until nothing moves or `iterations` are done.
fn lloyd(points: &Points, of: &[u32], mut centroids: Vec<i16>, iterations: u32) -> Vec<i16> {
    let mut before = Vec::new();
    for _ in 0..iterations {
        let assigned = points.assign(of, &centroids);
        if assigned.is_empty() || assigned == before {
            break;
        }
        move_centroids(points, of, &assigned, &mut centroids);
        before = assigned;
    }
    centroids
}

/// Each centroid becomes the direction of the sum of its points.
fn move_centroids(points: &Points, of: &[u32], assigned: &[(u32, i32)], centroids: &mut [i16]) {
    let mut sums = vec![0i64; centroids.len()];
    let mut counts = vec![0u32; centroids.len() / points.dims];
    for (point, (cell, _)) in of.iter().zip(assigned) {
        counts[*cell as usize] += 1;
        let sum = &mut sums[*cell as usize * points.dims..][..points.dims];
        sum.iter_mut().zip(points.row(*point)).for_each(|(sum, x)| *sum += i64::from(*x));
    }
    let mut misfits: Option<std::vec::IntoIter<usize>> = None;
    for (cell, centroid) in centroids.chunks_exact_mut(points.dims).enumerate() {
        if let Some(moved) = Direction::of_sum(&sums[cell * points.dims..][..points.dims]) {
            centroid.copy_from_slice(moved.entries());
            continue;
        }
        // A centroid without points, or whose points cancel out.
        let misfits = misfits.get_or_insert_with(|| worst_first(assigned).into_iter());
        if let Some(place) = misfits.find(|place| counts[assigned[*place].0 as usize] > 1) {
            counts[assigned[place].0 as usize] -= 1;
            centroid.copy_from_slice(points.row(of[place]));
        }
    }
}

/// Places in `assigned`, least inner product first.
fn worst_first(assigned: &[(u32, i32)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..assigned.len()).collect();
    places.sort_by_key(|place| (assigned[*place].1, *place));
    places
}

#[cfg(test)]
mod tests;
