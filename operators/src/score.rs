//! The factors of a video's score: pure functions of sums.
//!
//! Performance is seed 004's 6.1 with the weights .4/.4/-.2: watch time and completion relative to the cohort's baseline, less
//! fast skips relative to it. A video at its baseline has 0.6, not 1; so quality is performance over that of the baseline.
//! Small samples are shrunk toward the baseline by adding so many of its average views; a baseline of zero compares with
//! nothing and gives 1. Creator scores come from engagement with the creator's videos; followers are no input here or
//! anywhere.

use freshet_schema::fixed::{LOG_BITS, exp2_q32};
use freshet_schema::signals::PER_MILLE;
use serde::{Deserialize, Serialize};

use crate::params::Score;
use crate::sums::Sums;

/// One in the unit of score parts, millionths.
pub const ONE: u32 = 1_000_000;

/// Average rates of a set of interactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Watched part, 0 to 1.
    pub watched: f64,
    /// Share watched to the end.
    pub completed: f64,
    /// Share skipped fast.
    pub skipped: f64,
    /// Engagement a view: watched part plus reactions.
    pub engagement: f64,
}

fn ratio(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Rates {
    /// To three digits: a published baseline stands still while nothing of weight happens.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |rate: f64| (rate * 1000.0).round() / 1000.0;
        Self {
            watched: round(self.watched),
            completed: round(self.completed),
            skipped: round(self.skipped),
            engagement: round(self.engagement),
        }
    }
}

/// The averages of `sums`.
#[must_use]
pub fn rates(sums: &Sums) -> Rates {
    Rates {
        watched: ratio(sums.watched, sums.watched_known * PER_MILLE as i64),
        completed: ratio(sums.completed, sums.watched_known),
        skipped: ratio(sums.skipped, sums.skip_known),
        engagement: ratio(engagement(sums), sums.views * PER_MILLE as i64),
    }
}

/// Watched parts plus reactions, in per mille; what is absent counts half a watch.
fn engagement(sums: &Sums) -> i64 {
    let absent = (sums.views - sums.watched_known) * PER_MILLE as i64 / 2;
    sums.watched
        + absent
        + 500 * (sums.likes + sums.shares - sums.dislikes)
        + 300 * (sums.comments + sums.follows)
}

/// `average` of `n` observations as a multiple of `baseline`, shrunk toward it with `prior` observations.
fn relative(average: f64, n: i64, baseline: f64, prior: u64) -> f64 {
    if baseline <= 0.0 {
        return 1.0;
    }
    let (n, prior) = (n.max(0) as f64, prior as f64);
    if n + prior == 0.0 {
        return 1.0;
    }
    (average * n + baseline * prior) / (n + prior) / baseline
}

/// Performance of a video against its cohort's `baseline`: 1 is the baseline itself. In millionths, between 0.05 and 4.
#[must_use]
pub fn quality(sums: &Sums, baseline: &Rates, score: &Score) -> u32 {
    let own = rates(sums);
    let prior = score.shrinkage_views;
    let [watch, complete, skip] = score.performance_weights;
    let performance = watch * relative(own.watched, sums.watched_known, baseline.watched, prior)
        + complete * relative(own.completed, sums.watched_known, baseline.completed, prior)
        - skip * relative(own.skipped, sums.skip_known, baseline.skipped, prior);
    let at_baseline = watch + complete - skip;
    if at_baseline <= 0.0 {
        return ONE;
    }
    // Thousandths: noise below that does not travel.
    ((performance / at_baseline).clamp(0.05, 4.0) * 1000.0).round() as u32 * 1000
}

/// Watched part, completed, skipped fast, played again and liked, in per mille, each shrunk with `prior` average views: of
/// the cohort where it has a baseline, and of nothing for the last two.
#[must_use]
pub fn video_rates(sums: &Sums, baseline: &Rates, prior: u64) -> [u16; 5] {
    let own = rates(sums);
    let prior = prior.max(1) as f64;
    let shrunk = |average: f64, n: i64, middle: f64| {
        let n = n.max(0) as f64;
        ((average * n + middle * prior) / (n + prior) * 1000.0).round().clamp(0.0, 1000.0) as u16
    };
    [
        shrunk(own.watched, sums.watched_known, baseline.watched),
        shrunk(own.completed, sums.watched_known, baseline.completed),
        shrunk(own.skipped, sums.skip_known, baseline.skipped),
        shrunk(ratio(sums.rewatched, sums.views), sums.views, 0.0),
        shrunk(ratio(sums.likes, sums.views), sums.views, 0.0),
    ]
}

/// Engagement with a creator's videos against that with everybody's: 1 is the average. In millionths, between 0.5 and 2.
#[must_use]
pub fn creator(sums: &Sums, everyone: &Rates, score: &Score) -> u32 {
    let own = rates(sums).engagement;
    let relative = relative(own, sums.views, everyone.engagement, score.shrinkage_views);
    (relative.clamp(0.5, 2.0) * 1000.0).round() as u32 * 1000
}

/// 2^(-age / half-life) in millionths.
#[must_use]
pub fn freshness(created_at: u64, now: u64, half_life: u64) -> u32 {
    // Beyond 64 half-lives nothing is left; the bound keeps the shift within 64 bits for half-lives up to centuries.
    let age = now.saturating_sub(created_at).min(1 << 47);
    let halves = ((age << LOG_BITS) / half_life.max(1)).min(64 << LOG_BITS);
    // 2^-x = 2^(ceil(x) - x) / 2^ceil(x), in whole numbers.
    let up = halves.div_ceil(1 << LOG_BITS);
    let fraction = (up << LOG_BITS) - halves;
    ((u128::from(exp2_q32(fraction as u32)) * u128::from(ONE)) >> (32 + up)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{DAY, Params};

    fn sums(views: i64, watched: i64, completed: i64, skipped: i64) -> Sums {
        Sums {
            views,
            watched_known: views,
            watched: watched * views,
            completed,
            skip_known: views,
            skipped,
            ..Sums::default()
        }
    }

    #[test]
    fn a_video_at_its_baseline_scores_one() {
        let score = Params::default().score;
        let base = rates(&sums(1000, 500, 300, 200));
        assert_eq!(quality(&sums(100, 500, 30, 20), &base, &score), ONE);
        assert_eq!(quality(&Sums::default(), &base, &score), ONE);
    }

    #[test]
    fn better_is_more_and_small_samples_are_shrunk() {
        let score = Params::default().score;
        let base = rates(&sums(1000, 500, 300, 200));
        let few = quality(&sums(2, 1000, 2, 0), &base, &score);
        let many = quality(&sums(2000, 1000, 2000, 0), &base, &score);
        assert!(ONE < few && few < many, "{few} {many}");
        // (.4 x 2 + .4 x 3.33 - 0) / .6 = 3.56 in the limit
        assert!((3_400_000..3_600_000).contains(&many), "{many}");
    }

    #[test]
    fn a_zero_baseline_compares_with_nothing() {
        let score = Params::default().score;
        assert_eq!(quality(&sums(10, 1000, 10, 0), &Rates::default(), &score), ONE);
    }

    #[test]
    fn freshness_halves() {
        assert_eq!(freshness(0, 0, DAY), ONE);
        assert_eq!(freshness(0, DAY, DAY), ONE / 2);
        assert_eq!(freshness(5 * DAY, DAY, DAY), ONE);
        let third = freshness(0, DAY / 3, DAY);
        assert!((third as f64 / 1e6 - 0.5f64.powf(1.0 / 3.0)).abs() < 1e-5);
        assert_eq!(freshness(0, u64::MAX, DAY), 0);
    }
}
