//! `GET /v1/experiments`: what was counted of each arm and what follows from it, the same as `freshet experiment` shows.
//!
//! The store has whole sums; means and intervals are made here, when somebody looks. So the graph says nothing that depends on a level
//! of confidence, and whoever wants another one has all that it takes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use freshet_learning::off_policy::grouped::{Estimate, Half, estimates};
use freshet_learning::trial::{self, Sample, SampleRatio};
use freshet_schema::Millis;
use freshet_schema::feed::{self, DrawSums, ExperimentsRecord, MetricSums};
use freshet_schema::store::Key;
use serde::Serialize;

use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::{read, rfc3339};

/// All experiments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experiments {
    /// The epoch of the publication.
    pub epoch: u64,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The same as text.
    pub as_of: String,
    /// In the order of the configuration.
    pub experiments: Vec<Experiment>,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Share of all users that are in it.
    pub share: f64,
    /// From when on what they do counts, in milliseconds since 1970.
    pub since_ms: u64,
    /// The same as text.
    pub since: String,
    /// The chance that an interval ever misses, over all looks and all comparisons with the control.
    pub alpha: f64,
    /// There is no verdict before each arm has so many users.
    pub min_users: u64,
    /// Whether the arms have the users that they should have; `None` without users.
    pub sample_ratio: Option<Ratio>,
    /// How it stands, in words.
    pub explanation: String,
    /// The first is the control.
    pub arms: Vec<Arm>,
}

/// How users fell to the arms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Pearson's chi-squared.
    pub chi_squared: f64,
    /// What it exceeds in one of a thousand experiments in which all is well.
    pub critical: f64,
    /// Whether it does.
    pub mismatch: bool,
}

/// An arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Share of the experiment's users.
    pub share: f64,
    /// What it sets, as `key = value`.
    pub sets: Vec<String>,
    /// Its users.
    pub users: u64,
    /// What is compared.
    pub metrics: Vec<Metric>,
    /// What the places earned that were drawn, and what they would have earned drawn otherwise.
    pub off_policy: Vec<OffPolicy>,
}

/// What the drawn places of an arm would have earned with another policy: the share of them whose video was watched to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OffPolicy {
    /// What drew the places: `novelty`, `popular` or `explore`.
    pub policy: String,
    /// From how many of the best candidates the measured policy draws; 0 where it is the one that drew.
    pub best: u32,
    /// The measured policy in words.
    pub target: String,
    /// Users with such a place.
    pub users: u64,
    /// Places.
    pub places: u64,
    /// Effective sample size.
    pub effective: f64,
    /// Whether that is enough for a claim; below 1,000 it is not.
    pub claimed: bool,
    /// Inverse propensity scoring.
    pub ips: Bounded,
    /// The same, self-normalised.
    pub snips: Bounded,
    /// Doubly robust.
    pub doubly_robust: Bounded,
}

/// A value with an interval, which may be looked at at any time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounded {
    /// The estimate.
    pub value: f64,
    /// Ends of the interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// A metric of an arm. Its unit is the user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Users who have it.
    pub users: u64,
    /// Mean over them.
    pub mean: f64,
    /// Against the control; `None` for the control itself, and where there are fewer than two users.
    pub difference: Option<Difference>,
}

/// A difference to the control.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean less the control's mean.
    pub value: f64,
    /// Ends of the interval, which may be looked at at any time.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// `too_few_users`, `users_missing`, `no_difference`, `higher` or `lower`.
    pub verdict: &'static str,
}

/// The metrics that are shares, which the store has in millionths.
const SHARES: [&str; 3] = ["completion", "skips", "returning"];

impl From<&ExperimentsRecord> for Experiments {
    fn from(record: &ExperimentsRecord) -> Self {
        Self {
            epoch: record.epoch,
            now_ms: record.now_ms,
            as_of: rfc3339(Millis(record.now_ms)),
            experiments: record.experiments.iter().map(Experiment::from).collect(),
        }
    }
}

impl From<&feed::Experiment> for Experiment {
    fn from(record: &feed::Experiment) -> Self {
        let users: Vec<(u64, f64)> = record.arms.iter().map(|arm| (arm.users, arm.share)).collect();
        let ratio = SampleRatio::of(&users).map(|ratio| Ratio {
            chi_squared: ratio.chi_squared,
            critical: ratio.critical,
            mismatch: ratio.is_mismatch(),
        });
        let enough = users.iter().all(|(users, _)| *users >= record.min_users);
        let missing = ratio.is_some_and(|ratio| ratio.mismatch);
        // The chance to err is divided among the arms that are compared with the control (Bonferroni).
        let alpha = record.alpha / (record.arms.len().max(2) - 1) as f64;
        let verdict = |excludes_zero: bool, value: f64| match (enough, missing) {
            (false, _) => "too_few_users",
            (true, true) => "users_missing",
            (true, false) if !excludes_zero => "no_difference",
            (true, false) if value > 0.0 => "higher",
            (true, false) => "lower",
        };
        let sample = |metric: &MetricSums| {
            let squares = u128::from(metric.squares_high) << 64 | u128::from(metric.squares_low);
            Sample::of(metric.users, metric.sum, squares)
        };
        let control = record.arms.first();
        let of_control = |name: &str| control.and_then(|arm| arm.metrics.iter().find(|m| m.name == name));
        let metric = |arm: usize, metric: &MetricSums| {
            let scale = if SHARES.contains(&metric.name.as_str()) { 1e6 } else { 1.0 };
            let own = sample(metric);
            let other = of_control(&metric.name).filter(|_| arm > 0).map(sample);
            let tuned_for = (record.min_users * 2) as f64;
            let difference =
                other.and_then(|other| trial::difference(&other, &own, alpha, tuned_for.max(2.0)));
            Metric {
                name: metric.name.clone(),
                users: metric.users,
                mean: own.mean / scale,
                difference: difference.map(|interval| Difference {
                    value: interval.value / scale,
                    low: interval.low / scale,
                    high: interval.high / scale,
                    verdict: verdict(interval.excludes_zero(), interval.value),
                }),
            }
        };
        let arms: Vec<Arm> = record
            .arms
            .iter()
            .enumerate()
            .map(|(n, arm)| Arm {
                name: arm.name.clone(),
                share: arm.share,
                sets: arm.sets.clone(),
                users: arm.users,
                metrics: arm.metrics.iter().map(|of| metric(n, of)).collect(),
                off_policy: off_policy(&arm.draws, record),
            })
            .collect();
        Self {
            name: record.name.clone(),
            share: record.share,
            since_ms: record.since_ms,
            since: rfc3339(Millis(record.since_ms)),
            alpha: record.alpha,
            min_users: record.min_users,
            sample_ratio: ratio,
            explanation: explain(&arms, record, enough, missing),
            arms,
        }
    }
}

/// The sums of a half as numbers, of which weights are in millionths.
fn half(of: &DrawSums) -> Half {
    let product = |n: usize| {
        let word = |n: usize| of.products.get(n).copied().unwrap_or(0);
        (u128::from(word(2 * n)) << 64 | u128::from(word(2 * n + 1))) as f64
    };
    Half {
        users: of.users as f64,
        decisions: of.places as f64,
        rewards: of.earned as f64,
        weights: of.weights as f64 / 1e6,
        weighted: of.weighted as f64 / 1e6,
        squares: product(0) / 1e12,
        products: [
            product(1),
            product(2) / 1e6,
            product(3) / 1e6,
            product(4) / 1e12,
            product(5) / 1e12,
            product(6) / 1e12,
        ],
    }
}

/// What the drawn places of an arm would have earned, by what drew them and the measured policy.
fn off_policy(draws: &[DrawSums], record: &feed::Experiment) -> Vec<OffPolicy> {
    let of_both = draws.chunk_by(|a, b| (a.policy, a.best) == (b.policy, b.best));
    let one = |both: &[DrawSums]| {
        let mut halves = [Half::default(); 2];
        both.iter().for_each(|of| halves[(of.half & 1) as usize] = half(of));
        let found = estimates(&halves)?;
        let users: u64 = both.iter().map(|of| of.users).sum();
        let width = trial::boundary(users as f64, record.alpha, record.min_users.max(1) as f64);
        let bounded = |of: Estimate| Bounded {
            value: of.value,
            low: of.value - width * of.error,
            high: of.value + width * of.error,
        };
        let best = both[0].best;
        Some(OffPolicy {
            policy: both[0].policy().as_str_name().trim_start_matches("SLOT_POLICY_").to_lowercase(),
            best,
            target: match best {
                0 => "as drawn".to_owned(),
                1 => "the best".to_owned(),
                _ => format!("best {best}"),
            },
            users,
            places: both.iter().map(|of| of.places).sum(),
            effective: found.effective,
            claimed: found.is_enough(),
            ips: bounded(found.ips),
            snips: bounded(found.snips),
            doubly_robust: bounded(found.doubly_robust),
        })
    };
    of_both.filter_map(one).collect()
}

/// How an experiment stands, in a few sentences.
fn explain(arms: &[Arm], record: &feed::Experiment, enough: bool, missing: bool) -> String {
    if missing && enough {
        return "Users are missing: the arms do not have the users that their shares promise (chi-squared above its 99.9 % \
                quantile), so nothing here can be trusted. Look for lost events, or for users who cannot bear an arm."
            .to_owned();
    }
    if !enough {
        return format!(
            "No verdict yet: the smallest arm has {} users, and there is none below {} (min_users).",
            arms.iter().map(|arm| arm.users).min().unwrap_or(0),
            record.min_users
        );
    }
    let found: Vec<String> = arms
        .iter()
        .flat_map(|arm| arm.metrics.iter().map(move |metric| (arm, metric)))
        .filter_map(|(arm, metric)| {
            let verdict =
                metric.difference.map(|d| d.verdict).filter(|v| matches!(*v, "higher" | "lower"))?;
            Some(format!("{} is {verdict} in {}", metric.name, arm.name))
        })
        .collect();
    if found.is_empty() {
        "No difference is shown: each interval holds zero.".to_owned()
    } else {
        format!(
            "Shown: {}. Each interval alone errs in {} of cases, so of many metrics some may err.",
            found.join("; "),
            record.alpha
        )
    }
}

/// Why there may be no record.
pub const NONE: &str =
    "no [[experiment]] is configured, or nothing was published since (score.publish_every)";

pub(crate) async fn get(State(state): State<Arc<ServerState>>) -> Result<Json<Experiments>, Problem> {
    let record: Option<ExperimentsRecord> = read(&*state.store, &Key::Experiments)?;
    match record {
        Some(record) => Ok(Json(Experiments::from(&record))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no-experiments", "There are no experiments", NONE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &str, users: u64, likes: i64, completed: i64) -> feed::Arm {
        let metric = |name: &str, sum: i64, squares: u64| MetricSums {
            name: name.to_owned(),
            users,
            sum,
            squares_high: 0,
            squares_low: squares,
        };
        feed::Arm {
            name: name.to_owned(),
            share: 0.5,
            sets: Vec::new(),
            users,
            // Some like once and the others do not; all complete alike.
            metrics: vec![
                metric("likes", likes, likes as u64),
                metric("completion", completed * users as i64, (completed * completed) as u64 * users),
            ],
            draws: Vec::new(),
        }
    }

    fn experiment(arms: Vec<feed::Arm>) -> Experiment {
        Experiment::from(&feed::Experiment {
            name: "x".to_owned(),
            share: 1.0,
            since_ms: 0,
            alpha: 0.05,
            min_users: 1_000,
            arms,
        })
    }

    fn verdicts(of: &Experiment) -> Vec<&'static str> {
        of.arms[1].metrics.iter().filter_map(|metric| metric.difference.map(|d| d.verdict)).collect()
    }

    #[test]
    fn a_difference_is_told_and_a_share_is_one() {
        let told =
            experiment(vec![arm("control", 2_000, 1_000, 400_000), arm("calm", 2_040, 1_400, 400_000)]);
        assert_eq!(verdicts(&told), ["higher", "no_difference"]);
        let [control, calm] = &told.arms[..] else { panic!("two arms") };
        assert_eq!((control.metrics[0].mean, control.metrics[1].mean), (0.5, 0.4));
        assert_eq!(control.metrics[0].difference, None);
        let likes = calm.metrics[0].difference.expect("enough");
        assert!(
            likes.low > 0.1 && likes.high < 0.25 && (likes.value - (1_400.0 / 2_040.0 - 0.5)).abs() < 1e-9
        );
        assert!(told.explanation.contains("likes is higher in calm"), "{}", told.explanation);
    }

    /// Each of a hundred users had 20 places, each drawn from 4 candidates; of the 5 that got the best 4 were watched to the end, of the others 3.
    fn draws(users: u64, best: u32) -> Vec<DrawSums> {
        let (weights, weighted): (u64, u64) =
            if best == 0 { (20_000_000, 7_000_000) } else { (20_000_000, 16_000_000) };
        let squares: u64 = if best == 0 { 20 } else { 5 * 16 };
        let half = |half: u32| {
            let (p, w, x) = (20u128, u128::from(weights), u128::from(weighted));
            let n = u128::from(users);
            let products = [
                u128::from(squares) * 1_000_000_000_000 * n,
                p * p * n,
                p * w * n,
                p * x * n,
                w * w * n,
                w * x * n,
                x * x * n,
            ];
            DrawSums {
                policy: feed::SlotPolicy::Novelty.into(),
                best,
                half,
                users,
                places: 20 * users,
                earned: 7 * users,
                weights: weights * users,
                weighted: weighted * users,
                products: products.iter().flat_map(|sum| [(sum >> 64) as u64, *sum as u64]).collect(),
            }
        };
        (0..2).map(half).collect()
    }

    #[test]
    fn draws_say_what_others_would_have_earned() {
        let of = |users: u64| {
            let mut control = arm("control", 2_000, 1_000, 400_000);
            control.draws = [draws(users, 0), draws(users, 1)].concat();
            experiment(vec![control]).arms.remove(0).off_policy
        };
        let [drawn, best] = &of(100)[..] else { panic!("two policies") };
        assert_eq!((drawn.policy.as_str(), drawn.target.as_str(), drawn.best), ("novelty", "as drawn", 0));
        assert_eq!((best.target.as_str(), best.users, best.places), ("the best", 200, 4_000));
        for (of, expected) in [(drawn, 0.35), (best, 0.8)] {
            for estimate in [of.ips, of.snips, of.doubly_robust] {
                assert!((estimate.value - expected).abs() < 1e-9, "{of:?}");
                assert!(estimate.high - estimate.low < 1e-4, "the users are alike: {of:?}");
            }
        }
        assert!((drawn.effective - 4_000.0).abs() < 1e-6 && drawn.claimed);
        assert!((best.effective - 1_000.0).abs() < 1e-6 && best.claimed);
        assert!(!of(99)[1].claimed, "below 1,000 nothing is claimed");
        assert!(experiment(vec![arm("control", 1, 0, 0)]).arms[0].off_policy.is_empty());
    }

    #[test]
    fn too_few_and_missing_users_give_no_verdict() {
        let few = experiment(vec![arm("control", 999, 100, 0), arm("calm", 1_010, 900, 0)]);
        assert_eq!(verdicts(&few), ["too_few_users"; 2]);
        let missing = experiment(vec![arm("control", 2_000, 200, 0), arm("calm", 1_500, 900, 0)]);
        assert_eq!(verdicts(&missing), ["users_missing"; 2]);
        assert!(missing.explanation.starts_with("Users are missing"), "{}", missing.explanation);
        let nobody = experiment(vec![arm("control", 0, 0, 0), arm("calm", 0, 0, 0)]);
        assert_eq!((nobody.sample_ratio, verdicts(&nobody).len()), (None, 0));
    }
}
