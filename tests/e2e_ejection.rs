//! The real binary between a SIPp caller, a callee that refuses calls while it answers probes, and one
//! that serves: ejection and Retry-After, and where both show.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::metrics::is;
use harness::product::{Config, Sipwarden};
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::time::Duration;

const INSTANTLY: Duration = Duration::ZERO;

/// What `/api/v1/destinations` says of destination `a`.
fn told(sipwarden: &Sipwarden) -> serde_json::Value {
    let listed = sipwarden.ask(&["list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&listed.stdout).expect("list --json prints JSON");
    json["sets"][0]["destinations"][0].clone()
}

fn gauge(sipwarden: &Sipwarden, name: &str) -> f64 {
    sipwarden.scrape().sum(name, &[("set", "pbx"), ("destination", "a")])
}

fn selections(sipwarden: &Sipwarden) -> f64 {
    gauge(sipwarden, "sipwarden_selections_total")
}

/// A callee of this scenario named `a` and a good one named `b`, behind a set with these keys.
fn start(workspace: &Workspace, scenario: &str, keys: &str) -> (Sipwarden, [Callee; 2]) {
    let a = Callee::start(workspace, scenario, Transport::Udp, INSTANTLY);
    let b = Callee::start(workspace, "callee", Transport::Udp, INSTANTLY);
    let config = Config::new().with(&format!(
        "sets:\n  pbx:\n    probe: {{interval: 500ms, timeout: 400ms}}\n    {keys}\n    \
         destinations: [{{id: a, uri: \"sip:{}\"}}, {{id: b, uri: \"sip:{}\"}}]",
        a.address, b.address
    ));
    let sipwarden = Sipwarden::start(workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    (sipwarden, [a, b])
}

#[test]
fn a_destination_that_asks_for_a_pause_gets_it_and_serves_again() {
    let workspace = Workspace::new("retry-after");
    let (sipwarden, _callees) = start(&workspace, "callee_pauses", "retry_after: {max: 15s}");
    Calls::to(sipwarden.sip, 4, 20).make(&workspace).expect_all_successful();
    wait::until_true("it is left alone", Duration::from_secs(5), || {
        let labels = [("set", "pbx"), ("destination", "a"), ("state", "throttled")];
        is(sipwarden.scrape().sum("sipwarden_destination_state", &labels), 1.0)
    });
    let left = gauge(&sipwarden, "sipwarden_destination_retry_after_seconds");
    assert!(left > 0.0 && left <= 15.0, "{left} s of 15, though it asked for 300");
    let destination = told(&sipwarden);
    assert_eq!((&destination["state"], &destination["kamailio"]), (&"throttled".into(), &"IP".into()));
    let change = destination["changes"].as_array().and_then(|changes| changes.last()).expect("it changed");
    assert_eq!((&change["reason"], &change["outcome"]), (&"retry_after".into(), &"code 503".into()));
    assert!(destination["retry_after_until"].is_string(), "{destination}");
    let table = sipwarden.ask(&["list"]).stdout;
    assert!(table.contains("throttled") && table.contains("retry_after (code 503), "), "{table}");
    // Nothing goes there meanwhile, and nobody notices.
    let before = selections(&sipwarden);
    Calls::to(sipwarden.sip, 20, 50).make(&workspace).expect_all_successful();
    assert!(is(selections(&sipwarden), before), "it was selected during its pause");
    wait::until_true("the pause is over", Duration::from_secs(30), || {
        is(gauge(&sipwarden, "sipwarden_destination_up"), 1.0)
    });
    Calls::to(sipwarden.sip, 4, 20).make(&workspace).expect_all_successful();
    assert!(selections(&sipwarden) > before, "it is tried again");
}

#[test]
fn a_destination_that_refuses_calls_is_ejected_though_it_answers_probes() {
    let workspace = Workspace::new("ejection");
    let (sipwarden, _callees) = start(&workspace, "callee_refuses", "passive: {consecutive_failures: 3}");
    Calls::to(sipwarden.sip, 20, 20).make(&workspace).expect_all_successful();
    wait::until_true("it is ejected", Duration::from_secs(5), || {
        is(gauge(&sipwarden, "sipwarden_destination_ejected"), 1.0)
    });
    let before = selections(&sipwarden);
    let probes = gauge(&sipwarden, "sipwarden_probes_total");
    wait::until_true("it has answered further probes", Duration::from_secs(5), || {
        gauge(&sipwarden, "sipwarden_probes_total") > probes + 1.5
    });
    Calls::to(sipwarden.sip, 20, 50).make(&workspace).expect_all_successful();
    assert!(is(selections(&sipwarden), before), "a good probe does not undo it");
    let destination = told(&sipwarden);
    assert_eq!(
        (&destination["state"], &destination["probe"]["last_outcome"]),
        (&"ejected".into(), &"code 200".into())
    );
    assert!(destination["ejected_until"].is_string(), "{destination}");
    let table = sipwarden.ask(&["list"]).stdout;
    assert!(table.contains("ejected") && table.contains("passive (code 503), "), "{table}");
    let labels = [("set", "pbx"), ("destination", "a"), ("to", "ejected"), ("reason", "passive")];
    assert!(is(sipwarden.scrape().sum("sipwarden_destination_transitions_total", &labels), 1.0));
    assert!(is(sipwarden.scrape().sum("sipwarden_evidence_dropped_total", &[]), 0.0));
}
