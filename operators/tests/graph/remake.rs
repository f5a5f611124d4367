//! What holds of writing again: it says everything that the store holds and nothing else, slice by slice, and changes no view.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::runtime::EpochInput;
use freshet_schema::Epoch;
use freshet_schema::hash::{SHARDS, Slice};
use freshet_schema::store::{EVERYONE, Key};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::diversity::with_diversity;
use crate::experiments::with_experiments;
use crate::harness::{EpochOutput, first_difference, run, store};
use crate::world;

/// Part `part` of every shard.
fn slices(part: u32, parts: u32) -> Vec<Slice> {
    (0..SHARDS).map(|shard| Slice { shard, part, parts }).collect()
}

/// An epoch right after the last one in which nothing happens but that slices are written again.
fn then_remake(epochs: &mut Vec<EpochInput>, remake: Vec<Slice>) -> u64 {
    let last = epochs.last().expect("a world has an epoch");
    let epoch = Epoch(last.epoch.0 + 1);
    epochs.push(EpochInput {
        epoch,
        now: last.now,
        records: Vec::new(),
        asks: Vec::new(),
        probes: Vec::new(),
        remake,
    });
    epoch.0
}

/// The keys that an epoch wrote.
fn written(outputs: &BTreeMap<u64, EpochOutput>, epoch: u64) -> BTreeSet<String> {
    let changes = outputs.get(&epoch).map(|output| &output.changes);
    changes.into_iter().flatten().filter(|(_, value)| value.is_some()).map(|(key, _)| key.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    /// Who forgets all of a store and hears one round of slices holds what the store would hold.
    #[test]
    fn a_round_of_slices_is_the_whole_store(steps in world::steps(), parts in 1u32..4, cohorts in any::<bool>()) {
        let params = world::params();
        let params = if cohorts { with_diversity(with_experiments(world::with_cohorts(params))) } else { params };
        let mut epochs = world::epochs(&steps);
        // Until all who are being invited have their lists.
        for _ in 0..3 {
            then_remake(&mut epochs, Vec::new());
        }
        let rounds: Vec<u64> =
            (0..parts).map(|part| then_remake(&mut epochs, slices(part, parts))).collect();
        let outputs = run(&epochs, 1, &params);
        let whole = store(&outputs);
        let mut again: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (epoch, part) in rounds.iter().zip(0..) {
            for key in written(&outputs, *epoch) {
                let held = slices(part, parts).into_iter().any(|slice| match Key::parse(&key) {
                    Some(Key::Feed(user) | Key::Dropped(user) | Key::Account(user) | Key::Preferences(user)) => slice.holds(user.0),
                    Some(Key::Video(video) | Key::Related(video) | Key::Cohort(video)) => slice.holds(video.0),
                    Some(Key::Heads(version)) => slice.holds(version),
                    Some(Key::Trending(group) | Key::NewUser(group)) => slice.holds_text(&group),
                    Some(Key::Experiments | Key::Diversity) => slice.holds_text(EVERYONE),
                    None => false,
                });
                prop_assert!(held, "{} is in none of the slices of epoch {}", key, epoch);
                let value = outputs[epoch].changes[&key].clone();
                prop_assert!(again.insert(key, value.expect("written")).is_none(), "each key in one slice");
            }
        }
        prop_assert_eq!(first_difference(&again, &whole), None);
        for workers in [2, 3] {
            prop_assert_eq!(first_difference(&store(&run(&epochs, workers, &params)), &whole), None, "{} workers", workers);
        }
    }

    /// Lists are made anew by it, and everything else stays. (What was offered is learned from: with learning, a list that was made
    /// anew leaves a trace in the weights.)
    #[test]
    fn it_leaves_no_trace(steps in world::steps(), at in any::<prop::sample::Index>(), shard in 0..SHARDS) {
        let mut params = world::params();
        params.learning.enabled = false;
        let mut plain = world::epochs(&steps);
        let mut remade = plain.clone();
        let at = at.index(remade.len());
        remade[at].remake = slices(0, 1);
        remade[at].remake.push(Slice { shard, part: 1, parts: 2 });
        let last = then_remake(&mut plain, slices(0, 1));
        prop_assert_eq!(then_remake(&mut remade, slices(0, 1)), last);
        let (plain, remade) = (run(&plain, 1, &params), run(&remade, 2, &params));
        prop_assert_eq!(first_difference(&store(&remade), &store(&plain)), None);
    }
}

#[test]
fn the_worlds_have_all_kinds_of_keys() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    for _ in 0..24 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let outputs = run(&world::epochs(&steps), 1, &with_experiments(world::with_cohorts(world::params())));
        kinds.extend(store(&outputs).keys().filter_map(|key| Some(key.split_once(':')?.0.to_owned())));
    }
    let all = [
        "account",
        "cohort",
        "dropped",
        "experiments",
        "feed",
        "heads",
        "newuser",
        "preferences",
        "related",
        "trending",
        "video",
    ];
    let missing: Vec<_> = all.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(missing.is_empty(), "no world has {missing:?}: what is said of them is not tested");
}
