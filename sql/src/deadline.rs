//! A query that lasts too long is ended, whoever asked it: each node of its plan looks at the clock before it hands on a batch.
//!
//! The root alone would not do. A sum over a product of tables asks for batch after batch, all of which are there at once, and never
//! comes back to whoever waits for it. So each node also lets the runtime in now and then, which sees to time and to Ctrl-C.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};

/// Hands on what the plan below says, until the time is over.
#[derive(Debug)]
pub struct Deadline {
    input: Arc<dyn ExecutionPlan>,
    timeout: Duration,
    /// When the time of the whole plan is over: known once its root is run.
    until: Arc<OnceLock<Instant>>,
}

impl Deadline {
    /// Over each node of a plan, from when it is run.
    ///
    /// # Errors
    /// Where a node does not take its children back.
    pub fn over(plan: Arc<dyn ExecutionPlan>, timeout: Duration) -> Result<Arc<dyn ExecutionPlan>> {
        let until = Arc::default();
        let watched = plan.transform_up(|input| {
            let watched: Arc<dyn ExecutionPlan> =
                Arc::new(Self { input, timeout, until: Arc::clone(&until) });
            Ok(Transformed::yes(watched))
        })?;
        Ok(watched.data)
    }
}

impl DisplayAs for Deadline {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deadline: {:?}", self.timeout)
    }
}

impl ExecutionPlan for Deadline {
    fn name(&self) -> &str {
        "Deadline"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop()) {
            (Some(input), None) => {
                Ok(Arc::new(Self { input, timeout: self.timeout, until: Arc::clone(&self.until) }))
            }
            _ => internal_err!("a deadline is over one plan"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let timeout = self.timeout;
        let until = *self.until.get_or_init(|| Instant::now() + timeout);
        let rows = self.input.execute(partition, context)?;
        let watched = futures::stream::try_unfold(rows, move |mut rows| async move {
            let over = || over(timeout);
            tokio::task::consume_budget().await;
            // What is there at once is handed on without a look at the clock by what follows.
            if Instant::now() >= until {
                return Err(over());
            }
            // The Parquet crate may panic on bytes that lie about themselves; after that nothing of the plan is run.
            let next = AssertUnwindSafe(rows.next()).catch_unwind();
            match timeout_at(until, next).await {
                Ok(Ok(Some(batch))) => batch.map(|batch| Some((batch, rows))),
                Ok(Ok(None)) => Ok(None),
                Ok(Err(_)) => exec_err!(
                    "the query engine gave up: a file of the archive is damaged, or this is a mistake of the engine"
                ),
                Err(_) => Err(over()),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), watched)))
    }
}

/// What is said of a query that took too long.
pub(crate) fn over(timeout: Duration) -> DataFusionError {
    DataFusionError::Execution(format!(
        "the query took longer than {} s and was cancelled: ask for less, or give it longer with --timeout",
        timeout.as_secs_f64()
    ))
}
