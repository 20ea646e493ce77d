//! The alerts: each one labelled, documented, and tested by promtool. That the tests notice a broken
//! rule is shown in `alert_mutants.rs`.

#[path = "alerts/alertmanager.rs"]
mod alertmanager;
#[path = "alerts/detail.rs"]
mod detail;
#[path = "observability/families.rs"]
mod families;
#[path = "alerts/known.rs"]
mod known;
#[path = "observability/promql.rs"]
mod promql;
#[path = "alerts/queries.rs"]
mod queries;
#[path = "alerts/rules.rs"]
mod rules;
#[path = "alerts/runbooks.rs"]
mod runbooks;
#[path = "alerts/texts.rs"]
mod texts;

use known::Known;
use rules::{Rule, alerts, files, list, promtool, root, text, yaml};
use serde_yaml::Value;
use std::collections::{BTreeMap, BTreeSet};

const RUNBOOKS: &str = "https://github.com/sipwarden/sipwarden/blob/main/docs/runbooks";
const DASHBOARDS: [&str; 5] = [
    "sipwarden-overview",
    "sipwarden-destination",
    "sipwarden-signalling",
    "sipwarden-slo",
    "sipwarden-self",
];

/// It fires always, so nothing can keep it silent.
const NEVER_SILENT: [&str; 1] = ["SipwardenWatchdog"];

#[test]
fn every_alert_is_labelled_and_links_to_its_runbook_and_dashboard() {
    let mut titles = BTreeSet::new();
    for alert in alerts() {
        let (title, body) = (alert.title(), &alert.body);
        assert!(title.starts_with("Sipwarden"), "{title}");
        assert!(titles.insert(title.clone()), "{title} is defined twice");
        let severity = text(body, &["labels", "severity"]);
        assert!(
            ["critical", "warning", "info", "none"].contains(&severity),
            "{title}: severity {severity:?}"
        );
        let component = text(body, &["labels", "component"]);
        let components = ["destinations", "probes", "signalling", "self"];
        assert!(components.contains(&component), "{title}: component {component:?}");
        assert!(!text(body, &["annotations", "summary"]).is_empty(), "{title} has no summary");
        assert!(!text(body, &["annotations", "description"]).is_empty(), "{title} has no description");
        let runbook = text(body, &["annotations", "runbook_url"]);
        assert_eq!(runbook, format!("{RUNBOOKS}/{}.md", alert.name()));
        let dashboard = text(body, &["annotations", "dashboard_url"]);
        let uid = dashboard.strip_prefix("/d/").and_then(|rest| rest.split('?').next());
        assert!(uid.is_some_and(|uid| DASHBOARDS.contains(&uid)), "{title} links to {dashboard}");
    }
}

#[test]
fn rules_load_in_older_versions_of_prometheus() {
    let known = ["alert", "record", "expr", "for", "labels", "annotations"];
    for rule in rules::rules() {
        let keys = rule.body.as_mapping().into_iter().flatten().filter_map(|(key, _)| key.as_str());
        let unknown: Vec<_> = keys.filter(|key| !known.contains(key)).collect();
        assert_eq!(unknown, [""; 0], "{}: keys that not every version knows", rule.title());
    }
}

/// The tests that make an alert fire, and those that keep it silent throughout.
fn tests_by_alert() -> (BTreeMap<String, u32>, BTreeMap<String, u32>) {
    let (mut fires, mut silent) = (BTreeMap::new(), BTreeMap::new());
    for (_, content) in rules::tests() {
        for test in list(&content, "tests") {
            let mut expected = BTreeMap::<String, Vec<&Value>>::new();
            for check in list(test, "alert_rule_test") {
                let name = text(check, &["alertname"]).to_owned();
                expected.entry(name).or_default().extend(list(check, "exp_alerts"));
            }
            for (name, alerts) in expected {
                if alerts.is_empty() {
                    *silent.entry(name.clone()).or_default() += 1;
                }
                for alert in alerts {
                    let window = text(alert, &["exp_labels", "window"]);
                    let title = if window.is_empty() { name.clone() } else { format!("{name} ({window})") };
                    *fires.entry(title).or_default() += 1;
                }
            }
        }
    }
    (fires, silent)
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_stays_silent() {
    let (fires, silent) = tests_by_alert();
    for alert in alerts() {
        assert!(fires.contains_key(&alert.title()), "no test makes {} fire", alert.title());
        let is_silent = silent.contains_key(alert.name()) || NEVER_SILENT.contains(&alert.name());
        assert!(is_silent, "no test keeps {} silent throughout", alert.name());
    }
}

#[test]
fn rules_use_only_metrics_labels_and_values_that_exist() {
    let known = Known::load();
    for rule in rules::rules() {
        assert_eq!(queries::faults(&known, rule.expr()), [""; 0], "{}", rule.title());
    }
}

#[test]
fn a_recorded_series_is_named_by_what_it_is_of() {
    for rule in rules::rules().iter().filter(|rule| !rule.is_alert()) {
        let labels = queries::labels_left(rule.expr());
        let level = if labels.contains("destination") { "set_destination" } else { "set" };
        assert!(rule.name().starts_with(&format!("{level}:sipwarden_")), "{} is of {labels:?}", rule.name());
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    for (folder, command) in [("alerts", "check"), ("alerts/tests", "test")] {
        let arguments = [command.to_owned(), "rules".to_owned()].into_iter().chain(files(folder, "yml"));
        let (passed, printed) = promtool(&root().join(folder), &arguments.collect::<Vec<_>>());
        assert!(passed, "promtool {command} rules: {printed}");
    }
}

#[test]
fn the_tour_loads_every_rule_file() {
    let compose = yaml("compose.yaml");
    let volumes = compose.get("services").and_then(|services| services.get("prometheus"));
    let volumes = volumes.map_or(&[][..], |prometheus| list(prometheus, "volumes"));
    for file in files("alerts", "yml") {
        let mount = format!("./alerts/{file}:/etc/prometheus/sipwarden/{file}:ro");
        assert!(volumes.iter().any(|volume| volume.as_str() == Some(&mount)), "compose.yaml lacks {mount}");
    }
}

#[test]
fn the_table_of_alerts_is_complete() {
    let page = rules::read(&root().join("alerts/README.md"));
    let expected = |alert: &Rule| {
        let severity = text(&alert.body, &["labels", "severity"]);
        (alert.name().to_owned(), severity.to_owned())
    };
    for (name, severity) in alerts().iter().map(expected) {
        let row = format!("| [{name}](../docs/runbooks/{name}.md) | ");
        let cell = page.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or("");
        let cell = cell.split('|').next().unwrap_or("");
        assert!(cell.contains(&severity), "alerts/README.md: {name} is {severity}, not {cell:?}");
    }
}
