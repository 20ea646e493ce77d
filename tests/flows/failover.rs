//! Giving up on one destination for the next.

use crate::sim::*;
use sipwarden::facts::event::{
    AttemptOutcome, Cause, Event, FatalTimer, Origin, SelectionReason, TransportReason,
};

fn failover_causes(world: &World) -> Vec<Cause> {
    let causes = world.events.iter().filter_map(|event| match event {
        Event::FailedOver { cause, .. } => Some(*cause),
        _ => None,
    });
    causes.collect()
}

fn fails_over_on(code: u16, cause: Cause) {
    let mut world = World::new(TWO);
    let mut call = Call::new("fo");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let first = world.sent_to(D1, "INVITE");
    world.advance(20);
    world.receive(D1, &reply(&first.text, code, "one", ""));
    world.sent_to(D1, "ACK");
    let second = world.sent_to(D2, "INVITE");
    assert_ne!(header(&first.text, "Via"), header(&second.text, "Via"), "a branch of its own");
    world.advance(30);
    world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    let answer = world.sent_to(CALLER, "SIP/2.0 200");
    call.learn(&answer.text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D2, "ACK");
    world.quiet(D1);
    assert_eq!(failover_causes(&world), [cause]);

    let records = world.records("INVITE");
    let record = records[0];
    assert_eq!((record.code, record.attempts.len(), record.failovers.len()), (200, 2, 1));
    assert_eq!((record.attempts[0].code, record.attempts[1].code), (code, 200));
    assert_eq!(record.failovers[0].at, record.attempts[1].started);
    assert_eq!((record.ended - record.started).as_millis(), 50);
    let reasons: Vec<SelectionReason> = record.selections.iter().map(|selection| selection.reason).collect();
    assert_eq!(reasons, [SelectionReason::Primary, SelectionReason::Failover]);
    world.settle();
}

#[test]
fn on_503() {
    fails_over_on(503, Cause::Code503);
}

#[test]
fn on_500() {
    fails_over_on(500, Cause::Code500);
}

#[test]
fn not_on_404() {
    let mut world = World::new(TWO);
    let mut call = Call::new("404");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let first = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&first.text, 404, "one", ""));
    world.sent_to(CALLER, "SIP/2.0 404");
    world.quiet(D2);
    world.settle();
}

#[test]
fn on_silence_and_the_late_answer_of_the_first_is_cancelled() {
    let mut world = World::new(TWO);
    let mut call = Call::new("silent");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let first = world.sent_to(D1, "INVITE");
    world.advance(1_999);
    world.quiet(D2);
    world.advance(1);
    let second = world.sent_to(D2, "INVITE");
    assert_eq!(failover_causes(&world), [Cause::Timeout]);
    world.receive(D2, &reply(&second.text, 180, "two", ""));
    world.sent_to(CALLER, "SIP/2.0 180");
    world.drain(D1);
    // The first one wakes up: its provisional response is swallowed and answered with a CANCEL.
    world.receive(D1, &reply(&first.text, 180, "one", ""));
    let cancel = world.sent_to(D1, "CANCEL sip:1000@");
    assert_eq!(header(&cancel.text, "Via"), header(&first.text, "Via"));
    world.receive(D1, &reply(&cancel.text, 200, "one", ""));
    world.receive(D1, &reply(&first.text, 487, "one", ""));
    world.sent_to(D1, "ACK");
    world.quiet(CALLER);
    world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    world.sent_to(CALLER, "SIP/2.0 200");
    assert_eq!(world.records("INVITE")[0].attempts[0].outcome, AttemptOutcome::Answered);
    world.settle();
}

#[test]
fn a_2xx_of_a_destination_given_up_goes_up_and_ends_the_other() {
    let mut world = World::new(TWO);
    let mut call = Call::new("late");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 180, "two", ""));
    world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 200").then_some(()).expect("200 goes up");
    world.sent_to(D2, "CANCEL");
    world.receive(D2, &reply(&second.text, 487, "two", ""));
    world.sent_to(D2, "ACK");
    world.quiet(CALLER);
    let record = world.records("INVITE")[0];
    assert_eq!((record.code, record.origin), (200, Origin::Upstream));
    assert_eq!(record.attempts[1].outcome, AttemptOutcome::Pending);
    world.settle();
}

#[test]
fn on_icmp_at_once() {
    let mut world = World::new(TWO);
    world.set_unreachable(D1, true);
    let mut call = Call::new("icmp");
    world.receive(CALLER, &call.request("INVITE"));
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    assert_eq!(failover_causes(&world), [Cause::TransportError]);
    let outcome = world.records("INVITE")[0].attempts[0].outcome;
    assert_eq!(outcome, AttemptOutcome::Transport(TransportReason::Icmp));
    world.settle();
}

#[test]
fn an_icmp_error_after_a_response_concerns_nothing() {
    let mut world = World::new(TWO);
    let mut call = Call::new("icmp-late");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&first.text, 180, "one", ""));
    let reason = TransportReason::Icmp;
    let quote = first.text.as_bytes().to_vec();
    world.input(sipwarden::proxy::Input::Undeliverable { hop: first.hop, message: &quote, reason });
    world.quiet(D2);
    world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    assert_eq!(world.records("INVITE")[0].code, 200);
}

#[test]
fn all_failed_sends_the_best_response_up_and_a_503_as_500() {
    let mut world = World::new(TWO);
    let mut call = Call::new("exhausted");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    for at in [D1, D2] {
        let invite = world.sent_to(at, "INVITE");
        world.receive(at, &reply(&invite.text, 503, "x", ""));
        world.sent_to(at, "ACK");
    }
    let answer = world.sent_to(CALLER, "SIP/2.0 500");
    assert_eq!(header(&answer.text, "Retry-After"), Some("5"));
    let warning = header(&answer.text, "Warning");
    assert_eq!(warning, Some("399 sipwarden \"every attempt failed, the last with 503\""));
    assert_eq!(world.count(|event| matches!(event, Event::FailoversExhausted { .. })), 1);
    let record = world.records("INVITE")[0];
    assert_eq!((record.code, record.origin, record.refusal), (500, Origin::Local, None));
    world.receive(CALLER, &call.companion("ACK"));
    world.settle();
}

#[test]
fn the_final_code_goes_up_when_every_attempt_failed_and_only_then() {
    let config =
        TWO.replace("priority\n", "priority\n    failover: {final_code: 503}\n    reject_retry_after: 7s\n");
    let mut world = World::new(&config);
    let mut call = Call::new("final");
    for (last, expected) in [(500, 503), (404, 404), (486, 486), (603, 603)] {
        world.receive(CALLER, &call.request("INVITE"));
        world.sent_to(CALLER, "SIP/2.0 100");
        for (at, code) in [(D1, 502), (D2, last)] {
            let invite = world.sent_to(at, "INVITE");
            world.receive(at, &reply(&invite.text, code, "x", ""));
            world.sent_to(at, "ACK");
        }
        let answer = world.sent_to(CALLER, &format!("SIP/2.0 {expected}"));
        assert_eq!(answer.text.contains("Retry-After: 7\r\n"), expected == 503, "{}", answer.text);
        assert_eq!(answer.text.contains("every attempt failed, the last with 500"), expected == 503);
        world.receive(CALLER, &call.companion("ACK"));
    }
    world.receive(CALLER, &call.request("MESSAGE"));
    world.advance(60_000);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
    world.drain(D1);
    world.settle();
}

#[test]
fn all_silent_ends_in_408_when_the_last_has_had_its_time() {
    let mut world = World::new(TWO);
    let mut call = Call::new("silence");
    let start = world.now;
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.advance(33_999);
    world.quiet(CALLER);
    world.advance(1);
    let answer = world.sent_to(CALLER, "SIP/2.0 408");
    assert!(answer.text.contains("every attempt failed, the last without a response"), "{}", answer.text);
    assert!(!answer.text.contains("Retry-After"), "{}", answer.text);
    assert_eq!((world.now - start).as_millis(), 2_000 + 32_000);
    let record = world.records("INVITE")[0];
    assert_eq!(record.attempts[1].outcome, AttemptOutcome::TimedOut(FatalTimer::B));
    world.settle();
}

#[test]
fn a_message_is_not_repeated_on_silence_but_is_on_a_listed_final() {
    let mut world = World::new(TWO);
    let mut call = Call::new("message");
    world.receive(CALLER, &call.request("MESSAGE"));
    world.advance(60_000);
    world.quiet(D2);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
    assert!(world.records("MESSAGE").is_empty(), "RFC 4320: no 408 to a non-INVITE");
    assert_eq!(world.count(|event| matches!(event, Event::RequestUnanswered(_))), 1);
    world.drain(D1);
    world.receive(CALLER, &call.request("MESSAGE"));
    let first = world.sent_to(D1, "MESSAGE");
    world.receive(D1, &reply(&first.text, 503, "x", ""));
    let second = world.sent_to(D2, "MESSAGE");
    world.receive(D2, &reply(&second.text, 200, "x", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.settle();
}

#[test]
fn register_goes_on_after_six_seconds_and_ends_in_504() {
    let mut world = World::new(TWO);
    let mut call = Call::new("register");
    world.receive(CALLER, &call.request("REGISTER"));
    world.advance(5_999);
    world.quiet(D2);
    world.advance(1);
    world.sent_to(D2, "REGISTER");
    world.sent_to(CALLER, "SIP/2.0 100");
    world.quiet(CALLER);
    world.advance(6_000);
    world.sent_to(CALLER, "SIP/2.0 504");
    world.settle();
}

#[test]
fn no_attempt_starts_after_the_total() {
    let mut world = World::new(&TWO.replace("destinations:", "failover: {total: 1s}\n    destinations:"));
    let mut call = Call::new("total");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 100");
    let first = world.sent_to(D1, "INVITE");
    world.advance(1_000);
    world.receive(D1, &reply(&first.text, 503, "x", ""));
    world.sent_to(CALLER, "SIP/2.0 500");
    world.quiet(D2);
}

#[test]
fn a_2xx_after_another_final_response_is_repeated_until_its_ack() {
    let mut world = World::new(TWO);
    let mut call = Call::new("late-repeated");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 486, "two", ""));
    world.receive(CALLER, &call.companion("ACK"));
    // The server transaction of the INVITE has been over for long.
    world.advance(20_000);
    world.drain(CALLER);
    let answer = reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060");
    for _ in 0..3 {
        world.receive(D1, &answer);
        world.sent_to(CALLER, "SIP/2.0 200");
        world.advance(4_000);
    }
    world.settle();
}

#[test]
fn a_request_given_up_in_silence_absorbs_its_late_repetitions() {
    let mut world = World::new(TWO);
    let mut call = Call::new("silent-message");
    let message = call.request("MESSAGE");
    world.receive(CALLER, &message);
    world.advance(32_000);
    assert_eq!(world.drain(D1).len(), 11);
    assert_eq!(world.core.unfinished(), 0);
    world.sent_to(CALLER, "SIP/2.0 100");
    world.advance(800);
    // Sent 31.5 s after the first, and long under way.
    world.receive(CALLER, &message);
    world.quiet(CALLER);
    world.quiet(D1);
    world.quiet(D2);
    assert_eq!(world.count(|event| matches!(event, Event::RequestReceived { .. })), 1);
    world.settle();
}
