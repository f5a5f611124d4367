//! The account of one place of a list: from what the store holds to numbers that can be added up again.
//!
//! A list says what each of its items is worth; `account:{user}` says what the heads saw and what re-ranking did, and
//! `heads:{version}` what they weighed it with. This joins the three and multiplies them out, with nothing of its own: whoever
//! has the answer can repeat every step, `feature x weight -> sum -> estimate -> value -> compared`. What cannot be joined is
//! named by a [`Gap`], not guessed. Pure, so that the command line and HTTP give the same account.

use freshet_schema::UserId;
use freshet_schema::feed::{self, AccountRecord, FeedItem, FeedRecord, HeadsRecord, SlotPolicy};
use freshet_schema::store::{EVERYONE, Key, Value};
use serde::{Serialize, Serializer};

/// A feature of one, in [`feed::Account::features`].
const UNIT: f32 = 1024.0;

/// The objective that no head estimates.
const FATIGUE: &str = "fatigue";

/// Reads of a list whose account is of another epoch, before that is taken for true: an epoch may be committed in between.
const READS: usize = 3;

/// What the store holds about a user's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The list.
    pub list: FeedRecord,
    /// Whether it is the user's; else it is the new-user list of everybody.
    pub own: bool,
    /// How its places came about; `None` for a group's list, and where none is stored.
    pub account: Option<AccountRecord>,
    /// The weights that the account names; `None` without an account, and where they are not kept any longer.
    pub heads: Option<HeadsRecord>,
}

/// Reads a user's list, or else everybody's new-user list, with all that explains it; `None` where there is neither.
///
/// # Errors
/// Those of `get`.
pub fn gather<E>(
    user: UserId,
    mut get: impl FnMut(&Key) -> Result<Option<Value>, E>,
) -> Result<Option<Stored>, E> {
    for read in 1.. {
        let Some(Value::Feed(list)) = get(&Key::Feed(user))? else { break };
        let account = match get(&Key::Account(user))? {
            Some(Value::Account(account)) => Some(account),
            _ => None,
        };
        if read < READS && account.as_ref().is_some_and(|account| account.epoch != list.epoch) {
            continue;
        }
        let heads =
            match account.as_ref().map(|account| get(&Key::Heads(account.heads_version))).transpose()? {
                Some(Some(Value::Heads(heads))) => Some(heads),
                _ => None,
            };
        return Ok(Some(Stored { list, own: true, account, heads }));
    }
    Ok(match get(&Key::NewUser(EVERYONE.to_owned()))? {
        Some(Value::Feed(list)) => Some(Stored { list, own: false, account: None, heads: None }),
        _ => None,
    })
}

/// Why an account, or a part of it, cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// The list is a group's.
    GroupList,
    /// No account is stored with the list.
    NotStored,
    /// The stored account is of another epoch than the list.
    OtherEpoch,
    /// The place is below those whose accounts are stored.
    NotExplained,
    /// The weights that scored the list are not in the store: the rest of the account is given.
    WeightsNotStored,
    /// Account and weights do not fit each other: the rest of the account is given.
    OtherShape,
}

impl Gap {
    /// The reason as a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::GroupList => {
                "This list is made for everybody without a history, so no account of one person is stored with it."
            }
            Self::NotStored => {
                "How the list came about is not stored: feed.explained is 0, or an older release made it."
            }
            Self::OtherEpoch => "The stored account is of another epoch than the list, so it is not shown.",
            Self::NotExplained => {
                "How this place came about is not stored: it is below the first places that feed.explained asks for."
            }
            Self::WeightsNotStored => {
                "The weights that scored the list are not kept any longer, so its value cannot be taken apart."
            }
            Self::OtherShape => {
                "The stored account and the weights do not fit each other, so its value cannot be taken apart."
            }
        }
    }
}

/// How one place came about. Ranks count from 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// The epoch, which is the list's.
    pub epoch: u64,
    /// The weights, at `heads:{version}`.
    pub heads_version: u64,
    /// What an offer is worth: the estimate of `choice` x the sum of the objectives. The item's score.
    pub value: f32,
    /// Rank by that among the candidates.
    pub rank_by_value: u32,
    /// Factor of strong fatigue, in [0, 1].
    pub fatigue_factor: f32,
    /// Factor of a new user's first taste, at least 1.
    pub taste_factor: f32,
    /// Factor for abuse, in [0, 1]; left out where it changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abuse_factor: Option<f32>,
    /// Factor for being in too many users' lists, in (0, 1]; left out likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread_factor: Option<f32>,
    /// Rank by the value scaled by these factors.
    pub rank_adjusted: u32,
    /// Factor of the creator's earlier places, in (0, 1].
    pub creator_factor: f32,
    /// What was compared at the place: the value scaled by `fatigue_factor x taste_factor x abuse_factor x spread_factor`, then by `creator_factor`. A value
    /// below 0 is divided by a factor.
    pub compared: f32,
    /// The rules that moved it away from its place by value.
    pub moved_by: Vec<String>,
    /// The rules that were given up so that the list is full.
    pub relaxed: Vec<String>,
    /// How the value came about; `None` with a [`Gap`].
    pub estimate: Option<Estimate>,
}

/// How a value came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// A sum of `choice` below this is bent: f x f / (2 f - sum).
    pub choice_floor: f32,
    /// The heads; the first is `choice`.
    pub heads: Vec<Head>,
    /// The objectives, in the order in which they are added.
    pub objectives: Vec<Objective>,
    /// Sum of their contributions.
    pub objectives_sum: f32,
    /// What was looked at, in the order of the record.
    pub features: Vec<Feature>,
}

/// What a head estimated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Sum of the features' contributions.
    pub sum: f32,
    /// The value of `curve` at the sum within (0, 1], see [`Estimate::choice_floor`], or for other heads within [0, 1].
    pub estimate: f32,
    /// What was seen by what was said: the corners of a rising curve of straight pieces from (0, 0) to (1, 1).
    pub curve: Vec<[f32; 2]>,
    /// Weight of the examples that it has learned from, in examples; 0 where nothing was learned yet.
    pub examples: f32,
}

/// What an objective adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objective {
    /// Its name.
    pub name: String,
    /// What is expected, in [0, 1].
    pub estimate: f32,
    /// Its weight; negative where it speaks against.
    pub weight: f32,
    /// Estimate x weight.
    pub contribution: f32,
}

/// What a feature adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What it is, within [-32, 32).
    pub value: f32,
    /// Its weight in each head.
    pub weights: ByHead,
    /// Value x weight, for each head.
    pub contributions: ByHead,
    /// What it adds to the value to first order: through the choice and through the objectives. A head that is cut off at an
    /// end of its range passes nothing on.
    pub influence: f32,
}

/// A number for each head, in the heads' order.
#[derive(Clone, Debug, PartialEq)]
pub struct ByHead(pub Vec<(String, f32)>);

impl Serialize for ByHead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, number)| (name, number)))
    }
}

/// The account of the item at `at` (from 0), and what is missing of it.
#[must_use]
pub fn account(stored: &Stored, at: usize) -> (Option<Account>, Option<Gap>) {
    let Some(item) = stored.list.items.get(at) else { return (None, Some(Gap::NotStored)) };
    if !stored.own {
        return (None, Some(Gap::GroupList));
    }
    let Some(record) = &stored.account else { return (None, Some(Gap::NotStored)) };
    if record.epoch != stored.list.epoch {
        return (None, Some(Gap::OtherEpoch));
    }
    let Some(place) = record.items.iter().find(|place| place.video_id == item.video_id) else {
        return (None, Some(Gap::NotExplained));
    };
    // An arm of an experiment may weigh the objectives in its own way.
    let objectives = |heads| match record.objectives.as_slice() {
        [] => estimate(place, heads, &heads.objectives),
        own => estimate(place, heads, own),
    };
    let (estimate, gap) = match stored.heads.as_ref().map(objectives) {
        None => (None, Some(Gap::WeightsNotStored)),
        Some(None) => (None, Some(Gap::OtherShape)),
        Some(estimate) => (estimate, None),
    };
    let account = Account {
        epoch: record.epoch,
        heads_version: record.heads_version,
        value: place.value,
        rank_by_value: place.rank_by_value,
        fatigue_factor: place.fatigue_factor,
        taste_factor: place.taste_factor,
        rank_adjusted: place.rank_adjusted,
        abuse_factor: place.abuse_factor,
        spread_factor: place.spread_factor,
        creator_factor: place.creator_factor,
        compared: place.compared,
        moved_by: rules(&item.moved_by),
        relaxed: rules(&place.relaxed),
        estimate,
    };
    (Some(account), gap)
}

/// The names between commas.
pub(crate) fn rules(names: &str) -> Vec<String> {
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Multiplies an account out; `None` where it does not fit the weights.
fn estimate(place: &feed::Account, record: &HeadsRecord, weighed: &[feed::Objective]) -> Option<Estimate> {
    let heads = record.heads.len();
    let values: Vec<i16> =
        place.features.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let fits = heads > 0
        && place.estimates.len() == heads
        && place.features.len() == 2 * record.features.len()
        && record.weights.len() == heads * record.features.len()
        && record.curves.len() <= heads
        && record.curves.iter().all(|curve| curve.said.len() == curve.seen.len());
    if !fits {
        return None;
    }
    // In the order and the precision in which the heads add.
    let mut sums = vec![0.0f32; heads];
    for (value, weights) in values.iter().zip(record.weights.chunks_exact(heads)) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += f32::from(*value) * weight;
        }
    }
    let sums: Vec<f32> = sums.into_iter().map(|sum| sum / UNIT).collect();
    let mut objectives = Vec::with_capacity(weighed.len());
    // What one more in a head's sum adds to the sum of the objectives.
    let mut slopes = vec![0.0f32; heads];
    for objective in weighed {
        let head = record.heads.iter().position(|name| *name == objective.name);
        let estimate = match head {
            Some(head) => place.estimates[head],
            None if objective.name == FATIGUE => place.fatigue,
            None => return None,
        };
        if let Some(head) = head.filter(|head| (0.0..=1.0).contains(&sums[*head])) {
            slopes[head] += objective.weight * slope(record.curves.get(head), sums[head]);
        }
        let contribution = estimate * objective.weight;
        objectives.push(Objective {
            name: objective.name.clone(),
            estimate,
            weight: objective.weight,
            contribution,
        });
    }
    let objectives_sum = objectives.iter().map(|objective| objective.contribution).sum();
    let choice = place.estimates[0];
    for slope in &mut slopes {
        *slope *= choice;
    }
    slopes[0] += bend(sums[0], record.choice_floor) * objectives_sum;

    let by_head =
        |numbers: Vec<f32>| ByHead(record.heads.iter().cloned().zip(numbers).collect::<Vec<(String, f32)>>());
    let features = record.features.iter().zip(&values).zip(record.weights.chunks_exact(heads));
    let features = features.map(|((name, value), weights)| {
        let value = f32::from(*value) / UNIT;
        let contributions: Vec<f32> = weights.iter().map(|weight| value * weight).collect();
        Feature {
            name: name.clone(),
            value,
            influence: contributions.iter().zip(&slopes).map(|(part, slope)| part * slope).sum(),
            weights: by_head(weights.to_vec()),
            contributions: by_head(contributions),
        }
    });
    let heads = record.heads.iter().enumerate().map(|(n, name)| Head {
        name: name.clone(),
        sum: sums[n],
        estimate: place.estimates[n],
        curve: record.curves.get(n).map(corners).unwrap_or_default(),
        examples: record.examples.get(n).copied().unwrap_or_default(),
    });
    Some(Estimate {
        choice_floor: record.choice_floor,
        heads: heads.collect(),
        objectives,
        objectives_sum,
        features: features.collect(),
    })
}

fn corners(curve: &feed::Curve) -> Vec<[f32; 2]> {
    curve.said.iter().zip(&curve.seen).map(|(said, seen)| [*said, *seen]).collect()
}

/// The slope of a head's curve at what it said.
fn slope(curve: Option<&feed::Curve>, said: f32) -> f32 {
    let mut from = [0.0, 0.0];
    for to in curve.map(corners).unwrap_or_default().into_iter().chain([[1.0, 1.0]]) {
        if said < to[0] || to[0] == 1.0 {
            return (to[1] - from[1]) / (to[0] - from[0]);
        }
        from = to;
    }
    1.0
}

/// The slope of the choice's estimate over its sum.
fn bend(sum: f32, floor: f32) -> f32 {
    if sum > 1.0 {
        0.0
    } else if sum >= floor {
        1.0
    } else {
        let part = floor / (2.0 * floor - sum);
        part * part
    }
}

/// What decided who got the item's place, as the served log names it.
#[must_use]
pub fn policy(item: &FeedItem, own: bool) -> &'static str {
    match item.policy() {
        SlotPolicy::Rank => "rank",
        SlotPolicy::Novelty => "novelty",
        SlotPolicy::Popular => "popular",
        SlotPolicy::Explore => "explore",
        SlotPolicy::Cohort => "cohort",
        SlotPolicy::Bandit => "bandit",
        // A list of an older release.
        SlotPolicy::Unspecified if own => "rank",
        SlotPolicy::Unspecified => "new_user",
    }
}

/// The chance, in (0, 1], with which the place went to this item; 1 where a rule without chance decided.
#[must_use]
pub fn propensity(item: &FeedItem) -> f32 {
    if item.propensity > 0.0 { item.propensity.min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn record() -> HeadsRecord {
        let objective = |name: &str, weight| feed::Objective { name: name.to_owned(), weight };
        HeadsRecord {
            version: 3,
            features: ["one", "similarity"].map(str::to_owned).to_vec(),
            heads: ["choice", "watch"].map(str::to_owned).to_vec(),
            weights: vec![0.1, 0.25, 0.2, 0.5],
            examples: vec![12.0, 0.0],
            objectives: vec![objective("watch", 0.4), objective("fatigue", -0.05)],
            choice_floor: 0.002,
            placed: 0.0,
            curves: vec![feed::Curve::default(), feed::Curve { said: vec![0.2, 0.5], seen: vec![0.1, 0.6] }],
        }
    }

    fn estimate(place: &feed::Account, record: &HeadsRecord) -> Option<Estimate> {
        super::estimate(place, record, &record.objectives)
    }

    fn place() -> feed::Account {
        let features = [1024i16, -256].iter().flat_map(|x| x.to_le_bytes()).collect();
        feed::Account { features, estimates: vec![0.05, 0.0625], fatigue: 0.5, ..feed::Account::default() }
    }

    #[test]
    fn an_account_is_multiplied_out() {
        let estimate = estimate(&place(), &record()).expect("it fits");
        let sums: Vec<f32> = estimate.heads.iter().map(|head| head.sum).collect();
        assert!((sums[0] - 0.05).abs() < 1e-6 && (sums[1] - 0.125).abs() < 1e-6, "{sums:?}");
        assert!((estimate.objectives_sum - (0.4 * 0.0625 - 0.05 * 0.5)).abs() < 1e-6);
        let similarity = &estimate.features[1];
        assert_eq!((similarity.value, similarity.contributions.0[1].1), (-0.25, -0.125));
        // 0 x -0.05 through the choice, 0.05 x 0.4 x 0.5 x -0.125 through the watched part.
        assert!((similarity.influence + 0.00125).abs() < 1e-7, "{}", similarity.influence);
    }

    #[test]
    fn an_arms_own_weights_are_multiplied_out() {
        let own = [feed::Objective { name: "watch".to_owned(), weight: 2.0 }];
        let estimate = super::estimate(&place(), &record(), &own).expect("it fits");
        assert!((estimate.objectives_sum - 2.0 * 0.0625).abs() < 1e-6);
        let list = FeedRecord { epoch: 7, items: vec![FeedItem::default()], ..FeedRecord::default() };
        let account = AccountRecord {
            epoch: 7,
            items: vec![place()],
            objectives: own.to_vec(),
            ..AccountRecord::default()
        };
        let stored = Stored { list, own: true, account: Some(account), heads: Some(record()) };
        let told = super::account(&stored, 0).0.expect("an account").estimate.expect("it fits");
        assert_eq!(
            told.objectives_sum, estimate.objectives_sum,
            "the arm's weights go before the published ones"
        );
    }

    #[test]
    fn what_is_cut_off_has_no_influence() {
        let steep = HeadsRecord { weights: vec![2.0, 2.0, 0.0, 0.0], ..record() };
        let estimate = estimate(&place(), &steep).expect("it fits");
        assert!(estimate.features.iter().all(|feature| feature.influence == 0.0));
        let curve = record().curves.pop();
        let slopes = [0.1, 0.2, 0.3, 0.5, 1.0].map(|said| slope(curve.as_ref(), said));
        for (slope, expected) in slopes.into_iter().zip([0.5, 5.0 / 3.0, 5.0 / 3.0, 0.8, 0.8]) {
            assert!((slope - expected).abs() < 1e-6, "{slopes:?}");
        }
        assert_eq!((slope(None, 0.3), slope(None, 1.0)), (1.0, 1.0));
        assert_eq!((bend(0.5, 0.002), bend(0.0, 0.002), bend(-1.0, 0.0)), (1.0, 0.25, 0.0));
    }

    #[test]
    fn what_does_not_fit_is_not_multiplied() {
        let short = feed::Account { estimates: vec![0.1], ..place() };
        let odd = feed::Account { features: vec![1, 2, 3], ..place() };
        let strange = feed::Objective { name: "joy".to_owned(), weight: 1.0 };
        assert!(estimate(&short, &record()).is_none() && estimate(&odd, &record()).is_none());
        assert!(estimate(&place(), &HeadsRecord { weights: vec![0.1], ..record() }).is_none());
        assert!(estimate(&place(), &HeadsRecord { objectives: vec![strange], ..record() }).is_none());
        assert!(estimate(&place(), &HeadsRecord::default()).is_none());
    }

    #[test]
    fn a_list_that_is_rewritten_meanwhile_is_read_again() {
        let mut reads = 0;
        let stored = gather(UserId(1), |key| {
            Ok::<_, Infallible>(match key {
                Key::Feed(_) => {
                    reads += 1;
                    Some(Value::Feed(FeedRecord { epoch: reads, ..FeedRecord::default() }))
                }
                Key::Account(_) => {
                    Some(Value::Account(AccountRecord { epoch: 2, ..AccountRecord::default() }))
                }
                _ => None,
            })
        });
        let stored = stored.unwrap_or_else(|never| match never {}).expect("a list");
        assert_eq!((stored.list.epoch, stored.account.expect("an account").epoch), (2, 2));
    }
}
