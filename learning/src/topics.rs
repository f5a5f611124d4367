//! Topics: directions about which videos gather, a set for each embedding space, trained by k-means and kept in a file.
//!
//! A job reads them at its start and never trains them, so what follows from them is a function of the file. A video's
//! topic is the one whose direction has the greatest inner product with its vector.

use std::collections::BTreeMap;

use freshet_schema::{VideoId, hash};
use serde::{Deserialize, Serialize};

use crate::direction::Direction;
use crate::kmeans::{Centroids, fit};
use crate::vector::{LONG_DIMS, Quantised};

/// The file format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// How topics are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Topics of a space, at most.
    pub topics: usize,
    /// Videos of a space that are trained on, at most: drawn by the hash of their number.
    pub sample: usize,
    /// Iterations of Lloyd's algorithm, at most.
    pub iterations: u32,
    /// Seed of the draws.
    pub seed: u64,
}

/// Trained topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// [`FORMAT`].
    pub format: u32,
    /// What they were trained with.
    pub seed: u64,
    /// By the name of the embedding space.
    pub spaces: BTreeMap<String, Space>,
}

/// The topics of one embedding space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Videos trained on.
    pub videos: u64,
    /// The topics' directions, of [`LONG_DIMS`] entries.
    pub centroids: Centroids,
}

/// Why a text holds no topics. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BadTopics {
    /// It is not what [`Topics::to_json`] writes.
    #[error("no topics: {0}; make the file with `freshet train topics`")]
    Shape(#[from] serde_json::Error),
    /// Another release wrote it.
    #[error(
        "topics of format {0}, this release reads {FORMAT}; make the file anew with `freshet train topics`"
    )]
    Format(u32),
    /// The directions are not this release's.
    #[error(
        "topics of {dims} dimensions in the space {space:?}, this release has {LONG_DIMS}; make the file anew with `freshet train topics`"
    )]
    Dims {
        /// The space.
        space: String,
        /// Its dimensions.
        dims: usize,
    },
}

impl Topics {
    /// Trains topics on the vectors of each space's videos, given in any order. What has no direction is left out, and so is a
    /// space without any.
    #[must_use]
    pub fn train(vectors: BTreeMap<String, Vec<(VideoId, Quantised)>>, training: &Training) -> Self {
        let mut spaces = BTreeMap::new();
        for (name, mut videos) in vectors {
            videos.sort_unstable_by_key(|(video, _)| (hash::mix(training.seed, &[video.0]), *video));
            let directions = videos.iter().filter_map(|(_, vector)| Direction::of(&vector.0[..]));
            let points: Vec<Direction> = directions.take(training.sample).collect();
            let points: Vec<&Direction> = points.iter().collect();
            let centroids = fit(&points, LONG_DIMS, training.topics, training.iterations, training.seed);
            if !centroids.is_empty() {
                spaces.insert(name, Space { videos: points.len() as u64, centroids });
            }
        }
        Self { format: FORMAT, seed: training.seed, spaces }
    }

    /// The topic of a vector, counted from 0 within its space; `None` for a space without topics and for the zero vector. `space`
    /// is the hash of the space's name.
    #[must_use]
    pub fn of(&self, space: u64, vector: &Quantised) -> Option<usize> {
        let (_, topics) = self.spaces.iter().find(|(name, _)| hash::text(name) == space)?;
        let point = Direction::of(&vector.0[..])?;
        topics.centroids.nearest(&point)
    }

    /// As it is kept in a file.
    ///
    /// # Panics
    /// Never: numbers and names have a JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names have a JSON form")
    }

    /// Reads what [`Topics::to_json`] gave.
    ///
    /// # Errors
    /// [`BadTopics`].
    pub fn from_json(text: &str) -> Result<Self, BadTopics> {
        /// What every format has.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(BadTopics::Format(format));
        }
        let topics: Self = serde_json::from_str(text)?;
        match topics.spaces.iter().find(|(_, space)| space.centroids.dims() != LONG_DIMS) {
            Some((name, space)) => Err(BadTopics::Dims { space: name.clone(), dims: space.centroids.dims() }),
            None => Ok(topics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAINING: Training = Training { topics: 3, sample: 1_000, iterations: 20, seed: 7 };

    /// Videos around three axes.
    fn videos(turn: u64) -> Vec<(VideoId, Quantised)> {
        let video = |n: u64| {
            let n = (n + turn) % 60;
            let mut vector = Quantised::zero();
            vector.0[(n % 3) as usize * 100] = 120;
            vector.0[400 + (n % 7) as usize] = 20;
            (VideoId(n), vector)
        };
        (0..60).map(video).collect()
    }

    fn trained(turn: u64, training: &Training) -> Topics {
        Topics::train(BTreeMap::from([("clips".to_owned(), videos(turn))]), training)
    }

    #[test]
    fn videos_gather_about_topics_whatever_their_order() {
        let topics = trained(0, &TRAINING);
        assert_eq!(topics, trained(17, &TRAINING));
        let space = hash::text("clips");
        let of: Vec<Option<usize>> = videos(0).iter().map(|(_, vector)| topics.of(space, vector)).collect();
        for n in 3..60 {
            assert_eq!(of[n], of[n % 3]);
        }
        assert!(of[0].is_some() && of[0] != of[1] && of[1] != of[2] && of[0] != of[2]);
        assert_eq!(topics.of(hash::text("other"), &videos(0)[0].1), None);
        assert_eq!(topics.of(space, &Quantised::zero()), None);
        assert_eq!(trained(0, &Training { sample: 6, ..TRAINING }).spaces["clips"].videos, 6);
    }

    #[test]
    fn a_file_is_read_back_and_anything_else_is_refused_with_a_remedy() {
        let topics = trained(0, &TRAINING);
        assert_eq!(Topics::from_json(&topics.to_json()).expect("own form"), topics);
        let other = topics.to_json().replace("\"format\":1", "\"format\":9");
        let said = Topics::from_json(&other).expect_err("another format").to_string();
        assert!(said.contains("format 9") && said.contains("freshet train topics"), "{said}");
        let damaged = topics.to_json().replacen("4000", "400", 1).replacen("3", "4000", 1);
        assert!(Topics::from_json(&damaged).is_err());
        assert!(Topics::from_json("[]").is_err());
    }
}
