//! What can go wrong with an archive. Each message names the file and the remedy.

use std::path::PathBuf;

use freshet_schema::Epoch;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The disk, or the server of the bucket.
    #[error("cannot {action} {path}: {source}; {remedy}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
        /// What to see to.
        remedy: &'static str,
    },
    /// A bucket that cannot be reached, as its address or the environment are wrong.
    #[error("archive.dir: {0}")]
    Bucket(#[from] crate::BucketError),
    /// A file is not what was written.
    #[error("{path}: {what}; restore it from a copy", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process writes.
    #[error("{dir}: another process writes this archive: stop that service, or name another folder (archive.dir)", dir = dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process has begun to write what this one wrote, in a bucket.
    #[error(
        "{dir}: another process has taken the archive over, and this one writes no more of it; what it had not written, its next \
         start writes. Nothing has to be done unless both were meant to run (then give them different places, archive.dir)",
        dir = dir.display()
    )]
    Taken {
        /// The place.
        dir: PathBuf,
    },
    /// A server that lets two processes take the same name.
    #[error(
        "{path}: its server takes a PUT with `If-None-Match: *` although the name is taken, so two processes could write the archive: \
         keep it on a server that honours it, as S3 does, or in a folder",
        path = path.display()
    )]
    NotExclusive {
        /// The name.
        path: PathBuf,
    },
    /// There is no archive.
    #[error("{dir}: no archive is there (no manifest); `freshet run --archive DIR` writes one", dir = dir.display())]
    None {
        /// The folder.
        dir: PathBuf,
    },
    /// It ends before the run begins.
    #[error(
        "{dir}: the archive holds the epochs up to {through}, and the run goes on behind {resumed}: what lies between would be \
         missing for good. It is an older copy: restore the newer one, or name a new folder (archive.dir), which will begin \
         behind epoch {resumed}",
        dir = dir.display()
    )]
    Behind {
        /// The folder.
        dir: PathBuf,
        /// What it holds.
        through: Epoch,
        /// Where the run goes on.
        resumed: Epoch,
    },
    /// It was written by another run.
    #[error(
        "{dir}: its epoch {epoch} is not that of this run: the archive belongs to another journal. Name another folder \
         (archive.dir), or the journal that it belongs to",
        dir = dir.display()
    )]
    OtherRun {
        /// The folder.
        dir: PathBuf,
        /// The epoch in which they differ.
        epoch: Epoch,
    },
    /// It holds epochs that the run, which goes on behind some of them, does not know.
    #[error(
        "{dir}: the archive holds the epochs up to {through}, and this run knows those up to {known}: it belongs to another journal. Name \
         that one; or, where it is lost for good, take out the rows of later epochs with `freshet archive truncate {dir} --to {known}`; \
         or name another folder (archive.dir), which will begin behind epoch {resumed}",
        dir = dir.display()
    )]
    Ahead {
        /// The folder.
        dir: PathBuf,
        /// What it holds.
        through: Epoch,
        /// The last epoch that checkpoint or journal of the run know.
        known: Epoch,
        /// Where the run goes on.
        resumed: Epoch,
    },
    /// It is to be cut back to an epoch that it never had.
    #[error(
        "{dir}: the archive was begun behind epoch {begins_behind}, and cannot be cut back to {to}: name another folder (archive.dir), \
         which will begin where the run goes on",
        dir = dir.display()
    )]
    BeginsBehind {
        /// The folder.
        dir: PathBuf,
        /// Behind which epoch it begins.
        begins_behind: Epoch,
        /// The epoch that was asked for.
        to: Epoch,
    },
    /// The writer has ended.
    #[error("the archive's writer has ended: {cause}")]
    Ended {
        /// Why, in words.
        cause: String,
        /// Whether another process has taken the archive over.
        taken: bool,
    },
    /// Told to end while the disk refused.
    #[error(
        "{dir}: what came behind epoch {through} is not archived ({last}); nothing is lost: no checkpoint was made of it, and the \
         next start writes it",
        dir = dir.display()
    )]
    GivenUp {
        /// The folder.
        dir: PathBuf,
        /// What it holds.
        through: Epoch,
        /// The last failure.
        last: String,
    },
}

impl ArchiveError {
    /// Whether the same may succeed later: a disk can get room again.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    /// Whether another process writes the archive now: to begin anew would take it back.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. } | Self::Ended { taken: true, .. })
    }
}
