//! Plain calls and retransmissions.

use crate::sim::*;
use sipwarden::facts::Transport;
use sipwarden::facts::event::{Event, Origin};

/// Sets up a call to the destination that the set prefers, and returns what each side learnt:
/// the caller's view and the INVITE as the destination got it.
pub fn establish(world: &mut World, id: &str, at: &str) -> (Call, Sent) {
    let mut call = Call::new(id);
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(at, "INVITE sip:1000@");
    world.receive(at, &reply(&invite.text, 180, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 180");
    world.receive(at, &reply(&invite.text, 200, "callee", &format!("sip:1000@{at}")));
    let answer = world.sent_to(CALLER, "SIP/2.0 200");
    call.learn(&answer.text);
    world.receive(CALLER, &call.ack());
    world.sent_to(at, "ACK sip:1000@");
    (call, invite)
}

#[test]
fn a_call_is_relayed_acknowledged_and_ended() {
    let mut world = World::new(TWO);
    let (mut call, invite) = establish(&mut world, "plain", D1);
    let vias: Vec<&str> = headers(&invite.text, "Via").collect();
    assert!(vias[0].starts_with("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKsw"));
    assert_eq!(vias[1], "SIP/2.0/UDP 192.0.2.7:5070;rport=5070;branch=z9hG4bKplain-1;received=192.0.2.7");
    assert_eq!(header(&invite.text, "Max-Forwards"), Some("69"));
    let route = header(&invite.text, "Record-Route").unwrap();
    assert!(route.starts_with("<sip:10.0.0.1:5060;lr;d="), "{route}");

    world.advance(5_000);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE sip:1000@10.0.1.1:5060");
    assert_eq!(header(&bye.text, "Route"), None);
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");

    let invites = world.records("INVITE");
    assert_eq!(invites.len(), 1);
    assert_eq!((invites[0].code, invites[0].origin, invites[0].in_dialog), (200, Origin::Upstream, false));
    assert_eq!((invites[0].attempts.len(), invites[0].failovers.len()), (1, 0));
    let byes = world.records("BYE");
    assert_eq!((byes[0].code, byes[0].in_dialog, byes[0].set), (200, true, invites[0].set));
    assert_eq!((byes[0].dialog, invites[0].dialog), (Some(invites[0].span), None), "a link to the INVITE");
    assert_eq!(world.count(|event| matches!(event, Event::DestinationSelected { .. })), 1);
    world.settle();
    world.quiet(CALLER);
    world.quiet(D1);
    world.quiet(D2);
}

#[test]
fn a_call_over_tcp_is_relayed_to_a_udp_destination_with_two_record_routes() {
    let mut world = World::new(TWO);
    let mut call = Call::new("tcp");
    let invite = call.request("INVITE").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    world.receive_over(Transport::Tcp, CALLER, &invite);
    assert_eq!(world.sent_to(CALLER, "SIP/2.0 100").hop.transport, Transport::Tcp);
    let invite = world.sent_to(D1, "INVITE");
    let routes: Vec<&str> = headers(&invite.text, "Record-Route").collect();
    assert!(routes[0].starts_with("<sip:10.0.0.1:5060;lr;d="), "{routes:?}");
    assert!(routes[1].starts_with("<sip:10.0.0.1:5060;transport=tcp;lr;d="), "{routes:?}");
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    let answer = world.sent_to(CALLER, "SIP/2.0 200");
    assert_eq!(answer.hop.transport, Transport::Tcp);
    call.learn(&answer.text);
    world.receive_over(Transport::Tcp, CALLER, &call.ack().replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    assert_eq!(header(&world.sent_to(D1, "ACK").text, "Route"), None);
}

#[test]
fn a_retransmitted_invite_is_answered_but_not_relayed_again() {
    let mut world = World::new(TWO);
    let mut call = Call::new("again");
    let invite = call.request("INVITE");
    world.receive(CALLER, &invite);
    world.sent_to(CALLER, "SIP/2.0 100");
    let relayed = world.sent_to(D1, "INVITE");
    world.receive(CALLER, &invite);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(D1);
    world.receive(D1, &reply(&relayed.text, 180, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 180");
    world.receive(CALLER, &invite);
    world.sent_to(CALLER, "SIP/2.0 180");
    assert_eq!(world.count(|event| matches!(event, Event::RequestAbsorbed { .. })), 2);
    world.receive(D1, &reply(&relayed.text, 486, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 486");
    assert_eq!(world.records("INVITE")[0].retransmissions_absorbed, 2);
}

#[test]
fn an_unanswered_invite_is_sent_again_by_timer_a() {
    let mut world = World::new(&TWO.replace("destinations:", "failover: {on: [503]}\n    destinations:"));
    let mut call = Call::new("timer-a");
    let start = world.now;
    world.receive(CALLER, &call.request("INVITE"));
    world.advance(64 * 500 - 1);
    let offset = world.sent_to(D1, "INVITE").at;
    let times: Vec<u128> = world.drain(D1).iter().map(|sent| (sent.at - offset).as_millis()).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
    world.advance(1);
    world.sent_to(CALLER, "SIP/2.0 408");
    assert_eq!((world.now - start).as_millis(), 32_000);
    let attempt = &world.records("INVITE")[0].attempts[0];
    let told = attempt.retransmitted.iter().map(|at| at.duration_since(attempt.started).as_millis());
    assert_eq!((attempt.retransmissions, told.collect::<Vec<_>>()), (6, times));
}

#[test]
fn a_final_response_is_repeated_by_timer_g_until_the_ack() {
    let mut world = World::new(TWO);
    let mut call = Call::new("timer-g");
    world.receive(CALLER, &call.request("INVITE"));
    let relayed = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&relayed.text, 486, "callee", ""));
    let ack = world.sent_to(D1, "ACK sip:1000@");
    assert_eq!(header(&ack.text, "Via"), header(&relayed.text, "Via"));
    assert!(header(&ack.text, "To").unwrap().ends_with(";tag=callee"));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.sent_to(CALLER, "SIP/2.0 486");
    world.advance(3_500);
    assert_eq!(world.drain(CALLER).len(), 3, "after 0.5, 1.5 and 3.5 s");
    world.receive(CALLER, &call.companion("ACK"));
    world.advance(32_000);
    world.quiet(CALLER);
    // The destination did not hear our ACK: it is repeated, nothing goes up.
    world.receive(D1, &reply(&relayed.text, 486, "callee", ""));
    world.quiet(CALLER);
    world.settle();
}

#[test]
fn a_repeated_2xx_goes_up_again_and_its_ack_down_again() {
    let mut world = World::new(TWO);
    let (call, invite) = establish(&mut world, "repeated", D1);
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    assert_eq!(world.records("INVITE").len(), 1);
    assert_eq!(world.count(|event| matches!(event, Event::ResponseRepeated { .. })), 1);
    world.settle();
}

#[test]
fn a_response_that_belongs_to_nothing_is_dropped() {
    let mut world = World::new(TWO);
    let stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\n\
        Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKy\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
        Call-ID: s\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    world.receive(D1, stray);
    world.quiet("203.0.113.9:5060");
    assert_eq!(world.count(|event| matches!(event, Event::MessageDropped { .. })), 1);
}

#[test]
fn a_malformed_request_gets_400_and_a_malformed_response_nothing() {
    let mut world = World::new(TWO);
    let mut call = Call::new("bad");
    world.receive(CALLER, &call.request("OPTIONS").replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"));
    let refused = world.sent_to(CALLER, "SIP/2.0 400");
    assert!(refused.text.contains("Warning: 399 sipwarden \"malformed: cseq\"\r\n"), "{}", refused.text);
    world.receive(CALLER, "SIP/2.0 200 OK\r\nVia: what\r\n\r\n");
    world.receive(CALLER, "\0\u{1}nonsense");
    world.quiet(CALLER);
    assert_eq!(world.count(|event| matches!(event, Event::ParseFailed { .. })), 3);
}

#[test]
fn options_to_us_is_answered_and_a_request_that_has_gone_too_far_refused() {
    let mut world = World::new(TWO);
    let mut call = Call::new("options");
    call.uri = format!("sip:{PROXY}");
    world.receive(CALLER, &call.request("OPTIONS"));
    world.sent_to(CALLER, "SIP/2.0 200");
    call.uri = format!("sip:1000@{PROXY}");
    world.receive(CALLER, &call.request("MESSAGE").replace("Max-Forwards: 70", "Max-Forwards: 0"));
    world.sent_to(CALLER, "SIP/2.0 483");
    world.receive(CALLER, &call.request_with("MESSAGE", "Proxy-Require: foo\r\n"));
    let refused = world.sent_to(CALLER, "SIP/2.0 420");
    assert_eq!(header(&refused.text, "Unsupported"), Some("foo"));
    world.receive(CALLER, &call.request_with("MESSAGE", "Proxy-Require:\r\nProxy-Require: bar\r\n"));
    let refused = world.sent_to(CALLER, "SIP/2.0 420");
    assert_eq!(header(&refused.text, "Unsupported"), Some("bar"));
    call.uri = "ftp:1000@example.net".into();
    world.receive(CALLER, &call.request("MESSAGE"));
    world.sent_to(CALLER, "SIP/2.0 416");
    world.quiet(D1);
}

#[test]
fn a_loop_is_refused_and_a_spiral_is_not() {
    let mut world = World::new(TWO);
    let mut call = Call::new("loop");
    world.receive(CALLER, &call.request("MESSAGE"));
    let relayed = world.sent_to(D1, "MESSAGE");
    let back = "198.51.100.4:5060";
    let top = format!("Via: SIP/2.0/UDP {back};branch=z9hG4bKback\r\nVia: ");
    world.receive(back, &relayed.text.replacen("Via: ", &top, 1));
    world.sent_to(back, "SIP/2.0 482");
    let spiral = relayed.text.replacen("Via: ", &top.replace("back\r", "spiral\r"), 1);
    world.receive(back, &spiral.replacen("sip:1000@", "sip:2000@", 1));
    world.sent_to(D1, "MESSAGE sip:2000@");
}
