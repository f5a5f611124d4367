//! What a verification found.

use freshet_schema::{Epoch, Millis};
use serde_json::json;

use super::compare::Difference;

/// So many differences of a view are kept in full.
pub const SHOWN: usize = 10;

/// See the module.
#[derive(Clone, Debug)]
pub struct Report {
    /// The epoch at whose end the state is compared.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// Records of the archive that were read.
    pub records: u64,
    /// Deletes by which rows were taken out of the archive before.
    pub forgotten: u64,
    /// What could not be compared, and why.
    pub left_out: Option<String>,
    /// By view.
    pub views: Vec<ViewReport>,
    /// The epoch of the store whose values are among the views, where they were asked for.
    pub values_of: Option<Epoch>,
}

/// What was found of a view.
#[derive(Clone, Debug, Default)]
pub struct ViewReport {
    /// Its name.
    pub name: &'static str,
    /// Rows that the state holds.
    pub kept: u64,
    /// Rows that follow from the events.
    pub expected: u64,
    /// Rows that differ.
    pub different: u64,
    /// The first of them, in full.
    pub differences: Vec<Difference>,
}

impl ViewReport {
    /// Adds what was found of another part of the view.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.kept += other.kept;
        self.expected += other.expected;
        self.different += other.different;
        self.differences.extend(other.differences);
        self.differences.truncate(SHOWN);
        self
    }
}

impl Report {
    /// Whether all views are what the events say.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.views.iter().all(|view| view.different == 0)
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let difference = |d: &Difference| json!({ "key": d.key, "kept": d.kept, "expected": d.expected });
        let view = |view: &ViewReport| {
            json!({
                "view": view.name, "rows": view.kept, "expected": view.expected, "different": view.different,
                "differences": view.differences.iter().map(difference).collect::<Vec<_>>(),
            })
        };
        json!({
            "epoch": self.epoch.0, "now_ms": self.now.0, "records": self.records, "forgotten": self.forgotten,
            "left_out": self.left_out, "holds": self.holds(), "values_of": self.values_of.map(|epoch| epoch.0),
            "views": self.views.iter().map(view).collect::<Vec<_>>(),
        })
    }
}
