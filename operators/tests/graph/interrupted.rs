//! The interruption matrix: a graph that begins with a checkpoint, with whatever number of workers, says from then on what an
//! uninterrupted one says, byte for byte, and a checkpoint changes nothing in the graph that it was taken of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_operators::checkpoint::{Block, Encoder, Restored, Taken, WriteFailed, definitions};
use freshet_operators::lists::Answer;
use freshet_operators::params::{Explore, HOUR, MINUTE, Params};
use freshet_operators::runtime::{Ask, Durable, EpochInput, Output, start_durable};
use freshet_schema::event::{Event, Origin, ServedItem};
use freshet_schema::hash::Slice;
use freshet_schema::{Epoch, EventId, Interaction, Millis, Served, User, UserId, VideoId, hash};
use proptest::prelude::*;

use crate::cluster::{Layout, launch};
use crate::diversity::with_diversity;
use crate::experiments::with_experiments;
use crate::harness::decoded;
use crate::neighbours;
use crate::world::{self, VIDEOS, params};

/// Changes and answers of an epoch.
#[derive(Default, PartialEq)]
struct Said {
    changes: BTreeMap<String, Option<Vec<u8>>>,
    answers: Vec<Answer>,
}

type Blocks = BTreeMap<(String, u64), Vec<(u64, Vec<u8>)>>;

/// A checkpoint in memory.
#[derive(Clone)]
struct Checkpoint {
    input: EpochInput,
    blocks: Blocks,
}

impl Checkpoint {
    fn restored(&self) -> Arc<Restored> {
        let blocks = Box::new(self.blocks.clone());
        Arc::new(Restored::open(self.input.epoch, self.input.now, blocks).expect("a checkpoint of ours"))
    }
}

/// Runs `epochs`, which follow `from`, and takes a checkpoint behind those numbers in `at`.
fn run(
    epochs: &[EpochInput],
    layout: impl Into<Layout>,
    params: &Params,
    from: Option<&Checkpoint>,
    at: &BTreeSet<u64>,
) -> (BTreeMap<u64, Said>, Vec<Checkpoint>) {
    let (taken, snapshots) = channel();
    let durable = Durable { restored: from.map(Checkpoint::restored), taken: Some(taken) };
    let layout = layout.into();
    let running = launch(layout, params, durable);
    let (job, outputs, workers) = (running.job, running.outputs, running.workers);
    for epoch in epochs {
        job.send(epoch.clone()).expect("workers live");
        if at.contains(&epoch.epoch.0) {
            job.checkpoint(epoch.epoch).expect("workers live");
        }
    }
    job.finish().expect("workers end well");
    running.others.into_iter().for_each(|other| other.join().expect("no panic").expect("it ends well"));
    let mut said: BTreeMap<u64, Said> = BTreeMap::new();
    for output in outputs {
        match output {
            Output::Changes(_, epoch, changes) => {
                let changes = changes.into_iter().map(|(key, value)| (key.to_string(), value));
                said.entry(epoch.0).or_default().changes.extend(changes);
            }
            Output::Answers(_, epoch, answers) => {
                let known = &mut said.entry(epoch.0).or_default().answers;
                known.extend(answers);
                known.sort_by_key(|answer| answer.user);
            }
            _ => {}
        }
    }
    // Encoded when all later epochs are over: what was taken must not have moved since.
    let mut encoders: BTreeMap<u64, (Encoder, Blocks, BTreeSet<String>, usize)> = BTreeMap::new();
    let fresh = || (Encoder::of_process(0, layout.0), Blocks::new(), BTreeSet::new(), 0);
    for taken in snapshots {
        match taken {
            Taken::Cut(epoch, snapshot) => {
                let (encoder, blocks, names, _) = encoders.entry(epoch.0).or_insert_with(fresh);
                names.insert(snapshot.cut.to_owned());
                encoder.encode(snapshot, &mut |block| keep(blocks, block)).expect("memory takes it");
            }
            Taken::Block(epoch, block) => {
                let (_, blocks, ..) = encoders.entry(epoch.0).or_insert_with(fresh);
                keep(blocks, block).expect("memory takes it");
            }
            Taken::Worker(epoch, ..) => encoders.entry(epoch.0).or_insert_with(fresh).3 += 1,
        }
    }
    let mut checkpoints = Vec::new();
    for (epoch, (encoder, mut blocks, mut names, complete)) in encoders {
        assert_eq!(complete, workers, "a worker did not take the checkpoint of epoch {epoch}");
        names.insert("contents".to_owned());
        let defined: BTreeSet<String> = definitions(params).iter().map(|d| d.name.to_owned()).collect();
        assert_eq!(names, defined, "the cuts of the graph are those that are defined");
        encoder.finish(&mut |block| keep(&mut blocks, block)).expect("memory takes it");
        let input = epochs.iter().find(|input| input.epoch.0 == epoch).expect("it was sent").clone();
        checkpoints.push(Checkpoint { input, blocks });
    }
    (said, checkpoints)
}

fn keep(blocks: &mut Blocks, block: Block) -> Result<(), WriteFailed> {
    blocks.entry((block.cut.to_owned(), block.shard)).or_default().push((block.rows, block.bytes));
    Ok(())
}

fn compare(expected: &BTreeMap<u64, Said>, found: &BTreeMap<u64, Said>, after: u64, how: &str) {
    let nothing = Said::default();
    let epochs: BTreeSet<u64> = expected.keys().chain(found.keys()).copied().filter(|e| *e > after).collect();
    for epoch in epochs {
        let (a, b) = (expected.get(&epoch).unwrap_or(&nothing), found.get(&epoch).unwrap_or(&nothing));
        let keys: BTreeSet<&String> = a.changes.keys().chain(b.changes.keys()).collect();
        for key in keys {
            let show =
                |said: &Said| said.changes.get(key).map(|v| v.as_ref().map(|bytes| decoded(key, bytes)));
            assert!(
                a.changes.get(key) == b.changes.get(key),
                "{how}: {key} in epoch {epoch}\n uninterrupted: {:?}\n restored:      {:?}",
                show(a),
                show(b)
            );
        }
        assert!(a.answers == b.answers, "{how}: answers of epoch {epoch}");
    }
}

/// The steps of a world with profiles, pages that were served and questions that change nothing.
pub fn with_pages(mut epochs: Vec<EpochInput>, seed: u64) -> Vec<EpochInput> {
    for input in &mut epochs {
        let n = input.epoch.0;
        let draw = |part: u64, below: u64| hash::mix(seed, &[n, part]) % below;
        if draw(0, 2) == 0 {
            // Half of the places were drawn evenly from a few, and some say so as no release does.
            let item = |position| {
                let own = |part: u64, below: u64| draw(u64::from(position) + part, below);
                let (drawn, from) = (own(20, 2) == 0, 1 + own(30, 5));
                let policy = ["novelty", "novelty", "popular", "explore", "cohort"][own(40, 5) as usize];
                ServedItem {
                    video_id: VideoId(1 + own(10, VIDEOS)),
                    position,
                    propensity: if drawn { 1.0 / from as f32 } else { 1.0 },
                    slot_policy: if drawn { policy } else { "rank" }.to_owned(),
                    drawn: if drawn { own(50, from + 1) as u32 } else { 0 },
                }
            };
            let page = Served {
                event_id: EventId(1_000_000 + n),
                event_time: Millis(input.now.0 - draw(1, 20 * MINUTE)),
                user_id: UserId(1 + draw(2, 6)),
                list_epoch: Epoch(draw(60, 4)),
                items: (0..4).map(item).collect(),
                ..Served::default()
            };
            if draw(61, 2) == 0 {
                // Something of it is watched to the end.
                let taken = Interaction {
                    event_id: EventId(4_000_000 + n),
                    event_time: Millis(input.now.0.min(page.event_time.0 + draw(62, 20 * MINUTE))),
                    user_id: page.user_id,
                    video_id: page.items[draw(63, 4) as usize].video_id,
                    watch_ms: Some(10_000),
                    duration_ms: Some(10_000),
                    ..Interaction::default()
                };
                input.records.push((Origin { partition: 6, offset: n }, Event::Interaction(taken)));
            }
            input.records.push((Origin { partition: 3, offset: n }, Event::Served(page)));
        }
        if draw(4, 3) == 0 {
            let profile = User {
                event_id: EventId(2_000_000 + n),
                event_time: input.now,
                user_id: UserId(1 + draw(5, 6)),
                country: Some(format!("C{}", draw(6, 3))),
                preferences: if draw(7, 2) == 0 { vec!["tag1".to_owned()] } else { Vec::new() },
                ..User::default()
            };
            input.records.push((Origin { partition: 4, offset: n }, Event::User(profile)));
        }
        if draw(8, 3) == 0 {
            // What only the store and the stages have is written again.
            input.remake = (0..hash::SHARDS).map(|shard| Slice { shard, part: 0, parts: 1 }).collect();
        }
        input.asks = vec![Ask { user: UserId(1 + draw(3, 6)), offered: false }];
    }
    epochs
}

/// Crashes behind each of `at`, on workers in turn as `workers` says; each run goes on for a while behind its checkpoint, and what
/// it says there is lost.
pub fn interrupt<L: Into<Layout> + Copy + std::fmt::Debug>(
    epochs: &[EpochInput],
    params: &Params,
    at: &[u64],
    workers: &[L],
) {
    let (expected, _) = run(epochs, 1, params, None, &BTreeSet::new());
    let mut from: Option<Checkpoint> = None;
    let mut begun = 0;
    let ends = at.iter().map(|at| Some(*at)).chain([None]);
    for (n, (end, workers)) in ends.zip(workers.iter().cycle()).enumerate() {
        let rest: Vec<EpochInput> = epochs.iter().filter(|input| input.epoch.0 > begun).cloned().collect();
        if let Some(from) = &from {
            // What is only restored says nothing. (Starts that die while they restore: pipeline/tests/failpoints.rs.)
            let none = run(&[], *workers, params, Some(from), &BTreeSet::new());
            assert!(none.0.is_empty(), "a restored graph says something of its own");
        }
        let (said, mut checkpoints) = run(&rest, *workers, params, from.as_ref(), &end.into_iter().collect());
        let how = format!("run {n} on {workers:?} workers from epoch {begun}");
        compare(&expected, &said, begun, &how);
        if let Some(end) = end {
            from = checkpoints.pop();
            assert_eq!(checkpoints.len(), 0);
            begun = end;
        }
    }
}

/// Publications and pools at different times, both often.
fn busy() -> Params {
    let mut params = params();
    params.score.publish_every = 20 * MINUTE;
    params.feed.pools_every = 30 * MINUTE;
    params.related.per_publication = 64;
    params.learning.window = 48 * HOUR;
    let params = world::with_stages(world::with_abuse(params), Explore::Linucb);
    with_diversity(with_experiments(params))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Small worlds where everything meets everything, crashed once.
    #[test]
    fn a_restored_graph_goes_on_as_if_nothing_had_happened(
        steps in world::steps(),
        cut in any::<prop::sample::Index>(),
        (before, after) in prop_oneof![Just((1, 2)), Just((2, 1)), Just((2, 3)), Just((3, 1)), Just((1, 1))],
        seed in any::<u64>(),
        often in any::<bool>(),
    ) {
        let epochs = with_pages(world::epochs(&steps), seed);
        let at = 1 + cut.index(epochs.len()) as u64;
        let params = if often { busy() } else { params() };
        interrupt(&epochs, &params, &[at], &[before, after]);
    }

    /// The same where lists are not stored but asked for, and where nothing is learned.
    #[test]
    fn it_does_without_lists_and_without_learning(
        steps in world::steps(),
        cut in any::<prop::sample::Index>(),
        lists in any::<bool>(),
        learns in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut epochs = with_pages(world::epochs(&steps), seed);
        epochs.iter_mut().flat_map(|input| &mut input.asks).for_each(|ask| ask.offered = !lists);
        let at = 1 + cut.index(epochs.len()) as u64;
        let mut params = busy();
        params.feed.enabled = lists;
        params.learning.enabled = learns;
        params.exploration.policy = if learns { Explore::EpsilonGreedy } else { Explore::Random };
        params.candidates.similar = if learns { 2 } else { 0 };
        interrupt(&epochs, &params, &[at], &[2, 1]);
    }
}

/// A larger world with a trained index, an embedding space of its own, take-downs and deletes: crashed at every step, and begun again
/// there with every other number of workers.
#[test]
fn wherever_it_is_crashed() {
    let epochs = with_pages(neighbours::world(3, 22), 3);
    let mut params = world::with_stages(neighbours::trained(), Explore::Linucb);
    params.feed.pools_every = 3 * MINUTE;
    let steps: BTreeSet<u64> = (1..22).collect();
    let (expected, _) = run(&epochs, 1, &params, None, &BTreeSet::new());
    let mut cells = 0;
    for (before, afters) in [(1, &[2][..]), (2, &[1, 3]), (3, &[1])] {
        // One run that goes on behind each of its checkpoints says what a run says that was crashed there.
        let (said, checkpoints) = run(&epochs, before, &params, None, &steps);
        compare(&expected, &said, 0, &format!("{before} workers, with a checkpoint at each step"));
        for (checkpoint, after) in
            checkpoints.iter().flat_map(|c| afters.iter().map(move |after| (c, *after)))
        {
            let at = checkpoint.input.epoch.0;
            let rest: Vec<EpochInput> = epochs.iter().filter(|input| input.epoch.0 > at).cloned().collect();
            let (said, _) = run(&rest, after, &params, Some(checkpoint), &BTreeSet::new());
            compare(
                &expected,
                &said,
                at,
                &format!("crashed at epoch {at}, {before} workers and then {after}"),
            );
            cells += 1;
        }
    }
    assert_eq!(cells, 21 * 4, "the whole matrix");
}

#[test]
fn crashed_again_and_again() {
    let epochs = with_pages(neighbours::world(8, 26), 8);
    let mut params = world::with_cohorts(neighbours::trained());
    params.feed.pools_every = 3 * MINUTE;
    interrupt(&epochs, &params, &[4, 5, 11, 12, 20], &[1, 2, 3, 2, 1, 3]);
    interrupt(&epochs, &params, &[9, 18], &[2, 3, 1]);
}

/// Over processes and workers in all directions; a checkpoint in several processes, and the restart of others from it.
#[test]
fn on_other_processes() {
    let epochs = with_pages(neighbours::world(4, 24), 4);
    let mut params = world::with_exploration(with_experiments(neighbours::trained()), Explore::Linucb);
    params.feed.pools_every = 3 * MINUTE;
    interrupt(&epochs, &params, &[5, 11, 12, 18], &[(1, 2), (2, 1), (2, 2), (3, 1), (1, 1)]);
    interrupt(&epochs, &params, &[8, 16], &[(2, 2), (1, 3), (2, 1)]);
}

/// The matrix can fail: without any one cut a restored graph goes wrong somewhere.
#[test]
fn every_cut_matters() {
    let mut epochs = with_pages(neighbours::world(5, 22), 5);
    // Skip thresholds are read from a hundred views on.
    let now = epochs[6].now;
    epochs[6].records.extend((0..150).map(|n| {
        let view = Interaction {
            event_id: EventId(3_000_000 + n),
            event_time: now,
            user_id: UserId(1 + n % 5),
            video_id: VideoId(1 + n % 70),
            watch_ms: Some(n * 37 % 4000),
            duration_ms: Some(10_000),
            ..Interaction::default()
        };
        (Origin { partition: 5, offset: n }, Event::Interaction(view))
    }));
    let mut params = world::with_cohorts(neighbours::trained());
    params.feed.pools_every = 3 * MINUTE;
    let at: BTreeSet<u64> = (2..22).collect();
    let (expected, checkpoints) = run(&epochs, 1, &params, None, &at);
    for definition in definitions(&params) {
        // The first is read by taps alone, the second keeps nothing.
        if ["recent_sums", "related_records"].contains(&definition.name) {
            continue;
        }
        let goes_wrong = |checkpoint: &Checkpoint| {
            let mut without = checkpoint.clone();
            let before = without.blocks.len();
            without.blocks.retain(|(cut, _), _| cut != definition.name);
            if without.blocks.len() == before {
                return false;
            }
            let (taken, _snapshots) = channel();
            let durable = Durable { restored: Some(without.restored()), taken: Some(taken) };
            if start_durable(1, &params, false, durable).is_err() {
                return true;
            }
            let begun = checkpoint.input.epoch.0;
            let rest: Vec<EpochInput> =
                epochs.iter().filter(|input| input.epoch.0 > begun).cloned().collect();
            let (said, _) = run(&rest, 1, &params, Some(&without), &BTreeSet::new());
            let same = |epoch: u64| expected.get(&epoch) == said.get(&epoch);
            !(begun + 1..=epochs.len() as u64).all(same)
        };
        // From the middle on, where there is most to miss.
        let order = checkpoints.iter().skip(8).chain(checkpoints.iter().take(8));
        assert!(order.into_iter().any(goes_wrong), "{} is not missed", definition.name);
    }
}
