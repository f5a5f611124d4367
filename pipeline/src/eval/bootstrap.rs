//! Intervals by resampling users (Efron and Tibshirani 1993, percentile method).
//!
//! Users are drawn, not events: the events of a user hang together, and an interval over events would be too narrow. All
//! figures are computed from the same draws. The draws are hashes of the seed, so an interval is the same at each run.

use freshet_schema::hash;

/// Resamples.
pub const RESAMPLES: usize = 1_000;

/// A mean with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Sum over count.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What a user adds to each figure: sums, and how many events they are over.
#[derive(Clone, Debug, PartialEq)]
pub struct UserSums {
    /// One for each figure.
    pub sums: Vec<f64>,
    /// Events with which the figures of each group are divided.
    pub counts: Vec<u64>,
}

/// The means of all figures over the users. Figure `i` is divided by the count `i / per_count`: each count has `per_count`
/// figures. `None` where nothing was counted. A resample without any event of a figure's group says nothing of it and is
/// left out.
#[must_use]
pub fn means(users: &[UserSums], per_count: usize, resamples: usize, seed: u64) -> Vec<Option<Estimate>> {
    let Some(first) = users.first() else { return Vec::new() };
    let (figures, groups) = (first.sums.len(), first.counts.len());
    let total = add(users.iter(), figures, groups);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); figures];
    for resample in 0..resamples as u64 {
        let draws = draw(users.len(), resample, seed).map(|user| &users[user]);
        let sample = add(draws, figures, groups);
        for (figure, values) in drawn.iter_mut().enumerate() {
            values.extend(sample.mean(figure, per_count));
        }
    }
    drawn
        .into_iter()
        .enumerate()
        .map(|(figure, values)| Some(estimate(total.mean(figure, per_count)?, values)))
        .collect()
}

/// The users of a resample, by their numbers from 0: as many draws as there are users.
pub fn draw(users: usize, resample: u64, seed: u64) -> impl Iterator<Item = usize> {
    (0..users as u64).map(move |n| {
        let draw = hash::mix(seed, &[resample, n]);
        ((u128::from(draw) * users as u128) >> 64) as usize
    })
}

/// A figure with the interval that its resampled values leave; without any it is alone.
#[must_use]
pub fn estimate(value: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_unstable_by(f64::total_cmp);
    let (low, high) = interval(&resampled).unwrap_or((value, value));
    Estimate { value, low, high }
}

fn add<'a>(users: impl Iterator<Item = &'a UserSums>, figures: usize, groups: usize) -> UserSums {
    let mut total = UserSums { sums: vec![0.0; figures], counts: vec![0; groups] };
    for user in users {
        for (sum, own) in total.sums.iter_mut().zip(&user.sums) {
            *sum += own;
        }
        for (count, own) in total.counts.iter_mut().zip(&user.counts) {
            *count += own;
        }
    }
    total
}

impl UserSums {
    fn mean(&self, figure: usize, per_count: usize) -> Option<f64> {
        let count = self.counts[figure / per_count];
        (count > 0).then(|| self.sums[figure] / count as f64)
    }
}

/// The 2.5th and 97.5th percentile of sorted values, by the nearest rank.
fn interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
    };
    Some((at(0.025)?, at(0.975)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(sum: f64, count: u64) -> UserSums {
        UserSums { sums: vec![sum], counts: vec![count] }
    }

    #[test]
    fn a_mean_is_over_events_and_the_interval_over_users() {
        let users = [user(1.0, 1), user(0.0, 3)];
        let estimate = means(&users, 1, 2_000, 1)[0].expect("counted");
        assert_eq!(estimate.value, 0.25);
        // A resample holds the first user twice (1), once (1/4) or not at all (0), each often enough.
        assert_eq!((estimate.low, estimate.high), (0.0, 1.0));
    }

    #[test]
    fn users_who_are_all_alike_leave_no_doubt() {
        let users = vec![user(1.0, 2); 20];
        assert_eq!(means(&users, 1, 100, 1), [Some(Estimate { value: 0.5, low: 0.5, high: 0.5 })]);
    }

    #[test]
    fn the_interval_is_as_wide_as_theory_says() {
        // 400 users, half of them with a hit: standard error sqrt(0.25 / 400) = 0.025, so 0.5 +- 0.049.
        let users: Vec<_> = (0..400).map(|n| user(f64::from(n % 2), 1)).collect();
        let estimate = means(&users, 1, RESAMPLES, 3)[0].expect("counted");
        assert_eq!(estimate.value, 0.5);
        assert!((estimate.low - 0.451).abs() < 0.008, "{estimate:?}");
        assert!((estimate.high - 0.549).abs() < 0.008, "{estimate:?}");
        assert_eq!(means(&users, 1, RESAMPLES, 3)[0], Some(estimate), "seeded");
        assert_ne!(means(&users, 1, RESAMPLES, 4)[0], Some(estimate));
    }

    #[test]
    fn figures_share_a_count_and_an_empty_group_has_no_mean() {
        let users = [UserSums { sums: vec![1.0, 2.0, 0.0, 0.0], counts: vec![2, 0] }];
        let means = means(&users, 2, 10, 1);
        assert_eq!(means[0].map(|e| e.value), Some(0.5));
        assert_eq!(means[1].map(|e| e.value), Some(1.0));
        assert_eq!(means[2..], [None, None]);
        assert!(super::means(&[], 1, 10, 1).is_empty());
    }

    #[test]
    fn percentiles_by_the_nearest_rank() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(interval(&values), Some((25.0, 975.0)));
        assert_eq!(interval(&[4.0]), Some((4.0, 4.0)));
        assert_eq!(interval(&[]), None);
    }
}
