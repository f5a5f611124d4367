//! A report of labelled pairs as a table for people and as JSON for programs.

use std::fmt::Write as _;

use freshet_learning::off_policy::{ENOUGH, Value};
use serde_json::{Value as Json, json};

use super::MODELS;
use super::figures::Measure;
use super::pairs::Pairs;
use super::show::{estimate_text, figures_json, key, rate, sign, values_json};
use crate::eval::bootstrap::RESAMPLES;
use crate::eval::report::share;
use crate::progress_display::count;
use crate::table::{Align, printable, render};

impl Pairs {
    /// For programs. Only what is under `cost` differs from run to run.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let value = |value: &Option<Value>| match value {
            Some(v) => json!({
                "replay": v.replay, "ips": v.ips, "snips": v.snips, "effective_sample_size": v.effective,
                "enough_for_a_claim": v.effective >= ENOUGH,
            }),
            None => Json::Null,
        };
        let mut scores = json!({});
        for scored in &self.scores {
            let mut json = json!({});
            for ((model, figures), own) in MODELS.iter().zip(&scored.compared.models).zip(&scored.values) {
                json[key(model)] = figures_json(figures, &Measure::ALL);
                json[key(model)]["off_policy"] = value(own);
            }
            json["difference"] = values_json(&scored.compared.difference, &Measure::ALL);
            scores[scored.name.replace("1 - skip", "not_skip")] = json;
        }
        json!({
            "command": "eval pairs",
            "train": self.train,
            "test": self.test,
            "protocol": { "label": self.label, "seed": self.seed, "resamples": RESAMPLES },
            "learned": self.learned,
            "epochs": self.epochs,
            "pairs": self.pairs,
            "positives": self.positives(),
            "users": self.users,
            "new_users": { "pairs": self.new_users, "share": share(self.new_users as u64, self.pairs as u64) },
            "new_videos": { "pairs": self.new_videos, "share": share(self.new_videos as u64, self.pairs as u64) },
            "scores": scores,
            "cost": {
                "workers": self.workers,
                "seconds": self.cost.seconds,
                "cpu_seconds": self.cost.cpu_seconds,
                "events_per_cpu_second": rate(self.learned + self.pairs, &self.cost),
                "peak_rss_bytes": self.cost.peak_rss_bytes,
            },
        })
    }

    fn positives(&self) -> u64 {
        self.scores.first().map_or(0, |scored| scored.compared.positives)
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let n = |n: usize| count(n as u64);
        let percent = |part: usize| 100.0 * share(part as u64, self.pairs as u64);
        let mut text = format!(
            "{}: {} interactions learned; {}: {} pairs of {} users, {} with {} yes\n",
            printable(&self.train),
            n(self.learned),
            printable(&self.test),
            n(self.pairs),
            n(self.users),
            count(self.positives()),
            printable(&self.label),
        );
        let _ = writeln!(
            text,
            "the log knows nothing of the user in {:.1} % of the pairs, nothing of the video in {:.1} %\n",
            percent(self.new_users),
            percent(self.new_videos),
        );
        text.push_str(&self.scores_table());
        let _ = writeln!(
            text,
            "95 % intervals over users, {} resamples; + better and - worse than counting, where the paired \
             difference leaves out 0. Top choice: \
             mean label of each user's best pair, which is the value of showing it where exposure was even\n",
            count(RESAMPLES as u64)
        );
        if self.weighted {
            let _ = writeln!(text, "{}", self.values_table());
        } else if (self.users as f64) < ENOUGH {
            let _ = writeln!(text, "top choices rest on {} users, too few for a claim\n", n(self.users));
        }
        let _ =
            write!(text, "learned and scored in {:.1} s, {} epochs", self.cost.seconds, count(self.epochs));
        if let (Some(cpu), Some(rate)) = (self.cost.cpu_seconds, rate(self.learned + self.pairs, &self.cost))
        {
            let _ = write!(text, ": {cpu:.1} CPU-s, {} events a CPU-second", count(rate as u64));
        }
        if let Some(bytes) = self.cost.peak_rss_bytes {
            let _ = write!(text, "; peak {} MiB resident, the log included", count(bytes >> 20));
        }
        text.push('\n');
        text
    }

    fn scores_table(&self) -> String {
        let mut columns = vec![("score", Align::Left), ("model", Align::Left)];
        columns.extend(Measure::ALL.map(|measure| (measure.name(), Align::Right)));
        let mut rows = Vec::new();
        for scored in &self.scores {
            for (at, (model, figures)) in MODELS.into_iter().zip(&scored.compared.models).enumerate() {
                let name = if at == 0 { scored.name } else { "" };
                let mut cells = vec![name.to_owned(), model.to_owned()];
                cells.extend(Measure::ALL.map(|measure| {
                    let sign = if at == 0 { sign(&scored.compared.difference, measure) } else { " " };
                    format!("{}{sign}", estimate_text(&figures.values[measure as usize]))
                }));
                rows.push(cells);
            }
        }
        render(&columns, &rows)
    }

    fn values_table(&self) -> String {
        let columns = [
            ("value of the top choice", Align::Left),
            ("model", Align::Left),
            ("replay", Align::Right),
            ("IPS", Align::Right),
            ("SNIPS", Align::Right),
            ("effective sample", Align::Right),
            ("", Align::Left),
        ];
        let mut rows = Vec::new();
        for scored in &self.scores {
            for (model, value) in MODELS.into_iter().zip(&scored.values) {
                let Some(value) = value else { continue };
                let figure = |value: f64| format!("{value:.4}");
                rows.push(vec![
                    scored.name.to_owned(),
                    model.to_owned(),
                    figure(value.replay),
                    figure(value.ips),
                    figure(value.snips),
                    count(value.effective as u64),
                    if value.effective < ENOUGH { "too few for a claim" } else { "" }.to_owned(),
                ]);
            }
        }
        render(&columns, &rows)
    }
}
