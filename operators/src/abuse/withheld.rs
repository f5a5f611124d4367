//! Which of a user's rows others do not see: pure.
//!
//! While the user is flagged it is all of them. When the flag falls, what was judged stays withheld, and what was before and came after counts:
//! a campaign that goes quiet for `abuse.window` would else be counted again as a whole. Rows are known by their own time, so what
//! comes late falls under the verdict on its time.
//!
//! A judgement sees the rows of one window. *Of a row the last judgement that saw it holds.* A flag that falls because what came since says
//! that it is a person after all (more was watched, skipped, or deleted) is taken back for the rows of that window; one that falls
//! because nothing was seen for a window has nothing to take back. Lockstep cannot be judged a second time: its bursts leave the window one by
//! one, and the others would be acquitted by what was forgotten. So that verdict stands.

use serde::{Deserialize, Serialize};

/// What withholds a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    flagged: bool,
    /// Times of rows that were judged, in milliseconds since 1970: first and last, in order, with others between them.
    spans: Vec<[u64; 2]>,
}

impl Withheld {
    /// What withholds nothing.
    pub const NOTHING: Self = Self { flagged: false, spans: Vec::new() };

    /// Whether the user is flagged.
    #[must_use]
    pub fn flagged(&self) -> bool {
        self.flagged
    }

    /// Whether all rows count.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.flagged && self.spans.is_empty()
    }

    /// Whether others do not see what the user did at `time`.
    #[must_use]
    pub fn covers(&self, time: u64) -> bool {
        self.flagged || {
            let after = self.spans.partition_point(|[first, _]| *first <= time);
            after.checked_sub(1).is_some_and(|at| time <= self.spans[at][1])
        }
    }

    /// A judgement: whether the user is flagged now, by the rows of which times (`None` where none is recent enough), and
    /// whether the flag that there was can be taken back.
    pub fn judge(&mut self, flagged: bool, seen: Option<[u64; 2]>, revocable: bool) {
        match seen {
            Some([first, last]) if flagged => self.add(first, last),
            Some([first, _]) if self.flagged && revocable => self.cut(first),
            _ => {}
        }
        self.flagged = flagged;
    }

    /// The user's past up to `until` is forgotten.
    pub fn forget(&mut self, until: u64) {
        self.spans.retain(|[_, last]| *last > until);
        if let Some([first, _]) = self.spans.first_mut() {
            *first = until.saturating_add(1).max(*first);
        }
    }

    fn add(&mut self, mut first: u64, mut last: u64) {
        self.spans.retain(|[from, to]| {
            let apart = *to < first.saturating_sub(1) || last.saturating_add(1) < *from;
            if !apart {
                (first, last) = (first.min(*from), last.max(*to));
            }
            apart
        });
        let at = self.spans.partition_point(|[from, _]| *from < first);
        self.spans.insert(at, [first, last]);
    }

    /// Takes back what is from `first` on.
    fn cut(&mut self, first: u64) {
        self.spans.retain(|[from, _]| *from < first);
        if let Some([_, last]) = self.spans.last_mut() {
            *last = first.saturating_sub(1).min(*last);
        }
    }

    /// Bytes held beside it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<[u64; 2]>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_judged_stays_and_what_was_before_and_after_counts() {
        let mut withheld = Withheld::default();
        withheld.judge(true, Some([100, 200]), true);
        assert!(withheld.covers(0) && withheld.covers(1_000), "everything, while the flag is up");
        withheld.judge(true, Some([150, 260]), true);
        withheld.judge(false, None, true);
        let covered: Vec<u64> =
            [99, 100, 260, 261].into_iter().filter(|time| withheld.covers(*time)).collect();
        assert_eq!(covered, [100, 260]);
        withheld.forget(180);
        assert!(!withheld.covers(180) && withheld.covers(181));
        withheld.forget(300);
        assert!(withheld.is_nothing());
    }

    #[test]
    fn who_is_a_person_after_all_has_the_window_back_and_who_was_in_lockstep_has_not() {
        let flagged = || {
            let mut withheld = Withheld::default();
            withheld.judge(true, Some([100, 200]), true);
            withheld
        };
        let mut person = flagged();
        person.judge(false, Some([150, 300]), true);
        assert!(person.covers(149) && !person.covers(150) && !person.covers(200));
        person.judge(false, Some([90, 400]), true);
        assert!(person.covers(149), "what no flag was up for is not judged again");
        let mut member = flagged();
        member.judge(false, Some([150, 300]), false);
        assert!(member.covers(200) && !member.covers(201));
    }

    proptest! {
        /// Of a time the last verdict on it holds.
        #[test]
        fn spans_are_the_verdicts_one_after_another(steps in vec((0..60u64, 0..20u64, 0..4u8, any::<bool>()), 0..20)) {
            let (mut withheld, mut plain, mut was) = (Withheld::default(), [false; 100], false);
            for (first, length, verdict, revocable) in steps {
                let (flagged, seen) = (verdict < 2, (verdict % 2 == 0).then_some([first, first + length]));
                withheld.judge(flagged, seen, revocable);
                for (time, condemned) in (0..).zip(&mut plain) {
                    match seen {
                        Some([first, last]) if flagged => *condemned |= (first..=last).contains(&time),
                        Some([first, _]) if was && revocable => *condemned &= time < first,
                        _ => {}
                    }
                }
                was = flagged;
                for (time, condemned) in (0..).zip(plain) {
                    prop_assert_eq!(withheld.covers(time), flagged || condemned, "{} of {:?}", time, withheld);
                }
                prop_assert!(withheld.spans.is_sorted() && withheld.spans.windows(2).all(|two| two[0][1] + 1 < two[1][0]));
            }
        }
    }
}
