//! The users of experiments: what each adds to the sums of their arms.
//!
//! A user's numbers are made anew from their rows when these change, and the difference to what was said before goes out. That is a
//! pass over the rows since the experiment began, for users of experiments alone, who have a list made at the same time, which
//! costs far more. Deletes, revisions and late events need no rule of their own. Of the pages only when they were is kept and which
//! places were drawn, since no row tells. All else follows from the rows, so a restart makes it anew, under whichever experiments are configured then.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::abuse::Withheld;
use crate::examples::Place;
use crate::experiments::draws::{self, Draw, DrawKey, Drawing, Earned};
use crate::experiments::{ArmSums, Numbers, Term, numbers};
use crate::history::History;
use crate::params::Params;

/// A page: when it was, and a hash of what stood on it, so that a record that comes twice is one page.
pub(super) type Page = (u64, u64);

/// What was said of a user in an arm.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    /// Number of the experiment.
    experiment: u8,
    /// Of its arm.
    arm: u8,
    numbers: Numbers,
    /// What their drawn places earned.
    earned: Vec<(DrawKey, Earned)>,
}

/// See the module.
pub(super) struct Trials {
    /// Sorted, by user.
    pages: FxHashMap<u64, Vec<Page>>,
    /// Places that were drawn, sorted, by user.
    draws: FxHashMap<u64, Vec<Draw>>,
    /// Users by the videos that they were drawn, once a place.
    drawn: FxHashMap<u64, Vec<u64>>,
    said: FxHashMap<u64, Vec<Said>>,
    changed: FxHashSet<u64>,
    /// Pages that are kept.
    kept: usize,
    /// Places that are kept.
    places: usize,
}

/// The hash of a page.
fn print(page: &[Place]) -> u64 {
    let places = page
        .iter()
        .flat_map(|place| [u64::from(place.position), place.video, u64::from(place.propensity.to_bits())]);
    freshet_schema::hash::mix(page.len() as u64, &places.collect::<Vec<u64>>())
}

/// What is not withheld.
fn open<'a, T: Clone>(all: &'a [T], withheld: &Withheld, time: impl Fn(&T) -> u64) -> Cow<'a, [T]> {
    if withheld.is_nothing() {
        return Cow::Borrowed(all);
    }
    all.iter().filter(|one| !withheld.covers(time(one))).cloned().collect()
}

impl Trials {
    pub(super) fn new() -> Self {
        Self {
            pages: FxHashMap::default(),
            draws: FxHashMap::default(),
            drawn: FxHashMap::default(),
            said: FxHashMap::default(),
            changed: FxHashSet::default(),
            kept: 0,
            places: 0,
        }
    }

    /// Rows of a user have changed.
    pub(super) fn touch(&mut self, user: u64, params: &Params) {
        if !params.experiments.is_empty() {
            self.changed.insert(user);
        }
    }

    /// A page was served to a user, and these of its places were drawn; one that no experiment of theirs counts is not looked at.
    pub(super) fn served<'a>(
        &mut self,
        user: u64,
        time: u64,
        page: &[Place],
        draws: impl Iterator<Item = &'a Draw>,
        params: &Params,
    ) {
        if params.arms_of(user).any(|(n, _)| time >= params.experiments[n].since) {
            self.keep(user, (time, print(page)));
            draws.for_each(|draw| self.keep_draw(user, *draw));
            self.changed.insert(user);
        }
    }

    fn keep(&mut self, user: u64, page: Page) {
        let pages = self.pages.entry(user).or_default();
        if let Err(at) = pages.binary_search(&page) {
            pages.insert(at, page);
            self.kept += 1;
        }
    }

    fn keep_draw(&mut self, user: u64, draw: Draw) {
        let draws = self.draws.entry(user).or_default();
        if let Err(at) = draws.binary_search(&draw) {
            draws.insert(at, draw);
            self.drawn.entry(draw.video).or_default().push(user);
            self.places += 1;
        }
    }

    /// Lets go of the places of a user that `doomed` picks out.
    fn forget_draws(&mut self, user: u64, doomed: impl Fn(&Draw) -> bool) {
        let Some(draws) = self.draws.get_mut(&user) else { return };
        let drawn = &mut self.drawn;
        let before = draws.len();
        draws.retain(|draw| {
            let stays = !doomed(draw);
            if !stays && let Some(users) = drawn.get_mut(&draw.video) {
                if let Some(at) = users.iter().position(|other| *other == user) {
                    users.swap_remove(at);
                }
                if users.is_empty() {
                    drawn.remove(&draw.video);
                }
            }
            stays
        });
        if draws.len() != before {
            self.places -= before - draws.len();
            self.changed.insert(user);
        }
        if draws.is_empty() {
            self.draws.remove(&user);
        }
    }

    /// Videos are forgotten, each up to a time: what was drawn there is no decision any more.
    pub(super) fn forget_videos(&mut self, doomed: &FxHashMap<u64, u64>) {
        if self.draws.is_empty() {
            return;
        }
        let touched = doomed.keys().filter_map(|video| self.drawn.get(video)).flatten();
        let touched: BTreeSet<u64> = touched.copied().collect();
        for user in touched {
            self.forget_draws(user, |draw| doomed.get(&draw.video).is_some_and(|until| draw.time <= *until));
        }
    }

    /// A user is forgotten up to a time.
    pub(super) fn forget(&mut self, user: u64, until: u64) {
        self.forget_draws(user, |draw| draw.time <= until);
        let Some(pages) = self.pages.get_mut(&user) else { return };
        let gone = pages.partition_point(|(time, _)| *time <= until);
        pages.drain(..gone);
        self.kept -= gone;
        if pages.is_empty() {
            self.pages.remove(&user);
        }
        self.changed.insert(user);
    }

    /// What the users who changed add to the sums, less what was said of them before; nothing of who is flagged, and what is withheld
    /// of another user is not counted.
    pub(super) fn step<'a>(
        &mut self,
        history: impl Fn(u64) -> Option<&'a History>,
        withheld: impl Fn(u64) -> &'a Withheld,
        params: &Params,
    ) -> Vec<Term> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let nothing = History::default();
        let mut terms: BTreeMap<(u8, u8), ArmSums> = BTreeMap::new();
        for user in std::mem::take(&mut self.changed) {
            let history = history(user).unwrap_or(&nothing);
            let pages = self.pages.get(&user).map_or(&[][..], Vec::as_slice);
            let draws = self.draws.get(&user).map_or(&[][..], Vec::as_slice);
            let mut now: Vec<Said> = Vec::new();
            let withheld = withheld(user);
            for (experiment, arm) in params.arms_of(user).filter(|_| !withheld.flagged()) {
                let of = &params.experiments[experiment];
                let since = of.since;
                let pages = &pages[pages.partition_point(|(time, _)| *time < since)..];
                let pages = pages.iter().filter(|(time, _)| !withheld.covers(*time)).count();
                let rows = open(numbers::since(history, since), withheld, |row| row.time);
                let gap = params.interest.session_gap;
                let draws = &draws[draws.partition_point(|draw| draw.time < since)..];
                let draws = open(draws, withheld, |draw| draw.time);
                let earned = match draws.is_empty() {
                    true => Vec::new(),
                    false => {
                        let targets = |by: Drawing| draws::targets(of, arm, by, params);
                        let half = draws::half(params.seed, user);
                        draws::earned(&draws, &draws::completed(&rows), gap, half, targets)
                    }
                };
                let (experiment, arm) = (experiment as u8, arm as u8);
                now.extend(numbers::of(&rows, pages, gap).map(|numbers| Said {
                    experiment,
                    arm,
                    numbers,
                    earned,
                }));
            }
            let before = match now.is_empty() {
                true => self.said.remove(&user),
                false => self.said.insert(user, now.clone()),
            };
            for (said, sign) in [(before.unwrap_or_default(), -1), (now, 1)] {
                for Said { experiment, arm, numbers, earned } in said {
                    let sums = terms.entry((experiment, arm)).or_default();
                    sums.add(&numbers, sign);
                    sums.add_draws(&earned, sign);
                }
            }
        }
        let changed = terms.into_iter().filter(|(_, sums)| !sums.is_zero());
        changed.map(|((experiment, arm), sums)| (experiment, arm, Box::new(sums))).collect()
    }

    /// To be saved.
    pub(super) fn saved(&self) -> Vec<(u64, Vec<Page>)> {
        self.pages.iter().map(|(user, pages)| (*user, pages.clone())).collect()
    }

    /// What was saved, as far as an experiment still counts it.
    pub(super) fn restore(&mut self, user: u64, pages: Vec<Page>, params: &Params) {
        let since = params.arms_of(user).map(|(n, _)| params.experiments[n].since).min();
        for page in pages.into_iter().filter(|(time, _)| since.is_some_and(|since| *time >= since)) {
            self.keep(user, page);
            self.changed.insert(user);
        }
    }

    /// The drawn places, to be saved.
    pub(super) fn saved_draws(&self) -> Vec<(u64, Vec<Draw>)> {
        self.draws.iter().map(|(user, draws)| (*user, draws.clone())).collect()
    }

    /// Drawn places that were saved, as far as an experiment still counts them.
    pub(super) fn restore_draws(&mut self, user: u64, draws: Vec<Draw>, params: &Params) {
        let since = params.arms_of(user).map(|(n, _)| params.experiments[n].since).min();
        for draw in draws.into_iter().filter(|draw| since.is_some_and(|since| draw.time >= since)) {
            self.keep_draw(user, draw);
            self.changed.insert(user);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        // Of who has drawn places there are some sums more.
        let earned = self.draws.len() * 4 * size_of::<(DrawKey, Earned)>();
        let said = self.said.capacity() * (size_of::<(u64, Vec<Said>)>() + 1)
            + self.said.len() * size_of::<Said>()
            + earned;
        let draws = self.draws.capacity() * (size_of::<(u64, Vec<Draw>)>() + 1)
            + self.drawn.capacity() * (size_of::<(u64, Vec<u64>)>() + 1)
            + self.places * (size_of::<Draw>() + 8);
        let pages = self.pages.capacity() * (size_of::<(u64, Vec<Page>)>() + 1);
        said + pages + draws + self.kept * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::testing::experiment;

    #[test]
    fn who_does_not_count_is_in_no_arm_until_they_count_again() {
        let params = Params { experiments: [experiment("one", 1.0)].into(), ..Params::default() };
        let mut trials = Trials::new();
        trials.served(7, 1_000, &[], [].iter(), &params);
        let (nothing, mut flagged) = (Withheld::NOTHING, Withheld::NOTHING);
        flagged.judge(true, None, true);
        let mut say = |counts: bool| {
            trials.touch(7, &params);
            trials.step(|_| None, |_| if counts { &nothing } else { &flagged }, &params)
        };
        let said = say(true);
        assert_eq!(said.len(), 1, "a page was served");
        assert!(say(true).is_empty(), "nothing new");
        assert_eq!(say(false).len(), 1, "it is taken back");
        assert!(say(false).is_empty());
        assert_eq!(say(true), said);
    }
}
