//! A report of predictions as tables for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::figures::{Compared, Figures, Measure};
use super::labels::Head;
use super::report::{Report, SLICE_NAMES, SLICES};
use super::watch::PAIRS;
use super::{MODELS, over_time};
use crate::config::format_duration;
use crate::eval::bootstrap::{Estimate, RESAMPLES};
use crate::eval::cost::Cost;
use crate::eval::report::share;
use crate::progress_display::count;
use crate::table::{Align, printable, render};

/// What is shown of impressions; the top choice of a stream of impressions is nobody's choice.
const SHOWN: [Measure; 5] =
    [Measure::Auc, Measure::Gauc, Measure::Ndcg, Measure::LogLoss, Measure::NormalisedEntropy];

/// A figure with its interval, for programs.
pub fn estimate_json(estimate: &Option<Estimate>) -> Json {
    match estimate {
        Some(e) => json!({ "value": e.value, "low": e.low, "high": e.high }),
        None => Json::Null,
    }
}

/// A figure with half its interval, for people.
pub fn estimate_text(estimate: &Option<Estimate>) -> String {
    match estimate {
        Some(e) => format!("{:.4} ±{:.4}", e.value, (e.high - e.low) / 2.0),
        None => "-".to_owned(),
    }
}

/// Whether the interval of a difference leaves out 0: `+` where the first model is better, `-` where it is worse, else a space.
pub(super) fn sign(differences: &[Option<Estimate>], measure: Measure) -> &'static str {
    let (better, worse) = if measure.is_loss() { ("-", "+") } else { ("+", "-") };
    match differences[measure as usize] {
        Some(e) if e.low > 0.0 => better,
        Some(e) if e.high < 0.0 => worse,
        _ => " ",
    }
}

/// A model's key in JSON.
pub(super) fn key(model: &str) -> String {
    model.replace(' ', "_")
}

/// The figures of a model for programs.
pub(super) fn figures_json(figures: &Figures, shown: &[Measure]) -> Json {
    let mut json: Json = values_json(&figures.values, shown);
    json["calibration"] = match &figures.calibration {
        None => Json::Null,
        Some(c) => json!({
            "ratio": c.ratio,
            "expected_error": c.error,
            "bins": c.bins.iter().map(|bin| json!({
                "cases": bin.cases, "predicted": bin.predicted, "observed": bin.observed,
            })).collect::<Vec<_>>(),
        }),
    };
    json
}

/// Figures by measure for programs.
pub(super) fn values_json(values: &[Option<Estimate>], shown: &[Measure]) -> Json {
    json!(
        shown
            .iter()
            .map(|measure| (measure.key(), estimate_json(&values[*measure as usize])))
            .collect::<BTreeMap<_, _>>()
    )
}

fn compared_json(compared: &Compared) -> Json {
    let mut json = json!({ "scored": compared.cases, "positives": compared.positives });
    for (model, figures) in MODELS.iter().zip(&compared.models) {
        json[key(model)] = figures_json(figures, &SHOWN);
    }
    json["difference"] = values_json(&compared.difference, &SHOWN);
    json
}

pub(super) fn rate(events: usize, cost: &Cost) -> Option<f64> {
    cost.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| events as f64 / cpu)
}

impl Report {
    /// For programs. Only what is under `cost` differs from run to run.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let slices: BTreeMap<&str, Json> = SLICES
            .into_iter()
            .zip(&self.slices)
            .map(|(name, slice)| {
                let mut json = json!({ "scored": slice.scored });
                for (head, compared) in Head::ALL.into_iter().zip(&slice.heads) {
                    json[head.as_str()] = compared_json(compared);
                }
                let mut watch = json!({ "scored": slice.watched });
                for (model, figures) in MODELS.iter().zip(&slice.watch) {
                    watch[key(model)] =
                        json!({ "mae_seconds": estimate_json(&figures.mae), "xauc": figures.xauc });
                }
                json["watch_time"] = watch;
                (name, json)
            })
            .collect();
        let cost = |cost: &Cost| {
            json!({
                "seconds": cost.seconds,
                "cpu_seconds": cost.cpu_seconds,
                "events_per_cpu_second": rate(self.facts.learned, cost),
            })
        };
        let mut total = cost(&self.facts.cost);
        total["workers"] = json!(self.setting.workers);
        total["peak_rss_bytes"] = json!(self.facts.cost.peak_rss_bytes);
        total["item_rate"] = cost(&self.facts.baseline_cost);
        json!({
            "command": "eval impressions",
            "log": self.setting.log,
            "protocol": {
                "interactions": self.setting.interactions,
                "warmup_interactions": self.setting.plan.warmup,
                "label_delay_ms": self.setting.plan.label_delay,
                "refresh_ms": self.setting.plan.refresh,
                "seed": self.setting.seed,
                "resamples": RESAMPLES,
                "xauc_pairs": PAIRS,
            },
            "interrupted": self.facts.interrupted,
            "learned": self.facts.learned,
            "refused": self.setting.refused,
            "served_pages": self.setting.pages,
            "debiased": self.setting.pages > 0,
            "epochs": self.facts.epochs,
            "scored": self.scored,
            "users": self.users,
            "slices": slices,
            "over_time": over_time::to_json(self.over_time.0, &self.over_time.1),
            "cost": total,
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let n = |n: usize| count(n as u64);
        let mut text = format!(
            "{}: {} impressions of {} users scored, each before it was learned, behind the first {} of {}\n",
            printable(&self.setting.log),
            n(self.scored),
            n(self.users),
            n(self.setting.plan.warmup),
            n(self.setting.interactions),
        );
        let plan = self.setting.plan;
        if plan.label_delay > 0 {
            let _ = writeln!(text, "interactions are learned {} late", format_duration(plan.label_delay));
        }
        if plan.refresh > 0 {
            let _ = writeln!(text, "scored from a copy taken each {}", format_duration(plan.refresh));
        }
        if self.facts.interrupted {
            let _ = writeln!(
                text,
                "INTERRUPTED after {} of {} interactions",
                n(self.facts.learned),
                n(self.setting.interactions)
            );
        }
        let _ = match self.setting.pages {
            0 => writeln!(
                text,
                "not debiased: the log has no served pages, so nothing tells what was passed over"
            ),
            pages => writeln!(
                text,
                "{} served pages tell what was passed over; rows off them are not debiased",
                n(pages)
            ),
        };
        let _ = writeln!(text, "\n{}", self.heads_table());
        let _ = writeln!(text, "{}", self.watch_table());
        let _ = writeln!(
            text,
            "95 % intervals over users, {} resamples; + better and - worse than counting, where the paired difference leaves out 0\n",
            count(RESAMPLES as u64)
        );
        text.push_str(&self.calibration_table());
        text.push_str(&self.cost_line());
        text
    }

    fn heads_table(&self) -> String {
        let mut columns = vec![
            ("slice", Align::Left),
            ("label", Align::Left),
            ("scored", Align::Right),
            ("yes", Align::Right),
            ("model", Align::Left),
        ];
        columns.extend(SHOWN.map(|measure| (measure.name(), Align::Right)));
        columns.push(("calibration", Align::Right));
        let mut rows = Vec::new();
        for (slice, figures) in
            SLICE_NAMES.into_iter().zip(&self.slices).filter(|(_, slice)| slice.scored > 0)
        {
            for (head, compared) in Head::ALL.into_iter().zip(&figures.heads) {
                for (at, (model, figures)) in MODELS.into_iter().zip(&compared.models).enumerate() {
                    let mut cells = if at == 0 {
                        let rate = 100.0 * share(compared.positives, compared.cases);
                        vec![
                            slice.to_owned(),
                            head.as_str().to_owned(),
                            count(compared.cases),
                            format!("{rate:.1} %"),
                        ]
                    } else {
                        vec![String::new(); 4]
                    };
                    cells.push(model.to_owned());
                    cells.extend(SHOWN.map(|measure| {
                        let sign = if at == 0 { sign(&compared.difference, measure) } else { " " };
                        format!("{}{sign}", estimate_text(&figures.values[measure as usize]))
                    }));
                    let ratio = figures.calibration.as_ref().and_then(|c| c.ratio);
                    cells.push(ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")));
                    rows.push(cells);
                }
            }
        }
        render(&columns, &rows)
    }

    fn watch_table(&self) -> String {
        let columns = [
            ("watch time", Align::Left),
            ("scored", Align::Right),
            ("model", Align::Left),
            ("MAE, s", Align::Right),
            ("XAUC", Align::Right),
        ];
        let mut rows = Vec::new();
        for (slice, figures) in
            SLICE_NAMES.into_iter().zip(&self.slices).filter(|(_, slice)| slice.watched > 0)
        {
            for (at, (model, watch)) in MODELS.into_iter().zip(&figures.watch).enumerate() {
                let mut cells = match at {
                    0 => vec![slice.to_owned(), count(figures.watched as u64)],
                    _ => vec![String::new(); 2],
                };
                let mae = watch.mae.map_or_else(
                    || "-".to_owned(),
                    |e| format!("{:.2} ±{:.2}", e.value, (e.high - e.low) / 2.0),
                );
                let xauc = watch.xauc.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
                cells.extend([model.to_owned(), mae, xauc]);
                rows.push(cells);
            }
        }
        if rows.is_empty() { "no watch times\n".to_owned() } else { render(&columns, &rows) }
    }

    /// Predicted and observed rates of the graph, by tenths of the impressions.
    fn calibration_table(&self) -> String {
        let Some(all) = self.slices.first() else { return String::new() };
        let calibrations = all.heads.each_ref().map(|compared| compared.models.first()?.calibration.as_ref());
        let most = calibrations.iter().flatten().map(|c| c.bins.len()).max().unwrap_or(0);
        let mut columns = vec![("predicted / observed", Align::Left)];
        columns.extend(Head::ALL.map(|head| (head.as_str(), Align::Right)));
        let mut rows: Vec<Vec<String>> = (0..most)
            .map(|bin| {
                let cell = |c: &Option<&super::binary::Calibration>| match c.and_then(|c| c.bins.get(bin)) {
                    Some(bin) => format!("{:.4} / {:.4}", bin.predicted, bin.observed),
                    None => "-".to_owned(),
                };
                std::iter::once(format!("tenth {}", bin + 1)).chain(calibrations.iter().map(cell)).collect()
            })
            .collect();
        let error = |c: &Option<&super::binary::Calibration>| {
            c.map_or_else(|| "-".to_owned(), |c| format!("{:.4}", c.error))
        };
        rows.push(
            std::iter::once("expected error".to_owned()).chain(calibrations.iter().map(error)).collect(),
        );
        format!("{}\n", render(&columns, &rows))
    }

    fn cost_line(&self) -> String {
        let facts = &self.facts;
        let mut text = format!(
            "learned and scored in {:.1} s, {} epochs, {} worker{}",
            facts.cost.seconds,
            count(facts.epochs),
            self.setting.workers,
            if self.setting.workers == 1 { "" } else { "s" }
        );
        if let (Some(cpu), Some(rate)) = (facts.cost.cpu_seconds, rate(facts.learned, &facts.cost)) {
            let _ = write!(text, ": {cpu:.1} CPU-s, {} events a CPU-second", count(rate as u64));
        }
        if let Some(rate) = rate(facts.learned, &facts.baseline_cost) {
            let _ = write!(text, " (counting alone: {})", count(rate as u64));
        }
        if let Some(bytes) = facts.cost.peak_rss_bytes {
            let _ = write!(text, "; peak {} MiB resident, the log included", count(bytes >> 20));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_says_better_or_worse() {
        let of = |low: f64, high: f64| {
            [Some(Estimate { value: (low + high) / 2.0, low, high }); Measure::ALL.len()]
        };
        assert_eq!([sign(&of(0.1, 0.2), Measure::Auc), sign(&of(-0.2, -0.1), Measure::Auc)], ["+", "-"]);
        assert_eq!(
            [sign(&of(0.1, 0.2), Measure::LogLoss), sign(&of(-0.2, -0.1), Measure::LogLoss)],
            ["-", "+"]
        );
        assert_eq!([sign(&of(-0.1, 0.2), Measure::Auc), sign(&[None; 6], Measure::Auc)], [" ", " "]);
    }
}
