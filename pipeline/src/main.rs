//! The `freshet` command. See `freshet --help`.

use std::process::ExitCode;

use clap::Parser;

/// Lists are made of many short-lived pieces; the system allocator was the first thing in their profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    freshet_pipeline::commands::Cli::parse().run()
}
