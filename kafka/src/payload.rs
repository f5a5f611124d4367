//! What a record's value and key are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use freshet_schema::event::Target;
use freshet_schema::{Event, EventKind, wire};

/// How a record's value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// A JSON object, as in `docs/events.md`.
    #[default]
    Json,
    /// The message of its kind in `schema/proto/events.proto`.
    Protobuf,
}

impl Payload {
    /// Encodes an event.
    ///
    /// # Errors
    /// Where the event holds a number without a JSON form.
    pub fn encode(self, event: &Event) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Json => serde_json::to_vec(event),
            Self::Protobuf => Ok(wire::encode(event)),
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        })
    }
}

/// A name that is no payload format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no payload format; use json or protobuf")]
pub struct UnknownPayload(
    /// The name as given.
    pub String,
);

impl FromStr for Payload {
    type Err = UnknownPayload;
    fn from_str(text: &str) -> Result<Self, UnknownPayload> {
        [Self::Json, Self::Protobuf]
            .into_iter()
            .find(|payload| payload.to_string() == text)
            .ok_or_else(|| UnknownPayload(text.to_owned()))
    }
}

/// How the values of each stream are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    otherwise: Payload,
    of: BTreeMap<EventKind, Payload>,
}

impl Payloads {
    /// One way for all streams but those that have their own.
    #[must_use]
    pub fn new(otherwise: Payload, of: impl IntoIterator<Item = (EventKind, Payload)>) -> Self {
        Self { otherwise, of: of.into_iter().collect() }
    }

    /// That of a stream.
    #[must_use]
    pub fn of(&self, kind: EventKind) -> Payload {
        self.of.get(&kind).copied().unwrap_or(self.otherwise)
    }
}

impl From<Payload> for Payloads {
    fn from(all: Payload) -> Self {
        Self::new(all, [])
    }
}

/// The key of an event's record, as decimal text: the user, and the video for what is about a video. So a user's events
/// are in one partition, in the order in which they were sent, and so are a video's.
#[must_use]
pub fn key(event: &Event) -> String {
    match event {
        Event::User(e) => e.user_id.0,
        Event::Upload(e) => e.video_id.0,
        Event::Follow(e) => e.user_id.0,
        Event::Interaction(e) => e.user_id.0,
        Event::Delete(e) => match e.target {
            Target::Interaction { user_id, .. } | Target::User { user_id } => user_id.0,
            Target::Video { video_id } => video_id.0,
        },
        Event::Served(e) => e.user_id.0,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::Follow;

    #[test]
    fn a_stream_may_have_a_way_of_its_own() {
        let payloads = Payloads::new(Payload::Json, [(EventKind::Uploads, Payload::Protobuf)]);
        let of = [EventKind::Uploads, EventKind::Users].map(|kind| payloads.of(kind));
        assert_eq!(of, [Payload::Protobuf, Payload::Json]);
        assert_eq!(Payloads::from(Payload::Protobuf).of(EventKind::Users), Payload::Protobuf);
    }

    #[test]
    fn names_and_values_go_round() {
        for payload in [Payload::Json, Payload::Protobuf] {
            assert_eq!(payload.to_string().parse(), Ok(payload));
        }
        assert!("avro".parse::<Payload>().unwrap_err().to_string().contains("`avro`"));
        let follow = Event::Follow(Follow { user_id: freshet_schema::UserId(7), ..Follow::default() });
        assert_eq!(key(&follow), "7");
        let json = Payload::Json.encode(&follow).unwrap();
        assert_eq!(serde_json::from_slice::<Follow>(&json).map(Event::Follow).unwrap(), follow);
        let bytes = Payload::Protobuf.encode(&follow).unwrap();
        assert_eq!(wire::decode(follow.kind(), &bytes), Ok(follow));
    }
}
