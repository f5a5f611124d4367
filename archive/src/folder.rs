//! The folder: claiming, committing, reading, cleaning.
//!
//! A commit writes whole files under temporary names, makes them durable, gives them their names, and then replaces the manifest,
//! which names them together with the epoch up to which nothing is missing. Files that it no longer names are removed after that. So
//! whoever goes by the manifest sees each row once at every moment; whoever reads all that ends in `.parquet` sees it too, but for the
//! moment of a commit and what a crash left, which the next start removes.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use freshet_schema::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::Table;
use crate::day;
use crate::disk::{Disk, LocalDisk};
use crate::error::ArchiveError;
use crate::manifest::{FileEntry, Manifest, NAME};
use crate::sealed::checksum_text;

const TEMPORARY: &str = ".tmp";
const LOCK: &str = "writer.lock";

/// A place where a test can let the process die, fail or wait; nothing in a build without the feature `failpoints`.
pub(crate) fn crash_point(name: &str) -> io::Result<()> {
    let _ = name;
    fail::fail_point!(name, |_| Err(io::Error::other(format!("the crash point {name}"))));
    Ok(())
}

/// A file that is to be committed.
pub struct NewFile {
    /// The table.
    pub table: Table,
    /// The day.
    pub day: u64,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its rows.
    pub rows: u64,
    /// The least epoch of its rows.
    pub first_epoch: Epoch,
    /// The greatest.
    pub last_epoch: Epoch,
}

/// See the module.
pub struct Folder {
    disk: Arc<dyn Disk>,
    /// Held by whoever writes.
    _lock: Option<File>,
}

impl Folder {
    /// A folder of this machine, for reading. There need not be an archive in it.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self::on(Arc::new(LocalDisk::new(dir)))
    }

    /// On any disk, without a lock.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk, _lock: None }
    }

    /// A folder of this machine, for writing; it is made where it is not there.
    ///
    /// # Errors
    /// [`ArchiveError::Locked`], or of the disk.
    pub fn claim(dir: &Path) -> Result<Self, ArchiveError> {
        let failed = |action, path: PathBuf| move |source| ArchiveError::Io { action, path, source };
        std::fs::create_dir_all(dir).map_err(failed("make", dir.to_owned()))?;
        let path = dir.join(LOCK);
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(failed("open", path.clone()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { disk: Arc::new(LocalDisk::new(dir)), _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(ArchiveError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", path)(source)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.disk.root()
    }

    fn io<T>(&self, action: &'static str, name: &str, result: io::Result<T>) -> Result<T, ArchiveError> {
        result.map_err(|source| ArchiveError::Io { action, path: self.dir().join(name), source })
    }

    /// The manifest; none where nothing was ever committed.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], or of the disk.
    pub fn manifest(&self) -> Result<Option<Manifest>, ArchiveError> {
        let read = match self.disk.read(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => self.io("read", NAME, read)?,
        };
        let damaged = |what| ArchiveError::Damaged { path: self.dir().join(NAME), what };
        Manifest::decode(&read).map(Some).map_err(damaged)
    }

    /// As [`Folder::manifest`]; there must be one.
    ///
    /// # Errors
    /// [`ArchiveError::None`], and as [`Folder::manifest`].
    pub fn existing(&self) -> Result<Manifest, ArchiveError> {
        self.manifest()?.ok_or_else(|| ArchiveError::None { dir: self.dir().to_owned() })
    }

    /// The content of a file, checked. `None`: it is gone, because another manifest holds since.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], or of the disk.
    pub fn read(&self, file: &FileEntry) -> Result<Option<Bytes>, ArchiveError> {
        let bytes = match self.disk.read(&file.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => self.io("read", &file.path, read)?,
        };
        let damaged = |what| Err(ArchiveError::Damaged { path: self.dir().join(&file.path), what });
        if bytes.len() as u64 != file.bytes {
            return damaged(format!("it has {} bytes, and was written with {}", bytes.len(), file.bytes));
        }
        if checksum_text(xxh3_64(&bytes)) != file.checksum {
            return damaged("its checksum is another one than was written".to_owned());
        }
        Ok(Some(bytes.into()))
    }

    /// Adds files to a manifest and takes those at the paths `replaced` out, all at once. The manifest is `next` with them, whose other
    /// fields the caller has set.
    ///
    /// # Errors
    /// Of the disk. Then the old manifest may hold or the new one, and nothing was removed.
    pub fn commit(
        &self,
        mut next: Manifest,
        files: &[NewFile],
        replaced: &[String],
    ) -> Result<Manifest, ArchiveError> {
        let mut folders = BTreeSet::new();
        for file in files {
            let folder = format!("{}/day={}", file.table.folder(), day::name(file.day));
            let name =
                format!("{:020}-{:020}-{:06}.parquet", file.first_epoch.0, file.last_epoch.0, next.next_file);
            let (path, temporary) = (format!("{folder}/{name}"), format!("{folder}/.{name}{TEMPORARY}"));
            next.next_file += 1;
            self.io("remove", &temporary, self.disk.remove(&temporary))?;
            self.io("write", &temporary, self.disk.append(&temporary, &file.bytes))?;
            self.io("write", &temporary, crash_point("archive-before-file"))?;
            self.io("sync", &temporary, self.disk.sync(&temporary))?;
            self.io("rename", &temporary, self.disk.rename(&temporary, &path))?;
            folders.insert(folder);
            next.files.push(FileEntry {
                path,
                table: file.table,
                day: file.day,
                rows: file.rows,
                bytes: file.bytes.len() as u64,
                checksum: checksum_text(xxh3_64(&file.bytes)),
                first_epoch: file.first_epoch,
                last_epoch: file.last_epoch,
            });
        }
        for folder in &folders {
            self.io("sync", folder, self.disk.sync_folder(folder))?;
        }
        next.files.retain(|file| !replaced.contains(&file.path));
        next.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        env!("CARGO_PKG_VERSION").clone_into(&mut next.freshet);
        let temporary = format!("{NAME}{TEMPORARY}");
        self.io("write", NAME, crash_point("archive-before-manifest"))?;
        self.io("remove", &temporary, self.disk.remove(&temporary))?;
        self.io("write", &temporary, self.disk.append(&temporary, &next.encode()))?;
        self.io("sync", &temporary, self.disk.sync(&temporary))?;
        self.io("rename", NAME, self.disk.rename(&temporary, NAME))?;
        self.io("sync", NAME, self.disk.sync_folder(""))?;
        self.io("write", NAME, crash_point("archive-after-manifest"))?;
        // Nobody needs them any more; what is left over goes with the next start.
        for path in replaced {
            if let Err(source) = self.disk.remove(path) {
                tracing::warn!(path, error = %source, "a replaced file of the archive was not removed; the next start does it");
            }
        }
        Ok(next)
    }

    /// Removes what no manifest names: what a crash left.
    ///
    /// # Errors
    /// Of the disk.
    pub fn clean(&self, manifest: Option<&Manifest>) -> Result<u64, ArchiveError> {
        let named: BTreeSet<&str> =
            manifest.iter().flat_map(|m| &m.files).map(|file| file.path.as_str()).collect();
        let mut removed = 0;
        for table in Table::ALL {
            let top = table.folder();
            for folder in self.io("list", top, self.disk.list(top))? {
                let folder = format!("{top}/{folder}");
                if !folder.contains("/day=") {
                    continue;
                }
                let mut left = 0;
                for name in self.io("list", &folder, self.disk.list(&folder))? {
                    let path = format!("{folder}/{name}");
                    let ours = name.ends_with(".parquet") || name.ends_with(TEMPORARY);
                    if ours && !named.contains(path.as_str()) {
                        self.io("remove", &path, self.disk.remove(&path))?;
                        removed += 1;
                    } else {
                        left += 1;
                    }
                }
                if left == 0 {
                    self.io("remove", &folder, self.disk.remove_folder(&folder))?;
                }
            }
        }
        Ok(removed)
    }
}
