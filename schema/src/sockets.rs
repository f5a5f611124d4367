//! Where the service's sockets are. Commands and other processes find them by the store's folder alone.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// `sun_path` holds 104 bytes on the BSDs and 108 on Linux, with the closing zero.
const LONGEST: usize = 100;

/// The control socket's name.
pub const CONTROL: &str = "control";
/// The name of the socket that tables are read over.
pub const TABLES: &str = "tables";

/// The socket `name` of the service over a store: `NAME.sock` in the store's folder, or a file in the temporary folder named
/// by the hash of the store's path where that is too long for a socket. The folder must exist: its absolute path decides,
/// so that service and command agree wherever they were started.
///
/// # Errors
/// Where the folder cannot be found.
pub fn socket(store_dir: &Path, name: &str) -> io::Result<PathBuf> {
    let store_dir = store_dir.canonicalize()?;
    Ok(choose(&store_dir, &std::env::temp_dir(), name))
}

fn choose(store_dir: &Path, temporary: &Path, name: &str) -> PathBuf {
    let path = store_dir.join(format!("{name}.sock"));
    if path.as_os_str().len() <= LONGEST {
        return path;
    }
    let hash = xxh3_64(store_dir.as_os_str().as_encoded_bytes());
    // The control socket had the hash alone before there was another one.
    let name = if name == CONTROL { String::new() } else { format!("{name}-") };
    temporary.join(format!("freshet-{name}{hash:016x}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_goes_to_the_temporary_folder() {
        let temporary = Path::new("/t");
        assert_eq!(choose(Path::new("/s"), temporary, CONTROL), Path::new("/s/control.sock"));
        assert_eq!(choose(Path::new("/s"), temporary, TABLES), Path::new("/s/tables.sock"));
        let long = PathBuf::from(format!("/{}", "x".repeat(100)));
        let other = PathBuf::from(format!("/{}", "y".repeat(100)));
        assert!(choose(&long, temporary, CONTROL).starts_with(temporary));
        assert_ne!(choose(&long, temporary, CONTROL), choose(&other, temporary, CONTROL));
        assert_ne!(choose(&long, temporary, CONTROL), choose(&long, temporary, TABLES));
    }
}
