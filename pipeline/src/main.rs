//! The `freshet` command. See `freshet --help`.

use std::process::ExitCode;

use clap::Parser;

/// Lists are made of many short-lived pieces; the system allocator was the first thing in their profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: it begins the program anew.
    if let Err(error) = freshet_index::one_thread() {
        eprintln!("warning: the vector index may use more cores than it is worth: {error}");
    }
    freshet_pipeline::commands::Cli::parse().run()
}
