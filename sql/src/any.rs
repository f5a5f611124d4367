//! `user_id = any(ARRAY[7, 8])`: how drivers pass a list. Identifiers are unsigned and literals signed, which the engine does not bring
//! together inside an array; so the array is made one of identifiers before it looks.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

/// See the module.
#[derive(Debug)]
pub struct AnyOfIdentifiers;

impl AnalyzerRule for AnyOfIdentifiers {
    fn name(&self) -> &str {
        "any_of_identifiers"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> Result<LogicalPlan> {
        let walked = plan.transform_up_with_subqueries(|node| {
            // A scan's conditions are over its own columns, all others over those of its inputs.
            let mut schema = merge_schema(&node.inputs());
            schema.merge(node.schema());
            node.map_expressions(|expression| {
                expression.transform_up(|expression| match expression {
                    Expr::ScalarFunction(mut call)
                        if call.func.name() == "array_has" && call.args.len() == 2 =>
                    {
                        // What has no type yet is not ours.
                        let (Ok(array), Ok(value)) =
                            (call.args[0].get_type(&schema), call.args[1].get_type(&schema))
                        else {
                            return Ok(Transformed::no(Expr::ScalarFunction(call)));
                        };
                        let signed =
                            matches!(&array, DataType::List(item) if item.data_type().is_signed_integer());
                        if value != DataType::UInt64 || !signed {
                            return Ok(Transformed::no(Expr::ScalarFunction(call)));
                        }
                        let identifiers =
                            DataType::List(Arc::new(Field::new_list_field(DataType::UInt64, true)));
                        let array = std::mem::take(&mut call.args[0]);
                        call.args[0] = cast(array, identifiers);
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    other => Ok(Transformed::no(other)),
                })
            })
        })?;
        Ok(walked.data)
    }
}
