//! Names of destinations and what they stand for: the words between resolver, core and control
//! plane. Owns no query and no answer.

use super::Transport;
use super::event::DnsResult;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The port of a name that has none, neither of its own nor by SRV (RFC 3261 §19.1.2).
pub const DEFAULT_PORT: u16 = 5060;

/// A name to look up (RFC 3263 §4 without NAPTR).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lookup {
    /// The name, in lower case.
    pub name: Arc<str>,
    /// Its port, which means A and AAAA records; `None` means SRV records, and only where there are
    /// none A and AAAA with port 5060.
    pub port: Option<u16>,
    /// The transport, which is in the name of the SRV records.
    pub transport: Transport,
}

/// One address that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Address and port.
    pub address: SocketAddr,
    /// Its place among the priorities of the SRV records, from 0; 0 without SRV records.
    pub rank: u32,
    /// The weight of its SRV record, 1 to 65,535; `None` without one.
    pub weight: Option<u32>,
}

/// The end of one look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What was looked up.
    pub lookup: Lookup,
    /// How it ended.
    pub result: DnsResult,
    /// What it stands for, best first; with a failure the last good answer, as far as no newer one
    /// was to be had. Empty if there has been none.
    pub found: Vec<Found>,
    /// How long it took.
    pub took: Duration,
}
