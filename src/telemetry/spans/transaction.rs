//! The spans of a server transaction, from its record.
//!
//! The server span is the root; failovers and attempts are its children, a selection is the child
//! of the failover that asked for it. Branches still open when the first final response goes
//! upstream are closed there.

use super::decision::is_error;
use super::draft::{Draft, Parent, SpanIds, id_of};
use crate::facts::clock::Clock;
use crate::facts::event::{AttemptOutcome, FatalTimer, Origin, SelectionReason};
use crate::facts::record::{AttemptRecord, FailoverRecord, SelectionRecord, TransactionRecord};
use crate::facts::trace::SpanRef;
use crate::facts::{SetId, Target};
use crate::telemetry::metrics::Index;
use crate::telemetry::otlp::wire::Value;
use opentelemetry::trace::{SpanId, SpanKind};
use smallvec::SmallVec;
use std::time::Instant;

/// Events of one kind that a span keeps.
const MAX_EVENTS: usize = 8;

/// How many spans a transaction has.
pub fn count(record: &TransactionRecord) -> usize {
    1 + record.selections.len() + record.failovers.len() + record.attempts.len()
}

/// Writes all spans of the transaction, the root last.
pub fn write(
    bytes: &mut Vec<u8>,
    index: &Index,
    clock: Clock,
    ids: &mut SpanIds,
    record: &TransactionRecord,
) {
    let mut tree = Tree { bytes, index, clock, record, root: id_of(record.span) };
    let failovers: SmallVec<[SpanId; 2]> = record.failovers.iter().map(|_| ids.next()).collect();
    for (position, failover) in record.failovers.iter().enumerate() {
        let id = failovers.get(position).copied().unwrap_or(SpanId::INVALID);
        tree.failover(failover, position, id);
    }
    for selection in &record.selections {
        let parent = failover_of(record, selection).and_then(|position| failovers.get(position));
        let parent = parent.copied().unwrap_or(tree.root);
        tree.selection(selection, ids.next(), parent);
    }
    let mut previous = None;
    for attempt in &record.attempts {
        let span = record.span.attempt(attempt.number);
        tree.attempt(attempt, id_of(span), previous);
        previous = Some(span);
    }
    tree.server();
}

struct Tree<'a> {
    bytes: &'a mut Vec<u8>,
    index: &'a Index,
    clock: Clock,
    record: &'a TransactionRecord,
    root: SpanId,
}

impl Tree<'_> {
    fn server(&mut self) {
        let (record, index) = (self.record, self.index);
        let name = ["", record.method.as_str()];
        let times = [record.started, record.ended];
        let parent = record.parent.map_or(Parent::None, |parent| Parent::Remote(id_of(parent.span)));
        let mut span = self.draft(self.root, parent, name, SpanKind::Server, times);
        span.set_network(record.transport);
        let listener = index.directory.listeners.get(record.listener.index());
        span.set_client(listener, record.transport, record.client);
        span.set("sip.request.method", record.method.as_str());
        span.set("sip.call_id", &*record.call_id.printable());
        if let Some(session) = &record.session {
            span.set("sip.session_id.local", session.local.as_str());
            if let Some(remote) = &session.remote {
                span.set("sip.session_id.remote", remote.as_str());
            }
        }
        if let Some(uris) = &record.uris {
            span.set("sip.request.uri", &*uris.request.printable());
            span.set("sip.from.uri", &*uris.from.printable());
            span.set("sip.to.uri", &*uris.to.printable());
        }
        span.set("sip.cseq", i64::from(record.cseq));
        if record.code != 0 {
            span.set("sip.response.status_code", i64::from(record.code));
        }
        span.set("sip.dialog.in_dialog", record.in_dialog);
        if let Some(set) = record.set {
            span.set("sipwarden.set", set_name(index, set));
        }
        if let Some(listener) = listener {
            span.set("sipwarden.listener", &*listener.name);
        }
        span.set("sipwarden.attempts", i64::try_from(record.attempts.len()).unwrap_or(i64::MAX));
        span.set("sipwarden.response.origin", record.origin.as_str());
        if let Some(refusal) = record.refusal {
            span.set("sipwarden.refusal", refusal.as_str());
        }
        provisionals(&mut span, &record.provisionals);
        if let Some(at) = record.cancelled_at {
            span.event("sip.cancel", at, &[]);
        }
        if record.retransmissions_absorbed > 0 {
            let count = i64::from(record.retransmissions_absorbed);
            span.event("sip.retransmission_absorbed", record.ended, &[("count", Value::Int(count))]);
        }
        if is_error(record.code, record.origin) {
            fail_server(&mut span, record);
        }
        if let Some(invite) = record.dialog {
            span.link(invite);
        }
        span.finish();
    }

    fn selection(&mut self, selection: &SelectionRecord, id: SpanId, parent: SpanId) {
        let index = self.index;
        let set = set_name(index, selection.set);
        let times = [selection.at, selection.at + selection.took];
        let mut span = self.draft(id, Parent::Ours(parent), ["select ", set], SpanKind::Internal, times);
        span.set("sipwarden.set", set);
        span.set("sipwarden.algorithm", selection.algorithm.as_str());
        span.set("sipwarden.reason", selection.reason.as_str());
        if let Some(destination) = selection.destination {
            span.set("sipwarden.destination", destination_name(index, destination));
        }
        span.set("sipwarden.candidates", i64::from(selection.candidates));
        span.set("sipwarden.candidates_available", i64::from(selection.available));
        if let Some(key) = selection.hash_key {
            span.set("sipwarden.hash_key_kind", key);
        }
        let found = selection.destination.is_some();
        span.set("sipwarden.result", if found { "selected" } else { "none" });
        for (candidate, why) in &selection.skipped {
            let name = ("destination", Value::from(destination_name(index, *candidate)));
            span.event("candidate.skipped", selection.at, &[name, ("why", Value::from(why.as_str()))]);
        }
        if !found {
            span.fail("none_selected");
        }
        span.finish();
    }

    fn attempt(&mut self, attempt: &AttemptRecord, id: SpanId, previous: Option<SpanRef>) {
        let (record, index) = (self.record, self.index);
        let end = attempt.ended.unwrap_or(record.ended).min(record.ended);
        let method = record.method.as_str();
        let times = [attempt.started, end];
        let mut span = self.draft(id, Parent::Ours(self.root), ["", method], SpanKind::Client, times);
        span.set_network(attempt.transport);
        let listener = index.directory.listeners.get(attempt.listener.index());
        span.set_server(listener, attempt.transport, attempt.remote);
        span.set("sip.request.method", method);
        if let Some(target) = attempt.target {
            span.set("sipwarden.destination", destination_name(index, target));
            if let Some(set) = index.directory.names.set_of(target) {
                span.set("sipwarden.set", set_name(index, set));
            }
        }
        span.set("sipwarden.attempt", i64::from(attempt.number));
        if attempt.code != 0 {
            span.set("sip.response.status_code", i64::from(attempt.code));
        }
        span.set("sip.retransmissions", i64::from(attempt.retransmissions));
        for at in attempt.retransmitted.iter().take(MAX_EVENTS) {
            span.event("sip.retransmission", *at, &[]);
        }
        if let Some((at, reason)) = attempt.fell_back {
            span.event("transport.fallback", at, &[("reason", Value::from(reason.as_str()))]);
        }
        provisionals(&mut span, &attempt.provisionals);
        match attempt.outcome {
            AttemptOutcome::Pending => span.set("sipwarden.abandoned", true),
            AttemptOutcome::Answered => {
                if attempt.code >= 400 && !matches!(attempt.code, 401 | 407 | 486 | 487) {
                    span.fail(itoa::Buffer::new().format(attempt.code));
                }
            }
            AttemptOutcome::GivenUp => span.fail("no_response"),
            AttemptOutcome::TimedOut(timer) => {
                span.set("sip.timer_fired", timer.as_str());
                span.fail(timer_error(timer));
            }
            AttemptOutcome::Transport(reason) => {
                let reason = reason.as_str();
                span.event("transport.error", end, &[("reason", Value::from(reason))]);
                span.fail(reason);
            }
        }
        if let Some(previous) = previous {
            span.link(previous);
        }
        span.finish();
    }

    fn failover(&mut self, failover: &FailoverRecord, position: usize, id: SpanId) {
        let (record, index) = (self.record, self.index);
        // It lasts until the selection that it asked for is made.
        let asked = record.selections.iter().find(|asked| failover_of(record, asked) == Some(position));
        let end = asked.map_or(failover.at, |selection| selection.at + selection.took);
        let parent = Parent::Ours(self.root);
        let mut span = self.draft(id, parent, ["", "failover"], SpanKind::Internal, [failover.at, end]);
        span.set("sipwarden.failover.from", destination_name(index, failover.from));
        if let Some(to) = failover.to {
            span.set("sipwarden.failover.to", destination_name(index, to));
        }
        span.set("sipwarden.failover.cause", failover.cause.as_str());
        span.set("sipwarden.failover.remaining", i64::from(failover.remaining));
        span.set("sipwarden.failover.passive_mark", failover.passive_mark);
        if failover.to.is_none() {
            span.fail("exhausted");
        }
        span.finish();
    }

    fn draft(
        &mut self,
        id: SpanId,
        parent: Parent,
        name: [&str; 2],
        kind: SpanKind,
        times: [Instant; 2],
    ) -> Draft<'_> {
        let own = (self.record.span.trace(), id);
        Draft::new(self.bytes, self.clock, own, parent, name, kind, times)
    }
}

/// The position of the failover that asked for a selection: the one that led to where the
/// selection pointed. No destination is tried twice, so there is at most one.
fn failover_of(record: &TransactionRecord, selection: &SelectionRecord) -> Option<usize> {
    let asked =
        |failover: &FailoverRecord| failover.to == selection.destination && failover.at <= selection.at;
    match selection.reason {
        SelectionReason::Primary | SelectionReason::Affinity => None,
        SelectionReason::Failover | SelectionReason::FallbackSet | SelectionReason::TryAnyway => {
            record.failovers.iter().rposition(asked)
        }
    }
}

fn provisionals(span: &mut Draft<'_>, provisionals: &[(Instant, u16)]) {
    for (at, code) in provisionals.iter().take(MAX_EVENTS) {
        span.event("sip.provisional", *at, &[("code", Value::Int(i64::from(*code)))]);
    }
}

/// Fails with the timer that made us answer 408 or 503 ourselves, else with the code.
fn fail_server(span: &mut Draft<'_>, record: &TransactionRecord) {
    let last = record.attempts.last().map(|attempt| attempt.outcome);
    if let (Origin::Local, Some(AttemptOutcome::TimedOut(timer))) = (record.origin, last) {
        span.fail(timer_error(timer));
    } else if record.code == 0 {
        span.fail("no_response");
    } else {
        span.fail(itoa::Buffer::new().format(record.code));
    }
}

const fn timer_error(timer: FatalTimer) -> &'static str {
    match timer {
        FatalTimer::B => "timer_B",
        FatalTimer::C => "timer_C",
        FatalTimer::F => "timer_F",
    }
}

/// The name of a set.
pub fn set_name(index: &Index, set: SetId) -> &str {
    index.set(set).map_or_else(|| index.directory.names.set(set), |entry| &entry.name)
}

/// The id of a destination.
pub fn destination_name(index: &Index, target: Target) -> &str {
    index.target(target).map_or_else(|| index.directory.names.target(target), |entry| &entry.id)
}
