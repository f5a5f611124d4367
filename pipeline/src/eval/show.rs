//! A report as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::accuracy::{METRIC_NAMES, METRICS, SLICE_NAMES, SLICES};
use super::bootstrap::{Estimate, RESAMPLES};
use super::holdout;
use super::judge::TOP;
use super::outcome::Mode;
use super::report::{Plan, Report, share};
use crate::progress_display::count;
use crate::table::{Align, printable, render};

impl Plan {
    fn command(&self) -> &'static str {
        match self {
            Self::Retrieval(_) => "eval retrieval",
            Self::Holdout(_) => "eval holdout",
        }
    }

    fn held(held: holdout::Held) -> &'static str {
        match held {
            holdout::Held::Test => "test",
            holdout::Held::Validation => "validation",
        }
    }
}

impl Report {
    /// Interactions learned, some of them scored before, a CPU second.
    fn rate(&self) -> Option<f64> {
        self.cost.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| self.learned as f64 / cpu)
    }

    /// For programs. Only what is under `cost` differs from run to run.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let by_mode = |of: &dyn Fn(Mode) -> Json| -> Json {
            let modes: BTreeMap<&str, Json> =
                Mode::ALL.into_iter().map(|mode| (mode.as_str(), of(mode))).collect();
            json!(modes)
        };
        let estimate = |e: &Option<Estimate>| match e {
            Some(e) => json!({ "value": e.value, "low": e.low, "high": e.high }),
            None => Json::Null,
        };
        let accuracy: BTreeMap<&str, Json> = SLICES
            .into_iter()
            .zip(&self.accuracy)
            .map(|(slice, row)| {
                let of = |mode: Mode| {
                    let metrics = METRICS.into_iter().zip(row.metrics[mode as usize].iter().map(estimate));
                    json!(metrics.collect::<BTreeMap<_, _>>())
                };
                (slice, json!({ "scored": row.scored, "users": row.users, "re_ranking": by_mode(&of) }))
            })
            .collect();
        let lists = by_mode(&|mode| {
            let lists = &self.lists[mode as usize];
            json!({
                "coverage": lists.coverage,
                "gini": lists.gini,
                "normalised_entropy": lists.entropy,
                "novelty_bits": lists.novelty,
                "ild": lists.ild,
                "ild_pairs_known": lists.pairs_known,
            })
        });
        let mut protocol = json!({
            "interactions": self.setting.interactions,
            "list_length": self.setting.length,
            "top": TOP,
            "seed": self.setting.seed,
            "resamples": RESAMPLES,
        });
        match self.setting.plan {
            Plan::Retrieval(plan) => {
                protocol["every"] = json!(plan.every);
                protocol["warmup_interactions"] = json!(plan.warmup);
            }
            Plan::Holdout(plan) => {
                protocol["events"] = json!(plan.events);
                protocol["held_out"] = json!(Plan::held(plan.held));
            }
        }
        let (width, bins) = &self.over_time;
        let bins: Vec<Json> = bins
            .iter()
            .map(|bin| {
                json!({ "from_ms": bin.from, "scored": bin.scored, "hr_10_off": bin.hits[0], "hr_10_on": bin.hits[1] })
            })
            .collect();
        json!({
            "command": self.setting.plan.command(),
            "log": self.setting.log,
            "protocol": protocol,
            "interrupted": self.interrupted,
            "learned": self.learned,
            "users": self.users,
            "videos": self.catalogue,
            "epochs": self.epochs,
            "refused": self.setting.refused,
            "scored": self.scored,
            "repeats": self.repeats,
            "never_seen": { "count": self.never_seen, "share": share(self.never_seen as u64, self.scored as u64) },
            "candidates": { "recall": self.candidate_recall, "mean": self.candidates },
            "accuracy": accuracy,
            "lists": lists,
            "over_time": { "bin_ms": width, "bins": bins },
            "cost": {
                "workers": self.setting.workers,
                "seconds": self.cost.seconds,
                "cpu_seconds": self.cost.cpu_seconds,
                "events_per_cpu_second": self.rate(),
                "peak_rss_bytes": self.cost.peak_rss_bytes,
            },
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let n = |n: usize| count(n as u64);
        let mut line = |said: String| {
            text.push_str(&said);
            text.push('\n');
        };
        line(format!(
            "{}: {} interactions of {} users learned in the order of time; {} videos",
            printable(&self.setting.log),
            n(self.learned),
            n(self.users),
            n(self.catalogue),
        ));
        if self.interrupted {
            line(format!(
                "INTERRUPTED after {} of {} interactions",
                n(self.learned),
                n(self.setting.interactions)
            ));
        }
        let which = match self.setting.plan {
            Plan::Retrieval(plan) => format!("each {}. after the first {}", plan.every, n(plan.warmup)),
            Plan::Holdout(plan) => {
                format!("the {} of each user's last {} events", Plan::held(plan.held), plan.events)
            }
        };
        line(format!(
            "scored: {} ({which}), of them never seen before and so a miss: {} ({:.1} %); {} more were repeats",
            n(self.scored),
            n(self.never_seen),
            100.0 * share(self.never_seen as u64, self.scored as u64),
            count(self.repeats),
        ));
        line(format!(
            "candidates: {:.1} a list; the target is one of them in {:.1} % of the scored events\n",
            self.candidates,
            100.0 * self.candidate_recall,
        ));
        text.push_str(&self.accuracy_table());
        let _ = writeln!(text, "95 % intervals over users, {} resamples\n", count(RESAMPLES as u64));
        text.push_str(&self.lists_table());
        match self.lists[0].pairs_known.max(self.lists[1].pairs_known) {
            0.0 => text.push_str("no ILD: the uploads hold nothing to make content vectors of\n"),
            _ => {
                let known = self.lists.map(|lists| 100.0 * lists.pairs_known);
                let _ = writeln!(
                    text,
                    "ILD is over the pairs whose videos have a content vector: {:.1} % without, {:.1} % with re-ranking",
                    known[0], known[1],
                );
            }
        }
        text.push_str(&self.cost_line());
        text
    }

    fn accuracy_table(&self) -> String {
        let mut columns = vec![
            ("slice", Align::Left),
            ("scored", Align::Right),
            ("users", Align::Right),
            ("re-ranking", Align::Left),
        ];
        columns.extend(METRIC_NAMES.map(|name| (name, Align::Right)));
        let mut rows = Vec::new();
        for (name, row) in SLICE_NAMES.into_iter().zip(&self.accuracy).filter(|(_, row)| row.scored > 0) {
            for mode in Mode::ALL {
                let mut cells = match mode {
                    Mode::Off => vec![name.to_owned(), count(row.scored), count(row.users)],
                    Mode::On => vec![String::new(); 3],
                };
                cells.push(mode.as_str().to_owned());
                cells.extend(row.metrics[mode as usize].iter().map(|e| match e {
                    Some(e) => format!("{:.4} ±{:.4}", e.value, (e.high - e.low) / 2.0),
                    None => "-".to_owned(),
                }));
                rows.push(cells);
            }
        }
        render(&columns, &rows)
    }

    fn lists_table(&self) -> String {
        let columns = [
            ("lists @10, re-ranking", Align::Left),
            ("coverage", Align::Right),
            ("Gini", Align::Right),
            ("entropy", Align::Right),
            ("novelty, bits", Align::Right),
            ("ILD", Align::Right),
        ];
        let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        let row = |mode: Mode| {
            let lists = &self.lists[mode as usize];
            vec![
                mode.as_str().to_owned(),
                format!("{:.4}", lists.coverage),
                format!("{:.4}", lists.gini),
                format!("{:.4}", lists.entropy),
                optional(lists.novelty),
                optional(lists.ild),
            ]
        };
        render(&columns, &Mode::ALL.map(row))
    }

    fn cost_line(&self) -> String {
        let mut text = format!(
            "learned and scored in {:.1} s, {} epochs, {} worker{}",
            self.cost.seconds,
            count(self.epochs),
            self.setting.workers,
            if self.setting.workers == 1 { "" } else { "s" }
        );
        if let (Some(cpu), Some(rate)) = (self.cost.cpu_seconds, self.rate()) {
            let _ = write!(text, ": {cpu:.1} CPU-s, {} events a CPU-second", count(rate as u64));
        }
        if let Some(bytes) = self.cost.peak_rss_bytes {
            let _ = write!(text, "; peak {} MiB resident, the log included", count(bytes >> 20));
        }
        text.push('\n');
        text
    }
}
