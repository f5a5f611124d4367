//! The rows of all files in the order of time, in bounded memory.
//!
//! The sets come in the order of users, of days or of nothing; a log partition should be in event-time order, since a
//! replay takes its epochs from it. KuaiRand-27K has 322 million rows, so rows are kept in 64 bytes each, sorted in runs,
//! and runs beyond the first are written beside the log and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

/// An interaction on its way through the sort. The order of the fields is the order of rows: time, user, video, and then
/// where it stood, so that the outcome does not depend on the runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub time: u64,
    pub user: u64,
    pub video: u64,
    /// File and row, see [`Seen::place`].
    pub row: u64,
    /// 0 where there is none.
    pub session: u64,
    /// Valid with the flag [`WATCHED`].
    pub watch_ms: u32,
    /// 0 where unknown.
    pub duration_ms: u32,
    pub flags: u32,
    /// The publisher's codes; 0 where there is none.
    pub device: u16,
    pub os: u16,
    pub country: u16,
}

// A reaction has two bits: whether it was known, and whether it was so.
pub(super) const LIKE: u32 = 1;
pub(super) const DISLIKE: u32 = 1 << 1;
pub(super) const SHARE: u32 = 1 << 2;
pub(super) const COMMENT: u32 = 1 << 3;
pub(super) const FOLLOW: u32 = 1 << 4;
/// Shift from "is so" to "is known".
pub(super) const KNOWN: u32 = 8;
/// `watch_ms` holds a value.
pub(super) const WATCHED: u32 = 1 << 16;
/// `time` is made up.
pub(super) const TIME_DERIVED: u32 = 1 << 17;
/// The comment is implied by what the set is, not by a column.
pub(super) const COMMENT_DERIVED: u32 = 1 << 18;

const ROW_BITS: u32 = 48;

impl Seen {
    /// Notes a reaction where it is known.
    pub fn react(&mut self, flag: u32, value: Option<bool>) {
        if let Some(value) = value {
            self.flags |= flag << KNOWN | if value { flag } else { 0 };
        }
    }

    /// Remembers where the row stood.
    pub fn stand(&mut self, file: usize, row: u64) {
        self.row = (file as u64) << ROW_BITS | row;
    }

    /// The number of its file and its row.
    pub fn place(&self) -> (usize, u64) {
        ((self.row >> ROW_BITS) as usize, self.row & ((1 << ROW_BITS) - 1))
    }

    fn bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let words = [self.time, self.user, self.video, self.row, self.session];
        let halves = [self.watch_ms, self.duration_ms, self.flags];
        let quarters = [self.device, self.os, self.country];
        let parts = words.iter().flat_map(|n| n.to_le_bytes());
        let parts = parts.chain(halves.iter().flat_map(|n| n.to_le_bytes()));
        for (to, from) in bytes.iter_mut().zip(parts.chain(quarters.iter().flat_map(|n| n.to_le_bytes()))) {
            *to = from;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let number = |from: usize, width: usize| {
            bytes[from..from + width].iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte))
        };
        Self {
            time: number(0, 8),
            user: number(8, 8),
            video: number(16, 8),
            row: number(24, 8),
            session: number(32, 8),
            watch_ms: number(40, 4) as u32,
            duration_ms: number(44, 4) as u32,
            flags: number(48, 4) as u32,
            device: number(52, 2) as u16,
            os: number(54, 2) as u16,
            country: number(56, 2) as u16,
        }
    }
}

/// Bytes of a row in a run.
const SIZE: usize = 58;

/// Sorts rows, of which it keeps `run_rows` in memory.
pub(super) struct Sorter {
    dir: PathBuf,
    run_rows: usize,
    rows: Vec<Seen>,
    runs: Vec<File>,
}

impl Sorter {
    /// Runs go to unnamed temporary files in `dir`, which must exist when the first is full.
    pub fn new(dir: PathBuf, run_rows: usize) -> Self {
        Self { dir, run_rows, rows: Vec::new(), runs: Vec::new() }
    }

    pub fn push(&mut self, row: Seen) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < self.run_rows {
            return Ok(());
        }
        self.rows.sort_unstable();
        std::fs::create_dir_all(&self.dir)?;
        let mut file = BufWriter::new(tempfile::tempfile_in(&self.dir)?);
        for row in &self.rows {
            file.write_all(&row.bytes())?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(file);
        self.rows.clear();
        Ok(())
    }

    /// Hands over all rows in order.
    pub fn finish<E>(
        mut self,
        mut each: impl FnMut(Result<Seen, io::Error>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows.sort_unstable();
        let mut memory = self.rows.into_iter();
        let mut runs: Vec<_> = self.runs.into_iter().map(BufReader::new).collect();
        let mut heap = BinaryHeap::new();
        for run in 0..=runs.len() {
            match next(&mut memory, &mut runs, run) {
                Ok(Some(row)) => heap.push(Reverse((row, run))),
                Ok(None) => {}
                Err(e) => each(Err(e))?,
            }
        }
        while let Some(Reverse((row, run))) = heap.pop() {
            each(Ok(row))?;
            match next(&mut memory, &mut runs, run) {
                Ok(Some(row)) => heap.push(Reverse((row, run))),
                Ok(None) => {}
                Err(e) => each(Err(e))?,
            }
        }
        Ok(())
    }
}

/// The next row of a run; the one behind the last is in memory.
fn next(
    memory: &mut impl Iterator<Item = Seen>,
    runs: &mut [BufReader<File>],
    run: usize,
) -> io::Result<Option<Seen>> {
    let Some(reader) = runs.get_mut(run) else { return Ok(memory.next()) };
    let mut bytes = [0; SIZE];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(Seen::from_bytes(&bytes))),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_change_nothing(times in prop::collection::vec((0u64..50, 0u64..4, any::<u32>()), 0..300)) {
            let dir = tempfile::tempdir().expect("temporary folder");
            let rows: Vec<Seen> = times
                .iter()
                .enumerate()
                .map(|(i, (time, user, noise))| {
                    let mut seen = Seen {
                        time: *time,
                        user: *user,
                        session: u64::from(*noise) << 20,
                        watch_ms: *noise,
                        duration_ms: noise / 2,
                        device: *noise as u16,
                        os: 7,
                        country: 9,
                        ..Seen::default()
                    };
                    seen.react(LIKE, Some(noise % 2 == 0));
                    seen.stand(1, i as u64);
                    seen
                })
                .collect();
            let mut sorter = Sorter::new(dir.path().to_owned(), 16);
            for row in &rows {
                sorter.push(*row).expect("room");
            }
            let mut out = Vec::new();
            sorter.finish(|row| { out.push(row?); Ok::<(), io::Error>(()) }).expect("readable");
            let mut expected = rows;
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }
}
