//! Asks a real Prometheus for the exemplars that it has kept.

use crate::harness::collector::Collector;
use crate::harness::prometheus::Prometheus;
use crate::harness::wait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every family that says it has exemplars has some, and each names a trace that the collector has.
pub fn expect_traces(prometheus: &Prometheus, collector: &Collector, since: SystemTime) {
    let families = families(include_str!("../../docs/metrics.md"));
    assert!(families.len() > 5, "{families:?}");
    for family in families {
        // What was scraped last may not have been exported yet: that happens once a second.
        wait::until_true(&format!("exemplars of {family} lead to traces"), Duration::from_secs(10), || {
            let told = traces(prometheus, family, since);
            let known: BTreeSet<String> = collector.spans().iter().map(|span| hex(&span.trace)).collect();
            !told.is_empty() && told.is_subset(&known)
        });
    }
}

/// The families that the manual says have exemplars.
fn families(manual: &str) -> Vec<&str> {
    let rows = manual.lines().filter(|line| line.contains(" Has exemplars. "));
    rows.filter_map(|row| row.split('`').nth(1)).collect()
}

/// The traces that the exemplars of a family name.
fn traces(prometheus: &Prometheus, family: &str, since: SystemTime) -> BTreeSet<String> {
    let seconds =
        |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string();
    let (start, end) = (seconds(since), seconds(SystemTime::now() + Duration::from_secs(1)));
    let query = format!("{{__name__=~\"{family}(_bucket)?\"}}");
    let data = prometheus.ask("query_exemplars", &[("query", &query), ("start", &start), ("end", &end)]);
    let data = data.expect("Prometheus tells its exemplars");
    let series = data.as_array().into_iter().flatten();
    let exemplars = series.filter_map(|series| series.get("exemplars")?.as_array()).flatten();
    let trace = |exemplar: &Value| Some(exemplar.pointer("/labels/trace_id")?.as_str()?.to_owned());
    exemplars.map(|exemplar| trace(exemplar).expect("an exemplar names a trace")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
