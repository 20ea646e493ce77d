//! The row *Calls*: the measures of RFC 6076.

use crate::build::kinds::lines;
use crate::build::panel::Panel;
use crate::build::query::quantile;
use crate::build::ratios;

pub fn setup_delay() -> Panel {
    let bucket = r#"sipwarden_session_request_delay_seconds_bucket{D, result="success"}"#;
    lines(
        "Session request delay (SRD)",
        "From INVITE to ringing or answer, of calls that got there. The points are single calls and lead to \
         their traces. The line is at 6 s, the target of ITU-T E.721 for local calls.",
    )
    .unit("s")
    .limit(&[(6.0, "red")])
    .query("{{set}} p50", &quantile("0.5", "set", bucket))
    .query("{{set}} p95", &quantile("0.95", "set", bucket))
    .query("{{set}} p99", &quantile("0.99", "set", bucket))
    .exemplars()
}

pub fn failed_delay() -> Panel {
    let bucket = r#"sipwarden_session_request_delay_seconds_bucket{D, result="failure"}"#;
    lines(
        "Delay of failed calls, p95",
        "RFC 6076 SRD of calls that failed: how long callers wait for bad news. Grows with \
         failover.no_response_after times the destinations tried.",
    )
    .unit("s")
    .query("{{set}} p95", &quantile("0.95", "set", bucket))
    .exemplars()
}

pub fn dialogs() -> Panel {
    lines(
        "Dialogs",
        "Calls that sipwarden knows of: early while they ring, confirmed after the answer. Expired: nobody \
         hung up within limits.max_call_age.",
    )
    .unit("none")
    .query("{{set}} {{state}}", "sum by (set, state) (sipwarden_dialogs{S})")
    .query("{{set}} expired", "sum by (set) (increase(sipwarden_dialogs_expired_total{S}[R]))")
}

pub fn disconnect_delay() -> Panel {
    lines("Session disconnect delay (SDD), p95", "From BYE to its final answer.").unit("s").query(
        "{{set}} {{result}}",
        &quantile("0.95", "set, result", "sipwarden_session_disconnect_delay_seconds_bucket{D}"),
    )
}

pub fn registration_delay() -> Panel {
    lines("Registration delay (RRD)", "From REGISTER to its 200.")
        .unit("s")
        .query(
            "{{set}} p50",
            &quantile("0.5", "set", "sipwarden_registration_request_delay_seconds_bucket{D}"),
        )
        .query(
            "{{set}} p95",
            &quantile("0.95", "set", "sipwarden_registration_request_delay_seconds_bucket{D}"),
        )
}

pub fn duration() -> Panel {
    lines(
        "Session duration (SDT)",
        "From answer to BYE, of calls that ended. Many calls of a few seconds on a line that used to have \
         long ones: one-way audio.",
    )
    .unit("s")
    .query("{{set}} p50", &quantile("0.5", "set", "sipwarden_session_duration_seconds_bucket{D}"))
    .query("{{set}} p95", &quantile("0.95", "set", "sipwarden_session_duration_seconds_bucket{D}"))
}

pub fn effectiveness() -> Panel {
    ratios::rfc6076(lines(
        "Call effectiveness",
        "SER: calls answered, of all INVITEs but redirected ones (3xx). SEER: calls that ended as the callee \
         wished, of all but redirected and challenged ones (401, 402, 407). ISA: calls lost to the service \
         (408, 500, 503, 504), of all. From the recording rules in alerts/, over 5 minutes.",
    ))
    .told()
}
