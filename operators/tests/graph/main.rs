//! The whole graph against batch computations, at every epoch and with several workers.

mod abuse;
mod any_bytes;
mod asks;
mod bandit;
mod cluster;
mod cohorts;
mod diversity;
mod experiments;
mod harness;
mod interrupted;
mod looks;
mod neighbours;
mod offers;
mod oracle;
mod properties;
mod related;
mod remake;
mod world;
