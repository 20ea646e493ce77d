//! The row *Load*: what it carries, against what it should.

use crate::build::kinds::lines;
use crate::build::panel::Panel;
use serde_json::json;

/// Draws what is configured as a dashed line.
fn dashed(panel: Panel, pattern: &str) -> Panel {
    let style = json!({"fill": "dash", "dash": [8, 8]});
    panel.matching(pattern, &[("custom.lineStyle", style), ("custom.fillOpacity", json!(0))])
}

pub fn calls() -> Panel {
    let panel = lines(
        "Calls against their limit",
        "Calls that it holds now, of all instances, and max_calls if there is one (dashed). At the limit it \
         is passed over.",
    )
    .unit("none")
    .query("{{set}} / {{destination}}", "sum by (set, destination) (sipwarden_destination_calls{D})")
    .query("{{destination}} limit", "max by (set, destination) (sipwarden_destination_calls_limit{D} > 0)");
    dashed(panel, "/ limit$/")
}

pub fn in_flight() -> Panel {
    lines(
        "Transactions in flight",
        "Requests that wait for its final answer. Growing with an even rate of requests: it is slower than \
         its load.",
    )
    .unit("none")
    .query(
        "{{set}} / {{destination}}",
        "sum by (set, destination) (sipwarden_destination_transactions_in_flight{D})",
    )
}

pub fn share() -> Panel {
    let share = |of: &str, all: &str| format!("{of} / on (set) group_left () ({all} > 0)");
    let selected = share(
        "sum by (set, destination) (rate(sipwarden_selections_total{D}[R]))",
        "sum by (set) (rate(sipwarden_selections_total{S}[R]))",
    );
    let weighed = share(
        "sum by (set, destination) (sipwarden_destination_weight{D} * sipwarden_destination_up{D})",
        "sum by (set) (sipwarden_destination_weight{S} * sipwarden_destination_up{S})",
    );
    let panel = lines(
        "Share against weight",
        "Part of the set's selections that it gets, and the part that its weight asks for among the usable \
         ones (dashed). They agree with the algorithms that weigh; priority and least_calls go their own way.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .query("{{set}} / {{destination}}", &selected)
    .query("{{destination}} by weight", &weighed);
    dashed(panel, "/ by weight$/")
}
