//! How a list came about, for the store: what was estimated of each item, from what, and what re-ranking did to it.

use freshet_schema::UserId;
use freshet_schema::feed::{self, Account, AccountRecord, HeadsRecord, Objective};
use freshet_schema::store::{Key, Value};

use crate::params::Ranking;
use crate::pools::Change;
use crate::publish::Published;
use crate::rank::{List, Placed};
use crate::rerank::Rules;
use crate::scorer::calibrate::Curve;
use crate::scorer::features::NAMES;
use crate::scorer::heads::{FLOOR, HEAD_NAMES, HEADS, Heads, Term, terms};

/// The account of the first `count` places of a user's list. `own` are the weights of the user's objectives, where they are others
/// than those stored with the heads.
#[must_use]
pub fn record(
    user: u64,
    epoch: u64,
    heads: &Heads,
    own: Option<&Ranking>,
    list: &List,
    count: usize,
) -> Change {
    let key = Key::Account(UserId(user));
    if count == 0 || list.items.is_empty() {
        return (key, None);
    }
    let items = list.items.iter().take(count).map(|placed| account(placed, heads)).collect();
    let objectives = own.map(objectives).unwrap_or_default();
    let record = AccountRecord { user_id: user, epoch, heads_version: heads.version, items, objectives };
    (key, Some(Value::Account(record).encode()))
}

fn account(placed: &Placed, heads: &Heads) -> Account {
    let (chosen, slot) = (&placed.chosen, &placed.slot);
    Account {
        video_id: chosen.candidate.video,
        features: chosen.x.0.iter().flat_map(|x| x.to_le_bytes()).collect(),
        estimates: heads.estimates(&chosen.x).to_vec(),
        fatigue: chosen.fatigue,
        value: chosen.value,
        rank_by_value: slot.account.by_score,
        fatigue_factor: slot.account.fatigue,
        taste_factor: slot.account.taste,
        rank_adjusted: slot.account.adjusted,
        creator_factor: slot.creator,
        compared: slot.compared,
        relaxed: names(slot.relaxed),
        // Left out where it changes nothing.
        abuse_factor: (slot.account.trusted < 1.0).then_some(slot.account.trusted),
        spread_factor: (slot.account.spread < 1.0).then_some(slot.account.spread),
    }
}

/// The names of rules, with commas between them.
#[must_use]
pub fn names(rules: Rules) -> String {
    rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(",")
}

fn curve(curve: &Curve) -> feed::Curve {
    let (said, seen) = curve.corners.iter().copied().unzip();
    feed::Curve { said, seen }
}

/// The objectives with their weights, in the order in which they are added.
fn objectives(ranking: &Ranking) -> Vec<Objective> {
    let objective = |term: Term| Objective { name: term.name.to_owned(), weight: term.weight };
    terms(&[0.0; HEADS], 0.0, ranking).map(objective).to_vec()
}

/// The record of some weights.
#[must_use]
pub fn weights(heads: &Heads, ranking: &Ranking) -> Change {
    let record = HeadsRecord {
        version: heads.version,
        features: NAMES.map(str::to_owned).to_vec(),
        heads: HEAD_NAMES.map(str::to_owned).to_vec(),
        weights: heads.weights.iter().flatten().copied().collect(),
        examples: heads.examples.to_vec(),
        placed: heads.placed,
        objectives: objectives(ranking),
        choice_floor: FLOOR,
        curves: heads.curves.iter().map(curve).collect(),
    };
    (Key::Heads(heads.version), Some(Value::Heads(record).encode()))
}

/// The published weights, and the removal of those that are kept no longer.
#[must_use]
pub fn heads(published: &Published, ranking: &Ranking) -> Vec<Change> {
    let mut changes = vec![weights(&published.heads, ranking)];
    if published.heads.version != 0 {
        changes.push(weights(&Heads::default(), ranking));
    }
    changes
        .extend(published.retired.filter(|version| *version != 0).map(|version| (Key::Heads(version), None)));
    changes
}
