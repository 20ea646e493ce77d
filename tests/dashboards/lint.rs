//! The conventions that make a dashboard work on any Grafana with any Prometheus: those of Grafana's
//! dashboard-linter, and our own. [`Lint::run`] tells what breaks one.

#[path = "lint/coverage.rs"]
pub mod coverage;
#[path = "lint/frame.rs"]
mod frame;
#[path = "lint/panel.rs"]
mod panel;
#[path = "lint/query.rs"]
pub mod query;
#[path = "lint/schema.rs"]
mod schema;

use crate::families::Families;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the repository has, as far as a dashboard can name it.
pub struct World {
    /// The code's table of metrics.
    pub families: Families,
    /// The recording rules: name and expression.
    pub recorded: BTreeMap<String, String>,
    /// The uids of the dashboards.
    pub dashboards: BTreeSet<String>,
    /// The units that Grafana knows.
    pub units: BTreeSet<String>,
    /// What Grafana takes; see `tests/dashboards/grafana`.
    pub schema: Value,
}

/// What is wrong with a dashboard.
pub struct Lint<'a> {
    world: &'a World,
    found: Vec<String>,
}

impl<'a> Lint<'a> {
    /// Everything that is wrong with a dashboard.
    pub fn run(dashboard: &Value, world: &'a World) -> Vec<String> {
        let mut lint = Lint { world, found: Vec::new() };
        lint.frame(dashboard);
        lint.variables(dashboard);
        lint.annotations(dashboard);
        lint.layout(dashboard);
        for panel in list(dashboard, "/panels") {
            lint.panel(panel);
        }
        lint.links(dashboard);
        lint.schema(dashboard);
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
}

/// The list at a place, or an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text at a place, or an empty one.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
