//! What the archive counts and logs, each as a struct with `emit`.
#![allow(clippy::disallowed_macros, reason = "this is the crate's one place for them")]

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::error::ArchiveError;

const THROUGH: &str = "freshet_archive_epoch";
const ROWS: &str = "freshet_archive_rows_total";
const BYTES: &str = "freshet_archive_written_bytes_total";
const FILES: &str = "freshet_archive_files";
const WAITING: &str = "freshet_archive_waiting_bytes";
const FAILURES: &str = "freshet_archive_failures_total";

/// Registers units and descriptions with the process's recorder; call it once after installing that.
pub fn describe() {
    describe_gauge!(THROUGH, "The epoch up to which the archive is durable.");
    describe_counter!(ROWS, "Rows that were written to the archive.");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of files that were written to the archive, compacted ones again."
    );
    describe_gauge!(FILES, "Files of the archive.");
    describe_gauge!(WAITING, Unit::Bytes, "Records that wait to be archived.");
    describe_counter!(FAILURES, "Times the archive could not be written.");
    // An alert on what grows needs a first value.
    counter!(FAILURES).increment(0);
}

/// A commit was made.
pub(crate) struct Committed {
    pub(crate) through: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) files: usize,
}

impl Committed {
    pub(crate) fn emit(self) {
        gauge!(THROUGH).set(self.through as f64);
        counter!(ROWS).increment(self.rows);
        counter!(BYTES).increment(self.bytes);
        gauge!(FILES).set(self.files as f64);
    }
}

/// So many bytes wait.
pub(crate) struct Waiting(pub(crate) u64);

impl Waiting {
    pub(crate) fn emit(self) {
        gauge!(WAITING).set(self.0 as f64);
    }
}

/// An attempt failed; another will follow.
pub(crate) struct Failed<'a> {
    pub(crate) failures: u64,
    pub(crate) error: &'a ArchiveError,
}

impl Failed<'_> {
    pub(crate) fn emit(self) {
        let Self { failures, error } = self;
        counter!(FAILURES).increment(1);
        // The first says it; with growing pauses, each tenth after it is one in some minutes.
        if failures == 1 || failures.is_multiple_of(10) {
            tracing::warn!(failures, %error, "the archive cannot be written; its rows wait, and it is tried again");
        }
    }
}

/// The writer has ended and nothing more is archived.
pub(crate) struct Died<'a>(pub(crate) &'a ArchiveError);

impl Died<'_> {
    pub(crate) fn emit(self) {
        let Self(error) = self;
        counter!(FAILURES).increment(1);
        tracing::error!(%error, "the archive's writer has ended");
    }
}

/// It could be written again.
pub(crate) struct Back {
    pub(crate) failures: u64,
}

impl Back {
    pub(crate) fn emit(self) {
        tracing::info!(failures = self.failures, "the archive is written again");
    }
}
