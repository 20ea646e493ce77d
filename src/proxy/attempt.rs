//! Attempts: sending a request on, giving up on one destination for the next, cancelling.
//!
//! RFC 3261 §16.6 (forwarding), §16.8 (Timer C), §9.1 (CANCEL).

use super::context::{Attempt, Cancelling, Context, Phase};
use super::engine::Engine;
use super::failover::{Outcome, judge, may_repeat_after_silence};
use super::local::VIA_SIZE;
use super::mtu::NextHop;
use crate::dispatch::{FailoverSettings, HashPart, skipped};
use crate::facts::event::{AttemptOutcome, Cause, Event, SelectionFailure, SelectionReason};
use crate::facts::record::{AttemptRecord, FailoverRecord, MAX_NOTES, SelectionRecord};
use crate::facts::{Algorithm, Hop, ListenerId, Method, SetId, Target, Transport};
use crate::sip::{Framing, Message, forward_request, parse};
use crate::transaction::slab::Id;
use crate::transaction::{Client, Opening, Owner, Purpose};
use smallvec::SmallVec;
use std::io::Write;
use std::time::{Duration, Instant};

impl Engine {
    /// Where a destination is reached from here.
    pub fn hop_of(&self, target: Target, preferred: ListenerId) -> Option<Hop> {
        let settings = &self.plan.table().destination(target)?.settings;
        let remote = self.verdicts.of(target)?.address?;
        let hop =
            self.plan.local().hop_to(settings.transport, remote, settings.listener.unwrap_or(preferred))?;
        Some(hop)
    }

    /// Sends a request to its next hop, over TCP if it is too large for UDP, and starts the timers.
    pub fn start_attempt(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        request: Message<'_>,
        next: NextHop,
        now: Instant,
    ) {
        let target = next.target;
        let attempt = u32::try_from(context.attempts.len()).unwrap_or(u32::MAX);
        let mut hop = next.hop;
        let mut record_routes = self.record_routes(context, request, hop, target);
        let over_tcp = self.hop_for_size(context, request, next, &record_routes, now);
        if let Some(tcp) = over_tcp {
            hop = tcp;
            record_routes = self.record_routes(context, request, hop, target);
        }
        let opening = opening(id, context, attempt, hop, target);
        let client = self.send_copy(context, request, opening, &record_routes, now);
        self.outbox.mark_forwarded();
        self.count_waiting(target, 1);
        if let Some(target) = target {
            self.outbox.event(Event::AttemptStarted { target, method: context.method });
        }
        if let Some(record) = &mut context.record {
            record.attempts.push(open_record(attempt + 1, target, hop, now));
        }
        let is_invite = context.method == Method::Invite;
        let silence = self.silence(context);
        context.attempts.push(Attempt {
            client,
            target,
            hop,
            fallback: over_tcp.map(|_| next.hop),
            started: now,
            phase: Phase::Calling,
            is_abandoned: false,
            has_response: false,
            was_early: false,
            cancelling: Cancelling::No,
            no_response_at: silence.map(|after| now + after),
            no_progress_at: None,
            timer_c_at: is_invite.then(|| now + self.plan.settings().timer_c),
        });
    }

    /// Sends a copy of a request: opens its client transaction.
    pub fn send_copy(
        &mut self,
        context: &Context,
        request: Message<'_>,
        opening: Opening,
        record_routes: &[Vec<u8>],
        now: Instant,
    ) -> Id<Client> {
        let record_routes: SmallVec<[&[u8]; 2]> = record_routes.iter().map(Vec::as_slice).collect();
        let local = self.plan.local();
        self.transactions.send(opening, now, &mut self.outbox, |branch, out| {
            let mut via = Vec::with_capacity(VIA_SIZE);
            local.write_via(opening.hop, branch, &mut via);
            forward_request(request, &context.edit(&via, &record_routes), out);
        })
    }

    /// How long an attempt of a request may be silent before the next destination is tried.
    pub fn silence(&self, context: &Context) -> Option<Duration> {
        let set = context.selection.as_ref()?.set();
        patience(context.method, self.plan.table().set(set)?.failover())
    }

    /// The Record-Route values of a request that may open a dialog (RFC 3261 §16.6 step 4): one,
    /// or two where it leaves by another listener or under another name than it came (RFC 5658).
    pub fn record_routes(
        &self,
        context: &Context,
        request: Message<'_>,
        hop: Hop,
        target: Option<Target>,
    ) -> SmallVec<[Vec<u8>; 2]> {
        let opens_dialog = request.to_tag().is_none() && context.method.forms_dialog();
        let mut values = SmallVec::new();
        if !opens_dialog || !self.plan.settings().record_route {
            return values;
        }
        let mark = match (&context.selection, target) {
            (Some(_), Some(target)) => self.plan.mark_of(target),
            (Some(_) | None, _) => context.mark,
        };
        let out = (self.plan.local().sent_by(hop.listener, hop.remote.ip()), hop.transport);
        let back = (
            self.plan.local().sent_by(context.from.listener, context.from.remote.ip()),
            context.from.transport,
        );
        for (sent_by, transport) in std::iter::once(out).chain((out != back).then_some(back)) {
            let mut value = Vec::with_capacity(96);
            let transport = match transport {
                Transport::Udp => "",
                Transport::Tcp => ";transport=tcp",
            };
            write!(value, "<sip:{sent_by}{transport};lr;").expect("writing to a Vec cannot fail");
            self.marks.write(mark, request.call_id(), &mut value);
            value.push(b'>');
            values.push(value);
        }
        values
    }

    /// Closes an attempt: its transaction brings nothing more that its context waits for.
    pub fn close_attempt(
        &mut self,
        context: &mut Context,
        index: usize,
        outcome: AttemptOutcome,
        code: u16,
        now: Instant,
    ) {
        let Some(attempt) = context.attempts.get_mut(index).filter(|attempt| attempt.is_open()) else {
            return;
        };
        attempt.phase = Phase::Closed;
        let target = attempt.target;
        self.count_waiting(target, -1);
        if let Some(record) = context.record.as_mut().and_then(|record| record.attempts.get_mut(index)) {
            record.ended = Some(now);
            record.outcome = outcome;
            record.code = code;
        }
    }

    /// Goes on after an attempt came to an outcome that may be worth another destination. Returns
    /// whether another attempt was started.
    pub fn try_next(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        index: usize,
        outcome: Outcome,
        now: Instant,
    ) -> bool {
        let Some(cause) = self.failover_cause(context, index, outcome) else { return false };
        let Some(set) = context.selection.as_ref().map(|selection| selection.set()) else { return false };
        let Some(from) = context.attempts.get(index).and_then(|attempt| attempt.target) else { return false };
        let policy_max = self.plan.table().set(set).map_or(1, |set| set.failover().max_attempts);
        let tried = u32::try_from(context.attempts.len()).unwrap_or(u32::MAX);
        let may = context.cancelled.is_none()
            && !context.is_answered
            && tried < policy_max
            && now < context.no_attempt_after
            && !context.has_live_attempt_besides(index);
        if !may {
            return false;
        }
        let begun = (self.stopwatch)();
        let next = self.next_destination(context);
        let took = (self.stopwatch)().saturating_duration_since(begun);
        let is_over = context.attempts.get(index).is_none_or(|attempt| !attempt.is_open());
        if next.is_none() && !is_over {
            // It is only silent: with nobody else to try, it may still answer.
            return false;
        }
        let to = next.map(|(target, _)| target);
        self.note_selection(context, set, to, SelectionReason::Failover, took, now);
        let Some((to, hop)) = next else {
            self.outbox.event(Event::SelectionFailed { set, reason: SelectionFailure::AllTried });
            if let Some(record) = &mut context.record {
                record.failovers.push(FailoverRecord { at: now, from, to: None, cause, remaining: 0 });
            }
            return false;
        };
        let remaining = policy_max - tried - 1;
        self.abandon(context, index, now);
        let (call_id, trace) = match &mut context.record {
            Some(record) => {
                record.failovers.push(FailoverRecord { at: now, from, to: Some(to), cause, remaining });
                (record.call_id.clone(), record.trace)
            }
            None => Default::default(),
        };
        self.outbox.event(Event::FailedOver { set, from, to, cause, call_id, trace });
        let stored = std::mem::take(&mut context.request);
        let mut parsed = std::mem::take(&mut self.spare_index);
        if let Ok(request) = parse(&stored, Framing::Datagram, &mut parsed) {
            let next = self.next_hop(to, hop);
            self.start_attempt(id, context, request, next, now);
        }
        self.spare_index = parsed;
        context.request = stored;
        true
    }

    /// Why an attempt's outcome is worth another destination, if it is.
    pub fn failover_cause(&self, context: &Context, index: usize, outcome: Outcome) -> Option<Cause> {
        let set = context.selection.as_ref()?.set();
        let policy = self.plan.table().set(set)?.failover();
        // What answers our own CANCEL, Timer C's included, is no failure.
        let attempt = context.attempts.get(index).filter(|attempt| attempt.cancelling == Cancelling::No)?;
        judge(outcome, context.method, attempt.was_early, policy)
    }

    /// The next destination of the selection that can be reached.
    fn next_destination(&mut self, context: &mut Context) -> Option<(Target, Hop)> {
        let selection = context.selection.as_mut()?;
        loop {
            let target = self.selector.next(selection, &self.verdicts)?;
            if let Some(hop) = self.hop_of(target, context.from.listener) {
                return Some((target, hop));
            }
        }
    }

    /// Tells of a selection: an event, and a line in the record.
    pub fn note_selection(
        &mut self,
        context: &mut Context,
        set: SetId,
        destination: Option<Target>,
        reason: SelectionReason,
        took: Duration,
        now: Instant,
    ) {
        if let (Some(target), Some(settings)) = (destination, self.plan.table().set(set)) {
            let algorithm = settings.algorithm();
            self.outbox.event(Event::DestinationSelected { target, algorithm, reason, took });
        }
        let given = context.selection.as_ref().map_or(&[][..], |selection| selection.given());
        let tried: SmallVec<[Target; 4]> =
            given.iter().copied().filter(|target| Some(*target) != destination).collect();
        if let Some(record) = &mut context.record {
            record.selections.extend(self.selection_record(set, destination, &tried, reason, took, now));
        }
    }

    /// The line that a record keeps of a selection.
    pub fn selection_record(
        &self,
        set: SetId,
        destination: Option<Target>,
        tried: &[Target],
        reason: SelectionReason,
        took: Duration,
        now: Instant,
    ) -> Option<SelectionRecord> {
        let settings = self.plan.table().set(set)?;
        let algorithm = settings.algorithm();
        let available = self.verdicts.available(set);
        let candidates = u32::try_from(settings.members().len()).unwrap_or(u32::MAX);
        // Only a selection that passed somebody over has anything to tell.
        let skipped = if available == candidates && tried.is_empty() {
            SmallVec::new()
        } else {
            skipped(self.plan.table(), set, &self.verdicts, tried).take(MAX_NOTES).collect()
        };
        let hash_key = settings.hash_key().first().filter(|_| algorithm == Algorithm::Hash);
        Some(SelectionRecord {
            at: now,
            took,
            set,
            algorithm,
            reason,
            hash_key: hash_key.map(HashPart::as_str),
            destination,
            candidates,
            available,
            skipped,
        })
    }

    /// Gives up on an open attempt without ending its transaction.
    fn abandon(&mut self, context: &mut Context, index: usize, now: Instant) {
        let Some(attempt) = context.attempts.get_mut(index).filter(|attempt| attempt.is_open()) else {
            return;
        };
        attempt.is_abandoned = true;
        attempt.no_response_at = None;
        attempt.no_progress_at = None;
        let phase = attempt.phase;
        if let Some(record) = context.record.as_mut().and_then(|record| record.attempts.get_mut(index)) {
            record.ended = Some(now);
            record.outcome = AttemptOutcome::GivenUp;
        }
        if context.method == Method::Invite {
            if let Some(attempt) = context.attempts.get_mut(index) {
                attempt.cancelling = Cancelling::Wanted;
            }
            if phase != Phase::Calling {
                self.send_cancel(context, index, now);
            }
        }
    }

    /// Wants every open attempt of an INVITE but `except` cancelled; each gets its CANCEL at once
    /// or with its first provisional response.
    pub fn cancel_attempts(&mut self, context: &mut Context, except: Option<usize>, now: Instant) {
        if context.method != Method::Invite {
            return;
        }
        for index in 0..context.attempts.len() {
            let Some(attempt) = context.attempts.get_mut(index) else { continue };
            if Some(index) == except || !attempt.is_open() || attempt.cancelling != Cancelling::No {
                continue;
            }
            attempt.cancelling = Cancelling::Wanted;
            if attempt.phase != Phase::Calling {
                self.send_cancel(context, index, now);
            }
        }
    }

    /// Sends the CANCEL of an attempt that has had a provisional response.
    pub fn send_cancel(&mut self, context: &mut Context, index: usize, now: Instant) {
        let reason = context.cancelled.as_ref().and_then(|reason| reason.as_deref());
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        attempt.cancelling = Cancelling::Sent { until: now + self.transactions.settings().timeout() };
        attempt.timer_c_at = None;
        self.transactions.cancel(attempt.client, reason, now, &mut self.outbox);
    }
}

/// What the client transaction of an attempt is opened with.
pub fn opening(
    id: Id<Context>,
    context: &Context,
    attempt: u32,
    hop: Hop,
    target: Option<Target>,
) -> Opening {
    let (slot, generation) = id.parts();
    Opening {
        purpose: Purpose::Call,
        method: context.method,
        hop,
        target,
        owner: Owner::Attempt { slot, generation, attempt },
        loop_hash: context.loop_hash,
    }
}

/// The record of an attempt that starts now.
fn open_record(number: u32, target: Option<Target>, hop: Hop, now: Instant) -> AttemptRecord {
    AttemptRecord {
        number,
        target,
        remote: hop.remote,
        transport: hop.transport,
        started: now,
        ended: None,
        code: 0,
        outcome: AttemptOutcome::Pending,
        first_response: None,
        provisionals: SmallVec::new(),
        retransmissions: 0,
        retransmitted: SmallVec::new(),
        fell_back: None,
    }
}

/// How long a destination may be silent before the next is tried; `None` for requests that must
/// not be sent twice.
fn patience(method: Method, policy: &FailoverSettings) -> Option<Duration> {
    let after =
        if method == Method::Invite { policy.no_response_after } else { policy.no_response_after_non_invite };
    (policy.on_no_response && may_repeat_after_silence(method)).then_some(after)
}
