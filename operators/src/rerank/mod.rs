//! Re-ranking: from scored candidates to the places of a list, by one slot allocator and small rules. Pure.
//!
//! 1. *Adjusted* (`adjust`): strong fatigue lowers a score, a new user's first taste raises it, abuse lowers it,
//!    and so does being in too many users' lists (`crate::spread`).
//! 2. *Planned* (`plan`): each place is given to a policy. No rule inserts anything later, so no place shifts another.
//! 3. *Allocated* (`allocate`): from the first place to the last, the policy takes a candidate. A rank place takes the best
//!    that the rules allow; a drawn place takes one of the best few by a seeded hash and logs the chance it had, a place that explores the best of a
//!    category that was drawn so. The rules:
//!    the last videos watched never return, near-duplicates once, so many of a category in a window, neighbours unlike each
//!    other, a creator's further videos for less.
//!
//! A list that the rules would leave short is filled. Given up, in this order, and only for the place in question: neighbours
//! unlike each other, the categories' share, near-duplicates once. Never: the same video twice, and the last videos watched.
//!
//! Candidates are looked at in the order of their score and only as far as needed: with a thousand of them most are never
//! touched. Nothing depends on the order in which they are handed over.

mod adjust;
mod allocate;
mod category;
mod creator;
mod draw;
mod explore;
pub mod fatigue;
pub mod narrow;
pub mod novelty;
mod numbers;
mod plan;
mod queue;
mod rules;
mod similarity;
pub mod taste;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use creator::scaled;
pub use draw::Draws;
pub use explore::Drawn;
pub use fatigue::Fatigue;
pub use rules::{Rule, Rules};
pub use taste::Taste;

use crate::bandit::Outlook;
use crate::content::Content;
use crate::params::Params;
use crate::row::Row;
use crate::spread::Spread;

/// A candidate.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Higher is better, of equals the lower video; may be negative. NaN is the worst.
    pub score: f32,
    /// The video as it is now.
    pub content: &'a Arc<Content>,
    /// The norm of its vector.
    pub norm: f64,
    /// Whether only a draw from all videos brought it, and no source that ranks. In a stranger's list these take the places
    /// to explore.
    pub drawn: bool,
    /// Whether nothing but a claim brought it: then it has the place that it claims or none.
    pub claimed: bool,
    /// Factor for abuse, in [0, 1]: 1 where nothing is suspected.
    pub trusted: f32,
    /// The arm that it stands for at places that explore; 0 for none.
    pub arm: u64,
}

/// Whose list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Of a user with a history.
    #[default]
    User,
    /// Of a user without one.
    NewUser,
    /// Of a demographic group.
    Group,
}

/// What a list is made from beside its candidates.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose list.
    pub kind: Kind,
    /// The user's number, or the hash of the group's name.
    pub subject: u64,
    /// The clock of the epoch, in milliseconds since 1970.
    pub now: u64,
    /// The user's last rows in order of time, the latest at the end: as many as `rerank.novelty_last`,
    /// `feed.no_repeat_last` and the running session need.
    pub rows: &'a [Row],
    /// What the user has tired of; `None` where nothing is known.
    pub fatigue: Option<&'a Fatigue>,
    /// A new user's first taste; `None` where nothing is known.
    pub taste: Option<&'a Taste>,
    /// Places that are owed to certain candidates.
    pub claims: &'a [Claim],
    /// Whether the user's lists have become too narrow for them ([`narrow`]).
    pub narrowed: bool,
    /// What the user makes of the categories; `None` where no place explores.
    pub outlook: Option<&'a Outlook>,
    /// What is in too many users' lists; `None` where nobody looks.
    pub spread: Option<&'a Spread>,
}

impl Default for Context<'_> {
    fn default() -> Self {
        Self {
            kind: Kind::User,
            subject: 0,
            now: 0,
            rows: &[],
            fatigue: None,
            taste: None,
            claims: &[],
            narrowed: false,
            outlook: None,
            spread: None,
        }
    }
}

/// A place owed to a candidate by a policy that chose it elsewhere, such as a cohort's sample: the first place from `from` to
/// `to` that is not drawn and where no rule is against it; at `to`, or at the list's end, against the rules that may be given
/// up. Of two with one last place the earlier in the slice gets it. A candidate that ranks earlier on its own is not held back,
/// one that only its claim brought ([`Entry::claimed`]) is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// Which candidate: its number in the slice of entries.
    pub entry: usize,
    /// What chose it.
    pub policy: Policy,
    /// First place, counted from 1.
    pub from: usize,
    /// Last place.
    pub to: usize,
    /// The chance with which it was chosen, in (0, 1].
    pub propensity: f32,
}

/// What decided which candidate a place went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// The best by score that the rules allow.
    Rank,
    /// A draw from the best that are unlike what was watched last.
    Novelty,
    /// In a stranger's list: a draw from the best that its block still has places for (the block is shuffled).
    Popular,
    /// In a stranger's list: a draw from what was drawn from all videos.
    Explore,
    /// A claim by a cohort.
    Cohort,
    /// A draw among categories by what they are worth trying; then the best of the category.
    Bandit,
}

impl Policy {
    /// The name in a list's account.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rank => "rank",
            Self::Novelty => "novelty",
            Self::Popular => "popular",
            Self::Explore => "explore",
            Self::Cohort => "cohort",
            Self::Bandit => "bandit",
        }
    }
}

/// What a candidate went through before it was placed or left out. Ranks count from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Account {
    /// The candidate: its number in the slice of entries.
    pub entry: usize,
    /// Rank by score.
    pub by_score: u32,
    /// Factor of the user's fatigue, in [0, 1].
    pub fatigue: f32,
    /// Factor of a new user's first taste, at least 1.
    pub taste: f32,
    /// Factor for abuse, in [0, 1].
    pub trusted: f32,
    /// Factor for being in too many users' lists, in (0, 1].
    pub spread: f32,
    /// Rank by `scaled(score, fatigue * taste * trusted * spread)`.
    pub adjusted: u32,
}

/// A place of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Its candidate.
    pub account: Account,
    /// What decided.
    pub policy: Policy,
    /// The chance, in (0, 1], with which the policy gave this place to this candidate, given the places before it.
    pub propensity: f32,
    /// Where the place was drawn evenly, which of those that might have had it the candidate was, from the best, 1; else 0.
    pub drawn: u32,
    /// The category that was drawn for it, where one was.
    pub arm: Option<Drawn>,
    /// Factor of the creator's earlier places, in (0, 1].
    pub creator: f32,
    /// What it was compared by at this place: `scaled(scaled(score, fatigue * taste * trusted * spread), creator)`.
    pub compared: f32,
    /// The rules that moved it: held it back at an earlier place, or changed its score.
    pub moved: Rules,
    /// The rules that were given up for it.
    pub relaxed: Rules,
}

/// A candidate without a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// The candidate.
    pub account: Account,
    /// What kept it out. [`Rule::Length`] where it was never its turn.
    pub rule: Rule,
}

/// A list, and who is not in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reranked {
    /// From the first place to the last.
    pub slots: Vec<Slot>,
    /// Best first, by adjusted score.
    pub left: Vec<Left>,
}

/// Makes a list of at most `feed.length` places. See the module.
#[must_use]
pub fn rerank(entries: &[Entry<'_>], context: &Context<'_>, params: &Params) -> Reranked {
    let order = adjust::order(entries, context);
    let tired = if context.narrowed { 1.0 } else { fatigue::session(context.rows, context.now, params) };
    let draws = Draws::new(params.seed, context);
    let mut plan = plan::plan(context.kind, params.feed.length.min(entries.len()), tired, draws, params);
    if context.outlook.is_some() && context.kind == Kind::User {
        plan::explore(&mut plan, params);
    }
    allocate::Allocator::new(entries, &order, context, draws, params).fill(&plan)
}
