//! The whole graph against batch computations, at every epoch and with several workers.

mod asks;
mod cohorts;
mod harness;
mod interrupted;
mod neighbours;
mod oracle;
mod properties;
mod related;
mod remake;
mod world;
