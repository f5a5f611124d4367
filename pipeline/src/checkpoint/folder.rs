//! The folder of checkpoints, on a disk or in a bucket: reading, claiming, publishing, deleting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use freshet_operators::checkpoint::Blocks;
use freshet_schema::{Epoch, Generation};
use freshet_sinks::NotMine;
use xxhash_rust::xxh3::xxh3_64;

use super::blocks::{self, Place};
use super::decide::{self, Candidate, Choice};
use super::manifest::{File, checksum_text};
use super::{CheckpointError, Manifest, Objects};

const GENERATIONS: &str = "generations";
const MANIFESTS: &str = "manifests";
const DATA: &str = "data";
const TEMPORARY: &str = ".tmp";
/// Behind the name of a manifest that a start could not use.
const UNUSABLE: &str = ".unusable";
/// Runs that begin at the same moment: so often somebody may be quicker.
const CLAIMS: usize = 100;

/// A place where a test can let the process die, fail or wait; nothing in a build without the feature `failpoints`.
pub(crate) fn crash_point(name: &str) -> io::Result<()> {
    let _ = name;
    fail::fail_point!(name, |_| Err(io::Error::other(format!("the crash point {name}"))));
    Ok(())
}

/// See the module.
#[derive(Clone)]
pub struct Checkpoints {
    objects: Arc<dyn Objects>,
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

impl CutFile {
    /// A file whose bytes are those that were written.
    fn check(path: PathBuf, bytes: Vec<u8>, written: &File) -> Result<Self, String> {
        let said = |what: String| format!("{}: {what}", path.display());
        if bytes.len() as u64 != written.bytes {
            return Err(said(format!(
                "it has {} bytes, and was written with {}",
                bytes.len(),
                written.bytes
            )));
        }
        if checksum_text(xxh3_64(&bytes)) != written.checksum {
            return Err(said("its checksum is another one than was written".to_owned()));
        }
        let mut shards: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
        for place in blocks::places(&bytes).map_err(said)? {
            shards.entry(place.shard).or_default().push(place);
        }
        Ok(Self { path, bytes, shards })
    }
}

impl Loaded {
    /// Forgets the rows of a cut.
    pub fn drop_cut(&mut self, name: &str) {
        self.cuts.remove(name);
    }
}

impl Blocks for Loaded {
    fn blocks(&self, cut: &str, shard: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
        crash_point("during-restore").map_err(|e| e.to_string())?;
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
    /// The checkpoints in a folder or a bucket, of which so many are kept.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, keep: usize) -> Self {
        Self { objects, keep: keep.max(1) }
    }

    /// Those where `checkpoint.dir` says: a folder, or `s3://BUCKET/PREFIX`. Nothing is asked yet.
    ///
    /// # Errors
    /// Where the environment does not say how to reach the bucket.
    pub fn open(dir: &Path, keep: usize) -> Result<Self, CheckpointError> {
        Ok(Self::new(freshet_archive::objects::open(dir)?, keep))
    }

    pub(super) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    /// Whether a look at them asks another machine.
    #[must_use]
    pub fn are_remote(&self) -> bool {
        self.objects.is_remote()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.objects.place(name)
    }

    fn dir(&self) -> PathBuf {
        self.objects.place("")
    }

    /// What became of an operation on a file.
    pub(super) fn io<T>(
        &self,
        action: &'static str,
        name: &str,
        result: io::Result<T>,
    ) -> Result<T, CheckpointError> {
        result.map_err(|source| CheckpointError::Io {
            action,
            path: self.path(name),
            source,
            remedy: self.objects.remedy(),
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, CheckpointError> {
        self.io("list", folder, self.objects.list(folder))
    }

    /// All manifests, newest first, each with what is wrong with it if anything is.
    ///
    /// # Errors
    /// Where the folder cannot be listed, or the server of the bucket does not answer.
    pub fn manifests(&self) -> Result<Vec<Listed>, CheckpointError> {
        let mut epochs: Vec<Epoch> =
            self.list(MANIFESTS)?.iter().filter_map(|name| Manifest::epoch_of(name)).collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let read = |epoch: Epoch| Some(self.manifest(epoch).transpose()?.map(|manifest| (epoch, manifest)));
        epochs.into_iter().filter_map(read).collect()
    }

    /// What an object that cannot be read means. That another machine does not answer says nothing about the checkpoint: to pass over
    /// it would be to go back to an older one.
    fn unread(&self, name: &str, error: io::Error) -> Result<String, CheckpointError> {
        if self.are_remote() && error.kind() != io::ErrorKind::NotFound {
            return self.io("read", name, Err(error));
        }
        Ok(format!("{}: {error}", self.path(name).display()))
    }

    /// None where it is gone: a running service has deleted it since it was listed.
    fn manifest(&self, epoch: Epoch) -> Result<Option<Result<Manifest, String>>, CheckpointError> {
        let name = format!("{MANIFESTS}/{}", Manifest::name(epoch));
        let path = self.path(&name);
        let said = |what: String| format!("{}: {what}", path.display());
        let read = match self.objects.read(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(self.unread(&name, error)?),
            Ok(bytes) => Ok(bytes),
        };
        let decoded = read.and_then(|bytes| Manifest::decode(&bytes).map_err(said));
        Ok(Some(decoded.and_then(|manifest| {
            let of = manifest.epoch;
            if of == epoch { Ok(manifest) } else { Err(said(format!("it is of epoch {of}"))) }
        })))
    }

    /// Reads the files of a checkpoint; `Err` within is the first file that is not what was written, and how.
    ///
    /// # Errors
    /// Where the server of the bucket does not answer.
    pub fn load(&self, manifest: &Manifest) -> Result<Result<Loaded, String>, CheckpointError> {
        let mut loaded = Loaded::default();
        for (cut, recorded) in &manifest.cuts {
            let Some(file) = &recorded.file else { continue };
            let name = Self::data(&manifest.folder, &file.name);
            let bytes = match self.objects.read(&name) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(self.unread(&name, error)?)),
            };
            match CutFile::check(self.path(&name), bytes, file) {
                Ok(file) => drop(loaded.cuts.insert(cut.clone(), file)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(loaded))
    }

    /// The newest checkpoint that can be used with a store of this marker, and those that cannot, with why.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn find(&self, marker: Option<Epoch>) -> Result<Choice<Found>, CheckpointError> {
        let mut manifests = self.manifests()?;
        decide::refuse_taken_over(&mut manifests);
        let mut fault = None;
        let mut read = |manifest: Result<Manifest, String>| -> Option<Result<Found, String>> {
            let reaches = |manifest: Manifest| {
                decide::store_reaches(&manifest, marker)?;
                Ok(manifest)
            };
            let manifest = match manifest.and_then(reaches) {
                Ok(manifest) => manifest,
                Err(why) => return Some(Err(why)),
            };
            match self.load(&manifest) {
                Ok(loaded) => Some(loaded.map(|loaded| Found { manifest, loaded })),
                Err(error) => {
                    fault = Some(error);
                    None
                }
            }
        };
        let candidates = manifests
            .into_iter()
            .map_while(|(epoch, manifest)| Some(Candidate { epoch, read: read(manifest)? }));
        let choice = decide::choose(candidates);
        fault.map_or(Ok(choice), Err)
    }

    /// That none of these can be used.
    #[must_use]
    pub fn none_valid(&self, passed: &[(Epoch, String)]) -> CheckpointError {
        let reasons = passed.iter().map(|(epoch, why)| format!("\n  epoch {epoch}: {why}")).collect();
        CheckpointError::NoneValid { dir: self.dir(), count: passed.len(), reasons }
    }

    /// Sets manifests aside that a start passed over, so that their epochs can be written again.
    ///
    /// # Errors
    /// Of the disk.
    pub fn set_aside(&self, passed: &[(Epoch, String)]) -> Result<(), CheckpointError> {
        for (epoch, _) in passed {
            let name = format!("{MANIFESTS}/{}", Manifest::name(*epoch));
            self.io("rename", &name, self.objects.rename(&name, &format!("{name}{UNUSABLE}")))?;
        }
        if passed.is_empty() { Ok(()) } else { self.io("sync", MANIFESTS, self.objects.settle(MANIFESTS)) }
    }

    fn generations(&self) -> Result<Vec<Generation>, CheckpointError> {
        let names = self.list(GENERATIONS)?;
        Ok(names.iter().filter_map(|name| name.parse().ok().map(Generation)).collect())
    }

    /// Takes the job over: the next generation is this run's.
    ///
    /// # Errors
    /// [`CheckpointError::NotExclusive`], or of the disk or the server.
    pub fn claim(&self) -> Result<Generation, CheckpointError> {
        let process = std::process::id();
        // Containers have the same process id; the moment tells them apart. It is written down for people, and compared by nobody else.
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let note = format!("{{\"process\":{process},\"at\":{at}}}\n");
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mine = decide::next_generation(self.generations()?.into_iter());
            let name = format!("{GENERATIONS}/{:010}", mine.0);
            self.io("claim", &name, crash_point("before-generation"))?;
            // Another run that starts at the same moment must not write to the same file.
            match self.objects.create(&name, &process.to_string(), note.as_bytes()) {
                Ok(()) => {}
                // Somebody was quicker: what they have is older than what comes next.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempts < CLAIMS => continue,
                Err(e) => return self.io("claim", &name, Err(e)),
            }
            self.check_exclusive(&name, &note)?;
            return Ok(mine);
        }
    }

    /// That a name which is taken cannot be taken again: a server that passes over the condition would give the job to two runs.
    fn check_exclusive(&self, name: &str, note: &str) -> Result<(), CheckpointError> {
        if !self.are_remote() {
            return Ok(());
        }
        match self.objects.create(name, "again", format!("{note}again\n").as_bytes()) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Ok(()) => Err(CheckpointError::NotExclusive { path: self.path(name) }),
            Err(e) => self.io("claim", name, Err(e)),
        }
    }

    /// Whether this run still owns the job.
    ///
    /// # Errors
    /// [`CheckpointError::Superseded`], or of the disk.
    pub fn check_owner(&self, mine: Generation) -> Result<(), CheckpointError> {
        match decide::newer(self.generations()?.into_iter(), mine) {
            None => Ok(()),
            Some(newer) => Err(self.superseded(mine, newer)),
        }
    }

    /// The same for a store that has forgotten its writer. That nobody answers is not that a newer run has taken over: who is told so
    /// ends for good.
    ///
    /// # Errors
    /// [`NotMine`].
    pub fn still_mine(&self, mine: Generation) -> Result<(), NotMine> {
        self.check_owner(mine).map_err(|error| match error {
            CheckpointError::Superseded { .. } => NotMine::TakenOver(error.to_string()),
            error => NotMine::Unseen(error.to_string()),
        })
    }

    /// That a newer run owns the job.
    #[must_use]
    pub fn superseded(&self, mine: Generation, newer: Generation) -> CheckpointError {
        CheckpointError::Superseded { dir: self.dir(), mine, newer }
    }

    /// The name of a data file.
    pub(super) fn data(folder: &str, file: &str) -> String {
        format!("{DATA}/{folder}/{file}")
    }

    /// Makes the names in a folder of data durable.
    pub(super) fn sync_data(&self, folder: &str) -> Result<(), CheckpointError> {
        let folder = format!("{DATA}/{folder}");
        self.io("sync", &folder, self.objects.settle(&folder))
    }

    /// Makes a checkpoint visible, whose files are durable and up to whose epoch the store is.
    ///
    /// # Errors
    /// [`CheckpointError::Superseded`], [`CheckpointError::Taken`], or of the disk.
    pub fn publish(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let name = format!("{MANIFESTS}/{}", Manifest::name(manifest.epoch));
        self.io("write", &name, crash_point("before-manifest"))?;
        self.check_owner(manifest.generation)?;
        self.io("claim", &name, crash_point("before-claim"))?;
        match self.objects.create(&name, &by(manifest), &manifest.encode()) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(CheckpointError::Taken { path: self.path(&name), epoch: manifest.epoch });
            }
            created => self.io("claim", &name, created)?,
        }
        // A run that slept between its look and the manifest made it for nobody.
        if let Err(taken_over) = self.check_owner(manifest.generation) {
            self.io("remove", &name, self.objects.remove(&name))?;
            return Err(taken_over);
        }
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
            self.io("remove", &name, self.objects.remove(&name))?;
            dropped.push(of);
        }
        self.io("sync", MANIFESTS, self.objects.settle(MANIFESTS))?;
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
        self.io("write", &name, self.objects.replace(&name, &by(manifest), &manifest.encode()))
    }

    /// Deletes what is needed no longer, and gives the oldest checkpoint that is kept, where there are as many as shall be.
    /// With fewer a start may have to go back to the journal's beginning.
    ///
    /// Where an older run still writes, not knowing yet that it was taken over, its folder stays until the next time.
    ///
    /// # Errors
    /// Of the disk. What was not deleted is, the next time.
    pub fn clean(&self, mine: Generation) -> Result<Option<Manifest>, CheckpointError> {
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
            self.io("remove", &name, self.objects.remove(&name))?;
            all.remove(epoch);
        }
        // A manifest that a crash brings back must not name files that are gone.
        if !superfluous.is_empty() {
            self.io("sync", MANIFESTS, self.objects.settle(MANIFESTS))?;
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
        for folder in decide::unreachable(&folders, &named.collect(), mine) {
            match self.remove_folder(&folder) {
                Err(CheckpointError::Io { source, path, .. })
                    if source.kind() == io::ErrorKind::DirectoryNotEmpty =>
                {
                    tracing::info!(path = %path.display(), "a run that was taken over still writes there; it is deleted later");
                }
                removed => removed?,
            }
        }
        Ok(oldest.and_then(|epoch| all.remove(epoch)).and_then(Result::ok))
    }

    fn files_are_there(&self, manifest: &Manifest) -> Result<(), String> {
        let there = self.objects.list(&format!("{DATA}/{}", manifest.folder)).map_err(|e| e.to_string())?;
        let missing =
            manifest.cuts.values().filter_map(|cut| cut.file.as_ref()).find(|f| !there.contains(&f.name));
        missing.map_or(Ok(()), |file| Err(format!("{} is missing", file.name)))
    }

    /// Removes a folder of data with its files.
    pub(super) fn remove_folder(&self, folder: &str) -> Result<(), CheckpointError> {
        let path = format!("{DATA}/{folder}");
        for file in self.list(&path)? {
            let name = format!("{path}/{file}");
            self.io("remove", &name, self.objects.remove(&name))?;
        }
        self.io("remove", &path, self.objects.remove_folder(&path))
    }

    /// Removes temporary files of this run and older ones, older runs' claims, and manifests that were set aside and are
    /// older than those that are kept.
    fn remove_leftovers(&self, mine: Generation, oldest: Option<Epoch>) -> Result<(), CheckpointError> {
        let is_old = |generation: &str| generation.parse().is_ok_and(|number: u64| number < mine.0);
        for name in self.list(GENERATIONS)? {
            let number = name.split_once('-').map_or(name.as_str(), |(number, _)| number);
            if is_old(number) {
                let name = format!("{GENERATIONS}/{name}");
                self.io("remove", &name, self.objects.remove(&name))?;
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
                self.io("remove", &name, self.objects.remove(&name))?;
            }
        }
        Ok(())
    }
}

/// What is in the name of an unfinished manifest.
fn by(manifest: &Manifest) -> String {
    format!("{:010}", manifest.generation.0)
}
