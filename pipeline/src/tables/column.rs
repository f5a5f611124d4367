//! Columns, values and batches of rows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, TimestampMillisecondBuilder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
pub use freshet_schema::tables::ColumnKind as ColumnType;

/// The Arrow form of what a column holds.
fn arrow(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Id => DataType::UInt64,
        ColumnType::Count => DataType::Int64,
        ColumnType::Real => DataType::Float64,
        ColumnType::Flag => DataType::Boolean,
        ColumnType::Text => DataType::Utf8,
        // Without a zone, as times of the pipeline are: UTC.
        ColumnType::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        ColumnType::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
    }
}

/// What SQL calls it.
#[must_use]
pub fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Id => "unsigned bigint",
        ColumnType::Count => "bigint",
        ColumnType::Real => "double",
        ColumnType::Flag => "boolean",
        ColumnType::Text => "text",
        ColumnType::Time => "timestamp",
        ColumnType::Texts => "text[]",
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it can be null.
    pub nullable: bool,
    /// What it means, with unit and range.
    pub about: &'static str,
}

/// A column that always has a value.
#[must_use]
pub const fn column(name: &'static str, kind: ColumnType, about: &'static str) -> Column {
    Column { name, kind, nullable: false, about }
}

/// A column that can be null.
#[must_use]
pub const fn maybe(name: &'static str, kind: ColumnType, about: &'static str) -> Column {
    Column { name, kind, nullable: true, about }
}

/// The Arrow form of some columns.
#[must_use]
pub fn schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(column.name, arrow(column.kind), column.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing is known.
    Null,
    /// Of [`ColumnType::Id`].
    Id(u64),
    /// Of [`ColumnType::Count`].
    Count(i64),
    /// Of [`ColumnType::Real`].
    Real(f64),
    /// Of [`ColumnType::Flag`].
    Flag(bool),
    /// Of [`ColumnType::Text`].
    Text(Cow<'a, str>),
    /// Of [`ColumnType::Time`], in milliseconds since 1970.
    Time(u64),
    /// Of [`ColumnType::Texts`].
    Texts(Vec<Cow<'a, str>>),
}

impl<'a> Value<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A number of things.
    #[must_use]
    pub fn count(number: usize) -> Self {
        Self::Count(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// A whole number that can be missing.
    pub fn maybe_count(number: Option<impl Into<i64>>) -> Self {
        number.map_or(Self::Null, |number| Self::Count(number.into()))
    }

    /// A flag that can be missing.
    #[must_use]
    pub fn maybe_flag(flag: Option<bool>) -> Self {
        flag.map_or(Self::Null, Self::Flag)
    }

    /// A share of two sums; null where the second is zero.
    #[must_use]
    pub fn ratio(part: i64, whole: i64) -> Self {
        if whole == 0 { Self::Null } else { Self::Real(part as f64 / whole as f64) }
    }
}

/// Builds one column.
enum Builder {
    Id(UInt64Builder),
    Count(Int64Builder),
    Real(Float64Builder),
    Flag(BooleanBuilder),
    Text(StringBuilder),
    Time(TimestampMillisecondBuilder),
    Texts(ListBuilder<StringBuilder>),
}

impl Builder {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Id => Self::Id(UInt64Builder::new()),
            ColumnType::Count => Self::Count(Int64Builder::new()),
            ColumnType::Real => Self::Real(Float64Builder::new()),
            ColumnType::Flag => Self::Flag(BooleanBuilder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Time => Self::Time(TimestampMillisecondBuilder::new()),
            ColumnType::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    /// Appends a value; one of another kind than the column's would be a bug of ours, and is null.
    fn push(&mut self, value: &Value<'_>) -> usize {
        match (self, value) {
            (Self::Id(to), Value::Id(id)) => to.append_value(*id),
            (Self::Count(to), Value::Count(count)) => to.append_value(*count),
            (Self::Real(to), Value::Real(real)) => to.append_value(*real),
            (Self::Flag(to), Value::Flag(flag)) => to.append_value(*flag),
            (Self::Text(to), Value::Text(text)) => {
                to.append_value(text);
                return text.len();
            }
            (Self::Time(to), Value::Time(ms)) => to.append_value(i64::try_from(*ms).unwrap_or(i64::MAX)),
            (Self::Texts(to), Value::Texts(texts)) => {
                texts.iter().for_each(|text| to.values().append_value(text));
                to.append(true);
                return texts.iter().map(|text| text.len()).sum();
            }
            (to, other) => {
                debug_assert_eq!(*other, Value::Null, "a value is of another kind than its column");
                match to {
                    Self::Id(to) => to.append_null(),
                    Self::Count(to) => to.append_null(),
                    Self::Real(to) => to.append_null(),
                    Self::Flag(to) => to.append_null(),
                    Self::Text(to) => to.append_null(),
                    Self::Time(to) => to.append_null(),
                    Self::Texts(to) => to.append(false),
                }
            }
        }
        8
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Id(of) => ArrayBuilder::finish(of),
            Self::Count(of) => ArrayBuilder::finish(of),
            Self::Real(of) => ArrayBuilder::finish(of),
            Self::Flag(of) => ArrayBuilder::finish(of),
            Self::Text(of) => ArrayBuilder::finish(of),
            Self::Time(of) => ArrayBuilder::finish(of),
            Self::Texts(of) => ArrayBuilder::finish(of),
        }
    }
}

/// Rows of a batch: what the reader's engine works on at a time.
const BATCH_ROWS: usize = 8_192;
/// Bytes after which a batch is closed, whatever its rows.
const BATCH_BYTES: usize = 1 << 20;

/// Whoever takes batches; `false`: no more are wanted.
pub type TakeBatch<'a> = dyn FnMut(RecordBatch) -> Result<bool, ArrowError> + 'a;

/// Takes rows, keeps the columns that are wanted, and hands them on in batches.
pub struct Rows<'a> {
    schema: SchemaRef,
    /// For each wanted column its place in the table.
    places: Vec<usize>,
    builders: Vec<Builder>,
    rows: usize,
    bytes: usize,
    /// Rows that may still come.
    left: u64,
    take: &'a mut TakeBatch<'a>,
    going: Result<bool, ArrowError>,
}

impl<'a> Rows<'a> {
    /// Of these places of a table's columns, at most `limit` rows.
    pub fn new(
        columns: &[Column],
        places: Vec<usize>,
        limit: Option<u64>,
        take: &'a mut TakeBatch<'a>,
    ) -> Self {
        let wanted: Vec<Column> = places.iter().map(|place| columns[*place]).collect();
        Self {
            schema: schema(&wanted),
            builders: wanted.iter().map(|column| Builder::new(column.kind)).collect(),
            places,
            rows: 0,
            bytes: 0,
            left: limit.unwrap_or(u64::MAX),
            take,
            going: Ok(true),
        }
    }

    /// Whether one of these columns is wanted: what is dear is made only then.
    #[must_use]
    pub fn wants(&self, columns: std::ops::Range<usize>) -> bool {
        self.places.iter().any(|place| columns.contains(place))
    }

    /// Takes a row with a value for each column of the table; whether more are wanted.
    pub fn row(&mut self, values: &[Value<'_>]) -> bool {
        if self.left == 0 || !matches!(self.going, Ok(true)) {
            return false;
        }
        for (place, builder) in self.places.iter().zip(&mut self.builders) {
            self.bytes += builder.push(&values[*place]);
        }
        self.left -= 1;
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.flush();
        }
        self.left > 0 && matches!(self.going, Ok(true))
    }

    fn flush(&mut self) {
        let columns = self.builders.iter_mut().map(Builder::finish).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        (self.rows, self.bytes) = (0, 0);
        self.going = batch.and_then(|batch| (self.take)(batch));
    }

    /// Hands the last rows on.
    ///
    /// # Errors
    /// What the taker said.
    pub fn finish(mut self) -> Result<(), ArrowError> {
        if self.rows > 0 && matches!(self.going, Ok(true)) {
            self.flush();
        }
        self.going.map(drop)
    }
}
