//! From rows to the bytes of a Parquet file. Rows come as JSON lines, so that there is one mapping from events to fields.

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use freshet_schema::event::Origin;
use freshet_schema::{Epoch, Event};
use freshet_sources::epochs::Binding;
use freshet_sources::log::encode_line;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;

use crate::columns::Table;

/// Rows that become columns at once.
const ROWS: usize = 8192;
/// Rows of a row group: what a reader can pass over by its statistics.
const GROUP_ROWS: usize = 128 << 10;

/// Appends a record of a stream as a line of its columns.
///
/// # Errors
/// Where the event holds a number that JSON has not (validation lets none through).
pub fn stream_line(
    event: &Event,
    epoch: Epoch,
    origin: Origin,
    lines: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    encode_line(event, lines)?;
    // Every event is an object with fields and ends in `}` and a line feed.
    lines.truncate(lines.len() - 2);
    let Origin { partition, offset } = origin;
    let more = format!(",\"epoch\":{epoch},\"partition\":{partition},\"offset\":{offset}}}\n");
    lines.extend_from_slice(more.as_bytes());
    Ok(())
}

/// Appends an epoch as a line of its columns.
pub fn epoch_line(binding: &Binding, publication: Option<&(u64, Vec<u64>)>, lines: &mut Vec<u8>) {
    let position = |p: &freshet_sources::epochs::Position| json!({ "partition": p.partition, "next_offset": p.next_offset, "checksum": p.checksum });
    let line = json!({
        "epoch": binding.epoch.0,
        "now": binding.now.0,
        "watermark": binding.watermark.0,
        "live": binding.live,
        "positions": binding.positions.iter().map(position).collect::<Vec<_>>(),
        "publication": publication.map(|(version, _)| version),
        "skip_below": publication.map(|(_, thresholds)| thresholds),
        "remake": (!binding.remake.is_empty()).then_some(&binding.remake),
    });
    lines.extend_from_slice(line.to_string().as_bytes());
    lines.push(b'\n');
}

/// A file of these batches. The same batches give the same bytes.
///
/// # Errors
/// What the Parquet crate says.
pub fn file(
    table: Table,
    batches: impl Iterator<Item = Result<RecordBatch, String>>,
) -> Result<(Vec<u8>, u64), String> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_created_by("freshet".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties)).map_err(text)?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(text)?;
    }
    Ok((writer.into_inner().map_err(text)?, rows))
}

/// JSON lines as batches of a table.
///
/// # Errors
/// A line that has not the table's columns, which only a mistake of ours could make.
pub fn batches(table: Table, lines: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let mut decoder =
        ReaderBuilder::new(table.schema()).with_batch_size(ROWS).build_decoder().map_err(text)?;
    let mut rest = lines;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let taken = decoder.decode(rest).map_err(text)?;
        rest = &rest[taken..];
        batches.extend(decoder.flush().map_err(text)?);
    }
    Ok(batches)
}

pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}
