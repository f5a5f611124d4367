//! Who holds a video in their list: when it goes, those lists are made again, and nobody else's is looked at.

use rustc_hash::{FxHashMap, FxHashSet};

/// Holders that are known by name. Of a video that more hold only their number is kept: to make so many lists again takes longer
/// than to look through everybody's, and such videos fill most places of all lists.
const NAMED: usize = 4096;

/// What a named holder takes, in bytes: eight and a byte of control, in tables that are two thirds full.
const BYTES: usize = 14;

#[derive(Debug)]
enum Held {
    By(FxHashSet<u64>),
    ByMany(usize),
}

/// Video to holders.
#[derive(Debug)]
pub(super) struct Holders {
    of: FxHashMap<u64, Held>,
    named: usize,
    most: usize,
}

impl Default for Holders {
    fn default() -> Self {
        Self { of: FxHashMap::default(), named: 0, most: NAMED }
    }
}

impl Holders {
    /// A user's list was `before` and is `after`, each without repetition.
    pub(super) fn listed(&mut self, user: u64, before: &[u64], after: &[u64]) {
        let (mut before, mut after) = (before.to_vec(), after.to_vec());
        before.sort_unstable();
        after.sort_unstable();
        for video in before.iter().filter(|video| after.binary_search(video).is_err()) {
            self.leave(user, *video);
        }
        for video in after.iter().filter(|video| before.binary_search(video).is_err()) {
            self.join(user, *video);
        }
    }

    fn join(&mut self, user: u64, video: u64) {
        let held = self.of.entry(video).or_insert_with(|| Held::By(FxHashSet::default()));
        match held {
            Held::By(users) => {
                self.named += usize::from(users.insert(user));
                if users.len() > self.most {
                    self.named -= users.len();
                    *held = Held::ByMany(users.len());
                }
            }
            Held::ByMany(users) => *users += 1,
        }
    }

    fn leave(&mut self, user: u64, video: u64) {
        let Some(held) = self.of.get_mut(&video) else { return };
        let left = match held {
            Held::By(users) => {
                self.named -= usize::from(users.remove(&user));
                users.len()
            }
            Held::ByMany(users) => {
                *users = users.saturating_sub(1);
                *users
            }
        };
        if left == 0 {
            self.of.remove(&video);
        }
    }

    /// Adds the holders of `video` to `to`; `false` where there are too many to be known by name.
    pub(super) fn name(&self, video: u64, to: &mut Vec<u64>) -> bool {
        match self.of.get(&video) {
            Some(Held::By(users)) => to.extend(users),
            Some(Held::ByMany(_)) => return false,
            None => {}
        }
        true
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.of.capacity() * (size_of::<(u64, Held)>() + 1) + self.named * BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::super::{Person, Users};
    use super::*;
    use crate::params::Params;

    /// Those of a video that too many hold are looked for.
    #[test]
    fn all_holders_are_found_whether_or_not_they_are_known_by_name() {
        let mut users = Users::new(Params::default());
        users.holders.most = 1;
        for (user, list) in [(1, [7, 8]), (2, [7, 9]), (3, [9, 10]), (4, [11, 12])] {
            users.holders.listed(user, &[], &list);
            users.people.insert(user, Arc::new(Person { listed: list.into(), ..Person::default() }));
        }
        let of = |videos: &[u64]| {
            let mut found = users.holders_of(&videos.iter().copied().collect());
            found.sort_unstable();
            found
        };
        assert!(!users.holders.name(7, &mut Vec::new()), "two are more than one");
        assert_eq!((of(&[7]), of(&[8]), of(&[13]), of(&[])), (vec![1, 2], vec![1], vec![], vec![]));
        assert_eq!(of(&[7, 10, 12]), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn who_is_named_holds_it_and_nobody_else(
            lists in vec((0_u64..12, btree_set(0_u64..9, 0..6)), 0..60), most in 1_usize..8,
        ) {
            let mut holders = Holders { most, ..Holders::default() };
            let mut now: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (user, list) in lists {
                let list: Vec<u64> = list.into_iter().rev().collect();
                let before = now.insert(user, list.clone()).unwrap_or_default();
                holders.listed(user, &before, &list);
                for video in 0..9 {
                    let hold: Vec<u64> =
                        now.iter().filter(|(_, list)| list.contains(&video)).map(|(user, _)| *user).collect();
                    let mut named = Vec::new();
                    let known = holders.name(video, &mut named);
                    named.sort_unstable();
                    prop_assert!(known || !hold.is_empty() && named.is_empty());
                    prop_assert!(!known || named == hold, "video {video}: {named:?}, not {hold:?}");
                    prop_assert!(known || now.len() > most, "{} users cannot be more than {most}", now.len());
                }
            }
            for (user, list) in &now {
                holders.listed(*user, list, &[]);
            }
            prop_assert!(holders.of.is_empty() && holders.named == 0);
        }
    }
}
