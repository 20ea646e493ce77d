//! One finished span in the making, and where span ids come from.
//!
//! Turns domain terms into the SDK's span data; knows no transaction and no probe.

use crate::facts::Transport;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::SystemTime;

/// Span ids: a sequence of unpredictable start that never repeats within 2^64.
#[derive(Debug)]
pub struct SpanIds(u64);

impl SpanIds {
    /// Starts at a random seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next id, never the invalid 0.
    pub fn next(&mut self) -> SpanId {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        SpanId::from((mixed ^ (mixed >> 31)).max(1))
    }
}

/// The context of a span of ours.
pub fn context(trace: u128, span: SpanId) -> SpanContext {
    let state = TraceState::default();
    SpanContext::new(TraceId::from(trace), span, TraceFlags::SAMPLED, false, state)
}

/// The scope of all spans.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("sipwarden").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A finished span with its attributes still to be added.
#[derive(Debug)]
pub struct Draft {
    data: SpanData,
}

impl Draft {
    /// A span of a trace, without parent.
    pub fn new(
        context: SpanContext,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        start: SystemTime,
        end: SystemTime,
    ) -> Self {
        let data = SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time: start,
            end_time: end.max(start),
            attributes: Vec::with_capacity(16),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        };
        Self { data }
    }

    /// Puts it under a parent.
    pub fn child_of(mut self, parent: SpanId) -> Self {
        self.data.parent_span_id = parent;
        self
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.data.attributes.push(KeyValue::new(key, value));
    }

    /// Sets the attributes that every SIP span has.
    pub fn set_network(&mut self, transport: Transport) {
        self.set("network.protocol.name", "sip");
        self.set("network.protocol.version", "2.0");
        self.set("network.transport", transport.as_str());
    }

    /// Sets the attributes of the peer that a request was sent to.
    pub fn set_server(&mut self, remote: SocketAddr) {
        self.set("server.address", remote.ip().to_string());
        self.set("server.port", i64::from(remote.port()));
        self.set("network.peer.address", remote.ip().to_string());
        self.set("network.peer.port", i64::from(remote.port()));
    }

    /// Adds an event.
    pub fn event(&mut self, name: &'static str, at: SystemTime, attributes: Vec<KeyValue>) {
        self.data.events.events.push(Event::new(name, at, attributes, 0));
    }

    /// Links to another span.
    pub fn link(&mut self, to: SpanContext) {
        self.data.links.links.push(Link::new(to, vec![], 0));
    }

    /// Marks it as failed, with the low-cardinality word for why.
    pub fn fail(&mut self, error_type: impl Into<Value>) {
        self.data.status = Status::error("");
        self.set("error.type", error_type);
    }

    /// The finished span.
    pub fn finish(self) -> SpanData {
        self.data
    }
}
