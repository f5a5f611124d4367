//! Jobs and what they read, through the library. One program, as linking is what integration tests cost most.

mod taken_over;
