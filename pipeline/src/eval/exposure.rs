//! How exposure is spread over the catalogue: pure functions of how often each video was shown.
//!
//! A video of the catalogue that was never shown has a count of 0; it is not passed, only counted in `catalogue`.

/// Share of the catalogue that was shown at least once, from 0 to 1; 0 for an empty catalogue.
#[must_use]
pub fn coverage(shown: &[u64], catalogue: usize) -> f64 {
    let shown = shown.iter().filter(|count| **count > 0).count();
    if catalogue == 0 { 0.0 } else { shown as f64 / catalogue as f64 }
}

/// Gini coefficient of the counts over the whole catalogue: 0 where all are shown alike, towards 1 where few get all.
///
/// With the counts in ascending order x(1) .. x(n): `G = sum((2i - n - 1) x(i)) / (n sum(x))`.
#[must_use]
pub fn gini(shown: &[u64], catalogue: usize) -> f64 {
    let mut counts: Vec<u64> = shown.iter().copied().filter(|count| *count > 0).collect();
    counts.sort_unstable();
    let n = catalogue.max(counts.len());
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let never = n - counts.len();
    let weighted: i128 = counts
        .iter()
        .enumerate()
        .map(|(at, count)| (2 * (never + at + 1) as i128 - n as i128 - 1) * i128::from(*count))
        .sum();
    weighted as f64 / (n as f64 * total as f64)
}

/// Shannon entropy of the shares of exposure, divided by that of an even spread over the catalogue: 1 is even, 0 is one
/// video for all.
#[must_use]
pub fn normalised_entropy(shown: &[u64], catalogue: usize) -> f64 {
    let mut counts: Vec<u64> = shown.iter().copied().filter(|count| *count > 0).collect();
    // One order, so that the sum is the same for the same counts.
    counts.sort_unstable();
    let n = catalogue.max(counts.len());
    let total: u64 = counts.iter().sum();
    if total == 0 || n < 2 {
        return 0.0;
    }
    let entropy: f64 = counts
        .iter()
        .map(|count| {
            let share = *count as f64 / total as f64;
            -share * share.ln()
        })
        .sum();
    // A single video has -1 x ln 1 = -0.
    (entropy / (n as f64).ln()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spread() {
        let shown = [5, 5, 5, 5];
        assert_eq!(coverage(&shown, 4), 1.0);
        assert_eq!(gini(&shown, 4), 0.0);
        assert!((normalised_entropy(&shown, 4) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_gets_all() {
        assert_eq!(coverage(&[7], 4), 0.25);
        // (2 x 4 - 4 - 1) x 7 / (4 x 7)
        assert_eq!(gini(&[7], 4), 0.75);
        assert_eq!(normalised_entropy(&[7], 4), 0.0);
    }

    #[test]
    fn values_by_hand() {
        // Ascending 0, 1, 1, 2: (-3 x 0 - 1 x 1 + 1 x 1 + 3 x 2) / (4 x 4) = 6/16.
        assert_eq!(gini(&[2, 1, 1], 4), 0.375);
        // Shares 1/2, 1/4, 1/4: 1.5 bits of log2(4) = 2.
        assert!((normalised_entropy(&[2, 1, 1], 4) - 0.75).abs() < 1e-12);
        assert_eq!([coverage(&[], 0), gini(&[], 0), normalised_entropy(&[], 0)], [0.0; 3]);
    }
}
