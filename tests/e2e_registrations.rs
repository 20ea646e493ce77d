//! Phones that register through the product at two Asterisks that know nothing of each other: digest,
//! calls to the phones, refreshes, and what happens when one Asterisk is lost.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::asterisk::Asterisk;
use harness::metrics::is;
use harness::product::{Config, QUICK_PROBE, Sipwarden};
use harness::sipp::{Calls, Phones, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// How long registrations may take on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

fn users(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("desk{number}")).collect()
}

/// Calls hashed by To meet the registrations, which are hashed by To as well.
fn config(transport: Transport, first: SocketAddr, second: SocketAddr) -> Config {
    let word = transport.word();
    Config::new().with(&format!(
        "sets:
  pbx:
    algorithm: hash
    hash: {{key: [to]}}
    sources: [{}/32, {}/32]   # what they send over TCP comes from other ports
    probe: {QUICK_PROBE}
    failover: {{no_response_after_non_invite: 1s}}
    destinations:
      - {{id: first, uri: \"sip:{first};transport={word}\"}}
      - {{id: second, uri: \"sip:{second};transport={word}\"}}
sip: {{path: true}}",
        first.ip(),
        second.ip(),
    ))
}

/// The users who are registered at an Asterisk.
fn registered(asterisk: &Asterisk) -> BTreeSet<String> {
    let answer = asterisk.cli("pjsip show contacts");
    let contacts = answer.lines().filter_map(|line| line.trim().strip_prefix("Contact:"));
    let users = contacts.filter_map(|contact| Some(contact.trim().split_once('/')?.0.to_owned()));
    // The head of the table is a line like the others.
    users.filter(|user| !user.starts_with('<')).collect()
}

/// Calls every phone; all calls must succeed.
fn call_everybody(workspace: &Workspace, sipwarden: &Sipwarden, transport: Transport, all: &[String]) {
    let count = u32::try_from(all.len()).expect("few phones");
    let calls = Calls { transport, users: all, ..Calls::to(sipwarden.sip, count, 8) };
    calls.scenario("caller_of_phones").make(workspace).expect_all_successful();
}

fn phones_register_and_are_called(test: &str, transport: Transport) {
    let workspace = Workspace::new(test);
    let (first_at, second_at) = (address::endpoint(), address::endpoint());
    let first = Asterisk::start_at(&workspace, first_at);
    let second = Asterisk::start_at(&workspace, second_at);
    let sipwarden = Sipwarden::start(&workspace, &config(transport, first_at, second_at));
    sipwarden.wait_until_up("pbx", 2);

    let (answering, hanging_up, ringing) = (users(1..=7), users(8..=14), users(15..=16));
    let called = [answering.clone(), hanging_up.clone()].concat();
    let everybody = called.len() + ringing.len();
    let start = |serving, users| Phones::start(&workspace, serving, transport, sipwarden.sip, users);
    let mut phones = [
        start("phone_answers", &answering),
        start("phone_hangs_up", &hanging_up),
        start("phone_rings", &ringing),
    ];
    wait::until_true("every phone is registered", SOON, || {
        phones.iter_mut().for_each(Phones::expect_alive);
        registered(&first).len() + registered(&second).len() == everybody
    });
    let (at_first, at_second) = (registered(&first), registered(&second));
    assert!(at_first.is_disjoint(&at_second), "{at_first:?} and {at_second:?}: nobody is at home twice");
    assert!(!at_first.is_empty() && !at_second.is_empty(), "{at_first:?} and {at_second:?}: both are used");

    call_everybody(&workspace, &sipwarden, transport, &called);
    let codes = |method, code| {
        let labels = [("method", method), ("code", code)];
        sipwarden.scrape().sum_or_zero("sipwarden_transactions_total", &labels)
    };
    // Each call passes twice: to the Asterisk, and from it down the flow.
    let both_ways = 2 * u32::try_from(called.len()).expect("few phones");
    assert!(
        is(codes("INVITE", "200"), f64::from(both_ways)) && is(codes("BYE", "200"), f64::from(both_ways))
    );
    for user in &ringing {
        let calls = Calls { transport, user, ..Calls::to(sipwarden.sip, 1, 1) };
        calls.scenario("caller_cancels").make(&workspace).expect_all_successful();
    }
    // The Asterisk may have answered its caller before the phone has answered it.
    wait::until_true("the phones have heard of the CANCEL, and said so", SOON, || {
        let of_phones_too = [("method", "INVITE"), ("code", "487"), ("origin", "upstream")];
        is(sipwarden.scrape().sum_or_zero("sipwarden_transactions_total", &of_phones_too), 4.0)
    });

    // Every refresh is challenged anew, and ends where it was.
    let before = codes("REGISTER", "200");
    let refreshes = 2.0 * f64::from(u32::try_from(everybody).expect("few phones"));
    wait::until_true("every phone has registered again", SOON, || {
        phones.iter_mut().for_each(Phones::expect_alive);
        codes("REGISTER", "200") >= before + refreshes
    });
    assert_eq!((registered(&first), registered(&second)), (at_first, at_second));
    assert!(is(sipwarden.scrape().sum("sipwarden_failovers_total", &[]), 0.0));

    // One is lost, and with it what it knew: its phones register at the other, and are reached there.
    drop(first);
    wait::until_true("every phone is registered at the Asterisk that is left", SOON, || {
        phones.iter_mut().for_each(Phones::expect_alive);
        registered(&second).len() == everybody
    });
    sipwarden.wait_until_usable("pbx", "first", false);
    call_everybody(&workspace, &sipwarden, transport, &called);
    assert!(is(codes("INVITE", "200"), 2.0 * f64::from(both_ways)));
    assert!(is(sipwarden.scrape().sum("sipwarden_rejections_total", &[]), 0.0));
}

#[test]
fn over_udp_phones_register_with_digest_and_are_called_also_after_one_asterisk_is_lost() {
    phones_register_and_are_called("registrations-udp", Transport::Udp);
}

#[test]
fn over_tcp_phones_register_with_digest_and_are_called_also_after_one_asterisk_is_lost() {
    phones_register_and_are_called("registrations-tcp", Transport::Tcp);
}
