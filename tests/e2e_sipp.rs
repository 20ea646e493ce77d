//! The real binary between SIPp callers and SIPp callees: plain calls over UDP and TCP, the death of
//! destinations under load, recovery, and what the metrics say of each.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::metrics::{Scrape, is};
use harness::product::{Config, Sipwarden};
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::time::Duration;

const INSTANTLY: Duration = Duration::ZERO;
/// Long enough that a killed callee leaves calls without any response behind.
const SLOWLY: Duration = Duration::from_millis(150);

/// Final responses sent to callers.
fn answered(scrape: &Scrape, method: &str, code: &str, origin: &str) -> f64 {
    let labels = [("set", "pbx"), ("method", method), ("code", code), ("origin", origin)];
    scrape.sum_or_zero("sipwarden_transactions_total", &labels)
}

fn selections(scrape: &Scrape, id: &str) -> f64 {
    scrape.sum("sipwarden_selections_total", &[("set", "pbx"), ("destination", id)])
}

/// Checks every counter of a run in which all calls went well at two equal destinations.
fn expect_plain_calls(sipwarden: &Sipwarden, calls: u32) {
    let calls = f64::from(calls);
    wait::until_true("the last BYE is counted", Duration::from_secs(5), || {
        is(answered(&sipwarden.scrape(), "BYE", "200", "upstream"), calls)
    });
    let scrape = sipwarden.scrape();
    assert!(is(answered(&scrape, "INVITE", "200", "upstream"), calls));
    let invites = [("set", "pbx"), ("method", "INVITE")];
    assert!(is(scrape.sum("sipwarden_transactions_total", &invites), calls), "an INVITE ended otherwise");
    assert!(is(scrape.sum("sipwarden_requests_total", &[("method", "INVITE")]), calls));
    let primary = [("set", "pbx"), ("algorithm", "round_robin"), ("reason", "primary")];
    assert!(is(scrape.sum("sipwarden_selections_total", &primary), calls));
    assert!(is(scrape.sum("sipwarden_selections_total", &[]), calls), "something else was selected");
    // Each worker goes round on its own, so the shares differ by at most one a worker.
    let (a, b) = (selections(&scrape, "a"), selections(&scrape, "b"));
    assert!((a - b).abs() < calls / 4.0, "{a} calls to a, {b} to b");
    for silent in [
        "sipwarden_failovers_total",
        "sipwarden_failovers_exhausted_total",
        "sipwarden_selection_failures_total",
        "sipwarden_rejections_total",
        "sipwarden_parse_errors_total",
        "sipwarden_set_all_down",
    ] {
        assert!(is(scrape.sum(silent, &[]), 0.0), "{silent} is not 0");
    }
    assert!(is(scrape.sum("sipwarden_dialogs", &[("set", "pbx")]), 0.0), "a call was left behind");
}

#[test]
fn five_hundred_calls_over_udp() {
    let workspace = Workspace::new("calls-udp");
    let a = Callee::start(&workspace, "callee", Transport::Udp, INSTANTLY);
    let b = Callee::start(&workspace, "callee", Transport::Udp, INSTANTLY);
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    Calls::to(sipwarden.sip, 500, 100).make(&workspace).expect_all_successful();
    expect_plain_calls(&sipwarden, 500);
}

#[test]
fn two_hundred_calls_over_tcp() {
    let workspace = Workspace::new("calls-tcp");
    let a = Callee::start(&workspace, "callee", Transport::Tcp, INSTANTLY);
    let b = Callee::start(&workspace, "callee", Transport::Tcp, INSTANTLY);
    let config = Config::new().with_set("pbx", "tcp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    let calls = Calls { transport: Transport::Tcp, ..Calls::to(sipwarden.sip, 200, 50) };
    calls.make(&workspace).expect_all_successful();
    expect_plain_calls(&sipwarden, 200);
}

#[test]
fn calls_that_come_over_tcp_and_leave_over_udp() {
    let workspace = Workspace::new("calls-mixed");
    let a = Callee::start(&workspace, "callee", Transport::Udp, INSTANTLY);
    let b = Callee::start(&workspace, "callee", Transport::Udp, INSTANTLY);
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    let calls = Calls { transport: Transport::Tcp, ..Calls::to(sipwarden.sip, 50, 50) };
    calls.make(&workspace).expect_all_successful();
    expect_plain_calls(&sipwarden, 50);
}

#[test]
fn calls_over_ipv6() {
    let workspace = Workspace::new("calls-ipv6");
    let start = || Callee::start_at(&workspace, "callee", Transport::Udp, INSTANTLY, address::endpoint_v6());
    let (a, b) = (start(), start());
    let config =
        Config::at(address::endpoint_v6()).with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    Calls::to(sipwarden.sip, 50, 50).make(&workspace).expect_all_successful();
    let over_tcp = Calls { transport: Transport::Tcp, ..Calls::to(sipwarden.sip, 50, 50) };
    over_tcp.make(&workspace).expect_all_successful();
    expect_plain_calls(&sipwarden, 100);
}

#[test]
fn one_of_two_destinations_over_tcp_dies_under_load() {
    let workspace = Workspace::new("death-tcp");
    let mut a = Callee::start(&workspace, "callee_slow", Transport::Tcp, SLOWLY);
    let b = Callee::start(&workspace, "callee_slow", Transport::Tcp, SLOWLY);
    let config = Config::new().with_set("pbx", "tcp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    let caller = Calls::to(sipwarden.sip, 120, 30).scenario("caller_of_mortals").start(&workspace);
    caller.wait_for_successes(30);
    a.kill();
    sipwarden.wait_until_usable("pbx", "a", false);
    caller.finish().expect_all_successful();
    let scrape = sipwarden.scrape();
    assert!(is(answered(&scrape, "INVITE", "200", "upstream"), 120.0));
    let broken = [("destination", "a"), ("cause", "transport_error")];
    assert!(scrape.sum("sipwarden_failovers_total", &broken) > 0.5, "no call was caught in set-up");
}

#[test]
fn one_of_two_destinations_dies_under_load_then_both_then_they_return() {
    let workspace = Workspace::new("death");
    let start = |address| match address {
        None => Callee::start(&workspace, "callee_slow", Transport::Udp, SLOWLY),
        Some(address) => Callee::start_at(&workspace, "callee_slow", Transport::Udp, SLOWLY, address),
    };
    let (mut a, mut b) = (start(None), start(None));
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);

    // One dies at 30 calls a second: no new call fails, those in set-up at it fail over.
    let mortals = Calls::to(sipwarden.sip, 240, 30).scenario("caller_of_mortals");
    let caller = mortals.start(&workspace);
    caller.wait_for_successes(60);
    a.kill();
    sipwarden.wait_until_usable("pbx", "a", false);
    caller.finish().expect_all_successful();
    let after_death = sipwarden.scrape();
    assert!(is(answered(&after_death, "INVITE", "200", "upstream"), 240.0));
    let failovers = after_death.sum("sipwarden_failovers_total", &[("set", "pbx"), ("destination", "a")]);
    assert!(failovers > 0.5, "no call was caught in set-up");
    let taken_over = [("set", "pbx"), ("destination", "b"), ("reason", "failover")];
    assert!(is(after_death.sum("sipwarden_selections_total", &taken_over), failovers));
    assert!(is(after_death.sum("sipwarden_failovers_total", &[("destination", "b")]), 0.0));
    // ICMP tells of a closed port at the latest when the INVITE is repeated: nobody waits for a timer.
    let by_timer = [("destination", "a"), ("cause", "timeout")];
    assert!(is(after_death.sum("sipwarden_failovers_total", &by_timer), 0.0), "an ICMP error was missed");
    assert!(is(after_death.sum("sipwarden_set_all_down", &[]), 0.0));

    // Once the death is known, nothing goes there.
    let mortals = Calls { count: 60, ..mortals };
    mortals.make(&workspace).expect_all_successful();
    let meanwhile = sipwarden.scrape();
    assert!(
        is(selections(&meanwhile, "a"), selections(&after_death, "a")),
        "the dead destination was selected"
    );
    assert!(is(selections(&meanwhile, "b"), selections(&after_death, "b") + 60.0));

    // Both down: each INVITE gets 503 with Retry-After, and the gauge says why.
    b.kill();
    sipwarden.wait_until_all_down("pbx", true);
    Calls::to(sipwarden.sip, 50, 50).scenario("caller_refused").make(&workspace).expect_all_successful();
    let all_down = sipwarden.scrape();
    assert!(is(answered(&all_down, "INVITE", "503", "local"), 50.0));
    assert!(is(
        all_down.sum("sipwarden_rejections_total", &[("set", "pbx"), ("reason", "none_usable")]),
        50.0
    ));
    assert!(is(all_down.sum("sipwarden_selection_failures_total", &[("reason", "none_usable")]), 50.0));
    assert!(is(all_down.sum("sipwarden_set_all_down", &[("set", "pbx")]), 1.0));

    // They return at their old addresses, and calls go to both again.
    a = start(Some(a.address));
    b = start(Some(b.address));
    sipwarden.wait_until_up("pbx", 2);
    Calls { count: 60, ..mortals }.scenario("caller").make(&workspace).expect_all_successful();
    let recovered = sipwarden.scrape();
    assert!(is(recovered.sum("sipwarden_set_all_down", &[("set", "pbx")]), 0.0));
    assert!(selections(&recovered, "a") > selections(&all_down, "a"));
    assert!(selections(&recovered, "b") > selections(&all_down, "b"));
    assert!(
        is(recovered.sum("sipwarden_rejections_total", &[("set", "pbx")]), 50.0),
        "a call was refused again"
    );
    drop((a, b));
}
