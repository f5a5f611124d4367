//! A stopped pipeline's tables: `freshet tables --offline` as a child.
//!
//! The state's form is the pipeline's business: what reads a checkpoint is the program that writes them. The child serves the
//! same socket as a running service does, in a folder of its own, until its standard input ends: it does not outlive this
//! process, however that ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::service::Service;

/// The child.
pub struct Offline {
    child: Child,
    dir: TempDir,
}

/// The program that reads checkpoints: what started this one, or what lies beside it, or what is on the PATH.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("FRESHET_BIN") {
        return named.into();
    }
    let beside = std::env::current_exe().ok().map(|me| me.with_file_name("freshet"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "freshet".into())
}

impl Offline {
    /// Starts it and waits until the checkpoint is restored. `arguments` say where it is: `--store`, `--config`, `--checkpoints`.
    ///
    /// # Errors
    /// Where the program cannot be started, or says that there is nothing to read.
    pub fn start(arguments: &[(&str, &Path)]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("a temporary folder")?;
        let program = program();
        let mut command = Command::new(&program);
        command.args(["tables", "--offline", "--socket"]).arg(dir.path().join("tables.sock"));
        for (flag, path) in arguments {
            command.arg(flag).arg(path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| {
            format!(
                "{}: the program that reads checkpoints cannot be started; FRESHET_BIN names it",
                program.display()
            )
        })?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).context("the program that reads checkpoints")?;
        }
        let started = Self { child, dir };
        if !line.starts_with("ready") {
            // What is wrong stands on standard error already.
            bail!("the checkpoint cannot be read");
        }
        Ok(started)
    }

    /// Where its tables are.
    #[must_use]
    pub fn service(&self) -> Service {
        Service::new(&self.dir.path().join("tables.sock"))
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // Its standard input ends, and so does it.
        drop(self.child.stdin.take());
        // It holds nothing that is worth a complaint now.
        let _ = self.child.wait();
    }
}
