//! What happened: the archive as tables in the schema `history`.
//!
//! The service is not asked for them: they are Parquet files, which the archive's manifest names, so a query over
//! years of them costs the pipeline nothing. A query reads one manifest ([`crate::query::Query`]); what the manifest does not name
//! does not exist, and the files that it names are opened while the query is planned ([`archive`]). An open file stays
//! readable when a compaction or a forget removes its name, so neither breaks a query that began before.
//!
//! Columns have the names and types of the live tables ([`columns`]); conditions are translated back to the file's
//! ([`conditions`]), so that days and files are passed over; the engine does so with row groups and pages. Where live tables are read in the same query, or its epoch is
//! named, no row of a later epoch is shown ([`bound`]).

pub mod archive;
pub mod bound;
pub mod columns;
pub mod conditions;
pub mod coverage;
pub mod describe;
mod fetched;
mod prune;
mod reader;
pub mod table;
pub mod views;

use std::sync::Arc;

use anyhow::Context;
use datafusion::catalog::{CatalogProvider, MemorySchemaProvider};
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;
use freshet_archive::Table;

pub use archive::Archive;

/// The schema that the tables are in.
pub const SCHEMA: &str = "history";

/// Puts tables and views into a catalog. There may be no archive: then whoever reads them is told so.
///
/// # Errors
/// Where the engine refuses a name.
pub async fn register(
    context: &SessionContext,
    catalog: &Arc<dyn CatalogProvider>,
    archive: &Arc<Archive>,
) -> anyhow::Result<()> {
    catalog.register_schema(SCHEMA, Arc::new(MemorySchemaProvider::new()))?;
    let name = |table: &str| format!("{SCHEMA}.{table}");
    for stored in Table::ALL {
        let table = table::HistoryTable::new(Arc::clone(archive), stored)?;
        context.register_table(name(stored.folder()), Arc::new(table))?;
    }
    context
        .register_table(name(coverage::NAME), Arc::new(coverage::CoverageTable::new(Arc::clone(archive))))?;
    // In the order in which they are made of each other.
    for view in views::VIEWS {
        let plan = context.state().create_logical_plan(view.sql).await;
        let plan = plan.with_context(|| format!("the view {SCHEMA}.{}", view.name))?;
        let table = ViewTable::new(plan, Some(view.sql.to_owned()));
        context.register_table(name(view.name), Arc::new(table))?;
    }
    Ok(())
}
