//! The manifest: which files count, and up to which epoch nothing is missing.
//!
//! Its form is that of a checkpoint's ([`sealed`]). It is replaced as a whole, so what it says is true at every moment
//! ([`crate::claim`]).

use freshet_schema::event::Target;
use freshet_schema::{Epoch, EventId, Millis};
use freshet_sources::epochs::Binding;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::columns::Table;
use crate::sealed::{self, checksum_text};

/// The form of manifests and files.
pub const FORMAT: u32 = 1;

/// The name of the file in a folder.
pub const NAME: &str = "manifest.json";

/// An epoch as the archive knows it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The epoch.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// XXH3 of its binding, hexadecimal; empty before the first epoch.
    pub binding: String,
}

impl Mark {
    /// What an epoch that is bound so is known again by.
    #[must_use]
    pub fn of(binding: &Binding) -> Self {
        let mut hash = Xxh3::new();
        let head = format!("{} {} {} {}", binding.epoch, binding.now, binding.watermark, binding.live);
        hash.update(head.as_bytes());
        for p in &binding.positions {
            hash.update(format!(" {} {} {} {}", p.partition, p.name, p.next_offset, p.checksum).as_bytes());
        }
        Self { epoch: binding.epoch, now: binding.now, binding: checksum_text(hash.digest()) }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The release that wrote it.
    pub freshet: String,
    /// Who wrote it, in a bucket: a word of chance, another one for each claim. Empty in a folder, where a lock does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub writer: String,
    /// The number of the next file.
    pub next_file: u64,
    /// Epochs up to this one are not in the archive: it was begun behind them.
    pub begins_behind: Epoch,
    /// Epochs behind that and up to this one are in it, all of them.
    pub through: Mark,
    /// How often what lay behind an epoch was taken out ([`crate::truncate`]): whoever reads across that reads two pasts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cuts: u64,
    /// The partitions of the input by number; an empty name where nothing was read of one since the archive began. One that came with
    /// epochs that were taken out keeps its name until its number is given again.
    pub partitions: Vec<String>,
    /// What was forgotten, in order.
    pub forgotten: Vec<Forgotten>,
    /// The files that count, by path.
    pub files: Vec<FileEntry>,
}

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its place in the archive, with `/`.
    pub path: String,
    /// The table.
    pub table: Table,
    /// The day of UTC of its rows' event times (of epochs: of their clock), since 1970.
    pub day: u64,
    /// Rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// XXH3 of its content, hexadecimal.
    pub checksum: String,
    /// The least epoch of its rows, which are in the order of (epoch, partition, offset).
    pub first_epoch: Epoch,
    /// The greatest.
    pub last_epoch: Epoch,
}

/// A delete by which rows were taken out of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The delete's own event.
    pub event_id: EventId,
    /// Its event time.
    pub event_time: Millis,
    /// What it names.
    #[serde(flatten)]
    pub target: Target,
    /// The epoch that counted it.
    pub epoch: Epoch,
    /// Rows taken out.
    pub rows: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// An archive that begins behind an epoch.
    #[must_use]
    pub fn beginning(behind: Mark) -> Self {
        Self {
            format: FORMAT,
            freshet: env!("CARGO_PKG_VERSION").to_owned(),
            begins_behind: behind.epoch,
            through: behind,
            ..Self::default()
        }
    }

    /// Rows of a table.
    #[must_use]
    pub fn rows(&self, table: Table) -> u64 {
        self.files.iter().filter(|file| file.table == table).map(|file| file.rows).sum()
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: numbers and texts have a JSON form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        sealed::encode(self)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        sealed::decode(bytes, FORMAT)
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::{EventKind, UserId};

    use super::*;

    #[test]
    fn a_manifest_is_read_again_and_a_changed_one_is_not() {
        let mut manifest =
            Manifest::beginning(Mark { epoch: Epoch(7), now: Millis(9), binding: "ab".to_owned() });
        manifest.forgotten.push(Forgotten {
            event_id: EventId(1),
            event_time: Millis(2),
            target: Target::User { user_id: UserId(3) },
            epoch: Epoch(4),
            rows: 5,
        });
        manifest.files.push(FileEntry {
            path: "a/b".to_owned(),
            table: Table::Stream(EventKind::Uploads),
            day: 3,
            rows: 1,
            bytes: 2,
            checksum: String::new(),
            first_epoch: Epoch(8),
            last_epoch: Epoch(9),
        });
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Manifest::decode(&changed).is_err(), "byte {at}");
        }
        manifest.format = 2;
        let error = Manifest::decode(&manifest.encode()).unwrap_err();
        assert!(error.contains("format 2") && error.contains("reads 1"), "{error}");
    }
}
