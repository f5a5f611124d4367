//! Which files a condition leaves, by what the manifest says of them: their day and their epochs.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use freshet_archive::FileEntry;

use super::columns::DAY;

const DAY_MS: u64 = 86_400_000;

/// The files that may hold rows for which the condition is true, in order.
pub fn prune<'a>(
    files: Vec<&'a FileEntry>,
    condition: Option<&Arc<dyn PhysicalExpr>>,
    schema: &SchemaRef,
    time: &str,
) -> Result<Vec<&'a FileEntry>> {
    let predicate = condition.and_then(|condition| {
        PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(Arc::clone(condition))
    });
    let Some(predicate) = predicate else { return Ok(files) };
    let stay = predicate.prune(&Files { files: &files, time })?;
    Ok(files.into_iter().zip(stay).filter_map(|(file, stays)| stays.then_some(file)).collect())
}

struct Files<'a> {
    files: &'a [&'a FileEntry],
    /// The column with the time that the day is of.
    time: &'a str,
}

impl Files<'_> {
    fn bounds(&self, column: &Column, day: fn(u64) -> u64, epoch: fn(&FileEntry) -> u64) -> Option<ArrayRef> {
        let numbers = |of: &dyn Fn(&FileEntry) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| of(file))))
        };
        match column.name.as_str() {
            DAY => {
                let days = self.files.iter().map(|file| i32::try_from(file.day).ok());
                Some(Arc::new(Date32Array::from_iter(days)))
            }
            name if name == self.time => Some(numbers(&|file| day(file.day))),
            "epoch" => Some(numbers(&epoch)),
            _ => None,
        }
    }
}

impl PruningStatistics for Files<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |day| day * DAY_MS, |file| file.first_epoch.0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |day| day * DAY_MS + (DAY_MS - 1), |file| file.last_epoch.0)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
