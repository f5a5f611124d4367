//! What a served page says of the rows that follow it: who was passed over, and what each row stands for.

use std::collections::BTreeMap;

use freshet_operators::examples::Offer;
use freshet_operators::graph::Tap;
use freshet_operators::params::{HOUR, MINUTE, Params};
use freshet_operators::request::Purpose;
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Origin, Served, ServedItem, Status, Target};
use freshet_schema::store::{Key, Value};
use freshet_schema::{
    CreatorId, Delete, Epoch, Event, EventId, Interaction, Millis, Upload, UserId, VideoId,
};

use crate::harness::{EpochOutput, decoded, run, store};
use crate::world::START;

const USER: u64 = 7;
/// An example as the sums count it.
const ONE: i64 = 16;

fn upload(video: u64) -> Event {
    Event::Upload(Upload {
        event_id: EventId(video),
        event_time: Millis(START),
        created_at: Millis(START),
        video_id: VideoId(video),
        creator_id: CreatorId(video),
        duration_ms: 10_000,
        status: Status::Ready,
        ..Upload::default()
    })
}

/// A page of videos with the chances that put them there, served after so many minutes.
fn page(id: u64, minute: u64, from: u32, places: &[(u64, f32)]) -> Event {
    let item = |(position, (video, propensity)): (u32, &(u64, f32))| ServedItem {
        video_id: VideoId(*video),
        position,
        propensity: *propensity,
        slot_policy: "rank".to_owned(),
        drawn: 0,
    };
    Event::Served(Served {
        event_id: EventId(id),
        event_time: Millis(START + minute * MINUTE),
        request_id: id,
        user_id: UserId(USER),
        items: (from..).zip(places).map(item).collect(),
        ..Served::default()
    })
}

fn view(id: u64, minute: u64, video: u64) -> Event {
    Event::Interaction(Interaction {
        event_id: EventId(id),
        event_time: Millis(START + minute * MINUTE),
        user_id: UserId(USER),
        video_id: VideoId(video),
        watch_ms: Some(9_000),
        duration_ms: Some(10_000),
        ..Interaction::default()
    })
}

fn forget(id: u64, minute: u64) -> Event {
    Event::Delete(Delete {
        event_id: EventId(id),
        revision: 0,
        event_time: Millis(START + minute * MINUTE),
        target: Target::User { user_id: UserId(USER) },
    })
}

/// An epoch a minute; an empty one follows, as what is learned of a row is asked for behind it.
fn story(turns: &[(u64, Vec<Event>)]) -> Vec<EpochInput> {
    let mut epochs = Vec::new();
    for (minute, events) in turns {
        for (n, events) in [events.clone(), Vec::new()].into_iter().enumerate() {
            let number = epochs.len() as u64 + 1;
            let origin = |offset: usize| Origin { partition: 0, offset: number * 1_000 + offset as u64 };
            epochs.push(EpochInput {
                epoch: Epoch(number),
                now: Millis(START + minute * MINUTE + n as u64 + 1),
                records: events.into_iter().enumerate().map(|(at, event)| (origin(at), event)).collect(),
                asks: Vec::new(),
                probes: Vec::new(),
                remake: Vec::new(),
            });
        }
    }
    epochs
}

/// For each row its video's offer and those passed over, in order.
fn learned(outputs: &BTreeMap<u64, EpochOutput>) -> BTreeMap<u64, (Offer, Vec<u64>)> {
    let taps = outputs.values().flat_map(|output| &output.taps);
    taps.filter_map(|tap| match tap {
        Tap::Request(request) => match request.purpose {
            Purpose::Learn(event, offer) => {
                let mut passed = request.wanted[1..].to_vec();
                passed.sort_unstable();
                Some((event, (offer, passed)))
            }
            _ => None,
        },
        _ => None,
    })
    .collect()
}

/// The weights as they were published last.
fn heads(outputs: &BTreeMap<u64, EpochOutput>) -> freshet_schema::feed::HeadsRecord {
    let stored = store(outputs);
    let newest = stored
        .keys()
        .filter_map(|key| match Key::parse(key) {
            Some(Key::Heads(version)) => Some((version, key)),
            _ => None,
        })
        .max()
        .expect("weights are published");
    match decoded(newest.1, &stored[newest.1]) {
        Value::Heads(record) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_says_who_was_passed_over() {
    let mut params = Params::default();
    params.learning.negatives = 9;
    let certain = |videos: &[u64]| videos.iter().map(|video| (*video, 1.0)).collect::<Vec<_>>();
    let told = story(&[
        (0, (1..=9).map(upload).collect()),
        (1, vec![page(1, 1, 0, &[(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5), (5, 0.01)])]),
        (2, vec![view(11, 2, 3)]),
        (3, vec![view(12, 3, 4)]),
        (4, vec![page(2, 4, 5, &certain(&[6, 7]))]),
        (5, vec![view(13, 5, 7)]),
        (6, vec![view(14, 6, 5)]),
        (7, vec![view(15, 7, 9)]),
        // What was known by then is forgotten, the pages with it.
        (8, vec![forget(90, 8)]),
        (9, vec![view(16, 9, 2)]),
        (150, vec![upload(8)]),
    ]);
    let outputs = run(&told, 1, &params);
    let offer = |weight: i64, stands_for: i64| Offer { chosen: true, placed: true, weight, stands_for };
    let expected: BTreeMap<u64, (Offer, Vec<u64>)> = [
        (11, (offer(ONE, ONE), vec![1, 2])),
        // Between the third place and the fourth nobody was passed over; chance put it there, one time in two.
        (12, (offer(2 * ONE, 0), vec![])),
        (13, (offer(ONE, ONE), vec![5, 6])),
        // No chance counts for more than four.
        (14, (offer(4 * ONE, 0), vec![])),
        // It was on neither page.
        (15, (Offer::default(), vec![])),
        (16, (Offer::default(), vec![])),
    ]
    .into();
    assert_eq!(learned(&outputs), expected);

    // Of the rows that survive the delete, one, none was on a page that is known.
    assert_eq!(heads(&outputs).placed, 0.0);
    let kept: Vec<_> = told.iter().filter(|epoch| !has_delete(epoch)).cloned().collect();
    let one = run(&kept, 1, &params);
    let placed = heads(&one).placed;
    assert!((placed - 5.0 / 6.0).abs() < 0.01, "all rows but that of the ninth video: {placed}");
    assert_eq!(heads(&run(&kept, 3, &params)), heads(&one), "3 workers");
}

fn has_delete(epoch: &EpochInput) -> bool {
    epoch.records.iter().any(|(_, event)| matches!(event, Event::Delete(_)))
}

/// Those at the top are taken up wherever a page has them; those below them are never reached. Without the pages each is one of
/// the list that somebody chose against.
#[test]
fn nobody_chose_against_what_they_did_not_get_to() {
    let params = Params::default();
    let mut turns = vec![(0, (1..=40).map(upload).collect::<Vec<_>>())];
    for sitting in 0..12 {
        let minute = 1 + sitting * 60;
        let videos: Vec<(u64, f32)> = (0..10).map(|n| (1 + (sitting * 3 + n) % 40, 1.0)).collect();
        turns.push((minute, vec![page(100 + sitting, minute, 0, &videos)]));
        for (n, (video, _)) in videos.iter().take(3).enumerate() {
            let minute = minute + 1 + n as u64;
            turns.push((minute, vec![view(1_000 + sitting * 10 + n as u64, minute, *video)]));
        }
    }
    turns.push((12 * 60 + 2 * HOUR / MINUTE, Vec::new()));
    let with = run(&story(&turns), 1, &params);
    let choices = learned(&with);
    assert_eq!(choices.len(), 36);
    assert!(choices.values().all(|(offer, passed)| offer.chosen && offer.placed && passed.is_empty()));
    for (_, events) in &mut turns {
        events.retain(|event| !matches!(event, Event::Served(_)));
    }
    let without = run(&story(&turns), 1, &params);
    assert!(learned(&without).values().all(|(offer, _)| !offer.placed));
    let of = |outputs: &BTreeMap<u64, EpochOutput>| {
        let record = heads(outputs);
        (record.placed, record.weights[0])
    };
    let ((placed, choice), (_, biased)) = (of(&with), of(&without));
    assert_eq!(placed, 1.0);
    assert!(
        choice > biased,
        "everything that was met was taken up: {choice}, and {biased} by the list alone"
    );
}
