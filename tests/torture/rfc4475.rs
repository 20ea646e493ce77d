//! The verdicts on the messages of RFC 4475 themselves, which are not part of the project.
//!
//! Their 49 files (`wsinv.dat` and so on, byte for byte those of the RFC's archive) are taken from
//! the directory that SIPWARDEN_RFC4475 names. Without it a loud line says so; the project's own
//! table has a message for each of the sections.

use super::rig::{Rig, Way, fits};
use super::{compare, seeds};
use std::collections::HashSet;

/// File, section, verdict over UDP, verdict over TCP.
const VERDICTS: [(&str, &str, &str, &str); 49] = [
    // To has a tag and Route names somebody else: refused, as everything off our net.
    ("wsinv", "3.1.1.1", "404", "404"),
    ("intmeth", "3.1.1.2", "forward", "forward"),
    ("esc01", "3.1.1.3", "forward", "forward"),
    ("escnull", "3.1.1.4", "forward", "forward"),
    ("esc02", "3.1.1.5", "forward", "forward"),
    ("lwsdisp", "3.1.1.6", "forward", "forward"),
    ("longreq", "3.1.1.7", "forward", "forward"),
    // Behind the second one come bytes that begin no message.
    ("dblreq", "3.1.1.8", "forward", "forward forward close"),
    ("semiuri", "3.1.1.9", "forward", "forward"),
    ("transports", "3.1.1.10", "forward", "forward"),
    // Route names 127.0.0.1:5080: refused, unless that is the destination; see below.
    ("mpart01", "3.1.1.11", "403", "403"),
    ("unreason", "3.1.1.12", "drop", "drop"),
    ("noreason", "3.1.1.13", "drop", "drop"),
    ("badinv01", "3.1.2.1", "drop", "drop"),
    ("clerr", "3.1.2.2", "400", "close"),
    ("ncl", "3.1.2.3", "400", "400 close"),
    ("scalar02", "3.1.2.4", "400", "400"),
    ("scalarlg", "3.1.2.5", "drop", "drop"),
    ("quotbal", "3.1.2.6", "400", "400"),
    ("ltgtruri", "3.1.2.7", "400", "400"),
    ("lwsruri", "3.1.2.8", "400", "400"),
    ("lwsstart", "3.1.2.9", "400", "400"),
    ("trws", "3.1.2.10", "400", "400"),
    ("escruri", "3.1.2.11", "400", "400"),
    ("baddate", "3.1.2.12", "forward", "forward"),
    ("regbadct", "3.1.2.13", "forward", "forward"),
    ("badaspec", "3.1.2.14", "forward / 400", "forward / 400"),
    ("baddn", "3.1.2.15", "forward / 400", "forward / 400"),
    ("badvers", "3.1.2.16", "505", "505"),
    ("mismatch01", "3.1.2.17", "400", "400"),
    ("mismatch02", "3.1.2.18", "400", "400"),
    ("bigcode", "3.1.2.19", "drop", "drop / close"),
    ("badbranch", "3.2.1", "forward", "forward"),
    ("insuf", "3.3.1", "drop", "drop"),
    ("unkscm", "3.3.2", "416", "416"),
    ("novelsc", "3.3.3", "416", "416"),
    ("unksm2", "3.3.4", "forward", "forward"),
    ("bext01", "3.3.5", "420", "420"),
    ("invut", "3.3.6", "forward", "forward"),
    ("regaut01", "3.3.7", "forward", "forward"),
    ("multi01", "3.3.8", "400", "400"),
    ("mcl01", "3.3.9", "400", "400 close"),
    ("bcast", "3.3.10", "drop", "drop"),
    ("zeromf", "3.3.11", "483", "483"),
    ("cparam01", "3.3.12", "forward", "forward"),
    ("cparam02", "3.3.13", "forward", "forward"),
    ("regescrt", "3.3.14", "forward", "forward"),
    ("sdp01", "3.3.15", "forward", "forward"),
    ("inv2543", "3.4.1", "forward", "400 close"),
];

/// The sections that hold a message.
pub fn sections() -> impl Iterator<Item = &'static str> {
    VERDICTS.iter().map(|(_, section, _, _)| *section)
}

/// What makes a transaction of its own: two messages alike in it need two processes.
fn key(message: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let method = if message.starts_with(b"SIP/") { Vec::new() } else { compare::method(message) };
    (method, compare::values(message, "via").into_iter().next())
}

fn run(way: Way) {
    let Some(folder) = seeds::folder("SIPWARDEN_RFC4475", "rfc4475", "the messages of RFC 4475") else {
        return;
    };
    let (mut failures, mut batch, mut seen) = (Vec::new(), 0, HashSet::new());
    let start = |batch: u32| Rig::start(&format!("rfc4475-{way:?}-{batch}"));
    let mut rig = start(batch);
    for (name, section, udp, tcp) in VERDICTS {
        let message = std::fs::read(folder.join(format!("{name}.dat")))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if !seen.insert(key(&message)) {
            rig.finish();
            batch += 1;
            rig = start(batch);
            seen = HashSet::from([key(&message)]);
        }
        let expected = if way == Way::Udp { udp } else { tcp };
        let outcome = rig.run(way, &message);
        if !fits(&outcome, expected) {
            failures.push(format!("{name} (RFC 4475 §{section}): expected {expected:?}, saw {outcome:?}"));
        }
    }
    // The Route of mpart01 turned to the destination: the rest of it goes on byte for byte.
    let message = std::fs::read(folder.join("mpart01.dat")).expect("it was read before");
    let route = format!("<sip:{};lr>", rig.destination());
    let message = replace(&message, b"<sip:127.0.0.1:5080>", route.as_bytes());
    let message = replace(&message, b"-1--d87543-", b"-2--d87543-");
    let outcome = rig.run(way, &message);
    if outcome != "forward" {
        failures.push(format!("mpart01 to the destination: {outcome:?}"));
    }
    rig.finish();
    assert!(failures.is_empty(), "{} verdicts differ:\n{}", failures.len(), failures.join("\n"));
}

fn replace(message: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = super::table::find(message, from).expect("what is replaced is there");
    [&message[..at], to, &message[at + from.len()..]].concat()
}

#[test]
fn the_messages_of_the_rfc_get_their_verdicts_over_udp() {
    run(Way::Udp);
}

#[test]
fn the_messages_of_the_rfc_get_their_verdicts_over_tcp() {
    run(Way::Tcp);
}
