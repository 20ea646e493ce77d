//! A dashboard against Grafana's own types, frozen in `tests/dashboards/grafana`: no unknown keys, the
//! right kinds of values, only words of the closed lists.

use super::{Lint, list, text};
use serde_json::Value;

/// Keys that the Prometheus plug-in reads, beyond those of Grafana's types.
const ANNOTATION: [&str; 7] =
    ["datasource", "expr", "step", "tagKeys", "textFormat", "titleFormat", "useValueForTime"];
const TARGET: [&str; 9] =
    ["datasource", "editorMode", "exemplar", "expr", "format", "instant", "legendFormat", "range", "refId"];
/// A variable's query in the text form that Grafana shows in lists.
const VARIABLE: [&str; 1] = ["definition"];

impl Lint<'_> {
    pub(super) fn schema(&mut self, dashboard: &Value) {
        let definitions = self.world.schema.get("definitions").unwrap_or(&Value::Null);
        let mut found = Schema { definitions, found: Vec::new() };
        found.named("dashboard", dashboard, "Dashboard");
        for panel in list(dashboard, "/panels") {
            found.panel(panel);
        }
        self.found.append(&mut found.found);
    }
}

struct Schema<'a> {
    definitions: &'a Value,
    found: Vec<String>,
}

impl Schema<'_> {
    fn panel(&mut self, panel: &Value) {
        let (title, kind) = (text(panel, "/title"), text(panel, "/type"));
        if kind == "row" {
            return;
        }
        // The union of both kinds in the list of panels says only that neither fits.
        self.named(title, panel, "Panel");
        for (part, pointer) in [("options", "/options"), ("custom", "/fieldConfig/defaults/custom")] {
            if let Some(value) = panel.pointer(pointer) {
                self.named(&format!("{title}: {part}"), value, &format!("{part}/{kind}"));
            }
        }
        for target in list(panel, "/targets") {
            for key in target.as_object().into_iter().flat_map(|target| target.keys()) {
                if !TARGET.contains(&key.as_str()) {
                    self.found.push(format!("{title}: the plug-in reads no {key} of a query"));
                }
            }
        }
    }

    fn named(&mut self, place: &str, value: &Value, name: &str) {
        match self.definitions.get(name) {
            // Options are filled with defaults by Grafana, so that none is required.
            Some(definition) => self.value(place, value, definition, name),
            None => self.found.push(format!("{place}: Grafana has no {name}")),
        }
    }

    fn value(&mut self, place: &str, value: &Value, definition: &Value, name: &str) {
        if let Some(name) = definition.get("ref").and_then(Value::as_str) {
            return self.named(place, value, name);
        }
        if let Some(choices) = definition.get("anyOf").and_then(Value::as_array) {
            return self.one_of(place, value, choices, name);
        }
        if let Some(words) = definition.get("enum").and_then(Value::as_array) {
            if !words.contains(value) {
                self.found.push(format!("{place} is {value}, Grafana knows {}", Value::Array(words.clone())));
            }
            return;
        }
        let kind = text(definition, "/type");
        let fits = match kind {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => true,
        };
        if !fits {
            return self.found.push(format!("{place} is {value}, Grafana wants {kind}"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            let items = definition.get("items").unwrap_or(&Value::Null);
            self.value(&format!("{place}/{index}"), item, items, name);
        }
        if let Some(properties) = definition.get("properties") {
            self.object(place, value, properties, definition, name);
        }
    }

    fn object(&mut self, place: &str, value: &Value, properties: &Value, definition: &Value, name: &str) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            match properties.get(key) {
                Some(definition) => self.value(&format!("{place}/{key}"), inner, definition, ""),
                None if extra(name).contains(&key.as_str()) => {}
                None => self.found.push(format!("{place}: Grafana knows no key {key}")),
            }
        }
        let is_filled = name.starts_with("custom/") || name.starts_with("options/");
        for key in list(definition, "/required").iter().filter_map(Value::as_str) {
            if value.get(key).is_none() && !is_filled {
                self.found.push(format!("{place} has no {key}"));
            }
        }
    }

    fn one_of(&mut self, place: &str, value: &Value, choices: &[Value], name: &str) {
        let mut complaints = Vec::new();
        for choice in choices {
            let mut attempt = Schema { definitions: self.definitions, found: Vec::new() };
            attempt.value(place, value, choice, name);
            if attempt.found.is_empty() {
                return;
            }
            complaints.append(&mut attempt.found);
        }
        self.found.push(format!("{place} fits nothing that Grafana takes: {}", complaints.join("; ")));
    }
}

fn extra(name: &str) -> &'static [&'static str] {
    match name {
        "AnnotationQuery" => &ANNOTATION,
        "VariableModel" => &VARIABLE,
        _ => &[],
    }
}
