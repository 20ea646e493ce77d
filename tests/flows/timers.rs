//! How long a finished transaction is known (RFC 3261 §17, Table 4; RFC 6026 §7): the last instant at
//! which it has to be, and one soon after at which it is not.

use crate::sim::*;
use sipwarden::facts::event::{DropReason, Event, FatalTimer};

/// After the last instant, in ms: those that end within so many end together.
const AT_MOST_LATER: u64 = 16;

/// Fails over on nothing, so that an attempt lives as long as its own timers let it.
fn patient() -> World {
    World::new(&TWO.replace("destinations:", "failover: {on: []}\n    destinations:"))
}

fn strays(world: &World) -> usize {
    world.count(|event| matches!(event, Event::MessageDropped { reason: DropReason::Stray, .. }))
}

fn timed_out(world: &World, wanted: FatalTimer) -> usize {
    world.count(|event| matches!(event, Event::AttemptTimedOut { timer, .. } if *timer == wanted))
}

#[test]
fn timer_b_ends_an_invite_that_nobody_answers() {
    let mut world = patient();
    world.receive(CALLER, &Call::new("b").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.advance(31_999);
    world.quiet(CALLER);
    world.advance(1);
    world.sent_to(CALLER, "SIP/2.0 408");
    assert_eq!(timed_out(&world, FatalTimer::B), 1);
}

#[test]
fn timer_f_ends_a_request_that_nobody_answers_and_says_nothing() {
    let mut world = patient();
    world.receive(CALLER, &Call::new("f").request("MESSAGE"));
    world.advance(31_999);
    assert_eq!(timed_out(&world, FatalTimer::F), 0);
    world.advance(1);
    assert_eq!(timed_out(&world, FatalTimer::F), 1);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
}

#[test]
fn timer_d_has_a_repeated_failure_acknowledged_again() {
    let mut world = patient();
    let mut call = Call::new("d");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    let busy = reply(&invite.text, 486, "callee", "");
    world.receive(D1, &busy);
    let first = world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.companion("ACK"));
    world.drain(CALLER);
    world.advance(31_999);
    world.receive(D1, &busy);
    assert_eq!(world.sent_to(D1, "ACK").text, first.text);
    world.advance(AT_MOST_LATER);
    world.receive(D1, &busy);
    world.quiet(D1);
    world.quiet(CALLER);
    assert_eq!(strays(&world), 1);
}

#[test]
fn timer_h_ends_the_repetitions_of_a_failure_that_nobody_acknowledges() {
    let mut world = patient();
    let mut call = Call::new("h");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    world.drain(CALLER);
    world.advance(40_000);
    let times: Vec<u128> = world.drain(CALLER).iter().map(|sent| (sent.at - invite.at).as_millis()).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
}

#[test]
fn timer_i_absorbs_further_acks_and_then_the_invite_is_a_new_one() {
    let mut world = patient();
    let mut call = Call::new("i");
    let invite = call.request("INVITE");
    world.receive(CALLER, &invite);
    let relayed = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&relayed.text, 486, "callee", ""));
    world.receive(CALLER, &call.companion("ACK"));
    world.drain(CALLER);
    world.drain(D1);
    world.advance(4_999);
    world.receive(CALLER, &call.companion("ACK"));
    world.receive(CALLER, &invite);
    world.quiet(CALLER);
    world.quiet(D1);
    assert_eq!(strays(&world), 0);
    world.advance(AT_MOST_LATER);
    world.receive(CALLER, &invite);
    world.sent_to(D1, "INVITE");
}

#[test]
fn timer_j_answers_a_repeated_request_and_then_it_is_a_new_one() {
    let mut world = patient();
    let mut call = Call::new("j");
    let message = call.request("MESSAGE");
    world.receive(CALLER, &message);
    let relayed = world.sent_to(D1, "MESSAGE");
    world.receive(D1, &reply(&relayed.text, 202, "callee", ""));
    let answer = world.sent_to(CALLER, "SIP/2.0 202");
    world.advance(31_999);
    world.receive(CALLER, &message);
    assert_eq!(world.sent_to(CALLER, "SIP/2.0 202").text, answer.text);
    world.quiet(D1);
    world.advance(AT_MOST_LATER);
    world.receive(CALLER, &message);
    world.sent_to(D1, "MESSAGE");
}

#[test]
fn timer_k_absorbs_a_repeated_answer() {
    let mut world = patient();
    world.receive(CALLER, &Call::new("k").request("MESSAGE"));
    let message = world.sent_to(D1, "MESSAGE");
    let answer = reply(&message.text, 200, "callee", "");
    world.receive(D1, &answer);
    world.drain(CALLER);
    world.advance(4_999);
    world.receive(D1, &answer);
    assert_eq!(world.count(|event| matches!(event, Event::ResponseRepeated { .. })), 1);
    world.advance(AT_MOST_LATER);
    world.receive(D1, &answer);
    world.quiet(CALLER);
    assert_eq!(strays(&world), 1);
}

#[test]
fn timers_l_and_m_keep_an_accepted_invite_for_32_seconds() {
    let mut world = patient();
    let mut call = Call::new("l");
    let invite = call.request("INVITE");
    world.receive(CALLER, &invite);
    let relayed = world.sent_to(D1, "INVITE");
    let ok = reply(&relayed.text, 200, "callee", &format!("sip:1000@{D1}"));
    world.receive(D1, &ok);
    world.drain(CALLER);
    world.advance(31_999);
    world.receive(CALLER, &invite);
    world.quiet(D1);
    world.receive(D1, &ok);
    world.sent_to(CALLER, "SIP/2.0 200");
    world.advance(AT_MOST_LATER);
    world.receive(D1, &ok);
    world.quiet(CALLER);
    assert_eq!(strays(&world), 1);
    world.receive(CALLER, &invite);
    world.sent_to(D1, "INVITE");
}

#[test]
fn timer_c_before_any_response_cancels_nothing_and_is_a_408() {
    // RFC 3261 §16.8. With so long a T1 it runs out before Timer B.
    let yaml = TWO.replace("destinations:", "failover: {on: []}\n    destinations:");
    let mut world = World::new(&format!("{yaml}sip: {{t1: 4s, timer_c: 181s}}\n"));
    world.receive(CALLER, &Call::new("c").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.advance(180_999);
    world.quiet(CALLER);
    world.advance(1);
    world.sent_to(CALLER, "SIP/2.0 408");
    assert!(world.drain(D1).iter().all(|sent| sent.text.starts_with("INVITE")));
    world.quiet(D2);
    world.advance(100_000);
    world.quiet(D1);
}

#[test]
fn a_non_invite_gets_a_100_when_timer_e_has_grown_to_t2_and_not_before() {
    // RFC 4320 §4.1.
    let mut world = patient();
    let mut call = Call::new("trying");
    let message = call.request("MESSAGE");
    world.receive(CALLER, &message);
    let relayed = world.sent_to(D1, "MESSAGE");
    world.advance(3_499);
    world.quiet(CALLER);
    world.advance(1);
    let trying = world.sent_to(CALLER, "SIP/2.0 100");
    // It is repeated for a repetition, as any last response is.
    world.receive(CALLER, &message);
    assert_eq!(world.sent_to(CALLER, "SIP/2.0 100").text, trying.text);
    world.receive(D1, &reply(&relayed.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.advance(10_000);
    world.quiet(CALLER);
    // Who is answered in time gets none.
    world.drain(D1);
    world.receive(CALLER, &call.request("MESSAGE"));
    let relayed = world.sent_to(D1, "MESSAGE");
    world.advance(3_000);
    world.receive(D1, &reply(&relayed.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.advance(10_000);
    world.quiet(CALLER);
    world.settle();
}

#[test]
fn finished_transactions_end_together() {
    let mut world = patient();
    // Off the grain, so that their ends are too.
    world.advance(7);
    let mut wakes = 0;
    for n in 0..200 {
        world.receive(CALLER, &Call::new(&format!("e{n}")).request("MESSAGE"));
        let message = world.sent_to(D1, "MESSAGE");
        world.receive(D1, &reply(&message.text, 202, "callee", ""));
        world.drain(CALLER);
        wakes += world.wakes_within(1);
    }
    wakes += world.wakes_within(32_000 + AT_MOST_LATER);
    let (contexts, clients, servers, _) = world.core.holdings();
    assert_eq!((contexts, clients, servers), (0, 0, 0), "all are forgotten");
    // Each of them has a Timer E that was not needed, and timers K and J.
    assert!(wakes < 100, "{wakes} wakes for 200 requests");
}
