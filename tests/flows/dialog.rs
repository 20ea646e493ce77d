//! Requests inside a dialog, and affinity outside one.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::State;
use sipwarden::facts::event::{Event, SelectionReason};
use std::time::Duration;

#[test]
fn a_bye_goes_to_its_destination_although_that_went_down() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "down", D1);
    world.set_health(D1, Health::Silent);
    world.advance(30_000);
    assert_eq!(world.state("d1"), State::Down);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.quiet(D2);
}

#[test]
fn a_call_that_rings_is_an_early_dialog_and_its_bye_tells_how_long_it_lasted() {
    let mut world = World::new(TWO);
    let mut call = Call::new("lasting");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(world.dialogs(), (0, 0));
    for _ in 0..2 {
        world.receive(D1, &reply(&invite.text, 180, "callee", ""));
        assert_eq!(world.dialogs(), (1, 0));
    }
    world.advance(3_000);
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    assert_eq!(world.dialogs(), (0, 1));
    call.learn(&world.drain(CALLER).last().unwrap().text);
    world.receive(CALLER, &call.ack());
    world.drain(D1);
    world.advance(90_000);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.advance(200);
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    assert_eq!(world.dialogs(), (0, 0));
    let lasted = Duration::from_secs(90);
    let d1 = world.target("d1");
    let told = |event: &Event| matches!(event, Event::DialogEnded { target, lasted: l } if (*target, *l) == (d1, lasted));
    assert_eq!(world.count(told), 1);
    world.settle();
}

#[test]
fn requests_of_either_side_follow_the_route_set() {
    let mut world = World::new(TWO);
    let (mut call, invite) = establish(&mut world, "both", D1);
    for method in ["INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "PRACK"] {
        world.receive(CALLER, &call.request(method));
        let sent = world.sent_to(D1, method);
        assert_eq!(header(&sent.text, "Record-Route"), None, "{method} opens no dialog");
        world.receive(D1, &reply(&sent.text, 200, "callee", ""));
        assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 200"));
        if method == "INVITE" {
            world.receive(CALLER, &call.ack());
            world.sent_to(D1, "ACK");
        }
    }
    // The callee's side: the Record-Route as it came, its tags turned round.
    let mut callee = Call::from("both", D1);
    callee.to_tag = Some("from-both".into());
    callee.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    callee.uri = format!("sip:alice@{CALLER}");
    let bye = callee.request("BYE").replace("tag=from-both\r\nTo", "tag=callee\r\nTo");
    world.receive(D1, &bye);
    let sent = world.sent_to(CALLER, "BYE sip:alice@192.0.2.7:5070");
    assert_eq!(header(&sent.text, "Route"), None);
    world.receive(CALLER, &reply(&sent.text, 200, "x", ""));
    world.sent_to(D1, "SIP/2.0 200");
    world.settle();
}

#[test]
fn a_caller_that_lost_the_route_set_is_served_by_the_dialog_table() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "routeless", D1);
    call.routes.clear();
    call.uri = format!("sip:1000@{PROXY}");
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK sip:1000@10.0.1.1:5060");
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE sip:1000@10.0.1.1:5060");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.receive(CALLER, &call.request("BYE"));
    world.sent_to(CALLER, "SIP/2.0 481");
}

#[test]
fn an_unknown_dialog_gets_481_and_its_ack_nothing() {
    let mut world = World::new(TWO);
    let mut call = Call::new("unknown");
    call.to_tag = Some("invented".into());
    world.receive(CALLER, &call.request("INFO"));
    world.sent_to(CALLER, "SIP/2.0 481");
    world.receive(CALLER, &call.ack());
    world.quiet(CALLER);
    world.quiet(D1);
    world.quiet(D2);
}

#[test]
fn the_repeated_request_goes_to_the_destination_that_challenged_it() {
    let yaml = TWO.replace("algorithm: priority", "algorithm: round_robin");
    let mut world = World::new(&yaml);
    let mut call = Call::new("digest");
    world.receive(CALLER, &call.request("INVITE"));
    let challenger = if world.core_sent(D1) { D1 } else { D2 };
    let invite = world.sent_to(challenger, "INVITE");
    world.receive(challenger, &reply(&invite.text, 401, "callee", ""));
    world.receive(CALLER, &call.companion("ACK"));
    world.drain(challenger);
    // Another call moves the round robin on.
    world.receive(CALLER, &Call::new("other").request("INVITE"));
    world.drain(D1);
    world.drain(D2);
    world.receive(CALLER, &call.request_with("INVITE", "Authorization: Digest username=\"a\"\r\n"));
    world.sent_to(challenger, "INVITE");
    let affine = world
        .count(|event| matches!(event, Event::DestinationSelected { reason: SelectionReason::Affinity, .. }));
    assert_eq!(affine, 1);
}

#[test]
fn a_dialog_is_forgotten_with_its_bye_whatever_came_of_it() {
    let mut world = World::new(TWO);
    for (id, code) in [("ok", Some(200)), ("gone", Some(481)), ("silent", None), ("challenged", Some(401))] {
        let (mut call, _) = establish(&mut world, id, D1);
        assert_eq!(world.core.holdings().3, 1);
        world.receive(CALLER, &call.request("BYE"));
        let bye = world.sent_to(D1, "BYE");
        match code {
            Some(code) => world.receive(D1, &reply(&bye.text, code, "callee", "")),
            None => world.advance(40_000),
        }
        assert_eq!(world.core.holdings().3, usize::from(code == Some(401)), "{id}");
        world.drain(CALLER);
        world.drain(D1);
    }
}

#[test]
fn a_challenge_that_did_not_go_up_draws_nobody() {
    let mut world = World::new(TWO);
    let mut call = Call::new("late-challenge");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 401, "two", ""));
    world.sent_to(D2, "ACK");
    // The one given up challenges too, later; nobody has heard of it.
    world.drain(D1);
    world.receive(D1, &reply(&first.text, 401, "one", ""));
    world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.companion("ACK"));
    world.receive(CALLER, &call.request_with("INVITE", "Authorization: Digest username=\"a\"\r\n"));
    world.sent_to(D2, "INVITE");
    world.quiet(D1);
}

#[test]
fn above_the_limit_of_transactions_calls_can_still_end() {
    let mut world = World::new(&format!("{TWO}limits: {{transactions: 8}}\n"));
    let (mut call, _) = establish(&mut world, "established", D1);
    let (mut other, _) = establish(&mut world, "established-too", D1);
    for number in 0..8 {
        world.receive(CALLER, &Call::new(&format!("pending-{number}")).request("INVITE"));
    }
    world.drain(CALLER);
    world.drain(D1);
    world.receive(CALLER, &Call::new("refused").request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 503");
    world.receive(CALLER, &call.request("BYE"));
    world.sent_to(D1, "BYE");
    // There is an end to that room too.
    world.receive(CALLER, &other.request("BYE"));
    world.sent_to(CALLER, "SIP/2.0 503");
    world.quiet(D1);
}

#[test]
fn requests_given_up_count_for_the_limit_until_their_destination_cannot_answer_any_more() {
    let failover = "failover: {no_response_after_non_invite: 500ms}\n    destinations:";
    let yaml = format!("{}limits: {{transactions: 8}}\n", TWO.replace("destinations:", failover));
    let mut world = World::new(&yaml);
    for number in 0..8 {
        world.receive(CALLER, &Call::new(&format!("silent-{number}")).request("REGISTER"));
    }
    world.advance(3_000);
    assert_eq!(world.drain(CALLER).iter().filter(|sent| sent.text.starts_with("SIP/2.0 504")).count(), 8);
    world.receive(CALLER, &Call::new("one-more").request("REGISTER"));
    let refused = world.sent_to(CALLER, "SIP/2.0 503");
    assert_eq!(header(&refused.text, "Warning"), Some("399 sipwarden \"too many transactions\""));
    world.advance(40_000);
    world.drain_all();
    world.receive(CALLER, &Call::new("later").request("REGISTER"));
    assert!(world.core_sent(D1) || world.core_sent(D2));
    world.quiet(CALLER);
}

#[test]
fn a_party_whose_contact_is_a_name_is_reached_where_its_messages_come_from() {
    let mut world = World::new(TWO);
    let mut call = Call::new("named");
    let invite = call
        .request("INVITE")
        .replace("Contact: <sip:alice@192.0.2.7:5070>", "Contact: <sip:alice@Laptop.local>");
    world.receive(CALLER, &invite);
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@sbc.example:5080"));
    call.learn(&world.drain(CALLER).pop().unwrap().text);
    assert_eq!(call.uri, "sip:1000@sbc.example:5080");
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK sip:1000@sbc.example:5080 SIP/2.0");
    world.receive(CALLER, &call.request("INFO"));
    let info = world.sent_to(D1, "INFO sip:1000@sbc.example:5080 SIP/2.0");
    world.receive(D1, &reply(&info.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    // Another name than that of the dialog leads nowhere, as before.
    let mut astray = call.clone();
    astray.uri = "sip:1000@victim.example".into();
    world.receive(CALLER, &astray.request("INFO"));
    world.sent_to(CALLER, "SIP/2.0 404");

    let mut callee = Call::from("named", D1);
    callee.to_tag = Some("from-named".into());
    callee.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    callee.uri = "sip:alice@laptop.local".into();
    world.receive(D1, &callee.request("BYE").replace("tag=from-named\r\nTo", "tag=callee\r\nTo"));
    let bye = world.sent_to(CALLER, "BYE sip:alice@laptop.local SIP/2.0");
    world.receive(CALLER, &reply(&bye.text, 200, "x", ""));
    world.sent_to(D1, "SIP/2.0 200");
    world.settle();
}

#[test]
fn who_lost_the_route_set_reaches_a_party_where_it_has_moved_to() {
    for method in ["INVITE", "UPDATE"] {
        let mut world = World::new(TWO);
        let (mut call, _) = establish(&mut world, "moving", D1);
        call.routes.clear();
        call.uri = format!("sip:1000@{PROXY}");
        world.receive(CALLER, &call.request(method));
        let sent = world.sent_to(D1, method);
        world.receive(D1, &reply(&sent.text, 200, "callee", "sip:moved@10.0.1.1:5060"));
        world.drain(CALLER);
        world.receive(CALLER, &call.request("BYE"));
        world.sent_to(D1, "BYE sip:moved@10.0.1.1:5060 SIP/2.0");
    }
}
