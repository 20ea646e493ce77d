//! A real Alertmanager with the example configuration: which alerts it suppresses when others fire.

#[path = "support/e2e/harness.rs"]
mod harness;
#[path = "alerts/rules.rs"]
mod rules;

use harness::alertmanager::Alertmanager;
use harness::workspace::Workspace;
use harness::{http, wait};
use rules::{Rule, alerts, list, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

fn post(alertmanager: &Alertmanager, alerts: &[Value]) {
    let body = json!(alerts).to_string();
    let answer = http::post(alertmanager.address, "/api/v2/alerts", &body).expect("Alertmanager answers");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The alerts of an instance that are suppressed, and how many there are of it in all.
fn suppressed(alertmanager: &Alertmanager, instance: &str) -> (BTreeSet<String>, usize) {
    let answer = http::get(alertmanager.address, "/api/v2/alerts").expect("Alertmanager answers").json();
    let all = answer.as_array().cloned().unwrap_or_default();
    let label = |alert: &Value, key: &str| {
        alert.pointer(&format!("/labels/{key}")).and_then(Value::as_str).unwrap_or("").to_owned()
    };
    let own: Vec<_> = all.into_iter().filter(|alert| label(alert, "case") == instance).collect();
    let is_inhibited = |alert: &&Value| {
        alert.pointer("/status/inhibitedBy").and_then(Value::as_array).is_some_and(|by| !by.is_empty())
    };
    let title = |alert: &Value| format!("{}{}", label(alert, "alertname"), label(alert, "window"));
    (own.iter().filter(is_inhibited).map(title).collect(), own.len())
}

/// The labels of an alert, as the promtool tests have them.
fn labels(tests: &[(String, serde_yaml::Value)], alert: &Rule) -> serde_json::Map<String, Value> {
    let checks = tests.iter().flat_map(|(_, content)| list(content, "tests"));
    let checks = checks.flat_map(|test| list(test, "alert_rule_test"));
    let named = checks.filter(|check| text(check, &["alertname"]) == alert.name());
    let window = text(&alert.body, &["labels", "window"]);
    let mut found =
        named.flat_map(|check| list(check, "exp_alerts")).filter_map(|alert| alert.get("exp_labels"));
    let found = found.find(|labels| text(labels, &["window"]) == window);
    let found = found.unwrap_or_else(|| panic!("no test makes {} fire", alert.title()));
    match serde_json::to_value(found).expect("labels are texts") {
        Value::Object(labels) => labels,
        _ => panic!("{}: labels are a table", alert.title()),
    }
}

/// Every alert there is but these, about one destination of one set on one instance.
fn all_but(left_out: &[&str], case: &str) -> Vec<Value> {
    let (tests, mut sent) = (rules::tests(), Vec::new());
    for alert in alerts().iter().filter(|alert| !left_out.contains(&alert.name())) {
        let mut labels = labels(&tests, alert);
        labels.insert("alertname".to_owned(), json!(alert.name()));
        for (key, value) in &mut labels {
            match key.as_str() {
                "job" => *value = json!(case),
                "instance" | "set" | "destination" => *value = json!("x"),
                _ => {}
            }
        }
        labels.insert("case".to_owned(), json!(case));
        sent.push(json!({"labels": labels}));
    }
    sent
}

const PAGE: &str = "SipwardenAllDestinationsDown";
const ONE: &str = "SipwardenDestinationDown";
const DOWN: &str = "SipwardenDown";
const BURN: &str = "SipwardenCallSetupErrorBudgetBurn";

#[test]
fn a_known_cause_suppresses_its_symptoms_and_nothing_else() {
    let workspace = Workspace::new("inhibition");
    let alertmanager = Alertmanager::start(&workspace, str::to_owned);
    let symptoms = [
        "SipwardenDestinationNearCapacity",
        "SipwardenDestinationServerErrors",
        "SipwardenProbeLatencyHigh",
        "SipwardenProbeLoss",
        "SipwardenRetransmissionsHigh",
        "SipwardenSetupDelayHigh",
    ];
    let of_the_set = [
        ONE,
        "SipwardenDestinationFlapping",
        "SipwardenFailoverRateHigh",
        "SipwardenFailoversExhausted",
        "SipwardenSetDegraded",
    ];
    let itself: Vec<_> = alerts()
        .iter()
        .filter(|alert| text(&alert.body, &["labels", "component"]) == "self")
        .map(|alert| alert.name().to_owned())
        .filter(|name| {
            ![DOWN, "SipwardenConfigDrift", "SipwardenAbsent", "SipwardenWatchdog"].contains(&name.as_str())
        })
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let burns = |windows: &[&str]| windows.iter().map(|window| format!("{BURN}{window}")).collect::<Vec<_>>();
    let tickets = burns(&["1d", "3d"]);
    for (case, left_out, expected) in [
        (
            "all-down",
            &[DOWN][..],
            [names(&symptoms), names(&of_the_set), burns(&["1h", "6h"]), tickets.clone()].concat(),
        ),
        ("one-down", &[PAGE, DOWN, BURN][..], names(&symptoms)),
        ("burn", &[PAGE, ONE, DOWN][..], tickets.clone()),
        ("process-down", &[PAGE, ONE, BURN][..], itself),
        ("no-cause", &[PAGE, ONE, DOWN, BURN][..], vec![]),
    ] {
        let sent = all_but(left_out, case);
        post(&alertmanager, &sent);
        let expected: BTreeSet<_> = expected.into_iter().collect();
        let mut seen = (BTreeSet::new(), 0);
        wait::stays_true(Duration::from_secs(10), || {
            seen = suppressed(&alertmanager, case);
            seen != (expected.clone(), sent.len())
        });
        assert_eq!(seen, (expected, sent.len()), "{case}");
    }
}

#[test]
fn a_cause_elsewhere_suppresses_nothing() {
    let workspace = Workspace::new("inhibition-elsewhere");
    let alertmanager = Alertmanager::start(&workspace, str::to_owned);
    let alert = |name: &str, severity: &str, instance: &str, set: &str, destination: &str| {
        json!({"labels": {"alertname": name, "severity": severity, "component": "self", "job": "sipwarden", "case": "elsewhere",
            "instance": instance, "set": set, "destination": destination}})
    };
    let sent = [
        alert(PAGE, "critical", "a", "pbx", ""),
        alert(ONE, "warning", "a", "fax", "x"),
        alert(ONE, "warning", "b", "pbx", "x"),
        alert("SipwardenProbeLoss", "warning", "a", "fax", "y"),
        alert("SipwardenProbeLoss", "warning", "a", "carriers", "x"),
        alert("SipwardenProbeLoss", "warning", "b", "fax", "x"),
        alert(BURN, "critical", "", "fax", ""),
        alert(BURN, "warning", "", "carriers", ""),
        alert(DOWN, "critical", "c", "", ""),
        alert("SipwardenFileDescriptorsHigh", "warning", "a", "", ""),
        // The one that shows that inhibition is at work.
        alert(ONE, "warning", "a", "pbx", "x"),
    ];
    post(&alertmanager, &sent);
    wait::until("Alertmanager has all of them", Duration::from_secs(20), || {
        (suppressed(&alertmanager, "elsewhere") == (BTreeSet::from([ONE.to_owned()]), sent.len()))
            .then_some(())
    });
}
