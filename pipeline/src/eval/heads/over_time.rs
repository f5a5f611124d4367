//! AUC over event time, in bins of a fixed width.

use super::MODELS;
use super::binary;
use super::labels::Head;
use super::schedule::Shown;
use crate::eval::plot::{Chart, Line, Point};
use crate::eval::timeline;
use freshet_operators::probe::Heads;

/// The heads that are shown over time.
const HEADS: [Head; 2] = [Head::LongView, Head::Complete];

/// What was scored in a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Its beginning, in milliseconds since 1970: a multiple of the width.
    pub from: u64,
    /// Impressions.
    pub scored: u64,
    /// AUC by head and model; `None` where a class is missing.
    pub auc: [[Option<f64>; MODELS.len()]; HEADS.len()],
}

/// The bins in the order of time, with their width in milliseconds. Rows stand in the order of time.
#[must_use]
pub fn bins(rows: &[Shown], predicted: [&[Heads]; MODELS.len()]) -> (u64, Vec<Bin>) {
    let time = |row: Option<&Shown>| row.map_or(0, |row| row.time);
    let width = timeline::width(time(rows.first()), time(rows.last()));
    let mut bins = Vec::new();
    let mut from = 0;
    for own in rows.chunk_by(|a, b| a.time / width == b.time / width) {
        let range = from..from + own.len();
        from = range.end;
        let auc = HEADS.map(|head| {
            predicted.map(|heads| {
                let cases = own.iter().zip(&heads[range.clone()]);
                let known =
                    cases.filter_map(|(row, heads)| Some((head.predicted(heads), head.label(&row.labels)?)));
                binary::auc(known.collect())
            })
        });
        bins.push(Bin { from: own[0].time / width * width, scored: own.len() as u64, auc });
    }
    (width, bins)
}

/// For the JSON report: keys as elsewhere.
#[must_use]
pub fn to_json(width: u64, bins: &[Bin]) -> serde_json::Value {
    let bins: Vec<_> = bins
        .iter()
        .map(|bin| {
            let mut json = serde_json::json!({ "from_ms": bin.from, "scored": bin.scored });
            for (head, values) in HEADS.iter().zip(bin.auc) {
                for (model, value) in MODELS.iter().zip(values) {
                    json[head.as_str()][model.replace(' ', "_")] = serde_json::json!(value);
                }
            }
            json
        })
        .collect();
    serde_json::json!({ "bin_ms": width, "bins": bins })
}

/// The plot.
#[must_use]
pub fn chart(log: &str, width: u64, bins: &[Bin]) -> Chart {
    let line = |head: usize, model: usize| Line {
        name: format!("{}, {}", HEADS[head].as_str(), MODELS[model]),
        values: bins.iter().map(|bin| bin.auc[head][model]).collect(),
    };
    let axis = timeline::Axis::of(
        width,
        bins.first().map_or(0, |bin| bin.from),
        bins.last().map_or(0, |bin| bin.from),
    );
    Chart {
        title: format!("AUC over event time: {log}"),
        x_title: axis.title(),
        marks: axis.marks(),
        points: bins
            .iter()
            .map(|bin| Point { at: axis.middle(bin.from), label: axis.label(bin.from), number: bin.scored })
            .collect(),
        lines: (0..HEADS.len())
            .flat_map(|head| (0..MODELS.len()).map(move |model| (head, model)))
            .map(|(h, m)| line(h, m))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::heads::labels::Labels;
    use freshet_schema::{UserId, VideoId};

    #[test]
    fn bins_hold_the_rows_of_their_time() {
        let row = |time, long| Shown {
            user: UserId(1),
            video: VideoId(1),
            time,
            labels: Labels { long_view: Some(long), ..Labels::default() },
            cold_item: false,
            cold_user: false,
        };
        let minute = 60_000;
        let rows = [row(minute, true), row(minute + 1, false), row(5 * minute, true)];
        let heads = [0.9, 0.1, 0.5].map(|long_view| Heads { long_view, ..Heads::default() });
        let (width, bins) = bins(&rows, [&heads, &[Heads::default(); 3]]);
        assert_eq!((width, bins.len()), (minute, 2));
        assert_eq!((bins[0].from, bins[0].scored), (minute, 2));
        assert_eq!(bins[0].auc, [[Some(1.0), Some(0.5)], [None, None]], "completion is unknown");
        assert_eq!(bins[1].auc[0], [None, None], "one class");
        let chart = chart("log", width, &bins);
        assert_eq!((chart.lines.len(), chart.points.len()), (4, 2));
        assert_eq!(chart.lines[0].name, "long_view, freshet");
        assert_eq!(to_json(width, &bins)["bins"][0]["long_view"]["item_rate"], 0.5);
    }
}
