//! Late, lost and doubled messages, and what they must not leave behind.

use crate::sim::*;
use sipwarden::facts::State;
use sipwarden::proxy::Input;

/// RFC 3261 §16.7 step 5: a 2xx goes up even when another final response went before it.
#[test]
fn a_2xx_goes_up_even_after_another_final_response() {
    let mut world = World::new(TWO);
    let mut call = Call::new("late-2xx");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(2_000);
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 486, "two", ""));
    world.sent_to(CALLER, "SIP/2.0 100");
    world.sent_to(CALLER, "SIP/2.0 486");
    world.receive(CALLER, &call.companion("ACK"));
    world.receive(D1, &reply(&first.text, 200, "one", "sip:1000@10.0.1.1:5060"));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.settle();
}

/// After the drain deadline the 487s are still waited for, and a lost CANCEL is sent again.
#[test]
fn the_answers_to_the_cancels_of_a_drain_are_waited_for() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("cut").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 180, "callee", ""));
    world.input(Input::Drain);
    world.input(Input::Abort);
    world.sent_to(D1, "CANCEL");
    assert_eq!(world.core.unfinished(), 1, "the 487 is still to come");
    world.receive(D1, &reply(&invite.text, 487, "callee", ""));
    world.sent_to(D1, "ACK");
    assert_eq!(world.core.unfinished(), 0);
}

fn a_bye_answered_ends_the_dialog(code: Option<u16>) -> usize {
    let mut world = World::new(TWO);
    let mut call = Call::new("bye");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    let answer = world.drain(CALLER).pop().expect("the 200 went up");
    call.learn(&answer.text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    match code {
        Some(code) => world.receive(D1, &reply(&bye.text, code, "callee", "")),
        None => world.advance(40_000),
    }
    world.core.holdings().3
}

/// RFC 3261 §15.1.1: 481, 408 and no answer at all end the session too; a challenge does not.
#[test]
fn a_bye_ends_the_dialog_whatever_the_answer_but_a_challenge() {
    for (code, left) in [(Some(200), 0), (Some(481), 0), (Some(408), 0), (None, 0), (Some(401), 1)] {
        assert_eq!(a_bye_answered_ends_the_dialog(code), left, "{code:?}");
    }
}

/// RFC 4320 §4.2: no 408 to anything but an INVITE, a destination's own included.
#[test]
fn the_408_of_a_destination_to_a_non_invite_is_not_passed_on() {
    let mut world = World::new(TWO);
    let mut call = Call::new("408");
    world.receive(CALLER, &call.request("MESSAGE"));
    for destination in [D1, D2] {
        let message = world.sent_to(destination, "MESSAGE");
        world.receive(destination, &reply(&message.text, 408, "x", ""));
    }
    world.sent_to(CALLER, "SIP/2.0 504");
    world.settle();
}

/// A probe's answer counts for the endpoint that it was sent to.
#[test]
fn the_answer_of_the_old_address_says_nothing_of_the_new_one() {
    let moved = TWO.replace("10.0.1.1:5060", "10.0.1.9:5060");
    let mut world = World::cold(TWO);
    world.set_health(D1, Health::Silent);
    world.set_health("10.0.1.9:5060", Health::Silent);
    world.advance(500);
    let probe = world.probes.iter().find(|sent| sent.hop.remote == address(D1)).unwrap().clone();
    world.reload(&moved);
    world.receive(D1, &reply(&probe.text, 200, "probe", ""));
    assert_eq!(world.state("d1"), State::Unknown);
}

/// The Contact of a dialog that is remembered is of a bounded size.
#[test]
fn an_oversized_contact_is_not_remembered_but_its_call_is_counted() {
    let mut world = World::new(TWO);
    let mut call = Call::new("fat");
    let contact = format!("sip:{}@192.0.2.7", "a".repeat(30_000));
    let invite = call
        .request("INVITE")
        .replace("<sip:alice@192.0.2.7:5070>\r\nContent", &format!("<{contact}>\r\nContent"));
    assert!(invite.contains(&contact));
    world.receive(CALLER, &invite);
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    world.drain(CALLER).pop().unwrap();
    world.advance(40_000);
    assert_eq!((world.core.kept().1, world.core.holdings().3, world.calls("d1")), (0, 1, 1));
}

/// Timer C ends a call that rings for ever; whatever comes of it is no reason to ring elsewhere.
#[test]
fn timer_c_never_fails_over() {
    let mut world = World::new(&TWO.replace("priority\n", "priority\n    failover: {total: 1h}\n"));
    let mut call = Call::new("timer-c");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&first.text, 180, "one", ""));
    world.advance(186_000);
    world.sent_to(D1, "CANCEL");
    world.receive(D1, &reply(&first.text, 500, "one", ""));
    world.quiet(D2);
    assert!(world.drain(CALLER).last().unwrap().text.starts_with("SIP/2.0 500"));
    world.settle();
}

/// A BYE of the callee that overtakes the 200 to the INVITE ends the dialog all the same.
#[test]
fn a_bye_that_overtakes_its_200_ends_the_dialog() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &Call::new("overtaken").request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    let mut callee = Call::from("overtaken", D1);
    callee.to_tag = Some("from-overtaken".into());
    callee.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    callee.uri = format!("sip:alice@{CALLER}");
    world.receive(D1, &callee.request("BYE").replace("tag=from-overtaken\r\nTo", "tag=callee\r\nTo"));
    world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
    assert_eq!(world.core.holdings().3, 1);
    let bye = world.drain(CALLER).into_iter().find(|sent| sent.text.starts_with("BYE")).unwrap();
    world.receive(CALLER, &reply(&bye.text, 200, "x", ""));
    assert_eq!(world.core.holdings().3, 0);
}
