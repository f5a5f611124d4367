//! Directions: vectors scaled to one norm, in whole numbers.
//!
//! Similarity is a cosine everywhere in Freshet. Quantised vectors are scaled by their greatest entry, so their norms differ,
//! and an inner product with them favours the flat ones. With directions the inner product orders by the cosine and is
//! still a whole number.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::vector::{LONG_DIMS, SHORT_DIMS};

/// Norm of a direction before its entries are rounded. Rounding adds at most sqrt([`LONG_DIMS`]) / 2, so it is at most 4,012; a
/// quantised vector's is at most 128 x sqrt([`LONG_DIMS`]) = 2,897. The inner product of two of them, and each of its
/// partial sums, stays below 2^24 (Cauchy-Schwarz): exact even where it is added up as f32, in any order.
pub const NORM: i16 = 4000;

/// A vector of 1 to [`LONG_DIMS`] entries with the norm [`NORM`] but for rounding. Cloning shares the entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<i16>")]
pub struct Direction(Arc<[i16]>);

/// Entries that are no direction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entries} entries with the squared norm {square} are no direction: the data is damaged")]
pub struct NoDirection {
    /// How many there are.
    pub entries: usize,
    /// Their squared norm.
    pub square: i128,
}

impl TryFrom<Vec<i16>> for Direction {
    type Error = NoDirection;

    fn try_from(entries: Vec<i16>) -> Result<Self, NoDirection> {
        check(&entries)?;
        Ok(Self(entries.into()))
    }
}

/// Whether `entries` are as many as a direction may have and as long as it is.
pub(crate) fn check(entries: &[i16]) -> Result<(), NoDirection> {
    let square = square(entries.iter().map(|x| i64::from(*x)));
    let slack = (LONG_DIMS as f64).sqrt() / 2.0;
    let range = (f64::from(NORM) - slack).powi(2)..=(f64::from(NORM) + slack).powi(2);
    if (1..=LONG_DIMS).contains(&entries.len()) && range.contains(&(square as f64)) {
        return Ok(());
    }
    Err(NoDirection { entries: entries.len(), square })
}

impl Direction {
    /// The direction of a vector of 1 to [`LONG_DIMS`] entries; the zero vector, and one of another length, has none.
    #[must_use]
    pub fn of(vector: &[i8]) -> Option<Self> {
        let wide: Vec<i64> = vector.iter().map(|x| i64::from(*x)).collect();
        Self::of_sum(&wide)
    }

    /// The direction of a sum of directions or vectors; none of zero, or of more than [`LONG_DIMS`] entries.
    #[must_use]
    pub fn of_sum(sum: &[i64]) -> Option<Self> {
        // The square is exact; then the root, the product, the quotient and the entry are rounded once each: the same on every machine.
        let norm = (square(sum.iter().copied()) as f64).sqrt();
        let scaled = sum.iter().map(|x| (*x as f64 * f64::from(NORM) / norm).round() as i16);
        (norm > 0.0 && sum.len() <= LONG_DIMS).then(|| Self(scaled.collect()))
    }

    /// Its entries, in -[`NORM`]..=[`NORM`].
    #[must_use]
    pub fn entries(&self) -> &[i16] {
        &self.0
    }

    /// Inner product with a vector of as many entries: its norm x [`NORM`] x their cosine, below 2^24.
    #[must_use]
    pub fn score(&self, vector: &[i8]) -> i32 {
        self.0.iter().zip(vector).map(|(x, y)| i32::from(*x) * i32::from(i16::from(*y))).sum()
    }
}

/// Inner product of as many entries as the shorter has. Of two directions, or of one and a quantised vector, it is below 2^24; of
/// others its sums must fit.
#[inline]
#[must_use]
pub fn dot(a: &[i16], b: &[i16]) -> i32 {
    let shorter = a.len().min(b.len());
    let (a, a_rest) = a[..shorter].as_chunks();
    let (b, b_rest) = b[..shorter].as_chunks();
    let blocks: i32 = a.iter().zip(b).map(|(a, b)| block(a, b)).sum();
    let rest: i32 = a_rest.iter().zip(b_rest).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum();
    blocks + rest
}

/// Eight sums side by side, of a length that is known: then the compiler takes the instruction of any x86-64 that multiplies and
/// adds eight pairs at once, 4 to 6 ns for a block. Of one sum, or of any length, it unpacks each entry first, and takes 13.
#[inline]
fn block(a: &[i16; SHORT_DIMS], b: &[i16; SHORT_DIMS]) -> i32 {
    let mut sums = [0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += i32::from(*x) * i32::from(*y);
        }
    }
    sums.iter().sum()
}

fn square(entries: impl Iterator<Item = i64>) -> i128 {
    entries.map(|x| i128::from(x) * i128::from(x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of some blocks and a rest; no sum of products is beyond 32 bits.
    fn entries() -> impl Strategy<Value = Vec<i16>> {
        prop::collection::vec(-2000i16..=2000, 0..3 * SHORT_DIMS)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn a_product_is_the_sum_of_products(a in entries(), b in entries()) {
            let plain: i32 = a.iter().zip(&b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum();
            prop_assert_eq!(dot(&a, &b), plain);
            prop_assert_eq!(dot(&b, &a), plain);
        }

        #[test]
        fn a_direction_keeps_cosines_and_is_exact(
            (a, b) in (1usize..=LONG_DIMS).prop_flat_map(|n| {
                (prop::collection::vec(any::<i8>(), n), prop::collection::vec(any::<i8>(), n))
            }),
        ) {
            let (Some(of_a), Some(of_b)) = (Direction::of(&a), Direction::of(&b)) else { return Ok(()) };
            prop_assert_eq!(Direction::try_from(of_a.entries().to_vec()), Ok(of_a.clone()));
            let norm = |v: &[i8]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let exact = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() / norm(&a) / norm(&b);
            let wide: Vec<i16> = b.iter().map(|x| i16::from(*x)).collect();
            prop_assert_eq!(of_a.score(&b), dot(of_a.entries(), &wide));
            let ours = f64::from(of_a.score(&b)) / norm(&b) / f64::from(NORM);
            prop_assert!((ours - exact).abs() < 0.003, "{} {}", ours, exact);
            // As f32, forwards and backwards.
            for product in [
                a.iter().zip(of_b.entries()).map(|(x, y)| f32::from(*x) * f32::from(*y)).collect::<Vec<f32>>(),
                of_a.entries().iter().zip(of_b.entries()).map(|(x, y)| f32::from(*x) * f32::from(*y)).collect(),
            ] {
                let whole: i64 = product.iter().map(|x| *x as i64).sum();
                prop_assert_eq!(product.iter().sum::<f32>() as i64, whole);
                prop_assert_eq!(product.iter().rev().sum::<f32>() as i64, whole);
            }
        }
    }

    #[test]
    fn the_longest_stay_exact() {
        for dims in [1, 2, 127, LONG_DIMS] {
            for vector in
                [vec![127i8; dims], vec![-128; dims], (0..dims).map(|i| (i % 9) as i8 - 4).collect()]
            {
                let direction = Direction::of(&vector).unwrap();
                assert!(dot(direction.entries(), direction.entries()) < 1 << 24);
                assert!(direction.score(&vec![-128; dims]).abs() < 1 << 24);
                assert_eq!(check(direction.entries()), Ok(()));
            }
        }
    }

    #[test]
    fn what_has_no_direction() {
        assert_eq!(Direction::of(&[0; 4]), None);
        assert_eq!(Direction::of(&[]), None);
        assert_eq!(Direction::of(&[1; LONG_DIMS + 1]), None);
        assert_eq!(
            Direction::try_from(vec![4000, 4000]),
            Err(NoDirection { entries: 2, square: 32_000_000 })
        );
        assert!(Direction::try_from(vec![]).is_err());
    }
}
