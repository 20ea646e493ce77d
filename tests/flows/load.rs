//! Calls counted on each destination, and what is refused for a limit.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::State;
use sipwarden::facts::event::{Event, Refusal, SelectionFailure, SkipReason};
use sipwarden::proxy::Input;
use std::time::Duration;

/// [`TWO`] with a limit for each destination.
fn limited(limit: &str) -> String {
    TWO.replace("5060\"}", &format!("5060\", {limit}}}"))
}

/// Begins a call and returns its INVITE as the destination got it.
fn begin(world: &mut World, id: &str, at: &str) -> (Call, Sent) {
    let mut call = Call::new(id);
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(at, "INVITE");
    (call, invite)
}

fn expired(world: &World) -> usize {
    world.count(|event| matches!(event, Event::DialogExpired { .. }))
}

#[test]
fn a_call_counts_from_its_invite_to_its_bye() {
    let mut world = World::new(TWO);
    let (mut call, invite) = begin(&mut world, "counted", D1);
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 0));
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    let answer = world.sent_to(CALLER, "SIP/2.0 200");
    call.learn(&answer.text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.request("INVITE"));
    let again = world.sent_to(D1, "INVITE");
    assert_eq!(world.calls("d1"), 1, "an INVITE inside a dialog is no further call");
    world.receive(D1, &reply(&again.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    world.receive(CALLER, &call.ack());
    world.drain_all();
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    assert_eq!(world.calls("d1"), 1);
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    assert_eq!((world.calls("d1"), expired(&world)), (0, 0));
    world.settle();
}

#[test]
fn a_reset_and_another_address_forget_rate_and_response_time_and_no_call() {
    let mut world = World::new(&limited("max_cps: 1"));
    let used_up = |world: &mut World, round: &str, first: &str| {
        let (_, invite) = begin(world, &format!("{round}-1"), first);
        begin(world, &format!("{round}-2"), D2);
        world.advance(400);
        world.receive(first, &reply(&invite.text, 180, "callee", ""));
        world.sent_to(CALLER, "SIP/2.0 180");
        assert!(world.destination("d1").load.response_time > Some(Duration::from_millis(50)));
        world.receive(CALLER, &Call::new(&format!("{round}-3")).request("INVITE"));
        world.sent_to(CALLER, "SIP/2.0 503");
    };
    used_up(&mut world, "start", D1);
    world.input(Input::Forget);
    world.advance(20);
    assert!(world.destination("d1").load.response_time < Some(Duration::from_millis(50)), "that of a probe");
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 1));

    used_up(&mut world, "reset", D1);
    world.reload(&limited("max_cps: 1").replace(D1, "10.0.1.3:5060"));
    world.advance(20);
    assert!(world.destination("d1").load.response_time < Some(Duration::from_millis(50)));
    assert_eq!((world.calls("d1"), world.calls("d2")), (2, 2));
    begin(&mut world, "moved", "10.0.1.3:5060");
    world.receive(CALLER, &Call::new("d2-is-full").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 503");
}

#[test]
fn a_failed_call_ends_at_once_and_the_next_destination_has_it() {
    let mut world = World::new(TWO);
    let (_, invite) = begin(&mut world, "failed", D1);
    world.receive(D1, &reply(&invite.text, 503, "busy", ""));
    assert_eq!((world.calls("d1"), world.calls("d2")), (0, 1));
    let invite = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&invite.text, 486, "busy", ""));
    assert_eq!((world.calls("d1"), world.calls("d2")), (0, 0));
    world.settle();
}

#[test]
fn a_silent_destination_has_the_call_until_timer_b() {
    let mut world = World::new(TWO);
    let (_, _) = begin(&mut world, "silent", D1);
    world.advance(2_000);
    world.sent_to(D2, "INVITE");
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 1));
    world.advance(29_999);
    assert_eq!(world.calls("d1"), 1);
    world.advance(1);
    assert_eq!((world.calls("d1"), world.calls("d2")), (0, 1));
    world.settle();
    assert_eq!(world.calls("d2"), 0);
}

#[test]
fn a_cancelled_call_ends_with_its_487() {
    let mut world = World::new(TWO);
    let (call, invite) = begin(&mut world, "cancelled", D1);
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    assert_eq!(world.calls("d1"), 1);
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    assert_eq!(world.calls("d1"), 0);
    world.settle();
}

#[test]
fn both_count_when_two_destinations_answer() {
    let mut world = World::new(TWO);
    let (_, first) = begin(&mut world, "twice", D1);
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 1), "the caller will end one of them");
}

#[test]
fn a_call_whose_bye_nobody_answers_ends_with_the_bye() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "lost-bye", D1);
    world.receive(CALLER, &call.request("BYE"));
    world.advance(31_999);
    assert_eq!(world.calls("d1"), 1);
    world.advance(1);
    assert_eq!((world.calls("d1"), expired(&world)), (0, 0));
}

#[test]
fn a_call_without_a_bye_is_forgotten_in_the_end_and_counted_as_such() {
    let mut world = World::new(&format!("{TWO}limits: {{max_call_age: 60s}}\n"));
    establish(&mut world, "forgotten", D1);
    world.advance(59_000);
    assert_eq!((world.calls("d1"), expired(&world)), (1, 0));
    // Within a thirty-second of the age it is noticed.
    world.advance(3_000);
    assert_eq!((world.calls("d1"), expired(&world)), (0, 1));
}

#[test]
fn a_call_of_which_nothing_can_be_remembered_is_counted_as_forgotten_at_once() {
    let mut world = World::new(TWO);
    let (_, invite) = begin(&mut world, "contactless", D1);
    world.receive(D1, &reply(&invite.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    assert_eq!((world.calls("d1"), expired(&world)), (0, 1));
}

#[test]
fn out_of_the_path_of_dialogs_a_call_counts_until_it_is_answered() {
    let mut world = World::new(&format!("{TWO}sip: {{record_route: false}}\n"));
    let (_, invite) = begin(&mut world, "beside", D1);
    assert_eq!(world.calls("d1"), 1);
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    assert_eq!((world.calls("d1"), expired(&world)), (0, 0));
}

#[test]
fn full_destinations_are_passed_over_and_when_all_are_the_call_is_refused() {
    let mut world = World::new(&limited("max_calls: 1"));
    let (mut call, _) = establish(&mut world, "first", D1);
    let (_, second) = begin(&mut world, "second", D2);
    let record = |world: &World, at: usize| world.records("INVITE")[at].clone();
    let mut third = Call::new("third");
    world.receive(CALLER, &third.request("INVITE"));
    let refusal = world.sent_to(CALLER, "SIP/2.0 503");
    assert_eq!(header(&refusal.text, "Retry-After"), Some("5"));
    assert_eq!(header(&refusal.text, "Warning"), Some("399 sipwarden \"every destination is full\""));
    let all_full =
        |event: &Event| matches!(event, Event::SelectionFailed { reason: SelectionFailure::AllFull, .. });
    assert_eq!(world.count(all_full), 1);
    let told = record(&world, 1);
    assert_eq!(told.refusal, Some(Refusal::AllFull));
    let (d1, d2) = (world.target("d1"), world.target("d2"));
    assert_eq!(told.selections[0].skipped[..], [(d1, SkipReason::Full), (d2, SkipReason::Full)]);
    assert_eq!((told.selections[0].available, world.state("d1"), world.is_all_down()), (2, State::Up, false));

    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(D1, "INVITE");
    let mut other = Call::new("other");
    world.receive(CALLER, &other.request("OPTIONS"));
    world.sent_to(D1, "OPTIONS");
    world.receive(D2, &reply(&second.text, 486, "busy", ""));
    begin_after(&mut world, "fourth", D2);
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 1));
}

/// The same as [`begin`] when the caller has messages of others waiting.
fn begin_after(world: &mut World, id: &str, at: &str) -> (Call, Sent) {
    world.drain(CALLER);
    world.drain(at);
    begin(world, id, at)
}

#[test]
fn a_failed_call_finds_nobody_else_while_the_others_are_full() {
    let mut world = World::new(&limited("max_calls: 1"));
    let (_, first) = begin(&mut world, "first", D1);
    let (_, _) = begin(&mut world, "second", D2);
    world.receive(D1, &reply(&first.text, 503, "busy", ""));
    world.quiet(D2);
    let refused =
        |event: &Event| matches!(event, Event::SelectionFailed { reason: SelectionFailure::AllFull, .. });
    assert_eq!(world.count(refused), 1);
    assert_eq!((world.calls("d1"), world.calls("d2")), (0, 1));
    world.sent_to(CALLER, "SIP/2.0 500");
}

#[test]
fn a_rate_lets_the_calls_of_a_second_pass_and_then_one_by_one() {
    let mut world = World::new(&limited("max_cps: 2"));
    let places = |world: &mut World, from: usize, count: usize| -> Vec<&str> {
        (from..from + count)
            .map(|number| {
                world.drain_all();
                world.receive(CALLER, &Call::new(&format!("n{number}")).request("INVITE"));
                match (world.core_sent(D1), world.core_sent(D2)) {
                    (true, false) => "d1",
                    (false, true) => "d2",
                    _ => "nobody",
                }
            })
            .collect()
    };
    assert_eq!(places(&mut world, 0, 5), ["d1", "d1", "d2", "d2", "nobody"]);
    world.advance(500);
    assert_eq!(places(&mut world, 5, 3), ["d1", "d2", "nobody"]);
}

#[test]
fn the_same_call_with_credentials_goes_to_who_asked_for_them_and_takes_no_turn_of_its_rate() {
    let mut world = World::new(&limited("max_calls: 1, max_cps: 1"));
    let (mut call, invite) = begin(&mut world, "digest", D1);
    world.receive(D1, &reply(&invite.text, 401, "asks", ""));
    world.sent_to(CALLER, "SIP/2.0 401");
    assert_eq!(world.calls("d1"), 0);
    world.receive(CALLER, &call.companion("ACK"));
    world.drain(D1);
    world.receive(CALLER, &call.request_with("INVITE", "Authorization: Digest x\r\n"));
    world.sent_to(D1, "INVITE");
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 0));
}

#[test]
fn the_same_call_with_credentials_goes_elsewhere_when_who_asked_for_them_is_full() {
    let mut world = World::new(&limited("max_calls: 1"));
    let (mut call, invite) = begin(&mut world, "digest", D1);
    world.receive(D1, &reply(&invite.text, 401, "asks", ""));
    world.receive(CALLER, &call.companion("ACK"));
    begin_after(&mut world, "meanwhile", D1);
    world.receive(CALLER, &call.request_with("INVITE", "Authorization: Digest x\r\n"));
    world.sent_to(D2, "INVITE");
    assert_eq!((world.calls("d1"), world.calls("d2")), (1, 1));
}

#[test]
fn a_removed_destination_keeps_its_calls_and_finds_them_when_it_is_back() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "kept", D1);
    world.reload(&TWO.replace("{id: d1, uri: \"sip:10.0.1.1:5060\"}, ", ""));
    world.reload(TWO);
    assert_eq!(world.calls("d1"), 1);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    assert_eq!(world.calls("d1"), 0);
}

#[test]
fn response_times_are_those_of_probes_and_of_first_responses() {
    let mut world = World::new(TWO);
    assert!(world.destination("d1").load.response_time.is_some(), "a probe was answered");
    let (_, invite) = begin(&mut world, "slow", D1);
    world.advance(500);
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    let told = world.destination("d1").load.response_time.unwrap().as_millis();
    assert_eq!(told, 100, "a fifth of the new one");
    world.receive(D1, &reply(&invite.text, 183, "callee", ""));
    assert_eq!(world.destination("d1").load.response_time.unwrap().as_millis(), 100, "the first one only");
}

#[test]
fn a_refused_bye_ends_the_call_and_a_challenged_one_does_not() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "refused", D1);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 401, "callee", ""));
    assert_eq!(world.calls("d1"), 1, "it comes again with credentials");
    world.receive(CALLER, &call.request_with("BYE", "Authorization: Digest x\r\n"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 500, "callee", ""));
    assert_eq!((world.calls("d1"), expired(&world)), (0, 0));
}

#[test]
fn a_call_with_a_contact_too_long_to_keep_counts_as_any_other() {
    let mut world = World::new(TWO);
    let (mut call, invite) = begin(&mut world, "long", D1);
    let contact = format!("sip:{}@10.0.1.1:5060", "c".repeat(600));
    world.receive(D1, &reply(&invite.text, 200, "callee", &contact));
    call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    assert_eq!((world.calls("d1"), expired(&world)), (1, 0));
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    assert_eq!(world.calls("d1"), 0);
    world.settle();
}

#[test]
fn one_challenge_lets_one_call_past_the_rate() {
    let mut world = World::new(&limited("max_cps: 1"));
    let (mut call, mut invite) = begin(&mut world, "again", D1);
    world.receive(CALLER, &Call::new("other").request("INVITE"));
    world.sent_to(D2, "INVITE");
    for round in 0..3 {
        world.receive(D1, &reply(&invite.text, 401, "asks", ""));
        world.receive(CALLER, &call.companion("ACK"));
        world.drain_all();
        world.receive(CALLER, &call.request_with("INVITE", "Authorization: Digest x\r\n"));
        if round > 0 {
            world.sent_to(CALLER, "SIP/2.0 503");
            return;
        }
        invite = world.sent_to(D1, "INVITE");
    }
}
