//! Parquet rows as JSON lines.
//!
//! Only the columns that the kind has are read, so others may be there and may hold anything. A file that cannot be
//! decoded ends in one message; the Parquet crate may panic on bytes that lie about themselves, which is caught here,
//! because no input may end the service.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::json::LineDelimitedWriter;
use freshet_schema::EventKind;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use xxhash_rust::xxh3::Xxh3;

use super::columns;
use super::error::LogError;

const ROWS: usize = 1024;

pub(super) struct Rows {
    batches: Option<ParquetRecordBatchReader>,
    /// Why the file cannot be read on, told once.
    broken: Option<String>,
    lines: VecDeque<Vec<u8>>,
    /// Of the file's bytes: a Parquet file is consumed as it is or not at all.
    pub(super) checksum: u64,
    /// Rows that the footer promises.
    pub(super) total: u64,
}

impl Rows {
    pub(super) fn open(path: &Path, kind: EventKind) -> Result<Self, LogError> {
        let checksum = file_checksum(path).map_err(|e| LogError::io("read", path, e))?;
        let file = File::open(path).map_err(|e| LogError::io("open", path, e))?;
        let opened = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
            let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
            let known = columns::schema(kind);
            let roots: Vec<usize> = builder
                .schema()
                .fields()
                .iter()
                .enumerate()
                .filter(|(_, field)| known.field_with_name(field.name()).is_ok())
                .map(|(i, _)| i)
                .collect();
            if roots.is_empty() {
                return Err(format!("none of its columns is a field of {}", kind.folder()));
            }
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            let batches = builder.with_projection(mask).with_batch_size(ROWS).build();
            Ok((batches.map_err(|e| e.to_string())?, total))
        });
        Ok(match opened {
            Ok((batches, total)) => {
                Self { batches: Some(batches), broken: None, lines: VecDeque::new(), checksum, total }
            }
            Err(message) => {
                Self { batches: None, broken: Some(message), lines: VecDeque::new(), checksum, total: 0 }
            }
        })
    }

    /// Passes over `count` rows. How many it passed over, a place where the file breaks off counted as the last, and whether it
    /// does.
    pub(super) fn skip(&mut self, count: u64) -> (u64, bool) {
        let mut passed = 0;
        while passed < count {
            // Whole batches need not become text.
            if self.lines.is_empty()
                && self.broken.is_none()
                && count - passed >= ROWS as u64
                && let Some(batches) = &mut self.batches
            {
                match guarded(|| batches.next().transpose().map_err(|e| e.to_string())) {
                    Ok(Some(batch)) => {
                        passed += batch.num_rows() as u64;
                        continue;
                    }
                    Ok(None) => {
                        self.batches = None;
                        break;
                    }
                    Err(message) => {
                        self.batches = None;
                        self.broken = Some(message);
                    }
                }
            }
            match self.next() {
                Some(Ok(_)) => passed += 1,
                Some(Err(_)) => return (passed + 1, true),
                None => break,
            }
        }
        (passed, false)
    }

    /// The next row as a JSON object; `Err` once where the file breaks off, then `None`.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, String>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(line));
            }
            if let Some(message) = self.broken.take() {
                return Some(Err(message));
            }
            let batches = self.batches.as_mut()?;
            let text = guarded(|| match batches.next() {
                None => Ok(None),
                Some(batch) => {
                    let mut writer = LineDelimitedWriter::new(Vec::new());
                    writer.write(&batch.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
                    writer.finish().map_err(|e| e.to_string())?;
                    Ok(Some(writer.into_inner()))
                }
            });
            match text {
                Ok(Some(text)) => {
                    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
                    self.lines.extend(lines.map(<[u8]>::to_vec));
                }
                Ok(None) => self.batches = None,
                Err(message) => {
                    self.batches = None;
                    self.broken = Some(message);
                }
            }
        }
    }
}

fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // What the closure touched is dropped after a panic: `batches` is set to `None`.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its bytes contradict themselves (the decoder gave up)".to_owned()))
}

fn file_checksum(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.digest()),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
