//! The feed server: HTTP over a store.
//!
//! It computes nothing: lists are ranked when something happens, not when somebody asks, so a read is a lookup and a cut.
//! It knows the pipeline only through the store, the event log and a clock, and can be replaced by any program that reads
//! `docs/store.md`. What it adds is what a store cannot: pages without repeats ([`scroll`]), a log of what was handed out,
//! reasons in words, and a way for events to come in.
//!
//! Store reads run on the thread that answers: they are memory lookups for what is hot and one disk read for what is not,
//! both shorter than a hand-over to a pool of blocking threads would be worth.

pub mod account;
pub mod cohorts;
pub mod cursor;
mod events;
pub mod experiments;
mod feed;
mod negotiate;
mod off_thread;
mod operations;
mod problem;
mod related;
mod routes;
pub mod scroll;
mod serve;
mod state;
mod telemetry;
mod trending;
mod video;
mod view;
mod why;
pub mod words;

pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem};
pub use routes::{ROUTES, router};
pub use serve::serve;
pub use state::{Clock, Options, Readiness, ServerState, SystemClock, Validate};
pub use telemetry::describe as describe_metrics;
