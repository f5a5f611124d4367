//! Arms against the log: at each publication they are added up anew from the rows that count and solved.

use std::collections::BTreeMap;

use freshet_learning::linucb::Arm;
use freshet_learning::ridge::{Moments, Ridge, Units};
use freshet_operators::bandit::{Arms, CONTEXT, Context, UNIT};
use freshet_operators::examples::Offer;
use freshet_operators::graph::Tap;
use freshet_operators::params::{DAY, Explore, HOUR, MINUTE, Params};
use freshet_operators::request::{Purpose, Subject};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_operators::scorer::learn::first;
use freshet_schema::feed::SlotPolicy;
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
    /// Its video's category, then those of what was passed over.
    categories: Vec<u64>,
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
        let Some(Met { context, categories, offer }) = met.get(&(*user, row.id)) else { continue };
        let mut earns = |category: u64, reward: i64, weight: i64| {
            let key = (category, row.time / HOUR);
            sums.entry(key).or_insert_with(|| Moments::new(CONTEXT, 1)).add(&context.0, &[reward], weight);
        };
        earns(categories[0], earned(row), 16);
        for category in categories[1..].iter().filter(|_| offer.placed) {
            earns(*category, 0, offer.stands_for);
        }
    }
    let mut arms: BTreeMap<u64, Ridge> = BTreeMap::new();
    for ((category, hour), moments) in sums.iter().filter(|((category, _), _)| *category != 0) {
        let age = now.saturating_sub((hour + 1) * HOUR) as f64 / params.learning.half_life as f64;
        arms.entry(*category).or_insert_with(|| Ridge::new(CONTEXT, 1)).add(
            moments,
            fixed::exp2(-age),
            Units { x: UNIT, y: 1000.0, weight: 16.0 },
        );
    }
    arms.into_iter().filter_map(|(category, sums)| Some((category, Arm::of(&sums, CONTEXT)?))).collect()
}

/// Checks each publication; how many arms were published in all.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> usize {
    let mut views = Views::default();
    let mut met: BTreeMap<(u64, u64), Met> = BTreeMap::new();
    let (nothing, mut published) = (EpochOutput::default(), 0);
    let mut judge = Judge::default();
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
            published += expected.arms.len();
        }
        for tap in &output.taps {
            let Tap::Request(request) = tap else { continue };
            let (Purpose::Learn(event, offer), Subject::User(user)) = (request.purpose, &request.subject)
            else {
                continue;
            };
            let category = |video: &u64| oracle.content(*video, epoch - 1).category;
            let context = Context::of(request.query.as_ref(), params.seed);
            assert_eq!(request.outlook.as_ref().map(|outlook| outlook.context), Some(context));
            let categories = request.wanted.iter().map(category).collect();
            met.insert((*user, event), Met { context, categories, offer });
        }
    }
    published
}

fn params(policy: Explore) -> Params {
    let mut params = world::with_exploration(world::params(), policy);
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
    ) {
        let mut params = params(policy);
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
        let mut params = params(Explore::Off);
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
    let (mut arms, mut places, mut tried) = (0, 0, 0);
    for seed in 0..12 {
        let steps = proptest::strategy::Strategy::new_tree(&world::steps(), &mut runner);
        let steps = proptest::strategy::ValueTree::current(&steps.expect("steps"));
        let epochs = with_pages(world::epochs(&steps), seed);
        let params = params(Explore::Linucb);
        let outputs = run(&epochs, 1, &params);
        arms += check(&epochs, &params, &outputs);
        for (key, bytes) in outputs.values().flat_map(|output| &output.changes) {
            let (true, Some(bytes)) = (key.starts_with("feed:"), bytes) else { continue };
            let Value::Feed(list) = decoded(key, bytes) else { panic!("{key} is no list") };
            for item in &list.items {
                assert_eq!(item.policy() == SlotPolicy::Bandit, item.arm.is_some(), "{key}: {item:?}");
                let Some(arm) = &item.arm else { continue };
                assert!(arm.policy == "linucb" && arm.category.starts_with("category"), "{key}: {arm:?}");
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
}
