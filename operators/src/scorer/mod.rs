//! What a candidate is worth to a user.
//!
//! [`features`] makes whole numbers of what is known, [`heads`] estimates the objectives from them, [`learn`] adds up what
//! the heads are solved from when versions are published, and [`calibrate`] what came of their estimates. A scorer sees one candidate at a time: no score depends on which
//! others are in the batch.

pub mod calibrate;
pub mod features;
pub mod heads;
pub mod learn;

use features::Features;
use heads::{HEADS, Heads};

use crate::params::Ranking;

/// Estimates the objectives for one candidate. The linear heads are one; a network is another.
pub trait Scorer {
    /// The estimates in the order of [`heads::Head`].
    fn estimates(&self, x: &Features) -> [f32; HEADS];

    /// What an offer is worth; see [`heads::value`].
    fn value(&self, x: &Features, fatigue: f32, ranking: &Ranking) -> f32 {
        heads::value(&self.estimates(x), fatigue, ranking)
    }
}

impl Scorer for Heads {
    fn estimates(&self, x: &Features) -> [f32; HEADS] {
        Heads::estimates(self, x)
    }
}
