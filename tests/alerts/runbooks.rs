//! The runbooks: one for each alert, complete, and true as far as a machine can tell.

use super::known::Known;
use super::queries;
use super::rules::{alerts, files, folder, list, promtool, read, root, text, yaml};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

const HEADINGS: [&str; 6] =
    ["## Meaning", "## Impact", "## First look", "## Causes", "## Remedy", "## Silence"];

/// Each page with its text.
fn pages() -> Vec<(String, String)> {
    let names = files("docs/runbooks", "md").into_iter();
    names.map(|name| (name.clone(), read(&root().join("docs/runbooks").join(&name)))).collect()
}

/// The lines of the code blocks of a language.
fn lines<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    page.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or("")
}

#[test]
fn every_alert_has_a_complete_runbook_and_every_runbook_an_alert() {
    let names: BTreeSet<_> = alerts().iter().map(|alert| format!("{}.md", alert.name())).collect();
    assert_eq!(names, files("docs/runbooks", "md").into_iter().collect());
    for (name, page) in pages() {
        let found: Vec<_> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, HEADINGS, "{name}");
        for heading in HEADINGS {
            assert!(section(&page, heading).trim().len() > 20, "{name}: {heading} says nothing");
        }
        assert!(section(&page, "## First look").contains("```promql\n"), "{name} shows no query");
        let commands = lines(section(&page, "## First look"), "sh");
        assert!(!commands.is_empty(), "{name} shows no command");
        let alert = name.trim_end_matches(".md");
        let silence = format!("amtool silence add alertname={alert} ");
        assert!(section(&page, "## Silence").contains(&silence), "{name} does not say {silence}");
    }
}

#[test]
fn a_runbook_links_to_the_dashboard_that_the_alert_links_to_and_tells_its_severity() {
    for alert in alerts() {
        let page = read(&root().join(format!("docs/runbooks/{}.md", alert.name())));
        let url = text(&alert.body, &["annotations", "dashboard_url"]);
        let path = url.split('?').next().expect("a split has a first part");
        assert!(page.contains(&format!("(`{path}`)")), "{} does not link to {path}", alert.title());
        let uid = path.trim_start_matches("/d/");
        let dashboard = yaml(&format!("dashboards/{uid}.json"));
        let link = format!("Dashboard: [{}](http://grafana:3000/d/{uid})", text(&dashboard, &["title"]));
        assert!(page.contains(&link), "{} does not say {link}", alert.title());
        if let Some(row) = page.split(", row *").nth(1).and_then(|rest| rest.split('*').next()) {
            let mut rows = list(&dashboard, "panels").iter().map(|panel| text(panel, &["title"]));
            assert!(rows.any(|title| title == row), "{}: {uid} has no row {row}", alert.title());
        }
        let head = page.split("## Meaning").next().unwrap_or("");
        let severity = text(&alert.body, &["labels", "severity"]);
        assert!(head.contains(severity), "{} does not say {severity}", alert.title());
    }
}

#[test]
fn queries_in_runbooks_use_what_exists_and_parse() {
    let known = Known::load();
    let mut rules = String::from("groups:\n  - name: queries\n    rules:\n");
    for (name, page) in pages() {
        for query in lines(&page, "promql") {
            assert_eq!(queries::faults(&known, query), [""; 0], "{name}: {query}");
            writeln!(rules, "      - record: a:query\n        expr: |-\n          {query}")
                .expect("a string takes it");
        }
    }
    let folder = folder("runbook-queries");
    std::fs::write(folder.join("queries.yml"), rules).expect("the target folder can be written");
    let arguments = ["check", "rules", "--lint=none", "queries.yml"].map(str::to_owned);
    let (passed, printed) = promtool(&folder, &arguments);
    assert!(passed, "{printed}");
}

/// The command line of each `sipwarden …` in a page, without comment and redirection.
fn commands(page: &str) -> Vec<String> {
    let blocks = lines(page, "sh").into_iter().map(str::to_owned);
    let inline = page.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n')).map(str::to_owned);
    let all = blocks.chain(inline).filter(|line| line.starts_with("sipwarden "));
    all.map(|line| line.split(['#', '|', '>', ';']).next().unwrap_or("").trim().to_owned()).collect()
}

#[test]
fn commands_in_runbooks_are_those_of_the_binary() {
    for (name, page) in pages() {
        for line in commands(&page) {
            let words: Vec<_> = line.split_whitespace().skip(1).collect();
            // Without its server a command fails with 1; with a wrong command line it would be 2.
            let mut command = Command::new(env!("CARGO_BIN_EXE_sipwarden"));
            command.args(&words).env("SIPWARDEN_URL", "http://127.0.0.1:1");
            if words.contains(&"--watch") {
                command.arg("--help");
            }
            let output = command.output().expect("the binary is built with its tests");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_ne!(output.status.code(), Some(2), "{name}: {line}: {said}");
        }
    }
}

#[test]
fn configuration_keys_in_runbooks_are_in_the_manual() {
    let manual = read(&root().join("docs/configuration.md"));
    let mut known = BTreeSet::new();
    let mut section = String::new();
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading.trim_end_matches(['`', ']', '[']).rsplit('.').next().unwrap_or("").to_owned();
        } else if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            known.insert(format!("{section}.{key}"));
        }
    }
    for (name, page) in pages() {
        for code in page.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n')) {
            let key = code.split(':').next().unwrap_or("");
            let words: Vec<_> = key.split('.').collect();
            let is_key = |word: &&str| {
                !word.is_empty()
                    && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            };
            let is_ours = known.iter().any(|known| known.starts_with(&format!("{}.", words[0])));
            if words.len() == 2 && words.iter().all(is_key) && is_ours {
                assert!(known.contains(key), "{name}: `{key}` is not in docs/configuration.md");
            }
        }
    }
    assert!(known.contains("probe.down_after") && known.contains("failover.on"), "{known:?}");
}
