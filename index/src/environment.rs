//! What libraries read of the environment when the program is loaded, before `main`.
//!
//! FAISS and OpenBLAS read their number of threads there. The C interface of FAISS has no call for it, and to change the environment of
//! a running program is unsafe and would come too late. What is left is to start the program again with the variables set: the same
//! process, the same arguments, some milliseconds.

use std::env;
use std::io;

/// With these FAISS and OpenBLAS use one thread.
pub const ONE_THREAD: [(&str, &str); 2] = [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")];

/// Sees to it that these variables are set. To be called first in `main`: where one is not, the program begins anew with its value
/// from here. What the operator has set stays.
///
/// # Errors
/// The program cannot be started again. It may go on without: results are the same, the machine is busier.
pub fn begin_with(variables: &[(&str, &str)]) -> io::Result<()> {
    let missing: Vec<_> = variables.iter().copied().filter(|(name, _)| env::var_os(name).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { again(&missing) }
}

#[cfg(unix)]
fn again(variables: &[(&str, &str)]) -> io::Result<()> {
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
    command.args(arguments).envs(variables.iter().copied());
    if let Some(name) = name {
        command.arg0(name);
    }
    // Returns only where it failed.
    Err(command.exec())
}

#[cfg(not(unix))]
fn again(variables: &[(&str, &str)]) -> io::Result<()> {
    let wanted: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("set {} before the start", wanted.join(" and "))))
}
