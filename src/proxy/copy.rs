//! The copy of a request that goes on (RFC 3261 §16.6), and what is made of it later.
//!
//! Only the request is kept, as it came. Its copy is written again when it has to be repeated, and its
//! CANCEL and the ACK to its failure are made of the same inputs, which give the same bytes.

use super::context::{Attempt, Context};
use super::engine::Engine;
use super::flow::{FlowOf, Flows};
use super::mark::Marks;
use super::plan::Plan;
use super::traces::Carried;
use crate::facts::outbox::Outbox;
use crate::facts::trace::TraceParent;
use crate::facts::{Hop, Method, Target, Transport};
use crate::sip::{Message, RequestEdit, TraceEdit, forward_request};
use crate::transaction::slab::Id;
use crate::transaction::{Branch, Client, Opening, Transactions};
use smallvec::SmallVec;
use std::ops::Range;
use std::time::Instant;

/// Writes copies; its memory is used again for each.
#[derive(Debug, Default)]
pub struct Copier {
    text: Vec<u8>,
    record_routes: SmallVec<[Range<usize>; 2]>,
    path: Option<Range<usize>>,
    trace: Carry,
}

/// What a copy says of its trace, worked out.
#[derive(Debug, Default)]
enum Carry {
    #[default]
    AsItCame,
    Nothing,
    Ours {
        parent: Range<usize>,
        keeps_state: bool,
    },
}

/// Where a copy goes.
#[derive(Debug, Clone, Copy)]
pub struct Towards {
    /// The hop.
    pub hop: Hop,
    /// The destination that it is, if it is one.
    pub target: Option<Target>,
    /// The number of the attempt, 1 for the first.
    pub number: u32,
}

/// What signs what we add.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// Marks of dialogs.
    pub marks: &'a Marks,
    /// Flows of phones.
    pub flows: &'a Flows,
}

impl Copier {
    /// Works out the Record-Route values of a request that may open a dialog (RFC 3261 §16.6 step 4):
    /// one, or two where it leaves by another listener or under another name than it came (RFC
    /// 5658); and the Path of a phone's REGISTER (RFC 3327 §5.2).
    pub fn prepare(
        &mut self,
        plan: &Plan,
        signing: Signing<'_>,
        context: &Context,
        request: Message<'_>,
        to: Towards,
    ) {
        self.text.clear();
        self.record_routes.clear();
        self.path = None;
        let Towards { hop, target, number } = to;
        self.trace = match context.carried {
            Carried::AsItCame => Carry::AsItCame,
            Carried::Nothing => Carry::Nothing,
            Carried::Ours { server, is_sampled, keeps_state } => {
                TraceParent { span: server.attempt(number), is_sampled }.write(&mut self.text);
                Carry::Ours { parent: 0..self.text.len(), keeps_state }
            }
        };
        let face = |hop: Hop| (plan.local().sent_by(hop.listener, hop.remote.ip()), hop.transport);
        let flow = context.edits.flow.map(|of| match of {
            FlowOf::Sender => context.from,
            FlowOf::Receiver => hop,
        });
        if context.method == Method::Register {
            self.path = flow.map(|flow| {
                let begin = self.text.len();
                self.text.extend_from_slice(b"<sip:");
                signing.flows.write(flow, &mut self.text);
                self.text.push(b'@');
                self.write_face(face(hop));
                self.text.push(b'>');
                begin..self.text.len()
            });
        }
        let opens_dialog = request.to_tag().is_none() && context.method.forms_dialog();
        if !opens_dialog || !plan.settings().record_route {
            return;
        }
        let mark = match (&context.selection, target) {
            (Some(_), Some(target)) => plan.mark_of(target),
            (Some(_) | None, _) => context.mark,
        };
        let (forth, back) = (face(hop), face(context.from));
        for face in std::iter::once(forth).chain((forth != back).then_some(back)) {
            let begin = self.text.len();
            self.text.extend_from_slice(b"<sip:");
            if let Some(flow) = flow {
                signing.flows.write(flow, &mut self.text);
                self.text.push(b'@');
            }
            self.write_face(face);
            self.text.push(b';');
            signing.marks.write(mark, request.call_id(), &mut self.text);
            self.text.push(b'>');
            self.record_routes.push(begin..self.text.len());
        }
    }

    /// Appends host, port, transport and `lr` of a URI of ours.
    fn write_face(&mut self, (sent_by, transport): (&str, Transport)) {
        let transport = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        for part in [sent_by, transport, ";lr"] {
            self.text.extend_from_slice(part.as_bytes());
        }
    }

    /// The Record-Route values worked out last, the topmost first.
    pub fn record_routes(&self) -> SmallVec<[&[u8]; 2]> {
        self.record_routes.iter().map(|range| self.text_at(range)).collect()
    }

    /// The Path value worked out last.
    pub fn path(&self) -> Option<&[u8]> {
        self.path.as_ref().map(|range| self.text_at(range))
    }

    /// What was worked out last of the trace.
    pub fn trace(&self) -> TraceEdit<'_> {
        match &self.trace {
            Carry::AsItCame => TraceEdit::Keep,
            Carry::Nothing => TraceEdit::Remove,
            Carry::Ours { parent, keeps_state } => {
                TraceEdit::Replace { parent: self.text_at(parent), keeps_state: *keeps_state }
            }
        }
    }

    fn text_at(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Gives what changes in a request on its way to a hop, with the values worked out last.
    fn edit(
        &mut self,
        plan: &Plan,
        context: &Context,
        hop: Hop,
        branch: &Branch,
        write: impl FnOnce(&RequestEdit<'_>),
    ) {
        self.with_via(plan, hop, branch, |copier, via| {
            write(&context.edit(via, &copier.record_routes(), copier.path(), copier.trace()));
        });
    }

    fn with_via(&mut self, plan: &Plan, hop: Hop, branch: &Branch, write: impl FnOnce(&Self, &[u8])) {
        let begin = self.text.len();
        plan.local().write_via(hop, branch, &mut self.text);
        write(self, self.text.get(begin..).unwrap_or_default());
        self.text.truncate(begin);
    }
}

impl Engine {
    /// Works out what is added to the copy of a request for a hop.
    pub fn prepare_copy(&mut self, context: &Context, request: Message<'_>, to: Towards) {
        let signing = Signing { marks: &self.marks, flows: &self.flows };
        self.copier.prepare(&self.plan, signing, context, request, to);
    }

    /// Sends a copy, as prepared: opens its client transaction.
    pub fn send_copy(
        &mut self,
        context: &Context,
        request: Message<'_>,
        opening: Opening,
        now: Instant,
    ) -> Id<Client> {
        let Self { plan, copier, transactions, outbox, .. } = self;
        transactions.send(opening, now, outbox, |branch, out| {
            copier.edit(plan, context, opening.hop, branch, |edit| forward_request(request, edit, out));
        })
    }

    /// Sends the copy of an attempt again.
    pub fn repeat_copy(&mut self, context: &Context, index: usize) {
        let Some(attempt) = context.attempts.get(index) else { return };
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let to = Towards { hop: attempt.hop, target: attempt.target, number };
        self.as_sent(context, attempt, |engine, request, branch| {
            let Self { copier, marks, flows, outbox, earlier, plan, .. } = engine;
            let plan = earlier.at(attempt.epoch, plan);
            copier.prepare(plan, Signing { marks, flows }, context, request, to);
            copier.edit(plan, context, to.hop, branch, |edit| {
                outbox.send_with(to.hop, |out| forward_request(request, edit, out));
            });
        });
    }

    /// Acknowledges a final response other than 2xx to the INVITE of an attempt (§17.1.1.3).
    pub fn acknowledge(&mut self, context: &Context, index: usize, response: Message<'_>) {
        let Some(attempt) = context.attempts.get(index) else { return };
        self.along(context, attempt, |transactions, outbox, invite, edit| {
            transactions.acknowledge(attempt.client, invite, edit, response, outbox);
        });
    }

    /// Sends the CANCEL of the INVITE of an attempt (§9.1).
    pub fn cancel_copy(&mut self, context: &Context, index: usize, now: Instant) {
        let Some(attempt) = context.attempts.get(index).filter(|_| context.method == Method::Invite) else {
            return;
        };
        let reason = context.cancelled.as_ref().and_then(|reason| reason.as_deref());
        self.along(context, attempt, |transactions, outbox, invite, edit| {
            transactions.cancel(attempt.client, invite, edit, reason, now, outbox);
        });
    }

    /// Gives the INVITE of an attempt as it came, and what of the changes in its copy counts for its
    /// CANCEL and the ACK to its failure: the way.
    fn along(
        &mut self,
        context: &Context,
        attempt: &Attempt,
        then: impl FnOnce(&mut Transactions, &mut Outbox, Message<'_>, &RequestEdit<'_>),
    ) {
        self.as_sent(context, attempt, |engine, invite, branch| {
            let Self { copier, transactions, outbox, earlier, plan, .. } = engine;
            let plan = earlier.at(attempt.epoch, plan);
            copier.with_via(plan, attempt.hop, branch, |_, via| {
                then(transactions, outbox, invite, &context.edit(via, &[], None, TraceEdit::Keep));
            });
        });
    }

    /// Gives the request of an attempt as it came, and the branch of its copy.
    fn as_sent(
        &mut self,
        context: &Context,
        attempt: &Attempt,
        then: impl FnOnce(&mut Self, Message<'_>, &Branch),
    ) {
        let Some(branch) = self.transactions.branch_of(attempt.client, context.loop_hash) else { return };
        let mut loan = self.lend(&context.request);
        if let Some(request) = loan.message() {
            then(self, request, &branch);
        }
        self.take_back(loan);
    }
}
