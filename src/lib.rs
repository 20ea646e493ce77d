//! sipwarden: a SIP dispatcher for Asterisk and FreeSWITCH, built for observability.
//!
//! The crate is laid out in layers; a module imports its own children and lower layers only
//! (`tests/layering.rs` checks it). `docs/ARCHITECTURE.md` walks a call, a probe, a reload and a
//! scrape through them.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | L6 | [`cli`], [`runtime`] | commands, threads, the worker loop, reload |
//! | L5 | [`config`] | YAML and environment into settings |
//! | L4 | [`net`], [`telemetry`], [`admin`] | sockets, names, metrics, spans, logs, HTTP |
//! | L3 | [`proxy`] | the core: joins transactions, dispatch and probes into a SIP proxy |
//! | L2 | [`dispatch`], [`probe`], [`transaction`] | selection and state, probing, RFC 3261 §17 |
//! | L1 | [`sip`] | the wire: index, edit, build, frame |
//! | L0 | [`facts`] | ids, names, events, snapshots: the words of the domain |
//!
//! Nothing below L4 reads a clock, a socket, the environment or a random source of its own:
//! time and randomness are arguments, so every timer and race can be replayed.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod facts;
pub mod net;
pub mod probe;
pub mod proxy;
pub mod runtime;
pub mod sip;
pub mod telemetry;
pub mod transaction;
