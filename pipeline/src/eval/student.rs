//! Means over runs with their intervals (Student 1908, "The probable error of a mean").
//!
//! Each run is a world of its own, drawn from another seed, so what differs from run to run is all that chance does to a figure: which users and videos there
//! are, who comes when, and what is drawn for them. Intervals over the users of one world ([`super::bootstrap`]) leave most of that out. Runs are few,
//! so the interval is Student's: the standard error comes of them as well.

/// A figure over runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverRuns {
    /// Runs in which it is defined, at least 1.
    pub runs: usize,
    /// Its mean over them.
    pub mean: f64,
    /// The ends of the mean's 95 % interval; `None` of one run, which does not tell how much runs differ.
    pub interval: Option<(f64, f64)>,
}

/// The mean of a figure over the runs in which it is defined; `None` where there is none.
#[must_use]
pub fn over_runs(values: &[Option<f64>]) -> Option<OverRuns> {
    let defined: Vec<f64> = values.iter().copied().flatten().collect();
    let runs = defined.len();
    let mean = defined.iter().sum::<f64>() / runs as f64;
    let interval = || {
        let freedom = runs.checked_sub(1).filter(|freedom| *freedom > 0)?;
        let squares: f64 = defined.iter().map(|value| (value - mean).powi(2)).sum();
        let half = quantile(freedom) * (squares / freedom as f64 / runs as f64).sqrt();
        Some((mean - half, mean + half))
    };
    (runs > 0).then(|| OverRuns { runs, mean, interval: interval() })
}

/// How much larger a figure is than another of the same runs, run by run, over those in which both are defined. What is particular to a world is in both
/// and falls out, so this interval is mostly narrower than those of the two figures let expect.
#[must_use]
pub fn paired(values: &[Option<f64>], than: &[Option<f64>]) -> Option<OverRuns> {
    let differences: Vec<Option<f64>> =
        values.iter().zip(than).map(|(value, than)| Some((*value)? - (*than)?)).collect();
    over_runs(&differences)
}

/// 97.5 % quantiles of Student's t with 1 to 9 degrees of freedom (NIST/SEMATECH e-Handbook, table 1.3.6.7.2, with more digits).
const QUANTILES: [f64; 9] =
    [12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157];
/// The same of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// The 97.5 % quantile of Student's t with so many degrees of freedom, at least 1: from the table, above it from the expansion around the normal quantile
/// (Abramowitz and Stegun 1964, 26.7.5), which is at most 0.0002 too small there.
fn quantile(freedom: usize) -> f64 {
    if let Some(quantile) = QUANTILES.get(freedom - 1) {
        return *quantile;
    }
    let (n, z) = (freedom as f64, NORMAL);
    z + (z.powi(3) + z) / (4.0 * n)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_printed_tables() {
        // NIST/SEMATECH e-Handbook, table 1.3.6.7.2, column 0.975.
        let printed = [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (9, 2.262),
            (10, 2.228),
            (11, 2.201),
            (15, 2.131),
            (20, 2.086),
            (30, 2.042),
            (50, 2.009),
            (100, 1.984),
        ];
        for (freedom, expected) in printed {
            assert!((quantile(freedom) - expected).abs() < 0.0007, "{freedom}: {}", quantile(freedom));
        }
        assert!((1..2_000).all(|n| quantile(n) > quantile(n + 1) && quantile(n) > NORMAL));
    }

    #[test]
    fn an_interval_is_that_of_students_own_example() {
        // Hours of sleep gained by ten patients on each of two drugs: the second brings 1.58 more, 95 % interval 0.70 to 2.46 (R, `t.test` of `sleep`,
        // paired), and the first alone 0.75, -0.53 to 2.03.
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0].map(Some);
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4].map(Some);
        let is = |found: Option<OverRuns>, [mean, low, high]: [f64; 3]| {
            let found = found.expect("ten runs");
            let (from, to) = found.interval.expect("more than one run");
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            assert!(found.runs == 10 && near(found.mean, mean), "{found:?}");
            assert!(near(from, low) && near(to, high), "{found:?}");
        };
        is(paired(&second, &first), [1.58, 0.700_114_2, 2.459_885_8]);
        is(over_runs(&first), [0.75, -0.529_780_4, 2.029_780_4]);
    }

    #[test]
    fn a_run_without_the_figure_is_left_out() {
        let values = [Some(1.0), None, Some(3.0), Some(5.0)];
        assert_eq!(over_runs(&values).map(|over| (over.runs, over.mean)), Some((3, 3.0)));
        let than = [None, Some(9.0), Some(2.0), Some(2.0)];
        assert_eq!(paired(&values, &than).map(|over| (over.runs, over.mean)), Some((2, 2.0)));
        assert_eq!(over_runs(&[None, Some(4.0)]), Some(OverRuns { runs: 1, mean: 4.0, interval: None }));
        assert_eq!((over_runs(&[None]), paired(&values, &[None; 4])), (None, None));
        assert_eq!(over_runs(&[Some(2.0); 3]).and_then(|over| over.interval), Some((2.0, 2.0)));
    }
}
