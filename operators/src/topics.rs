//! What the long-term vector is made of: the directions of topics.
//!
//! A trained topic's direction stands in the topics' file and never moves. Where a space has no trained topics its categories
//! stand in: a category's direction is that of the sum of its videos' directions, as of the last publication
//! ([`crate::publish`]). The sums are whole numbers, kept where the videos are ([`Themes`]).

use std::collections::BTreeMap;

use freshet_learning::{Direction, LONG_DIMS, Topics};
use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use crate::content::{self, Content, Facet};

/// An embedding space and what is counted in it.
pub type Place = (u64, Facet);

/// Directions of topics, by space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicTable(Vec<(Place, Direction)>);

impl TopicTable {
    /// The trained topics.
    #[must_use]
    pub fn trained(topics: &Topics) -> Self {
        let mut all = Vec::new();
        for (name, space) in &topics.spaces {
            let space_id = hash::text(name);
            let rows = space.centroids.rows().enumerate();
            let direction = |row: &[i16]| Direction::try_from(row.to_vec()).ok();
            all.extend(
                rows.filter_map(|(n, row)| Some(((space_id, content::topic(space_id, n)), direction(row)?))),
            );
        }
        all.sort_unstable_by_key(|(place, _)| *place);
        Self(all)
    }

    /// This table with the directions of sums; what a sum has no direction for is not in it.
    #[must_use]
    pub fn with(&self, sums: &BTreeMap<Place, Sum>) -> Self {
        let directions = sums.iter().filter_map(|(place, sum)| Some((*place, Direction::of_sum(&sum.0)?)));
        let mut all: Vec<(Place, Direction)> = self.0.iter().cloned().chain(directions).collect();
        all.sort_unstable_by_key(|(place, _)| *place);
        Self(all)
    }

    /// The topics, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|(place, _)| *place)
    }

    /// The direction of a topic.
    #[must_use]
    pub fn direction(&self, place: Place) -> Option<&Direction> {
        let at = self.0.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(&self.0[at].1)
    }
}

/// A sum of directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum(Vec<i64>);

impl Default for Sum {
    fn default() -> Self {
        Self(vec![0; LONG_DIMS])
    }
}

impl Sum {
    /// Adds another sum.
    pub fn plus(&mut self, other: &Self) {
        for (entry, x) in self.0.iter_mut().zip(&other.0) {
            *entry += x;
        }
    }
}

/// Sums of the directions of one worker's videos, by category.
#[derive(Default)]
pub struct Themes {
    sums: BTreeMap<Place, (Sum, u64)>,
}

impl Themes {
    /// Counts a video under its category, or takes it out with the sign -1. Others than those that count by category are none of
    /// its business.
    pub fn count(&mut self, content: &Content, sign: i64) {
        let Some(category @ Facet::Category(_)) = content.topic else { return };
        let Some(direction) = Direction::of(&content.vector.0[..]) else { return };
        let place = (content.space, category);
        let (sum, videos) = self.sums.entry(place).or_default();
        for (entry, x) in sum.0.iter_mut().zip(direction.entries()) {
            *entry += sign * i64::from(*x);
        }
        *videos = videos.wrapping_add_signed(sign);
        if *videos == 0 {
            self.sums.remove(&place);
        }
    }

    /// The sums as they are.
    pub fn sums(&self) -> impl Iterator<Item = (Place, &Sum)> {
        self.sums.iter().map(|(place, (sum, _))| (*place, sum))
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sums.len() * (LONG_DIMS * 8 + 96)
    }
}

#[cfg(test)]
mod tests {
    use freshet_learning::Quantised;
    use freshet_learning::topics::Training;
    use freshet_schema::VideoId;

    use super::*;

    fn video(axis: usize, category: u64) -> Content {
        let mut vector = Quantised::zero();
        vector.0[axis] = 100;
        Content { topic: Some(Facet::Category(category)), space: 5, vector, ..Content::unknown(1) }
    }

    #[test]
    fn a_category_points_where_its_videos_do_and_forgets_them() {
        let mut themes = Themes::default();
        let of = |themes: &Themes, category: u64| {
            let sums = themes.sums().map(|(place, sum)| (place, sum.clone())).collect();
            let table = TopicTable::default().with(&sums);
            table.direction((5, Facet::Category(category))).cloned()
        };
        themes.count(&video(3, 1), 1);
        let alone = of(&themes, 1);
        assert_eq!(alone, Direction::of(&video(3, 1).vector.0[..]));
        themes.count(&video(9, 1), 1);
        assert_ne!(of(&themes, 1), alone);
        themes.count(&video(9, 1), -1);
        assert_eq!(of(&themes, 1), alone);
        themes.count(&video(3, 1), -1);
        assert_eq!((of(&themes, 1), themes.bytes()), (None, 0));
    }

    #[test]
    fn trained_topics_are_in_the_table_under_the_name_that_contents_have() {
        let vectors = (0..2).map(|axis| (VideoId(axis as u64), video(axis, 1).vector)).collect();
        let training = Training { topics: 2, sample: 10, iterations: 5, seed: 1 };
        let topics = Topics::train(BTreeMap::from([("clips".to_owned(), vectors)]), &training);
        let table = TopicTable::trained(&topics);
        let space = hash::text("clips");
        for axis in 0..2 {
            let number = topics.of(space, &video(axis, 1).vector).expect("a trained space");
            let direction = table.direction((space, content::topic(space, number))).expect("a topic");
            assert!(direction.entries()[axis] > 3900, "{direction:?}");
        }
    }
}
