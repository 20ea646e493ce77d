//! *SIP fleet*: is any destination up, which one is sick, and what becomes of the calls?

use crate::build::frame::{DRILL_ROW, DRILL_SERIES, Page, Scope};
use crate::build::kinds::{areas, bars, dial, light, lines, number, shares, table, timeline, trend};
use crate::build::panel::{Mapping, Panel};
use crate::build::ratios;
use crate::build::states;
use serde_json::{Value, json};

/// The dashboard.
pub fn page() -> (String, Value) {
    let description = "Is any destination up, which one is sick, and what becomes of the calls?";
    Page::new("sipwarden-overview", "SIP fleet", description, Scope::Destinations)
        .row("Now")
        .line(
            4,
            [(4, all_down()), (4, usable()), (4, calls()), (4, success()), (4, budget()), (4, rejected())],
        )
        .line(6, [(11, alerts()), (13, sets())])
        .row("Destinations")
        .line(8, [(24, history())])
        .line(8, [(24, destinations())])
        .line(7, [(12, by_state()), (12, changes())])
        .row("Traffic")
        .line(8, [(8, requests()), (8, selections()), (8, failovers())])
        .line(8, [(12, effectiveness()), (12, refusals())])
        .done()
}

fn all_down() -> Panel {
    light(
        "Sets all down",
        "Sets that have enabled destinations and none that is usable: their new calls are refused, unless a \
         fallback set takes them or when_all_down is try_anyway. Anything above 0 pages \
         (SipwardenAllDestinationsDown).",
    )
    .unit("none")
    .colors("green", &[(1.0, "red")])
    .instant("all down", "sum(sipwarden_set_all_down{S})")
}

fn usable() -> Panel {
    number(
        "Usable destinations",
        "Destinations that may take new calls, and those that nobody has disabled or is draining. \
         The first number below the second: something is down, ejected or throttled.",
    )
    .unit("none")
    .colors("text", &[])
    .instant("usable", "sum(sipwarden_set_destinations_available{S})")
    .instant("enabled", "sum(sipwarden_set_destinations_enabled{S})")
}

fn calls() -> Panel {
    trend(
        "Calls",
        "INVITEs that got a final answer, by second, re-INVITEs and refused ones included. Not those that \
         were redirected or challenged (3xx, 401, 402, 407): the call comes again.",
    )
    .unit("reqps")
    .colors("blue", &[])
    .query("INVITE", &format!("sum(rate({}[R]))", ratios::ALL_CALLS))
}

fn success() -> Panel {
    let share = ratios::failed("sum", "W");
    light(
        "Call setup success, 5 m",
        "Calls of the last 5 minutes that were not answered 408, 500, 502, 503 or 504. A busy or \
         absent callee counts as success: the service worked. A call is no INVITE that was redirected or \
         challenged: with digest authentication it would count twice.",
    )
    .window("5m")
    .unit("percentunit")
    .decimals(2)
    .up_to(1.0)
    .colors("red", &[(0.99, "orange"), (0.999, "green")])
    .nothing("no calls")
    .instant("success", &format!("1 - {share}"))
}

fn budget() -> Panel {
    dial(
        "Error budget left, 30 d",
        "What the last 30 days have left of the failures that the objective allows (sets.NAME.objective); \
         of several sets the worst. At 0 the objective is missed. See the dashboard Call-setup SLO.",
    )
    .window("30d")
    .unit("percentunit")
    .decimals(1)
    .up_to(1.0)
    .colors("red", &[(0.1, "orange"), (0.5, "green")])
    .nothing("no calls")
    .instant("worst set", &format!("min({})", ratios::budget_left("W")))
}

fn rejected() -> Panel {
    number(
        "Refused requests, 1 h",
        "Requests of the last hour that sipwarden refused itself: no usable destination, all full, no \
         route, overload. The panel Refusals by reason below has the reasons.",
    )
    .window("1h")
    .unit("short")
    .decimals(0)
    .colors("green", &[(0.5, "orange"), (100.0, "red")])
    .instant("refused", "sum(increase(sipwarden_rejections_total{N}[W]))")
}

fn alerts() -> Panel {
    let severities: &[Mapping<'_>] =
        &[("critical", "critical", "red"), ("warning", "warning", "orange"), ("info", "info", "blue")];
    let query = r#"ALERTS{A, alertname=~"Sipwarden.*", alertstate="firing", severity!="none"}"#;
    let runbook = "https://github.com/sipwarden/sipwarden/blob/main/docs/runbooks/${__value.raw}.md";
    table(
        "Firing alerts",
        "Alerts of sipwarden that fire now; a click on one opens its runbook. Those without an instance are about \
         all of them.",
        &["severity", "alertname", "set", "destination", "instance"],
    )
    .rows(query)
    .without(&["__name__", "alertstate", "component", "job"])
    .named("alertname", "alert")
    .colored("severity", severities)
    .with("severity", &[("custom.width", json!(90))])
    .click("alert", "Runbook", runbook)
    .nothing("No alert fires")
    .done()
}

fn sets() -> Panel {
    table(
        "Sets",
        "One line for each set: how many of its destinations are configured, enabled and usable, its \
         algorithm, its objective, and the longest time until a dead destination is known to be dead.",
        &["set", "algorithm"],
    )
    .rows("max by (set, algorithm) (sipwarden_set_info{S})")
    .column("usable", "none", "sum by (set) (sipwarden_set_destinations_available{S})")
    .column("enabled", "none", "sum by (set) (sipwarden_set_destinations_enabled{S})")
    .column("configured", "none", "sum by (set) (sipwarden_set_destinations_configured{S})")
    .column("detection", "s", "max by (set) (sipwarden_set_detection_seconds{S})")
    .column("objective", "percentunit", "max by (set) (sipwarden_set_objective_ratio{S})")
    .with(
        "usable",
        &[
            ("custom.cellOptions", json!({"type": "color-text"})),
            ("thresholds", crate::build::panel::thresholds("red", &[(1.0, "green")])),
        ],
    )
    .with("objective", &[("decimals", json!(1))])
    .done()
}

fn history() -> Panel {
    let numbers = states::numbers();
    let rows: Vec<Mapping<'_>> = numbers.iter().map(|(n, text, color)| (n.as_str(), *text, *color)).collect();
    timeline(
        "State of every destination",
        "Usable are up and failing (and unknown, as long as no other member of the set is known to be \
         up). A click leads to the destination.",
    )
    .mapped(&rows)
    .click("This destination", DRILL_SERIES)
    .query("{{set}} / {{destination}} ({{instance}})", &states::as_number("instance, set, destination"))
}

fn destinations() -> Panel {
    let by = "by (instance, set, destination)";
    let answered =
        format!(r#"sum {by} (rate(sipwarden_destination_responses_total{{D, class=~"[2-6]xx"}}[R]))"#);
    let failed = format!(r#"sum {by} (rate(sipwarden_destination_responses_total{{D, class="5xx"}}[R]))"#);
    let rtt = crate::build::query::quantile(
        "0.95",
        "instance, set, destination",
        "sipwarden_probe_rtt_seconds_bucket{D}",
    );
    let since = format!("time() - max {by} (sipwarden_destination_last_state_change_timestamp_seconds{{D}})");
    table(
        "Destinations now",
        "One line for each destination. 5xx is the share of its final answers; RTT that of its OPTIONS \
         probes. A click on a name leads to the destination.",
        &["set", "destination", "state"],
    )
    .rows(&format!("max {} (sipwarden_destination_state{{D}} == 1)", by.replace(')', ", state)")))
    .column("for", "dtdurations", &since)
    .column("RTT p95", "s", &rtt)
    .column("5xx", "percentunit", &format!("{failed} / ({answered} > 0)"))
    .column("requests", "reqps", &format!("sum {by} (rate(sipwarden_destination_requests_total{{D}}[R]))"))
    .column("calls", "none", &format!("max {by} (sipwarden_destination_calls{{D}})"))
    .column("last code", "none", &format!("max {by} (sipwarden_probe_last_status_code{{D}})"))
    .column("failed in a row", "none", &format!("max {by} (sipwarden_probe_consecutive_failures{{D}})"))
    .column("weight", "none", &format!("max {by} (sipwarden_destination_weight{{D}})"))
    .colored("state", &states::words())
    .warned("failed in a row", &[(1.0, "orange")])
    .warned("RTT p95", &[(0.5, "red")])
    .warned("5xx", &[(0.01, "orange"), (0.1, "red")])
    .click("destination", "This destination", DRILL_ROW)
    .done()
}

fn by_state() -> Panel {
    let colors: Vec<_> = states::words().into_iter().map(|(state, _, color)| (state, color)).collect();
    areas(
        "Destinations by state",
        "How many destinations are in each state, of all instances. Each instance keeps its own view.",
    )
    .unit("none")
    .custom("fillOpacity", json!(70))
    .custom("lineWidth", json!(0))
    .query("{{state}}", "sum by (state) (sipwarden_set_destinations{S})")
    .painted(&colors)
}

fn changes() -> Panel {
    bars(
        "Changes of state by reason",
        "Destinations that went into another state, by what caused it: probes, requests that failed \
         (passive), Retry-After, an administrator, DNS, reload. Many of one destination: it flaps.",
    )
    .unit("none")
    .nothing("No change of state")
    .click("This destination", DRILL_SERIES)
    .query(
        "{{set}} / {{destination}} → {{to}} ({{reason}})",
        "sum by (set, destination, to, reason) (increase(sipwarden_destination_transitions_total{D}[R])) > 0",
    )
}

fn requests() -> Panel {
    areas("Requests by method", "Requests received on all listeners, without retransmissions and ACK.")
        .unit("reqps")
        .nothing("No requests")
        .query("{{method}}", "sum by (method) (rate(sipwarden_requests_total{P}[R])) > 0")
}

fn selections() -> Panel {
    shares(
        "Share of selections by destination",
        "Where new requests go. A destination that dies loses its share to the others; with hashing only \
         its own keys move.",
    )
    .click("This destination", DRILL_SERIES)
    .query("{{set}} / {{destination}}", "sum by (set, destination) (rate(sipwarden_selections_total{D}[R]))")
}

fn failovers() -> Panel {
    bars(
        "Failovers by cause",
        "Attempts that were given up in favour of another destination: its 5xx answer, its silence \
         (timeout), or a broken transport. The caller notices only the delay.",
    )
    .unit("reqps")
    .nothing("No failover")
    .click("This destination", DRILL_SERIES)
    .query(
        "{{set}} / {{destination}}: {{cause}}",
        "sum by (set, destination, cause) (rate(sipwarden_failovers_total{D}[R])) > 0",
    )
}

fn effectiveness() -> Panel {
    ratios::rfc6076(lines(
        "Call effectiveness (RFC 6076)",
        "SER: calls answered. SEER: calls that ended as the callee wished, busy and decline included. ISA: \
         calls lost to the service (408, 500, 503, 504). As the RFC has it, SER and ISA count an INVITE that \
         was challenged (401, 407): with digest authentication read SEER. In-dialog INVITEs count, too. From \
         the recording rules in alerts/, over 5 minutes.",
    ))
}

fn refusals() -> Panel {
    bars(
        "Refusals by reason",
        "Requests that sipwarden refused itself. none_usable: every destination is down, those of a \
         fallback set as well. all_full: every one is at max_calls or max_cps. The other reasons are explained in docs/sip.md.",
    )
    .unit("reqps")
    .nothing("Nothing refused")
    .query("{{set}} {{reason}}", r#"label_replace(sum by (set, reason) (rate(sipwarden_rejections_total{N}[R])), "set", "no set", "set", "") > 0"#)
}
