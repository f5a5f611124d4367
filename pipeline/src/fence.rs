//! Whether this run still owns the job.
//!
//! Whoever writes looks before; a process that slept looks first when it wakes. In a folder a look is a listing of a few names. A bucket
//! may take its time or not answer, and neither may hold up the lists: there a thread looks now and then, and who writes sees
//! what it saw last. Until then an old run on another machine is kept off by the store, whose claim is compared in each write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use freshet_schema::Generation;

use crate::checkpoint::{CheckpointError, Checkpoints};

/// Time between two looks at a folder.
const LOOK: Duration = Duration::from_millis(500);
/// And at a bucket, where each is a request that is paid for.
const LOOK_AFAR: Duration = Duration::from_secs(5);

/// See the module. Clones share what is seen of a bucket.
#[derive(Clone)]
pub struct Fence {
    checkpoints: Checkpoints,
    generation: Generation,
    looked_at: Instant,
    /// The newer run that was seen in a bucket; 0 where there is none.
    newer: Option<Arc<AtomicU64>>,
}

impl Fence {
    /// The fence of a run that has just claimed its generation.
    ///
    /// # Errors
    /// Where there is no thread to look at a bucket with.
    pub fn new(checkpoints: &Checkpoints, generation: Generation) -> std::io::Result<Self> {
        let mut newer = None;
        if checkpoints.are_remote() {
            let seen = Arc::new(AtomicU64::new(0));
            let (told, checkpoints) = (Arc::downgrade(&seen), checkpoints.clone());
            let thread = std::thread::Builder::new().name("owner".to_owned());
            thread.spawn(move || watch(&checkpoints, generation, &told))?;
            newer = Some(seen);
        }
        Ok(Self { checkpoints: checkpoints.clone(), generation, looked_at: Instant::now(), newer })
    }

    /// Looks, if the last look was some time ago.
    ///
    /// # Errors
    /// Where a newer run has taken over, or the folder cannot be read.
    pub fn check(&mut self) -> Result<(), CheckpointError> {
        if let Some(newer) = &self.newer {
            return match newer.load(Relaxed) {
                0 => Ok(()),
                newer => Err(self.checkpoints.superseded(self.generation, Generation(newer))),
            };
        }
        if self.looked_at.elapsed() > LOOK {
            self.checkpoints.check_owner(self.generation)?;
            self.looked_at = Instant::now();
        }
        Ok(())
    }
}

/// Looks until nobody is interested any more, or there is a newer run. That a look fails is told once, until one does not.
fn watch(checkpoints: &Checkpoints, mine: Generation, told: &Weak<AtomicU64>) {
    let mut failed = false;
    loop {
        std::thread::sleep(LOOK_AFAR);
        let Some(told) = told.upgrade() else { return };
        match checkpoints.check_owner(mine) {
            Ok(()) => failed = false,
            Err(CheckpointError::Superseded { newer, .. }) => return told.store(newer.0, Relaxed),
            Err(error) if !failed => {
                failed = true;
                tracing::warn!(%error, "whether a newer run has taken over cannot be seen; the job goes on");
            }
            Err(_) => {}
        }
    }
}
