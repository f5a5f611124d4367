//! Cuts a stream of bytes into lines, with a checksum over everything consumed.
//!
//! The checksum is a chain, `next = xxh3(line with its newline, seed = previous)`: its state is one number, so a binding
//! can carry it, a look-ahead does not disturb it, and what is read again must pass through the very same numbers. A line
//! beyond the limit is hashed and dropped as it is read; only its beginning is kept.

use std::io::{self, Read};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

const CHUNK: usize = 1 << 18;
/// Bytes that are kept of a line that is too long.
const KEPT: usize = 4096;

/// A line without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// These bytes of the buffer; see [`Lines::bytes`].
    Whole(std::ops::Range<usize>),
    /// Longer than allowed.
    TooLong {
        /// How it begins.
        prefix: Vec<u8>,
        /// Its length in bytes.
        length: u64,
    },
}

/// How far the input may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes that exist; what lies beyond is not looked at. `u64::MAX` where the input's own end counts.
    pub length: u64,
    /// Whether the input ends there, so that a last line without newline is a record. Where it may go on, that line is
    /// still being written.
    pub ends: bool,
}

impl Extent {
    /// All of a finished input.
    pub const ALL: Self = Self { length: u64::MAX, ends: true };
}

struct Long {
    start: u64,
    length: u64,
    prefix: Vec<u8>,
    hash: Box<Xxh3>,
}

pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the current line begins in the buffer, and how far it was searched for its end.
    start: usize,
    searched: usize,
    /// Stream position of `start`.
    position: u64,
    checksum: u64,
    most: usize,
    long: Option<Long>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R, most: usize) -> Self {
        let buffer = Vec::new();
        Self { input, buffer, start: 0, searched: 0, position: 0, checksum: 0, most, long: None }
    }

    /// The next line with the stream position where it begins; `None` at the end of the extent.
    pub(super) fn next(&mut self, extent: Extent) -> io::Result<Option<(u64, Line)>> {
        loop {
            let room = usize::try_from(extent.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let visible = self.buffer.len().min(self.start.saturating_add(room));
            let from = self.searched.min(visible);
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[from..visible]) {
                return Ok(Some(self.take(from + at, 1)));
            }
            self.searched = visible;
            if visible - self.start > self.most {
                self.set_aside(visible);
                continue;
            }
            // Filling moves the buffer's content.
            let seen = visible - self.start;
            let at_end = seen == room || !self.fill()?;
            if at_end {
                let open = self.long.is_some() || seen > 0;
                return Ok((extent.ends && open).then(|| self.take(self.start + seen, 0)));
            }
        }
    }

    /// The bytes of a [`Line::Whole`], until the next call of `next`.
    pub(super) fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Stream position behind the last line.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Checksum of all lines so far.
    pub(super) fn checksum(&self) -> u64 {
        self.checksum
    }

    /// What was read of a line whose end has not come.
    pub(super) fn fragment(&self) -> &[u8] {
        let rest = &self.buffer[self.start..];
        &rest[..rest.len().min(KEPT)]
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    fn take(&mut self, end: usize, newline: usize) -> (u64, Line) {
        let (start, behind) = (self.start, end + newline);
        let bytes = &self.buffer[start..behind];
        let line_start;
        let line = match self.long.take() {
            Some(mut long) => {
                line_start = long.start;
                long.hash.update(bytes);
                self.checksum = long.hash.digest();
                Line::TooLong { prefix: long.prefix, length: long.length + (end - start) as u64 }
            }
            None => {
                line_start = self.position;
                self.checksum = xxh3_64_with_seed(bytes, self.checksum);
                if end - start > self.most {
                    let prefix = bytes[..(end - start).min(KEPT)].to_vec();
                    Line::TooLong { prefix, length: (end - start) as u64 }
                } else {
                    Line::Whole(start..end)
                }
            }
        };
        self.advance(behind);
        (line_start, line)
    }

    /// Moves the visible bytes of an overlong line out of the buffer.
    fn set_aside(&mut self, visible: usize) {
        let bytes = &self.buffer[self.start..visible];
        let long = self.long.get_or_insert_with(|| Long {
            start: self.position,
            length: 0,
            prefix: bytes[..bytes.len().min(KEPT)].to_vec(),
            hash: Box::new(Xxh3::with_seed(self.checksum)),
        });
        long.hash.update(bytes);
        long.length += bytes.len() as u64;
        self.advance(visible);
    }

    fn advance(&mut self, to: usize) {
        self.position += (to - self.start) as u64;
        self.start = to;
        self.searched = to;
    }

    /// Reads more into the buffer; `false` at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        let had = self.buffer.len();
        self.buffer.resize(had + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[had..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(had + read.as_ref().map_or(0, |n| *n));
        Ok(read? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out bytes in small pieces.
    struct Dribble<'a>(&'a [u8], usize);
    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    type Read1 = (u64, Result<Vec<u8>, u64>, u64);

    fn all<R: Read>(mut lines: Lines<R>, extents: &[Extent]) -> Vec<Read1> {
        let mut out = Vec::new();
        for extent in extents {
            while let Some((start, line)) = lines.next(*extent).unwrap() {
                let line = match line {
                    Line::Whole(range) => Ok(lines.bytes(range).to_vec()),
                    Line::TooLong { length, .. } => Err(length),
                };
                out.push((start, line, lines.checksum()));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn pieces_and_growth_change_nothing(
            text in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..200),
            piece in 1usize..9,
            cuts in prop::collection::vec(0u64..200, 0..5),
        ) {
            let whole = all(Lines::new(text.as_slice(), 6), &[Extent::ALL]);
            // The oracle: split by newline.
            let mut split: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            if split.last().is_some_and(|last| last.is_empty()) { split.pop(); }
            let expect: Vec<_> =
                split.iter().map(|l| if l.len() > 6 { Err(l.len() as u64) } else { Ok(l.to_vec()) }).collect();
            prop_assert_eq!(whole.iter().map(|(_, l, _)| l.clone()).collect::<Vec<_>>(), expect);
            prop_assert_eq!(&all(Lines::new(Dribble(&text, piece), 6), &[Extent::ALL]), &whole);
            // A file that grows while it is read ends up the same.
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut extents: Vec<_> =
                cuts.iter().map(|c| Extent { length: (*c).min(text.len() as u64), ends: false }).collect();
            extents.push(Extent { length: text.len() as u64, ends: true });
            prop_assert_eq!(&all(Lines::new(Dribble(&text, piece), 6), &extents), &whole);
        }
    }

    #[test]
    fn a_line_being_written_is_no_line_yet() {
        let mut lines = Lines::new(b"one\ntw".as_slice(), 100);
        let open = Extent { length: 6, ends: false };
        assert!(lines.next(open).unwrap().is_some());
        assert_eq!(lines.next(open).unwrap(), None);
        assert_eq!(lines.next(Extent { length: 6, ends: true }).unwrap().map(|(start, _)| start), Some(4));
    }
}
