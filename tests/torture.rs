//! Hostile and odd messages against the real binary, over UDP and TCP: each has its verdict, and
//! what goes on goes on byte for byte.
//!
//! The messages are the project's own (`tests/torture/*.sip`). Those of RFC 4475 and two sets of
//! malformed ones are tried as well where their files are at hand; a loud line says when not.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "support/e2e/harness.rs"]
mod harness;

#[path = "support/sim.rs"]
#[allow(dead_code, reason = "shared with the flow tests, which use the rest")]
mod sim;

#[path = "torture/compare.rs"]
mod compare;
#[path = "torture/elsewhere.rs"]
mod elsewhere;
#[path = "torture/rfc4475.rs"]
mod rfc4475;
#[path = "torture/rig.rs"]
mod rig;
#[path = "torture/seeds.rs"]
mod seeds;
#[path = "torture/table.rs"]
mod table;

use rig::{Rig, Way};
use std::collections::BTreeSet;

/// Runs the project's own table; a fresh process for each file, so that a table reads by itself.
fn run_table(way: Way) {
    let mut failures = Vec::new();
    for (file, text) in table::FILES {
        let mut rig = Rig::start(&format!("torture-{}-{way:?}", file.trim_end_matches(".sip")));
        for case in table::read(file, text) {
            if case.expected(way) == "-" {
                continue;
            }
            let bytes = case.message(rig.places(), way);
            let outcome = rig.run(way, &bytes);
            let expected = case.expected(way);
            if !rig::fits(&outcome, expected) {
                failures.push(format!("{file}: {}: expected {expected:?}, saw {outcome:?}", case.name));
            }
        }
        rig.finish();
    }
    assert!(failures.is_empty(), "{} verdicts differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_message_gets_its_verdict_over_udp() {
    run_table(Way::Udp);
}

#[test]
fn every_message_gets_its_verdict_over_tcp() {
    run_table(Way::Tcp);
}

#[test]
fn the_table_has_a_message_for_each_section_of_rfc_4475() {
    let cases: Vec<table::Case> =
        table::FILES.iter().flat_map(|(file, text)| table::read(file, text)).collect();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two messages have one name");
    for section in rfc4475::sections() {
        let wanted = format!("RFC 4475 §{section}");
        let found = cases.iter().any(|case| case.about.split(", ").any(|about| about == wanted));
        assert!(found, "no message for {wanted}");
    }
}
