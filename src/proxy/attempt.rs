//! Attempts: sending a request on, giving up on one destination for the next, cancelling.
//!
//! RFC 3261 §16.6 (forwarding), §16.8 (Timer C), §9.1 (CANCEL).

use super::choose::{Found, basis_of};
use super::context::{Attempt, Cancelling, Context, Phase, Weighed};
use super::copy::Towards;
use super::engine::Engine;
use super::failover::{Outcome, judge, may_repeat_after_silence};
use super::mtu::NextHop;
use crate::dispatch::{FailoverSettings, Selection};
use crate::facts::event::{AttemptOutcome, Cause, Event, SelectionFailure, SelectionReason};
use crate::facts::record::{AttemptRecord, FailoverRecord};
use crate::facts::{Hop, Method, Target};
use crate::sip::Message;
use crate::transaction::slab::Id;
use crate::transaction::{Opening, Owner, Purpose};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

impl Engine {
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
        let call = self.call_of(context, request, target);
        let attempt = u32::try_from(context.attempts.len()).unwrap_or(u32::MAX);
        let mut hop = next.hop;
        self.prepare_copy(context, request, Towards { hop, target, number: attempt + 1 });
        let over_tcp = self.hop_for_size(context, request, next, now);
        if let Some(tcp) = over_tcp {
            hop = tcp;
            self.prepare_copy(context, request, Towards { hop, target, number: attempt + 1 });
        }
        let opening = opening(id, context, attempt, hop, target);
        let client = self.send_copy(context, request, opening, now);
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
            epoch: self.earlier.current(),
            started: now,
            call,
            phase: Phase::Calling,
            is_abandoned: false,
            has_response: false,
            was_early: false,
            weighed: Weighed::No,
            cancelling: Cancelling::No,
            no_response_at: silence.map(|after| now + after),
            no_progress_at: None,
            timer_c_at: is_invite.then(|| now + self.plan.settings().timer_c),
        });
    }

    /// How long an attempt of a request may be silent before the next destination is tried.
    pub fn silence(&self, context: &Context) -> Option<Duration> {
        let set = context.selection.as_ref()?.set();
        patience(context.method, self.plan.table().set(set)?.failover())
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
        if !(200..300).contains(&code) {
            attempt.call = None;
        }
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
        let next = self.next_destination(context, now);
        let took = (self.stopwatch)().saturating_duration_since(begun);
        let is_over = context.attempts.get(index).is_none_or(|attempt| !attempt.is_open());
        if next.is_none() && !is_over {
            // It is only silent: with nobody else to try, it may still answer.
            return false;
        }
        let to = next.map(|(target, _)| target);
        let passive_mark = Self::counts_against(context, index);
        let basis = basis_of(context.method);
        let found = Found { took, now, is_call: context.method == Method::Invite, basis };
        self.note_selection(context, to, SelectionReason::Failover, found);
        let Some((to, hop)) = next else {
            let met_full = context.selection.as_ref().is_some_and(Selection::met_full);
            let reason = if met_full { SelectionFailure::AllFull } else { SelectionFailure::AllTried };
            self.outbox.event(Event::SelectionFailed { set, reason });
            if let Some(record) = &mut context.record {
                let (to, remaining) = (None, 0);
                record.failovers.push(FailoverRecord { at: now, from, to, cause, remaining, passive_mark });
            }
            return false;
        };
        let remaining = policy_max - tried - 1;
        self.abandon(context, index, now);
        // It has a record until it is answered.
        if let Some(record) = &mut context.record {
            let (call_id, span, next) = (record.call_id.clone(), record.span, Some(to));
            record.failovers.push(FailoverRecord { at: now, from, to: next, cause, remaining, passive_mark });
            self.outbox.event(Event::FailedOver { set, from, to, cause, call_id, span });
        }
        let mut loan = self.lend(&context.request);
        if let Some(request) = loan.message() {
            let next = self.next_hop(to, hop);
            self.start_attempt(id, context, request, next, now);
        }
        self.take_back(loan);
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

    /// Gives up on an open attempt without ending its transaction.
    pub fn abandon(&mut self, context: &mut Context, index: usize, now: Instant) {
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
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        attempt.cancelling = Cancelling::Sent { until: now + self.transactions.settings().timeout() };
        attempt.timer_c_at = None;
        self.cancel_copy(context, index, now);
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
        listener: hop.listener,
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
