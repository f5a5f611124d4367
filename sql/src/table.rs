//! A table of the service, as the engine sees it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use freshet_schema::tables::{ColumnKind, MAX_KEYS, Scan, TableInfo};
use futures::TryStreamExt;

use crate::query::{Query, failed};
use crate::service::Service;

/// See the module.
#[derive(Debug)]
pub struct LiveTable {
    service: Service,
    info: TableInfo,
    schema: SchemaRef,
}

impl LiveTable {
    /// A table that the service has.
    #[must_use]
    pub fn new(service: Service, info: TableInfo) -> Self {
        let kind = |kind| match kind {
            ColumnKind::Id => DataType::UInt64,
            ColumnKind::Count => DataType::Int64,
            ColumnKind::Real => DataType::Float64,
            ColumnKind::Flag => DataType::Boolean,
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
            ColumnKind::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        };
        let fields =
            info.columns.iter().map(|column| Field::new(&column.name, kind(column.kind), column.nullable));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { service, info, schema }
    }

    /// The keys that a condition leaves; `None` where it says nothing of the key alone.
    fn keys(&self, condition: &Expr) -> Option<Vec<u64>> {
        let keys = match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
                (column, Expr::Literal(value, _)) if self.is_key(column) => vec![number(value)?],
                (Expr::Literal(value, _), column) if self.is_key(column) => vec![number(value)?],
                _ => return None,
            },
            // A few values come as one comparison after the other.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let mut keys = self.keys(left)?;
                keys.extend(self.keys(right)?);
                keys
            }
            Expr::InList(list) if !list.negated && self.is_key(&list.expr) => {
                let value = |value: &Expr| match value {
                    Expr::Literal(value, _) => number(value),
                    _ => None,
                };
                list.list.iter().map(value).collect::<Option<Vec<_>>>()?
            }
            _ => return None,
        };
        (keys.len() <= MAX_KEYS).then_some(keys)
    }

    fn is_key(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Column(column) if Some(&column.name) == self.info.key.as_ref())
    }
}

fn number(value: &ScalarValue) -> Option<u64> {
    match value {
        ScalarValue::UInt64(Some(number)) => Some(*number),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, conditions: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The service gives exactly the rows of these keys.
        let pushed = |condition: &&Expr| match self.keys(condition) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(conditions.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        conditions: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut keys: Option<Vec<u64>> = None;
        for found in conditions.iter().filter_map(|condition| self.keys(condition)) {
            keys = Some(match keys {
                None => found,
                Some(known) => known.into_iter().filter(|key| found.contains(key)).collect(),
            });
        }
        let schema = match projection {
            Some(places) => Arc::new(self.schema.project(places)?),
            None => Arc::clone(&self.schema),
        };
        let query = Query::current(&self.service);
        let scan = query.add(Scan {
            table: self.info.name.clone(),
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
            keys,
            limit: limit.map(|limit| limit as u64),
        });
        let part = Part { query, scan, schema: Arc::clone(&schema) };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(part)], None, None, false, limit)?))
    }
}

/// A scan of a query.
#[derive(Debug)]
struct Part {
    query: Arc<Query>,
    scan: usize,
    schema: SchemaRef,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (query, scan) = (Arc::clone(&self.query), self.scan);
        let begin = async move {
            let rows = query.rows(scan).await?;
            // The query holds the snapshot for as long as one of its scans is read.
            Ok::<_, DataFusionError>(futures::stream::try_unfold(
                (query, rows),
                |(query, mut rows)| async move {
                    let batch = rows.next().await.map_err(failed)?;
                    Ok::<_, DataFusionError>(batch.map(|batch| (batch, (query, rows))))
                },
            ))
        };
        let rows = futures::stream::once(begin).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
