//! A plot of how soon good new videos meet those whom they suit.

use super::Report;
use super::judge::HOURS;
use crate::eval::plot::{Chart, Line, Point};
use crate::eval::runs::seeds;

/// Share of the audience that good videos have met by each hour, by arm, over all good videos of all worlds; `None` where there are none.
pub(super) fn chart(reports: &[Report]) -> Option<Chart> {
    let first = reports.first()?;
    let good: usize = reports.iter().map(|report| report.subjects.good.len()).sum();
    if good == 0 {
        return None;
    }
    let world = &first.world;
    let seeds = seeds(reports);
    let line = |n: usize| {
        let by = |hour: usize| -> f64 {
            let of = |report: &Report| {
                report.runs[n].figures.reach_by_hour[hour] * report.subjects.good.len() as f64
            };
            reports.iter().map(of).sum::<f64>() / good as f64
        };
        Line {
            name: first.runs[n].arm.as_str().to_owned(),
            values: (0..HOURS).map(|hour| Some(by(hour))).collect(),
        }
    };
    let at = |hour: usize| hour as f64 / HOURS as f64;
    Some(Chart {
        title: format!(
            "Audience met by good videos of creators without followers: {} users, {} videos, {} looks, {seeds}",
            world.users, world.videos, world.events
        ),
        x_title: "hours since the video became ready".to_owned(),
        marks: (0..=HOURS).step_by(6).map(|hour| (at(hour), hour.to_string())).collect(),
        points: (1..=HOURS)
            .map(|hour| Point { at: at(hour), label: format!("hour {hour}"), number: good as u64 })
            .collect(),
        lines: (0..first.runs.len()).map(line).collect(),
    })
}
