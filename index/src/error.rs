//! What can go wrong, and what to do about it.

use freshet_schema::VideoId;

/// Why an index refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting out of its range.
    #[error("index: {key} = {value} is not in {least}..={most}: choose a value in that range")]
    Param {
        /// The setting.
        key: &'static str,
        /// What it was.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A video's vector of other dimensions than the index has.
    #[error(
        "index: the vector of video {video} has {found} entries, the index has dims = {dims}: give its first {dims}"
    )]
    Length {
        /// Whose vector it is.
        video: VideoId,
        /// Its entries.
        found: usize,
        /// Those of the index.
        dims: usize,
    },
    /// A query of other dimensions than the index has.
    #[error("index: query {number} has {found} entries, the index has dims = {dims}: give its first {dims}")]
    Query {
        /// Its number in the batch, from 0.
        number: usize,
        /// Its entries.
        found: usize,
        /// Those of the index.
        dims: usize,
    },
    /// A version that was made for vectors of other dimensions.
    #[error(
        "index: version {number} has centroids of {found} entries, the index has dims = {dims}: \
         restore it with dims = {found}, or leave the version out and train anew"
    )]
    Version {
        /// The version's number.
        number: u64,
        /// Entries of its centroids.
        found: usize,
        /// Those of the index.
        dims: usize,
    },
    /// A snapshot that names a video twice.
    #[error("index: the snapshot holds video {video} twice: it is damaged, restore an earlier one")]
    Twice {
        /// The video.
        video: VideoId,
    },
    /// FAISS refused. A bug of ours, or no memory.
    #[error("index: FAISS cannot {action}: {source}")]
    Faiss {
        /// What it was to do.
        action: &'static str,
        /// What it says.
        source: faiss::error::Error,
    },
}
