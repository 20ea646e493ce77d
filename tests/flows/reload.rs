//! Reloads under traffic, and shutting down.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::event::Event;
use sipwarden::facts::{Admin, State};
use sipwarden::proxy::Input;

const ONE: &str = "
listen: [\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"]
sets:
  pbx:
    algorithm: priority
    destinations: [{id: d2, uri: \"sip:10.0.1.2:5060\"}]
";

#[test]
fn a_removed_destination_finishes_its_calls_and_gets_no_new_ones() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "kept", D1);
    let mut ringing = Call::new("ringing");
    world.receive(CALLER, &ringing.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.drain(CALLER);
    world.reload(ONE);
    assert_eq!(world.count(|event| matches!(event, Event::ConfigApplied(applied) if applied.removed == 1 && applied.kept == 1)), 1);

    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    ringing.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
    world.receive(CALLER, &ringing.ack());
    world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.request("BYE"));
    world.sent_to(D1, "BYE");
    world.receive(CALLER, &Call::new("new").request("INVITE"));
    world.sent_to(D2, "INVITE");
    world.quiet(D1);
}

#[test]
fn a_reload_tells_what_it_changes() {
    let mut world = World::new(TWO);
    let other = TWO.replace("id: d2,", "id: d2, weight: 3,");
    world.reload(&format!(
        "{other}  more: {{destinations: [\"sip:10.0.1.3:5060\"]}}\nroutes: [{{set: pbx}}]\n"
    ));
    world.reload(TWO);
    let applied = world.events.iter().filter_map(|event| match event {
        Event::ConfigApplied(applied) => Some(&**applied),
        _ => None,
    });
    let told: Vec<_> = applied
        .map(|it| [it.added, it.removed, it.kept, it.changed, it.sets_added, it.sets_removed])
        .collect();
    assert_eq!(told, [[1, 0, 2, 1, 1, 0], [0, 1, 2, 1, 0, 1]]);
}

#[test]
fn a_kept_destination_keeps_its_state_and_the_wish_of_the_administrator() {
    let mut world = World::new(TWO);
    world.set_health(D1, Health::Silent);
    world.advance(30_000);
    world.set_admin("d2", Admin::Draining);
    let since = world.destination("d1").since;
    world.reload(TWO);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Down, State::Draining));
    assert_eq!(world.destination("d1").since, since);
}

#[test]
fn a_reset_forgets_states_and_wishes_and_probes_at_once() {
    let mut world = World::new(TWO);
    world.set_health(D1, Health::Silent);
    world.advance(30_000);
    world.set_admin("d2", Admin::Draining);
    world.set_health(D1, Health::Answers(200));
    world.reload(TWO);
    world.input(Input::Forget);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Unknown, State::Unknown));
    assert!(world.destination("d1").changes.len() > 1, "history stays");
    world.receive(CALLER, &Call::new("meanwhile").request("INVITE"));
    world.sent_to(D1, "INVITE");
    world.advance(20);
    assert_eq!((world.state("d1"), world.state("d2")), (State::Up, State::Up));
}

#[test]
fn a_thousand_reloads_with_other_names_need_no_more_numbers_than_calls_last() {
    let yaml = |round: u32| {
        let ids = [1, 2].map(|n| format!("{{id: d{round}-{n}, uri: \"sip:10.0.1.{n}:5060\"}}"));
        let probe = "probe: {interval: 1h}";
        format!("{ONE}limits: {{max_call_age: 60s}}\n")
            .replace("destinations: [", &format!("{probe}\n    destinations: [{}, ", ids.join(", ")))
    };
    let mut world = World::new(&yaml(0));
    let mut highest = 0;
    for round in 1..=1_000 {
        world.reload(&yaml(round));
        world.advance(30_000);
        for n in [1, 2] {
            let id = format!("d{round}-{n}");
            assert_eq!(world.calls(&id), 0, "no call of another moved to {id}");
            highest = highest.max(world.target(&id).index());
        }
        if round % 100 == 1 {
            establish(&mut world, &format!("long-{round}"), D1);
            assert_eq!(world.calls(&format!("d{round}-1")), 1);
        }
        world.events.clear();
    }
    // Some fifteen minutes of two names each half a minute.
    assert!((50..90).contains(&highest), "{highest}");
}

#[test]
fn a_call_that_outlives_what_a_reload_allows_keeps_the_number_of_its_destination() {
    for is_answered in [true, false] {
        let mut world = World::new(TWO);
        let number = world.target("d1");
        let invite = if is_answered {
            establish(&mut world, "long", D1).1
        } else {
            world.receive(CALLER, &Call::new("long").request("INVITE"));
            world.sent_to(D1, "INVITE")
        };
        let short = format!("{ONE}limits: {{max_call_age: 60s}}\n");
        world.reload(&short);
        world.reload(&short);
        for _ in 0..15 {
            if !is_answered {
                // Timer C begins anew.
                world.receive(D1, &reply(&invite.text, 180, "callee", ""));
            }
            world.advance(60_000);
        }
        world.reload(
            &short.replace("destinations: [", "destinations: [{id: d3, uri: \"sip:10.0.1.3:5060\"}, "),
        );
        assert_eq!(world.calls("d3"), 0, "answered: {is_answered}");
        assert_ne!(world.target("d3"), number, "answered: {is_answered}");
    }
}

#[test]
fn an_added_destination_is_probed_before_the_others_end_its_unknown() {
    let mut world = World::new(ONE);
    world.reload(TWO);
    assert_eq!(world.state("d1"), State::Unknown);
    world.receive(CALLER, &Call::new("meanwhile").request("INVITE"));
    world.sent_to(D2, "INVITE");
    world.advance(1_100);
    assert_eq!(world.state("d1"), State::Up);
}

#[test]
fn a_failover_across_a_reload_goes_by_the_new_configuration() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("across").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    let three = TWO.replace("destinations: [", "destinations: [{id: d3, uri: \"sip:10.0.1.3:5060\"}, ");
    world.reload(&three.replace(", {id: d2, uri: \"sip:10.0.1.2:5060\"}", ""));
    world.advance(1_500);
    world.receive(D1, &reply(&invite.text, 503, "x", ""));
    world.sent_to("10.0.1.3:5060", "INVITE");
    world.quiet(D2);
}

#[test]
fn draining_serves_what_runs_and_refuses_what_is_new() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "running", D1);
    let mut ringing = Call::new("ringing");
    world.receive(CALLER, &ringing.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.drain(CALLER);
    world.input(Input::Drain);
    assert_eq!(world.core.unfinished(), 1);
    let mut refused = Call::new("new");
    world.receive(CALLER, &refused.request("INVITE"));
    assert!(header(&world.sent_to(CALLER, "SIP/2.0 503").text, "Retry-After").is_some());
    world.receive(CALLER, &refused.companion("ACK"));
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    assert_eq!(world.core.unfinished(), 0);
    assert_eq!(world.drain(CALLER).len(), 2);
}

#[test]
fn the_drain_deadline_cancels_downstream_and_answers_upstream() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("cut").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.drain(CALLER);
    world.input(Input::Drain);
    world.input(Input::Abort);
    world.sent_to(D1, "CANCEL");
    let refused = world.sent_to(CALLER, "SIP/2.0 503");
    assert_eq!(header(&refused.text, "Retry-After"), Some("5"));
    assert_eq!(header(&refused.text, "Warning"), Some("399 sipwarden \"shutting down\""));
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    world.sent_to(D1, "ACK");
    world.quiet(CALLER);
    assert_eq!(world.core.unfinished(), 0);
}

/// Two destinations; towards them we are called `name`.
fn advertised(name: &str) -> String {
    let udp = format!("{{bind: \"udp://10.0.0.1:5060\", advertise: \"{name}:5060\"}}");
    TWO.replace("\"udp://10.0.0.1:5060\"", &udp)
}

#[test]
fn what_belongs_to_a_request_is_sent_under_the_name_that_it_was_sent_under() {
    // RFC 3261 §17.2.3: sent-by is part of what a CANCEL, an ACK and a repetition are matched by.
    let mut world = World::new(&advertised("before.example.net"));
    let mut call = Call::new("renamed");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    assert!(header(&invite.text, "Via").unwrap().contains(" before.example.net:5060;"));
    for name in ["between", "after"] {
        world.reload(
            &advertised(&format!("{name}.example.net")).replace("sets:", "sip: {record_route: false}\nsets:"),
        );
    }
    world.advance(600);
    assert_eq!(world.sent_to(D1, "INVITE").text, invite.text);
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    let cancel = world.sent_to(D1, "CANCEL");
    assert_eq!(header(&cancel.text, "Via"), header(&invite.text, "Via"));
    world.receive(D1, &reply(&cancel.text, 200, "callee", ""));
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    assert_eq!(header(&world.sent_to(D1, "ACK").text, "Via"), header(&invite.text, "Via"));

    world.receive(CALLER, &Call::new("new").request("INVITE"));
    let new = world.sent_to(D1, "INVITE");
    assert!(header(&new.text, "Via").unwrap().contains(" after.example.net:5060;"));
    world.receive(D1, &reply(&new.text, 486, "callee", ""));
    world.sent_to(D1, "ACK");
    world.settle();
}

#[test]
fn credits_of_other_weights_do_not_outlive_a_reload() {
    let config = |weight: u32| {
        TWO.replace("priority", "weighted_round_robin")
            .replace("5060\"}", &format!("5060\", weight: {weight}}}"))
    };
    let mut world = World::new(&config(1_000));
    let place = |world: &mut World, number: usize| {
        world.drain_all();
        world.receive(CALLER, &Call::new(&format!("weighed{number}")).request("INVITE"));
        world.core_sent(D1)
    };
    for number in 0..7 {
        place(&mut world, number);
    }
    world.reload(&config(1));
    let first = (7..27).filter(|number| place(&mut world, *number)).count();
    assert_eq!(first, 10, "of 20 calls");
}
