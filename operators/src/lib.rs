//! The dataflow, one stage a file.
//!
//! [`graph`] shows how the stages hang together and [`runtime`] runs it on workers; timely and differential types do not
//! leave this crate. A stage is either a sum in a differential arrangement (the state *is* the difference, [`cut`]) or plain
//! code that is handed one closed epoch at a time ([`epoch`]).
//!
//! In the order of the flow: [`enrich`] (interaction x video as of now), [`users`] and [`history`] (counting, forgetting,
//! dirty users), [`windows`] and [`sums`] (statistics), [`publish`] (baselines, creator scores, skip thresholds), [`neighbours`]
//! (the vector index), [`shelf`] (pools and candidates), [`rank`], [`rerank`] and [`lists`] (records), [`pools`] and [`groups`] (what strangers get), [`related`] and
//! [`related_records`] (what goes with a video), [`cohorts`] (how new videos find their users), [`experiments`] (whose lists
//! are made otherwise, and what comes of it), [`abuse`] (who is no person, and what no longer counts because of it).
//! [`checkpoint`] says how all of it
//! is kept and begun again, [`look`] how it is read, [`cluster`] how it runs in several processes.

pub mod abuse;
pub mod account;
mod ahead;
pub mod bandit;
pub mod boundary;
pub mod checkpoint;
pub mod cluster;
pub mod coengage;
pub mod cohorts;
pub mod content;
pub mod cut;
pub mod enrich;
pub mod epoch;
pub mod examples;
pub mod experiments;
pub mod graph;
pub mod groups;
pub mod history;
pub mod interest;
mod intern;
pub mod light;
pub mod lists;
pub mod look;
pub mod neighbours;
pub mod order;
pub mod params;
pub mod pools;
pub mod popularity;
pub mod probe;
pub mod profile;
pub mod publish;
pub mod rank;
pub mod related;
pub mod related_records;
pub mod request;
pub mod rerank;
pub mod row;
pub mod runtime;
pub mod score;
pub mod scorer;
pub mod sessions;
pub mod shelf;
pub mod spread;
pub mod sums;
pub mod topics;
pub mod totals;
pub mod users;
pub mod windows;
pub mod wire;
pub mod yields;
