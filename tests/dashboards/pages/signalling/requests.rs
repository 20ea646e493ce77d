//! The row *Requests*.

use crate::build::kinds::{areas, bars, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;

pub fn rate() -> Panel {
    areas("Requests by method", "Requests received on all listeners, without retransmissions and ACK.")
        .unit("reqps")
        .nothing("No requests")
        .query("{{method}}", "sum by (method) (rate(sipwarden_requests_total{P}[R])) > 0")
}

pub fn errors() -> Panel {
    bars(
        "Errors by code and origin",
        "Final answers of 400 and above. local: made by sipwarden, upstream: relayed from a destination. \
         401 and 407 are how digest authentication begins, 486 and 487 are the parties' wish.",
    )
    .unit("reqps")
    .nothing("No errors")
    .query(
        "{{code}} {{origin}}",
        r#"sum by (code, origin) (rate(sipwarden_transactions_total{N, code=~"[4-6].*"}[R])) > 0"#,
    )
}

pub fn duration() -> Panel {
    let first = r#"sipwarden_destination_first_response_seconds_bucket{D, method="INVITE"}"#;
    let whole = "sipwarden_destination_transaction_seconds_bucket{D}";
    lines(
        "Duration",
        "INVITE: to the first answer of any class. Others: to the final answer. The histograms have a bound \
         at 0.5 s (T1) and at 32 s (Timers B and F).",
    )
    .unit("s")
    .query("INVITE p50", &quantile("0.5", "", first))
    .query("INVITE p95", &quantile("0.95", "", first))
    .query("INVITE p99", &quantile("0.99", "", first))
    .query("{{method}} p95", &quantile("0.95", "method", whole))
}

pub fn refused() -> Panel {
    bars(
        "Refused by sipwarden",
        "By reason; docs/sip.md has each reason with its code. Without a set: refused before one was chosen.",
    )
    .unit("reqps")
    .nothing("Nothing refused")
    .query("{{set}} {{reason}}", r#"label_replace(sum by (set, reason) (rate(sipwarden_rejections_total{N}[R])), "set", "no set", "set", "") > 0"#)
}

pub fn unselectable() -> Panel {
    bars(
        "Nothing to select",
        "Requests for which the set had no destination. none_usable: all are down or set aside. all_full: at \
         their limits. all_tried: each was tried and failed. empty: none is configured.",
    )
    .unit("reqps")
    .query("{{set}} {{reason}}", "sum by (set, reason) (rate(sipwarden_selection_failures_total{S}[R]))")
}

pub fn in_flight() -> Panel {
    lines(
        "Transactions in flight",
        "Unfinished ones by role: server towards callers, client towards destinations. INVITEs that ring \
         stay long.",
    )
    .unit("none")
    .nothing("None")
    .query("{{role}} {{method}}", "sum by (role, method) (sipwarden_transactions_in_flight{P}) > 0")
}
