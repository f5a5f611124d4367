//! What a policy would have earned, from a log that another policy made: pure functions.
//!
//! Replay (Li et al. 2011) looks at the decisions in which both chose the same, which is unbiased where the log was drawn
//! evenly. Inverse propensity scoring (Horvitz and Thompson 1952) weighs each of them by 1 / propensity, and is unbiased where
//! propensities are right; self-normalised (Swaminathan and Joachims 2015) it is divided by the sum of the weights, a
//! little biased and far less noisy. Doubly robust (Dudik, Langford and Li 2011) begins with what a model of the reward expects of
//! the policy and corrects it by the weighted errors of the model: right where the propensities are or the model is, and the less
//! noisy the better the model. All of them rest on as many decisions as the effective sample size says (Kish 1965).

pub mod grouped;

/// Below this effective sample size no claim is made.
pub const ENOUGH: f64 = 1_000.0;

/// A logged decision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision {
    /// What it earned.
    pub reward: f64,
    /// Probability with which the log's policy chose it, in (0, 1].
    pub propensity: f64,
    /// Probability with which the measured policy chooses it, from 0 to 1.
    pub chosen: f64,
    /// What a model expects of what was chosen; 0 without one. The model must not have seen this decision's reward.
    pub modelled: f64,
    /// What the model expects of the measured policy here: over all choices, probability x expectation; 0 without a model.
    pub expected: f64,
}

/// What a policy would have earned a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Mean reward of the decisions that the policy would have taken.
    pub replay: f64,
    /// Inverse propensity scoring over all decisions.
    pub ips: f64,
    /// The same, self-normalised.
    pub snips: f64,
    /// Doubly robust; without a model it is `ips`.
    pub doubly_robust: f64,
    /// `(sum of weights)^2 / sum of squared weights`.
    pub effective: f64,
}

impl Value {
    /// Whether enough was logged for a claim.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.effective >= ENOUGH
    }
}

/// What decisions add up to: all estimates are functions of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    decisions: f64,
    weights: f64,
    squares: f64,
    earned: f64,
    chosen: f64,
    replayed: f64,
    doubly: f64,
}

impl Sums {
    /// Of one decision.
    #[must_use]
    pub fn of(decision: &Decision) -> Self {
        let Decision { reward, propensity, chosen, modelled, expected } = *decision;
        let weight = chosen / propensity;
        Self {
            decisions: 1.0,
            weights: weight,
            squares: weight * weight,
            earned: weight * reward,
            chosen,
            replayed: chosen * reward,
            doubly: expected + weight * (reward - modelled),
        }
    }

    /// Adds other sums.
    pub fn plus(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.weights += other.weights;
        self.squares += other.squares;
        self.earned += other.earned;
        self.chosen += other.chosen;
        self.replayed += other.replayed;
        self.doubly += other.doubly;
    }

    /// The estimates. `None` where the policy would have taken none of the decisions.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        (self.weights > 0.0).then(|| Value {
            replay: self.replayed / self.chosen,
            ips: self.earned / self.decisions,
            snips: self.earned / self.weights,
            doubly_robust: self.doubly / self.decisions,
            effective: self.weights * self.weights / self.squares,
        })
    }
}

/// The value of a policy. `None` where it would have taken none of the decisions.
#[must_use]
pub fn value(decisions: &[Decision]) -> Option<Value> {
    let mut sums = Sums::default();
    decisions.iter().for_each(|decision| sums.plus(&Sums::of(decision)));
    sums.value()
}

#[cfg(test)]
mod tests {
    use freshet_schema::hash;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn decision(reward: f64, propensity: f64, chosen: f64) -> Decision {
        Decision { reward, propensity, chosen, ..Decision::default() }
    }

    #[test]
    fn values_by_hand() {
        let decisions = [decision(1.0, 0.5, 1.0), decision(0.0, 0.25, 1.0), decision(1.0, 0.5, 0.0)];
        let found = value(&decisions).expect("two were taken");
        // Weights 2, 4, 0.
        assert_eq!((found.replay, found.ips, found.snips), (0.5, 2.0 / 3.0, 2.0 / 6.0));
        assert_eq!(found.doubly_robust, found.ips, "without a model");
        assert!((found.effective - 36.0 / 20.0).abs() < 1e-12);
        assert_eq!(value(&[decision(1.0, 0.5, 0.0)]), None);
        assert_eq!(value(&[]), None);
    }

    #[test]
    fn doubly_robust_by_hand() {
        let modelled = |decision, modelled, expected| Decision { modelled, expected, ..decision };
        let decisions =
            [modelled(decision(1.0, 0.5, 1.0), 0.75, 0.6), modelled(decision(0.0, 0.25, 0.5), 0.25, 0.6)];
        // 0.6 + 2 (1 - 0.75) = 1.1 and 0.6 + 2 (0 - 0.25) = 0.1.
        assert!((value(&decisions).expect("taken").doubly_robust - 0.6).abs() < 1e-12);
    }

    #[test]
    fn even_propensities_make_replay_and_snips_one() {
        let decisions: Vec<_> =
            (0..100).map(|n| decision(f64::from(n % 3), 0.1, if n % 10 == 0 { 1.0 } else { 0.0 })).collect();
        let found = value(&decisions).expect("ten were taken");
        assert!((found.replay - found.snips).abs() < 1e-12 && (found.ips - found.snips).abs() < 1e-12);
        assert!((found.effective - 10.0).abs() < 1e-9);
    }

    /// A world of two actions that earn 1 and 0, a log that takes the first in nine of ten, a policy that tosses a coin: 0.5. The
    /// model says `model` of each action; propensities are logged as they are times `wrong`.
    fn skewed(model: [f64; 2], wrong: f64) -> Value {
        let decisions: Vec<_> = (0..20_000u64)
            .map(|n| {
                let first = hash::mix(7, &[n]) % 10 < 9;
                let propensity = if first { 0.9 } else { 0.1 } * wrong;
                Decision {
                    modelled: model[usize::from(!first)],
                    expected: f64::midpoint(model[0], model[1]),
                    ..decision(f64::from(u8::from(first)), propensity, 0.5)
                }
            })
            .collect();
        value(&decisions).expect("all may be taken")
    }

    #[test]
    fn a_skewed_log_is_corrected() {
        let found = skewed([0.0; 2], 1.0);
        assert!((found.ips - 0.5).abs() < 0.02 && (found.snips - 0.5).abs() < 0.02, "{found:?}");
        assert!(found.replay > 0.85, "replay alone is that of the log: {found:?}");
        assert!(found.effective < 0.5 * 20_000.0, "{found:?}");
    }

    #[test]
    fn either_the_propensities_or_the_model_may_be_wrong() {
        assert!((skewed([0.3, 0.7], 1.0).doubly_robust - 0.5).abs() < 0.02, "a wrong model");
        let found = skewed([1.0, 0.0], 0.5);
        assert!((found.doubly_robust - 0.5).abs() < 1e-9 && found.ips > 0.9, "wrong propensities: {found:?}");
    }

    proptest! {
        #[test]
        fn what_holds_of_any_log(
            rows in vec((0.0..1.0f64, 0.01..1.0f64, 0.01..1.0f64, 0.0..1.0f64), 1..60), constant in 0.0..1.0f64,
        ) {
            let decisions: Vec<Decision> =
                rows.iter().map(|(reward, propensity, chosen, _)| decision(*reward, *propensity, *chosen)).collect();
            let found = value(&decisions).expect("all may be taken");
            prop_assert!((-1e-9..=1.0 + 1e-9).contains(&found.snips), "between the least and the greatest reward");
            prop_assert!(found.effective <= rows.len() as f64 + 1e-6 && found.effective >= 1.0 - 1e-9);
            // The measured policy is the log's: all are the mean.
            let own: Vec<Decision> = decisions.iter().map(|d| Decision { chosen: d.propensity, ..*d }).collect();
            let (mean, own) = (rows.iter().map(|row| row.0).sum::<f64>() / rows.len() as f64, value(&own).expect("taken"));
            prop_assert!((own.ips - mean).abs() < 1e-9 && (own.snips - mean).abs() < 1e-9);
            prop_assert!((own.effective - rows.len() as f64).abs() < 1e-6);
            // A model that is always right is believed, whatever the weights; one that says the same of all leaves the difference.
            let right: Vec<Decision> =
                decisions.iter().map(|d| Decision { reward: constant, modelled: constant, expected: constant, ..*d }).collect();
            prop_assert!((value(&right).expect("taken").doubly_robust - constant).abs() < 1e-9);
            // Order and grouping do not matter.
            let (mut left, mut all) = (Sums::default(), Sums::default());
            decisions.iter().rev().for_each(|d| left.plus(&Sums::of(d)));
            decisions.iter().for_each(|d| all.plus(&Sums::of(d)));
            let (a, b) = (left.value().expect("taken"), all.value().expect("taken"));
            prop_assert!((a.ips - b.ips).abs() < 1e-9 && (a.effective - b.effective).abs() < 1e-6);
        }
    }
}
