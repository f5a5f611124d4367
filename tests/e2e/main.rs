//! Freshet from outside: the real binary, its own processes and folders, real signals, real HTTP. What a stage computes is
//! tested beside the stage; here it is the promises of the whole that are held to account.

mod abuse;
#[path = "../../feed-server/tests/support/adds_up.rs"]
mod adds_up;
mod archive;
#[path = "../../sinks/tests/support/authority.rs"]
mod authority;
mod broker;
mod cluster;
mod commands;
mod crash;
mod eval;
mod experiments;
mod explain;
mod forget;
mod forgotten;
mod harness;
mod kafka;
mod kafka_faults;
mod kafka_tls;
mod lists_reader;
mod live;
mod malformed;
mod metamorphic;
mod operations;
mod past;
mod redis;
#[path = "../../sinks/tests/support/redis_server.rs"]
mod redis_server;
mod restart;
mod s3;
mod s3_archive;
mod s3_server;
mod service;
mod shortvideo;
mod soak;
mod topics;
mod world;
