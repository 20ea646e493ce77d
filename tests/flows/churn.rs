//! Dialogs while their destinations die, drain, are disabled and are removed.

use crate::sim::*;
use sipwarden::facts::{Admin, State};
use std::collections::BTreeMap;

const DIALOGS: usize = 1_000;
const DESTINATIONS: [&str; 6] =
    ["10.0.1.1:5060", "10.0.1.2:5060", "10.0.1.3:5060", "10.0.1.4:5060", "10.0.1.5:5060", "10.0.1.6:5060"];

/// A round robin over these destinations, by their last number.
fn yaml(numbers: &[u8]) -> String {
    let listed: Vec<String> = numbers
        .iter()
        .map(|number| format!("{{id: d{number}, uri: \"sip:10.0.1.{number}:5060\"}}"))
        .collect();
    format!(
        "listen: [\"udp://10.0.0.1:5060\"]\nsets:\n  pbx: {{algorithm: round_robin, destinations: [{}]}}\n",
        listed.join(", ")
    )
}

struct Dialog {
    call: Call,
    at: &'static str,
}

/// Sets up a call and says where it landed.
fn begin(world: &mut World, number: usize) -> Dialog {
    let mut call = Call::new(&format!("dialog-{number}"));
    world.receive(CALLER, &call.request("INVITE"));
    let at = DESTINATIONS.into_iter().find(|at| world.core_sent(at)).expect("somebody is called");
    let invite = world.sent_to(at, "INVITE");
    world.receive(at, &reply(&invite.text, 200, &format!("callee-{number}"), &format!("sip:1000@{at}")));
    call.learn(&world.drain(CALLER).pop().expect("an answer").text);
    world.receive(CALLER, &call.ack());
    world.sent_to(at, "ACK");
    Dialog { call, at }
}

/// Sends a request of a dialog, and has it answered by its own destination; nobody else hears of it.
fn request(world: &mut World, dialog: &mut Dialog, method: &str) {
    world.receive(CALLER, &dialog.call.request(method));
    let sent = world.sent_to(dialog.at, method);
    world.receive(dialog.at, &reply(&sent.text, 200, "again", ""));
    assert!(world.drain(CALLER).pop().expect("an answer").text.starts_with("SIP/2.0 200"));
    if method == "INVITE" {
        world.receive(CALLER, &dialog.call.ack());
        world.sent_to(dialog.at, "ACK");
    }
    DESTINATIONS.into_iter().for_each(|at| world.quiet(at));
}

#[test]
fn a_thousand_dialogs_reach_their_own_destinations_while_these_die_drain_and_are_removed() {
    let mut world = World::new(&yaml(&[1, 2, 3, 4, 5, 6]));
    let mut dialogs: Vec<Dialog> = (0..DIALOGS).map(|number| begin(&mut world, number)).collect();
    let mut homes: BTreeMap<&str, usize> = BTreeMap::new();
    dialogs.iter().for_each(|dialog| *homes.entry(dialog.at).or_default() += 1);
    assert!(homes.len() == 6 && homes.values().all(|count| *count >= DIALOGS / 6), "{homes:?}");

    let (reinvited, ended) = (DIALOGS / 5, DIALOGS / 7);
    for (number, step) in (0..DIALOGS).step_by(20).enumerate() {
        match number {
            5 => world.set_health(DESTINATIONS[0], Health::Silent),
            6 => world.set_health(DESTINATIONS[1], Health::Answers(503)),
            8 => world.set_admin("d3", Admin::Draining),
            9 => world.set_admin("d4", Admin::Disabled),
            12 => world.advance(30_000),
            15 => {
                assert_eq!((world.state("d1"), world.state("d2")), (State::Down, State::Down));
                world.reload(&yaml(&[6, 2, 4]));
                assert_eq!(world.find("d5"), None, "removed with its calls");
            }
            25 => world.set_health(DESTINATIONS[1], Health::Answers(200)),
            30 => world.advance(30_000),
            35 => world.reload(&yaml(&[6])),
            _ => world.advance(500),
        }
        for dialog in &mut dialogs[step..step + 20] {
            request(&mut world, dialog, "INVITE");
        }
        // Others end meanwhile, of whatever age.
        if step >= reinvited {
            for dialog in &mut dialogs[step - reinvited..step - reinvited + 20] {
                request(&mut world, dialog, "BYE");
            }
        }
        if step % ended == 0 {
            // What is new keeps away from all of them.
            let call = begin(&mut world, DIALOGS + number);
            assert!(number < 15 || [DESTINATIONS[1], DESTINATIONS[5]].contains(&call.at), "{}", call.at);
            request(&mut world, &mut { call }, "BYE");
        }
    }
    for dialog in &mut dialogs[DIALOGS - reinvited..] {
        request(&mut world, dialog, "BYE");
    }
    assert_eq!(world.core.holdings().3, 0, "every dialog has ended");
    world.settle();
}
