//! Results as text or files.

use std::io::Write;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;
use datafusion::dataframe::DataFrame;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::DFParser;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::read_only;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// Comma-separated values with a head.
    Csv,
    /// A JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
}

/// A table for people is cut off after this many rows: it is held in memory to find the columns' widths.
pub const TABLE_ROWS: usize = 1_000;

/// The statements of a text, planned. Nothing of them is run.
///
/// # Errors
/// Where it is no SQL, names what there is not, or would write.
pub async fn plan(context: &SessionContext, sql: &str) -> anyhow::Result<Vec<DataFrame>> {
    let mut planned = Vec::new();
    for statement in DFParser::parse_sql(sql)? {
        let plan = context.state().statement_to_plan(statement).await?;
        read_only::check(&plan)?;
        planned.push(DataFrame::new(context.state(), plan));
    }
    Ok(planned)
}

/// Runs a query and writes its rows; their number.
///
/// # Errors
/// Where the query fails or takes too long, or its rows cannot be written.
pub async fn run(query: DataFrame, format: Format, out: &mut (dyn Write + Send)) -> anyhow::Result<usize> {
    let mut batches = query.execute_stream().await?;
    let schema = batches.schema();
    let mut rows = 0;
    match format {
        Format::Table => {
            let mut shown: Vec<RecordBatch> = Vec::new();
            while let Some(batch) = batches.try_next().await? {
                let left = TABLE_ROWS.saturating_sub(rows).min(batch.num_rows());
                shown.push(batch.slice(0, left));
                rows += batch.num_rows();
                if rows > TABLE_ROWS {
                    break;
                }
            }
            if shown.is_empty() {
                shown.push(RecordBatch::new_empty(schema));
            }
            let options = FormatOptions::default().with_null("").with_display_error(true);
            writeln!(out, "{}", pretty_format_batches_with_options(&shown, &options)?)?;
            match rows {
                1 => writeln!(out, "1 row")?,
                _ if rows > TABLE_ROWS => writeln!(
                    out,
                    "the first {TABLE_ROWS} rows; there are more: add a LIMIT, or write all of them with --format csv"
                )?,
                _ => writeln!(out, "{rows} rows")?,
            }
        }
        Format::Csv => {
            let mut writer = WriterBuilder::new().with_header(true).build(&mut *out);
            let mut any = false;
            while let Some(batch) = batches.try_next().await? {
                rows += batch.num_rows();
                writer.write(&flat(&batch)?)?;
                any = true;
            }
            if !any {
                writer.write(&flat(&RecordBatch::new_empty(schema))?)?;
            }
        }
        Format::Json => {
            let mut writer = LineDelimitedWriter::new(&mut *out);
            while let Some(batch) = batches.try_next().await? {
                rows += batch.num_rows();
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            let properties =
                WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
            let mut writer = ArrowWriter::try_new(&mut *out, schema, Some(properties.build()))?;
            while let Some(batch) = batches.try_next().await? {
                rows += batch.num_rows();
                writer.write(&batch)?;
            }
            writer.close()?;
        }
    }
    out.flush().context("the output")?;
    Ok(rows)
}

/// CSV has no lists: they are written as text.
fn flat(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::util::display::ArrayFormatter;
    use std::sync::Arc;

    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if matches!(field.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_)) {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column, &options)?;
            let texts: StringArray = (0..column.len())
                .map(|row| (!column.is_null(row)).then(|| formatter.value(row).to_string()))
                .collect();
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(texts));
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}
