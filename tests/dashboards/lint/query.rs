//! Queries: what they select exists, is narrowed by the variables, and is read the way its type asks for.

use super::{Lint, World, text};
use crate::promql::{self, Selector};
use serde_json::Value;

const RATES: [&str; 3] = ["rate", "irate", "increase"];
/// Labels that Prometheus adds to each series, and that of buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];
/// What Prometheus itself exposes.
const FOREIGN: [&str; 2] = ["ALERTS", "up"];
/// What keeps the series of other programs out, where they have the same name.
const OURS: &str =
    r#"and on (job, instance) last_over_time(sipwarden_build_info{job=~"$job", instance=~"$instance"}["#;

impl Lint<'_> {
    /// A query of a panel, or of an annotation.
    pub(super) fn expression(&mut self, place: &str, expr: &str, panel: Option<&Value>) {
        self.selectors(place, expr);
        for selector in promql::selectors(expr).unwrap_or_default() {
            for variable in ["job", "instance"] {
                if !has_label(self.world, &selector, variable) {
                    continue;
                }
                // Alerts about several instances, or about none, have no label `instance`.
                let none = if selector.metric == "ALERTS" && variable == "instance" { "|" } else { "" };
                let wanted = format!("${variable}{none}");
                let is_narrowed = selector.on(variable).is_some_and(|m| m.op == "=~" && m.value == wanted);
                self.check(is_narrowed, || {
                    format!("{place}: {} is not narrowed by {wanted}", selector.metric)
                });
            }
            let is_ours = !is_common(self.world, &selector)
                || selector.rest.contains(OURS)
                || selector
                    .matchers
                    .iter()
                    .any(|m| m.label == "job" && m.op == "=" && m.value == "sipwarden");
            self.check(is_ours, || format!("{place}: {} of whatever is scraped", selector.metric));
            self.window(place, &selector, panel);
        }
    }

    /// What is selected exists, and counters are only read through a rate.
    pub(super) fn selectors(&mut self, place: &str, expr: &str) {
        let selectors = match promql::selectors(expr) {
            Ok(selectors) => selectors,
            Err(error) => return self.found.push(format!("{place}: {error}")),
        };
        self.check(!selectors.is_empty(), || format!("{place}: no metric in {expr:?}"));
        for selector in &selectors {
            self.exists(place, selector);
            self.calls(place, selector);
            let metric = &selector.metric;
            let is_narrowed = selector.on("state").is_some() || selector.rest.starts_with("== 1");
            self.check(is_narrowed || !metric.ends_with("_state"), || {
                format!("{place}: {metric} of any state")
            });
            let is_rated = RATES.contains(&selector.functions.last().map_or("", String::as_str));
            self.check(is_rated == is_counter(self.world, selector), || match is_rated {
                true => format!("{place}: a rate of {metric}, which is no counter"),
                false => format!("{place}: {metric} outside rate or increase"),
            });
        }
    }

    /// INVITEs are calls only without those that come again: which codes count must be said.
    fn calls(&mut self, place: &str, selector: &Selector) {
        let is_of_calls = selector.metric == "sipwarden_transactions_total"
            && selector.on("method").is_some_and(|m| m.value == "INVITE");
        self.check(!is_of_calls || selector.on("code").is_some(), || {
            format!("{place}: INVITEs with any answer, challenges among them, are no calls")
        });
        // They are defined by the rules, and nowhere else.
        let answered = selector.on("code").is_some_and(|m| m.op.starts_with('=') && m.value.starts_with('2'));
        self.check(!(is_of_calls && answered), || {
            format!(
                "{place}: a ratio of RFC 6076 of its own; set:sipwarden_ser:ratio_rate5m and others are it"
            )
        });
    }

    fn exists(&mut self, place: &str, selector: &Selector) {
        let metric = &selector.metric;
        if FOREIGN.contains(&metric.as_str()) || self.world.recorded.contains_key(metric) {
            return;
        }
        let Some(family) = family(self.world, selector) else {
            return self.found.push(format!("{place}: {metric} is not in the table of metrics"));
        };
        for matcher in &selector.matchers {
            let label = matcher.label.as_str();
            if ADDED.contains(&label) {
                continue;
            }
            let Some(values) = family.labels.get(label) else {
                self.found.push(format!("{place}: {metric} has no label {label}"));
                continue;
            };
            if let (Some(values), "=") = (values, matcher.op.as_str()) {
                let is_known = values.contains(&matcher.value);
                self.check(is_known, || format!("{place}: {label} of {metric} is never {}", matcher.value));
            }
        }
    }

    /// A rate spans what fits the resolution of the panel; a total spans what the panel shows, which is a
    /// fixed time only where the panel has one of its own and says so. Other windows come from rules.
    fn window(&mut self, place: &str, selector: &Selector, panel: Option<&Value>) {
        if !selector.functions.last().is_some_and(|name| RATES.contains(&name.as_str())) {
            return;
        }
        let range = selector.range.as_deref().unwrap_or("");
        let is_total = panel.is_some_and(|panel| {
            let targets = super::list(panel, "/targets").iter();
            let is_instant = targets.clone().all(|target| target.get("instant") == Some(&Value::Bool(true)));
            is_instant && targets.count() > 0
        });
        let fits = range == "$__rate_interval" || (range == "$__range" && is_total);
        self.check(fits, || format!("{place}: {} over a fixed window [{range}]", selector.metric));
    }
}

fn family<'a>(world: &'a World, selector: &Selector) -> Option<&'a crate::families::Family> {
    // Only histograms have the suffixes; a counter or gauge may end like one.
    let whole = world.families.get(&selector.metric);
    whole.or_else(|| world.families.get(selector.family()).filter(|family| family.kind == "histogram"))
}

fn is_counter(world: &World, selector: &Selector) -> bool {
    family(world, selector).is_some_and(|family| family.kind != "gauge")
}

/// Whether other programs expose series of this name as well. Alerts are chosen by their names.
fn is_common(world: &World, selector: &Selector) -> bool {
    let metric = &selector.metric;
    match metric.as_str() {
        "ALERTS" => selector.on("alertname").is_none_or(|m| !m.value.starts_with("Sipwarden")),
        _ => !metric.starts_with("sipwarden_") && !world.recorded.contains_key(metric),
    }
}

/// Whether the series has a label: those of a rule have what the rule's expression names.
fn has_label(world: &World, selector: &Selector, label: &str) -> bool {
    world.recorded.get(&selector.metric).is_none_or(|rule| rule.contains(label))
}

/// The families that a dashboard draws, annotations and variables included.
pub fn families(dashboard: &Value, world: &World) -> Vec<String> {
    let panels = super::list(dashboard, "/panels").iter().flat_map(|panel| super::list(panel, "/targets"));
    let queries = panels.chain(super::list(dashboard, "/annotations/list"));
    queries.flat_map(|query| named(text(query, "/expr"), world)).collect()
}

/// The families that an expression reads, those behind recorded series included.
pub fn named(expr: &str, world: &World) -> Vec<String> {
    let selectors = promql::selectors(expr).unwrap_or_default();
    let names = selectors.into_iter().flat_map(|selector| match world.recorded.get(&selector.metric) {
        Some(rule) => named(rule, world),
        None if world.families.contains_key(&selector.metric) => vec![selector.metric],
        None => vec![selector.family().to_owned()],
    });
    names.collect()
}
