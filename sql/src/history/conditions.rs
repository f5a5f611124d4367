//! Conditions on a table's columns, as conditions on the files'.
//!
//! The manifest knows the files' days and epochs, in the files' own terms: by the translation whole files are passed over. All conditions
//! are looked at again, row by row, so one that has no translation here is only slower.

use std::ops::Not;

use arrow::datatypes::DataType;
use datafusion::common::{Column as Name, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ident, lit};

use super::columns::{Column, Form};

/// The translation, where there is one.
#[must_use]
pub fn translate(
    condition: &Expr,
    columns: &[Column],
    kinds: &dyn Fn(&str) -> Option<DataType>,
) -> Option<Expr> {
    Translation { columns, kinds }.condition(condition)
}

struct Translation<'a> {
    columns: &'a [Column],
    /// The types of the file's columns.
    kinds: &'a dyn Fn(&str) -> Option<DataType>,
}

impl Translation<'_> {
    fn column(&self, expression: &Expr) -> Option<Form> {
        let Expr::Column(Name { name, .. }) = expression else { return None };
        self.columns.iter().find(|column| column.name == name).map(|column| column.form)
    }

    fn condition(&self, condition: &Expr) -> Option<Expr> {
        match condition {
            Expr::Column(_) => match self.column(condition)? {
                Form::Flag(file) => Some(ident(file).is_true()),
                Form::Same(file) => Some(ident(file)),
                _ => None,
            },
            Expr::Not(inner) => self.condition(inner).map(Not::not),
            Expr::IsNull(inner) => self.stored(inner).map(Expr::is_null),
            Expr::IsNotNull(inner) => self.stored(inner).map(Expr::is_not_null),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => match (&**left, &**right) {
                (column, Expr::Literal(value, _)) => self.comparison(column, *op, value),
                (Expr::Literal(value, _), column) => self.comparison(column, op.swap()?, value),
                _ => None,
            },
            Expr::Between(Between { expr, negated, low, high }) => {
                let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&**low, &**high) else { return None };
                let within = self.comparison(expr, Operator::GtEq, low)?.and(self.comparison(
                    expr,
                    Operator::LtEq,
                    high,
                )?);
                Some(if *negated { within.not() } else { within })
            }
            Expr::InList(InList { expr, list, negated }) => {
                let form = self.column(expr)?;
                let value = |value: &Expr| match value {
                    Expr::Literal(value, _) => self.value(form, value).map(lit),
                    _ => None,
                };
                let values = list.iter().map(value).collect::<Option<Vec<Expr>>>()?;
                Some(self.stored(expr)?.in_list(values, *negated))
            }
            Expr::Like(like) => {
                let text = matches!(self.column(&like.expr)?, Form::Same(_));
                text.then_some(())?;
                let pattern = matches!(&*like.pattern, Expr::Literal(..));
                let expr = Box::new(self.stored(&like.expr)?);
                pattern.then(|| Expr::Like(Like { expr, ..like.clone() }))
            }
            _ => None,
        }
    }

    /// The file's column where it is null exactly when the table's is.
    fn stored(&self, expression: &Expr) -> Option<Expr> {
        match self.column(expression)? {
            Form::CountOrZero(_) | Form::CountUnlessZero(_) | Form::Flag(_) => None,
            form => Some(ident(form.file())),
        }
    }

    fn comparison(&self, column: &Expr, op: Operator, value: &ScalarValue) -> Option<Expr> {
        let form = self.column(column)?;
        if let Form::Flag(file) = form {
            let ScalarValue::Boolean(Some(wanted)) = value else { return None };
            let holds = ident(file).is_true();
            return match op {
                Operator::Eq => Some(if *wanted { holds } else { holds.not() }),
                _ => None,
            };
        }
        let value = self.value(form, value)?;
        let file = self.stored(column)?;
        Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(file), op, Box::new(lit(value)))))
    }

    /// A value of the table's column as one of the file's.
    fn value(&self, form: Form, value: &ScalarValue) -> Option<ScalarValue> {
        if value.is_null() {
            return None;
        }
        match form {
            Form::Time(_) => match value {
                ScalarValue::TimestampMillisecond(Some(ms), None) => {
                    u64::try_from(*ms).ok().map(|ms| ScalarValue::UInt64(Some(ms)))
                }
                _ => None,
            },
            Form::Count(file) => {
                let ScalarValue::Int64(Some(number)) = value else { return None };
                match (self.kinds)(file)? {
                    DataType::UInt64 => u64::try_from(*number).ok().map(|n| ScalarValue::UInt64(Some(n))),
                    DataType::UInt32 => u32::try_from(*number).ok().map(|n| ScalarValue::UInt32(Some(n))),
                    _ => None,
                }
            }
            Form::Same(file) => ((self.kinds)(file)? == value.data_type()).then(|| value.clone()),
            Form::Day => (value.data_type() == DataType::Date32).then(|| value.clone()),
            Form::CountOrZero(_) | Form::CountUnlessZero(_) | Form::Flag(_) => None,
        }
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

#[cfg(test)]
mod tests {
    use freshet_archive::Table;
    use freshet_schema::EventKind;

    use super::*;
    use crate::history::columns::columns;
    use datafusion::logical_expr::col;

    fn translated(condition: &Expr) -> Option<String> {
        let table = Table::Stream(EventKind::Interactions);
        let schema = table.schema();
        let kinds = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type().clone());
        translate(condition, columns(table), &kinds).map(|condition| condition.to_string())
    }

    fn time(ms: i64) -> Expr {
        lit(ScalarValue::TimestampMillisecond(Some(ms), None))
    }

    #[test]
    fn conditions_become_those_of_the_file() {
        let is =
            |condition: Expr, expected: &str| assert_eq!(translated(&condition).as_deref(), Some(expected));
        is(col("event_time").gt_eq(time(5)), "event_time >= UInt64(5)");
        is(time(5).lt(col("event_time")), "event_time > UInt64(5)");
        is(
            col("event_time").between(time(5), time(7)),
            "event_time >= UInt64(5) AND event_time <= UInt64(7)",
        );
        is(col("liked"), "like IS TRUE");
        is(col("liked").eq(lit(false)), "NOT like IS TRUE");
        is(!col("liked"), "NOT like IS TRUE");
        is(
            col("user_id").eq(lit(7_u64)).or(col("video_id").eq(lit(8_u64))),
            "user_id = UInt64(7) OR video_id = UInt64(8)",
        );
        is(
            col("user_id").in_list(vec![lit(1_u64), lit(2_u64)], true),
            "user_id NOT IN ([UInt64(1), UInt64(2)])",
        );
        is(col("feed_position").lt(lit(3_i64)), "feed_position < UInt32(3)");
        is(col("watch_ms").is_null(), "watch_ms IS NULL");
        is(col("country").like(lit("B%")), "country LIKE Utf8(\"B%\")");
    }

    #[test]
    fn what_would_mean_something_else_stays() {
        // Nothing stands for 0 there, and 0 for nothing here.
        assert_eq!(translated(&col("revision").eq(lit(0_i64))), None);
        assert_eq!(translated(&col("duration_ms").gt(lit(0_i64))), None);
        assert_eq!(translated(&col("liked").is_null()), None);
        assert_eq!(translated(&col("event_time").gt(time(-5))), None);
        assert_eq!(translated(&col("watch_ms").gt(lit(-1_i64))), None);
        assert_eq!(translated(&col("user_id").eq(col("video_id"))), None);
        assert_eq!(translated(&col("user_id").eq(lit(7_u64)).and(col("revision").eq(lit(1_i64)))), None);
    }
}
