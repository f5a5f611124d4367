//! Spherical k-means over quantised vectors (Dhillon and Modha 2001), in whole numbers.
//!
//! A vector belongs to the centroid of greatest inner product. Centroids are directions: whole numbers scaled to the
//! norm [`NORM`], so all of them are equally long and none draws vectors by its length. Sums and products are exact in
//! any order, and the one division a centroid needs is a single correctly rounded step: the same vectors in the same
//! order give the same centroids on every machine. A library that multiplies matrices in floats cannot promise that.
//!
//! [`fit`] is Lloyd's iteration. [`fit_nested`] splits twice and then polishes: hundreds of centroids at a cost that
//! grows with their square root but for the polishing. It serves where a stream waits for the result.

use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::vector::LONG_DIMS;

/// Norm of a centroid before its entries are rounded. A quantised vector has a norm of at most 128 x sqrt([`LONG_DIMS`]) =
/// 2,897 and a rounded centroid of at most [`NORM`] + sqrt([`LONG_DIMS`]) / 2 = 4,108, so an inner product and each of its
/// partial sums stay below 2^24 (Cauchy-Schwarz): exact even where they are added up as f32.
pub const NORM: i16 = 4096;

/// Vectors compared with a centroid while it is in the cache.
const TOGETHER: usize = 8;

/// Fewer centroids than this are fitted in one step.
const NEST_FROM: usize = 64;

/// Chances are drawn in steps of one in so many.
const CHANCE: u64 = 1 << 16;

/// Full iterations after the nested split.
const POLISH: u32 = 2;

/// Centroids: directions in the space of quantised vectors, by number from 0.
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
    /// A row is too long for exact inner products.
    #[error(
        "centroids: row {row} has the squared norm {square}, more than a centroid can have: the data is damaged"
    )]
    Norm {
        /// Its number, from 0.
        row: usize,
        /// Its squared norm.
        square: i64,
    },
}

impl Centroids {
    /// Centroids from their rows, one after the other; none at all is allowed.
    ///
    /// # Errors
    /// `dims` out of 1..=[`LONG_DIMS`], a row that is not whole, or one too long.
    pub fn new(dims: usize, entries: Vec<i16>) -> Result<Self, BadCentroids> {
        if !(1..=LONG_DIMS).contains(&dims) {
            return Err(BadCentroids::Dims(dims));
        }
        if entries.len() % dims != 0 {
            return Err(BadCentroids::Rows { dims, entries: entries.len() });
        }
        let longest = (f64::from(NORM) + (LONG_DIMS as f64).sqrt() / 2.0).powi(2) as i64;
        for (row, centroid) in entries.chunks_exact(dims).enumerate() {
            let square = square(centroid.iter().map(|x| i64::from(*x)));
            if square > longest {
                return Err(BadCentroids::Norm { row, square });
            }
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

    /// The centroid of greatest inner product with `vector`, of equals the first; none where there is none or `vector`
    /// has other dimensions.
    #[must_use]
    pub fn nearest(&self, vector: &[i8]) -> Option<usize> {
        if vector.len() != self.dims {
            return None;
        }
        let wide: Vec<i16> = vector.iter().map(|x| i16::from(*x)).collect();
        let mut best: Option<(i32, usize)> = None;
        for (number, row) in self.rows().enumerate() {
            let score = dot(&wide, row);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, number));
            }
        }
        best.map(|(_, number)| number)
    }
}

/// At most `k` centroids of `vectors`, by at most `iterations` of Lloyd's steps. Those begin at vectors drawn by `seed` and
/// their place in the slice (k-means++). A centroid that loses all its vectors takes the one that fits worst where it is. Zero
/// vectors have no direction and are left out; so are vectors that have not `dims` entries.
///
/// # Panics
/// Never for `dims` in 1..=[`LONG_DIMS`]; beyond, the caller is wrong.
#[must_use]
pub fn fit(vectors: &[&[i8]], dims: usize, k: usize, iterations: u32, seed: u64) -> Centroids {
    let points = Points::new(vectors, dims);
    let all: Vec<u32> = (0..points.len() as u32).collect();
    finish(dims, lloyd(&points, &all, points.draw(&all, k, seed), iterations))
}

/// As [`fit`], but the vectors are first split into about sqrt(`k`) cells, each cell into its share of the `k` by size,
/// and two full iterations polish the outcome.
///
/// # Panics
/// Never for `dims` in 1..=[`LONG_DIMS`]; beyond, the caller is wrong.
#[must_use]
pub fn fit_nested(vectors: &[&[i8]], dims: usize, k: usize, iterations: u32, seed: u64) -> Centroids {
    if k < NEST_FROM {
        return fit(vectors, dims, k, iterations, seed);
    }
    let points = Points::new(vectors, dims);
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

/// Inner product of a vector and a centroid, below 2^24.
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

fn square(entries: impl Iterator<Item = i64>) -> i64 {
    entries.map(|x| x * x).sum()
}

/// `sum` scaled to [`NORM`]; nothing where it has no direction.
fn direction(sum: &[i64]) -> Option<impl Iterator<Item = i16>> {
    let norm = (square(sum.iter().copied()) as f64).sqrt();
    (norm > 0.0).then(|| sum.iter().map(move |x| (*x as f64 * f64::from(NORM) / norm).round() as i16))
}

/// The vectors that have a direction, widened once.
struct Points {
    dims: usize,
    entries: Vec<i16>,
    norms: Vec<f64>,
}

impl Points {
    fn new(vectors: &[&[i8]], dims: usize) -> Self {
        let mut points = Self { dims, entries: Vec::with_capacity(vectors.len() * dims), norms: Vec::new() };
        for vector in vectors {
            if vector.len() == dims && vector.iter().any(|x| *x != 0) {
                points.entries.extend(vector.iter().map(|x| i16::from(*x)));
                points.norms.push((square(vector.iter().map(|x| i64::from(*x))) as f64).sqrt());
            }
        }
        points
    }

    fn len(&self) -> usize {
        self.norms.len()
    }

    fn row(&self, point: u32) -> &[i16] {
        &self.entries[point as usize * self.dims..][..self.dims]
    }

    fn direction(&self, point: u32) -> Vec<i16> {
        let row: Vec<i64> = self.row(point).iter().map(|x| i64::from(*x)).collect();
        direction(&row).expect("a zero vector is no point").collect()
    }

    /// The directions of at most `k` of `of`: each is drawn by hash with a chance of one less its greatest cosine with
    /// those before it (k-means++, Arthur and Vassilvitskii 2007). Fewer where `of` has fewer directions.
    fn draw(&self, of: &[u32], k: usize, seed: u64) -> Vec<i16> {
        let mut drawn: Vec<i16> = Vec::with_capacity(k * self.dims);
        let mut chances = vec![CHANCE; of.len()];
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
            let centroid = self.direction(of[lucky]);
            for (point, chance) in of.iter().zip(&mut chances) {
                let cosine = f64::from(dot(self.row(*point), &centroid))
                    / (self.norms[*point as usize] * f64::from(NORM));
                // Negative chances, of rounding, become 0.
                *chance = (*chance).min(((1.0 - cosine) * CHANCE as f64) as u64);
            }
            chances[lucky] = 0;
            drawn.extend(centroid);
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
        if let Some(moved) = direction(&sums[cell * points.dims..][..points.dims]) {
            centroid.iter_mut().zip(moved).for_each(|(x, y)| *x = y);
            continue;
        }
        // A centroid without points, or whose points cancel out.
        let misfits = misfits.get_or_insert_with(|| worst_first(points, of, assigned).into_iter());
        if let Some(place) = misfits.find(|place| counts[assigned[*place].0 as usize] > 1) {
            counts[assigned[place].0 as usize] -= 1;
            centroid.iter_mut().zip(points.direction(of[place])).for_each(|(x, y)| *x = y);
        }
    }
}

/// Places in `of`, least cosine with their centroid first.
fn worst_first(points: &Points, of: &[u32], assigned: &[(u32, i32)]) -> Vec<usize> {
    let cosine = |place: &usize| f64::from(assigned[*place].1) / points.norms[of[*place] as usize];
    let mut places: Vec<usize> = (0..of.len()).collect();
    places.sort_by(|a, b| cosine(a).total_cmp(&cosine(b)).then(a.cmp(b)));
    places
}

#[cfg(test)]
mod tests;
