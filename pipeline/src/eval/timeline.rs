//! HR@10 over event time, in bins of a fixed width.

use super::metrics::hit;
use super::outcome::Outcome;

/// Widths that people read easily: minutes, hours, days, weeks, in milliseconds.
const WIDTHS: [u64; 13] = {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    [
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        7 * DAY,
        30 * DAY,
        365 * DAY,
    ]
};
/// At most about so many bins.
const BINS: u64 = 100;

/// What was scored in a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Its beginning, in milliseconds since 1970: a multiple of the width.
    pub from: u64,
    /// Scored events.
    pub scored: u64,
    /// HR@10 by mode.
    pub hits: [f64; 2],
}

/// The bins in the order of time; one without a scored event is left out. With their width in milliseconds.
#[must_use]
pub fn bins(outcomes: &[Outcome]) -> (u64, Vec<Bin>) {
    let first = outcomes.iter().map(|outcome| outcome.time).min().unwrap_or(0);
    let last = outcomes.iter().map(|outcome| outcome.time).max().unwrap_or(0);
    let fits = |width: &&u64| (last - first) / **width < BINS;
    let width = WIDTHS.iter().find(fits).copied().unwrap_or(WIDTHS[WIDTHS.len() - 1]);
    let mut bins: Vec<Bin> = Vec::new();
    // Outcomes come in the order of time.
    for outcome in outcomes {
        let from = outcome.time / width * width;
        if bins.last().is_none_or(|bin| bin.from != from) {
            bins.push(Bin { from, scored: 0, hits: [0.0; 2] });
        }
        if let Some(bin) = bins.last_mut() {
            bin.scored += 1;
            for (sum, rank) in bin.hits.iter_mut().zip(outcome.ranks) {
                *sum += hit(rank, 10);
            }
        }
    }
    for bin in &mut bins {
        bin.hits = bin.hits.map(|sum| sum / bin.scored as f64);
    }
    (width, bins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::UserId;

    fn outcome(time: u64, rank: f64) -> Outcome {
        Outcome {
            user: UserId(1),
            time,
            ranks: [Some(rank), None],
            seen: true,
            fresh: false,
            cold_item: false,
            cold_user: false,
            candidates: 0,
        }
    }

    #[test]
    fn bins_have_a_fixed_width_and_empty_ones_are_left_out() {
        let minute = 60_000;
        let outcomes = [outcome(minute, 1.0), outcome(minute + 1, 11.0), outcome(4 * minute, 10.0)];
        let (width, bins) = bins(&outcomes);
        assert_eq!(width, minute);
        assert_eq!(
            bins,
            [
                Bin { from: minute, scored: 2, hits: [0.5, 0.0] },
                Bin { from: 4 * minute, scored: 1, hits: [1.0, 0.0] }
            ]
        );
        let (width, _) = super::bins(&[outcome(0, 1.0), outcome(4 * 86_400_000, 1.0)]);
        assert_eq!(width, 3_600_000, "96 hours are fewer than 100 bins");
        assert_eq!(super::bins(&[]).1, []);
    }
}
