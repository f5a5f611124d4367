//! HR@10 over event time, in bins of a fixed width.

use freshet_schema::Millis;

use super::metrics::hit;
use super::outcome::{Mode, Outcome};
use super::plot::{Chart, Line, Point};
use crate::config::format_time;

/// Widths that people read easily: minutes, hours, days, weeks, in milliseconds.
const WIDTHS: [u64; 13] = {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    [
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        7 * DAY,
        30 * DAY,
        365 * DAY,
    ]
};
/// At most about so many bins.
const BINS: u64 = 100;

/// What was scored in a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Its beginning, in milliseconds since 1970: a multiple of the width.
    pub from: u64,
    /// Scored events.
    pub scored: u64,
    /// HR@10 by mode.
    pub hits: [f64; 2],
}

/// The bins in the order of time; one without a scored event is left out. With their width in milliseconds.
#[must_use]
pub fn bins(outcomes: &[Outcome]) -> (u64, Vec<Bin>) {
    let first = outcomes.iter().map(|outcome| outcome.time).min().unwrap_or(0);
    let last = outcomes.iter().map(|outcome| outcome.time).max().unwrap_or(0);
    let width = width(first, last);
    let mut bins: Vec<Bin> = Vec::new();
    // Outcomes come in the order of time.
    for outcome in outcomes {
        let from = outcome.time / width * width;
        if bins.last().is_none_or(|bin| bin.from != from) {
            bins.push(Bin { from, scored: 0, hits: [0.0; 2] });
        }
        if let Some(bin) = bins.last_mut() {
            bin.scored += 1;
            for (sum, rank) in bin.hits.iter_mut().zip(outcome.ranks) {
                *sum += hit(rank, 10);
            }
        }
    }
    for bin in &mut bins {
        bin.hits = bin.hits.map(|sum| sum / bin.scored as f64);
    }
    (width, bins)
}

/// The width of a bin, in milliseconds, that makes about as many bins of the time from `first` to `last` as fit into a plot.
#[must_use]
pub fn width(first: u64, last: u64) -> u64 {
    let fits = |width: &&u64| (last - first) / **width < BINS;
    WIDTHS.iter().find(fits).copied().unwrap_or(WIDTHS[WIDTHS.len() - 1])
}

/// The axis of a plot over event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    width: u64,
    first: u64,
    end: u64,
}

impl Axis {
    /// The axis of bins of this width that begin from `first` to `last`, in milliseconds.
    #[must_use]
    pub fn of(width: u64, first: u64, last: u64) -> Self {
        Self { width, first, end: last + width }
    }

    fn place(&self, time: f64) -> f64 {
        (time - self.first as f64) / (self.end - self.first) as f64
    }

    /// Where the middle of the bin lies that begins here, from 0 to 1.
    #[must_use]
    pub fn middle(&self, from: u64) -> f64 {
        self.place(from as f64 + self.width as f64 / 2.0)
    }

    /// A few points in time with their places, at the edges of bins so that they are round.
    #[must_use]
    pub fn marks(&self) -> Vec<(f64, String)> {
        const MARKS: u64 = 5;
        let mark = |n: u64| {
            let time = self.first + (self.end - self.first) * n / MARKS / self.width * self.width;
            let label = self.label(time);
            (self.place(time as f64), label.get(..16).unwrap_or(&label).replace('T', " "))
        };
        let mut marks: Vec<_> = (0..=MARKS).map(mark).collect();
        marks.dedup();
        marks
    }

    /// A point in time as text.
    #[must_use]
    pub fn label(&self, time: u64) -> String {
        format_time(Millis(time))
    }

    /// What to write below the axis.
    #[must_use]
    pub fn title(&self) -> String {
        format!("UTC, bins of {}", span(self.width))
    }
}

/// `30 min`, `3 h`, `7 d`.
fn span(ms: u64) -> String {
    match ms / 60_000 {
        minutes if minutes < 60 => format!("{minutes} min"),
        minutes if minutes < 24 * 60 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / (24 * 60)),
    }
}

/// The plot of `bins` of this width.
#[must_use]
pub fn chart(log: &str, width: u64, bins: &[Bin]) -> Chart {
    let axis = Axis::of(width, bins.first().map_or(0, |bin| bin.from), bins.last().map_or(0, |bin| bin.from));
    let line = |mode: Mode| Line {
        name: format!("re-ranking {}", mode.as_str()),
        values: bins.iter().map(|bin| Some(bin.hits[mode as usize])).collect(),
    };
    let point =
        |bin: &Bin| Point { at: axis.middle(bin.from), label: axis.label(bin.from), number: bin.scored };
    Chart {
        title: format!("HR@10 over event time: {log}"),
        x_title: axis.title(),
        marks: axis.marks(),
        points: bins.iter().map(point).collect(),
        lines: Mode::ALL.map(line).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::UserId;

    fn outcome(time: u64, rank: f64) -> Outcome {
        Outcome {
            user: UserId(1),
            time,
            ranks: [Some(rank), None],
            seen: true,
            fresh: false,
            cold_item: false,
            cold_user: false,
            candidates: 0,
        }
    }

    #[test]
    fn bins_have_a_fixed_width_and_empty_ones_are_left_out() {
        let minute = 60_000;
        let outcomes = [outcome(minute, 1.0), outcome(minute + 1, 11.0), outcome(4 * minute, 10.0)];
        let (width, bins) = bins(&outcomes);
        assert_eq!(width, minute);
        assert_eq!(
            bins,
            [
                Bin { from: minute, scored: 2, hits: [0.5, 0.0] },
                Bin { from: 4 * minute, scored: 1, hits: [1.0, 0.0] }
            ]
        );
        let (width, _) = super::bins(&[outcome(0, 1.0), outcome(4 * 86_400_000, 1.0)]);
        assert_eq!(width, 3_600_000, "96 hours are fewer than 100 bins");
        assert_eq!(super::bins(&[]).1, []);
    }

    #[test]
    fn the_plot_has_both_modes_at_the_middles_of_the_bins() {
        let day = 86_400_000;
        let bin = |n: u64, off: f64, on: f64| Bin { from: n * day, scored: 4, hits: [off, on] };
        let chart = chart("log", day, &[bin(0, 0.0, 0.25), bin(1, 0.5, 0.75)]);
        assert_eq!(chart.points.iter().map(|point| point.at).collect::<Vec<_>>(), [0.25, 0.75]);
        assert_eq!(chart.points[1].label, "1970-01-02T00:00:00Z");
        assert_eq!(
            (chart.lines[1].name.as_str(), &chart.lines[1].values),
            ("re-ranking on", &vec![Some(0.25), Some(0.75)])
        );
        assert_eq!(chart.x_title, "UTC, bins of 1 d");
        let marks: Vec<&str> = chart.marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(marks, ["1970-01-01 00:00", "1970-01-02 00:00", "1970-01-03 00:00"]);
        assert_eq!([span(60_000), span(7_200_000), span(604_800_000)], ["1 min", "2 h", "7 d"]);
        assert_eq!(super::chart("", 60_000, &[]).points, []);
    }
}
