//! The row *Telemetry*: what watches, watched.

use crate::build::kinds::{areas, bars, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;

pub fn spans() -> Panel {
    lines(
        "Spans",
        "Handed to the collector, and lost. A collector that is dead or slow costs spans, never calls \
         (SipwardenTraceExportDropping).",
    )
    .unit("ops")
    .query("exported", "sum(rate(sipwarden_otlp_spans_exported_total{P}[R]))")
    .query("lost: {{reason}}", "sum by (reason) (rate(sipwarden_otlp_spans_dropped_total{P}[R]))")
}

pub fn exports() -> Panel {
    bars("Exports by result", "Requests to the collector, and how long ago it last took one.")
        .unit("ops")
        .query("{{result}}", "sum by (result) (rate(sipwarden_otlp_exports_total{P}[R]))")
        .query("last accepted", "time() - max(sipwarden_otlp_last_success_timestamp_seconds{P} > 0)")
        .overlaid("last accepted", "s")
}

pub fn decisions() -> Panel {
    areas(
        "Traces by decision",
        "Kept because something failed, failed over or was slow (up to 200 a second for each worker: \
         over_limit), changed a state, or by chance (tracing.ratio); the others are discarded.",
    )
    .unit("ops")
    .query("{{decision}}", "sum by (decision) (rate(sipwarden_traces_total{P}[R]))")
}

pub fn series() -> Panel {
    lines(
        "Series",
        "What a scrape exposes, and label sets folded into one because metrics.max_series was reached \
         (SipwardenSeriesLimitHit).",
    )
    .unit("none")
    .query("{{instance}}", "sipwarden_metric_series{P}")
    .query("{{instance}} folded", "sum by (instance) (increase(sipwarden_metric_series_dropped_total{P}[R]))")
}

pub fn scrape() -> Panel {
    lines("Time of a scrape", "To build the answer; calls do not wait for it.").unit("s").query(
        "{{instance}} p99",
        &quantile("0.99", "instance", "sipwarden_scrape_duration_seconds_bucket{P}"),
    )
}

pub fn logs() -> Panel {
    bars("Log lines", "At level warn and error. An error is a defect or a broken machine.")
        .unit("ops")
        .query("{{level}}", "sum by (level) (rate(sipwarden_log_events_total{P}[R]))")
        .painted(&[("error", "red"), ("warn", "yellow")])
}
