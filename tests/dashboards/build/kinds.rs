//! The kinds of panels, each with the look that all of its kind have here.

use super::panel::{Panel, letter, mappings, set, thresholds};
use serde_json::{Value, json};

/// Lines over time.
pub fn lines(title: &str, description: &str) -> Panel {
    let custom = json!({
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "gradientMode": "none", "showPoints": "auto",
        "pointSize": 4, "spanNulls": false, "stacking": {"mode": "none", "group": "A"},
        "thresholdsStyle": {"mode": "off"},
    });
    let options = json!({
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    });
    Panel::new("timeseries", title, description, options, custom)
        .field("color", json!({"mode": "palette-classic"}))
        .field("min", json!(0))
}

/// Areas on top of each other over time.
pub fn areas(title: &str, description: &str) -> Panel {
    lines(title, description)
        .custom("fillOpacity", json!(35))
        .custom("stacking", json!({"mode": "normal", "group": "A"}))
}

/// Bars on top of each other over time, for what happens now and then. One a minute at most: a rate
/// looks back for four scrapes, and bars closer than that would show each event several times. A bar
/// stands before its time: it is about the minute that ends there.
pub fn bars(title: &str, description: &str) -> Panel {
    areas(title, description)
        .with("interval", json!("1m"))
        .custom("drawStyle", json!("bars"))
        .custom("barAlignment", json!(-1))
        .custom("fillOpacity", json!(80))
        .custom("lineWidth", json!(0))
}

/// Shares of a whole over time.
pub fn shares(title: &str, description: &str) -> Panel {
    areas(title, description)
        .custom("fillOpacity", json!(60))
        .custom("stacking", json!({"mode": "percent", "group": "A"}))
        .unit("percentunit")
}

impl Panel {
    /// Draws the thresholds as dashed lines: the first colour is not drawn.
    pub fn limit(self, steps: &[(f64, &str)]) -> Self {
        self.colors("transparent", steps).custom("thresholdsStyle", json!({"mode": "dashed"}))
    }

    /// A legend that tells the mean, the greatest and the last value.
    pub fn told(self) -> Self {
        let calcs = json!(["mean", "max", "lastNotNull"]);
        self.option(
            "legend",
            json!({"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": calcs}),
        )
    }
}

fn reduced() -> Value {
    json!({"calcs": ["lastNotNull"], "fields": "", "values": false})
}

/// A number.
pub fn number(title: &str, description: &str) -> Panel {
    let options = json!({
        "reduceOptions": reduced(), "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
        "orientation": "auto", "textMode": "auto", "wideLayout": true,
    });
    Panel::new("stat", title, description, options, Value::Null)
}

/// A number that fills its panel with its colour.
pub fn light(title: &str, description: &str) -> Panel {
    number(title, description).option("colorMode", json!("background"))
}

/// A number with its course.
pub fn trend(title: &str, description: &str) -> Panel {
    number(title, description).option("graphMode", json!("area"))
}

/// A dial.
pub fn dial(title: &str, description: &str) -> Panel {
    let options = json!({
        "reduceOptions": reduced(), "orientation": "auto", "showThresholdLabels": false,
        "showThresholdMarkers": true,
    });
    Panel::new("gauge", title, description, options, Value::Null)
}

/// States over time, one line for each series.
pub fn timeline(title: &str, description: &str) -> Panel {
    let options = json!({
        "showValue": "auto", "rowHeight": 0.85, "mergeValues": true, "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    });
    let panel =
        Panel::new("state-timeline", title, description, options, json!({"lineWidth": 0, "fillOpacity": 85}));
    panel.unit("none").colors("text", &[])
}

/// How often which duration, over time.
pub fn heatmap(title: &str, description: &str) -> Panel {
    let options = json!({
        "calculate": false, "cellGap": 1, "showValue": "never",
        "color": {"mode": "scheme", "scheme": "Turbo", "fill": "dark-orange", "exponent": 0.5, "steps": 64, "reverse": false},
        "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"}, "legend": {"show": true},
        "tooltip": {"mode": "single", "yHistogram": true, "showColorScale": false},
        "yAxis": {"axisPlacement": "left", "reverse": false, "unit": "s"},
    });
    let custom = json!({"scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": false, "tooltip": false, "viz": false}});
    Panel::new("heatmap", title, description, options, custom).unit("s")
}

/// A table of the moment: columns of labels, then one column for each query.
pub struct Table {
    panel: Panel,
    order: Vec<String>,
    hidden: Vec<String>,
    renamed: Vec<(String, String)>,
}

/// Begins a table whose first columns are these labels.
pub fn table(title: &str, description: &str, labels: &[&str]) -> Table {
    let options = json!({"showHeader": true, "cellHeight": "sm"});
    let custom = json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false});
    let panel = Panel::new("table", title, description, options, custom).unit("none").colors("text", &[]);
    let order = labels.iter().map(|label| (*label).to_owned()).collect();
    Table { panel, order, hidden: vec!["Time".to_owned()], renamed: Vec::new() }
}

impl Table {
    /// A column with the values of a query.
    pub fn column(mut self, name: &str, unit: &str, short: &str) -> Self {
        let value = self.value();
        self.order.push(value.clone());
        self.renamed.push((value, name.to_owned()));
        self.panel = self.panel.cells(short).named(name, &[("unit", json!(unit))]);
        self
    }

    /// The query whose labels are the table; its values tell nothing.
    pub fn rows(mut self, short: &str) -> Self {
        let value = self.value();
        self.hidden.push(value);
        self.panel = self.panel.cells(short);
        self
    }

    /// Leaves a label of the queries out.
    pub fn without(mut self, labels: &[&str]) -> Self {
        self.hidden.extend(labels.iter().map(|label| (*label).to_owned()));
        self
    }

    /// Shows a column under another name.
    pub fn named(mut self, label: &str, name: &str) -> Self {
        self.renamed.push((label.to_owned(), name.to_owned()));
        self
    }

    /// Colours a column by its words.
    pub fn colored(mut self, name: &str, rows: &[super::panel::Mapping<'_>]) -> Self {
        let cells = json!({"type": "color-background", "mode": "basic"});
        self.panel = self.panel.named(name, &[("custom.cellOptions", cells), ("mappings", mappings(rows))]);
        self
    }

    /// Colours the numbers of a column from a value on.
    pub fn warned(mut self, name: &str, steps: &[(f64, &str)]) -> Self {
        let cells = json!({"type": "color-text"});
        let thresholds = thresholds("text", steps);
        self.panel = self.panel.named(name, &[("custom.cellOptions", cells), ("thresholds", thresholds)]);
        self
    }

    /// Properties of a column.
    pub fn with(mut self, name: &str, properties: &[(&str, Value)]) -> Self {
        self.panel = self.panel.named(name, properties);
        self
    }

    /// Where a click on a cell of a column leads.
    pub fn click(self, name: &str, title: &str, url: &str) -> Self {
        self.with(name, &[("links", json!([{"title": title, "url": url, "targetBlank": false}]))])
    }

    /// Sorts by a column.
    pub fn sorted(mut self, name: &str, descending: bool) -> Self {
        self.panel = self.panel.option("sortBy", json!([{"displayName": name, "desc": descending}]));
        self
    }

    /// What is shown where there are no rows.
    pub fn nothing(mut self, text: &str) -> Self {
        self.panel = self.panel.nothing(text);
        self
    }

    /// The name of the next query's column; a table of one query has just one value.
    fn value(&self) -> String {
        let count = self.panel.0["targets"].as_array().map_or(0, Vec::len);
        format!("Value #{}", letter(count))
    }

    /// The panel.
    pub fn done(self) -> Panel {
        let is_single = self.panel.0["targets"].as_array().map_or(0, Vec::len) == 1;
        // Grafana numbers the values only where there are several.
        let name =
            |field: &str| if is_single { field.replace("Value #A", "Value") } else { field.to_owned() };
        let mut organize = json!({"excludeByName": {}, "indexByName": {}, "renameByName": {}});
        for field in &self.hidden {
            set(&mut organize["excludeByName"], &name(field), json!(true));
        }
        for (index, field) in self.order.iter().enumerate() {
            set(&mut organize["indexByName"], &name(field), json!(index));
        }
        for (field, new) in &self.renamed {
            set(&mut organize["renameByName"], &name(field), json!(new));
        }
        let steps = json!([{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]);
        self.panel.with("transformations", steps)
    }
}
