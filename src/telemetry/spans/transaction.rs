//! The spans of a server transaction, from its record.
//!
//! The server span is the root; failovers and attempts are its children, a selection is the child
//! of the failover that asked for it. Branches still open when the first final response goes
//! upstream are closed there.

use super::decision::is_error;
use super::draft::{Draft, SpanIds, context};
use crate::facts::clock::Clock;
use crate::facts::event::{AttemptOutcome, Origin, SelectionReason};
use crate::facts::record::{AttemptRecord, FailoverRecord, SelectionRecord, TransactionRecord};
use crate::facts::{SetId, Target};
use crate::telemetry::metrics::Index;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_sdk::trace::SpanData;
use smallvec::SmallVec;
use std::time::Instant;

/// Events of one kind that a span keeps.
const MAX_EVENTS: usize = 8;

/// All spans of the transaction, the root last.
pub fn spans(index: &Index, clock: Clock, ids: &mut SpanIds, record: &TransactionRecord) -> Vec<SpanData> {
    let tree = Tree { index, clock, record, root: root_of(record.trace) };
    let count = 1 + record.selections.len() + record.failovers.len() + record.attempts.len();
    let mut spans = Vec::with_capacity(count);
    let failovers: SmallVec<[SpanId; 2]> = record.failovers.iter().map(|_| ids.next()).collect();
    for (position, failover) in record.failovers.iter().enumerate() {
        let id = failovers.get(position).copied().unwrap_or(SpanId::INVALID);
        spans.push(tree.failover(failover, position, id));
    }
    for selection in &record.selections {
        let parent = tree.failover_of(selection).and_then(|position| failovers.get(position));
        spans.push(tree.selection(selection, ids.next(), parent.copied().unwrap_or(tree.root)));
    }
    let mut previous = None;
    for attempt in &record.attempts {
        let id = ids.next();
        spans.push(tree.attempt(attempt, id, previous));
        previous = Some(id);
    }
    spans.push(tree.server());
    spans
}

/// The id of the server span of a trace: a function of the trace, so that a later transaction of the
/// dialog can link to it without anybody having kept it.
fn root_of(trace: u128) -> SpanId {
    let folded = (trace >> 64) ^ (trace & u128::from(u64::MAX));
    SpanId::from(u64::try_from(folded).unwrap_or(u64::MAX).max(1))
}

struct Tree<'a> {
    index: &'a Index,
    clock: Clock,
    record: &'a TransactionRecord,
    root: SpanId,
}

impl Tree<'_> {
    fn server(&self) -> SpanData {
        let record = self.record;
        let mut span =
            self.draft(self.root, record.method.as_str(), SpanKind::Server, record.started, record.ended);
        span.set_network(record.transport);
        span.set("client.address", record.client.ip().to_string());
        span.set("client.port", i64::from(record.client.port()));
        span.set("sip.request.method", record.method.as_str());
        span.set("sip.call_id", record.call_id.as_str().to_owned());
        if let Some(session) = &record.session {
            span.set("sip.session_id.local", session.local.as_str().to_owned());
            if let Some(remote) = &session.remote {
                span.set("sip.session_id.remote", remote.as_str().to_owned());
            }
        }
        span.set("sip.cseq", i64::from(record.cseq));
        if record.code != 0 {
            span.set("sip.response.status_code", i64::from(record.code));
        }
        span.set("sip.dialog.in_dialog", record.in_dialog);
        if let Some(set) = record.set {
            span.set("sipwarden.set", set_name(self.index, set));
        }
        if let Some(listener) = self.index.listeners.get(record.listener.index()) {
            span.set("sipwarden.listener", listener.name.clone());
        }
        span.set("sipwarden.attempts", i64::try_from(record.attempts.len()).unwrap_or(i64::MAX));
        span.set("sipwarden.response.origin", record.origin.as_str());
        if let Some(refusal) = record.refusal {
            span.set("sipwarden.refusal", refusal.as_str());
        }
        self.provisionals(&mut span, &record.provisionals);
        if let Some(at) = record.cancelled_at {
            span.event("sip.cancel", self.clock.wall(at), vec![]);
        }
        if record.retransmissions_absorbed > 0 {
            let count = KeyValue::new("count", i64::from(record.retransmissions_absorbed));
            span.event("sip.retransmission_absorbed", self.clock.wall(record.ended), vec![count]);
        }
        if is_error(record.code, record.origin) {
            span.fail(self.error_type());
        }
        if let Some(invite) = record.dialog {
            span.link(context(invite, root_of(invite)));
        }
        span.finish()
    }

    /// The timer that made us answer 408 or 503 ourselves, else the code.
    fn error_type(&self) -> StringValue {
        let last = self.record.attempts.last().map(|attempt| attempt.outcome);
        if let (Origin::Local, Some(AttemptOutcome::TimedOut(timer))) = (self.record.origin, last) {
            format!("timer_{timer}").into()
        } else if self.record.code == 0 {
            "no_response".into()
        } else {
            self.record.code.to_string().into()
        }
    }

    fn selection(&self, selection: &SelectionRecord, id: SpanId, parent: SpanId) -> SpanData {
        let set = set_name(self.index, selection.set);
        let end = selection.at + selection.took;
        let name = format!("select {set}");
        let mut span = self.draft(id, name, SpanKind::Internal, selection.at, end).child_of(parent);
        span.set("sipwarden.set", set);
        span.set("sipwarden.algorithm", selection.algorithm.as_str());
        span.set("sipwarden.reason", selection.reason.as_str());
        if let Some(destination) = selection.destination {
            span.set("sipwarden.destination", destination_name(self.index, destination));
        }
        span.set("sipwarden.candidates", i64::from(selection.candidates));
        span.set("sipwarden.candidates_available", i64::from(selection.available));
        if let Some(key) = selection.hash_key {
            span.set("sipwarden.hash_key_kind", key);
        }
        let found = selection.destination.is_some();
        span.set("sipwarden.result", if found { "selected" } else { "none" });
        for (candidate, why) in &selection.skipped {
            let name = KeyValue::new("destination", destination_name(self.index, *candidate));
            let why = KeyValue::new("why", why.as_str());
            span.event("candidate.skipped", self.clock.wall(selection.at), vec![name, why]);
        }
        if !found {
            span.fail("none_selected");
        }
        span.finish()
    }

    fn attempt(&self, attempt: &AttemptRecord, id: SpanId, previous: Option<SpanId>) -> SpanData {
        let record = self.record;
        let end = attempt.ended.unwrap_or(record.ended).min(record.ended);
        let method = record.method.as_str();
        let mut span = self.draft(id, method, SpanKind::Client, attempt.started, end).child_of(self.root);
        span.set_network(attempt.transport);
        span.set_server(attempt.remote);
        span.set("sip.request.method", method);
        if let Some(target) = attempt.target {
            span.set("sipwarden.destination", destination_name(self.index, target));
            if let Some(set) = self.index.directory.names.set_of(target) {
                span.set("sipwarden.set", set_name(self.index, set));
            }
        }
        span.set("sipwarden.attempt", i64::from(attempt.number));
        if attempt.code != 0 {
            span.set("sip.response.status_code", i64::from(attempt.code));
        }
        span.set("sip.retransmissions", i64::from(attempt.retransmissions));
        for at in attempt.retransmitted.iter().take(MAX_EVENTS) {
            span.event("sip.retransmission", self.clock.wall(*at), vec![]);
        }
        if let Some((at, reason)) = attempt.fell_back {
            let reason = KeyValue::new("reason", reason.as_str());
            span.event("transport.fallback", self.clock.wall(at), vec![reason]);
        }
        self.provisionals(&mut span, &attempt.provisionals);
        match attempt.outcome {
            AttemptOutcome::Pending => span.set("sipwarden.abandoned", true),
            AttemptOutcome::Answered => {
                if attempt.code >= 400 && !matches!(attempt.code, 401 | 407 | 486 | 487) {
                    span.fail(attempt.code.to_string());
                }
            }
            AttemptOutcome::GivenUp => span.fail("no_response"),
            AttemptOutcome::TimedOut(timer) => {
                span.set("sip.timer_fired", timer.as_str());
                span.fail(format!("timer_{timer}"));
            }
            AttemptOutcome::Transport(reason) => {
                let reason = reason.as_str();
                let detail = vec![KeyValue::new("reason", reason)];
                span.event("transport.error", self.clock.wall(end), detail);
                span.fail(reason);
            }
        }
        if let Some(previous) = previous {
            span.link(context(record.trace, previous));
        }
        span.finish()
    }

    fn failover(&self, failover: &FailoverRecord, position: usize, id: SpanId) -> SpanData {
        // It lasts until the selection that it asked for is made.
        let asked = self.record.selections.iter().find(|s| self.failover_of(s) == Some(position));
        let end = asked.map_or(failover.at, |selection| selection.at + selection.took);
        let mut span = self.draft(id, "failover", SpanKind::Internal, failover.at, end).child_of(self.root);
        span.set("sipwarden.failover.from", destination_name(self.index, failover.from));
        if let Some(to) = failover.to {
            span.set("sipwarden.failover.to", destination_name(self.index, to));
        }
        span.set("sipwarden.failover.cause", failover.cause.as_str());
        span.set("sipwarden.failover.remaining", i64::from(failover.remaining));
        span.set("sipwarden.failover.passive_mark", failover.passive_mark);
        if failover.to.is_none() {
            span.fail("exhausted");
        }
        span.finish()
    }

    /// The position of the failover that asked for a selection: the one that led to where the
    /// selection pointed. No destination is tried twice, so there is at most one.
    fn failover_of(&self, selection: &SelectionRecord) -> Option<usize> {
        let asked =
            |failover: &FailoverRecord| failover.to == selection.destination && failover.at <= selection.at;
        match selection.reason {
            SelectionReason::Primary | SelectionReason::Affinity => None,
            SelectionReason::Failover | SelectionReason::FallbackSet | SelectionReason::TryAnyway => {
                self.record.failovers.iter().rposition(asked)
            }
        }
    }

    fn provisionals(&self, span: &mut Draft, provisionals: &[(Instant, u16)]) {
        for (at, code) in provisionals.iter().take(MAX_EVENTS) {
            let code = KeyValue::new("code", i64::from(*code));
            span.event("sip.provisional", self.clock.wall(*at), vec![code]);
        }
    }

    fn draft(
        &self,
        id: SpanId,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        start: Instant,
        end: Instant,
    ) -> Draft {
        let (start, end) = (self.clock.wall(start), self.clock.wall(end));
        Draft::new(context(self.record.trace, id), name, kind, start, end)
    }
}

/// The name of a set as an attribute.
pub fn set_name(index: &Index, set: SetId) -> StringValue {
    match index.set(set) {
        Some(entry) => entry.name.clone().into(),
        None => index.directory.names.set(set).to_owned().into(),
    }
}

/// The id of a destination as an attribute.
pub fn destination_name(index: &Index, target: Target) -> StringValue {
    match index.target(target) {
        Some(entry) => entry.id.clone().into(),
        None => index.directory.names.target(target).to_owned().into(),
    }
}
