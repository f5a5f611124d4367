//! Public data sets as event logs.
//!
//! Each set says less than it is said to say: KuaiRec has no like, MicroLens no watch time, KuaiRand no position, Globo
//! nothing but a click. So nothing is filled in that the files do not hold; what can be computed is marked as derived,
//! and the rest as absent, column by column ([`Report`]).
//!
//! A file is recognised by its columns (`shape`), read row by row (`table`, `field`) by the set's own few lines
//! (`shortvideo`, `kuairand`, ...), interactions are sorted by time (`sort`) while videos and users are gathered
//! (`catalogue`), and at the end everything is written as a log (`emit`). Memory: 64 bytes for each of up to four million
//! interactions (the rest waits in sorted runs beside the log), and what is known of each video and user.
//!
//! The order of the arguments does not matter, and the same files give the same bytes.

pub mod bandit;
mod catalogue;
mod emit;
mod error;
mod field;
mod globo;
mod kuairand;
mod kuairec;
pub mod labelled;
mod microlens;
pub mod pairs;
mod report;
mod shape;
mod shortvideo;
mod sort;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use freshet_schema::dead_letter::Reason;

pub use error::ImportError;
pub use report::{ColumnReport, FileReport, Report};

use self::catalogue::Catalogue;
use self::field::{Field, Refusal, Refused};
use self::shape::Shape;
use self::sort::{Seen, Sorter};
use self::table::{FirstRow, Table};
use crate::log::Format;
use crate::validate::DEFAULT_MIN_EVENT_TIME;

/// A public data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataSet {
    /// Tsinghua ShortVideo.
    ShortVideo,
    /// KuaiRand (Pure, 1K, 27K).
    KuaiRand,
    /// KuaiRec.
    KuaiRec,
    /// MicroLens.
    MicroLens,
    /// Globo.com news clicks.
    Globo,
}

impl DataSet {
    /// All sets.
    pub const ALL: [Self; 5] =
        [Self::ShortVideo, Self::KuaiRand, Self::KuaiRec, Self::MicroLens, Self::Globo];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShortVideo => "shortvideo",
            Self::KuaiRand => "kuairand",
            Self::KuaiRec => "kuairec",
            Self::MicroLens => "microlens",
            Self::Globo => "globo",
        }
    }

    /// The kinds of files, features before interactions: that is the order in which they are read.
    fn shapes(self) -> &'static [Shape] {
        match self {
            Self::ShortVideo => shortvideo::SHAPES,
            Self::KuaiRand => kuairand::SHAPES,
            Self::KuaiRec => kuairec::SHAPES,
            Self::MicroLens => microlens::SHAPES,
            Self::Globo => globo::SHAPES,
        }
    }

    fn expected(self) -> String {
        self.shapes().iter().map(Shape::describe).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DataSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|set| set.as_str() == text).ok_or_else(|| {
            format!("unknown data set {text:?}; known are {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Make up times for files that have none; without it such a file is an error.
    pub derive_time: bool,
    /// The format of the log.
    pub format: Format,
}

/// Rows kept in memory by the sort: 256 MiB.
const RUN_ROWS: usize = 4 << 20;

/// Turns files of a data set into an event log at `out`, which must not hold one yet.
///
/// # Errors
/// Where a file cannot be read or is none of the set's, where times are missing and may not be derived, where the log
/// cannot be written. A row that cannot be used is no error: the report counts it.
pub fn import(set: DataSet, files: &[PathBuf], out: &Path, options: Options) -> Result<Report, ImportError> {
    import_in_runs(set, files, out, options, RUN_ROWS)
}

fn import_in_runs(
    set: DataSet,
    files: &[PathBuf],
    out: &Path,
    options: Options,
    run_rows: usize,
) -> Result<Report, ImportError> {
    if files.is_empty() {
        return Err(ImportError::NoFiles { set: set.as_str(), expected: set.expected() });
    }
    let mut inputs = Vec::with_capacity(files.len());
    for path in files {
        inputs.push(Input::recognise(set, path)?);
    }
    // By kind and name: the order of the arguments must not show in the log.
    inputs.sort_by(|a, b| (a.place, &a.table.file).cmp(&(b.place, &b.table.file)));
    for pair in inputs.windows(2) {
        if pair[0].table.file == pair[1].table.file {
            return Err(ImportError::Twice { file: pair[0].table.file.clone() });
        }
    }
    if let Some(remapped) = inputs.iter().find(|i| i.shape.remapped)
        && let Some(other) = inputs.iter().find(|i| i.table.file != remapped.table.file)
    {
        let (file, other) = (remapped.table.file.clone(), other.table.file.clone());
        return Err(ImportError::RemappedIds { file, other });
    }
    if let Some(input) = inputs.iter().find(|i| i.shape.untimed && !options.derive_time) {
        return Err(ImportError::NoTime { file: input.table.file.clone(), shape: input.shape.name });
    }

    let mut catalogue = Catalogue::default();
    let mut sorter = Sorter::new(out.to_owned(), run_rows);
    let mut reports = Vec::with_capacity(inputs.len());
    for (number, input) in inputs.into_iter().enumerate() {
        reports.push(input.read(number, &mut catalogue, &mut sorter, out)?);
    }
    emit::emit(set.as_str(), sorter, &catalogue, reports, out, options.format)
}

/// A file whose kind is known.
struct Input {
    table: Table,
    shape: &'static Shape,
    /// The shape's place in the set.
    place: usize,
    first: FirstRow,
    slots: Vec<Option<usize>>,
}

impl Input {
    fn recognise(set: DataSet, path: &Path) -> Result<Self, ImportError> {
        let table = Table::open(path)?;
        for (place, shape) in set.shapes().iter().enumerate() {
            if let Some((first, slots)) = shape.matches(&table) {
                return Ok(Self { table, shape, place, first, slots });
            }
        }
        Err(ImportError::UnknownColumns {
            found: table.columns.join(", ").chars().take(400).collect(),
            file: table.file,
            set: set.as_str(),
            expected: set.expected(),
        })
    }

    fn read(
        self,
        number: usize,
        catalogue: &mut Catalogue,
        sorter: &mut Sorter,
        out: &Path,
    ) -> Result<FileReport, ImportError> {
        let file = self.table.file.clone();
        let mut refused = Refused::new();
        let mut seen = Vec::new();
        let rows = self.table.rows(self.first, &self.slots, &mut |row, fields| {
            seen.clear();
            let Some(read) = self.shape.read else { return Ok(()) };
            if let Err(refusal) = fields.and_then(|fields| read(catalogue, fields, &mut seen)) {
                field::count(&mut refused, row, refusal);
                return Ok(());
            }
            for mut item in seen.drain(..) {
                if let Err(refusal) = check_time(item.time) {
                    field::count(&mut refused, row, refusal);
                    continue;
                }
                item.stand(number, row);
                catalogue.seen(item.video, item.time);
                catalogue.duration(item.video, Some(item.duration_ms));
                sorter
                    .push(item)
                    .map_err(|source| ImportError::Spill { dir: out.display().to_string(), source })?;
            }
            Ok(())
        })?;
        Ok(FileReport { file, shape: self.shape.name, rows, refused, note: self.shape.note })
    }
}

/// 2100-01-01: beyond it lie only mistaken units.
const LATEST: u64 = 4_102_444_800_000;

/// Whether a log can hold the time.
fn is_plausible(time: u64) -> bool {
    (DEFAULT_MIN_EVENT_TIME.0..=LATEST).contains(&time)
}

/// Refuses other times, before one of them becomes the time of an upload or of the log's beginning.
fn check_time(time: u64) -> Result<(), Refusal> {
    if is_plausible(time) {
        return Ok(());
    }
    let reason = if time < LATEST { Reason::TooOld } else { Reason::TooFarAhead };
    let detail = format!("the time is {time} ms since 1970, expected one between 2000 and 2100");
    Err(Refusal::new(reason.as_str(), detail))
}

/// A pair of a set whose pairs are positives that no signal of ours names: the views are written, and nothing else.
fn untimed_pair(catalogue: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let (user, video) = (fields[0].need_id()?, fields[1].need_id()?);
    let time = catalogue.derived_time(user);
    out.push(Seen { user, video, time, flags: sort::TIME_DERIVED, ..Seen::default() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_on_disk_change_no_byte() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("pairs.csv");
        let mut text = String::from("user,item,timestamp\n");
        for n in 0..500u64 {
            let noise = freshet_schema::hash::mix(1, &[n]);
            text.push_str(&format!("{},{},{}\n", noise % 9, noise % 31, 1_600_000_000_000 + noise % 1000));
        }
        std::fs::write(&file, text).expect("room");
        let read = |out: &str, runs: usize| {
            let out = dir.path().join(out);
            let report = import_in_runs(
                DataSet::MicroLens,
                std::slice::from_ref(&file),
                &out,
                Options::default(),
                runs,
            );
            let bytes = std::fs::read(out.join("interactions/part-00000.jsonl")).expect("written");
            (report.expect("good input"), bytes)
        };
        assert_eq!(read("memory", RUN_ROWS), read("runs", 7));
    }
}
