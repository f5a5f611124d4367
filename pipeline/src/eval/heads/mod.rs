//! `freshet eval impressions` and `freshet eval pairs`: how good predictions are, for videos that were shown.
//!
//! Where [`super::walk`] asks what a list holds, this asks what the graph predicts of a given user and video. [`schedule`]
//! decides what is scored and learned when, [`probes`] takes it through the graph, [`item_rate`] does the same by counting,
//! [`figures`] compares both with the [`labels`], and [`report`] and [`show`] put it together. What is computed is in pure
//! functions: [`binary`], [`by_user`], [`watch`], [`freshet_learning::off_policy`].

mod binary;
mod by_user;
mod figures;
mod impressions;
mod item_rate;
mod labels;
mod over_time;
mod pairs;
mod pairs_show;
mod probes;
mod report;
mod resample;
mod schedule;
mod show;
mod watch;

pub use impressions::{Delays, impressions};
pub use pairs::{Pairs, Test, pairs};
pub use report::Report as Impressions;
pub(super) use show::{estimate_json, estimate_text};

/// Names of the models that are compared: the graph's predictions and counting.
const MODELS: [&str; 2] = ["freshet", "item rate"];
