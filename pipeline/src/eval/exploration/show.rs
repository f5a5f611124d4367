//! A report of exploration as a table for people, as JSON for programs, and as a chart.

use std::fmt::Write as _;

use freshet_sources::generate::World;
use serde_json::{Value as Json, json};

use super::Report;
use super::judge::{BIN, Mean, PERIODS, Run};
use crate::eval::bootstrap::{Estimate, RESAMPLES};
use crate::eval::plot::{Chart, Line, Point};
use crate::eval::runs::{Arm, Figure, InOneWorld, seeds};
use crate::eval::world::described;
use crate::progress_display::count;
use crate::table::{Align, render};

impl InOneWorld for Report {
    const COMMAND: &'static str = "eval exploration";

    fn world(&self) -> &World {
        &self.world
    }

    fn arms(&self) -> Vec<Arm> {
        let arm = |run: &Run| {
            let regret = |(name, of): (&&str, &Option<Estimate>)| {
                Figure::number(format!("regret.{name}"), 4, of.map(|of| of.value))
            };
            let explored =
                |(name, of): (&&str, &Mean)| Figure::number(format!("explored.{name}"), 3, of.value());
            let [at_explored, all] = run.value;
            let mut figures: Vec<Figure> = PERIODS.iter().zip(&run.regret).map(regret).collect();
            figures.push(Figure::number("mean_value", 3, all.value()));
            figures.push(Figure::number("explored.mean_value", 3, at_explored.value()));
            figures.extend(PERIODS.iter().zip(&run.explored).map(explored));
            Arm { name: run.policy.as_str(), figures }
        };
        self.runs.iter().map(arm).collect()
    }

    /// Only what is under `cost` differs from run to run.
    fn to_json(&self) -> Json {
        let figure =
            |of: Option<Estimate>| of.map(|of| json!({"value": of.value, "low": of.low, "high": of.high}));
        let by_period = |of: &[Option<Estimate>; PERIODS.len()]| -> Json {
            PERIODS
                .iter()
                .zip(of)
                .map(|(name, of)| ((*name).to_owned(), json!(figure(*of))))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let run = |run: &Run| {
            let [explored, all] = run.value;
            let values: serde_json::Map<String, Json> = PERIODS
                .iter()
                .zip(run.explored)
                .map(|(name, mean)| ((*name).to_owned(), json!(mean.value())))
                .collect();
            json!({
                "policy": run.policy.as_str(),
                "regret": by_period(&run.regret),
                "less_off": by_period(&run.difference),
                "impressions": all.count,
                "mean_value": all.value(),
                "explored": {"impressions": explored.count, "mean_value": explored.value(), "by_period": values},
                "over_time": run.bins.iter().map(Mean::value).collect::<Vec<_>>(),
                "lists": run.lists,
                "cost": {
                    "seconds": run.cost.seconds,
                    "cpu_seconds": run.cost.cpu_seconds,
                    "lists_per_cpu_second": rate(run),
                },
            })
        };
        json!({
            "command": Self::COMMAND,
            "world": described(&self.world),
            "slots": self.exploration.slots,
            "alpha": self.exploration.alpha,
            "epsilon": self.exploration.epsilon,
            "bin_ms": BIN,
            "resamples": RESAMPLES,
            "workers": self.workers,
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    fn to_text(&self) -> String {
        let world = &self.world;
        let mut text = format!(
            "a world of {} users and {} videos over {} days, seed {}; on day {} everybody's tastes turn\n{} places of a list explore, \
             epsilon {}, alpha {}\n\n",
            count(world.users),
            count(world.videos),
            world.days,
            world.seed,
            world.turn.unwrap_or_default(),
            self.exploration.slots,
            self.exploration.epsilon,
            self.exploration.alpha
        );
        let regret =
            |of: Option<Estimate>| of.map_or_else(|| "-".to_owned(), |of| format!("{:.4}", of.value));
        let less = |of: Option<Estimate>| {
            of.map_or_else(
                || "-".to_owned(),
                |of| format!("{:+.4} ({:+.4} to {:+.4})", of.value, of.low, of.high),
            )
        };
        let value = |of: Mean| of.value().map_or_else(|| "-".to_owned(), |value| format!("{:.3}", value));
        let rows: Vec<Vec<String>> = self
            .runs
            .iter()
            .map(|run| {
                let [before, first, later] = run.regret.map(regret);
                let [explored, all] = run.value;
                vec![
                    run.policy.as_str().to_owned(),
                    before,
                    first,
                    later,
                    count(explored.count),
                    value(explored),
                    value(all),
                ]
            })
            .collect();
        let right = |name| (name, Align::Right);
        let columns = [
            ("", Align::Left),
            right("before"),
            right("first day"),
            right("later"),
            right("explored"),
            right("value there"),
            right("value"),
        ];
        text.push_str(&render(&columns, &rows));
        text.push_str(
            "\nbefore, first day, later: regret until the tastes turn, in the day after, and from then on: 1 - the value of what was \
             looked at\nover that of the best that could have been; explored: what was looked at on places that explore, and how well \
             it suited\n\nless regret than without such places, 95 % intervals over users (below 0 is better)\n",
        );
        let rows: Vec<Vec<String>> = self.runs[1..]
            .iter()
            .map(|run| {
                std::iter::once(run.policy.as_str().to_owned()).chain(run.difference.map(less)).collect()
            })
            .collect();
        text.push_str(&render(
            &[("", Align::Left), right("before"), right("first day"), right("later")],
            &rows,
        ));
        let rates =
            self.runs.iter().filter_map(|run| Some(format!("{} {:.0}", run.policy.as_str(), rate(run)?)));
        let _ = writeln!(text, "\nlists a CPU second: {}", rates.collect::<Vec<_>>().join(", "));
        text
    }
}

/// Regret over time, over all worlds; `None` of none.
pub(super) fn chart(reports: &[Report]) -> Option<Chart> {
    let first = reports.first()?;
    let (world, periods) = (&first.world, &first.periods);
    let lines: Vec<(&'static str, Vec<Mean>)> =
        (0..first.runs.len()).map(|n| (first.runs[n].policy.as_str(), over(reports, n))).collect();
    let bins = lines.first().map_or(&[][..], |(_, bins)| bins);
    let at = |n: usize| (n as f64 + 0.5) / bins.len().max(1) as f64;
    let turn = (periods.turn - periods.start) as f64 / (periods.end - periods.start).max(1) as f64;
    let seeds = seeds(reports);
    Some(Chart {
        title: format!(
            "Regret over time: {} users, {} videos, {} interactions, {seeds}",
            world.users, world.videos, world.events
        ),
        x_title: format!("days; in the middle the tastes of all turn; a point is {} hours", BIN / 3_600_000),
        marks: vec![
            (0.0, "0".to_owned()),
            (turn, world.turn.unwrap_or_default().to_string()),
            (1.0, world.days.to_string()),
        ],
        points: bins
            .iter()
            .enumerate()
            .map(|(n, bin)| Point {
                at: at(n),
                label: format!("hour {}", n as u64 * BIN / 3_600_000),
                number: bin.count,
            })
            .collect(),
        lines: lines
            .iter()
            .map(|(name, bins)| Line {
                name: (*name).to_owned(),
                values: bins.iter().map(Mean::value).collect(),
            })
            .collect(),
    })
}

/// Regret over time of the n-th policy, over all worlds.
fn over(reports: &[Report], n: usize) -> Vec<Mean> {
    let mut bins: Vec<Mean> = Vec::new();
    for run in reports.iter().filter_map(|report| report.runs.get(n)) {
        bins.resize(bins.len().max(run.bins.len()), Mean::default());
        bins.iter_mut().zip(&run.bins).for_each(|(sum, own)| sum.plus(*own));
    }
    bins
}

fn rate(run: &Run) -> Option<f64> {
    run.cost.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| run.lists as f64 / cpu)
}
