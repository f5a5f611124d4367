//! The few things that are done with files, so that a test can do them worse.
//!
//! Names are relative, with `/` between folder and file. What was written is durable after `sync`, and a name (made, linked,
//! renamed or removed) after `sync_folder` of its folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// See the module.
pub trait Disk: Send + Sync {
    /// What the names are relative to, for messages.
    fn root(&self) -> &Path;
    /// Adds bytes to the end of a file; it is made, with its folder, where it is not there.
    ///
    /// # Errors
    /// Of the disk.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file's content durable.
    ///
    /// # Errors
    /// Of the disk.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, in the place of any that has it.
    ///
    /// # Errors
    /// Of the disk.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file a second name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where that name is taken; of the disk.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes the names in a folder durable, and the folder's own.
    ///
    /// # Errors
    /// Of the disk.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    /// All of a file.
    ///
    /// # Errors
    /// Of the disk.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// The names in a folder, without it; none where it is not there.
    ///
    /// # Errors
    /// Of the disk.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Removes a file; there may be none.
    ///
    /// # Errors
    /// Of the disk.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Removes an empty folder; there may be none.
    ///
    /// # Errors
    /// Of the disk.
    fn remove_folder(&self, folder: &str) -> io::Result<()>;
}

/// A folder of this machine.
#[derive(Clone, Debug)]
pub struct LocalDisk {
    root: PathBuf,
}

impl LocalDisk {
    /// The folder `root`; it is made with the first file.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Disk for LocalDisk {
    fn root(&self) -> &Path {
        &self.root
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(name);
        let open = || OpenOptions::new().append(true).create(true).open(&path);
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                open()?
            }
            other => other?,
        };
        file.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        OpenOptions::new().read(true).open(self.root.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.root.join(from), self.root.join(to))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let path = self.root.join(folder);
        File::open(&path)?.sync_all()?;
        // Its own name, and that of what it is in up to the root's: all may be new.
        let mut above = path.as_path();
        while above.starts_with(&self.root) {
            let Some(folder) = above.parent().filter(|folder| !folder.as_os_str().is_empty()) else { break };
            File::open(folder)?.sync_all()?;
            above = folder;
        }
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // A name that is no text is none of ours.
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let mut names: Vec<String> = names.filter_map(io::Result::transpose).collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unless_absent(fs::remove_file(self.root.join(name)))
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        unless_absent(fs::remove_dir(self.root.join(folder)))
    }
}
