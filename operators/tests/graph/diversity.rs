//! How alike lists are against the lists that the store has, at every publication; and the rule against users who are all alike.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::params::{Diversity, HOUR, MINUTE, Params, SECOND};
use freshet_operators::runtime::{EpochInput, Output, start};
use freshet_operators::yields::Yields;
use freshet_schema::event::{Event, Origin, Status};
use freshet_schema::feed::DiversityRecord;
use freshet_schema::store::Value;
use freshet_schema::{CreatorId, Epoch, EventId, Interaction, Millis, Upload, UserId, VideoId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::interrupted::with_pages;
use crate::properties::Views;
use crate::world::{self, START};

/// The same with a rule that comes in for next to nothing.
pub fn with_diversity(mut params: Params) -> Params {
    params.diversity = Diversity { places: 3, overlap_above: 0.3, share: 0.4, least: 0.2 };
    params
}

/// The videos of each user's list in the store, as far as they are looked at.
type Lists = BTreeMap<String, Vec<u64>>;

fn apply(lists: &mut Lists, output: &EpochOutput, removals: bool, places: usize) {
    for (key, value) in output.changes.iter().filter(|(key, _)| key.starts_with("feed:")) {
        match value {
            None => drop(lists.remove(key)),
            Some(_) if removals => {}
            Some(bytes) => match decoded(key, bytes) {
                Value::Feed(list) => {
                    let videos = list.items.iter().take(places).map(|item| item.video_id).collect();
                    lists.insert(key.clone(), videos);
                }
                other => panic!("{key}: {other:?}"),
            },
        }
    }
}

fn record(output: &EpochOutput) -> Option<DiversityRecord> {
    let key = "diversity:all";
    match decoded(key, output.changes.get(key)?.as_ref()?) {
        Value::Diversity(record) => Some(record),
        other => panic!("{other:?}"),
    }
}

/// Checks each record; the greatest strength, and the most lists that any of them counted.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> (f64, u64) {
    let (mut views, mut lists, mut strength, mut last) = (Views::default(), Lists::new(), 0u64, None);
    let (mut strongest, mut most) = (0.0f64, 0);
    for input in epochs {
        let nothing = EpochOutput::default();
        let output = outputs.get(&input.epoch.0).unwrap_or(&nothing);
        views.apply(input.epoch.0, output);
        // What is made in an epoch is heard of in the next one, what is removed at once.
        apply(&mut lists, output, true, params.diversity.places);
        let found = record(output);
        if views.published.contains_key(&input.epoch.0) {
            let found = found.unwrap_or_else(|| panic!("nothing is said in epoch {}", input.epoch));
            let held: Vec<BTreeSet<u64>> = lists
                .values()
                .filter(|list| !list.is_empty())
                .map(|list| list.iter().copied().collect())
                .collect();
            let places: u64 = held.iter().map(|list| list.len() as u64).sum();
            let mut pairs = 0u64;
            for (a, one) in held.iter().enumerate() {
                let others = held.iter().enumerate().filter(|(b, _)| *b != a);
                pairs += others.map(|(_, other)| one.intersection(other).count() as u64).sum::<u64>();
            }
            let videos: BTreeSet<u64> = held.iter().flatten().copied().collect();
            let of = |video: &u64| held.iter().filter(|list| list.contains(video)).count() as u64;
            assert_eq!(
                (found.lists, found.places, found.videos, found.most, found.pairs_low),
                (
                    held.len() as u64,
                    places,
                    videos.len() as u64,
                    videos.iter().map(of).max().unwrap_or(0),
                    pairs
                ),
                "at {}",
                input.epoch
            );
            let below = (found.lists.saturating_sub(1) * places).max(1);
            assert!((found.overlap - pairs as f64 / below as f64).abs() < 2e-6, "{found:?}");
            strength = match found.overlap {
                overlap if overlap > params.diversity.overlap_above => (strength + 1).min(8),
                overlap if overlap < params.diversity.overlap_above * 0.9 => strength.saturating_sub(1),
                _ => strength,
            };
            assert_eq!(found.strength, strength as f64 / 8.0, "{found:?}");
            assert!(found.lowered <= found.videos && (strength > 0 || found.lowered == 0), "{found:?}");
            strongest = strongest.max(found.strength);
            most = most.max(found.lists);
            last = Some(found);
        } else if found.is_some() {
            assert!(!input.remake.is_empty() && found == last, "written again as it was");
        }
        apply(&mut lists, output, false, params.diversity.places);
    }
    (strongest, most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn how_alike_lists_are_follows_from_the_store(steps in world::steps(), seed in any::<u64>(), often in any::<bool>()) {
        let epochs = with_pages(world::epochs(&steps), seed);
        let mut params = with_diversity(world::params());
        if often {
            params.score.publish_every = 5 * MINUTE;
        }
        let outputs = run(&epochs, 1, &params);
        check(&epochs, &params, &outputs);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&store(&other), &store(&outputs)), None, "{} workers", workers);
        }
    }
}

#[test]
fn the_worlds_test_something() {
    let mut runner = TestRunner::deterministic();
    let (mut strong, mut most) = (0, 0);
    for seed in 0..24 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let epochs = with_pages(world::epochs(&steps), seed);
        let mut params = with_diversity(world::params());
        params.score.publish_every = 5 * MINUTE;
        let found = check(&epochs, &params, &run(&epochs, 1, &params));
        strong += usize::from(found.0 > 0.2);
        most = most.max(found.1);
    }
    assert!(strong > 3 && most >= 4, "the rule came in in {strong} worlds, of at most {most} lists");
}

const USERS: u64 = 24;

fn at(minute: u64) -> u64 {
    START + minute * MINUTE
}

fn input(number: u64, minute: u64, events: Vec<Event>) -> EpochInput {
    EpochInput {
        epoch: Epoch(number),
        now: Millis(at(minute)),
        records: (0..)
            .zip(events)
            .map(|(offset, event)| (Origin { partition: number as u32, offset }, event))
            .collect(),
        asks: Vec::new(),
        probes: Vec::new(),
        remake: Vec::new(),
    }
}

/// Users who are all alike: each watches the same three videos, and looks at one of them again each hour.
fn alike() -> Vec<EpochInput> {
    let upload = |video: u64| {
        Event::Upload(Upload {
            event_id: EventId(video),
            event_time: Millis(at(0)),
            video_id: VideoId(video),
            creator_id: CreatorId(video),
            created_at: Millis(at(0)),
            duration_ms: 10_000,
            caption: format!("video {video}"),
            category: Some(format!("category{}", video % 10)),
            status: Status::Ready,
            ..Upload::default()
        })
    };
    let view = |user: u64, video: u64, time: u64| {
        Event::Interaction(Interaction {
            event_id: EventId(time ^ user << 48 ^ video << 56),
            event_time: Millis(time),
            user_id: UserId(user),
            video_id: VideoId(video),
            watch_ms: Some(10_000),
            duration_ms: Some(10_000),
            like: true,
            ..Interaction::default()
        })
    };
    let mut epochs = vec![input(1, 1, (1..=60).map(upload).collect())];
    for hour in 1..16u64 {
        let views = (1..=USERS).map(|user| view(user, 1 + hour % 3, at(hour * 60 - 30) + user * SECOND));
        epochs.push(input(2 * hour, hour * 60 - 10, views.collect()));
        epochs.push(input(2 * hour + 1, hour * 60 + 1, vec![view(1, 1, at(hour * 60))]));
    }
    epochs
}

#[test]
fn lists_of_users_who_are_alike_differ_with_the_rule() {
    let mut params = world::params();
    params.feed.length = 60;
    params.feed.per_category = 60;
    params.candidates.trending = 60;
    params.rerank.novelty_share = 0.0;
    params.rerank.novelty_max_share = 0.0;
    params.rerank.similarity_cap = 1.0;
    params.score.publish_every = HOUR;
    params.diversity = Diversity { places: 5, overlap_above: 1.0, share: 0.3, least: 0.05 };
    let epochs = alike();
    let last = |params: &Params, workers: usize| {
        let outputs = run(&epochs, workers, params);
        check(&epochs, params, &outputs);
        let records: Vec<DiversityRecord> = outputs.values().filter_map(record).collect();
        (records.last().cloned().expect("publications"), store(&outputs))
    };
    let (without, _) = last(&params, 1);
    assert_eq!((without.lists, without.strength, without.lowered), (USERS, 0.0, 0), "{without:?}");
    assert!(without.overlap > 0.8, "they are all alike: {without:?}");

    params.diversity.overlap_above = 0.4;
    let (with, lists) = last(&params, 2);
    assert!(with.overlap < 0.6 * without.overlap && with.videos > without.videos, "{with:?} and {without:?}");
    assert!(with.strength > 0.0 && with.lowered > 0, "{with:?}");
    // The list says which of its videos were lowered, and the account by how much.
    let (mut factors, mut moved) = (0, 0);
    for (key, bytes) in &lists {
        match decoded(key, bytes) {
            Value::Account(account) => {
                factors += account.items.iter().filter(|item| item.spread_factor == Some(0.05)).count();
            }
            Value::Feed(list) if list.user_id > 0 => {
                moved += list.items.iter().filter(|item| item.moved_by.contains("spread")).count();
            }
            _ => {}
        }
    }
    assert!(factors > 0 && factors == moved, "{factors} factors, {moved} moved");
}

/// A graph where nobody looks says nothing of it.
#[test]
fn where_nobody_looks_nothing_is_said() {
    let outputs = run(&alike()[..7], 2, &world::params());
    assert!(outputs.values().all(|output| !output.changes.contains_key("diversity:all")));
}

/// What three users watched: the first much of one category and less and less of each, the second the same with pleasure, the third
/// videos that are all alike, with pleasure.
fn narrow() -> Vec<EpochInput> {
    let upload = |video: u64| {
        let alike = (41..=60).contains(&video);
        Event::Upload(Upload {
            event_id: EventId(video),
            event_time: Millis(at(0)),
            video_id: VideoId(video),
            creator_id: CreatorId(video),
            created_at: Millis(at(0)),
            duration_ms: 10_000,
            caption: if alike {
                "the same dance".to_owned()
            } else {
                format!("words of {video} and {}", video * 7)
            },
            hashtags: vec![if alike { "dance".to_owned() } else { format!("tag{video}") }],
            category: Some(if alike {
                "dance".to_owned()
            } else {
                format!("category{}", (video % 10).saturating_sub(4))
            }),
            status: Status::Ready,
            ..Upload::default()
        })
    };
    let view = |user: u64, video: u64, n: u64, watch_ms: u64| {
        Event::Interaction(Interaction {
            event_id: EventId(user * 1_000 + n),
            event_time: Millis(at(2 + n)),
            user_id: UserId(user),
            video_id: VideoId(video),
            watch_ms: Some(watch_ms),
            duration_ms: Some(10_000),
            ..Interaction::default()
        })
    };
    // Of 1 to 40 those that end with 0 to 4 are of one category.
    let of_one: Vec<u64> = (1..=40).filter(|video| video % 10 <= 4).collect();
    let mut views = Vec::new();
    for n in 0..20 {
        let watched = if n < 10 { 9_000 } else { 3_000 };
        views.push(view(1, of_one[n as usize], n, watched));
        views.push(view(2, of_one[n as usize], n, 9_000));
        views.push(view(3, 41 + n, n, 9_000));
    }
    vec![input(1, 1, (1..=160).map(upload).collect()), input(2, 30, views), input(3, 31, Vec::new())]
}

#[test]
fn lists_that_have_become_too_narrow_are_widened() {
    let mut params = world::params();
    params.feed.length = 40;
    params.candidates.trending = 160;
    params.interest.short_last = 20;
    params.rerank.similarity_cap = 1.0;
    let novel = |narrow_last: usize| {
        let mut params = params.clone();
        params.rerank.narrow_last = narrow_last;
        let lists = store(&run(&narrow(), 2, &params));
        [1, 2, 3].map(|user| match decoded("feed:1", &lists[&format!("feed:{user}")]) {
            Value::Feed(list) => {
                let novelty = |item: &&freshet_schema::feed::FeedItem| {
                    item.policy() == freshet_schema::feed::SlotPolicy::Novelty
                };
                (list.items.iter().filter(novelty).count(), list.obsession_loop)
            }
            other => panic!("{other:?}"),
        })
    };
    let (off, on) = (novel(0), novel(20));
    assert!(on[0].0 > off[0].0, "who is tired of one category: {off:?} and {on:?}");
    assert_eq!(on[1], off[1], "who watches it with pleasure");
    assert!(on[2].1 && on[2].0 > off[2].0, "a loop, however it is liked: {off:?} and {on:?}");

    params.rerank.narrow_last = 20;
    let (job, outputs) = start(2, &params, false).expect("workers start");
    narrow().into_iter().for_each(|input| job.send(input).expect("workers live"));
    job.finish().expect("workers end well");
    let mut counted = Yields::default();
    for output in outputs {
        if let Output::Yields(yields) = output {
            counted.plus(&yields);
        }
    }
    let Yields { widened, looping, .. } = counted;
    assert!(looping > 0 && widened > looping, "{widened} lists were widened, {looping} for a loop");
}
