//! Files of labelled rows, to measure on: a header, columns found by their names, and every row usable or none.

use std::path::Path;

use thiserror::Error;

use super::error::ImportError;
use super::field::{Field, Refusal};
use super::table::{FirstRow, Table};

/// Why a file of labelled rows cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelledError {
    /// It cannot be read.
    #[error(transparent)]
    Table(#[from] ImportError),
    /// A column is missing.
    #[error("{file}: it has no column {wanted}, only {found}; name the columns in its first row{hint}")]
    Column {
        /// The file.
        file: String,
        /// The names that would do.
        wanted: String,
        /// Those it has.
        found: String,
        /// What else would help.
        hint: &'static str,
    },
    /// A row cannot be used. A measurement on the others would be another one.
    #[error("{file}: row {row}: {detail}; correct the row or take it out")]
    Row {
        /// The file.
        file: String,
        /// From 1, the header not counted.
        row: u64,
        /// The column and the value.
        detail: String,
    },
    /// It has a header and nothing else.
    #[error("{file}: it holds no row behind the header; name a file with at least one")]
    Empty {
        /// The file.
        file: String,
    },
}

/// An open file of labelled rows.
pub(super) struct Labelled(Table);

impl Labelled {
    pub fn open(path: &Path) -> Result<Self, LabelledError> {
        Ok(Self(Table::open(path)?))
    }

    /// The place of the first of the names that is a column.
    pub fn place(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.0.columns.iter().position(|column| column == name))
    }

    /// As [`Labelled::place`]; there must be one. `hint` says what else would help.
    pub fn need(&self, names: &[&str], hint: &'static str) -> Result<usize, LabelledError> {
        self.place(names).ok_or_else(|| LabelledError::Column {
            file: self.0.file.clone(),
            wanted: names.join(" or "),
            found: self.0.columns.join(", ").chars().take(400).collect(),
            hint,
        })
    }

    /// All rows, of each the columns at `slots`; at least one.
    pub fn rows<T>(
        self,
        slots: &[Option<usize>],
        mut row_of: impl FnMut(&[Field<'_>]) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, LabelledError> {
        let file = self.0.file.clone();
        let (mut rows, mut broken) = (Vec::new(), None);
        self.0.rows(FirstRow::Header, slots, &mut |number, fields| {
            match fields.and_then(&mut row_of) {
                Ok(row) => rows.push(row),
                Err(refusal) => {
                    broken.get_or_insert((number, refusal.detail));
                }
            }
            Ok(())
        })?;
        match broken {
            Some((row, detail)) => Err(LabelledError::Row { file, row, detail }),
            None if rows.is_empty() => Err(LabelledError::Empty { file }),
            None => Ok(rows),
        }
    }
}
