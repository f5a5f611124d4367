//! `freshet experiment`: what the arms of an experiment come to, for a terminal of 80 columns.

use std::io::{Write, stdout};

use anyhow::bail;
use clap::Args;
use freshet_feed_server::experiments::{Arm, Bounded, Experiment, Experiments, Metric, NONE, OffPolicy};
use freshet_schema::store::{Key, Value};

use super::StoreArgs;
use crate::table::{Align, printable, render, wrap};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Show what experiments come to: each arm's users and means, and how they differ from the first arm, the control
///
/// The intervals are confidence sequences: they hold however often one looks, so an experiment may be ended when one of them leaves
/// zero out. There is no verdict before each arm has `min_users` users, nor where the arms do not have the users that they should.
#[derive(Debug, Args)]
#[command(name = "experiment")]
#[command(
    after_long_help = "Examples:\n  freshet experiment --store data/store\n  freshet experiment weights --json | jq '.experiments[].arms[].metrics'"
)]
pub struct ShowExperiment {
    /// Only this experiment
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Show what the places that were drawn would have earned had they been drawn otherwise, instead of the metrics
    #[arg(long)]
    off_policy: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl ShowExperiment {
    pub fn run(self) -> anyhow::Result<()> {
        let mut view = self.store.open()?;
        let Some(Value::Experiments(record)) = view.get(&Key::Experiments)? else {
            bail!("there are no experiments: {NONE}");
        };
        let mut all = Experiments::from(&record);
        if let Some(name) = &self.name {
            let names: Vec<String> = all.experiments.iter().map(|one| one.name.clone()).collect();
            all.experiments.retain(|one| one.name == *name);
            if all.experiments.is_empty() {
                bail!("experiment {name:?}: there is no such experiment; there are: {}", names.join(", "));
            }
        }
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&all)?)?);
        }
        for experiment in &all.experiments {
            writeln!(out, "{}", drawn(experiment, self.off_policy))?;
        }
        Ok(writeln!(out, "epoch {}, as of {}", all.epoch, all.as_of)?)
    }
}

/// An experiment as a table, with what it means.
fn drawn(experiment: &Experiment, off_policy: bool) -> String {
    let Experiment { name, share, since, .. } = experiment;
    let mut text =
        format!("experiment {}: {} of all users, since {since}\n", printable(name), percent(*share));
    for arm in &experiment.arms {
        let sets = if arm.sets.is_empty() { "as configured".to_owned() } else { arm.sets.join(", ") };
        let line = format!("  {}: {} users ({}), {sets}", arm.name, arm.users, percent(arm.share));
        text.push_str(&printable(&line));
        text.push('\n');
    }
    if let Some(ratio) = &experiment.sample_ratio {
        let sign = if ratio.mismatch { '>' } else { '<' };
        let sign = if ratio.chi_squared == ratio.critical { '=' } else { sign };
        text.push_str(&format!(
            "  sample ratio: chi-squared {:.2} {sign} {:.2}\n",
            ratio.chi_squared, ratio.critical
        ));
    }
    text.push('\n');
    text.push_str(&if off_policy { draws(experiment) } else { metrics(experiment) });
    text
}

/// What the arms' drawn places earned, and would have earned.
pub(crate) fn draws(experiment: &Experiment) -> String {
    let columns = [
        ("arm", Align::Left),
        ("places", Align::Left),
        ("drawn", Align::Left),
        ("effective", Align::Right),
        ("ips", Align::Right),
        ("snips", Align::Right),
        ("doubly robust", Align::Left),
        ("", Align::Left),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for arm in &experiment.arms {
        for (n, of) in arm.off_policy.iter().enumerate() {
            let OffPolicy { policy, target, effective, claimed, ips, snips, doubly_robust, .. } = of;
            let Bounded { value, low, high } = doubly_robust;
            rows.push(vec![
                if n == 0 { printable(&arm.name) } else { String::new() },
                policy.clone(),
                target.clone(),
                format!("{effective:.0}"),
                format!("{:.3}", ips.value),
                format!("{:.3}", snips.value),
                format!("{value:.3} ({low:.3} to {high:.3})"),
                if *claimed { String::new() } else { "*".to_owned() },
            ]);
        }
    }
    if rows.is_empty() {
        return wrap(
            "No place was drawn for these users since the experiment began: lists have none (rerank.novelty_share), or the pages that are \
             handed out do not come back as `served` records with `drawn`.",
            WIDTH,
        );
    }
    let mut text = render(&columns, &rows);
    text.push('\n');
    let few = experiment.arms.iter().flat_map(|arm| &arm.off_policy).any(|of| !of.claimed);
    let few = if few { " * No claim: the effective sample size is below 1,000." } else { "" };
    text.push_str(&wrap(
        &format!(
            "The share of the places whose video was watched to its end, as it was and as it would have been with another draw from the same \
             candidates. An interval holds at any look with a chance of {}.{few}",
            percent(1.0 - experiment.alpha)
        ),
        WIDTH,
    ));
    text
}

/// What is compared between the arms, with what it means.
fn metrics(experiment: &Experiment) -> String {
    let Experiment { min_users, alpha, .. } = experiment;
    let mut text = String::new();
    let columns = [
        ("metric", Align::Left),
        ("arm", Align::Left),
        ("users", Align::Right),
        ("mean", Align::Right),
        ("difference", Align::Right),
        ("interval", Align::Left),
        ("", Align::Left),
    ];
    let names = experiment.arms.first().map_or(&[][..], |arm| &arm.metrics);
    let rows: Vec<Vec<String>> = names
        .iter()
        .flat_map(|metric| {
            experiment.arms.iter().filter_map(move |arm| Some((arm, find(arm, &metric.name)?)))
        })
        .enumerate()
        .map(|(n, (arm, metric))| row(n % experiment.arms.len() == 0, arm, metric))
        .collect();
    text.push_str(&render(&columns, &rows));
    text.push('\n');
    text.push_str(&wrap(&experiment.explanation, WIDTH));
    text.push_str(&wrap(
        &format!(
            "Means are over users. An interval holds at any look with a chance of {}; verdicts begin at {min_users} users an arm.",
            percent(1.0 - alpha)
        ),
        WIDTH,
    ));
    text
}

fn find<'a>(arm: &'a Arm, name: &str) -> Option<&'a Metric> {
    arm.metrics.iter().find(|metric| metric.name == name)
}

fn row(first: bool, arm: &Arm, metric: &Metric) -> Vec<String> {
    let name = if first { metric.name.clone() } else { String::new() };
    let (difference, interval, verdict) = match &metric.difference {
        None => (String::new(), String::new(), String::new()),
        Some(of) => (
            format!("{:+}", Short(of.value)),
            format!("{:+} to {:+}", Short(of.low), Short(of.high)),
            match of.verdict {
                "higher" | "lower" => of.verdict.to_owned(),
                _ => String::new(),
            },
        ),
    };
    let mean = Short(metric.mean).to_string();
    vec![name, arm.name.clone(), metric.users.to_string(), mean, difference, interval, verdict]
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with as many decimals as tell something.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decimals = match self.0.abs() {
            x if x >= 1_000.0 => 0,
            x if x >= 10.0 => 2,
            _ => 4,
        };
        if f.sign_plus() { write!(f, "{:+.decimals$}", self.0) } else { write!(f, "{:.decimals$}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::feed;

    #[test]
    fn an_experiment_is_a_table() {
        let metric = |name: &str, users: u64, sum: i64, squares: u64| feed::MetricSums {
            name: name.to_owned(),
            users,
            sum,
            squares_high: 0,
            squares_low: squares,
        };
        let arm = |name: &str, sets: &[&str], likes: i64| feed::Arm {
            name: name.to_owned(),
            share: 0.5,
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            users: 2_000,
            metrics: vec![
                metric("watch_ms", 2_000, 60_000_000, 2_400_000_000_000),
                metric("likes", 2_000, likes, likes as u64),
            ],
            draws: Vec::new(),
        };
        let record = feed::Experiment {
            name: "weights".to_owned(),
            share: 0.125,
            since_ms: 1_700_000_000_000,
            alpha: 0.05,
            min_users: 1_000,
            arms: vec![arm("control", &[], 1_000), arm("calm", &["ranking.fast_skip = 1.5"], 1_400)],
        };
        let experiment = Experiment::from(&record);
        assert!(drawn(&experiment, true).contains("No place was drawn"), "{experiment:?}");
        let text = drawn(&experiment, false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let expected = "\
experiment weights: 12.5 % of all users, since 2023-11-14T22:13:20.000Z
  control: 2000 users (50 %), as configured
  calm: 2000 users (50 %), ranking.fast_skip = 1.5
  sample ratio: chi-squared 0.00 < 10.83

metric    arm      users    mean  difference  interval
watch_ms  control   2000   30000
          calm      2000   30000     +0.0000  -1677 to +1677
likes     control   2000  0.5000
          calm      2000  0.7000     +0.2000  +0.1536 to +0.2464  higher
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("likes is higher in calm"), "{text}");
        assert!(text.contains("chance of 95 %"), "{text}");
    }

    #[test]
    fn draws_are_a_table() {
        let half = |best: u32, half: u32| {
            // Each of 200 users had four places drawn from four, and watched the best to the end.
            let (n, weights, weighted, squares) = match best {
                0 => (200u64, 4_000_000u64, 1_000_000u64, 4u64),
                _ => (200, 4_000_000, 4_000_000, 16),
            };
            let (p, w, x) = (4, u128::from(weights), u128::from(weighted));
            let products =
                [u128::from(squares) * 1_000_000_000_000, p * p, p * w, p * x, w * w, w * x, x * x];
            let products = products.map(|sum| sum * u128::from(n));
            feed::DrawSums {
                policy: feed::SlotPolicy::Novelty.into(),
                best,
                half,
                users: n,
                places: 4 * n,
                earned: n,
                weights: weights * n,
                weighted: weighted * n,
                products: products.iter().flat_map(|sum| [(sum >> 64) as u64, *sum as u64]).collect(),
            }
        };
        let arm = feed::Arm {
            name: "control".to_owned(),
            share: 1.0,
            users: 400,
            draws: vec![half(0, 0), half(0, 1), half(1, 0), half(1, 1)],
            ..feed::Arm::default()
        };
        let record = feed::Experiment {
            name: "slots".to_owned(),
            share: 1.0,
            alpha: 0.05,
            min_users: 100,
            arms: vec![arm],
            ..feed::Experiment::default()
        };
        let text = drawn(&Experiment::from(&record), true);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let expected = "\
arm      places   drawn     effective    ips  snips  doubly robust
control  novelty  as drawn       1600  0.250  0.250  0.250 (0.250 to 0.250)
         novelty  the best        400  1.000  1.000  1.000 (1.000 to 1.000)  *
";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("* No claim"), "{text}");
    }
}
