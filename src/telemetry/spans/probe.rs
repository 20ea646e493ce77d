//! The span of a probe, from its record: a root of its own, linked to the one that last changed
//! the destination's state.

use super::draft::{Draft, SpanIds, context};
use super::transaction::{destination_name, set_name};
use crate::facts::clock::Clock;
use crate::facts::event::ProbeRecord;
use crate::telemetry::metrics::Index;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use opentelemetry_sdk::trace::SpanData;
use std::time::SystemTime;

/// The span of a finished probe.
pub fn span(
    index: &Index,
    clock: Clock,
    ids: &mut SpanIds,
    record: &ProbeRecord,
    changed_by: Option<SpanContext>,
) -> SpanData {
    let (start, end) = (clock.wall(record.started), clock.wall(record.ended));
    let own = context(record.trace, ids.next());
    let mut span = Draft::new(own, "OPTIONS probe", SpanKind::Client, start, end);
    span.set_network(record.transport);
    if let Some(remote) = record.remote {
        span.set_server(remote);
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
        let count = KeyValue::new("count", i64::from(record.retransmissions));
        span.event("sip.retransmission", end, vec![count]);
    }
    if let Some(change) = record.change {
        let from = KeyValue::new("from", change.from.as_str());
        let to = KeyValue::new("to", change.to.as_str());
        let reason = KeyValue::new("reason", change.reason.as_str());
        span.event("destination.state_change", clock.wall(change.at), vec![from, to, reason]);
    }
    if !record.outcome.is_success() {
        span.fail(record.outcome.to_string());
    }
    if let Some(changed_by) = changed_by {
        span.link(changed_by);
    }
    span.finish()
}
