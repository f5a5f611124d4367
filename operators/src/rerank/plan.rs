//! Which policy owns which place, before any candidate is seen.
//!
//! A user's list: in the head (20) every fifth place is for novelty, the seed's 5/10/15/20, while the share of the whole
//! list lasts; what is left of the share is spread evenly behind the head, the last one on the last place (100 places at
//! 15 %: four in the head, eleven behind it, every 7th or 8th). With the session's fatigue the share grows, in the head by
//! places half-way between (3, 8, 13, 18).
//!
//! A stranger's list (seed 002: seven popular and three to explore of ten, shuffled): in each block of ten the places to
//! explore are drawn.

use super::draw::Draws;
use super::{Kind, Policy};
use crate::params::Params;

/// Places of a block of a stranger's list.
pub(super) const BLOCK: usize = 10;

/// The policies of a list's places. `tired` is the session's fatigue in [0, 1].
pub(super) fn plan(kind: Kind, length: usize, tired: f32, draws: Draws, params: &Params) -> Vec<Policy> {
    match kind {
        Kind::User => for_user(length, tired, params),
        Kind::NewUser | Kind::Group => for_strangers(length, draws, params.feed.new_user_popular),
    }
}

fn for_user(length: usize, tired: f32, params: &Params) -> Vec<Policy> {
    let rerank = &params.rerank;
    let least = rerank.novelty_share;
    let share = least + (rerank.novelty_max_share - least).max(0.0) * f64::from(tired);
    let budget = ((share * length as f64).round() as usize).min(length);
    let head = rerank.novelty_head.min(length);
    let every = rerank.novelty_every.max(1);
    let mut slots: Vec<usize> = (1..=head / every).map(|n| n * every).collect();
    if least > 0.0 {
        let more = ((share / least - 1.0) * slots.len() as f64).round() as usize;
        let between: Vec<usize> = slots
            .iter()
            .map(|slot| slot - every / 2)
            .filter(|slot| !slots.contains(slot))
            .take(more)
            .collect();
        slots.extend(between);
    }
    slots.truncate(budget);
    let (left, tail) = (budget - slots.len(), length - head);
    let left = left.min(tail);
    slots.extend((1..=left).map(|n| head + n * tail / left));
    let mut plan = vec![Policy::Rank; length];
    for slot in slots {
        plan[slot - 1] = Policy::Novelty;
    }
    plan
}

/// Gives places of the head to exploration: so many as are configured, spread evenly, each the next one that goes by rank. At most
/// half of a list is drawn: what novelty leaves of that bounds them.
pub(super) fn explore(plan: &mut [Policy], params: &Params) {
    let drawn = plan.iter().filter(|policy| **policy != Policy::Rank).count();
    let slots = params.exploration.slots.min((plan.len() / 2).saturating_sub(drawn));
    let head = params.rerank.novelty_head.clamp(slots, plan.len().max(slots));
    for n in 1..=slots {
        // Never the first.
        let from = (n * head).div_ceil(slots + 1).saturating_sub(1).max(1);
        let ranked = |places: &[Policy]| places.iter().position(|policy| *policy == Policy::Rank);
        if let Some(at) = plan.get(from..).and_then(ranked) {
            plan[from + at] = Policy::Bandit;
        }
    }
}

fn for_strangers(length: usize, draws: Draws, popular: f64) -> Vec<Policy> {
    let explore = BLOCK - ((popular * BLOCK as f64).round() as usize).min(BLOCK);
    let mut plan = vec![Policy::Popular; length];
    for (block, places) in plan.chunks_mut(BLOCK).enumerate() {
        let mut lots: Vec<(u64, usize)> =
            (0..BLOCK).map(|at| (draws.lot(block * BLOCK + at + 1, 0), at)).collect();
        lots.sort_unstable();
        for (_, at) in &lots[..explore] {
            if let Some(place) = places.get_mut(*at) {
                *place = Policy::Explore;
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rerank::Context;

    fn places(plan: &[Policy], policy: Policy) -> Vec<usize> {
        plan.iter().enumerate().filter(|(_, p)| **p == policy).map(|(at, _)| at + 1).collect()
    }

    fn novelty(length: usize, tired: f32) -> Vec<usize> {
        places(&for_user(length, tired, &Params::default()), Policy::Novelty)
    }

    #[test]
    fn novelty_has_its_share_and_the_seeds_places() {
        assert_eq!(novelty(100, 0.0), [5, 10, 15, 20, 27, 34, 41, 49, 56, 63, 70, 78, 85, 92, 100]);
        assert_eq!(novelty(20, 0.0), [5, 10, 15]);
        assert_eq!(novelty(10, 0.0), [5, 10]);
        assert_eq!(novelty(3, 0.0), [0usize; 0]);
        assert_eq!(novelty(0, 1.0), [0usize; 0]);
    }

    #[test]
    fn a_tiring_session_has_up_to_twice_the_share() {
        assert_eq!(novelty(100, 1.0).len(), 30);
        assert_eq!(novelty(100, 1.0)[..8], [3, 5, 8, 10, 13, 15, 18, 20]);
        assert_eq!(novelty(100, 0.5)[..6], [3, 5, 8, 10, 15, 20]);
        let shares: Vec<usize> = (0..=10).map(|tenth| novelty(100, tenth as f32 / 10.0).len()).collect();
        assert!(shares.is_sorted(), "{shares:?}");
    }

    #[test]
    fn no_share_takes_no_place() {
        let mut params = Params::default();
        params.rerank.novelty_share = 0.0;
        params.rerank.novelty_max_share = 0.0;
        assert_eq!(places(&for_user(100, 1.0, &params), Policy::Novelty), [0usize; 0]);
        params.rerank.novelty_max_share = 0.1;
        params.rerank.novelty_head = 0;
        assert_eq!(places(&for_user(20, 1.0, &params), Policy::Novelty), [10, 20]);
    }

    fn explored(length: usize, tired: f32, slots: usize) -> Vec<usize> {
        let mut params = Params::default();
        params.exploration.slots = slots;
        let mut plan = for_user(length, tired, &params);
        let before = places(&plan, Policy::Novelty);
        explore(&mut plan, &params);
        assert_eq!(places(&plan, Policy::Novelty), before, "no place of novelty is taken");
        places(&plan, Policy::Bandit)
    }

    #[test]
    fn exploration_has_its_places_in_the_head() {
        assert_eq!(explored(100, 0.0, 1), [11]);
        assert_eq!(explored(100, 0.0, 2), [7, 14]);
        assert_eq!(explored(100, 1.0, 3), [6, 11, 16], "between those of a tiring session");
        assert_eq!(explored(100, 0.0, 0), [0usize; 0]);
        assert_eq!(explored(6, 0.0, 2), [2, 4]);
        assert_eq!(explored(2, 0.0, 5), [2], "at most half of a list is drawn");
        assert_eq!(explored(0, 0.0, 2), [0usize; 0]);
    }

    #[test]
    fn three_of_ten_explore_wherever_the_draw_puts_them() {
        let context = |subject| Context { subject, kind: Kind::Group, ..Context::default() };
        let plan = |subject| for_strangers(25, Draws::new(1, &context(subject)), 0.7);
        let one = plan(1);
        assert_eq!(one, plan(1));
        assert_ne!(one, plan(2));
        for block in one[..20].chunks(BLOCK) {
            assert_eq!(places(block, Policy::Explore).len(), 3);
        }
    }
}
