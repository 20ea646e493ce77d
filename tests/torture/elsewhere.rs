//! Nothing that a caller sends makes a core send to anybody but him and the destinations, whatever
//! Via, Route or Contact say; what a destination sends may go out to others, but never to a broadcast
//! or multicast address.
//!
//! Asked of the core itself, which decides where everything goes; on loopback the kernel would hide
//! much of it.

use super::seeds;
use super::sim::{self, CALLER, D1, D2, World};
use super::table::{self, Places, Way, find};
use sipwarden::facts::names::Names;
use sipwarden::facts::{Admin, Transport};
use sipwarden::proxy::Plan;
use std::net::IpAddr;
use std::sync::Arc;

/// A configuration, compiled once.
struct Compiled(Arc<Plan>, Names);

fn compiled() -> Compiled {
    let mut names = Names::default();
    Compiled(sim::plan(sim::TWO, &mut names), names)
}

/// Feeds a message to a core of its own as caller and as destination, with time to repeat and fail
/// over, and says where anything went that it must not.
fn strays(compiled: &Compiled, message: &[u8], way: Way) -> Vec<String> {
    let transport = if way == Way::Udp { Transport::Udp } else { Transport::Tcp };
    let mut strays = Vec::new();
    for from in [CALLER, D1] {
        let mut world = World::with_plan(Arc::clone(&compiled.0), compiled.1.clone());
        world.advance(1_500);
        world.receive_bytes(transport, from, message);
        world.advance(3_000);
        world.set_admin("d1", Admin::Disabled);
        world.receive_bytes(transport, from, message);
        world.advance(40_000);
        for sent in world.drain_all() {
            let (to, parties) =
                (sent.hop.remote.ip(), [CALLER, D1, D2].map(|party| sim::address(party).ip()));
            let is_outbound = from == D1 && !is_many(to);
            if !parties.contains(&to) && !is_outbound {
                strays.push(format!("to {}:\n{}", sent.hop.remote, sent.text));
            }
        }
    }
    strays
}

/// Whether an address is that of more than one host, or of none.
fn is_many(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    is_broadcast || address.is_multicast() || address.is_unspecified()
}

fn check(compiled: &Compiled, name: &str, message: &[u8], way: Way) {
    let strays = strays(compiled, message, way);
    assert!(strays.is_empty(), "{name} over {way:?} makes it send {}", strays.join("\n"));
}

#[test]
fn no_message_of_the_table_is_sent_elsewhere() {
    let places = Places {
        proxy: sim::address(sim::PROXY),
        destination: sim::address(D1),
        caller: sim::address(CALLER),
    };
    let compiled = compiled();
    for (file, text) in table::FILES {
        for case in table::read(file, text) {
            for way in [Way::Udp, Way::Tcp] {
                let message = case.message(places, way);
                check(&compiled, &case.name, &message, way);
                for many in ["255.255.255.255", "224.0.1.75", "0.0.0.0"] {
                    check(&compiled, &case.name, &replace(&message, b"192.0.2.99", many.as_bytes()), way);
                }
            }
        }
    }
}

#[test]
fn no_malformed_message_is_sent_elsewhere() {
    let seeds = seeds::folder("SIPWARDEN_SEEDS", "seeds", "malformed input");
    let rfc = seeds::folder("SIPWARDEN_RFC4475", "rfc4475", "the messages of RFC 4475");
    let folders = seeds.map(|folder| folder.join("protos-style")).into_iter().chain(rfc);
    let compiled = compiled();
    for folder in folders {
        for (name, message) in seeds::files(&folder) {
            for way in [Way::Udp, Way::Tcp] {
                // Written for another proxy: it names that one's address as its own.
                let message = replace(&message, b"127.0.0.20", b"10.0.0.1");
                check(&compiled, &name, &message, way);
            }
        }
    }
}

/// The message with every appearance of a text replaced.
fn replace(message: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
