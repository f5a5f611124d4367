//! Objects as files of a [`Disk`]: written under a temporary name, synced, then given their own.
//!
//! The order makes it safe: a file is whole and durable before it has its name, and a name that shall be nobody else's is linked, which
//! fails where it is taken. So a crash leaves a temporary file, and nothing else that was not finished.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Objects, Unfinished};
use crate::Disk;

/// How an unfinished file's name ends.
const TEMPORARY: &str = ".tmp";

/// See the module.
#[derive(Clone)]
pub struct OnDisk {
    disk: Arc<dyn Disk>,
}

impl OnDisk {
    /// The files of a disk.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// A whole and durable file under a temporary name.
    fn prepare(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<String> {
        let temporary = format!("{name}-{by}{TEMPORARY}");
        self.disk.remove(&temporary)?;
        self.disk.append(&temporary, bytes)?;
        self.disk.sync(&temporary)?;
        Ok(temporary)
    }

    fn settle_folder_of(&self, name: &str) -> io::Result<()> {
        self.disk.sync_folder(name.rsplit_once('/').map_or("", |(folder, _)| folder))
    }
}

impl Objects for OnDisk {
    fn place(&self, name: &str) -> PathBuf {
        // Joined with nothing a path would end in a slash.
        if name.is_empty() { self.disk.root().to_owned() } else { self.disk.root().join(name) }
    }

    fn remedy(&self) -> &'static str {
        "see that checkpoint.dir can be written and has room"
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn create(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.prepare(name, by, bytes)?;
        let linked = self.disk.link(&temporary, name);
        if linked.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            return linked;
        }
        self.disk.remove(&temporary)?;
        linked?;
        self.settle_folder_of(name)
    }

    fn replace(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.prepare(name, by, bytes)?;
        self.disk.rename(&temporary, name)?;
        self.settle_folder_of(name)
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn Unfinished + '_>> {
        // Hidden: who reads all files of a folder passes it over.
        let (folder, own) = name.rsplit_once('/').unwrap_or(("", name));
        let slash = if folder.is_empty() { "" } else { "/" };
        let temporary = format!("{folder}{slash}.{own}{TEMPORARY}");
        self.disk.remove(&temporary)?;
        Ok(Box::new(File { disk: &*self.disk, temporary, name: name.to_owned(), finished: false }))
    }

    fn settle(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.remove_folder(folder)
    }
}

struct File<'a> {
    disk: &'a dyn Disk,
    temporary: String,
    name: String,
    finished: bool,
}

impl Unfinished for File<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.temporary, bytes)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.disk.sync(&self.temporary)?;
        self.disk.rename(&self.temporary, &self.name)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed with its folder.
            drop(self.disk.remove(&self.temporary));
        }
    }
}
