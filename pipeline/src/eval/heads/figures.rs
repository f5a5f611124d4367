//! All that is said of predictions of yes or no by one or more models, with intervals over users.

use super::binary::{self, Calibration, Case, Ordered};
use super::by_user::{self, Share};
use super::resample;
use crate::eval::bootstrap::{Estimate, RESAMPLES};

/// Groups of the calibration.
const BINS: usize = 10;
/// Places that nDCG looks at.
const TOP: usize = 5;

/// What is measured, in the order of [`Figures::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Over all impressions.
    Auc,
    /// Within users, impression-weighted.
    Gauc,
    /// Within users; each counts once.
    Ndcg,
    /// Mean reward of each user's top choice.
    TopChoice,
    /// Mean over the impressions, in nats.
    LogLoss,
    /// Log loss over that of the rate alone (He et al. 2014): 1 knows no more than the rate.
    NormalisedEntropy,
}

impl Measure {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Auc, Self::Gauc, Self::Ndcg, Self::TopChoice, Self::LogLoss, Self::NormalisedEntropy];

    /// Whether less is better.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::LogLoss | Self::NormalisedEntropy)
    }

    /// For programs.
    #[must_use]
    pub fn key(self) -> &'static str {
        ["auc", "gauc", "ndcg_5", "top_choice", "log_loss", "normalised_entropy"][self as usize]
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["AUC", "GAUC", "nDCG@5", "top choice", "LogLoss", "norm. entropy"][self as usize]
    }
}

/// What is said of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// By [`Measure`]; `None` where it does not exist.
    pub values: [Option<Estimate>; Measure::ALL.len()],
    /// Predictions against what came true; `None` without a case, and for scores that are no probabilities.
    pub calibration: Option<Calibration>,
}

/// What is said of models on the same cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Cases.
    pub cases: u64,
    /// Of them yes.
    pub positives: u64,
    /// By model.
    pub models: Vec<Figures>,
    /// The first model less the second, by [`Measure`], from the same resamples; `None` with fewer models.
    pub difference: [Option<Estimate>; Measure::ALL.len()],
}

/// Cases with what is added up of them once.
struct Prepared {
    ordered: Ordered,
    aucs: Vec<Share>,
    ndcgs: Vec<Share>,
    tops: Vec<Share>,
    losses: Vec<Share>,
    rates: Vec<Share>,
    /// Scores are probabilities.
    probable: bool,
}

impl Prepared {
    fn new(cases: Vec<Case>) -> Self {
        let one = |of: &dyn Fn(&Case) -> f64| by_user::means(&cases, of);
        Self {
            aucs: by_user::aucs(&cases),
            ndcgs: by_user::ndcgs(&cases, TOP),
            tops: by_user::top_choices(&cases),
            losses: one(&|case| binary::log_loss(case.score, case.label)),
            rates: one(&|case| f64::from(u8::from(case.label))),
            probable: cases.iter().all(|case| (0.0..=1.0).contains(&case.score)),
            ordered: Ordered::new(cases),
        }
    }

    fn value(&self, measure: Measure, weights: &[u32]) -> Option<f64> {
        match measure {
            Measure::Auc => self.ordered.auc(weights),
            Measure::Gauc => by_user::mean(&self.aucs, weights),
            Measure::Ndcg => by_user::mean(&self.ndcgs, weights),
            Measure::TopChoice => by_user::mean(&self.tops, weights),
            _ if !self.probable => None,
            Measure::LogLoss => by_user::mean(&self.losses, weights),
            Measure::NormalisedEntropy => {
                let entropy = binary::entropy(by_user::mean(&self.rates, weights)?);
                (entropy > 0.0).then_some(by_user::mean(&self.losses, weights)? / entropy)
            }
        }
    }
}

/// Compares models on the same cases: `models` hold their scores in the order of `truth`, which names users (by numbers below
/// `users`) and labels.
#[must_use]
pub fn compare(truth: &[(u32, bool)], models: &[Vec<f32>], users: usize, seed: u64) -> Compared {
    let prepared: Vec<Prepared> = models
        .iter()
        .map(|scores| {
            let cases = truth.iter().zip(scores);
            Prepared::new(
                cases
                    .map(|((user, label), score)| Case { user: *user, score: *score, label: *label })
                    .collect(),
            )
        })
        .collect();
    let figures = |weights: &[u32]| {
        let of = |model: &Prepared| Measure::ALL.map(|measure| model.value(measure, weights));
        let values: Vec<_> = prepared.iter().map(of).collect();
        let difference = std::array::from_fn(|at| match &values[..] {
            [first, second, ..] => Some(first[at]? - second[at]?),
            _ => None,
        });
        values.into_iter().chain([difference]).flatten().collect()
    };
    let mut estimates = resample::estimates(users, &figures, RESAMPLES, seed).into_iter();
    let mut next = || std::array::from_fn(|_| estimates.next().flatten());
    let models = prepared
        .iter()
        .map(|model| Figures {
            values: next(),
            calibration: model.probable.then(|| binary::calibration(&model.ordered, BINS)).flatten(),
        })
        .collect();
    Compared {
        cases: truth.len() as u64,
        positives: truth.iter().filter(|(_, label)| *label).count() as u64,
        models,
        difference: next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_compared_on_the_same_resamples() {
        // Twenty users with a yes and a no each. The first model knows, the second does not.
        let truth: Vec<(u32, bool)> = (0..40).map(|n| (n / 2, n % 2 == 0)).collect();
        let knows: Vec<f32> = truth.iter().map(|(_, label)| if *label { 0.9 } else { 0.1 }).collect();
        let found = compare(&truth, &[knows, vec![0.5; 40]], 20, 1);
        assert_eq!((found.cases, found.positives), (40, 20));
        let value =
            |model: usize, measure: Measure| found.models[model].values[measure as usize].map(|e| e.value);
        assert_eq!(value(0, Measure::Auc), Some(1.0));
        assert_eq!(value(1, Measure::Gauc), Some(0.5));
        assert_eq!((value(0, Measure::TopChoice), value(1, Measure::TopChoice)), (Some(1.0), Some(0.5)));
        assert!(
            (value(1, Measure::NormalisedEntropy).expect("a rate") - 1.0).abs() < 1e-9,
            "no more than the rate"
        );
        assert!((value(0, Measure::LogLoss).expect("p") + 0.9f64.ln()).abs() < 1e-6);
        let difference = found.difference[Measure::Gauc as usize].expect("both");
        assert_eq!((difference.low, difference.value, difference.high), (0.5, 0.5, 0.5));
        let calibration = found.models[0].calibration.as_ref().expect("probabilities");
        assert!(calibration.ratio.is_some_and(|ratio| (ratio - 1.0).abs() < 1e-6));
    }

    #[test]
    fn what_is_no_probability_has_no_loss() {
        let found = compare(&[(0, true), (0, false)], &[vec![900.0, 3.0]], 1, 1);
        let [auc, .., loss, entropy] = found.models[0].values;
        assert_eq!((auc.map(|e| e.value), loss, entropy), (Some(1.0), None, None));
        assert!(found.models[0].calibration.is_none() && found.difference == [None; 6]);
        assert_eq!(compare(&[], &[vec![]], 0, 1).models[0].values, [None; 6]);
    }
}
