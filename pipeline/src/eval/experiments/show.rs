//! A report of experiments as text for people and as JSON for programs.

use serde_json::{Value as Json, json};

use super::{ALPHA, POOL, Report, Run};
use crate::commands::experiment::draws;
use crate::eval::bootstrap::Estimate;
use crate::progress_display::count;
use crate::table::{Align, render};

impl Report {
    /// For programs. Only what is under `cost` differs from run to run.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let figure = |of: &Estimate| json!({"value": of.value, "low": of.low, "high": of.high});
        let run = |run: &Run| {
            let found = |found: &super::Found| {
                let [value, low, high] = found.last;
                json!({"metric": found.metric, "found_at_look": found.at, "difference": value, "low": low, "high": high})
            };
            let slots = &run.slots;
            let estimate = |(name, of): &(&str, Estimate)| {
                let mut figure = figure(of);
                figure["covers"] = covers(of, &slots.arm).into();
                ((*name).to_owned(), figure)
            };
            json!({
                "seed": run.seed,
                "looks": run.looks,
                "smallest_arm": run.smallest,
                "mismatched": run.mismatched,
                "planted": run.planted.iter().map(found).collect::<Vec<_>>(),
                "slots": {
                    "decisions": slots.decisions,
                    "effective": slots.effective,
                    "claimed": slots.claimed,
                    "control": figure(&slots.control),
                    "arm": figure(&slots.arm),
                    "estimates": slots.estimates.iter().map(estimate).collect::<serde_json::Map<_, _>>(),
                },
                "view": run.view.iter().flat_map(|of| &of.arms).map(|arm| json!({"arm": arm.name, "off_policy": arm.off_policy}))
                    .collect::<Vec<_>>(),
                "cost": { "seconds": run.cost.seconds, "cpu_seconds": run.cost.cpu_seconds },
            })
        };
        let (copies, errors) = self.errors();
        let world = &self.options.world;
        json!({
            "command": "eval experiments",
            "world": { "users": world.users, "videos": world.videos, "events": world.events, "days": world.days },
            "workers": self.workers,
            "alpha": ALPHA,
            "min_users": self.options.min_users,
            "same": { "experiments": copies, "errors": errors },
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let world = &self.options.world;
        let (copies, errors) = self.errors();
        let looks: usize = self.runs.iter().map(|run| run.looks).max().unwrap_or(0);
        let mut text = format!(
            "{} worlds of {} users, {} videos and {} looks at videos; each experiment is looked at {looks} times at the most\n\n\
             arms that do not differ: of {copies} experiments, so many ever showed a difference (stated: {:.0} %)\n",
            self.runs.len(),
            count(world.users),
            count(world.videos),
            count(world.events),
            ALPHA * 100.0
        );
        let rows: Vec<Vec<String>> = errors
            .iter()
            .map(|(metric, n)| {
                vec![
                    metric.clone(),
                    n.to_string(),
                    format!("{:.1} %", *n as f64 * 100.0 / copies.max(1) as f64),
                ]
            })
            .collect();
        text.push_str(&render(
            &[("metric", Align::Left), ("errors", Align::Right), ("rate", Align::Right)],
            &rows,
        ));
        for run in &self.runs {
            text.push_str(&format!("\nseed {}: an arm whose lists are ordered by nothing\n", run.seed));
            let rows: Vec<Vec<String>> = run
                .planted
                .iter()
                .map(|found| {
                    let [value, low, high] = found.last;
                    vec![
                        found.metric.clone(),
                        format!("{value:+.4}"),
                        format!("{low:+.4} to {high:+.4}"),
                        found.at.map_or_else(|| "not shown".to_owned(), |at| format!("shown at look {at}")),
                    ]
                })
                .collect();
            let columns = [
                ("metric", Align::Left),
                ("difference", Align::Right),
                ("interval", Align::Left),
                ("", Align::Left),
            ];
            text.push_str(&render(&columns, &rows));
            let slots = &run.slots;
            let claim = if slots.claimed { "" } else { ": too few for a claim" };
            text.push_str(&format!(
                "\nseed {}: completions at places of novelty, drawn from {POOL} candidates instead; {} draws of the control, effective \
                 {:.0}{claim}\n",
                run.seed,
                count(slots.decisions as u64),
                slots.effective
            ));
            let row = |name: &str, of: &Estimate, covers: &str| {
                vec![
                    name.to_owned(),
                    format!("{:.4}", of.value),
                    format!("{:.4} to {:.4}", of.low, of.high),
                    covers.to_owned(),
                ]
            };
            let mut rows = vec![row("control", &slots.control, ""), row("arm, as it was", &slots.arm, "")];
            for (name, of) in &slots.estimates {
                rows.push(row(name, of, if covers(of, &slots.arm) { "holds it" } else { "misses it" }));
            }
            let columns =
                [("", Align::Left), ("value", Align::Right), ("interval", Align::Left), ("", Align::Left)];
            text.push_str(&render(&columns, &rows));
            if let Some(view) = &run.view {
                text.push_str(&format!(
                    "\nseed {}: the same as the graph's own view, of all places that were served\n",
                    run.seed
                ));
                text.push_str(&draws(view));
            }
        }
        text
    }
}

/// Whether the truth, which is an estimate itself, lies in the interval.
fn covers(of: &Estimate, truth: &Estimate) -> bool {
    (of.low..=of.high).contains(&truth.value)
}
