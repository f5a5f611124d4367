//! Whole objects under names: what a folder of this machine and a bucket of an object store have in common.
//!
//! A bucket knows no appending, no syncing and no second names. It knows an object that is there as a whole or not at all, and
//! a name that only one can take. A folder can be brought to the same ([`OnDisk`]: a temporary file, synced, then linked or renamed),
//! and neither checkpoints nor the archive need more.

mod bucket;
mod on_disk;

pub use bucket::{Bucket, BucketError, SCHEME};
pub use on_disk::OnDisk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::LocalDisk;

/// See the module. Names are relative, with `/` between folder and file.
pub trait Objects: Send + Sync {
    /// A name as a message shows it: a path, or `s3://BUCKET/KEY`.
    fn place(&self, name: &str) -> PathBuf;

    /// What to see to where something here fails.
    fn remedy(&self) -> &'static str;

    /// Whether each call asks another machine, which takes its time and may not answer.
    fn is_remote(&self) -> bool;

    /// Makes an object of this name, which nobody has. It is whole and durable when this returns. `by` tells an unfinished one of
    /// ours from those of others. The bytes are such as nobody else would write: where the name holds just these, they are ours,
    /// and it was the answer to them that was lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken; of the disk or the server.
    fn create(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts an object in the place of any that has this name; as [`Objects::create`] otherwise.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn replace(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()>;

    /// Begins an object that is too large to be held: it comes piece by piece, and is there when it is finished.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn begin(&self, name: &str) -> io::Result<Box<dyn Unfinished + '_>>;

    /// Makes the names in a folder durable: those that were finished, renamed or removed.
    ///
    /// # Errors
    /// Of the disk.
    fn settle(&self, folder: &str) -> io::Result<()>;

    /// Gives an object another name. After a failure it may have both.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// All of an object.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; of the disk or the server.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// The names in a folder, without it, in their order; none where it is not there. Folders in it are among them.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// The folders in a folder whose names begin so, each with the names in it, in their order.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn folders(&self, folder: &str, begin: &str) -> io::Result<BTreeMap<String, Vec<String>>> {
        let names = self.list(folder)?.into_iter().filter(|name| name.starts_with(begin));
        names.map(|name| Ok((name.clone(), self.list(&format!("{folder}/{name}"))?))).collect()
    }

    /// Removes an object; there may be none.
    ///
    /// # Errors
    /// Of the disk or the server.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes an empty folder; there may be none.
    ///
    /// # Errors
    /// Of the disk.
    fn remove_folder(&self, folder: &str) -> io::Result<()>;
}

/// An object that is being written. Dropped before it is finished, it was never there.
pub trait Unfinished {
    /// Adds to its end.
    ///
    /// # Errors
    /// Of the disk or the server; it cannot be finished then.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes it durable and gives it its name; the name is durable after [`Objects::settle`].
    ///
    /// # Errors
    /// Of the disk or the server.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Opens what a configuration names: `s3://BUCKET/PREFIX`, else a folder of this machine. Nothing is asked or made yet.
///
/// # Errors
/// [`BucketError`].
pub fn open(place: &Path) -> Result<Arc<dyn Objects>, BucketError> {
    match place.to_str().filter(|text| text.starts_with(SCHEME)) {
        Some(url) => Ok(Arc::new(Bucket::open(url)?)),
        None => Ok(Arc::new(OnDisk::new(Arc::new(LocalDisk::new(place))))),
    }
}
