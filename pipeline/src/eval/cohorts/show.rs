//! A report of new videos as a table for people and as JSON for programs.

use std::fmt::Write as _;

use freshet_sources::generate::World;
use serde_json::{Value as Json, json};

use super::judge::{Figures, SUITS};
use super::{Report, Run};
use crate::eval::runs::{self, Figure, InOneWorld};
use crate::eval::world::described;
use crate::progress_display::count;
use crate::table::{Align, render};

impl InOneWorld for Report {
    const COMMAND: &'static str = "eval cohorts";

    fn world(&self) -> &World {
        &self.world
    }

    fn arms(&self) -> Vec<runs::Arm> {
        let (good, poor) = (!self.subjects.good.is_empty(), !self.subjects.poor.is_empty());
        let arm = |run: &Run| {
            let figures = run.figures;
            let good = |value: f64| good.then_some(value);
            let poor = |value: f64| poor.then_some(value);
            runs::Arm {
                name: run.arm.as_str(),
                figures: vec![
                    Figure::share("good.reached_half", good(figures.reached_half)),
                    Figure::share("good.mean_reach", good(figures.reach)),
                    Figure::number("good.mean_exposures", 2, good(figures.good_exposures)),
                    Figure::share("good.had_first_exposures", good(figures.had_first)),
                    Figure::number("good.median_hours_to_first_exposures", 1, figures.hours_to_first),
                    Figure::number("poor.mean_exposures", 2, poor(figures.poor_exposures)),
                    Figure::number("poor.mean_wasted", 2, poor(figures.wasted)),
                    Figure::number("mean_value", 1, Some(mean(run))),
                ],
            }
        };
        self.runs.iter().map(arm).collect()
    }

    /// Only what is under `cost` differs from run to run.
    fn to_json(&self) -> Json {
        let subjects = &self.subjects;
        let run = |run: &Run| {
            let Figures {
                reached_half,
                reach,
                reach_by_hour,
                good_exposures,
                poor_exposures,
                wasted,
                had_first,
                hours_to_first,
            } = run.figures;
            let counts = run.browsed;
            let [promoted, graduated, demoted, ended, unreached] = counts.verdicts;
            json!({
                "arm": run.arm.as_str(),
                "cohort": run.cohorts.enabled.then_some(run.cohorts.size),
                "good": (!subjects.good.is_empty()).then(|| json!({
                    "reached_half": reached_half,
                    "mean_reach": reach,
                    "mean_reach_by_hour": reach_by_hour,
                    "mean_exposures": good_exposures,
                    "had_first_exposures": had_first,
                    "median_hours_to_first_exposures": hours_to_first,
                })),
                "poor": (!subjects.poor.is_empty())
                    .then(|| json!({ "mean_exposures": poor_exposures, "mean_wasted": wasted })),
                "impressions": counts.impressions,
                "mean_value": mean(run),
                "claimed": counts.claimed,
                "promoted": counts.promoted,
                "lives": counts.lives,
                "invited": counts.invited,
                "exposed": counts.exposed,
                "verdicts": {
                    "promoted": promoted, "graduated": graduated, "demoted": demoted, "ended": ended, "unreached": unreached,
                },
                "lists": counts.lists,
                "epochs": counts.epochs,
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
            "protocol": {
                "new": subjects.new,
                "of_unknown_creators": subjects.looked_at,
                "good": subjects.good.len(),
                "poor": subjects.poor.len(),
                "suits_per_mille": SUITS,
                "first_exposures": subjects.first,
            },
            "workers": self.workers,
            "arms": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    fn to_text(&self) -> String {
        let subjects = &self.subjects;
        let n = |n: usize| count(n as u64);
        let mut text = format!(
            "a world of {} users and {} videos, seed {}; {} new videos, {} of creators without followers, {} of them good and {} \
             poor; all figures are of the first day\n\n",
            count(self.world.users),
            count(self.world.videos),
            self.world.seed,
            n(subjects.new),
            n(subjects.looked_at),
            n(subjects.good.len()),
            n(subjects.poor.len())
        );
        let mut rows = Vec::new();
        for run in &self.runs {
            let figures = run.figures;
            rows.push(vec![
                run.arm.as_str().to_owned(),
                percent(figures.reached_half),
                percent(figures.reach),
                format!("{:.1}", figures.good_exposures),
                percent(figures.had_first),
                figures.hours_to_first.map_or_else(|| "-".to_owned(), |hours| format!("{hours:.1}")),
                format!("{:.1}", figures.wasted),
                format!("{:.1}", mean(run)),
            ]);
        }
        let columns = [
            ("", Align::Left),
            ("half reached", Align::Right),
            ("reach", Align::Right),
            ("users", Align::Right),
            ("had first", Align::Right),
            ("hours", Align::Right),
            ("wasted", Align::Right),
            ("value", Align::Right),
        ];
        text.push_str(&render(&columns, &rows));
        let first = n(subjects.first);
        let _ = write!(
            text,
            "\nhalf reached: good videos that half of those whom they suit looked at; reach: share of those, on average;\n\
             users: who looked at a good one; had first: good ones with {first} exposures, and hours until then;\n\
             wasted: users who looked at a poor one that does not suit them; value: of all that was looked at, per mille\n"
        );
        for run in self.runs.iter().filter(|run| run.cohorts.enabled) {
            let counts = run.browsed;
            let [promoted, graduated, demoted, ended, unreached] = counts.verdicts;
            let _ = writeln!(
                text,
                "{}: {} lives, first cohorts of {}; {} invited, {} shown; stages {promoted} promoted, {graduated} graduated, \
                 {demoted} demoted, {ended} ended, {unreached} unreached",
                run.arm.as_str(),
                count(counts.lives),
                run.cohorts.size,
                counts.invited,
                counts.exposed
            );
        }
        let rates =
            self.runs.iter().filter_map(|run| Some(format!("{} {:.0}", run.arm.as_str(), rate(run)?)));
        let _ = writeln!(text, "lists a CPU second: {}", rates.collect::<Vec<_>>().join(", "));
        text
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// How well suited what was looked at, in per mille.
fn mean(run: &Run) -> f64 {
    run.browsed.value as f64 / run.browsed.impressions.max(1) as f64
}

fn rate(run: &Run) -> Option<f64> {
    run.cost.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| run.browsed.lists as f64 / cpu)
}
