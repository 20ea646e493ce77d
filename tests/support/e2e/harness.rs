//! What the end-to-end tests share: the real binary, its peers (SIPp, Asterisk, Prometheus, an OTLP
//! collector) and ways to wait and to look.
//!
//! Every peer gets a loopback address of its own, so port numbers never clash; every child process
//! dies with its guard; a failing test prints the logs of its processes. Nothing here sleeps for a
//! fixed time: [`wait::until`] looks for a condition up to a deadline.

#![allow(dead_code, reason = "each test file uses its own part of the harness")]

pub mod address;
pub mod alertmanager;
pub mod answerer;
pub mod asterisk;
pub mod collector;
pub mod http;
pub mod inbox;
pub mod kamailio;
pub mod metrics;
pub mod namespace;
pub mod pbx;
pub mod phone;
pub mod process;
pub mod product;
pub mod prometheus;
pub mod signpost;
pub mod sipp;
pub mod sockets;
pub mod wait;
pub mod workspace;
