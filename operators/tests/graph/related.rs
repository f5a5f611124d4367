//! Records of related videos: each is what it would be if it were made from nothing at its epoch, and whose co-engagement or
//! content changed before a publication is made anew by it.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::boundary::Boundary;
use freshet_operators::content::Content;
use freshet_operators::epoch::Stage;
use freshet_operators::interest::Query;
use freshet_operators::params::Params;
use freshet_operators::related::Question;
use freshet_operators::related_records::{RecordIn, RecordOut, RelatedRecords};
use freshet_operators::runtime::EpochInput;
use freshet_operators::shelf::{ShelfIn, ShelfOut};
use freshet_schema::feed::RelatedItem;
use freshet_schema::store::Value;
use proptest::prelude::*;

use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::oracle::Oracle;
use crate::properties::{Views, fresh_shelf};
use crate::world;

/// The bytes of a video's record as it must be made at `epoch`.
fn expected(video: u64, epoch: u64, views: &Views, oracle: &Oracle) -> Option<Vec<u8>> {
    let content = oracle.content(video, epoch);
    if !content.ready {
        return None;
    }
    let mut shown = ShelfOut::default();
    fresh_shelf(epoch, views, oracle).step(epoch, vec![ShelfIn::Related(video)], &mut shown);
    let query = Query { space: content.space, vector: content.vector };
    let length = oracle.params.related.length;
    let near = oracle.nearest(&query, epoch, length, |other| other == video);
    let question = Question { video, query: None, written: None, now: oracle.now(epoch), again: false };
    let batch = vec![
        RecordIn::CoEngaged(video, shown.related.remove(0).1),
        RecordIn::Similar(video, near.into_iter().map(|(video, _)| video).collect()),
        RecordIn::Question(question),
    ];
    let mut made = RecordOut::default();
    RelatedRecords::new(length).step(epoch, batch, &mut made);
    made.changes.pop().and_then(|(_, value)| value)
}

fn items(video: u64, bytes: Option<&Vec<u8>>) -> Vec<RelatedItem> {
    match bytes.map(|bytes| decoded(&format!("related:{video}"), bytes)) {
        Some(Value::Related(record)) => record.items,
        Some(other) => panic!("no record: {other:?}"),
        None => Vec::new(),
    }
}

/// The sums of a video's pairs, by the other video and the period.
type Sums = BTreeMap<(u64, u32), i64>;

fn sums(video: u64, views: &Views) -> Sums {
    let pairs = views.pairs.iter().filter(|((seed, ..), sums)| *seed == video && sums[1] != 0);
    pairs.map(|((_, other, period), sums)| ((*other, *period), sums[1])).collect()
}

/// Returns how many records were compared because they had to be made.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> usize {
    let mut views = Views::default();
    let mut records: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut boundary = Boundary::default();
    let mut published: BTreeMap<u64, Sums> = BTreeMap::new();
    let mut contents: BTreeMap<u64, Content> = BTreeMap::new();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    let mut made = 0;
    let nothing = EpochOutput::default();
    for input in epochs {
        let epoch = input.epoch.0;
        let output = outputs.get(&epoch).unwrap_or(&nothing);
        views.apply(epoch, output);
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        for video in 1..=world::VIDEOS {
            let Some(change) = output.changes.get(&format!("related:{video}")) else { continue };
            assert_eq!(*change, expected(video, epoch, &views, &oracle), "record of {video} at {epoch}");
            let known = match change {
                Some(bytes) => records.insert(video, bytes.clone()),
                None => records.remove(&video),
            };
            assert_ne!(items(video, change.as_ref()), items(video, known.as_ref()), "{video} at {epoch}");
        }
        for (video, bytes) in &records {
            let shown = items(*video, Some(bytes)).into_iter().map(|item| item.video_id).chain([*video]);
            for shown in shown {
                assert!(oracle.content(shown, epoch).ready, "{video} names {shown} at {epoch}");
            }
        }
        for video in 1..=world::VIDEOS {
            let content = oracle.content(video, epoch);
            if contents.get(&video) != Some(&content) {
                waiting.insert(video);
                contents.insert(video, content);
            }
        }
        if boundary.pass(input.now.0, params.feed.pools_every).is_some() {
            for video in 1..=world::VIDEOS {
                let now = sums(video, &views);
                if published.insert(video, now.clone()).unwrap_or_default() != now {
                    waiting.insert(video);
                }
            }
            for video in std::mem::take(&mut waiting).into_iter().filter(|video| contents[video].ready) {
                let (record, wanted) = (records.get(&video), expected(video, epoch, &views, &oracle));
                assert_eq!(items(video, record), items(video, wanted.as_ref()), "{video} at {epoch}");
                made += usize::from(wanted.is_some());
            }
        }
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn records_are_what_they_would_be_from_nothing(steps in world::steps()) {
        let params = world::params();
        let epochs = world::epochs(&steps);
        let one = run(&epochs, 1, &params);
        check(&epochs, &params, &one);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&store(&one), &store(&other)), None, "{} workers", workers);
        }
    }

    #[test]
    fn without_the_index_co_engagement_speaks_alone(steps in world::steps()) {
        let mut params = world::params();
        params.candidates.similar = 0;
        let outputs = run(&world::epochs(&steps), 2, &params);
        for (key, bytes) in store(&outputs).iter().filter(|(key, _)| key.starts_with("related:")) {
            let Value::Related(record) = decoded(key, bytes) else { panic!("{key} is no record") };
            let co_engaged = vec![i32::from(freshet_schema::feed::Source::CoEngaged)];
            prop_assert!(record.items.iter().all(|item| item.sources == co_engaged), "{:?}", record);
        }
    }
}

#[test]
fn who_was_liked_together_is_related() {
    use freshet_schema::event::{Event, Origin, Status};
    use freshet_schema::{CreatorId, Epoch, EventId, Interaction, Millis, Upload, UserId, VideoId};

    let params = world::params();
    let hour = freshet_operators::params::HOUR;
    let upload = |video: u64| {
        Event::Upload(Upload {
            event_id: EventId(video),
            event_time: Millis(world::START),
            video_id: VideoId(video),
            creator_id: CreatorId(video),
            created_at: Millis(world::START),
            duration_ms: 10_000,
            status: Status::Ready,
            // Only the first two are alike.
            caption: if video < 3 {
                "one and the same thing".to_owned()
            } else {
                format!("{}", video * 7919)
            },
            ..Upload::default()
        })
    };
    let view = |n: u64, user: u64, video: u64| {
        Event::Interaction(Interaction {
            event_id: EventId(n),
            event_time: Millis(world::START + n),
            user_id: UserId(user),
            video_id: VideoId(video),
            watch_ms: Some(10_000),
            ..Interaction::default()
        })
    };
    let first: Vec<Event> =
        (1..=8).map(upload).chain((0..5).flat_map(|u| [view(2 * u, u, 1), view(2 * u + 1, u, 5)])).collect();
    let epochs: Vec<EpochInput> = (0..4)
        .map(|n| {
            let records = if n == 0 { first.clone() } else { Vec::new() };
            let origin = |at: usize| Origin { partition: 0, offset: at as u64 };
            EpochInput {
                epoch: Epoch(n + 1),
                now: Millis(world::START + 1_000 + n * hour),
                records: records.into_iter().enumerate().map(|(at, event)| (origin(at), event)).collect(),
                asks: Vec::new(),
                probes: Vec::new(),
                remake: Vec::new(),
            }
        })
        .collect();
    let outputs = run(&epochs, 2, &params);
    assert!(check(&epochs, &params, &outputs) >= 2);
    let related = items(1, store(&outputs).get("related:1"));
    let videos: Vec<u64> = related.iter().map(|item| item.video_id).collect();
    assert_eq!(videos[..2], [5, 2], "first what people liked, then what is alike");
    assert!(outputs[&1].changes.contains_key("related:1"), "the first epoch publishes");
}
