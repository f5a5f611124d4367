//! How well each user's own impressions are ordered: pure functions of one user's scores and labels.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::binary::{self, Case};

/// What a user adds to a figure: how much it counts, and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The user's number.
    pub user: u32,
    /// How much the value counts: impressions, or 1.
    pub count: f64,
    /// The value.
    pub value: f64,
}

/// Mean of the shares, each user's weighted by how often a resample holds them. `None` where nothing counts.
#[must_use]
pub fn mean(shares: &[Share], weights: &[u32]) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for share in shares {
        let weight = f64::from(weights[share.user as usize]) * share.count;
        sum += weight * share.value;
        count += weight;
    }
    (count > 0.0).then(|| sum / count)
}

/// The cases of each user, in the order of their numbers.
fn grouped(cases: &[Case]) -> Vec<(u32, Vec<(f32, bool)>)> {
    let mut sorted: Vec<Case> = cases.to_vec();
    sorted.sort_by_key(|case| case.user);
    let same = sorted.chunk_by(|a, b| a.user == b.user);
    same.map(|own| (own[0].user, own.iter().map(|case| (case.score, case.label)).collect())).collect()
}

/// Each user's mean of a value over the impressions, counted by them: [`mean`] of it is the mean over all impressions.
#[must_use]
pub fn means<T: Numbered>(cases: &[T], of: impl Fn(&T) -> f64) -> Vec<Share> {
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for case in cases {
        let (sum, count) = sums.entry(case.user()).or_default();
        *sum += of(case);
        *count += 1.0;
    }
    sums.into_iter().map(|(user, (sum, count))| Share { user, count, value: sum / count }).collect()
}

/// Something of a user.
pub trait Numbered {
    /// The user's number.
    fn user(&self) -> u32;
}

impl Numbered for Case {
    fn user(&self) -> u32 {
        self.user
    }
}

/// Each user's AUC, counted by impressions; users with one class only have none (GAUC, Zhou et al. 2018). [`mean`] of it is
/// the GAUC.
#[must_use]
pub fn aucs(cases: &[Case]) -> Vec<Share> {
    let share = |(user, own): (u32, Vec<(f32, bool)>)| {
        let count = own.len() as f64;
        Some(Share { user, count, value: binary::auc(own)? })
    };
    grouped(cases).into_iter().filter_map(share).collect()
}

/// Each user's [`ndcg`] at `k`; each user counts once, and one without a positive counts 0.
#[must_use]
pub fn ndcgs(cases: &[Case], k: usize) -> Vec<Share> {
    let share = |(user, own)| Share { user, count: 1.0, value: ndcg(own, k) };
    grouped(cases).into_iter().map(share).collect()
}

/// NDCG@k with gains of 0 and 1. Equal scores share the mean of the discounts of their places (McSherry and Najork 2008): what
/// a random order of them would get on average, so that no credit depends on how ties are broken. 0 without a positive.
#[must_use]
pub fn ndcg(mut cases: Vec<(f32, bool)>, k: usize) -> f64 {
    let discount = |place: usize| if place < k { 1.0 / (place as f64 + 2.0).log2() } else { 0.0 };
    cases.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = cases.iter().filter(|(_, label)| *label).count();
    let ideal: f64 = (0..positives).map(discount).sum();
    let (mut gain, mut place) = (0.0, 0);
    for tied in cases.chunk_by(|a, b| a.0 == b.0) {
        if place >= k {
            break;
        }
        let discounts: f64 = (place..place + tied.len()).map(discount).sum();
        let yes = tied.iter().filter(|(_, label)| *label).count();
        gain += discounts * yes as f64 / tied.len() as f64;
        place += tied.len();
    }
    if ideal > 0.0 { gain / ideal } else { 0.0 }
}

/// Whether each case is its user's top choice, the highest score: 1, or an even share where several are equal, else 0.
#[must_use]
pub fn chosen(cases: &[Case]) -> Vec<f64> {
    let mut best: BTreeMap<u32, (f32, u32)> = BTreeMap::new();
    for case in cases {
        let (score, tied) = best.entry(case.user).or_insert((case.score, 0));
        match case.score.total_cmp(score) {
            Ordering::Greater => (*score, *tied) = (case.score, 1),
            Ordering::Equal => *tied += 1,
            Ordering::Less => {}
        }
    }
    let share = |case: &Case| match best.get(&case.user) {
        Some((score, tied)) if case.score.total_cmp(score).is_eq() => 1.0 / f64::from(*tied),
        _ => 0.0,
    };
    cases.iter().map(share).collect()
}

/// Each user's mean reward of the top choice; each user counts once.
#[must_use]
pub fn top_choices(cases: &[Case]) -> Vec<Share> {
    let mut rewards: BTreeMap<u32, f64> = BTreeMap::new();
    for (case, chosen) in cases.iter().zip(chosen(cases)) {
        *rewards.entry(case.user).or_default() += if case.label { chosen } else { 0.0 };
    }
    rewards.into_iter().map(|(user, value)| Share { user, count: 1.0, value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(user: u32, score: f32, label: bool) -> Case {
        Case { user, score, label }
    }

    #[test]
    fn gauc_is_weighted_by_impressions_and_leaves_out_one_class() {
        let cases = [
            case(0, 0.9, true),
            case(0, 0.1, false),
            case(1, 0.2, true),
            case(1, 0.3, false),
            case(1, 0.4, false),
            case(1, 0.1, false),
            case(2, 0.7, true),
        ];
        let shares = aucs(&cases);
        assert_eq!(shares.len(), 2, "user 2 has no negative");
        // 1 over two impressions, 1/3 over four.
        assert!((mean(&shares, &[1, 1, 1]).expect("users") - (2.0 + 4.0 / 3.0) / 6.0).abs() < 1e-12);
        assert!((mean(&shares, &[2, 1, 0]).expect("users") - (4.0 + 4.0 / 3.0) / 8.0).abs() < 1e-12);
        assert_eq!(mean(&shares, &[0, 0, 5]), None);
    }

    #[test]
    fn means_over_impressions_are_kept_by_user() {
        let shares =
            means(&[case(3, 1.0, true), case(0, 4.0, true), case(3, 2.0, true)], |c| f64::from(c.score));
        let share = |user, count, value| Share { user, count, value };
        assert_eq!(shares, [share(0, 1.0, 4.0), share(3, 2.0, 1.5)]);
        assert!((mean(&shares, &[1, 0, 0, 1]).expect("users") - 7.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn ndcg_by_hand() {
        // Positives on places 1 and 3: 1 + 1/2, of 1 + 1/log2(3).
        let value = ndcg(vec![(0.9, true), (0.5, false), (0.4, true)], 5);
        assert!((value - 1.5 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-12);
        assert_eq!(ndcg(vec![(0.9, true), (0.1, false)], 5), 1.0);
        assert_eq!(ndcg(vec![(0.9, false)], 5), 0.0, "no positive");
        // Beyond k there is nothing.
        assert_eq!(ndcg(vec![(0.9, false), (0.8, false), (0.7, true)], 2), 0.0);
    }

    #[test]
    fn ties_get_what_a_random_order_would() {
        // One positive of two: (1 + 1/log2(3)) / 2.
        let tied = ndcg(vec![(0.5, false), (0.5, true)], 5);
        assert!((tied - (1.0 + 1.0 / 3f64.log2()) / 2.0).abs() < 1e-12);
        assert_eq!(tied, ndcg(vec![(0.5, true), (0.5, false)], 5));
        // A constant over nine positives is ideal all the same, and never better.
        assert!((ndcg(vec![(0.5, true); 9], 5) - 1.0).abs() < 1e-12);
        // Over ten places of which five count, one positive: the mean discount.
        let mut ten = vec![(0.5, false); 9];
        ten.push((0.5, true));
        let mean: f64 = (0..5).map(|place| 1.0 / (f64::from(place) + 2.0).log2()).sum::<f64>() / 10.0;
        assert!((ndcg(ten, 5) - mean).abs() < 1e-12);
    }

    #[test]
    fn a_user_without_a_positive_counts_nothing_and_counts() {
        let shares = ndcgs(&[case(0, 0.5, false), case(1, 0.5, true)], 5);
        assert_eq!(mean(&shares, &[1, 1]), Some(0.5));
    }

    #[test]
    fn the_top_choice_is_the_mean_of_the_best() {
        let cases = [
            case(0, 0.9, true),
            case(0, 0.1, false),
            case(1, 0.5, true),
            case(1, 0.5, false),
            case(1, 0.4, true),
        ];
        let shares = top_choices(&cases);
        assert_eq!(shares.iter().map(|share| share.value).collect::<Vec<_>>(), [1.0, 0.5]);
        assert_eq!(chosen(&cases), [1.0, 0.0, 0.5, 0.5, 0.0]);
    }
}
