//! Regret against the oracle, by period and over time.
//!
//! Looked at is every so many-th exposure, as for each the oracle goes through all videos. Intervals come of resampled users; the difference to
//! the run without exploration is taken over the same users in both, who are the same people with the same visits.

use freshet_operators::params::Explore;
use freshet_schema::feed::SlotPolicy;
use freshet_schema::{Millis, UserId, VideoId, hash};
use freshet_sources::generate::{Known, World};
use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use crate::eval::bootstrap::{Estimate, draw, estimate};
use crate::eval::browse::{Browsed, Exposure};
use crate::eval::cost::Cost;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// One exposure of so many is compared with the oracle.
const EVERY: u64 = 5;
/// Regret over time is shown by so much.
pub const BIN: u64 = 6 * HOUR;

/// Periods of a world: before its tastes turn (without its first half day, in which nothing is known yet), the day after, and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// When the world begins.
    pub start: u64,
    /// When the tastes turn.
    pub turn: u64,
    /// When it is meant to end.
    pub end: u64,
}

/// Their names.
pub const PERIODS: [&str; 3] = ["before", "first_day", "later"];

impl Periods {
    /// Those of a world whose tastes turn with this day.
    #[must_use]
    pub fn of(world: &World, turn: u64) -> Self {
        let start = world.start.0;
        Self { start, turn: start + turn * DAY, end: start + world.days * DAY }
    }

    fn period(&self, at: u64) -> Option<usize> {
        match at {
            at if at < self.start + DAY / 2 => None,
            at if at < self.turn => Some(0),
            at if at < self.turn + DAY => Some(1),
            _ => Some(2),
        }
    }
}

/// A sum over some exposures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// Sum.
    pub sum: f64,
    /// Over so many.
    pub count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// Adds another sum.
    pub fn plus(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The mean; `None` over nothing.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// What came of a run, before it is compared.
#[derive(Debug)]
pub struct Judged {
    /// By user, regret in each period.
    users: Vec<(UserId, [Mean; PERIODS.len()])>,
    /// Regret over time, from the world's beginning.
    bins: Vec<Mean>,
    /// How well what was looked at suited, in [0, 1], at places that explored, and at all.
    value: [Mean; 2],
    /// Places that explored, by period: how well what stood there suited.
    explored: [Mean; PERIODS.len()],
    cost: Cost,
    lists: u64,
}

impl Judged {
    /// Exposures that were compared with the oracle.
    pub fn counted(&self) -> u64 {
        self.users.iter().flat_map(|(_, means)| means).map(|mean| mean.count).sum()
    }
}

/// Compares what was looked at with what suited best.
#[must_use]
pub fn judge(truth: &Known, browsed: &Browsed, periods: &Periods, cost: Cost) -> Judged {
    let regret = |exposure: &Exposure, seen: &FxHashSet<VideoId>| {
        let taste = truth.taste(exposure.user, Millis(exposure.at))?;
        let unseen = taste.values().filter(|(video, _)| !seen.contains(video));
        let best = unseen.map(|(_, value)| value).max().filter(|best| *best > 0)?;
        // Whoever has no list yet may see a second time what they had.
        Some(1.0 - (exposure.value as f64 / best as f64).min(1.0))
    };
    sum(&browsed.exposures, browsed.counts.lists, periods, cost, regret)
}

fn sum(
    exposures: &[Exposure],
    lists: u64,
    periods: &Periods,
    cost: Cost,
    regret: impl Fn(&Exposure, &FxHashSet<VideoId>) -> Option<f64>,
) -> Judged {
    let mut seen: FxHashMap<UserId, FxHashSet<VideoId>> = FxHashMap::default();
    let mut users: FxHashMap<UserId, [Mean; PERIODS.len()]> = FxHashMap::default();
    let bins = (periods.end - periods.start).div_ceil(BIN) as usize;
    let mut judged = Judged {
        users: Vec::new(),
        bins: vec![Mean::default(); bins],
        value: Default::default(),
        explored: Default::default(),
        cost,
        lists,
    };
    for exposure in exposures {
        let seen = seen.entry(exposure.user).or_default();
        let (value, period) = (exposure.value as f64 / 1e3, periods.period(exposure.at));
        judged.value[1].add(value);
        if exposure.policy == SlotPolicy::Bandit {
            judged.value[0].add(value);
            if let Some(period) = period {
                judged.explored[period].add(value);
            }
        }
        // By user and time, so that the same visits are looked at in all runs.
        let looked_at = hash::mix(EVERY, &[exposure.user.0, exposure.at]).is_multiple_of(EVERY);
        if looked_at && let Some(regret) = regret(exposure, seen) {
            if let Some(period) = period {
                users.entry(exposure.user).or_default()[period].add(regret);
            }
            let bin = (exposure.at.saturating_sub(periods.start) / BIN) as usize;
            if let Some(bin) = judged.bins.get_mut(bin) {
                bin.add(regret);
            }
        }
        seen.insert(exposure.video);
    }
    judged.users = users.into_iter().collect();
    judged.users.sort_unstable_by_key(|(user, _)| *user);
    judged
}

/// How a policy went.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub policy: Explore,
    /// Mean regret in each period; `None` where nobody came.
    pub regret: [Option<Estimate>; PERIODS.len()],
    /// The same less that of the first run.
    pub difference: [Option<Estimate>; PERIODS.len()],
    /// Regret over time.
    pub bins: Vec<Mean>,
    /// How well what was looked at suited, in [0, 1], at places that explored, and at all.
    pub value: [Mean; 2],
    /// The same at places that explored, by period.
    pub explored: [Mean; PERIODS.len()],
    /// Lists made.
    pub lists: u64,
    /// What it took.
    pub cost: Cost,
}

/// Adds intervals, and the differences to the first run.
#[must_use]
pub fn compare(judged: Vec<(Explore, Judged)>, resamples: usize, seed: u64) -> Vec<Run> {
    let mut everybody: Vec<UserId> =
        judged.iter().flat_map(|(_, judged)| judged.users.iter().map(|(user, _)| *user)).collect();
    everybody.sort_unstable();
    everybody.dedup();
    // By run, in the order of everybody.
    let by_user: Vec<Vec<[Mean; PERIODS.len()]>> = judged
        .iter()
        .map(|(_, judged)| {
            let of = |user: &UserId| {
                let at = judged.users.binary_search_by_key(user, |(user, _)| *user);
                at.map_or_else(|_| Default::default(), |at| judged.users[at].1)
            };
            everybody.iter().map(of).collect()
        })
        .collect();
    let means = |users: &mut dyn Iterator<Item = usize>| -> Vec<[Option<f64>; PERIODS.len()]> {
        let mut sums = vec![[Mean::default(); PERIODS.len()]; by_user.len()];
        for user in users {
            for (sums, run) in sums.iter_mut().zip(&by_user) {
                sums.iter_mut().zip(run[user]).for_each(|(sum, mean)| sum.plus(mean));
            }
        }
        sums.into_iter().map(|sums| sums.map(|sum| sum.value())).collect()
    };
    let all = means(&mut (0..everybody.len()));
    let resampled: Vec<_> =
        (0..resamples as u64).map(|resample| means(&mut draw(everybody.len(), resample, seed))).collect();
    let less = |means: &[[Option<f64>; PERIODS.len()]], run: usize, period: usize| {
        Some(means[run][period]? - means[0][period]?)
    };
    judged
        .into_iter()
        .enumerate()
        .map(|(run, (policy, judged))| {
            let regret = std::array::from_fn(|period| {
                let drawn = resampled.iter().filter_map(|means| means[run][period]).collect();
                Some(estimate(all[run][period]?, drawn))
            });
            let difference = std::array::from_fn(|period| {
                let drawn = resampled.iter().filter_map(|means| less(means, run, period)).collect();
                Some(estimate(less(&all, run, period)?, drawn))
            });
            let Judged { bins, value, explored, cost, lists, .. } = judged;
            Run { policy, regret, difference, bins, value, explored, lists, cost }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(user: u64, at: u64, value: u64, policy: SlotPolicy) -> Exposure {
        Exposure {
            video: VideoId(at),
            user: UserId(user),
            at,
            value,
            completed: false,
            policy,
            propensity: 1.0,
            drawn: 0,
        }
    }

    #[test]
    fn regret_is_taken_by_period_and_compared_by_user() {
        let periods = Periods { start: 0, turn: 2 * DAY, end: 4 * DAY };
        let run = |worse: f64| {
            let exposures: Vec<Exposure> = (0..4 * 24 * 20)
                .map(|n| {
                    let policy = if n % 10 == 0 { SlotPolicy::Bandit } else { SlotPolicy::Rank };
                    exposure(n % 7, n * HOUR / 20, 600, policy)
                })
                .collect();
            sum(&exposures, 9, &periods, Cost::default(), |exposure, _| {
                Some(if exposure.at < 2 * DAY { 0.25 } else { 0.25 + worse })
            })
        };
        let judged = vec![(Explore::Off, run(0.5)), (Explore::Linucb, run(0.25))];
        assert!(judged.iter().all(|(_, judged)| judged.counted() > 200));
        let runs = compare(judged, 50, 1);
        let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
        assert_eq!(runs[0].regret.map(value), [Some(0.25), Some(0.75), Some(0.75)]);
        assert_eq!(runs[1].difference.map(value), [Some(0.0), Some(-0.25), Some(-0.25)]);
        assert_eq!(runs[0].difference.map(value), [Some(0.0); 3]);
        assert_eq!((runs[0].bins.len(), runs[0].bins[15].value()), (16, Some(0.75)));
        let [explored, all] = runs[0].value;
        assert_eq!((explored.count * 10, all.count), (all.count, 4 * 24 * 20));
        assert!((explored.sum / explored.count as f64 - 0.6).abs() < 1e-9);
    }

    #[test]
    fn the_first_half_day_is_no_period() {
        let periods = Periods { start: DAY, turn: 3 * DAY, end: 6 * DAY };
        let of = |hours: u64| periods.period(DAY + hours * HOUR);
        assert_eq!(
            [of(11), of(12), of(47), of(48), of(71), of(72)],
            [None, Some(0), Some(0), Some(1), Some(1), Some(2)]
        );
    }
}
