//! What comes from the OpenTelemetry SDK: our resource, and the live spans that it finishes.

use super::Queue;
use super::wire::{Head, Span, Value, attribute};
use crate::telemetry::metrics::Metrics;
use opentelemetry::trace::Status;
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// `Resource.attributes`.
const RESOURCE_ATTRIBUTE: u8 = 0x0a;

/// Hands spans that the SDK finishes to the queue.
#[derive(Debug)]
pub struct LiveSpans {
    /// Where they go.
    pub queue: Arc<Queue>,
    /// Where losses are counted.
    pub metrics: Arc<Metrics>,
}

impl SpanProcessor for LiveSpans {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        // A loss is counted there, and nothing refers to a span of the SDK.
        let _ = self.queue.push(&self.metrics, 1, |bytes| write(bytes, &span));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _resource: &Resource) {}
}

/// The `Resource` message of a resource.
pub fn resource_message(resource: &Resource) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in pairs(resource.iter()) {
        attribute(&mut bytes, RESOURCE_ATTRIBUTE, key, value);
    }
    bytes
}

fn write(bytes: &mut Vec<u8>, data: &SpanData) {
    let head = Head {
        trace: data.span_context.trace_id(),
        id: data.span_context.span_id(),
        parent: data.parent_span_id,
        is_remote: data.parent_span_is_remote,
        name: ["", &data.name],
        kind: data.span_kind.clone(),
        start: nanos(data.start_time),
        end: nanos(data.end_time),
    };
    let mut span = Span::begin(bytes, &head);
    for (key, value) in pairs(data.attributes.iter().map(as_pair)) {
        span.set(key, value);
    }
    for event in data.events.iter() {
        let attributes: Vec<_> = pairs(event.attributes.iter().map(as_pair)).collect();
        span.event(&event.name, nanos(event.timestamp), &attributes);
    }
    for link in data.links.iter() {
        span.link(link.span_context.trace_id(), link.span_context.span_id());
    }
    if matches!(data.status, Status::Error { .. }) {
        span.fail();
    }
    span.end();
}

fn as_pair(pair: &KeyValue) -> (&Key, &opentelemetry::Value) {
    (&pair.key, &pair.value)
}

/// The attributes; lists, which none of ours is, are left out.
fn pairs<'a>(
    pairs: impl Iterator<Item = (&'a Key, &'a opentelemetry::Value)>,
) -> impl Iterator<Item = (&'a str, Value<'a>)> {
    pairs.filter_map(|(key, value)| {
        let value = match value {
            opentelemetry::Value::Bool(flag) => Value::Bool(*flag),
            opentelemetry::Value::I64(number) => Value::Int(*number),
            opentelemetry::Value::F64(number) => Value::Float(*number),
            opentelemetry::Value::String(text) => Value::from(text.as_str()),
            _ => return None,
        };
        Some((key.as_str(), value))
    })
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
