//! The archive: its manifest, and its files as open files.
//!
//! A name can go at any moment, because the service puts small files together; an open file stays. So a query opens all that it will
//! read before it reads any of it. Where a name is gone already, the manifest is another one by now, and the query is planned again
//! with that ([`Changed`]). Of an archive in a bucket the files are fetched first ([`super::fetched`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use freshet_archive::objects::SCHEME;
use freshet_archive::{FileEntry, Folder, Manifest};
use parquet::file::metadata::ParquetMetaData;

use super::fetched::Fetched;

/// Footers that are kept between queries, in bytes.
const FOOTERS: usize = 32 << 20;

/// The archive was changed since its manifest was read: what was planned with it is planned again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive was compacted while the query was planned")]
pub struct Changed;

/// See the module.
#[derive(Debug)]
pub struct Archive {
    folder: Option<Folder>,
    footers: Mutex<Footers>,
    fetched: Fetched,
}

#[derive(Debug, Default)]
struct Footers {
    /// By the file's name, which is never used again. Never gone through, so its order is nobody's.
    by_path: HashMap<String, Arc<ParquetMetaData>>,
    bytes: usize,
}

impl Archive {
    /// The archive in a folder or a bucket, or none.
    ///
    /// # Errors
    /// Where the place is neither, or the environment does not say how to reach the bucket.
    pub fn new(place: Option<&str>) -> anyhow::Result<Self> {
        if let Some(place) = place.filter(|place| place.contains("://") && !place.starts_with(SCHEME)) {
            bail!("the archive {place}: history is read from a folder, or from s3://BUCKET/PREFIX");
        }
        let folder = place.map(|place| Folder::open(Path::new(place))).transpose()?;
        Ok(Self { folder, footers: Mutex::default(), fetched: Fetched::default() })
    }

    fn folder(&self) -> anyhow::Result<&Folder> {
        self.folder.as_ref().context(
            "there is no history: the service writes no archive (archive.dir); begin one with `freshet run --archive DIR`, or name \
             one with --archive DIR",
        )
    }

    /// The manifest that holds now.
    ///
    /// # Errors
    /// Where there is no archive, or its manifest cannot be read.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        Ok(self.folder()?.existing()?)
    }

    /// Opens a file of a manifest.
    ///
    /// # Errors
    /// [`Changed`] where another manifest holds by now; where the file is not what was written, or cannot be opened.
    pub fn open(self: &Arc<Self>, entry: &FileEntry) -> anyhow::Result<OpenFile> {
        let folder = self.folder()?;
        let path = folder.dir().join(&entry.path);
        let file = if folder.is_remote() {
            self.fetched.fetch(folder, entry)?
        } else {
            open_local(&path)?.map(Arc::new)
        };
        let Some(file) = file else {
            // Still named, and yet not there: no compaction did that.
            if self.manifest()?.files.iter().any(|file| file.path == entry.path) {
                bail!(
                    "{}: the archive's manifest names it, and it is not there; restore it from a copy",
                    path.display()
                );
            }
            bail!(Changed);
        };
        let length = file.metadata().with_context(|| path.display().to_string())?.len();
        if length != entry.bytes {
            bail!(
                "{}: it has {length} bytes, and was written with {}; restore it from a copy",
                path.display(),
                entry.bytes
            );
        }
        Ok(OpenFile { archive: Arc::clone(self), file, name: entry.path.clone(), length })
    }
}

/// A file of this machine; none where its name is gone.
fn open_local(path: &Path) -> anyhow::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if too_many(&error) => bail!(
            "{}: {error}: the query reads more files than this process may open; ask for fewer days, allow more (ulimit -n), or \
             put small files together with `freshet archive compact`",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!("{}: run the command as the user that runs the service", path.display())
        }),
    }
}

fn too_many(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// A file that stays readable, whatever becomes of its name.
#[derive(Clone, Debug)]
pub struct OpenFile {
    archive: Arc<Archive>,
    file: Arc<File>,
    name: String,
    length: u64,
}

impl OpenFile {
    /// Its place in the archive.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads `length` bytes from a place on.
    ///
    /// # Errors
    /// Of the disk, or where the file ends before.
    pub fn read(&self, from: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// The footer, if it was read before.
    #[must_use]
    pub fn footer(&self) -> Option<Arc<ParquetMetaData>> {
        let footers = self.archive.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.by_path.get(&self.name).cloned()
    }

    /// Keeps the footer for later queries. Of files that are gone they stay until there are too many: then all go.
    pub fn keep_footer(&self, footer: &Arc<ParquetMetaData>) {
        let mut footers = self.archive.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.bytes += footer.memory_size();
        if footers.bytes > FOOTERS {
            footers.by_path.clear();
            footers.bytes = footer.memory_size();
        }
        footers.by_path.insert(self.name.clone(), Arc::clone(footer));
    }
}

#[cfg(test)]
mod tests {
    use freshet_archive::folder::NewFile;
    use freshet_archive::{Bucket, Mark, Objects, Table};
    use freshet_schema::Epoch;
    use object_store::memory::InMemory;

    use super::*;

    /// What was opened is read to its end, whatever becomes of the object.
    #[test]
    fn a_file_of_a_bucket_stays_readable_when_it_is_replaced() {
        let bucket = Bucket::over(Arc::new(InMemory::new()), "a".into(), "s3://memory/a").expect("a runtime");
        let objects: Arc<dyn Objects> = Arc::new(bucket);
        let folder = Folder::over(Arc::clone(&objects));
        let (manifest, _) = folder
            .own(|held| Ok(held.unwrap_or_else(|| Manifest::beginning(Mark::default()))))
            .expect("ours");
        let new = |manifest: &Manifest, bytes: &[u8]| NewFile {
            number: folder.number(manifest),
            table: Table::Epochs,
            day: 1,
            bytes: bytes.to_vec(),
            rows: 1,
            first_epoch: Epoch(1),
            last_epoch: Epoch(1),
        };
        let both = [new(&manifest, b"the first"), new(&manifest, b"the second")];
        let before = folder.commit(manifest, &both, &[]).expect("committed");
        let archive = Arc::new(Archive {
            folder: Some(Folder::over(Arc::clone(&objects))),
            footers: Mutex::default(),
            fetched: Fetched::default(),
        });
        assert_eq!(archive.manifest().expect("there"), before);
        let [first, second] = [0, 1].map(|n| before.files[n].clone());
        let opened = archive.open(&first).expect("there");
        let merged = new(&before, b"both of them");
        let now =
            folder.commit(before, &[merged], &[first.path.clone(), second.path.clone()]).expect("committed");
        assert!(objects.read(&first.path).is_err(), "it is gone");
        assert_eq!(opened.read(4, 5).expect("it stays"), b"first");
        // A later query of an older plan has it still; one that was not opened in time is planned again.
        archive.open(&first).expect("it was fetched");
        let error = archive.open(&second).expect_err("gone");
        assert!(error.is::<Changed>(), "{error}");
        // What is named, and damaged or not there, is an error.
        let merged = &now.files[0];
        objects.replace(&merged.path, "", b"something els").expect("damaged");
        let error = archive.open(merged).expect_err("damaged").to_string();
        assert!(error.contains("s3://memory/a/") && error.contains("was written with"), "{error}");
        objects.remove(&merged.path).expect("removed");
        let error = archive.open(merged).expect_err("missing").to_string();
        assert!(error.contains(&merged.path) && error.contains("it is not there"), "{error}");
    }
}
