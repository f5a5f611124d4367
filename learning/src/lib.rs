//! Pure models: no timely, no clock, no state of the pipeline. What stands here is a function of its arguments.

pub mod content;
pub mod direction;
pub mod kmeans;
pub mod linucb;
pub mod off_policy;
pub mod ridge;
pub mod topics;
pub mod trial;
pub mod vector;

pub use content::{CONTENT_DIMS, embed};
pub use direction::Direction;
pub use kmeans::Centroids;
pub use topics::Topics;
pub use vector::{LONG_DIMS, MID_DIMS, Quantised, SHORT_DIMS};
