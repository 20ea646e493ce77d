//! The row *Failover*: away from it, and to it.

use crate::build::kinds::{bars, table};
use crate::build::panel::Panel;
use serde_json::json;

pub fn away() -> Panel {
    bars("Failovers away by cause", "Attempts at it that were given up in favour of another destination.")
        .unit("reqps")
        .nothing("No failover")
        .query(
            "{{destination}}: {{cause}}",
            "sum by (set, destination, cause) (rate(sipwarden_failovers_total{D}[R])) > 0",
        )
}

pub fn here() -> Panel {
    bars(
        "Failovers to it",
        "Attempts that came here from another destination of the set: the load that others' trouble brings.",
    )
    .unit("reqps")
    .nothing("No failover")
    .query(
        "{{from}} → {{to}}",
        r#"sum by (set, from, to) (rate(sipwarden_failover_edges_total{S, to=~"$destination"}[R])) > 0"#,
    )
}

pub fn edges() -> Panel {
    let count = r#"sum by (set, from, to) (increase(sipwarden_failover_edges_total{S}[W])) > 0.5"#;
    table(
        "Failovers between destinations",
        "Of the whole set, over the time that the dashboard shows: who was left, and who was tried next.",
        &["set", "from", "to"],
    )
    .column("failovers", "none", count)
    .with(
        "failovers",
        &[("decimals", json!(0)), ("custom.cellOptions", json!({"type": "gauge", "mode": "basic"}))],
    )
    .sorted("failovers", true)
    .nothing("No failover")
    .done()
}
