//! Where the socket is.

use std::io;
use std::path::{Path, PathBuf};

use freshet_schema::sockets;

/// The control socket of the service over a store.
///
/// # Errors
/// Where the folder cannot be found.
pub fn socket_path(store_dir: &Path) -> io::Result<PathBuf> {
    sockets::socket(store_dir, sockets::CONTROL)
}
