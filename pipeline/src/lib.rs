//! The `freshet` binary's insides: configuration, the service around the dataflow, and the commands.
//!
//! [`service`] is what `freshet run` does: it opens the store, starts the control socket, the feed server and the job
//! ([`job`]), and ends them in the right order. The reading commands ([`commands`]) see a store through [`view`], which
//! goes through the control socket of a running service or opens the store itself. [`eval`] measures the lists on a log,
//! with the graph and without a store.

pub mod checkpoint;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod control;
pub mod dead_letters;
pub mod eval;
mod fence;
pub mod forget;
mod input;
mod interrupt;
pub mod job;
mod keeper;
mod meters;
mod metrics_text;
mod open_store;
mod produce;
pub mod progress;
mod progress_display;
pub mod remake;
pub mod replay;
pub mod serve;
pub mod service;
pub mod store_gate;
pub mod supervisor;
pub mod suspects;
mod table;
pub mod tables;
mod telemetry;
mod top;
mod train;
pub mod verify;
pub mod view;
