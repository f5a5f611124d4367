//! Newtypes for the numbers that must not mix. All identifiers are unsigned 64-bit.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                decimal::deserialize(d).map(Self)
            }
        }
    };
}

newtype!(
    /// A person who watches.
    UserId
);
newtype!(
    /// An uploaded video.
    VideoId
);
newtype!(
    /// The account that uploaded a video.
    CreatorId
);
newtype!(
    /// The sound a video is set to.
    SoundId
);
newtype!(
    /// A record of any stream. An interaction is known by its user and this number.
    EventId
);
newtype!(
    /// One sitting of a user.
    SessionId
);
newtype!(
    /// Milliseconds since 1970-01-01 UTC.
    Millis
);
newtype!(
    /// The dataflow's logical time: the number of a closed batch of input, from 1.
    Epoch
);

newtype!(
    /// Which start of a job writes, from 1. Each start takes the next one; what an older one still writes is refused.
    Generation
);

impl Millis {
    /// `self + ms`, at most the end of time.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How long ago `earlier` was, 0 where it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Unsigned 64-bit numbers in JSON. A JavaScript number holds 53 bits, so text formats that a browser reads write
/// decimal strings (as the JSON mapping of Protobuf does); both forms are read everywhere.
pub mod decimal {
    use std::fmt;

    use serde::de::{self, Deserializer, Visitor};
    use serde::ser::Serializer;

    /// Writes a decimal string to human-readable formats, a number to others.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(n: &u64, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(n) } else { s.serialize_u64(*n) }
    }

    /// Reads a number or, in human-readable formats, a decimal string.
    ///
    /// # Errors
    /// Anything else: negative, fractional, beyond 64 bits, not a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        struct Decimal;
        impl Visitor<'_> for Decimal {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an unsigned 64-bit integer, as a number or a decimal string")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<u64, E> {
                Ok(n)
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<u64, E> {
                u64::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        if d.is_human_readable() { d.deserialize_any(Decimal) } else { d.deserialize_u64(Decimal) }
    }
}
