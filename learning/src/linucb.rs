//! LinUCB with disjoint linear models (Li, Chu, Langford, Schapire 2010, "A contextual-bandit approach to personalized news article
//! recommendation", algorithm 1): each arm has a ridge regression of its rewards on the context, and is worth its estimate and, on
//! top, as much as the estimate may be off.
//!
//! The sums A = I + sum w x x' and b = sum w r x are those of [`crate::ridge`]: whole numbers that can be taken back. Where the
//! weights fall with an example's age, an arm that was not tried for long becomes uncertain again, and so is tried again after
//! tastes have drifted (Russac, Vernade, Cappé 2019, "Weighted linear bandits for non-stationary environments").
//!
//! The best arm by that number is no draw: it would leave no trace of what else might have been shown. So an arm is drawn, with
//! chances that are known ([`chances`]).

use serde::{Deserialize, Serialize};

use crate::ridge::Ridge;

/// What stands in A before any example: the identity (Li et al.), once.
pub const PRIOR: f64 = 1.0;

/// An arm as it was solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// A^-1 b.
    theta: Vec<f32>,
    /// The lower triangle L of A = L L', row by row.
    factor: Vec<f32>,
    /// Sum of the weights of its examples.
    examples: f32,
}

impl Arm {
    /// Solves an arm from its sums, which have one target. `None` where they are of no examples.
    #[must_use]
    pub fn of(sums: &Ridge, features: usize) -> Option<Self> {
        if sums.weight() <= 0.0 {
            return None;
        }
        let nothing = vec![0.0; features];
        let theta = sums.solve(PRIOR, &[&nothing])?.pop()?;
        let narrow = |wide: Vec<f64>| wide.into_iter().map(|x| x as f32).collect();
        Some(Self {
            theta: narrow(theta),
            factor: narrow(sums.decompose(PRIOR)?),
            examples: sums.weight() as f32,
        })
    }

    /// The reward that is expected in a context.
    #[must_use]
    pub fn estimate(&self, x: &[f32]) -> f32 {
        self.theta.iter().zip(x).map(|(weight, x)| weight * x).sum()
    }

    /// How far off that may be: sqrt(x' A^-1 x) = |L^-1 x|, for alpha = 1.
    #[must_use]
    pub fn width(&self, x: &[f32]) -> f32 {
        let mut solved: Vec<f32> = Vec::with_capacity(x.len());
        let mut from = 0;
        for (row, x) in x.iter().enumerate() {
            let (before, diagonal) = self.factor[from..=from + row].split_at(row);
            let known: f32 = before.iter().zip(&solved).map(|(l, s)| l * s).sum();
            solved.push((x - known) / diagonal[0]);
            from += row + 1;
        }
        length(&solved)
    }

    /// Sum of the weights of its examples.
    #[must_use]
    pub fn examples(&self) -> f32 {
        self.examples
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + (self.theta.len() + self.factor.len()) * size_of::<f32>()
    }
}

/// The width of an arm without examples: finite, the length of the context.
#[must_use]
pub fn unseen(x: &[f32]) -> f32 {
    length(x)
}

fn length(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// The chance of each arm, given what each is worth: `epsilon`, in [0, 1], is shared out evenly among all of them, the rest among
/// the best ones. They add up to 1 but for rounding. A value that is not a number is the worst.
#[must_use]
pub fn chances(worth: &[f32], epsilon: f64) -> Vec<f64> {
    let best = worth.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Where nothing is a number nothing is best, and all are drawn evenly.
    let is_best = |worth: &f32| *worth == best;
    let ties = worth.iter().filter(|worth| is_best(worth)).count();
    let epsilon = if ties == 0 { 1.0 } else { epsilon };
    let each = epsilon / worth.len() as f64;
    let share = |worth: &f32| if is_best(worth) { (1.0 - epsilon) / ties as f64 } else { 0.0 };
    worth.iter().map(|worth| each + share(worth)).collect()
}

/// The number of the arm that a lot, evenly drawn from all 64-bit numbers, falls to. `None` without arms.
#[must_use]
pub fn drawn(chances: &[f64], lot: u64) -> Option<usize> {
    // 53 bits: every such fraction is a number.
    let point = (lot >> 11) as f64 / (1u64 << 53) as f64;
    let mut passed = 0.0;
    let falls = chances.iter().position(|chance| {
        passed += chance;
        point < passed
    });
    // Beyond the last one where the chances add up to a little less than 1.
    falls.or_else(|| chances.iter().rposition(|chance| *chance > 0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ridge::{Moments, Units};

    const UNITS: Units = Units { x: 8.0, y: 10.0, weight: 1.0 };

    fn arm(examples: &[([i16; 3], i64)]) -> Option<Arm> {
        let mut moments = Moments::new(3, 1);
        examples.iter().for_each(|(x, y)| moments.add(x, &[*y], 1));
        let mut ridge = Ridge::new(3, 1);
        ridge.add(&moments, 1.0, UNITS);
        Arm::of(&ridge, 3)
    }

    fn real(x: &[i16; 3]) -> [f32; 3] {
        x.map(|x| f32::from(x) / 8.0)
    }

    #[test]
    fn an_arm_by_hand() {
        // A = I + 4 x x' for x = (1, 0, 0), b = 4 x 0.5 x: theta = (2/5, 0, 0); the width there is sqrt(1/5), elsewhere 1.
        let arm = arm(&[([8, 0, 0], 5); 4]).expect("examples");
        assert!((arm.estimate(&[1.0, 0.0, 0.0]) - 0.4).abs() < 1e-6, "{arm:?}");
        assert!((arm.width(&[1.0, 0.0, 0.0]) - 0.2f32.sqrt()).abs() < 1e-6, "{arm:?}");
        assert!((arm.width(&[0.0, 1.0, 0.0]) - 1.0).abs() < 1e-6, "{arm:?}");
        assert_eq!(arm.examples(), 4.0);
    }

    #[test]
    fn what_was_never_tried_has_a_finite_width() {
        assert_eq!(arm(&[]), None);
        assert_eq!(unseen(&[3.0, 0.0, 4.0]), 5.0);
    }

    #[test]
    fn the_best_share_what_the_others_leave() {
        assert_eq!(chances(&[0.1, 0.9, 0.9, 0.2], 0.2), [0.05, 0.45, 0.45, 0.05]);
        assert_eq!(chances(&[0.1, 0.9], 0.0), [0.0, 1.0]);
        assert_eq!(chances(&[7.0; 4], 0.3), [0.25; 4]);
        assert_eq!(chances(&[f32::NAN, 1.0], 0.5), [0.25, 0.75]);
        assert_eq!(chances(&[f32::NAN; 2], 0.1), [0.5; 2]);
        assert!(chances(&[], 0.1).is_empty());
    }

    #[test]
    fn each_is_drawn_as_often_as_its_chance_says() {
        let chances = chances(&[0.3, 0.8, 0.8, 0.1, 0.2], 0.25);
        let mut counts = [0u32; 5];
        let draws = 100_000u64;
        for n in 0..draws {
            counts[drawn(&chances, freshet_schema::hash::mix(7, &[n])).expect("there are arms")] += 1;
        }
        for (count, chance) in counts.iter().zip(&chances) {
            let share = f64::from(*count) / draws as f64;
            // Five standard deviations.
            let off = 5.0 * (chance * (1.0 - chance) / draws as f64).sqrt();
            assert!((share - chance).abs() < off, "{share} for {chance}");
        }
        assert_eq!((drawn(&[], 5), drawn(&[0.5, 0.5 - 1e-12, 0.0], u64::MAX)), (None, Some(1)));
    }

    proptest! {
        /// The width is that of the inverse, and more examples never make it larger.
        #[test]
        fn the_width_is_that_of_the_inverse(
            examples in prop::collection::vec((any::<[i8; 3]>(), 0i64..11), 1..30),
            at in any::<[i8; 3]>(),
        ) {
            let examples: Vec<([i16; 3], i64)> =
                examples.iter().map(|(x, y)| (x.map(|x| i16::from(x) / 8), *y)).collect();
            let x = real(&at.map(|x| i16::from(x) / 8));
            let all = arm(&examples).expect("examples");
            // A z = x, by Gauss and Jordan.
            let mut a = [[0.0f64; 4]; 3];
            for i in 0..3 {
                for j in 0..3 {
                    a[i][j] = f64::from(u8::from(i == j)) * PRIOR;
                    for (other, _) in &examples {
                        let other = real(other).map(f64::from);
                        a[i][j] += other[i] * other[j];
                    }
                }
                a[i][3] = f64::from(x[i]);
            }
            for i in 0..3 {
                let pivot = a[i];
                for (_, row) in a.iter_mut().enumerate().filter(|(n, _)| *n != i) {
                    let factor = row[i] / pivot[i];
                    row.iter_mut().zip(pivot).for_each(|(entry, pivot)| *entry -= factor * pivot);
                }
            }
            let squared: f64 = (0..3).map(|i| f64::from(x[i]) * a[i][3] / a[i][i]).sum();
            prop_assert!((f64::from(all.width(&x)) - squared.max(0.0).sqrt()).abs() < 2e-3, "{squared}");
            if let Some(fewer) = arm(&examples[1..]) {
                prop_assert!(all.width(&x) <= fewer.width(&x) + 1e-3);
            }
            prop_assert!(all.width(&x) <= unseen(&x) + 1e-4);
        }

        #[test]
        fn chances_add_up_and_none_is_left_out(
            worth in prop::collection::vec(prop_oneof![Just(f32::NAN), -2.0f32..2.0, Just(1.0)], 1..40),
            epsilon in 0.001f64..1.0,
            lot in any::<u64>(),
        ) {
            let chances = chances(&worth, epsilon);
            prop_assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(chances.iter().all(|chance| *chance >= epsilon / worth.len() as f64 && *chance < 1.0 + 1e-9));
            let arm = drawn(&chances, lot).expect("there are arms");
            prop_assert!(chances[arm] > 0.0);
        }
    }
}
