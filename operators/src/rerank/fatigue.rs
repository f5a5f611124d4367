//! Fatigue: what a user keeps skipping becomes worth less to them, and recovers with time.
//!
//! The seed's fatigue(user, session) is the same for all candidates and cannot change an order. Here it belongs to a creator,
//! a category or a hashtag. With s fast skips among n views of it, each weighing 2^(-age / half-life):
//!
//! ```text
//! fatigue = max(0, s - q n) / ((1 - q) (n + prior))
//! ```
//!
//! that is the part of the views that was skipped beyond the usual part q, shrunk by `prior` views without a skip: one skip
//! says little, repeated ones much, all of it fades as n does, and a hashtag that stands under every video says nothing.
//! q is the user's own part, shrunk to the share that counts as fast skips: who skips half of everything has not tired of
//! everything. An explicit dislike weighs as W skips, against the views g that were cared for, and lasts longer:
//! W d / (W d + g + prior). The greater of the two holds.

use rustc_hash::FxHashMap;

use crate::content::{Content, Facet};
use crate::params::Params;
use crate::row::Row;
use crate::score::{ONE, freshness};
use crate::sessions;

/// How tired a user is of creators, categories and hashtags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fatigue {
    penalties: FxHashMap<Facet, f32>,
    strong: f32,
    greatest: f32,
}

/// Decayed counts in millionths: whole numbers, so that no order of the rows matters.
#[derive(Clone, Copy, Default)]
struct Evidence {
    skips: u64,
    views: u64,
    dislikes: u64,
    cared: u64,
}

fn tires(facet: &Facet) -> bool {
    matches!(facet, Facet::Creator(_) | Facet::Category(_) | Facet::Hashtag(_))
}

fn number(millionths: u64) -> f64 {
    millionths as f64 / f64::from(ONE)
}

/// The part of `views` that was skipped beyond `usual`, shrunk; in [0, 1).
fn excess(skips: f64, views: f64, usual: f64, prior: f64) -> f64 {
    ((skips - usual * views) / ((1.0 - usual).max(1e-6) * (views + prior))).clamp(0.0, 1.0)
}

impl Evidence {
    fn add(&mut self, row: &Row, skip_weight: u64, dislike_weight: u64) {
        if let Some(skipped) = row.skipped() {
            self.views += skip_weight;
            self.skips += if skipped { skip_weight } else { 0 };
        }
        if row.is(Row::DISLIKE) {
            self.dislikes += dislike_weight;
        } else if row.weight > 0 {
            self.cared += dislike_weight;
        }
    }

    fn penalty(self, usual: f64, params: &Params) -> f64 {
        let rerank = &params.rerank;
        let skipped = excess(number(self.skips), number(self.views), usual, rerank.fatigue_prior);
        let disliked = rerank.dislike_weight * number(self.dislikes);
        let disliked = disliked / (disliked + number(self.cared) + rerank.fatigue_prior);
        skipped.max(disliked)
    }
}

impl Fatigue {
    /// Reads the last rows (in order of time, the latest at the end) as of `now`.
    #[must_use]
    pub fn of(rows: &[Row], now: u64, params: &Params) -> Self {
        let rerank = &params.rerank;
        let rows = &rows[rows.len().saturating_sub(rerank.fatigue_last)..];
        // Only what was skipped or disliked at all can be tired of.
        let mut facets: FxHashMap<Facet, Evidence> = FxHashMap::default();
        for row in rows.iter().filter(|row| row.skipped() == Some(true) || row.is(Row::DISLIKE)) {
            for (facet, _) in row.content.facets.iter().filter(|(facet, _)| tires(facet)) {
                facets.insert(*facet, Evidence::default());
            }
        }
        if facets.is_empty() {
            return Self::default();
        }
        let mut all = Evidence::default();
        for row in rows {
            let skip_weight = u64::from(freshness(row.time, now, rerank.fatigue_half_life));
            let dislike_weight = u64::from(freshness(row.time, now, rerank.dislike_half_life));
            all.add(row, skip_weight, dislike_weight);
            for (facet, _) in &row.content.facets {
                if let Some(evidence) = facets.get_mut(facet) {
                    evidence.add(row, skip_weight, dislike_weight);
                }
            }
        }
        let prior = params.score.shrinkage_views as f64;
        let share = params.score.skip_share;
        let usual = (number(all.skips) + share * prior) / (number(all.views) + prior).max(1e-6);
        let usual = usual.max(share);
        let penalties: FxHashMap<Facet, f32> = facets
            .into_iter()
            .map(|(facet, evidence)| (facet, evidence.penalty(usual, params) as f32))
            .filter(|(_, penalty)| *penalty > 0.0)
            .collect();
        let greatest = penalties.values().copied().fold(0.0, f32::max);
        Self { penalties, strong: rerank.fatigue_strong as f32, greatest }
    }

    /// What the user has tired of, the most first; in (0, 1].
    #[must_use]
    pub fn facets(&self) -> Vec<(Facet, f32)> {
        let mut facets: Vec<(Facet, f32)> = self.penalties.iter().map(|(f, p)| (*f, *p)).collect();
        facets.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        facets
    }

    /// The fatigue with a candidate, in [0, 1]: the `fatigue` that R is lowered by. It is the greatest of its facets', not
    /// their sum: they come together, and a skip of a video counts for its creator, category and hashtags at once.
    #[must_use]
    pub fn penalty(&self, content: &Content) -> f32 {
        if self.penalties.is_empty() {
            return 0.0;
        }
        content.facets.iter().filter_map(|(facet, _)| self.penalties.get(facet)).copied().fold(0.0, f32::max)
    }

    /// Whether [`Fatigue::factor`] is below 1 for any content.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        self.greatest > self.strong
    }

    /// The factor on a candidate's score, in [0, 1]: 1 up to the threshold of strong cases, from there down to 0 at a fatigue
    /// of 1, without a step. A weight of 0.05 in R could not keep the videos of a disliked creator back.
    #[must_use]
    pub fn factor(&self, content: &Content) -> f32 {
        if !self.is_strong() {
            return 1.0;
        }
        let penalty = self.penalty(content);
        if penalty <= self.strong { 1.0 } else { 1.0 - (penalty - self.strong) / (1.0 - self.strong) }
    }
}

/// How tired a user is of the running session, in [0, 1): the part of it that was skipped fast beyond the usual, shrunk. 0
/// where no session runs.
#[must_use]
pub fn session(rows: &[Row], now: u64, params: &Params) -> f32 {
    let gap = params.interest.session_gap;
    let running = |row: &Row| now.saturating_sub(row.time) <= gap;
    if !rows.last().is_some_and(running) {
        return 0.0;
    }
    let length = sessions::last(rows, gap).map_or(0, |session| session.length as usize);
    let (mut skips, mut views) = (0.0, 0.0);
    for skipped in rows[rows.len().saturating_sub(length)..].iter().filter_map(Row::skipped) {
        views += 1.0;
        skips += f64::from(u8::from(skipped));
    }
    excess(skips, views, params.score.skip_share, params.rerank.fatigue_prior) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{DAY, HOUR, MINUTE};
    use crate::rerank::testing::{Signal, content, row};

    const NOW: u64 = 100 * DAY;

    /// `count` rows of creator `creator` and category `category`, a minute apart, ending at `end`.
    fn rows(count: u64, creator: u64, category: u64, signal: Signal, end: u64) -> Vec<Row> {
        (0..count).rev().map(|n| row(content(n, creator, category, &[]), end - n * MINUTE, signal)).collect()
    }

    fn penalty(rows: &[Row], now: u64, creator: u64, category: u64) -> f32 {
        Fatigue::of(rows, now, &Params::default()).penalty(&content(1000, creator, category, &[]))
    }

    #[test]
    fn repeated_skips_tire_and_time_heals() {
        let by_count: Vec<f32> =
            (0..8).map(|n| penalty(&rows(n, 1, 1, Signal::Skipped, NOW), NOW, 1, 2)).collect();
        assert!(by_count.is_sorted() && by_count[0] == 0.0, "{by_count:?}");
        assert!(by_count[1] < 0.3 && by_count[7] > 0.5, "{by_count:?}");
        let skipped = rows(7, 1, 1, Signal::Skipped, NOW);
        let by_time: Vec<f32> = (0..10).map(|n| penalty(&skipped, NOW + n * 12 * HOUR, 1, 2)).collect();
        assert!(by_time.iter().rev().is_sorted(), "{by_time:?}");
        assert!(by_time[9] < 0.01, "{by_time:?}");
        // The category is tired of as well; another creator of another category is not.
        assert!(penalty(&skipped, NOW, 5, 1) > 0.5);
        assert_eq!(penalty(&skipped, NOW, 5, 5), 0.0);
    }

    #[test]
    fn what_is_watched_as_well_tires_less() {
        let skipped = rows(5, 1, 1, Signal::Skipped, NOW);
        let alone = penalty(&skipped, NOW, 1, 2);
        let mut mixed = rows(10, 1, 3, Signal::Watched, NOW - HOUR);
        mixed.extend(skipped);
        assert!(penalty(&mixed, NOW, 1, 2) < alone / 2.0);
    }

    /// Who skips half of everything has not tired of everything.
    #[test]
    fn the_usual_part_of_skips_is_no_fatigue() {
        let usual: Vec<Row> = (0..100)
            .map(|n| {
                let signal = if n % 2 == 0 { Signal::Skipped } else { Signal::Watched };
                row(content(n, n / 2 % 5 + 1, 1, &["everywhere"]), NOW - (100 - n) * MINUTE, signal)
            })
            .collect();
        let fatigue = Fatigue::of(&usual, NOW, &Params::default());
        assert!(fatigue.facets().iter().all(|(_, penalty)| *penalty < 0.1), "{:?}", fatigue.facets());
        assert!(!fatigue.is_strong());
    }

    #[test]
    fn a_dislike_is_strong_and_lasts() {
        let params = Params::default();
        let video = content(1000, 1, 2, &[]);
        let disliked = rows(1, 1, 1, Signal::Disliked, NOW);
        let skipped = rows(1, 1, 1, Signal::Skipped, NOW);
        let at = |rows: &[Row], now| Fatigue::of(rows, now, &params);
        assert!(at(&disliked, NOW).penalty(&video) > 0.75);
        assert!(at(&disliked, NOW).factor(&video) < 0.5);
        assert_eq!(at(&skipped, NOW).factor(&video), 1.0);
        assert!(at(&disliked, NOW + 7 * DAY).factor(&video) < 0.7);
        assert_eq!(at(&disliked, NOW + 70 * DAY).factor(&video), 1.0);
        // Of a category that is otherwise liked, one dislike says little.
        let mut liked = rows(60, 9, 1, Signal::Watched, NOW - HOUR);
        liked.extend(disliked);
        assert!(at(&liked, NOW).penalty(&content(1000, 5, 1, &[])) < 0.2);
        assert!(at(&liked, NOW).penalty(&content(1000, 1, 5, &[])) > 0.75);
    }

    #[test]
    fn hashtags_tire_and_the_greatest_facet_holds() {
        let skipped: Vec<Row> = (0..6)
            .map(|n| row(content(n, n + 10, n + 10, &["prank"]), NOW - n, Signal::Skipped))
            .rev()
            .collect();
        let fatigue = Fatigue::of(&skipped, NOW, &Params::default());
        let with = fatigue.penalty(&content(100, 1, 1, &["prank"]));
        assert!(with > 0.5, "{with}");
        assert_eq!(fatigue.penalty(&content(100, 10, 10, &["prank"])), with);
        assert!(fatigue.penalty(&content(100, 10, 10, &[])) < with);
        assert_eq!(fatigue.facets()[0].1, with);
    }

    #[test]
    fn a_session_that_is_skipped_through_is_tiring() {
        let params = Params::default();
        let tired = |rows: &[Row], now| session(rows, now, &params);
        let skipped = rows(10, 1, 1, Signal::Skipped, NOW);
        assert!(tired(&skipped, NOW) > 0.7);
        assert_eq!(tired(&skipped, NOW + HOUR), 0.0, "the session is over");
        assert_eq!(tired(&rows(10, 1, 1, Signal::Watched, NOW), NOW), 0.0);
        let mut earlier = skipped;
        earlier.extend(rows(2, 1, 1, Signal::Watched, NOW + 2 * HOUR));
        assert_eq!(tired(&earlier, NOW + 2 * HOUR), 0.0, "an earlier session does not count");
        assert_eq!(tired(&[], NOW), 0.0);
    }
}
