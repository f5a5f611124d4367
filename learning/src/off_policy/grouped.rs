//! The same estimates with their errors from sums over users, as a graph can keep them: whole numbers that are added when something
//! happens and taken back when it is forgotten.
//!
//! What a user decides hangs together, so the error is that of users: each estimate is a ratio of sums over users, whose variance is
//! the sum of squared residuals over the squared denominator (Cochran, "Sampling Techniques", 1977, section 2.11), and the
//! squares of residuals follow from six products. Users are in two halves, and what doubly robust expects of the one half is the mean reward
//! of the other (cross-fitting, Chernozhukov et al. 2018). It expects the same of each choice, so it takes out what the weights of a
//! sample are more or less than one, and no more.

use super::ENOUGH;

/// Sums over the users of one half.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Half {
    /// Users with a decision.
    pub users: f64,
    /// Decisions.
    pub decisions: f64,
    /// Sum of the rewards.
    pub rewards: f64,
    /// Sum of the weights: the chance of the measured policy over that of the log's.
    pub weights: f64,
    /// Sum of weight x reward.
    pub weighted: f64,
    /// Sum of the squared weights, over decisions.
    pub squares: f64,
    /// Over users, with d decisions, w weights and x weighted rewards: the sums of dd, dw, dx, ww, wx and xx.
    pub products: [f64; 6],
}

/// A value with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// What a policy would have earned a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimates {
    /// Inverse propensity scoring.
    pub ips: Estimate,
    /// The same, self-normalised.
    pub snips: Estimate,
    /// Doubly robust.
    pub doubly_robust: Estimate,
    /// `(sum of weights)^2 / sum of squared weights`.
    pub effective: f64,
}

impl Estimates {
    /// Whether enough was logged for a claim.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.effective >= ENOUGH
    }
}

impl Half {
    /// The sum over users of `(a d + b w + c x)^2`.
    fn squared(&self, [a, b, c]: [f64; 3]) -> f64 {
        let [dd, dw, dx, ww, wx, xx] = self.products;
        a * a * dd + b * b * ww + c * c * xx + 2.0 * (a * b * dw + a * c * dx + b * c * wx)
    }

    fn mean(&self) -> Option<f64> {
        (self.decisions > 0.0).then(|| self.rewards / self.decisions)
    }
}

/// The estimates; `None` with fewer than two users, or where the policy would have taken none of the decisions.
#[must_use]
pub fn estimates(halves: &[Half; 2]) -> Option<Estimates> {
    let total = |of: fn(&Half) -> f64| halves.iter().map(of).sum::<f64>();
    let (users, decisions) = (total(|h| h.users), total(|h| h.decisions));
    let (weights, weighted) = (total(|h| h.weights), total(|h| h.weighted));
    if users < 2.0 || decisions <= 0.0 || weights <= 0.0 {
        return None;
    }
    // Of the residual a d + b w + c x of each half.
    let ratio = |value: f64, below: f64, residual: [[f64; 3]; 2]| {
        let squared: f64 = halves.iter().zip(residual).map(|(half, of)| half.squared(of)).sum();
        // The difference of large numbers may be a little less than nothing.
        let variance = (squared * users / (users - 1.0)).max(0.0);
        Estimate { value, error: variance.sqrt() / below }
    };
    let ips = weighted / decisions;
    let snips = weighted / weights;
    // Where the other half has nothing, nothing is expected: that is inverse propensity scoring.
    let models = [halves[1].mean().unwrap_or(0.0), halves[0].mean().unwrap_or(0.0)];
    let corrected: f64 = halves
        .iter()
        .zip(models)
        .map(|(h, model)| model * h.decisions + h.weighted - model * h.weights)
        .sum();
    let doubly = corrected / decisions;
    Some(Estimates {
        ips: ratio(ips, decisions, [[-ips, 0.0, 1.0]; 2]),
        snips: ratio(snips, weights, [[0.0, -snips, 1.0]; 2]),
        doubly_robust: ratio(doubly, decisions, models.map(|model| [model - doubly, -model, 1.0])),
        effective: weights * weights / total(|h| h.squares),
    })
}

#[cfg(test)]
mod tests {
    use freshet_schema::hash;

    use super::super::{Decision, value};
    use super::*;

    /// A user's decisions as (weight, reward).
    type User = Vec<(f64, f64)>;

    fn halves(users: &[User]) -> [Half; 2] {
        let mut halves = [Half::default(); 2];
        for (n, user) in users.iter().enumerate() {
            let half = &mut halves[n % 2];
            let d = user.len() as f64;
            let sum = |of: fn(&(f64, f64)) -> f64| user.iter().map(of).sum::<f64>();
            let (w, x) = (sum(|(w, _)| *w), sum(|(w, r)| w * r));
            half.users += 1.0;
            half.decisions += d;
            half.rewards += sum(|(_, r)| *r);
            half.weights += w;
            half.weighted += x;
            half.squares += sum(|(w, _)| w * w);
            for (sum, product) in half.products.iter_mut().zip([d * d, d * w, d * x, w * w, w * x, x * x]) {
                *sum += product;
            }
        }
        halves
    }

    /// Users of a world in which the best of four candidates is good with a chance of .8 and the others with .2, and who like what they are shown
    /// more or less: the draws of a log that draws evenly, weighed for the policy that takes the best.
    fn world(users: u64, seed: u64) -> Vec<User> {
        let draw = |parts: &[u64]| hash::mix(seed, parts) as f64 / 2.0_f64.powi(64);
        let user = |user: u64| -> User {
            let mood = draw(&[user]) * 0.4 - 0.2;
            let place = |n: u64| {
                let best = draw(&[user, n]) < 0.25;
                let good = draw(&[user, n, 1]) < if best { 0.8 } else { 0.2 } + mood;
                (if best { 4.0 } else { 0.0 }, f64::from(u8::from(good)))
            };
            (0..10).map(place).collect()
        };
        (0..users).map(user).collect()
    }

    #[test]
    fn they_are_the_estimates_of_the_decisions() {
        let users = world(300, 5);
        let found = estimates(&halves(&users)).expect("enough");
        let mean = |half: usize| {
            let own: Vec<f64> =
                users.iter().skip(half).step_by(2).flatten().map(|(_, reward)| *reward).collect();
            own.iter().sum::<f64>() / own.len() as f64
        };
        let means = [mean(1), mean(0)];
        let decisions: Vec<Decision> = users
            .iter()
            .enumerate()
            .flat_map(|(n, user)| user.iter().map(move |decision| (n % 2, decision)))
            .map(|(half, (weight, reward))| Decision {
                reward: *reward,
                propensity: 0.25,
                chosen: weight * 0.25,
                modelled: means[half],
                expected: means[half],
            })
            .collect();
        let by_hand = value(&decisions).expect("some were taken");
        assert!((found.ips.value - by_hand.ips).abs() < 1e-9);
        assert!((found.snips.value - by_hand.snips).abs() < 1e-9);
        assert!((found.doubly_robust.value - by_hand.doubly_robust).abs() < 1e-9);
        assert!((found.effective - by_hand.effective).abs() < 1e-6);
    }

    /// Over many worlds, 95 of 100 ordinary intervals hold the truth.
    #[test]
    fn errors_are_those_of_users() {
        let mut holds = [0; 3];
        for seed in 0..400 {
            let found = estimates(&halves(&world(120, seed))).expect("enough");
            for (n, of) in [found.ips, found.snips, found.doubly_robust].into_iter().enumerate() {
                holds[n] += usize::from((of.value - 0.8).abs() < 1.96 * of.error);
            }
        }
        assert!(holds.iter().all(|holds| (364..=394).contains(holds)), "{holds:?} of 400");
    }

    #[test]
    fn too_little_is_none() {
        assert_eq!(estimates(&[Half::default(); 2]), None);
        assert_eq!(estimates(&halves(&[vec![(4.0, 1.0)]])), None, "one user has no error");
        assert_eq!(estimates(&halves(&[vec![(0.0, 1.0)], vec![(0.0, 0.0)]])), None, "none was taken");
        let few = estimates(&halves(&[vec![(4.0, 1.0)], vec![(0.0, 0.0)]])).expect("two users");
        assert!(!few.is_enough() && few.effective == 1.0);
        let users = world(500, 1);
        assert!(estimates(&halves(&users)).expect("enough").is_enough());
    }
}
