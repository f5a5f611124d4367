//! A file as rows of cells: CSV and tab-separated text (also under gzip or zstd) and Parquet, read one row at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::ImportError;
use super::field::{Cell, Field, Refusal};

/// What a caller does with a row: its number from 1 (the header not counted) and its fields, or why it has none.
pub(super) type OnRow<'f> = dyn FnMut(u64, Result<&[Field<'_>], Refusal>) -> Result<(), ImportError> + 'f;

/// An open file whose columns are known and whose rows are not read yet.
pub(super) struct Table {
    pub file: String,
    /// The header; the first row of a text file that has none.
    pub columns: Vec<String>,
    body: Body,
}

enum Body {
    Text(Box<csv::Reader<Box<dyn Read>>>),
    Parquet(Box<ParquetRecordBatchReaderBuilder<File>>),
}

/// How the first row of a text file is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// It names the columns.
    Header,
    /// It is a row like the others.
    Data,
    /// As `Data`, and rows may be of any length: a name and a list.
    Ragged,
}

impl Table {
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let file = path.display().to_string();
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let io = |source| ImportError::Io { file: file.clone(), source };
        let handle = File::open(path).map_err(io)?;
        if name.ends_with(".parquet") {
            let builder = ParquetRecordBatchReaderBuilder::try_new(handle)
                .map_err(|e| ImportError::Parquet { file: file.clone(), source: e.into() })?;
            let columns = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
            return Ok(Self { file, columns, body: Body::Parquet(Box::new(builder)) });
        }
        let (stem, reader): (&str, Box<dyn Read>) = if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Box::new(zstd::stream::read::Decoder::new(handle).map_err(io)?))
        } else if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(handle))))
        } else {
            (name.as_str(), Box::new(handle))
        };
        let comma = stem.ends_with(".csv");
        if !comma && !stem.ends_with(".tsv") && !stem.ends_with(".txt") {
            return Err(ImportError::UnknownFormat { file });
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(if comma { b',' } else { b'\t' })
            .quoting(comma)
            .buffer_capacity(1 << 16)
            .from_reader(reader);
        let mut first = csv::ByteRecord::new();
        reader.read_byte_record(&mut first).map_err(|e| io(e.into()))?;
        let columns = first
            .iter()
            .map(|c| String::from_utf8_lossy(c).trim().trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        Ok(Self { file, columns, body: Body::Text(Box::new(reader)) })
    }

    /// Hands every row to `on_row`: for each of `slots` (a column's index, or `None` where the file lacks it) its field.
    /// Returns the number of rows.
    pub fn rows(
        self,
        first: FirstRow,
        slots: &[Option<usize>],
        on_row: &mut OnRow<'_>,
    ) -> Result<u64, ImportError> {
        match self.body {
            Body::Text(reader) => text_rows(&self.file, &self.columns, *reader, first, slots, on_row),
            Body::Parquet(builder) => parquet_rows(&self.file, &self.columns, *builder, slots, on_row),
        }
    }
}

fn text_rows(
    file: &str,
    columns: &[String],
    mut reader: csv::Reader<Box<dyn Read>>,
    first: FirstRow,
    slots: &[Option<usize>],
    on_row: &mut OnRow<'_>,
) -> Result<u64, ImportError> {
    let mut record = csv::ByteRecord::new();
    let mut row = 0;
    let mut pending = (first != FirstRow::Header).then(|| csv::ByteRecord::from(columns.to_vec()));
    loop {
        if let Some(held) = pending.take() {
            record = held;
        } else if !reader
            .read_byte_record(&mut record)
            .map_err(|e| ImportError::Io { file: file.to_owned(), source: e.into() })?
        {
            return Ok(row);
        }
        row += 1;
        if first != FirstRow::Ragged && record.len() != columns.len() {
            let detail = format!("it has {} fields, the first row has {}", record.len(), columns.len());
            on_row(row, Err(Refusal::new("field_count", detail)))?;
            continue;
        }
        let mut fields = Vec::with_capacity(slots.len());
        let mut broken = None;
        for slot in slots {
            let column = slot.and_then(|i| columns.get(i)).map_or("", String::as_str);
            let bytes = slot.and_then(|i| record.get(i)).unwrap_or_default();
            match std::str::from_utf8(bytes) {
                Ok(text) => fields.push(Field { column, cell: Cell::text(text) }),
                Err(_) => broken = Some(Refusal::new("not_utf8", format!("column {column} is not UTF-8"))),
            }
        }
        match broken {
            Some(refusal) => on_row(row, Err(refusal))?,
            None => on_row(row, Ok(&fields))?,
        }
    }
}

/// Each column becomes one of four types, so that a cell is read without asking for its width.
fn widened(data_type: &DataType) -> Option<DataType> {
    use DataType::{
        Boolean, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null, UInt8, UInt16,
        UInt32, UInt64, Utf8, Utf8View,
    };
    match data_type {
        Null | Boolean | Int8 | Int16 | Int32 | Int64 => Some(Int64),
        UInt8 | UInt16 | UInt32 | UInt64 => Some(UInt64),
        Float16 | Float32 | Float64 => Some(Float64),
        Utf8 | LargeUtf8 | Utf8View => Some(LargeUtf8),
        DataType::Dictionary(_, value) => widened(value),
        _ => None,
    }
}

fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Missing;
    }
    match array.data_type() {
        DataType::Int64 => Cell::Signed(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Cell::Unsigned(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            if x.is_nan() { Cell::Missing } else { Cell::Real(x) }
        }
        _ => Cell::text(array.as_string::<i64>().value(row)),
    }
}

fn parquet_rows(
    file: &str,
    columns: &[String],
    builder: ParquetRecordBatchReaderBuilder<File>,
    slots: &[Option<usize>],
    on_row: &mut OnRow<'_>,
) -> Result<u64, ImportError> {
    let broken = |e: Box<dyn std::error::Error + Send + Sync>| ImportError::Parquet {
        file: file.to_owned(),
        source: e,
    };
    for index in slots.iter().flatten() {
        let field = builder.schema().field(*index);
        if widened(field.data_type()).is_none() {
            return Err(ImportError::ColumnType {
                file: file.to_owned(),
                column: field.name().clone(),
                found: field.data_type().to_string(),
            });
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), slots.iter().flatten().copied());
    let batches = builder.with_projection(mask).build().map_err(|e| broken(e.into()))?;
    let mut row = 0;
    for batch in batches {
        let batch = batch.map_err(|e| broken(e.into()))?;
        let mut arrays = Vec::with_capacity(slots.len());
        for slot in slots {
            let array = slot.and_then(|i| batch.column_by_name(&columns[i]));
            arrays.push(match array.and_then(|a| Some((a, widened(a.data_type())?))) {
                Some((array, wide)) => Some(cast(array, &wide).map_err(|e| broken(e.into()))?),
                None => None,
            });
        }
        let mut fields = Vec::with_capacity(slots.len());
        for i in 0..batch.num_rows() {
            row += 1;
            fields.clear();
            fields.extend(slots.iter().zip(&arrays).map(|(slot, array)| Field {
                column: slot.map_or("", |s| columns[s].as_str()),
                cell: array.as_deref().map_or(Cell::Missing, |a| cell(a, i)),
            }));
            on_row(row, Ok(&fields))?;
        }
    }
    Ok(row)
}
