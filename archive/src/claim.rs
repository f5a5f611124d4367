//! Who writes.
//!
//! On this machine whoever holds the lock. A bucket has none: there whoever begins to write makes a manifest first, with a word of its
//! own and otherwise what the one before said. From then on nobody who wrote before can commit (`numbered.rs`), and only then is anything
//! removed that no manifest names: what a run that is thought dead may still be about to name.
//!
//! Such a run may go on for a while and do harm in other ways than by commits. So
//! - a file has the number of its writer's claim in its name, and within a claim each number is given once: no name is ever written
//!   with two contents;
//! - nobody removes files of a later claim than its own, and those that were replaced only whoever committed that;
//! - manifests of two processes differ by the word, so that where the answer to a PUT was lost, what is there says whose it is.
//!
//! A PUT that was given up may be carried out later. Whoever does the same again does not mind: it is the same manifest. Before
//! something else is done [`Folder::settle`] takes the next number itself, and what is still on its way comes too late.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::process;
use std::sync::PoisonError;
use std::time::SystemTime;

use crate::error::ArchiveError;
use crate::folder::Folder;
use crate::manifest::Manifest;
use crate::numbered;

/// Processes that begin at the same moment: so often somebody may be quicker.
const ATTEMPTS: usize = 100;

/// What a process has that writes an archive in a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Its word in manifests.
    pub(crate) writer: String,
    /// The manifest that it claimed the archive with.
    pub(crate) first: u64,
    /// The last one that it made.
    pub(crate) last: u64,
}

impl Folder {
    pub(crate) fn claimed(&self) -> Option<Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_claim(&self, claim: Claim) {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = Some(claim);
    }

    pub(crate) fn taken(&self) -> ArchiveError {
        ArchiveError::Taken { dir: self.dir().to_owned() }
    }

    /// Begins to write: `begin` says from the manifest that is there what to go on from, or why not. Then what no manifest names is
    /// removed. Gives the manifest that holds now, and how many files were removed.
    ///
    /// # Errors
    /// Those of `begin`, and nothing has changed then; [`ArchiveError::NotExclusive`]; of the disk or the server.
    pub fn own(
        &self,
        begin: impl Fn(Option<Manifest>) -> Result<Manifest, ArchiveError>,
    ) -> Result<(Manifest, u64), ArchiveError> {
        let manifest = if self.is_remote() {
            self.take(begin)?
        } else {
            let held = self.manifest()?;
            let is_new = held.is_none();
            let manifest = begin(held)?;
            if is_new { self.commit(manifest, &[], &[])? } else { manifest }
        };
        let removed = self.clean(&manifest)?;
        Ok((manifest, removed))
    }

    fn take(
        &self,
        begin: impl Fn(Option<Manifest>) -> Result<Manifest, ArchiveError>,
    ) -> Result<Manifest, ArchiveError> {
        // Never that of another process, whose keys the system gives.
        let writer = format!("{:016x}", RandomState::new().hash_one((process::id(), SystemTime::now())));
        for _ in 0..ATTEMPTS {
            let held = self.newest()?;
            let number = held.as_ref().map_or(0, |(number, _)| *number) + 1;
            let mut manifest = begin(held.map(|(_, manifest)| manifest))?;
            manifest.writer.clone_from(&writer);
            // Where somebody was quicker, what they have is looked at.
            if self.create(number, &manifest)? {
                self.check_exclusive(number, &manifest)?;
                self.set_claim(Claim { writer, first: number, last: number });
                return Ok(manifest);
            }
        }
        Err(self.taken())
    }

    /// That a number which is taken cannot be taken again: a server that passes over the condition would give it to two processes.
    fn check_exclusive(&self, number: u64, manifest: &Manifest) -> Result<(), ArchiveError> {
        let name = numbered::name(number);
        let again = Manifest { writer: format!("{}-again", manifest.writer), ..manifest.clone() };
        match self.objects.create(&name, "again", &again.encode()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Ok(()) => Err(ArchiveError::NotExclusive { path: self.dir().join(name) }),
            Err(error) => self.io("claim", &name, Err(error)),
        }
    }

    fn create(&self, number: u64, manifest: &Manifest) -> Result<bool, ArchiveError> {
        let made = numbered::create(&*self.objects, number, &manifest.encode());
        self.io("write", &numbered::name(number), made)
    }

    /// Makes a manifest of a claim the one that holds.
    pub(crate) fn follow(&self, claim: Claim, next: &Manifest) -> Result<(), ArchiveError> {
        let last = claim.last + 1;
        if !self.create(last, next)? {
            return Err(self.taken());
        }
        self.set_claim(Claim { last, ..claim });
        Ok(())
    }

    /// The manifest that holds after a commit that failed, and may have been carried out or not; in a bucket, it no longer can be.
    ///
    /// # Errors
    /// [`ArchiveError::Taken`], [`ArchiveError::None`]; of the disk or the server.
    pub fn settle(&self) -> Result<Manifest, ArchiveError> {
        if !self.is_remote() {
            return self.existing();
        }
        let claim = self.claimed().ok_or_else(|| self.taken())?;
        for _ in 0..ATTEMPTS {
            let (last, manifest) = self.newest()?.ok_or_else(|| self.none())?;
            if manifest.writer != claim.writer {
                return Err(self.taken());
            }
            // Where the number is taken by now, what failed was carried out, or somebody has taken over.
            if self.create(last + 1, &manifest)? {
                self.set_claim(Claim { last: last + 1, ..claim });
                return Ok(manifest);
            }
        }
        Err(self.taken())
    }
}
