//! How good predicted watch times are: pure functions.

use freshet_schema::hash;

use super::by_user::Numbered;

/// A predicted and a real watch time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// The user's number, from 0.
    pub user: u32,
    /// What was predicted.
    pub predicted: f32,
    /// What was watched.
    pub actual: u64,
}

impl Numbered for Watched {
    fn user(&self) -> u32 {
        self.user
    }
}

/// Pairs that [`xauc`] looks at.
pub const PAIRS: u64 = 2_000_000;

/// XAUC (Zhan et al. 2022): of pairs of impressions with different watch times, the share whose predictions are in the same
/// order; equal predictions count one half. Over all pairs where there are no more than `pairs`, else over so many drawn ones:
/// the draws are hashes of the seed, and an impression drawn with itself, or one with an equal watch time, is left out. `None`
/// where no pair differs.
#[must_use]
pub fn xauc(watched: &[Watched], pairs: u64, seed: u64) -> Option<f64> {
    let n = watched.len() as u64;
    let (mut twice, mut counted) = (0u64, 0u64);
    let mut look = |a: &Watched, b: &Watched| {
        let (low, high) = if a.actual < b.actual { (a, b) } else { (b, a) };
        if low.actual < high.actual {
            counted += 1;
            twice +=
                1 + u64::from(low.predicted < high.predicted) - u64::from(low.predicted > high.predicted);
        }
    };
    if n.saturating_mul(n.saturating_sub(1)) / 2 <= pairs {
        for (at, a) in watched.iter().enumerate() {
            watched[at + 1..].iter().for_each(|b| look(a, b));
        }
    } else {
        let draw = |pair: u64, which: u64| {
            let draw = u128::from(hash::mix(seed, &[pair, which])) * u128::from(n);
            &watched[(draw >> 64) as usize]
        };
        (0..pairs).for_each(|pair| look(draw(pair, 0), draw(pair, 1)));
    }
    (counted > 0).then(|| twice as f64 / (2 * counted) as f64)
}

/// The absolute error of a prediction in seconds.
#[must_use]
pub fn error_seconds(watched: &Watched) -> f64 {
    (f64::from(watched.predicted) - watched.actual as f64).abs() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(predicted: f32, actual: u64) -> Watched {
        Watched { user: 0, predicted, actual }
    }

    #[test]
    fn pairs_by_hand() {
        // 1<2 right, 1<3 right, 2<3 wrong; the two of 3 do not differ.
        let of = [watched(10.0, 1), watched(30.0, 2), watched(20.0, 3), watched(20.0, 3)];
        // (1,2) right; (1,3) right twice; (2,3) wrong twice.
        assert_eq!(xauc(&of, 100, 1), Some(3.0 / 5.0));
        assert_eq!(xauc(&[watched(5.0, 1), watched(5.0, 2)], 100, 1), Some(0.5), "a constant knows nothing");
        assert_eq!(xauc(&[watched(5.0, 1), watched(6.0, 1)], 100, 1), None);
        assert_eq!(xauc(&[], 100, 1), None);
    }

    #[test]
    fn drawn_pairs_come_near_all_pairs() {
        let of: Vec<Watched> = (0..600)
            .map(|n| {
                let actual = hash::mix(1, &[n]) % 1_000;
                watched((actual + hash::mix(2, &[n]) % 1_000) as f32, actual)
            })
            .collect();
        let all = xauc(&of, u64::MAX, 1).expect("pairs");
        let drawn = xauc(&of, 100_000, 1).expect("pairs");
        assert!(all > 0.6 && all < 0.9, "{all}");
        assert!((all - drawn).abs() < 0.005, "{all} {drawn}");
        assert_eq!(xauc(&of, 100_000, 1), Some(drawn), "seeded");
        assert_ne!(xauc(&of, 100_000, 2), Some(drawn));
    }

    #[test]
    fn errors_are_in_seconds() {
        assert_eq!(error_seconds(&watched(2_500.0, 1_000)), 1.5);
        assert_eq!(error_seconds(&watched(0.0, 1_000)), 1.0);
    }
}
