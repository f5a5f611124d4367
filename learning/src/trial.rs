//! What an experiment says: means, the difference of two arms with an interval that may be looked at at any time, and whether the arms
//! have the users that they should have. Pure functions of counts and sums.
//!
//! Whoever looks at an ordinary 95 % interval again and again and stops at the first that leaves zero out errs far more often than in
//! one of twenty cases (Johari, Pekelis and Walsh 2015). So the intervals here are asymptotic confidence sequences with a normal
//! mixture (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
//! sequences", 2021, theorem 2.2): the chance that they ever miss the true value, over all numbers of users, is about alpha.

/// Users, the mean of their numbers and their variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Users who have the number.
    pub users: u64,
    /// Mean over them; 0 without any.
    pub mean: f64,
    /// Unbiased variance; 0 with fewer than two.
    pub variance: f64,
}

impl Sample {
    /// From whole sums: of the numbers, and of their squares.
    #[must_use]
    pub fn of(users: u64, sum: i64, squares: u128) -> Self {
        if users == 0 {
            return Self::default();
        }
        let n = users as f64;
        let mean = sum as f64 / n;
        // n x squares - sum^2 in whole numbers: in floats the difference of two large numbers would be mostly rounding.
        let square = u128::from(sum.unsigned_abs()).pow(2);
        let spread = match u128::from(users).checked_mul(squares) {
            Some(product) => product.saturating_sub(square) as f64,
            None => (n * squares as f64 - square as f64).max(0.0),
        };
        let variance = if users > 1 { spread / n / (n - 1.0) } else { 0.0 };
        Self { users, mean, variance }
    }
}

/// A value with the interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether it leaves zero out.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The difference of the means of `arm` and `control`, with a confidence sequence at `alpha`; narrowest where both have
/// `tuned_for` users together. `None` where an arm has fewer than two users.
///
/// With t users in both arms, s^2 = t (variance/users of the one + of the other) estimates the variance of the efficient estimator of
/// a randomised difference (the paper's section 4, with each arm's mean as the regression), and the interval is
///
/// ```text
/// difference +- s sqrt( 2 (t r^2 + 1) / (t^2 r^2) x ln( sqrt(t r^2 + 1) / alpha ) ),
/// r^2 = (-2 ln alpha + ln(-2 ln alpha + 1)) / tuned_for
/// ```
#[must_use]
pub fn difference(control: &Sample, arm: &Sample, alpha: f64, tuned_for: f64) -> Option<Interval> {
    if control.users < 2 || arm.users < 2 {
        return None;
    }
    let value = arm.mean - control.mean;
    let squared = arm.variance / arm.users as f64 + control.variance / control.users as f64;
    let half = squared.sqrt() * boundary((control.users + arm.users) as f64, alpha, tuned_for);
    Some(Interval { value, low: value - half, high: value + half })
}

/// Half the width of a confidence sequence after `t` observations, in standard errors; 1.96 would be that of a 95 % interval for
/// who looks once.
#[must_use]
pub fn boundary(t: f64, alpha: f64, tuned_for: f64) -> f64 {
    let odds = -2.0 * alpha.ln();
    let mixed = t * (odds + (odds + 1.0).ln()) / tuned_for;
    (2.0 * (mixed + 1.0) / mixed * ((mixed + 1.0).sqrt() / alpha).ln()).sqrt()
}

/// Pearson's chi-squared of how users fell to arms against the shares that they should have, and the value that it exceeds in one of
/// a thousand experiments in which all is well. A mismatch says that users get lost on the way: nothing else in the experiment can
/// be trusted (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio {
    /// Chi-squared, with one degree of freedom less than there are arms.
    pub chi_squared: f64,
    /// Its 99.9 % quantile.
    pub critical: f64,
}

/// 99.9 % quantiles of chi-squared with 1 to 7 degrees of freedom (NIST/SEMATECH e-Handbook, table 1.3.6.7.4).
const CRITICAL: [f64; 7] = [10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322];

impl SampleRatio {
    /// Of each arm its users and its share. `None` without users, with fewer than two arms or with more than eight.
    #[must_use]
    pub fn of(arms: &[(u64, f64)]) -> Option<Self> {
        let critical = *CRITICAL.get(arms.len().checked_sub(2)?)?;
        let users: u64 = arms.iter().map(|(users, _)| users).sum();
        let shares: f64 = arms.iter().map(|(_, share)| share).sum();
        let term = |(met, share): &(u64, f64)| {
            let expected = users as f64 * share / shares;
            (*met as f64 - expected).powi(2) / expected
        };
        (users > 0).then(|| Self { chi_squared: arms.iter().map(term).sum(), critical })
    }

    /// Whether users are missing somewhere.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        self.chi_squared > self.critical
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::hash;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sample(numbers: &[i64]) -> Sample {
        let squares = numbers.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum();
        Sample::of(numbers.len() as u64, numbers.iter().sum(), squares)
    }

    #[test]
    fn samples_by_hand() {
        assert_eq!(sample(&[2, 4, 9]), Sample { users: 3, mean: 5.0, variance: 13.0 });
        assert_eq!(sample(&[7]), Sample { users: 1, mean: 7.0, variance: 0.0 });
        assert_eq!(sample(&[]), Sample::default());
        // Floats would lose the variance of large numbers that are nearly alike.
        let large = 1_000_000_000_000;
        assert!((sample(&[large, large + 2]).variance - 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_interval_by_hand() {
        let (control, arm) = (sample(&[1, 2, 3, 4]), sample(&[5, 7]));
        let interval = difference(&control, &arm, 0.05, 6.0).expect("enough");
        // t = tuned_for: t r^2 = 5.99146 + ln 6.99146 = 7.93614; sqrt(2 x 8.93614/7.93614 x ln(2.98934/0.05)) = 3.03516.
        assert!((boundary(6.0, 0.05, 6.0) - 3.03516).abs() < 1e-4, "{}", boundary(6.0, 0.05, 6.0));
        let half = (5.0f64 / 3.0 / 4.0 + 2.0 / 2.0).sqrt() * 3.03516;
        assert!((interval.value - 3.5).abs() < 1e-12);
        assert!((interval.high - 3.5 - half).abs() < 1e-3 && (3.5 - interval.low - half).abs() < 1e-3);
        assert!(!interval.excludes_zero());
        assert_eq!(difference(&sample(&[1]), &arm, 0.05, 6.0), None);
    }

    #[test]
    fn whoever_looks_always_errs_seldom() {
        // Two arms alike: each of 400 experiments is looked at after each 20 users, up to 4,000.
        let (mut wrong, mut naive) = (0, 0);
        for experiment in 0..400u64 {
            let (mut sums, mut left, mut left_naive) = ([(0u64, 0i64, 0u128); 2], false, false);
            for user in 0..4_000u64 {
                let draw = hash::mix(experiment, &[user]);
                let (arm, number) = ((draw & 1) as usize, i64::from(draw >> 33 < 1 << 29) * 100);
                let (users, sum, squares) = &mut sums[arm];
                (*users, *sum, *squares) = (*users + 1, *sum + number, *squares + (number * number) as u128);
                if user >= 200 && user % 20 == 0 {
                    let [a, b] = sums.map(|(users, sum, squares)| Sample::of(users, sum, squares));
                    left |= difference(&a, &b, 0.05, 400.0).is_some_and(|interval| interval.excludes_zero());
                    let error = (a.variance / a.users as f64 + b.variance / b.users as f64).sqrt();
                    left_naive |= (a.mean - b.mean).abs() > 1.96 * error;
                }
            }
            wrong += usize::from(left);
            naive += usize::from(left_naive);
        }
        assert!(wrong <= 20, "{wrong} of 400 at a stated rate of 5 %");
        assert!(naive > 80, "{naive}: an ordinary interval would have misled far more often");
    }

    #[test]
    fn a_sample_ratio_by_hand() {
        let even = SampleRatio::of(&[(510, 0.5), (490, 0.5)]).expect("users");
        assert!((even.chi_squared - 0.4).abs() < 1e-9 && !even.is_mismatch());
        let lost = SampleRatio::of(&[(600, 0.5), (490, 0.5)]).expect("users");
        assert!(lost.is_mismatch(), "{lost:?}");
        let three = SampleRatio::of(&[(50, 0.5), (25, 0.25), (25, 0.25)]).expect("users");
        assert_eq!((three.chi_squared, three.critical), (0.0, 13.816));
        assert_eq!(SampleRatio::of(&[(5, 1.0)]), None);
        assert_eq!(SampleRatio::of(&[(0, 0.5), (0, 0.5)]), None);
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_value_and_turns_with_its_arms(
            a in vec(-1_000i64..1_000, 2..40), b in vec(-1_000i64..1_000, 2..40), alpha in 0.001..0.5f64,
        ) {
            let (a, b) = (sample(&a), sample(&b));
            let one = difference(&a, &b, alpha, 100.0).expect("two of each");
            let other = difference(&b, &a, alpha, 100.0).expect("two of each");
            prop_assert!(one.low <= one.value && one.value <= one.high);
            prop_assert!((one.low + other.high).abs() < 1e-6 && (one.high + other.low).abs() < 1e-6);
            let surer = difference(&a, &b, alpha / 2.0, 100.0).expect("two of each");
            prop_assert!(surer.high >= one.high);
            // Wider than for who looks once: a normal deviate of 1.96 at 0.05.
            prop_assert!(boundary(100.0, 0.05, 100.0) > 1.96);
        }
    }
}
