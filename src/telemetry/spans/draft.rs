//! One finished span in the making, and where span ids come from.
//!
//! Turns domain terms into what goes over the wire; knows no transaction and no probe.

use crate::facts::Transport;
use crate::facts::clock::Clock;
use crate::facts::directory::DirectoryListener;
use crate::facts::trace::{SpanRef, mix};
use crate::telemetry::otlp::wire::{Head, Span, Value};
use opentelemetry::trace::{SpanId, SpanKind, TraceId};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Span ids: a sequence of unpredictable start that never repeats within 2^64.
#[derive(Debug)]
pub struct SpanIds(u64);

impl SpanIds {
    /// Starts at a random seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next id, never the invalid 0.
    pub fn next(&mut self) -> SpanId {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SpanId::from(mix(self.0).max(1))
    }
}

/// The id of a span in the exporter's words.
pub fn id_of(span: SpanRef) -> SpanId {
    SpanId::from(span.span())
}

/// The parent of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// None: it is a root.
    None,
    /// A span of ours.
    Ours(SpanId),
    /// A span of somebody else.
    Remote(SpanId),
}

/// A finished span with its attributes still to be added.
#[derive(Debug)]
pub struct Draft<'b> {
    span: Span<'b>,
    clock: Clock,
}

impl<'b> Draft<'b> {
    /// A span of this trace, with its name in two pieces, start and end.
    pub fn new(
        bytes: &'b mut Vec<u8>,
        clock: Clock,
        (trace, id): (u128, SpanId),
        parent: Parent,
        name: [&str; 2],
        kind: SpanKind,
        [start, end]: [Instant; 2],
    ) -> Self {
        let (start, end) = (clock.unix_nanos(start), clock.unix_nanos(end));
        let (parent, is_remote) = match parent {
            Parent::None => (SpanId::INVALID, false),
            Parent::Ours(id) => (id, false),
            Parent::Remote(id) => (id, true),
        };
        let head = Head { trace: TraceId::from(trace), id, parent, is_remote, name, kind, start, end };
        Self { span: Span::begin(bytes, &head), clock }
    }

    /// Sets an attribute.
    #[inline(always)]
    pub fn set<'v>(&mut self, key: &'static str, value: impl Into<Value<'v>>) {
        self.span.set(key, value);
    }

    /// Sets the attributes that every SIP span has.
    pub fn set_network(&mut self, transport: Transport) {
        self.set("network.protocol.name", "sip");
        self.set("network.protocol.version", "2.0");
        self.set("network.transport", transport.as_str());
    }

    /// Sets the attributes of a request that a client sent to a listener of ours.
    pub fn set_client(&mut self, at: Option<&DirectoryListener>, transport: Transport, client: SocketAddr) {
        let (address, port) = self.set_ends(at, transport, client);
        self.set("client.address", address.value());
        self.set("client.port", port);
        if let Some(listener) = at {
            let us = listener.known_as(client.ip());
            self.set("server.address", &*us.host);
            self.set("server.port", i64::from(us.port));
        }
    }

    /// Sets the attributes of a request that we sent to a server from a listener of ours.
    pub fn set_server(&mut self, from: Option<&DirectoryListener>, transport: Transport, server: SocketAddr) {
        let (address, port) = self.set_ends(from, transport, server);
        self.set("server.address", address.value());
        self.set("server.port", port);
    }

    /// Sets the two ends of the way; the port of a stream of ours may be any.
    fn set_ends(
        &mut self,
        listener: Option<&DirectoryListener>,
        transport: Transport,
        peer: SocketAddr,
    ) -> (AddressText, i64) {
        if let Some(listener) = listener {
            self.set("network.local.address", listener.address_towards(peer.ip()));
            if transport == Transport::Udp {
                self.set("network.local.port", i64::from(listener.port));
            }
        }
        let (address, port) = (AddressText::of(peer.ip()), i64::from(peer.port()));
        self.set("network.peer.address", address.value());
        self.set("network.peer.port", port);
        (address, port)
    }

    /// Adds an event.
    pub fn event(&mut self, name: &'static str, at: Instant, attributes: &[(&'static str, Value<'_>)]) {
        self.span.event(name, self.clock.unix_nanos(at), attributes);
    }

    /// Links to another span.
    pub fn link(&mut self, to: SpanRef) {
        self.span.link(TraceId::from(to.trace()), id_of(to));
    }

    /// Marks it as failed, with the low-cardinality word for why.
    pub fn fail(&mut self, error_type: &str) {
        self.span.fail();
        self.set("error.type", error_type);
    }

    /// Ends the writing.
    pub fn finish(self) {
        self.span.end();
    }
}

/// An address in words, without memory of its own.
#[derive(Debug)]
pub struct AddressText {
    /// As long as IPv6 can be, `INET6_ADDRSTRLEN` without its end.
    bytes: [u8; 45],
    length: usize,
}

impl AddressText {
    /// Writes it.
    pub fn of(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; 45], length: 0 };
        match address {
            IpAddr::V4(address) => {
                for (position, octet) in address.octets().into_iter().enumerate() {
                    text.push(if position > 0 { "." } else { "" });
                    text.push(itoa::Buffer::new().format(octet));
                }
            }
            IpAddr::V6(address) => {
                // Cannot fail: it has the room.
                let _ = write!(text, "{address}");
            }
        }
        text
    }

    /// The text as a value.
    pub fn value(&self) -> Value<'_> {
        Value::Text(self.bytes.get(..self.length).unwrap_or_default())
    }

    fn push(&mut self, text: &str) {
        let end = self.length + text.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(text.as_bytes());
            self.length = end;
        }
    }
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_address_as_the_standard_library_does() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "255.255.255.255",
            "10.1.20.103",
            "::",
            "2001:db8::7",
            "::ffff:192.0.2.128",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let written = AddressText::of(address);
            let Value::Text(written) = written.value() else { panic!("{text}") };
            assert_eq!(written, address.to_string().as_bytes());
        }
    }
}
