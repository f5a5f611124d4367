//! The sums of all arms, in one place, and their record: written at each publication, so that everybody who looks sees the same
//! numbers for a while. The user side says the sums of its users anew after a restart ([`crate::users`]), so nothing but the last
//! record is kept: experiments may be added, changed and removed between two starts.

use freshet_schema::feed::{Arm, DrawSums, Experiment as Written, ExperimentsRecord, MetricSums, SlotPolicy};
use freshet_schema::hash::Slice;
use freshet_schema::store::{EVERYONE, Key, Value};

use super::Experiment;
use super::draws::Drawing;
use super::numbers::Metric;
use super::sums::{ArmSums, Term};
use crate::params::Params;
use crate::pools::Change;

/// See the module.
pub struct Tally {
    experiments: std::sync::Arc<[Experiment]>,
    /// By experiment and arm.
    sums: Vec<Vec<ArmSums>>,
    /// What the store holds.
    pub(crate) written: Option<Vec<u8>>,
}

impl Tally {
    /// Nothing was counted yet.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let experiments = std::sync::Arc::clone(&params.experiments);
        let sums = experiments.iter().map(|of| vec![ArmSums::default(); of.arms.len()]).collect();
        Self { experiments, sums, written: None }
    }

    /// Takes a change in.
    pub fn add(&mut self, (experiment, arm, sums): &Term) {
        let arms = self.sums.get_mut(usize::from(*experiment));
        if let Some(of) = arms.and_then(|arms| arms.get_mut(usize::from(*arm))) {
            of.plus(sums);
        }
    }

    /// The record as of a publication; its removal, once, where experiments were configured before and are not any more.
    pub fn publish(&mut self, epoch: u64, now: u64) -> Option<Change> {
        let before = self.written.take();
        if !self.experiments.is_empty() {
            self.written = Some(Value::Experiments(self.record(epoch, now)).encode());
        }
        (before.is_some() || self.written.is_some()).then(|| (Key::Experiments, self.written.clone()))
    }

    /// The record again, where these slices of the store hold it.
    #[must_use]
    pub fn again(&self, slices: &[Slice]) -> Option<Change> {
        let held = slices.iter().any(|slice| slice.holds_text(EVERYONE));
        self.written.as_ref().filter(|_| held).map(|bytes| (Key::Experiments, Some(bytes.clone())))
    }

    fn record(&self, epoch: u64, now: u64) -> ExperimentsRecord {
        let experiments = self.experiments.iter().zip(&self.sums).map(|(of, sums)| Written {
            name: of.name.clone(),
            share: of.share,
            since_ms: of.since,
            alpha: of.alpha,
            min_users: of.min_users,
            arms: of
                .arms
                .iter()
                .zip(sums)
                .map(|(arm, sums)| Arm {
                    name: arm.name.clone(),
                    share: arm.share,
                    sets: arm.sets.iter().map(|(key, value)| format!("{key:?} = {value}")).collect(),
                    users: u64::try_from(sums.users).unwrap_or(0),
                    metrics: metrics(sums),
                    draws: draws(sums),
                })
                .collect(),
        });
        ExperimentsRecord { epoch, now_ms: now, experiments: experiments.collect() }
    }
}

fn metrics(sums: &ArmSums) -> Vec<MetricSums> {
    let one = |(metric, of): (Metric, &super::sums::Moments)| {
        let squares = u128::try_from(of.squares).unwrap_or(0);
        MetricSums {
            name: metric.name().to_owned(),
            users: u64::try_from(of.users).unwrap_or(0),
            sum: of.sum,
            squares_high: (squares >> 64) as u64,
            squares_low: squares as u64,
        }
    };
    Metric::ALL.into_iter().zip(&sums.metrics).map(one).collect()
}

fn draws(sums: &ArmSums) -> Vec<DrawSums> {
    let number = |sum: i64| u64::try_from(sum).unwrap_or(0);
    let one = |(&(by, best, half), of): (&super::draws::DrawKey, &super::draws::DrawSums)| {
        let policy = match by {
            Drawing::Novelty => SlotPolicy::Novelty,
            Drawing::Popular => SlotPolicy::Popular,
            Drawing::Explore => SlotPolicy::Explore,
        };
        let products = [of.squares].into_iter().chain(of.products);
        let words = products.map(|sum| u128::try_from(sum).unwrap_or(0));
        DrawSums {
            policy: policy.into(),
            best,
            half: u32::from(half),
            users: number(of.users),
            places: number(of.places),
            earned: number(of.earned),
            weights: number(of.weights),
            weighted: number(of.weighted),
            products: words.flat_map(|sum| [(sum >> 64) as u64, sum as u64]).collect(),
        }
    };
    sums.draws.iter().map(one).collect()
}
