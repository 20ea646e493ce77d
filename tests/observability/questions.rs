//! Asks a real Prometheus everything that the dashboards ask.

use crate::dashboards::{Dashboard, Query, Variable};
use crate::harness::prometheus::Prometheus;
use crate::judgement;
use crate::variables::{Selected, Variables};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that is asked about, and the scrapes in it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// From then until now.
    pub since: SystemTime,
    /// Time between two points.
    pub step: Duration,
    /// Time between two scrapes.
    pub scrape: Duration,
    /// The label `instance` of the product's series.
    pub instance: &'a str,
}

/// Asks everything that a dashboard asks, with *All* and with every value chosen; gives what is wrong.
pub fn problems(prometheus: &Prometheus, dashboard: &Dashboard, shown: Shown<'_>) -> Vec<String> {
    let range = SystemTime::now().duration_since(shown.since).unwrap_or_default();
    let range = Duration::from_secs(range.as_secs().max(1));
    let mut problems = Vec::new();
    let none = Variables { selected: BTreeMap::new(), interval: shown.step, scrape: shown.scrape, range };
    let (mut all, mut chosen) = (none.clone(), none);
    for variable in &dashboard.variables {
        match values(prometheus, variable, &all) {
            Ok(values) => {
                let any =
                    variable.all.clone().map_or_else(|| Selected::Values(values.clone()), Selected::All);
                all.selected.insert(variable.name.clone(), any);
                chosen.selected.insert(variable.name.clone(), Selected::Values(values));
            }
            Err(problem) => return vec![format!("{}: ${}: {problem}", dashboard.uid, variable.name)],
        }
    }
    for query in &dashboard.queries {
        for (how, variables) in [("All", &all), ("every value chosen", &chosen)] {
            let expression = variables.put_into(&query.expression);
            let result = ask(prometheus, &expression, shown);
            let judged = result.and_then(|series| {
                can_draw(query, &series)?;
                judgement::judge(query, &series, shown.instance)
            });
            if let Err(problem) = judged {
                problems.push(format!("{} ({how}): {problem}\n    {expression}", query.place));
                break;
            }
        }
    }
    problems
}

/// The values that a variable offers.
fn values(prometheus: &Prometheus, variable: &Variable, chosen: &Variables) -> Result<Vec<String>, String> {
    let selector = chosen.put_into(&variable.selector);
    let path = format!("label/{}/values", variable.label);
    let data = prometheus.ask(&path, &[("match[]", &selector)])?;
    let values: Vec<String> = serde_json::from_value(data).map_err(|error| error.to_string())?;
    if values.is_empty() { Err(format!("{selector} has no {}", variable.label)) } else { Ok(values) }
}

fn ask(prometheus: &Prometheus, expression: &str, shown: Shown<'_>) -> Result<Vec<Value>, String> {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
    let (start, end) = (seconds(shown.since), seconds(SystemTime::now()));
    let step = shown.step.as_secs_f64().to_string();
    let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
    let data = prometheus.ask("query_range", &parameters)?;
    Ok(data.get("result").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// Whether a panel could draw the result.
fn can_draw(query: &Query, series: &[Value]) -> Result<(), String> {
    if series.is_empty() {
        return Err("no series".into());
    }
    let is_number = |point: &Value| point.get(1).and_then(Value::as_str).is_some_and(|value| value != "NaN");
    let has_numbers = |series: &Value| {
        series.get("values").and_then(Value::as_array).is_some_and(|points| points.iter().any(is_number))
    };
    if !series.iter().any(has_numbers) {
        return Err("nothing but NaN".into());
    }
    for label in labels(&query.legend) {
        let named =
            |series: &Value| series.pointer("/metric").is_some_and(|metric| metric.get(label).is_some());
        if let Some(unnamed) = series.iter().find(|series| !named(series)) {
            return Err(format!("the legend names {label}, which {} lacks", unnamed["metric"]));
        }
    }
    Ok(())
}

/// The labels that a legend names as `{{label}}`.
fn labels(legend: &str) -> Vec<&str> {
    let pieces = legend.split("{{").skip(1);
    pieces.filter_map(|piece| Some(piece.split_once("}}")?.0.trim())).collect()
}

#[test]
fn what_a_panel_cannot_draw_is_a_problem() {
    let query = |legend: &str| Query {
        place: String::new(),
        expression: String::new(),
        legend: legend.to_owned(),
        unit: String::new(),
    };
    let series =
        |value: &str| serde_json::json!({"metric": {"set": "pbx"}, "values": [[1, "NaN"], [2, value]]});
    assert_eq!(can_draw(&query("{{set}} p95"), &[series("1")]), Ok(()));
    assert!(can_draw(&query(""), &[]).is_err_and(|problem| problem == "no series"));
    assert!(can_draw(&query(""), &[series("NaN")]).is_err_and(|problem| problem.contains("NaN")));
    assert!(can_draw(&query("{{set}} {{ method }}"), &[series("1")]).is_err_and(|p| p.contains("method")));
}
