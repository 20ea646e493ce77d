//! Ejection on evidence of requests, Retry-After, last resort, and damping.

use crate::sim::*;
use sipwarden::facts::event::{ChangeReason, Event, ProbeOutcome, TransportReason};
use sipwarden::facts::evidence::Evidence;
use sipwarden::facts::{Admin, State};
use sipwarden::proxy::Input;
use std::time::Duration;

/// As [`TWO`], ejected after two failures.
fn quick() -> String {
    format!("{TWO}    passive: {{consecutive_failures: 2, base_ejection: 10s, max_ejection: 25s}}\n")
}

/// Changes of a destination by a reason.
fn changes(world: &World, why: ChangeReason) -> Vec<(State, State, Option<ProbeOutcome>)> {
    let all = world.events.iter().filter_map(|event| match event {
        Event::DestinationChanged(change) if change.reason == why => {
            Some((change.from, change.to, change.outcome))
        }
        _ => None,
    });
    all.collect()
}

/// What was told of attempts: how they failed, or that they were answered.
fn shown(world: &World) -> Vec<Option<ProbeOutcome>> {
    let all = world.evidence.iter().map(|(_, evidence)| match evidence {
        Evidence::Fails(seen) => Some(seen.outcome),
        Evidence::Answers => None,
        Evidence::Pause { .. } => panic!("a pause is told"),
    });
    all.collect()
}

/// A call that the first destination answers so, with further header lines, and the second one serves.
fn call_refused_by_d1(world: &mut World, id: &str, code: u16, lines: &str) {
    let mut call = Call::new(id);
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.receive(D1, &with(reply(&first.text, code, "one", ""), lines));
    world.sent_to(D1, "ACK");
    if world.core_sent(D2) {
        let second = world.sent_to(D2, "INVITE");
        world.receive(D2, &reply(&second.text, 200, "two", "sip:1000@10.0.1.2:5060"));
    }
    world.drain(CALLER);
}

fn with(reply: String, lines: &str) -> String {
    reply.replace("Content-Length", &format!("{lines}Content-Length"))
}

#[test]
fn the_default_is_five_failures_and_thirty_seconds() {
    let mut world = World::new(TWO);
    for n in 0..4 {
        call_refused_by_d1(&mut world, &format!("c{n}"), 500, "");
        assert_eq!(world.state("d1"), State::Up);
    }
    call_refused_by_d1(&mut world, "c4", 500, "");
    assert_eq!(world.state("d1"), State::Ejected);
    assert!(!world.destination("d1").usable);
    let told = (State::Up, State::Ejected, Some(ProbeOutcome::Rejected(500)));
    assert_eq!(changes(&world, ChangeReason::Passive), [told]);
    let span = world.events.iter().find_map(|event| match event {
        Event::DestinationChanged(change) if change.to == State::Ejected => change.span,
        _ => None,
    });
    let calls = world.records("INVITE");
    let failed = calls.iter().rfind(|call| call.attempts.iter().any(|attempt| attempt.code == 500));
    assert_eq!(span, failed.map(|call| call.span.attempt(1)), "it names the attempt that was one too many");
    world.receive(CALLER, &Call::new("next").request("INVITE"));
    world.sent_to(D2, "INVITE");
    world.quiet(D1);
    // It answers every probe, which changes nothing.
    world.advance(29_000);
    assert_eq!(world.state("d1"), State::Ejected);
    world.advance(1_500);
    assert_eq!(world.state("d1"), State::Up);
    assert_eq!(changes(&world, ChangeReason::EjectionExpired), [(State::Ejected, State::Up, None)]);
    world.drain(CALLER);
    world.receive(CALLER, &Call::new("again").request("INVITE"));
    world.sent_to(D1, "INVITE");
    world.settle();
}

#[test]
fn a_101_to_199_or_any_other_final_answer_begins_the_count_anew() {
    for code in [200, 302, 404, 408, 486, 501, 603] {
        let mut world = World::new(&quick());
        call_refused_by_d1(&mut world, "one", 503, "");
        let mut call = Call::new("alive");
        world.receive(CALLER, &call.request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&first.text, code, "one", "sip:1000@10.0.1.1:5060"));
        world.drain(D1);
        world.drain(D2);
        call_refused_by_d1(&mut world, "two", 503, "");
        assert_eq!(world.state("d1"), State::Up, "{code}");
        call_refused_by_d1(&mut world, "three", 503, "");
        assert_eq!(world.state("d1"), State::Ejected, "{code}");
    }
    // A ringing destination serves, whatever comes of the call.
    let mut world = World::new(&quick());
    for n in 0..6 {
        let mut call = Call::new(&format!("rings{n}"));
        world.receive(CALLER, &call.request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&first.text, 100, "one", ""));
        world.receive(D1, &reply(&first.text, 180, "one", ""));
        world.receive(D1, &reply(&first.text, 503, "one", ""));
        world.drain_all();
    }
    assert_eq!((world.state("d1"), world.evidence.len()), (State::Up, 0), "nobody asked to be told");
}

#[test]
fn a_100_proves_nothing() {
    let mut world = World::new(&quick());
    for n in 0..2 {
        let mut call = Call::new(&format!("trying{n}"));
        world.receive(CALLER, &call.request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&first.text, 100, "one", ""));
        world.receive(D1, &reply(&first.text, 504, "one", ""));
        world.drain_all();
    }
    assert_eq!(world.state("d1"), State::Ejected);
}

#[test]
fn silence_counts_when_its_time_is_over_and_a_late_answer_changes_nothing() {
    let mut world = World::new(&quick());
    for n in 0..2 {
        let mut call = Call::new(&format!("silent{n}"));
        world.receive(CALLER, &call.request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        world.advance(1_999);
        assert_eq!((world.state("d1"), world.evidence.len()), (State::Up, n));
        world.advance(1);
        assert_eq!(shown(&world).last(), Some(&Some(ProbeOutcome::Timeout)));
        let second = world.sent_to(D2, "INVITE");
        world.receive(D2, &reply(&second.text, 486, "two", ""));
        world.receive(D1, &reply(&first.text, 100, "one", ""));
        world.receive(D1, &reply(&first.text, 180, "one", ""));
        world.receive(D1, &reply(&first.text, 487, "one", ""));
        world.drain_all();
    }
    assert_eq!((world.state("d1"), world.evidence.len()), (State::Ejected, 2));
}

#[test]
fn silence_counts_once_even_where_nothing_else_can_be_tried() {
    let mut world = World::new(&quick());
    world.set_admin("d2", Admin::Disabled);
    let mut call = Call::new("alone");
    world.receive(CALLER, &call.request("INVITE"));
    world.advance(40_000);
    world.receive(CALLER, &Call::new("message").request("MESSAGE"));
    world.advance(40_000);
    world.drain_all();
    assert_eq!(shown(&world), [Some(ProbeOutcome::Timeout); 2]);
    assert_eq!(world.state("d1"), State::Up, "it is the last usable one");
    world.set_admin("d2", Admin::Enabled);
    call_refused_by_d1(&mut world, "third", 503, "");
    assert_eq!(world.state("d1"), State::Ejected, "the next failure ejects it");
}

#[test]
fn a_transport_error_counts_at_once_and_over_tcp_too() {
    let mut world = World::new(&quick());
    world.set_unreachable(D1, true);
    for n in 0..2 {
        world.receive(CALLER, &Call::new(&format!("icmp{n}")).request("INVITE"));
    }
    let icmp = ProbeOutcome::Transport(TransportReason::Icmp);
    assert_eq!(changes(&world, ChangeReason::Passive), [(State::Up, State::Ejected, Some(icmp))]);

    let tcp = quick().replace("sip:10.0.1.1:5060", "sip:10.0.1.1:5060;transport=tcp");
    let mut world = World::new(&tcp);
    for n in 0..2 {
        world.receive(CALLER, &Call::new(&format!("refused{n}")).request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        let (message, reason) = (first.text.as_bytes(), TransportReason::Refused);
        world.input(Input::Undeliverable { hop: first.hop, message, reason });
        world.sent_to(D2, "INVITE");
    }
    assert_eq!(world.state("d1"), State::Ejected);
}

#[test]
fn requests_inside_a_dialog_prove_nothing_and_reach_an_ejected_destination() {
    let mut world = World::new(&quick());
    let mut call = Call::new("dialog");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    call.learn(&world.drain(CALLER).last().unwrap().text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    for _ in 0..3 {
        world.receive(CALLER, &call.request("INFO"));
        let info = world.sent_to(D1, "INFO");
        world.receive(D1, &with(reply(&info.text, 503, "one", ""), "Retry-After: 60\r\n"));
    }
    assert_eq!((world.state("d1"), world.evidence.len()), (State::Up, 0));
    call_refused_by_d1(&mut world, "x1", 503, "");
    call_refused_by_d1(&mut world, "x2", 503, "");
    assert_eq!(world.state("d1"), State::Ejected);
    world.receive(CALLER, &call.request("BYE"));
    world.sent_to(D1, "BYE");
}

#[test]
fn the_time_of_an_ejection_doubles_up_to_its_maximum() {
    let mut world = World::new(&quick());
    for (round, seconds) in [10_u64, 20, 25, 25].into_iter().enumerate() {
        for n in 0..2 {
            call_refused_by_d1(&mut world, &format!("r{round}-{n}"), 503, "");
        }
        let until = world.destination("d1").ejected_until.expect("it is ejected");
        assert_eq!((until - world.now).as_secs(), seconds);
        world.advance(seconds * 1_000);
        assert_eq!(world.state("d1"), State::Up);
    }
}

#[test]
fn retry_after_is_honoured_capped_and_told() {
    let mut world = World::new(TWO);
    call_refused_by_d1(&mut world, "busy", 503, "Retry-After: 300 (maintenance);duration=60\r\n");
    assert_eq!(world.state("d1"), State::Throttled);
    let told = (State::Up, State::Throttled, Some(ProbeOutcome::Rejected(503)));
    assert_eq!(changes(&world, ChangeReason::RetryAfter), [told]);
    let until = world.destination("d1").retry_after_until.expect("it is left alone");
    assert_eq!((until - world.now).as_secs(), 60);
    world.receive(CALLER, &Call::new("other").request("INVITE"));
    let second = world.sent_to(D2, "INVITE");
    // The last usable one stays, whatever it asks for.
    world.receive(D2, &with(reply(&second.text, 503, "two", ""), "Retry-After: 30\r\n"));
    assert_eq!((world.state("d1"), world.state("d2")), (State::Throttled, State::Up));
    world.advance(60_000);
    assert_eq!(world.state("d1"), State::Up);
}

#[test]
fn retry_after_of_other_codes_and_where_it_is_not_wanted_is_no_pause() {
    let mut world = World::new(TWO);
    for code in [500, 480, 486, 600] {
        call_refused_by_d1(&mut world, &format!("c{code}"), code, "Retry-After: 30\r\n");
    }
    call_refused_by_d1(&mut world, "zero", 503, "Retry-After: 0\r\n");
    call_refused_by_d1(&mut world, "words", 503, "Retry-After: soon\r\n");
    assert_eq!(world.state("d1"), State::Up);
    world.reload(&format!("{TWO}    retry_after: {{honour: false}}\n    passive: {{enabled: false}}\n"));
    for n in 0..9 {
        call_refused_by_d1(&mut world, &format!("off{n}"), 503, "Retry-After: 30\r\n");
    }
    assert_eq!(world.state("d1"), State::Up);
}

#[test]
fn an_ejected_destination_serves_when_the_other_one_dies() {
    let mut world = World::new(&quick());
    call_refused_by_d1(&mut world, "pause", 503, "Retry-After: 60\r\n");
    assert_eq!(world.state("d1"), State::Throttled);
    world.set_health(D2, Health::Silent);
    world.advance(25_000);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Up, State::Down));
    assert_eq!(changes(&world, ChangeReason::LastResort), [(State::Throttled, State::Up, None)]);
    assert_eq!(world.count(|event| matches!(event, Event::SetChanged { .. })), 0, "it was never all down");
    world.drain_all();
    world.receive(CALLER, &Call::new("last").request("INVITE"));
    world.sent_to(D1, "INVITE");
}

#[test]
fn failovers_are_marked_that_count_against_a_destination() {
    let mut world = World::new(TWO);
    call_refused_by_d1(&mut world, "counts", 503, "");
    let mark = |world: &World| world.records("INVITE").last().unwrap().failovers[0].passive_mark;
    assert!(mark(&world));
    call_refused_by_d1(&mut world, "own408", 408, "");
    assert!(!mark(&world), "a 408 that it sent itself");
}

#[test]
fn other_workers_tell_of_answers_only_while_the_verdicts_ask_for_them() {
    let mut world = World::new(&quick());
    let call = |world: &mut World, id: &str| {
        let mut call = Call::new(id);
        world.receive(CALLER, &call.request("INVITE"));
        let first = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    };
    call(&mut world, "well");
    assert_eq!(world.evidence.len(), 0);
    call_refused_by_d1(&mut world, "fails", 503, "");
    call(&mut world, "again-well");
    world.advance(31_000);
    call(&mut world, "still-well");
    call(&mut world, "and-well");
    assert_eq!(shown(&world), [Some(ProbeOutcome::Rejected(503)), None, None]);
}

#[test]
fn a_destination_that_flaps_has_to_prove_more() {
    let mut world = World::new(&format!("{TWO}    probe: {{interval: 2s, down_after: 1}}\n"));
    let mut proofs = Vec::new();
    for _ in 0..4 {
        world.set_health(D1, Health::Answers(503));
        while world.state("d1") != State::Down {
            world.advance(10);
        }
        world.set_health(D1, Health::Answers(200));
        while world.state("d1") != State::Up {
            world.advance(10);
        }
        proofs.push(world.destination("d1").probe.consecutive_successes);
    }
    assert_eq!(proofs, [1, 1, 2, 4]);
    assert!(world.destination("d1").probe.damped);
    world.advance(u64::try_from(Duration::from_secs(600).as_millis()).unwrap());
    assert!(!world.destination("d1").probe.damped);
}
