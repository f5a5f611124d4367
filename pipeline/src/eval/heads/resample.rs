//! Intervals over users for figures that are no means: a figure is any function of how often each user is held.
//!
//! The method and the draws are those of [`crate::eval::bootstrap`]. All figures see the same resamples, so the difference
//! of two, given as a figure of its own, has the paired interval.

use crate::eval::bootstrap::{self, Estimate};

/// The figures for these weights of the users, always in the same order; `None` where one does not exist.
pub type Figures<'a> = &'a dyn Fn(&[u32]) -> Vec<Option<f64>>;

/// The figures with their intervals. A resample in which a figure does not exist says nothing of it.
#[must_use]
pub fn estimates(users: usize, figures: Figures<'_>, resamples: usize, seed: u64) -> Vec<Option<Estimate>> {
    let values = figures(&vec![1; users]);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); values.len()];
    for resample in 0..resamples as u64 {
        let mut weights = vec![0u32; users];
        for user in bootstrap::draw(users, resample, seed) {
            weights[user] += 1;
        }
        for (own, value) in drawn.iter_mut().zip(figures(&weights)) {
            own.extend(value);
        }
    }
    values.into_iter().zip(drawn).map(|(value, drawn)| Some(bootstrap::estimate(value?, drawn))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::bootstrap::UserSums;

    #[test]
    fn a_mean_has_the_interval_of_means() {
        let values: Vec<f64> = (0..50).map(|n| f64::from(n % 4)).collect();
        let figure = |weights: &[u32]| {
            let total: u32 = weights.iter().sum();
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum();
            vec![(total > 0).then(|| sum / f64::from(total)), None]
        };
        let sums: Vec<UserSums> =
            values.iter().map(|v| UserSums { sums: vec![*v], counts: vec![1] }).collect();
        let found = estimates(50, &figure, 200, 9);
        assert_eq!(found[..1], bootstrap::means(&sums, 1, 200, 9));
        assert_eq!(found[1], None, "a figure that never is has no estimate");
    }

    #[test]
    fn a_difference_is_paired() {
        // Two figures that move together: each has a wide interval, their difference none.
        let figures = |weights: &[u32]| {
            let (a, b) = (f64::from(weights[0]) + 1.0, f64::from(weights[0]) + 0.5);
            vec![Some(a), Some(a - b)]
        };
        let found = estimates(4, &figures, 200, 3);
        let (wide, paired) = (found[0].expect("a figure"), found[1].expect("a figure"));
        assert!(wide.high > wide.low);
        assert_eq!((paired.low, paired.value, paired.high), (0.5, 0.5, 0.5));
    }
}
