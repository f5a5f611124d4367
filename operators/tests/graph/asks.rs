//! What holds of asks: they show exactly what a dirty user would get, and leave no trace.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::lists::{Answer, NEW_USER_ALGORITHM};
use freshet_operators::runtime::{Ask, EpochInput};
use freshet_schema::store::Value;
use freshet_schema::{Event, EventId, User, UserId};
use proptest::prelude::*;

use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::world;

/// Somebody of whom the world knows nothing.
const STRANGER: u64 = 99;

/// The epochs with an ask for everybody in each.
fn asking(epochs: &[EpochInput]) -> Vec<EpochInput> {
    let asks: Vec<Ask> =
        (1..6).chain([STRANGER]).map(|user| Ask { user: UserId(user), offered: false }).collect();
    epochs.iter().cloned().map(|epoch| EpochInput { asks: asks.clone(), ..epoch }).collect()
}

/// All answers by epoch and user.
fn answers(outputs: &BTreeMap<u64, EpochOutput>) -> BTreeMap<(u64, u64), Answer> {
    let mut all = BTreeMap::new();
    for (epoch, output) in outputs {
        for answer in &output.answers {
            let before = all.insert((*epoch, answer.user), answer.clone());
            assert_eq!(before, None, "two answers for one ask");
        }
    }
    all
}

/// The stored list of a user as of the epoch that wrote it.
fn written(output: &EpochOutput, user: u64) -> Option<(Vec<u64>, bool)> {
    let key = format!("feed:{user}");
    let Value::Feed(list) = decoded(&key, output.changes.get(&key)?.as_ref()?) else {
        panic!("{key} is no list");
    };
    let new_user = list.algorithm == NEW_USER_ALGORITHM;
    Some((list.items.iter().map(|item| item.video_id).collect(), new_user))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_ask_shows_what_a_dirty_user_gets_and_changes_no_byte(steps in world::steps()) {
        let params = world::params();
        let plain = world::epochs(&steps);
        let asked = asking(&plain);
        let one = run(&asked, 1, &params);
        prop_assert_eq!(first_difference(&store(&run(&plain, 1, &params)), &store(&one)), None);

        let all = answers(&one);
        prop_assert_eq!(all.len(), asked.len() * 6, "an answer for each ask");
        for ((epoch, user), answer) in &all {
            if let Some(list) = written(&one[epoch], *user) {
                prop_assert_eq!(&(answer.listed.clone(), answer.new_user), &list, "user {} at {}", user, epoch);
            }
            prop_assert!(answer.listed.len() <= params.feed.length);
            let sorted = answer.scored.windows(2).all(|w| (w[1].1, w[0].0) < (w[0].1, w[1].0));
            prop_assert!(sorted, "best first, ties by number: {:?}", answer.scored);
            let candidates: BTreeSet<u64> = answer.scored.iter().map(|(video, _)| *video).collect();
            prop_assert_eq!(candidates.len(), answer.scored.len(), "each candidate once");
            prop_assert!(answer.listed.iter().all(|video| candidates.contains(video)));
            prop_assert_eq!(answer.listed.len(), candidates.len().min(params.feed.length));
        }
        for workers in [2, 3] {
            prop_assert_eq!(&answers(&run(&asked, workers, &params)), &all, "{} workers", workers);
        }
        // The heads learn from the stored lists, so they stand still where lists with and without are compared.
        let mut silent = params.clone();
        silent.learning.enabled = false;
        let all = answers(&run(&asked, 1, &silent));
        silent.feed.enabled = false;
        let silent = run(&asked, 2, &silent);
        prop_assert_eq!(&answers(&silent), &all, "without stored lists");
        prop_assert!(silent.values().all(|o| o.changes.keys().all(|k| !k.starts_with("feed:"))));
    }

    #[test]
    fn a_stranger_is_answered_as_one_who_has_just_registered(steps in world::steps()) {
        let params = world::params();
        let epochs = world::epochs(&steps);
        let all = answers(&run(&asking(&epochs), 1, &params));
        let mut registering = epochs.clone();
        let last = registering.last_mut().expect("a world has an epoch");
        let user = User {
            event_id: EventId(1 << 40),
            event_time: last.now,
            user_id: UserId(STRANGER),
            ..User::default()
        };
        last.records.push((Default::default(), Event::User(user)));
        let epoch = last.epoch.0;
        let outputs = run(&registering, 2, &params);
        let answer = &all[&(epoch, STRANGER)];
        let expected = written(&outputs[&epoch], STRANGER);
        prop_assert_eq!(Some((answer.listed.clone(), true)), expected);
        prop_assert!(answer.new_user);
    }
}
