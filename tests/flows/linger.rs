//! What is left of finished transactions when they take more memory than they may.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::event::{Event, LingerKind};

const TIGHT: &str = "limits: {linger: 1MiB}\n";

/// Has requests refused until so many finished transactions have had to go.
fn press(world: &mut World, method: &str, count: usize) {
    let mut dropped = 0;
    for number in 0..100_000 {
        dropped +=
            world.count(|event| matches!(event, Event::LingerDropped { kind: LingerKind::Response, .. }));
        world.events.clear();
        if dropped >= count {
            return;
        }
        let mut call = Call::new(&format!("{method}-{number}"));
        world.receive(CALLER, &call.request(method).replace("Max-Forwards: 70", "Max-Forwards: 0"));
        world.sent_to(CALLER, "SIP/2.0 483");
        if method == "INVITE" {
            world.receive(CALLER, &call.companion("ACK"));
        }
    }
    panic!("nothing had to go");
}

#[test]
fn a_failure_whose_ack_is_awaited_stays_longest() {
    let mut world = World::new(&format!("{TWO}{TIGHT}"));
    let mut call = Call::new("unacknowledged");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    world.drain(CALLER);
    press(&mut world, "INVITE", 50);
    world.advance(500);
    world.sent_to(CALLER, "SIP/2.0 486");
}

#[test]
fn what_went_before_its_time_is_still_known() {
    let mut world = World::new(&format!("{TWO}{TIGHT}"));
    let (answered, _) = establish(&mut world, "answered", D1);
    let mut failed = Call::new("failed");
    let failed_invite = failed.request("INVITE").replace("Max-Forwards: 70", "Max-Forwards: 0");
    world.receive(CALLER, &failed_invite);
    world.receive(CALLER, &failed.companion("ACK"));
    let mut other = Call::new("other");
    let message = other.request("MESSAGE").replace("Max-Forwards: 70", "Max-Forwards: 0");
    world.receive(CALLER, &message);
    world.drain(CALLER);
    // All three are among the first to go, each of its kind.
    press(&mut world, "MESSAGE", 50);
    press(&mut world, "INVITE", 3_000);

    for known in [&message, &failed_invite, &failed.companion("ACK")] {
        world.receive(CALLER, known);
    }
    world.quiet(CALLER);
    let mut again = answered.clone();
    (again.routes, again.to_tag, again.uri) = (Vec::new(), None, format!("sip:1000@{PROXY}"));
    world.receive(CALLER, &again.companion("INVITE"));
    world.quiet(CALLER);
    world.quiet(D1);
    // The ACK to a 2xx was never ours to absorb, even from who gives it the branch of its INVITE.
    for ack in [answered.ack(), answered.companion("ACK")] {
        world.receive(CALLER, &ack);
        world.sent_to(D1, "ACK");
    }

    // Its time over, a key is forgotten.
    world.advance(60_000);
    world.receive(CALLER, &message);
    world.sent_to(CALLER, "SIP/2.0 483");
}
