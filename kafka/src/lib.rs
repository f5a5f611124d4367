//! What both ends need of Kafka: how to connect ([`Connection`]), what the client says while it runs ([`Ears`]), what a
//! record looks like ([`Payload`], [`key`]), which topic carries which stream ([`Topics`]), and a way to write
//! ([`Publisher`]).
//!
//! The source stands in `sources` and the outputs in `sinks`, and neither may use the other: what they share is here, so that
//! both read the same options and what one writes the other can read.

mod admin;
mod connection;
mod ears;
mod payload;
mod publish;
mod topics;

pub use admin::{AdminError, create_topics};
pub use connection::{ConnectError, Connection, is_secret};
pub use ears::Ears;
pub use payload::{Payload, Payloads, UnknownPayload, key};
pub use publish::{Deliveries, DeliveryError, Publisher, SendError, Ticket};
pub use topics::{Topics, topic_fault};

/// The client library's own types, for who consumes.
pub use rdkafka;
