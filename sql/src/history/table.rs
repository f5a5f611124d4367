//! A table of the archive, as the engine sees it.
//!
//! A scan is one of the engine's own over Parquet files, with a projection above it that makes the table's columns. The engine pushes
//! conditions through that projection into the scan, where they skip row groups and pages and then rows, before other columns are
//! decoded. Which files are opened at all is decided here, by the manifest.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use freshet_archive::{FileEntry, Table};

use super::archive::{Archive, Changed};
use super::columns::{self, DAY};
use super::conditions::translate;
use super::prune::prune;
use super::reader::OpenFiles;
use crate::query::{Query, failed};

/// See the module.
#[derive(Debug)]
pub struct HistoryTable {
    archive: Arc<Archive>,
    table: Table,
    schema: SchemaRef,
    /// The columns of the files, and the day.
    files: TableSchema,
    file_columns: DFSchema,
}

impl HistoryTable {
    /// A table of the archive.
    ///
    /// # Errors
    /// Where two of its columns have one name.
    pub fn new(archive: Arc<Archive>, table: Table) -> Result<Self> {
        let day = Arc::new(Field::new(DAY, DataType::Date32, false));
        let files = TableSchema::builder(table.schema()).with_table_partition_cols(vec![day]).build();
        let file_columns = DFSchema::try_from(Arc::clone(files.table_schema()))?;
        Ok(Self { archive, table, schema: Arc::new(columns::schema(table)), files, file_columns })
    }

    fn translated(&self, condition: &Expr) -> Option<Expr> {
        let schema = self.files.file_schema();
        let kinds = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type().clone());
        translate(condition, columns::columns(self.table), &kinds)
    }

    /// The file as the plan has it, open.
    fn open(&self, entry: &FileEntry) -> Result<PartitionedFile> {
        let file = self.archive.open(entry).map_err(|error| match error.downcast::<Changed>() {
            Ok(changed) => datafusion::error::DataFusionError::External(Box::new(changed)),
            Err(error) => failed(error),
        })?;
        let columns = self.files.file_schema();
        let counted = Statistics {
            num_rows: Precision::Exact(usize::try_from(entry.rows).unwrap_or(usize::MAX)),
            ..Statistics::new_unknown(columns)
        };
        let day = i32::try_from(entry.day).ok();
        Ok(PartitionedFile::new(entry.path.clone(), entry.bytes)
            .with_partition_values(vec![ScalarValue::Date32(day)])
            .with_statistics(Arc::new(counted))
            .with_extension(file))
    }
}

#[async_trait]
impl TableProvider for HistoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, conditions: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = |condition: &&Expr| match self.translated(condition) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(conditions.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        conditions: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let manifest = Query::current_manifest(&self.archive)?;
        let condition = conjunction(conditions.iter().filter_map(|condition| self.translated(condition)));
        let condition: Option<Arc<dyn PhysicalExpr>> =
            condition.map(|it| session.create_physical_expr(it, &self.file_columns)).transpose()?;

        let mut files: Vec<&FileEntry> =
            manifest.files.iter().filter(|file| file.table == self.table).collect();
        files.sort_by(|a, b| (a.first_epoch, &a.path).cmp(&(b.first_epoch, &b.path)));
        let time = columns::time_column(self.table);
        let files = prune(files, condition.as_ref(), self.files.table_schema(), time)?;
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let mut group = Vec::new();
        for file in files {
            group.push(self.open(file)?);
            // It may have come from a bucket, which takes its time: the query's own may be over.
            tokio::task::yield_now().await;
        }

        let all = columns::columns(self.table);
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..all.len()).collect());
        let read: BTreeSet<usize> = wanted
            .iter()
            .map(|place| self.files.table_schema().index_of(all[*place].form.file()))
            .collect::<std::result::Result<_, _>>()?;
        let read: Vec<usize> = read.into_iter().collect();

        let mut options = session.default_table_options().parquet;
        options.global.pushdown_filters = true;
        options.global.enable_page_index = true;
        let source = ParquetSource::new(self.files.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(OpenFiles));
        let counted = Statistics {
            num_rows: Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)),
            ..Statistics::new_unknown(self.files.table_schema())
        };
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_group(FileGroup::new(group))
            .with_statistics(counted)
            .with_projection_indices(Some(read.clone()))?
            .with_limit(limit)
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        if wanted.is_empty() {
            return Ok(scan);
        }
        let read = Schema::new(
            read.iter()
                .map(|place| Arc::clone(&self.files.table_schema().fields()[*place]))
                .collect::<Vec<_>>(),
        );
        let read = DFSchema::try_from(read)?;
        let shown = wanted
            .iter()
            .map(|place| {
                let column = all[*place];
                let made = session.create_physical_expr(column.form.expression()?, &read)?;
                Ok((made, column.name.to_owned()))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(shown, scan)?))
    }
}
