//! What a policy would have earned, from a log that another policy made: pure functions.
//!
//! Replay (Li et al. 2011) looks at the decisions in which both chose the same, which is unbiased where the log was drawn
//! evenly. Inverse propensity scoring (Horvitz and Thompson 1952) weighs each of them by 1 / propensity, and is unbiased where
//! propensities are right; self-normalised (Swaminathan and Joachims 2015) it is divided by the sum of the weights, a
//! little biased and far less noisy. All three rest on as many decisions as the effective sample size says (Kish 1965).

/// Below this effective sample size no claim is made.
pub const ENOUGH: f64 = 1_000.0;

/// A logged decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// What it earned.
    pub reward: f64,
    /// Probability with which the log's policy chose it, in (0, 1].
    pub propensity: f64,
    /// Probability with which the measured policy chooses it, from 0 to 1.
    pub chosen: f64,
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
    /// `(sum of weights)^2 / sum of squared weights`.
    pub effective: f64,
}

/// The value of a policy. `None` where it would have taken none of the decisions.
#[must_use]
pub fn value(decisions: &[Decision]) -> Option<Value> {
    let sum = |of: &dyn Fn(&Decision) -> f64| decisions.iter().map(of).sum::<f64>();
    let weight = |d: &Decision| d.chosen / d.propensity;
    let (weights, earned) = (sum(&weight), sum(&|d| weight(d) * d.reward));
    (weights > 0.0).then(|| Value {
        replay: sum(&|d| d.chosen * d.reward) / sum(&|d| d.chosen),
        ips: earned / decisions.len() as f64,
        snips: earned / weights,
        effective: weights * weights / sum(&|d| weight(d) * weight(d)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::hash;

    fn decision(reward: f64, propensity: f64, chosen: f64) -> Decision {
        Decision { reward, propensity, chosen }
    }

    #[test]
    fn values_by_hand() {
        let decisions = [decision(1.0, 0.5, 1.0), decision(0.0, 0.25, 1.0), decision(1.0, 0.5, 0.0)];
        let found = value(&decisions).expect("two were taken");
        // Weights 2, 4, 0.
        assert_eq!((found.replay, found.ips, found.snips), (0.5, 2.0 / 3.0, 2.0 / 6.0));
        assert!((found.effective - 36.0 / 20.0).abs() < 1e-12);
        assert_eq!(value(&[decision(1.0, 0.5, 0.0)]), None);
        assert_eq!(value(&[]), None);
    }

    #[test]
    fn even_propensities_make_replay_and_snips_one() {
        let decisions: Vec<_> =
            (0..100).map(|n| decision(f64::from(n % 3), 0.1, if n % 10 == 0 { 1.0 } else { 0.0 })).collect();
        let found = value(&decisions).expect("ten were taken");
        assert!((found.replay - found.snips).abs() < 1e-12 && (found.ips - found.snips).abs() < 1e-12);
        assert!((found.effective - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_skewed_log_is_corrected() {
        // Action 0 earns 1, action 1 earns 0; the log takes action 0 in nine of ten; the policy tosses a coin: 0.5.
        let draws = 20_000u64;
        let decisions: Vec<_> = (0..draws)
            .map(|n| {
                let first = hash::mix(7, &[n]) % 10 < 9;
                decision(f64::from(u8::from(first)), if first { 0.9 } else { 0.1 }, 0.5)
            })
            .collect();
        let found = value(&decisions).expect("all may be taken");
        assert!((found.ips - 0.5).abs() < 0.02 && (found.snips - 0.5).abs() < 0.02, "{found:?}");
        assert!(found.replay > 0.85, "replay alone is that of the log: {found:?}");
        assert!(found.effective < 0.5 * draws as f64, "{found:?}");
    }
}
