//! `freshet tables`: what can be asked in SQL, and a stopped pipeline's state for whoever asks.

use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::KeptArgs;
use crate::tables::{TABLES, describe, offline, serve};
use crate::telemetry;

/// List the tables that `freshet sql` reads, or serve those of a stopped pipeline
///
/// With --offline the newest checkpoint is restored and its tables are served on a socket until standard input ends:
/// `freshet sql --offline` does that by itself.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet tables
  freshet tables --markdown")]
pub struct Tables {
    /// All columns, in Markdown
    #[arg(long, conflicts_with = "offline")]
    markdown: bool,
    /// Restore the newest checkpoint of a stopped pipeline and serve its tables
    #[arg(long, requires = "socket")]
    offline: bool,
    /// The socket to serve on, with --offline
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    kept: KeptArgs,
}

impl Tables {
    pub fn run(self) -> anyhow::Result<()> {
        if let Some(socket) = self.socket.as_ref().filter(|_| self.offline) {
            return self.serve(socket);
        }
        let mut out = stdout().lock();
        if self.markdown {
            write!(out, "{}", describe())?;
        } else {
            for table in TABLES {
                writeln!(out, "{:14}  {}", table.name, table.about)?;
            }
        }
        Ok(())
    }

    fn serve(&self, socket: &std::path::Path) -> anyhow::Result<()> {
        let config = self.kept.config()?;
        telemetry::start_logs(&config.log, None)?;
        let (standing, source) = offline::Standing::open(&config)?;
        let server = serve(source, socket)?;
        let (epoch, stored) = (standing.epoch(), standing.store_epoch());
        if stored > epoch {
            eprintln!(
                "note: the newest checkpoint is of epoch {epoch}, and the store holds lists up to epoch {stored}: the \
                 service did not end well; all tables but `feeds` are of epoch {epoch}"
            );
        }
        // Whoever started this waits for the line, and holds the other end of standard input.
        writeln!(stdout(), "ready {epoch}").context("standard output")?;
        stdout().flush().context("standard output")?;
        let mut rest = [0; 64];
        while stdin().lock().read(&mut rest).context("standard input")? > 0 {}
        drop(server);
        Ok(())
    }
}
