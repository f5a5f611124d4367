//! Lists that have become too narrow for their user (seed 004, 9.2 and 9.3): the last videos are almost alike, or most of them are of one
//! category and the user watches less and less of them. Then the list has as many places for novelty as it may have, and a category half as
//! many as else.
//!
//! One sign alone is no harm: who watches one category with pleasure is to have it, and who is tired of much is tired. It follows from
//! the last rows, so it ends when the user watches other things again, or enjoys what there is.

use std::collections::BTreeMap;

use crate::params::Rerank;
use crate::row::Row;

/// Rows of each half of which the watched part must be known.
const KNOWN: usize = 5;

/// Whether a user's last rows, in order of time, say so; `obsession` says that the last videos are almost alike.
#[must_use]
pub fn narrowed(rows: &[Row], obsession: bool, params: &Rerank) -> bool {
    let last = params.narrow_last;
    if last == 0 || rows.len() < last {
        return false;
    }
    let rows = &rows[rows.len() - last..];
    obsession || (top_share(rows) > params.narrow_share && falls(rows, params.narrow_falls))
}

/// The share of the most frequent category among all rows.
fn top_share(rows: &[Row]) -> f64 {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.content.category != 0) {
        *counts.entry(row.content.category).or_default() += 1;
    }
    counts.values().max().map_or(0.0, |top| *top as f64 / rows.len() as f64)
}

/// Whether the later half was watched less than `part` of what the earlier half was.
fn falls(rows: &[Row], part: f64) -> bool {
    let mean = |rows: &[Row]| {
        let (sum, count) = rows
            .iter()
            .filter_map(Row::watched)
            .fold((0u64, 0usize), |(s, n), part| (s + u64::from(part), n + 1));
        (count >= KNOWN).then(|| sum as f64 / count as f64)
    };
    let (earlier, later) = rows.split_at(rows.len() / 2);
    match (mean(earlier), mean(later)) {
        (Some(earlier), Some(later)) => later < part * earlier,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_learning::LONG_DIMS;

    use super::super::testing::{Signal, content_at, row};
    use super::super::{Context, Entry, Policy, rerank};
    use super::*;
    use crate::content::Content;
    use crate::params::Params;

    /// Forty rows of which so many in a hundred are of category 1, watched or skipped by `takes`.
    fn rows(of_one: u64, takes: impl Fn(u64) -> Signal) -> Vec<Row> {
        let category = |n: u64| if n * 100 / 40 % 100 < of_one { 1 } else { 2 + n % 7 };
        let video = |n: u64| Content { category: category(n * 13 % 40), ..content_at(n + 1, 0.0) };
        (0..40).map(|n| row(video(n), n + 1, takes(n))).collect()
    }

    fn params() -> Params {
        let mut params = Params::default();
        params.rerank.narrow_last = 40;
        params
    }

    #[test]
    fn both_signs_together_or_a_loop() {
        let params = params().rerank;
        let tired = |n: u64| if n < 20 { Signal::Watched } else { Signal::Skipped };
        let content = |_: u64| Signal::Watched;
        assert!(narrowed(&rows(80, tired), false, &params));
        assert!(
            !narrowed(&rows(80, content), false, &params),
            "who watches one thing with pleasure is to have it"
        );
        assert!(!narrowed(&rows(30, tired), false, &params), "who is tired of much is tired");
        assert!(narrowed(&rows(30, content), true, &params), "a loop is one however it is liked");
        assert!(!narrowed(&rows(80, tired)[..39], false, &params), "too little is known");
        assert!(!narrowed(&rows(80, tired), true, &Params::default().rerank), "off");
    }

    /// A user whose list narrows and who watches less and less gets a wider one, and a narrow one again when they like it.
    #[test]
    fn a_narrow_list_is_widened() {
        let mut params = params();
        params.rerank.similarity_cap = 1.0;
        // What is of another category is unlike what was watched.
        let candidate = |n: u64| {
            let (category, degrees) = if n.is_multiple_of(2) { (1, 0.0) } else { (2 + n % 7, 90.0) };
            Arc::new(Content { category, ..content_at(1_000 + n, degrees) })
        };
        let candidates: Vec<Arc<Content>> = (0..400).map(candidate).collect();
        let entries: Vec<Entry<'_>> = candidates
            .iter()
            .zip(0u16..)
            .map(|(content, n)| Entry {
                score: 1.0 - f32::from(n) / 1_000.0,
                content,
                norm: content.vector.norm(LONG_DIMS),
                drawn: false,
                claimed: false,
                trusted: 1.0,
                arm: content.category,
            })
            .collect();
        let list = |rows: &[Row]| {
            let narrowed = narrowed(rows, false, &params.rerank);
            let context = Context { subject: 1, now: 100, rows, narrowed, ..Context::default() };
            let slots = rerank(&entries, &context, &params).slots;
            let novel = slots.iter().filter(|slot| slot.policy == Policy::Novelty).count();
            let of_one =
                slots[..20].iter().filter(|slot| candidates[slot.account.entry].category == 1).count();
            (novel, of_one)
        };
        let tired = |n: u64| if n < 20 { Signal::Watched } else { Signal::Skipped };
        let before = list(&rows(80, |_| Signal::Watched));
        let widened = list(&rows(80, tired));
        assert_eq!((before.0, widened.0), (15, 30), "places for novelty");
        assert!(widened.1 < before.1, "of the one category: {} and {}", before.1, widened.1);
        assert_eq!(list(&rows(80, |_| Signal::Watched)), before);
    }
}
