//! What surrounds the panels: the frame itself, variables, annotations, links.

use super::{Lint, list, text};
use serde_json::{Value, json};

/// The variables, in this order: each is narrowed by those before it.
const VARIABLES: [&str; 4] = ["job", "instance", "set", "destination"];
/// What the annotations are drawn from.
const ANNOTATED: [&str; 4] = [
    "sipwarden_destination_up",
    "sipwarden_config_last_reload_success_timestamp_seconds",
    "process_start_time_seconds",
    "ALERTS",
];

impl Lint<'_> {
    pub(super) fn frame(&mut self, dashboard: &Value) {
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

    pub(super) fn variables(&mut self, dashboard: &Value) {
        let variables = list(dashboard, "/templating/list");
        for (name, plugin, label) in
            [("datasource", "prometheus", "Data Source"), ("traces", "tempo", "Trace Source")]
        {
            let of_kind = |v: &&Value| text(v, "/type") == "datasource" && text(v, "/query") == plugin;
            let sources: Vec<_> = variables.iter().filter(of_kind).collect();
            self.check(sources.len() == 1, || {
                format!("{} variables for data sources of type {plugin}, not one", sources.len())
            });
            for source in sources {
                self.equal("data source variable", source, "/name", &json!(name));
                self.equal("data source variable", source, "/label", &json!(label));
            }
        }
        let queries: Vec<_> = variables.iter().filter(|v| text(v, "/type") == "query").collect();
        let names: Vec<_> = queries.iter().map(|v| text(v, "/name")).collect();
        self.check(names == VARIABLES, || format!("variables are {names:?}, not {VARIABLES:?}"));
        for (index, variable) in queries.iter().enumerate() {
            self.variable(variable, VARIABLES.get(..index).unwrap_or(&VARIABLES));
        }
    }

    fn variable(&mut self, variable: &Value, before: &[&str]) {
        let name = text(variable, "/name");
        let place = format!("variable {name}");
        self.datasource(&place, variable);
        let expected = [
            ("multi", json!(true)),
            ("includeAll", json!(true)),
            ("allValue", json!(".+")),
            // On change of the time range: what a reload brought is then in the list.
            ("refresh", json!(2)),
        ];
        for (key, value) in expected {
            self.equal(&place, variable, &format!("/{key}"), &value);
        }
        let query = text(variable, "/query/query");
        let Some((selector, label)) =
            query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
        else {
            return self.found.push(format!("{place} is no label_values(…, {name})"));
        };
        self.check(label == name, || format!("{place} asks for {label}"));
        self.selectors(&place, selector);
        for outer in before {
            let is_narrowed = selector.contains(&format!("{outer}=~\"${outer}\""));
            self.check(is_narrowed, || format!("{place} is not narrowed by ${outer}"));
        }
    }

    pub(super) fn annotations(&mut self, dashboard: &Value) {
        let annotations = list(dashboard, "/annotations/list");
        for metric in ANNOTATED {
            let is_drawn = annotations.iter().any(|annotation| text(annotation, "/expr").contains(metric));
            self.check(is_drawn, || format!("no annotation from {metric}"));
        }
        for annotation in annotations {
            let place = format!("annotation {}", text(annotation, "/name"));
            self.datasource(&place, annotation);
            self.expression(&place, text(annotation, "/expr"), None);
        }
    }

    /// Every link within Grafana leads to a dashboard of ours or to Explore, and hands on what was chosen.
    pub(super) fn links(&mut self, dashboard: &Value) {
        let mut urls = Vec::new();
        collect(dashboard, "url", &mut urls);
        for url in urls.iter().filter(|url| url.starts_with('/')) {
            if let Some(rest) = url.strip_prefix("/d/") {
                let (uid, query) = rest.split_once('?').unwrap_or((rest, ""));
                self.check(self.world.dashboards.contains(uid), || format!("{url}: there is no {uid}"));
                for wanted in [
                    "${datasource:queryparam}",
                    "${job:queryparam}",
                    "${instance:queryparam}",
                    "${__url_time_range}",
                ] {
                    self.check(query.contains(wanted), || format!("{url} does not hand on {wanted}"));
                }
            } else {
                let is_explore = url.starts_with("/explore?") && url.contains("${traces}");
                self.check(is_explore, || format!("{url} leads nowhere"));
            }
        }
    }
}

/// The texts under a key, anywhere in a value.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                match inner {
                    Value::String(text) if name == key => found.push(text.clone()),
                    _ => collect(inner, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        _ => {}
    }
}
