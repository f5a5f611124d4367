//! The folder or bucket: opening, committing, reading, cleaning.
//!
//! A commit writes whole files, makes them durable and gives them their names, and then puts a new manifest in the place of the old
//! ([`crate::claim`]), which names them together with the epoch up to which nothing is missing. Files that it no longer names are removed
//! after that. So whoever goes by the manifest sees each row once at every moment; whoever reads all that ends in `.parquet` sees it too,
//! but for the moment of a commit and what a crash left, which the next start removes.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use freshet_schema::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use crate::claim::Claim;
use crate::columns::Table;
use crate::day;
use crate::error::ArchiveError;
use crate::manifest::{FileEntry, Manifest, NAME};
use crate::numbered;
use crate::objects::{self, Objects};
use crate::sealed::checksum_text;

const ENDING: &str = ".parquet";
const TEMPORARY: &str = ".tmp";
const LOCK: &str = "writer.lock";
/// How the folder of a day begins.
const DAY: &str = "day=";
/// What to see to where a folder of this machine fails.
const REMEDY: &str = "see that archive.dir can be written and has room";

/// A place where a test can let the process die, fail or wait; nothing in a build without the feature `failpoints`.
pub(crate) fn crash_point(name: &str) -> io::Result<()> {
    let _ = name;
    fail::fail_point!(name, |_| Err(io::Error::other(format!("the crash point {name}"))));
    Ok(())
}

/// A file that is to be committed.
pub struct NewFile {
    /// Its number ([`Folder::number`]).
    pub number: u64,
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
    pub(crate) objects: Arc<dyn Objects>,
    dir: PathBuf,
    /// Files have had numbers below this one.
    next_file: AtomicU64,
    /// Held by whoever writes on this machine.
    _lock: Option<File>,
    /// Of whoever writes in a bucket.
    pub(crate) claim: Mutex<Option<Claim>>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Folder {
    /// What a configuration names, for reading: a folder, or `s3://BUCKET/PREFIX`. Nothing is asked yet, and there need not be an archive.
    ///
    /// # Errors
    /// Where the environment does not say how to reach the bucket.
    pub fn open(place: &Path) -> Result<Self, ArchiveError> {
        Ok(Self::over(objects::open(place)?))
    }

    /// Over any objects, without a lock.
    #[must_use]
    pub fn over(objects: Arc<dyn Objects>) -> Self {
        let dir = objects.place("");
        Self { objects, dir, next_file: AtomicU64::new(0), _lock: None, claim: Mutex::default() }
    }

    /// The same for writing, with [`Folder::own`] before the first commit. A folder of this machine is locked, and made where it is not there.
    ///
    /// # Errors
    /// [`ArchiveError::Locked`], of the disk, or as [`Folder::open`].
    pub fn claim(place: &Path) -> Result<Self, ArchiveError> {
        let folder = Self::open(place)?;
        if folder.is_remote() {
            return Ok(folder);
        }
        folder.io("make", "", std::fs::create_dir_all(place))?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(place.join(LOCK));
        let file = folder.io("open", LOCK, open)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(file), ..folder }),
            Err(TryLockError::WouldBlock) => Err(ArchiveError::Locked { dir: place.to_owned() }),
            Err(TryLockError::Error(source)) => Err(folder.failed("lock", LOCK, source)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether each look asks another machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.objects.is_remote()
    }

    pub(crate) fn failed(&self, action: &'static str, name: &str, source: io::Error) -> ArchiveError {
        let remedy = if self.is_remote() { self.objects.remedy() } else { REMEDY };
        ArchiveError::Io { action, path: self.objects.place(name), source, remedy }
    }

    pub(crate) fn io<T>(
        &self,
        action: &'static str,
        name: &str,
        result: io::Result<T>,
    ) -> Result<T, ArchiveError> {
        result.map_err(|source| self.failed(action, name, source))
    }

    /// The manifest that holds; none where nothing was ever committed.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], or of the disk or the server.
    pub fn manifest(&self) -> Result<Option<Manifest>, ArchiveError> {
        Ok(self.newest()?.map(|(_, manifest)| manifest))
    }

    /// The manifest that holds with its number, 0 in a folder.
    pub(crate) fn newest(&self) -> Result<Option<(u64, Manifest)>, ArchiveError> {
        let (name, number, bytes) = if self.is_remote() {
            let newest = self.io("read", numbered::FOLDER, numbered::newest(&*self.objects))?;
            let Some((number, bytes)) = newest else { return Ok(None) };
            (numbered::name(number), number, bytes)
        } else {
            match self.objects.read(NAME) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                read => (NAME.to_owned(), 0, self.io("read", NAME, read)?),
            }
        };
        let damaged = |what| ArchiveError::Damaged { path: self.dir.join(&name), what };
        Ok(Some((number, Manifest::decode(&bytes).map_err(damaged)?)))
    }

    /// As [`Folder::manifest`]; there must be one.
    ///
    /// # Errors
    /// [`ArchiveError::None`], and as [`Folder::manifest`].
    pub fn existing(&self) -> Result<Manifest, ArchiveError> {
        self.manifest()?.ok_or_else(|| self.none())
    }

    /// That there is no archive.
    #[must_use]
    pub fn none(&self) -> ArchiveError {
        ArchiveError::None { dir: self.dir.clone() }
    }

    /// The content of a file, checked. `None`: it is gone, because another manifest holds since.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], or of the disk or the server.
    pub fn read(&self, file: &FileEntry) -> Result<Option<Bytes>, ArchiveError> {
        let bytes = match self.objects.read(&file.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => self.io("read", &file.path, read)?,
        };
        let damaged = |what| Err(ArchiveError::Damaged { path: self.dir.join(&file.path), what });
        if bytes.len() as u64 != file.bytes {
            return damaged(format!("it has {} bytes, and was written with {}", bytes.len(), file.bytes));
        }
        if checksum_text(xxh3_64(&bytes)) != file.checksum {
            return damaged("its checksum is another one than was written".to_owned());
        }
        Ok(Some(bytes.into()))
    }

    /// A number for a new file behind this manifest. Each is given once.
    pub fn number(&self, manifest: &Manifest) -> u64 {
        self.next_file.fetch_max(manifest.next_file, Relaxed);
        self.next_file.fetch_add(1, Relaxed)
    }

    /// Adds files to a manifest and takes those at the paths `replaced` out, all at once. The manifest is `next` with them, whose other
    /// fields the caller has set.
    ///
    /// # Errors
    /// [`ArchiveError::Taken`]; of the disk or the server: then the old manifest may hold or the new one, and nothing was removed. The
    /// same may be done again; before anything else is, [`Folder::settle`] says which.
    pub fn commit(
        &self,
        mut next: Manifest,
        files: &[NewFile],
        replaced: &[String],
    ) -> Result<Manifest, ArchiveError> {
        let claim = self.claimed();
        if self.is_remote() && claim.is_none() {
            return Err(self.taken());
        }
        let mut folders = BTreeSet::new();
        for file in files {
            let folder = format!("{}/{DAY}{}", file.table.folder(), day::name(file.day));
            next.files.push(self.write(&folder, file, claim.as_ref())?);
            next.next_file = next.next_file.max(file.number + 1);
            folders.insert(folder);
        }
        for folder in &folders {
            self.io("sync", folder, self.objects.settle(folder))?;
        }
        next.files.retain(|file| !replaced.contains(&file.path));
        next.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        env!("CARGO_PKG_VERSION").clone_into(&mut next.freshet);
        self.io("write", NAME, crash_point("archive-before-manifest"))?;
        match claim {
            Some(claim) => {
                next.writer.clone_from(&claim.writer);
                self.follow(claim, &next)?;
            }
            None => self.io("write", NAME, self.objects.replace(NAME, "next", &next.encode()))?,
        }
        self.io("write", NAME, crash_point("archive-after-manifest"))?;
        // Nobody needs them any more; what is left over goes with the next start.
        for path in replaced {
            if let Err(source) = self.objects.remove(path) {
                tracing::warn!(path, error = %source, "a replaced file of the archive was not removed; the next start does it");
            }
        }
        Ok(next)
    }

    /// Writes a file under its name.
    fn write(&self, folder: &str, file: &NewFile, claim: Option<&Claim>) -> Result<FileEntry, ArchiveError> {
        let claim = claim.map_or(String::new(), |claim| format!("-{:06}", claim.first));
        let NewFile { first_epoch, last_epoch, number, .. } = file;
        let path = format!("{folder}/{:020}-{:020}-{number:06}{claim}{ENDING}", first_epoch.0, last_epoch.0);
        let mut object = self.io("write", &path, self.objects.begin(&path))?;
        self.io("write", &path, object.write(&file.bytes))?;
        self.io("write", &path, crash_point("archive-before-file"))?;
        self.io("write", &path, object.finish())?;
        Ok(FileEntry {
            path,
            table: file.table,
            day: file.day,
            rows: file.rows,
            bytes: file.bytes.len() as u64,
            checksum: checksum_text(xxh3_64(&file.bytes)),
            first_epoch: file.first_epoch,
            last_epoch: file.last_epoch,
        })
    }

    /// Removes what the manifest that holds does not name: what a crash left. In a bucket, but for the files of later claims.
    ///
    /// # Errors
    /// Of the disk or the server.
    pub fn clean(&self, manifest: &Manifest) -> Result<u64, ArchiveError> {
        let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        let claim = if self.is_remote() { self.claimed().map_or(0, |claim| claim.first) } else { u64::MAX };
        let mut removed = 0;
        for top in Table::ALL.map(Table::folder) {
            for (day, names) in self.io("list", top, self.objects.folders(top, DAY))? {
                let folder = format!("{top}/{day}");
                let mut left = 0;
                for name in names {
                    let path = format!("{folder}/{name}");
                    let ours = name.ends_with(ENDING) || name.ends_with(TEMPORARY);
                    if ours && !named.contains(path.as_str()) && claim_of(&name) <= claim {
                        self.io("remove", &path, self.objects.remove(&path))?;
                        removed += 1;
                    } else {
                        left += 1;
                    }
                }
                if left == 0 {
                    self.io("remove", &folder, self.objects.remove_folder(&folder))?;
                }
            }
        }
        Ok(removed)
    }
}

/// The claim in a file's name; 0 where there is none.
fn claim_of(name: &str) -> u64 {
    let claim = name.strip_suffix(ENDING).and_then(|name| name.split('-').nth(3));
    claim.and_then(|claim| claim.parse().ok()).unwrap_or(0)
}
