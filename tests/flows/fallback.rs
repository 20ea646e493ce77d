//! Sets that follow another, and what is tried when nobody is usable.

use crate::sim::*;
use sipwarden::facts::Target;
use sipwarden::facts::event::{Event, SelectionReason};

const B1: &str = "10.0.2.1:5060";
const B2: &str = "10.0.2.2:5060";

/// A set of two with a fallback of two that is chosen from by the caller.
const CHAIN: &str = "
listen: [\"udp://10.0.0.1:5060\"]
sets:
  pbx:
    algorithm: priority
    fallback: backup
    destinations: [{id: d1, uri: \"sip:10.0.1.1:5060\"}, {id: d2, uri: \"sip:10.0.1.2:5060\"}]
    failover: {max_attempts: 4}
    passive: {enabled: false}
  backup:
    algorithm: hash
    hash: {key: [from]}
    destinations: [{id: b1, uri: \"sip:10.0.2.1:5060\"}, {id: b2, uri: \"sip:10.0.2.2:5060\"}]
routes: [{set: pbx}]
";

fn selected(world: &World) -> Vec<(Target, SelectionReason)> {
    let chosen = world.events.iter().filter_map(|event| match event {
        Event::DestinationSelected { target, reason, .. } => Some((*target, *reason)),
        _ => None,
    });
    chosen.collect()
}

/// Makes every one of these silent until its probes say so.
fn take_down(world: &mut World, destinations: &[&str]) {
    destinations.iter().for_each(|destination| world.set_health(destination, Health::Unreachable));
    world.advance(40_000);
    world.events.clear();
}

/// Where an INVITE went, if anywhere.
fn place(world: &mut World, id: &str) -> Option<Sent> {
    world.receive(CALLER, &Call::new(id).request("INVITE"));
    world.drain_all().into_iter().find(|sent| sent.text.starts_with("INVITE"))
}

#[test]
fn the_fallback_is_tried_when_nobody_of_the_set_is_usable_and_chooses_in_its_own_way() {
    let mut world = World::new(CHAIN);
    take_down(&mut world, &[D1, D2]);
    let first = place(&mut world, "one").unwrap().hop.remote.to_string();
    assert!([B1, B2].contains(&first.as_str()));
    for id in ["two", "three", "four"] {
        assert_eq!(place(&mut world, id).unwrap().hop.remote.to_string(), first, "the same caller");
    }
    assert!(selected(&world).iter().all(|(_, reason)| *reason == SelectionReason::FallbackSet));
    assert!(world.is_all_down(), "a fallback does not make a set usable");
}

#[test]
fn the_fallback_is_tried_after_every_destination_has_failed() {
    let mut world = World::new(CHAIN);
    let mut call = Call::new("moved");
    world.receive(CALLER, &call.request("INVITE"));
    let mut reached = Vec::new();
    while let Some(invite) = world.drain_all().into_iter().find(|sent| sent.text.starts_with("INVITE")) {
        let at = invite.hop.remote.to_string();
        world.receive(&at, &reply(&invite.text, 503, "busy", ""));
        reached.push(at);
    }
    let home = place(&mut world, "another").unwrap();
    assert_eq!(home.hop.remote.to_string(), D1, "the next call begins in the set itself");
    assert_eq!(reached[..2], [D1, D2]);
    reached.sort();
    assert_eq!(reached, [D1, D2, B1, B2]);
    let reasons: Vec<_> = selected(&world).into_iter().map(|(_, reason)| reason).collect();
    let fallback = SelectionReason::FallbackSet;
    assert_eq!(reasons[..4], [SelectionReason::Primary, SelectionReason::Failover, fallback, fallback]);
    let record = &world.records("INVITE")[0];
    let within: Vec<_> = record.selections.iter().map(|selection| selection.set).collect();
    assert_eq!(
        (within[0], within[1], within[2] != within[0], within[2]),
        (within[0], within[0], true, within[3])
    );
    assert_eq!(record.set, Some(within[0]), "the request belongs to the set that it was routed to");
}

#[test]
fn the_fallback_chooses_by_the_request_whenever_it_is_reached() {
    let mut down = World::new(CHAIN);
    take_down(&mut down, &[D1, D2]);
    let mut failing = World::new(CHAIN);
    let mut homes = Vec::new();
    for number in 1..9 {
        let from = format!("192.0.2.{number}:5070");
        let invite = Call::from(&format!("from-{number}"), &from).request("INVITE");
        let invited = |world: &mut World| {
            let sent = world.drain_all();
            sent.into_iter().find(|sent| sent.text.starts_with("INVITE")).expect("somebody is tried")
        };
        down.receive(&from, &invite);
        let home = invited(&mut down).hop.remote;
        failing.receive(&from, &invite);
        for refuses in [D1, D2] {
            let refused = invited(&mut failing);
            assert_eq!(refused.hop.remote.to_string(), refuses);
            failing.receive(refuses, &reply(&refused.text, 503, "busy", ""));
        }
        assert_eq!(invited(&mut failing).hop.remote, home, "{from}");
        homes.push(home.to_string());
    }
    assert!(homes.contains(&B1.to_owned()) && homes.contains(&B2.to_owned()), "{homes:?}");
}

#[test]
fn the_way_to_a_fallback_is_told_set_by_set() {
    let mut world = World::new(CHAIN);
    take_down(&mut world, &[D1, D2]);
    let invite = place(&mut world, "told").unwrap();
    world.receive(&invite.hop.remote.to_string(), &reply(&invite.text, 486, "busy", ""));
    let selections = &world.records("INVITE")[0].selections;
    assert_eq!((selections.len(), selections[0].destination), (2, None));
    assert_eq!((selections[0].available, selections[0].skipped.len()), (0, 2));
    assert_eq!(selections[1].reason, SelectionReason::FallbackSet);
    assert!(selections[1].destination.is_some());
}

#[test]
fn with_the_fallback_down_as_well_the_call_is_refused() {
    let mut world = World::new(CHAIN);
    take_down(&mut world, &[D1, D2, B1, B2]);
    world.receive(CALLER, &Call::new("nobody").request("INVITE"));
    let refusal = world.sent_to(CALLER, "SIP/2.0 503");
    assert_eq!(header(&refusal.text, "Warning"), Some("399 sipwarden \"no destination is usable\""));
    let sets: Vec<_> = world.records("INVITE")[0].selections.iter().map(|selection| selection.set).collect();
    assert_eq!(sets.len(), 2, "one line for each set");
}

#[test]
fn try_anyway_sends_calls_to_destinations_that_seem_to_be_down() {
    let anyway = TWO.replace("algorithm: priority", "algorithm: priority\n    when_all_down: try_anyway");
    let mut world = World::new(&anyway);
    take_down(&mut world, &[D1, D2]);
    assert!(world.is_all_down());
    let invite = place(&mut world, "anyway").unwrap();
    assert_eq!(invite.hop.remote.to_string(), D1);
    world.receive(D1, &reply(&invite.text, 503, "busy", ""));
    let invite = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.2:5060"));
    world.sent_to(CALLER, "SIP/2.0 200");
    assert!(selected(&world).iter().all(|(_, reason)| *reason == SelectionReason::TryAnyway));
    assert!(world.is_all_down(), "it says what is, not what is tried");

    world.set_admin("d1", sipwarden::facts::Admin::Disabled);
    assert_eq!(place(&mut world, "disabled").unwrap().hop.remote.to_string(), D2);
    world.set_health(D2, Health::Answers(200));
    world.advance(15_000);
    world.events.clear();
    assert_eq!(place(&mut world, "again").unwrap().hop.remote.to_string(), D2);
    assert_eq!(selected(&world)[0].1, SelectionReason::Primary);
}

#[test]
fn who_is_usable_again_follows_one_that_was_tried_anyway() {
    let anyway = TWO.replace("algorithm: priority", "algorithm: priority\n    when_all_down: try_anyway");
    let mut world = World::new(&anyway);
    take_down(&mut world, &[D1, D2]);
    let invite = place(&mut world, "back").unwrap();
    world.set_health(D2, Health::Answers(200));
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.advance(15_000);
    world.receive(D1, &reply(&invite.text, 503, "busy", ""));
    assert_eq!(world.sent_to(D2, "INVITE").hop.remote.to_string(), D2);
    let reasons: Vec<_> = selected(&world).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [SelectionReason::TryAnyway, SelectionReason::Failover]);
}
