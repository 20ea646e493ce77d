//! Responses: what comes back of an attempt, and what goes up (RFC 3261 §16.7).

use super::challenges::Challenges;
use super::context::{Best, Cancelling, Context, Phase};
use super::dialogs::{Dialog, DialogKey, Party};
use super::engine::{Engine, reply_hop};
use super::failover::Outcome;
use super::flow::FlowOf;
use super::reject::{Explained, Rejection, Replies};
use crate::facts::Method;
use crate::facts::event::{AttemptOutcome, Event, Origin};
use crate::facts::record::MAX_NOTES;
use crate::sip::{Message, forward_response};
use crate::transaction::slab::Id;
use crate::transaction::{Owner, Server};
use std::time::Instant;

impl Engine {
    /// A provisional response came for an attempt.
    pub fn on_provisional(
        &mut self,
        context: &mut Context,
        index: usize,
        response: Message<'_>,
        now: Instant,
    ) {
        let code = response.status();
        let timer_c = self.plan.settings().timer_c;
        let no_progress_after = context
            .selection
            .as_ref()
            .and_then(|selection| self.plan.table().set(selection.set())?.failover().no_progress_after);
        let Some(attempt) = context.attempts.get_mut(index).filter(|attempt| attempt.is_open()) else {
            return;
        };
        attempt.no_response_at = None;
        if code > 100 {
            attempt.phase = Phase::Early;
            attempt.was_early = true;
            attempt.no_progress_at = None;
            // RFC 3261 §16.7 step 2: 101–199 resets Timer C.
            attempt.timer_c_at = attempt.timer_c_at.map(|_| now + timer_c);
        } else if attempt.phase == Phase::Calling {
            attempt.phase = Phase::Trying;
            if context.method == Method::Invite {
                attempt.no_progress_at = no_progress_after.map(|after| now + after);
            }
        }
        let (is_abandoned, cancelling) = (attempt.is_abandoned, attempt.cancelling);
        self.note_response(context, index, code, now);
        if code > 100 && response.to_tag().is_some() {
            self.count_early(context);
        }
        self.weigh_response(context, index, response);
        if cancelling == Cancelling::Wanted {
            self.send_cancel(context, index, now);
        }
        // 100 is hop by hop; a non-INVITE gets none but that (RFC 4320 §4.1).
        if code > 100 && !is_abandoned && context.method == Method::Invite && !context.is_answered {
            self.send_up(context, code, Origin::Upstream, now, |out| forward_response(response, out));
        }
    }

    /// A final response came for an attempt.
    pub fn on_final(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        index: usize,
        response: Message<'_>,
        now: Instant,
    ) {
        let code = response.status();
        let Some(attempt) = context.attempts.get(index).filter(|attempt| attempt.is_open()) else { return };
        let (is_abandoned, client, target) = (attempt.is_abandoned, attempt.client, attempt.target);
        self.note_response(context, index, code, now);
        self.weigh_response(context, index, response);
        self.close_attempt(context, index, AttemptOutcome::Answered, code, now);
        // The session is over for whoever sent a BYE, whatever becomes of it (RFC 3261 §15.1.1), but for
        // one that is sent again with credentials.
        if !Challenges::is_challenge(code) {
            self.end_dialog(context);
        }

        if (200..300).contains(&code) {
            if context.method == Method::Invite {
                self.transactions.set_client_owner(client, Owner::Answered(context.server));
                self.confirm_dialog(context, index, response, now);
                let write = |out: &mut Vec<u8>| forward_response(response, out);
                if !self.send_up(context, code, Origin::Upstream, now, write) {
                    self.send_beside(context, index, response, now);
                }
                self.cancel_attempts(context, Some(index), now);
            } else if !is_abandoned || !context.is_answered {
                if context.method == Method::Update {
                    self.confirm_dialog(context, index, response, now);
                }
                self.send_up(context, code, Origin::Upstream, now, |out| forward_response(response, out));
            }
            return;
        }
        if is_abandoned {
            return self.conclude(context, now);
        }
        if Challenges::is_challenge(code)
            && let (Some(selection), Some(target)) = (&context.selection, target)
        {
            let lifetime = self.transactions.settings().timeout();
            self.challenges.remember(response, selection.set(), target, now, lifetime);
        }
        let mut stripped = Vec::new();
        // A 408 to anything but an INVITE is never sent (RFC 4320 §4.2): as if nobody had answered.
        if code != 408 || context.method == Method::Invite {
            stripped.reserve(response.bytes().len());
            forward_response(response, &mut stripped);
        }
        if let Some(best) = context.best.as_mut().filter(|best| best.asks_for_credentials()) {
            best.collect(response);
        }
        let best = Best { code, response: stripped };
        context.best = Some(Best::choose(context.best.take(), best));
        if code < 600 && self.try_next(id, context, index, Outcome::Final(code), now) {
            return;
        }
        self.note_exhausted(context, index, Outcome::Final(code));
        self.conclude(context, now);
    }

    /// An attempt ended without a final response.
    pub fn on_failure(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        index: usize,
        outcome: Outcome,
        ended: AttemptOutcome,
        now: Instant,
    ) {
        let Some(attempt) = context.attempts.get(index).filter(|attempt| attempt.is_open()) else { return };
        let is_abandoned = attempt.is_abandoned;
        self.weigh_end(context, index, ended);
        self.close_attempt(context, index, ended, 0, now);
        self.end_dialog(context);
        if is_abandoned {
            return self.conclude(context, now);
        }
        let code = match outcome {
            // RFC 5626 §5.3: nothing else reaches the phone.
            Outcome::Undelivered { .. } if context.edits.flow == Some(FlowOf::Receiver) => 430,
            // RFC 3261 §16.9: as if a 503 had come.
            Outcome::Undelivered { .. } => 503,
            Outcome::Silence | Outcome::NoProgress => 408,
            Outcome::Final(code) => code,
        };
        context.best = Some(Best::choose(context.best.take(), Best { code, response: Vec::new() }));
        if self.try_next(id, context, index, outcome, now) {
            return;
        }
        self.note_exhausted(context, index, outcome);
        self.conclude(context, now);
    }

    /// Gives up on the last attempt of a request other than INVITE. Its transaction runs on, so that a
    /// late answer is known for one.
    pub fn give_up(&mut self, context: &mut Context, index: usize, outcome: Outcome, now: Instant) {
        self.abandon(context, index, now);
        self.end_dialog(context);
        let silence = Best { code: 408, response: Vec::new() };
        context.best = Some(Best::choose(context.best.take(), silence));
        self.note_exhausted(context, index, outcome);
        self.conclude(context, now);
    }

    /// Sends the best response up once no attempt is left whose outcome counts.
    pub fn conclude(&mut self, context: &mut Context, now: Instant) {
        if context.is_answered || context.has_live_attempt() {
            return;
        }
        let best = context.best.take();
        let was_cancelled = context.cancelled.is_some();
        if let Some(code) = self.final_code(context) {
            return self.answer_in_time(context, code, now);
        }
        let (code, response) = match best {
            // Cancelled before anything answered: the CANCEL itself is the reason.
            None | Some(Best { code: 408 | 430 | 503, .. }) if was_cancelled => (487, Vec::new()),
            Some(Best { code: 408, response }) if response.is_empty() => {
                return self.answer_silence(context, now);
            }
            // A 503 says that we cannot serve anybody: not for us to pass on (§16.7 step 6).
            Some(Best { code: 503, .. }) => (500, Vec::new()),
            Some(Best { code, response }) => (code, response),
            None => return self.answer_silence(context, now),
        };
        if response.is_empty() {
            self.answer_ourselves(context, code, now);
        } else {
            self.send_up(context, code, Origin::Upstream, now, |out| out.extend_from_slice(&response));
        }
    }

    /// The code that goes up whatever the responses were, once every attempt failed.
    fn final_code(&self, context: &Context) -> Option<u16> {
        context.exhausted?;
        self.plan.table().set(context.selection.as_ref()?.set())?.failover().final_code
    }

    /// Nobody answered: 408 to an INVITE, 504 to others.
    fn answer_silence(&mut self, context: &mut Context, now: Instant) {
        let code = if context.method == Method::Invite { 408 } else { 504 };
        self.answer_in_time(context, code, now);
    }

    /// Sends an answer of our own, to requests other than INVITE while it can still be of use, and
    /// nothing afterwards (RFC 4320 §4.2).
    fn answer_in_time(&mut self, context: &mut Context, code: u16, now: Instant) {
        let timers = self.transactions.settings();
        let last_use = context.arrived + timers.timeout().saturating_sub(timers.t2);
        if context.method == Method::Invite || now < last_use {
            return self.answer_ourselves(context, code, now);
        }
        context.is_answered = true;
        if let Some(mut record) = context.record.take() {
            record.ended = now;
            self.outbox.event(Event::RequestUnanswered(record));
        }
        self.transactions.abandon_server(context.server, now);
    }

    /// Sends an answer of our own to the stored request, which says so if every attempt failed.
    pub fn answer_ourselves(&mut self, context: &mut Context, code: u16, now: Instant) {
        let stamp = context.stamp;
        let failed = context
            .exhausted
            .zip(context.selection.as_ref())
            .map(|(cause, selection)| Explained::all_failed(code, cause, self.retry_after(selection.set())));
        self.answer_stored(context, code, now, |replies, request, out| match &failed {
            Some(answer) => replies.write_explained(request, answer, stamp, out),
            None => replies.write(request, code, stamp, &[], out),
        });
    }

    /// Refuses the stored request, and tells of it.
    pub fn refuse_stored(&mut self, context: &mut Context, rejection: &Rejection, now: Instant) {
        if let Some(record) = &mut context.record {
            record.refusal = Some(rejection.reason);
            let refused = Event::RequestRefused {
                set: rejection.set,
                reason: rejection.reason,
                code: rejection.answer.code,
                method: context.method,
                call_id: record.call_id.clone(),
                source: context.from.remote,
                span: record.span,
            };
            self.outbox.event(refused);
        }
        let stamp = context.stamp;
        self.answer_stored(context, rejection.answer.code, now, |replies, request, out| {
            replies.write_explained(request, &rejection.answer, stamp, out);
        });
    }

    fn answer_stored(
        &mut self,
        context: &mut Context,
        code: u16,
        now: Instant,
        write: impl FnOnce(&Replies, Message<'_>, &mut Vec<u8>),
    ) {
        let mut loan = self.lend(&context.request);
        if let Some(request) = loan.message() {
            let mut reply = Vec::new();
            write(&self.replies, request, &mut reply);
            self.send_up(context, code, Origin::Local, now, |out| out.extend_from_slice(&reply));
        }
        self.take_back(loan);
    }

    /// Sends a 2xx up although another final response went before: the callee believes in a call, and
    /// only the caller can end it (RFC 3261 §16.7 step 5). Further ones of this attempt follow it.
    fn send_beside(&mut self, context: &Context, index: usize, response: Message<'_>, now: Instant) {
        let Some(client) = context.attempts.get(index).map(|attempt| attempt.client) else { return };
        let mut loan = self.lend(&context.request);
        if let Some(request) = loan.message() {
            let hop = reply_hop(&request.top_via(), context.from);
            let server = self.transactions.open_beside(request, hop);
            self.transactions.set_client_owner(client, Owner::Answered(server));
            self.on_further_2xx(server, response, now);
            self.outbox.mark_forwarded();
        }
        self.take_back(loan);
    }

    /// Sends a response up, and tells of the transaction when it is the first final one. Returns
    /// whether it went.
    pub fn send_up(
        &mut self,
        context: &mut Context,
        code: u16,
        origin: Origin,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let went = self.transactions.respond(context.server, code, now, &mut self.outbox, write);
        if went && origin == Origin::Upstream {
            self.outbox.mark_forwarded();
        }
        if code < 200 {
            if let Some(record) =
                context.record.as_mut().filter(|record| went && record.provisionals.len() < MAX_NOTES)
            {
                record.provisionals.push((now, code));
            }
            return went;
        }
        context.is_answered = true;
        self.count_early_out(context);
        if let Some(mut record) = context.record.take() {
            record.ended = now;
            record.code = code;
            record.origin = origin;
            self.outbox.event(Event::TransactionFinished(record));
        }
        went
    }

    /// A further 2xx to an INVITE that has been answered: end to end (RFC 6026 §7.1).
    pub fn on_further_2xx(&mut self, server: Id<Server>, response: Message<'_>, now: Instant) {
        let code = response.status();
        if (200..300).contains(&code) {
            self.transactions
                .respond(server, code, now, &mut self.outbox, |out| forward_response(response, out));
        }
    }

    /// Forgets the dialog of a BYE: a 2xx, 408, 481 or no answer ends it (RFC 3261 §15.1.1).
    fn end_dialog(&mut self, context: &mut Context) {
        if context.method != Method::Bye {
            return;
        }
        if let Some(dialog) = context.ends.take() {
            return self.forget_dialog(dialog, context.arrived);
        }
        // A BYE may overtake the 2xx that confirms its dialog.
        let mut loan = self.lend(&context.request);
        if let Some((dialog, _)) = loan.message().and_then(|bye| self.dialogs.key_of(bye)) {
            self.forget_dialog(dialog, context.arrived);
        }
        self.take_back(loan);
    }

    /// Forgets a dialog that a BYE ended, and tells how long it lasted until that came.
    fn forget_dialog(&mut self, dialog: DialogKey, bye: Instant) {
        if let Some((target, created)) = self.dialogs.end(dialog) {
            let lasted = bye.saturating_duration_since(created);
            self.outbox.event(Event::DialogEnded { target, lasted });
        }
    }

    /// A 2xx confirms the dialog of its request, or may move the parties of the one it is inside.
    fn confirm_dialog(&mut self, context: &mut Context, index: usize, response: Message<'_>, now: Instant) {
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        // Out of the path of the dialog its end is not seen.
        let call = attempt.call.take().filter(|_| self.plan.settings().record_route);
        if let (Some(call), true) = (&call, context.contact.is_empty() || response.contact().is_none()) {
            // Nothing of it can be remembered (RFC 3261 §12.1 wants a Contact of both).
            let set = context.set.or_else(|| self.plan.directory().names.set_of(call.target()));
            if let Some(set) = set {
                self.outbox.event(Event::DialogExpired { set });
            }
        }
        if context.contact.is_empty() {
            let hop = attempt.hop;
            let mut loan = self.lend(&context.request);
            if let Some(request) = loan.message().filter(|request| request.to_tag().is_some()) {
                self.dialogs.refresh(request, response, context.from, hop);
            }
            return self.take_back(loan);
        }
        let Some(contact) = response.contact() else { return };
        let dialog = Dialog {
            target: attempt.target,
            set: context.set,
            // A further 2xx, from a destination given up, may open another dialog of the same caller.
            caller: Party { contact: self.dialogs.keep_again(&context.contact), hop: context.from },
            callee: Party { contact: self.dialogs.keep(contact), hop: attempt.hop },
            span: context.record.as_ref().map(|record| record.span),
            created: now,
            call,
        };
        let set = dialog.set;
        if !self.dialogs.confirm(response, dialog)
            && let Some(set) = set
        {
            self.outbox.event(Event::DialogExpired { set });
        }
    }

    /// Tells of a response: an event if a destination sent it, and a line in the record.
    fn note_response(&mut self, context: &mut Context, index: usize, code: u16, now: Instant) {
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        let elapsed = now.saturating_duration_since(attempt.started);
        let is_first = !std::mem::replace(&mut attempt.has_response, true);
        if let Some(target) = attempt.target {
            if is_first && context.method == Method::Invite {
                self.selector.loads().measure(target, elapsed);
            }
            self.outbox.event(Event::ResponseReceived {
                target,
                method: context.method,
                code,
                first: is_first.then_some(elapsed),
                total: (code >= 200).then_some(elapsed),
            });
        }
        if let Some(record) = context.record.as_mut().and_then(|record| record.attempts.get_mut(index)) {
            record.first_response.get_or_insert(now);
            if code < 200 && record.provisionals.len() < MAX_NOTES {
                record.provisionals.push((now, code));
            }
        }
    }

    /// Tells that a request failed wherever it was tried, if that is what happened.
    fn note_exhausted(&mut self, context: &mut Context, index: usize, outcome: Outcome) {
        if context.cancelled.is_some() || context.is_answered || context.has_live_attempt() {
            return;
        }
        let Some(cause) = self.failover_cause(context, index, outcome) else { return };
        context.exhausted = Some(cause);
        let set = context.selection.as_ref().map(|selection| selection.set());
        let last = context.attempts.get(index).and_then(|attempt| attempt.target);
        if let (Some(set), Some(last), Some(record)) = (set, last, &context.record) {
            let (call_id, span) = (record.call_id.clone(), record.span);
            self.outbox.event(Event::FailoversExhausted { set, last, cause, call_id, span });
        }
    }
}
