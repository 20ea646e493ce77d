//! The alerts: each one labelled, documented, tested by promtool, and its tests able to fail.

#[path = "observability/catalogue.rs"]
mod catalogue;
#[path = "observability/promql.rs"]
mod promql;

use serde_yaml::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNBOOKS: &str = "https://github.com/sipwarden/sipwarden/blob/main/docs/runbooks";
const HEADINGS: [&str; 6] =
    ["## Meaning", "## Impact", "## First look", "## Causes", "## Remedy", "## Silence"];

struct Alert {
    file: String,
    name: String,
    rule: Value,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files with an extension, sorted.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let mut names: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(&root().join(path))).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_sequence).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn alerts() -> Vec<Alert> {
    let mut found = Vec::new();
    for file in files("alerts", "yml") {
        for group in list(&yaml(&format!("alerts/{file}")), "groups") {
            for rule in list(group, "rules") {
                found.push(Alert {
                    file: file.clone(),
                    name: text(rule, &["alert"]).to_owned(),
                    rule: rule.clone(),
                });
            }
        }
    }
    assert!(found.len() >= 5, "only {} alerts were found", found.len());
    found
}

/// Runs promtool in a folder; its exit status and what it printed.
fn promtool(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let run = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = run.unwrap_or_else(|error| {
        panic!("promtool cannot be run ({error}): it checks the alerts; install it with `apt-get install prometheus`")
    });
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn every_alert_is_labelled_and_links_to_its_runbook() {
    let mut names = BTreeSet::new();
    for Alert { name, rule, .. } in alerts() {
        assert!(name.starts_with("Sipwarden"), "{name}");
        assert!(names.insert(name.clone()), "{name} is defined twice");
        let severity = text(&rule, &["labels", "severity"]);
        assert!(["critical", "warning", "info", "none"].contains(&severity), "{name}: severity {severity:?}");
        let component = text(&rule, &["labels", "component"]);
        let components = ["destinations", "probes", "signalling", "self"];
        assert!(components.contains(&component), "{name}: component {component:?}");
        assert!(!text(&rule, &["annotations", "summary"]).is_empty(), "{name} has no summary");
        assert!(!text(&rule, &["annotations", "description"]).is_empty(), "{name} has no description");
        assert_eq!(text(&rule, &["annotations", "runbook_url"]), format!("{RUNBOOKS}/{name}.md"));
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let names: BTreeSet<_> = alerts().into_iter().map(|alert| format!("{}.md", alert.name)).collect();
    assert_eq!(names, files("docs/runbooks", "md").into_iter().collect());
    for name in names {
        let page = read(&root().join("docs/runbooks").join(&name));
        let found: Vec<_> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, HEADINGS, "{name}");
        assert!(page.contains("/d/sipwarden-overview"), "{name} does not link to the dashboard");
        for (section, command) in [("## First look", "sipwarden "), ("## Silence", "amtool silence add")] {
            let body = page.split(section).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or("");
            assert!(body.contains(command), "{name}: {section} shows no `{command}`");
        }
    }
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_stays_silent() {
    let mut fires = BTreeMap::<String, u32>::new();
    let mut silent = BTreeMap::<String, u32>::new();
    for file in files("alerts/tests", "yml") {
        for test in list(&yaml(&format!("alerts/tests/{file}")), "tests") {
            let mut expected = BTreeMap::<&str, bool>::new();
            for check in list(test, "alert_rule_test") {
                *expected.entry(text(check, &["alertname"])).or_default() |=
                    !list(check, "exp_alerts").is_empty();
            }
            for (alert, fired) in expected {
                *if fired { &mut fires } else { &mut silent }.entry(alert.to_owned()).or_default() += 1;
            }
        }
    }
    for Alert { name, .. } in alerts() {
        assert!(fires.contains_key(&name), "no test makes {name} fire");
        assert!(silent.contains_key(&name), "no test keeps {name} silent throughout");
    }
}

#[test]
fn rules_and_runbooks_use_only_metrics_that_exist() {
    let mut used = Vec::new();
    for Alert { name, rule, .. } in alerts() {
        used.push((name, text(&rule, &["expr"]).to_owned()));
    }
    for name in files("docs/runbooks", "md") {
        let page = read(&root().join("docs/runbooks").join(&name));
        let blocks = page.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next());
        let queries: Vec<_> = blocks.flat_map(str::lines).map(str::to_owned).collect();
        assert!(!queries.is_empty(), "{name} shows no query");
        used.extend(queries.into_iter().map(|query| (name.clone(), query)));
    }
    let known = catalogue::load();
    for (place, expr) in used {
        let selectors = promql::selectors(&expr).unwrap_or_else(|error| panic!("{place}: {error}"));
        for selector in selectors {
            if let Some(known) = &known {
                let family = selector.family();
                assert!(known.contains(family), "{place}: {family} is not in docs/metrics.md");
            }
            // A counter's value is an accident of the last restart; a bare state counts all states.
            let is_rated = selector.range.is_some();
            assert!(
                is_rated || !selector.is_counter(),
                "{place}: {} outside rate or increase",
                selector.metric
            );
            let is_narrowed = selector.on("state").is_some() || selector.rest.starts_with("== 1");
            assert!(
                is_narrowed || !selector.metric.ends_with("_state"),
                "{place}: {} of any state",
                selector.metric
            );
        }
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    for (folder, command) in [("alerts", "check"), ("alerts/tests", "test")] {
        let files = files(folder, "yml");
        let arguments: Vec<_> =
            [command, "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let (passed, printed) = promtool(&root().join(folder), &arguments);
        assert!(passed, "promtool {command} rules: {printed}");
    }
}

/// Ways to break one rule: the alert, the text replaced, and what replaces it.
const MUTANTS: [(&str, &str, &str); 29] = [
    ("SipwardenAllDestinationsDown", "all_down == 1", "all_down == 0"),
    ("SipwardenAllDestinationsDown", "all_down == 1", "all_down >= 0"),
    ("SipwardenAllDestinationsDown", "enabled == 0", "enabled > 0"),
    ("SipwardenAllDestinationsDown", "unless on (job, instance, set)", "unless on (job, instance)"),
    ("SipwardenAllDestinationsDown", "unless on (job, instance, set)", "unless on (job, set)"),
    (
        "SipwardenAllDestinationsDown",
        "unless on (job, instance, set) (sipwarden_set_destinations_enabled == 0)",
        "",
    ),
    ("SipwardenAllDestinationsDown", "for: 30s", "for: 1m"),
    (
        "SipwardenAllDestinationsDown",
        "sipwarden_set_all_down == 1",
        "sum without (instance) (sipwarden_set_all_down) == 1",
    ),
    ("SipwardenDestinationDown", "destination_up == 0", "destination_up == 1"),
    ("SipwardenDestinationDown", "destination_up == 0", "destination_up >= 0"),
    ("SipwardenDestinationDown", "disabled|draining", "disabled"),
    ("SipwardenDestinationDown", "disabled|draining", "draining"),
    ("SipwardenDestinationDown", "disabled|draining", "disabled|draining|ejected"),
    ("SipwardenDestinationDown", "disabled|draining", "disabled|draining|throttled"),
    ("SipwardenDestinationDown", "} == 1", "} == 0"),
    ("SipwardenDestinationDown", "(job, instance, set, destination)", "(job, instance, set)"),
    ("SipwardenDestinationDown", "(job, instance, set, destination)", "(job, instance, destination)"),
    ("SipwardenDestinationDown", "(job, instance, set, destination)", "(job, set, destination)"),
    ("SipwardenCallsRejectedNoDestination", "none_usable", "all_full"),
    ("SipwardenCallsRejectedNoDestination", "set!=\"\", ", ""),
    ("SipwardenCallsRejectedNoDestination", "{set!=\"\", reason=\"none_usable\"}", ""),
    ("SipwardenCallsRejectedNoDestination", "(job, instance, set)", "(job, set)"),
    ("SipwardenCallsRejectedNoDestination", "(job, instance, set)", "(job, instance)"),
    ("SipwardenCallsRejectedNoDestination", ")) > 0", ")) > 2"),
    ("SipwardenCallsRejectedNoDestination", ")) > 0", ")) >= 0"),
    ("SipwardenCallsRejectedNoDestination", "[2m]", "[10m]"),
    ("SipwardenDown", "== 0", "== 1"),
    ("SipwardenDown", "{job=\"sipwarden\"}", ""),
    ("SipwardenConfigReloadFailed", "== 0", "== 1"),
];

/// What every alert is broken by: a line that starts so, and its replacement.
const MUTANT_LINES: [(&str, &str); 5] = [
    ("for:", "for: 10m"),
    ("for:", "for: 0s"),
    ("severity:", "severity: info"),
    ("component:", "component: probes"),
    ("runbook_url:", "runbook_url: https://example.com"),
];

/// The file with one rule broken; the rule is the text from its name to the next alert.
fn mutate(file: &str, alert: &str, edit: impl Fn(&str) -> String) -> String {
    let start = file.find(&format!("- alert: {alert}\n")).expect("the alert is in its file");
    let (before, rest) = file.split_at(start);
    let end = rest.find("\n\n").unwrap_or(rest.len());
    let (rule, after) = rest.split_at(end);
    let broken = edit(rule);
    assert_ne!(broken, rule, "{alert}: the mutant changes nothing");
    format!("{before}{broken}{after}")
}

fn replace_line(rule: &str, start: &str, replacement: &str) -> String {
    let lines = rule.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with(start) {
            format!("{:indent$}{replacement}", "")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs the tests of a rule file against a broken version of it; the mutant if they pass.
fn survives(number: usize, file: &str, broken: &str, what: String) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mutant-{number}"));
    std::fs::create_dir_all(folder.join("tests")).expect("the target folder can be written");
    for name in files("alerts", "yml") {
        let rules = if name == file { broken.to_owned() } else { read(&root().join("alerts").join(&name)) };
        std::fs::write(folder.join(name), rules).expect("the target folder can be written");
    }
    std::fs::copy(root().join("alerts/tests").join(file), folder.join("tests").join(file))
        .expect("the tests of a rule file carry its name");
    let (loads, printed) = promtool(&folder, &["check", "rules", file]);
    assert!(loads, "{what}: a mutant must load, or it proves nothing: {printed}");
    let (passed, _) = promtool(&folder.join("tests"), &["test", "rules", file]);
    std::fs::remove_dir_all(&folder).expect("what was written can be removed");
    passed.then_some(what)
}

#[test]
fn the_tests_notice_every_broken_rule() {
    let mut survivors = Vec::new();
    let mut number = 0;
    for Alert { file, name, .. } in alerts() {
        let rules = read(&root().join("alerts").join(&file));
        let control = survives(0, &file, &rules, "unbroken".to_owned());
        assert!(control.is_some(), "{file}: the tests fail on the rules as they are");
        let mut try_one = |broken: String, what: String| {
            number += 1;
            survivors.extend(survives(number, &file, &broken, what));
        };
        for (start, replacement) in MUTANT_LINES {
            let broken = mutate(&rules, &name, |rule| replace_line(rule, start, replacement));
            try_one(broken, format!("{name}: {replacement}"));
        }
        for (_, from, to) in MUTANTS.iter().filter(|(alert, ..)| *alert == name) {
            let broken = mutate(&rules, &name, |rule| rule.replace(from, to));
            try_one(broken, format!("{name}: {from} → {to}"));
        }
    }
    assert!(number > 40, "only {number} mutants were tried");
    assert!(survivors.is_empty(), "no promtool test notices: {survivors:#?}");
}
