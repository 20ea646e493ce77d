//! Names of destinations whose answers change under traffic.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::event::{ChangeReason, DnsResult, Event};
use sipwarden::facts::lookup::Found;
use sipwarden::facts::secret::{Nonces, Secret};
use sipwarden::facts::{Admin, State};
use sipwarden::proxy::Input;
use std::collections::BTreeSet;

const D3: &str = "10.0.1.3:5060";

/// One destination whose name stands for what the test says.
const NAMED: &str = "
listen: [\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"]
sets:
  pbx:
    destinations: [{id: pbx, uri: \"sip:pbx.example:5060\"}]
";

/// A world in which the name stands for these addresses, and each has answered its first probe.
fn world(yaml: &str, addresses: &[&str]) -> World {
    let mut world = World::cold(yaml);
    stands_for(&mut world, addresses);
    world.advance(1_500);
    world.events.clear();
    world
}

fn stands_for(world: &mut World, addresses: &[&str]) {
    let found: Vec<Found> = addresses.iter().map(|address| found(address)).collect();
    world.resolve("pbx.example", DnsResult::Ok, &found);
}

/// The ids of all destinations.
fn ids(world: &World) -> Vec<String> {
    let sets = world.core.snapshot(world.now, sipwarden::facts::snapshot::Detail::Metrics).sets;
    sets.iter().flat_map(|set| &set.destinations).map(|destination| destination.id.to_string()).collect()
}

/// Which of these get the next calls, one after the other.
fn called<'a>(world: &mut World, name: &str, calls: usize, among: &[&'a str]) -> Vec<&'a str> {
    let mut called = Vec::new();
    for number in 0..calls {
        let mut call = Call::new(&format!("{name}-{number}"));
        world.receive(CALLER, &call.request("INVITE"));
        let at = among.iter().copied().find(|address| world.core_sent(address));
        let at = at.unwrap_or_else(|| panic!("call {number} went nowhere"));
        let invite = world.sent_to(at, "INVITE");
        world.receive(at, &reply(&invite.text, 486, "busy", ""));
        world.sent_to(at, "ACK");
        world.drain(CALLER);
        world.receive(CALLER, &call.ack());
        called.push(at);
    }
    called
}

#[test]
fn a_name_with_several_addresses_is_a_destination_for_each() {
    let mut world = world(NAMED, &[D1, D2]);
    assert_eq!(ids(&world), [format!("pbx@{D1}"), format!("pbx@{D2}")]);
    let called: BTreeSet<_> = called(&mut world, "both", 4, &[D1, D2]).into_iter().collect();
    assert_eq!(called, BTreeSet::from([D1, D2]));
    assert_eq!(world.destination(&format!("pbx@{D2}")).name.as_deref(), Some("pbx.example"));
}

#[test]
fn scaling_up_and_down_loses_no_call_and_sends_none_to_what_is_gone() {
    let mut world = world(NAMED, &[D1]);
    assert_eq!(ids(&world), ["pbx"]);
    let (mut first, _) = establish(&mut world, "first", D1);
    let since = world.destination("pbx").since;

    stands_for(&mut world, &[D1, D2, D3]);
    let one = format!("pbx@{D1}");
    assert_eq!((world.state(&one), world.destination(&one).since), (State::Up, since), "its state goes on");
    assert_eq!(called(&mut world, "cold", 2, &[D1, D2, D3]), [D1, D1], "the new ones are not known yet");
    world.advance(1_100);
    let called_now: BTreeSet<_> = called(&mut world, "three", 6, &[D1, D2, D3]).into_iter().collect();
    assert_eq!(called_now.len(), 3);

    // The first one goes, with a call on it.
    stands_for(&mut world, &[D2, D3]);
    let called_now = called(&mut world, "two", 4, &[D1, D2, D3]);
    assert!(!called_now.contains(&D1), "{called_now:?}");
    world.receive(CALLER, &first.request("BYE"));
    world.sent_to(D1, "BYE");

    // What remains of several is the configured destination again.
    stands_for(&mut world, &[D3]);
    assert_eq!((ids(&world), world.state("pbx")), (vec!["pbx".to_owned()], State::Up));
    assert_eq!(called(&mut world, "one", 2, &[D1, D2, D3]), [D3, D3]);
    assert_eq!(world.count(|event| matches!(event, Event::SetChanged { .. })), 0, "never all down");
    world.advance(40_000);
    world.settle();
}

#[test]
fn a_request_under_way_at_an_address_that_goes_is_answered() {
    let mut world = world(NAMED, &[D1, D2]);
    let mut call = Call::new("ringing");
    world.receive(CALLER, &call.request("INVITE"));
    let at = [D1, D2].into_iter().find(|at| world.core_sent(at)).unwrap();
    let invite = world.sent_to(at, "INVITE");
    world.receive(at, &reply(&invite.text, 180, "callee", ""));
    world.drain(CALLER);
    let other = if at == D1 { D2 } else { D1 };
    stands_for(&mut world, &[other]);
    world.receive(at, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
    world.quiet(other);
}

#[test]
fn a_contact_that_is_the_name_leads_to_the_address_that_the_dialog_is_with() {
    for (name, port) in [("pbx.example:5060", ""), ("pbx.example", ":5080")] {
        let yaml = NAMED.replace("pbx.example:5060", name);
        let at = if port.is_empty() { [D1, D2] } else { ["10.0.1.1:5080", "10.0.1.2:5080"] };
        let mut world = world(&yaml, &at);
        for number in 0..2 {
            let mut call = Call::new(&format!("named-{number}"));
            world.receive(CALLER, &call.request("INVITE"));
            let at = at.into_iter().find(|at| world.core_sent(at)).unwrap();
            let invite = world.sent_to(at, "INVITE");
            world.receive(at, &reply(&invite.text, 200, "callee", "sip:1000@pbx.example"));
            world.sent_to(CALLER, "SIP/2.0 100");
            call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
            world.receive(CALLER, &call.ack());
            world.sent_to(at, "ACK");
            world.receive(CALLER, &call.request("BYE"));
            world.sent_to(at, "BYE");
        }
    }
}

#[test]
fn a_restarted_container_gets_its_calls_at_its_new_address() {
    let yaml = NAMED.replace("destinations: [", "destinations: [{id: other, uri: \"sip:10.0.1.2:5060\"}, ");
    let mut world = world(&yaml.replace("  pbx:\n", "  pbx:\n    algorithm: priority\n"), &[D1]);
    world.set_admin("other", Admin::Disabled);
    let target = world.target("pbx");
    world.set_health(D1, Health::Silent);
    world.advance(11_000);
    stands_for(&mut world, &[D3]);
    world.advance(20);
    assert_eq!((world.target("pbx"), world.state("pbx")), (target, State::Up), "series go on");
    assert_eq!(world.destination("pbx").address, Some(address(D3)));
    assert_eq!(called(&mut world, "moved", 2, &[D1, D3]), [D3, D3]);
    // What the old address did not answer says nothing of the new one.
    world.advance(5_000);
    assert_eq!(world.state("pbx"), State::Up);
    let failures =
        |event: &Event| matches!(event, Event::DestinationChanged(change) if change.to == State::Down);
    assert_eq!(world.count(failures), 0);
}

#[test]
fn an_address_that_nobody_has_probed_gets_no_calls_while_another_destination_is_up() {
    let yaml = NAMED.replace("}]", "}, {id: other, uri: \"sip:10.0.1.2:5060\"}]");
    let mut world = world(&yaml.replace("  pbx:\n", "  pbx:\n    algorithm: priority\n"), &[D1]);
    assert_eq!(called(&mut world, "before", 1, &[D1, D2]), [D1]);
    world.set_health(D3, Health::Silent);
    stands_for(&mut world, &[D3]);
    assert_eq!(called(&mut world, "moved", 2, &[D2, D3]), [D2, D2]);
    world.set_health(D3, Health::Answers(200));
    world.advance(5_000);
    assert_eq!(called(&mut world, "back", 1, &[D2, D3]), [D3]);
}

#[test]
fn a_name_that_stops_resolving_keeps_its_endpoints_and_says_so() {
    for result in [DnsResult::NxDomain, DnsResult::Timeout, DnsResult::Error] {
        let mut world = world(NAMED, &[D1, D2]);
        world.resolve("pbx.example", result, &[]);
        assert_eq!(ids(&world).len(), 2, "{result}");
        assert!(ids(&world).iter().all(|id| world.destination(id).dns_stale), "{result}");
        // They die: the set is all down, and stays so.
        world.set_health(D1, Health::Unreachable);
        world.set_health(D2, Health::Unreachable);
        world.advance(15_000);
        world.resolve("pbx.example", result, &[]);
        assert!(world.is_all_down(), "{result}");
        stands_for(&mut world, &[D1, D2]);
        assert!(!ids(&world).iter().any(|id| world.destination(id).dns_stale));
    }
}

#[test]
fn a_name_that_never_resolved_is_one_destination_that_is_down() {
    let mut world = World::cold(NAMED);
    world.resolve("pbx.example", DnsResult::NxDomain, &[]);
    let pbx = world.destination("pbx");
    assert_eq!((pbx.state, pbx.last_change.unwrap().reason), (State::Down, ChangeReason::Dns));
    assert!(world.is_all_down());
    world.receive(CALLER, &Call::new("nowhere").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 503");
    stands_for(&mut world, &[D1, D2]);
    world.advance(1_100);
    assert!(!world.is_all_down());
    assert_eq!(called(&mut world, "there", 2, &[D1, D2]).len(), 2);
}

#[test]
fn a_name_that_was_down_before_a_restart_gets_no_call_at_any_address_until_that_is_judged() {
    let yaml = NAMED.replace("}]", "}, {id: other, uri: \"sip:10.0.1.9:5060\"}]");
    let other = "10.0.1.9:5060";
    let mut before = world(&yaml, &[D1, D2]);
    before.set_health(D1, Health::Silent);
    before.set_health(D2, Health::Silent);
    before.advance(30_000);
    let mut after = World::cold(&yaml);
    after.input(Input::Restore(before.core.remembered()));
    stands_for(&mut after, &[D1, D2]);
    assert_eq!([D1, D2].map(|address| after.state(&format!("pbx@{address}"))), [State::Down; 2]);
    assert_eq!(called(&mut after, "early", 3, &[D1, D2, other]), [other; 3]);
    after.advance(1_500);
    assert_eq!([D1, D2].map(|address| after.state(&format!("pbx@{address}"))), [State::Up; 2]);
}

#[test]
fn what_an_administrator_wishes_is_for_all_addresses_of_an_id_and_for_those_to_come() {
    let mut world = world(NAMED, &[D1, D2]);
    world.set_admin(&format!("pbx@{D1}"), Admin::Draining);
    assert_eq!(world.state(&format!("pbx@{D2}")), State::Draining);
    stands_for(&mut world, &[D2, D3]);
    assert_eq!(world.state(&format!("pbx@{D3}")), State::Draining);
    stands_for(&mut world, &[D3]);
    assert_eq!(world.state("pbx"), State::Draining);
    world.reload(NAMED);
    assert_eq!(world.state("pbx"), State::Draining, "until the configured value changes");
}

#[test]
fn an_admin_state_stays_when_a_literal_uri_becomes_a_name_that_has_been_looked_up() {
    let with = |uri: &str| {
        let pbx = "destinations: [{id: pbx, uri: \"sip:pbx.example:5060\"}]";
        NAMED.replace(pbx, &format!("{pbx}\n  two:\n    destinations: [{{id: b, uri: \"{uri}\"}}]"))
            + "routes: [{set: pbx}]\n"
    };
    let mut world = world(&with(&format!("sip:{D3}")), &[D1, D2]);
    world.set_admin("b", Admin::Draining);
    world.reload(&with("sip:pbx.example:5060"));
    assert_eq!([D1, D2].map(|address| world.state(&format!("b@{address}"))), [State::Draining; 2]);
}

#[test]
fn without_expansion_a_name_is_one_destination_that_calls_may_come_from_anywhere() {
    let mut world = world(&format!("{NAMED}dns: {{expand: false}}\n"), &[D1, D2]);
    assert_eq!(ids(&world), ["pbx"]);
    assert_eq!(called(&mut world, "one", 3, &[D1, D2]), [D1, D1, D1]);
    stands_for(&mut world, &[D2, D1]);
    assert_eq!(called(&mut world, "turned", 1, &[D1, D2]), [D1], "a rotating answer moves nothing");
    // From a destination to us: not back into its set.
    world.receive(D2, &Call::from("out", D2).request("INVITE"));
    world.quiet(D1);
}

#[test]
fn srv_priority_orders_inside_the_tier_and_its_weight_counts() {
    let yaml = NAMED
        .replace("pbx:\n    dest", "pbx:\n    algorithm: weighted_round_robin\n    dest")
        .replace("example:5060", "example")
        .replace("}]", "}, {id: last, uri: \"sip:10.0.1.9:5060\", priority: 1}]");
    let mut world = World::cold(&yaml);
    let record = |text: &str, rank, weight| Found { rank, weight: Some(weight), ..found(text) };
    let records = [record(D1, 0, 3), record(D2, 0, 1), record("10.0.1.3:5080", 1, 1)];
    world.resolve("pbx.example", DnsResult::Ok, &records);
    world.advance(1_500);
    let all = [D1, D2, "10.0.1.3:5080", "10.0.1.9:5060"];
    let shares = called(&mut world, "weights", 8, &all);
    let count = |at| shares.iter().filter(|called| **called == at).count();
    assert_eq!((count(D1), count(D2)), (6, 2), "{shares:?}");
    world.set_health(D1, Health::Unreachable);
    world.set_health(D2, Health::Unreachable);
    world.advance(15_000);
    assert_eq!(called(&mut world, "rank", 2, &all), [all[2], all[2]]);
    world.set_health(all[2], Health::Unreachable);
    world.advance(15_000);
    assert_eq!(called(&mut world, "tier", 1, &all), [all[3]]);
}

#[test]
fn a_probe_under_way_to_a_former_address_says_nothing_of_the_new_one() {
    let mut world = world(NAMED, &[D1]);
    world.set_health(D1, Health::Silent);
    // The next probe is under way when the name moves.
    for _ in 0..12_000 {
        if !world.probes.is_empty() {
            break;
        }
        world.advance(1);
    }
    assert!(!world.probes.is_empty());
    stands_for(&mut world, &[D2]);
    world.events.clear();
    world.advance(3_000);
    assert_eq!(world.state("pbx"), State::Up);
    assert!(world.destination("pbx").probes.last().unwrap().outcome.is_success());
    let down = |event: &Event| matches!(event, Event::DestinationChanged(change) if change.to == State::Down);
    assert_eq!(world.count(down), 0);
}

#[test]
fn calls_under_way_at_a_former_address_say_nothing_of_the_new_one() {
    let yaml = NAMED
        .replace(
            "pbx:\n    dest",
            "pbx:\n    algorithm: priority\n    passive: {consecutive_failures: 1}\n    dest",
        )
        .replace("}]", "}, {id: other, uri: \"sip:10.0.1.2:5060\"}]");
    let mut world = world(&yaml, &[D1]);
    let begin = |world: &mut World, id: &str, at: &str| {
        world.receive(CALLER, &Call::new(id).request("INVITE"));
        world.sent_to(at, "INVITE")
    };
    let paused = begin(&mut world, "paused", D1);
    begin(&mut world, "silent", D1);
    stands_for(&mut world, &[D3]);
    world.advance(20);
    assert_eq!(world.state("pbx"), State::Up);
    let refusal =
        reply(&paused.text, 503, "one", "").replace("Content-Length", "Retry-After: 9\r\nContent-Length");
    world.receive(D1, &refusal);
    for ms in [0, 2_000] {
        world.advance(ms);
        for elsewhere in world.drain(D2) {
            world.receive(D2, &reply(&elsewhere.text, 486, "two", ""));
        }
    }
    assert_eq!((world.state("pbx"), world.destination("pbx").passive_failures), (State::Up, 0));
    // What the new one does counts.
    let refused = begin(&mut world, "refused", D3);
    world.receive(D3, &reply(&refused.text, 503, "three", ""));
    assert_eq!(world.state("pbx"), State::Ejected);
    stands_for(&mut world, &[D1]);
    world.advance(20);
    assert_eq!((world.state("pbx"), world.destination("pbx").ejected_until), (State::Up, None));
}

/// A dialog, and where it was set up.
struct Talk<'a> {
    call: Call,
    at: &'a str,
}

/// Whoever comes and goes, calls go to what the last good answer has, and every dialog ends where it
/// began. What the steps promise is watched by the world; its counts are checked by `settle`.
#[test]
fn no_call_is_lost_over_a_thousand_answers() {
    let all = [D1, D2, D3, "10.0.1.4:5060"];
    let nonces = &mut Nonces::new(Secret::new([9; 16]));
    let mut pick = |bound: u64| nonces.below(bound);
    let mut world = world(NAMED, &[D1]);
    let (mut current, mut talks) = (vec![D1], Vec::<Talk<'_>>::new());
    for step in 0..1_000 {
        match pick(8) {
            0 => world.resolve("pbx.example", DnsResult::Timeout, &[]),
            1 => world.advance(pick(3_000)),
            2..=3 => {
                let next: Vec<&str> = all.into_iter().filter(|_| pick(2) == 0).collect();
                if !next.is_empty() {
                    stands_for(&mut world, &next);
                    current = next;
                }
            }
            4 if talks.len() > 4 => {
                let Talk { mut call, at } = talks.swap_remove(0);
                world.receive(CALLER, &call.request("BYE"));
                let bye = world.sent_to(at, "BYE");
                world.receive(at, &reply(&bye.text, 200, "callee", ""));
                world.sent_to(CALLER, "SIP/2.0 200");
            }
            _ => {
                let mut call = Call::new(&format!("walk-{step}"));
                world.receive(CALLER, &call.request("INVITE"));
                let at = all.into_iter().find(|at| world.core_sent(at)).expect("a call went nowhere");
                assert!(current.contains(&at), "step {step}: {at} is none of {current:?}");
                let invite = world.sent_to(at, "INVITE");
                world.receive(at, &reply(&invite.text, 200, "callee", &format!("sip:1000@{at}")));
                world.sent_to(CALLER, "SIP/2.0 100");
                call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
                world.receive(CALLER, &call.ack());
                world.sent_to(at, "ACK");
                talks.push(Talk { call, at });
            }
        }
    }
    assert!(world.records("INVITE").len() > 300);
    world.settle();
}
