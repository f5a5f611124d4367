//! Exploration that learns: LinUCB over categories ([`freshet_learning::linucb`]).
//!
//! An arm is a category, as seed 004 has it for videos and the design for what can be kept: a video would need its own matrix, and
//! each new one, unseen and so most uncertain, would take the whole list. Where configured, a new video in a stage of its cohort belongs to the arm of that
//! stage instead ([`arm`]): who takes up what is new, whatever it is about, is learned there, and the category's arm is left to what is known. A context is the user's interest in a few whole numbers
//! ([`Context`]). What an arm has earned in which contexts are sums beside those of the heads ([`sums`]); they are solved with the
//! heads when versions are published ([`Arms`]), and the user side reads them for each list as far as the list's user goes
//! ([`Outlook`]). The slot allocator draws an arm for each place of the budget (`rerank/explore.rs`).
//!
//! Rewards, and which rows count, are with the sums.

mod context;
pub mod sums;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use freshet_learning::linucb::{self, Arm};
use freshet_schema::hash;
use serde::{Deserialize, Serialize};

pub use context::{CONTEXT, Context, UNIT};

use crate::params::{Exploration, Explore};

/// Stages of cohorts that have an arm of their own; the last stands for all later ones, too.
pub const STAGES: u8 = 3;
/// Arms of stages have hashes of their own.
const STAGE_ARMS: u64 = u64::from_be_bytes(*b"stages  ");

/// The stage of a cohort that has this number, from 1, as arms tell stages apart.
#[must_use]
pub fn stage(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(STAGES).min(STAGES)
}

/// The arm of a video: that of the stage it is in, or where that is 0 its category; 0 where it has neither.
#[must_use]
pub fn arm(stage: u8, category: u64) -> u64 {
    if stage == 0 { category } else { hash::mix(STAGE_ARMS, &[u64::from(stage)]) }
}

/// What lists and explanations call the arm of a stage; `None` for 0, where it is the category's.
#[must_use]
pub fn stage_name(stage: u8) -> Option<&'static str> {
    let named = stage.min(STAGES).checked_sub(1)?;
    Some(["cohort stage 1", "cohort stage 2", "cohort stage 3+"][usize::from(named)])
}

/// A publication has so many arms at most, those with the most examples: the others are as unseen.
pub const MOST_ARMS: usize = 256;

/// Published arms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arms {
    /// The publication that they were solved at; 0 is before any.
    pub version: u64,
    /// By number: see [`arm`].
    pub arms: BTreeMap<u64, Arm>,
}

impl Arms {
    /// The arms of a publication: at most [`MOST_ARMS`] of those that were solved.
    #[must_use]
    pub fn new(version: u64, mut solved: Vec<(u64, Arm)>) -> Self {
        if solved.len() > MOST_ARMS {
            let order = |(number, arm): &(u64, Arm)| (Reverse(arm.examples().to_bits()), *number);
            solved.select_nth_unstable_by_key(MOST_ARMS - 1, order);
            solved.truncate(MOST_ARMS);
        }
        Self { version, arms: solved.into_iter().collect() }
    }
}

/// What is expected of an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bet {
    /// The reward, in [0, 1] but for what the linear model adds.
    pub estimate: f32,
    /// Alpha times how far off it may be; finite also for an arm that nobody tried.
    pub width: f32,
}

/// What a list's user makes of the arms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// The user's context.
    pub context: Context,
    /// The version of the arms; 0 before any.
    pub version: u64,
    /// By number, in its order.
    pub arms: Vec<(u64, Bet)>,
    /// Of any other arm.
    pub unseen: Bet,
}

impl Outlook {
    /// The arms as seen from a context.
    #[must_use]
    pub fn of(context: Context, arms: &Arms, exploration: &Exploration) -> Self {
        let x = context.real();
        let alpha = exploration.alpha as f32;
        let bet = |arm: &Arm| Bet { estimate: arm.estimate(&x), width: alpha * arm.width(&x) };
        // Even draws need no estimates.
        let known = matches!(exploration.policy, Explore::Linucb | Explore::EpsilonGreedy).then_some(arms);
        Self {
            context,
            version: known.map_or(0, |arms| arms.version),
            arms: known
                .into_iter()
                .flat_map(|arms| &arms.arms)
                .map(|(number, arm)| (*number, bet(arm)))
                .collect(),
            unseen: Bet { estimate: 0.0, width: alpha * linucb::unseen(&x) },
        }
    }

    /// What is expected of an arm.
    #[must_use]
    pub fn bet(&self, arm: u64) -> Bet {
        let at = self.arms.binary_search_by_key(&arm, |(number, _)| *number);
        at.map_or(self.unseen, |at| self.arms[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_in_a_stage_belongs_to_it() {
        assert_eq!([1, 2, 3, 4, 900].map(stage), [1, 2, 3, 3, 3]);
        assert_eq!((arm(0, 7), arm(0, 0)), (7, 0), "its category, or none");
        assert!((1..=STAGES).all(|stage| arm(stage, 7) == arm(stage, 0) && arm(stage, 0) != 0));
        assert!(arm(1, 7) != arm(2, 7) && arm(2, 7) != arm(3, 7));
        let names: Vec<_> = (0..=STAGES).map(stage_name).collect();
        assert_eq!(names, [None, Some("cohort stage 1"), Some("cohort stage 2"), Some("cohort stage 3+")]);
    }
}
