//! Which alerts can fire at which `metrics.detail`: an alert that reads a family which is not exposed never
//! fires, and nothing but these pages and `sipwarden check` tells of it.

use super::known::Known;
use super::promql::selectors;
use super::rules::{Rule, alerts, folder, read, root, rules};
use std::collections::BTreeMap;
use std::process::Command;

/// The details, the least first.
const DETAILS: [&str; 3] = ["state", "basic", "full"];
/// The labels that `state` sums over in families of destinations.
const SUMMED: [&str; 2] = ["method", "algorithm"];

/// The position among [`DETAILS`] from which on everything is there that an expression reads.
fn least(expr: &str, rules: &[Rule], known: &Known) -> usize {
    let of = |selector: super::promql::Selector| {
        if let Some(rule) = rules.iter().find(|rule| !rule.is_alert() && rule.name() == selector.metric) {
            return least(rule.expr(), rules, known);
        }
        let Some(family) = known.family(&selector.metric) else { return 0 };
        let is_told =
            |label: &&str| selector.on(label).is_some() && family.labels.contains_key("destination");
        let least = DETAILS.iter().position(|detail| *detail == family.detail).expect("it is a detail");
        least.max(usize::from(SUMMED.iter().any(is_told)))
    };
    selectors(expr).expect("another test parses it").into_iter().map(of).max().unwrap_or(0)
}

/// The least detail of each alert, by its name.
fn details() -> BTreeMap<String, &'static str> {
    let (rules, known) = (rules(), Known::load());
    let mut found = BTreeMap::<String, usize>::new();
    for alert in alerts() {
        let least = least(alert.expr(), &rules, &known);
        found.entry(alert.name().to_owned()).and_modify(|other| *other = least.max(*other)).or_insert(least);
    }
    found.into_iter().filter_map(|(name, least)| Some((name, *DETAILS.get(least)?))).collect()
}

#[test]
fn the_pages_say_from_which_detail_on_an_alert_can_fire() {
    let table = read(&root().join("alerts/README.md"));
    for (name, detail) in details() {
        let row = table.lines().find(|line| line.starts_with(&format!("| [{name}]"))).unwrap_or("");
        let cell = row.split('|').nth(3).unwrap_or("").trim();
        assert_eq!(cell, detail, "alerts/README.md: the detail of {name}");
        let page = read(&root().join(format!("docs/runbooks/{name}.md")));
        let head = page.split("## Meaning").next().unwrap_or("");
        let says = match detail {
            "state" => !head.contains("`metrics.detail`"),
            "basic" => head.contains("Needs `metrics.detail` basic or full."),
            _ => head.contains("Needs `metrics.detail` full."),
        };
        assert!(says, "{name}: its runbook does not say that it can fire from {detail} on");
    }
}

#[test]
fn check_names_the_alerts_that_cannot_fire() {
    for (chosen, detail) in DETAILS.iter().enumerate() {
        let file = folder(&format!("check-{detail}")).join("sipwarden.yaml");
        let text =
            format!("sets: {{pbx: {{destinations: [sip:10.0.0.1]}}}}\nmetrics: {{detail: {detail}}}\n");
        std::fs::write(&file, text).expect("the target folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipwarden"));
        let output = command.args(["check", "-c"]).arg(&file).output().expect("the binary is built");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let named: Vec<_> = said.split_whitespace().filter(|word| word.starts_with("Sipwarden")).collect();
        let silent: Vec<_> = details()
            .into_iter()
            .filter(|(_, least)| DETAILS.iter().skip(chosen + 1).any(|more| more == least))
            .collect();
        let silent: Vec<_> = silent.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, silent, "at {detail}: {said}");
    }
}
