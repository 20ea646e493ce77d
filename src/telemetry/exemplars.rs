//! Exemplars: for a bucket or a counter, one trace that is kept and shows what was counted there.
//!
//! The fourth reader of events, asked only once a trace is kept and on its way to a collector, so that
//! whoever follows an exemplar finds the trace. One slot for each bucket or counter of a few families, the last one
//! wins; slots take memory with the first trace that an owner keeps. They hold our own ids and numbers
//! and nothing from the wire.

use super::metrics::{Index, delays};
use super::table::{Family as F, Kind};
use super::values::{FirstMethod, first_method};
use crate::facts::clock::Clock;
use crate::facts::event::{Event, MessageKind, Origin, ProbeRecord, Refusal, SelectionFailure, SkipReason};
use crate::facts::record::{SelectionRecord, TransactionRecord};
use crate::facts::trace::SpanRef;
use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

/// Families that have them.
pub const FAMILIES: [F; 6] =
    [F::ProbeRtt, F::SelectionFailures, F::Failovers, F::FirstResponse, F::SetupDelay, F::ForwardDelay];

/// One trace and what it was observed with.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exemplar {
    trace: u128,
    span: u64,
    value: f64,
    at: f64,
}

impl Exemplar {
    /// A span of a trace, the value observed, and the Unix time of that.
    pub const fn new(trace: u128, span: u64, value: f64, at: f64) -> Self {
        Self { trace, span, value, at }
    }

    /// The value observed.
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// Whether there is one at all.
    pub const fn is_set(&self) -> bool {
        self.trace != 0
    }

    /// Writes what stands behind a sample.
    pub fn write(&self, text: &mut String) {
        let Self { trace, span, value, at } = self;
        let _ = write!(text, " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {value} {at}");
    }
}

/// Puts kept traces into slots; one for each recorder.
#[derive(Debug)]
pub struct Marker {
    clock: Clock,
    /// The last step that passed responses on, and how long that took.
    passed_on: Option<(Instant, Duration)>,
}

impl Marker {
    /// A marker by this clock.
    pub const fn new(clock: Clock) -> Self {
        Self { clock, passed_on: None }
    }

    /// Takes note of what an event says; `kept` is its span if that is of a trace that is kept and queued.
    pub fn on(&mut self, index: &Index, event: &Event, kept: Option<SpanRef>) {
        if let Event::MessageForwarded { kind: MessageKind::Response, since, delay } = event {
            self.passed_on = Some((*since, *delay));
        }
        let Some(kept) = kept else { return };
        if let Event::TransactionFinished(record) = event {
            self.transaction(index, record, kept);
        } else if let Event::ProbeFinished(record) = event {
            self.probe(index, record, kept);
        }
    }

    fn transaction(&self, index: &Index, record: &TransactionRecord, kept: SpanRef) {
        let at = self.unix(record.ended);
        let mark = |value: f64| Exemplar::new(kept.trace(), kept.span(), value, at);
        for attempt in &record.attempts {
            let block = attempt.target.and_then(|target| Some(&index.target(target)?.block));
            if let (Some(block), Some(first)) = (block, attempt.first_response) {
                let delay = first.saturating_duration_since(attempt.started).as_secs_f64();
                let method: FirstMethod = first_method(record.method);
                block.exemplify(F::FirstResponse, &[method as usize], mark(delay));
            }
        }
        if let Some((F::SetupDelay, target, Some(result), delay)) = delays::of(record)
            && let Some(entry) = index.target(target)
        {
            entry.block.exemplify(F::SetupDelay, &[result as usize], mark(delay.as_secs_f64()));
        }
        for failover in record.failovers.iter().filter(|failover| failover.to.is_some()) {
            if let Some(entry) = index.target(failover.from) {
                entry.block.exemplify(F::Failovers, &[failover.cause as usize], mark(1.0));
            }
        }
        let failed = record.selections.iter().find(|selection| selection.destination.is_none());
        if let Some(reason) = failed.and_then(|selection| failure_of(record, selection))
            && let Some(entry) = record.set.and_then(|set| index.set(set))
        {
            entry.block.exemplify(F::SelectionFailures, &[reason as usize], mark(1.0));
        }
        // The answer went up in the step in which it came, with everything else of that step.
        if let Some((_, delay)) = self.passed_on.filter(|(since, _)| *since == record.ended)
            && record.origin == Origin::Upstream
        {
            let kind = MessageKind::Response as usize;
            index.process.exemplify(F::ForwardDelay, &[kind], mark(delay.as_secs_f64()));
        }
    }

    fn probe(&self, index: &Index, record: &ProbeRecord, kept: SpanRef) {
        let Some(entry) = index.target(record.target).filter(|_| record.outcome.code() != 0) else { return };
        let rtt = record.ended.saturating_duration_since(record.started).as_secs_f64();
        let exemplar = Exemplar::new(kept.trace(), kept.span(), rtt, self.unix(record.ended));
        entry.block.exemplify(F::ProbeRtt, &[], exemplar);
    }

    fn unix(&self, at: Instant) -> f64 {
        let since = self.clock.wall(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Milliseconds are what a reader of exemplars keeps.
        Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
    }
}

/// Why a selection that found nobody did.
fn failure_of(record: &TransactionRecord, selection: &SelectionRecord) -> Option<SelectionFailure> {
    let is_full = selection.skipped.iter().any(|(_, why)| *why == SkipReason::Full);
    match record.refusal {
        Some(Refusal::AllFull) => Some(SelectionFailure::AllFull),
        Some(Refusal::NoneUsable) if selection.candidates == 0 => Some(SelectionFailure::Empty),
        Some(Refusal::NoneUsable) => Some(SelectionFailure::NoneUsable),
        Some(_) => None,
        None if record.attempts.is_empty() => None,
        None if is_full => Some(SelectionFailure::AllFull),
        None => Some(SelectionFailure::AllTried),
    }
}

/// The bucket of a histogram, or 0 for a counter.
pub fn slot(family: F, value: f64) -> usize {
    match family.spec().kind {
        Kind::Histogram(bounds) => bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len()),
        Kind::Counter | Kind::Gauge => 0,
    }
}
