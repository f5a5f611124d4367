//! A report of a world as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::described;
use super::judge::{CUTS, Kind, TOP_CATEGORIES};
use super::report::{Figures, GROUP_NAMES, Report};
use super::walk::{ASKED, TOP};
use crate::eval::bootstrap::RESAMPLES;
use crate::eval::heads::{estimate_json, estimate_text};
use crate::progress_display::count;
use crate::table::{Align, render};

impl Report {
    /// Interactions learned a CPU second.
    fn rate(&self) -> Option<f64> {
        self.facts.cost.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| self.facts.learned as f64 / cpu)
    }

    /// For programs. Only what is under `cost` differs from run to run.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let figures = |figures: &Figures| {
            let mut json = json!({ "top_categories": estimate_json(&figures.categories) });
            for (cut, regret) in CUTS.iter().zip(&figures.regret) {
                json[format!("regret_{cut}")] = estimate_json(regret);
            }
            json
        };
        let groups: Vec<Json> = GROUP_NAMES
            .into_iter()
            .zip(&self.groups)
            .map(|(name, group)| {
                let kinds: BTreeMap<&str, Json> = Kind::ALL
                    .into_iter()
                    .map(|kind| (kind.as_str(), figures(&group.kinds[kind as usize])))
                    .collect();
                json!({ "interactions_so_far": name, "lists": group.lists, "users": group.users, "kinds": kinds })
            })
            .collect();
        json!({
            "command": "eval world",
            "world": described(&self.world),
            "protocol": {
                "interactions": self.facts.interactions,
                "every": self.every,
                "ages": ASKED,
                "top": TOP,
                "top_categories": TOP_CATEGORIES,
                "seed": self.world.seed,
                "resamples": RESAMPLES,
            },
            "interrupted": self.facts.interrupted,
            "learned": self.facts.learned,
            "epochs": self.facts.epochs,
            "lists": self.lists,
            "users": self.users,
            "groups": groups,
            "cost": {
                "workers": self.facts.workers,
                "seconds": self.facts.cost.seconds,
                "cpu_seconds": self.facts.cost.cpu_seconds,
                "events_per_cpu_second": self.rate(),
                "peak_rss_bytes": self.facts.cost.peak_rss_bytes,
            },
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (world, facts) = (&self.world, &self.facts);
        let n = |n: usize| count(n as u64);
        let mut text = format!(
            "a world of {} users and {} videos, seed {}: {} interactions learned; {} lists of {} users, each made just before an \
             interaction\n",
            count(world.users),
            count(world.videos),
            world.seed,
            n(facts.learned),
            n(self.lists),
            n(self.users),
        );
        if facts.interrupted {
            let _ = writeln!(
                text,
                "INTERRUPTED after {} of {} interactions",
                n(facts.learned),
                n(facts.interactions)
            );
        }
        let _ = writeln!(text, "\n{}", self.table());
        let _ = writeln!(
            text,
            "regret: 1 - true value of the first places / that of the best list of videos that exist and were not watched; top \
             categories: share of the first {TOP} places in the user's {TOP_CATEGORIES} true favourites. random: any such \
             videos; best: the best list. 95 % intervals over users, {} resamples\n",
            count(RESAMPLES as u64)
        );
        let _ = write!(
            text,
            "learned and listed in {:.1} s, {} epochs, {} worker{}",
            facts.cost.seconds,
            count(facts.epochs),
            facts.workers,
            if facts.workers == 1 { "" } else { "s" }
        );
        if let (Some(cpu), Some(rate)) = (facts.cost.cpu_seconds, self.rate()) {
            let _ = write!(text, ": {cpu:.1} CPU-s, {} events a CPU-second", count(rate as u64));
        }
        if let Some(bytes) = facts.cost.peak_rss_bytes {
            let _ = write!(text, "; peak {} MiB resident, the world included", count(bytes >> 20));
        }
        text.push('\n');
        text
    }

    fn table(&self) -> String {
        let columns = [
            ("interactions so far", Align::Left),
            ("lists", Align::Right),
            ("users", Align::Right),
            ("re-ranking", Align::Left),
            ("regret@10", Align::Right),
            ("regret@20", Align::Right),
            ("top categories", Align::Right),
        ];
        let mut rows = Vec::new();
        for (name, group) in GROUP_NAMES.into_iter().zip(&self.groups).filter(|(_, group)| group.lists > 0) {
            for kind in Kind::ALL {
                let mut cells = match kind {
                    Kind::Off => vec![name.to_owned(), count(group.lists), count(group.users)],
                    _ => vec![String::new(); 3],
                };
                let figures = &group.kinds[kind as usize];
                cells.push(if matches!(kind, Kind::Off | Kind::On) {
                    kind.as_str().to_owned()
                } else {
                    format!("({})", kind.as_str())
                });
                cells.extend(figures.regret.iter().chain([&figures.categories]).map(estimate_text));
                rows.push(cells);
            }
        }
        render(&columns, &rows)
    }
}
