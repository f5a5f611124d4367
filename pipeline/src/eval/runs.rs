//! A measurement in more than one world: each figure of each arm as a mean with its interval, and what an arm has more of than the first.
//!
//! The n-th run is what the same command says alone with a seed that is larger by n. Arms of a run share its world, so they are compared within each.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use freshet_sources::generate::World;
use serde_json::{Map, Value as Json, json};

use super::student::{OverRuns, over_runs, paired};
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::progress_display::count;
use crate::table::{Align, render};

/// What a measurement found in one world.
pub trait InOneWorld {
    /// As programs name the command.
    const COMMAND: &'static str;

    /// The world.
    fn world(&self) -> &World;
    /// Its figures by arm; all arms are compared with the first.
    fn arms(&self) -> Vec<Arm>;
    /// All of it for programs.
    fn to_json(&self) -> Json;
    /// All of it for people.
    fn to_text(&self) -> String;
}

/// The seeds of worlds that were measured one after the other, as a plot's title has them.
pub fn seeds<R: InOneWorld>(runs: &[R]) -> String {
    match runs {
        [] => String::new(),
        [one] => format!("seed {}", one.world().seed),
        [first, .., last] => format!("seeds {} to {}", first.world().seed, last.world().seed),
    }
}

/// How an arm went in a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name.
    pub name: &'static str,
    /// What came of it.
    pub figures: Vec<Figure>,
}

/// A figure of an arm in a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name, after where it stands in the report for programs: `good.mean_reach`.
    pub name: String,
    /// Its value; `None` where the world has nothing to take it of.
    pub value: Option<f64>,
    /// How it is printed.
    pub shown: Shown,
}

/// How a figure is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A share, in per cent.
    Percent,
    /// A number with so many decimals.
    Decimals(usize),
}

impl Figure {
    /// A share from 0 to 1.
    pub fn share(name: impl Into<String>, value: Option<f64>) -> Self {
        Self { name: name.into(), value, shown: Shown::Percent }
    }

    /// A number that is printed with so many decimals.
    pub fn number(name: impl Into<String>, decimals: usize, value: Option<f64>) -> Self {
        Self { name: name.into(), value, shown: Shown::Decimals(decimals) }
    }
}

/// A measurement in one world or more.
#[derive(Debug)]
pub struct Runs<R> {
    /// Worlds that were asked for.
    asked: u64,
    /// Those that were run to their end, at least one.
    runs: Vec<R>,
}

impl<R> Runs<R> {
    /// Measures `asked` worlds, at least 1, each with a seed of its own from the configuration's on; `one` is told the configuration with that seed and what
    /// was found before. Says which it is at, unless it is to be quiet. Once interrupted, what was found until then stays.
    ///
    /// # Errors
    /// Where `one` fails, but for an interruption with a world behind it.
    pub fn measure(
        asked: u64,
        quiet: bool,
        config: &Config,
        interrupt: &Interrupt,
        mut one: impl FnMut(&Config, &[R]) -> anyhow::Result<R>,
    ) -> anyhow::Result<Self> {
        let mut runs = Vec::new();
        for n in 0..asked {
            let mut config = config.clone();
            config.params.seed = config.params.seed.wrapping_add(n);
            if asked > 1 && !quiet {
                eprintln!("run {} of {asked}: seed {}", n + 1, config.params.seed);
            }
            match one(&config, &runs) {
                Ok(run) => runs.push(run),
                Err(_) if interrupt.flag().load(Relaxed) && !runs.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(Self { asked, runs })
    }

    /// Those that were run to their end.
    #[must_use]
    pub fn runs(&self) -> &[R] {
        &self.runs
    }

    /// Why there are fewer than were asked for, if there are.
    #[must_use]
    pub fn short(&self) -> Option<String> {
        let done = self.runs.len();
        (done as u64 != self.asked)
            .then(|| format!("interrupted: the figures are those of the first {done} of {} runs", self.asked))
    }
}

impl<R: InOneWorld> Runs<R> {
    /// For programs: of one world that was asked for its own report, of more each one's under `runs` and the `summary`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        if let (1, [only]) = (self.asked, &self.runs[..]) {
            return only.to_json();
        }
        let summary = Summary::of(&self.arms());
        json!({
            "command": R::COMMAND,
            "runs": self.runs.iter().map(R::to_json).collect::<Vec<_>>(),
            "summary": summary.to_json(),
        })
    }

    /// For people: of one world that was asked for its own report, of more the summary.
    #[must_use]
    pub fn to_text(&self) -> String {
        if let (1, [only]) = (self.asked, &self.runs[..]) {
            return only.to_text();
        }
        let worlds = || self.runs.iter().map(InOneWorld::world);
        let mut text = String::new();
        if let (Some(world), Some(last)) = (worlds().next(), worlds().last()) {
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{} worlds of {} users, {} videos and {} looks at videos over {} days, seeds {} to {}\n",
                self.runs.len(),
                count(world.users),
                count(world.videos),
                count(world.events),
                world.days,
                world.seed,
                last.seed
            );
        }
        text + &Summary::of(&self.arms()).to_text()
    }

    fn arms(&self) -> Vec<Vec<Arm>> {
        self.runs.iter().map(InOneWorld::arms).collect()
    }
}

/// Figures over runs.
#[derive(Debug)]
struct Summary {
    /// What the others are compared with.
    first: &'static str,
    lines: Vec<Line>,
}

/// A figure of an arm over runs.
#[derive(Debug)]
struct Line {
    figure: String,
    arm: &'static str,
    shown: Shown,
    over: Option<OverRuns>,
    /// Less that of the first arm; `None` for itself, too.
    less: Option<OverRuns>,
}

impl Summary {
    /// Of arms, run by run. A figure that an arm lacks in some runs is taken over the others.
    fn of(runs: &[Vec<Arm>]) -> Self {
        let arms: Vec<&'static str> = runs.first().into_iter().flatten().map(|arm| arm.name).collect();
        let mut figures: Vec<(&str, Shown)> = Vec::new();
        for figure in runs.iter().flatten().flat_map(|arm| &arm.figures) {
            if !figures.iter().any(|(name, _)| *name == figure.name) {
                figures.push((&figure.name, figure.shown));
            }
        }
        let values = |arm: &str, name: &str| -> Vec<Option<f64>> {
            let of = |run: &Vec<Arm>| {
                let arm = run.iter().find(|own| own.name == arm)?;
                arm.figures.iter().find(|figure| figure.name == name)?.value
            };
            runs.iter().map(of).collect()
        };
        let first = arms.first().copied().unwrap_or_default();
        let line = |(figure, shown): (&str, Shown), arm: &'static str| {
            let own = values(arm, figure);
            let less = (arm != first).then(|| paired(&own, &values(first, figure))).flatten();
            Line { figure: figure.to_owned(), arm, shown, over: over_runs(&own), less }
        };
        let lines = figures.iter().flat_map(|figure| arms.iter().map(|arm| line(*figure, arm))).collect();
        Self { first, lines }
    }

    fn to_json(&self) -> Json {
        let figure = |over: &OverRuns| {
            let (low, high) = over.interval.unzip();
            json!({ "runs": over.runs, "mean": over.mean, "low": low, "high": high })
        };
        let mut arms: Map<String, Json> = Map::new();
        for line in &self.lines {
            let mut said = line.over.as_ref().map_or_else(|| json!({ "runs": 0 }), figure);
            if line.arm != self.first {
                said["less_first"] = json!(line.less.as_ref().map(figure));
            }
            let arm = arms.entry(line.arm).or_insert_with(|| json!({}));
            arm[line.figure.as_str()] = said;
        }
        json!({ "first": self.first, "arms": arms })
    }

    fn to_text(&self) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut said = "";
        // Of a figure that no world had, and of an arm that never has it, there is nothing to say.
        for line in &self.lines {
            let Some(over) = &line.over else { continue };
            let figure = if said == line.figure { String::new() } else { spoken(&line.figure) };
            said = &line.figure;
            let plain = |value: f64| line.shown.of(value, false);
            let signed = |value: f64| line.shown.of(value, true);
            let less = line.less.as_ref();
            rows.push(vec![
                figure,
                line.arm.to_owned(),
                over.runs.to_string(),
                plain(over.mean),
                interval(over, &plain),
                less.map_or_else(String::new, |less| signed(less.mean)),
                less.map_or_else(String::new, |less| interval(less, &signed)),
            ]);
        }
        let less = format!("less {}", self.first);
        let columns = [
            ("", Align::Left),
            ("arm", Align::Left),
            ("runs", Align::Right),
            ("mean", Align::Right),
            ("95 % interval", Align::Left),
            (less.as_str(), Align::Right),
            ("95 % interval", Align::Left),
        ];
        render(&columns, &rows)
            + &format!(
                "\nmeans over worlds with Student's intervals; less {}: the difference within each world; runs: worlds that have the\n\
                 figure; --json has each of them\n",
                self.first
            )
    }
}

impl Shown {
    fn of(self, value: f64, signed: bool) -> String {
        let (value, decimals, unit) = match self {
            Self::Percent => (value * 100.0, 2, " %"),
            Self::Decimals(decimals) => (value, decimals, ""),
        };
        if signed { format!("{value:+.decimals$}{unit}") } else { format!("{value:.decimals$}{unit}") }
    }
}

fn interval(over: &OverRuns, number: &impl Fn(f64) -> String) -> String {
    over.interval.map_or_else(|| "-".to_owned(), |(low, high)| format!("{} to {}", number(low), number(high)))
}

/// `good.mean_reach` for people.
fn spoken(name: &str) -> String {
    name.replace('.', ": ").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &'static str, reach: Option<f64>, value: f64) -> Arm {
        let reach = Figure::share("good.mean_reach", reach);
        Arm { name, figures: vec![reach, Figure::number("value", 1, Some(value))] }
    }

    /// In three worlds the arm has 10 more each time, though the worlds differ by 100; in the second there is no good video.
    fn three() -> Summary {
        Summary::of(&[
            vec![arm("none", Some(0.1), 100.0), arm("cohorts", Some(0.3), 110.0)],
            vec![arm("none", None, 200.0), arm("cohorts", None, 210.0)],
            vec![arm("none", Some(0.3), 300.0), arm("cohorts", Some(0.4), 310.0)],
        ])
    }

    #[test]
    fn arms_are_compared_within_their_worlds() {
        let said = three().to_json();
        let of = |arm: &str, name: &str| &said["arms"][arm][name];
        assert_eq!((&said["first"], &of("none", "value")["less_first"]), (&json!("none"), &Json::Null));
        let value = of("cohorts", "value");
        assert_eq!((&value["runs"], &value["mean"]), (&json!(3), &json!(210.0)));
        let low = value["low"].as_f64().expect("three runs");
        // 4.302653 x 100 / sqrt(3).
        assert!((low - (210.0 - 248.413_8)).abs() < 1e-3, "{said}");
        assert_eq!(value["less_first"], json!({ "runs": 3, "mean": 10.0, "low": 10.0, "high": 10.0 }));
        let reach = of("cohorts", "good.mean_reach");
        assert_eq!((&reach["runs"], &reach["less_first"]["runs"]), (&json!(2), &json!(2)));
        let less = reach["less_first"]["mean"].as_f64().expect("two runs");
        assert!((less - 0.15).abs() < 1e-12, "{said}");
    }

    #[test]
    fn people_read_a_line_for_each_arm() {
        let text = three().to_text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..7], ["good:", "mean", "reach", "none", "2", "20.00", "%"]);
        assert_eq!(lines[2][..4], ["cohorts", "2", "35.00", "%"]);
        assert_eq!(lines[3][..4], ["value", "none", "3", "200.0"]);
        assert_eq!(lines[4][..3], ["cohorts", "3", "210.0"]);
        assert_eq!(lines[4][lines[4].len() - 4..], ["+10.0", "+10.0", "to", "+10.0"]);
        let alone = Summary::of(&[vec![arm("none", None, 1.0), arm("cohorts", Some(0.5), 2.0)]]);
        let text = alone.to_text();
        assert!(text.contains("50.00 %  -") && !text.contains("NaN"), "{text}");
    }
}
