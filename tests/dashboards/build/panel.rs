//! One panel: what all kinds have in common.

use super::query::{SOURCE, expand};
use serde_json::{Value, json};

/// Colours and texts of values: value, text, colour.
pub type Mapping<'a> = (&'a str, &'a str, &'a str);

/// A panel without its place; [`super::frame::Page`] gives it an id and a place.
pub struct Panel(pub Value);

/// The data source that every panel and target names.
pub fn source() -> Value {
    json!({"type": "prometheus", "uid": SOURCE})
}

/// Value mappings of Grafana, in the order given.
pub fn mappings(rows: &[Mapping<'_>]) -> Value {
    let rows = rows.iter().enumerate().map(|(index, (value, text, color))| {
        ((*value).to_owned(), json!({"text": text, "color": color, "index": index}))
    });
    json!([{"type": "value", "options": rows.collect::<serde_json::Map<_, _>>()}])
}

/// Thresholds of Grafana: the first colour is that of the smallest values.
pub fn thresholds(first: &str, steps: &[(f64, &str)]) -> Value {
    let mut list = vec![json!({"color": first, "value": null})];
    list.extend(steps.iter().map(|(value, color)| json!({"color": color, "value": value})));
    json!({"mode": "absolute", "steps": list})
}

impl Panel {
    /// A panel of a kind, with the options of the kind and of its fields.
    pub fn new(kind: &str, title: &str, description: &str, options: Value, custom: Value) -> Self {
        let mut defaults = json!({
            "color": {"mode": "thresholds"}, "mappings": [], "thresholds": thresholds("green", &[]),
        });
        if let Value::Object(custom) = custom {
            set(&mut defaults, "custom", Value::Object(custom));
        }
        Self(json!({
            "type": kind, "title": title, "description": description, "datasource": source(),
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options, "targets": [],
        }))
    }

    /// Sets a key of the panel.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        set(&mut self.0, key, value);
        self
    }

    /// Sets a key of the defaults of its fields.
    pub fn field(mut self, key: &str, value: Value) -> Self {
        set(&mut self.0["fieldConfig"]["defaults"], key, value);
        self
    }

    /// Sets a key of the defaults of its fields that belongs to the kind.
    pub fn custom(mut self, key: &str, value: Value) -> Self {
        set(&mut self.0["fieldConfig"]["defaults"]["custom"], key, value);
        self
    }

    /// Sets an option of the kind.
    pub fn option(mut self, key: &str, value: Value) -> Self {
        set(&mut self.0["options"], key, value);
        self
    }

    /// The unit, by Grafana's id.
    pub fn unit(self, unit: &str) -> Self {
        self.field("unit", json!(unit))
    }

    /// How many decimals.
    pub fn decimals(self, count: u8) -> Self {
        self.field("decimals", json!(count))
    }

    /// The scale, from 0 to a value.
    pub fn up_to(self, max: f64) -> Self {
        self.field("min", json!(0)).field("max", json!(max))
    }

    /// A scale that fits itself to the values, without 0 if they are far from it.
    pub fn fitted(mut self) -> Self {
        if let Some(defaults) = self.0["fieldConfig"]["defaults"].as_object_mut() {
            defaults.remove("min");
        }
        self
    }

    /// Colours from a value on.
    pub fn colors(self, first: &str, steps: &[(f64, &str)]) -> Self {
        self.field("thresholds", thresholds(first, steps))
    }

    /// Texts and colours of values.
    pub fn mapped(self, rows: &[Mapping<'_>]) -> Self {
        self.field("mappings", mappings(rows))
    }

    /// What is shown where there is no series.
    pub fn nothing(self, text: &str) -> Self {
        self.field("noValue", json!(text))
    }

    /// Shows the last hour, or another fixed time, whatever the dashboard shows: `[W]` is this long, and
    /// the title says so.
    pub fn window(self, time: &str) -> Self {
        self.with("timeFrom", json!(time)).with("hideTimeOverride", json!(true))
    }

    /// Properties of the fields of one name.
    pub fn named(self, name: &str, properties: &[(&str, Value)]) -> Self {
        self.overridden(json!({"id": "byName", "options": name}), properties)
    }

    /// Properties of the fields whose names match an expression.
    pub fn matching(self, pattern: &str, properties: &[(&str, Value)]) -> Self {
        self.overridden(json!({"id": "byRegexp", "options": pattern}), properties)
    }

    /// Draws the field of one name as a thin line over the bars, on a scale of its own at the right.
    pub fn overlaid(self, name: &str, unit: &str) -> Self {
        self.named(
            name,
            &[
                ("unit", json!(unit)),
                ("custom.axisPlacement", json!("right")),
                ("custom.drawStyle", json!("line")),
                ("custom.lineWidth", json!(1)),
                ("custom.fillOpacity", json!(0)),
                ("custom.stacking", json!({"mode": "none", "group": "B"})),
            ],
        )
    }

    /// Fixed colours for series by their names.
    pub fn painted(self, colors: &[(&str, &str)]) -> Self {
        let paint = |color: &&str| json!({"mode": "fixed", "fixedColor": color});
        colors.iter().fold(self, |panel, (name, color)| panel.named(name, &[("color", paint(color))]))
    }

    fn overridden(mut self, matcher: Value, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<_> =
            properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
        let rule = json!({"matcher": matcher, "properties": properties});
        push(&mut self.0["fieldConfig"]["overrides"], rule);
        self
    }

    /// Where a click on a value leads.
    pub fn click(self, title: &str, url: &str) -> Self {
        self.field("links", json!([{"title": title, "url": url, "targetBlank": false}]))
    }

    /// A link in the panel's menu.
    pub fn link(mut self, title: &str, url: &str) -> Self {
        let link = json!({
            "type": "link", "title": title, "url": url, "icon": "external link", "tooltip": "", "tags": [],
            "asDropdown": false, "includeVars": false, "keepTime": false, "targetBlank": true,
        });
        if self.0.get("links").is_none() {
            set(&mut self.0, "links", json!([]));
        }
        push(&mut self.0["links"], link);
        self
    }

    /// A query over time.
    pub fn query(self, legend: &str, short: &str) -> Self {
        self.target(short, json!({"legendFormat": legend, "instant": false, "range": true}))
    }

    /// A query of the moment, or of the panel's window.
    pub fn instant(self, legend: &str, short: &str) -> Self {
        self.target(short, json!({"legendFormat": legend, "instant": true, "range": false}))
    }

    /// A query for one column of a table.
    pub fn cells(self, short: &str) -> Self {
        self.target(short, json!({"format": "table", "instant": true, "range": false}))
    }

    /// A query for the buckets of a heatmap.
    pub fn buckets(self, short: &str) -> Self {
        let more = json!({"format": "heatmap", "legendFormat": "{{le}}", "instant": false, "range": true});
        self.target(short, more)
    }

    /// Has the exemplars of the queries so far drawn: the points lead to traces.
    pub fn exemplars(mut self) -> Self {
        for target in self.0["targets"].as_array_mut().into_iter().flatten() {
            set(target, "exemplar", json!(true));
        }
        self.link("Traces", super::frame::TRACES)
    }

    fn target(mut self, short: &str, more: Value) -> Self {
        let count = self.0["targets"].as_array().map_or(0, Vec::len);
        let mut target = json!({
            "refId": letter(count), "datasource": source(), "editorMode": "code", "expr": expand(short),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            set(&mut target, key, value.clone());
        }
        push(&mut self.0["targets"], target);
        self
    }
}

/// The name of the query at a position.
pub fn letter(index: usize) -> String {
    (b'A'..=b'Z').nth(index).map_or_else(|| format!("Q{index}"), |byte| char::from(byte).to_string())
}

/// Sets a key of an object.
pub fn set(object: &mut Value, key: &str, value: Value) {
    object.as_object_mut().expect("it is an object").insert(key.to_owned(), value);
}

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().expect("it is a list").push(value);
}
