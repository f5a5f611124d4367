//! Accuracy over all outcomes, by slice and mode, with intervals over users.

use std::collections::BTreeMap;

use super::bootstrap::{self, Estimate, RESAMPLES, UserSums};
use super::metrics::{hit, ndcg, reciprocal};
use super::outcome::{Mode, Outcome};

/// The metrics, in the order of [`Row::metrics`].
pub const METRICS: [&str; 5] = ["hr_10", "hr_20", "ndcg_10", "ndcg_20", "mrr"];
/// Their names for people.
pub const METRIC_NAMES: [&str; 5] = ["HR@10", "HR@20", "NDCG@10", "NDCG@20", "MRR"];

/// The slices.
pub const SLICES: [&str; 4] = ["all", "fresh", "cold_item", "cold_user"];
/// Their names for people.
pub const SLICE_NAMES: [&str; 4] = ["all", "fresh", "cold item", "cold user"];

/// A slice's accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Scored events in it.
    pub scored: u64,
    /// Users who have one.
    pub users: u64,
    /// By mode and metric; `None` for an empty slice.
    pub metrics: [[Option<Estimate>; METRICS.len()]; 2],
}

fn is_in(outcome: &Outcome) -> [bool; SLICES.len()] {
    [true, outcome.fresh, outcome.cold_item, outcome.cold_user]
}

/// The five metrics of a rank in a list of this length.
fn values(rank: Option<f64>, length: usize) -> [f64; METRICS.len()] {
    // What the list does not hold is a miss also where the list is shorter than K.
    let rank = rank.filter(|rank| *rank <= length as f64);
    [hit(rank, 10), hit(rank, 20), ndcg(rank, 10), ndcg(rank, 20), reciprocal(rank, length)]
}

/// The accuracy of all slices, in the order of [`SLICES`]. `length` is that of a list; the seed is the resampling's.
#[must_use]
pub fn rows(outcomes: &[Outcome], length: usize, seed: u64) -> Vec<Row> {
    const PER_SLICE: usize = METRICS.len() * Mode::ALL.len();
    let mut users: BTreeMap<u64, UserSums> = BTreeMap::new();
    for outcome in outcomes {
        let own = users.entry(outcome.user.0).or_insert_with(|| UserSums {
            sums: vec![0.0; SLICES.len() * PER_SLICE],
            counts: vec![0; SLICES.len()],
        });
        let values = outcome.ranks.map(|rank| values(rank, length));
        for (slice, _) in is_in(outcome).into_iter().enumerate().filter(|(_, is)| *is) {
            own.counts[slice] += 1;
            let sums = &mut own.sums[slice * PER_SLICE..][..PER_SLICE];
            for (sum, value) in sums.iter_mut().zip(values.iter().flatten()) {
                *sum += value;
            }
        }
    }
    let users: Vec<UserSums> = users.into_values().collect();
    let means = bootstrap::means(&users, PER_SLICE, RESAMPLES, seed);
    (0..SLICES.len())
        .map(|slice| Row {
            scored: users.iter().map(|user| user.counts[slice]).sum(),
            users: users.iter().filter(|user| user.counts[slice] > 0).count() as u64,
            metrics: std::array::from_fn(|mode| {
                std::array::from_fn(|metric| {
                    means.get(slice * PER_SLICE + mode * METRICS.len() + metric).copied().flatten()
                })
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::UserId;

    fn outcome(user: u64, off: Option<f64>, on: Option<f64>, fresh: bool) -> Outcome {
        Outcome {
            user: UserId(user),
            time: 0,
            ranks: [off, on],
            seen: true,
            fresh,
            cold_item: false,
            cold_user: false,
            candidates: 0,
        }
    }

    #[test]
    fn each_slice_and_mode_has_its_mean() {
        let outcomes = [
            outcome(1, Some(1.0), None, true),
            outcome(1, Some(15.0), Some(3.0), false),
            outcome(2, None, Some(12.0), false),
            outcome(3, Some(101.0), Some(1.0), false),
        ];
        let rows = rows(&outcomes, 100, 1);
        let value = |slice: usize, mode: Mode| rows[slice].metrics[mode as usize].map(|e| e.map(|e| e.value));
        assert_eq!((rows[0].scored, rows[0].users), (4, 3));
        let off = value(0, Mode::Off);
        assert_eq!(off[..2], [Some(0.25), Some(0.5)]);
        assert_eq!(off[2], Some(0.25));
        // 1/log2(2) and 1/log2(16), of four.
        assert_eq!(off[3], Some((1.0 + 0.25) / 4.0));
        assert_eq!(off[4], Some((1.0 + 1.0 / 15.0) / 4.0), "beyond the list the reciprocal is 0");
        let on = value(0, Mode::On);
        assert_eq!(on[..3], [Some(0.5), Some(0.75), Some((0.5 + 1.0) / 4.0)]);
        assert_eq!(
            (rows[1].scored, value(1, Mode::Off)[0], value(1, Mode::On)[0]),
            (1, Some(1.0), Some(0.0))
        );
        assert_eq!((rows[2].scored, rows[2].users, value(2, Mode::Off)), (0, 0, [None; 5]));
    }

    #[test]
    fn a_short_list_has_no_tenth_place() {
        let rows = rows(&[outcome(1, Some(4.0), Some(3.0), false)], 3, 1);
        assert_eq!(rows[0].metrics[0].map(|e| e.map(|e| e.value)), [Some(0.0); 5]);
        assert_eq!(rows[0].metrics[1][0].map(|e| e.value), Some(1.0));
    }
}
