//! The control socket: how commands read a store that a running service holds.
//!
//! The embedded store belongs to one process. So the service listens on a Unix socket in its store's folder, and the
//! reading commands ask it. One request is one JSON line, and so is its answer:
//!
//! ```text
//! {"get":"feed:7"}    -> {"ok":{"user_id":"7",...}}       null where there is no such key
//! "marker"            -> {"ok":42}
//! "stats"             -> {"ok":{...}}
//! "count"             -> {"ok":{"feed":10,...}}
//! "heads"             -> {"ok":[0,412,413]}          the versions of the weights that are kept
//! "resync"            -> {"ok":null}                 all of the store will be written again; "stats" tells how much is left
//! "dump"              -> {"ok":{"rows":3,"epoch":42,"bytes":120}}, then that many bytes of JSON lines
//! "suspects"          -> {"ok":{"epoch":42,...}}     who and what is suspected of abuse
//! "checkpoint"        -> {"ok":{"epoch":42,...}}     when one is made that holds all up to now
//! {"forget":{"target":"user","user_id":"7"}} -> {"ok":{...}}   when the user is forgotten: what was taken out where
//! anything else       -> {"error":"..."}
//! ```
//!
//! Only the owner of the process can connect. A file that is left over from a crash answers nobody; whoever finds it
//! takes it away or goes around it.

mod client;
mod path;
mod server;

use freshet_schema::event::Target;
use serde::{Deserialize, Serialize};

pub use client::Client;
pub use path::socket_path;
pub use server::{ControlServer, Order, Stats, Task, serve};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Get(String),
    Marker,
    Stats,
    Count,
    Heads,
    Dump,
    Resync,
    Checkpoint,
    Forget(Target),
    Suspects,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(serde_json::Value),
    Error(String),
}

/// What a dump held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpHead {
    /// Entries.
    pub rows: u64,
    /// The epoch that all of them reflect; none in an empty store.
    pub epoch: Option<u64>,
    /// Bytes of JSON lines.
    pub bytes: u64,
}

/// A request longer than this is none.
const MAX_REQUEST: u64 = 64 << 10;

#[cfg(test)]
mod tests;
