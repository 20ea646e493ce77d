//! The row *Selection and failover*.

use crate::build::kinds::{areas, bars, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;

pub fn attempts() -> Panel {
    let one = r#"sum by (set) (rate(sipwarden_attempts_bucket{S, method="INVITE", le=~"1|1.0"}[R]))"#;
    let all = r#"sum by (set) (rate(sipwarden_attempts_count{S, method="INVITE"}[R]))"#;
    lines(
        "Calls that needed more than one attempt",
        "Share of INVITEs for which the first destination was not the last. Callers notice only a delay, but \
         something is wrong with a destination.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .query("{{set}}", &format!("1 - {one} / ({all} > 0)"))
}

pub fn failovers() -> Panel {
    bars(
        "Failovers and their end",
        "By cause, and requests that failed on every destination they were tried at \
         (SipwardenFailoversExhausted).",
    )
    .unit("reqps")
    .query("{{set}} exhausted", "sum by (set) (rate(sipwarden_failovers_exhausted_total{S}[R]))")
    .query("{{set}} {{cause}}", "sum by (set, cause) (rate(sipwarden_failovers_total{D}[R])) > 0")
}

pub fn reasons() -> Panel {
    areas(
        "Selections by reason",
        "primary: the first choice. failover: a later one. affinity: a repeated request goes where the first \
         went. fallback_set: the set's own destinations had nothing. try_anyway: all down, tried all the same.",
    )
    .unit("ops")
    .nothing("No selections")
    .query("{{reason}}", "sum by (reason) (rate(sipwarden_selections_total{D}[R])) > 0")
}

pub fn retried() -> Panel {
    let sum = "sum by (set, method) (rate(sipwarden_attempts_sum{S}[R]))";
    let count = "sum by (set, method) (rate(sipwarden_attempts_count{S}[R]))";
    lines(
        "Attempts per request",
        "The mean, by method: 1 on a good day, below it where some are refused untried.",
    )
    .unit("none")
    .decimals(2)
    .nothing("No requests")
    .query("{{set}} {{method}}", &format!("{sum} / ({count} > 0)"))
}

pub fn duration() -> Panel {
    lines("Time of a selection, p99", "How long the algorithm takes to find the first destination.")
        .unit("s")
        .query(
            "{{set}} {{algorithm}}",
            &quantile("0.99", "set, algorithm", "sipwarden_selection_duration_seconds_bucket{S}"),
        )
}

pub fn full() -> Panel {
    let calls = "sum by (set) (sipwarden_destination_calls{D} and sipwarden_destination_calls_limit{D} > 0)";
    lines(
        "Calls against the limits of a set",
        "Calls on destinations that have max_calls, over the sum of those limits. At 100 % new calls are \
         refused (all_full), unless a fallback set takes them.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .limit(&[(0.9, "orange")])
    .nothing("No destination has max_calls")
    .query("{{set}}", &format!("{calls} / sum by (set) (sipwarden_destination_calls_limit{{D}} > 0)"))
}
