//! From files to epochs.
//!
//! [`log`] is the one layout of an event log and its formats, read and written; [`kafka`] reads topics instead; [`validate`]
//! judges records; [`epochs`] cuts the streams into epochs and [`journal`] makes the cuts durable; [`import`] and [`generate`] write logs.

pub mod epochs;
pub mod generate;
pub mod import;
pub mod journal;
pub mod kafka;
pub mod log;
pub mod validate;
