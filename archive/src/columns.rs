//! The columns of each table.
//!
//! A stream has the columns of an event log in Parquet ([`freshet_sources::log::schema`]), so that one mapping from events to fields
//! serves both; behind them stand `epoch` (which counted the row), `partition` and `offset` (where it was read).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use freshet_schema::EventKind;
use freshet_sources::log;
use serde::{Deserialize, Serialize};

/// A table of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Table {
    /// The validated records of a stream.
    Stream(EventKind),
    /// One row an epoch.
    Epochs,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 7] = [
        Self::Stream(EventKind::Users),
        Self::Stream(EventKind::Uploads),
        Self::Stream(EventKind::Follows),
        Self::Stream(EventKind::Interactions),
        Self::Stream(EventKind::Deletes),
        Self::Stream(EventKind::Served),
        Self::Epochs,
    ];

    /// Its folder, and its name in messages.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Stream(kind) => kind.folder(),
            Self::Epochs => "epochs",
        }
    }

    /// Its columns.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        let number = |name: &str| Field::new(name, DataType::UInt64, false);
        match self {
            Self::Stream(kind) => {
                let mut fields: Vec<Field> =
                    log::schema(kind).fields().iter().map(|field| field.as_ref().clone()).collect();
                fields.push(number("epoch"));
                fields.push(Field::new("partition", DataType::UInt32, false));
                fields.push(number("offset"));
                Arc::new(Schema::new(fields))
            }
            Self::Epochs => {
                let position = DataType::Struct(Fields::from(vec![
                    Field::new("partition", DataType::UInt32, false),
                    number("next_offset"),
                    number("checksum"),
                ]));
                let slice = DataType::Struct(Fields::from(vec![
                    number("shard"),
                    Field::new("part", DataType::UInt32, false),
                    Field::new("parts", DataType::UInt32, false),
                ]));
                let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
                Arc::new(Schema::new(vec![
                    number("epoch"),
                    number("now"),
                    number("watermark"),
                    Field::new("live", DataType::Boolean, false),
                    Field::new("positions", list(position), false),
                    Field::new("publication", DataType::UInt64, true),
                    Field::new("skip_below", list(DataType::UInt64), true),
                    // Archives from before it was kept lack it.
                    Field::new("remake", list(slice), true),
                ]))
            }
        }
    }
}

impl From<Table> for String {
    fn from(table: Table) -> Self {
        table.folder().to_owned()
    }
}

impl TryFrom<String> for Table {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|table| table.folder() == name);
        found.ok_or_else(|| format!("{name:?} is no table of an archive"))
    }
}
