//! Requests too large for UDP: over TCP first, and over UDP where there is no TCP (RFC 3261 §18.1.1).

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::Transport;
use sipwarden::facts::event::{Event, TransportReason};
use sipwarden::proxy::Input;

/// A header line that makes a request too large for UDP.
fn padding() -> String {
    format!("X-Padding: {}\r\n", "x".repeat(1_300))
}

/// Tells the core that a message could not be delivered.
fn fail(world: &mut World, sent: &Sent, reason: TransportReason) {
    world.input(Input::Undeliverable { hop: sent.hop, message: sent.text.as_bytes(), reason });
}

/// The branch of the topmost Via.
fn branch(message: &str) -> &str {
    let via = header(message, "Via").expect("a Via");
    via.split(";branch=").nth(1).expect("a branch")
}

fn fallbacks(world: &World) -> usize {
    world.count(|event| matches!(event, Event::FellBackToUdp { .. }))
}

#[test]
fn a_large_request_goes_over_tcp_with_two_record_routes_and_all_of_its_attempt_too() {
    let mut world = World::new(TWO);
    let mut call = Call::new("large");
    world.receive(CALLER, &call.request_with("INVITE", &padding()));
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(invite.hop.transport, Transport::Tcp);
    assert!(header(&invite.text, "Via").unwrap().starts_with("SIP/2.0/TCP 10.0.0.1:5060;"));
    let routes: Vec<&str> = headers(&invite.text, "Record-Route").collect();
    assert!(routes[0].starts_with("<sip:10.0.0.1:5060;transport=tcp;lr"), "{routes:?}");
    assert!(routes[1].starts_with("<sip:10.0.0.1:5060;lr"), "{routes:?}");
    world.receive_over(Transport::Tcp, D1, &reply(&invite.text, 180, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    let follows = |sent: Sent| {
        assert_eq!(sent.hop.transport, Transport::Tcp);
        assert_eq!(header(&sent.text, "Via"), header(&invite.text, "Via"));
    };
    follows(world.sent_to(D1, "CANCEL"));
    world.receive_over(Transport::Tcp, D1, &reply(&invite.text, 487, "callee", ""));
    follows(world.sent_to(D1, "ACK"));
    let answers = world.drain(CALLER);
    assert!(answers.iter().all(|sent| sent.hop.transport == Transport::Udp));
    world.settle();
}

#[test]
fn the_size_is_that_of_the_copy_to_the_byte() {
    let mut world = World::new(TWO);
    let mut measure = |length: usize| {
        let mut call = Call::new("size");
        let id = format!("{length:06}");
        let request =
            call.request_with("INVITE", &format!("X: {}\r\n", "x".repeat(length))).replace("size", &id);
        world.receive(CALLER, &request);
        let sent = world.sent_to(D1, "INVITE");
        (sent.text.len(), sent.hop.transport)
    };
    let (size, transport) = measure(100);
    assert_eq!(transport, Transport::Udp);
    let room = 1_300 - size;
    assert_eq!(measure(100 + room), (1_300, Transport::Udp));
    assert_eq!(measure(101 + room).1, Transport::Tcp);
}

#[test]
fn without_tcp_it_falls_back_to_udp_at_once_and_that_is_no_failover() {
    for reason in [TransportReason::Refused, TransportReason::Icmp, TransportReason::ConnectTimeout] {
        let mut world = World::new(&TWO.replace("priority\n", "priority\n    failover: {max_attempts: 2}\n"));
        let mut call = Call::new("no-tcp");
        world.receive(CALLER, &call.request_with("INVITE", &padding()));
        let over_tcp = world.sent_to(D1, "INVITE");
        fail(&mut world, &over_tcp, reason);
        let invite = world.sent_to(D1, "INVITE");
        assert_eq!((invite.hop.transport, invite.at), (Transport::Udp, over_tcp.at), "{reason}");
        assert!(header(&invite.text, "Via").unwrap().starts_with("SIP/2.0/UDP "));
        assert_ne!(branch(&invite.text), branch(&over_tcp.text), "a transaction of its own");
        assert_eq!(headers(&invite.text, "Record-Route").count(), 1);
        assert_eq!(fallbacks(&world), 1);
        assert_eq!(world.count(|event| matches!(event, Event::FailedOver { .. })), 0);
        assert_eq!(world.count(|event| matches!(event, Event::AttemptStarted { .. })), 1);
        // Timer A repeats it as any other, and what comes too late for TCP changes nothing.
        world.advance(500);
        world.sent_to(D1, "INVITE");
        fail(&mut world, &over_tcp, reason);
        world.quiet(D1);
        // The second of two attempts is still to come.
        world.receive(D1, &reply(&invite.text, 503, "one", ""));
        let ack = world.sent_to(D1, "ACK");
        assert_eq!(header(&ack.text, "Via"), header(&invite.text, "Via"), "of the second transaction");
        let second = world.sent_to(D2, "INVITE");
        assert_eq!(second.hop.transport, Transport::Tcp, "each destination by itself");
        world.receive_over(Transport::Tcp, D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
        assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 200"));
        let attempts = &world.records("INVITE")[0].attempts;
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].transport, Transport::Udp);
        assert_eq!(attempts[0].fell_back.map(|(_, why)| why), Some(reason));
        world.settle();
    }
}

#[test]
fn who_refused_is_not_asked_again_for_five_minutes() {
    let mut world = World::new(TWO);
    let mut transport_of = |id: &str, wait: u64| {
        world.advance(wait);
        world.drain(D1);
        let mut call = Call::new(id);
        world.receive(CALLER, &call.request_with("MESSAGE", &padding()));
        let message = world.sent_to(D1, "MESSAGE");
        if message.hop.transport == Transport::Tcp {
            fail(&mut world, &message, TransportReason::Refused);
            assert_eq!(world.sent_to(D1, "MESSAGE").hop.transport, Transport::Udp);
        }
        message.hop.transport
    };
    assert_eq!(transport_of("first", 0), Transport::Tcp);
    assert_eq!(transport_of("second", 299_000), Transport::Udp);
    assert_eq!(transport_of("third", 1_500), Transport::Tcp);
}

#[test]
fn a_connection_that_breaks_is_no_refusal() {
    let mut world = World::new(TWO);
    for id in ["broken-1", "broken-2"] {
        world.receive(CALLER, &Call::new(id).request_with("INVITE", &padding()));
        let invite = world.sent_to(D1, "INVITE");
        assert_eq!(invite.hop.transport, Transport::Tcp);
        fail(&mut world, &invite, TransportReason::Closed);
        assert_eq!(world.sent_to(D1, "INVITE").hop.transport, Transport::Udp);
    }
    assert_eq!(fallbacks(&world), 0);
}

#[test]
fn a_udp_failure_after_the_fallback_fails_over() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("gone").request_with("INVITE", &padding()));
    let invite = world.sent_to(D1, "INVITE");
    fail(&mut world, &invite, TransportReason::Refused);
    let invite = world.sent_to(D1, "INVITE");
    fail(&mut world, &invite, TransportReason::Icmp);
    world.sent_to(D2, "INVITE");
    assert_eq!(world.count(|event| matches!(event, Event::FailedOver { .. })), 1);
    world.quiet(D1);
}

#[test]
fn a_call_cancelled_before_the_connection_fails_is_not_sent_at_all() {
    let mut world = World::new(TWO);
    let mut call = Call::new("cancelled");
    world.receive(CALLER, &call.request_with("INVITE", &padding()));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(CALLER, &call.companion("CANCEL"));
    fail(&mut world, &invite, TransportReason::Refused);
    world.quiet(D1);
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 487"));
    world.receive(CALLER, &call.companion("ACK"));
    world.settle();
}

#[test]
fn an_attempt_given_up_meanwhile_does_not_come_back_over_udp() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("slow").request_with("INVITE", &padding()));
    let invite = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    world.sent_to(D2, "INVITE");
    fail(&mut world, &invite, TransportReason::ConnectTimeout);
    world.quiet(D1);
}

#[test]
fn it_stays_on_udp_where_it_is_told_to_or_we_have_no_tcp() {
    let d1 = "{id: d1, uri: \"sip:10.0.1.1:5060\"}";
    let transport_of = |yaml: &str, lines: &str| {
        let mut world = World::new(yaml);
        world.receive(CALLER, &Call::new("told").request_with("INVITE", lines));
        world.sent_to(D1, "INVITE").hop.transport
    };
    let with = |mtu: &str| TWO.replace(d1, &format!("{{id: d1, uri: \"sip:10.0.1.1:5060\", mtu: {mtu}}}"));
    assert_eq!(transport_of(&with("65535"), &padding()), Transport::Udp);
    assert_eq!(transport_of(&with("null"), &padding()), Transport::Tcp);
    assert_eq!(
        transport_of(
            &with("512"),
            "Subject: a line of no great length, in a request that is not large at all\r\n"
        ),
        Transport::Tcp
    );
    assert_eq!(transport_of(&format!("{TWO}sip: {{mtu: 4000}}\n"), &padding()), Transport::Udp);
    let fixed = TWO.replace("sip:10.0.1.1:5060", "sip:10.0.1.1:5060;transport=udp");
    assert_eq!(transport_of(&fixed, &padding()), Transport::Udp);
    let udp_only = TWO.replace(", \"tcp://10.0.0.1:5060\"", "");
    assert_eq!(transport_of(&udp_only, &padding()), Transport::Udp);
    let other_family = TWO.replace("tcp://10.0.0.1:5060", "tcp://[::1]:5060");
    assert_eq!(transport_of(&other_family, &padding()), Transport::Udp);
}

#[test]
fn requests_inside_a_dialog_and_their_acks_follow_the_same_rule() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "inside", D1);
    world.receive(CALLER, &call.request_with("INVITE", &padding()));
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(invite.hop.transport, Transport::Tcp);
    world.receive_over(Transport::Tcp, D1, &reply(&invite.text, 200, "callee", &format!("sip:1000@{D1}")));
    world.drain(CALLER);
    let ack = call.ack().replace("Content-Length", &format!("{}Content-Length", padding()));
    world.receive(CALLER, &ack);
    let over_tcp = world.sent_to(D1, "ACK");
    assert_eq!(over_tcp.hop.transport, Transport::Tcp);
    fail(&mut world, &over_tcp, TransportReason::Refused);
    let over_udp = world.sent_to(D1, "ACK");
    assert_eq!(over_udp.hop.transport, Transport::Udp);
    assert!(header(&over_udp.text, "Via").unwrap().starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    let rest = |text: &str| text.split_once("\r\nVia: ").unwrap().1.split_once("\r\n").unwrap().1.to_owned();
    assert_eq!(rest(&over_udp.text), rest(&over_tcp.text), "nothing but our Via differs");
    world.receive(CALLER, &call.request_with("INFO", &padding()));
    assert_eq!(world.sent_to(D1, "INFO").hop.transport, Transport::Udp, "the refusal is remembered");
    fail(&mut world, &over_udp, TransportReason::Icmp);
    world.quiet(D1);

    // Whose URI names a transport gets that.
    call.uri = format!("sip:1000@{D2};transport=udp");
    world.receive(CALLER, &call.request_with("INFO", &padding()));
    assert_eq!(world.sent_to(D2, "INFO").hop.transport, Transport::Udp);
}

#[test]
fn what_a_destination_sends_on_the_connection_comes_from_its_set() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("opens").request_with("INVITE", &padding()));
    assert_eq!(world.sent_to(D1, "INVITE").hop.transport, Transport::Tcp);
    // Its own new call is not sent back into the set.
    let mut call = Call::from("own", D1);
    call.uri = "sip:bob@198.51.100.9:5060".into();
    world.receive_over(Transport::Tcp, D1, &call.request("INVITE").replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    world.sent_to("198.51.100.9:5060", "INVITE sip:bob@198.51.100.9:5060");
    world.quiet(D2);
}
