//! The row *Signalling*: what becomes of the requests sent to it.

use super::BY;
use crate::build::kinds::{areas, bars, lines, table};
use crate::build::panel::Panel;
use crate::build::query::quantile;
use serde_json::json;

pub fn requests() -> Panel {
    areas("Requests to it by method", "First transmissions only; in-dialog requests included.")
        .unit("reqps")
        .nothing("No requests")
        .query("{{method}}", "sum by (method) (rate(sipwarden_destination_requests_total{D}[R])) > 0")
}

pub fn responses() -> Panel {
    areas(
        "Answers by class",
        "Every answer that it sent. 5xx above a tenth for five minutes: SipwardenDestinationServerErrors.",
    )
    .unit("ops")
    .query("{{class}}", "sum by (class) (rate(sipwarden_destination_responses_total{D}[R]))")
    .painted(&[("1xx", "light-blue"), ("2xx", "green"), ("3xx", "purple")])
    .painted(&[("4xx", "yellow"), ("5xx", "red"), ("6xx", "dark-red")])
}

pub fn codes() -> Panel {
    table(
        "Final answers by code",
        "Over the time that the dashboard shows. 404 and 486 are the callee's; 5xx are the server's.",
        &["destination", "code"],
    )
    .column(
        "answers",
        "none",
        "sum by (destination, code) (increase(sipwarden_destination_response_codes_total{D}[W])) > 0.5",
    )
    .with("answers", &[("decimals", json!(0))])
    .sorted("answers", true)
    .nothing("No answers")
    .done()
}

pub fn first_response() -> Panel {
    lines(
        "Time to its first answer, p95",
        "Of any class, 100 included: how fast the server reacts. After failover.no_response_after the next \
         destination is tried.",
    )
    .unit("s")
    .query(
        "{{destination}} {{method}}",
        &quantile(
            "0.95",
            "set, destination, method",
            "sipwarden_destination_first_response_seconds_bucket{D}",
        ),
    )
}

pub fn setup_delay() -> Panel {
    let bucket = r#"sipwarden_session_request_delay_seconds_bucket{D, result="success"}"#;
    lines(
        "Set-up delay (SRD)",
        "RFC 6076: from INVITE to ringing or answer, of calls that got there. The points are single calls \
         and lead to their traces. The line is at 6 s, the target of ITU-T E.721 for local calls.",
    )
    .unit("s")
    .limit(&[(6.0, "red")])
    .query("{{destination}} p50", &quantile("0.5", BY, bucket))
    .query("{{destination}} p95", &quantile("0.95", BY, bucket))
    .exemplars()
}

pub fn duration() -> Panel {
    lines(
        "Transactions other than INVITE, p95",
        "From the first transmission to the final answer: REGISTER, and all others together.",
    )
    .unit("s")
    .query(
        "{{destination}} {{method}}",
        &quantile("0.95", "set, destination, method", "sipwarden_destination_transaction_seconds_bucket{D}"),
    )
}

pub fn retransmissions() -> Panel {
    lines(
        "Retransmissions",
        "Requests that had to be sent again, and answers that came again. With an up destination: loss on \
         the way, or answers slower than 0.5 s (SipwardenRetransmissionsHigh).",
    )
    .unit("ops")
    .query(
        "{{destination}} {{kind}}",
        "sum by (set, destination, kind) (rate(sipwarden_destination_retransmissions_total{D}[R]))",
    )
}

pub fn timeouts() -> Panel {
    bars(
        "Timeouts by timer",
        "Transactions that a timer of RFC 3261 ended. B: no answer to an INVITE. F: none to another \
         request. C: it rang for too long.",
    )
    .unit("ops")
    .query(
        "{{destination}} Timer {{timer}}",
        "sum by (set, destination, timer) (rate(sipwarden_destination_timeouts_total{D}[R]))",
    )
}
