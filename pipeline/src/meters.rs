//! What the job counts, one struct an event: the only place of this crate that names metrics.

#![allow(clippy::disallowed_macros, reason = "the events' own home")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshet_operators::abuse;
use freshet_operators::cohorts::{Moved, Report, Standing};
use freshet_operators::cut::StateSize;
use freshet_operators::neighbours::IndexReport;
use freshet_operators::spread::Spread;
use freshet_operators::yields::Yields;
use freshet_schema::Epoch;
use freshet_sources::epochs::{Batch, PartitionStatus};
use metrics::{counter, gauge, histogram};

use crate::checkpoint::Published;

/// Name and size of a piece of state on one worker.
pub type Size = (&'static str, StateSize);

/// An epoch was read.
pub struct Read<'a>(&'a Batch);

impl<'a> Read<'a> {
    /// Of this batch.
    #[must_use]
    pub fn of(batch: &'a Batch) -> Self {
        Self(batch)
    }

    /// Counts it.
    pub fn emit(self) {
        let mut kinds = BTreeMap::new();
        for record in &self.0.records {
            *kinds.entry(record.event.kind().folder()).or_insert(0u64) += 1;
        }
        for (kind, count) in kinds {
            counter!("freshet_events_total", "kind" => kind).increment(count);
        }
        for letter in &self.0.dead_letters {
            counter!("freshet_dead_letters_total", "reason" => letter.reason.as_str()).increment(1);
        }
        let binding = &self.0.binding;
        gauge!("freshet_now_seconds").set(binding.now.0 as f64 / 1e3);
        gauge!("freshet_watermark_lag_seconds").set(binding.now.since(binding.watermark) as f64 / 1e3);
        gauge!("freshet_input_bytes_in_last_epoch").set(self.0.bytes as f64);
    }
}

/// How the input's partitions are doing.
pub struct Partitions<'a> {
    /// All of them.
    pub partitions: &'a [PartitionStatus],
}

impl Partitions<'_> {
    /// Shows it. Files have no lag: how much of them was read is in the progress.
    pub fn emit(self) {
        for partition in self.partitions {
            let name = partition.name.to_string();
            if let Some(lag) = partition.lag {
                gauge!("freshet_input_lag_records", "partition" => name.clone()).set(lag as f64);
            }
            gauge!("freshet_input_holds_frontier", "partition" => name)
                .set(f64::from(u8::from(partition.holds)));
        }
    }
}

/// What is on its way through the dataflow.
pub struct InFlight {
    /// Epochs.
    pub epochs: usize,
    /// Memory that they take, about.
    pub bytes: u64,
}

impl InFlight {
    /// Shows it.
    pub fn emit(self) {
        gauge!("freshet_in_flight_epochs").set(self.epochs as f64);
        gauge!("freshet_in_flight_bytes").set(self.bytes as f64);
    }
}

/// An epoch was committed to the store.
pub struct Committed {
    /// Its number.
    pub epoch: Epoch,
    /// Lists in it.
    pub lists: u64,
    /// From reading its records to the commit.
    pub took: Duration,
}

impl Committed {
    /// Counts it.
    pub fn emit(self) {
        counter!("freshet_epochs_committed_total").increment(1);
        counter!("freshet_lists_written_total").increment(self.lists);
        gauge!("freshet_epoch").set(self.epoch.0 as f64);
        histogram!("freshet_epoch_seconds").record(self.took);
    }
}

/// What the store lost is written again.
pub struct Remaking {
    /// Slices that are not written yet.
    pub slices: usize,
    /// Shards that they belong to.
    pub shards: usize,
}

impl Remaking {
    /// Shows it.
    pub fn emit(self) {
        gauge!("freshet_store_slices_to_remake").set(self.slices as f64);
        gauge!("freshet_store_lost_shards").set(self.shards as f64);
    }
}

/// A live interaction is reflected in the store.
pub struct Freshness {
    /// From its event time to the commit, in milliseconds of the pipeline's clock.
    pub ms: u64,
}

impl Freshness {
    /// Counts it.
    pub fn emit(self) {
        histogram!("freshet_freshness_seconds").record(self.ms as f64 / 1e3);
    }
}

/// A checkpoint was made.
pub struct Checkpoint<'a>(pub &'a Published);

impl Checkpoint<'_> {
    /// Counts it.
    pub fn emit(self) {
        let made = self.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        counter!("freshet_checkpoints_total").increment(1);
        // There from the first one on: a rate over a counter that begins with its first failure misses that one.
        counter!("freshet_checkpoint_failures_total").increment(0);
        gauge!("freshet_checkpoint_timestamp_seconds").set(now.as_secs_f64());
        gauge!("freshet_checkpoint_epoch").set(made.epoch.0 as f64);
        gauge!("freshet_checkpoint_bytes").set(made.bytes as f64);
        gauge!("freshet_checkpoint_duration_seconds").set(made.took_ms as f64 / 1e3);
        histogram!("freshet_checkpoint_stall_seconds").record(made.stood_us as f64 / 1e6);
        for (cut, rows, bytes) in &made.cuts {
            gauge!("freshet_checkpoint_rows", "state" => cut.clone()).set(*rows as f64);
            gauge!("freshet_checkpoint_state_bytes", "state" => cut.clone()).set(*bytes as f64);
        }
    }
}

/// A checkpoint could not be made.
pub struct CheckpointFailed;

impl CheckpointFailed {
    /// Counts it.
    pub fn emit(self) {
        counter!("freshet_checkpoint_failures_total").increment(1);
    }
}

/// Early interactions wait for their upload, or no longer do.
pub struct Early {
    /// How many wait.
    pub held: u64,
    /// How many had to stop waiting because too many would.
    pub gave_way: u64,
}

impl Early {
    /// Counts it.
    pub fn emit(self) {
        gauge!("freshet_early_held").set(self.held as f64);
        counter!("freshet_early_overflow_total").increment(self.gave_way);
    }
}

/// What the candidate sources brought to some lists.
pub struct Sources<'a>(pub &'a Yields);

impl Sources<'_> {
    /// Counts it.
    pub fn emit(self) {
        counter!("freshet_lists_widened_total").increment(self.0.widened);
        counter!("freshet_lists_looping_total").increment(self.0.looping);
        counter!("freshet_lists_drifting_total").increment(self.0.drifting);
        let [explored, untried] = self.0.explored;
        counter!("freshet_explored_places_total").increment(explored);
        counter!("freshet_explored_untried_places_total").increment(untried);
        for (source, brought) in &self.0.sources {
            let name = source.name();
            counter!("freshet_candidates_total", "source" => name).increment(brought.candidates);
            counter!("freshet_candidates_alone_total", "source" => name).increment(brought.alone);
            counter!("freshet_candidates_top50_total", "source" => name).increment(brought.top);
        }
    }
}

/// The vector index was looked after.
pub struct Index(pub IndexReport);

impl Index {
    /// Shows how it is.
    pub fn emit(self) {
        let report = self.0;
        gauge!("freshet_index_spaces").set(report.spaces as f64);
        gauge!("freshet_index_videos").set(report.videos as f64);
        gauge!("freshet_index_version").set(report.version as f64);
        gauge!("freshet_index_lists").set(report.lists as f64);
        gauge!("freshet_index_trained_on").set(report.trained_on as f64);
        // Without lists all are compared. Where nobody asked, the last figure stands.
        if report.lists == 0 || report.recall.wanted > 0 {
            gauge!("freshet_index_recall").set(report.recall.share());
        }
    }
}

/// How alike lists are, at a publication.
pub struct Alike<'a>(pub &'a Spread);

impl Alike<'_> {
    /// Shows it.
    pub fn emit(self) {
        let spread = self.0;
        gauge!("freshet_lists_overlap").set(spread.overlap() as f64 / 1e6);
        gauge!("freshet_lists_videos").set(spread.videos as f64);
        gauge!("freshet_lists_most_frequent").set(spread.most as f64);
        gauge!("freshet_lists_lowered_videos").set(spread.chances.len() as f64);
        gauge!("freshet_lists_spread_strength").set(spread.strength as f64 / 8.0);
    }
}

/// What happened to the lives of new videos, on one worker.
pub struct Lives<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// It.
    pub report: &'a Report,
    /// How many lives there are, by worker.
    pub standing: &'a [Standing],
}

impl Lives<'_> {
    /// Counts it, and logs each transition with its numbers.
    pub fn emit(self) {
        let report = self.report;
        self.log();
        counter!("freshet_cohort_lives_begun_total").increment(report.begun.len() as u64);
        counter!("freshet_cohort_lives_removed_total").increment(report.removed.len() as u64);
        counter!("freshet_cohort_top_ups_total").increment(report.top_ups.len() as u64);
        // What was taken back was given before: counters only grow, and count what was given.
        counter!("freshet_cohort_invitations_total").increment(u64::try_from(report.invited).unwrap_or(0));
        counter!("freshet_cohort_exposures_total").increment(u64::try_from(report.exposed).unwrap_or(0));
        for moved in &report.moves {
            let verdict = moved.judged.verdict.as_str();
            counter!("freshet_cohort_stages_judged_total", "verdict" => verdict).increment(1);
        }
        let sum = |of: fn(&Standing) -> u64| self.standing.iter().map(of).sum::<u64>() as f64;
        gauge!("freshet_cohort_lives", "stage" => "waiting").set(sum(|standing| standing.waiting));
        gauge!("freshet_cohort_lives", "stage" => "first").set(sum(|standing| standing.first));
        gauge!("freshet_cohort_lives", "stage" => "fading").set(sum(|standing| standing.fading));
        gauge!("freshet_cohort_lives", "stage" => "expanding").set(sum(|standing| standing.expanding));
    }

    /// Some lines a new video: `log.filter = "info,cohorts=warn"` leaves them away.
    fn log(&self) {
        let epoch = self.epoch.0;
        for begun in &self.report.begun {
            let (video, wanted) = (begun.video, begun.wanted);
            tracing::info!(target: "cohorts", epoch, video, stage = begun.stage, wanted, "the life of a new video has begun");
        }
        for (topped_up, more) in &self.report.top_ups {
            tracing::info!(
                target: "cohorts",
                epoch,
                video = topped_up.video,
                stage = topped_up.stage,
                wanted = topped_up.wanted,
                invited = topped_up.part.invited,
                exposed = topped_up.part.exposed,
                watched = topped_up.part.watched,
                top_up = topped_up.top_ups,
                more,
                "a stage of a cohort reached too few and is topped up"
            );
        }
        for Moved { video, judged, next } in &self.report.moves {
            let part = |per_mille: i64| per_mille as f64 / 1e3;
            let ratio = |millionths: i64| millionths as f64 / 1e6;
            tracing::info!(
                target: "cohorts",
                epoch,
                video,
                stage = judged.number,
                verdict = judged.verdict.as_str(),
                performance = ratio(judged.measured.performance),
                threshold = ratio(judged.threshold),
                wanted = judged.wanted,
                invited = judged.part.invited,
                exposed = judged.part.exposed,
                watched = judged.part.watched,
                watched_part = part(judged.measured.own[0]),
                completion = part(judged.measured.own[1]),
                skips = part(judged.measured.own[2]),
                top_ups = judged.top_ups,
                next = next.unwrap_or(0),
                "{}",
                match next {
                    Some(_) => "a stage of a cohort was judged, and the next one begins",
                    None => "the last stage of a cohort was judged: the life of the video is over",
                }
            );
        }
        for removed in &self.report.removed {
            tracing::info!(
                target: "cohorts",
                epoch,
                video = removed.video,
                stage = removed.stage,
                wanted = removed.wanted,
                invited = removed.part.invited,
                exposed = removed.part.exposed,
                watched = removed.part.watched,
                "the life of a video ended with it: it cannot be shown any more"
            );
        }
    }
}

/// What is suspected of users or videos on one worker.
pub struct Suspected<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// It.
    pub report: &'a abuse::Report,
    /// How many there are of the same side, by worker.
    pub standing: &'a [abuse::Standing],
}

impl Suspected<'_> {
    /// Shows that nobody is suspected so far: what judges reports changes, and a gauge that is not there looks like one that nobody set up.
    pub fn nobody() {
        for side in [abuse::Side::Users, abuse::Side::Videos] {
            let report = abuse::Report { side, standing: abuse::Standing::default(), changes: Vec::new() };
            Suspected { epoch: Epoch(0), report: &report, standing: &[] }.emit();
        }
    }

    /// Shows how many there are, and logs each whose signals changed.
    pub fn emit(self) {
        let of = match self.report.side {
            abuse::Side::Users => "users",
            abuse::Side::Videos => "videos",
        };
        let flags = self.report.changes.iter().filter(|change| change.flagged).count();
        counter!("freshet_abuse_flags_total", "of" => of).increment(flags as u64);
        for change in &self.report.changes {
            tracing::debug!(
                target: "abuse",
                epoch = self.epoch.0,
                of,
                id = change.id,
                signals = change.signals.names(),
                flagged = change.flagged,
                "the signals of abuse changed"
            );
        }
        let sum =
            |count: &dyn Fn(&abuse::Standing) -> u64| self.standing.iter().map(count).sum::<u64>() as f64;
        gauge!("freshet_abuse_flagged", "of" => of).set(sum(&|standing| standing.flagged));
        for (n, (_, signal)) in abuse::Signals::ALL.into_iter().enumerate() {
            gauge!("freshet_abuse_suspected", "of" => of, "signal" => signal)
                .set(sum(&|standing| standing.signals[n]));
        }
    }
}

/// The state's sizes, by worker.
pub struct State<'a> {
    /// For each worker the sizes of its pieces.
    pub workers: &'a [Vec<Size>],
}

impl State<'_> {
    /// Shows the sums over the workers.
    pub fn emit(self) {
        let mut sums: BTreeMap<&'static str, StateSize> = BTreeMap::new();
        for (name, size) in self.workers.iter().flatten() {
            let sum = sums.entry(name).or_default();
            *sum = sum.plus(*size);
        }
        for (name, size) in sums {
            gauge!("freshet_state_entries", "state" => name).set(size.entries as f64);
            gauge!("freshet_state_bytes", "state" => name).set(size.bytes as f64);
        }
    }
}

/// A snapshot was taken for a query.
pub struct SqlSnapshot {
    /// From the question to the answer.
    pub took: Duration,
}

impl SqlSnapshot {
    /// Counts it.
    pub fn emit(self) {
        histogram!("freshet_sql_snapshot_seconds").record(self.took.as_secs_f64());
    }
}

/// A worker stood still for a snapshot.
pub struct SqlPause {
    /// In microseconds.
    pub stood_us: u64,
}

impl SqlPause {
    /// Counts it.
    pub fn emit(self) {
        histogram!("freshet_sql_pause_seconds").record(self.stood_us as f64 / 1e6);
    }
}

/// Rows of a table were sent to a query.
pub struct SqlRows {
    /// The table.
    pub table: &'static str,
    /// How many.
    pub rows: usize,
}

impl SqlRows {
    /// Counts them.
    pub fn emit(self) {
        counter!("freshet_sql_rows_total", "table" => self.table).increment(self.rows as u64);
    }
}
