//! The row *Messages*: what is on the wire, what it costs, what is wrong with it.

use crate::build::kinds::{areas, bars, lines};
use crate::build::panel::Panel;
use crate::build::query::quantile;

pub fn messages() -> Panel {
    areas("Messages", "SIP messages received and sent, with retransmissions, by transport.")
        .unit("cps")
        .nothing("No messages")
        .query(
            "{{transport}} {{direction}} {{kind}}",
            "sum by (transport, direction, kind) (rate(sipwarden_messages_total{P}[R])) > 0",
        )
}

pub fn bytes() -> Panel {
    areas("Bytes", "Bytes of SIP messages, by transport and direction.")
        .unit("Bps")
        .nothing("No messages")
        .query(
            "{{transport}} {{direction}}",
            "sum by (transport, direction) (rate(sipwarden_message_bytes_total{P}[R])) > 0",
        )
}

pub fn delay() -> Panel {
    let bucket = "sipwarden_forward_delay_seconds_bucket{P}";
    lines(
        "Own delay",
        "What sipwarden adds to a message, from receipt to transmission. Above a few milliseconds the \
         process has too little CPU.",
    )
    .unit("s")
    .query("{{kind}} p50", &quantile("0.5", "kind", bucket))
    .query("{{kind}} p99", &quantile("0.99", "kind", bucket))
}

pub fn unparsed() -> Panel {
    bars(
        "Parse errors by reason",
        "Messages that are no SIP, by what is wrong with them. Scanners make most; many from a known peer \
         are an interoperability problem (SipwardenParseErrors).",
    )
    .unit("cps")
    .nothing("Every message could be parsed")
    .query(
        "{{transport}} {{reason}}",
        "sum by (transport, reason) (rate(sipwarden_parse_errors_total{P}[R])) > 0",
    )
}

pub fn dropped() -> Panel {
    bars(
        "Dropped on purpose",
        "By reason: stray answers, loops, full queues, shutting down, what may not be answered.",
    )
    .unit("cps")
    .nothing("Nothing dropped")
    .query(
        "{{direction}} {{reason}}",
        "sum by (direction, reason) (rate(sipwarden_dropped_messages_total{P}[R])) > 0",
    )
}

pub fn retransmissions() -> Panel {
    lines(
        "Retransmissions",
        "Towards callers and towards destinations. On one side only: that side loses packets. On both: we \
         do, see Receive buffer on the dashboard Runtime.",
    )
    .unit("cps")
    .query("callers: {{kind}}", "sum by (kind) (rate(sipwarden_client_retransmissions_total{P}[R]))")
    .query(
        "destinations: {{kind}}",
        "sum by (kind) (rate(sipwarden_destination_retransmissions_total{D}[R]))",
    )
}

pub fn connections() -> Panel {
    lines("Connections", "Open stream connections. Limits: limits.connections and connections_per_source.")
        .unit("none")
        .query("{{transport}} {{role}}", "sum by (transport, role) (sipwarden_transport_connections{P})")
}

pub fn connects() -> Panel {
    bars(
        "Connections opened, by result",
        "Inbound and outbound. Refused or timed out: the peer takes no TCP.",
    )
    .unit("cps")
    .query(
        "{{role}} {{result}}",
        "sum by (transport, role, result) (rate(sipwarden_transport_connects_total{P}[R]))",
    )
}

pub fn errors() -> Panel {
    bars("Transport errors", "Errors of send and receive calls, and unreachable peers that ICMP reported.")
        .unit("cps")
        .nothing("No transport errors")
        .query(
            "{{transport}} {{operation}} {{reason}}",
            "sum by (transport, operation, reason) (rate(sipwarden_transport_errors_total{P}[R])) > 0",
        )
}
