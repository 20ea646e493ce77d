//! Each rule of the lint can fail: a dashboard that is broken in one place is blamed for that.

use crate::lint::{Lint, coverage, text};
use crate::{pages, world};
use serde_json::{Value, json};

fn overview() -> Value {
    pages::overview::page().1
}

/// What the lint says about the dashboard after a change in one place.
fn found(pointer: &str, value: Value) -> Vec<String> {
    let mut dashboard = overview();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let place = dashboard.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} is not in the dashboard"));
    match place {
        Value::Array(items) => items[key.parse::<usize>().expect("it is a position")] = value,
        object => object[key] = value,
    }
    Lint::run(&dashboard, &world())
}

#[track_caller]
fn blamed(pointer: &str, value: Value, expected: &str) {
    let found = found(pointer, value);
    assert!(found.iter().any(|complaint| complaint.contains(expected)), "{expected:?} is not in {found:#?}");
}

/// Blames a query in place of the first panel's.
#[track_caller]
fn blamed_expr(expr: &str, expected: &str) {
    let expr = crate::build::query::expand(expr);
    blamed("/panels/1/targets/0/expr", json!(expr), expected);
}

/// The position of the panel with a title.
fn at(title: &str) -> String {
    let dashboard = overview();
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let mut found = panels.enumerate().filter(|(_, panel)| text(panel, "/title") == title);
    let (index, _) = found.next().unwrap_or_else(|| panic!("the overview has no panel {title}"));
    format!("/panels/{index}")
}

#[test]
fn the_frame_is_blamed() {
    blamed("/editable", json!(true), "/editable is true");
    blamed("/schemaVersion", json!(36), "/schemaVersion");
    blamed("/tags", json!([]), "/tags");
    blamed("/refresh", json!("5s"), "/refresh");
    blamed("/timezone", json!("utc"), "/timezone");
    blamed("/uid", json!("overview"), "no prefix");
    blamed("/title", json!(""), "has no /title");
    blamed("/__inputs", json!([]), "provisioning cannot ask");
    blamed("/links/0/includeVars", json!(false), "/includeVars is false");
    blamed("/links/0/keepTime", json!(false), "/keepTime is false");
}

#[test]
fn variables_are_blamed() {
    blamed(
        "/templating/list/1/query",
        json!("prometheus"),
        "2 variables for data sources of type prometheus",
    );
    blamed("/templating/list/1/name", json!("tempo"), "/name is \"tempo\"");
    blamed("/templating/list/0/label", json!("Prometheus"), "/label");
    blamed("/templating/list/2/allValue", json!(".*"), "variable job: /allValue");
    blamed("/templating/list/2/multi", json!(false), "variable job: /multi");
    blamed("/templating/list/3/refresh", json!(1), "variable instance: /refresh");
    blamed("/templating/list/4/name", json!("sets"), "variables are");
    let query = "/templating/list/5/query/query";
    blamed(query, json!("label_values(sipwarden_destination_up, destination)"), "not narrowed by $set");
    blamed(query, json!("label_values(sipwarden_destination_up, set)"), "variable destination asks for set");
    blamed(query, json!("label_values(sipwarden_destination, destination)"), "not in the table of metrics");
    blamed(query, json!("metrics(sipwarden_.*)"), "is no label_values");
}

#[test]
fn annotations_and_links_are_blamed() {
    blamed("/annotations/list/0/datasource/uid", json!("-- Grafana --"), "/datasource");
    blamed("/annotations/list", json!([]), "no annotation from ALERTS");
    blamed(
        "/annotations/list/1/expr",
        json!("sipwarden_destination_up"),
        "no annotation from sipwarden_config",
    );
    let click = format!("{}/fieldConfig/defaults/links/0/url", at("State of every destination"));
    blamed(&click, json!("/d/sipwarden-gone?${datasource:queryparam}"), "there is no sipwarden-gone");
    blamed(&click, json!("/d/sipwarden-overview"), "does not hand on ${datasource:queryparam}");
    blamed(&click, json!("/explore?left=x"), "leads nowhere");
}

#[test]
fn panels_are_blamed() {
    blamed("/panels/1/datasource", json!(null), "/datasource");
    blamed("/panels/1/targets/0/datasource/uid", json!("P1809F7CD0C75ACF3"), "/datasource");
    blamed("/panels/1/title", json!(""), "without title");
    blamed("/panels/1/title", json!("Calls"), "two panels have one title");
    blamed("/panels/1/description", json!(""), "no description");
    blamed("/panels/1/fieldConfig/defaults/unit", json!("percent_unit"), "no such unit: [\"percent_unit\"]");
    let column = format!("{}/fieldConfig/overrides/0/properties/0/value", at("Destinations now"));
    blamed(&column, json!("seconds"), "no such unit: [\"seconds\"]");
    blamed("/panels/1/id", json!(3), "not unique");
    blamed("/panels/2/gridPos/x", json!(2), "overlap");
    blamed("/panels/6/gridPos/w", json!(5), "does not fit");
    blamed("/panels/1/targets", json!([]), "no targets");
    blamed("/panels/2/targets/1/refId", json!("A"), "refIds");
    blamed(&format!("{}/fieldConfig/defaults/noValue", at("Failovers by cause")), json!(""), "says nothing");
    blamed_expr("sum by (set) (sipwarden_set_all_down{S}) > 0", "says nothing where there is nothing");
}

#[test]
fn queries_that_mislead_are_blamed() {
    blamed_expr(r#"sum(sipwarden_set_all_down{job=~"$job"})"#, "not narrowed by $instance");
    blamed_expr("sum(sipwarden_set_all_down)", "not narrowed by $job");
    blamed_expr("sum(sipwarden_probes_total{P})", "outside rate or increase");
    blamed_expr("sum(sipwarden_probe_rtt_seconds_count{P})", "outside rate or increase");
    blamed_expr("sum(rate(sipwarden_probes_total{P}[5m]))", "over a fixed window [5m]");
    blamed_expr(
        r#"sum(rate(sipwarden_transactions_total{S, method="INVITE"}[R]))"#,
        "challenges among them, are no calls",
    );
    blamed_expr(
        r#"sum(rate(sipwarden_transactions_total{S, method="INVITE", code=~"2.."}[R]))"#,
        "a ratio of RFC 6076 of its own",
    );
    blamed_expr(r#"ALERTS{P, alertname=~"Sipwarden.*"}"#, "ALERTS is not narrowed by $instance|");
    blamed_expr("sum(sipwarden_set_all_down{A})", "not narrowed by $instance");
    blamed_expr("ALERTS{A}", "ALERTS of whatever is scraped");
    blamed_expr("up{P}", "up of whatever is scraped");
    blamed_expr("rate(process_cpu_seconds_total{P}[R])", "process_cpu_seconds_total of whatever is scraped");
    blamed_expr(r#"up{P, job="node"}"#, "up of whatever is scraped");
    blamed_expr("rate(sipwarden_set_all_down{P}[R])", "which is no counter");
    blamed_expr("sum(sipwarden_destination_state{P})", "of any state");
    blamed_expr("sum(", "not closed");
    blamed_expr("sum(sipwarden_sets_down{P})", "sipwarden_sets_down is not in the table of metrics");
    blamed_expr("sum(sipwarden_set_all_down_count{P})", "is not in the table of metrics");
    blamed_expr(r#"sum(sipwarden_set_all_down{P, destination="a"})"#, "has no label destination");
    blamed_expr(
        r#"sum(rate(sipwarden_probes_total{P, result="lost"}[R]))"#,
        "result of sipwarden_probes_total is never lost",
    );
    let legend = format!("{}/targets/0/legendFormat", at("Requests by method"));
    blamed(&legend, json!("{{listener}}"), "the legend names listener");
}

#[test]
fn a_total_over_what_is_shown_is_for_numbers_of_the_moment_only() {
    let target = format!("{}/targets/0", at("Refused requests, 1 h"));
    assert_eq!(found(&format!("{target}/legendFormat"), json!("another")), Vec::<String>::new());
    blamed(&format!("{target}/instant"), json!(false), "over a fixed window [$__range]");
}

#[test]
fn exemplars_that_are_not_drawn_are_blamed() {
    let query = "histogram_quantile(0.5, sum by (le) (rate(sipwarden_probe_rtt_seconds_bucket{P}[R])))";
    let expr = crate::build::query::expand(query);
    blamed(&format!("{}/targets/0/expr", at("Requests by method")), json!(expr), "/exemplar is null");
}

#[test]
fn what_grafana_does_not_take_is_blamed() {
    blamed("/refresh", json!(5), "dashboard/refresh is 5, Grafana wants string");
    blamed("/colour", json!("dark"), "dashboard: Grafana knows no key colour");
    blamed("/templating/list/2/type", json!("querry"), "Grafana knows [");
    blamed("/panels/1/options/colorMode", json!("backdrop"), "options/colorMode is \"backdrop\"");
    blamed("/panels/1/type", json!("number"), "Grafana has no options/number");
    blamed("/panels/1/fieldConfig/defaults/thresholds/steps/0", json!({"color": "red"}), "has no value");
    blamed(
        "/panels/1/fieldConfig/defaults/mappings",
        json!([{"type": "value"}]),
        "fits nothing that Grafana takes",
    );
    blamed("/panels/1/targets/0/query", json!("up"), "the plug-in reads no query of a query");
    blamed(
        &format!("{}/fieldConfig/defaults/custom/lineWidht", at("Requests by method")),
        json!(1),
        "custom: Grafana knows no key lineWidht",
    );
}

#[test]
fn families_that_nobody_looks_at_are_blamed() {
    let world = world();
    let dashboard = [overview()];
    let found = coverage::gaps(&dashboard, &[], &world, &[("sipwarden_set_all_down", "drawn")]);
    let blames = |text: &str| found.iter().any(|complaint| complaint.starts_with(text));
    assert!(blames("sipwarden_probe_interval_seconds is neither drawn"), "{found:#?}");
    assert!(blames("sipwarden_set_all_down needs no exemption"), "{found:#?}");
    assert!(!blames("sipwarden_probe_rtt_seconds is"), "{found:#?}");
    let alert = ["sipwarden_probe_interval_seconds > 1".to_owned()];
    let found = coverage::gaps(&dashboard, &alert, &world, &[("sipwarden_probe_threshold", "")]);
    assert!(!found.iter().any(|complaint| complaint.starts_with("sipwarden_probe_interval_seconds")));
    assert!(
        found.iter().any(|complaint| complaint.starts_with("sipwarden_probe_threshold needs")),
        "{found:#?}"
    );
}
