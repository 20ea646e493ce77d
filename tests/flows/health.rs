//! Probes, states, all down, recovery.

use crate::sim::*;
use sipwarden::facts::event::{DnsResult, Event, ProbeOutcome, Refusal, TransportReason};
use sipwarden::facts::lookup::Lookup;
use sipwarden::facts::snapshot::{Detail, Snapshot};
use sipwarden::facts::{Admin, State, Transport};
use sipwarden::proxy::Input;

#[test]
fn a_probe_on_demand_decides_at_once_and_is_on_record_as_it_went_over_the_wire() {
    let mut world = World::new(TWO);
    let exchange = world.destination("d1").exchange.expect("it has been probed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(text(&exchange.request).starts_with("OPTIONS sip:10.0.1.1:5060 SIP/2.0\r\n"), "{exchange:?}");
    assert!(text(&exchange.response).starts_with("SIP/2.0 200"), "{exchange:?}");
    assert_eq!(exchange.remote.map(|remote| remote.to_string()).as_deref(), Some(D1));
    world.set_health(D1, Health::Answers(503));
    let d1 = world.target("d1");
    world.input(Input::Probe(vec![d1]));
    world.advance(5);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Failing, State::Up));
    world.set_health(D1, Health::Silent);
    world.input(Input::Probe(vec![d1]));
    world.advance(2_100);
    let exchange = world.destination("d1").exchange.expect("it has been probed");
    assert!(exchange.response.is_empty() && !exchange.request.is_empty(), "{exchange:?}");
}

#[test]
fn a_probe_says_what_its_set_is_told_to_say() {
    let told = "priority\n    probe: {from: \"sip:ping@example.com\", max_forwards: 1, user_agent: pinger}\n";
    let world = World::new(&TWO.replace("priority\n", told));
    let exchange = world.destination("d1").exchange.expect("it has been probed");
    let request = String::from_utf8_lossy(&exchange.request).into_owned();
    assert_eq!(
        (header(&request, "Max-Forwards"), header(&request, "User-Agent")),
        (Some("1"), Some("pinger"))
    );
    assert!(request.contains("From: <sip:ping@example.com>;tag="), "{request}");
}

/// Takes a snapshot one destination at a time; `between` follows the first.
fn drawn_up(world: &mut World, between: impl FnOnce(&mut World)) -> (Snapshot, usize) {
    let mut draft = world.core.begin_snapshot(world.now, Detail::Full);
    assert!(!world.core.continue_snapshot(&mut draft, 1));
    between(world);
    let mut parts = 1;
    loop {
        parts += 1;
        if world.core.continue_snapshot(&mut draft, 1) {
            return (draft.finish(), parts);
        }
    }
}

#[test]
fn a_snapshot_that_is_taken_in_parts_is_that_of_one_moment() {
    let two_sets = format!("{TWO}  other:\n    destinations: [\"sip:10.0.2.1\"]\nroutes: [{{set: pbx}}]\n");
    let mut world = World::new(&two_sets);
    let (snapshot, parts) = drawn_up(&mut world, |_| {});
    let whole = world.core.snapshot(world.now, Detail::Full);
    assert_eq!(format!("{snapshot:?}"), format!("{whole:?}"));
    assert_eq!(parts, 3);

    let (d1, d2) = (world.target("d1"), world.target("d2"));
    let (snapshot, parts) = drawn_up(&mut world, |world| {
        for target in [d1, d2] {
            world.input(Input::SetAdmin { target, admin: Admin::Disabled });
        }
    });
    let states: Vec<_> = snapshot.sets[0].destinations.iter().map(|one| one.state).collect();
    assert_eq!((states, parts), (vec![State::Disabled, State::Disabled], 2), "it began again");
    assert_eq!((snapshot.sets.len(), snapshot.sets[1].destinations.len()), (2, 1));
}

#[test]
fn what_was_down_before_a_restart_gets_no_call_until_its_first_verdict() {
    let mut before = World::new(TWO);
    before.set_health(D1, Health::Silent);
    before.advance(30_000);
    let remembered = before.core.remembered();
    assert!(before.core.take_unsaved() && !before.core.take_unsaved());
    let mut after = World::cold(TWO);
    after.input(Input::Restore(remembered));
    assert_eq!((after.state("d1"), after.state("d2")), (State::Down, State::Unknown));
    after.receive(CALLER, &Call::new("early").request("INVITE"));
    after.sent_to(D2, "INVITE");
    after.advance(1_500);
    assert_eq!(after.state("d1"), State::Up, "the first verdict decides alone");
}

#[test]
fn the_first_probe_decides_alone_and_nothing_waits_for_it() {
    let mut world = World::cold(TWO);
    assert_eq!(world.state("d1"), State::Unknown);
    world.receive(CALLER, &Call::new("early").request("INVITE"));
    world.sent_to(D1, "INVITE");
    world.set_health(D2, Health::Silent);
    world.advance(3_000);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Up, State::Down));
}

#[test]
fn three_failures_make_it_down_and_one_success_up_again() {
    let mut world = World::new(TWO);
    world.set_health(D1, Health::Silent);
    let died = world.now;
    let mut failing = None;
    while world.state("d1") != State::Down {
        world.advance(10);
        if world.state("d1") == State::Failing {
            failing.get_or_insert(world.now);
            assert!(world.destination("d1").usable);
        }
        assert!((world.now - died).as_secs() < 20, "never down");
    }
    assert!(failing.is_some());
    // At most the interval with jitter, three time-outs of 2 s, twice the fast interval of 1 s.
    assert!((world.now - died).as_millis() <= 11_000 + 6_000 + 2_000, "{:?}", world.now - died);
    assert!(!world.is_all_down());
    world.receive(CALLER, &Call::new("other").request("INVITE"));
    world.sent_to(D2, "INVITE");
    world.quiet(D1);
    world.set_health(D1, Health::Answers(200));
    world.advance(12_000);
    assert_eq!(world.state("d1"), State::Up);
}

#[test]
fn reasons_of_failure_are_told_apart() {
    let mut world = World::new(TWO);
    world.set_health(D1, Health::Unreachable);
    world.set_health(D2, Health::Answers(503));
    world.advance(11_000);
    assert_eq!(
        world.destination("d1").probe.last_outcome,
        Some(ProbeOutcome::Transport(TransportReason::Icmp))
    );
    assert_eq!(world.destination("d2").probe.last_outcome, Some(ProbeOutcome::Rejected(503)));
    world.set_health(D1, Health::Silent);
    world.set_health(D2, Health::Answers(404));
    world.advance(15_000);
    assert_eq!(world.destination("d1").probe.last_outcome, Some(ProbeOutcome::Timeout));
    assert_eq!(world.destination("d2").probe.last_outcome, Some(ProbeOutcome::Accepted(404)));
    assert_eq!(world.state("d2"), State::Up);
}

#[test]
fn all_down_gets_503_with_retry_after_and_recovery_calls() {
    let mut world = World::new(TWO);
    world.set_health(D1, Health::Silent);
    world.set_health(D2, Health::Silent);
    world.advance(30_000);
    assert!(world.is_all_down());
    assert_eq!(world.count(|event| matches!(event, Event::SetChanged { all_down: true, .. })), 1);
    let mut call = Call::new("down");
    world.receive(CALLER, &call.request("INVITE"));
    let refused = world.sent_to(CALLER, "SIP/2.0 503");
    assert_eq!(header(&refused.text, "Retry-After"), Some("5"));
    assert_eq!(header(&refused.text, "Warning"), Some("399 sipwarden \"no destination is usable\""));
    world.receive(CALLER, &call.companion("ACK"));
    world.quiet(D1);
    world.quiet(D2);
    let refused =
        world.count(|event| matches!(event, Event::RequestRefused { reason: Refusal::NoneUsable, .. }));
    assert_eq!((refused, world.records("INVITE")[0].refusal), (1, Some(Refusal::NoneUsable)));

    world.set_health(D2, Health::Answers(200));
    world.advance(12_000);
    assert!(!world.is_all_down());
    assert_eq!(world.count(|event| matches!(event, Event::SetChanged { all_down: false, .. })), 1);
    world.receive(CALLER, &Call::new("back").request("INVITE"));
    world.sent_to(D2, "INVITE");
}

#[test]
fn options_to_us_tells_whether_calls_are_welcome() {
    // Two sets: one that serves is enough.
    let yaml = format!(
        "{TWO}  fax:\n    reject_retry_after: 3s\n    destinations: [{{id: d3, uri: \"sip:10.0.1.3:5060\"}}]\nroutes: [{{set: pbx}}]\n"
    );
    let ask = |world: &mut World| {
        let mut call = Call::new(&format!("ping-{}", world.events.len()));
        call.uri = format!("sip:{PROXY}");
        world.receive(CALLER, &call.request("OPTIONS"));
        world.sent_to(CALLER, "SIP/2.0").text
    };
    for (mode, all_down, draining) in
        [("auto", "503", "503"), ("drain_only", "200", "503"), ("always_200", "200", "200")]
    {
        let mut world = World::new(&format!("{yaml}sip: {{options_reply: {mode}}}\n"));
        assert!(ask(&mut world).starts_with("SIP/2.0 200"));
        for destination in [D1, D2] {
            world.set_health(destination, Health::Silent);
        }
        world.advance(30_000);
        assert!(ask(&mut world).starts_with("SIP/2.0 200"), "one set still serves");
        world.set_health("10.0.1.3:5060", Health::Silent);
        world.advance(30_000);
        world.events.clear();
        let answer = ask(&mut world);
        assert!(answer.starts_with(&format!("SIP/2.0 {all_down}")), "{mode}: {answer}");
        let refused = |world: &World, wanted: Refusal| {
            world.count(
                |event| matches!(event, Event::RequestRefused { set: None, reason, .. } if *reason == wanted),
            )
        };
        assert_eq!(refused(&world, Refusal::NoneUsable), usize::from(all_down == "503"), "{mode}");
        if all_down == "503" {
            assert_eq!(header(&answer, "Retry-After"), Some("3"));
            assert_eq!(header(&answer, "Warning"), Some("399 sipwarden \"no destination is usable\""));
        } else {
            assert!(header(&answer, "Allow").is_some());
        }
        world.set_health(D1, Health::Answers(200));
        world.advance(30_000);
        assert!(ask(&mut world).starts_with("SIP/2.0 200"));
        world.input(Input::Drain);
        let answer = ask(&mut world);
        assert!(answer.starts_with(&format!("SIP/2.0 {draining}")), "{mode}: {answer}");
        assert_eq!(header(&answer, "Retry-After").is_some(), draining == "503");
        assert_eq!(refused(&world, Refusal::ShuttingDown), usize::from(draining == "503"));
        world.settle();
    }
}

#[test]
fn a_disabled_destination_gets_no_calls_but_is_probed() {
    let mut world = World::new(TWO);
    world.set_admin("d1", Admin::Disabled);
    assert_eq!(world.state("d1"), State::Disabled);
    world.receive(CALLER, &Call::new("disabled").request("INVITE"));
    world.sent_to(D2, "INVITE");
    let before = world.destination("d1").probes.len();
    world.advance(12_000);
    assert!(world.destination("d1").probes.len() > before);
    world.set_admin("d2", Admin::Draining);
    assert!(!world.is_all_down(), "nothing enabled is not all down");
    let mut call = Call::new("nobody");
    world.drain(CALLER);
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 503");
    world.set_admin("d1", Admin::Enabled);
    assert_eq!(world.state("d1"), State::Up);
}

#[test]
fn the_probe_of_a_name_waits_for_the_first_answer_of_the_resolver() {
    let yaml = TWO.replace("sip:10.0.1.1:5060", "sip:pbx.example:5060");
    let mut world = World::cold(&yaml);
    let (name, transport) = ("pbx.example".into(), Transport::Udp);
    let lookup = Lookup { name, port: Some(5060), transport };
    assert_eq!(world.core.take_lookups(), Some(vec![lookup]));
    world.advance(3_000);
    assert_eq!((world.state("d1"), world.destination("d1").probes.len()), (State::Unknown, 0));
    world.resolve("pbx.example", DnsResult::Timeout, &[]);
    world.advance(1_000);
    assert_eq!(world.state("d1"), State::Down);
    world.resolve("pbx.example", DnsResult::Ok, &[found(D1)]);
    world.advance(1_500);
    assert_eq!((world.state("d1"), world.destination("d1").address), (State::Up, Some(address(D1))));
    // A name that stops resolving keeps its last good address, and says so.
    world.resolve("pbx.example", DnsResult::NxDomain, &[]);
    let kept = world.destination("d1");
    assert_eq!((kept.state, kept.address, kept.dns_stale), (State::Up, Some(address(D1)), true));
}

#[test]
fn a_destination_that_starts_a_moment_after_us_is_up_within_the_fast_interval() {
    let mut world = World::cold(TWO);
    world.set_health(D1, Health::Unreachable);
    world.advance(100);
    assert_eq!(world.state("d1"), State::Down);
    world.set_health(D1, Health::Answers(200));
    world.advance(1_000);
    assert_eq!(world.state("d1"), State::Up);
    // One that stays away is asked in its own time after as many failures as the threshold says.
    world.set_health(D1, Health::Unreachable);
    world.advance(60_000);
    let before = world.destination("d1").probes.last().map(|probe| probe.at);
    world.advance(5_000);
    let since = world.destination("d1").probes.iter().filter(|probe| Some(probe.at) > before).count();
    assert!(since <= 1, "{since} probes in 5 s");
}
