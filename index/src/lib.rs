//! One logical index over video vectors, fed by the stream: approximate search that repeats.
//!
//! An inverted file: lists about centroids, which FAISS chooses (`faiss`, flat, inner product) and which are passed over once for
//! all queries of a batch (`lists`). Lists take additions and removals cheaply, which graphs of neighbours do not. A replayed
//! pipeline needs what a library of approximate search does not promise: **results are a function of the vectors, the version and
//! the query**. Not of the order of changes, of the batch, of threads, of the processor, or of a restart in between.
//!
//! - Videos are held as `learning::Direction`s, their vectors scaled to one norm, so that the inner product orders by the cosine,
//!   as similarity does elsewhere. Directions, queries and centroids are whole numbers with sums below 2^24: scores are
//!   exact in any order of addition.
//! - Results are ordered by (score descending, id ascending), a total order: what is tied with the last of the best is kept until
//!   the ids have decided.
//! - Centroids are trained by `learning::kmeans`, in whole numbers, on a sample drawn by seeded hash of the id and taken in id
//!   order. They are a numbered [`Version`]: data that is published, kept and restored. A restart never trains.
//! - Changes between trainings touch only entries. Equal directions are one entry with several videos, so that content that says
//!   little makes no heap of ties.
//! - Below `train_at` distinct directions all are compared, which is exact.
//!
//! # In a graph
//!
//! The index is not sharded: centroids, and with them what is found, would depend on the number of workers. One worker holds
//! it. At each epoch it gets the epoch's changes of videos' vectors (upload, change, deletion) and the epoch's
//! queries, from all workers, each with who asks. When the epoch is complete, in this order:
//!
//! ```
//! # use freshet_index::{Error, Neighbour, Params, VectorIndex, Version};
//! # use freshet_schema::VideoId;
//! # fn epoch(index: &mut VectorIndex, changes: &[(VideoId, Option<Vec<i8>>)], queries: &[&[i8]], boundary: bool)
//! #     -> Result<(Vec<Vec<Neighbour>>, Option<Version>), Error> {
//! for (video, vector) in changes {
//!     match vector {
//!         Some(vector) => index.upsert(*video, vector)?,
//!         None => drop(index.remove(*video)),
//!     }
//! }
//! // At the boundaries of publications. A new version goes into its cut; a restored index is given the cut's.
//! let published = if boundary { index.maintain()? } else { None };
//! // One batch an epoch; results go back to the workers that asked, as candidates of one more source.
//! let results = index.search(queries, 100)?;
//! # Ok((results, published))
//! # }
//! ```
//!
//! The cut is the version alone: vectors are in the cut of videos already, and [`VectorIndex::adopt`] takes the version once they
//! are in. Within an epoch the last change of a video counts, so the stage sorts them first, as all stages do.
//!
//! # Threads
//!
//! FAISS and OpenBLAS start a thread a core for a batch. Results are the same, but beside workers that use the cores it only costs:
//! [`one_thread`], called first in `main`, keeps them to the caller's thread.

mod error;
mod groups;
mod index;
mod lists;
mod params;
mod rank;
mod threads;
mod version;

pub use error::Error;
pub use index::{Recall, Snapshot, VectorIndex};
pub use params::Params;
pub use rank::Neighbour;
pub use threads::one_thread;
pub use version::Version;
