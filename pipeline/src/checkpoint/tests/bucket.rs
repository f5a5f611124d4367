//! The same over a bucket in memory, whose requests fail: before anything was done, or after it was done and only the answer is
//! lost; or all of them from some moment on.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use freshet_archive::{Bucket, Objects, Unfinished};
use freshet_schema::{Epoch, Generation};
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;

use super::{Fault, make, newest, runs};
use crate::checkpoint::{CheckpointError, Checkpoints};

#[derive(Default)]
struct State {
    operations: usize,
    faults: Vec<(usize, Fault)>,
    down: bool,
    /// A server that passes over the condition of a PUT.
    careless: bool,
}

#[derive(Clone)]
struct BadBucket {
    inner: Arc<Bucket>,
    state: Arc<Mutex<State>>,
}

fn silent() -> io::Error {
    io::Error::other("no answer")
}

impl BadBucket {
    fn new() -> Self {
        let bucket = Bucket::over(Arc::new(InMemory::new()), Path::from("jobs/one"), "s3://memory/jobs/one");
        Self { inner: Arc::new(bucket.expect("a runtime")), state: Arc::default() }
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(self.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no test panics while it holds the state"))
    }

    fn set_faults(&self, faults: Vec<(usize, Fault)>) {
        self.with(|state| *state = State { faults, careless: state.careless, ..State::default() });
    }

    /// One request.
    fn ask<T>(&self, request: impl FnOnce(&Bucket) -> io::Result<T>) -> io::Result<T> {
        let fault = self.with(|state| {
            if state.down {
                return Err(silent());
            }
            state.operations += 1;
            let at = state.operations;
            let fault = state.faults.iter().find(|(of, _)| *of == at).map(|(_, fault)| *fault);
            state.down = fault == Some(Fault::Crash);
            Ok(fault)
        })?;
        match fault {
            // A bucket has no folders that could be removed.
            None | Some(Fault::Refilled) => request(&self.inner),
            Some(Fault::Broken) => Err(silent()),
            Some(Fault::Overtaken) => {
                self.inner.create(super::OTHER_RUN, "other", b"other")?;
                request(&self.inner)
            }
            // It was done, and nobody heard of it.
            Some(Fault::Crash | Fault::Full) => request(&self.inner).and_then(|_| Err(silent())),
        }
    }
}

impl Objects for BadBucket {
    fn place(&self, name: &str) -> PathBuf {
        self.inner.place(name)
    }

    fn remedy(&self) -> &'static str {
        self.inner.remedy()
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn create(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        let careless = self.with(|state| state.careless);
        self.ask(
            |bucket| if careless { bucket.replace(name, by, bytes) } else { bucket.create(name, by, bytes) },
        )
    }

    fn replace(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        self.ask(|bucket| bucket.replace(name, by, bytes))
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn Unfinished + '_>> {
        Ok(Box::new(BadParts { bucket: self, parts: self.inner.begin(name)? }))
    }

    fn settle(&self, folder: &str) -> io::Result<()> {
        self.inner.settle(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.ask(|bucket| bucket.rename(from, to))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.ask(|bucket| bucket.read(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.ask(|bucket| bucket.list(folder))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask(|bucket| bucket.remove(name))
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.inner.remove_folder(folder)
    }
}

struct BadParts<'a> {
    bucket: &'a BadBucket,
    parts: Box<dyn Unfinished + 'a>,
}

impl Unfinished for BadParts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bucket.ask(|_| self.parts.write(bytes))
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { bucket, parts } = *self;
        bucket.ask(|_| parts.finish())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_was_made_in_a_bucket_survives(runs in runs()) {
        let bucket = BadBucket::new();
        let objects = bucket.objects();
        super::what_was_made_survives(
            runs,
            &objects,
            |faults| bucket.set_faults(faults),
            |_| bucket.set_faults(Vec::new()),
        )?;
    }
}

#[test]
fn in_a_bucket_a_damaged_file_is_named_and_the_checkpoint_before_it_is_used() {
    super::a_damaged_file_is_named_and_the_checkpoint_before_it_is_used(&BadBucket::new().objects());
}

#[test]
fn in_a_bucket_an_old_run_publishes_nothing() {
    super::an_old_run_publishes_nothing(&BadBucket::new().objects());
}

#[test]
fn in_a_bucket_a_run_that_is_overtaken_takes_back_what_it_published() {
    super::a_run_that_is_overtaken_takes_back_what_it_published(|at| {
        let bucket = BadBucket::new();
        bucket.set_faults(vec![(at, Fault::Overtaken)]);
        bucket.objects()
    });
}

#[test]
fn of_runs_that_race_for_a_bucket_one_owns_the_job() {
    super::of_runs_that_race_one_owns_the_job(&BadBucket::new().objects());
}

/// The greatest generation would be two runs' there.
#[test]
fn a_server_that_passes_over_conditions_is_refused() {
    let bucket = BadBucket::new();
    bucket.with(|state| state.careless = true);
    let error = Checkpoints::new(bucket.objects(), 2).claim().expect_err("it cannot be owned");
    assert!(matches!(error, CheckpointError::NotExclusive { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("s3://memory/jobs/one/generations/0000000001") && text.contains("If-None-Match"),
        "{text}"
    );
}

/// A bucket that does not answer is no reason to go back to an older checkpoint: the start ends, and says what to see to.
#[test]
fn a_bucket_that_does_not_answer_makes_no_checkpoint_unusable() {
    let bucket = BadBucket::new();
    let objects = bucket.objects();
    make(&objects, &[5, 9]).expect("a sound bucket");
    let checkpoints = Checkpoints::new(Arc::clone(&objects), 2);
    // The listing, two manifests, two files.
    for at in 1..=5 {
        bucket.set_faults(vec![(at, Fault::Broken)]);
        let error = checkpoints.find(Some(Epoch(9))).err().expect("nothing can be said").to_string();
        assert!(
            error.contains("s3://memory/jobs/one/")
                && error.contains("no answer")
                && error.contains("AWS_ENDPOINT"),
            "{at}: {error}"
        );
    }
    bucket.set_faults(Vec::new());
    assert_eq!(newest(&objects).map(|manifest| manifest.epoch), Some(Epoch(9)));
    assert_eq!(checkpoints.claim().expect("a sound bucket"), Generation(2));
}
