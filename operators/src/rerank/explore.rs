//! Which arm a place that explores goes to: a category, or a stage of cohorts ([`crate::bandit::arm`]).
//!
//! LinUCB takes the arm that is best where it is off by as much as it may be, epsilon-greedy the best estimate; of equals each has
//! the same chance, so a service in which nothing was tried yet does not show everybody the same. A part of the places goes to any
//! arm, so that each has a chance that is known and above zero: what other policies would have earned can then be estimated
//! ([`freshet_learning::off_policy`]).

use freshet_learning::linucb::{self, chances};

use crate::bandit::{Bet, Outlook};
use crate::params::{Exploration, Explore};

/// An arm that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// What drew it.
    pub policy: Explore,
    /// What was expected of it.
    pub bet: Bet,
    /// The version of the arms; 0 where none was needed or published.
    pub version: u64,
    /// Arms that it was drawn from.
    pub arms: u32,
}

/// Draws one of `arms` by a lot: it, the chance that it had, in (0, 1], and what speaks for it. `None` where there are none.
pub(super) fn choose(
    outlook: &Outlook,
    arms: &[u64],
    lot: u64,
    exploration: &Exploration,
) -> Option<(u64, f32, Drawn)> {
    let policy = exploration.policy;
    let bets: Vec<Bet> = arms.iter().map(|arm| outlook.bet(*arm)).collect();
    let worth = |bet: &Bet| match policy {
        Explore::Linucb => bet.estimate + bet.width,
        Explore::EpsilonGreedy => bet.estimate,
        Explore::Off | Explore::Random => 0.0,
    };
    let worth: Vec<f32> = bets.iter().map(worth).collect();
    let chances = chances(&worth, exploration.epsilon);
    let at = linucb::drawn(&chances, lot)?;
    let drawn = Drawn { policy, bet: bets[at], version: outlook.version, arms: arms.len() as u32 };
    Some((arms[at], (chances[at] as f32).min(1.0), drawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook() -> Outlook {
        let bet = |estimate, width| Bet { estimate, width };
        Outlook {
            version: 3,
            arms: vec![(1, bet(0.9, 0.1)), (2, bet(0.5, 0.7)), (3, bet(0.2, 0.1))],
            unseen: bet(0.0, 1.1),
            ..Outlook::default()
        }
    }

    fn exploration(policy: Explore, epsilon: f64) -> Exploration {
        Exploration { policy, epsilon, ..Exploration::default() }
    }

    /// The categories that are ever drawn, with their chances.
    fn all(categories: &[u64], exploration: &Exploration) -> Vec<(u64, f32)> {
        let lots = (0..4_000u64).map(|n| n << 52 | n);
        let mut all: Vec<(u64, f32)> = lots
            .filter_map(|lot| choose(&outlook(), categories, lot, exploration))
            .map(|(category, chance, _)| (category, chance))
            .collect();
        all.sort_unstable_by_key(|(category, chance)| (*category, chance.to_bits()));
        all.dedup();
        all
    }

    #[test]
    fn each_policy_has_its_best() {
        let best = |policy| all(&[1, 2, 3], &exploration(policy, 0.0));
        assert_eq!(best(Explore::Linucb), [(2, 1.0)]);
        assert_eq!(best(Explore::EpsilonGreedy), [(1, 1.0)]);
        assert_eq!(best(Explore::Random).len(), 3);
        let (_, _, arm) =
            choose(&outlook(), &[3, 1], 0, &exploration(Explore::Linucb, 0.0)).expect("there are arms");
        let expected =
            Drawn { policy: Explore::Linucb, bet: Bet { estimate: 0.9, width: 0.1 }, version: 3, arms: 2 };
        assert_eq!(arm, expected);
        assert!(choose(&outlook(), &[], 5, &exploration(Explore::Linucb, 0.0)).is_none());
    }

    #[test]
    fn what_nobody_tried_is_drawn_and_not_alone() {
        // Of five unseen ones each has a fifth of what is not shared out among all.
        let drawn = all(&[3, 4, 5, 6, 7, 8], &exploration(Explore::Linucb, 0.3));
        assert_eq!(drawn.len(), 6);
        for (category, chance) in drawn {
            let expected = 0.05 + if category == 3 { 0.0 } else { 0.7 / 5.0 };
            assert!((chance - expected).abs() < 1e-6, "{category}: {chance}");
        }
    }
}
