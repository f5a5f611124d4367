//! A query that lasts too long is ended, whoever asked it: the root of its plan looks at the clock.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

/// Hands on what the plan below says, until the time is over.
#[derive(Debug)]
pub struct Deadline {
    input: Arc<dyn ExecutionPlan>,
    timeout: Duration,
}

impl Deadline {
    /// Over `input`, from when it is run.
    #[must_use]
    pub fn new(input: Arc<dyn ExecutionPlan>, timeout: Duration) -> Self {
        Self { input, timeout }
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
            (Some(input), None) => Ok(Arc::new(Self { input, timeout: self.timeout })),
            _ => internal_err!("a deadline is over one plan"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, timeout) = (self.input.execute(partition, context)?, self.timeout);
        let until = Instant::now() + timeout;
        let watched = futures::stream::try_unfold(rows, move |mut rows| async move {
            match timeout_at(until, rows.next()).await {
                Ok(Some(batch)) => batch.map(|batch| Some((batch, rows))),
                Ok(None) => Ok(None),
                Err(_) => Err(DataFusionError::Execution(format!(
                    "the query took longer than {} s and was cancelled: ask for less, or give it longer with --timeout",
                    timeout.as_secs_f64()
                ))),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), watched)))
    }
}
