//! What the sockets and the resolver can be told.

use crate::facts::Transport;
use std::net::SocketAddr;
use std::time::Duration;

/// Sockets, streams and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen, by listener.
    pub listeners: Vec<Bind>,
    /// Largest message accepted, in bytes. Default and maximum 65,535.
    pub max_message: usize,
    /// Stream connections at most. Default 4,096.
    pub connections: usize,
    /// Stream connections from one source address at most. Default 64.
    pub connections_per_source: usize,
    /// Time for a whole message to arrive on a stream. Default 5 s.
    pub message_deadline: Duration,
    /// Time without traffic after which a stream is closed. Default 120 s.
    pub idle_timeout: Duration,
    /// Name resolution.
    pub dns: DnsSettings,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// How messages travel.
    pub transport: Transport,
    /// The address; port 0 lets the kernel choose.
    pub address: SocketAddr,
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// Shortest time an answer is kept. Default 5 s.
    pub min_ttl: Duration,
    /// Longest time an answer is kept. Default 300 s.
    pub max_ttl: Duration,
    /// Which addresses are asked for.
    pub family: Family,
    /// Addresses taken of one name, at most; at least 1. Default 16.
    pub max_endpoints: usize,
}

crate::words! {
    /// The address family of destination names.
    Family {
        /// IPv4 if there is an A record and an IPv4 listener, else IPv6.
        Auto => "auto",
        /// A only.
        Ipv4 => "ipv4",
        /// AAAA only.
        Ipv6 => "ipv6",
        /// All of both.
        Both => "both",
    }
}
