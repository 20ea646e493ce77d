//! The Grafana dashboards: generated here (`BLESS=1 cargo test --test dashboards` writes the files), held
//! against the conventions that make them work on any Grafana with any Prometheus, and parsed by Prometheus.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "dashboards/broken.rs"]
mod broken;
#[path = "dashboards/build.rs"]
mod build;
#[path = "observability/families.rs"]
mod families;
#[path = "dashboards/lint.rs"]
mod lint;
#[path = "dashboards/pages.rs"]
mod pages;
#[path = "observability/promql.rs"]
mod promql;
#[path = "dashboards/provisioning.rs"]
mod provisioning;

use lint::{Lint, World, coverage, list, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files of a folder that have an ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is part of the repository");
    let names = entries.map(|entry| entry.expect("a folder can be listed").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names
}

/// The rules of Prometheus: `alert` or `record`, with their expressions.
fn rules(kind: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in files("alerts", ".yml") {
        let file: Value = serde_yaml::from_str(&read(format!("alerts/{name}"))).expect("it is YAML");
        for rule in list(&file, "/groups").iter().flat_map(|group| list(group, "/rules")) {
            if let Some(name) = rule.get(kind).and_then(Value::as_str) {
                let both = found.entry(name.to_owned()).or_insert_with(String::new);
                *both = format!("{both} {}", text(rule, "/expr"));
            }
        }
    }
    found
}

/// What the repository has.
fn world() -> World {
    World {
        families: families::load(),
        recorded: rules("record"),
        dashboards: pages::all().iter().map(|(_, dashboard)| text(dashboard, "/uid").to_owned()).collect(),
        units: read("tests/dashboards/grafana/units.txt").lines().map(str::to_owned).collect(),
        schema: serde_json::from_str(&read("tests/dashboards/grafana/schema.json")).expect("it is JSON"),
    }
}

#[test]
fn the_files_are_what_the_code_makes() {
    let pages = pages::all();
    let names: BTreeSet<_> = pages.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names.len(), pages.len(), "two dashboards of one uid");
    for (name, dashboard) in pages {
        let path = root().join("dashboards").join(&name);
        let made = format!("{:#}\n", dashboard);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &made).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(file == made, "{name} differs from the code; BLESS=1 cargo test --test dashboards");
    }
    assert_eq!(
        files("dashboards", ".json").into_iter().collect::<BTreeSet<_>>(),
        names,
        "a file of nobody's"
    );
}

#[test]
fn every_dashboard_keeps_to_the_conventions() {
    let world = world();
    for (name, dashboard) in pages::all() {
        let found = Lint::run(&dashboard, &world);
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
}

#[test]
fn every_family_is_drawn_or_alerted_on() {
    let dashboards: Vec<_> = pages::all().into_iter().map(|(_, dashboard)| dashboard).collect();
    let alerts: Vec<_> = rules("alert").into_values().collect();
    let found = coverage::gaps(&dashboards, &alerts, &world(), coverage::EXEMPT);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A query as Grafana sends it, with every value of the variables chosen.
fn substituted(expr: &str) -> String {
    let values = [("$__rate_interval", "1m"), ("$__range", "1h"), ("$job", ".+"), ("$instance", ".+")];
    let more = [("$set", ".+"), ("$destination", ".+")];
    values.iter().chain(&more).fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

#[test]
fn prometheus_parses_every_query() {
    let mut rules = Vec::new();
    for (_, dashboard) in pages::all() {
        let panels = list(&dashboard, "/panels").iter().flat_map(|panel| list(panel, "/targets"));
        for query in panels.chain(list(&dashboard, "/annotations/list")) {
            let expr = substituted(text(query, "/expr"));
            assert!(!expr.contains('$'), "a variable is left in {expr}");
            rules.push(json!({"record": format!("query:{}", rules.len()), "expr": expr}));
        }
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard-queries.yml");
    let file = json!({"groups": [{"name": "queries", "rules": rules}]});
    std::fs::write(&path, file.to_string()).expect("the folder for temporary files can be written to");
    let run = Command::new("promtool").args(["check", "rules"]).arg(&path).output();
    let output = run.unwrap_or_else(|error| {
        panic!("promtool cannot be run ({error}): it parses queries; install it with `apt-get install prometheus`")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_alert_has_a_runbook_that_links_to_a_dashboard() {
    let dashboards = world().dashboards;
    for alert in rules("alert").into_keys() {
        let page = read(format!("docs/runbooks/{alert}.md"));
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let links: Vec<&str> =
            page.split("/d/").skip(1).map(|rest| rest.split(|c| !is_part(c)).next().unwrap_or("")).collect();
        assert!(!links.is_empty(), "{alert}: its runbook links to no dashboard");
        for uid in links {
            assert!(dashboards.contains(uid), "{alert}: its runbook links to {uid}, which does not exist");
        }
    }
}
