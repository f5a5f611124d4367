//! How far a job has come, as numbers that its threads write and everybody may read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use freshet_archive::Forgetter;
use freshet_schema::{Epoch, EventId, Millis};

use crate::checkpoint::Status;
use crate::cluster::Seat;

/// So many deletes are remembered with their epochs, for those who wait for theirs.
const DELETES_KEPT: usize = 4096;

/// What a job is told beside its configuration.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// End when the input is drained.
    pub once: bool,
    /// Where the job says how far it is.
    pub progress: Arc<Progress>,
    /// Its place among the processes of a supervisor; `None` where there is none.
    pub seat: Option<Arc<Seat>>,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Opening files.
    #[default]
    Starting,
    /// Replaying the epochs of the journal, as they were bound.
    Journal,
    /// Replaying the log.
    Replay,
    /// The log is drained; new records are followed.
    Live,
    /// The log is drained, and nothing more is read.
    Drained,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Journal, Self::Replay, Self::Live, Self::Drained];

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Journal => "journal",
            Self::Replay => "replay",
            Self::Live => "live",
            Self::Drained => "drained",
        }
    }
}

/// Numbers of a running job. Each is written by one thread and read by any; they need not agree with each other to the
/// record.
#[derive(Debug)]
pub struct Progress {
    /// Records that went into the graph.
    pub events: AtomicU64,
    /// Records set aside.
    pub dead_letters: AtomicU64,
    /// Bytes of the input that were read.
    pub bytes_read: AtomicU64,
    /// Bytes of the input as it was at the start; 0 where unknown.
    pub bytes_total: AtomicU64,
    /// Epochs committed to the store.
    pub epochs: AtomicU64,
    /// Lists written to the store.
    pub lists: AtomicU64,
    /// A [`Phase`]; see [`Progress::phase`].
    pub phase: AtomicU8,
    /// The pipeline's clock at its last epoch; see [`Progress::set_now`].
    pub now_ms: AtomicU64,
    /// The last epoch committed to the store.
    pub last_epoch: AtomicU64,
    /// Slices of the store that wait to be written again.
    pub remaking: AtomicU64,
    /// Shards of the store that were written again.
    pub shards_remade: AtomicU64,
    /// Checkpoints that are made and asked for.
    pub checkpoints: Arc<Status>,
    /// The archive, where one is written: how it is, and who takes rows out of it.
    pub archive: OnceLock<(Arc<freshet_archive::Status>, Forgetter)>,
    /// The file of dead letters, while the job runs.
    pub dead_letter_file: OnceLock<crate::dead_letters::Shared>,
    /// Deletes that came last, each with the epoch that counts it.
    deletes: Mutex<VecDeque<(EventId, Epoch)>>,
    started: Instant,
    now_set_at_ms: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            events: zero(),
            dead_letters: zero(),
            bytes_read: zero(),
            bytes_total: zero(),
            epochs: zero(),
            lists: zero(),
            phase: AtomicU8::new(0),
            now_ms: zero(),
            last_epoch: zero(),
            remaking: zero(),
            shards_remade: zero(),
            checkpoints: Arc::default(),
            archive: OnceLock::new(),
            dead_letter_file: OnceLock::new(),
            deletes: Mutex::default(),
            started: Instant::now(),
            now_set_at_ms: zero(),
        }
    }
}

impl Progress {
    /// Where the job is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Relaxed))).copied().unwrap_or_default()
    }

    /// Says where the job is.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Says what the clock of the newest epoch is.
    pub fn set_now(&self, now: Millis) {
        self.now_ms.store(now.0, Relaxed);
        self.now_set_at_ms.store(self.elapsed_ms(), Relaxed);
    }

    /// The pipeline's clock: that of the newest epoch and, once live, the time since it was set.
    #[must_use]
    pub fn now(&self) -> Millis {
        let now = Millis(self.now_ms.load(Relaxed));
        if self.phase() != Phase::Live {
            return now;
        }
        now.plus(self.elapsed_ms().saturating_sub(self.now_set_at_ms.load(Relaxed)))
    }

    /// A delete goes into the graph with an epoch.
    pub fn note_delete(&self, delete: EventId, epoch: Epoch) {
        let mut deletes = self.deletes.lock().unwrap_or_else(PoisonError::into_inner);
        if deletes.len() == DELETES_KEPT {
            deletes.pop_front();
        }
        deletes.push_back((delete, epoch));
    }

    /// The epoch that counts a delete, where it came not long ago.
    #[must_use]
    pub fn epoch_of_delete(&self, delete: EventId) -> Option<Epoch> {
        let deletes = self.deletes.lock().unwrap_or_else(PoisonError::into_inner);
        deletes.iter().rev().find(|(id, _)| *id == delete).map(|(_, epoch)| *epoch)
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// All numbers at once.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: self.phase(),
            elapsed_ms: self.elapsed_ms(),
            events: self.events.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_total: self.bytes_total.load(Relaxed),
            epochs: self.epochs.load(Relaxed),
            lists: self.lists.load(Relaxed),
            now: self.now(),
            last_epoch: Epoch(self.last_epoch.load(Relaxed)),
            remaking: self.remaking.load(Relaxed),
            shards_remade: self.shards_remade.load(Relaxed),
        }
    }
}

/// The numbers of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of Progress, where they are described")]
pub struct Snapshot {
    pub phase: Phase,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    pub events: u64,
    pub dead_letters: u64,
    pub bytes_read: u64,
    pub bytes_total: u64,
    pub epochs: u64,
    pub lists: u64,
    pub now: Millis,
    pub last_epoch: Epoch,
    pub remaking: u64,
    pub shards_remade: u64,
}

impl Snapshot {
    /// As `freshet stats` shows it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "phase": self.phase.as_str(),
            "uptime_ms": self.elapsed_ms,
            "epoch": self.last_epoch.0,
            "now_ms": self.now.0,
            "events": self.events,
            "dead_letters": self.dead_letters,
            "bytes_read": self.bytes_read,
            "bytes_total": self.bytes_total,
            "epochs": self.epochs,
            "lists_written": self.lists,
            "remaking": self.remaking,
            "shards_remade": self.shards_remade,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_on_between_epochs_only_when_live() {
        let progress = Progress::default();
        progress.set_now(Millis(1_000));
        progress.set_phase(Phase::Replay);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(progress.now(), Millis(1_000));
        progress.set_phase(Phase::Live);
        assert!(progress.now() >= Millis(1_005));
    }
}
