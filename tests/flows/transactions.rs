//! Matching and timers of transactions, and which response goes up.

use crate::sim::*;
use sipwarden::facts::Transport;
use sipwarden::facts::event::Event;

#[test]
fn merged_requests_pass_each_on_its_own() {
    // RFC 3261 §8.2.2.2: 482 to a merged request is for the user agent to say.
    let mut world = World::new(TWO);
    let mut call = Call::new("merged");
    let invite = call.request("INVITE");
    world.receive(CALLER, &invite);
    world.receive(CALLER, &invite.replace("branch=z9hG4bK", "branch=z9hG4bKother-"));
    let copies = world.drain(D1);
    assert_eq!(copies.len(), 2);
    assert_ne!(header(&copies[0].text, "Via"), header(&copies[1].text, "Via"));
    assert_eq!(world.drain(CALLER).len(), 2, "a 100 for each");
}

/// An INVITE as RFC 2543 has it: a branch without the cookie, or none.
fn old(text: &str, branch: &str) -> String {
    let cut = text
        .split(";branch=")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .expect("a request has a branch")
        .to_owned();
    text.replace(&format!(";rport;branch={cut}"), branch)
}

#[test]
fn requests_without_the_cookie_match_by_their_headers() {
    for branch in ["", ";branch=1", ";branch=z9hG4bK"] {
        let mut world = World::new(TWO);
        let mut call = Call::new("rfc2543");
        let invite = old(&call.request("INVITE"), branch);
        world.receive(CALLER, &invite);
        let relayed = world.sent_to(D1, "INVITE");
        world.receive(CALLER, &invite);
        world.quiet(D1);
        world.receive(D1, &reply(&relayed.text, 180, "callee", ""));
        // CANCEL finds its INVITE.
        world.receive(CALLER, &old(&call.companion("CANCEL"), branch));
        let cancel = world.sent_to(D1, "CANCEL");
        world.receive(D1, &reply(&cancel.text, 200, "callee", ""));
        world.receive(D1, &reply(&relayed.text, 487, "callee", ""));
        world.sent_to(D1, "ACK");
        let up = world.drain(CALLER);
        assert!(up.last().unwrap().text.starts_with("SIP/2.0 487"), "{branch}");
        // ACK, whose To has a tag that the INVITE had not, ends the retransmissions.
        let mut ack = call.clone();
        ack.to_tag = Some("callee".into());
        world.receive(CALLER, &old(&ack.companion("ACK"), branch));
        world.advance(10_000);
        world.quiet(CALLER);
        world.quiet(D1);
        // Another CSeq is another transaction.
        world.receive(CALLER, &old(&call.request("INVITE"), branch));
        world.sent_to(D1, "INVITE");
    }
}

/// A call that rings until Timer C, which is set to 181 s.
fn ring(id: &str) -> (World, Call, Sent) {
    let mut world = World::new(&format!("{TWO}sip: {{timer_c: 181s}}\n"));
    let mut call = Call::new(id);
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.drain(CALLER);
    (world, call, invite)
}

#[test]
fn timer_c_cancels_a_call_that_rings_for_ever() {
    let (mut world, _, invite) = ring("timer-c");
    world.advance(180_999);
    world.quiet(D1);
    world.advance(1);
    let cancel = world.sent_to(D1, "CANCEL");
    world.receive(D1, &reply(&cancel.text, 200, "callee", ""));
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    world.sent_to(D1, "ACK");
    world.sent_to(CALLER, "SIP/2.0 487");
    world.quiet(D2);
    world.settle();
}

#[test]
fn timer_c_starts_again_with_each_provisional_but_100() {
    let (mut world, _, invite) = ring("timer-c-again");
    world.advance(100_000);
    world.receive(D1, &reply(&invite.text, 183, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 183");
    world.advance(100_000);
    world.receive(D1, &reply(&invite.text, 100, "callee", ""));
    world.quiet(D1);
    world.advance(80_999);
    world.quiet(D1);
    world.advance(1);
    world.sent_to(D1, "CANCEL");
}

#[test]
fn a_destination_that_ignores_the_cancel_of_timer_c_ends_in_408() {
    let (mut world, _, _) = ring("timer-c-ignored");
    world.advance(181_000 + 31_999);
    assert!(world.drain(D1).iter().all(|sent| sent.text.starts_with("CANCEL")));
    world.quiet(CALLER);
    world.advance(1);
    world.sent_to(CALLER, "SIP/2.0 408");
    world.quiet(D2);
    world.settle();
}

#[test]
fn a_non_invite_gets_no_provisional_and_a_late_final_is_dropped() {
    let mut world = World::new(TWO);
    let mut call = Call::new("rfc4320");
    world.receive(CALLER, &call.request("MESSAGE"));
    let message = world.sent_to(D1, "MESSAGE");
    world.receive(D1, &reply(&message.text, 100, "callee", ""));
    world.receive(D1, &reply(&message.text, 180, "callee", ""));
    world.quiet(CALLER);
    world.advance(40_000);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
    world.receive(D1, &reply(&message.text, 200, "callee", ""));
    world.quiet(CALLER);
    assert!(world.count(|event| matches!(event, Event::MessageDropped { .. })) > 0);
    world.settle();
}

#[test]
fn timer_e_repeats_a_non_invite_and_a_provisional_slows_it_down() {
    let yaml = TWO.replace("destinations:", "failover: {on: [503]}\n    destinations:");
    let mut world = World::new(&yaml);
    world.receive(CALLER, &Call::new("timer-e").request("MESSAGE"));
    let first = world.sent_to(D1, "MESSAGE");
    world.advance(3_600);
    let times: Vec<u128> = world.drain(D1).iter().map(|sent| (sent.at - first.at).as_millis()).collect();
    assert_eq!(times, [500, 1_500, 3_500]);
    world.receive(D1, &reply(&first.text, 100, "callee", ""));
    world.advance(12_000);
    let times: Vec<u128> = world.drain(D1).iter().map(|sent| (sent.at - first.at).as_millis()).collect();
    assert_eq!(times, [7_500, 11_500, 15_500]);
}

#[test]
fn over_tcp_nothing_is_repeated_and_nothing_lingers() {
    let mut world = World::new(&TWO.replace("10.0.1.1:5060\"", "10.0.1.1:5060;transport=tcp\""));
    let mut call = Call::new("reliable");
    let invite = call.request("INVITE").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    world.receive_over(Transport::Tcp, CALLER, &invite);
    let relayed = world.sent_to(D1, "INVITE");
    assert_eq!(relayed.hop.transport, Transport::Tcp);
    world.advance(1_900);
    world.quiet(D1);
    world.receive_over(Transport::Tcp, D1, &reply(&relayed.text, 486, "callee", ""));
    world.sent_to(D1, "ACK");
    world.drain(CALLER);
    world.advance(5_000);
    world.quiet(CALLER);
    world.receive_over(Transport::Tcp, CALLER, &call.companion("ACK").replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    world.advance(10);
    let (contexts, clients, servers, _) = world.core.holdings();
    assert_eq!((contexts, clients, servers), (0, 0, 0));
}

#[test]
fn a_failure_that_comes_twice_at_once_over_tcp_is_acknowledged_once_and_nothing_empty_is_sent() {
    let mut world = World::new(&TWO.replace("10.0.1.1:5060\"", "10.0.1.1:5060;transport=tcp\""));
    world.receive(CALLER, &Call::new("twice").request("INVITE"));
    let relayed = world.sent_to(D1, "INVITE");
    for _ in 0..2 {
        world.receive_over(Transport::Tcp, D1, &reply(&relayed.text, 486, "callee", ""));
    }
    world.sent_to(D1, "ACK");
    world.quiet(D1);
}

/// A set whose second destination is tried after these codes.
fn going_on_after(codes: &str) -> World {
    World::new(&TWO.replace("destinations:", &format!("failover: {{on: [{codes}]}}\n    destinations:")))
}

#[test]
fn a_6xx_ends_the_search_and_beats_what_came_before() {
    let mut world = going_on_after("503, 603");
    world.receive(CALLER, &Call::new("six").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 503, "one", ""));
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 603, "two", ""));
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 603"));

    world.drain(D1);
    world.receive(CALLER, &Call::new("six-first").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 603, "one", ""));
    world.sent_to(D1, "ACK");
    world.drain(D2).iter().for_each(|sent| assert!(!sent.text.starts_with("INVITE"), "{}", sent.text));
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 603"));
}

#[test]
fn a_6xx_while_an_abandoned_attempt_is_open_goes_up_at_once() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("six-pending").request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 600, "two", ""));
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 600"));
    // The silent one wakes up: it is cancelled, and its answer goes no further.
    world.drain(D1);
    world.receive(D1, &reply(&first.text, 180, "one", ""));
    world.sent_to(D1, "CANCEL");
    world.receive(D1, &reply(&first.text, 487, "one", ""));
    world.sent_to(D1, "ACK");
    assert!(world.drain(CALLER).iter().all(|sent| sent.text.starts_with("SIP/2.0 600")));
    world.settle();
}

/// A refusal with a challenge.
fn challenge(request: &str, code: u16, line: &str) -> String {
    reply(request, code, "x", "").replace("Content-Length", &format!("{line}\r\nContent-Length"))
}

#[test]
fn the_challenges_of_several_destinations_go_up_together() {
    // RFC 3261 §16.7 step 7.
    let mut world = going_on_after("401, 407");
    world.receive(CALLER, &Call::new("challenges").request("REGISTER"));
    let first = world.sent_to(D1, "REGISTER");
    world.receive(D1, &challenge(&first.text, 407, "Proxy-Authenticate: Digest realm=\"one\""));
    let second = world.sent_to(D2, "REGISTER");
    let two = "WWW-Authenticate: Digest realm=\"two\",\r\n nonce=\"n\"\r\nProxy-Authenticate: Digest realm=\"three\"";
    world.receive(D2, &challenge(&second.text, 401, two));
    let answer = world.sent_to(CALLER, "SIP/2.0 407");
    let proxies: Vec<&str> = headers(&answer.text, "Proxy-Authenticate").collect();
    assert_eq!(proxies, ["Digest realm=\"one\"", "Digest realm=\"three\""]);
    let agents: Vec<&str> = headers(&answer.text, "WWW-Authenticate").collect();
    assert_eq!(agents.len(), 1);
    assert!(agents[0].starts_with("Digest realm=\"two\""), "{agents:?}");
    assert_eq!(headers(&answer.text, "Content-Length").count(), 1);
    assert!(answer.text.ends_with("\r\n\r\n"));
}

#[test]
fn challenges_stay_out_of_other_answers() {
    let mut world = going_on_after("401, 404");
    world.receive(CALLER, &Call::new("challenges").request("REGISTER"));
    let first = world.sent_to(D1, "REGISTER");
    world.receive(D1, &challenge(&first.text, 404, "X-One: 1"));
    let second = world.sent_to(D2, "REGISTER");
    world.receive(D2, &challenge(&second.text, 401, "WWW-Authenticate: Digest realm=\"two\""));
    let answer = world.sent_to(CALLER, "SIP/2.0 401");
    assert_eq!((headers(&answer.text, "WWW-Authenticate").count(), header(&answer.text, "X-One")), (1, None));
}

#[test]
fn a_second_2xx_with_another_tag_goes_up_too() {
    // RFC 6026 §7.1: an element behind us forked.
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("forked").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "one", &format!("sip:1000@{D1}")));
    world.receive(D1, &reply(&invite.text, 200, "two", &format!("sip:2000@{D1}")));
    let up = world.drain(CALLER);
    let tags: Vec<bool> = up[1..].iter().map(|sent| sent.text.contains(";tag=two")).collect();
    assert_eq!(tags, [false, true]);
    assert_eq!(world.records("INVITE").len(), 1);
    world.settle();
}

#[test]
fn an_invite_repeated_after_its_2xx_is_absorbed() {
    let mut world = World::new(TWO);
    let mut call = Call::new("accepted");
    let invite = call.request("INVITE");
    world.receive(CALLER, &invite);
    let relayed = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&relayed.text, 200, "callee", &format!("sip:1000@{D1}")));
    world.drain(CALLER);
    world.receive(CALLER, &invite);
    world.advance(20_000);
    world.receive(CALLER, &invite);
    world.quiet(CALLER);
    world.quiet(D1);
    world.quiet(D2);
}

#[test]
fn a_redirection_is_passed_on_and_not_followed() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("redirect").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 302, "callee", "sip:1000@198.51.100.9"));
    let up = world.drain(CALLER);
    assert_eq!(header(&up[1].text, "Contact"), Some("<sip:1000@198.51.100.9>"));
    world.quiet("198.51.100.9:5060");
    world.quiet(D2);
}

#[test]
fn responses_go_to_the_source_and_fill_in_what_the_sender_asked_for() {
    let mut world = World::new(TWO);
    // Without rport: to the port of sent-by at the source address; a lie about received is replaced.
    let mut call = Call::new("no-rport");
    let request = call.request("MESSAGE").replace(
        &format!("Via: SIP/2.0/UDP {CALLER};rport;"),
        "Via: SIP/2.0/UDP phone.example:5099;received=198.51.100.9;",
    );
    world.receive("192.0.2.8:6001", &request);
    let relayed = world.sent_to(D1, "MESSAGE");
    let via = headers(&relayed.text, "Via").nth(1).unwrap();
    assert!(
        via.starts_with("SIP/2.0/UDP phone.example:5099;branch=") && via.ends_with(";received=192.0.2.8"),
        "{via}"
    );
    world.receive(D1, &reply(&relayed.text, 200, "callee", ""));
    world.sent_to("192.0.2.8:5099", "SIP/2.0 200");
    // With rport: to the port it came from.
    let mut call = Call::new("rport");
    world.receive("192.0.2.8:6002", &call.request("MESSAGE"));
    let relayed = world.sent_to(D1, "MESSAGE");
    let via = headers(&relayed.text, "Via").nth(1).unwrap();
    assert!(via.contains(";rport=6002") && via.ends_with(";received=192.0.2.8"), "{via}");
    world.receive(D1, &reply(&relayed.text, 200, "callee", ""));
    world.sent_to("192.0.2.8:6002", "SIP/2.0 200");
    world.quiet("198.51.100.9:5060");
}
