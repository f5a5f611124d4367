//! Generated worlds, kept between runs: making five million events takes longer than some measurements. The same
//! arguments give the same bytes, so what is kept is what would be made; after a change to the generator remove the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// The numbers of a world.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Users.
    pub users: u64,
    /// Videos.
    pub videos: u64,
    /// Interactions.
    pub events: u64,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |n: u64| match n {
            n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
            n if n >= 1_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
            n => n.to_string(),
        };
        write!(f, "{} users, {} videos, {} events", short(self.users), short(self.videos), short(self.events))
    }
}

/// The number of the first generated user; the others follow without gaps.
pub const FIRST_USER: u64 = 1_000_001;
/// The number of the first generated video.
pub const FIRST_VIDEO: u64 = 1_000_000_001;

const SEED: u64 = 7;

/// Where worlds and scratch folders are.
#[derive(Debug)]
pub struct Worlds {
    binary: PathBuf,
    dir: PathBuf,
}

impl Worlds {
    /// Keeps worlds in `dir`, made by this binary.
    pub fn new(binary: PathBuf, dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("--dir {}", dir.display()))?;
        Ok(Self { binary, dir: dir.canonicalize()? })
    }

    /// The log of a world, for reading only.
    pub fn log(&self, size: Size) -> anyhow::Result<PathBuf> {
        let log = self.dir.join(format!("world-{}-{}-{}", size.users, size.videos, size.events));
        if !log.exists() {
            // Under its final name it is whole.
            let unfinished = self.scratch()?;
            self.generate(size, &unfinished.path().join("log"))?;
            fs::rename(unfinished.path().join("log"), &log)?;
        }
        Ok(log)
    }

    /// Writes a world's log to a folder of the caller's own.
    pub fn generate(&self, size: Size, out: &Path) -> anyhow::Result<()> {
        let mut command = self.freshet("generate");
        for (flag, number) in
            [("--users", size.users), ("--videos", size.videos), ("--events", size.events), ("--seed", SEED)]
        {
            command.arg(flag).arg(number.to_string());
        }
        let status = command.arg("--out").arg(out).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "{command:?} ended with {status}");
        Ok(())
    }

    /// A folder that goes away with its handle.
    pub fn scratch(&self) -> anyhow::Result<TempDir> {
        tempfile::Builder::new().prefix("scratch-").tempdir_in(&self.dir).context("a scratch folder")
    }

    /// Another program beside the measured binary.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.binary.with_file_name(name)
    }

    /// A command of the measured binary.
    pub fn freshet(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        // What a person has set for their logs must not change a figure.
        command.arg(subcommand).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }
}
