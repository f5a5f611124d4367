//! The `freshet` command. See `freshet --help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    freshet_pipeline::commands::Cli::parse().run()
}
