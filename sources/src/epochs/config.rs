//! What a source is told, with the defaults of a service on one machine.

use std::path::PathBuf;

use freshet_schema::Millis;

use super::error::SourceError;
use crate::journal::Parameters;
use crate::kafka::KafkaConfig;
use crate::validate::{DEFAULT_MIN_EVENT_TIME, Limits};

/// How the clock goes on where a replay ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveClock {
    /// From where the replay ended, as if no time had passed since: a click now falls into the replayed world's today.
    #[default]
    Shifted,
    /// As the wall clock: what lies between is caught up with in steps of `max_now_step_ms`. For streams that are fed all the
    /// time, whose events carry the present.
    Wall,
}

/// How to read a log. The journal holds those that an epoch's content depends on, and refuses others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The log's folder. Not looked at where there is `kafka`.
    pub dir: PathBuf,
    /// Read topics instead of a folder.
    pub kafka: Option<KafkaConfig>,
    /// The journal's file; made where it is missing.
    pub journal: PathBuf,
    /// Go on with what is appended after the log was read.
    pub follow: bool,
    /// Length of an epoch of a replay in event time, in milliseconds. Journalled.
    pub replay_epoch_ms: u64,
    /// Shortest time between two live epochs, in milliseconds.
    pub epoch_ms: u64,
    /// Longest time between two live epochs, in milliseconds: windows expire that late on a quiet log.
    pub tick_ms: u64,
    /// Records of a live epoch, about; a replay's boundaries depend on event time alone.
    pub max_epoch_records: usize,
    /// Bytes of a live epoch, about.
    pub max_epoch_bytes: u64,
    /// How the clock goes on after the replay.
    pub live_clock: LiveClock,
    /// What a record may hold. Journalled.
    pub limits: Limits,
    /// Earliest admitted event time. Journalled.
    pub min_event_time: Millis,
    /// Latest admitted event time of a replay. Where absent, of files the wall time of the first start, of Kafka each record's
    /// own timestamp and `max_future_skew_ms`: a backlog may be longer at the second start than it was at the first.
    /// Journalled.
    pub max_event_time: Option<Millis>,
    /// How far ahead of `now` a live record may be, in milliseconds. Journalled.
    pub max_future_skew_ms: u64,
    /// How far `now` moves in one live epoch, in milliseconds: after a pause the windows expire in steps.
    pub max_now_step_ms: u64,
}

impl SourceConfig {
    /// The defaults: a finite log in epochs of one minute.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, journal: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            kafka: None,
            journal: journal.into(),
            follow: false,
            replay_epoch_ms: 60_000,
            epoch_ms: 50,
            tick_ms: 1000,
            max_epoch_records: 50_000,
            max_epoch_bytes: 64 << 20,
            live_clock: LiveClock::Shifted,
            limits: Limits::default(),
            min_event_time: DEFAULT_MIN_EVENT_TIME,
            max_event_time: None,
            max_future_skew_ms: 300_000,
            max_now_step_ms: 60_000,
        }
    }

    /// Refuses values that make no sense.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let positive = [
            ("replay_epoch_ms", self.replay_epoch_ms),
            ("epoch_ms", self.epoch_ms),
            ("max_now_step_ms", self.max_now_step_ms),
            ("max_epoch_records", self.max_epoch_records as u64),
            ("max_epoch_bytes", self.max_epoch_bytes),
            ("limits.record_bytes", self.limits.record_bytes as u64),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(SourceError::Config {
                key,
                value: "0".to_owned(),
                remedy: "use at least 1".to_owned(),
            });
        }
        if self.tick_ms < self.epoch_ms {
            let remedy = format!("use at least epoch_ms, {}", self.epoch_ms);
            return Err(SourceError::Config { key: "tick_ms", value: self.tick_ms.to_string(), remedy });
        }
        if let Some(max) = self.max_event_time.filter(|max| *max < self.min_event_time) {
            let remedy = format!("use at least min_event_time, {}", self.min_event_time);
            return Err(SourceError::Config { key: "max_event_time", value: max.to_string(), remedy });
        }
        Ok(())
    }

    /// What a new journal is given.
    pub(super) fn parameters(&self, wall: Millis) -> Parameters {
        let latest = if self.kafka.is_some() { Millis(u64::MAX) } else { wall };
        Parameters {
            replay_epoch_ms: self.replay_epoch_ms,
            min_event_time: self.min_event_time,
            max_event_time: self.max_event_time.unwrap_or(latest),
            max_future_skew_ms: self.max_future_skew_ms,
            limits: self.limits.clone(),
        }
    }

    /// Compares with what the journal was made with.
    pub(super) fn compare(&self, held: &Parameters) -> Result<(), SourceError> {
        let changed = |key, journalled: &dyn ToString, given: &dyn ToString| SourceError::Changed {
            journal: self.journal.clone(),
            key,
            journalled: journalled.to_string(),
            given: given.to_string(),
        };
        if held.replay_epoch_ms != self.replay_epoch_ms {
            return Err(changed("replay_epoch_ms", &held.replay_epoch_ms, &self.replay_epoch_ms));
        }
        if held.min_event_time != self.min_event_time {
            return Err(changed("min_event_time", &held.min_event_time, &self.min_event_time));
        }
        if let Some(max) = self.max_event_time.filter(|max| *max != held.max_event_time) {
            return Err(changed("max_event_time", &held.max_event_time, &max));
        }
        if held.max_future_skew_ms != self.max_future_skew_ms {
            return Err(changed("max_future_skew_ms", &held.max_future_skew_ms, &self.max_future_skew_ms));
        }
        if held.limits != self.limits {
            let text = |limits: &Limits| format!("{limits:?}");
            return Err(changed("limits", &text(&held.limits), &text(&self.limits)));
        }
        Ok(())
    }
}
