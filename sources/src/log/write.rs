//! Writes a log: one part file a kind, begun with the kind's first event.
//!
//! The same events give the same bytes in every format (no times, no names of machines), so that a generated log can be
//! known by its checksum. Files get their names only in [`LogWriter::finish`]: a reader never meets half a file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use freshet_schema::{Event, EventKind};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::columns;
use super::decode::encode_line;
use super::discover::first_part_file;
use super::error::LogError;
use super::format::Format;

/// Rows of a Parquet file that wait as JSON before they become columns.
const ROWS: usize = 8192;
/// Bytes of such rows: an upload may carry a vector of 4,096 numbers.
const ROW_BYTES: usize = 4 << 20;

/// What was written of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The kind.
    pub kind: EventKind,
    /// Records.
    pub records: u64,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What was written, in the order of [`EventKind::ALL`]; kinds without events have no file and no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// One entry a kind that has events.
    pub files: Vec<Written>,
}

impl Summary {
    /// Records of a kind.
    #[must_use]
    pub fn records(&self, kind: EventKind) -> u64 {
        self.files.iter().find(|f| f.kind == kind).map_or(0, |f| f.records)
    }

    /// Records of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.files.iter().map(|f| f.records).sum()
    }
}

/// Writes events into `DIR/{kind}/part-00000.EXT`.
pub struct LogWriter {
    dir: PathBuf,
    format: Format,
    parts: [Option<Part>; EventKind::ALL.len()],
    line: Vec<u8>,
}

impl LogWriter {
    /// Begins a log in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// [`LogError::NotEmpty`] where `dir` already holds part files; [`LogError::Io`] where it cannot be made or read.
    pub fn create(dir: &Path, format: Format) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(|e| LogError::io("make the folder", dir, e))?;
        if let Some(found) = first_part_file(dir)? {
            return Err(LogError::NotEmpty { path: dir.to_owned(), found });
        }
        Ok(Self { dir: dir.to_owned(), format, parts: Default::default(), line: Vec::new() })
    }

    /// Appends an event to its kind's file.
    ///
    /// # Errors
    /// [`LogError::Io`] and [`LogError::Parquet`] where the file cannot be written; [`LogError::Encode`] where the event
    /// has no JSON form.
    pub fn write(&mut self, event: &Event) -> Result<(), LogError> {
        let kind = event.kind();
        let slot = &mut self.parts[slot(kind)];
        let part = match slot {
            Some(part) => part,
            None => slot.insert(Part::create(&self.dir, kind, self.format)?),
        };
        self.line.clear();
        encode_line(event, &mut self.line).map_err(|e| LogError::Encode {
            path: part.path.clone(),
            kind: kind.folder(),
            message: e.to_string(),
        })?;
        part.append(&self.line)
    }

    /// Completes the files, makes them durable and gives them their names.
    ///
    /// # Errors
    /// [`LogError::Io`] and [`LogError::Parquet`] where a file cannot be completed.
    pub fn finish(mut self) -> Result<Summary, LogError> {
        let mut summary = Summary::default();
        for part in self.parts.iter_mut().filter_map(Option::take) {
            summary.files.push(part.finish()?);
        }
        Ok(summary)
    }
}

fn slot(kind: EventKind) -> usize {
    // The declaration order of the kinds is the order of `ALL`.
    kind as usize
}

struct Part {
    kind: EventKind,
    path: PathBuf,
    temporary: PathBuf,
    records: u64,
    body: Option<Body>,
}

enum Body {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
    Parquet(Box<Table>),
}

impl Part {
    fn create(dir: &Path, kind: EventKind, format: Format) -> Result<Self, LogError> {
        let folder = dir.join(kind.folder());
        fs::create_dir_all(&folder).map_err(|e| LogError::io("make the folder", &folder, e))?;
        let path = folder.join(format!("part-00000.{format}"));
        let temporary = folder.join(format!(".part-00000.{format}.tmp"));
        let file = File::create(&temporary).map_err(|e| LogError::io("create", &temporary, e))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let body = match format {
            Format::Jsonl => Body::Plain(file),
            Format::JsonlGz => Body::Gzip(GzBuilder::new().mtime(0).write(file, Compression::default())),
            Format::JsonlZst => {
                Body::Zstd(zstd::Encoder::new(file, 0).map_err(|e| LogError::io("write", &temporary, e))?)
            }
            Format::Parquet => Body::Parquet(Box::new(
                Table::create(file, kind).map_err(|message| LogError::parquet(&temporary, message))?,
            )),
        };
        Ok(Self { kind, path, temporary, records: 0, body: Some(body) })
    }

    fn append(&mut self, line: &[u8]) -> Result<(), LogError> {
        self.records += 1;
        let written = match self.body.as_mut().expect("a part has its body until it is finished") {
            Body::Plain(w) => w.write_all(line),
            Body::Gzip(w) => w.write_all(line),
            Body::Zstd(w) => w.write_all(line),
            Body::Parquet(table) => {
                return table.append(line).map_err(|message| LogError::parquet(&self.path, message));
            }
        };
        written.map_err(|e| LogError::io("write", &self.path, e))
    }

    fn finish(mut self) -> Result<Written, LogError> {
        let io = |e| LogError::io("write", &self.path, e);
        let buffered = match self.body.take().expect("a part is finished once") {
            Body::Plain(w) => w,
            Body::Gzip(w) => w.finish().map_err(io)?,
            Body::Zstd(w) => w.finish().map_err(io)?,
            Body::Parquet(table) => {
                table.finish().map_err(|message| LogError::parquet(&self.path, message))?
            }
        };
        let file = buffered.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        fs::rename(&self.temporary, &self.path).map_err(|e| LogError::io("rename into", &self.path, e))?;
        Ok(Written { kind: self.kind, records: self.records, path: self.path.clone(), bytes })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Nothing reads a temporary file; after a finish there is none and the removal has nothing to do.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A Parquet file. Rows come as JSON lines, so that there is one mapping from events to fields and not two.
struct Table {
    writer: ArrowWriter<BufWriter<File>>,
    decoder: Decoder,
    waiting: Vec<u8>,
    rows: usize,
}

impl Table {
    fn create(file: BufWriter<File>, kind: EventKind) -> Result<Self, String> {
        let schema = columns::schema(kind);
        let properties = WriterProperties::builder()
            .set_compression(ParquetCompression::ZSTD(ZstdLevel::default()))
            .set_created_by("freshet".to_owned())
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(text)?;
        let decoder = ReaderBuilder::new(schema).with_batch_size(ROWS).build_decoder().map_err(text)?;
        Ok(Self { writer, decoder, waiting: Vec::new(), rows: 0 })
    }

    fn append(&mut self, line: &[u8]) -> Result<(), String> {
        self.waiting.extend_from_slice(line);
        self.rows += 1;
        if self.rows == ROWS || self.waiting.len() >= ROW_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        let mut rest = self.waiting.as_slice();
        while !rest.is_empty() {
            let taken = self.decoder.decode(rest).map_err(text)?;
            rest = &rest[taken..];
            if let Some(batch) = self.decoder.flush().map_err(text)? {
                self.writer.write(&batch).map_err(text)?;
            }
        }
        self.waiting.clear();
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<BufWriter<File>, String> {
        self.flush()?;
        self.writer.into_inner().map_err(text)
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
