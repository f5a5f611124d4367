//! The dataflow, one stage a file.

pub mod params;
