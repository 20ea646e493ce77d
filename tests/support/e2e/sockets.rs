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

/// Whether somebody is bound to exactly this IPv4 address.
pub fn is_bound(kind: Kind, address: SocketAddr) -> bool {
    let IpAddr::V4(ip) = address.ip() else { panic!("only IPv4 addresses are looked up") };
    let wanted = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port());
    let (table, listening) = match kind {
        Kind::Udp => ("/proc/net/udp", None),
        Kind::Tcp => ("/proc/net/tcp", Some("0A")),
    };
    let table = std::fs::read_to_string(table).expect("/proc/net is there");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next();
        let state = fields.nth(1);
        local == Some(wanted.as_str()) && (listening.is_none() || state == listening)
    })
}
