//! From the bytes of a Parquet file back to rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, SchemaRef, UInt32Type, UInt64Type};
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
    let rows = batch.num_rows();
    let column = |field: &Arc<Field>| adapt_column(batch.column_by_name(field.name()), field, rows);
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, String>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(text)
}

/// A column in the form that this release gives it. A member that an older release did not write is null, in lists of structs, too.
fn adapt_column(column: Option<&ArrayRef>, field: &Field, rows: usize) -> Result<ArrayRef, String> {
    let Some(column) = column else {
        return match field.is_nullable() {
            true => Ok(new_null_array(field.data_type(), rows)),
            false => Err(format!("it has no column {}", field.name())),
        };
    };
    match (column.data_type(), field.data_type()) {
        (have, want) if have == want => Ok(Arc::clone(column)),
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let values = adapt_column(Some(list.values()), item, list.values().len())?;
            let list =
                ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(list.map_err(text)?))
        }
        (DataType::Struct(_), DataType::Struct(members)) => {
            let given = column.as_struct();
            let member = |of: &Arc<Field>| adapt_column(given.column_by_name(of.name()), of, given.len());
            let adapted = members.iter().map(member).collect::<Result<Vec<_>, String>>()?;
            let adapted = StructArray::try_new(members.clone(), adapted, given.nulls().cloned());
            Ok(Arc::new(adapted.map_err(text)?))
        }
        (_, want) => arrow::compute::cast(column, want).map_err(text),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A page as releases wrote it that knew of no draws.
    #[test]
    fn members_of_older_files_are_null() {
        let table = Table::Stream(EventKind::Served);
        let line = br#"{"event_id":1,"event_time":2,"request_id":3,"user_id":4,"list_epoch":5,"items":[{"video_id":6,"position":0,"propensity":0.5,"slot_policy":"novelty","drawn":2},{"video_id":7,"position":1,"propensity":1.0,"slot_policy":"rank"}],"epoch":8,"partition":9,"offset":10}"#;
        let mut decoder = arrow::json::ReaderBuilder::new(table.schema()).build_decoder().expect("a decoder");
        decoder.decode(line).expect("JSON");
        let batch = decoder.flush().expect("a row").expect("one");
        let read = |batch: &RecordBatch| {
            let batch = adapt(batch, &table.schema()).expect("it fits");
            match records(EventKind::Served, &batch).expect("records").remove(0).2 {
                Event::Served(page) => page.items.iter().map(|item| item.drawn).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(&batch), [2, 0]);

        let place = batch.schema().index_of("items").expect("items");
        let list = batch.column(place).as_list::<i32>();
        let items = list.values().as_struct();
        let kept = items.num_columns() - 1;
        let members = items.fields().iter().take(kept).cloned().collect::<Vec<_>>();
        let older =
            StructArray::new(members.into(), items.columns()[..kept].to_vec(), items.nulls().cloned());
        let item = Arc::new(Field::new("item", older.data_type().clone(), true));
        let older = ListArray::new(item, list.offsets().clone(), Arc::new(older), list.nulls().cloned());
        let mut fields = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
        fields[place] = Field::new("items", older.data_type().clone(), false);
        let mut columns = batch.columns().to_vec();
        columns[place] = Arc::new(older);
        let batch =
            RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).expect("it fits");
        assert_eq!(read(&batch), [0, 0]);
    }
}
