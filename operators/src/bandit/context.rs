//! A user's interest in a few whole numbers.
//!
//! The query vector, which candidates are compared with, is turned to length one and projected to [`DIMS`] dimensions by fixed random
//! signs (Achlioptas 2003: products of vectors are kept, on average); a constant stands before them. Rounded to 1/64 once, so that sums
//! of products are exact, and an example that is forgotten is subtracted to the last bit. Eight dimensions tell users apart
//! roughly: that is enough to choose among some dozens of categories, and an arm's matrix has 45 entries.

use freshet_learning::LONG_DIMS;
use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::interest::Query;

/// Dimensions of the projection.
const DIMS: usize = 8;
/// Entries of a context: a constant, then the projection.
pub const CONTEXT: usize = 1 + DIMS;
/// An entry of one.
pub const UNIT: f64 = 64.0;
/// Greatest size of an entry, as a multiple of [`UNIT`].
const BOUND: f64 = 2.0;

/// Signs of the projection have hashes of their own.
const SIGNS: u64 = u64::from_be_bytes(*b"contexts");

/// See the module. In 1/64, each within [-2, 2]; the first is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context(pub [i16; CONTEXT]);

impl Default for Context {
    /// Of somebody of whom no interest is known: the constant alone.
    fn default() -> Self {
        let mut entries = [0; CONTEXT];
        entries[0] = UNIT as i16;
        Self(entries)
    }
}

impl Context {
    /// Of an interest; the signs are drawn by `seed` and are others in another embedding space.
    #[must_use]
    pub fn of(query: Option<&Query>, seed: u64) -> Self {
        let mut context = Self::default();
        let Some(query) = query else { return context };
        let norm = query.vector.norm(LONG_DIMS);
        if norm == 0.0 {
            return context;
        }
        for (n, entry) in context.0[1..].iter_mut().enumerate() {
            let mut sum = 0i64;
            for (block, values) in query.vector.0.chunks(64).enumerate() {
                let signs = hash::mix(seed ^ SIGNS, &[query.space, n as u64, block as u64]);
                for (bit, value) in values.iter().enumerate() {
                    let value = i64::from(*value);
                    sum += if signs >> bit & 1 == 0 { value } else { -value };
                }
            }
            // Of a unit vector's projections the squares add up to one, on average.
            let projected = sum as f64 / norm / (DIMS as f64).sqrt();
            *entry = (projected.clamp(-BOUND, BOUND) * UNIT).round() as i16;
        }
        context
    }

    /// The entries as real numbers.
    #[must_use]
    pub fn real(&self) -> [f32; CONTEXT] {
        self.0.map(|entry| f32::from(entry) / UNIT as f32)
    }
}

#[cfg(test)]
mod tests {
    use freshet_learning::Quantised;

    use super::*;

    fn query(turn: u64) -> Query {
        let entry = |at: usize| (hash::mix(5, &[turn, at as u64]) % 2001) as f64 / 1000.0 - 1.0;
        Query { space: 3, vector: Quantised::of(&std::array::from_fn(entry)) }
    }

    #[test]
    fn products_are_kept_on_average() {
        let (mut own, mut other) = (0.0f32, 0.0f32);
        let product = |a: &Context, b: &Context| -> f32 {
            a.real()[1..].iter().zip(&b.real()[1..]).map(|(a, b)| a * b).sum()
        };
        for turn in 0..400 {
            let (one, two) = (Context::of(Some(&query(turn)), 1), Context::of(Some(&query(turn + 1)), 1));
            assert_eq!(one.0[0], UNIT as i16);
            own += product(&one, &one) / 400.0;
            other += product(&one, &two) / 400.0;
        }
        assert!((own - 1.0).abs() < 0.1 && other.abs() < 0.1, "{own} {other}");
    }

    #[test]
    fn an_interest_has_one_context() {
        let of = |turn: u64, seed: u64| Context::of(Some(&query(turn)), seed);
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(2, 1) && of(1, 1) != of(1, 2));
        let elsewhere = Query { space: 4, ..query(1) };
        assert_ne!(Context::of(Some(&elsewhere), 1), of(1, 1));
        let nothing = Query { space: 3, vector: Quantised::zero() };
        assert_eq!(Context::of(Some(&nothing), 1), Context::default());
        assert_eq!(Context::of(None, 1), Context::default());
    }
}
