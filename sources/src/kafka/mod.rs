//! Kafka partitions as partitions of the input.
//!
//! **Read by assignment, never by subscription.** Where reading goes on is in the journal; a group that moves partitions about
//! would contradict it. Offsets are committed to a group only so that the usual tools can show the lag.
//!
//! **A partition is to an epoch what a part file is**: named `kafka:TOPIC/P` in the journal, numbered in the order in which
//! it was first seen, read from its beginning. The backlog of a first start is what lies before the high watermarks as they
//! were when the source was opened; it is cut by event time, and what comes later by the wall clock.
//!
//! **Which log it is, its records say.** The binding's checksum has two halves ([`mark`]): a chain over everything consumed, which
//! an exact replay must pass through again, and a hash of the last record alone, by which a start from a checkpoint knows that
//! what lies there is still the record that it consumed. A topic that was deleted and made again holds other records, or fewer.
//!
//! **Back-pressure** is librdkafka's own: each partition has a queue of its own that is bounded in bytes, and a partition whose
//! queue is full is not fetched until somebody takes from it. The main queue is served by a thread all the while, so that
//! errors and statistics come through however long the dataflow takes.

mod cluster;
mod config;
mod error;
mod mark;
mod reader;

pub use config::KafkaConfig;
pub use error::KafkaError;

pub(crate) use cluster::{Cluster, KafkaPartition, PREFIX};
pub(crate) use reader::{KafkaReader, Next};
