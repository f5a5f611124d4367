//! Forward decay (Cormode et al. 2009) in whole numbers.
//!
//! An interaction of weight w at time t contributes w x 2^(t / half-life). All contributions grow alike as time passes, so
//! the order of two sums changes only when one of them gets a contribution: nothing is recomputed when nothing happens.
//! The numbers would overflow, so sums are kept per landmark period of 16 half-lives, relative to the period's start; a
//! late interaction goes to the period it happened in. The value that orders is log2 of the combined sum.

use freshet_schema::fixed::{LOG_BITS, OCTAVE, exp2_octaves, exp2_q32, log2};

/// The quick pace: attention is also kept with a half-life of this part of popularity's. What rises and what fades are told
/// apart by the two together.
pub const QUICK: u64 = 4;

/// Landmark periods that are kept beside the present one, where old ones are let go. What lies further back weighs less than
/// 2^-32 of what comes now.
pub const KEPT: u32 = 2;

/// The first landmark period that still counts at `now`.
#[must_use]
pub fn first_kept(now: u64, half_life: u64) -> u32 {
    contribution(0, now, half_life).0.saturating_sub(KEPT)
}

/// Half-lives of a landmark period.
const PERIOD: u64 = 16;
/// Fraction bits of a contribution.
const FRACTION: u32 = 8;

/// Scores are whole numbers of 1/16 octave (4.4 %), so that a popular video's place does not change with every view.
pub const STEP: i64 = OCTAVE / 16;

/// Period and amount of a contribution of `weight` (per mille) at `time`.
#[must_use]
pub fn contribution(weight: u64, time: u64, half_life: u64) -> (u32, i64) {
    let period = time / (PERIOD * half_life);
    let offset = time % (PERIOD * half_life);
    let halves = ((u128::from(offset) << LOG_BITS) / u128::from(half_life)) as u64;
    let (whole, fraction) = ((halves >> LOG_BITS) as u32, (halves & 0xffff) as u32);
    let grown = (u128::from(weight) * u128::from(exp2_q32(fraction))) << whole;
    let amount = grown >> (32 - FRACTION);
    (period as u32, amount as i64)
}

/// log2 of the decayed sum over periods (in any order), in 1/65,536 octaves, on one scale for all times; `None` where the
/// sum is not positive.
#[must_use]
pub fn log_sum(periods: impl Iterator<Item = (u32, i64)> + Clone) -> Option<i64> {
    let lasting = || periods.clone().filter(|(_, sum)| *sum != 0);
    let newest = lasting().map(|(period, _)| period).max()?;
    let mut total: i128 = 0;
    for (period, sum) in lasting() {
        // Each period back is worth 2^-16 as much. What falls below the last bit is nothing to anybody.
        let shift = (newest - period) * PERIOD as u32;
        if shift < 96 {
            total += (i128::from(sum) << 32) >> shift;
        }
    }
    let log = log2(u128::try_from(total).ok().filter(|t| *t > 0)?)?;
    Some(log - i64::from(32 + FRACTION) * OCTAVE + i64::from(newest) * PERIOD as i64 * OCTAVE)
}

/// Adds a term to the sum of its period.
pub fn add_term(sums: &mut Vec<(u32, i64)>, period: u32, amount: i64) {
    match sums.iter_mut().position(|(known, _)| *known == period) {
        Some(at) => {
            sums[at].1 += amount;
            if sums[at].1 == 0 {
                sums.swap_remove(at);
            }
        }
        None => sums.push((period, amount)),
    }
}

/// What a decayed sum with this logarithm ([`log_sum`]) has become by `now`; a weight of 1,000 counts one.
#[must_use]
pub fn decayed(log: i64, now: u64, half_life: u64) -> f64 {
    Decay::new(now, half_life).of(log)
}

/// Sums as they have decayed by one moment.
#[derive(Clone, Copy, Debug)]
pub struct Decay {
    /// How often anything has halved since 1970, in 1/65,536.
    halves: u128,
}

impl Decay {
    /// By `now`, in milliseconds since 1970 as the half-life is in milliseconds.
    #[must_use]
    pub fn new(now: u64, half_life: u64) -> Self {
        Self { halves: (u128::from(now) << LOG_BITS) / u128::from(half_life.max(1)) }
    }

    /// See [`decayed`].
    #[must_use]
    pub fn of(self, log: i64) -> f64 {
        let log = i128::from(log) - self.halves as i128;
        exp2_octaves(log.clamp(i64::MIN.into(), i64::MAX.into()) as i64) / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;

    /// Oracle: the same sum in floating point, relative to a common time.
    fn oracle(events: &[(u64, u64)], half_life: u64) -> f64 {
        let newest = events.iter().map(|(_, t)| *t).max().unwrap_or(0);
        let sum: f64 =
            events.iter().map(|(w, t)| *w as f64 * (-((newest - t) as f64) / half_life as f64).exp2()).sum();
        sum.log2() + newest as f64 / half_life as f64
    }

    proptest! {
        #[test]
        fn log_sum_is_the_decayed_sum(events in prop::collection::vec((1u64..4000, 1_600_000_000_000u64..1_600_000_000_000 + 60 * DAY), 1..40)) {
            let mut periods: Vec<(u32, i64)> = Vec::new();
            for (weight, time) in &events {
                let (period, amount) = contribution(*weight, *time, DAY);
                periods.push((period, amount));
            }
            let ours = log_sum(periods.iter().copied()).unwrap() as f64 / OCTAVE as f64;
            let exact = oracle(&events, DAY);
            prop_assert!((ours - exact).abs() < 0.01, "{ours} {exact}");
        }

        #[test]
        fn retraction_is_exact(a in (1u64..4000, 0u64..100 * DAY), b in (1u64..4000, 0u64..100 * DAY)) {
            let (p, x) = contribution(a.0, a.1, DAY);
            let (q, y) = contribution(b.0, b.1, DAY);
            let with = if p == q { vec![(p, x + y - y)] } else { vec![(p, x), (q, y - y)] };
            prop_assert_eq!(log_sum(with.iter().copied()), log_sum([(p, x)].into_iter()));
            prop_assert!(log_sum([(p, x), (q, y)].into_iter()) >= log_sum([(p, x)].into_iter()));
        }
    }

    #[test]
    fn nothing_has_no_logarithm() {
        assert_eq!(log_sum([].into_iter()), None);
        assert_eq!(log_sum([(1, 0)].into_iter()), None);
        assert_eq!(log_sum([(1, -5)].into_iter()), None);
    }
}
