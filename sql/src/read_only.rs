//! Nothing can be written, defined or copied: neither the state, which is no table to write to, nor a file of this machine.

use datafusion::common::{Result, plan_err};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;

/// What a query may be.
#[must_use]
pub fn options() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Refuses a plan that is more than a query.
///
/// # Errors
/// What it is.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    if options().verify_plan(plan).is_err() {
        return plan_err!(
            "only queries are answered (SELECT, EXPLAIN, SHOW): nothing can be written or defined"
        );
    }
    Ok(())
}
