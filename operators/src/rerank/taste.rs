//! Fast taste discovery (seed 004, 7.2): within a new user's first interactions the list turns to what they cared for.
//!
//! Candidates that share a category, a creator or a hashtag with the positives so far have their score multiplied: by the
//! whole boost up to the fifth interaction, then less with each, until at the tenth the interest vectors speak for
//! themselves. (The seed waits for the fifth; a list that turns at the first is what it is for.) A facet that was skipped or
//! disliked as often as it was cared for is none of the user's taste.

use rustc_hash::FxHashMap;

use crate::coengage::positive;
use crate::content::{Content, Facet};
use crate::params::Params;
use crate::row::Row;

/// What a new user has cared for so far. Nobody's, by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Taste {
    /// Positives less skips and dislikes.
    facets: FxHashMap<Facet, i32>,
    boost: f32,
}

impl Default for Taste {
    fn default() -> Self {
        Self { facets: FxHashMap::default(), boost: 1.0 }
    }
}

fn tells(facet: &Facet) -> bool {
    matches!(facet, Facet::Creator(_) | Facet::Category(_) | Facet::Hashtag(_))
}

/// The boost after so many interactions, at least 1.
fn boost(interactions: usize, params: &Params) -> f64 {
    let rerank = &params.rerank;
    if interactions == 0 || interactions >= rerank.taste_until {
        return 1.0;
    }
    let fading = interactions.saturating_sub(rerank.taste_full) as f64;
    let steps = rerank.taste_until.saturating_sub(rerank.taste_full).max(1) as f64;
    1.0 + (rerank.taste_boost - 1.0) * (1.0 - fading / steps)
}

impl Taste {
    /// Reads a user's rows. All of them, or at least the last `taste_until`: a longer history has no boost.
    #[must_use]
    pub fn of(rows: &[Row], params: &Params) -> Self {
        let boost = boost(rows.len(), params) as f32;
        let mut facets = FxHashMap::default();
        if boost > 1.0 {
            for row in rows {
                let against = row.skipped() == Some(true) || row.is(Row::DISLIKE);
                let sign = if against { -1 } else { i32::from(positive(row, &params.coengagement)) };
                for (facet, _) in row.content.facets.iter().filter(|(facet, _)| tells(facet)) {
                    *facets.entry(*facet).or_default() += sign;
                }
            }
            facets.retain(|_, balance| *balance > 0);
        }
        if facets.is_empty() { Self::default() } else { Self { facets, boost } }
    }

    /// Whether [`Taste::factor`] is above 1 for any content.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.boost > 1.0
    }

    /// The factor on a candidate's score: 1, or the boost.
    #[must_use]
    pub fn factor(&self, content: &Content) -> f32 {
        let shares = |(facet, _): &(Facet, _)| self.facets.contains_key(facet);
        if self.is_known() && content.facets.iter().any(shares) { self.boost } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rerank::testing::{Signal, content, row};

    fn factor(signals: &[Signal], creator: u64, category: u64, tags: &[&str]) -> f32 {
        let rows: Vec<Row> = signals
            .iter()
            .enumerate()
            .map(|(n, signal)| row(content(n as u64, 1, 1, &["cats"]), n as u64, *signal))
            .collect();
        Taste::of(&rows, &Params::default()).factor(&content(100, creator, category, tags))
    }

    #[test]
    fn the_boost_is_full_to_the_fifth_and_gone_at_the_tenth() {
        let boosts: Vec<f32> = (0..=11).map(|n| factor(&vec![Signal::Watched; n], 1, 1, &[])).collect();
        let expected = [1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 1.0];
        assert_eq!(boosts, expected);
    }

    #[test]
    fn any_shared_facet_is_enough() {
        let liked = [Signal::Watched];
        assert_eq!(factor(&liked, 1, 9, &[]), 1.5);
        assert_eq!(factor(&liked, 9, 1, &[]), 1.5);
        assert_eq!(factor(&liked, 9, 9, &["dogs", "cats"]), 1.5);
        assert_eq!(factor(&liked, 9, 9, &["dogs"]), 1.0);
    }

    #[test]
    fn what_is_skipped_as_often_is_no_taste() {
        use Signal::{Disliked, Skipped, Watched};
        assert_eq!(factor(&[Skipped], 1, 1, &[]), 1.0);
        assert_eq!(factor(&[Watched, Disliked], 1, 1, &[]), 1.0);
        assert_eq!(factor(&[Watched, Skipped, Watched], 1, 1, &[]), 1.5);
    }
}
