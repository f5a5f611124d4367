//! The vector index in the graph, where it is large enough to be trained: what a request finds is what an index finds that is
//! fed by hand, in another order, and it does not depend on the number of workers. (Below `train_at` the exact search of
//! the oracle is the measure, in [`crate::properties`].)

use std::collections::BTreeMap;

use freshet_index::VectorIndex;
use freshet_learning::Quantised;
use freshet_operators::boundary::Boundary;
use freshet_operators::graph::Tap;
use freshet_operators::params::{MINUTE, Params};
use freshet_operators::request::{ABSENT, SourceId};
use freshet_operators::runtime::{Ask as AskFor, EpochInput, start};
use freshet_schema::event::{Event, Origin, Status, Target};
use freshet_schema::feed::Source;
use freshet_schema::{CreatorId, Delete, Epoch, EventId, Interaction, Millis, Upload, UserId, VideoId, hash};
use proptest::prelude::*;

use crate::harness::{EpochOutput, first_difference, run, store};
use crate::oracle::Oracle;
use crate::world::{START, params};

const VIDEOS: u64 = 70;

/// Every epoch lasts a minute; publications are two minutes apart.
pub fn trained() -> Params {
    let mut params = params();
    params.candidates.similar = 5;
    params.score.publish_every = 2 * MINUTE;
    (params.index.train_at, params.index.nprobe, params.index.dims) = (16, 2, 64);
    params
}

/// Uploads that make the index grow, changes, take-downs and deletes that make it shrink, and views all along. Some
/// uploads bring a vector of a space of their own.
pub fn world(seed: u64, length: u64) -> Vec<EpochInput> {
    let draw = |parts: &[u64], below: u64| hash::mix(seed, parts) % below;
    let epoch = |n: u64| {
        let now = Millis(START + n * MINUTE);
        let records = (0..14).filter_map(|i| {
            let number = n * 100 + i;
            let video = VideoId(1 + draw(&[n, i, 1], VIDEOS));
            let event_id = EventId(number);
            let event = match draw(&[n, i, 0], 14) {
                0..7 => Event::Upload(Upload {
                    event_id,
                    event_time: now,
                    video_id: video,
                    creator_id: CreatorId(1 + draw(&[n, i, 2], 9)),
                    created_at: Millis(START),
                    duration_ms: 10_000,
                    caption: format!("words {} {}", draw(&[n, i, 3], 50), draw(&[n, i, 4], 50)),
                    hashtags: vec![format!("tag{}", draw(&[n, i, 5], 6))],
                    category: Some(format!("category{}", draw(&[n, i, 6], 4))),
                    content_embedding: video
                        .0
                        .is_multiple_of(5)
                        .then(|| (0..8).map(|d| draw(&[n, i, 7, d], 200) as f32 - 100.0).collect()),
                    embedding_space: video.0.is_multiple_of(5).then(|| "other".to_owned()),
                    status: if draw(&[n, i, 8], 8) == 0 { Status::Removed } else { Status::Ready },
                    ..Upload::default()
                }),
                7 if n > 3 => Event::Delete(Delete {
                    event_id,
                    revision: 0,
                    event_time: now,
                    target: Target::Video { video_id: video },
                }),
                8..13 => Event::Interaction(Interaction {
                    event_id,
                    event_time: now,
                    user_id: UserId(1 + draw(&[n, i, 9], 5)),
                    video_id: video,
                    watch_ms: Some(draw(&[n, i, 10], 12_000)),
                    ..Interaction::default()
                }),
                _ => return None,
            };
            Some((Origin { partition: 0, offset: number }, event))
        });
        let asks = [1, 2].map(|user| AskFor { user: UserId(user), offered: false }).to_vec();
        EpochInput {
            epoch: Epoch(n),
            now,
            records: records.collect(),
            asks,
            probes: Vec::new(),
            remake: Vec::new(),
        }
    };
    (1..=length).map(epoch).collect()
}

/// Indexes by space, filled from nothing with what holds at the end of each epoch, the last video first.
fn found_by_hand(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> usize {
    let oracle = Oracle { epochs, params, published: BTreeMap::new() };
    let mut indexes: BTreeMap<u64, VectorIndex> = BTreeMap::new();
    let mut boundary = Boundary::default();
    let (mut trained, mut compared) = (0, 0);
    for input in epochs {
        let contents: Vec<_> = (1..=VIDEOS).rev().map(|video| oracle.content(video, input.epoch.0)).collect();
        for content in contents.iter().filter(|content| content.ready) {
            indexes
                .entry(content.space)
                .or_insert_with(|| VectorIndex::new(params.index.of(params.seed)).expect("in range"));
        }
        for (space, index) in &mut indexes {
            for content in &contents {
                let id = VideoId(content.video);
                if content.ready && content.space == *space {
                    index.upsert(id, &content.vector.0[..params.index.dims]).expect("dims");
                } else {
                    index.remove(id);
                }
            }
        }
        if boundary.pass(input.now.0, params.score.publish_every).is_some() {
            indexes.retain(|_, index| !index.is_empty());
            for index in indexes.values_mut() {
                trained += usize::from(index.maintain().expect("trains").is_some());
            }
        }
        let Some(output) = outputs.get(&input.epoch.0) else { continue };
        for tap in &output.taps {
            let Tap::Request(request) = tap else { continue };
            if !request.wanted.is_empty() {
                continue;
            }
            let similar = SourceId::new(Source::Similar);
            let asks: Vec<_> = request.asks.iter().filter(|ask| ask.source == similar).collect();
            let mut expected = Vec::new();
            if let Some(query) = &request.query
                && let Some(index) = indexes.get_mut(&query.space)
            {
                // One query at a time, and all that the lists hold.
                let all = index.search(&[&query.vector.0[..params.index.dims]], 1000).expect("dims");
                let open = all[0].iter().filter(|n| n.score > 0 && !request.watched.contains(&n.id.0));
                expected = open.take(5).map(|n| (n.id.0, i64::from(n.score))).collect();
            }
            let found: Vec<_> = asks.iter().flat_map(|ask| ask.found.iter().copied()).collect();
            assert_eq!(found, expected, "{:?} at {}", request.subject, input.epoch);
            assert!(asks.len() <= 1 && found.iter().all(|(_, rank)| *rank != ABSENT));
            compared += usize::from(trained > 0 && !found.is_empty());
        }
    }
    compared
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_trained_index_finds_the_same_for_any_number_of_workers(seed in any::<u64>()) {
        let params = trained();
        let epochs = world(seed, 16);
        let one = run(&epochs, 1, &params);
        prop_assert!(found_by_hand(&epochs, &params, &one) > 10, "the world trains no index");
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&store(&one), &store(&other)), None, "{} workers", workers);
            found_by_hand(&epochs, &params, &other);
        }
    }
}

#[test]
fn without_a_quota_there_is_no_index() {
    let mut params = trained();
    params.candidates.similar = 0;
    let similar = SourceId::new(Source::Similar);
    for output in run(&world(1, 6), 2, &params).values() {
        for tap in &output.taps {
            if let Tap::Request(request) = tap {
                assert!(request.asks.iter().all(|ask| ask.source != similar));
            }
        }
    }
}

#[test]
fn a_parameter_out_of_range_is_refused_before_the_start() {
    let mut params = trained();
    params.index.dims = Quantised::zero().0.len() + 1;
    let error = start(1, &params, false).err().expect("513 dimensions are too many");
    assert!(error.contains("dims = 513 is not in 1..=512"), "{error}");
}
