//! The row *Queues and sockets*.

use crate::build::kinds::{bars, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;
use serde_json::json;

pub fn handovers() -> Panel {
    lines(
        "Between workers",
        "Messages that came to a worker which does not own them; full ones are lost. Outcomes that the owner \
         of states did not learn of.",
    )
    .unit("cps")
    .query("handed over: {{result}}", "sum by (result) (rate(sipwarden_worker_handover_total{P}[R]))")
    .query("outcomes lost", "sum(rate(sipwarden_evidence_dropped_total{P}[R]))")
}

pub fn linger() -> Panel {
    lines(
        "Finished transactions",
        "Memory kept for retransmissions within limits.linger, and what had to go before its time.",
    )
    .unit("bytes")
    .query("{{instance}}", "sipwarden_linger_bytes{P}")
    .query("dropped: {{kind}}", "sum by (kind) (rate(sipwarden_linger_dropped_total{P}[R]))")
    .matching("/^dropped/", &[("unit", json!("cps")), ("custom.axisPlacement", json!("right"))])
}

pub fn probes() -> Panel {
    lines("Probes", "Those that wait for an answer, and answers that came too late or to nothing.")
        .unit("none")
        .query("{{set}} in flight", "sum by (set) (sipwarden_probes_in_flight{P})")
        .query("late, by second", "sum(rate(sipwarden_probe_unmatched_total{P}[R]))")
}

pub fn resolutions() -> Panel {
    bars("DNS", "Resolutions of destinations' names by result, and how long they take.")
        .unit("ops")
        .query("{{result}}", "sum by (result) (rate(sipwarden_dns_resolutions_total{P}[R]))")
        .query("p95", &quantile("0.95", "", "sipwarden_dns_resolution_seconds_bucket{P}"))
        .overlaid("p95", "s")
}

pub fn fill() -> Panel {
    lines("Queues", "How full each internal queue is. Above 80 %: SipwardenQueueSaturated.")
        .unit("percentunit")
        .up_to(1.0)
        .limit(&[(0.8, "red")])
        .query("{{instance}} {{queue}}", "sipwarden_queue_depth{P} / (sipwarden_queue_capacity{P} > 0)")
}

pub fn receive_buffer() -> Panel {
    lines(
        "Receive buffer",
        "Bytes that wait in the kernel, and datagrams it dropped because there was no room: each is a lost \
         message (SipwardenReceiveBufferDrops).",
    )
    .unit("bytes")
    .query("{{listener}} waiting", "sum by (listener) (sipwarden_udp_receive_queue_bytes{P})")
    .query("{{listener}} dropped", "sum by (listener) (rate(sipwarden_udp_receive_drops_total{P}[R]))")
    .matching("/ dropped$/", &[("unit", json!("cps")), ("custom.axisPlacement", json!("right"))])
}
