//! What the threads of a job tell each other of checkpoints, and what people are shown.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use freshet_schema::{Epoch, Generation};
use freshet_sources::epochs::Resume;

use super::Manifest;

/// See the module.
#[derive(Debug, Default)]
pub struct Status {
    /// Somebody asked for one now; each request is counted.
    pub asked: AtomicU64,
    /// One is being made.
    pub in_work: AtomicBool,
    /// Failed attempts.
    pub failed: AtomicU64,
    /// The job has ended: nobody makes any.
    pub closed: AtomicBool,
    /// Requests that the one in work answers.
    answers: AtomicU64,
    /// Requests that were answered, successfully or not.
    pub answered: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Published>,
    trim: Option<Resume>,
    error: Option<String>,
}

/// A checkpoint that was made, in numbers.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its epoch.
    pub epoch: Epoch,
    /// The run that made it.
    pub generation: Generation,
    /// When.
    pub at: Instant,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How long the workers stood still, the longest, in microseconds.
    pub stood_us: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Cuts with their rows and bytes on disk.
    pub cuts: Vec<(String, u64, u64)>,
}

impl Published {
    /// Rows of a cut; 0 where there is none of this name.
    #[must_use]
    pub fn rows(&self, cut: &str) -> u64 {
        self.cuts.iter().find(|(name, ..)| name == cut).map_or(0, |(_, rows, _)| *rows)
    }

    /// The numbers of a manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let bytes = |cut: &super::manifest::Cut| cut.file.as_ref().map_or(0, |file| file.bytes);
        Self {
            epoch: manifest.epoch,
            generation: manifest.generation,
            at: Instant::now(),
            took_ms: manifest.took_ms,
            stood_us: manifest.stood_us,
            bytes: manifest.bytes(),
            cuts: manifest.cuts.iter().map(|(name, cut)| (name.clone(), cut.rows, bytes(cut))).collect(),
        }
    }
}

impl Status {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a checkpoint; the number of the request.
    pub fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Relaxed) + 1
    }

    /// Whether somebody asked whom no checkpoint has answered or is about to.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Relaxed) > self.answers.load(Relaxed)
    }

    /// One is begun: it answers all who have asked.
    pub fn begin(&self) {
        self.answers.store(self.asked.load(Relaxed), Relaxed);
        self.in_work.store(true, Relaxed);
    }

    /// Nothing is in work any more; `outcome` is what came of it, and where the journal may begin.
    pub fn end(&self, outcome: Result<(Published, Option<Resume>), String>) {
        {
            let mut state = self.state();
            match outcome {
                Ok((published, trim)) => {
                    state.last = Some(published);
                    state.trim = trim;
                    state.error = None;
                }
                Err(error) => {
                    state.error = Some(error);
                    self.failed.fetch_add(1, Relaxed);
                }
            }
        }
        self.answered.store(self.answers.load(Relaxed), Relaxed);
        self.in_work.store(false, Relaxed);
    }

    /// There was nothing new to keep.
    pub fn nothing_to_do(&self) {
        self.answers.store(self.asked.load(Relaxed), Relaxed);
        self.answered.store(self.answers.load(Relaxed), Relaxed);
    }

    /// The last one that was made, by this run or before.
    #[must_use]
    pub fn last(&self) -> Option<Published> {
        self.state().last.clone()
    }

    /// Says which one the run has begun with.
    pub fn begun_with(&self, published: Published) {
        self.state().last = Some(published);
    }

    /// Why the last attempt failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.state().error.clone()
    }

    /// Where the journal may begin, once after each checkpoint.
    #[must_use]
    pub fn take_trim(&self) -> Option<Resume> {
        self.state().trim.take()
    }

    /// As `freshet stats` shows it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let last = self.last().map(|last| {
            serde_json::json!({
                "epoch": last.epoch.0,
                "generation": last.generation.0,
                "age_ms": u64::try_from(last.at.elapsed().as_millis()).unwrap_or(u64::MAX),
                "took_ms": last.took_ms,
                "stood_us": last.stood_us,
                "bytes": last.bytes,
            })
        });
        serde_json::json!({
            "last": last,
            "in_work": self.in_work.load(Relaxed),
            "failed": self.failed.load(Relaxed),
            "error": self.error(),
        })
    }
}
