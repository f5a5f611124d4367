//! What a look shows is the state as of its epoch: whatever is sent behind it, however late it is read, with any number of
//! workers; and it leaves no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use differential_dataflow::difference::Semigroup;
use freshet_operators::history::expiry;
use freshet_operators::look::{Kind, Look, Looked, Record, SuspectLook, Wanted};
use freshet_operators::params::Params;
use freshet_operators::runtime::{EpochInput, Output, start};
use freshet_operators::sums::{Span, Sums, WindowSums};
use freshet_operators::windows::{ALL_TIME, WINDOWS};
use proptest::prelude::*;

use crate::harness::{first_difference, run, store};
use crate::world;

const KINDS: [Kind; 11] = [
    Kind::Videos,
    Kind::People,
    Kind::RecentSums,
    Kind::LastingSums,
    Kind::Standings,
    Kind::Pairs,
    Kind::Creators,
    Kind::Published,
    Kind::Pools,
    Kind::SuspectUsers,
    Kind::SuspectVideos,
];

/// Of the kinds that have keys, these are looked up by themselves.
const KEYS: [u64; 4] = [1, 2, 5, 1_000];
const KEYED: [Kind; 5] = [Kind::Videos, Kind::People, Kind::RecentSums, Kind::LastingSums, Kind::Standings];

/// What one look has shown.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    epoch: u64,
    now: u64,
    /// By kind, the records as text, sorted: their order is nobody's business.
    records: Vec<Vec<String>>,
    /// The windows' sums as the graph has them, and as the rows add up.
    sums: BTreeMap<(u64, Span), WindowSums>,
    counted: BTreeMap<(u64, Span), WindowSums>,
    /// The keys of the records, by kind.
    keys: Vec<BTreeSet<u64>>,
}

fn key(record: &Record<'_>) -> Option<u64> {
    match record {
        Record::Video(video) => Some(video.content.video),
        Record::Person(person) => Some(person.user),
        Record::Sums(video, ..) => Some(*video),
        Record::Standing(standing) => Some(standing.video),
        Record::Pair(pair) => Some(pair.seed),
        Record::Creator(creator, ..) => Some(*creator),
        Record::Suspect(SuspectLook::User(id, ..) | SuspectLook::Video(id, ..)) => Some(*id),
        Record::Published(_) | Record::Pool(..) | Record::Size(..) => None,
    }
}

fn text(record: &Record<'_>) -> String {
    match record {
        Record::Person(person) => format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            person.user,
            person.rows(),
            person.profile,
            person.follows(),
            person.listed,
            person.interest()
        ),
        // Weights and directions are compared where they are made.
        Record::Published(published) => format!("{} {:?}", published.version, published.cohorts),
        other => format!("{other:?}"),
    }
}

/// Adds up what a row counts in, by the rule that the windows go by.
fn count(row: &freshet_operators::row::Row, now: u64, counted: &mut BTreeMap<(u64, Span), WindowSums>) {
    let video = row.content.video;
    let in_window = WINDOWS.iter().filter(|(window, bucket, ..)| expiry(row.time, *window, *bucket) > now);
    for (span, place) in in_window.map(|(.., span, place)| (*span, *place)).chain([ALL_TIME]) {
        counted.entry((video, span)).or_default().0[place].plus_equals(&Sums::of(row));
    }
}

/// Reads what `workers` workers answered.
fn shown(answers: &Receiver<Looked>, workers: usize) -> Shown {
    let mut shown = Shown::default();
    let mut records: Vec<Vec<String>> = vec![Vec::new(); KINDS.len() + KEYED.len()];
    let mut keys: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); records.len()];
    for number in 0..workers {
        let looked = answers.recv().expect("each worker answers");
        if number > 0 {
            assert_eq!((looked.epoch, looked.now), (shown.epoch, shown.now), "all workers look at one epoch");
        }
        (shown.epoch, shown.now) = (looked.epoch, looked.now);
        for (kind, rows) in looked.records.into_iter().enumerate() {
            rows(&mut |record| {
                records[kind].push(text(&record));
                keys[kind].extend(key(&record));
                if kind < KINDS.len() {
                    if let Record::Sums(video, span, sums) = record {
                        assert_eq!(shown.sums.insert((video, span), *sums), None, "a sum is shown once");
                    }
                    if let Record::Person(person) = record {
                        person.rows().iter().for_each(|row| count(row, looked.now, &mut shown.counted));
                    }
                }
                true
            });
        }
    }
    records.iter_mut().for_each(|records| records.sort());
    (shown.records, shown.keys) = (records, keys);
    shown
}

/// Runs the epochs, looks behind each, and reads all looks when the last epoch is over.
fn look_at(
    epochs: &[EpochInput],
    workers: usize,
    params: &Params,
) -> (Vec<Shown>, BTreeMap<String, Vec<u8>>) {
    let (job, outputs) = start(workers, params, false).expect("workers start");
    let looker = job.looker().expect("one process has all of the state");
    let mut answers = Vec::new();
    let all = KINDS.map(|kind| Wanted { kind, keys: None });
    let some = KEYED.map(|kind| Wanted { kind, keys: Some(Arc::from(KEYS)) });
    for epoch in epochs {
        job.send(epoch.clone()).expect("workers live");
        let (to, looked) = channel();
        let look =
            Arc::new(Look::new(all.iter().chain(&some).cloned().collect(), to, Some(Box::new(|_| {}))));
        looker.look(&look).expect("workers live");
        answers.push(looked);
    }
    job.finish().expect("workers end well");
    assert!(looker.look(&Arc::new(Look::new(Vec::new(), channel().0, None))).is_err(), "the graph has ended");
    let mut stored = BTreeMap::new();
    let mut passed = 0;
    for output in outputs {
        match output {
            Output::Changes(_, _, changes) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => drop(stored.insert(key.to_string(), value)),
                        None => drop(stored.remove(&key.to_string())),
                    }
                }
            }
            Output::Looked(look, epoch) => {
                look.passed(epoch.0);
                passed += 1;
            }
            _ => {}
        }
    }
    assert_eq!(passed, epochs.len() * workers);
    (answers.iter().map(|answers| shown(answers, workers)).collect(), stored)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_look_shows_its_epoch_with_any_number_of_workers_and_leaves_no_trace(steps in world::steps()) {
        let (params, epochs) = (world::params(), world::epochs(&steps));
        let (one, stored) = look_at(&epochs, 1, &params);
        for (shown, epoch) in one.iter().zip(&epochs) {
            prop_assert_eq!(shown.epoch, epoch.epoch.0);
            prop_assert_eq!(&shown.sums, &shown.counted, "sums and rows of one look agree, at {}", shown.epoch);
            for (at, kind) in KEYED.iter().enumerate() {
                let whole = KINDS.iter().position(|known| known == kind).expect("it is one of them");
                let (all, some) = (&shown.records[whole], &shown.records[KINDS.len() + at]);
                prop_assert!(some.iter().all(|record| all.contains(record)), "{:?}: looked up, but not there", kind);
                let wanted: BTreeSet<u64> = shown.keys[whole].iter().copied().filter(|k| KEYS.contains(k)).collect();
                prop_assert_eq!(&shown.keys[KINDS.len() + at], &wanted, "{:?}: these keys and no others", kind);
            }
        }
        for workers in [2, 3] {
            let (several, bytes) = look_at(&epochs, workers, &params);
            for (a, b) in one.iter().zip(&several) {
                prop_assert_eq!(a, b, "{} workers, epoch {}", workers, a.epoch);
            }
            prop_assert_eq!(first_difference(&stored, &bytes), None);
        }
        prop_assert_eq!(first_difference(&store(&run(&epochs, 1, &params)), &stored), None, "looked at or not");
    }
}

#[test]
fn before_the_first_epoch_a_look_shows_nothing() {
    let (job, _outputs) = start(2, &world::params(), false).expect("workers start");
    let (to, answers) = channel();
    let look = Arc::new(Look::new(vec![Wanted { kind: Kind::People, keys: None }], to, None));
    job.looker().expect("one process has all of the state").look(&look).expect("workers live");
    for _ in 0..2 {
        let looked = answers.recv().expect("each worker answers");
        assert_eq!((looked.epoch, looked.now), (0, 0));
        for records in looked.records {
            records(&mut |_| panic!("there is nobody"));
        }
    }
    job.finish().expect("workers end well");
}
