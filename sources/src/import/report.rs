//! What an import read, derived, missed and refused, so that nobody has to believe more of a data set than it holds.

use std::collections::BTreeMap;
use std::fmt;

use freshet_schema::EventKind;
use freshet_schema::signals::Provenance;
use serde::Serialize;

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The data set's name.
    pub set: &'static str,
    /// Each file, in the order in which they were read.
    pub files: Vec<FileReport>,
    /// Records written of each kind.
    pub written: BTreeMap<&'static str, u64>,
    /// Records that were put together from several rows (uploads, users) and refused, by reason.
    pub refused: BTreeMap<&'static str, (u64, Vec<String>)>,
    /// Where the columns came from.
    pub columns: Vec<ColumnReport>,
}

/// What happened to the rows of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file.
    pub file: String,
    /// What it was recognised as.
    pub shape: &'static str,
    /// Rows read, the header not counted.
    pub rows: u64,
    /// Rows refused by reason, with up to three examples each.
    pub refused: BTreeMap<&'static str, (u64, Vec<String>)>,
    /// What is to be known about this kind of file.
    pub note: &'static str,
}

/// In how many records a column was observed, derived or absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// The stream, or `signals` for the unified signals that the pipeline derives of the interactions.
    pub stream: &'static str,
    /// The column.
    pub column: &'static str,
    /// Records in which the set says it.
    pub observed: u64,
    /// Records in which it is computed from something else.
    pub derived: u64,
    /// Records in which nothing is known.
    pub absent: u64,
}

impl ColumnReport {
    /// The provenance where it is the same in all records.
    #[must_use]
    pub fn provenance(&self) -> Option<Provenance> {
        match (self.observed, self.derived, self.absent) {
            (_, 0, 0) => Some(Provenance::Observed),
            (0, _, 0) => Some(Provenance::Derived),
            (0, 0, _) => Some(Provenance::Absent),
            _ => None,
        }
    }
}

impl Report {
    /// Records written of a kind.
    #[must_use]
    pub fn written(&self, kind: EventKind) -> u64 {
        self.written.get(kind.folder()).copied().unwrap_or(0)
    }

    /// The column of a stream.
    #[must_use]
    pub fn column(&self, stream: &str, column: &str) -> Option<&ColumnReport> {
        self.columns.iter().find(|c| c.stream == stream && c.column == column)
    }
}

fn refusals(f: &mut fmt::Formatter<'_>, refused: &BTreeMap<&'static str, (u64, Vec<String>)>) -> fmt::Result {
    for (reason, (count, examples)) in refused {
        writeln!(f, "    refused {count} as {reason}")?;
        for example in examples {
            writeln!(f, "      {example}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "imported {}", self.set)?;
        writeln!(f, "read")?;
        for file in &self.files {
            writeln!(f, "  {}: {} rows of {}", file.file, file.rows, file.shape)?;
            if !file.note.is_empty() {
                writeln!(f, "    {}", file.note)?;
            }
            refusals(f, &file.refused)?;
        }
        writeln!(f, "written")?;
        for (kind, count) in &self.written {
            writeln!(f, "  {kind}: {count}")?;
        }
        refusals(f, &self.refused)?;
        let mut stream = "";
        for column in &self.columns {
            if column.stream != stream {
                stream = column.stream;
                writeln!(f, "columns of {stream}")?;
            }
            let name = column.column;
            match column.provenance() {
                Some(Provenance::Observed) => writeln!(f, "  {name:<18} observed")?,
                Some(Provenance::Derived) => writeln!(f, "  {name:<18} derived")?,
                Some(Provenance::Absent) => writeln!(f, "  {name:<18} absent")?,
                None => {
                    let ColumnReport { observed, derived, absent, .. } = column;
                    let parts = [(observed, "observed"), (derived, "derived"), (absent, "absent")];
                    let parts: Vec<_> = parts
                        .iter()
                        .filter(|(n, _)| **n > 0)
                        .map(|(n, what)| format!("{what} in {n}"))
                        .collect();
                    writeln!(f, "  {name:<18} {}", parts.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

/// Counts the provenance of the columns of one stream.
pub(super) struct Tally {
    stream: &'static str,
    columns: &'static [&'static str],
    counts: Vec<[u64; 3]>,
}

impl Tally {
    pub fn new(stream: &'static str, columns: &'static [&'static str]) -> Self {
        Self { stream, columns, counts: vec![[0; 3]; columns.len()] }
    }

    /// Counts one record; one provenance for each column.
    pub fn add(&mut self, record: &[Provenance]) {
        for (count, provenance) in self.counts.iter_mut().zip(record) {
            let place = match provenance {
                Provenance::Observed => 0,
                Provenance::Derived => 1,
                Provenance::Absent => 2,
            };
            count[place] += 1;
        }
    }

    /// The columns; none where no record was counted.
    pub fn reports(&self) -> impl Iterator<Item = ColumnReport> {
        self.columns.iter().zip(&self.counts).filter(|(_, counts)| counts.iter().any(|n| *n > 0)).map(
            |(column, [observed, derived, absent])| ColumnReport {
                stream: self.stream,
                column,
                observed: *observed,
                derived: *derived,
                absent: *absent,
            },
        )
    }
}
