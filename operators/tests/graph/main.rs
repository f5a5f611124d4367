//! The whole graph against batch computations, at every epoch and with several workers.

mod harness;
mod oracle;
mod properties;
mod world;
