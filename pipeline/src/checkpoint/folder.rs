//! The folder of checkpoints: reading, claiming, publishing, deleting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use freshet_operators::checkpoint::Blocks;
use freshet_schema::{Epoch, Generation};
use xxhash_rust::xxh3::xxh3_64;

use super::blocks::{self, Place};
use super::decide::{self, Candidate, Choice};
use super::manifest::checksum_text;
use super::{CheckpointError, Disk, Manifest};

const GENERATIONS: &str = "generations";
const MANIFESTS: &str = "manifests";
const DATA: &str = "data";
const TEMPORARY: &str = ".tmp";
/// Behind the name of a manifest that a start could not use.
const UNUSABLE: &str = ".unusable";

/// A place where a test can let the process die, fail or wait; nothing in a build without the feature `failpoints`.
pub(crate) fn crash_point(name: &str) -> io::Result<()> {
    let _ = name;
    fail::fail_point!(name, |_| Err(io::Error::other(format!("the crash point {name}"))));
    Ok(())
}

/// See the module.
#[derive(Clone)]
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    keep: usize,
}

/// A checkpoint of an epoch, or why it cannot be used.
pub type Listed = (Epoch, Result<Manifest, String>);

/// A checkpoint that a start can go on from.
pub struct Found {
    /// What belongs to it.
    pub manifest: Manifest,
    /// Its files.
    pub loaded: Loaded,
}

/// The files of a checkpoint, checked.
#[derive(Debug, Default)]
pub struct Loaded {
    cuts: BTreeMap<String, CutFile>,
}

#[derive(Debug)]
struct CutFile {
    path: PathBuf,
    bytes: Vec<u8>,
    shards: BTreeMap<u64, Vec<Place>>,
}

impl Loaded {
    /// Forgets the rows of a cut.
    pub fn drop_cut(&mut self, name: &str) {
        self.cuts.remove(name);
    }
}

impl Blocks for Loaded {
    fn blocks(&self, cut: &str, shard: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let Some(file) = self.cuts.get(cut) else { return Ok(Vec::new()) };
        let places = file.shards.get(&shard).map_or(&[][..], Vec::as_slice);
        let rows = |place: &Place| {
            let rows =
                blocks::rows(&file.bytes, place).map_err(|e| format!("{}: {e}", file.path.display()))?;
            Ok((place.rows, rows))
        };
        places.iter().map(rows).collect()
    }
}

impl Checkpoints {
    /// The checkpoints on a disk, of which so many are kept.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, keep: usize) -> Self {
        Self { disk, keep: keep.max(1) }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.root().join(name)
    }

    /// What became of an operation on a file.
    pub(super) fn io<T>(
        &self,
        action: &'static str,
        name: &str,
        result: io::Result<T>,
    ) -> Result<T, CheckpointError> {
        result.map_err(|source| CheckpointError::Io { action, path: self.path(name), source })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, CheckpointError> {
        self.io("list", folder, self.disk.list(folder))
    }

    /// All manifests, newest first, each with what is wrong with it if anything is.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn manifests(&self) -> Result<Vec<Listed>, CheckpointError> {
        let mut epochs: Vec<Epoch> =
            self.list(MANIFESTS)?.iter().filter_map(|name| Manifest::epoch_of(name)).collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(epochs.into_iter().filter_map(|epoch| Some((epoch, self.manifest(epoch)?))).collect())
    }

    /// None where it is gone: a running service has deleted it since it was listed.
    fn manifest(&self, epoch: Epoch) -> Option<Result<Manifest, String>> {
        let name = format!("{MANIFESTS}/{}", Manifest::name(epoch));
        let path = self.path(&name);
        let said = |what: String| format!("{}: {what}", path.display());
        let read = match self.disk.read(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            read => read.map_err(|e| said(e.to_string())),
        };
        let decoded = read.and_then(|bytes| Manifest::decode(&bytes).map_err(said));
        Some(decoded.and_then(|manifest| {
            let of = manifest.epoch;
            if of == epoch { Ok(manifest) } else { Err(said(format!("it is of epoch {of}"))) }
        }))
    }

    /// Reads the files of a checkpoint.
    ///
    /// # Errors
    /// The first file that is not what was written, and how.
    pub fn load(&self, manifest: &Manifest) -> Result<Loaded, String> {
        let mut loaded = Loaded::default();
        for (cut, recorded) in &manifest.cuts {
            let Some(file) = &recorded.file else { continue };
            let name = format!("{DATA}/{}/{}", manifest.folder, file.name);
            let path = self.path(&name);
            let said = |what: String| format!("{}: {what}", path.display());
            let bytes = self.disk.read(&name).map_err(|e| said(e.to_string()))?;
            if bytes.len() as u64 != file.bytes {
                return Err(said(format!(
                    "it has {} bytes, and was written with {}",
                    bytes.len(),
                    file.bytes
                )));
            }
            if checksum_text(xxh3_64(&bytes)) != file.checksum {
                return Err(said("its checksum is another one than was written".to_owned()));
            }
            let mut shards: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
            for place in blocks::places(&bytes).map_err(said)? {
                shards.entry(place.shard).or_default().push(place);
            }
            loaded.cuts.insert(cut.clone(), CutFile { path, bytes, shards });
        }
        Ok(loaded)
    }

    /// The newest checkpoint that can be used with a store of this marker, and those that cannot, with why.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn find(&self, marker: Option<Epoch>) -> Result<Choice<Found>, CheckpointError> {
        let manifests = self.manifests()?;
        let candidates = manifests.into_iter().map(|(epoch, manifest)| Candidate {
            epoch,
            read: manifest.and_then(|manifest| {
                decide::store_reaches(&manifest, marker)?;
                let loaded = self.load(&manifest)?;
                Ok(Found { manifest, loaded })
            }),
        });
        Ok(decide::choose(candidates))
    }

    /// That none of these can be used.
    #[must_use]
    pub fn none_valid(&self, passed: &[(Epoch, String)]) -> CheckpointError {
        let reasons = passed.iter().map(|(epoch, why)| format!("\n  epoch {epoch}: {why}")).collect();
        CheckpointError::NoneValid { dir: self.disk.root().to_owned(), count: passed.len(), reasons }
    }

    /// Sets manifests aside that a start passed over, so that their epochs can be written again.
    ///
    /// # Errors
    /// Of the disk.
    pub fn set_aside(&self, passed: &[(Epoch, String)]) -> Result<(), CheckpointError> {
        for (epoch, _) in passed {
            let name = format!("{MANIFESTS}/{}", Manifest::name(*epoch));
            self.io("rename", &name, self.disk.rename(&name, &format!("{name}{UNUSABLE}")))?;
        }
        if passed.is_empty() { Ok(()) } else { self.io("sync", MANIFESTS, self.disk.sync_folder(MANIFESTS)) }
    }

    fn generations(&self) -> Result<Vec<Generation>, CheckpointError> {
        let names = self.list(GENERATIONS)?;
        Ok(names.iter().filter_map(|name| name.parse().ok().map(Generation)).collect())
    }

    /// Takes the job over: the next generation is this run's.
    ///
    /// # Errors
    /// Of the disk.
    pub fn claim(&self) -> Result<Generation, CheckpointError> {
        loop {
            let mine = decide::next_generation(self.generations()?.into_iter());
            let name = format!("{GENERATIONS}/{:010}", mine.0);
            // Another run that starts at the same moment must not write to the same file.
            let temporary = format!("{name}-{}{TEMPORARY}", std::process::id());
            self.io("remove", &temporary, self.disk.remove(&temporary))?;
            let note = format!("{{\"process\":{}}}\n", std::process::id());
            self.io("write", &temporary, self.disk.append(&temporary, note.as_bytes()))?;
            self.io("sync", &temporary, self.disk.sync(&temporary))?;
            self.io("claim", &name, crash_point("before-generation"))?;
            match self.disk.link(&temporary, &name) {
                Ok(()) => {}
                // Somebody was quicker: what they have is older than what comes next.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    self.io("remove", &temporary, self.disk.remove(&temporary))?;
                    continue;
                }
                Err(e) => return self.io("claim", &name, Err(e)),
            }
            self.io("remove", &temporary, self.disk.remove(&temporary))?;
            self.io("sync", GENERATIONS, self.disk.sync_folder(GENERATIONS))?;
            return Ok(mine);
        }
    }

    /// Whether this run still owns the job.
    ///
    /// # Errors
    /// [`CheckpointError::Superseded`], or of the disk.
    pub fn check_owner(&self, mine: Generation) -> Result<(), CheckpointError> {
        match decide::newer(self.generations()?.into_iter(), mine) {
            None => Ok(()),
            Some(newer) => Err(CheckpointError::Superseded { dir: self.disk.root().to_owned(), mine, newer }),
        }
    }

    /// The name of a data file.
    pub(super) fn data(folder: &str, file: &str) -> String {
        format!("{DATA}/{folder}/{file}")
    }

    /// Makes the names in a folder of data durable.
    pub(super) fn sync_data(&self, folder: &str) -> Result<(), CheckpointError> {
        let folder = format!("{DATA}/{folder}");
        self.io("sync", &folder, self.disk.sync_folder(&folder))
    }

    /// Makes a checkpoint visible, whose files are durable and up to whose epoch the store is.
    ///
    /// # Errors
    /// [`CheckpointError::Superseded`], [`CheckpointError::Taken`], or of the disk.
    pub fn publish(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let name = format!("{MANIFESTS}/{}", Manifest::name(manifest.epoch));
        let temporary = format!("{name}-{:010}{TEMPORARY}", manifest.generation.0);
        self.io("write", &name, crash_point("before-manifest"))?;
        self.io("remove", &temporary, self.disk.remove(&temporary))?;
        self.io("write", &temporary, self.disk.append(&temporary, &manifest.encode()))?;
        self.io("sync", &temporary, self.disk.sync(&temporary))?;
        self.check_owner(manifest.generation)?;
        self.io("claim", &name, crash_point("before-claim"))?;
        let linked = match self.disk.link(&temporary, &name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(CheckpointError::Taken { path: self.path(&name), epoch: manifest.epoch })
            }
            other => self.io("claim", &name, other),
        };
        self.io("remove", &temporary, self.disk.remove(&temporary))?;
        linked?;
        self.io("sync", MANIFESTS, self.disk.sync_folder(MANIFESTS))?;
        self.io("claim", &name, crash_point("after-claim"))
    }

    /// Deletes the checkpoints of epochs before this one, whatever shall be kept otherwise, with all their files; their epochs.
    ///
    /// # Errors
    /// Of the disk.
    pub fn drop_before(&self, epoch: Epoch) -> Result<Vec<Epoch>, CheckpointError> {
        let mut dropped = Vec::new();
        for name in self.list(MANIFESTS)? {
            let of = Manifest::epoch_of(name.strip_suffix(UNUSABLE).unwrap_or(&name));
            let Some(of) = of.filter(|of| *of < epoch) else { continue };
            let name = format!("{MANIFESTS}/{name}");
            self.io("remove", &name, self.disk.remove(&name))?;
            dropped.push(of);
        }
        self.io("sync", MANIFESTS, self.disk.sync_folder(MANIFESTS))?;
        for folder in self.list(DATA)? {
            if decide::folder_of(&folder).is_some_and(|(_, of)| of < epoch) {
                self.remove_folder(&folder)?;
            }
        }
        dropped.sort_unstable();
        Ok(dropped)
    }

    /// Puts another manifest in the place of the one of its epoch: the same checkpoint, with something else said of its input.
    ///
    /// # Errors
    /// Of the disk.
    pub fn amend(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let name = format!("{MANIFESTS}/{}", Manifest::name(manifest.epoch));
        let temporary = format!("{name}-{:010}{TEMPORARY}", manifest.generation.0);
        self.io("remove", &temporary, self.disk.remove(&temporary))?;
        self.io("write", &temporary, self.disk.append(&temporary, &manifest.encode()))?;
        self.io("sync", &temporary, self.disk.sync(&temporary))?;
        self.io("rename", &name, self.disk.rename(&temporary, &name))?;
        self.io("sync", MANIFESTS, self.disk.sync_folder(MANIFESTS))
    }

    /// Deletes what is needed no longer, and gives the oldest checkpoint that is kept, where there are as many as shall be.
    /// With fewer a start may have to go back to the journal's beginning.
    ///
    /// # Errors
    /// Of the disk. What was not deleted is, the next time.
    pub fn clean(
        &self,
        mine: Generation,
        in_work: Option<&str>,
    ) -> Result<Option<Manifest>, CheckpointError> {
        let mut all = BTreeMap::new();
        for (epoch, manifest) in self.manifests()? {
            let usable = manifest.and_then(|manifest| {
                self.files_are_there(&manifest)?;
                Ok(manifest)
            });
            all.insert(epoch, usable);
        }
        let valid: BTreeSet<Epoch> =
            all.iter().filter(|(_, manifest)| manifest.is_ok()).map(|(epoch, _)| *epoch).collect();
        let superfluous = decide::superfluous(&valid, &all.keys().copied().collect(), self.keep);
        for epoch in &superfluous {
            let name = format!("{MANIFESTS}/{}", Manifest::name(*epoch));
            self.io("remove", &name, self.disk.remove(&name))?;
            all.remove(epoch);
        }
        // A manifest that a crash brings back must not name files that are gone.
        if !superfluous.is_empty() {
            self.io("sync", MANIFESTS, self.disk.sync_folder(MANIFESTS))?;
        }
        self.io("clean", DATA, crash_point("during-clean"))?;
        let oldest = valid.iter().rev().nth(self.keep - 1);
        self.remove_leftovers(mine, oldest.copied())?;
        // A manifest that cannot be read names nothing; its files stay as long as it does.
        let unread: BTreeSet<Epoch> =
            all.iter().filter(|(_, manifest)| manifest.is_err()).map(|(epoch, _)| *epoch).collect();
        let folders = self.list(DATA)?;
        let of_unread = folders
            .iter()
            .filter(|name| decide::folder_of(name).is_some_and(|(_, epoch)| unread.contains(&epoch)));
        let named = all.values().flatten().map(|manifest| manifest.folder.clone()).chain(of_unread.cloned());
        for folder in decide::unreachable(&folders, &named.collect(), mine, in_work) {
            self.remove_folder(&folder)?;
        }
        Ok(oldest.and_then(|epoch| all.remove(epoch)).and_then(Result::ok))
    }

    fn files_are_there(&self, manifest: &Manifest) -> Result<(), String> {
        let there = self.disk.list(&format!("{DATA}/{}", manifest.folder)).map_err(|e| e.to_string())?;
        let missing =
            manifest.cuts.values().filter_map(|cut| cut.file.as_ref()).find(|f| !there.contains(&f.name));
        missing.map_or(Ok(()), |file| Err(format!("{} is missing", file.name)))
    }

    /// Removes a folder of data with its files.
    pub(super) fn remove_folder(&self, folder: &str) -> Result<(), CheckpointError> {
        let path = format!("{DATA}/{folder}");
        for file in self.list(&path)? {
            let name = format!("{path}/{file}");
            self.io("remove", &name, self.disk.remove(&name))?;
        }
        self.io("remove", &path, self.disk.remove_folder(&path))
    }

    /// Removes temporary files of this run and older ones, older runs' claims, and manifests that were set aside and are
    /// older than those that are kept.
    fn remove_leftovers(&self, mine: Generation, oldest: Option<Epoch>) -> Result<(), CheckpointError> {
        let is_old = |generation: &str| generation.parse().is_ok_and(|number: u64| number < mine.0);
        for name in self.list(GENERATIONS)? {
            let number = name.split_once('-').map_or(name.as_str(), |(number, _)| number);
            if is_old(number) {
                let name = format!("{GENERATIONS}/{name}");
                self.io("remove", &name, self.disk.remove(&name))?;
            }
        }
        for name in self.list(MANIFESTS)? {
            let temporary = name
                .strip_suffix(TEMPORARY)
                .and_then(|name| name.rsplit_once('-'))
                .is_some_and(|(_, generation)| is_old(generation));
            let aside = name
                .strip_suffix(UNUSABLE)
                .and_then(Manifest::epoch_of)
                .is_some_and(|epoch| oldest.is_some_and(|oldest| epoch < oldest));
            if temporary || aside {
                let name = format!("{MANIFESTS}/{name}");
                self.io("remove", &name, self.disk.remove(&name))?;
            }
        }
        Ok(())
    }
}
