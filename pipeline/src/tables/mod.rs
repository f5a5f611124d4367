//! The graph's state as tables, for whoever asks in SQL.
//!
//! Tables are views of cuts. What a checkpoint takes, a query reads: [`freshet_operators::look`] has every worker take what is
//! wanted behind one epoch, and [`list`] turns its records into rows. So all tables of a query are of one epoch, a query of
//! some keys takes these keys alone, and there is no second copy of the state that could differ from it. The lists
//! (`feeds`) lie in the store and not in the graph: the store is pinned at the moment when it holds the look's epoch and
//! nothing later ([`snapshot`]).
//!
//! The engine that runs the queries is another process (`freshet-sql`), which asks over a Unix socket beside the store
//! ([`server`]) and gets Arrow batches, made as they are taken off: a slow reader holds its own connection and nothing else.
//! A stopped pipeline is read by a graph that begins with its newest checkpoint and is fed nothing ([`offline`]).

mod column;
mod history_rows;
mod list;
pub mod offline;
mod pairs;
mod server;
mod service;
mod snapshot;
mod stats;
mod stored;
mod suspects;
mod users;
mod videos;

#[cfg(test)]
mod tests;

pub use column::Column;
pub use list::{TABLES, Table, describe};
pub use server::{TableServer, serve};
pub use service::Report;
pub use snapshot::{Limits, Source};
