//! The archive's folder: its manifest, and its files as open files.
//!
//! A name can go at any moment, because the service puts small files together; an open file stays. So a query opens all that it will
//! read before it reads any of it. Where a name is gone already, the manifest is another one by now, and the query is planned again
//! with that ([`Changed`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use freshet_archive::{FileEntry, Folder, Manifest};
use parquet::file::metadata::ParquetMetaData;

/// Footers that are kept between queries, in bytes.
const FOOTERS: usize = 32 << 20;

/// The archive was changed since its manifest was read: what was planned with it is planned again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive was compacted while the query was planned")]
pub struct Changed;

/// See the module.
#[derive(Debug)]
pub struct Archive {
    dir: Option<PathBuf>,
    footers: Mutex<Footers>,
}

#[derive(Debug, Default)]
struct Footers {
    /// By the file's name, which is never used again. Never gone through, so its order is nobody's.
    by_path: HashMap<String, Arc<ParquetMetaData>>,
    bytes: usize,
}

impl Archive {
    /// The archive in a folder, or none.
    ///
    /// # Errors
    /// Where the place is no folder of this machine.
    pub fn new(place: Option<&str>) -> anyhow::Result<Self> {
        if let Some(place) = place.filter(|place| place.contains("://")) {
            bail!(
                "the archive {place}: history is read from a folder of this machine; name a copy with --archive DIR"
            );
        }
        Ok(Self { dir: place.map(PathBuf::from), footers: Mutex::default() })
    }

    fn dir(&self) -> anyhow::Result<&Path> {
        self.dir.as_deref().context(
            "there is no history: the service writes no archive (archive.dir); begin one with `freshet run --archive DIR`, or name \
             one with --archive DIR",
        )
    }

    /// The manifest that holds now.
    ///
    /// # Errors
    /// Where there is no archive, or its manifest cannot be read.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        Ok(Folder::new(self.dir()?).existing()?)
    }

    /// Opens a file of a manifest.
    ///
    /// # Errors
    /// [`Changed`] where another manifest holds by now; where the file is not what was written, or cannot be opened.
    pub fn open(self: &Arc<Self>, entry: &FileEntry) -> anyhow::Result<OpenFile> {
        let path = self.dir()?.join(&entry.path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Still named, and yet not there: no compaction did that.
                if self.manifest()?.files.iter().any(|file| file.path == entry.path) {
                    bail!(
                        "{}: the archive's manifest names it, and it is not there; restore it from a copy",
                        path.display()
                    );
                }
                bail!(Changed);
            }
            Err(error) if too_many(&error) => bail!(
                "{}: {error}: the query reads more files than this process may open; ask for fewer days, allow more (ulimit -n), or \
                 put small files together with `freshet archive compact`",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("{}: run the command as the user that runs the service", path.display())
                });
            }
        };
        let length = file.metadata().with_context(|| path.display().to_string())?.len();
        if length != entry.bytes {
            bail!(
                "{}: it has {length} bytes, and was written with {}; restore it from a copy",
                path.display(),
                entry.bytes
            );
        }
        Ok(OpenFile { archive: Arc::clone(self), file: Arc::new(file), name: entry.path.clone(), length })
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
