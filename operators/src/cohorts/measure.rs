//! How a stage did: seed 004's 6.1 over the cohort's sums, in whole numbers.
//!
//! `.4 watch/baseline + .4 completion/baseline - .2 skip/baseline` with the weights of `score.performance_weights`, divided by
//! what a video at its baseline has (0.6 with these), so that 1 is the baseline, as it is for [`crate::score::quality`], and the
//! seed's threshold of 1.2 means a fifth better. Undivided, 1.2 would ask of a cohort to watch twice as much as is usual and to skip
//! nothing. Each ratio is shrunk toward 1 by adding `score.shrinkage_views` rows of the baseline; a baseline of zero compares
//! with nothing and gives 1. Ratios and the performance are in millionths.

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::params::Score;
use crate::score::Rates;

/// One, in the unit of ratios.
pub const MILLION: i64 = 1_000_000;

/// Averages in per mille: watched part, share watched to the end, share skipped fast.
pub type Averages = [i64; 3];

/// What a stage is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Of the cohort, in per mille.
    pub own: Averages,
    /// Of the video's category and duration class, as published last, in per mille.
    pub baseline: Averages,
    /// Each as a multiple of its baseline, shrunk, in millionths.
    pub ratios: [i64; 3],
    /// The weighted sum as a multiple of the baseline's, in millionths; negative where almost everybody skips.
    pub performance: i64,
}

/// A published baseline in per mille. Published rates have three digits.
#[must_use]
pub fn baseline(rates: &Rates) -> Averages {
    [rates.watched, rates.completed, rates.skipped].map(|rate| (rate * 1000.0).round() as i64)
}

/// `a / b` to the nearest whole number, of halves the one away from zero; 0 where `b` is not positive.
fn divided(a: i64, b: i64) -> i64 {
    if b <= 0 { 0 } else { (2 * a.abs() + b) / (2 * b) * a.signum() }
}

/// Judges the sums of a cohort.
#[must_use]
pub fn measure(part: &Part, baseline: Averages, score: &Score) -> Measured {
    let counts = [part.part_known, part.part_known, part.skip_known];
    // In per mille, as the baseline is.
    let sums = [part.part, part.completed * 1000, part.skipped * 1000];
    let prior = i64::try_from(score.shrinkage_views).unwrap_or(i64::MAX).min(MILLION);
    let ratio = |n: usize| {
        let whole = (counts[n] + prior) * baseline[n];
        if whole <= 0 { MILLION } else { divided((sums[n] + prior * baseline[n]) * MILLION, whole) }
    };
    let ratios = [ratio(0), ratio(1), ratio(2)];
    let [watch, completion, skip] = score.performance_weights.map(|weight| (weight * 1000.0).round() as i64);
    // Weights that do not favour the baseline give no scale: then the sum stands as it is.
    let at_baseline = Some(watch + completion - skip).filter(|sum| *sum > 0).unwrap_or(1000);
    let performance = divided(watch * ratios[0] + completion * ratios[1] - skip * ratios[2], at_baseline);
    let own = [0, 1, 2].map(|n| divided(sums[n], counts[n]));
    Measured { own, baseline, ratios, performance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;

    fn part(rows: i64, part: i64, completed: i64, skipped: i64) -> Part {
        Part {
            watched: rows,
            part_known: rows,
            part: part * rows,
            completed,
            skip_known: rows,
            skipped,
            ..Part::default()
        }
    }

    const BASE: Averages = [500, 300, 200];

    fn of(rows: i64, watched: i64, completed: i64, skipped: i64, base: Averages) -> Measured {
        measure(&part(rows, watched, completed, skipped), base, &Params::default().score)
    }

    #[test]
    fn a_video_at_its_baseline_has_one() {
        assert_eq!(of(100, 500, 30, 20, BASE).performance, MILLION);
        assert_eq!(of(0, 0, 0, 0, BASE).performance, MILLION, "of nothing is known what the baseline says");
        assert_eq!(of(100, 500, 30, 20, BASE).own, BASE);
    }

    #[test]
    fn small_samples_are_shrunk_and_zero_baselines_compare_with_nothing() {
        // 20 rows of the baseline beside 20 rows twice as good.
        let some = of(20, 1000, 12, 0, BASE);
        assert_eq!(some.ratios, [1_500_000, 1_500_000, 500_000]);
        assert_eq!(some.performance, 1_833_333, "(.4 x 1.5 + .4 x 1.5 - .2 x .5) / .6");
        let many = of(20_000, 1000, 12_000, 0, BASE);
        assert!(many.performance > 2_650_000 && many.performance < 2_666_667, "{many:?}");
        let few = of(1, 1000, 1, 0, BASE);
        assert!(few.performance < 1_250_000, "{few:?}");
        let none = of(50, 1000, 50, 50, [0, 0, 0]);
        assert_eq!((none.ratios, none.performance), ([MILLION; 3], MILLION));
        assert!(of(1000, 0, 0, 1000, BASE).performance < 0);
    }

    #[test]
    fn halves_go_away_from_zero() {
        assert_eq!([divided(5, 2), divided(-5, 2), divided(4, 3), divided(1, 0)], [3, -3, 1, 0]);
    }
}
