//! Co-engagement: every two of a user's positive rows that are near each other.

use std::collections::BTreeMap;

use freshet_operators::checkpoint::kept::Kept;
use freshet_operators::params::Params;
use freshet_operators::popularity::{contribution, first_kept};
use freshet_operators::row::Row;

use super::compare::with;
use super::past::Past;
use super::report::ViewReport;

/// Weight of a pair, in per mille of a full watch.
const PAIR: u64 = 1000;

/// Sums by first video, second video and landmark period, over the periods that still count.
pub fn pairs(kept: &Kept, past: &Past, params: &Params) -> ViewReport {
    let params = &params.coengagement;
    let oldest = first_kept(past.now, params.half_life);
    let mut expected: BTreeMap<(u64, u64, u32), [i64; 2]> = BTreeMap::new();
    if params.window > 0 {
        for (user, rows) in &past.rows {
            let is_positive = |row: &&Row| {
                f64::from(row.weight) >= params.min_weight * 1000.0 && !past.is_withheld(*user, row)
            };
            let positive: Vec<&Row> = rows.iter().filter(is_positive).collect();
            for (later, second) in positive.iter().enumerate() {
                for (earlier, first) in positive[..later].iter().enumerate().rev().take(params.window) {
                    let (a, b) = (first.content.video, second.content.video);
                    if a == b {
                        continue;
                    }
                    let (period, amount) = contribution(PAIR, second.time, params.half_life);
                    expected.entry((a, b, period)).or_default()[1] += amount;
                    expected.entry((b, a, period)).or_default()[1] += amount;
                    if later - earlier == 1 {
                        expected.entry((a, b, period)).or_default()[0] += amount;
                    }
                }
            }
        }
    }
    expected.retain(|(.., period), sums| *period >= oldest && *sums != [0, 0]);
    let mut held = kept.pairs.clone();
    held.retain(|(.., period), sums| *period >= oldest && *sums != [0, 0]);
    with(
        &held,
        &expected,
        |(first, second, period)| format!("video {second} after video {first}, period {period}"),
        |[next, with]| format!("next {next}, with each other {with}"),
    )
}
