//! Exploration that learns: LinUCB over categories ([`freshet_learning::linucb`]).
//!
//! An arm is a category, as seed 004 has it for videos and the design for what can be kept: a video would need its own matrix, and
//! each new one, unseen and so most uncertain, would take the whole list. A context is the user's interest in a few whole numbers
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
use serde::{Deserialize, Serialize};

pub use context::{CONTEXT, Context, UNIT};

use crate::params::{Exploration, Explore};

/// A publication has so many arms at most, those with the most examples: the others are as unseen.
pub const MOST_ARMS: usize = 256;

/// Published arms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arms {
    /// The publication that they were solved at; 0 is before any.
    pub version: u64,
    /// By category.
    pub arms: BTreeMap<u64, Arm>,
}

impl Arms {
    /// The arms of a publication: at most [`MOST_ARMS`] of those that were solved.
    #[must_use]
    pub fn new(version: u64, mut solved: Vec<(u64, Arm)>) -> Self {
        if solved.len() > MOST_ARMS {
            let order = |(category, arm): &(u64, Arm)| (Reverse(arm.examples().to_bits()), *category);
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
    /// By category, in its order.
    pub arms: Vec<(u64, Bet)>,
    /// Of any other category.
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
                .map(|(category, arm)| (*category, bet(arm)))
                .collect(),
            unseen: Bet { estimate: 0.0, width: alpha * linucb::unseen(&x) },
        }
    }

    /// What is expected of a category.
    #[must_use]
    pub fn bet(&self, category: u64) -> Bet {
        let at = self.arms.binary_search_by_key(&category, |(category, _)| *category);
        at.map_or(self.unseen, |at| self.arms[at].1)
    }
}
