//! CANCEL (RFC 3261 §9.2, §16.10): answered at once, then its INVITE is ended.

use super::Core;
use super::reject::Rejection;
use super::request::Arrival;
use crate::facts::Method;
use crate::facts::event::{Event, Refusal};
use crate::transaction::Owner;
use crate::transaction::slab::Id;

impl Core {
    /// A CANCEL came that is not a repetition.
    pub(super) fn on_cancel(&mut self, arrival: Arrival<'_>) {
        let Arrival { request: cancel, from, now, .. } = arrival;
        let engine = &mut self.engine;
        let Some(invite) = engine.transactions.find_cancelled(cancel) else {
            let rejection = Rejection::new(481, Refusal::BadRequest, "no INVITE to cancel");
            return engine.refuse_statelessly(arrival, rejection);
        };
        engine.outbox.event(Event::RequestReceived { listener: from.listener, method: Method::Cancel });
        let owner = engine.transactions.server_owner(invite);
        engine.answer(arrival, 200, &[]);
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
}
