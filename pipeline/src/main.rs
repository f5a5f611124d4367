//! The `freshet` command. See `freshet --help`.

use std::process::ExitCode;

use clap::Parser;

/// Lists are made of many short-lived pieces; the system allocator was the first thing in their profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What libraries read before `main`. The allocator gives freed memory back to the system after ten seconds; after one, which is its
/// default, the next epochs take it from there again, and a replay without lists takes some 3 to 8 % more CPU.
const ENVIRONMENT: [(&str, &str); 3] = {
    let [omp, blas] = freshet_index::ONE_THREAD;
    [omp, blas, ("MIMALLOC_PURGE_DELAY", "10000")]
};

fn main() -> ExitCode {
    // Before anything else: it begins the program anew.
    if let Err(error) = freshet_index::begin_with(&ENVIRONMENT) {
        eprintln!(
            "warning: the vector index may use more cores than it is worth, and epochs more CPU: {error}"
        );
    }
    freshet_pipeline::commands::Cli::parse().run()
}
