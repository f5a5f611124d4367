//! Arms against the log: at each publication they are added up anew from the rows that count and solved. Which stage a video was in when a row came is
//! taken from the records of the lives, which are checked on their own (`cohorts.rs`).

use std::collections::{BTreeMap, BTreeSet};

use freshet_learning::linucb::Arm;
use freshet_learning::ridge::{Moments, Ridge, Units};
use freshet_operators::bandit::{self, Arms, CONTEXT, Context, UNIT};
use freshet_operators::examples::Offer;
use freshet_operators::graph::Tap;
use freshet_operators::params::{DAY, Explore, ExploreArms, HOUR, MINUTE, Params};
use freshet_operators::request::{Purpose, Subject};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_operators::scorer::learn::first;
use freshet_schema::feed::{CohortState, SlotPolicy};
use freshet_schema::fixed;
use freshet_schema::store::Value;
use proptest::prelude::*;

use crate::abuse::Judge;
use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::interrupted::with_pages;
use crate::oracle::Oracle;
use crate::properties::Views;
use crate::world;

/// What was true of a row when it came.
struct Met {
    context: Context,
    /// Its video's arm, then those of what was passed over.
    arms: Vec<u64>,
    offer: Offer,
}

/// What a row earned, in per mille: as `bandit/sums.rs` has it in words.
fn earned(row: &Row) -> i64 {
    if row.is(Row::LIKE) {
        1000
    } else if row.skipped() == Some(true) {
        0
    } else if let Some(watched) = row.watched() {
        i64::from(watched.min(1000))
    } else {
        match row.completed() {
            Some(false) => 0,
            Some(true) | None => 1000,
        }
    }
}

/// The arms of some rows at `now`.
fn solved(
    rows: &[(u64, Row)],
    met: &BTreeMap<(u64, u64), Met>,
    now: u64,
    params: &Params,
) -> BTreeMap<u64, Arm> {
    let mut sums: BTreeMap<(u64, u64), Moments> = BTreeMap::new();
    for (user, row) in rows.iter().filter(|(_, row)| row.time >= first(now, &params.learning)) {
        let Some(Met { context, arms, offer }) = met.get(&(*user, row.id)) else { continue };
        let mut earns = |arm: u64, reward: i64, weight: i64| {
            let key = (arm, row.time / HOUR);
            sums.entry(key).or_insert_with(|| Moments::new(CONTEXT, 1)).add(&context.0, &[reward], weight);
        };
        earns(arms[0], earned(row), 16);
        for arm in arms[1..].iter().filter(|_| offer.placed) {
            earns(*arm, 0, offer.stands_for);
        }
    }
    let mut arms: BTreeMap<u64, Ridge> = BTreeMap::new();
    for ((arm, hour), moments) in sums.iter().filter(|((arm, _), _)| *arm != 0) {
        let age = now.saturating_sub((hour + 1) * HOUR) as f64 / params.learning.half_life as f64;
        arms.entry(*arm).or_insert_with(|| Ridge::new(CONTEXT, 1)).add(
            moments,
            fixed::exp2(-age),
            Units { x: UNIT, y: 1000.0, weight: 16.0 },
        );
    }
    arms.into_iter().filter_map(|(arm, sums)| Some((arm, Arm::of(&sums, CONTEXT)?))).collect()
}

/// How many arms were published in all, and how many of them were stages'.
#[derive(Debug, Default)]
struct Published {
    arms: usize,
    stages: usize,
}

/// Notes which videos are in which stage, from the records of an epoch.
fn note(stages: &mut BTreeMap<u64, u32>, output: &EpochOutput) {
    for (key, bytes) in output.changes.iter().filter(|(key, _)| key.starts_with("cohort:")) {
        let Some(video) = key.strip_prefix("cohort:").and_then(|video| video.parse().ok()) else {
            panic!("{key} names no video")
        };
        stages.remove(&video);
        let Some(bytes) = bytes else { continue };
        let Value::Cohort(record) = decoded(key, bytes) else { panic!("{key} is no life") };
        if record.state() == CohortState::Shown {
            stages.insert(video, record.stages.last().expect("one is under way").number);
        }
    }
}

/// Checks each publication.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> Published {
    let mut stages: BTreeMap<u64, u32> = BTreeMap::new();
    let mut views = Views::default();
    let mut met: BTreeMap<(u64, u64), Met> = BTreeMap::new();
    let (nothing, mut published) = (EpochOutput::default(), Published::default());
    let mut judge = Judge::default();
    let of_stages: BTreeSet<u64> = (1..=bandit::STAGES).map(|stage| bandit::arm(stage, 0)).collect();
    for input in epochs {
        let epoch = input.epoch.0;
        let output = outputs.get(&epoch).unwrap_or(&nothing);
        views.apply(epoch, output);
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        if let Some(version) = views.published.get(&epoch) {
            // What came with this epoch is described in the next one.
            let mut rows = oracle.rows(epoch);
            if params.abuse.enabled {
                judge.epoch(&rows, oracle.now(epoch), params);
                rows = judge.counted(rows);
            }
            assert_eq!(views.rows(), rows, "counted rows at epoch {epoch}");
            let expected =
                Arms { version: version.version, arms: solved(&rows, &met, oracle.now(epoch), params) };
            assert_eq!(*version.arms, expected, "arms at epoch {epoch}");
            published.arms += expected.arms.len();
            published.stages += expected.arms.keys().filter(|arm| of_stages.contains(arm)).count();
        }
        for tap in &output.taps {
            let Tap::Request(request) = tap else { continue };
            let (Purpose::Learn(event, offer), Subject::User(user)) = (request.purpose, &request.subject)
            else {
                continue;
            };
            let arm = |video: &u64| {
                let stage = stages.get(video).filter(|_| params.exploration.arms == ExploreArms::Cohorts);
                let category = oracle.content(*video, epoch - 1).category;
                stage.map_or(category, |number| bandit::arm(bandit::stage(*number), 0))
            };
            let context = Context::of(request.query.as_ref(), params.seed);
            assert_eq!(request.outlook.as_ref().map(|outlook| outlook.context), Some(context));
            let arms = request.wanted.iter().map(arm).collect();
            met.insert((*user, event), Met { context, arms, offer });
        }
        // What is described with an epoch is so as of the one before.
        note(&mut stages, output);
    }
    published
}

fn params(policy: Explore, stages: bool) -> Params {
    let with = if stages { world::with_stages } else { world::with_exploration };
    let mut params = with(world::params(), policy);
    params.score.publish_every = 20 * MINUTE;
    params.learning.window = 3 * DAY;
    params
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    /// With late rows, revisions and deletes of everything, on any number of workers.
    #[test]
    fn arms_are_those_of_the_rows_that_count(
        steps in world::steps(),
        seed in any::<u64>(),
        policy in prop_oneof![Just(Explore::Linucb), Just(Explore::EpsilonGreedy)],
        judges in any::<bool>(),
        stages in any::<bool>(),
    ) {
        let mut params = params(policy, stages);
        if judges {
            params = world::with_abuse(params);
        }
        let epochs = with_pages(world::epochs(&steps), seed);
        let one = run(&epochs, 1, &params);
        check(&epochs, &params, &one);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&store(&one), &store(&other)), None, "{} workers", workers);
            check(&epochs, &params, &other);
        }
    }

    /// Where nothing explores there is nothing of it.
    #[test]
    fn off_leaves_no_trace(steps in world::steps(), seed in any::<u64>()) {
        let epochs = with_pages(world::epochs(&steps), seed);
        let mut params = params(Explore::Off, false);
        let off = run(&epochs, 1, &params);
        for output in off.values() {
            for tap in &output.taps {
                match tap {
                    Tap::Request(request) => prop_assert_eq!(&request.outlook, &None),
                    Tap::Published(published) => prop_assert!(published.arms.arms.is_empty()),
                    _ => {}
                }
            }
        }
        // No places leave what is learned without a use.
        params.exploration.policy = Explore::Linucb;
        params.exploration.slots = 0;
        let unused = run(&epochs, 2, &params);
        prop_assert_eq!(first_difference(&store(&off), &store(&unused)), None);
    }
}

/// The world that the properties are about has arms and places that explore.
#[test]
fn arms_are_learned_and_used() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut arms, mut stages, mut places, mut tried, mut new) = (0, 0, 0, 0, 0);
    for seed in 0..24 {
        let steps = proptest::strategy::Strategy::new_tree(&world::steps(), &mut runner);
        let steps = proptest::strategy::ValueTree::current(&steps.expect("steps"));
        let epochs = with_pages(world::epochs(&steps), seed);
        let params = params(Explore::Linucb, seed % 2 == 1);
        let outputs = run(&epochs, 1, &params);
        let published = check(&epochs, &params, &outputs);
        (arms, stages) = (arms + published.arms, stages + published.stages);
        for (key, bytes) in outputs.values().flat_map(|output| &output.changes) {
            let (true, Some(bytes)) = (key.starts_with("feed:"), bytes) else { continue };
            let Value::Feed(list) = decoded(key, bytes) else { panic!("{key} is no list") };
            for item in &list.items {
                assert_eq!(item.policy() == SlotPolicy::Bandit, item.arm.is_some(), "{key}: {item:?}");
                let Some(arm) = &item.arm else { continue };
                let is_stage = arm.category.starts_with("cohort stage ");
                assert!(arm.policy == "linucb", "{key}: {arm:?}");
                assert!(
                    arm.category.starts_with("category") || (is_stage && seed % 2 == 1),
                    "{key}: {arm:?}"
                );
                new += usize::from(is_stage);
                assert!(
                    item.propensity >= 0.3 / arm.arms as f32 - 1e-6 && item.propensity <= 1.0,
                    "{key}: {item:?}"
                );
                places += 1;
                tried += usize::from(arm.version != 0);
            }
        }
    }
    assert!(arms > 20 && places > 20 && tried > 5, "{arms} {places} {tried}");
    assert!(stages > 5 && new > 5, "{stages} {new}");
}
