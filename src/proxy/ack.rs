//! ACK to a 2xx: end to end, without a transaction (RFC 3261 §16.6, §13.2.2.4), never answered.

use super::admit;
use super::engine::{Engine, stamp};
use super::mtu::NextHop;
use super::route::{Decision, RouteEdits, Routed, route};
use super::traces::Carried;
use crate::facts::Hop;
use crate::facts::event::{Direction, DropReason, Event, Refusal};
use crate::facts::outbox::Outbox;
use crate::sip::{Message, RequestEdit, TraceEdit, forward_request};
use crate::transaction::{Branch, Purpose};
use std::time::Instant;

impl Engine {
    /// An ACK that belongs to no failed INVITE of ours: to a 2xx, end to end, without a transaction
    /// (RFC 3261 §16.6, §13.2.2.4). Never answered.
    pub fn forward_ack(&mut self, ack: Message<'_>, from: Hop, now: Instant) {
        match self.route_ack(ack, from) {
            Ok((next, edits, loop_hash, max_forwards)) => {
                let stamp = stamp(&ack.top_via(), from);
                let trace = match self.plan.settings().tracing.carried_without_span(from.remote.ip()) {
                    Carried::AsItCame => TraceEdit::Keep,
                    Carried::Nothing | Carried::Ours { .. } => TraceEdit::Remove,
                };
                let edit = RequestEdit { stamp, trace, ..edits.edit(&[], max_forwards) };
                let (hop, branch) = self.ack_hop(ack, &edit, next, self.ack_branch(ack, loop_hash), now);
                let mut via = std::mem::take(&mut self.spare_via);
                via.clear();
                self.plan.local().write_via(hop, &branch, &mut via);
                let edit = RequestEdit { via: &via, ..edit };
                self.outbox.send_with(hop, |out| forward_request(ack, &edit, out));
                self.outbox.mark_forwarded();
                self.spare_via = via;
            }
            Err(reason) => drop_received(&mut self.outbox, reason),
        }
    }

    fn route_ack(&self, ack: Message<'_>, from: Hop) -> Result<(NextHop, RouteEdits, u64, u8), DropReason> {
        // Without a To tag it acknowledges nothing that a proxy has passed on.
        if ack.to_tag().is_none() || ack.max_forwards() == Some(0) {
            return Err(DropReason::Stray);
        }
        let admitted = admit::read(ack, &self.loops).map_err(|_| DropReason::Malformed)?;
        let Routed { decision, edits, .. } = route(ack, admitted, from, self.view());
        match decision {
            Decision::Relay { hop, target, mtu } => {
                let next = NextHop { hop, target, mtu };
                Ok((next, edits, admitted.loop_hash, admitted.max_forwards))
            }
            Decision::Reject(rejection) if rejection.reason == Refusal::Forbidden => {
                Err(DropReason::Forbidden)
            }
            Decision::Reject(rejection) if rejection.answer.code == 404 => Err(DropReason::Unroutable),
            Decision::Reject(_) | Decision::Dispatch(_) | Decision::ForUs => Err(DropReason::Stray),
        }
    }

    /// The same ACK sent again gets the same branch.
    fn ack_branch(&self, ack: Message<'_>, loop_hash: u64) -> Branch {
        let via = ack.top_via();
        let nonce = self.ack_secret.mac(&[via.branch.unwrap_or_default(), via.sent_by()]);
        let nonce = u64::try_from(nonce >> 64).unwrap_or(0);
        Branch { purpose: Purpose::Ack, worker: self.transactions.worker(), slot: 0, nonce, loop_hash }
    }
}

/// Tells of a message that came and is dropped.
pub fn drop_received(outbox: &mut Outbox, reason: DropReason) {
    outbox.event(Event::MessageDropped { direction: Direction::Received, reason });
}
