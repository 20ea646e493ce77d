//! The reference pages `docs/metrics.md` and `docs/spans.md`, printed from the tables.
//!
//! `tests/vocabulary.rs` fails if the files differ from what is printed here.

use super::exemplars;
use super::metrics::least;
use super::spans::SPANS;
use super::table::{Family, GROUPS, Kind, Scope, Spec, TABLE, Values};
use std::fmt::Write;

const HEAD: &str = "| metric | type | unit | labels | detail | help | changes | Kamailio | Envoy, HAProxy |\n\
                    |---|---|---|---|---|---|---|---|---|\n";

/// The page about metrics.
pub fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
        <!-- Generated from the tables in src/telemetry; `BLESS=1 cargo test --test vocabulary` rewrites it. -->\n\n\
        Served at `/metrics` in the Prometheus text format 0.0.4, or in OpenMetrics 1.0 when the `Accept`\n\
        header asks for that, as Prometheus does. Bounds of buckets are written alike in both\n\
        (`le=\"1.0\"`). OpenMetrics adds units and, unless `metrics.exemplars` is false, exemplars:\n\
        the `trace_id` of a kept trace on the families that say so below. Label values come from the\n\
        configuration or from the closed lists below, never from the wire. Every bounded series exists\n\
        from the first scrape with value 0, so `rate()` and `increase()` see the first event; series of a\n\
        destination or set that a reload removes vanish with it. Of the exact status codes only the usual\n\
        ones exist from the start, of algorithms only the set's own; others appear when they happen.\n\n\
        A counter or histogram only ever grows by events, apart from `destination=\"other\"` at a reload (see\n\
        below); a gauge is built at scrape from what is.\n\n\
        `metrics.detail` says how much is told of each destination; a family is there from the detail on\n\
        that its column *detail* names. At `state` the labels `method` and `algorithm` are summed over, and\n\
        a destination has at most 40 series. `auto` is the richest detail whose series fit into\n\
        `metrics.max_series`; `sipwarden check` prints it. Where even that is too much, the families listed\n\
        as label values of `sipwarden_metric_series_dropped_total` tell only the first destinations apart and\n\
        sum up the others of a set as `destination=\"other\"`; a label set that appears later than the first\n\
        scrape and finds no room is summed up under `other` likewise. States, sets and probes never are.\n\
        A reload that changes which destinations are told apart moves what they have counted into or out of\n\
        `other`: its rates are wrong for the window that has the reload in it.\n\n\
        `acl`, `rate_limit` and `rate_limited` are words of features that this version does not have:\n\
        their series stay at 0, and so does `selection_failures_total{reason=\"empty\"}`, because a set without\n\
        destinations is refused. Of families with several labels not every combination can occur.\n\n\
        The last two columns name what says the same, or nearly, in Kamailio and in Envoy or HAProxy.\n",
    );
    for (name, rows) in GROUPS {
        let _ = write!(page, "\n## {name}\n\n{HEAD}");
        rows.iter().for_each(|spec| row(&mut page, spec));
    }
    page.push_str("\n## Buckets\n\n| histogram | upper bounds |\n|---|---|\n");
    for spec in TABLE {
        if let Kind::Histogram(bounds) = spec.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(page, "| `{}` | {} |", spec.full_name(), bounds.join(" "));
        }
    }
    page.push_str("\n## Label values\n\n");
    for spec in TABLE {
        for label in spec.labels {
            let values = match label.values {
                Values::Closed(words) => {
                    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
                }
                Values::Configured(text) => text.to_owned(),
            };
            let _ = writeln!(page, "- `{}` of `{}`: {values}", label.name, spec.full_name());
        }
    }
    page
}

fn row(page: &mut String, spec: &Spec) {
    let kind = spec.kind.word();
    let labels = spec.scope.labels().iter().copied().chain(spec.labels.iter().map(|label| label.name));
    let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
    let none = match spec.scope {
        Scope::SetOrNone => " (`set` is empty where none was chosen)",
        Scope::Process | Scope::Listener | Scope::Set | Scope::Destination => "",
    };
    let (name, unit, labels) = (spec.full_name(), spec.unit().unwrap_or_default(), labels.join(" "));
    let is_of_destination = spec.scope == Scope::Destination || spec.family == Family::FailoverEdges;
    let detail = if is_of_destination { least(spec).as_str() } else { "" };
    let exemplars = if exemplars::FAMILIES.contains(&spec.family) { " Has exemplars." } else { "" };
    let (kamailio, others) = (code(spec.kamailio), code(spec.others));
    let _ = writeln!(
        page,
        "| `{name}` | {kind} | {unit} | {labels}{none} | {detail} | {}{exemplars} | {} | {kamailio} | {others} |",
        spec.help, spec.when
    );
}

/// A name of somebody else's.
fn code(text: &str) -> String {
    if text == "-" { String::new() } else { format!("`{text}`") }
}

/// The page about spans.
pub fn spans() -> String {
    let mut page = String::from(
        "# Spans\n\n\
        <!-- Generated from the tables in src/telemetry; `BLESS=1 cargo test --test vocabulary` rewrites it. -->\n\n\
        Written when what they describe has ended, with its own start and end times, and sent through\n\
        OTLP (`tracing.otlp`, `tracing.protocol`). A server transaction ends with the first final response\n\
        sent upstream; branches open then are closed there with `sipwarden.abandoned=true`. Its trace is\n\
        kept if it failed, failed over, or was slow to ring (`tracing.slow`), 200 times a second and worker\n\
        at most; if a trusted peer records its part; else by `tracing.ratio` as a function of the trace id; a probe's if it failed or changed a state, else by `tracing.probe_ratio`;\n\
        a reload's always. `sipwarden_traces_total` counts the decisions. Never recorded: User-Agent,\n\
        bodies, and, unless `tracing.capture_uris` says otherwise, From, To and Request-URI (`sip.*.uri`). Status is Error or unset; `error.type` says why.\n\
        `network.local.*` is where a request came in or left from, `network.local.port` over UDP only; `network.peer.*` the other end; `server.*` of a server span is what the client\n\
        was told we are called (`listen`: `advertise`).\n\n\
        Resource: `service.name=sipwarden`, `service.version`, `service.instance.id`, `host.name`, and what\n\
        `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say. Headers of exports, such as credentials:\n\
        `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS`; time for one export:\n\
        `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, in milliseconds (10000). Sent in batches of 256 KiB, or once a\n\
        second; what finds 8 MiB waiting is lost and counted (`sipwarden_otlp_spans_dropped_total`).\n",
    );
    for span in SPANS {
        let attributes: Vec<String> = span.attributes.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(
            page,
            "\n## `{}`\n\n- kind: {}\n- parent: {}\n- attributes: {}\n",
            span.name,
            span.kind,
            span.parent,
            attributes.join(", ")
        );
        for (name, attributes) in span.events {
            let _ = match attributes {
                [] => writeln!(page, "- event `{name}`"),
                _ => writeln!(page, "- event `{name}`: {}", attributes.join(", ")),
            };
        }
        let _ = writeln!(page, "- status: {}", span.status);
    }
    page
}

/// The names of all metric families, as exposed.
pub fn families() -> Vec<String> {
    TABLE.iter().map(|spec| spec.full_name().to_owned()).collect()
}
