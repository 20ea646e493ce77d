//! The table of spans: what `docs/spans.md` is printed from and the tests hold the writer to.

/// One kind of span.
#[derive(Debug, Clone, Copy)]
pub struct SpanRow {
    /// Its name as documented.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its parent and links.
    pub parent: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
    /// Its events, each with its attributes.
    pub events: &'static [(&'static str, &'static [&'static str])],
    /// When its status is Error.
    pub status: &'static str,
}

/// Every span there is.
pub const SPANS: &[SpanRow] = &[
    SpanRow {
        name: "INVITE",
        kind: "SERVER",
        parent: "root; the name is the request's method; one for each server transaction; inside a dialog, link to the span of its INVITE",
        attributes: &[
            "network.protocol.name",
            "network.protocol.version",
            "network.transport",
            "client.address",
            "client.port",
            "sip.request.method",
            "sip.call_id",
            "sip.session_id.local",
            "sip.session_id.remote",
            "sip.cseq",
            "sip.response.status_code",
            "sip.dialog.in_dialog",
            "sipwarden.set",
            "sipwarden.listener",
            "sipwarden.attempts",
            "sipwarden.response.origin",
            "sipwarden.refusal",
            "error.type",
        ],
        events: &[
            ("sip.provisional", &["code"]),
            ("sip.cancel", &[]),
            ("sip.retransmission_absorbed", &["count"]),
        ],
        status: "Error for 408, 5xx and 6xx made by us, for 5xx relayed, and if nobody answered",
    },
    SpanRow {
        name: "select SET",
        kind: "INTERNAL",
        parent: "child of the server span, or of the failover that asked for it; named after the set",
        attributes: &[
            "sipwarden.set",
            "sipwarden.algorithm",
            "sipwarden.reason",
            "sipwarden.destination",
            "sipwarden.candidates",
            "sipwarden.candidates_available",
            "sipwarden.hash_key_kind",
            "sipwarden.result",
            "error.type",
        ],
        events: &[("candidate.skipped", &["destination", "why"])],
        status: "Error if no destination was found",
    },
    SpanRow {
        name: "INVITE (attempt)",
        kind: "CLIENT",
        parent: "child of the server span; link to the previous attempt; the name is the method",
        attributes: &[
            "network.protocol.name",
            "network.protocol.version",
            "network.transport",
            "server.address",
            "server.port",
            "network.peer.address",
            "network.peer.port",
            "sip.request.method",
            "sipwarden.destination",
            "sipwarden.set",
            "sipwarden.attempt",
            "sip.response.status_code",
            "sip.retransmissions",
            "sip.timer_fired",
            "sipwarden.abandoned",
            "error.type",
        ],
        events: &[
            ("sip.provisional", &["code"]),
            ("sip.retransmission", &[]),
            ("transport.fallback", &["reason"]),
            ("transport.error", &["reason"]),
        ],
        status: "Error for 400 and above other than 401, 407, 486 and 487, for silence, timers and transport errors",
    },
    SpanRow {
        name: "failover",
        kind: "INTERNAL",
        parent: "child of the server span",
        attributes: &[
            "sipwarden.failover.from",
            "sipwarden.failover.to",
            "sipwarden.failover.cause",
            "sipwarden.failover.remaining",
            "sipwarden.failover.passive_mark",
            "error.type",
        ],
        events: &[],
        status: "Error if nothing remained to try",
    },
    SpanRow {
        name: "OPTIONS probe",
        kind: "CLIENT",
        parent: "root of its own trace; link to the probe that last changed the state",
        attributes: &[
            "network.protocol.name",
            "network.protocol.version",
            "network.transport",
            "server.address",
            "server.port",
            "network.peer.address",
            "network.peer.port",
            "sipwarden.destination",
            "sipwarden.set",
            "sipwarden.probe.result",
            "sipwarden.probe.consecutive_failures",
            "sipwarden.probe.scheduled_at",
            "sipwarden.probe.lag_ms",
            "sip.response.status_code",
            "error.type",
        ],
        events: &[
            ("destination.state_change", &["from", "to", "reason"]),
            ("sip.retransmission", &["count"]),
        ],
        status: "Error if the probe was not accepted",
    },
    SpanRow {
        name: "config reload",
        kind: "INTERNAL",
        parent: "root of its own trace",
        attributes: &[
            "sipwarden.reload.trigger",
            "sipwarden.reload.result",
            "sipwarden.config.hash_before",
            "sipwarden.config.hash_after",
            "sipwarden.destinations.added",
            "sipwarden.destinations.removed",
            "sipwarden.destinations.kept",
        ],
        events: &[("config.rejected", &["error"])],
        status: "Error if the configuration was refused",
    },
];
