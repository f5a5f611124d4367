//! Keeps history at the epoch of the live tables.
//!
//! The manifest is read while a query is planned and the snapshot is taken when it runs, so the archive is nearly always behind. Two
//! times it is not: a service that replays its journal after a crash is behind what it archived before, and so is an older checkpoint
//! that is read offline. So where a query reads live tables too, or names `freshet_epoch()`, rows of later epochs are left out.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::{TableProvider, source_as_provider};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableScanBuilder, TableSource,
};

use super::table::HistoryTable;
use crate::epoch;
use crate::query::Query;
use crate::table::LiveTable;

const EPOCH: &str = "epoch";

fn is<T: TableProvider>(source: &Arc<dyn TableSource>) -> bool {
    source_as_provider(source).is_ok_and(|provider| {
        let provider: &dyn Any = &*provider;
        provider.is::<T>()
    })
}

/// Whether the plan reads live tables, and whether it reads history.
///
/// # Errors
/// Where the engine cannot walk the plan.
pub fn reads(plan: &LogicalPlan) -> Result<(bool, bool)> {
    let (mut live, mut history) = (false, false);
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            live |= is::<LiveTable>(&scan.source);
            history |= is::<HistoryTable>(&scan.source);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((live, history))
}

/// The plan with no row of history that is later than the query's epoch.
///
/// # Errors
/// Where the engine cannot walk the plan.
pub fn to_epoch(plan: LogicalPlan, query: &Arc<Query>) -> Result<LogicalPlan> {
    let bounded = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) if is::<HistoryTable>(&scan.source) => {
            bounded(scan, query).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bounded.data)
}

fn bounded(scan: TableScan, query: &Arc<Query>) -> Result<LogicalPlan> {
    let name = scan.table_name.clone();
    let shown: Vec<Expr> = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
    let mut projection = scan.projection.clone();
    let place = scan.source.schema().index_of(EPOCH)?;
    if let Some(places) = projection.as_mut().filter(|places| !places.contains(&place)) {
        places.push(place);
    }
    // No limit below the condition: it counts rows that go.
    let scan = TableScanBuilder::new(name.clone(), scan.source)
        .with_projection(projection)
        .with_filters(scan.filters)
        .build()?;
    let epoch = Expr::Column(Column::new(Some(name), EPOCH));
    LogicalPlanBuilder::from(LogicalPlan::TableScan(scan))
        .filter(epoch.lt_eq(epoch::call(query)))?
        .project(shown)?
        .build()
}
