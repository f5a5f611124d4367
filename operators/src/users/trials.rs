//! The users of experiments: what each adds to the sums of their arms.
//!
//! A user's numbers are made anew from their rows when these change, and the difference to what was said before goes out. That is a
//! pass over the rows since the experiment began, for users of experiments alone, who have a list made at the same time, which
//! costs far more. Deletes, revisions and late events need no rule of their own. Of the pages only when they were is kept, since
//! no row tells. All else follows from the rows, so a restart makes it anew, under whichever experiments are configured then.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::examples::Place;
use crate::experiments::{ArmSums, Numbers, Term, numbers};
use crate::history::History;
use crate::params::Params;

/// A page: when it was, and a hash of what stood on it, so that a record that comes twice is one page.
pub(super) type Page = (u64, u64);

/// See the module.
pub(super) struct Trials {
    /// Sorted, by user.
    pages: FxHashMap<u64, Vec<Page>>,
    /// What was said of a user: number of the experiment, of its arm, and the numbers.
    said: FxHashMap<u64, Vec<(u8, u8, Numbers)>>,
    changed: FxHashSet<u64>,
    /// Pages that are kept.
    kept: usize,
}

/// The hash of a page.
fn print(page: &[Place]) -> u64 {
    let places = page
        .iter()
        .flat_map(|place| [u64::from(place.position), place.video, u64::from(place.propensity.to_bits())]);
    freshet_schema::hash::mix(page.len() as u64, &places.collect::<Vec<u64>>())
}

impl Trials {
    pub(super) fn new() -> Self {
        Self {
            pages: FxHashMap::default(),
            said: FxHashMap::default(),
            changed: FxHashSet::default(),
            kept: 0,
        }
    }

    /// Rows of a user have changed.
    pub(super) fn touch(&mut self, user: u64, params: &Params) {
        if !params.experiments.is_empty() {
            self.changed.insert(user);
        }
    }

    /// A page was served to a user; one that no experiment of theirs counts is not kept.
    pub(super) fn served(&mut self, user: u64, time: u64, page: &[Place], params: &Params) {
        if params.arms_of(user).any(|(n, _)| time >= params.experiments[n].since) {
            self.keep(user, (time, print(page)));
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

    /// A user is forgotten up to a time.
    pub(super) fn forget(&mut self, user: u64, until: u64) {
        let Some(pages) = self.pages.get_mut(&user) else { return };
        let gone = pages.partition_point(|(time, _)| *time <= until);
        pages.drain(..gone);
        self.kept -= gone;
        if pages.is_empty() {
            self.pages.remove(&user);
        }
        self.changed.insert(user);
    }

    /// What the users who changed add to the sums, less what was said of them before; nothing where they do not count.
    pub(super) fn step<'a>(
        &mut self,
        history: impl Fn(u64) -> Option<&'a History>,
        counts: impl Fn(u64) -> bool,
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
            let mut now: Vec<(u8, u8, Numbers)> = Vec::new();
            for (experiment, arm) in params.arms_of(user).filter(|_| counts(user)) {
                let since = params.experiments[experiment].since;
                let pages = pages.len() - pages.partition_point(|(time, _)| *time < since);
                let rows = numbers::since(history, since);
                let numbers = numbers::of(rows, pages, params.interest.session_gap);
                now.extend(numbers.map(|numbers| (experiment as u8, arm as u8, numbers)));
            }
            let before = match now.is_empty() {
                true => self.said.remove(&user),
                false => self.said.insert(user, now.clone()),
            };
            for (said, sign) in [(before.unwrap_or_default(), -1), (now, 1)] {
                for (experiment, arm, numbers) in said {
                    terms.entry((experiment, arm)).or_default().add(&numbers, sign);
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

    pub(super) fn bytes(&self) -> usize {
        let said = self.said.capacity() * (size_of::<(u64, Vec<(u8, u8, Numbers)>)>() + 1)
            + self.said.len() * size_of::<(u8, u8, Numbers)>();
        let pages = self.pages.capacity() * (size_of::<(u64, Vec<Page>)>() + 1);
        said + pages + self.kept * size_of::<Page>()
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
        trials.served(7, 1_000, &[], &params);
        let mut say = |counts: bool| {
            trials.touch(7, &params);
            trials.step(|_| None, |_| counts, &params)
        };
        let said = say(true);
        assert_eq!(said.len(), 1, "a page was served");
        assert!(say(true).is_empty(), "nothing new");
        assert_eq!(say(false).len(), 1, "it is taken back");
        assert!(say(false).is_empty());
        assert_eq!(say(true), said);
    }
}
