//! What the metrics mean, said to the recorder once; and those of the process itself.
//!
//! Names follow Prometheus' convention: `freshet_`, the thing, the unit in its base form, `_total` for what only grows. What is
//! counted now and then (retries, dead letters) stands there from the start with 0: an alert on its growth needs a first value.

#![allow(clippy::disallowed_macros, reason = "the process's own metrics have their home here")]

use freshet_schema::dead_letter::Reason;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::progress::Phase;

/// Registers what the job's metrics mean, and begins those that may never move.
pub fn describe() {
    describe_counter!("freshet_events_total", "Records that went into the graph, by stream.");
    describe_counter!("freshet_dead_letters_total", "Records set aside, by reason.");
    describe_gauge!("freshet_now_seconds", Unit::Seconds, "The pipeline's clock, since 1970.");
    describe_gauge!(
        "freshet_watermark_lag_seconds",
        Unit::Seconds,
        "How far event time is behind the clock."
    );
    describe_gauge!("freshet_input_bytes_in_last_epoch", Unit::Bytes, "Records of the last epoch.");
    describe_counter!("freshet_epochs_committed_total", "Epochs committed to the store.");
    describe_counter!("freshet_lists_written_total", "Users' lists written to the store.");
    describe_gauge!("freshet_epoch", "The last epoch committed.");
    describe_histogram!(
        "freshet_epoch_seconds",
        Unit::Seconds,
        "From reading an epoch's records to its commit."
    );
    describe_histogram!(
        "freshet_freshness_seconds",
        Unit::Seconds,
        "From a live interaction's event time to its commit."
    );
    describe_gauge!(
        "freshet_in_flight_epochs",
        "Epochs that are read and not committed; graph.in_flight at most."
    );
    describe_gauge!(
        "freshet_in_flight_bytes",
        Unit::Bytes,
        "Memory of those epochs, about; graph.in_flight_bytes at most."
    );
    describe_gauge!("freshet_input_lag_records", "Records of a Kafka partition that are not read yet.");
    describe_gauge!(
        "freshet_input_holds_frontier",
        "1 for the partition whose event time is the least: a replay waits for it."
    );
    describe_counter!("freshet_checkpoints_total", "Checkpoints made.");
    describe_counter!("freshet_checkpoint_failures_total", "Checkpoints that could not be made.");
    describe_gauge!("freshet_checkpoint_timestamp_seconds", Unit::Seconds, "When the last one was made.");
    describe_gauge!("freshet_checkpoint_epoch", "The epoch it is of.");
    describe_gauge!("freshet_checkpoint_bytes", Unit::Bytes, "Its files.");
    describe_gauge!("freshet_checkpoint_duration_seconds", Unit::Seconds, "From its order to its name.");
    describe_histogram!(
        "freshet_checkpoint_stall_seconds",
        Unit::Seconds,
        "How long the slowest worker stood still for one."
    );
    describe_gauge!("freshet_checkpoint_rows", "Rows of a cut in the last checkpoint.");
    describe_gauge!(
        "freshet_checkpoint_state_bytes",
        Unit::Bytes,
        "The files of a cut in the last checkpoint."
    );
    describe_gauge!("freshet_early_held", "Interactions that wait for their upload.");
    describe_counter!(
        "freshet_early_overflow_total",
        "Interactions that no longer wait because too many would."
    );
    describe_counter!("freshet_candidates_total", "Candidates that a source brought to lists.");
    describe_counter!("freshet_candidates_alone_total", "Candidates that no other source brought.");
    describe_counter!(
        "freshet_candidates_top50_total",
        "Places among the first 50 that a source has part in."
    );
    describe_gauge!("freshet_index_spaces", "Embedding spaces with a vector index.");
    describe_gauge!("freshet_index_videos", "Videos in the vector index.");
    describe_gauge!("freshet_index_version", "The publication that the index's centroids are of.");
    describe_gauge!("freshet_index_lists", "Inverted lists of the index; 0 where all videos are compared.");
    describe_gauge!("freshet_index_trained_on", "Videos that the centroids were trained on.");
    describe_gauge!(
        "freshet_index_recall",
        "Share of the true nearest that the index found, sampled at publications."
    );
    describe_counter!("freshet_cohort_lives_begun_total", "New videos whose first cohort was asked for.");
    describe_counter!("freshet_cohort_lives_removed_total", "Lives that ended with their video.");
    describe_counter!(
        "freshet_cohort_invitations_total",
        "Users who were invited to the cohort of a new video."
    );
    describe_counter!("freshet_cohort_exposures_total", "Invited users who were shown the video.");
    describe_counter!("freshet_cohort_top_ups_total", "Stages for which more users were invited.");
    describe_counter!("freshet_cohort_stages_judged_total", "Stages that were judged, by verdict.");
    describe_counter!(
        "freshet_lists_widened_total",
        "Lists that had become too narrow for their users, and got more novelty and less of a category."
    );
    describe_counter!(
        "freshet_lists_looping_total",
        "Lists of users whose last videos were almost alike (interest.obsession_above)."
    );
    describe_counter!(
        "freshet_lists_drifting_total",
        "Lists of users whose short- and mid-term interest have parted (interest.drift_below)."
    );
    describe_counter!(
        "freshet_explored_places_total",
        "Places of lists that were given to a category to try it out."
    );
    describe_counter!(
        "freshet_explored_untried_places_total",
        "Those whose category was new to the published arms, or drawn evenly."
    );
    describe_gauge!(
        "freshet_lists_overlap",
        "Share of a list's first places that another user's list has as well, on average (diversity.places)."
    );
    describe_gauge!("freshet_lists_videos", "Different videos in the first places of all lists.");
    describe_gauge!("freshet_lists_most_frequent", "Lists that hold the most frequent of them.");
    describe_gauge!(
        "freshet_lists_lowered_videos",
        "Videos that are lowered for some users, as too many lists hold them."
    );
    describe_gauge!("freshet_lists_spread_strength", "How much of that rule applies, from 0 to 1.");
    describe_gauge!("freshet_abuse_flagged", "Users and videos that are flagged for abuse.");
    describe_gauge!(
        "freshet_abuse_suspected",
        "Users and videos of which something is suspected, by signal."
    );
    describe_counter!(
        "freshet_abuse_flags_total",
        "Times that signals of a user or a video changed to something that is enough for a flag."
    );
    describe_gauge!("freshet_cohort_lives", "Lives of new videos under way, by stage, and those that wait.");
    describe_gauge!("freshet_state_entries", "Entries of each piece of state.");
    describe_gauge!(
        "freshet_state_bytes",
        Unit::Bytes,
        "Bytes of each piece of state, by the sizes of its types."
    );
    describe_gauge!("freshet_store_slices_to_remake", "Slices of the store that wait to be written again.");
    describe_gauge!("freshet_store_lost_shards", "Shards of the store, of 64, that are not whole.");
    describe_gauge!("freshet_restarts", "How often the supervisor has begun the job again.");
    describe_gauge!("freshet_processes", "Processes of the job.");
    describe_gauge!("freshet_phase", "1 for the phase that the job is in, 0 for the others.");
    describe_gauge!(
        "process_resident_memory_bytes",
        Unit::Bytes,
        "Memory of the process that is not swapped out."
    );
    describe_counter!("process_cpu_seconds_total", Unit::Seconds, "Processor time of the process.");
    describe_gauge!("process_start_time_seconds", Unit::Seconds, "When the process began, since 1970.");
    for reason in Reason::ALL {
        counter!("freshet_dead_letters_total", "reason" => reason.as_str()).increment(0);
    }
    counter!("freshet_early_overflow_total").increment(0);
    gauge!("freshet_early_held").set(0.0);
    supervised(0, 1);
    gauge!("freshet_store_slices_to_remake").set(0.0);
    gauge!("freshet_store_lost_shards").set(0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(now.as_secs_f64());
    process();
}

/// Says what the supervisor knows.
pub fn supervised(restarts: u64, processes: usize) {
    gauge!("freshet_restarts").set(restarts as f64);
    gauge!("freshet_processes").set(processes as f64);
}

/// Says in which phase the job is.
pub fn phase(phase: Phase) {
    for other in Phase::ALL {
        gauge!("freshet_phase", "phase" => other.as_str()).set(f64::from(u8::from(other == phase)));
    }
}

/// Looks at the process, where the system has `/proc`.
pub fn process() {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let resident = read("/proc/self/status")
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    if let Some(kib) = resident {
        gauge!("process_resident_memory_bytes").set((kib * 1024) as f64);
    }
    // Behind the name, which may hold spaces: the 12th and 13th field are user and system time in hundredths of a second.
    let stat = read("/proc/self/stat");
    let times = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks: Option<u64> = times.and_then(|times| times.map(|time| time.parse::<u64>().ok()).sum());
    if let Some(ticks) = ticks {
        counter!("process_cpu_seconds_total").absolute(ticks / 100);
    }
}
