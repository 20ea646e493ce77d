//! A dashboard around its panels: variables, annotations, links, and the places on the grid.

use super::panel::{Panel, set, source};
use super::query::{expand, ours};
use serde_json::{Value, json};

/// The columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// Where the runbooks are.
const RUNBOOKS: &str = "https://github.com/sipwarden/sipwarden/tree/main/docs/runbooks";
/// Explore, with the traces of the chosen destinations, in the trace source of the dashboard. The text is
/// `{"t":{"datasource":"${traces}","queries":[{"refId":"A","datasource":{"type":"tempo","uid":"${traces}"},
/// "queryType":"traceql","query":"{ span.sipwarden.destination =~ \"${destination:pipe}\" }"}],"range":{…}}}`.
pub const TRACES: &str = "/explore?schemaVersion=1&panes=%7B%22t%22:%7B%22datasource%22:%22${traces}%22,\
    %22queries%22:%5B%7B%22refId%22:%22A%22,%22datasource%22:%7B%22type%22:%22tempo%22,%22uid%22:%22${traces}%22%7D,\
    %22queryType%22:%22traceql%22,%22query%22:%22%7B%20span.sipwarden.destination%20%3D~%20%5C%22${destination:pipe}%5C%22%20%7D%22%7D%5D,\
    %22range%22:%7B%22from%22:%22${__from}%22,%22to%22:%22${__to}%22%7D%7D%7D";

/// The drill-down of the destination that a series belongs to.
pub const DRILL_SERIES: &str = "/d/sipwarden-destination?${datasource:queryparam}&${traces:queryparam}&${job:queryparam}\
    &${instance:queryparam}&var-set=${__field.labels.set}&var-destination=${__field.labels.destination}&${__url_time_range}";
/// The drill-down of the destination that a row of a table is about.
pub const DRILL_ROW: &str = "/d/sipwarden-destination?${datasource:queryparam}&${traces:queryparam}&${job:queryparam}\
    &${instance:queryparam}&var-set=${__data.fields.set}&var-destination=${__data.fields.destination}&${__url_time_range}";

/// Whether the chosen sets and destinations narrow the panels, or nothing but the annotations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Destinations,
    /// The dashboard is about processes: the variables are passed on, but not shown.
    Processes,
}

/// A dashboard that is being laid out.
pub struct Page {
    uid: &'static str,
    title: &'static str,
    description: &'static str,
    scope: Scope,
    from: &'static str,
    y: u64,
    panels: Vec<Value>,
}

impl Page {
    /// An empty dashboard.
    pub fn new(uid: &'static str, title: &'static str, description: &'static str, scope: Scope) -> Self {
        Self { uid, title, description, scope, from: "now-3h", y: 0, panels: Vec::new() }
    }

    /// A heading.
    pub fn row(mut self, title: &str) -> Self {
        let panel = Panel(json!({"type": "row", "title": title, "collapsed": false, "panels": []}));
        self.place(panel, 0, COLUMNS, 1);
        self.y += 1;
        self
    }

    /// Panels side by side: their common height, and the width of each.
    pub fn line<const N: usize>(mut self, height: u64, panels: [(u64, Panel); N]) -> Self {
        let mut x = 0;
        for (width, panel) in panels {
            self.place(panel, x, width, height);
            x += width;
        }
        assert_eq!(x, COLUMNS, "{}: the line at {} does not fill the grid", self.uid, self.y);
        self.y += height;
        self
    }

    fn place(&mut self, Panel(mut panel): Panel, x: u64, width: u64, height: u64) {
        set(&mut panel, "id", json!(self.panels.len() + 1));
        set(&mut panel, "gridPos", json!({"x": x, "y": self.y, "w": width, "h": height}));
        self.panels.push(panel);
    }

    /// The dashboard, as a file name and its JSON.
    pub fn done(self) -> (String, Value) {
        let dashboard = json!({
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["sipwarden"],
            "schemaVersion": 39, "version": 1, "id": null, "editable": false, "graphTooltip": 1, "timezone": "",
            "refresh": "30s", "time": {"from": self.from, "to": "now"}, "timepicker": {}, "weekStart": "",
            "fiscalYearStartMonth": 0, "links": links(), "annotations": {"list": annotations()},
            "templating": {"list": variables(self.scope)}, "panels": self.panels,
        });
        (format!("{}.json", self.uid), dashboard)
    }
}

fn links() -> Value {
    json!([
        {"type": "dashboards", "title": "sipwarden", "tags": ["sipwarden"], "asDropdown": false, "includeVars": true,
         "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""},
        {"type": "link", "title": "Runbooks", "url": RUNBOOKS, "tags": [], "asDropdown": false, "includeVars": false,
         "keepTime": false, "targetBlank": true, "icon": "doc", "tooltip": "What to do when an alert fires"},
    ])
}

fn annotation(name: &str, color: &str, title: &str, text: &str, short: &str) -> Value {
    json!({
        "name": name, "datasource": source(), "enable": true, "hide": false, "iconColor": color, "expr": expand(short),
        "step": "30s", "titleFormat": title, "textFormat": text, "tagKeys": "set,destination,instance",
        "useValueForTime": false,
    })
}

fn annotations() -> Value {
    let down = "sipwarden_destination_up{D} == 0 and sipwarden_destination_up{D} offset 1m == 1";
    let reload = "changes(sipwarden_config_last_reload_success_timestamp_seconds{P}[1m]) > 0";
    let restart = ours("changes(process_start_time_seconds{P}[1m]) > 0");
    let alerts = r#"ALERTS{A, alertname=~"Sipwarden.*", alertstate="firing"}"#;
    json!([
        annotation("Destination down", "red", "Down", "{{set}} / {{destination}}", down),
        annotation("Reload", "blue", "Configuration applied", "{{instance}}", reload),
        annotation("Restart", "purple", "Restart", "{{instance}}", &restart),
        annotation("Alerts", "orange", "{{alertname}}", "{{set}} {{destination}}", alerts),
    ])
}

fn variables(scope: Scope) -> Value {
    let hide = if scope == Scope::Processes { 2 } else { 0 };
    json!([
        data_source("datasource", "Data Source", "prometheus"),
        data_source("traces", "Trace Source", "tempo"),
        values("job", "Job", "sipwarden_build_info", 0),
        values("instance", "Instance", r#"sipwarden_build_info{job=~"$job"}"#, 0),
        values("set", "Set", "sipwarden_destination_up{P}", hide),
        values("destination", "Destination", "sipwarden_destination_up{S}", hide),
    ])
}

fn data_source(name: &str, label: &str, plugin: &str) -> Value {
    json!({
        "type": "datasource", "name": name, "label": label, "query": plugin, "current": {"selected": false, "text": "", "value": ""}, "hide": 0,
        "includeAll": false, "multi": false, "options": [], "refresh": 1, "regex": "", "skipUrlSync": false,
    })
}

fn values(name: &str, label: &str, short: &str, hide: u8) -> Value {
    let query = format!("label_values({}, {name})", expand(short));
    json!({
        "type": "query", "name": name, "label": label, "datasource": source(), "definition": query, "hide": hide,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1},
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".+", "options": [], "regex": "",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]}, "skipUrlSync": false,
    })
}
