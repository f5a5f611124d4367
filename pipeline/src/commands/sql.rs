//! `freshet sql`: hands over to `freshet-sql`, the process that the query engine is in.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use clap::Args;

/// Ask the running pipeline in SQL
///
/// Hands all arguments to `freshet-sql`, which lies beside this program or on the PATH: a process of its own, so that the
/// heaviest query cannot hurt the pipeline. `freshet sql --help` shows its options.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
#[command(after_long_help = "\
Examples:
  freshet sql --store data/store -c 'select * from freshness'
  freshet sql --config configs/demo.toml
  freshet sql --offline --store data/store -c 'select count(*) from users'")]
pub struct Sql {
    /// What `freshet-sql` is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

const PROGRAM: &str = "freshet-sql";

impl Sql {
    pub fn run(self) -> anyhow::Result<()> {
        let beside: Option<PathBuf> =
            std::env::current_exe().ok().map(|me| me.with_file_name(PROGRAM)).filter(|path| path.is_file());
        let program = beside.clone().map_or_else(|| OsString::from(PROGRAM), PathBuf::into_os_string);
        let mut command = Command::new(program);
        command.args(self.args);
        // It starts this program for --offline.
        if let Ok(me) = std::env::current_exe() {
            command.env("FRESHET_BIN", me);
        }
        // Becomes the other program: comes back only where that fails.
        let error = command.exec();
        if error.kind() == std::io::ErrorKind::NotFound {
            bail!(
                "{PROGRAM} is neither beside this program nor on the PATH: build it with `cargo build --release -p \
                 freshet-sql` (the query engine takes a while, so it is not built with the rest)"
            );
        }
        bail!("{PROGRAM} cannot be started: {error}")
    }
}
