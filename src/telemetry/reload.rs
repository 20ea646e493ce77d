//! The span of a configuration reload: a live one, since reloads are rare and take their time.
//!
//! It lives in a subscriber of its own, so that it neither needs nor disturbs the log's.

use super::metrics::Metrics;
use super::otlp::{LiveSpans, Queue, resource};
use crate::facts::event::{ConfigApplied, Event, ReloadTrigger};
use crate::facts::trace::SpanRef;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Span, dispatcher, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

/// The one target that the subscriber listens to.
const TARGET: &str = "sipwarden::reload";

/// Opens and closes the span of a reload.
#[derive(Debug)]
pub struct Reloads {
    spans: Dispatch,
    open: Mutex<Option<Span>>,
    /// Stops the tracer when dropped.
    _provider: SdkTracerProvider,
}

impl Reloads {
    /// Writes into this queue.
    pub fn new(queue: Arc<Queue>, metrics: Arc<Metrics>) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_span_processor(LiveSpans { queue, metrics })
            .with_resource(resource())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sipwarden"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false);
        let only = Targets::new().with_target(TARGET, LevelFilter::INFO);
        let spans = Dispatch::new(registry().with(only).with(layer));
        Self { spans, open: Mutex::new(None), _provider: provider }
    }

    /// A reload begins.
    pub fn started(&self) {
        *self.lock() = Some(self.span());
    }

    /// The span of the reload that ended, if this event says so; `before` is the hash of the
    /// configuration until now.
    pub fn on(&self, event: &Event, before: u64) -> Option<SpanRef> {
        let span = match event {
            Event::ConfigApplied(applied) => self.applied(applied.trigger?, applied, before),
            Event::ReloadFailed { trigger, error } => self.refused(*trigger, error, before),
            Event::ReloadUnchanged { trigger } => self.ended(*trigger, "unchanged", before, before),
            _ => return None,
        };
        let context = span.context();
        let context = context.span().span_context().clone();
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        context.is_valid().then(|| SpanRef::new(trace, u64::from_be_bytes(context.span_id().to_bytes())))
    }

    fn applied(&self, trigger: ReloadTrigger, applied: &ConfigApplied, before: u64) -> Span {
        let span = self.ended(trigger, "ok", before, applied.hash);
        // An unsigned number would become a text, because OTLP knows signed ones only.
        let count = |name: &'static str, count: u32| _ = span.record(name, i64::from(count));
        count("sipwarden.destinations.added", applied.added);
        count("sipwarden.destinations.removed", applied.removed);
        count("sipwarden.destinations.kept", applied.kept);
        count("sipwarden.destinations.changed", applied.changed);
        count("sipwarden.sets.added", applied.sets_added);
        count("sipwarden.sets.removed", applied.sets_removed);
        span
    }

    fn refused(&self, trigger: ReloadTrigger, error: &str, before: u64) -> Span {
        let span = self.ended(trigger, "invalid", before, before);
        span.set_status(Status::error(""));
        span.add_event("config.rejected", vec![KeyValue::new("error", error.to_owned())]);
        span
    }

    /// The span that was opened, or one opened here, with what every end says.
    fn ended(&self, trigger: ReloadTrigger, result: &'static str, before: u64, after: u64) -> Span {
        let span = self.lock().take().unwrap_or_else(|| self.span());
        span.record("sipwarden.reload.trigger", trigger.as_str());
        span.record("sipwarden.reload.result", result);
        span.record("sipwarden.config.hash_before", format!("{before:012x}"));
        span.record("sipwarden.config.hash_after", format!("{after:012x}"));
        span
    }

    fn span(&self) -> Span {
        dispatcher::with_default(&self.spans, || {
            tracing::info_span!(
                target: TARGET,
                parent: None,
                "config reload",
                sipwarden.reload.trigger = field::Empty,
                sipwarden.reload.result = field::Empty,
                sipwarden.config.hash_before = field::Empty,
                sipwarden.config.hash_after = field::Empty,
                sipwarden.destinations.added = field::Empty,
                sipwarden.destinations.removed = field::Empty,
                sipwarden.destinations.kept = field::Empty,
                sipwarden.destinations.changed = field::Empty,
                sipwarden.sets.added = field::Empty,
                sipwarden.sets.removed = field::Empty,
            )
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Span>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
