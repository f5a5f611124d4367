//! Where the socket is.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// `sun_path` holds 104 bytes on the BSDs and 108 on Linux, with the closing zero.
const LONGEST: usize = 100;

/// The socket of the service over a store: `control.sock` in the store's folder, or a file in the temporary folder named
/// by the hash of the store's path where that is too long for a socket. The folder must exist: its absolute path decides,
/// so that service and command agree wherever they were started.
///
/// # Errors
/// Where the folder cannot be found.
pub fn socket_path(store_dir: &Path) -> io::Result<PathBuf> {
    let store_dir = store_dir.canonicalize()?;
    Ok(choose(&store_dir, &std::env::temp_dir()))
}

fn choose(store_dir: &Path, temporary: &Path) -> PathBuf {
    let path = store_dir.join("control.sock");
    if path.as_os_str().len() <= LONGEST {
        return path;
    }
    temporary.join(format!("freshet-{:016x}.sock", xxh3_64(store_dir.as_os_str().as_encoded_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_goes_to_the_temporary_folder() {
        let temporary = Path::new("/t");
        assert_eq!(choose(Path::new("/s"), temporary), Path::new("/s/control.sock"));
        let long = PathBuf::from(format!("/{}", "x".repeat(100)));
        let other = PathBuf::from(format!("/{}", "y".repeat(100)));
        assert!(choose(&long, temporary).starts_with(temporary));
        assert_ne!(choose(&long, temporary), choose(&other, temporary));
    }
}
