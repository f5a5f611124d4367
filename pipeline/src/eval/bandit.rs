//! `freshet eval bandit`: whether off-policy estimates hold, on a log of which the truth is known.
//!
//! The Open Bandit Dataset has two policies that ran side by side on the same visitors: one draws evenly, the other is Bernoulli
//! Thompson sampling. So what one of them earns can be estimated from the log of the other, and compared with what it did earn.
//! Thompson sampling learns while it runs, and its probabilities are in no file; what is measured is its mixture over the time of
//! its log, by position: how often it showed each item there. The model of doubly robust is each item's rate of clicks, shrunk to
//! that of all, from the half of the log that the decision is not in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use freshet_learning::off_policy::{Decision, ENOUGH, Sums};
use freshet_schema::hash;
use freshet_sources::import::bandit::{self, Round};
use serde_json::{Value as Json, json};

use super::bootstrap::{self, Estimate, RESAMPLES};
use crate::progress_display::count;
use crate::table::{Align, render};

/// Clicks are shrunk as if each item had been shown so many times more, at the rate of all.
const SHRINKAGE: f64 = 100.0;

/// An estimate of a policy from the other's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// Whose value: `thompson` or `random`.
    pub policy: &'static str,
    /// Whose log.
    pub log: &'static str,
    /// Decisions of the log.
    pub decisions: usize,
    /// Effective sample size.
    pub effective: f64,
    /// What the policy earned a decision, from its own log.
    pub earned: Estimate,
    /// Inverse propensity scoring, self-normalised, doubly robust.
    pub estimates: [(&'static str, Estimate); 3],
}

/// Both directions, and what each policy's own log says.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandit {
    /// The folder.
    pub dir: PathBuf,
    /// Distinct items.
    pub items: usize,
    /// From the log that was drawn evenly, and from that of Thompson sampling.
    pub directions: [Direction; 2],
}

/// Probability of an item at a position, by (position, item).
type Policy = BTreeMap<(u64, u64), f64>;

/// Estimates each policy's value from the other's log.
///
/// # Errors
/// Where the folder lacks a log, or one cannot be used.
pub fn bandit(dir: &Path, seed: u64) -> anyhow::Result<Bandit> {
    let [random, thompson] = [log(dir, "random")?, log(dir, "bts")?];
    let items: Vec<u64> = {
        let mut items: Vec<u64> = random.iter().chain(&thompson).map(|round| round.item).collect();
        items.sort_unstable();
        items.dedup();
        items
    };
    let positions: Vec<u64> = {
        let mut positions: Vec<u64> = random.iter().chain(&thompson).map(|round| round.position).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    };
    let even = 1.0 / items.len() as f64;
    let uniform: Policy =
        positions.iter().flat_map(|at| items.iter().map(|item| ((*at, *item), even))).collect();
    let directions = [
        direction(("thompson", "random"), &random, &thompson, &frequencies(&thompson), seed),
        direction(("random", "thompson"), &thompson, &random, &uniform, seed),
    ];
    Ok(Bandit { dir: dir.to_owned(), items: items.len(), directions })
}

/// The log of a policy in a folder: `random_all_all.parquet`, or `random/all/all.csv` as the set is published.
fn log(dir: &Path, policy: &str) -> anyhow::Result<Vec<Round>> {
    let names = [
        format!("{policy}_all_all.parquet"),
        format!("{policy}_all_all.csv"),
        format!("{policy}/all/all.csv"),
        format!("{policy}/all/all.parquet"),
    ];
    match names.iter().map(|name| dir.join(name)).find(|path| path.is_file()) {
        Some(path) => Ok(bandit::read(&path)?),
        None => bail!(
            "{}: it holds no log of the policy {policy}; name a folder of the Open Bandit Dataset with {}",
            dir.display(),
            names.join(" or ")
        ),
    }
}

/// How often each item stood at each position.
fn frequencies(rounds: &[Round]) -> Policy {
    let (mut shown, mut at) = (Policy::new(), BTreeMap::new());
    for round in rounds {
        *shown.entry((round.position, round.item)).or_default() += 1.0;
        *at.entry(round.position).or_insert(0.0) += 1.0;
    }
    for ((position, _), times) in &mut shown {
        *times /= at[position];
    }
    shown
}

/// The rate of clicks of each item and of all, from half of the rounds.
struct Rates {
    all: f64,
    items: BTreeMap<u64, f64>,
}

impl Rates {
    fn of<'a>(rounds: impl Iterator<Item = &'a Round>) -> Self {
        let mut items: BTreeMap<u64, [f64; 2]> = BTreeMap::new();
        let mut all = [0.0, 0.0];
        for round in rounds {
            for sums in [items.entry(round.item).or_default(), &mut all] {
                sums[0] += f64::from(u8::from(round.click));
                sums[1] += 1.0;
            }
        }
        let rate = if all[1] > 0.0 { all[0] / all[1] } else { 0.0 };
        let shrunk = |[clicks, shown]: [f64; 2]| (clicks + SHRINKAGE * rate) / (shown + SHRINKAGE);
        Self { all: rate, items: items.into_iter().map(|(item, sums)| (item, shrunk(sums))).collect() }
    }

    fn item(&self, item: u64) -> f64 {
        self.items.get(&item).copied().unwrap_or(self.all)
    }

    /// What a policy is expected to earn at each position.
    fn expected(&self, policy: &Policy) -> BTreeMap<u64, f64> {
        let mut expected = BTreeMap::new();
        for ((position, item), chance) in policy {
            *expected.entry(*position).or_insert(0.0) += chance * self.item(*item);
        }
        expected
    }
}

fn direction(
    (policy, logged_by): (&'static str, &'static str),
    log: &[Round],
    own: &[Round],
    measured: &Policy,
    seed: u64,
) -> Direction {
    let fold = |n: usize| (hash::mix(seed, &[n as u64]) & 1) as usize;
    let rates = [0, 1].map(|other| {
        let rounds = log.iter().enumerate().filter(|(n, _)| fold(*n) == other);
        Rates::of(rounds.map(|(_, round)| round))
    });
    let expected = [0, 1].map(|half| rates[half].expected(measured));
    let sums: Vec<Sums> = log
        .iter()
        .enumerate()
        .map(|(n, round)| {
            let half = 1 - fold(n);
            Sums::of(&Decision {
                reward: f64::from(u8::from(round.click)),
                propensity: round.propensity,
                chosen: measured.get(&(round.position, round.item)).copied().unwrap_or(0.0),
                modelled: rates[half].item(round.item),
                expected: expected[half].get(&round.position).copied().unwrap_or(rates[half].all),
            })
        })
        .collect();
    let of = |rounds: &mut dyn Iterator<Item = usize>| {
        let mut all = Sums::default();
        rounds.for_each(|n| all.plus(&sums[n]));
        all.value()
    };
    let value = of(&mut (0..sums.len()));
    let mut drawn: [Vec<f64>; 3] = Default::default();
    for resample in 0..RESAMPLES as u64 {
        if let Some(value) = of(&mut bootstrap::draw(sums.len(), resample, seed)) {
            let values = [value.ips, value.snips, value.doubly_robust];
            drawn.iter_mut().zip(values).for_each(|(drawn, value)| drawn.push(value));
        }
    }
    let values = value.map_or([0.0; 3], |value| [value.ips, value.snips, value.doubly_robust]);
    let mut drawn = drawn.into_iter();
    let mut estimate = |n: usize| bootstrap::estimate(values[n], drawn.next().unwrap_or_default());
    let estimates = [("ips", estimate(0)), ("snips", estimate(1)), ("doubly_robust", estimate(2))];
    let clicks = |draws: &mut dyn Iterator<Item = usize>| {
        draws.filter(|n| own[*n].click).count() as f64 / own.len() as f64
    };
    let resampled =
        (0..RESAMPLES as u64).map(|resample| clicks(&mut bootstrap::draw(own.len(), resample, seed ^ 1)));
    Direction {
        policy,
        log: logged_by,
        decisions: log.len(),
        effective: value.map_or(0.0, |value| value.effective),
        earned: bootstrap::estimate(clicks(&mut (0..own.len())), resampled.collect()),
        estimates,
    }
}

impl Direction {
    /// Whether enough was logged for a claim.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.effective >= ENOUGH
    }

    /// Whether an interval holds what the policy earned.
    #[must_use]
    pub fn covers(&self, estimate: &Estimate) -> bool {
        (estimate.low..=estimate.high).contains(&self.earned.value)
    }
}

impl Bandit {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let figure = |of: &Estimate| json!({"value": of.value, "low": of.low, "high": of.high});
        let direction = |of: &Direction| {
            let estimate = |(name, estimate): &(&str, Estimate)| {
                let mut figure = figure(estimate);
                figure["covers"] = of.covers(estimate).into();
                ((*name).to_owned(), figure)
            };
            json!({
                "policy": of.policy,
                "log": of.log,
                "decisions": of.decisions,
                "effective": of.effective,
                "claimed": of.is_claimed(),
                "earned": figure(&of.earned),
                "estimates": of.estimates.iter().map(estimate).collect::<serde_json::Map<_, _>>(),
            })
        };
        json!({
            "command": "eval bandit",
            "dir": self.dir.display().to_string(),
            "items": self.items,
            "resamples": RESAMPLES,
            "directions": self.directions.iter().map(direction).collect::<Vec<_>>(),
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}: {} items; clicks a thousand decisions, 95 % intervals\n",
            self.dir.display(),
            self.items
        );
        for of in &self.directions {
            let claim = if of.is_claimed() { "" } else { ": too few for a claim" };
            text.push_str(&format!(
                "\nwhat {} earns, from {} decisions of {} (effective {:.0}{claim})\n",
                of.policy,
                count(of.decisions as u64),
                of.log,
                of.effective
            ));
            let row = |name: &str, estimate: &Estimate, covers: &str| {
                let per_mille = |x: f64| format!("{:.2}", x * 1e3);
                vec![
                    name.to_owned(),
                    per_mille(estimate.value),
                    format!("{} to {}", per_mille(estimate.low), per_mille(estimate.high)),
                    covers.to_owned(),
                ]
            };
            let mut rows = vec![row("its own log", &of.earned, "")];
            for (name, estimate) in &of.estimates {
                rows.push(row(name, estimate, if of.covers(estimate) { "holds it" } else { "misses it" }));
            }
            let columns =
                [("", Align::Left), ("value", Align::Right), ("interval", Align::Left), ("", Align::Left)];
            text.push_str(&render(&columns, &rows));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs of a world where item `n` of ten is clicked with a chance of n / 20, one drawn evenly, the other in proportion to n.
    fn write(dir: &Path) {
        let skewed: Vec<u64> =
            (1..=10u64).flat_map(|item| std::iter::repeat_n(item, item as usize)).collect();
        for (name, draws) in [("random", (1..=10).collect()), ("bts", skewed)] {
            let mut text = "item_id,position,click,propensity_score\n".to_owned();
            for n in 0..6_000u64 {
                let draw = |part: u64| hash::mix(3, &[part, n, draws.len() as u64]);
                let item = draws[(draw(0) % draws.len() as u64) as usize];
                let chance = draws.iter().filter(|other| **other == item).count() as f64 / draws.len() as f64;
                let click = u64::from(draw(1) % 20 < item);
                text.push_str(&format!("{item},{},{click},{chance}\n", 1 + n % 3));
            }
            std::fs::write(dir.join(format!("{name}_all_all.csv")), text).expect("room");
        }
    }

    #[test]
    fn each_policy_is_found_in_the_others_log() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path());
        let found = bandit(dir.path(), 1).expect("two logs");
        assert_eq!(found.items, 10);
        for (of, truth) in found.directions.iter().zip([0.35, 0.275]) {
            assert!(of.is_claimed() && of.effective < 6_000.0, "{of:?}");
            assert!((of.earned.value - truth).abs() < 0.02, "{of:?}");
            for (name, estimate) in &of.estimates {
                assert!((estimate.value - truth).abs() < 0.03, "{name}: {of:?}");
                assert!(estimate.low < estimate.value && estimate.value < estimate.high, "{name}: {of:?}");
            }
        }
        assert!(
            found.to_text().contains("what thompson earns, from 6,000 decisions of random"),
            "{}",
            found.to_text()
        );
        assert_eq!(found.to_json()["directions"][0]["claimed"], true);
    }

    #[test]
    fn a_folder_without_a_log_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = bandit(dir.path(), 1).expect_err("nothing there").to_string();
        assert!(error.contains("random_all_all.parquet") && error.contains("Open Bandit"), "{error}");
    }
}
