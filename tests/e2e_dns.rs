//! The real binary with a DNS server of its own: names that grow and shrink under calls, move, stop
//! resolving, and come up late.

#[path = "support/dns.rs"]
mod dns;
#[path = "support/e2e/harness.rs"]
mod harness;

use dns::{Dns, Kind, Record, Script};
use harness::address;
use harness::http;
use harness::metrics::is;
use harness::product::{Config, QUICK_PROBE, Sipwarden, run};
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const NAME: &str = "pbx.example";
const WITHIN: Duration = Duration::from_secs(15);

/// A DNS server on the only port that `/etc/resolv.conf` knows (needs root).
fn server() -> Dns {
    Dns::start((address::host(), 53))
}

/// A set with one destination `pbx` whose name is looked up every second.
fn config(uri: &str) -> Config {
    let set = format!("sets: {{pbx: {{probe: {QUICK_PROBE}, destinations: [{{id: pbx, uri: \"{uri}\"}}]}}}}");
    Config::new().with("dns: {min_ttl: 1s, max_ttl: 1s}").with(&set)
}

/// Callees on one port of loopback addresses of their own.
fn callees(workspace: &Workspace, count: usize) -> Vec<Callee> {
    let port = address::endpoint().port();
    let at = |_| SocketAddr::new(address::host().into(), port);
    let start = |at| Callee::start_at(workspace, "callee", Transport::Udp, Duration::ZERO, at);
    (0..count).map(at).map(start).collect()
}

fn addresses(callees: &[Callee]) -> Vec<IpAddr> {
    callees.iter().map(|callee| callee.address.ip()).collect()
}

/// The ids of the set's destinations, as the API lists them.
fn ids(sipwarden: &Sipwarden) -> Vec<String> {
    let listing = http::get(sipwarden.http, "/api/v1/destinations").expect("the API answers").json();
    let destinations = listing.pointer("/sets/0/destinations").and_then(|list| list.as_array());
    let id = |one: &serde_json::Value| one.get("id").and_then(|id| id.as_str()).map(ToOwned::to_owned);
    destinations.expect("a list").iter().filter_map(id).collect()
}

fn wait_for_ids(sipwarden: &Sipwarden, expected: &[String]) {
    wait::until_true(&format!("the destinations are {expected:?}"), WITHIN, || ids(sipwarden) == expected);
}

fn ids_of(callees: &[Callee]) -> Vec<String> {
    let mut addresses: Vec<SocketAddr> = callees.iter().map(|callee| callee.address).collect();
    addresses.sort_unstable();
    addresses.iter().map(|address| format!("pbx@{address}")).collect()
}

#[test]
fn scaling_from_one_to_three_and_down_to_two_fails_no_call() {
    let workspace = Workspace::new("dns-scale");
    let dns = server();
    let mut callees = callees(&workspace, 3);
    dns.set_addresses(NAME, 1, &addresses(&callees[..1]));
    let port = callees[0].address.port();
    let sipwarden =
        Sipwarden::start_with_dns(&workspace, &config(&format!("sip:{NAME}:{port}")), dns.address.ip());
    sipwarden.wait_until_up("pbx", 1);
    assert_eq!(ids(&sipwarden), ["pbx"]);

    let caller = Calls::to(sipwarden.sip, 900, 60).start(&workspace);
    caller.wait_for_successes(60);
    dns.set_addresses(NAME, 1, &addresses(&callees));
    sipwarden.wait_until_up("pbx", 3);
    wait_for_ids(&sipwarden, &ids_of(&callees));
    for callee in &callees {
        // Every series of a new destination is there at once, and each gets calls.
        let id = format!("pbx@{}", callee.address);
        let labels = [("set", "pbx"), ("destination", id.as_str())];
        wait::until_true(&format!("{id} gets calls"), WITHIN, || {
            let scrape = sipwarden.scrape();
            assert!(is(scrape.sum("sipwarden_destination_dns_stale", &labels), 0.0));
            scrape.sum("sipwarden_selections_total", &labels) > 5.0
        });
    }
    let remaining: Vec<Callee> = callees.drain(1..).collect();
    dns.set_addresses(NAME, 1, &addresses(&remaining));
    wait_for_ids(&sipwarden, &ids_of(&remaining));
    let gone = format!("pbx@{}", callees[0].address);
    let scrape = sipwarden.scrape();
    assert!(is(scrape.sum_or_zero("sipwarden_destination_up", &[("destination", &gone)]), 0.0));
    assert_eq!(scrape.matching("sipwarden_destination_info", &[("destination", &gone)]).count(), 0);
    caller.finish().expect_all_successful();
    let scrape = sipwarden.scrape();
    assert!(is(scrape.sum("sipwarden_failovers_total", &[]), 0.0));
    assert!(is(scrape.sum("sipwarden_dialogs", &[("set", "pbx")]), 0.0), "a call was left behind");
    let probed = sipwarden.ask(&["probe", "pbx", "pbx"]);
    assert_eq!(probed.code, Some(0), "{}", probed.stderr);
    assert!(ids_of(&remaining).iter().all(|id| probed.stdout.contains(id)), "{}", probed.stdout);
}

#[test]
fn a_name_that_stops_resolving_keeps_its_endpoints_and_the_alert() {
    for script in [Script::NxDomain, Script::ServFail, Script::Silence] {
        let workspace = Workspace::new("dns-stale");
        let dns = server();
        let mut callees = callees(&workspace, 2);
        dns.set_addresses(NAME, 1, &addresses(&callees));
        let port = callees[0].address.port();
        let config = config(&format!("sip:{NAME}:{port}"));
        let sipwarden = Sipwarden::start_with_dns(&workspace, &config, dns.address.ip());
        sipwarden.wait_until_up("pbx", 2);
        dns.set(NAME, Kind::A, script.clone());
        let labels = [("set", "pbx")];
        wait::until_true("both are stale", WITHIN, || {
            is(sipwarden.scrape().sum("sipwarden_destination_dns_stale", &labels), 2.0)
        });
        assert_eq!(ids(&sipwarden), ids_of(&callees), "{script:?}");
        Calls::to(sipwarden.sip, 20, 40).make(&workspace).expect_all_successful();
        callees.iter_mut().for_each(Callee::kill);
        sipwarden.wait_until_all_down("pbx", true);
        let stays = wait::stays_true(Duration::from_secs(3), || {
            is(sipwarden.scrape().sum("sipwarden_set_all_down", &labels), 1.0)
        });
        assert!(stays, "{script:?} silenced the alert");
        let table = sipwarden.ask(&["list"]).stdout;
        assert!(table.contains("stale") && table.contains(&callees[0].address.to_string()), "{table}");
    }
}

#[test]
fn a_restarted_container_gets_its_calls_at_its_new_address_with_series_and_wish_kept() {
    let workspace = Workspace::new("dns-moved");
    let dns = server();
    let mut callees = callees(&workspace, 2);
    dns.set_addresses(NAME, 1, &addresses(&callees[..1]));
    let port = callees[0].address.port();
    let sipwarden =
        Sipwarden::start_with_dns(&workspace, &config(&format!("sip:{NAME}:{port}")), dns.address.ip());
    sipwarden.wait_until_up("pbx", 1);
    Calls::to(sipwarden.sip, 20, 40).make(&workspace).expect_all_successful();
    callees[0].kill();
    dns.set_addresses(NAME, 1, &addresses(&callees[1..]));
    let labels = [("set", "pbx"), ("destination", "pbx")];
    wait::until_true("the address has changed", WITHIN, || {
        is(sipwarden.scrape().sum("sipwarden_destination_address_changes_total", &labels), 2.0)
    });
    sipwarden.wait_until_up("pbx", 1);
    Calls::to(sipwarden.sip, 20, 40).make(&workspace).expect_all_successful();
    assert!(is(sipwarden.scrape().sum("sipwarden_selections_total", &labels), 40.0), "counters go on");

    let set_state = |id: &str, state: &str| sipwarden.ask(&["set-state", "pbx", id, state]).code;
    assert_eq!(set_state("pbx", "draining"), Some(0));
    dns.set_addresses(NAME, 1, &[callees[1].address.ip(), address::host().into()]);
    let draining = [("set", "pbx"), ("state", "draining")];
    wait::until_true("both drain", WITHIN, || {
        is(sipwarden.scrape().sum("sipwarden_destination_state", &draining), 2.0)
    });
    let one = format!("pbx@{}", callees[1].address);
    let refused = sipwarden.ask(&["set-state", "pbx", &one, "enabled"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("one of several addresses"), "{}", refused.stderr);
    assert_eq!(set_state("pbx", "enabled"), Some(0));
    wait::until_true("none drains", WITHIN, || {
        is(sipwarden.scrape().sum("sipwarden_destination_state", &draining), 0.0)
    });
    Calls::to(sipwarden.sip, 10, 40).make(&workspace).expect_all_successful();
}

#[test]
fn a_name_whose_srv_query_is_dropped_or_fails_gets_calls_at_port_5060() {
    for script in [Script::Silence, Script::ServFail] {
        let workspace = Workspace::new("dns-no-srv");
        let dns = server();
        let at = SocketAddr::new(address::host().into(), 5060);
        let callee = Callee::start_at(&workspace, "callee", Transport::Udp, Duration::ZERO, at);
        dns.set_addresses(NAME, 1, &[callee.address.ip()]);
        dns.set("_sip._udp.pbx.example", Kind::Srv, script.clone());
        let sipwarden =
            Sipwarden::start_with_dns(&workspace, &config(&format!("sip:{NAME}")), dns.address.ip());
        sipwarden.wait_until_up("pbx", 1);
        Calls::to(sipwarden.sip, 20, 40).make(&workspace).expect_all_successful();
        let stale = sipwarden.scrape().sum("sipwarden_destination_dns_stale", &[("set", "pbx")]);
        assert!(is(stale, 1.0), "{script:?}: nobody knows whether there are SRV records");
    }
}

#[test]
fn an_srv_name_that_does_not_resolve_is_down_until_it_does() {
    let workspace = Workspace::new("dns-srv");
    let dns = server();
    let srv = "_sip._udp.pbx.example";
    let file = config(&format!("sip:{NAME}"));
    let written = workspace.write("checked.yaml", file.text());
    let checked = run(&["check", "-c", &written.to_string_lossy()]);
    assert_eq!(checked.code, Some(0), "whether a name resolves is no matter of the file: {}", checked.stderr);
    let sipwarden = Sipwarden::start_with_dns(&workspace, &file, dns.address.ip());
    sipwarden.wait_until_all_down("pbx", true);
    let listing = http::get(sipwarden.http, "/api/v1/destinations").expect("the API answers").json();
    let pbx = &listing["sets"][0]["destinations"][0];
    assert_eq!((&pbx["id"], &pbx["state"], &pbx["address"]), (&"pbx".into(), &"down".into(), &().into()));
    assert_eq!(pbx["changes"][0]["reason"], "dns");
    assert_eq!((&pbx["dns"]["name"], &pbx["dns"]["resolved"]), (&NAME.into(), &().into()));

    // Each on a port of its own, which only SRV records can say; the answer is too long for UDP.
    let start = || Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let (first, second) = (start(), start());
    let record = |priority, callee: &Callee, target: &str| Record::Srv {
        priority,
        weight: 1,
        port: callee.address.port(),
        target: target.to_owned(),
    };
    dns.set_addresses("a.example", 1, &[first.address.ip()]);
    dns.set_addresses("b.example", 1, &[second.address.ip()]);
    let records = vec![record(20, &second, "b.example"), record(10, &first, "a.example")];
    dns.set(srv, Kind::Srv, Script::OverTcp(1, records));
    sipwarden.wait_until_up("pbx", 2);
    Calls::to(sipwarden.sip, 20, 40).make(&workspace).expect_all_successful();
    let selections = |callee: &Callee| {
        let id = format!("pbx@{}", callee.address);
        sipwarden.scrape().sum("sipwarden_selections_total", &[("destination", &id)])
    };
    assert!(is(selections(&first), 20.0), "the better priority gets all calls");
    assert!(is(selections(&second), 0.0));
}
