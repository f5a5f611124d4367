//! The vocabulary of Freshet: what comes in ([`event`]), what goes out ([`feed`]), the identifiers and the exact
//! numbers in between. Every other crate may use this one; it uses none of ours.

pub mod dead_letter;
pub mod event;
pub mod fixed;
pub mod hash;
pub mod ids;
pub mod signals;
pub mod sockets;
mod source;
pub mod store;
pub mod tables;
pub mod wire;

/// The store's values, generated from `proto/feed.proto`.
pub mod feed {
    #![allow(missing_docs, reason = "generated; the .proto carries the documentation")]
    include!(concat!(env!("OUT_DIR"), "/freshet.v1.rs"));
}

pub use event::{Delete, Event, EventKind, Follow, Interaction, Served, Upload, User};
pub use ids::{CreatorId, Epoch, EventId, Generation, Millis, SessionId, SoundId, UserId, VideoId};
