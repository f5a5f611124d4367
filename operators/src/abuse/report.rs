//! What changed at a publication, for metrics and the log: on one worker, of its users or of its videos.

use serde::{Deserialize, Serialize};

use super::Signals;

/// Of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Users.
    Users,
    /// Videos.
    Videos,
}

/// The signals of a user or a video are others than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number.
    pub id: u64,
    /// What fires now.
    pub signals: Signals,
    /// Whether that is enough for a flag.
    pub flagged: bool,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// By signal, in the order of [`Signals::ALL`].
    pub signals: [u64; 3],
    /// Flagged.
    pub flagged: u64,
}

impl Standing {
    /// Counts one in.
    pub(crate) fn count(&mut self, signals: Signals, flagged: bool) {
        for (count, (signal, _)) in self.signals.iter_mut().zip(Signals::ALL) {
            *count += u64::from(signals.has(signal));
        }
        self.flagged += u64::from(flagged);
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of whom.
    pub side: Side,
    /// How many there are now.
    pub standing: Standing,
    /// Whose signals changed, by number.
    pub changes: Vec<Change>,
}
