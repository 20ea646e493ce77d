//! What every step of the core works with: transactions, selection, tables, the outbox.
//!
//! Separate from the contexts, so that a step can hold one context and all of this at once.

use super::Stopwatch;
use super::challenges::Challenges;
use super::context::Context;
use super::copy::Copier;
use super::dialogs::Dialogs;
use super::earlier::Earlier;
use super::flow::Flows;
use super::loan::Loan;
use super::mark::Marks;
use super::mtu::Refusals;
use super::plan::Plan;
use super::reject::Replies;
use super::route::View;
use super::tally::Tally;
use crate::dispatch::{Loads, Selector, Verdicts};
use crate::facts::outbox::Outbox;
use crate::facts::secret::{Fingerprints, Nonces, Secret};
use crate::facts::{Hop, Method, Target, WorkerId};
use crate::sip::{Stamp, Via};
use crate::transaction::Transactions;
use crate::transaction::store::Stored;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The shared means of a core.
#[derive(Debug)]
pub struct Engine {
    /// The configuration.
    pub plan: Arc<Plan>,
    /// Those before it by which something was sent that is under way.
    pub earlier: Earlier,
    /// The transactions.
    pub transactions: Transactions,
    /// Chooses destinations.
    pub selector: Selector,
    /// Who is usable.
    pub verdicts: Arc<Verdicts>,
    /// The dialogs alive.
    pub dialogs: Dialogs,
    /// Who takes no TCP connection.
    pub refusals: Refusals,
    /// Who challenged whom.
    pub challenges: Challenges,
    /// Reads and writes marks.
    pub marks: Marks,
    /// Reads and writes flows.
    pub flows: Flows,
    /// What tells a loop from a spiral.
    pub loops: Fingerprints,
    /// The key of branches of ACKs.
    pub ack_secret: Secret,
    /// The key of hashed URIs.
    pub uri_secret: Secret,
    /// Writes answers of our own.
    pub replies: Replies,
    /// Unguessable numbers.
    pub nonces: Nonces,
    /// What goes out.
    pub outbox: Outbox,
    /// Attempts without a final response, by target.
    pub waiting: Vec<u64>,
    /// Early dialogs, by set.
    pub early: Tally,
    /// The request of a context that was read last.
    loan: Loan,
    /// Memory for the Via of an ACK.
    pub spare_via: Vec<u8>,
    /// Writes copies of requests.
    pub copier: Copier,
    /// Measures steps.
    pub stopwatch: Stopwatch,
    /// Whether new dialogs are refused.
    pub is_draining: bool,
    /// Whether the drain deadline has passed.
    pub is_aborted: bool,
}

impl Engine {
    /// The means of a worker's core.
    pub fn new(
        worker: WorkerId,
        plan: Arc<Plan>,
        secret: &Secret,
        loads: &Arc<Loads>,
        stopwatch: Stopwatch,
        now: Instant,
    ) -> Self {
        let timers = plan.settings().timers.clone();
        let selector = Selector::new(Arc::clone(plan.table()), Arc::clone(loads), u64::from(worker.0));
        Self {
            transactions: Transactions::new(timers, worker, secret, now),
            earlier: Earlier::default(),
            selector,
            verdicts: Arc::default(),
            dialogs: Dialogs::new(secret),
            refusals: Refusals::default(),
            challenges: Challenges::new(secret),
            marks: Marks::new(secret),
            flows: Flows::new(secret),
            loops: secret.fingerprints("loops"),
            ack_secret: secret.derive("ack"),
            uri_secret: secret.derive("uris"),
            replies: Replies::new(secret, &plan.settings().user_agent),
            nonces: Nonces::new(secret.derive(&format!("choices of worker {}", worker.0))),
            outbox: Outbox::default(),
            waiting: Vec::new(),
            early: Tally::default(),
            loan: Loan::default(),
            spare_via: Vec::new(),
            copier: Copier::default(),
            stopwatch,
            is_draining: false,
            is_aborted: false,
            plan,
        }
    }

    /// What routing looks at.
    pub fn view(&self) -> View<'_> {
        View {
            plan: &self.plan,
            verdicts: &self.verdicts,
            marks: &self.marks,
            flows: &self.flows,
            dialogs: &self.dialogs,
        }
    }

    /// Lends the request of a context in one piece, to be taken back.
    pub fn lend(&mut self, request: &Stored) -> Loan {
        let mut loan = std::mem::take(&mut self.loan);
        loan.hold(request, self.transactions.messages());
        loan
    }

    /// Takes back a loan: the next one may be of the same message.
    pub fn take_back(&mut self, loan: Loan) {
        self.loan = loan;
    }

    /// Frees what is kept for a context that is over.
    pub fn release(&mut self, mut context: Context) {
        self.count_early_out(&mut context);
        self.loan.forget(&context.request);
        self.transactions.messages_mut().free(&mut context.request);
        self.dialogs.forget(&mut context.contact);
    }

    /// Counts a call as an early dialog, once.
    pub fn count_early(&mut self, context: &mut Context) {
        let is_call = context.method == Method::Invite && !context.contact.is_empty();
        if let Some(set) = context.set.filter(|_| is_call && !context.is_early && !context.is_answered) {
            context.is_early = true;
            self.early.add(set);
        }
    }

    /// Counts it out again, if it was counted.
    pub fn count_early_out(&mut self, context: &mut Context) {
        if let Some(set) = context.set.filter(|_| std::mem::take(&mut context.is_early)) {
            self.early.take(set);
        }
    }

    /// Counts an attempt without a final response in or out.
    pub fn count_waiting(&mut self, target: Option<Target>, change: i64) {
        let Some(target) = target else { return };
        if self.waiting.len() <= target.index() {
            self.waiting.resize(target.index() + 1, 0);
        }
        if let Some(count) = self.waiting.get_mut(target.index()) {
            *count =
                count.checked_add_signed(change).expect("an attempt is closed once, after it was started");
        }
    }
}

/// What a request's topmost Via gets (RFC 3261 §18.2.1, RFC 3581 §4).
pub fn stamp(via: &Via<'_>, from: Hop) -> Stamp {
    let sent_by = std::str::from_utf8(via.host).ok().and_then(|host| host.parse().ok());
    let wants_rport = via.rport.is_some();
    let differs = sent_by != Some(from.remote.ip());
    Stamp {
        received: (wants_rport || differs).then(|| from.remote.ip()),
        rport: wants_rport.then(|| from.remote.port()),
    }
}

/// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).
pub fn reply_hop(via: &Via<'_>, from: Hop) -> Hop {
    if !from.transport.is_reliable() && via.rport.is_some() {
        return from;
    }
    let port = via.port.unwrap_or(super::local::DEFAULT_PORT);
    Hop { remote: SocketAddr::new(from.remote.ip(), port), ..from }
}
