//! Flows: the way that a phone's messages come, which may be the only one to it through a NAT (RFC 5626).
//!
//! A flow travels as the user part of a URI of ours, in Path (RFC 3327) and in Record-Route (RFC 5626
//! §5.3): `flow-` *transport (1 hex) listener (2) address (8 or 32) port (4) connection (16, TCP only)
//! MAC (16)*. Nothing is remembered of it; the MAC says that it is ours.

use crate::facts::hex::{read_hex, write_hex};
use crate::facts::secret::Secret;
use crate::facts::{ConnectionChoice, ConnectionId, Hop, ListenerId, Transport};
use crate::sip::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How the user part of such a URI begins.
const PREFIX: &[u8] = b"flow-";
/// Digits of the MAC.
const MAC: u32 = 16;

/// Writes and reads flows.
#[derive(Debug)]
pub struct Flows {
    secret: Secret,
}

/// Whose flow is named in what we add to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowOf {
    /// That of its sender: in the Path of a REGISTER, and in the Record-Route of a caller who asks
    /// for it (`ob`, RFC 5626 §4.3).
    Sender,
    /// The one that it goes down.
    Receiver,
}

/// A flow that is none of ours: made up, or by another secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

impl Flows {
    /// Flows that depend on the secret alone.
    pub fn new(secret: &Secret) -> Self {
        Self { secret: secret.derive("flows") }
    }

    /// Appends the flow of a peer.
    pub fn write(&self, hop: Hop, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(PREFIX);
        write_hex(u64::from(hop.transport == Transport::Tcp), 1, out);
        write_hex(u64::try_from(hop.listener.index()).unwrap_or(u64::MAX), 2, out);
        match hop.remote.ip() {
            IpAddr::V4(v4) => write_hex(u64::from(v4.to_bits()), 8, out),
            IpAddr::V6(v6) => v6.segments().iter().for_each(|part| write_hex(u64::from(*part), 4, out)),
        }
        write_hex(u64::from(hop.remote.port()), 4, out);
        if let Some(choice) = hop.connection {
            write_hex(choice.id().0, 16, out);
        }
        let mac = self.mac(out.get(begin..).unwrap_or_default());
        write_hex(mac, MAC, out);
    }

    /// The flow in a URI that names us; `None` if it holds none.
    pub fn read(&self, uri: &Uri<'_>) -> Option<Result<Hop, Forged>> {
        let token = uri.user.filter(|user| user.starts_with(PREFIX))?;
        let (content, mac) = token.split_at(token.len().saturating_sub(MAC as usize));
        let is_ours = read_hex(mac) == Some(self.mac(content));
        Some(content.get(PREFIX.len()..).filter(|_| is_ours).and_then(hop).ok_or(Forged))
    }

    fn mac(&self, content: &[u8]) -> u64 {
        u64::try_from(self.secret.mac(&[content]) >> 64).unwrap_or(0)
    }
}

/// Whether a message came down a flow.
pub fn is_from(flow: Hop, message: Hop) -> bool {
    let id = |hop: Hop| hop.connection.map(ConnectionChoice::id);
    (flow.transport, flow.remote, id(flow)) == (message.transport, message.remote, id(message))
}

fn hop(content: &[u8]) -> Option<Hop> {
    let mut digits = Digits { rest: content };
    let transport = match digits.take(1)? {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        _ => return None,
    };
    let listener = ListenerId::new(u8::try_from(digits.take(2)?).ok()?);
    // Behind the address are the port and, over TCP, the connection.
    let behind = if transport == Transport::Tcp { 20 } else { 4 };
    let ip: IpAddr = if digits.rest.len() == 8 + behind {
        Ipv4Addr::from_bits(u32::try_from(digits.take(8)?).ok()?).into()
    } else {
        let mut segments = [0; 8];
        for segment in &mut segments {
            *segment = u16::try_from(digits.take(4)?).ok()?;
        }
        Ipv6Addr::from(segments).into()
    };
    let remote = SocketAddr::new(ip, u16::try_from(digits.take(4)?).ok()?);
    let connection = match transport {
        Transport::Udp => None,
        Transport::Tcp => Some(ConnectionChoice::Only(ConnectionId(digits.take(16)?))),
    };
    digits.rest.is_empty().then_some(Hop { transport, listener, remote, connection })
}

struct Digits<'a> {
    rest: &'a [u8],
}

impl Digits<'_> {
    fn take(&mut self, count: usize) -> Option<u64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        read_hex(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops() -> Vec<Hop> {
        let mut hops = Vec::new();
        for remote in ["192.0.2.7:40001", "[2001:db8::7]:5060", "255.255.255.255:65535"] {
            let remote = remote.parse().unwrap();
            let udp =
                Hop { transport: Transport::Udp, listener: ListenerId::new(3), remote, connection: None };
            let connection = Some(ConnectionChoice::Only(ConnectionId(u64::MAX - 1)));
            hops.extend([udp, Hop { transport: Transport::Tcp, connection, ..udp }]);
        }
        hops
    }

    fn uri(user: &[u8]) -> Vec<u8> {
        [b"sip:", user, b"@10.0.0.1:5060;lr"].concat()
    }

    #[test]
    fn a_flow_is_read_as_it_was_written() {
        let flows = Flows::new(&Secret::new([7; 16]));
        for hop in hops() {
            let mut token = Vec::new();
            flows.write(hop, &mut token);
            let uri = uri(&token);
            assert_eq!(flows.read(&Uri::parse(&uri).unwrap()), Some(Ok(hop)));
            let came = Hop {
                connection: hop.connection.map(|choice| ConnectionChoice::Preferred(choice.id())),
                ..hop
            };
            assert!(is_from(hop, came));
            assert!(!is_from(hop, Hop { remote: "192.0.2.8:1".parse().unwrap(), ..came }));
        }
    }

    #[test]
    fn a_changed_flow_and_one_of_another_secret_are_forged() {
        let flows = Flows::new(&Secret::new([7; 16]));
        let read = |flows: &Flows, token: &[u8]| flows.read(&Uri::parse(&uri(token)).unwrap());
        for hop in hops() {
            let mut token = Vec::new();
            flows.write(hop, &mut token);
            assert_eq!(read(&Flows::new(&Secret::new([8; 16])), &token), Some(Err(Forged)));
            for position in PREFIX.len()..token.len() {
                let mut changed = token.clone();
                changed[position] = if changed[position] == b'0' { b'1' } else { b'0' };
                assert_eq!(read(&flows, &changed), Some(Err(Forged)), "{position}");
                assert_eq!(read(&flows, &token[..position]), Some(Err(Forged)), "{position}");
            }
        }
        assert_eq!(read(&flows, b"alice"), None);
        assert_eq!(read(&flows, b"flow-"), Some(Err(Forged)));
    }
}
