//! Weighted ridge regression from sums that can be taken back.
//!
//! The sums are those of the normal equations, w x x' and w x y, of whole numbers: their value does not depend on the order of
//! the examples or on where they were added up, and an example that is forgotten is subtracted exactly. Floats appear where
//! the equations are solved, in a fixed order.

use serde::{Deserialize, Serialize};

/// The sums of some examples with the same features and targets, in the units in which they were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Sum of w x x', the lower triangle row by row.
    gram: Vec<i64>,
    /// Sum of w x y, for one target after another.
    cross: Vec<i64>,
    /// Sum of w.
    weight: i64,
}

impl Moments {
    /// Nothing yet, of `features` features and `targets` targets.
    #[must_use]
    pub fn new(features: usize, targets: usize) -> Self {
        Self { gram: vec![0; features * (features + 1) / 2], cross: vec![0; features * targets], weight: 0 }
    }

    /// Adds an example, or takes it back with a negative `weight`. Wraps rather than saturates: whole numbers modulo 2^64
    /// are a group, so what was added can always be taken away.
    ///
    /// # Panics
    /// Where `x` and `y` are not as long as the moments were made for: which they are is in the types of the callers.
    pub fn add(&mut self, x: &[i16], y: &[i64], weight: i64) {
        assert_eq!(
            (self.gram.len(), self.cross.len()),
            (x.len() * (x.len() + 1) / 2, x.len() * y.len()),
            "an example of other features or targets"
        );
        let mut from = 0;
        for (n, a) in x.iter().enumerate() {
            let factor = weight * i64::from(*a);
            for (sum, b) in self.gram[from..=from + n].iter_mut().zip(x) {
                *sum = sum.wrapping_add(factor * i64::from(*b));
            }
            from += n + 1;
        }
        for (sums, y) in self.cross.chunks_exact_mut(x.len()).zip(y) {
            for (sum, a) in sums.iter_mut().zip(x) {
                *sum = sum.wrapping_add(weight * y * i64::from(*a));
            }
        }
        self.weight = self.weight.wrapping_add(weight);
    }

    /// Adds all examples of another.
    pub fn plus(&mut self, other: &Self) {
        for (sum, other) in
            self.gram.iter_mut().chain(&mut self.cross).zip(other.gram.iter().chain(&other.cross))
        {
            *sum = sum.wrapping_add(*other);
        }
        self.weight = self.weight.wrapping_add(other.weight);
    }

    /// Whether nothing is left of all that was added.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.weight == 0 && self.gram.iter().chain(&self.cross).all(|sum| *sum == 0)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + (self.gram.len() + self.cross.len()) * size_of::<i64>()
    }
}

/// A least-squares problem: moments, each with a factor, in the units of features and targets.
#[derive(Clone, Debug)]
pub struct Ridge {
    features: usize,
    gram: Vec<f64>,
    cross: Vec<f64>,
    weight: f64,
}

/// What one means in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// A feature of one.
    pub x: f64,
    /// A target of one.
    pub y: f64,
    /// A weight of one.
    pub weight: f64,
}

impl Ridge {
    /// No examples, of `features` features and `targets` targets.
    #[must_use]
    pub fn new(features: usize, targets: usize) -> Self {
        Self {
            features,
            gram: vec![0.0; features * (features + 1) / 2],
            cross: vec![0.0; features * targets],
            weight: 0.0,
        }
    }

    /// Takes `moments` in, `factor` times.
    pub fn add(&mut self, moments: &Moments, factor: f64, units: Units) {
        let weight = factor / units.weight;
        let (gram, cross) = (weight / (units.x * units.x), weight / (units.x * units.y));
        for (sum, other) in self.gram.iter_mut().zip(&moments.gram) {
            *sum += gram * *other as f64;
        }
        for (sum, other) in self.cross.iter_mut().zip(&moments.cross) {
            *sum += cross * *other as f64;
        }
        self.weight += weight * moments.weight as f64;
    }

    /// Sum of the weights.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The lower triangle L, row by row, of Cholesky's decomposition L L' = G + lambda I. `None` where that is not positive
    /// definite: no sums of examples are so.
    pub(crate) fn decompose(&self, lambda: f64) -> Option<Vec<f64>> {
        let n = self.features;
        let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
        let mut lower = vec![0.0; self.gram.len()];
        for i in 0..n {
            for j in 0..=i {
                let mut sum = self.gram[at(i, j)] + if i == j { lambda } else { 0.0 };
                for k in 0..j {
                    sum -= lower[at(i, k)] * lower[at(j, k)];
                }
                if i == j {
                    if sum.is_nan() || sum <= 0.0 {
                        return None;
                    }
                    lower[at(i, i)] = sum.sqrt();
                } else {
                    lower[at(i, j)] = sum / lower[at(j, j)];
                }
            }
        }
        Some(lower)
    }

    /// For each target the weights that minimise sum w (y - weights x)^2 + lambda |weights - prior|^2: by Cholesky's
    /// decomposition of the positive definite G + lambda I (Hoerl and Kennard 1970, shrunk towards `prior` instead of
    /// zero). `None` where the sums are not those of any examples, so that it is not positive definite.
    #[must_use]
    pub fn solve(&self, lambda: f64, prior: &[&[f64]]) -> Option<Vec<Vec<f64>>> {
        let n = self.features;
        let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
        let lower = self.decompose(lambda)?;
        let solved = self.cross.chunks_exact(n).zip(prior).map(|(cross, prior)| {
            let mut weights: Vec<f64> = cross.iter().zip(*prior).map(|(c, p)| c + lambda * p).collect();
            for i in 0..n {
                for k in 0..i {
                    weights[i] -= lower[at(i, k)] * weights[k];
                }
                weights[i] /= lower[at(i, i)];
            }
            for i in (0..n).rev() {
                for k in i + 1..n {
                    weights[i] -= lower[at(k, i)] * weights[k];
                }
                weights[i] /= lower[at(i, i)];
            }
            weights
        });
        Some(solved.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: Units = Units { x: 100.0, y: 10.0, weight: 1.0 };

    #[test]
    fn a_line_is_found() {
        let mut moments = Moments::new(2, 1);
        for x in 0..50 {
            // y = 3 - 2 x
            moments.add(&[100, x * 10], &[i64::from(30 - 2 * x)], 1);
        }
        let mut ridge = Ridge::new(2, 1);
        ridge.add(&moments, 1.0, UNITS);
        let weights = &ridge.solve(1e-9, &[&[0.0, 0.0]]).unwrap()[0];
        assert!((weights[0] - 3.0).abs() < 1e-6 && (weights[1] + 2.0).abs() < 1e-6, "{weights:?}");
        assert_eq!(ridge.weight(), 50.0);
    }

    #[test]
    fn without_examples_the_prior_holds() {
        let ridge = Ridge::new(3, 2);
        let weights = ridge.solve(4.0, &[&[1.0, 2.0, 3.0], &[0.0, -1.0, 0.5]]).unwrap();
        assert_eq!(weights, [[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]]); // the root of 4 is a whole number
    }

    proptest! {
        /// The gradient of what is minimised is zero at the solution.
        #[test]
        fn the_solution_is_the_minimum(examples in prop::collection::vec((any::<[i8; 4]>(), -50i64..50, 1i64..9), 0..30)) {
            let (lambda, prior) = (0.7, [0.3, -0.2, 0.0, 1.0]);
            let mut moments = Moments::new(4, 1);
            for (x, y, weight) in &examples {
                moments.add(&x.map(i16::from), &[*y], *weight);
            }
            let mut ridge = Ridge::new(4, 1);
            ridge.add(&moments, 1.0, UNITS);
            let weights = &ridge.solve(lambda, &[&prior]).unwrap()[0];
            for i in 0..4 {
                let mut gradient = lambda * (weights[i] - prior[i]);
                for (x, y, weight) in &examples {
                    let x = x.map(|x| f64::from(x) / UNITS.x);
                    let error: f64 = x.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() - *y as f64 / UNITS.y;
                    gradient += *weight as f64 * error * x[i];
                }
                prop_assert!(gradient.abs() < 1e-6, "{gradient}");
            }
        }

        #[test]
        fn what_is_forgotten_was_never_there(kept in prop::collection::vec((any::<[i16; 3]>(), any::<i16>(), 1i64..999), 0..9),
            gone in prop::collection::vec((any::<[i16; 3]>(), any::<i16>(), 1i64..999), 0..9)) {
            let of = |examples: &[([i16; 3], i16, i64)]| {
                let mut moments = Moments::new(3, 1);
                examples.iter().for_each(|(x, y, w)| moments.add(x, &[i64::from(*y)], *w));
                moments
            };
            let mut all = of(&gone);
            all.plus(&of(&kept));
            for (x, y, weight) in gone.iter().rev() {
                all.add(x, &[i64::from(*y)], -weight);
            }
            prop_assert_eq!(all.clone(), of(&kept));
            prop_assert_eq!(all.is_zero(), of(&kept).is_zero());
        }
    }
}
