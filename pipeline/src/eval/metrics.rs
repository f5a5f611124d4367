//! Accuracy of one list for one target: pure functions of the target's rank.
//!
//! There is one relevant video a list, so the ideal discounted gain is 1 and the recall at K is the hit rate at K.

/// The target's rank among scored candidates, from 1: `1 + #greater + 0.5 x #equal`, so that a scorer that says the same of
/// all gets no credit. `None` where the target is no candidate.
#[must_use]
pub fn mid_rank(scored: &[(u64, u64)], target: u64) -> Option<f64> {
    let own = scored.iter().find(|(video, _)| *video == target)?.1;
    let greater = scored.iter().filter(|(_, score)| *score > own).count();
    let equal = scored.iter().filter(|(video, score)| *score == own && *video != target).count();
    Some(1.0 + greater as f64 + 0.5 * equal as f64)
}

/// The target's place in a list, from 1; `None` where it is not in it.
#[must_use]
pub fn place(list: &[u64], target: u64) -> Option<f64> {
    list.iter().position(|video| *video == target).map(|at| (at + 1) as f64)
}

/// HR@k: 1 where the rank is `k` or better, else 0.
#[must_use]
pub fn hit(rank: Option<f64>, k: usize) -> f64 {
    if rank.is_some_and(|rank| rank <= k as f64) { 1.0 } else { 0.0 }
}

/// NDCG@k: `1 / log2(1 + rank)` where the rank is `k` or better, else 0.
#[must_use]
pub fn ndcg(rank: Option<f64>, k: usize) -> f64 {
    rank.filter(|rank| *rank <= k as f64).map_or(0.0, |rank| 1.0 / (1.0 + rank).log2())
}

/// Reciprocal rank: `1 / rank` within a list of `length`, 0 beyond it.
#[must_use]
pub fn reciprocal(rank: Option<f64>, length: usize) -> f64 {
    rank.filter(|rank| *rank <= length as f64).map_or(0.0, |rank| 1.0 / rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_the_middle_rank() {
        let scored = [(1, 9), (2, 5), (3, 5), (4, 5), (5, 1)];
        assert_eq!(mid_rank(&scored, 1), Some(1.0));
        // One is greater, two are equal: 1 + 1 + 1.
        for video in [2, 3, 4] {
            assert_eq!(mid_rank(&scored, video), Some(3.0));
        }
        assert_eq!(mid_rank(&scored, 5), Some(5.0));
        assert_eq!(mid_rank(&scored, 6), None);
        assert_eq!(mid_rank(&[(1, 0), (2, 0)], 2), Some(1.5));
    }

    #[test]
    fn a_place_counts_from_one() {
        assert_eq!(place(&[7, 8, 9], 7), Some(1.0));
        assert_eq!(place(&[7, 8, 9], 9), Some(3.0));
        assert_eq!(place(&[7, 8, 9], 1), None);
    }

    #[test]
    fn values_by_hand() {
        assert_eq!([hit(Some(10.0), 10), hit(Some(10.5), 10), hit(None, 10)], [1.0, 0.0, 0.0]);
        // log2(2) = 1, log2(4) = 2, log2(8) = 3.
        assert_eq!(ndcg(Some(1.0), 10), 1.0);
        assert_eq!(ndcg(Some(3.0), 10), 0.5);
        assert!((ndcg(Some(7.0), 10) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!([ndcg(Some(11.0), 10), ndcg(None, 10)], [0.0, 0.0]);
        assert_eq!(reciprocal(Some(4.0), 100), 0.25);
        assert_eq!(reciprocal(Some(2.5), 100), 0.4);
        assert_eq!([reciprocal(Some(101.0), 100), reciprocal(None, 100)], [0.0, 0.0]);
    }
}
