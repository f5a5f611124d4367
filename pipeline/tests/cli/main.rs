//! The `freshet` command as people use it: its own process, its own folders, its exit code and its words.

mod archive;
mod check;
mod checkpoint;
mod data;
mod help;
mod run;
mod support;
