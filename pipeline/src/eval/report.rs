//! What a measurement says: one structure, shown as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::accuracy::{self, METRIC_NAMES, METRICS, Row, SLICE_NAMES, SLICES};
use super::bootstrap::{Estimate, RESAMPLES};
use super::cost::Cost;
use super::exposure;
use super::judge::{Mode, Outcome, Shown, TOP};
use super::timeline::{self, Bin};
use super::walk::Walked;
use super::{holdout, walk};
use crate::progress_display::count;
use crate::table::{Align, printable, render};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// Test, then train.
    Retrieval(walk::Plan),
    /// Leave-last-out.
    Holdout(holdout::Plan),
}

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

/// All figures of a measurement.
pub struct Report {
    /// The log's folder, as it was given.
    pub log: String,
    /// Interactions of the log, to the limit.
    pub interactions: usize,
    /// Records that were refused.
    pub refused: u64,
    /// Which interactions were scored, and when.
    pub plan: Plan,
    /// Seed of the graph and of the resampling.
    pub seed: u64,
    /// Places of a list.
    pub length: usize,
    /// Worker threads.
    pub workers: usize,
    /// Interactions learned, epochs closed, users, repeats: see [`Walked`].
    pub learned: usize,
    /// See `learned`.
    pub epochs: u64,
    /// See `learned`.
    pub users: usize,
    /// See `learned`.
    pub repeats: u64,
    /// Stopped before the log's end.
    pub interrupted: bool,
    /// Scored events.
    pub scored: usize,
    /// Scored events whose target had no earlier interaction or upload.
    pub never_seen: usize,
    /// Share of the scored events whose target was a candidate.
    pub candidate_recall: f64,
    /// Mean number of candidates of a list.
    pub candidates: f64,
    /// By slice.
    pub accuracy: Vec<Row>,
    /// Videos that had an interaction or an upload in the end.
    pub catalogue: usize,
    /// By mode.
    pub lists: [Lists; 2],
    /// Width of a bin in milliseconds, and the bins.
    pub over_time: (u64, Vec<Bin>),
    /// What learning and scoring took, without reading the log.
    pub cost: Cost,
}

/// What the first ten places of the lists are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lists {
    /// See [`exposure::coverage`].
    pub coverage: f64,
    /// See [`exposure::gini`].
    pub gini: f64,
    /// See [`exposure::normalised_entropy`].
    pub entropy: f64,
    /// Mean over the lists, in bits.
    pub novelty: Option<f64>,
    /// Mean over the lists that have a comparable pair.
    pub ild: Option<f64>,
    /// Share of the pairs whose content vectors can be compared.
    pub pairs_known: f64,
}

impl Lists {
    fn of(shown: &Shown, catalogue: usize) -> Self {
        let counts: Vec<u64> = shown.videos.values().copied().collect();
        let mean = |(sum, number): (f64, u64)| (number > 0).then(|| sum / number as f64);
        Self {
            coverage: exposure::coverage(&counts, catalogue),
            gini: exposure::gini(&counts, catalogue),
            entropy: exposure::normalised_entropy(&counts, catalogue),
            novelty: mean(shown.novelty),
            ild: mean(shown.diversity),
            pairs_known: share(shown.pairs.0, shown.pairs.1),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What was read, and how it was measured.
pub struct Setting {
    /// See [`Report`].
    pub log: String,
    /// See [`Report`].
    pub interactions: usize,
    /// See [`Report`].
    pub refused: u64,
    /// See [`Report`].
    pub plan: Plan,
    /// See [`Report`].
    pub seed: u64,
    /// See [`Report`].
    pub length: usize,
    /// See [`Report`].
    pub workers: usize,
}

impl Report {
    /// Computes the figures.
    #[must_use]
    pub fn of(setting: Setting, walked: &Walked, cost: Cost) -> Self {
        let judge = &walked.judge;
        let outcomes = &judge.outcomes;
        let number = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
        let scored = outcomes.len() as u64;
        let Setting { log, interactions, refused, plan, seed, length, workers } = setting;
        Self {
            log,
            interactions,
            refused,
            plan,
            seed,
            length,
            workers,
            learned: walked.learned,
            epochs: walked.epochs,
            users: walked.users,
            repeats: walked.repeats,
            interrupted: walked.interrupted,
            scored: outcomes.len(),
            never_seen: number(|outcome| !outcome.seen),
            candidate_recall: share(number(|o| o.ranks[Mode::Off as usize].is_some()) as u64, scored),
            candidates: share(outcomes.iter().map(|o| o.candidates as u64).sum(), scored),
            accuracy: accuracy::rows(outcomes, length, seed),
            catalogue: judge.catalogue(),
            lists: std::array::from_fn(|mode| Lists::of(&judge.shown[mode], judge.catalogue())),
            over_time: timeline::bins(outcomes),
            cost,
        }
    }

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
            "interactions": self.interactions,
            "list_length": self.length,
            "top": TOP,
            "seed": self.seed,
            "resamples": RESAMPLES,
        });
        match self.plan {
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
            "command": self.plan.command(),
            "log": self.log,
            "protocol": protocol,
            "interrupted": self.interrupted,
            "learned": self.learned,
            "users": self.users,
            "videos": self.catalogue,
            "epochs": self.epochs,
            "refused": self.refused,
            "scored": self.scored,
            "repeats": self.repeats,
            "never_seen": { "count": self.never_seen, "share": share(self.never_seen as u64, self.scored as u64) },
            "candidates": { "recall": self.candidate_recall, "mean": self.candidates },
            "accuracy": accuracy,
            "lists": lists,
            "over_time": { "bin_ms": width, "bins": bins },
            "cost": {
                "workers": self.workers,
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
            printable(&self.log),
            n(self.learned),
            n(self.users),
            n(self.catalogue),
        ));
        if self.interrupted {
            line(format!("INTERRUPTED after {} of {} interactions", n(self.learned), n(self.interactions)));
        }
        let which = match self.plan {
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
            self.workers,
            if self.workers == 1 { "" } else { "s" }
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
