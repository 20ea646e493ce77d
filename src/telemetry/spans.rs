//! Spans of what has ended: server transactions with their selections, attempts and failovers, and
//! probes.
//!
//! Nothing is a live span on the call path: the core hands out a record when a transaction ends,
//! the tail decision falls here, and only a kept trace is written, with the record's own times, as
//! the bytes that a collector gets. A trace that is not kept costs a comparison and one counter.

mod decision;
mod draft;
mod probe;
mod table;
mod transaction;

pub use table::SPANS;

use super::Settings;
use super::metrics::{Index, Metrics};
use super::otlp::{Fate, Lane};
use crate::facts::Target;
use crate::facts::clock::Clock;
use crate::facts::event::{Event, ProbeRecord, StateChange};
use crate::facts::record::TransactionRecord;
use crate::facts::trace::SpanRef;
use decision::Budget;
use draft::SpanIds;
use std::collections::HashMap;
use std::time::Duration;

/// Writes the spans of one recorder.
#[derive(Debug)]
pub struct Writer {
    lane: Option<Lane>,
    ids: SpanIds,
    clock: Clock,
    ratio: f64,
    probe_ratio: f64,
    slow: Duration,
    budget: Budget,
    /// The span that last changed a destination's state, of a probe or of an attempt; at most one for
    /// each destination.
    changed_by: HashMap<Target, SpanRef>,
}

impl Writer {
    /// A writer into this lane; without one it does nothing.
    pub fn new(settings: &Settings, lane: Option<Lane>, clock: Clock, seed: u64) -> Self {
        Self {
            lane,
            ids: SpanIds::new(seed),
            clock,
            ratio: settings.ratio,
            probe_ratio: settings.probe_ratio,
            slow: settings.slow,
            budget: Budget::default(),
            changed_by: HashMap::new(),
        }
    }

    /// Writes the spans that an event ends, if their trace is kept; the span that stands for it, if a
    /// collector can have it.
    #[inline]
    pub fn on(&mut self, index: &Index, metrics: &Metrics, event: &Event) -> Option<SpanRef> {
        self.lane.as_ref()?;
        match event {
            Event::TransactionFinished(record) | Event::RequestUnanswered(record) => {
                return self.transaction(index, metrics, record);
            }
            Event::ProbeFinished(record) => return self.probe(index, metrics, record),
            // Told within the record of the transaction they belong to.
            Event::RequestReceived { .. }
            | Event::RequestAbsorbed { .. }
            | Event::ResponseRetransmitted { .. }
            | Event::DestinationSelected { .. }
            | Event::SelectionFailed { .. }
            | Event::RequestRefused { .. }
            | Event::AttemptStarted { .. }
            | Event::ResponseReceived { .. }
            | Event::RequestRetransmitted { .. }
            | Event::ResponseRepeated { .. }
            | Event::AttemptTimedOut { .. }
            | Event::FailedOver { .. }
            | Event::FailoversExhausted { .. } => {}
            // Told within the probe that caused it; the next probe links to it.
            Event::DestinationChanged(change) => self.note_cause(index, change),
            // Told within the probe.
            Event::ProbeSent { .. } | Event::ProbeUnmatched => {}
            // A live span, see `reload`.
            Event::ConfigApplied(_) | Event::ReloadFailed { .. } | Event::ReloadUnchanged { .. } => {}
            // Metrics and logs only.
            Event::MessageReceived { .. }
            | Event::MessageSent { .. }
            | Event::ParseFailed { .. }
            | Event::MessageDropped { .. }
            | Event::MessageForwarded { .. }
            | Event::SetChanged { .. }
            | Event::EvidenceDropped
            | Event::DialogEnded { .. }
            | Event::DialogExpired { .. }
            | Event::NameResolved { .. }
            | Event::AddressesChanged { .. }
            | Event::EndpointsChanged { .. }
            | Event::FellBackToUdp { .. }
            | Event::ConnectionOpened { .. }
            | Event::ConnectionClosed { .. }
            | Event::LingerDropped { .. }
            | Event::HandedOver { .. }
            | Event::SocketFailed { .. }
            | Event::StateRestored { .. }
            | Event::StateIgnored { .. }
            | Event::StateNotSaved { .. }
            | Event::DrainStarted { .. }
            | Event::DrainEnded { .. } => {}
        }
        None
    }

    fn transaction(
        &mut self,
        index: &Index,
        metrics: &Metrics,
        record: &TransactionRecord,
    ) -> Option<SpanRef> {
        let Self { lane: Some(lane), ids, clock, .. } = self else { return None };
        let decision = decision::of_transaction(record, self.slow, self.ratio);
        let decision = self.budget.limit(decision, record, self.ratio);
        metrics.trace_ended(index, decision);
        if !decision.is_kept() {
            return None;
        }
        let write = |bytes: &mut Vec<u8>| transaction::write(bytes, index, *clock, ids, record);
        let fate = lane.write(metrics, transaction::count(record), write);
        (fate == Fate::Queued).then_some(record.span)
    }

    fn probe(&mut self, index: &Index, metrics: &Metrics, record: &ProbeRecord) -> Option<SpanRef> {
        let lane = self.lane.as_ref()?;
        let decision = decision::of_probe(record, self.probe_ratio);
        metrics.trace_ended(index, decision);
        if !decision.is_kept() {
            return None;
        }
        let cause = self.changed_by.get(&record.target).copied();
        let fate = lane.write(metrics, 1, |bytes| probe::write(bytes, index, self.clock, record, cause));
        (fate == Fate::Queued).then_some(record.span)
    }

    fn note_cause(&mut self, index: &Index, change: &StateChange) {
        if let Some(span) = change.span {
            self.changed_by.retain(|target, _| index.target(*target).is_some());
            self.changed_by.insert(change.target, span);
        }
    }
}
