//! The slot allocator: walks the places and lets the policy of each take a candidate.

use std::collections::BTreeMap;

use super::adjust::Adjusted;
use super::draw::Draws;
use super::explore::{Drawn, choose};
use super::novelty::LastWatched;
use super::plan::BLOCK;
use super::queue::{Number, Queue};
use super::similarity::Measured;
use super::{Claim, Context, Entry, Left, Policy, Reranked, Rule, Rules, Slot};
use crate::params::Params;

/// At a rank place so many candidates may be refused for being like their neighbour; then the best of them has it. It bounds
/// the work where all candidates are alike.
const LOOKS: usize = 32;
/// For a place of novelty, so many times the pool of a draw are looked at: what is new but far down is not worth a place.
const DEPTH: usize = 10;
/// The lot of a place that explores is no video's.
const ARMS: u64 = u64::from_be_bytes(*b"the-arms");

/// Walks the places of one list.
pub(super) struct Allocator<'a> {
    order: &'a [Adjusted],
    context: &'a Context<'a>,
    params: &'a Params,
    draws: Draws,
    queue: Queue<'a>,
    /// What is on the place before.
    neighbour: Option<Measured<'a>>,
    last_watched: Option<LastWatched>,
    claims: Vec<(&'a Claim, Number)>,
    slots: Vec<Slot>,
}

/// A candidate chosen for the next place.
struct Choice {
    number: Number,
    policy: Policy,
    propensity: f32,
    /// See [`Slot::drawn`].
    drawn: u32,
    /// See [`Slot::arm`].
    arm: Option<Drawn>,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(
        entries: &'a [Entry<'a>],
        order: &'a [Adjusted],
        context: &'a Context<'a>,
        draws: Draws,
        params: &'a Params,
    ) -> Self {
        let number = |claim: &'a Claim| {
            let number = order.iter().position(|adjusted| adjusted.account.entry == claim.entry)?;
            Some((claim, number))
        };
        Self {
            order,
            context,
            params,
            draws,
            queue: Queue::new(entries, order, context, params),
            neighbour: None,
            last_watched: None,
            claims: context.claims.iter().filter_map(number).collect(),
            slots: Vec::new(),
        }
    }

    /// Fills the planned places as far as there are candidates.
    pub(super) fn fill(mut self, plan: &[Policy]) -> Reranked {
        self.slots.reserve(plan.len());
        while let Some(choice) = self.choose(plan) {
            self.place(&choice);
        }
        self.finish(plan.len())
    }

    fn choose(&mut self, plan: &[Policy]) -> Option<Choice> {
        let at = self.slots.len();
        let policy = *plan.get(at)?;
        if let Some(choice) = self.claimed(policy, plan.len()) {
            return Some(choice);
        }
        let pool = self.params.rerank.draw_pool;
        let choice = match policy {
            Policy::Novelty => self.draw(Policy::Novelty, pool),
            Policy::Popular => {
                let block = &plan[at..plan.len().min((at / BLOCK + 1) * BLOCK)];
                let left = block.iter().filter(|policy| **policy == Policy::Popular).count();
                self.draw(Policy::Popular, left).or_else(|| self.draw(Policy::Explore, pool))
            }
            // A place that nothing was drawn for goes to the best.
            Policy::Explore => self.draw(Policy::Explore, pool).or_else(|| self.draw(Policy::Popular, 1)),
            Policy::Bandit => self.explore(),
            Policy::Rank | Policy::Cohort => None,
        };
        choice.or_else(|| self.ranked())
    }

    fn fits_category(&mut self, number: Number) -> bool {
        let category = self.queue.looked(number).category;
        self.queue.categories.fits(category)
    }

    fn like_neighbour(&mut self, number: Number) -> bool {
        let cap = self.params.rerank.similarity_cap;
        match self.neighbour {
            Some(neighbour) if cap < 1.0 => self.queue.measured(number).alike(&neighbour, cap),
            _ => false,
        }
    }

    /// The candidate whose claim is due.
    fn claimed(&mut self, planned: Policy, length: usize) -> Option<Choice> {
        let place = self.slots.len() + 1;
        for n in 0..self.claims.len() {
            let (claim, number) = self.claims[n];
            let last = place == claim.to.min(length);
            let sampled = matches!(planned, Policy::Novelty | Policy::Explore | Policy::Bandit);
            let due = (claim.from..=claim.to).contains(&place) && (last || !sampled);
            if !due || !self.queue.look_ahead(number) {
                continue;
            }
            if last || (self.fits_category(number) && !self.like_neighbour(number)) {
                self.claims.remove(n);
                let (policy, propensity) = (claim.policy, claim.propensity);
                return Some(Choice { number, policy, propensity, drawn: 0, arm: None });
            }
        }
        None
    }

    fn may_draw(&mut self, policy: Policy, number: Number) -> bool {
        match policy {
            Policy::Novelty => self.is_new(number),
            Policy::Explore => self.queue.entry(number).drawn,
            _ => !self.queue.entry(number).drawn,
        }
    }

    fn is_new(&mut self, number: Number) -> bool {
        let rerank = &self.params.rerank;
        let content = self.queue.content(number);
        let looked = self.queue.looked(number);
        *looked.is_new.get_or_insert_with(|| {
            let rows = self.context.rows;
            let last = self.last_watched.get_or_insert_with(|| LastWatched::of(rows, rerank.novelty_last));
            last.is_new(content, rerank.novelty_below)
        })
    }

    /// Draws among the best `pool` candidates that the policy and the rules allow.
    fn draw(&mut self, policy: Policy, pool: usize) -> Option<Choice> {
        let place = self.slots.len() + 1;
        let depth = if policy == Policy::Novelty { pool.saturating_mul(DEPTH) } else { usize::MAX };
        let (mut eligible, mut least) = (0usize, None);
        let mut at = 0;
        while eligible < pool && at < depth {
            let Some(number) = self.queue.get(at) else { break };
            at += 1;
            // Most are no news, and that is found once.
            if policy == Policy::Novelty && self.queue.looked(number).is_new == Some(false) {
                continue;
            }
            if self.fits_category(number) && self.may_draw(policy, number) && !self.like_neighbour(number) {
                eligible += 1;
                let lot = (self.draws.lot(place, self.queue.content(number).video), number, eligible as u32);
                least = Some(least.map_or(lot, |other: (u64, Number, u32)| other.min(lot)));
            }
        }
        let propensity = 1.0 / eligible as f32;
        least.map(|(_, number, drawn)| Choice { number, policy, propensity, drawn, arm: None })
    }

    /// Draws an arm among those that have a candidate which the rules allow, and takes the best of it.
    fn explore(&mut self) -> Option<Choice> {
        let outlook = self.context.outlook?;
        let mut firsts: BTreeMap<u64, Number> = BTreeMap::new();
        let mut at = 0;
        while let Some(number) = self.queue.get(at) {
            at += 1;
            let arm = self.queue.entry(number).arm;
            let first = arm != 0 && !firsts.contains_key(&arm);
            if first && self.fits_category(number) && !self.like_neighbour(number) {
                firsts.insert(arm, number);
            }
        }
        let arms: Vec<u64> = firsts.keys().copied().collect();
        let lot = self.draws.lot(self.slots.len() + 1, ARMS);
        let (arm, propensity, drawn) = choose(outlook, &arms, lot, &self.params.exploration)?;
        let number = *firsts.get(&arm)?;
        Some(Choice { number, policy: Policy::Bandit, propensity, drawn: 0, arm: Some(drawn) })
    }

    /// The best that the rules allow, or else the best for which the fewest are given up.
    fn ranked(&mut self) -> Option<Choice> {
        // The first that each rule refused, with what had held it back before.
        let mut alike: Option<(Number, Rules)> = None;
        let mut crowded: Option<(Number, Rules)> = None;
        let mut refused = 0;
        let mut at = 0;
        let mut chosen = None;
        while let Some(number) = self.queue.get(at) {
            at += 1;
            let rule = if !self.fits_category(number) {
                Rule::Category
            } else if self.like_neighbour(number) {
                Rule::Similarity
            } else {
                chosen = Some(number);
                break;
            };
            let looked = self.queue.looked(number);
            let before = (number, looked.passed);
            looked.passed.insert(rule);
            if rule == Rule::Category {
                crowded.get_or_insert(before);
            } else {
                alike.get_or_insert(before);
                refused += 1;
                if refused == LOOKS {
                    break;
                }
            }
        }
        let number = match (chosen, alike.or(crowded)) {
            (Some(number), _) => number,
            (None, Some((number, before))) => {
                // It has the place after all, so it was not held back here.
                self.queue.looked(number).passed = before;
                number
            }
            (None, None) => self.queue.take_twin()?,
        };
        Some(Choice { number, policy: Policy::Rank, propensity: 1.0, drawn: 0, arm: None })
    }

    fn place(&mut self, choice: &Choice) {
        let number = choice.number;
        let account = self.order[number].account;
        let mut relaxed = Rules::default();
        let mut check = |given_up: bool, rule: Rule| {
            if given_up {
                relaxed.insert(rule);
            }
        };
        check(self.queue.is_twin_of_placed(number), Rule::Twin);
        check(!self.fits_category(number), Rule::Category);
        check(self.like_neighbour(number), Rule::Similarity);
        let looked = *self.queue.looked(number);
        let creator = self.queue.creators.factor(looked.creator);
        let mut moved = looked.passed;
        for (changed, rule) in [
            (creator < 1.0, Rule::Creator),
            (account.fatigue < 1.0, Rule::Fatigue),
            (account.taste > 1.0, Rule::Taste),
            (account.trusted < 1.0, Rule::Abuse),
            (account.spread < 1.0, Rule::Spread),
        ] {
            if changed {
                moved.insert(rule);
            }
        }
        self.slots.push(Slot {
            account,
            policy: choice.policy,
            propensity: choice.propensity,
            drawn: choice.drawn,
            arm: choice.arm,
            creator,
            compared: self.queue.compared(number),
            moved,
            relaxed,
        });
        self.neighbour = Some(self.queue.measured(number));
        self.queue.place(number);
    }

    /// Says of each candidate without a place what kept it out.
    fn finish(self, length: usize) -> Reranked {
        let length = length as u32;
        let rule = |number: Number, passed: Rules, lowered: bool| {
            let account = &self.order[number].account;
            if passed.contains(Rule::Category) {
                Rule::Category
            } else if passed.contains(Rule::Similarity) {
                Rule::Similarity
            } else if account.adjusted <= length {
                if lowered { Rule::Creator } else { Rule::Slot }
            } else if account.by_score <= length {
                match (account.trusted < 1.0, account.fatigue < 1.0, account.spread < 1.0) {
                    (true, ..) => Rule::Abuse,
                    (false, true, _) => Rule::Fatigue,
                    (false, false, true) => Rule::Spread,
                    (false, false, false) => Rule::Taste,
                }
            } else {
                Rule::Length
            }
        };
        let left = self
            .queue
            .left()
            .map(|(number, looked, out)| {
                let lowered = self.queue.has_lowered(number, &looked);
                let rule = out.unwrap_or_else(|| rule(number, looked.passed, lowered));
                Left { account: self.order[number].account, rule }
            })
            .collect();
        Reranked { slots: self.slots, left }
    }
}
