//! The Parquet columns of each kind: the JSON fields under the same names.
//!
//! A null means what absence means in JSON (`like` false, `revision` 0, an optional field not given), so both formats
//! carry the same record. The items of a served page are a list of structs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use freshet_schema::EventKind;

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list(item: DataType) -> DataType {
    // Other writers put nulls into lists; a null in one is then a record's fault, not the file's.
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// The columns of a kind's Parquet files, in the order in which they are written.
#[must_use]
pub fn schema(kind: EventKind) -> SchemaRef {
    use DataType::{Boolean, Float32, Struct, UInt32, UInt64, Utf8};
    let mut fields =
        vec![required("event_id", UInt64), optional("revision", UInt32), required("event_time", UInt64)];
    fields.extend(match kind {
        EventKind::Users => vec![
            required("user_id", UInt64),
            optional("country", Utf8),
            optional("age_band", Utf8),
            optional("gender", Utf8),
            optional("preferences", list(Utf8)),
        ],
        EventKind::Uploads => vec![
            required("video_id", UInt64),
            required("creator_id", UInt64),
            required("created_at", UInt64),
            optional("duration_ms", UInt64),
            optional("caption", Utf8),
            optional("hashtags", list(Utf8)),
            optional("sound_id", UInt64),
            optional("category", Utf8),
            optional("content_embedding", list(Float32)),
            optional("embedding_space", Utf8),
            optional("status", Utf8),
        ],
        EventKind::Follows => {
            vec![required("user_id", UInt64), required("creator_id", UInt64), optional("action", Utf8)]
        }
        EventKind::Interactions => vec![
            required("user_id", UInt64),
            required("video_id", UInt64),
            optional("session_id", UInt64),
            optional("watch_ms", UInt64),
            optional("duration_ms", UInt64),
            optional("like", Boolean),
            optional("dislike", Boolean),
            optional("share", Boolean),
            optional("comment", Boolean),
            optional("follow", Boolean),
            optional("rewatch", Boolean),
            optional("skip", Boolean),
            optional("feed_position", UInt32),
            optional("request_id", UInt64),
            optional("device", Utf8),
            optional("os", Utf8),
            optional("country", Utf8),
            optional("network", Utf8),
        ],
        EventKind::Deletes => vec![
            required("target", Utf8),
            optional("user_id", UInt64),
            optional("target_event_id", UInt64),
            optional("video_id", UInt64),
        ],
        EventKind::Served => vec![
            required("request_id", UInt64),
            required("user_id", UInt64),
            required("list_epoch", UInt64),
            required(
                "items",
                list(Struct(Fields::from(vec![
                    required("video_id", UInt64),
                    required("position", UInt32),
                    required("propensity", Float32),
                    required("slot_policy", Utf8),
                    optional("drawn", UInt32),
                ]))),
            ),
            optional("arms", list(Utf8)),
        ],
    });
    Arc::new(Schema::new(fields))
}
