//! An OTLP/HTTP collector: takes `POST /v1/traces` and keeps the spans.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::inbox;

/// One span received.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace.
    pub trace: Vec<u8>,
    /// Its id.
    pub id: Vec<u8>,
    /// Its parent's id, empty for a root.
    pub parent: Vec<u8>,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: otlp::span::SpanKind,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Whether its status is Error.
    pub is_error: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its links, as (trace, span).
    pub links: Vec<(Vec<u8>, Vec<u8>)>,
    /// The names of its events.
    pub events: Vec<String>,
    /// The attributes of its resource, as text.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute as text, empty if it is not there.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// How long it lasted.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }

    /// Whether another span lies within it.
    pub fn encloses(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// The collector; it serves until the test process ends.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts one on an address of its own.
    pub fn start() -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let kept = Arc::clone(&spans);
        let address = inbox::start(move |path, body| {
            let decoded = ExportTraceServiceRequest::decode(body).ok().filter(|_| path == "/v1/traces");
            let is_good = decoded.is_some();
            let received = decoded.into_iter().flat_map(spans_of);
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(received);
            is_good
        });
        Self { address, spans }
    }

    /// The URL for `tracing.otlp`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of the trace, by start.
    pub fn trace(&self, trace: &[u8]) -> Vec<Span> {
        let mut spans: Vec<Span> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
        spans.sort_by_key(|span| (span.start, u64::MAX - span.end));
        spans
    }
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut found = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            found.push(Span {
                kind: span.kind(),
                is_error: span.status.as_ref().is_some_and(|s| s.code() == otlp::status::StatusCode::Error),
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
                name: span.name,
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(span.attributes),
                links: span.links.into_iter().map(|link| (link.trace_id, link.span_id)).collect(),
                events: span.events.into_iter().map(|event| event.name).collect(),
                resource: resource.clone(),
            });
        }
    }
    found
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value.map(text).unwrap_or_default())).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
