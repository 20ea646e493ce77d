//! New requests: from a new server transaction to the first attempt.

use super::Core;
use super::admit::{self, Admitted};
use super::choose::{Found, Selected, basis_of, is_call};
use super::context::Context;
use super::engine::{Engine, reply_hop, stamp};
use super::mark::MarkId;
use super::mtu::NextHop;
use super::reject::Rejection;
use super::route::{Decision, Routed, route};
use super::traces::{Traced, captured_uris};
use crate::facts::event::{Event, Origin, Refusal};
use crate::facts::record::{SessionId, TransactionRecord, WireText};
use crate::facts::{Hop, Method, SetId};
use crate::sip::Message;
use crate::transaction::slab::Id;
use crate::transaction::timer::Alarm;
use crate::transaction::{Key, Matched, Owner};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// A request that begins a server transaction, as it came; lives no longer than the step.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The key of its transaction.
    pub key: Key,
    /// The request.
    pub request: Message<'a>,
    /// Where it came from.
    pub from: Hop,
    /// When it came.
    pub now: Instant,
}

impl Core {
    /// A request came that could be parsed.
    pub(super) fn on_request(&mut self, request: Message<'_>, from: Hop, now: Instant) {
        let engine = &mut self.engine;
        match engine.transactions.receive_request(request, now, &mut engine.outbox) {
            Matched::Absorbed(owner) => self.note_absorbed(request, owner),
            Matched::EndToEndAck => engine.forward_ack(request, from, now),
            Matched::New(key) => {
                let arrival = Arrival { key, request, from, now };
                if request.method() == Method::Cancel {
                    self.on_cancel(arrival);
                } else {
                    self.begin(arrival);
                }
            }
        }
    }

    fn note_absorbed(&mut self, request: Message<'_>, owner: Owner) {
        if let Owner::Request { slot, generation } = owner
            && request.method() != Method::Ack
            && let Some(context) = self.contexts.get_mut(Id::from_parts(slot, generation))
            && let Some(record) = &mut context.record
        {
            record.retransmissions_absorbed += 1;
        }
    }

    /// A request that begins a server transaction.
    fn begin(&mut self, arrival: Arrival<'_>) {
        let Arrival { request, from, .. } = arrival;
        let engine = &mut self.engine;
        let limit = u64::from(engine.plan.settings().max_transactions);
        // What ends a call, or keeps it alive, still finds room where new ones find none.
        let reserve = if request.to_tag().is_some() { limit / RESERVE } else { 0 };
        // What was given up and answered still waits for its destination.
        let waiting = u64::try_from(self.contexts.len()).unwrap_or(u64::MAX);
        if engine.transactions.unfinished().max(waiting) >= limit + reserve {
            let rejection = Rejection::new(503, Refusal::Overload, "too many transactions");
            return engine.refuse_statelessly(arrival, rejection.retry_after(DRAIN_RETRY));
        }
        engine.outbox.event(Event::RequestReceived { listener: from.listener, method: request.method() });
        let admitted = match admit::check(request, &engine.loops) {
            Ok(admitted) => admitted,
            Err(rejection) => return engine.reject(arrival, rejection),
        };
        let Routed { decision, edits, dialog_target } = route(request, admitted, from, engine.view());
        let is_unwelcome = engine.is_draining && request.to_tag().is_none();
        match decision {
            Decision::Reject(rejection) => engine.reject(arrival, rejection),
            Decision::ForUs => engine.answer_options(arrival),
            Decision::Dispatch(set) if is_unwelcome => {
                engine.reject(arrival, shutting_down(engine.retry_after(set)).of_set(set));
            }
            Decision::Relay { .. } if is_unwelcome => engine.reject(arrival, shutting_down(DRAIN_RETRY)),
            Decision::Dispatch(set) => {
                self.dispatch(arrival, admitted, set, Routed { decision, edits, dialog_target });
            }
            Decision::Relay { hop, target, mtu } => {
                let next = NextHop { hop, target, mtu };
                self.relay(arrival, admitted, next, Routed { decision, edits, dialog_target });
            }
        }
    }

    fn dispatch(&mut self, arrival: Arrival<'_>, admitted: Admitted<'_>, set: SetId, routed: Routed) {
        let Arrival { request, now, .. } = arrival;
        let begun = (self.engine.stopwatch)();
        let selected = self.engine.select(arrival, set);
        let took = (self.engine.stopwatch)().saturating_duration_since(begun);
        let found = Found { took, now, is_call: is_call(request), basis: basis_of(request.method()) };
        let Selected { selection, target, hop, reason } = match selected {
            Ok(selected) => selected,
            Err(failure) => return self.engine.refuse_selection(arrival, set, failure, found),
        };
        let total = self.engine.plan.table().set(set).map_or(Duration::ZERO, |set| set.failover().total);
        let id = self.open_context(arrival, admitted, routed);
        let Some(context) = self.contexts.get_mut(id) else { return };
        context.selection = Some(selection);
        context.set = Some(set);
        context.no_attempt_after = now + total;
        if let Some(record) = &mut context.record {
            record.set = Some(set);
        }
        self.engine.note_selection(context, Some(target), reason, found);
        let next = self.engine.next_hop(target, hop);
        self.engine.start_attempt(id, context, request, next, now);
        self.settle(id);
    }

    fn relay(&mut self, arrival: Arrival<'_>, admitted: Admitted<'_>, next: NextHop, routed: Routed) {
        let NextHop { target, .. } = next;
        let dialog_target = routed.dialog_target.or(target);
        let id = self.open_context(arrival, admitted, routed);
        let Some(context) = self.contexts.get_mut(id) else { return };
        let names = &self.engine.plan.directory().names;
        context.set = dialog_target.and_then(|target| names.set_of(target));
        context.mark = self.engine.mark_of_sender(arrival.from);
        if let Some(record) = &mut context.record {
            record.set = context.set;
        }
        self.engine.start_attempt(id, context, arrival.request, next, arrival.now);
        self.settle(id);
    }

    /// Opens server transaction and context of a request that goes on; an INVITE gets its 100.
    fn open_context(&mut self, arrival: Arrival<'_>, admitted: Admitted<'_>, routed: Routed) -> Id<Context> {
        let Arrival { key, request, from, now } = arrival;
        let engine = &mut self.engine;
        let via = request.top_via();
        let stamp = stamp(&via, from);
        let method = request.method();
        let mut record = engine.new_record(arrival);
        let trying_after = engine.transactions.settings().until_t2();
        let dialog = engine.dialogs.key_of(request);
        record.dialog = dialog.and_then(|(_, span)| span);
        let traced = Traced { span: record.span, parent: record.parent };
        let carried = engine.plan.settings().tracing.carried(traced, from.remote.ip());
        let stored = engine.transactions.messages_mut().keep(request.bytes());
        let contact = request.contact().filter(|_| is_call(request)).unwrap_or_default();
        let contact = engine.dialogs.keep(contact);
        let id = self.contexts.insert_with(|id| {
            let (slot, generation) = id.parts();
            let owner = Owner::Request { slot, generation };
            let server = engine.transactions.open_server(key, method, reply_hop(&via, from), owner);
            Context {
                server,
                method,
                request: stored,
                contact,
                from,
                stamp,
                max_forwards: admitted.max_forwards,
                loop_hash: admitted.loop_hash,
                carried,
                edits: routed.edits,
                mark: MarkId::NONE,
                selection: None,
                set: None,
                arrived: now,
                trying_at: (method != Method::Invite).then(|| now + trying_after),
                no_attempt_after: now,
                attempts: SmallVec::new(),
                ends: dialog.filter(|_| method == Method::Bye).map(|(key, _)| key),
                best: None,
                exhausted: None,
                cancelled: None,
                is_early: false,
                is_answered: false,
                record: Some(record),
                alarm: Alarm::default(),
            }
        });
        if method == Method::Invite
            && let Some(context) = self.contexts.get_mut(id)
        {
            let Engine { transactions, outbox, replies, .. } = &mut self.engine;
            transactions.respond(context.server, 100, now, outbox, |out| {
                replies.write(request, 100, stamp, &[], out);
            });
            if let Some(record) = &mut context.record {
                record.provisionals.push((now, 100));
            }
        }
        id
    }
}

/// The part of `limits.transactions` that requests inside a dialog get beyond it.
const RESERVE: u64 = 8;

/// Value of Retry-After while shutting down where no set says another: longer than a restart takes.
pub const DRAIN_RETRY: Duration = Duration::from_secs(5);

/// The refusal of a new request while draining.
pub const fn shutting_down(retry_after: Duration) -> Rejection {
    Rejection::new(503, Refusal::ShuttingDown, "shutting down").retry_after(retry_after)
}

impl Engine {
    /// The mark of a relayed request: its sender, if that is a destination of ours.
    fn mark_of_sender(&self, from: Hop) -> MarkId {
        let endpoints = self.verdicts.at(from.transport, from.remote);
        let target = endpoints.and_then(|targets| targets.first());
        target.map_or(MarkId::NONE, |target| self.plan.mark_of(*target))
    }

    /// What a set's own 503s ask for in Retry-After.
    pub fn retry_after(&self, set: SetId) -> Duration {
        self.plan.table().set(set).map_or(DRAIN_RETRY, |set| set.reject_retry_after())
    }

    /// The record of a request that has just come.
    pub fn new_record(&mut self, arrival: Arrival<'_>) -> Box<TransactionRecord> {
        let Arrival { request, from, now, .. } = arrival;
        let mut spare = self.outbox.spare_record();
        let mut call_id =
            spare.as_mut().map_or(WireText::default(), |spare| std::mem::take(&mut spare.call_id));
        call_id.set(request.call_id());
        let Traced { span, parent } = self.trace(arrival);
        let record = TransactionRecord {
            span,
            parent,
            method: request.method(),
            call_id,
            session: request.header("Session-ID").and_then(SessionId::parse),
            uris: captured_uris(&self.plan, &self.uri_secret, request),
            cseq: request.cseq(),
            listener: from.listener,
            transport: from.transport,
            client: from.remote,
            set: None,
            in_dialog: request.to_tag().is_some(),
            dialog: None,
            started: now,
            ended: now,
            code: 0,
            origin: Origin::Local,
            refusal: None,
            cancelled_at: None,
            retransmissions_absorbed: 0,
            provisionals: SmallVec::new(),
            selections: SmallVec::new(),
            attempts: SmallVec::new(),
            failovers: SmallVec::new(),
        };
        match spare {
            Some(mut spare) => {
                *spare = record;
                spare
            }
            None => Box::new(record),
        }
    }
}
