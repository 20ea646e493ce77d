//! The example configuration of Alertmanager: it loads, routes by severity, and inhibits the same as
//! those of the tour and of its test. What it inhibits is seen live in `e2e_inhibition.rs`.

use super::rules::{alerts, list, root, text, yaml};
use std::process::Command;

const EXAMPLE: &str = "alerts/alertmanager.example.yml";

fn amtool(arguments: &[&str]) -> (bool, String) {
    let run = Command::new("amtool").args(arguments).current_dir(root()).output();
    let output = run.unwrap_or_else(|error| {
        panic!("amtool cannot be run ({error}): install it with `apt-get install prometheus-alertmanager`")
    });
    let said = if output.status.success() { output.stdout } else { [output.stdout, output.stderr].concat() };
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

#[test]
fn every_configuration_loads_and_inhibits_the_same() {
    let example = yaml(EXAMPLE);
    assert_eq!(list(&example, "inhibit_rules").len(), 5);
    for file in [EXAMPLE, "examples/asterisk/alertmanager.yml", "tests/containers/alertmanager.yml"] {
        let (passed, said) = amtool(&["check-config", file]);
        assert!(passed, "{file}: {said}");
        assert_eq!(list(&yaml(file), "inhibit_rules"), list(&example, "inhibit_rules"), "{file}");
    }
}

#[test]
fn alerts_are_routed_by_severity_and_the_watchdog_to_the_dead_mans_switch() {
    for alert in alerts() {
        let severity = text(&alert.body, &["labels", "severity"]);
        let receiver = match severity {
            "critical" => "pager",
            "warning" => "tickets",
            "info" => "log",
            _ => "dead-mans-switch",
        };
        let labels = [format!("alertname={}", alert.name()), format!("severity={severity}")];
        let config = format!("--config.file={EXAMPLE}");
        let (passed, said) = amtool(&["config", "routes", "test", &config, &labels[0], &labels[1]]);
        assert!(passed && said == receiver, "{}: {said}", alert.title());
    }
}

#[test]
fn every_inhibition_names_alerts_that_exist() {
    let names: Vec<_> = alerts().iter().map(|alert| alert.name().to_owned()).collect();
    for rule in list(&yaml(EXAMPLE), "inhibit_rules") {
        let matchers = ["source_matchers", "target_matchers"].into_iter().flat_map(|side| list(rule, side));
        for matcher in matchers.filter_map(|matcher| matcher.as_str()) {
            let Some(pattern) =
                matcher.strip_prefix("alertname").map(|rest| rest.trim_matches(['=', '~', '!', '"']))
            else {
                continue;
            };
            for part in alternatives(pattern) {
                let stem = part.trim_end_matches(".+");
                let matches = |name: &String| {
                    if stem == part {
                        *name == part
                    } else {
                        name.len() > stem.len() && name.starts_with(stem)
                    }
                };
                assert!(names.iter().any(matches), "{part} of {matcher} is no alert");
            }
        }
    }
}

/// What a pattern such as `A|B(c|d)` stands for, `.+` left as it is.
fn alternatives(pattern: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in pattern.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match parts.last_mut() {
            Some(part) if c != '|' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    let expand = |part: String| match part.split_once('(') {
        Some((stem, rest)) => {
            rest.trim_end_matches(')').split('|').map(|end| format!("{stem}{end}")).collect()
        }
        None => vec![part],
    };
    parts.into_iter().flat_map(expand).collect()
}
