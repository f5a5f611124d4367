//! The engine, with the service's tables and the archive's in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::any::AnyOfIdentifiers;
use crate::epoch;
use crate::history::{self, Archive};
use crate::query::OneSnapshot;
use crate::service::Service;
use crate::table::LiveTable;

/// The catalog: what Postgres calls the database.
pub const CATALOG: &str = "freshet";

/// What the engine may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads.
    pub threads: usize,
    /// Bytes that all queries together may hold; what is sorted or grouped beyond it goes to temporary files, where it can.
    pub memory: usize,
    /// How long a query may take.
    pub timeout: Duration,
}

/// The engine over the tables of a service, and over an archive.
///
/// # Errors
/// Where the service does not answer.
pub async fn open(
    service: &Service,
    archive: &Arc<Archive>,
    resources: Resources,
) -> anyhow::Result<SessionContext> {
    let tables = service.tables().await?;
    let config = SessionConfig::new()
        .with_target_partitions(resources.threads)
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, "public");
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(resources.memory, 1.0).build_arc()?;
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(AnyOfIdentifiers)];
    rules.extend(Analyzer::new().rules);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rules(rules)
        .with_query_planner(Arc::new(OneSnapshot::new(service.clone(), resources.timeout)))
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udf(epoch::udf());
    for info in tables {
        let name = info.name.clone();
        context
            .register_table(name.as_str(), Arc::new(LiveTable::new(service.clone(), info)))
            .with_context(|| format!("the table {name}"))?;
    }
    let catalog = context.catalog(CATALOG).context("the catalog")?;
    history::register(&context, &catalog, archive).await?;
    Ok(context)
}
