//! The columns of the tables, and what they are made of.
//!
//! Files have the columns of an event log (`freshet_archive::columns`): times in milliseconds, words that SQL keeps for itself, and
//! nothing where a field has its usual value. Tables have what an analyst expects, with the names of the live tables.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use freshet_archive::Table;
use freshet_schema::EventKind;

/// What a column is made of: of which of the file's, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is in the file.
    Same(&'static str),
    /// Milliseconds since 1970 as a time.
    Time(&'static str),
    /// A whole number, signed.
    Count(&'static str),
    /// The same, 0 where the file has nothing.
    CountOrZero(&'static str),
    /// The same, and unknown where the file has 0.
    CountUnlessZero(&'static str),
    /// False where the file has nothing.
    Flag(&'static str),
    /// The day of UTC that the file is of.
    Day,
}

/// The column of the plan that has the day.
pub const DAY: &str = "day";

/// Milliseconds since 1970, UTC.
pub const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

impl Form {
    /// The file's column.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Same(name)
            | Self::Time(name)
            | Self::Count(name)
            | Self::CountOrZero(name)
            | Self::CountUnlessZero(name)
            | Self::Flag(name) => name,
            Self::Day => DAY,
        }
    }

    /// It as made of the file's columns.
    ///
    /// # Errors
    /// Never of these forms: what the engine says of an expression without branches.
    pub fn expression(self) -> datafusion::common::Result<Expr> {
        let file = ident(self.file());
        Ok(match self {
            Self::Same(_) | Self::Day => file,
            Self::Time(_) => cast(file, TIME),
            Self::Count(_) => cast(file, DataType::Int64),
            Self::CountOrZero(_) => {
                when(file.clone().is_null(), lit(0_i64)).otherwise(cast(file, DataType::Int64))?
            }
            Self::CountUnlessZero(_) => {
                let number = cast(file, DataType::Int64);
                when(number.clone().gt(lit(0_i64)), number).otherwise(lit(ScalarValue::Int64(None)))?
            }
            Self::Flag(_) => file.is_true(),
        })
    }

    /// Its type, and whether it may be null, over a file's columns.
    fn field(self, name: &str, files: &Schema) -> Field {
        let (kind, nullable) = match files.field_with_name(self.file()) {
            Ok(field) => (field.data_type().clone(), field.is_nullable()),
            Err(_) => (DataType::Date32, false),
        };
        match self {
            Self::Same(_) => Field::new(name, kind, nullable),
            Self::Day => Field::new(name, DataType::Date32, false),
            Self::Time(_) => Field::new(name, TIME, nullable),
            Self::Count(_) => Field::new(name, DataType::Int64, nullable),
            // The engine does not see that there is always a value.
            Self::Flag(_) => Field::new(name, DataType::Boolean, true),
            Self::CountOrZero(_) | Self::CountUnlessZero(_) => Field::new(name, DataType::Int64, true),
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it is made of.
    pub form: Form,
    /// What it means.
    pub about: &'static str,
}

const fn column(name: &'static str, form: Form, about: &'static str) -> Column {
    Column { name, form, about }
}

use Form::{Count, CountOrZero, CountUnlessZero, Day, Flag, Same, Time};

const DAY_OF_EVENT: Column =
    column("day", Day, "day of `event_time`, UTC; the files of other days are not opened");
const EVENT_TIME: Column = column("event_time", Time("event_time"), "when, UTC");
const REVISION: Column =
    column("revision", CountOrZero("revision"), "of two with one identity the higher revision holds");
const EPOCH: Column = column("epoch", Count("epoch"), "the epoch that counted it");
const INPUT_PARTITION: Column =
    column("input_partition", Count("partition"), "where it was read: number of the file or Kafka partition");
const INPUT_OFFSET: Column =
    column("input_offset", Count("offset"), "where it was read: offset in the file or partition");

const INTERACTIONS: &[Column] = &[
    DAY_OF_EVENT,
    column("event_time", Time("event_time"), "when the watching ended, UTC"),
    column("user_id", Same("user_id"), "who"),
    column("event_id", Same("event_id"), "identity within the user"),
    REVISION,
    column("video_id", Same("video_id"), "what"),
    column("session_id", Same("session_id"), "the sitting, where the client says it"),
    column("watch_ms", Count("watch_ms"), "time watched in milliseconds, all plays added"),
    column(
        "duration_ms",
        CountUnlessZero("duration_ms"),
        "the video's length in milliseconds as the player saw it",
    ),
    column("liked", Flag("like"), "liked"),
    column("disliked", Flag("dislike"), "disliked"),
    column("shared", Flag("share"), "shared"),
    column("commented", Flag("comment"), "commented on"),
    column("followed", Flag("follow"), "followed the creator from here"),
    column("rewatched", Same("rewatch"), "played again, where the client says it"),
    column("skipped", Same("skip"), "skipped fast, where the client says it"),
    column("feed_position", Count("feed_position"), "place in the feed, from 0"),
    column("request_id", Same("request_id"), "the served page that showed it"),
    column("device", Same("device"), "device class"),
    column("os", Same("os"), "operating system"),
    column("country", Same("country"), "coarse place"),
    column("network", Same("network"), "connection class"),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const UPLOADS: &[Column] = &[
    DAY_OF_EVENT,
    column("event_time", Time("event_time"), "since when the video is as this record says, UTC"),
    column("event_id", Same("event_id"), "identity within the stream"),
    REVISION,
    column("video_id", Same("video_id"), "the video"),
    column("creator_id", Same("creator_id"), "its maker"),
    column("created_at", Time("created_at"), "first publication, UTC"),
    column("duration_ms", CountUnlessZero("duration_ms"), "length in milliseconds; null where unknown"),
    column("caption", Same("caption"), "as uploaded"),
    column("hashtags", Same("hashtags"), "as uploaded"),
    column("sound_id", Same("sound_id"), "its sound"),
    column("category", Same("category"), "its category"),
    column("content_embedding", Same("content_embedding"), "its vector, where one was brought"),
    column("embedding_space", Same("embedding_space"), "the model of the vector"),
    column("status", Same("status"), "`processing`, `ready`, `failed` or `removed`"),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const USERS: &[Column] = &[
    DAY_OF_EVENT,
    column("event_time", Time("event_time"), "since when the profile is so, UTC"),
    column("event_id", Same("event_id"), "identity within the stream"),
    REVISION,
    column("user_id", Same("user_id"), "the user"),
    column("country", Same("country"), "coarse place"),
    column("age_band", Same("age_band"), "such as `18-24`"),
    column("gender", Same("gender"), "as the profile says"),
    column("preferences", Same("preferences"), "hashtags that the user asked for; null where there are none"),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const FOLLOWS: &[Column] = &[
    DAY_OF_EVENT,
    EVENT_TIME,
    column("event_id", Same("event_id"), "identity within the stream"),
    REVISION,
    column("user_id", Same("user_id"), "who follows"),
    column("creator_id", Same("creator_id"), "whom"),
    column("action", Same("action"), "`follow` or `unfollow`"),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const DELETES: &[Column] = &[
    DAY_OF_EVENT,
    column("event_time", Time("event_time"), "what happened up to then is covered, UTC"),
    column("event_id", Same("event_id"), "identity within the stream"),
    REVISION,
    column("target", Same("target"), "`interaction`, `video` or `user`"),
    column("user_id", Same("user_id"), "whose interaction, or which user"),
    column("target_event_id", Same("target_event_id"), "which interaction"),
    column("video_id", Same("video_id"), "which video"),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const SERVED: &[Column] = &[
    DAY_OF_EVENT,
    EVENT_TIME,
    column("event_id", Same("event_id"), "identity within the stream"),
    REVISION,
    column("request_id", Same("request_id"), "interactions name it"),
    column("user_id", Same("user_id"), "to whom"),
    column("list_epoch", Count("list_epoch"), "the list's epoch; 0 where it was none of the user's own"),
    column(
        "items",
        Same("items"),
        "the page: `video_id`, `position` (from 0), `propensity` (in (0, 1]), `slot_policy`, `drawn`",
    ),
    column(
        "arms",
        Same("arms"),
        "the experiments whose parameters made the list, each as `EXPERIMENT/ARM`; null where none did",
    ),
    EPOCH,
    INPUT_PARTITION,
    INPUT_OFFSET,
];

const EPOCHS: &[Column] = &[
    column("day", Day, "day of `clock`, UTC; the files of other days are not opened"),
    column("epoch", Count("epoch"), "the epoch"),
    column("clock", Time("now"), "the pipeline's clock, UTC"),
    column("watermark", Time("watermark"), "the event time up to which the input was read, UTC"),
    column("live", Same("live"), "whether the clock was the wall clock, rather than the log's"),
    column("positions", Same("positions"), "where the input stood, of partitions that moved"),
    column("publication", Same("publication"), "number of what was published in it; null where nothing was"),
    column("skip_below", Same("skip_below"), "the published skip thresholds by duration class, in per mille"),
    column(
        "remake",
        Same("remake"),
        "parts of the store that were written again in it, as after a loss: `part` of the `parts` of `shard`; null where none were",
    ),
];

/// The columns of a table.
#[must_use]
pub fn columns(table: Table) -> &'static [Column] {
    match table {
        Table::Stream(EventKind::Interactions) => INTERACTIONS,
        Table::Stream(EventKind::Uploads) => UPLOADS,
        Table::Stream(EventKind::Users) => USERS,
        Table::Stream(EventKind::Follows) => FOLLOWS,
        Table::Stream(EventKind::Deletes) => DELETES,
        Table::Stream(EventKind::Served) => SERVED,
        Table::Epochs => EPOCHS,
    }
}

/// What a row of a table is.
#[must_use]
pub fn about(table: Table) -> &'static str {
    match table {
        Table::Stream(EventKind::Interactions) => {
            "Interactions as they were read, all revisions and duplicates included: `history.current_interactions` has those that count."
        }
        Table::Stream(EventKind::Uploads) => {
            "Uploads and changes to them as they were read: `history.current_videos` has the latest of each video."
        }
        Table::Stream(EventKind::Users) => "Profiles as they were read.",
        Table::Stream(EventKind::Follows) => "Follows and unfollows as they were read.",
        Table::Stream(EventKind::Deletes) => {
            "Requests to forget. What they cover is gone from the other tables once `freshet forget` ran."
        }
        Table::Stream(EventKind::Served) => {
            "Pages that the feed server handed out: `history.served_items` has a row a place."
        }
        Table::Epochs => "One row an epoch: its clock, and what was published in it.",
    }
}

/// The schema of a table.
#[must_use]
pub fn schema(table: Table) -> Schema {
    let files = table.schema();
    let fields = columns(table).iter().map(|column| column.form.field(column.name, &files));
    Schema::new(fields.collect::<Vec<_>>())
}

/// Which of a table's columns may be null.
pub fn nullable(table: Table) -> impl Iterator<Item = bool> {
    let schema = schema(table);
    columns(table).iter().enumerate().map(move |(place, column)| {
        schema.field(place).is_nullable() && !matches!(column.form, CountOrZero(_) | Flag(_))
    })
}

/// The file's column with the time that its folder is named by.
#[must_use]
pub fn time_column(table: Table) -> &'static str {
    match table {
        Table::Stream(_) => "event_time",
        Table::Epochs => "now",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::logical_expr::col;

    use super::*;

    #[test]
    fn every_column_of_a_file_is_shown_once() {
        for table in Table::ALL {
            let shown: Vec<&str> = columns(table).iter().map(|column| column.form.file()).collect();
            let once: BTreeSet<&str> = shown.iter().copied().collect();
            assert_eq!(shown.len(), once.len(), "{table:?}");
            let files = table.schema();
            let mut stored: BTreeSet<&str> =
                files.fields().iter().map(|field| field.name().as_str()).collect();
            stored.insert(DAY);
            assert_eq!(once, stored, "{table:?}");
            let names: BTreeSet<&str> = columns(table).iter().map(|column| column.name).collect();
            assert_eq!(names.len(), shown.len(), "{table:?}");
        }
    }

    #[test]
    fn names_need_no_quotes() {
        for column in Table::ALL.into_iter().flat_map(columns) {
            assert_eq!(col(column.name), ident(column.name), "{}", column.name);
        }
    }
}
