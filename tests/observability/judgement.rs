//! What the answer to a query may be: bounds that follow from its unit, and what the story has made true.

use crate::dashboards::Query;
use serde_json::Value;
use std::collections::BTreeMap;

/// A timestamp before its sample's: a scrape is dated when it begins, and built a moment later.
const EARLY: f64 = 0.5;
/// Of rounding.
const LITTLE: f64 = 1e-6;
/// Queries whose unit allows more than theirs: a process may use several cores.
const BEYOND_ONE: [&str; 1] = ["sipwarden-self: CPU A"];
/// What has no value where nothing was measured: a percentile of no observations, a round trip before the first.
const NOTHING_MEASURED: [&str; 3] = ["histogram_quantile(", "_last_rtt_seconds", "_rtt_ewma_seconds"];

/// What the story fixes of a query's numbers.
#[derive(Debug, Clone, Copy)]
enum Fact {
    /// They are this, always.
    Always(f64),
    /// The least and the greatest are these.
    Extremes(f64, f64),
    /// The greatest is this.
    Greatest(f64),
    /// At each moment those of one set together are this.
    SumOfSet(f64),
    /// At each moment all together are this.
    Sum(f64),
    /// At the end those of these sets are this, but for a twentieth.
    Last(&'static [(&'static str, f64)]),
}

/// Seven destinations; 80 calls to `pbx`, 20 that are refused, 20 more; 40 each to `edge` and `stream`.
const KNOWN: &[(&str, Fact)] = &[
    ("sipwarden-overview: Sets all down A", Fact::Extremes(0.0, 1.0)),
    ("sipwarden-overview: Usable destinations A", Fact::Greatest(7.0)),
    ("sipwarden-overview: Usable destinations B", Fact::Always(7.0)),
    ("sipwarden-overview: Destinations by state A", Fact::Sum(7.0)),
    ("sipwarden-destination: Share against weight A", Fact::SumOfSet(1.0)),
    ("sipwarden-destination: Share against weight B", Fact::SumOfSet(1.0)),
    ("sipwarden-slo: Objective A", Fact::Always(0.999)),
    ("sipwarden-slo: Calls, 30 d A", Fact::Last(&[("pbx", 120.0), ("edge", 40.0), ("stream", 40.0)])),
    ("sipwarden-slo: Failed calls, 30 d A", Fact::Last(&[("pbx", 20.0), ("edge", 0.0), ("stream", 0.0)])),
    ("sipwarden-slo: Calls set up, 30 d A", Fact::Last(&[("pbx", 100.0 / 120.0), ("stream", 1.0)])),
    ("sipwarden-slo: Error budget left, 30 d A", Fact::Last(&[("pbx", 0.0), ("stream", 1.0)])),
    ("sipwarden-self: Scraped A", Fact::Greatest(1.0)),
    ("sipwarden-self: Configuration A", Fact::Greatest(1.0)),
    ("sipwarden-self: Different configurations A", Fact::Always(1.0)),
    ("sipwarden-self: Panics A", Fact::Always(0.0)),
];

/// The queries of which something is known, by their places.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(place, _)| *place).chain(BEYOND_ONE)
}

/// One series: its labels and its numbers by time, those that are NaN included.
struct Series<'v> {
    labels: &'v Value,
    points: Vec<(f64, f64)>,
}

impl<'v> Series<'v> {
    fn of(json: &'v Value) -> Self {
        let points = json.get("values").and_then(Value::as_array).into_iter().flatten();
        let points =
            points.filter_map(|point| Some((point.get(0)?.as_f64()?, point.get(1)?.as_str()?.parse().ok()?)));
        Self { labels: json.get("metric").unwrap_or(&Value::Null), points: points.collect() }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).and_then(Value::as_str)
    }
}

/// Whether the numbers can be true; `instance` is that of the product.
pub fn judge(query: &Query, series: &[Value], instance: &str) -> Result<(), String> {
    let series: Vec<Series<'_>> = series.iter().map(Series::of).collect();
    for one in &series {
        let is = |label, wanted| one.label(label).is_none_or(|value| value == wanted);
        if !is("job", "sipwarden") || !is("instance", instance) {
            return Err(format!("a series of somebody else's: {}", one.labels));
        }
        within_bounds(query, one)?;
    }
    let fact = KNOWN.iter().find(|(place, _)| *place == query.place);
    fact.map_or(Ok(()), |(_, fact)| {
        holds(*fact, &series).map_err(|problem| format!("{problem}; wanted {fact:?}"))
    })
}

fn within_bounds(query: &Query, series: &Series<'_>) -> Result<(), String> {
    let (least, greatest) = match query.unit.as_str() {
        _ if BEYOND_ONE.contains(&query.place.as_str()) => (0.0, f64::MAX),
        "percentunit" => (0.0, 1.0 + LITTLE),
        "s" | "dtdurations" => (-EARLY, f64::MAX),
        "none" | "short" | "hex" | "reqps" | "ops" | "cps" | "bytes" | "Bps" => (0.0, f64::MAX),
        // Annotations have none, and their numbers are not shown.
        "" => (f64::MIN, f64::MAX),
        unit => return Err(format!("nobody has said what numbers of unit {unit} may be")),
    };
    let may_lack = NOTHING_MEASURED.iter().any(|part| query.expression.contains(part));
    let is_wrong = |value: f64| if value.is_nan() { !may_lack } else { value < least || value > greatest };
    match series.points.iter().find(|(_, value)| is_wrong(*value)) {
        Some((at, value)) => Err(format!("{value} {} at {at} of {}", query.unit, series.labels)),
        None => Ok(()),
    }
}

fn holds(fact: Fact, series: &[Series<'_>]) -> Result<(), String> {
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
    let (least, greatest) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let are = |wanted: [f64; 2]| {
        let is = (least - wanted[0]).abs() < LITTLE && (greatest - wanted[1]).abs() < LITTLE;
        if is { Ok(()) } else { Err(format!("from {least} to {greatest}")) }
    };
    match fact {
        Fact::Always(value) => are([value, value]),
        Fact::Extremes(from, to) => are([from, to]),
        Fact::Greatest(value) => are([least, value]),
        Fact::Sum(value) => sums(series, value, |_| ""),
        Fact::SumOfSet(value) => sums(series, value, |series| series.label("set").unwrap_or("")),
        Fact::Last(sets) => sets.iter().try_for_each(|(set, wanted)| {
            let of_set = series.iter().find(|series| series.label("set") == Some(set));
            match of_set.and_then(|series| series.points.last()) {
                Some((_, value)) if (value - wanted).abs() <= wanted / 20.0 + LITTLE => Ok(()),
                last => Err(format!("{set} ends at {last:?}, not at {wanted}")),
            }
        }),
    }
}

fn sums<'v>(
    series: &'v [Series<'v>],
    wanted: f64,
    group: impl Fn(&'v Series<'v>) -> &'v str,
) -> Result<(), String> {
    let mut sums = BTreeMap::<(String, &str), f64>::new();
    for one in series {
        for (at, value) in &one.points {
            *sums.entry((at.to_string(), group(one))).or_default() += value;
        }
    }
    match sums.iter().find(|(_, sum)| (*sum - wanted).abs() > LITTLE) {
        Some(((at, group), sum)) => Err(format!("together {sum} at {at} {group}")),
        None => Ok(()),
    }
}

#[test]
fn numbers_that_cannot_be_true_are_a_problem() {
    let query = |place: &str, unit: &str, expression: &str| Query {
        place: place.to_owned(),
        expression: expression.to_owned(),
        legend: String::new(),
        unit: unit.to_owned(),
    };
    let of = |labels: Value, values: &[&str]| {
        let points = values.iter().enumerate().map(|(at, value)| serde_json::json!([at, value]));
        serde_json::json!({"metric": labels, "values": points.collect::<Vec<_>>()})
    };
    let none = || serde_json::json!({});
    let set = |set: &str, destination: &str| serde_json::json!({"set": set, "destination": destination});
    let says = |query: &Query, series: &[Value]| judge(query, series, "a:1").err().unwrap_or_default();
    for (unit, good, bad) in [
        ("percentunit", "1", "1.01"),
        ("percentunit", "0", "-0.01"),
        ("s", "-0.1", "-1"),
        ("s", "9", "+Inf"),
        ("reqps", "0", "-0.001"),
        ("none", "3", "NaN"),
    ] {
        assert_eq!(says(&query("p", unit, "x"), &[of(none(), &["0", good])]), "", "{unit}");
        assert!(
            says(&query("p", unit, "x"), &[of(none(), &["0", bad])]).contains(" at 1 of "),
            "{unit} {bad}"
        );
    }
    assert_eq!(says(&query("p", "s", "histogram_quantile(0.5, x)"), &[of(none(), &["NaN"])]), "");
    assert!(says(&query("p", "furlong", "x"), &[of(none(), &["1"])]).contains("furlong"));
    for foreign in [serde_json::json!({"job": "node"}), serde_json::json!({"instance": "b:1"})] {
        assert!(says(&query("p", "none", "x"), &[of(foreign, &["1"])]).contains("somebody else's"));
    }
    let share = query("sipwarden-destination: Share against weight A", "percentunit", "x");
    let shares = |b: &str| [of(set("x", "a"), &["0.5"]), of(set("x", "b"), &[b]), of(set("y", "a"), &["1"])];
    assert_eq!(says(&share, &shares("0.5")), "");
    assert!(says(&share, &shares("0.4")).contains("together 0.9"));
    let panics = query("sipwarden-self: Panics A", "none", "x");
    assert!(says(&panics, &[of(none(), &["0", "1"])]).contains("from 0 to 1"));
    let usable = query("sipwarden-overview: Usable destinations A", "none", "x");
    assert!(says(&usable, &[of(none(), &["5", "6"])]).contains("from 5 to 6"));
    let failed = query("sipwarden-slo: Failed calls, 30 d A", "short", "x");
    let ends = |pbx: &str| {
        [of(set("pbx", ""), &["0", pbx]), of(set("edge", ""), &["0"]), of(set("stream", ""), &["0"])]
    };
    assert_eq!(says(&failed, &ends("20.4")), "");
    assert!(says(&failed, &ends("0")).contains("pbx ends at"));
}
