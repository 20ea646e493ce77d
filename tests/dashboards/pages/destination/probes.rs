//! The row *Probes*: what OPTIONS tells.

use super::BY;
use crate::build::kinds::{areas, heatmap, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;

const RTT: &str = "sipwarden_probe_rtt_seconds_bucket{D}";

pub fn round_trip() -> Panel {
    let panel = lines(
        "Probe round trip",
        "From the first OPTIONS sent to its final answer; the points are single probes and lead to their \
         traces. Above T1 (0.5 s, the line) every request to it is sent twice.",
    )
    .unit("s")
    .limit(&[(0.5, "red")])
    .told();
    let add = |panel: Panel, (percentile, name): (&str, &str)| {
        panel.query(&format!("{{{{destination}}}} {name}"), &quantile(percentile, BY, RTT))
    };
    [("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99")].into_iter().fold(panel, add).exemplars()
}

pub fn heat() -> Panel {
    heatmap(
        "Round trips of probes",
        "How many probes took how long: the brighter, the more. Two bands mean two kinds of answers.",
    )
    .buckets("sum by (le) (increase(sipwarden_probe_rtt_seconds_bucket{D}[R]))")
}

pub fn results() -> Panel {
    areas(
        "Probes by result",
        "timeout: no answer. rejected: an answer that probe.accept does not take. transport_error: refused \
         or unreachable. dns_error: the name does not resolve. malformed: no SIP.",
    )
    .unit("ops")
    .query("{{result}}", "sum by (result) (rate(sipwarden_probes_total{D}[R]))")
    .painted(&[("success", "green"), ("timeout", "red"), ("rejected", "orange")])
    .painted(&[("transport_error", "dark-red"), ("dns_error", "purple"), ("malformed", "yellow")])
}

pub fn loss() -> Panel {
    let failed = r#"sum by (set, destination) (rate(sipwarden_probes_total{D, result!="success"}[R]))"#;
    let all = "sum by (set, destination) (rate(sipwarden_probes_total{D}[R]))";
    lines(
        "Share of failed probes",
        "Above 10 % for ten minutes while it is up: SipwardenProbeLoss. Some loss with an up destination is \
         a bad line, not a dead server.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .limit(&[(0.1, "orange")])
    .query("{{set}} / {{destination}}", &format!("{failed} / ({all} > 0)"))
}

pub fn lag() -> Panel {
    lines(
        "Probe schedule lag",
        "How late probes are sent, of all destinations of an instance. More than a second: the process is \
         overloaded, and deaths are noticed late.",
    )
    .unit("s")
    .limit(&[(1.0, "red")])
    .query(
        "{{instance}} p99",
        &quantile("0.99", "instance", "sipwarden_probe_schedule_lag_seconds_bucket{P}"),
    )
    .query("{{instance}} p50", &quantile("0.5", "instance", "sipwarden_probe_schedule_lag_seconds_bucket{P}"))
}

pub fn smoothed() -> Panel {
    lines(
        "Last and smoothed round trip",
        "The last probe's, and the average that the algorithm latency chooses by.",
    )
    .unit("s")
    .query("{{destination}} last", "max by (set, destination) (sipwarden_probe_last_rtt_seconds{D})")
    .query("{{destination}} smoothed", "max by (set, destination) (sipwarden_probe_rtt_ewma_seconds{D})")
}

pub fn streaks() -> Panel {
    lines(
        "Probes in a row",
        "Failures and successes without the other in between, and how many failures make it down.",
    )
    .unit("none")
    .query("{{destination}} failed", "max by (set, destination) (sipwarden_probe_consecutive_failures{D})")
    .query(
        "{{destination}} well, up to 10",
        "clamp_max(max by (set, destination) (sipwarden_probe_consecutive_successes{D}), 10)",
    )
    .query("down after", r#"min(sipwarden_probe_threshold{D, kind="down"})"#)
}

pub fn addresses() -> Panel {
    lines(
        "Addresses",
        "How many addresses its name resolves to, and how often they changed: a container that was made \
         anew has another one.",
    )
    .unit("none")
    .query("{{destination}} addresses", "max by (set, destination) (sipwarden_destination_addresses{D})")
    .query(
        "{{destination}} changes",
        "sum by (set, destination) (increase(sipwarden_destination_address_changes_total{D}[R]))",
    )
}
