//! Epochs: where they end, that a restart gives the same ones, and what is refused.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use freshet_schema::dead_letter::{DeadLetter, Reason, Stage};
use freshet_schema::{Epoch, EventKind, Millis};
use freshet_sources::epochs::{
    Batch, Binding, Clock, EpochSource, LiveClock, Phase, Record, SourceConfig, SourceError, Step,
};
use proptest::prelude::*;

/// 2020-09-13, on a boundary of the test's epochs.
const T0: u64 = 1_600_000_000_000;
const WIDTH: u64 = 1000;

/// A clock that stands still until it is turned.
#[derive(Clone)]
struct Hand(Arc<[AtomicU64; 2]>);

impl Hand {
    fn at(wall: u64) -> Self {
        Self(Arc::new([AtomicU64::new(wall), AtomicU64::new(0)]))
    }
    fn pass(&self, ms: u64) {
        self.0.iter().for_each(|c| {
            c.fetch_add(ms, Ordering::Relaxed);
        });
    }
}

impl Clock for Hand {
    fn wall(&self) -> Millis {
        Millis(self.0[0].load(Ordering::Relaxed))
    }
    fn elapsed_ms(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}

struct World {
    dir: tempfile::TempDir,
    hand: Hand,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), hand: Hand::at(T0 + 10_000_000) }
    }
    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }
    fn append(&self, name: &str, text: &str) {
        let path = self.log().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }
    fn config(&self, follow: bool) -> SourceConfig {
        SourceConfig { follow, replay_epoch_ms: WIDTH, ..SourceConfig::new(self.log(), self.journal()) }
    }
    fn try_open(&self, config: SourceConfig) -> Result<EpochSource, SourceError> {
        EpochSource::open_with_clock(config, Box::new(self.hand.clone()))
    }
    fn open(&self, follow: bool) -> EpochSource {
        self.try_open(self.config(follow)).unwrap()
    }
    /// A finite run from the journal's beginning to the end of the log.
    fn run(&self) -> Vec<Cut> {
        rest(&mut self.open(false))
    }
}

/// What must be the same in every run: a batch without its stopwatch.
type Cut = (Binding, Vec<Record>, Vec<DeadLetter>, u64);

fn cut(batch: Batch) -> Cut {
    (batch.binding, batch.records, batch.dead_letters, batch.bytes)
}

/// All epochs up to the first idle moment or the end.
fn rest(source: &mut EpochSource) -> Vec<Cut> {
    let mut cuts = Vec::new();
    while let Step::Batch(batch) = source.next().unwrap() {
        cuts.push(cut(batch));
    }
    cuts
}

fn error(source: &mut EpochSource) -> SourceError {
    loop {
        match source.next() {
            Ok(Step::Batch(_)) => {}
            Ok(other) => panic!("no error, but {other:?}"),
            Err(e) => return e,
        }
    }
}

/// An interaction `at` milliseconds after T0.
fn view(id: u64, at: u64) -> String {
    format!("{{\"event_id\":{id},\"event_time\":{},\"user_id\":1,\"video_id\":2}}\n", T0 + at)
}

fn ids(cut: &Cut) -> Vec<u64> {
    cut.1.iter().map(|r| r.event.event_id().0).collect()
}

fn summary(cuts: &[Cut]) -> Vec<(u64, Vec<u64>)> {
    cuts.iter().map(|c| (c.0.now.0 - T0, ids(c))).collect()
}

const A: &str = "interactions/part-a.jsonl";
const B: &str = "interactions/part-b.jsonl";

#[test]
fn an_epoch_holds_a_bucket_of_event_time_over_all_partitions() {
    let world = World::new();
    world.append(A, &[view(1, 0), view(2, 999), view(3, 1000), view(4, 7500)].concat());
    world.append(B, &[view(5, 500), view(6, 7999), view(7, 8000)].concat());
    let cuts = world.run();
    let expected = [(1000, vec![1, 2, 5]), (2000, vec![3]), (8000, vec![4, 6]), (9000, vec![7])].to_vec();
    assert_eq!(summary(&cuts), expected);
    assert_eq!(cuts.iter().map(|c| c.0.epoch.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(cuts[1].0.positions.len(), 1, "only what moved");
    // The second file has reached 500 and not more when the second epoch closes.
    assert_eq!(cuts[1].0.watermark, Millis(T0 + 500));
    assert!(cuts.windows(2).all(|w| w[0].0.watermark <= w[1].0.watermark));
}

#[test]
fn a_late_record_goes_where_its_partition_has_come_to() {
    let world = World::new();
    world.append(A, &[view(1, 0), view(2, 3100), view(3, 200), view(4, 3000), view(5, 4000)].concat());
    world.append(B, &view(6, 1500));
    let expected = [(1000, vec![1]), (2000, vec![6]), (4000, vec![2, 3, 4]), (5000, vec![5])].to_vec();
    assert_eq!(summary(&world.run()), expected);
}

#[test]
fn splitting_a_log_into_files_moves_no_boundary() {
    let lines: Vec<String> = (0..200).map(|i| view(i, i * i * 7 % 97 + i * 61)).collect();
    let mut lines = lines;
    lines.sort_by_key(|l| l.split(':').nth(2).map(str::to_owned));
    let content = |parts: usize| {
        let world = World::new();
        for (i, line) in lines.iter().enumerate() {
            world.append(&format!("interactions/part-{}.jsonl", i * 31 % parts), line);
        }
        let mut cuts = summary(&world.run());
        cuts.iter_mut().for_each(|(_, ids)| ids.sort_unstable());
        cuts
    };
    let one = content(1);
    assert!(one.len() > 5);
    assert_eq!(content(2), one);
    assert_eq!(content(5), one);
}

#[test]
fn refused_records_move_no_clock() {
    let world = World::new();
    let far = 4_102_444_800_000 - T0; // 2100-01-01
    world.append(
        A,
        &["not json\n".to_owned(), view(1, 0), view(2, far), "{}\n".to_owned(), view(3, 10)].concat(),
    );
    world.append(A, "{\"event_id\":4,\"event_time\":5,\"user_id\":1,\"video_id\":2}\n");
    world.append(B, &view(5, 2000));
    let cuts = world.run();
    assert_eq!(summary(&cuts), [(1000, vec![1, 3]), (3000, vec![5])]);
    let reasons: Vec<_> = cuts[0].2.iter().map(|d| (d.stage, d.reason)).collect();
    let expected = [
        (Stage::Decode, Reason::NotJson),
        (Stage::Clock, Reason::TooFarAhead),
        (Stage::Decode, Reason::MissingField),
        (Stage::Clock, Reason::TooOld),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(cuts[0].2[1].raw, view(2, far).trim_end());
}

#[test]
fn a_log_of_refused_records_only_is_one_epoch() {
    let world = World::new();
    world.append(A, "x\ny\n");
    let cuts = world.run();
    assert_eq!(cuts.len(), 1);
    assert_eq!((cuts[0].1.len(), cuts[0].2.len()), (0, 2));
    assert_eq!(world.run(), cuts);
}

#[test]
fn a_torn_journal_gives_the_same_epochs() {
    let world = World::new();
    world.append(A, &(0..50).map(|i| view(i, i * 400)).collect::<String>());
    let cuts = world.run();
    let journal = fs::read(world.journal()).unwrap();
    for length in [0, 5, 11, 12, 40, journal.len() / 2, journal.len() - 1] {
        fs::write(world.journal(), &journal[..length]).unwrap();
        assert_eq!(world.run(), cuts, "journal cut to {length}");
        assert_eq!(fs::read(world.journal()).unwrap(), journal);
    }
}

#[test]
fn changed_settings_and_missing_files_are_refused_with_a_remedy() {
    let world = World::new();
    world.append(A, &view(1, 0));
    world.append(B, &view(2, 0));
    world.run();
    let refusal = |change: fn(&mut SourceConfig)| {
        let mut config = world.config(false);
        change(&mut config);
        world.try_open(config).err().expect("refused").to_string()
    };
    for (key, message) in [
        ("replay_epoch_ms", refusal(|c| c.replay_epoch_ms = 5)),
        ("min_event_time", refusal(|c| c.min_event_time = Millis(5))),
        ("max_event_time", refusal(|c| c.max_event_time = Some(Millis(u64::MAX)))),
        ("max_future_skew_ms", refusal(|c| c.max_future_skew_ms = 5)),
        ("limits", refusal(|c| c.limits.caption_bytes = 5)),
    ] {
        assert!(message.contains(key) && message.contains("new journal"), "{message}");
    }
    assert!(refusal(|c| c.tick_ms = 1).contains("tick_ms = 1"));
    assert!(refusal(|c| c.epoch_ms = 0).contains("epoch_ms = 0"));
    fs::remove_file(world.log().join(B)).unwrap();
    let message = refusal(|_| ());
    assert!(message.contains("part-b.jsonl") && message.contains("put it back"), "{message}");
}

#[test]
fn a_changed_or_truncated_prefix_is_an_error() {
    let world = World::new();
    world.append(A, &(0..9).map(|i| view(i, i * 1000)).collect::<String>());
    world.run();
    let path = world.log().join(A);
    let whole = fs::read_to_string(&path).unwrap();
    for changed in [
        whole.replacen("\"user_id\":1", "\"user_id\":3", 1),
        whole[..whole.len() - 10].to_owned(),
        whole.replacen('{', " {", 1),
        String::new(),
    ] {
        fs::write(&path, changed).unwrap();
        let message = error(&mut world.open(false)).to_string();
        assert!(message.contains("part-a.jsonl") && message.contains("offset"), "{message}");
        assert!(message.contains("put the file back"), "{message}");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(world.run().len(), 9);
}

#[test]
fn what_is_appended_later_joins_the_first_open_bucket() {
    let world = World::new();
    // The last line has no newline: in a finished file it is a record, and stays one when the file goes on.
    world.append(A, view(1, 5500).trim_end());
    let first = world.run();
    assert_eq!(summary(&first), [(6000, vec![1])]);
    world.append(A, &["\n".to_owned(), view(2, 100), view(3, 9000)].concat());
    world.append(B, &view(4, 200));
    let second = world.run();
    assert_eq!(second[0], first[0]);
    assert_eq!(summary(&second[1..]), [(7000, vec![2, 4]), (10_000, vec![3])]);
    assert_eq!(world.run(), second);
}

#[test]
fn a_followed_log_goes_on_where_the_replay_ended() {
    let world = World::new();
    world.append(A, &[view(1, 0), view(2, 1500)].concat());
    let mut source = world.open(true);
    let mut cuts = rest(&mut source);
    assert_eq!(summary(&cuts), [(1000, vec![1]), (2000, vec![2])]);
    assert_eq!(source.progress().phase, Phase::Live);
    let wall = world.hand.wall();
    assert_eq!(source.clock().at(wall), Millis(T0 + 2000));

    // Half a line is none.
    let line = view(3, 2100);
    world.append(A, &line[..20]);
    world.hand.pass(100);
    assert_eq!(rest(&mut source), []);
    world.append(A, &line[20..]);
    world.hand.pass(100);
    let more = rest(&mut source);
    assert_eq!(summary(&more), [(2200, vec![3])]);
    assert!(more[0].0.live);
    cuts.extend(more);

    // A quiet log ticks once a second, so that windows expire.
    world.hand.pass(999);
    assert_eq!(rest(&mut source), []);
    world.hand.pass(5);
    cuts.extend(rest(&mut source));
    assert_eq!(summary(&cuts[3..]), [(3204, vec![])]);

    // A new file gets the next number, whatever its name; what lies beyond the skew is refused.
    world.append("users/part-0.jsonl", &format!("{{\"event_id\":9,\"event_time\":{},\"user_id\":1}}\n", T0));
    world.append(A, &view(5, 900_000));
    world.hand.pass(1000);
    cuts.extend(rest(&mut source));
    let last = cuts.last().unwrap();
    assert_eq!((ids(last), last.1[0].origin.partition), (vec![9], 1));
    assert_eq!((last.2[0].reason, last.2[0].stage), (Reason::TooFarAhead, Stage::Clock));
    assert_eq!(source.partitions().collect::<Vec<_>>(), [A, "users/part-0.jsonl"]);

    // A restart gives the very same epochs, and goes on from there.
    drop(source);
    let mut source = world.open(true);
    assert_eq!(rest(&mut source), cuts);
    world.append(A, &view(6, 4300));
    world.hand.pass(100);
    assert_eq!(summary(&rest(&mut source)), [(4304, vec![6])]);
    drop(source);
    // A finite run over a log that was live reads what is there and ends.
    world.append(A, &view(7, 4300));
    let mut source = world.open(false);
    assert_eq!(ids(rest(&mut source).last().unwrap()), [7]);
    assert!(matches!(source.next().unwrap(), Step::Drained));
}

#[test]
fn after_a_pause_the_clock_catches_up_in_steps_and_refuses_nothing() {
    let world = World::new();
    world.append(A, &view(1, 0));
    drop(rest(&mut world.open(true)));
    // Three hours pass; meanwhile somebody appends.
    world.hand.pass(3 * 3_600_000);
    world.append(A, &[view(2, 61_000), view(3, 7_200_000)].concat());
    let mut source = world.open(true);
    let cuts = rest(&mut source);
    assert!(cuts.iter().all(|c| c.2.is_empty()), "nothing is refused");
    let steps = cuts.windows(2).map(|w| w[1].0.now.0 - w[0].0.now.0).max().unwrap();
    assert_eq!(steps, 60_000);
    let behind = T0 + 1000 + 3 * 3_600_000 - cuts.last().unwrap().0.now.0;
    assert!(behind <= 60_000, "the last step is an ordinary tick: {behind} ms behind");
    let found: Vec<_> = summary(&cuts).into_iter().filter(|(_, ids)| !ids.is_empty()).collect();
    assert_eq!(found, [(1000, vec![1]), (61_000, vec![2]), (7_201_000, vec![3])]);
}

#[test]
fn an_empty_log_can_be_followed_but_not_read_to_its_end() {
    let world = World::new();
    fs::create_dir(world.log()).unwrap();
    assert!(matches!(world.try_open(world.config(false)), Err(SourceError::Log(_))));
    let mut source = world.open(true);
    assert_eq!(rest(&mut source), []);
    world.append(A, &view(1, 10_000_000));
    world.hand.pass(1000);
    let cuts = rest(&mut source);
    assert_eq!(ids(&cuts[0]), [1]);
    assert_eq!(cuts[0].0.now, world.hand.wall());
    assert!(cuts[0].0.epoch == Epoch(1) && cuts[0].0.live);
}

#[test]
fn a_truncated_file_ends_a_live_source() {
    let world = World::new();
    world.append(A, &view(1, 0));
    let mut source = world.open(true);
    rest(&mut source);
    OpenOptions::new().write(true).open(world.log().join(A)).unwrap().set_len(10).unwrap();
    world.hand.pass(100);
    let message = error(&mut source).to_string();
    assert!(message.contains("truncated") && message.contains("part-a.jsonl"), "{message}");
}

#[test]
fn a_live_epoch_is_bounded_and_the_rest_follows_at_once() {
    let world = World::new();
    world.append(A, &view(0, 0));
    let mut source = world.try_open(SourceConfig { max_epoch_records: 10, ..world.config(true) }).unwrap();
    rest(&mut source);
    world.append(A, &(1..26).map(|i| view(i, 500)).collect::<String>());
    world.hand.pass(60);
    let sizes: Vec<_> = rest(&mut source).iter().map(|c| c.1.len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

#[test]
fn a_live_epoch_is_bounded_in_bytes_too() {
    let world = World::new();
    world.append(A, &(0..10).map(|id| view(id, id)).collect::<String>());
    let bytes = view(0, 0).len() as u64;
    let bounded = SourceConfig { max_epoch_bytes: 3 * bytes, ..world.config(true) };
    let mut source = world.try_open(bounded).unwrap();
    // The replay is cut by event time alone; what comes later is bounded.
    assert_eq!(summary(&rest(&mut source)), [(1000, (0..10).collect())]);
    world.append(A, &(10..20).map(|id| view(id, 1000)).collect::<String>());
    world.hand.pass(100);
    let sizes: Vec<usize> = rest(&mut source).iter().map(|cut| cut.1.len()).filter(|n| *n > 0).collect();
    assert!(
        sizes.len() >= 3 && sizes.iter().all(|n| *n <= 4) && sizes.iter().sum::<usize>() == 10,
        "{sizes:?}"
    );
}

/// An upload of some 10 KB.
fn upload(id: u64) -> String {
    format!(
        "{{\"event_id\":{id},\"event_time\":{at},\"video_id\":{id},\"creator_id\":1,\"created_at\":{at},\"caption\":\"{}\"}}\n",
        "x".repeat(10_000),
        at = T0 + 500,
    )
}

/// Uploads have lower numbers than interactions, and three hundred of them fill three epochs.
#[test]
fn a_partition_of_large_records_leaves_room_for_the_others() {
    const MIB: u64 = 1 << 20;
    let world = World::new();
    let uploads = "uploads/part-0.jsonl";
    world.append(uploads, &upload(1));
    world.append(A, &view(2, 0));
    world.append(B, &view(3, 0));
    let bounded = SourceConfig { max_epoch_bytes: MIB, ..world.config(true) };
    let mut source = world.try_open(bounded).unwrap();
    rest(&mut source);
    world.append(uploads, &(1000..1300).map(upload).collect::<String>());
    world.append(A, &(2000..2100).map(|id| view(id, 500)).collect::<String>());
    world.append(B, &(3000..3100).map(|id| view(id, 500)).collect::<String>());
    world.hand.pass(60);
    let cuts = rest(&mut source);
    let of = |cut: &Cut, from: u64| ids(cut).iter().filter(|id| (from..from + 1000).contains(id)).count();
    let counts: Vec<_> = cuts.iter().map(|cut| (of(cut, 1000), of(cut, 2000), of(cut, 3000))).collect();
    // All interactions at once, and uploads in the rest of the room.
    assert_eq!((counts[0].1, counts[0].2), (100, 100), "{counts:?}");
    assert!(counts[0].0 > 95, "what the others leave is used: {counts:?}");
    assert_eq!(counts.iter().map(|(uploads, ..)| uploads).sum::<usize>(), 300, "{counts:?}");
    assert!(counts.len() <= 4, "{counts:?}");
    let raw = |from: u64, cut: &Cut| -> u64 {
        let of = ids(cut).into_iter().filter(|id| *id >= from);
        of.map(|id| if id < 2000 { upload(id).len() as u64 - 1 } else { view(id, 500).len() as u64 - 1 })
            .sum()
    };
    for cut in &cuts {
        assert!(cut.3 <= MIB + upload(1000).len() as u64, "{} bytes", cut.3);
        assert_eq!(cut.3, raw(1000, cut), "what is counted is what was read");
    }
    // Bound as they were, they are read again as they were.
    drop(source);
    let again =
        rest(&mut world.try_open(SourceConfig { max_epoch_bytes: 7 * MIB, ..world.config(true) }).unwrap());
    assert_eq!(again[again.len() - cuts.len()..], cuts);
}

/// Where one record is larger than a share, not all fit in an epoch; none is left out for long.
#[test]
fn records_larger_than_a_share_take_turns() {
    let world = World::new();
    let files = ["uploads/part-0.jsonl", "uploads/part-1.jsonl", "uploads/part-2.jsonl"];
    (0..3).for_each(|file| world.append(files[file], &upload(1 + file as u64)));
    let bounded = SourceConfig { max_epoch_bytes: 10_000, ..world.config(true) };
    let mut source = world.try_open(bounded).unwrap();
    rest(&mut source);
    for (file, name) in files.iter().enumerate() {
        world.append(name, &(0..4).map(|n| upload(1000 * (1 + file as u64) + n)).collect::<String>());
    }
    world.hand.pass(60);
    let order: Vec<u64> = rest(&mut source).iter().flat_map(ids).map(|id| id / 1000).collect();
    assert_eq!(order.len(), 12);
    for turn in order.chunks(3) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, [1, 2, 3], "{order:?}");
    }
}

#[test]
fn a_wall_clock_catches_up_with_the_present_behind_a_replay() {
    let world = World::new();
    world.append(A, &view(1, 0));
    let wall = SourceConfig { live_clock: LiveClock::Wall, max_now_step_ms: 4_000_000, ..world.config(true) };
    let mut source = world.try_open(wall).unwrap();
    let mut nows = || -> Vec<u64> { rest(&mut source).iter().map(|cut| cut.0.now.0 - T0).collect() };
    // The wall stands ten million milliseconds behind the world's end.
    assert_eq!(nows(), [1000, 4_001_000, 8_001_000]);
    world.hand.pass(1000);
    assert_eq!(nows(), [10_001_000]);
    assert_eq!(source.clock().shift_ms, 0);
}

/// A line of a random log: an event at a time, or garbage.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0u64..1000, 0u64..20_000).prop_map(|(id, at)| view(id, at)),
        1 => "[a-z{}\"]{0,12}".prop_map(|text| text + "\n"),
        1 => Just("\n".to_owned()),
        1 => (0u64..9).prop_map(|id| view(id, 100_000_000_000)),
    ]
}

fn write_log(world: &World, files: &[(usize, Vec<String>)]) {
    for (i, (kind, lines)) in files.iter().enumerate() {
        let name = format!("{}/part-{i}", EventKind::ALL[*kind].folder());
        let text = lines.concat();
        // Each second file is compressed.
        if i % 2 == 1 {
            let path = world.log().join(format!("{name}.jsonl.zst"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, zstd::encode_all(text.as_bytes(), 0).unwrap()).unwrap();
        } else {
            world.append(&format!("{name}.jsonl"), &text);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_gives_the_same_epochs(
        files in prop::collection::vec((0usize..6, prop::collection::vec(line(), 0..40)), 1..5),
        stops in prop::collection::vec(0usize..30, 1..4),
    ) {
        let world = World::new();
        write_log(&world, &files);
        let whole = world.run();
        prop_assert!(whole.windows(2).all(|w| w[0].0.now < w[1].0.now));
        // Epochs hold every record once, in the order of origins.
        for (_, records, ..) in &whole {
            prop_assert!(records.windows(2).all(|w| w[0].origin < w[1].origin));
        }
        // From the journal alone.
        prop_assert_eq!(&world.run(), &whole);
        // Interrupted: the group that was written ahead is kept or lost, as a crash will have it.
        fs::remove_file(world.journal()).unwrap();
        let spare = world.dir.path().join("spare");
        for stop in stops {
            let mut source = world.open(false);
            let mut seen = Vec::new();
            for _ in 0..stop {
                if let Step::Batch(batch) = source.next().unwrap() { seen.push(cut(batch)); }
            }
            prop_assert_eq!(&seen[..], &whole[..seen.len()]);
            drop(source);
            copy(&world.journal(), &spare);
            let length = fs::metadata(&spare).unwrap().len();
            OpenOptions::new().write(true).open(world.journal()).unwrap()
                .set_len(length - (stop as u64).min(length)).unwrap();
        }
        prop_assert_eq!(&world.run(), &whole);
    }

    #[test]
    fn a_live_log_is_the_same_after_a_restart(
        lines in prop::collection::vec((line(), 0u64..400, any::<bool>()), 1..30),
    ) {
        let world = World::new();
        world.append(A, &view(0, 0));
        let mut source = world.open(true);
        let mut cuts = rest(&mut source);
        for (text, ms, second) in lines {
            world.append(if second { B } else { A }, &text);
            world.hand.pass(ms);
            cuts.extend(rest(&mut source));
        }
        drop(source);
        let mut again = world.open(true);
        let mut found = Vec::new();
        for _ in 0..cuts.len() {
            if let Step::Batch(batch) = again.next().unwrap() { found.push(cut(batch)); }
        }
        prop_assert_eq!(found, cuts);
    }
}
