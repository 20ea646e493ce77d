//! A real Prometheus with the product's own alert rules scrapes the real binary while both
//! destinations of a set die and come back.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::http;
use harness::metrics::is;
use harness::product::{Config, Sipwarden};
use harness::prometheus::Prometheus;
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::process::Command;
use std::time::Duration;

const ALERT: &str = "SipwardenAllDestinationsDown";

/// Shortens every waiting time of the rules to 3 s; nothing else of them is changed.
fn hurry(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let (indent, key) = line.split_at(line.len() - line.trim_start().len());
        if key.starts_with("for:") { format!("{indent}for: 3s") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn all_destinations_down_goes_pending_then_fires_then_resolves() {
    let workspace = Workspace::new("prometheus");
    let start = |address| match address {
        None => Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO),
        Some(address) => Callee::start_at(&workspace, "callee", Transport::Udp, Duration::ZERO, address),
    };
    let (mut a, mut b) = (start(None), start(None));
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    let prometheus = Prometheus::start(&workspace, sipwarden.http, hurry);
    let seen = |wanted: Option<&str>| {
        let what = format!("{ALERT} is {}", wanted.unwrap_or("resolved"));
        wait::until_true(&what, Duration::from_secs(20), || {
            prometheus.alert(ALERT, "pbx").as_deref() == wanted
        });
    };

    wait::until_true("Prometheus has scraped sipwarden", Duration::from_secs(10), || {
        prometheus.query("up").iter().any(|up| is(*up, 1.0))
    });
    Calls::to(sipwarden.sip, 20, 50).make(&workspace).expect_all_successful();
    assert_eq!(prometheus.alert(ALERT, "pbx"), None);

    a.kill();
    sipwarden.wait_until_usable("pbx", "a", false);
    assert_eq!(prometheus.alert(ALERT, "pbx"), None, "one of two is still there");
    b.kill();
    seen(Some("pending"));
    seen(Some("firing"));
    assert!(prometheus.query("sipwarden_set_all_down").iter().all(|down| is(*down, 1.0)));

    // One destination back is enough to resolve it.
    a = start(Some(a.address));
    seen(None);
    b = start(Some(b.address));
    sipwarden.wait_until_up("pbx", 2);
    assert_eq!(prometheus.alert(ALERT, "pbx"), None);
    drop((a, b));
}

#[test]
fn promtool_accepts_the_scrape() {
    let workspace = Workspace::new("promtool");
    let a = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address)]);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 1);
    Calls::to(sipwarden.sip, 10, 50).make(&workspace).expect_all_successful();
    let scrape = http::get(sipwarden.http, "/metrics").expect("/metrics answers").body;
    let file = workspace.write("scrape.txt", &scrape);
    let input = std::fs::File::open(file).expect("the scrape was written");
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(input).output();
    let output = output.expect("promtool runs: ./scripts/test-deps.sh");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
}
