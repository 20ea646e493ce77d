//! Responses: which go up, where they go, what acknowledges them.

use crate::sim::*;
use sipwarden::facts::event::{DropReason, Event};
use sipwarden::facts::{ConnectionChoice, ConnectionId, Hop, ListenerId, Transport};
use sipwarden::proxy::Input;

fn dropped(world: &World, wanted: DropReason) -> usize {
    world.count(|event| matches!(event, Event::MessageDropped { reason, .. } if *reason == wanted))
}

#[test]
fn an_invite_gets_our_100_at_once_and_never_that_of_the_destination() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("trying").request("INVITE"));
    let trying = world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(trying.at, invite.at);
    assert!(!header(&trying.text, "To").unwrap().contains(";tag="), "{}", trying.text);
    world.receive(D1, &reply(&invite.text, 100, "callee", ""));
    world.quiet(CALLER);
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 180");
}

#[test]
fn a_response_without_a_via_of_somebody_else_was_for_us_and_goes_no_further() {
    // RFC 3261 §16.7 step 3.
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("bare").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(D1, "INVITE");
    for code in [180, 200, 486] {
        let answer = reply(&invite.text, code, "callee", "");
        let (head, rest) = answer.split_once("\r\nVia: ").unwrap();
        let (ours, rest) = rest.split_once("\r\nVia: ").unwrap();
        let rest = rest.split_once("\r\n").unwrap().1;
        world.receive(D1, &format!("{head}\r\nVia: {ours}\r\n{rest}"));
        world.quiet(CALLER);
        world.quiet(D1);
    }
    assert_eq!(dropped(&world, DropReason::Malformed), 3);
    // The whole one is still welcome.
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 486");
    world.settle();
}

#[test]
fn a_response_with_the_method_of_another_request_belongs_to_nothing() {
    // RFC 3261 §17.1.3: branch and method.
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("method").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(D1, "INVITE");
    for other in ["MESSAGE", "CANCEL", "ACK"] {
        world.receive(D1, &reply(&invite.text, 200, "x", "").replace("1 INVITE", &format!("1 {other}")));
    }
    world.quiet(CALLER);
    assert_eq!(dropped(&world, DropReason::Stray), 3);
    // So does one whose branch is off by a digit.
    let branch = header(&invite.text, "Via").unwrap().split(";branch=").nth(1).unwrap();
    let near = match branch.strip_suffix('0') {
        Some(rest) => format!("{rest}1"),
        None => format!("{}0", &branch[..branch.len() - 1]),
    };
    // The hash at the end tells loops only; the digit before the dot is of the secret.
    let (nonce, hash) = branch.split_once('.').unwrap();
    let turned = if nonce.ends_with('0') { '1' } else { '0' };
    let guessed = format!("{}{turned}.{hash}", &nonce[..nonce.len() - 1]);
    assert_ne!(near, guessed);
    world.receive(D1, &reply(&invite.text, 200, "x", "").replace(branch, &guessed));
    world.quiet(CALLER);
    assert_eq!(dropped(&world, DropReason::Stray), 4);
}

#[test]
fn our_ack_to_a_failure_is_that_of_its_invite() {
    // RFC 3261 §17.1.1.3: one Via, that of the INVITE; its Routes; the To of the response.
    let mut world = World::new(TWO);
    let mut call = Call::new("ack");
    call.routes =
        vec![format!("<sip:{PROXY};lr>"), format!("<sip:{D1};lr>"), "<sip:behind.example;lr>".into()];
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    let ack = world.sent_to(D1, &format!("ACK {} SIP/2.0", call.uri));
    let vias: Vec<&str> = headers(&ack.text, "Via").collect();
    assert_eq!(vias, [header(&invite.text, "Via").unwrap()]);
    let routes: Vec<&str> = headers(&ack.text, "Route").collect();
    assert_eq!(routes, headers(&invite.text, "Route").collect::<Vec<_>>());
    assert_eq!(routes.len(), 2);
    assert!(header(&ack.text, "To").unwrap().ends_with(";tag=callee"));
    assert_eq!(header(&ack.text, "CSeq"), Some("1 ACK"));
    for name in ["From", "Call-ID"] {
        assert_eq!(header(&ack.text, name), header(&invite.text, name));
    }
    // The caller's own ACK ends here.
    world.receive(CALLER, &call.companion("ACK"));
    world.quiet(D1);
}

#[test]
fn after_ringing_a_listed_failure_still_leads_to_the_next_destination_unless_told_otherwise() {
    let ring_and_fail = |yaml: &str| {
        let mut world = World::new(yaml);
        world.receive(CALLER, &Call::new("rang").request("INVITE"));
        let invite = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&invite.text, 180, "one", ""));
        world.receive(D1, &reply(&invite.text, 503, "one", ""));
        world
    };
    let mut world = ring_and_fail(TWO);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 180, "two", ""));
    world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    let codes: Vec<String> = world.drain(CALLER).iter().map(|sent| sent.text[8..11].to_owned()).collect();
    assert_eq!(codes, ["100", "180", "180", "200"]);
    world.settle();

    let mut world = ring_and_fail(&TWO.replace("priority\n", "priority\n    failover: {after_18x: false}\n"));
    world.quiet(D2);
    let codes: Vec<String> = world.drain(CALLER).iter().map(|sent| sent.text[8..11].to_owned()).collect();
    assert_eq!(codes, ["100", "180", "500"]);
}

#[test]
fn never_are_two_destinations_asked_at_a_time_but_for_one_that_was_given_up() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("serial").request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&first.text, 180, "one", ""));
    world.advance(60_000);
    world.quiet(D2);
}

#[test]
fn over_tcp_responses_leave_on_the_connection_or_towards_the_sent_by_of_the_request() {
    // RFC 3261 §18.2.2: the hop names the connection, and for the time when that is gone the source
    // address with the port of sent-by.
    let mut world = World::new(TWO);
    let connection = Some(ConnectionChoice::Preferred(ConnectionId(7)));
    let hop = Hop {
        transport: Transport::Tcp,
        listener: ListenerId::new(1),
        remote: address("192.0.2.7:41234"),
        connection,
    };
    for (sent_by, port) in [("192.0.2.7:5070", 5070), ("phone.example", 5060)] {
        let request = Call::new("stream").request("MESSAGE").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        let request = request.replace(&format!("TCP {CALLER}"), &format!("TCP {sent_by}"));
        world.input(Input::Message { hop, bytes: request.as_bytes() });
        let message = world.sent_to(D1, "MESSAGE");
        world.receive(D1, &reply(&message.text, 200, "callee", ""));
        let answer = world.sent_to(&format!("192.0.2.7:{port}"), "SIP/2.0 200");
        assert_eq!((answer.hop.transport, answer.hop.connection), (Transport::Tcp, connection));
    }
}

#[test]
fn a_2xx_that_comes_after_the_cancel_of_an_attempt_given_up_goes_up() {
    let mut world = World::new(TWO);
    let mut call = Call::new("late");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 180, "two", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    world.sent_to(D2, "CANCEL");
    world.drain(D1);
    // The one given up answers before it could be cancelled; the other's 487 is not passed on.
    world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    world.receive(D2, &reply(&second.text, 487, "two", ""));
    world.sent_to(D2, "ACK");
    let finals: Vec<String> = world.drain(CALLER).iter().map(|sent| sent.text[8..11].to_owned()).collect();
    assert_eq!(finals, ["100", "180", "200", "200"], "the second 200 is that of the INVITE");
    world.settle();
}

#[test]
fn every_unknown_extension_is_named() {
    let mut world = World::new(TWO);
    let lines = "Proxy-Require: foo, bar\r\nProxy-Require: baz\r\n";
    world.receive(CALLER, &Call::new("extensions").request_with("MESSAGE", lines));
    let refused = world.sent_to(CALLER, "SIP/2.0 420");
    assert_eq!(headers(&refused.text, "Unsupported").collect::<Vec<_>>(), ["foo, bar", "baz"]);
}
