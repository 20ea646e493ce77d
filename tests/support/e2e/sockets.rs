//! Which sockets are bound on this machine, from `/proc/net`.

use std::net::{IpAddr, SocketAddr};

/// How a socket listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A datagram socket.
    Udp,
    /// A listening stream socket.
    Tcp,
}

/// Whether somebody is bound to exactly this address.
pub fn is_bound(kind: Kind, address: SocketAddr) -> bool {
    let words = |octets: &[u8]| -> String {
        let words = octets.chunks(4).filter_map(|word| word.try_into().ok().map(u32::from_ne_bytes));
        words.map(|word| format!("{word:08X}")).collect()
    };
    let (host, family) = match address.ip() {
        IpAddr::V4(ip) => (words(&ip.octets()), ""),
        IpAddr::V6(ip) => (words(&ip.octets()), "6"),
    };
    let wanted = format!("{host}:{:04X}", address.port());
    let (table, listening) = match kind {
        Kind::Udp => (format!("/proc/net/udp{family}"), None),
        Kind::Tcp => (format!("/proc/net/tcp{family}"), Some("0A")),
    };
    let table = std::fs::read_to_string(table).expect("/proc/net is there");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next();
        let state = fields.nth(1);
        local == Some(wanted.as_str()) && (listening.is_none() || state == listening)
    })
}
