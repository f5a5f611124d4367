//! Real processes: a pipeline, `freshet-sql` beside it, and Postgres clients.

mod agree;
mod bucket;
mod docs;
mod harness;
mod offline;
mod past;
mod refused;
mod suspects;
mod wire;
