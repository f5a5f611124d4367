//! `freshet_epoch()`: the epoch that the query reads.
//!
//! A function knows nothing of the query that calls it. So the planner puts in its place one of the same name that knows the query
//! ([`bind`]). It counts as volatile, so that nothing computes it before there is a snapshot.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::query::Query;

const NAME: &str = "freshet_epoch";

#[derive(Debug)]
struct FreshetEpoch {
    signature: Signature,
    query: Option<Arc<Query>>,
}

impl PartialEq for FreshetEpoch {
    fn eq(&self, other: &Self) -> bool {
        match (&self.query, &other.query) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for FreshetEpoch {}

impl Hash for FreshetEpoch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query.as_ref().map(Arc::as_ptr).hash(state);
    }
}

impl ScalarUDFImpl for FreshetEpoch {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(epoch) = self.query.as_ref().and_then(|query| query.epoch()) else {
            return exec_err!("{NAME}() is known within a query alone: select it from a table, or by itself");
        };
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(epoch))))
    }
}

fn function(query: Option<Arc<Query>>) -> ScalarUDF {
    ScalarUDF::from(FreshetEpoch { signature: Signature::nullary(Volatility::Volatile), query })
}

/// The function as queries name it.
#[must_use]
pub fn udf() -> ScalarUDF {
    function(None)
}

/// A call of it that is bound to a query.
#[must_use]
pub fn call(query: &Arc<Query>) -> Expr {
    function(Some(Arc::clone(query))).call(Vec::new())
}

/// The plan with the function bound to its query, and whether it is named at all.
///
/// # Errors
/// Where the engine cannot walk the plan.
pub fn bind(plan: &LogicalPlan, query: &Arc<Query>) -> Result<(LogicalPlan, bool)> {
    let bound = Arc::new(function(Some(Arc::clone(query))));
    let of_expression = |expression: Expr| {
        expression.transform(|expression| match expression {
            Expr::ScalarFunction(mut call) if call.func.name() == NAME => {
                call.func = Arc::clone(&bound);
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        })
    };
    let walked = plan.clone().transform_down_with_subqueries(|node| node.map_expressions(of_expression))?;
    Ok((walked.data, walked.transformed))
}
