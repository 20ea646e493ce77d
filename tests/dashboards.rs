//! The dashboards keep to the conventions that make them work on any Grafana with any Prometheus.

#[path = "observability/catalogue.rs"]
mod catalogue;
#[path = "observability/promql.rs"]
mod promql;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// The ids of Grafana's units that we use; a misspelt one would be shown as a suffix.
const UNITS: [&str; 10] = [
    "none",
    "short",
    "percentunit",
    "reqps",
    "ops",
    "s",
    "bytes",
    "decbytes",
    "dtdurations",
    "dateTimeFromNow",
];
const RATES: [&str; 3] = ["rate", "irate", "increase"];

/// What is wrong with a dashboard.
struct Lint<'a> {
    known: Option<&'a BTreeSet<String>>,
    found: Vec<String>,
}

impl Lint<'_> {
    fn run(dashboard: &Value, known: Option<&BTreeSet<String>>) -> Vec<String> {
        let mut lint = Lint { known, found: Vec::new() };
        lint.frame(dashboard);
        lint.variables(dashboard);
        lint.annotations(dashboard);
        lint.layout(dashboard);
        for panel in list(dashboard, "/panels") {
            lint.panel(panel);
        }
        lint.found
    }

    fn check(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.found.push(complaint());
        }
    }

    fn equal(&mut self, place: &str, value: &Value, pointer: &str, expected: &Value) {
        let is = value.pointer(pointer).unwrap_or(&Value::Null);
        self.check(is == expected, || format!("{place}: {pointer} is {is}, not {expected}"));
    }

    fn datasource(&mut self, place: &str, value: &Value) {
        self.equal(place, value, "/datasource", &json!({"type": "prometheus", "uid": "${datasource}"}));
    }

    fn frame(&mut self, dashboard: &Value) {
        let expected = [
            ("/editable", json!(false)),
            ("/schemaVersion", json!(39)),
            ("/tags", json!(["sipwarden"])),
            ("/timezone", json!("")),
            ("/refresh", json!("30s")),
        ];
        for (pointer, value) in expected {
            self.equal("dashboard", dashboard, pointer, &value);
        }
        self.check(text(dashboard, "/uid").starts_with("sipwarden-"), || "the uid has no prefix".to_owned());
        for field in ["/title", "/description"] {
            self.check(!text(dashboard, field).is_empty(), || format!("the dashboard has no {field}"));
        }
        self.check(dashboard.get("__inputs").is_none(), || "__inputs: provisioning cannot ask".to_owned());
        let by_tag = list(dashboard, "/links").iter().find(|link| text(link, "/type") == "dashboards");
        let link = by_tag.unwrap_or(&Value::Null);
        for (pointer, value) in
            [("/tags", json!(["sipwarden"])), ("/includeVars", json!(true)), ("/keepTime", json!(true))]
        {
            self.equal("link by tag", link, pointer, &value);
        }
    }

    fn variables(&mut self, dashboard: &Value) {
        let variables = list(dashboard, "/templating/list");
        let sources: Vec<_> = variables.iter().filter(|v| text(v, "/type") == "datasource").collect();
        self.check(sources.len() == 1, || format!("{} data source variables, not one", sources.len()));
        for source in sources {
            for (pointer, value) in
                [("/name", "datasource"), ("/query", "prometheus"), ("/label", "Data Source")]
            {
                self.equal("data source variable", source, pointer, &json!(value));
            }
        }
        let queries: Vec<_> = variables.iter().filter(|v| text(v, "/type") == "query").collect();
        let names: Vec<_> = queries.iter().map(|v| text(v, "/name")).collect();
        self.check(names.starts_with(&["job", "instance"]), || format!("variables are {names:?}"));
        for variable in queries {
            let name = text(variable, "/name");
            let place = format!("variable {name}");
            self.datasource(&place, variable);
            let expected = [
                ("multi", json!(true)),
                ("includeAll", json!(true)),
                ("allValue", json!(".+")),
                ("refresh", json!(2)),
            ];
            for (key, value) in expected {
                self.equal(&place, variable, &format!("/{key}"), &value);
            }
            let query = text(variable, "/query/query");
            let selector = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
            match selector {
                Some((_, label)) if label.trim_end_matches(')') != name => {
                    self.found.push(format!("{place} asks for {label}"));
                }
                // The first of the chain has nothing to be narrowed by.
                Some((selector, _)) if name == "job" => self.metrics(&place, selector),
                Some((selector, _)) if name == "instance" => {
                    self.metrics(&place, selector);
                    self.check(selector.contains("job=~\"$job\""), || {
                        format!("{place} is not narrowed by $job")
                    });
                }
                Some((selector, _)) => self.expression(&place, selector),
                None => self.found.push(format!("{place} is no label_values(…, {name})")),
            }
        }
    }

    fn annotations(&mut self, dashboard: &Value) {
        let annotations = list(dashboard, "/annotations/list");
        self.check(!annotations.is_empty(), || "no annotations".to_owned());
        for annotation in annotations {
            let place = format!("annotation {}", text(annotation, "/name"));
            self.datasource(&place, annotation);
            self.expression(&place, text(annotation, "/expr"));
        }
    }

    fn layout(&mut self, dashboard: &Value) {
        let panels = list(dashboard, "/panels");
        let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel.get("id")?.as_u64()).collect();
        self.check(ids.len() == panels.len(), || "panel ids are missing or not unique".to_owned());
        let places: Vec<_> = panels.iter().map(|panel| (text(panel, "/title"), Place::of(panel))).collect();
        for (index, (title, place)) in places.iter().enumerate() {
            let fits = place.width > 0 && place.height > 0 && place.x + place.width <= 24;
            self.check(fits, || format!("{title} does not fit the grid of 24 columns"));
            for (other, their) in places.iter().skip(index + 1) {
                self.check(!place.overlaps(their), || format!("{title} and {other} overlap"));
            }
        }
    }

    fn panel(&mut self, panel: &Value) {
        let title = text(panel, "/title");
        self.check(!title.is_empty(), || format!("a panel without title: {:?}", panel.get("id")));
        if text(panel, "/type") == "row" {
            return;
        }
        self.datasource(title, panel);
        self.check(!text(panel, "/description").is_empty(), || format!("{title}: no description"));
        let defaults = panel.pointer("/fieldConfig/defaults").unwrap_or(&Value::Null);
        let is_mapped = text(panel, "/type") == "stat" && !list(defaults, "/mappings").is_empty();
        let unit = text(defaults, "/unit");
        self.check(is_mapped || UNITS.contains(&unit), || format!("{title}: unit {unit:?}"));
        let targets = list(panel, "/targets");
        self.check(!targets.is_empty(), || format!("{title}: no targets"));
        let references: BTreeSet<_> = targets.iter().map(|target| text(target, "/refId")).collect();
        self.check(references.len() == targets.len(), || format!("{title}: refIds are not unique"));
        for target in targets {
            self.datasource(title, target);
            let expr = text(target, "/expr");
            self.expression(title, expr);
            for part in text(target, "/legendFormat").split("{{").skip(1) {
                let label = part.split("}}").next().unwrap_or("").trim();
                // Without an aggregation every label of the series is there.
                let is_there = !expr.contains(" by (") || expr.contains(label);
                self.check(is_there, || format!("{title}: the legend names {label}, the result has it not"));
            }
        }
    }

    fn expression(&mut self, place: &str, expr: &str) {
        self.metrics(place, expr);
        for selector in promql::selectors(expr).unwrap_or_default() {
            for variable in ["job", "instance"] {
                let wanted = format!("${variable}");
                let is_narrowed = selector.on(variable).is_some_and(|m| m.op == "=~" && m.value == wanted);
                self.check(is_narrowed, || {
                    format!("{place}: {} is not narrowed by {wanted}", selector.metric)
                });
            }
        }
    }

    fn metrics(&mut self, place: &str, expr: &str) {
        let selectors = match promql::selectors(expr) {
            Ok(selectors) => selectors,
            Err(error) => return self.found.push(format!("{place}: {error}")),
        };
        self.check(!selectors.is_empty(), || format!("{place}: no metric in {expr:?}"));
        for selector in selectors {
            let metric = &selector.metric;
            let family = selector.family();
            let is_known = self.known.is_none_or(|known| known.contains(family));
            self.check(is_known, || format!("{place}: {family} is not in docs/metrics.md"));
            let is_narrowed = selector.on("state").is_some() || selector.rest.starts_with("== 1");
            self.check(is_narrowed || !metric.ends_with("_state"), || {
                format!("{place}: {metric} of any state")
            });
            let function = selector.functions.last().map_or("", String::as_str);
            let is_rated = RATES.contains(&function);
            self.check(is_rated == selector.is_counter(), || {
                if is_rated {
                    format!("{place}: {function} of {metric}, which is no counter")
                } else {
                    format!("{place}: {metric} outside rate or increase")
                }
            });
            let has_window = !is_rated || selector.range.as_deref() == Some("$__rate_interval");
            self.check(has_window, || format!("{place}: {metric} over a fixed window"));
        }
    }
}

struct Place {
    x: u64,
    y: u64,
    width: u64,
    height: u64,
}

impl Place {
    fn of(panel: &Value) -> Self {
        let number =
            |key: &str| panel.pointer(&format!("/gridPos/{key}")).and_then(Value::as_u64).unwrap_or(0);
        Self { x: number("x"), y: number("y"), width: number("w"), height: number("h") }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let beside = self.x + self.width <= other.x || other.x + other.width <= self.x;
        let above = self.y + self.height <= other.y || other.y + other.height <= self.y;
        !beside && !above
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn overview() -> Value {
    serde_json::from_str(&read("dashboards/sipwarden-overview.json")).expect("the dashboard is JSON")
}

#[test]
fn every_dashboard_keeps_to_the_conventions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let known = catalogue::load();
    let mut uids = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder is part of the repository") {
        let path = entry.expect("a folder can be listed").path();
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".json"))
        else {
            continue;
        };
        let dashboard: Value = serde_json::from_str(&read(&format!("dashboards/{name}")))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let uid = text(&dashboard, "/uid").to_owned();
        assert_eq!(name, format!("{uid}.json"), "the file is named after the uid");
        assert!(uids.insert(uid.clone()), "{uid} is there twice");
        let found = Lint::run(&dashboard, known.as_ref());
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
    assert!(uids.contains("sipwarden-overview"));
}

#[test]
fn the_overview_has_the_promised_title() {
    assert_eq!(text(&overview(), "/title"), "SIP fleet");
}

#[test]
fn provisioned_dashboards_cannot_be_changed_in_the_browser() {
    let providers: Value =
        serde_yaml::from_str(&read("dashboards/provisioning/dashboards.yml")).expect("it is YAML");
    for (pointer, value) in
        [("folder", json!("SIP")), ("disableDeletion", json!(true)), ("allowUiUpdates", json!(false))]
    {
        assert_eq!(providers.pointer(&format!("/providers/0/{pointer}")), Some(&value));
    }
    let sources: Value =
        serde_yaml::from_str(&read("dashboards/provisioning/datasources.yml")).expect("it is YAML");
    assert_eq!(sources.pointer("/datasources/0/type"), Some(&json!("prometheus")));
}

/// Breaks the real dashboard in one place and asserts that the lint says so.
#[track_caller]
fn blamed(pointer: &str, value: Value, expected: &str) {
    let mut dashboard = overview();
    let place = dashboard.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not in the dashboard"));
    *place = value;
    let found = Lint::run(&dashboard, None);
    assert!(found.iter().any(|complaint| complaint.contains(expected)), "{expected:?} is not in {found:#?}");
}

#[track_caller]
fn blamed_expr(expr: &str, expected: &str) {
    blamed("/panels/1/targets/0/expr", json!(expr), expected);
}

#[test]
fn the_lint_blames_what_breaks_a_convention() {
    blamed("/editable", json!(true), "/editable is true");
    blamed("/schemaVersion", json!(36), "/schemaVersion");
    blamed("/templating/list/1/type", json!("datasource"), "2 data source variables");
    blamed("/templating/list/1/allValue", json!(".*"), "variable job: /allValue");
    blamed(
        "/templating/list/4/query/query",
        json!("label_values(sipwarden_destination_up, destination)"),
        "narrowed",
    );
    blamed("/annotations/list/0/datasource/uid", json!("-- Grafana --"), "/datasource");
    blamed("/panels/1/datasource", json!(null), "/datasource");
    blamed("/panels/1/targets/0/datasource/uid", json!("P1809F7CD0C75ACF3"), "/datasource");
    blamed("/panels/1/title", json!(""), "without title");
    blamed("/panels/1/description", json!(""), "no description");
    blamed("/panels/1/fieldConfig/defaults/unit", json!("percent_unit"), "unit \"percent_unit\"");
    blamed("/panels/1/id", json!(3), "not unique");
    blamed("/panels/2/gridPos/x", json!(2), "overlap");
    blamed("/panels/6/gridPos/w", json!(5), "does not fit");
    blamed("/panels/2/targets/1/refId", json!("A"), "refIds");
}

#[test]
fn the_lint_blames_queries_that_mislead() {
    let both = "job=~\"$job\", instance=~\"$instance\"";
    blamed_expr("sum(sipwarden_set_all_down{job=~\"$job\"})", "not narrowed by $instance");
    blamed_expr("sum(sipwarden_set_all_down)", "not narrowed by $job");
    blamed_expr(&format!("sum(sipwarden_probes_total{{{both}}})"), "outside rate or increase");
    blamed_expr(&format!("sum(rate(sipwarden_probes_total{{{both}}}[5m]))"), "fixed window");
    blamed_expr(&format!("rate(sipwarden_set_all_down{{{both}}}[$__rate_interval])"), "no counter");
    blamed_expr(&format!("sum(sipwarden_destination_state{{{both}}})"), "of any state");
    blamed_expr("sum(", "not closed");
    let mut dashboard = overview();
    *dashboard.pointer_mut("/panels/1/targets/0").expect("it has a target") = json!({
        "refId": "A", "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": format!("sum by (set) (sipwarden_set_all_down{{{both}}})"), "legendFormat": "{{destination}}",
    });
    assert!(
        Lint::run(&dashboard, None)
            .iter()
            .any(|complaint| complaint.contains("the legend names destination"))
    );
    let known = catalogue::parse("`sipwarden_set_all_down`");
    let found = Lint::run(&overview(), Some(&known));
    assert!(
        found.iter().any(|complaint| complaint.contains("sipwarden_probes_total is not in docs/metrics.md"))
    );
    assert!(!found.iter().any(|complaint| complaint.contains("sipwarden_set_all_down")));
}
