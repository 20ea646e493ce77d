//! Two real Asterisks behind the real binary.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::asterisk::Asterisk;
use harness::metrics::is;
use harness::pbx::Pbx;
use harness::product::{Config, Sipwarden};
use harness::sipp::{Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::time::Duration;

#[test]
fn a_hundred_calls_a_busy_line_and_a_caller_who_hangs_up() {
    let pbx = Pbx::start("asterisk", "udp");
    let Pbx { sipwarden, workspace, .. } = &pbx;
    let probes = sipwarden.scrape();
    for id in ["first", "second"] {
        let place = [("set", "pbx"), ("destination", id)];
        assert!(is(probes.sum("sipwarden_probe_last_status_code", &place), 200.0), "{id} answers OPTIONS");
    }

    let echo = Calls { user: "echo", ..Calls::to(sipwarden.sip, 80, 20) };
    echo.make(workspace).expect_all_successful();
    let over_tcp = Calls { count: 20, transport: Transport::Tcp, ..echo };
    over_tcp.make(workspace).expect_all_successful();
    let busy = Calls { user: "busy", count: 10, scenario: "caller_busy", ..echo };
    busy.make(workspace).expect_all_successful();
    let cancelled = Calls { user: "ring", count: 10, scenario: "caller_cancels", ..echo };
    cancelled.make(workspace).expect_all_successful();

    let processed = pbx.wait_until_idle();
    assert_eq!(processed.iter().sum::<u32>(), 120, "calls that reached an Asterisk");
    assert!(processed.iter().all(|calls| *calls >= 30), "shares of 120 calls: {processed:?}");
    let scrape = sipwarden.scrape();
    for (code, count) in [("200", 100.0), ("486", 10.0), ("487", 10.0)] {
        let labels = [("set", "pbx"), ("method", "INVITE"), ("code", code), ("origin", "upstream")];
        let found = scrape.sum("sipwarden_transactions_total", &labels);
        assert!(is(found, count), "{found} INVITEs ended with {code}");
    }
    // Busy and cancelled calls are answers, not failures: nobody else is asked.
    assert!(is(scrape.sum("sipwarden_failovers_total", &[]), 0.0));
    assert!(is(scrape.sum("sipwarden_selections_total", &[]), 120.0));
}

/// RFC 3261 §18.1.1: with so small an mtu every INVITE goes over TCP first, and Asterisk answers with a
/// Contact that keeps the dialog there.
#[test]
fn calls_too_large_for_udp_reach_it_over_tcp() {
    let workspace = Workspace::new("asterisk-tcp");
    let peer = Asterisk::start(&workspace);
    let set =
        format!("sets: {{pbx: {{destinations: [{{id: only, uri: \"sip:{}\", mtu: 512}}]}}}}", peer.address);
    let config = Config::new().with(&set);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 1);
    let echo = Calls { user: "echo", ..Calls::to(sipwarden.sip, 20, 20) };
    echo.make(&workspace).expect_all_successful();
    let busy = Calls { user: "busy", count: 5, scenario: "caller_busy", ..echo };
    busy.make(&workspace).expect_all_successful();
    let cancelled = Calls { user: "ring", count: 5, scenario: "caller_cancels", ..echo };
    cancelled.make(&workspace).expect_all_successful();
    wait::until_true("no channel is left", Duration::from_secs(10), || peer.calls().0 == 0);
    assert_eq!(peer.calls().1, 30, "calls that reached Asterisk");
    let scrape = sipwarden.scrape();
    let opened = [("transport", "tcp"), ("role", "outbound"), ("result", "ok")];
    assert!(is(scrape.sum("sipwarden_transport_connects_total", &opened), 1.0), "one connection for all");
    let received = [("transport", "tcp"), ("direction", "received"), ("kind", "response")];
    // 100, 180 or not, a final response; the answers to BYE and CANCEL.
    let answers = scrape.sum("sipwarden_messages_total", &received);
    assert!(answers >= 80.0, "{answers} answers over TCP");
    assert!(is(scrape.sum("sipwarden_failovers_total", &[]), 0.0));
}
