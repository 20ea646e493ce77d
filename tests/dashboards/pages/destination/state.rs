//! The row *State*: what it is, since when, and what led to it.

use crate::build::kinds::{bars, light, number, table, timeline};
use crate::build::panel::{Mapping, Panel};
use crate::build::states;
use serde_json::json;

const NAME: &str = "{{set}} / {{destination}}";

fn mapped(panel: Panel) -> Panel {
    let numbers = states::numbers();
    let rows: Vec<Mapping<'_>> = numbers.iter().map(|(n, text, color)| (n.as_str(), *text, *color)).collect();
    panel.mapped(&rows)
}

pub fn now() -> Panel {
    let panel = light(
        "State",
        "The state as each instance sees it. docs/health.md says what leads from one to another.",
    );
    mapped(panel)
        .unit("none")
        .colors("text", &[])
        .instant("{{destination}} ({{instance}})", &states::as_number("instance, set, destination"))
}

pub fn since() -> Panel {
    number("In this state for", "Time since the last change of state, or since the destination was loaded.")
        .unit("dtdurations")
        .colors("text", &[])
        .instant(
            "{{destination}}",
            "time() - max by (set, destination) (sipwarden_destination_last_state_change_timestamp_seconds{D})",
        )
}

pub fn failures() -> Panel {
    number(
        "Failed probes in a row",
        "0 after a good one. At the threshold (probe.down_after) the destination goes down.",
    )
    .unit("none")
    .colors("green", &[(1.0, "orange"), (3.0, "red")])
    .instant("{{destination}}", "max by (set, destination) (sipwarden_probe_consecutive_failures{D})")
}

pub fn code() -> Panel {
    number(
        "Last answer to a probe",
        "Its status code. None: silence, a refused connection, or a name that does not resolve.",
    )
    .unit("none")
    .colors("text", &[(200.0, "green"), (300.0, "orange"), (500.0, "red")])
    .mapped(&[("0", "none", "red")])
    .instant("{{destination}}", "max by (set, destination) (sipwarden_probe_last_status_code{D})")
}

pub fn probed() -> Panel {
    number(
        "Last probe",
        "How long ago the last probe ended. Much longer than the interval: probing has stalled \
         (SipwardenProbesStalled), and the state is old.",
    )
    .unit("s")
    .decimals(1)
    .colors("text", &[])
    .nothing("none yet")
    .instant(
        "{{destination}}",
        "time() - max by (set, destination) (sipwarden_probe_last_timestamp_seconds{D})",
    )
}

pub fn well() -> Panel {
    number("Last good probe", "How long ago a probe last succeeded.")
        .unit("s")
        .decimals(1)
        .colors("text", &[])
        .nothing("none yet")
        .instant(
            "{{destination}}",
            "time() - max by (set, destination) (sipwarden_probe_last_success_timestamp_seconds{D})",
        )
}

pub fn history() -> Panel {
    mapped(timeline(
        "State over time",
        "Usable are up and failing (and unknown, as long as no other member of the set is known to be up).",
    ))
    .query("{{set}} / {{destination}} ({{instance}})", &states::as_number("instance, set, destination"))
}

pub fn holds() -> Panel {
    let held = |metric: &str, test: &str| {
        format!("max by (set, destination) (sipwarden_destination_{metric}{{D}} {test})")
    };
    timeline(
        "What holds it back",
        "Coloured while it holds: ejected (requests to it failed), Retry-After (it asked for a pause), \
         flapping (must prove more before it is up), stale addresses (DNS fails), slow start (not yet its \
         full share), not probed.",
    )
    .mapped(&[("0", "no", "transparent"), ("1", "yes", "orange")])
    .query(&format!("{NAME}: ejected"), "max by (set, destination) (sipwarden_destination_ejected{D})")
    .query(&format!("{NAME}: Retry-After"), &held("retry_after_seconds", "> bool 0"))
    .query(&format!("{NAME}: flapping"), "max by (set, destination) (sipwarden_destination_damped{D})")
    .query(
        &format!("{NAME}: stale addresses"),
        "max by (set, destination) (sipwarden_destination_dns_stale{D})",
    )
    .query(&format!("{NAME}: slow start"), &held("slow_start_ratio", "< bool 1"))
    .query(&format!("{NAME}: not probed"), &held("probing", "== bool 0"))
    .option("showValue", json!("never"))
}

pub fn changes() -> Panel {
    bars(
        "Transitions by reason",
        "Changes of state by what caused them: probe, passive (requests that failed), retry_after, dns, \
         admin, reload, and their ends.",
    )
    .unit("none")
    .nothing("No change of state")
    .query(
        "{{destination}} → {{to}} ({{reason}})",
        "sum by (set, destination, to, reason) (increase(sipwarden_destination_transitions_total{D}[R])) > 0",
    )
}

pub fn configured() -> Panel {
    let most = |metric: &str| format!("max by (set, destination) (sipwarden_{metric}{{D}})");
    let threshold =
        |kind: &str| format!(r#"max by (set, destination) (sipwarden_probe_threshold{{D, kind="{kind}"}})"#);
    table(
        "As configured",
        "What is in force, not what a file says: a file that was refused changes nothing.",
        &["set", "destination", "uri", "transport", "priority"],
    )
    .rows("max by (set, destination, uri, transport, priority) (sipwarden_destination_info{D})")
    .column("weight", "none", &most("destination_weight"))
    .column("max calls", "none", &most("destination_calls_limit"))
    .column("probe every", "s", &most("probe_interval_seconds"))
    .column("down after", "none", &threshold("down"))
    .column("up after", "none", &threshold("up"))
    .column("addresses", "none", &most("destination_addresses"))
    .column("loaded", "dtdurations", &format!("time() - {}", most("destination_added_timestamp_seconds")))
    .done()
}
