//! Files of an archive in a bucket, fetched as a whole before a query reads them.
//!
//! An open file stays when its name goes; an object is gone for whoever reads it range by range. A service that puts files together
//! would end a query that takes its time, when some of its rows are told already. So a query's files are fetched while it is planned, when
//! it can still be planned again. The price is that all of a file comes where few of its pages are wanted: what keeps it small is the
//! condition on `day` or `epoch`, by which files are chosen.
//!
//! They are kept without a name in the folder for temporary files, so they go with this process however it ends. A name is never used
//! twice, so later queries have them too, up to [`KEPT`] bytes: the oldest go first, when the queries that read them have ended.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use freshet_archive::{FileEntry, Folder};

/// Bytes that are kept for later queries.
const KEPT: u64 = 1 << 30;

/// See the module.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    /// Never gone through, so its order is nobody's.
    by_path: HashMap<String, Arc<File>>,
    /// The oldest first, with their lengths.
    order: VecDeque<(String, u64)>,
    bytes: u64,
}

impl Files {
    fn keep(&mut self, entry: &FileEntry, file: &Arc<File>) {
        if self.by_path.insert(entry.path.clone(), Arc::clone(file)).is_none() {
            self.order.push_back((entry.path.clone(), entry.bytes));
            self.bytes += entry.bytes;
        }
        while self.bytes > KEPT {
            let Some((path, bytes)) = self.order.pop_front() else { break };
            self.by_path.remove(&path);
            self.bytes -= bytes;
        }
    }
}

impl Fetched {
    /// A file that the manifest names, checked. `None`: another manifest holds by now.
    ///
    /// # Errors
    /// Where the server does not answer, the file is not what was written, or it cannot be kept.
    pub fn fetch(&self, folder: &Folder, entry: &FileEntry) -> anyhow::Result<Option<Arc<File>>> {
        let files = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files().by_path.get(&entry.path) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(bytes) = folder.read(entry)? else { return Ok(None) };
        let write = || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&bytes)?;
            std::io::Result::Ok(file)
        };
        let file = Arc::new(write().with_context(|| {
            format!(
                "{}: the folder for temporary files (TMPDIR); ask for fewer days, or give it room",
                entry.path
            )
        })?);
        files().keep(entry, &file);
        Ok(Some(file))
    }
}

#[cfg(test)]
mod tests {
    use freshet_archive::Table;
    use freshet_schema::Epoch;

    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_is_counted_twice() {
        let mut files = Files::default();
        let entry = |n: u64, bytes: u64| FileEntry {
            path: format!("file-{n}"),
            table: Table::Epochs,
            day: 1,
            rows: 1,
            bytes,
            checksum: String::new(),
            first_epoch: Epoch(n),
            last_epoch: Epoch(n),
        };
        let file = || Arc::new(tempfile::tempfile().expect("a file"));
        for n in 1..=4 {
            files.keep(&entry(n, KEPT / 4), &file());
            files.keep(&entry(n, KEPT / 4), &file());
        }
        assert_eq!((files.by_path.len(), files.bytes), (4, KEPT));
        files.keep(&entry(5, KEPT / 4 + 1), &file());
        let mut left: Vec<&str> = files.by_path.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["file-3", "file-4", "file-5"]);
        // One that is too large for all is its query's alone.
        files.keep(&entry(6, 2 * KEPT), &file());
        assert_eq!((files.by_path.len(), files.order.len(), files.bytes), (0, 0, 0));
    }
}
