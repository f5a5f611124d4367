//! What could not be processed, with everything needed to find out why and to try again.

use serde::{Deserialize, Serialize};

/// Where a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The bytes are no record: broken compression, UTF-8, JSON or types.
    Decode,
    /// A well-formed record that breaks a rule of its kind.
    Validate,
    /// Its time lies outside of what the clock admits.
    Clock,
}

impl Stage {
    /// The name used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Validate => "validate",
            Self::Clock => "clock",
        }
    }
}

/// Why a record failed: a label for counting. The detail is in [`DeadLetter::detail`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or cut off.
    NotJson,
    /// Not the Protobuf message of its kind.
    NotProtobuf,
    /// A Kafka record without a value (a tombstone).
    NoValue,
    /// Well formed, but a field is missing.
    MissingField,
    /// Well formed, but a field has the wrong type or range.
    WrongType,
    /// Longer than a record may be.
    TooLong,
    /// A field holds a value that its kind forbids.
    InvalidValue,
    /// Earlier than `min_event_time`.
    TooOld,
    /// Later than `max_event_time`, or further ahead of the clock than `max_future_skew`.
    TooFarAhead,
    /// A compressed or columnar file broke off here; the rest of it cannot be read.
    BrokenFile,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::NotUtf8,
        Self::NotJson,
        Self::NotProtobuf,
        Self::NoValue,
        Self::MissingField,
        Self::WrongType,
        Self::TooLong,
        Self::InvalidValue,
        Self::TooOld,
        Self::TooFarAhead,
        Self::BrokenFile,
    ];

    /// The label used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotProtobuf => "not_protobuf",
            Self::NoValue => "no_value",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::InvalidValue => "invalid_value",
            Self::TooOld => "too_old",
            Self::TooFarAhead => "too_far_ahead",
            Self::BrokenFile => "broken_file",
        }
    }
}

/// A record that was set aside. Written as one JSON line; `raw` holds the bytes, as text where they are UTF-8 and in
/// base64 (with `raw_base64` set) where they are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The file or topic partition.
    pub file: String,
    /// Byte offset in plain JSON lines, record number elsewhere.
    pub offset: u64,
    /// Where it failed.
    pub stage: Stage,
    /// Why, as a label.
    pub reason: Reason,
    /// Why, in words that name the field and the value.
    pub detail: String,
    /// The record's bytes.
    pub raw: String,
    /// Whether `raw` is base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw_base64: bool,
}
