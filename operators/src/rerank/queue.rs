//! The candidates that have no place yet, best first, looked at only as far as somebody asks.
//!
//! A creator's places lower the scores of the creator's other candidates, so the order changes with each place. Scores only
//! fall: a candidate keeps the score it was last compared by, and when it comes to the front with a score that no longer holds
//! it is moved back ("lazy greedy", Minoux 1978). So a place costs what is looked at, not what there is.

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::adjust::Adjusted;
use super::category::CategoryWindow;
use super::creator::{Creators, scaled};
use super::numbers::{NONE, Numbers};
use super::similarity::Measured;
use super::{Context, Entry, Rule, Rules};
use crate::content::Content;
use crate::light::ordered;
use crate::params::Params;

/// A candidate's number: its index in the adjusted order.
pub(super) type Number = usize;

/// What is known of a candidate that was looked at.
#[derive(Clone, Copy, Default)]
pub(super) struct Looked {
    /// The category's number.
    pub(super) category: u32,
    /// The creator's number.
    pub(super) creator: u32,
    /// The number of what its near-duplicates share.
    twin: u32,
    /// Places that the creator had when the score was computed.
    count: u32,
    /// Whether it is unlike what was watched last, once that was asked for.
    pub(super) is_new: Option<bool>,
    /// The rules that held it back so far.
    pub(super) passed: Rules,
    /// It is out for good, by this rule.
    out: Option<Rule>,
    /// It has a place.
    pub(super) placed: bool,
}

/// See the module.
pub(super) struct Queue<'a> {
    entries: &'a [Entry<'a>],
    order: &'a [Adjusted],
    /// The first of the order that was not looked at.
    next: Number,
    looked: Vec<Looked>,
    /// Looked at and without a place, best first.
    waiting: Vec<Waiting>,
    /// Near-duplicates of what has a place.
    twins: Vec<Number>,
    last_watched: Vec<u64>,
    videos: FxHashSet<u64>,
    twin_numbers: Numbers,
    /// By number of what near-duplicates share, whether one has a place.
    placed_twins: Vec<bool>,
    pub(super) categories: CategoryWindow,
    pub(super) creators: Creators,
}

/// The score that a candidate was last compared by, and its number, in one number whose order is theirs: the better is the
/// lesser. Half as much to move as the two of them, and one comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting(u64);

impl Waiting {
    fn new(score: f32, number: Number) -> Self {
        Self(u64::from(!ordered(score)) << 32 | number as u64)
    }

    fn number(self) -> Number {
        self.0 as u32 as Number
    }
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        entries: &'a [Entry<'a>],
        order: &'a [Adjusted],
        context: &Context<'_>,
        params: &Params,
    ) -> Self {
        let last = context.rows.iter().rev().take(params.feed.no_repeat_last);
        let cap = params.feed.per_category;
        let per_category = if context.narrowed { cap.div_ceil(2) } else { cap };
        Self {
            entries,
            order,
            next: 0,
            looked: vec![Looked::default(); order.len()],
            waiting: Vec::with_capacity(order.len()),
            twins: Vec::new(),
            last_watched: last.map(|row| row.content.video).collect(),
            videos: FxHashSet::with_capacity_and_hasher(order.len(), FxBuildHasher),
            twin_numbers: Numbers::with_room(order.len()),
            placed_twins: Vec::with_capacity(order.len()),
            categories: CategoryWindow::new(per_category, params.feed.category_window),
            creators: Creators::new(params.rerank.creator_decay, order.len()),
        }
    }

    pub(super) fn entry(&self, number: Number) -> &'a Entry<'a> {
        &self.entries[self.order[number].account.entry]
    }

    pub(super) fn content(&self, number: Number) -> &'a Content {
        self.entry(number).content
    }

    pub(super) fn looked(&mut self, number: Number) -> &mut Looked {
        &mut self.looked[number]
    }

    /// The `at`-th best of those without a place, given that those before it were asked for since the last place was given.
    /// What is out for good is not among them.
    pub(super) fn get(&mut self, at: usize) -> Option<Number> {
        loop {
            let head = self.order.get(self.next).map(|adjusted| Waiting::new(adjusted.score, self.next));
            let Some(waiting) = self.waiting.get(at).copied() else {
                head?;
                self.look_at_next(at);
                continue;
            };
            let number = waiting.number();
            if head.is_some_and(|head| head < waiting) {
                self.look_at_next(at);
            } else if self.is_twin_of_placed(number) {
                self.waiting.remove(at);
                self.looked[number].out = Some(Rule::Twin);
                self.twins.push(number);
            } else if self.looked[number].count < self.creators.count(self.looked[number].creator) {
                self.fall(at);
            } else {
                return Some(number);
            }
        }
    }

    /// Takes the next of the order in, behind the first `at` of those that wait.
    fn look_at_next(&mut self, at: usize) {
        let number = self.next;
        self.next += 1;
        if !self.looked[number].placed && self.look(number) {
            self.wait(at, number);
        }
    }

    /// Fills in what is known of a candidate; whether it may have a place at all.
    fn look(&mut self, number: Number) -> bool {
        let content = self.content(number);
        let category = self.categories.number(content.category);
        let creator = self.creators.number(content.creator);
        let twin = self.twin(content);
        let looked = &mut self.looked[number];
        (looked.category, looked.creator, looked.twin) = (category, creator, twin);
        if self.last_watched.contains(&content.video) {
            looked.out = Some(Rule::Watched);
        } else if !self.videos.insert(content.video) {
            looked.out = Some(Rule::Twin);
        }
        self.looked[number].out.is_none() && !self.entry(number).claimed
    }

    /// Puts a candidate where its present score belongs, behind the first `at`.
    fn wait(&mut self, at: usize, number: Number) {
        let waiting = self.score(number);
        let behind = self.waiting[at..].partition_point(|other| *other < waiting);
        self.waiting.insert(at + behind, waiting);
    }

    /// Moves the one at `at`, whose score has fallen, back to where it belongs now. What lies between is all that moves.
    fn fall(&mut self, at: usize) {
        let waiting = self.score(self.waiting[at].number());
        let behind = self.waiting[at + 1..].partition_point(|other| *other < waiting);
        self.waiting.copy_within(at + 1..=at + behind, at);
        self.waiting[at + behind] = waiting;
    }

    /// The present score of a candidate that was looked at, with its number; its creator's places are noted.
    fn score(&mut self, number: Number) -> Waiting {
        let score = self.compared(number);
        let looked = &mut self.looked[number];
        looked.count = self.creators.count(looked.creator);
        Waiting::new(score, number)
    }

    /// What a candidate that was looked at is compared by at the next place.
    pub(super) fn compared(&self, number: Number) -> f32 {
        scaled(self.order[number].score, self.creators.factor(self.looked[number].creator))
    }

    /// Whether a near-duplicate of a candidate that was looked at has a place.
    pub(super) fn is_twin_of_placed(&self, number: Number) -> bool {
        self.placed_twins.get(self.looked[number].twin as usize).is_some_and(|placed| *placed)
    }

    fn twin(&mut self, content: &Content) -> u32 {
        let twin = self.twin_numbers.of(content.twin);
        if twin != NONE && twin as usize >= self.placed_twins.len() {
            self.placed_twins.push(false);
        }
        twin
    }

    /// The content with its norm.
    pub(super) fn measured(&self, number: Number) -> Measured<'a> {
        let entry = self.entry(number);
        Measured { content: entry.content, norm: entry.norm }
    }

    /// Looks at a candidate ahead of its turn; whether it may have a place.
    pub(super) fn look_ahead(&mut self, number: Number) -> bool {
        if number >= self.next {
            let content = self.content(number);
            if self.last_watched.contains(&content.video) || self.videos.contains(&content.video) {
                return false;
            }
            self.looked[number].category = self.categories.number(content.category);
            self.looked[number].creator = self.creators.number(content.creator);
            self.looked[number].twin = self.twin(content);
        }
        let Looked { placed, out, .. } = self.looked[number];
        !placed && out.is_none() && !self.is_twin_of_placed(number)
    }

    /// Gives the next place to a candidate that was looked at.
    pub(super) fn place(&mut self, number: Number) {
        if let Some(at) = self.waiting.iter().position(|other| other.number() == number) {
            self.waiting.remove(at);
        }
        let content = self.content(number);
        let looked = &mut self.looked[number];
        looked.placed = true;
        looked.out = None;
        let Looked { category, creator, twin, .. } = *looked;
        self.videos.insert(content.video);
        if let Some(placed) = self.placed_twins.get_mut(twin as usize) {
            *placed = true;
        }
        self.categories.place(category);
        self.creators.place(creator);
    }

    /// The best near-duplicate that was set aside.
    pub(super) fn take_twin(&mut self) -> Option<Number> {
        let best = self.twins.iter().enumerate().min_by_key(|(_, number)| **number)?.0;
        Some(self.twins.swap_remove(best))
    }

    /// Whether its creator's places lower the score of a candidate that was looked at.
    pub(super) fn has_lowered(&self, number: Number, looked: &Looked) -> bool {
        number < self.next && self.creators.count(looked.creator) > 0
    }

    /// Those without a place, in the adjusted order, with the rule that put them out for good, if one did.
    pub(super) fn left(&self) -> impl Iterator<Item = (Number, Looked, Option<Rule>)> {
        let all = self.looked.iter().enumerate().filter(|(_, looked)| !looked.placed);
        all.map(|(number, looked)| {
            let twin = number < self.next && looked.out.is_none() && self.is_twin_of_placed(number);
            (number, *looked, looked.out.or(twin.then_some(Rule::Twin)))
        })
    }
}
