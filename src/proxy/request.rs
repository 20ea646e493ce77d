//! Requests: from a new server transaction to the first attempt, CANCEL and ACK.

use super::admit::{self, Admitted};
use super::context::Context;
use super::engine::{Engine, reply_hop, stamp};
use super::failover::Outcome;
use super::mark::MarkId;
use super::reject::Rejection;
use super::route::{Decision, Routed, route};
use super::{Core, Input};
use crate::dispatch::{HashPart, Selection};
use crate::facts::event::{
    AttemptOutcome, Direction, DropReason, Event, Origin, Refusal, SelectionFailure, SelectionReason,
};
use crate::facts::outbox::Outbox;
use crate::facts::record::{TransactionRecord, WireText};
use crate::facts::secret::Secret;
use crate::facts::{Hop, Method, SetId, Target};
use crate::sip::{Message, RequestEdit, forward_request};
use crate::transaction::slab::Id;
use crate::transaction::timer::Alarm;
use crate::transaction::{Branch, Key, Matched, Owner, Purpose};
use smallvec::SmallVec;
use std::io::Write;
use std::time::{Duration, Instant};

impl Core {
    /// A request came that could be parsed.
    pub(super) fn on_request(&mut self, request: Message<'_>, from: Hop, now: Instant) {
        let engine = &mut self.engine;
        match engine.transactions.receive_request(request, now, &mut engine.outbox) {
            Matched::Absorbed(owner) => self.note_absorbed(request, owner),
            Matched::EndToEndAck => self.engine.forward_ack(request, from),
            Matched::New(key) if request.method() == Method::Cancel => {
                self.on_cancel(key, request, from, now)
            }
            Matched::New(key) => self.begin(key, request, from, now),
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
    fn begin(&mut self, key: Key, request: Message<'_>, from: Hop, now: Instant) {
        let engine = &mut self.engine;
        if engine.transactions.unfinished() >= u64::from(engine.plan.settings().max_transactions) {
            return engine.refuse_statelessly(request, from);
        }
        let method = request.method();
        engine.outbox.event(Event::RequestReceived { listener: from.listener, method });
        let admitted = match admit::check(request, &engine.loop_secret) {
            Ok(admitted) => admitted,
            Err(rejection) => return engine.reject(key, request, from, rejection, now),
        };
        if engine.is_draining && request.to_tag().is_none() {
            let rejection = Rejection::new(503, Refusal::ShuttingDown, "shutting down");
            return engine.reject(key, request, from, rejection.retry_after(DRAIN_RETRY), now);
        }
        let Routed { decision, edits, dialog_target } = route(request, admitted, from, engine.view());
        match decision {
            Decision::Reject(rejection) => engine.reject(key, request, from, rejection, now),
            Decision::ForUs => engine.answer_options(key, request, from, now),
            Decision::Dispatch(set) => {
                let routed = Routed { decision, edits, dialog_target };
                self.dispatch(key, request, from, admitted, set, routed, now);
            }
            Decision::Relay { hop, target } => {
                let routed = Routed { decision, edits, dialog_target };
                self.relay(key, request, from, admitted, (hop, target), routed, now);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, which live no longer than this step"
    )]
    fn dispatch(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        admitted: Admitted<'_>,
        set: SetId,
        routed: Routed<'_>,
        now: Instant,
    ) {
        let begun = (self.engine.stopwatch)();
        let selected = self.engine.select(request, from, set, now);
        let took = (self.engine.stopwatch)().saturating_duration_since(begun);
        let (selection, target, hop, reason) = match selected {
            Ok(selected) => selected,
            Err(failure) => {
                return self.engine.refuse_selection(key, request, from, set, failure, took, now);
            }
        };
        let total = self.engine.plan.table().set(set).map_or(Duration::ZERO, |set| set.failover().total);
        let id = self.open_context(key, request, from, admitted, routed, now);
        let Some(context) = self.contexts.get_mut(id) else { return };
        context.selection = Some(selection);
        context.set = Some(set);
        context.no_attempt_after = now + total;
        if let Some(record) = &mut context.record {
            record.set = Some(set);
        }
        self.engine.note_selection(context, set, Some(target), reason, took, now);
        self.engine.start_attempt(id, context, request, hop, Some(target), now);
        self.settle(id);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, which live no longer than this step"
    )]
    fn relay(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        admitted: Admitted<'_>,
        to: (Hop, Option<Target>),
        routed: Routed<'_>,
        now: Instant,
    ) {
        let (hop, target) = to;
        let dialog_target = routed.dialog_target.or(target);
        let id = self.open_context(key, request, from, admitted, routed, now);
        let Some(context) = self.contexts.get_mut(id) else { return };
        let names = &self.engine.plan.directory().names;
        context.set = dialog_target.and_then(|target| names.set_of(target));
        context.mark = self.engine.mark_of_sender(from);
        if let Some(record) = &mut context.record {
            record.set = context.set;
        }
        self.engine.start_attempt(id, context, request, hop, target, now);
        self.settle(id);
    }

    /// Opens server transaction and context of a request that goes on; an INVITE gets its 100.
    fn open_context(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        admitted: Admitted<'_>,
        routed: Routed<'_>,
        now: Instant,
    ) -> Id<Context> {
        let engine = &mut self.engine;
        let via = request.top_via();
        let stamp = stamp(&via, from);
        let method = request.method();
        let id = self.contexts.insert_with(|id| {
            let (slot, generation) = id.parts();
            let owner = Owner::Request { slot, generation };
            let server = engine.transactions.open_server(key, method, reply_hop(&via, from), owner);
            Context {
                server,
                method,
                request: request.bytes().into(),
                from,
                stamp,
                max_forwards: admitted.max_forwards,
                loop_hash: admitted.loop_hash,
                edits: routed.edits,
                mark: MarkId::NONE,
                selection: None,
                set: None,
                arrived: now,
                no_attempt_after: now,
                attempts: SmallVec::new(),
                ends: (method == Method::Bye).then(|| engine.dialogs.key_of(request)).flatten(),
                best: None,
                cancelled: None,
                is_answered: false,
                record: Some(Box::new(record_of(request, from, engine.nonces.next_u128(), now))),
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

    /// A CANCEL (RFC 3261 §9.2, §16.10): answered at once, then its INVITE is ended.
    fn on_cancel(&mut self, key: Key, cancel: Message<'_>, from: Hop, now: Instant) {
        let engine = &mut self.engine;
        engine.outbox.event(Event::RequestReceived { listener: from.listener, method: Method::Cancel });
        let Some(invite) = engine.transactions.find_cancelled(cancel) else {
            let rejection = Rejection::new(481, Refusal::BadRequest, "no INVITE to cancel");
            return engine.reject(key, cancel, from, rejection, now);
        };
        let owner = engine.transactions.server_owner(invite);
        engine.answer_locally(key, cancel, from, 200, &[], now);
        let Some(Owner::Request { slot, generation }) = owner else { return };
        let id = Id::from_parts(slot, generation);
        let Some(context) = self.contexts.get_mut(id) else { return };
        if context.is_answered || context.cancelled.is_some() {
            return;
        }
        context.cancelled = Some(cancel.header("Reason").map(Into::into));
        if let Some(record) = &mut context.record {
            record.cancelled_at = Some(now);
        }
        for attempt in &mut context.attempts {
            attempt.no_response_at = None;
            attempt.no_progress_at = None;
        }
        self.engine.cancel_attempts(context, None, now);
        self.engine.conclude(context, now);
        self.settle(id);
    }

    /// Says that a message of ours could not be delivered.
    pub(super) fn on_undeliverable(&mut self, input: &Input<'_>, now: Instant) {
        let Input::Undeliverable { hop, message, reason } = input else { return };
        let Some(branch) = super::owner::branch_of(message) else { return };
        let Some((owner, retransmissions)) = self.engine.transactions.undeliverable(&branch, *hop) else {
            return;
        };
        match owner {
            Owner::Attempt { slot, generation, attempt } => {
                let id = Id::from_parts(slot, generation);
                let Some(context) = self.contexts.get_mut(id) else { return };
                context.note_retransmissions(attempt as usize, retransmissions);
                let outcome = Outcome::Undelivered { sent_before: retransmissions > 0 };
                let ended = AttemptOutcome::Transport(*reason);
                self.engine.on_failure(id, context, attempt as usize, outcome, ended, now);
                self.settle(id);
            }
            Owner::Probe(probe) => self.on_probe_undeliverable(probe, *reason, now),
            Owner::Request { .. } | Owner::Answered(_) | Owner::Nobody => {}
        }
    }
}

/// Value of Retry-After while shutting down: longer than a restart takes.
const DRAIN_RETRY: Duration = Duration::from_secs(5);

type Selected = (Selection, Target, Hop, SelectionReason);

impl Engine {
    /// Chooses a destination for a new request: the one that challenged an earlier version of it,
    /// else by the set's algorithm.
    fn select(
        &mut self,
        request: Message<'_>,
        from: Hop,
        set: SetId,
        now: Instant,
    ) -> Result<Selected, SelectionFailure> {
        let key = self.hash_key(request, from, set);
        let nonce = self.nonces.next_u64();
        let challenger =
            self.challenges.find(request, set, now).filter(|target| self.verdicts.is_usable(*target));
        if let Some(target) = challenger
            && let Some(hop) = self.hop_of(target, from.listener)
        {
            let selection = self.selector.resume(set, target, key, nonce);
            return Ok((selection, target, hop, SelectionReason::Affinity));
        }
        let (mut selection, mut target) = self.selector.select(set, key, nonce, &self.verdicts)?;
        loop {
            if let Some(hop) = self.hop_of(target, from.listener) {
                return Ok((selection, target, hop, SelectionReason::Primary));
            }
            target =
                self.selector.next(&mut selection, &self.verdicts).ok_or(SelectionFailure::NoneUsable)?;
        }
    }

    /// The hash of the configured parts of a request; equal on every instance and after restarts.
    fn hash_key(&self, request: Message<'_>, from: Hop, set: SetId) -> u64 {
        let Some(set) =
            self.plan.table().set(set).filter(|set| set.algorithm() == crate::facts::Algorithm::Hash)
        else {
            return 0;
        };
        let source = match from.remote.ip() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        let parts: SmallVec<[&[u8]; 4]> = set
            .hash_key()
            .iter()
            .map(|part| match part {
                HashPart::CallId => request.call_id(),
                HashPart::From => request.from_uri(),
                HashPart::To => request.to_uri(),
                HashPart::Ruri => request.request_uri(),
                HashPart::SourceIp => source.as_slice(),
                HashPart::Header(name) => request.header(name).unwrap_or_default(),
            })
            .collect();
        u64::try_from(Secret::new([0; 16]).mac(&parts) >> 64).unwrap_or(0)
    }

    /// The mark of a relayed request: its sender, if that is a destination of ours.
    fn mark_of_sender(&self, from: Hop) -> MarkId {
        let endpoints = self.verdicts.endpoints.get(&(from.transport, from.remote));
        let target = endpoints.and_then(|targets| targets.first());
        target.map_or(MarkId::NONE, |target| self.plan.mark_of(*target))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, which live no longer than this step"
    )]
    fn refuse_selection(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        set: SetId,
        failure: SelectionFailure,
        took: Duration,
        now: Instant,
    ) {
        self.outbox.event(Event::SelectionFailed { set, reason: failure });
        let (reason, text) = match failure {
            SelectionFailure::AllFull => (Refusal::AllFull, "every destination is full"),
            SelectionFailure::Empty | SelectionFailure::NoneUsable | SelectionFailure::AllTried => {
                (Refusal::NoneUsable, "no destination is usable")
            }
        };
        let delay = self.plan.table().set(set).map_or(DRAIN_RETRY, |set| set.reject_retry_after());
        let rejection = Rejection::new(503, reason, text).of_set(set).retry_after(delay);
        self.reject_after(key, request, from, rejection, Some((set, took)), now);
    }

    fn reject(&mut self, key: Key, request: Message<'_>, from: Hop, rejection: Rejection<'_>, now: Instant) {
        self.reject_after(key, request, from, rejection, None, now);
    }

    /// Answers with a refusal, through a server transaction, and tells of it.
    fn reject_after(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        rejection: Rejection<'_>,
        selection: Option<(SetId, Duration)>,
        now: Instant,
    ) {
        let via = request.top_via();
        let method = request.method();
        let mut record = Box::new(record_of(request, from, self.nonces.next_u128(), now));
        record.set = rejection.set;
        record.code = rejection.code;
        record.refusal = Some(rejection.reason);
        if let Some((set, took)) = selection {
            record.selections.extend(self.selection_record(
                set,
                None,
                &[],
                SelectionReason::Primary,
                took,
                now,
            ));
        }
        self.outbox.event(Event::RequestRefused {
            set: rejection.set,
            reason: rejection.reason,
            code: rejection.code,
            method,
            call_id: record.call_id.clone(),
            source: from.remote,
            trace: record.trace,
        });
        let server = self.transactions.open_server(key, method, reply_hop(&via, from), Owner::Nobody);
        let Engine { transactions, outbox, replies, .. } = self;
        transactions.respond(server, rejection.code, now, outbox, |out| {
            replies.write_rejection(request, &rejection, stamp(&via, from), out);
        });
        self.outbox.event(Event::TransactionFinished(record));
    }

    fn answer_options(&mut self, key: Key, request: Message<'_>, from: Hop, now: Instant) {
        let code = if self.is_draining { 503 } else { 200 };
        let headers: [(&str, &[u8]); 2] = [("Allow", ALLOW.as_bytes()), ("Accept", b"application/sdp")];
        self.answer_locally(key, request, from, code, &headers, now);
    }

    /// Answers a request ourselves, without refusing it.
    fn answer_locally(
        &mut self,
        key: Key,
        request: Message<'_>,
        from: Hop,
        code: u16,
        headers: &[(&str, &[u8])],
        now: Instant,
    ) {
        let via = request.top_via();
        let mut record = Box::new(record_of(request, from, self.nonces.next_u128(), now));
        record.code = code;
        let server =
            self.transactions.open_server(key, request.method(), reply_hop(&via, from), Owner::Nobody);
        let Engine { transactions, outbox, replies, .. } = self;
        transactions.respond(server, code, now, outbox, |out| {
            replies.write(request, code, stamp(&via, from), headers, out);
        });
        self.outbox.event(Event::TransactionFinished(record));
    }

    /// Above the limit of transactions: 503 without keeping anything.
    fn refuse_statelessly(&mut self, request: Message<'_>, from: Hop) {
        let rejection =
            Rejection::new(503, Refusal::Overload, "too many transactions").retry_after(DRAIN_RETRY);
        let via = request.top_via();
        let Engine { outbox, replies, nonces, .. } = self;
        outbox.send_with(reply_hop(&via, from), |out| {
            replies.write_rejection(request, &rejection, stamp(&via, from), out);
        });
        outbox.event(Event::RequestRefused {
            set: None,
            reason: rejection.reason,
            code: rejection.code,
            method: request.method(),
            call_id: WireText::new(request.call_id()),
            source: from.remote,
            trace: nonces.next_u128(),
        });
    }

    /// An ACK that belongs to no failed INVITE of ours: to a 2xx, end to end, without a transaction
    /// (RFC 3261 §16.6, §13.2.2.4). Never answered.
    fn forward_ack(&mut self, ack: Message<'_>, from: Hop) {
        match self.route_ack(ack, from) {
            Ok((hop, edits, loop_hash, max_forwards)) => {
                let sent_by = self.plan.local().sent_by(hop.listener, hop.remote.ip());
                let mut via = Vec::with_capacity(96);
                write!(via, "SIP/2.0/{} {sent_by};rport;branch=", hop.transport.via_token())
                    .expect("writing to a Vec cannot fail");
                self.ack_branch(ack, loop_hash).write(&mut via);
                let edit = RequestEdit {
                    request_uri: edits.request_uri.as_deref(),
                    via: &via,
                    stamp: stamp(&ack.top_via(), from),
                    max_forwards,
                    record_routes: &[],
                    pop_routes: edits.pop_routes,
                    append_route: edits.append_route.as_deref(),
                    drop_last_route: edits.drop_last_route,
                };
                self.outbox.send_with(hop, |out| forward_request(ack, &edit, out));
                self.outbox.mark_forwarded();
            }
            Err(reason) => drop_received(&mut self.outbox, reason),
        }
    }

    fn route_ack(
        &self,
        ack: Message<'_>,
        from: Hop,
    ) -> Result<(Hop, super::route::RouteEdits, u64, u8), DropReason> {
        // Without a To tag it acknowledges nothing that a proxy has passed on.
        if ack.to_tag().is_none() || ack.max_forwards() == Some(0) {
            return Err(DropReason::Stray);
        }
        let admitted = admit::read(ack, &self.loop_secret).map_err(|_| DropReason::Malformed)?;
        let Routed { decision, edits, .. } = route(ack, admitted, from, self.view());
        match decision {
            Decision::Relay { hop, .. } => Ok((hop, edits, admitted.loop_hash, admitted.max_forwards)),
            Decision::Reject(rejection) if rejection.reason == Refusal::Forbidden => {
                Err(DropReason::Forbidden)
            }
            Decision::Reject(rejection) if rejection.code == 404 => Err(DropReason::Unroutable),
            Decision::Reject(_) | Decision::Dispatch(_) | Decision::ForUs => Err(DropReason::Stray),
        }
    }

    /// The same ACK sent again gets the same branch.
    fn ack_branch(&self, ack: Message<'_>, loop_hash: u64) -> Branch {
        let via = ack.top_via();
        let nonce = self.loop_secret.mac(&[b"ack", via.branch.unwrap_or_default(), via.sent_by()]);
        let nonce = u64::try_from(nonce >> 64).unwrap_or(0);
        Branch { purpose: Purpose::Ack, worker: self.transactions.worker(), slot: 0, nonce, loop_hash }
    }
}

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE, PUBLISH";

/// Tells of a message that came and is dropped.
pub fn drop_received(outbox: &mut Outbox, reason: DropReason) {
    outbox.event(Event::MessageDropped { direction: Direction::Received, reason });
}

fn record_of(request: Message<'_>, from: Hop, trace: u128, now: Instant) -> TransactionRecord {
    TransactionRecord {
        trace,
        method: request.method(),
        call_id: WireText::new(request.call_id()),
        cseq: request.cseq(),
        listener: from.listener,
        transport: from.transport,
        client: from.remote,
        set: None,
        in_dialog: request.to_tag().is_some(),
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
    }
}
