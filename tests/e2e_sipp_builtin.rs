//! The scenarios built into SIPp, through the real binary. All of them forget the route set: their
//! ACK and BYE go to the address that was called.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::metrics::is;
use harness::product::{Config, Sipwarden};
use harness::sipp::{Callee, Caller, Calls, Transport};
use harness::sockets::{self, Kind};
use harness::wait;
use harness::workspace::Workspace;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Where Debian's sip-tester keeps the media of scenario uac_pcap.
const MEDIA: &str = "/usr/share/sip-tester";

fn callee(workspace: &Workspace, scenario: &str, address: SocketAddr) -> Callee {
    Callee::start_at(workspace, scenario, Transport::Udp, Duration::ZERO, address)
}

/// Sets of one callee each. These callees know no OPTIONS.
fn sets(destinations: &[(&str, String)]) -> String {
    destinations.iter().fold(String::from("sets:\n"), |mut lines, (set, uri)| {
        let _ = writeln!(lines, "  {set}: {{probe: {{enabled: false}}, destinations: [\"{uri}\"]}}");
        lines
    })
}

fn finish(callers: Vec<Caller>) {
    for caller in callers {
        caller.finish().expect_all_successful();
    }
}

/// Checks that every call began and ended well at the callees, and is over for the product.
fn expect_calls(sipwarden: &Sipwarden, calls: u32, callees: &[&Callee]) {
    wait::until_true("the last BYE is counted and no call is left", Duration::from_secs(5), || {
        let scrape = sipwarden.scrape();
        let ended = ["INVITE", "BYE"].map(|method| {
            let labels = [("method", method), ("code", "200"), ("origin", "upstream")];
            scrape.sum_or_zero("sipwarden_transactions_total", &labels)
        });
        ended.iter().all(|ended| is(*ended, f64::from(calls)))
            && is(scrape.sum("sipwarden_dialogs", &[]), 0.0)
    });
    for callee in callees {
        assert_eq!(
            callee.tally().map(|tally| tally.failed),
            Some(0),
            "{}: {:?}",
            callee.address,
            callee.tally()
        );
    }
}

#[test]
fn uac_regexp_and_uac_pcap_call_uas() {
    assert!(
        Path::new(MEDIA).join("g711a.pcap").exists(),
        "{MEDIA}/g711a.pcap comes with Debian's sip-tester"
    );
    let workspace = Workspace::new("builtin-uac");
    std::os::unix::fs::symlink(MEDIA, workspace.path("pcap")).expect("the test's directory can be written");
    let uas = callee(&workspace, "sipp:uas", address::endpoint());
    let config = Config::new().with(&sets(&[("pbx", format!("sip:{}", uas.address))]));
    let sipwarden = Sipwarden::start(&workspace, &config);
    let calls = Calls { hold: Duration::ZERO, ..Calls::to(sipwarden.sip, 50, 50) };
    let callers = [
        calls.scenario("sipp:uac"),
        Calls { transport: Transport::Tcp, ..calls.scenario("sipp:uac") },
        calls.scenario("sipp:regexp"),
        Calls { count: 5, rate: 5, ..calls.scenario("sipp:uac_pcap") },
    ];
    finish(callers.map(|calls| calls.start(&workspace)).into());
    expect_calls(&sipwarden, 50 * 3 + 5, &[&uas]);
}

#[test]
fn branchc_registers_and_calls_branchs() {
    let workspace = Workspace::new("builtin-branch");
    // Scenario branchc calls its peer by this name, without a port.
    let branchs = callee(&workspace, "sipp:branchs", SocketAddr::new(address::host().into(), 5060));
    let config = Config::new().with(&sets(&[("pbx", String::from("sip:CA.cym.com"))]));
    let hosts = format!("{} ca.cym.com\n", branchs.address.ip());
    let sipwarden = Sipwarden::start_with_hosts(&workspace, &config, &hosts);
    wait::until_true("the name is resolved", Duration::from_secs(10), || {
        is(sipwarden.scrape().sum("sipwarden_destination_up", &[("set", "pbx")]), 1.0)
    });
    finish(vec![Calls::to(sipwarden.sip, 30, 30).scenario("sipp:branchc").start(&workspace)]);
    // Calls 2 and 20 to 29 are answered, the others get 403; and every one ends with a BYE.
    let scrape = sipwarden.scrape();
    for (method, code, count) in
        [("REGISTER", "200", 30.0), ("INVITE", "200", 11.0), ("INVITE", "403", 19.0), ("BYE", "200", 30.0)]
    {
        let labels = [("method", method), ("code", code), ("origin", "upstream")];
        let found = scrape.sum_or_zero("sipwarden_transactions_total", &labels);
        assert!(is(found, count), "{found} {method} ended with {code}");
    }
    assert_eq!(branchs.tally().map(|tally| tally.failed), Some(0), "{:?}", branchs.tally());
}

#[test]
fn a_3pcc_controller_joins_two_parties() {
    let workspace = Workspace::new("builtin-3pcc");
    let [a, b] =
        ["sipp:3pcc-A", "sipp:3pcc-B"].map(|scenario| callee(&workspace, scenario, address::endpoint()));
    let parties = [("a", format!("sip:{}", a.address)), ("b", format!("sip:{}", b.address))];
    let routes = "routes:\n  - {ruri_user: \"^party-a$\", set: a}\n  - {ruri_user: \"^party-b$\", set: b}";
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&sets(&parties)).with(routes));
    let twin = address::endpoint();
    let calls = Calls { twin: Some(twin), ..Calls::to(sipwarden.sip, 20, 20) };
    // The half that calls B is told by the other one what to do. It listens at every address.
    let second = Calls { user: "party-b", scenario: "sipp:3pcc-C-B", ..calls }.start(&workspace);
    wait::until_true("the halves can meet", Duration::from_secs(10), || {
        sockets::is_bound(Kind::Tcp, (Ipv4Addr::UNSPECIFIED, twin.port()).into())
    });
    let first = Calls { user: "party-a", scenario: "sipp:3pcc-C-A", ..calls }.start(&workspace);
    finish(vec![first, second]);
    expect_calls(&sipwarden, 20 * 2, &[&a, &b]);
}
