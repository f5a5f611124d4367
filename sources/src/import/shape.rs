//! What the files of a data set look like: a file is recognised by its columns, never by its name or its place among the
//! arguments.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::sort::Seen;
use super::table::{FirstRow, Table};

/// A column by the names that publishers give it.
pub(super) struct Column {
    pub names: &'static [&'static str],
    pub required: bool,
}

/// A column without which the file is not of this shape.
pub(super) const fn need(names: &'static [&'static str]) -> Column {
    Column { names, required: true }
}

/// A column that is used where it is there.
pub(super) const fn may(names: &'static [&'static str]) -> Column {
    Column { names, required: false }
}

/// Files that come without a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headless {
    /// All have one.
    Never,
    /// As many numbers as there are columns.
    Numbers,
    /// A number and a text.
    NumberAndText,
    /// A number and then a list of numbers of any length.
    Sequence,
}

/// What to do with a row. Interactions go to the list; features are noted in the catalogue.
pub(super) type ReadRow = fn(&mut Catalogue, &[Field<'_>], &mut Vec<Seen>) -> Result<(), Refusal>;

/// One kind of file of a data set.
pub(super) struct Shape {
    /// As the publisher calls it.
    pub name: &'static str,
    pub columns: &'static [Column],
    pub headless: Headless,
    /// Whether its rows are interactions without a time.
    pub untimed: bool,
    /// Whether its identifiers join no other file.
    pub remapped: bool,
    /// What the report says about it beside the counts.
    pub note: &'static str,
    /// `None`: nothing in it has a place in the events.
    pub read: Option<ReadRow>,
}

impl Shape {
    /// The shape most files have.
    pub const fn new(name: &'static str, columns: &'static [Column], read: ReadRow) -> Self {
        Self {
            name,
            columns,
            headless: Headless::Never,
            untimed: false,
            remapped: false,
            note: "",
            read: Some(read),
        }
    }

    /// A file that is known, and that the events have no place for.
    pub const fn unused(name: &'static str, columns: &'static [Column], note: &'static str) -> Self {
        Self { name, columns, headless: Headless::Never, untimed: false, remapped: false, note, read: None }
    }

    /// A file that may come without a header.
    pub const fn headless(self, headless: Headless) -> Self {
        Self { headless, ..self }
    }

    /// Interactions in an order, without a time.
    pub const fn untimed(self) -> Self {
        Self { untimed: true, ..self }
    }

    /// Identifiers of its own.
    pub const fn remapped(self) -> Self {
        Self { remapped: true, ..self }
    }

    /// Words for the report.
    pub const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Whether `table` has this shape: how its first row is to be taken, and where each column is.
    pub fn matches(&self, table: &Table) -> Option<(FirstRow, Vec<Option<usize>>)> {
        // Of several names the first one counts, wherever it stands: a root category before its leaf.
        let place = |name: &str| table.columns.iter().position(|column| column == name);
        let find = |c: &Column| c.names.iter().find_map(|name| place(name));
        let slots: Vec<_> = self.columns.iter().map(find).collect();
        let complete = slots.iter().zip(self.columns).all(|(slot, c)| slot.is_some() || !c.required);
        if complete && !slots.is_empty() {
            return Some((FirstRow::Header, slots));
        }
        let number = |text: &String| text.parse::<f64>().is_ok();
        let list =
            |text: &String| !text.is_empty() && text.split([' ', ',']).all(|n| n.parse::<u64>().is_ok());
        let by_place = || (0..self.columns.len()).map(Some).collect();
        let found = &table.columns;
        match self.headless {
            Headless::Never => None,
            Headless::Numbers => (found.len() == self.columns.len() && found.iter().all(number))
                .then(|| (FirstRow::Data, by_place())),
            Headless::NumberAndText => {
                (found.len() == 2 && number(&found[0]) && found[1].contains(char::is_alphabetic))
                    .then(|| (FirstRow::Data, by_place()))
            }
            Headless::Sequence => {
                let ragged = || (FirstRow::Ragged, (0..SEQUENCE).map(Some).collect());
                (found.len() >= 2 && number(&found[0]) && found[1..].iter().all(list)).then(ragged)
            }
        }
    }

    /// The shape in a message.
    pub fn describe(&self) -> String {
        let columns: Vec<_> = self.columns.iter().filter(|c| c.required).map(|c| c.names[0]).collect();
        format!("{} ({}, ...)", self.name, columns.join(", "))
    }
}

/// Longest sequence that is read from a row, the user included. What lies behind would be lost, so [`super::microlens`]
/// refuses a row whose last place is taken.
pub(super) const SEQUENCE: usize = 4096;
