//! Predictions for pairs of a user and a video, asked for without making a list.
//!
//! A list is judged by its order; a prediction has a value of its own. Whoever measures predictions names users and videos
//! in [`crate::runtime::EpochInput::probes`] and gets [`Probed`] back with the epoch, as lists come back to those who ask.

use serde::{Deserialize, Serialize};

/// What is predicted for a user and a video, given that the video is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    /// Probability from 0 to 1 that the user chooses it.
    pub choice: f32,
    /// Expected watched part, from 0 to 1.
    pub watch: f32,
    /// Probability that it is watched to the end.
    pub completion: f32,
    /// Probability that it is played again.
    pub rewatch: f32,
    /// Probability that the session goes on behind it.
    pub continuation: f32,
    /// Probability that it is skipped fast.
    pub skip: f32,
    /// Probability that it is liked.
    pub like: f32,
    /// Probability that it is watched for long: to the end, or for 18 seconds.
    pub long_view: f32,
    /// Expected watch time in milliseconds, all plays added.
    pub watch_ms: f32,
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Whom the probe named.
    pub user: u64,
    /// The videos of the probe, in its order.
    pub videos: Vec<(u64, Heads)>,
}
