//! `freshet heads`: the weights by which lists are scored.

use std::io::{Write, stdout};

use anyhow::bail;
use clap::Args;
use freshet_schema::feed::HeadsRecord;
use freshet_schema::store::{Key, Value};

use super::StoreArgs;
use crate::table::{Align, render, shorten};

/// Heads side by side in a table: with the names of features they fill 80 columns.
const ABREAST: usize = 4;

/// Print the weights that score lists, and how many examples they have learned from
#[derive(Debug, Args)]
#[command(name = "heads")]
#[command(
    after_long_help = "Examples:\n  freshet heads --store data/store\n  freshet heads 0 --json | jq .objectives"
)]
pub struct ShowHeads {
    /// The version, as lists and accounts name it; without it the latest
    #[arg(value_name = "VERSION")]
    version: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
}

impl ShowHeads {
    pub fn run(self) -> anyhow::Result<()> {
        let mut view = self.store.open()?;
        let kept = view.heads()?;
        let Some(version) = self.version.or_else(|| kept.last().copied()) else {
            bail!(
                "no weights are stored yet: they appear when the clock first passes a multiple of score.publish_every"
            );
        };
        let Some(Value::Heads(heads)) = view.get(&Key::Heads(version))? else {
            let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            bail!("version {version}: there are no such weights; kept are {kept}");
        };
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&heads)?)?);
        }
        Ok(write!(out, "{}", tables(&heads)?)?)
    }
}

/// The heads with their examples, then the weights.
fn tables(record: &HeadsRecord) -> anyhow::Result<String> {
    let heads = record.heads.len();
    if heads == 0 || record.weights.len() != heads * record.features.len() {
        bail!(
            "heads:{}: {} weights for {} features and {heads} heads: another release wrote it, or it is damaged",
            record.version,
            record.weights.len(),
            record.features.len()
        );
    }
    let objective = |name: &str| record.objectives.iter().find(|objective| objective.name == name);
    let weight = |name: &str| objective(name).map_or_else(|| "-".to_owned(), |o| format!("{:.3}", o.weight));
    let mut rows: Vec<Vec<String>> = record
        .heads
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let examples = record.examples.get(n).copied().unwrap_or_default();
            let examples = if examples > 0.0 { format!("{examples:.0}") } else { "not yet".to_owned() };
            vec![name.clone(), if n == 0 { "factor".to_owned() } else { weight(name) }, examples]
        })
        .collect();
    let others = record.objectives.iter().filter(|objective| !record.heads.contains(&objective.name));
    rows.extend(others.map(|o| vec![o.name.clone(), format!("{:.3}", o.weight), "-".to_owned()]));
    let columns =
        [("head", Align::Left), ("in the score", Align::Right), ("examples learned from", Align::Right)];
    let debiased = match record.placed {
        placed if placed > 0.0 => {
            format!("{:.1} % of the examples are on a served page, the others", 100.0 * placed)
        }
        _ => "no example is on a served page: they".to_owned(),
    };
    let mut text = format!(
        "weights of version {}\n\n{}\n{debiased} are not debiased\n",
        record.version,
        render(&columns, &rows)
    );
    for (block, names) in record.heads.chunks(ABREAST).enumerate() {
        let first = block * ABREAST;
        let rows: Vec<Vec<String>> = record
            .features
            .iter()
            .zip(record.weights.chunks_exact(heads))
            .map(|(feature, weights)| {
                let weights =
                    weights[first..first + names.len()].iter().map(|weight| format!("{:.4}", weight + 0.0));
                std::iter::once(shorten(feature, 36)).chain(weights).collect()
            })
            .collect();
        let mut columns = vec![("feature", Align::Left)];
        columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
        text.push('\n');
        text.push_str(&render(&columns, &rows));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::feed::Objective;

    fn record() -> HeadsRecord {
        HeadsRecord {
            version: 7,
            features: vec!["one".to_owned(), "share of quick attention, unfollowed".to_owned()],
            heads: ["choice", "watch", "completion", "rewatch", "continuation"].map(str::to_owned).to_vec(),
            weights: (0..10u8).map(|n| f32::from(n) / -8.0).collect(),
            examples: vec![1_234.4, 0.0, 3.0],
            objectives: vec![
                Objective { name: "watch".to_owned(), weight: 0.4 },
                Objective { name: "fatigue".to_owned(), weight: -0.05 },
            ],
            choice_floor: 0.002,
            curves: Vec::new(),
            placed: 0.125,
        }
    }

    #[test]
    fn each_weight_stands_under_its_head() {
        let text = tables(&record()).expect("well formed");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let line = |begin: &str, n: usize| {
            let line = text.lines().filter(|line| line.starts_with(begin)).nth(n);
            line.unwrap_or_else(|| panic!("{begin} is not in {text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(text.contains("\n12.5 % of the examples are on a served page, "), "{text}");
        assert_eq!(line("choice", 0), "choice factor 1234");
        assert_eq!(line("watch", 0), "watch 0.400 not yet");
        assert_eq!(line("fatigue", 0), "fatigue -0.050 -");
        assert_eq!(line("one", 0), "one 0.0000 -0.1250 -0.2500 -0.3750");
        assert_eq!(line("one", 1), "one -0.5000");
        assert_eq!(line("share", 1), "share of quick attention, unfollowed -1.1250");
    }

    #[test]
    fn weights_of_another_shape_are_an_error() {
        let error =
            tables(&HeadsRecord { weights: vec![0.0; 3], ..record() }).expect_err("refused").to_string();
        assert!(error.contains("heads:7") && error.contains("3 weights"), "{error}");
    }
}
