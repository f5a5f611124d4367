//! What can go wrong with checkpoints. Each message names the file and the remedy.

use std::path::PathBuf;

use freshet_schema::{Epoch, Generation};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
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
    #[error("checkpoint.dir: {0}")]
    Bucket(#[from] freshet_archive::BucketError),
    /// A server that lets two runs take the same name.
    #[error(
        "{path}: its server takes a PUT with `If-None-Match: *` although the name is taken, so two runs could own the job: keep          the checkpoints on a server that honours it, as S3 does, or in a folder",
        path = path.display()
    )]
    NotExclusive {
        /// The name.
        path: PathBuf,
    },
    /// A file is not what was written.
    #[error("{path}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer run owns the job.
    #[error(
        "generation {newer} has taken over the checkpoints in {dir}: this run, generation {mine}, is an old one and ends; \
         nothing is lost, and nothing has to be done unless both were meant to run (then give them different folders)",
        dir = dir.display()
    )]
    Superseded {
        /// The folder.
        dir: PathBuf,
        /// Ours.
        mine: Generation,
        /// The newer one.
        newer: Generation,
    },
    /// An older run has written a checkpoint of this epoch.
    #[error("{path}: an older run has made a checkpoint of epoch {epoch}; the next one of this run will be of a later epoch", path = path.display())]
    Taken {
        /// The manifest.
        path: PathBuf,
        /// The epoch.
        epoch: Epoch,
    },
    /// There are checkpoints, and none can be used.
    #[error(
        "{dir}: none of its {count} checkpoints can be used:{reasons}\n\
         restore the folder from a copy; or move it, the journal and the store away and begin anew",
        dir = dir.display()
    )]
    NoneValid {
        /// The folder.
        dir: PathBuf,
        /// Manifests there.
        count: usize,
        /// Why not, one a line.
        reasons: String,
    },
    /// A cut was written by other parameters or another release.
    #[error(
        "{path}: {what}\n\
         set it back; or choose with checkpoint.on_mismatch: \"drop-cut\" begins these cuts empty, \"rebuild\" reads the \
         log again from its beginning",
        path = path.display()
    )]
    Mismatch {
        /// The manifest.
        path: PathBuf,
        /// The cuts and how they differ, one a line.
        what: String,
    },
    /// The workers could not be waited for.
    #[error("the dataflow ended while a checkpoint was taken")]
    Abandoned,
}
