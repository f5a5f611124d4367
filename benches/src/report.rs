//! What was measured, as a table and as JSON.

use std::fmt;
use std::io::{self, Write, stdout};

use serde::Serialize;

use crate::conditions::Conditions;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Only reported.
    None,
}

impl Target {
    /// Whether `value` is as it should be; `None` where there is no target.
    pub fn met_by(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
            Self::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => f.pad(&format!("<= {}", number(*limit))),
            Self::AtLeast(limit) => f.pad(&format!(">= {}", number(*limit))),
            Self::None => f.pad("-"),
        }
    }
}

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    group: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    target: Target,
    met: Option<bool>,
    /// The workload, and what the number includes.
    note: String,
}

impl Figure {
    /// A number with its target.
    pub fn new(
        group: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) -> Self {
        Self { group, name: name.into(), value, unit, target, met: target.met_by(value), note: String::new() }
    }

    /// With the workload, or what the number includes.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.met {
            Some(true) => "ok",
            Some(false) => "SHORT",
            None => "",
        };
        let (group, name) = (self.group, &self.name);
        let value = number(self.value);
        write!(
            f,
            "{group:<10}{name:<46}{value:>10} {:<14}{:<12}{verdict:<6}{}",
            self.unit, self.target, self.note
        )
    }
}

/// Three significant digits; whole numbers from 100 on.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where and when it ran.
    conditions: Conditions,
    /// In the order in which they were measured.
    figures: Vec<Figure>,
    /// Whether each is shown when it is known: a group takes minutes.
    #[serde(skip)]
    shown: bool,
}

impl Report {
    /// Without figures yet.
    ///
    /// # Errors
    /// Where standard output is gone.
    pub fn begin(conditions: Conditions, shown: bool) -> io::Result<Self> {
        if shown {
            write!(stdout(), "{conditions}")?;
        }
        Ok(Self { conditions, figures: Vec::new(), shown })
    }

    /// Takes figures in.
    ///
    /// # Errors
    /// Where standard output is gone.
    pub fn add(&mut self, figures: impl IntoIterator<Item = Figure>) -> io::Result<()> {
        for figure in figures {
            if self.shown {
                writeln!(stdout(), "{figure}")?;
            }
            self.figures.push(figure);
        }
        Ok(())
    }

    /// How many targets were met.
    pub fn verdict(&self) -> String {
        let judged: Vec<bool> = self.figures.iter().filter_map(|f| f.met).collect();
        let met = judged.iter().filter(|met| **met).count();
        format!(
            "{met} of {} targets met; the load average now is {}",
            judged.len(),
            crate::conditions::load()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_limit_and_missed_beyond() {
        assert_eq!(Target::AtMost(5.0).met_by(5.0), Some(true));
        assert_eq!(Target::AtMost(5.0).met_by(5.1), Some(false));
        assert_eq!(Target::AtLeast(5.0).met_by(4.9), Some(false));
        assert_eq!(Target::None.met_by(1.0), None);
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(
            ["0.123", "1.23", "12.3", "1234"],
            [0.1234, 1.234, 12.34, 1234.4].map(number).each_ref().map(String::as_str)
        );
    }
}
