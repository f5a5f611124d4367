//! Parquet from an open file.
//!
//! Reads are those of the local disk, done where they are asked for: this process has nothing else to do meanwhile that matters as
//! much.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::archive::OpenFile;

/// Reads the open file that a file of the plan carries.
#[derive(Debug)]
pub struct OpenFiles;

impl ParquetFileReaderFactory for OpenFiles {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        match file.extension::<OpenFile>() {
            Some(file) => Ok(Box::new(Reader(file.clone()))),
            None => internal_err!("{}: not opened while the query was planned", file.path()),
        }
    }
}

struct Reader(OpenFile);

impl Reader {
    fn read(&self, range: &Range<u64>) -> ParquetResult<Bytes> {
        Chunks(&self.0).get_bytes(range.start, usize::try_from(range.end.saturating_sub(range.start))?)
    }

    fn footer(&self) -> ParquetResult<Arc<ParquetMetaData>> {
        if let Some(footer) = self.0.footer() {
            return Ok(footer);
        }
        // With the index of pages: which of them a condition can skip.
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let footer =
            Arc::new(reader.parse_and_finish(&Chunks(&self.0)).map_err(|error| named(&self.0, error))?);
        self.0.keep_footer(&footer);
        Ok(footer)
    }
}

fn named(file: &OpenFile, error: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("{}: {error}", file.name()))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        futures::future::ready(self.read(&range)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        futures::future::ready(ranges.iter().map(|range| self.read(range)).collect()).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        futures::future::ready(self.footer()).boxed()
    }
}

/// Without a position that readers of one file would share.
struct Chunks<'a>(&'a OpenFile);

impl Length for Chunks<'_> {
    fn len(&self) -> u64 {
        self.0.length()
    }
}

impl ChunkReader for Chunks<'_> {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let rest = usize::try_from(self.0.length().saturating_sub(start))?;
        Ok(Box::new(std::io::Cursor::new(self.get_bytes(start, rest)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.length()) {
            return Err(named(self.0, "its bytes contradict themselves: restore it from a copy"));
        }
        self.0.read(start, length).map(Bytes::from).map_err(|error| named(self.0, error))
    }
}
