//! One journal, the same batches: whoever runs it, however often, and with however many workers, hands the same bytes to the store in
//! each epoch. Dumps of what is left in the end would not tell an epoch too late from one in time.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freshet_pipeline::config::Config;
use freshet_pipeline::job;
use freshet_pipeline::progress::{Phase, Progress, RunOptions};
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};
use freshet_sinks::{Bytes, Claim, Commit, FeedStore, Memory, StoreError};
use freshet_sources::generate::{World, generate};
use xxhash_rust::xxh3::Xxh3;

/// By epoch the number of changes that the store was handed, and the XXH3 of their keys and values in order.
type Batches = BTreeMap<Epoch, (usize, u64)>;

/// A store that notes what it is handed.
#[derive(Default)]
struct Noting {
    inner: Memory,
    batches: Mutex<Batches>,
}

impl FeedStore for Noting {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        self.inner.claim(claim)
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        let mut hash = Xxh3::new();
        let mut part = |bytes: &[u8]| {
            // With its length, so that no two batches run into the same bytes.
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (key, value) in &commit.changes {
            part(key.to_string().as_bytes());
            part(&[u8::from(value.is_some())]);
            part(value.as_deref().unwrap_or_default());
        }
        let batch = (commit.changes.len(), hash.digest());
        let before = self.batches.lock().expect("no panic").insert(commit.epoch, batch);
        assert_eq!(before, None, "epoch {} is handed over once", commit.epoch);
        self.inner.commit(commit)
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        self.inner.marker()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.inner.scan(prefix, from, limit)
    }
}

fn config(dir: &Path, store: &str, workers: usize, follow: bool) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[input]\ndir = {:?}\nfollow = {follow}\n[store]\ndir = {:?}\n[graph]\nworkers = {workers}\n\
         [checkpoint]\nevery = \"0s\"\n",
        path("log"),
        path(store),
    );
    Config::resolve("test.toml", &text, &[], &|_| None).expect("a configuration")
}

/// A job that runs in a thread of its own; what it has handed over when it has ended.
fn begin(config: Config, once: bool) -> (Arc<Progress>, Arc<AtomicBool>, JoinHandle<Batches>) {
    let (progress, stop) = (Arc::new(Progress::default()), Arc::new(AtomicBool::new(false)));
    let options = RunOptions { once, progress: Arc::clone(&progress), seat: None };
    let told = Arc::clone(&stop);
    std::fs::create_dir_all(&config.store.dir).expect("a folder");
    let job = std::thread::spawn(move || {
        let store = Arc::new(Noting::default());
        job::run(&config, Arc::clone(&store) as Arc<dyn FeedStore>, options, told).expect("a run");
        std::mem::take(&mut *store.batches.lock().expect("no panic"))
    });
    (progress, stop, job)
}

fn wait_for(job: &JoinHandle<Batches>, what: &str, mut there: impl FnMut() -> bool) {
    let since = Instant::now();
    while !there() {
        assert!(!job.is_finished(), "the job ended before {what}");
        assert!(since.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_run_of_a_journal_hands_the_same_batches_to_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let world = World { days: 1, ..World::new(30, 40, 400, 9) };
    generate(&world, &dir.join("log"), &mut |_, _| {}).expect("a world");
    let folder = dir.join("log/interactions");
    let text = std::fs::read_to_string(folder.join("part-00000.jsonl")).expect("a log");
    let mut views: Vec<serde_json::Value> =
        text.lines().rev().take(60).map(|line| serde_json::from_str(line).expect("JSON")).collect();

    // The log, and then what is appended while it runs: epochs that only the clock has cut.
    let (progress, stop, job) = begin(config(dir, "first", 1, true), false);
    wait_for(&job, "the end of the log", || progress.phase() == Phase::Live);
    let drained = Epoch(progress.last_epoch.load(Relaxed));
    let mut live =
        OpenOptions::new().create(true).append(true).open(folder.join("part-live.jsonl")).expect("a file");
    for (number, views) in views.chunks_mut(12).enumerate() {
        let before = progress.events.load(Relaxed);
        for (n, view) in views.iter_mut().enumerate() {
            view["event_id"] = serde_json::json!(9_000_000 + 100 * number + n);
            writeln!(live, "{view}").expect("written");
        }
        wait_for(&job, "what was appended", || progress.events.load(Relaxed) >= before + views.len() as u64);
    }
    let read = progress.events.load(Relaxed);
    stop.store(true, Relaxed);
    let first = job.join().expect("no panic");
    let changed = |after: Epoch| first.iter().filter(|(epoch, (n, _))| **epoch > after && *n > 0).count();
    assert!(changed(Epoch(0)) > 10 && changed(drained) > 1, "{read} events, {first:?}");

    for (store, workers) in [("second", 1), ("third", 2)] {
        let to = dir.join(store).join("journal");
        std::fs::create_dir_all(&to).expect("a folder");
        for file in std::fs::read_dir(dir.join("first/journal")).expect("a journal").flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
        let (progress, _, job) = begin(config(dir, store, workers, false), true);
        let mut again = job.join().expect("no panic");
        assert_eq!(progress.events.load(Relaxed), read, "the same records");
        // Behind the journal it binds epochs of its own, until the clock has caught up with the wall's.
        let last = *first.keys().next_back().expect("epochs");
        again.retain(|epoch, _| *epoch <= last);
        let differs: Vec<&Epoch> =
            first.keys().filter(|epoch| first.get(epoch) != again.get(epoch)).collect();
        assert!(
            differs.is_empty() && again.len() == first.len(),
            "with {workers} workers epochs {differs:?} differ"
        );
    }
}
