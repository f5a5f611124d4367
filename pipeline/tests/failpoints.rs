//! A job that dies, fails or dawdles at each durable step, and is started again with another number of workers, leaves the same
//! store as one that was never disturbed. Built with the feature `failpoints` only.
#![cfg(feature = "failpoints")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use freshet_archive::{ArchiveError, Folder, ReadEpoch, Reader};
use freshet_pipeline::config::{Config, StoreKind};
use freshet_pipeline::forget;
use freshet_pipeline::job;
use freshet_pipeline::progress::{Progress, RunOptions};
use freshet_pipeline::service::{self, Mode};
use freshet_pipeline::tables::offline;
use freshet_schema::UserId;
use freshet_schema::event::Target;
use freshet_sinks::{Embedded, EmbeddedOptions, FeedStore, Redis, StoreError};

#[path = "../../sinks/tests/support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

fn config(dir: &Path, store: &str, workers: usize) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[input]\ndir = {:?}\nfollow = false\n[store]\ndir = {:?}\n[graph]\nworkers = {workers}\n[checkpoint]\nevery = \"1ms\"\n\
         [archive]\ndir = {:?}\n",
        path("log"),
        path(store),
        path(&format!("{store}-archive"))
    );
    Config::resolve("test.toml", &text, &[], &|_| None).expect("a configuration")
}

/// The threads of a job that panicked may hold the store for a moment.
fn open(config: &Config) -> Arc<Embedded> {
    let since = Instant::now();
    std::fs::create_dir_all(&config.store.dir).expect("a folder");
    loop {
        match Embedded::open(&config.store.kv_dir(), EmbeddedOptions::default()) {
            Err(StoreError::Locked { .. }) if since.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return Arc::new(opened.expect("a store")),
        }
    }
}

/// Runs to the end of the log; what went wrong, if anything did.
fn run(dir: &Path, store: &str, workers: usize) -> Result<(), String> {
    let config = config(dir, store, workers);
    let opened = open(&config);
    run_over(config, opened)
}

/// The same over a store that is open.
fn run_over(config: Config, opened: Arc<dyn FeedStore>) -> Result<(), String> {
    // The thread of a job that panicked may hold the archive for a moment, too.
    let archive = config.archive.dir.clone().expect("an archive");
    let since = Instant::now();
    while matches!(Folder::claim(archive.as_ref()), Err(ArchiveError::Locked { .. })) {
        assert!(since.elapsed() < Duration::from_secs(60), "the archive is held");
        std::thread::sleep(Duration::from_millis(5));
    }
    let options = RunOptions { once: true, progress: Arc::new(Progress::default()), seat: None };
    let stop = Arc::new(AtomicBool::new(false));
    let ran = std::thread::spawn(move || job::run(&config, opened, options, stop)).join();
    match ran {
        Err(_) => Err("it panicked".to_owned()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Ok(Ok(_)) => Ok(()),
    }
}

fn dump(dir: &Path, store: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let store: Arc<dyn FeedStore> = open(&config(dir, store, 1));
    freshet_sinks::dump(&*store, &mut bytes).expect("a dump");
    bytes
}

/// Everything in the archive, in order.
fn archived(dir: &Path, store: &str) -> Vec<ReadEpoch> {
    let archive = config(dir, store, 1).archive.dir.expect("an archive");
    let folder = Arc::new(Folder::open(archive.as_ref()).expect("a folder"));
    let manifest = folder.existing().expect("a manifest");
    let mut reader = Reader::new(folder, &manifest, None);
    let mut epochs = Vec::new();
    while let Some(epoch) = reader.next().expect("readable") {
        epochs.push(epoch);
    }
    epochs
}

const POINTS: [&str; 16] = [
    "before-generation",
    "before-journal-sync",
    "after-journal-sync",
    "before-file",
    "after-files",
    "before-manifest",
    "before-claim",
    "after-claim",
    "during-clean",
    "before-trim",
    "store-in-batch",
    "before-store-sync",
    "after-commit",
    "archive-before-file",
    "archive-before-manifest",
    "archive-after-manifest",
];

/// Fail points are the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What was logged since it was last emptied, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// That of the process, which begins with the first call.
    fn of_the_process() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let into = log.clone();
            let logged = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN);
            logged.with_writer(move || into.clone()).init();
            log
        })
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.bytes())).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.bytes().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is done at a crash point, once, after it was passed `skip` times.
struct Disturbance {
    point: &'static str,
    action: &'static str,
    passed: Arc<AtomicU64>,
    skip: u64,
}

impl Disturbance {
    const ACTIONS: [&str; 3] = ["panic", "return", "sleep"];

    fn begin(point: &'static str, action: &'static str, skip: u64) -> Self {
        Log::of_the_process().take();
        let passed = Arc::new(AtomicU64::new(0));
        let configured = if action == "sleep" {
            let passed = Arc::clone(&passed);
            fail::cfg_callback(point, move || {
                if passed.fetch_add(1, Relaxed) == skip {
                    std::thread::sleep(Duration::from_millis(30));
                }
            })
        } else {
            fail::cfg(point, &format!("{skip}*off->1*{action}->off"))
        };
        configured.expect("an action");
        Self { point, action, passed, skip }
    }

    /// Ends it. The run must have come by, and what came of that is told.
    #[track_caller]
    fn end(self, ran: Result<(), String>) {
        let Self { point, action, passed, skip } = self;
        fail::remove(point);
        let logged = Log::of_the_process().take();
        let name = format!("the crash point {point}");
        match (action, ran) {
            ("sleep", ran) => {
                ran.unwrap_or_else(|error| panic!("{point}, {action}: {error}"));
                assert!(passed.load(Relaxed) > skip, "{point}, {action}: it was not reached");
            }
            // Nobody survives a panic.
            ("panic", ran) => assert!(ran.is_err(), "{point}, {action}: it was not reached"),
            // An error of a checkpoint is told, and the job goes on.
            (_, Ok(())) => assert!(logged.contains(&name), "{point}, {action}: nobody was told: {logged}"),
            (_, Err(error)) => assert!(error.contains(&name) || logged.contains(&name), "{error}\n{logged}"),
        }
    }
}

fn generate(dir: &Path, events: &str) {
    let generate =
        ["generate", "--users", "30", "--videos", "40", "--events", events, "--seed", "5", "--days", "1"];
    let generated = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .current_dir(dir)
        .args(generate)
        .args(["--out", "log"])
        .output()
        .expect("the binary runs");
    assert!(generated.status.success());
}

/// A log of which only the first half of the interactions may be there so far.
struct Halves {
    part: PathBuf,
    text: String,
}

impl Halves {
    fn of(dir: &Path) -> Self {
        let part = dir.join("log/interactions/part-00000.jsonl");
        let text = std::fs::read_to_string(&part).expect("a log");
        Self { part, text }
    }

    fn first(&self) {
        let half = self.text[..self.text.len() / 2].rfind('\n').expect("lines") + 1;
        std::fs::write(&self.part, &self.text[..half]).expect("written");
    }

    fn whole(&self) {
        std::fs::write(&self.part, &self.text).expect("written");
    }
}

fn copy(dir: &Path, from: &str, to: &str) {
    for end in ["", "-archive"] {
        let (from, to) = (format!("{from}{end}"), format!("{to}{end}"));
        let copied = Command::new("cp").current_dir(dir).args(["-a", &from, &to]).status().expect("cp runs");
        assert!(copied.success());
    }
}

fn remove(dir: &Path, store: &str) {
    std::fs::remove_dir_all(dir.join(store)).expect("removed");
    std::fs::remove_dir_all(dir.join(format!("{store}-archive"))).expect("removed");
}

#[test]
fn a_forget_that_is_cut_short_is_carried_out_by_the_next_start() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    for point in ["forget-planned", "forget-blanked", "forget-amended", "forget-journal"] {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let folder = dir.join("log/interactions");
        std::fs::create_dir_all(&folder).expect("a folder");
        let line = |event: u64, user: u64| {
            format!(
                "{{\"event_id\":{event},\"event_time\":{},\"user_id\":{user},\"video_id\":3}}\n",
                1_600_000_000_000 + event
            )
        };
        let live = folder.join("part-live.jsonl");
        std::fs::write(&live, format!("{}{}{}", line(1, 7), line(2, 8), line(3, 7))).expect("written");
        run(dir, "store", 1).expect("a run");
        let config = config(dir, "store", 2);
        let target = Target::User { user_id: UserId(7) };
        fail::cfg(point, "return").expect("an action");
        let error = forget::stopped(&config, target).expect_err("cut short");
        fail::remove(point);
        assert!(format!("{error:#}").contains(point), "{error:#}");
        // As `freshet run` does it before anything else.
        forget::log::finish(&config).expect("carried out");
        forget::log::finish(&config).expect("nothing is left");
        let text = std::fs::read_to_string(&live).expect("a file");
        let left: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!((left, text.len()), (vec![line(2, 8).trim()], 3 * line(1, 7).len()), "{point}");
        // It goes on from the checkpoint, and once more there is nothing to blank.
        let certificate =
            forget::stopped(&config, target).unwrap_or_else(|error| panic!("{point}: {error:#}"));
        assert_eq!(certificate["log"], serde_json::json!({ "done": true, "lines": 0 }), "{point}");
        run(dir, "store", 1).unwrap_or_else(|error| panic!("{point}, afterwards: {error}"));
    }
    scenario.teardown();
}

#[test]
fn whatever_happens_at_a_durable_step_the_store_is_the_same() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    generate(dir, "300");
    run(dir, "whole", 1).expect("an undisturbed run");
    let expected = dump(dir, "whole");
    assert!(expected.len() > 10_000);
    let rows = archived(dir, "whole");
    assert!(rows.iter().map(|epoch| epoch.records.len()).sum::<usize>() > 300);

    for (n, point) in POINTS.iter().enumerate() {
        // Some way into the run, where there is one: a start has one generation, a short log few frames of its journal.
        let skip = match *point {
            "before-generation" | "before-trim" => 0,
            "before-journal-sync" | "after-journal-sync" => 2,
            // Of these there are two for sure: after the first epoch and at the end.
            "before-manifest" | "after-claim" | "archive-before-manifest" => 1,
            _ => 1 + n % 2,
        };
        for action in Disturbance::ACTIONS {
            let store = format!("{point}-{action}");
            let disturbance = Disturbance::begin(point, action, skip as u64);
            disturbance.end(run(dir, &store, 1 + n % 2));
            // Twice more, on other numbers of workers: the second has nothing left to do.
            run(dir, &store, 2 - n % 2).unwrap_or_else(|error| panic!("{store}, again: {error}"));
            run(dir, &store, 3).unwrap_or_else(|error| panic!("{store}, and again: {error}"));
            assert!(dump(dir, &store) == expected, "{store}: another store than that of an undisturbed run");
            assert!(
                archived(dir, &store) == rows,
                "{store}: another archive than that of an undisturbed run"
            );
            remove(dir, &store);
        }
    }
    scenario.teardown();
}

/// A start that dies, fails or dawdles between two blocks of its checkpoint, in the caller's thread and in a worker's, has changed
/// nothing: the next one restores the same.
#[test]
fn a_start_that_dies_while_it_restores_is_begun_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    generate(dir, "300");
    let log = Halves::of(dir);
    log.first();
    run(dir, "before", 2).expect("a run that makes checkpoints");
    log.whole();
    copy(dir, "before", "whole");
    run(dir, "whole", 1).expect("an undisturbed start");
    let (expected, rows) = (dump(dir, "whole"), archived(dir, "whole"));
    assert!(expected != dump(dir, "before"), "there is something to be done behind the checkpoint");

    // The first 64 blocks are those that all cuts share; the workers read the others.
    for (n, skip) in [10, 200, 700].into_iter().enumerate() {
        for action in Disturbance::ACTIONS {
            let store = format!("restore-{skip}-{action}");
            copy(dir, "before", &store);
            // Of several workers, one that panics leaves the others waiting for it: nobody would end the run.
            let workers = if action == "panic" { 1 } else { 1 + n % 3 };
            let disturbance = Disturbance::begin("during-restore", action, skip);
            disturbance.end(run(dir, &store, workers));
            run(dir, &store, 1 + (n + 1) % 3).unwrap_or_else(|error| panic!("{store}, again: {error}"));
            assert!(dump(dir, &store) == expected, "{store}: another store than after an undisturbed start");
            assert!(
                archived(dir, &store) == rows,
                "{store}: another archive than after an undisturbed start"
            );
            remove(dir, &store);
        }
    }
    scenario.teardown();
}

/// The others would wait for ever for a worker that panics: so the process ends, whatever it does with its graph, with the code after
/// which a service is begun again.
#[test]
fn a_worker_that_panics_beside_others_ends_the_process() {
    const CHILD: [&str; 2] = ["FRESHET_TEST_CHILD_DIR", "FRESHET_TEST_CHILD_DOES"];
    if let [Some(dir), Some(does)] = CHILD.map(std::env::var_os) {
        let _scenario = fail::FailScenario::setup();
        fail::cfg("during-restore", "100*off->panic").expect("an action");
        let config = config(Path::new(&dir), "store", 2);
        let ran = match does.to_str() {
            Some("run") => service::run(&config, Mode { once: true, quiet: true }, None),
            _ => offline::Standing::open(&config).map(drop),
        };
        panic!("it ran to its end: {ran:?}");
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    generate(dir, "300");
    run(dir, "store", 2).expect("a run that makes checkpoints");
    for does in ["run", "tables"] {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_worker_that_panics_beside_others_ends_the_process", "--nocapture"])
            .envs([(CHILD[0], dir.as_os_str()), (CHILD[1], does.as_ref())])
            .spawn()
            .expect("it starts");
        let since = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if since.elapsed() > Duration::from_secs(120) {
                child.kill().expect("a child");
                panic!("{does} waits for a worker that is gone");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(status.code(), Some(75), "{does}: lost, and worth to be begun again");
    }
}

/// A Redis that has some shards of an epoch and not the others is given the whole epoch by the next run.
#[test]
fn an_epoch_that_was_cut_off_between_two_batches_is_made_whole() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    generate(dir, "300");
    let log = Halves::of(dir);
    log.first();
    run(dir, "whole", 1).expect("an undisturbed run");
    log.whole();
    run(dir, "whole", 1).expect("an undisturbed run");
    let expected = dump(dir, "whole");
    // How often some shards were an epoch ahead of the others: not where what was written is a part of one shard's values.
    let mut cut_off = 0;
    for (action, skip) in [("panic", 0), ("panic", 9), ("return", 3), ("return", 20), ("sleep", 5)] {
        let name = format!("redis-{action}-{skip}");
        let server = RedisServer::start();
        let over = |workers: usize| {
            let mut config = config(dir, &name, workers);
            config.store.kind = StoreKind::Redis;
            config.redis.url = server.url();
            // Some shards a batch, some batches an epoch.
            config.redis.batch_bytes = 1 << 10;
            let store = Arc::new(Redis::open(config.redis.options()).expect("an address"));
            std::fs::create_dir_all(&config.store.dir).expect("a folder");
            (run_over(config, Arc::clone(&store) as Arc<dyn FeedStore>), store)
        };
        // Into a store that has something already: each shard has its marker.
        log.first();
        over(2).0.expect("an undisturbed run");
        log.whole();
        let disturbance = Disturbance::begin("store-within-epoch", action, skip);
        let (ran, _) = over(1);
        if action != "sleep" {
            let markers = server.ask("HVALS freshet:epochs").expect("an answer");
            let digits = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
            let epochs: BTreeSet<&str> = markers.lines().filter(digits).collect();
            cut_off += usize::from(epochs.len() > 1);
        }
        disturbance.end(ran);
        let (ran, store) = over(2);
        ran.unwrap_or_else(|error| panic!("{name}, again: {error}"));
        let mut bytes = Vec::new();
        freshet_sinks::dump(&*store, &mut bytes).expect("a dump");
        assert!(bytes == expected, "{name}: another store than that of an undisturbed run");
    }
    assert!(cut_off >= 2, "{cut_off} of 4 were cut off within an epoch");
    scenario.teardown();
}
