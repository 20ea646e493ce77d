//! Panels: their places, what they must say, their queries.

use super::{Lint, list, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Histograms whose exemplars lead to traces, where they are drawn as lines.
const EXEMPLARS: [&str; 2] =
    ["sipwarden_session_request_delay_seconds_bucket", "sipwarden_probe_rtt_seconds_bucket"];

impl Lint<'_> {
    pub(super) fn layout(&mut self, dashboard: &Value) {
        let panels = list(dashboard, "/panels");
        let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel.get("id")?.as_u64()).collect();
        self.check(ids.len() == panels.len(), || "panel ids are missing or not unique".to_owned());
        let mut titles = BTreeSet::new();
        for panel in panels.iter().filter(|panel| text(panel, "/type") != "row") {
            let title = text(panel, "/title");
            self.check(titles.insert(title), || format!("two panels have one title: {title}"));
        }
        let places: Vec<_> = panels.iter().map(|panel| (text(panel, "/title"), Place::of(panel))).collect();
        for (index, (title, place)) in places.iter().enumerate() {
            let fits = place.width > 0 && place.height > 0 && place.x + place.width <= 24;
            self.check(fits, || format!("{title} does not fit the grid of 24 columns"));
            for (other, their) in places.iter().skip(index + 1) {
                self.check(!place.overlaps(their), || format!("{title} and {other} overlap"));
            }
        }
    }

    pub(super) fn panel(&mut self, panel: &Value) {
        let title = text(panel, "/title");
        self.check(!title.is_empty(), || format!("a panel without title: {:?}", panel.get("id")));
        if text(panel, "/type") == "row" {
            return;
        }
        self.datasource(title, panel);
        self.check(!text(panel, "/description").is_empty(), || format!("{title}: no description"));
        self.unit(title, panel);
        let targets = list(panel, "/targets");
        self.check(!targets.is_empty(), || format!("{title}: no targets"));
        let references: BTreeSet<_> = targets.iter().map(|target| text(target, "/refId")).collect();
        self.check(references.len() == targets.len(), || format!("{title}: refIds are not unique"));
        for target in targets {
            self.datasource(title, target);
            self.expression(title, text(target, "/expr"), Some(panel));
            self.legend(title, target);
            self.exemplars(title, panel, target);
        }
        self.emptiness(title, panel);
    }

    fn unit(&mut self, title: &str, panel: &Value) {
        let defaults = panel.pointer("/fieldConfig/defaults").unwrap_or(&Value::Null);
        let is_mapped = text(panel, "/type") == "stat" && !list(defaults, "/mappings").is_empty();
        let overrides =
            list(panel, "/fieldConfig/overrides").iter().flat_map(|rule| list(rule, "/properties"));
        let units = overrides.filter(|p| text(p, "/id") == "unit").map(|p| text(p, "/value"));
        let mut wrong: Vec<_> = units.filter(|unit| !self.world.units.contains(*unit)).collect();
        let unit = text(defaults, "/unit");
        if !self.world.units.contains(unit) && !is_mapped {
            wrong.push(unit);
        }
        self.check(wrong.is_empty(), || format!("{title}: no such unit: {wrong:?}"));
    }

    fn legend(&mut self, title: &str, target: &Value) {
        let expr = text(target, "/expr");
        for part in text(target, "/legendFormat").split("{{").skip(1) {
            let label = part.split("}}").next().unwrap_or("").trim();
            // Without an aggregation every label of the series is there.
            let is_there = !expr.contains(" by (") || grouped(expr, label);
            self.check(is_there, || format!("{title}: the legend names {label}, the result has it not"));
        }
    }

    fn exemplars(&mut self, title: &str, panel: &Value, target: &Value) {
        let expr = text(target, "/expr");
        if text(panel, "/type") == "timeseries" && EXEMPLARS.iter().any(|metric| expr.contains(metric)) {
            self.equal(title, target, "/exemplar", &json!(true));
        }
    }

    /// A query that leaves zeros out has no series on a good day: the panel says so in words.
    fn emptiness(&mut self, title: &str, panel: &Value) {
        let filters = |target: &Value| {
            let expr = text(target, "/expr");
            ["> 0", "> 0.5"].iter().any(|end| expr.ends_with(end)) || expr.starts_with("ALERTS")
        };
        if list(panel, "/targets").iter().all(filters) {
            let words = text(panel, "/fieldConfig/defaults/noValue");
            self.check(!words.is_empty(), || format!("{title}: says nothing where there is nothing"));
        }
    }
}

/// Whether one of the aggregations keeps a label.
fn grouped(expr: &str, label: &str) -> bool {
    let clauses = expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    clauses.flat_map(|clause| clause.split(',')).any(|kept| kept.trim() == label)
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
