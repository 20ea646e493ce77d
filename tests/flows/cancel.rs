//! CANCEL, before and after a provisional response, and during failover.

use crate::sim::*;
use sipwarden::facts::event::Event;

fn has_failed_over(world: &World) -> bool {
    world.count(|event| matches!(event, Event::FailedOver { .. })) > 0
}

#[test]
fn after_180_goes_down_at_once_and_487_comes_up() {
    let mut world = World::new(TWO);
    let mut call = Call::new("after");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.drain(CALLER);
    let cancel =
        call.companion("CANCEL").replace("Content-Length", "Reason: SIP;cause=200\r\nContent-Length");
    world.receive(CALLER, &cancel);
    let answer = world.sent_to(CALLER, "SIP/2.0 200");
    assert_eq!(header(&answer.text, "CSeq"), Some("1 CANCEL"));
    let down = world.sent_to(D1, "CANCEL");
    assert_eq!(header(&down.text, "Reason"), Some("SIP;cause=200"));
    assert_eq!(header(&down.text, "CSeq"), Some("1 CANCEL"));
    world.receive(D1, &reply(&down.text, 200, "callee", ""));
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    world.sent_to(D1, "ACK");
    world.sent_to(CALLER, "SIP/2.0 487");
    world.receive(CALLER, &call.companion("ACK"));
    world.quiet(CALLER);
    assert!(!has_failed_over(&world));
    assert!(world.records("INVITE")[0].cancelled_at.is_some());
    world.settle();
}

#[test]
fn before_any_response_is_held_back_until_one_comes() {
    let mut world = World::new(TWO);
    let mut call = Call::new("before");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(CALLER, &call.companion("CANCEL"));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.sent_to(CALLER, "SIP/2.0 200");
    world.quiet(D1);
    world.receive(D1, &reply(&invite.text, 100, "callee", ""));
    let cancel = world.sent_to(D1, "CANCEL");
    world.receive(D1, &reply(&cancel.text, 200, "callee", ""));
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    world.sent_to(D1, "ACK");
    world.sent_to(CALLER, "SIP/2.0 487");
    world.quiet(D2);
    world.settle();
}

#[test]
fn stops_failover_and_a_silent_destination_ends_in_487() {
    let mut world = World::new(TWO);
    let mut call = Call::new("stop");
    world.receive(CALLER, &call.request("INVITE"));
    world.receive(CALLER, &call.companion("CANCEL"));
    world.advance(32_000);
    world.quiet(D2);
    let up: Vec<String> = world.drain(CALLER).iter().map(|sent| sent.text[8..11].to_owned()).collect();
    assert_eq!(up, ["100", "200", "487"]);
    assert!(!has_failed_over(&world));
}

#[test]
fn of_a_call_refused_by_the_first_destination_tries_no_other() {
    let mut world = World::new(TWO);
    let mut call = Call::new("refused");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 100, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    world.sent_to(D1, "CANCEL");
    world.receive(D1, &reply(&invite.text, 503, "callee", ""));
    world.quiet(D2);
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 487"));
    world.settle();
}

#[test]
fn crossing_a_200_loses_and_the_200_goes_up() {
    let mut world = World::new(TWO);
    let mut call = Call::new("crossing");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 200"));
    assert_eq!(world.records("INVITE")[0].code, 200);
    world.settle();
}

#[test]
fn after_the_final_response_is_answered_and_nothing_more() {
    let mut world = World::new(TWO);
    let mut call = Call::new("too-late");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    world.drain(CALLER);
    world.drain(D1);
    world.receive(CALLER, &call.companion("CANCEL"));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.quiet(D1);
}

#[test]
fn of_nothing_gets_481() {
    let mut world = World::new(TWO);
    let mut call = Call::new("nothing");
    world.receive(CALLER, &call.request("CANCEL"));
    world.sent_to(CALLER, "SIP/2.0 481");
    world.quiet(D1);
}
