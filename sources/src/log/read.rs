//! Reads one partition, record by record. Whatever the bytes are, each record is an event or a dead letter.

use std::fs::File;
use std::io::{BufReader, Read};

use base64::Engine as _;
use flate2::bufread::MultiGzDecoder;
use freshet_schema::dead_letter::{DeadLetter, Reason, Stage};
use freshet_schema::event::Origin;
use freshet_schema::{Event, EventKind, Millis};

use super::decode::{Fault, decode_json};
use super::discover::Partition;
use super::error::LogError;
use super::format::Format;
use super::lines::{Extent, Line, Lines};
use super::table::Rows;
use crate::validate::{Limits, validate};

/// A record, decoded and checked against the rules of its kind (not yet against the clock).
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it begins: a byte offset in plain JSON lines, a record number elsewhere.
    pub origin: Origin,
    /// Where to go on reading.
    pub next_offset: u64,
    /// Checksum of what was consumed up to `next_offset`.
    pub checksum: u64,
    /// The record as JSON (of Kafka: its value); the beginning of it where it is too long.
    pub raw: Vec<u8>,
    /// When the log took it, where the log says so: Kafka's timestamp.
    pub stamp: Option<Millis>,
    /// The event, or why there is none.
    pub decoded: Result<Event, DeadLetter>,
}

/// Reads a partition from its beginning.
pub struct PartitionReader {
    partition: Partition,
    judge: Judge,
    body: Body,
    /// Records so far.
    records: u64,
}

enum Body {
    Plain(Lines<File>),
    Compressed(Box<Lines<Box<dyn Read + Send>>>),
    Rows(Box<Rows>),
    /// Broke off; the rest cannot be read.
    Over,
}

impl PartitionReader {
    /// Opens the partition. Its `number` goes into the origins.
    ///
    /// # Errors
    /// [`LogError::Io`]. A file whose content is broken opens well and yields a dead letter.
    pub fn open(partition: Partition, number: u32, limits: Limits) -> Result<Self, LogError> {
        let io = |e| LogError::io("open", &partition.path, e);
        let most = limits.record_bytes;
        let judge = Judge { name: partition.name.clone(), number, kind: partition.kind, limits };
        let compressed = |input: Box<dyn Read + Send>| Body::Compressed(Box::new(Lines::new(input, most)));
        let body = match partition.format {
            Format::Jsonl => Body::Plain(Lines::new(File::open(&partition.path).map_err(io)?, most)),
            Format::JsonlGz => {
                let file = BufReader::new(File::open(&partition.path).map_err(io)?);
                compressed(Box::new(MultiGzDecoder::new(file)))
            }
            Format::JsonlZst => {
                let file = File::open(&partition.path).map_err(io)?;
                compressed(Box::new(zstd::Decoder::new(file).map_err(io)?))
            }
            Format::Parquet => Body::Rows(Box::new(Rows::open(&partition.path, partition.kind)?)),
        };
        Ok(Self { partition, judge, body, records: 0 })
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The file's length now.
    ///
    /// # Errors
    /// [`LogError::Io`] where the file is gone; [`LogError::Truncated`] where it is shorter than what was consumed.
    pub fn length(&self) -> Result<u64, LogError> {
        let path = &self.partition.path;
        let length = match &self.body {
            // Of the open file: a rename or removal does not matter to what is being read.
            Body::Plain(lines) => lines.input().metadata(),
            _ => std::fs::metadata(path),
        }
        .map_err(|e| LogError::io("look at", path, e))?
        .len();
        match &self.body {
            Body::Plain(lines) if length < lines.position() => {
                Err(LogError::Truncated { path: path.clone(), offset: lines.position(), length })
            }
            _ => Ok(length),
        }
    }

    /// The part of the file's bytes that was read, estimated where it is compressed; for a progress bar.
    #[must_use]
    pub fn bytes_read(&self, length: u64) -> u64 {
        match &self.body {
            Body::Plain(lines) => lines.position(),
            // Event logs shrink to about an eighth.
            Body::Compressed(lines) => (lines.position() / 8).min(length),
            Body::Rows(rows) if rows.total > 0 => {
                u64::try_from(u128::from(length) * u128::from(self.records) / u128::from(rows.total))
                    .map_or(length, |n| n.min(length))
            }
            Body::Rows(_) | Body::Over => length,
        }
    }

    /// The next record within `extent` (which counts for plain JSON lines only), or `None` where there is none (yet).
    ///
    /// # Errors
    /// [`LogError::Io`] where the operating system cannot read.
    pub fn next(&mut self, extent: Extent) -> Result<Option<Item>, LogError> {
        match &mut self.body {
            Body::Plain(lines) => {
                while let Some((start, line)) =
                    lines.next(extent).map_err(|e| LogError::io("read", &self.partition.path, e))?
                {
                    let Some(read) = content(lines, line) else { continue };
                    let (next, checksum) = (lines.position(), lines.checksum());
                    self.records += 1;
                    return Ok(Some(self.item(start, next, checksum, read)));
                }
                Ok(None)
            }
            Body::Compressed(lines) => loop {
                match lines.next(Extent::ALL) {
                    Ok(Some((_, line))) => {
                        let Some(read) = content(lines, line) else { continue };
                        let checksum = lines.checksum();
                        return Ok(Some(self.numbered(checksum, read)));
                    }
                    Ok(None) => return Ok(None),
                    // The decoders' own errors carry no code of the operating system.
                    Err(e) if e.raw_os_error().is_some() => {
                        return Err(LogError::io("read", &self.partition.path, e));
                    }
                    Err(e) => {
                        let (checksum, raw) = (lines.checksum(), lines.fragment().to_vec());
                        self.body = Body::Over;
                        return Ok(Some(self.numbered(checksum, broken(&e.to_string(), raw))));
                    }
                }
            },
            Body::Rows(rows) => {
                let checksum = rows.checksum;
                Ok(match rows.next() {
                    None => None,
                    Some(Ok(line)) if line.len() > self.judge.limits.record_bytes => {
                        let (length, prefix) = (line.len() as u64, line[..KEPT.min(line.len())].to_vec());
                        Some(self.numbered(checksum, Content::TooLong { prefix, length }))
                    }
                    Some(Ok(line)) => Some(self.numbered(checksum, Content::Record(line))),
                    Some(Err(message)) => {
                        self.body = Body::Over;
                        Some(self.numbered(checksum, broken(&message, Vec::new())))
                    }
                })
            }
            Body::Over => Ok(None),
        }
    }

    /// Passes over the records before the offset `to` without looking into them, and says where it stands then with the checksum
    /// of all before. It stands elsewhere than at `to` where the file is not what it was.
    ///
    /// # Errors
    /// [`LogError::Io`] where the operating system cannot read.
    pub fn skip(&mut self, to: u64) -> Result<(u64, u64), LogError> {
        let io = |e| LogError::io("read", &self.partition.path, e);
        match &mut self.body {
            Body::Plain(lines) => {
                let extent = Extent { length: to, ends: true };
                while lines.next(extent).map_err(io)?.is_some() {
                    self.records += 1;
                }
                Ok((lines.position(), lines.checksum()))
            }
            Body::Compressed(lines) => {
                while self.records < to {
                    match lines.next(Extent::ALL) {
                        Ok(Some((_, line))) => self.records += u64::from(content(lines, line).is_some()),
                        Ok(None) => break,
                        Err(e) if e.raw_os_error().is_some() => return Err(io(e)),
                        // The place where it broke off was a record, the last one.
                        Err(_) => {
                            let checksum = lines.checksum();
                            self.records += 1;
                            self.body = Body::Over;
                            return Ok((self.records, checksum));
                        }
                    }
                }
                Ok((self.records, lines.checksum()))
            }
            Body::Rows(rows) => {
                let (passed, over) = rows.skip(to);
                self.records += passed;
                let checksum = rows.checksum;
                if over {
                    self.body = Body::Over;
                }
                Ok((self.records, checksum))
            }
            Body::Over => Ok((self.records, 0)),
        }
    }

    fn numbered(&mut self, checksum: u64, read: Content) -> Item {
        let offset = self.records;
        self.records += 1;
        self.item(offset, offset + 1, checksum, read)
    }

    fn item(&self, offset: u64, next_offset: u64, checksum: u64, read: Content) -> Item {
        let origin = Origin { partition: self.judge.number, offset };
        let (decoded, raw) = match read {
            Content::Record(raw) => (self.judge.decide(offset, &raw, decode_json), raw),
            Content::TooLong { prefix, length } => {
                (Err(self.judge.too_long(offset, length, &prefix)), prefix)
            }
            Content::Broken { message, raw } => {
                let detail = format!("{} records were read, then: {message}", self.records.saturating_sub(1));
                (Err(self.judge.refuse(offset, Stage::Decode, Reason::BrokenFile, detail, &raw)), raw)
            }
        };
        Item { origin, next_offset, checksum, raw, stamp: None, decoded }
    }
}

/// Bytes that are kept of a record that is too long.
const KEPT: usize = 4096;

/// Makes an event or a dead letter of a record, wherever it was read.
pub(crate) struct Judge {
    /// The partition's name, for dead letters, and its number.
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: EventKind,
    pub(crate) limits: Limits,
}

impl Judge {
    /// Decodes and validates.
    pub(crate) fn decide(
        &self,
        offset: u64,
        raw: &[u8],
        decode: impl FnOnce(EventKind, &[u8]) -> Result<Event, Fault>,
    ) -> Result<Event, DeadLetter> {
        if raw.len() > self.limits.record_bytes {
            return Err(self.too_long(offset, raw.len() as u64, &raw[..KEPT.min(raw.len())]));
        }
        let event = decode(self.kind, raw)
            .map_err(|fault| self.refuse(offset, Stage::Decode, fault.reason, fault.detail, raw))?;
        validate(&event, &self.limits)
            .map_err(|r| self.refuse(offset, Stage::Validate, r.reason, r.detail, raw))?;
        Ok(event)
    }

    pub(crate) fn too_long(&self, offset: u64, length: u64, prefix: &[u8]) -> DeadLetter {
        let detail = format!(
            "{length} bytes; at most {} are allowed (record_bytes); the first {} are kept",
            self.limits.record_bytes,
            prefix.len()
        );
        self.refuse(offset, Stage::Decode, Reason::TooLong, detail, prefix)
    }

    pub(crate) fn refuse(
        &self,
        offset: u64,
        stage: Stage,
        reason: Reason,
        detail: String,
        raw: &[u8],
    ) -> DeadLetter {
        dead_letter(&self.name, offset, stage, reason, detail, raw)
    }
}

enum Content {
    Record(Vec<u8>),
    TooLong { prefix: Vec<u8>, length: u64 },
    Broken { message: String, raw: Vec<u8> },
}

fn broken(message: &str, raw: Vec<u8>) -> Content {
    Content::Broken { message: message.to_owned(), raw }
}

/// A line's content; `None` where it is blank.
fn content<R: Read>(lines: &Lines<R>, line: Line) -> Option<Content> {
    match line {
        Line::Whole(range) => {
            let bytes = lines.bytes(range).trim_ascii();
            (!bytes.is_empty()).then(|| Content::Record(bytes.to_vec()))
        }
        Line::TooLong { prefix, length } => Some(Content::TooLong { prefix, length }),
    }
}

/// A dead letter with the record's bytes as text, or in base64 where they are none.
#[must_use]
pub fn dead_letter(
    file: &str,
    offset: u64,
    stage: Stage,
    reason: Reason,
    detail: String,
    raw: &[u8],
) -> DeadLetter {
    let text = match std::str::from_utf8(raw) {
        Ok(text) => Some(text),
        // A beginning that was cut within a character is still text.
        Err(e) if e.error_len().is_none() && reason == Reason::TooLong => {
            std::str::from_utf8(&raw[..e.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let (raw, raw_base64) = match text {
        Some(text) => (text.to_owned(), false),
        None => (base64::engine::general_purpose::STANDARD.encode(raw), true),
    };
    DeadLetter { file: file.to_owned(), offset, stage, reason, detail, raw, raw_base64 }
}
