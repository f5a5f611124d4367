//! SQL over the pipeline's live state and its archive, in a process of its own.
//!
//! The query engine (DataFusion) takes longer to build than all the rest, and a heavy query takes memory and processor time that
//! the pipeline needs; so neither the binary `freshet` nor its process has it. This process knows nothing of the state: which
//! tables there are, and all rows, it gets over a Unix socket ([`freshet_schema::tables`]), from a running service or, for
//! a stopped one, from a child that reads the newest checkpoint ([`offline`]).
//!
//! All scans of a query read one snapshot ([`query`]): the planner gathers what the query's scans want, and the first of them that
//! is run asks for all of it at once. Conditions on a table's key go along and are looked up there ([`table`]).
//! What happened is read from the archive's files ([`history`]). Nothing can be written ([`read_only`]).

pub mod any;
pub mod deadline;
pub mod epoch;
pub mod history;
pub mod offline;
pub mod output;
pub mod postgres;
pub mod query;
pub mod read_only;
pub mod repl;
pub mod service;
pub mod session;
pub mod table;
pub mod wire;
