//! What happens inside calls to real Asterisks, from either side: hold, re-INVITE, transfer, early
//! media, reliable provisional responses.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::metrics::is;
use harness::pbx::Pbx;
use harness::phone::{Message, Phone};
use harness::sipp::{Calls, Transport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const CALLS: u32 = 10;

/// Makes calls of every scenario, all at the same time, over UDP and over TCP.
fn make(pbx: &Pbx, scenarios: &[(&str, &str)]) {
    let hold = Duration::from_millis(200);
    let callers: Vec<_> = [Transport::Udp, Transport::Tcp]
        .into_iter()
        .flat_map(|transport| scenarios.iter().map(move |(scenario, user)| (transport, scenario, user)))
        .map(|(transport, scenario, user)| {
            let calls = Calls { transport, user, hold, ..Calls::to(pbx.sipwarden.sip, CALLS, 20) };
            calls.scenario(scenario).start(&pbx.workspace)
        })
        .collect();
    for caller in callers {
        caller.finish().expect_all_successful();
    }
}

/// Checks how many requests of a method have ended with a code at the other end of the proxy, and
/// that none ended otherwise.
fn expect(pbx: &Pbx, wanted: &[(&str, &str, u32)]) {
    let scrape = pbx.sipwarden.scrape();
    for (method, code, per_call) in wanted {
        let count = f64::from(per_call * CALLS * 2);
        let labels = [("method", *method), ("code", *code), ("origin", "upstream")];
        let found = scrape.sum_or_zero("sipwarden_transactions_total", &labels);
        assert!(is(found, count), "{found} of {count} {method} ended with {code}");
        let all = scrape.sum("sipwarden_transactions_total", &[("method", method)]);
        assert!(is(all, count), "{all} {method} have ended, {count} of them with {code}");
    }
    assert!(is(scrape.sum("sipwarden_failovers_total", &[]), 0.0));
    assert!(is(scrape.sum("sipwarden_rejections_total", &[]), 0.0));
    assert!(is(scrape.sum("sipwarden_dialogs", &[("set", "pbx")]), 0.0), "a call was left behind");
}

#[test]
fn a_caller_holds_and_resumes_and_an_asterisk_re_invites_and_hangs_up() {
    let pbx = Pbx::start("flows-hold", "udp");
    make(&pbx, &[("caller_holds", "echo"), ("caller_reinvited", "refresh")]);
    let calls: u32 = pbx.wait_until_idle().iter().sum();
    assert_eq!(calls, CALLS * 2 * 2, "calls that reached an Asterisk");
    // Three INVITEs of who holds, one each of caller and Asterisk in the other calls.
    expect(&pbx, &[("INVITE", "200", 3 + 2), ("BYE", "200", 2)]);
}

#[test]
fn a_caller_transfers_the_callee_and_hears_of_it() {
    let pbx = Pbx::start("flows-refer", "udp");
    let from = address::host().into();
    let phones = [Transport::Udp, Transport::Tcp].map(|transport| {
        let product = pbx.sipwarden.sip;
        (0..CALLS).map(move |_| std::thread::spawn(move || transfer(transport, from, product))).collect()
    });
    for phone in phones.into_iter().flat_map(|phones: Vec<_>| phones) {
        phone.join().expect("the transfer went well");
    }
    pbx.wait_until_idle();
    expect(&pbx, &[("INVITE", "200", 1), ("REFER", "202", 1), ("NOTIFY", "200", 3), ("BYE", "200", 1)]);
}

/// Calls, asks the callee to call somebody else (RFC 3515), and hangs up when it says that it did. A
/// NOTIFY may overtake the 202, and two may come at once: too much for a SIPp scenario.
fn transfer(transport: Transport, from: IpAddr, product: SocketAddr) {
    let mut phone = Phone::new(transport, from, product, &format!("sip:talk@{product}"));
    phone.invite();
    assert!(phone.wait_for(|message| message.answers("INVITE", 200)), "{}", phone.story());
    // Asterisk answers before its bridge stands, and loses a transfer that comes in between.
    phone.listen(Duration::from_secs(1));
    let refer = format!("Refer-To: <sip:tone@{product}>\r\nReferred-By: <sip:phone@{from}>\r\n");
    phone.request("REFER", &refer, "");
    let is_over = |message: &Message| message.requests("NOTIFY") && message.body().starts_with("SIP/2.0 200");
    assert!(phone.wait_for(is_over), "{}", phone.story());
    assert_eq!(phone.codes("REFER"), [202], "{}", phone.story());
    let heard: Vec<&str> = phone.bodies("NOTIFY").iter().filter_map(|body| body.get(8..11)).collect();
    assert_eq!(heard, ["100", "180", "200"], "{}", phone.story());
    assert!(phone.hang_up(), "{}", phone.story());
}

#[test]
fn media_before_the_answer_and_provisional_responses_that_are_acknowledged() {
    let pbx = Pbx::start("flows-early", "tcp");
    make(&pbx, &[("caller_early", "early"), ("caller_pracks", "early")]);
    pbx.wait_until_idle();
    expect(&pbx, &[("INVITE", "200", 2), ("PRACK", "200", 1), ("BYE", "200", 2)]);
}
