//! One thread for FAISS and OpenBLAS.
//!
//! Both read their number of threads from the environment when the program is loaded, before `main`. The C interface of FAISS
//! has no call for it, and to change the environment of a running program is unsafe and would come too late. What is left is to
//! start the program again with the variables set: the same process, the same arguments, some milliseconds.

use std::env;
use std::io;

const VARIABLES: [&str; 2] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"];

/// Sees to it that FAISS and OpenBLAS use one thread. To be called first in `main`: where one of `OMP_NUM_THREADS` and
/// `OPENBLAS_NUM_THREADS` is not set, the program begins anew with it set to 1. What the operator has set stays.
///
/// # Errors
/// The program cannot be started again. It may go on: results are the same, the cores are busier.
pub fn one_thread() -> io::Result<()> {
    if VARIABLES.iter().all(|variable| env::var_os(variable).is_some()) {
        return Ok(());
    }
    again()
}

#[cfg(unix)]
fn again() -> io::Result<()> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    use std::path::Path;

    let mut arguments = env::args_os();
    let name = arguments.next();
    // On Linux this path holds even where the file was replaced meanwhile. Where it was not, the file's own name is what `top` shows.
    let held = Path::new("/proc/self/exe");
    let named = env::current_exe()?;
    let file = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let replaced = file(held).is_some_and(|held| file(&named) != Some(held));
    let mut command = std::process::Command::new(if replaced { held } else { &named });
    command.args(arguments);
    if let Some(name) = name {
        command.arg0(name);
    }
    for variable in VARIABLES {
        if env::var_os(variable).is_none() {
            command.env(variable, "1");
        }
    }
    // Returns only where it failed.
    Err(command.exec())
}

#[cfg(not(unix))]
fn again() -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "cannot restart here: set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 before the start",
    ))
}
