//! From the bytes of a Parquet file back to rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{SchemaRef, UInt32Type, UInt64Type};
use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use freshet_schema::event::Origin;
use freshet_schema::{Epoch, Event, EventKind};
use freshet_sources::log::decode_json;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::columns::Table;
use crate::encode::text;

const ROWS: usize = 4096;

/// The batches of a file.
pub struct Batches {
    reader: ParquetRecordBatchReader,
    /// The columns that this release gives the table: what an older release did not write is null. None where one column alone is read.
    schema: Option<SchemaRef>,
}

impl Batches {
    /// Opens a file.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    pub fn open(table: Table, bytes: Bytes) -> Result<Self, String> {
        let reader = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(text)?;
            builder.with_batch_size(ROWS).build().map_err(text)
        })?;
        Ok(Self { reader, schema: Some(table.schema()) })
    }

    /// Opens a file to read one column of numbers alone: `path` has its name or, in a list, that of the list and that of the member.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    pub fn column(bytes: Bytes, path: &[&str]) -> Result<Self, String> {
        let reader = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(text)?;
            let leaves = builder.parquet_schema();
            let is_it = |leaf: &usize| {
                let column = leaves.column(*leaf);
                let parts = column.path().parts();
                parts.first().map(String::as_str) == path.first().copied()
                    && parts.last().map(String::as_str) == path.last().copied()
            };
            let found: Vec<usize> = (0..leaves.num_columns()).filter(is_it).collect();
            if found.is_empty() {
                return Err(format!("it has no column {}", path.join(".")));
            }
            let mask = ProjectionMask::leaves(leaves, found);
            builder.with_projection(mask).with_batch_size(ROWS).build().map_err(text)
        })?;
        Ok(Self { reader, schema: None })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let (reader, schema) = (&mut self.reader, &self.schema);
        let next = |batch: Result<RecordBatch, arrow::error::ArrowError>| match schema {
            Some(schema) => adapt(&batch.map_err(text)?, schema),
            None => batch.map_err(text),
        };
        guarded(|| reader.next().map(next).transpose()).transpose()
    }
}

fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // The Parquet crate may panic on bytes that lie about themselves; after that nothing of the reader is used.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its bytes contradict themselves (the decoder gave up)".to_owned()))
}

fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    if batch.schema().fields() == schema.fields() {
        return RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map_err(text);
    }
    let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef, String> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => arrow::compute::cast(column, field.data_type()).map_err(text),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
            None => Err(format!("it has no column {}", field.name())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, String>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(text)
}

/// A column of 64-bit numbers.
pub fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a [u64], String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>());
    column.map(|column| &column.values()[..]).ok_or_else(|| format!("it has no numbers {name}"))
}

/// Where the rows of a stream's batch belong.
pub struct Places<'a> {
    epochs: &'a [u64],
    partitions: &'a [u32],
    offsets: &'a [u64],
}

impl<'a> Places<'a> {
    /// Of a batch.
    ///
    /// # Errors
    /// Where it has no such columns.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let partitions =
            batch.column_by_name("partition").and_then(|column| column.as_primitive_opt::<UInt32Type>());
        Ok(Self {
            epochs: numbers(batch, "epoch")?,
            partitions: partitions.map(|p| &p.values()[..]).ok_or("it has no numbers partition")?,
            offsets: numbers(batch, "offset")?,
        })
    }

    /// Of a row.
    #[must_use]
    pub fn at(&self, row: usize) -> (Epoch, Origin) {
        let origin = Origin { partition: self.partitions[row], offset: self.offsets[row] };
        (Epoch(self.epochs[row]), origin)
    }
}

/// The rows of a batch as JSON lines.
pub fn lines(batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch).map_err(text)?;
    writer.finish().map_err(text)?;
    Ok(writer.into_inner())
}

/// The rows of a stream's batch.
///
/// # Errors
/// A row that is no such record.
pub fn records(kind: EventKind, batch: &RecordBatch) -> Result<Vec<(Epoch, Origin, Event)>, String> {
    let places = Places::of(batch)?;
    let text = lines(batch)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut records = Vec::with_capacity(batch.num_rows());
    for (row, line) in lines.enumerate() {
        let (epoch, origin) = places.at(row);
        let event = decode_json(kind, line).map_err(|fault| format!("row {row}: {}", fault.detail))?;
        records.push((epoch, origin, event));
    }
    Ok(records)
}
