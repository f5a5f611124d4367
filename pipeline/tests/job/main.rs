//! Jobs and what they read, through the library. One program, as linking is what integration tests cost most.

mod batches;
mod corpus;
mod taken_over;
