//! Threads and loops: workers with their sockets and cores, the control plane, reload, drain.
//!
//! The caller's runtime is the control plane (HTTP, names, reload, signals, export); each worker is
//! an OS thread with a runtime of its own. Everything that can fail to start fails before anything
//! is announced, and then nothing is left running.

mod command;
mod control;
mod drain;
mod names;
mod reload;
mod start;
mod state_file;
mod surroundings;
mod worker;

pub use reload::ConfigFile;
pub use start::{Running, StartError, start};

#[cfg(test)]
mod tests;
