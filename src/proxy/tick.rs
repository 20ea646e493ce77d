//! Time: the deadlines of contexts, transactions and probes; drain and abort.

use super::Core;
use super::context::{Best, Cancelling, Context, Phase};
use super::engine::Engine;
use super::failover::Outcome;
use super::reject::Rejection;
use super::request::{DRAIN_RETRY, shutting_down};
use crate::facts::Method;
use crate::facts::event::{AttemptOutcome, Event, FatalTimer};
use crate::transaction::slab::Id;
use crate::transaction::{Fired, Owner};
use std::time::Instant;

impl Core {
    /// Fires every timer due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        loop {
            let engine = &mut self.engine;
            let Some(fired) = engine.transactions.poll_fired(now, &mut engine.outbox) else { break };
            self.on_fired(fired, now);
        }
        while let Some(id) = self.deadlines.pop(now) {
            let Some(context) = self.contexts.get_mut(id) else { continue };
            if context.alarm.is_due(now, &mut self.deadlines, id) {
                self.on_deadline(id, now);
            }
        }
        self.with_warden(|warden, engine| warden.handle_timeout(engine, now));
        let max_age = self.engine.plan.settings().max_call_age;
        let Engine { dialogs, outbox, .. } = &mut self.engine;
        dialogs.sweep(now, max_age, |dialog| {
            if let Some(set) = dialog.set {
                outbox.event(Event::DialogExpired { set });
            }
        });
    }

    /// When [`Core::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let warden = self.warden.as_ref().and_then(super::Warden::poll_timeout);
        let Engine { transactions, dialogs, .. } = &self.engine;
        let timers = [transactions.poll_timeout(), self.deadlines.next(), warden, dialogs.next_sweep()];
        timers.into_iter().flatten().min()
    }

    /// After a step with a context: forgets it if it is over, else sets its alarm.
    pub(super) fn settle(&mut self, id: Id<Context>) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        if context.is_over() {
            if let Some(mut context) = self.contexts.remove(id) {
                context.alarm.cancel(&mut self.deadlines);
                self.engine.release(context);
            }
        } else {
            context.alarm.set(context.deadline(), &mut self.deadlines, id);
        }
    }

    fn on_fired(&mut self, fired: Fired, now: Instant) {
        match fired {
            Fired::TimedOut { owner: Owner::Attempt { slot, generation, attempt }, timer } => {
                let id = Id::from_parts(slot, generation);
                let Some(context) = self.contexts.get_mut(id) else { return };
                let ended = AttemptOutcome::TimedOut(timer);
                self.engine.on_failure(id, context, attempt as usize, Outcome::Silence, ended, now);
                self.settle(id);
            }
            Fired::Retransmit(Owner::Attempt { slot, generation, attempt }) => {
                let Some(context) = self.contexts.get_mut(Id::from_parts(slot, generation)) else { return };
                self.engine.repeat_copy(context, attempt as usize);
                let record = context.record.as_mut();
                if let Some(attempt) = record.and_then(|record| record.attempts.get_mut(attempt as usize)) {
                    attempt.note_retransmission(now);
                }
            }
            // A probe has a time-out of its own, which is shorter than Timer F.
            Fired::TimedOut { .. } | Fired::Retransmit(_) => {}
        }
    }

    fn on_deadline(&mut self, id: Id<Context>, now: Instant) {
        let Some(count) = self.contexts.get(id).map(|context| context.attempts.len()) else { return };
        for index in 0..count {
            let Some(context) = self.contexts.get_mut(id) else { return };
            self.engine.on_attempt_deadline(id, context, index, now);
        }
        let Some(context) = self.contexts.get_mut(id) else { return };
        if !context.is_answered && context.trying_at.is_some_and(|at| at <= now) {
            // RFC 4320 §4.1: not before a client's Timer E has grown to T2, but then.
            context.trying_at = None;
            self.engine.answer_ourselves(context, 100, now);
        }
        self.settle(id);
    }

    /// Refuses new dialogs from now on.
    pub(super) fn drain(&mut self) {
        self.engine.is_draining = true;
        let unfinished = self.engine.transactions.unfinished();
        self.engine.outbox.event(Event::DrainStarted { unfinished });
    }

    /// Ends what is still running: CANCEL downstream, 503 upstream.
    pub(super) fn abort(&mut self, now: Instant) {
        self.engine.is_aborted = true;
        let open: Vec<Id<Context>> =
            self.contexts.iter().filter(|(_, context)| !context.is_answered).map(|(id, _)| id).collect();
        for id in &open {
            let Some(context) = self.contexts.get_mut(*id) else { continue };
            context.cancelled.get_or_insert(None);
            self.engine.cancel_attempts(context, None, now);
            let refusal = shutting_down(context.set.map_or(DRAIN_RETRY, |set| self.engine.retry_after(set)));
            self.engine.refuse_stored(context, &Rejection { set: context.set, ..refusal }, now);
            self.settle(*id);
        }
        let cancelled = u64::try_from(open.len()).unwrap_or(u64::MAX);
        self.engine.outbox.event(Event::DrainEnded { cancelled });
    }
}

impl Engine {
    /// Something of an attempt may be due.
    fn on_attempt_deadline(&mut self, id: Id<Context>, context: &mut Context, index: usize, now: Instant) {
        let Some(attempt) = context.attempts.get_mut(index).filter(|attempt| attempt.is_open()) else {
            return;
        };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(attempt.no_response_at) {
            attempt.no_response_at = None;
            self.on_silence(id, context, index, Outcome::Silence, now);
        } else if is_due(attempt.no_progress_at) {
            attempt.no_progress_at = None;
            self.on_silence(id, context, index, Outcome::NoProgress, now);
        } else if is_due(attempt.timer_c_at) {
            self.on_timer_c(context, index, now);
        } else if let Cancelling::Sent { until } = attempt.cancelling
            && until <= now
        {
            // RFC 3261 §9.1: without a final response 64·T1 after the CANCEL, the INVITE is over.
            let client = attempt.client;
            self.close_attempt(context, index, AttemptOutcome::GivenUp, 0, now);
            self.transactions.forget(client);
            self.conclude(context, now);
        }
    }

    /// A destination has been silent for too long. Without another one to try, an INVITE goes on
    /// waiting: giving up would only lose a call that may still be answered.
    fn on_silence(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        index: usize,
        outcome: Outcome,
        now: Instant,
    ) {
        self.weigh_silence(context, index);
        if self.try_next(id, context, index, outcome, now) || context.method == Method::Invite {
            return;
        }
        self.give_up(context, index, outcome, now);
    }

    /// Timer C (RFC 3261 §16.8). It usually runs beyond Timer B, so that a provisional response has come.
    fn on_timer_c(&mut self, context: &mut Context, index: usize, now: Instant) {
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        attempt.timer_c_at = None;
        let target = attempt.target;
        if attempt.cancelling != Cancelling::No {
            return;
        }
        let silent = (attempt.phase == Phase::Calling).then_some(attempt.client);
        // What rang has been weighed; what never did was silent as far as a caller can tell.
        self.weigh_silence(context, index);
        if let Some(target) = target {
            self.outbox.event(Event::AttemptTimedOut { target, timer: FatalTimer::C });
        }
        if let Some(record) = context.record.as_mut().and_then(|record| record.attempts.get_mut(index)) {
            record.outcome = AttemptOutcome::TimedOut(FatalTimer::C);
        }
        if let Some(client) = silent {
            // Without a provisional response there is nothing to cancel: as if a 408 had come.
            self.close_attempt(context, index, AttemptOutcome::TimedOut(FatalTimer::C), 0, now);
            self.transactions.forget(client);
            let silence = Best { code: 408, response: Vec::new() };
            context.best = Some(Best::choose(context.best.take(), silence));
            return self.conclude(context, now);
        }
        self.send_cancel(context, index, now);
    }
}
