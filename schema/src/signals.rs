//! The unified signals of an interaction: what the data sets and the clients report in different shapes, on one scale,
//! each marked with where it came from.

use serde::{Deserialize, Serialize};

use crate::event::Interaction;

/// Where a signal came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// The record carries it.
    Observed,
    /// Computed from other fields of the record.
    Derived,
    /// Neither: the value is a neutral one, and sums leave it out.
    #[default]
    Absent,
}

/// A signal with its provenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signal<T> {
    /// The value; the type's default where absent.
    pub value: T,
    /// Where it came from.
    pub provenance: Provenance,
}

impl<T: Default> Signal<T> {
    /// A value that the record carries.
    pub fn observed(value: T) -> Self {
        Self { value, provenance: Provenance::Observed }
    }

    /// A value computed from other fields.
    pub fn derived(value: T) -> Self {
        Self { value, provenance: Provenance::Derived }
    }

    /// Nothing known.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: T::default(), provenance: Provenance::Absent }
    }

    /// The value where there is one.
    pub fn known(self) -> Option<T> {
        (self.provenance != Provenance::Absent).then_some(self.value)
    }
}

/// Scale of the watched part: 1,000 is the whole video.
pub const PER_MILLE: u64 = 1000;

/// A video counts as completed above this watched part, in per mille (seed 004: 0.9).
pub const COMPLETION_PER_MILLE: u64 = 900;

/// A second play counts from this watched part on, in per mille.
pub const REWATCH_PER_MILLE: u64 = 1500;

/// The unified signals of one interaction. Order-dependent ones (session, session length, time since the last) belong to
/// the user's history and are computed there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Watched part of the video in per mille, cut at 1,000.
    pub watched: Signal<u64>,
    /// Watched to the end (above [`COMPLETION_PER_MILLE`]).
    pub completed: Signal<bool>,
    /// Skipped fast: watched less than the fastest fifth of its duration class.
    pub skipped: Signal<bool>,
    /// Played again.
    pub rewatched: Signal<bool>,
}

impl Signals {
    /// Derives the signals. `duration_ms` is the upload's duration, used where the record has none (0 is unknown);
    /// `skip_below` is the watched part in per mille under which the fastest fifth of this duration class lies.
    #[must_use]
    pub fn of(event: &Interaction, duration_ms: Option<u64>, skip_below: u64) -> Self {
        let duration = event.duration_ms.or(duration_ms).filter(|ms| *ms > 0);
        let part = match (event.watch_ms, duration) {
            (Some(watch), Some(duration)) => Some(watch.saturating_mul(PER_MILLE) / duration),
            _ => None,
        };
        let flag = |observed: Option<bool>, derived: Option<bool>| match (observed, derived) {
            (Some(value), _) => Signal::observed(value),
            (None, Some(value)) => Signal::derived(value),
            (None, None) => Signal::absent(),
        };
        Self {
            watched: part.map_or_else(Signal::absent, |p| Signal::derived(p.min(PER_MILLE))),
            completed: flag(None, part.map(|p| p > COMPLETION_PER_MILLE)),
            skipped: flag(event.skip, part.map(|p| p < skip_below)),
            rewatched: flag(event.rewatch, part.map(|p| p >= REWATCH_PER_MILLE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(watch_ms: Option<u64>, duration_ms: Option<u64>) -> Interaction {
        Interaction { watch_ms, duration_ms, ..Interaction::default() }
    }

    #[test]
    fn without_watch_time_nothing_is_made_up() {
        let signals = Signals::of(&watched(None, Some(10_000)), Some(10_000), 200);
        assert_eq!(signals.watched.known(), None);
        assert_eq!(signals.completed.known(), None);
        assert_eq!(signals.skipped.known(), None);
    }

    #[test]
    fn the_uploads_duration_stands_in() {
        let signals = Signals::of(&watched(Some(950), None), Some(1_000), 200);
        assert_eq!(signals.watched, Signal::derived(950));
        assert_eq!(signals.completed, Signal::derived(true));
        assert_eq!(Signals::of(&watched(Some(950), None), Some(0), 200).watched.known(), None);
    }

    #[test]
    fn what_the_record_says_wins_over_what_could_be_derived() {
        let event = Interaction { skip: Some(false), rewatch: Some(true), ..watched(Some(10), Some(1_000)) };
        let signals = Signals::of(&event, None, 200);
        assert_eq!(signals.skipped, Signal::observed(false));
        assert_eq!(signals.rewatched, Signal::observed(true));
    }

    #[test]
    fn several_plays_are_one_whole_and_a_rewatch() {
        let signals = Signals::of(&watched(Some(3_500), Some(1_000)), None, 200);
        assert_eq!(signals.watched, Signal::derived(1_000));
        assert_eq!(signals.rewatched, Signal::derived(true));
        assert_eq!(signals.skipped, Signal::derived(false));
    }
}
