//! `history.coverage`: what the archive holds, and up to when.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use freshet_archive::{FileEntry, Manifest, Table};

use super::archive::Archive;
use super::columns::TIME;
use crate::query::Query;

/// Its name.
pub const NAME: &str = "coverage";

/// What a row of it is.
pub const ABOUT: &str = "What the archive holds of each table, and up to which epoch: rows wait up to `archive.roll_every` before they are in it.";

/// Its columns with their meaning.
pub const COLUMNS: [(&str, &str); 9] = [
    ("table_name", "the table of `history`"),
    ("rows", "rows, all revisions included"),
    ("files", "Parquet files"),
    ("bytes", "their size"),
    ("first_day", "the first day of which there are rows, UTC; null where there are none"),
    ("last_day", "the last one"),
    ("begins_behind", "epochs up to this one are not in the archive: it was begun behind them"),
    ("through_epoch", "epochs behind that and up to this one are in it, all of them"),
    ("through_clock", "the pipeline's clock of that epoch, UTC"),
];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let kinds = [
        (DataType::Utf8, false),
        (DataType::Int64, false),
        (DataType::Int64, false),
        (DataType::Int64, false),
        (DataType::Date32, true),
        (DataType::Date32, true),
        (DataType::Int64, false),
        (DataType::Int64, false),
        (TIME, false),
    ];
    let fields =
        COLUMNS.iter().zip(kinds).map(|((name, _), (kind, nullable))| Field::new(*name, kind, nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

/// Its schema.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// See the module.
#[derive(Debug)]
pub struct CoverageTable {
    archive: Arc<Archive>,
}

impl CoverageTable {
    /// Of an archive.
    #[must_use]
    pub fn new(archive: Arc<Archive>) -> Self {
        Self { archive }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rows(manifest: &Manifest) -> Result<RecordBatch> {
    let of = |table: Table| manifest.files.iter().filter(move |file| file.table == table);
    let sum = |each: fn(&FileEntry) -> u64| -> ArrayRef {
        let sums = Table::ALL.into_iter().map(|table| signed(of(table).map(each).sum()));
        Arc::new(Int64Array::from_iter_values(sums))
    };
    let days = |choose: fn(Vec<u64>) -> Option<u64>| -> ArrayRef {
        let day =
            |table| choose(of(table).map(|file| file.day).collect()).and_then(|day| i32::try_from(day).ok());
        Arc::new(Date32Array::from_iter(Table::ALL.into_iter().map(day)))
    };
    let same = |number: u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(Table::ALL.map(|_| signed(number))))
    };
    let clock = Table::ALL.map(|_| signed(manifest.through.now.0));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(Table::ALL.into_iter().map(Table::folder))),
            sum(|file| file.rows),
            sum(|_| 1),
            sum(|file| file.bytes),
            days(|days| days.into_iter().min()),
            days(|days| days.into_iter().max()),
            same(manifest.begins_behind.0),
            same(manifest.through.epoch.0),
            Arc::new(TimestampMillisecondArray::from_iter_values(clock)),
        ],
    )?)
}

#[async_trait]
impl TableProvider for CoverageTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _conditions: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = rows(&*Query::current_manifest(&self.archive)?)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], schema(), projection.cloned())?)
    }
}
