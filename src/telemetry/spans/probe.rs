//! The span of a probe, from its record: a root of its own, linked to the one that last changed
//! the destination's state.

use super::draft::{Draft, Parent, id_of};
use super::transaction::{destination_name, set_name};
use crate::facts::clock::Clock;
use crate::facts::event::ProbeRecord;
use crate::facts::trace::SpanRef;
use crate::telemetry::metrics::Index;
use crate::telemetry::otlp::wire::Value;
use opentelemetry::trace::SpanKind;
use std::time::SystemTime;

/// Writes the span of a finished probe.
pub fn write(
    bytes: &mut Vec<u8>,
    index: &Index,
    clock: Clock,
    record: &ProbeRecord,
    changed_by: Option<SpanRef>,
) {
    let (name, times) = (["", "OPTIONS probe"], [record.started, record.ended]);
    let own = (record.span.trace(), id_of(record.span));
    let mut span = Draft::new(bytes, clock, own, Parent::None, name, SpanKind::Client, times);
    span.set_network(record.transport);
    if let Some(remote) = record.remote {
        let listener = record.listener.and_then(|listener| index.directory.listeners.get(listener.index()));
        span.set_server(listener, record.transport, remote);
    }
    span.set("sipwarden.destination", destination_name(index, record.target));
    if let Some(set) = index.directory.names.set_of(record.target) {
        span.set("sipwarden.set", set_name(index, set));
    }
    span.set("sipwarden.probe.result", record.outcome.result().as_str());
    span.set("sipwarden.probe.consecutive_failures", i64::from(record.consecutive_failures));
    let due = clock.wall(record.scheduled).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    span.set("sipwarden.probe.scheduled_at", due.as_secs_f64());
    let lag = record.started.saturating_duration_since(record.scheduled);
    span.set("sipwarden.probe.lag_ms", lag.as_secs_f64() * 1_000.0);
    if record.outcome.code() != 0 {
        span.set("sip.response.status_code", i64::from(record.outcome.code()));
    }
    if record.retransmissions > 0 {
        let count = Value::Int(i64::from(record.retransmissions));
        span.event("sip.retransmission", record.ended, &[("count", count)]);
    }
    if let Some(change) = record.change {
        let from = ("from", Value::from(change.from.as_str()));
        let to = ("to", Value::from(change.to.as_str()));
        let reason = ("reason", Value::from(change.reason.as_str()));
        span.event("destination.state_change", change.at, &[from, to, reason]);
    }
    if !record.outcome.is_success() {
        span.fail(&record.outcome.to_string());
    }
    if let Some(changed_by) = changed_by {
        span.link(changed_by);
    }
    span.finish();
}
