//! The user side of abuse: who is suspected, and whose rows others do not see ([`crate::abuse`] is the video side).
//!
//! A user is judged from the rows of their history, all of them, at each publication after something of theirs changed, and as long as
//! something is suspected. When a flag goes up, all rows are withheld: they are taken out of every sum that is made of what the
//! user side says (popularity and trending, baselines, creators, cohorts of videos and of new videos, co-engagement, what the heads and
//! the arms learn from), each as a delete would, and nothing that comes later is said. When it falls, what is left of the history is said
//! again, but for the rows that it was judged by ([`Withheld`]). So every sum is at each moment that of the rows that are not
//! withheld. The user's own lists go by their history as before.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{Users, UsersOut};
use crate::abuse::user::{Bursts, UserNumbers, engaged, judge, seen};
use crate::abuse::{AbuseIn, Change, Engaged, InBurst, Report, Side, Signals, Standing, Withheld};
use crate::coengage::{self, positive};
use crate::examples::Open;
use crate::params::CoEngaging;
use crate::row::Row;

/// What is kept of a user who was in a burst, or of whom something is or was suspected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Suspect {
    bursts: Bursts,
    /// As they were judged last.
    pub(super) numbers: UserNumbers,
    /// Which of their rows that withholds.
    pub(super) withheld: Withheld,
}

/// See the module.
#[derive(Default)]
pub(super) struct Suspects {
    enabled: bool,
    pub(super) of: FxHashMap<u64, Suspect>,
    /// Of whom something changed since the last publication.
    pub(super) touched: FxHashSet<u64>,
    standing: Standing,
    /// What came at an epoch without a clock.
    put_off: Vec<InBurst>,
}

impl Suspects {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// What others do not see of what a user does.
    pub(super) fn withheld(&self, user: u64) -> &Withheld {
        static NOTHING: Withheld = Withheld::NOTHING;
        self.of.get(&user).filter(|_| self.enabled).map_or(&NOTHING, |suspect| &suspect.withheld)
    }

    /// A user is forgotten up to a time; their rows were taken out already.
    pub(super) fn forget(&mut self, user: u64, until: u64) {
        if let Some(suspect) = self.of.get_mut(&user) {
            suspect.withheld.forget(until);
            self.touched.insert(user);
        }
    }

    /// Takes in who was in which burst. What comes at an epoch without a clock waits for the next one, as that may be one that is never sent.
    pub(super) fn hear(&mut self, mut bursts: Vec<InBurst>, ticked: bool) {
        self.put_off.append(&mut bursts);
        if !ticked {
            return;
        }
        for InBurst { user, video, bucket, sketch } in std::mem::take(&mut self.put_off) {
            let suspect = self.of.entry(user).or_default();
            match sketch {
                Some(sketch) => drop(suspect.bursts.insert((video, bucket), sketch)),
                None => drop(suspect.bursts.remove(&(video, bucket))),
            }
            self.touched.insert(user);
        }
    }

    /// Notes what changed in this epoch, says what is evidence, and takes out what is withheld.
    pub(super) fn sift(&mut self, out: &mut UsersOut) {
        if !self.enabled {
            return;
        }
        for (user, row, sign) in &out.rows {
            self.touched.insert(*user);
            if engaged(row) {
                let engaged = Engaged { video: row.content.video, time: row.time, user: *user, id: row.id };
                out.evidence.push(AbuseIn::Engaged(engaged, *sign));
            }
        }
        out.rows.retain(|(user, row, _)| !self.withheld(*user).covers(row.time));
    }

    pub(super) fn bytes(&self) -> usize {
        let suspect = size_of::<(u64, Suspect)>() + 1 + 3 * 64;
        let spans: usize = self.of.values().map(|suspect| suspect.withheld.bytes()).sum();
        self.of.capacity() * suspect + spans + self.touched.capacity() * 9
    }
}

impl Users {
    /// Judges, at a publication, all who may have another flag than before; gives those that have.
    pub(super) fn judge_suspects(&mut self, out: &mut UsersOut) -> Vec<u64> {
        let mut turned = Vec::new();
        if !self.suspects.enabled {
            return turned;
        }
        let mut due: BTreeSet<u64> = std::mem::take(&mut self.suspects.touched).into_iter().collect();
        let suspected = |(_, suspect): &(&u64, &Suspect)| !suspect.numbers.signals.is_empty();
        due.extend(self.suspects.of.iter().filter(suspected).map(|(user, _)| *user));
        let mut changes = Vec::new();
        let unsuspected = Suspect::default();
        for user in due {
            let before = self.suspects.of.get(&user).unwrap_or(&unsuspected);
            let person = self.people.get(&user);
            let rows = person.map_or(&[][..], |person| person.history.rows());
            let numbers = judge(user, rows, &before.bursts, self.now, &self.params.abuse);
            let flagged = numbers.signals.score() > self.params.abuse.threshold;
            let mut withheld = before.withheld.clone();
            let revocable = !before.numbers.signals.has(Signals::COORDINATED);
            withheld.judge(flagged, seen(rows, self.now, &self.params.abuse), revocable);
            if flagged != before.withheld.flagged() {
                turned.push(user);
                // What counted before, or counts now.
                let (open, sign) = if flagged { (&before.withheld, -1) } else { (&withheld, 1) };
                say_all(rows, user, open, sign, &self.params.coengagement, out);
                if let Some(person) = person {
                    person.examples.say_all(sign, Open { sums: &mut self.unpublished, withheld: open });
                }
            }
            if numbers.signals != before.numbers.signals {
                out.evidence.push(AbuseIn::Suspect(user, numbers.signals));
                changes.push(Change { id: user, signals: numbers.signals, flagged });
            }
            if numbers.signals.is_empty() && before.bursts.is_empty() && withheld.is_nothing() {
                self.suspects.of.remove(&user);
            } else {
                let suspect = self.suspects.of.entry(user).or_default();
                (suspect.numbers, suspect.withheld) = (numbers, withheld);
            }
        }
        let mut standing = Standing::default();
        self.suspects
            .of
            .values()
            .for_each(|suspect| standing.count(suspect.numbers.signals, suspect.withheld.flagged()));
        if !changes.is_empty() || standing != self.suspects.standing {
            self.suspects.standing = standing;
            out.suspicions.push(Report { side: Side::Users, standing, changes });
        }
        turned
    }
}

/// Says all rows of a user that are not withheld, and the pairs that they make, with a sign.
fn say_all(
    rows: &[Row],
    user: u64,
    withheld: &Withheld,
    sign: i64,
    pairing: &CoEngaging,
    out: &mut UsersOut,
) {
    let open: Vec<&Row> = rows.iter().filter(|row| !withheld.covers(row.time)).collect();
    out.rows.extend(open.iter().map(|row| (user, (*row).clone(), sign)));
    if pairing.window == 0 {
        return;
    }
    let liked: Vec<&Row> = open.into_iter().filter(|row| positive(row, pairing)).collect();
    for (at, row) in liked.iter().enumerate() {
        // As if they came one after another: the nearest first.
        let before: Vec<&Row> = liked[at.saturating_sub(pairing.window)..at].iter().rev().copied().collect();
        coengage::changes(&before, row, &[], sign, pairing, &mut out.pairs);
    }
}
