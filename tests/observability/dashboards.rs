//! What the dashboards ask of Prometheus: every query of every file, as it stands there.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// One query.
#[derive(Debug, Clone)]
pub struct Query {
    /// Where it is: dashboard, panel or annotation, letter.
    pub place: String,
    /// The expression with its variables.
    pub expression: String,
    /// What its legend says of each series; empty if nothing.
    pub legend: String,
    /// The unit of its numbers; empty for an annotation.
    pub unit: String,
}

/// One variable that is asked of Prometheus, and what stands for all of its values.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The selector whose series have the label.
    pub selector: String,
    /// The label whose values it has.
    pub label: String,
    /// What *All* is; `None`: all values.
    pub all: Option<String>,
}

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// Its uid.
    pub uid: String,
    /// Its variables, in the order in which they depend on each other.
    pub variables: Vec<Variable>,
    /// The queries of its panels and annotations.
    pub queries: Vec<Query>,
}

/// Every dashboard of `dashboards/`.
pub fn all() -> Vec<Dashboard> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let entries = fs::read_dir(folder).expect("dashboards/ is there").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert!(!files.is_empty(), "no dashboards");
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a dashboard can be read");
        dashboard(&serde_json::from_str(&text).expect("a dashboard is JSON"))
    };
    files.iter().map(read).collect()
}

fn dashboard(json: &Value) -> Dashboard {
    let uid = text(json, "/uid").to_owned();
    let mut queries = Vec::new();
    panels(json, &uid, &mut queries);
    for annotation in list(json, "/annotations/list") {
        let expression = text(annotation, "/expr").to_owned();
        if !expression.is_empty() {
            let place = format!("{uid}: annotation {}", text(annotation, "/name"));
            queries.push(Query { place, expression, legend: String::new(), unit: String::new() });
        }
    }
    assert!(!queries.is_empty(), "{uid} asks nothing");
    let variables = list(json, "/templating/list").iter().filter(|v| text(v, "/type") == "query");
    Dashboard { variables: variables.map(variable).collect(), queries, uid }
}

/// The queries of the panels, those inside collapsed rows included.
fn panels(holder: &Value, uid: &str, queries: &mut Vec<Query>) {
    for panel in list(holder, "/panels") {
        for target in list(panel, "/targets") {
            let expression = text(target, "/expr").to_owned();
            let (title, letter) = (text(panel, "/title"), text(target, "/refId"));
            assert!(!expression.is_empty(), "{uid}: {title} {letter} asks nothing");
            let legend = text(target, "/legendFormat").to_owned();
            let unit = unit(panel, letter, &legend).to_owned();
            queries.push(Query { place: format!("{uid}: {title} {letter}"), expression, legend, unit });
        }
        panels(panel, uid, queries);
    }
}

/// The unit of a query's numbers: that of its column or its series, else the panel's.
fn unit<'v>(panel: &'v Value, letter: &str, legend: &str) -> &'v str {
    let names = panel.pointer("/transformations/1/options/renameByName").unwrap_or(&Value::Null);
    let column = [format!("Value #{letter}"), "Value".to_owned()]
        .into_iter()
        .find_map(|name| names.get(name)?.as_str());
    let name = column.unwrap_or(legend);
    let is_about = |rule: &&Value| {
        let pattern = text(rule, "/matcher/options");
        match text(rule, "/matcher/id") {
            "byName" => pattern == name,
            _ => fits(pattern.trim_matches('/'), name),
        }
    };
    let rules = list(panel, "/fieldConfig/overrides").iter().filter(is_about);
    let mut properties = rules.flat_map(|rule| list(rule, "/properties"));
    match properties.find(|property| text(property, "/id") == "unit") {
        Some(property) => text(property, "/value"),
        // Rates that Grafana makes shares of.
        None if text(panel, "/fieldConfig/defaults/custom/stacking/mode") == "percent" => "none",
        None => text(panel, "/fieldConfig/defaults/unit"),
    }
}

/// Whether a name fits an expression of nothing but plain text and anchors.
fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
        (Some(start), _) => name.starts_with(start),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name.contains(pattern),
    }
}

fn variable(json: &Value) -> Variable {
    let name = text(json, "/name").to_owned();
    let query =
        json.pointer("/query/query").or(json.get("query")).and_then(Value::as_str).unwrap_or_default();
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let inside = inside.unwrap_or_else(|| panic!("{name}: {query} is no label_values(…)"));
    let (selector, label) = inside.rsplit_once(',').unwrap_or_else(|| panic!("{name}: {query} has no label"));
    let all = json.get("allValue").and_then(Value::as_str).map(str::to_owned);
    Variable { name, selector: selector.trim().to_owned(), label: label.trim().to_owned(), all }
}

fn text<'v>(json: &'v Value, path: &str) -> &'v str {
    json.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(json: &'v Value, path: &str) -> &'v [Value] {
    json.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
