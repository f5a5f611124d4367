//! One query, one snapshot.
//!
//! The engine plans all scans of a query in one call of its planner, and runs them one by one, when it wants their rows. So the
//! planner here gives each query a [`Query`], with which the tables leave what they want while they are planned
//! ([`Query::add`]); the first scan that runs asks the service for all of it, at one epoch. What a query does not run (`EXPLAIN`)
//! asks for nothing.
//!
//! A query that reads the archive goes by one manifest of it, for all its tables.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use freshet_archive::Manifest;
use freshet_schema::tables::{Scan, SnapshotRequest};
use tokio::sync::OnceCell;

use crate::deadline::{Deadline, over};
use crate::epoch;
use crate::history::archive::{Archive, Changed};
use crate::history::bound;
use crate::service::{Rows, Service, Snapshot};

tokio::task_local! {
    static CURRENT: Arc<Query>;
}

/// What a query wants, and the snapshot that it reads.
#[derive(Debug)]
pub struct Query {
    service: Service,
    scans: Mutex<Vec<Scan>>,
    snapshot: OnceCell<Snapshot>,
    epoch: OnceLock<u64>,
    manifest: Mutex<Option<Arc<Manifest>>>,
}

impl Query {
    /// Wants nothing yet.
    #[must_use]
    pub fn new(service: Service) -> Arc<Self> {
        Arc::new(Self {
            service,
            scans: Mutex::default(),
            snapshot: OnceCell::new(),
            epoch: OnceLock::new(),
            manifest: Mutex::default(),
        })
    }

    /// The query that is being planned; a new one where a table is planned by itself.
    #[must_use]
    pub fn current(service: &Service) -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Self::new(service.clone()))
    }

    /// The manifest of the archive that the query being planned reads; the one of this moment where a table is planned by itself.
    ///
    /// # Errors
    /// Where there is no archive, or its manifest cannot be read.
    pub fn current_manifest(archive: &Archive) -> Result<Arc<Manifest>> {
        let read = || archive.manifest().map(Arc::new).map_err(failed);
        let Ok(query) = CURRENT.try_with(Arc::clone) else { return read() };
        let mut manifest = query.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manifest) = &*manifest {
            return Ok(Arc::clone(manifest));
        }
        Ok(Arc::clone(manifest.insert(read()?)))
    }

    /// Adds a scan; its place among the query's.
    pub fn add(&self, scan: Scan) -> usize {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.push(scan);
        scans.len() - 1
    }

    /// The epoch, once the snapshot is there.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.epoch.get().copied()
    }

    async fn snapshot(&self) -> Result<&Snapshot> {
        let ask = || async {
            let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let snapshot = self.service.snapshot(SnapshotRequest { scans }).await?;
            // Asked once.
            let _ = self.epoch.set(snapshot.info.epoch);
            Ok(snapshot)
        };
        self.snapshot.get_or_try_init(ask).await.map_err(failed)
    }

    /// Begins to read a scan.
    ///
    /// # Errors
    /// Where the service does not give it.
    pub async fn rows(&self, scan: usize) -> Result<Rows> {
        self.snapshot().await?.scan(scan).await.map_err(failed)
    }
}

/// The engine's error for one of ours, all of it in one line.
pub fn failed(error: anyhow::Error) -> DataFusionError {
    DataFusionError::Execution(format!("{error:#}"))
}

/// What went wrong, in words. The engine's errors hold their causes in their text already.
#[must_use]
pub fn words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<DataFusionError>() {
        Some(error) => error.strip_backtrace(),
        None => format!("{error:#}"),
    }
}

/// See the module.
#[derive(Debug)]
pub struct OneSnapshot {
    service: Service,
    timeout: Duration,
}

/// So often a query is planned before the archive is said to change too fast. Each time it has changed meanwhile.
const ATTEMPTS: usize = 20;

impl OneSnapshot {
    /// For queries to this service that may each take so long.
    #[must_use]
    pub fn new(service: Service, timeout: Duration) -> Self {
        Self { service, timeout }
    }

    async fn planned(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let query = Query::new(self.service.clone());
        let (mut plan, mut names_epoch) = epoch::bind(plan, &query)?;
        let (live, history) = bound::reads(&plan)?;
        if history && (live || names_epoch) {
            plan = bound::to_epoch(plan, &query)?;
            names_epoch = true;
        }
        let planner = DefaultPhysicalPlanner::default();
        let planned = CURRENT.scope(Arc::clone(&query), planner.create_physical_plan(&plan, session)).await?;
        // What is only explained is shown as it is.
        if matches!(plan, LogicalPlan::Explain(_)) {
            return Ok(planned);
        }
        if names_epoch {
            // The function cannot wait for it when it is called.
            query.snapshot().await?;
        }
        Deadline::over(planned, self.timeout)
    }
}

fn changed(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::External(cause) if cause.is::<Changed>())
}

#[async_trait]
impl QueryPlanner for OneSnapshot {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        crate::read_only::check(plan)?;
        for _ in 0..ATTEMPTS {
            // Planning may wait for a snapshot, and that for a service that replays a log.
            match tokio::time::timeout(self.timeout, self.planned(plan, session)).await {
                Err(_) => return Err(over(self.timeout)),
                Ok(Err(error)) if changed(&error) => {}
                Ok(other) => return other,
            }
        }
        exec_err!("the archive was changed {ATTEMPTS} times while the query was planned: ask again")
    }
}
