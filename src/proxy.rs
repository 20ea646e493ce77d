//! The core: joins transactions, dispatch and probes into a SIP proxy; decides nothing itself.
//!
//! Sans-IO: inputs, the time and a secret come in; messages, events, verdicts and names to look up
//! come out. Four kinds of methods: `handle_*` take what happened, `poll_*`/`take_*` give what is
//! to be done, [`Core::snapshot`] answers questions, and nothing else changes it.
//!
//! RFC 3261 §16 is laid out over the children: `admit` (§16.3), `route` (§16.4 to §16.6), `attempt`
//! (§16.6, §16.8), `response` (§16.7), `failover` (the policy), `request` (the way in, CANCEL, ACK).

mod ack;
mod admit;
mod answer;
mod attempt;
mod cancel;
mod challenges;
mod choose;
mod context;
mod copy;
mod dialogs;
mod draft;
mod earlier;
mod engine;
mod evidence;
mod expand;
mod explain;
mod failover;
mod flow;
mod key;
mod loan;
mod local;
mod mark;
mod mtu;
mod owner;
mod plan;
mod reject;
mod request;
mod response;
mod route;
mod settings;
mod tally;
mod tick;
mod traces;
mod warden;

pub use draft::Draft;
pub use expand::Answers;
pub use explain::{Question, Trial};
pub use key::{hash_key, hash_key_of};
pub use owner::{owner, sender};
pub use plan::{Plan, PlannedRoute};
pub use settings::{Interfaces, Listener, MethodName, OptionsReply, Route, Set, Settings};
pub use traces::{CaptureUris, Propagation, TraceIdFrom, TraceIds, TraceKey, Tracing};

use crate::dispatch::{Loads, Verdicts};
use crate::facts::event::{
    AttemptOutcome, ConfigApplied, Direction, DropReason, Event, MessageKind, ReloadTrigger, TransportReason,
};
use crate::facts::evidence::Evidence;
use crate::facts::lookup::{Lookup, Resolution};
use crate::facts::outbox::Outbox;
use crate::facts::remembered::Remembered;
use crate::facts::secret::Secret;
use crate::facts::snapshot::{Detail, Snapshot};
use crate::facts::{Admin, Hop, Method, Target, Transport, WorkerId};
use crate::sip::{Framing, Index, Message, ParseError, is_keep_alive, parse, partial};
use crate::transaction::slab::{Id, Slab};
use crate::transaction::timer::Wheel;
use crate::transaction::{Branch, Delivered, Owner, Purpose};
use context::Context;
use engine::{Engine, reply_hop, stamp};
use failover::Outcome;
use std::sync::Arc;
use std::time::Instant;
use warden::Warden;

/// What a core is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A whole message came: a datagram, or one framed message of a stream.
    Message {
        /// Where it came from.
        hop: Hop,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A message of ours could not be delivered.
    Undeliverable {
        /// Where it was to go.
        hop: Hop,
        /// As much of it as is known; ICMP quotes at least its first bytes.
        message: &'a [u8],
        /// What the socket reported.
        reason: TransportReason,
    },
    /// New verdicts from worker 0 (workers other than 0 only).
    Verdicts(Arc<Verdicts>),
    /// A new configuration.
    Reload {
        /// The configuration.
        plan: Arc<Plan>,
        /// What asked for it.
        trigger: ReloadTrigger,
    },
    /// The same configuration, in which names stand for other endpoints.
    Replan(Arc<Plan>),
    /// The end of a look-up that [`Core::take_lookups`] asked for (worker 0 only).
    Resolved(Resolution),
    /// An administrator's wish (worker 0 only).
    SetAdmin {
        /// The destination.
        target: Target,
        /// The wish.
        admin: Admin,
    },
    /// What a request showed of its destination (worker 0 only); each core, worker 0's too, puts it
    /// out with its messages and events.
    Evidence {
        /// The destination.
        target: Target,
        /// What it showed.
        evidence: Evidence,
    },
    /// Somebody wants these destinations probed now (worker 0 only).
    Probe(Vec<Target>),
    /// Forget what was learned and wished at run time (worker 0 only).
    Forget,
    /// What was remembered over a restart, before any probe has ended (worker 0 only).
    Restore(Vec<Remembered>),
    /// Serve what runs, refuse new dialogs.
    Drain,
    /// The drain deadline: CANCEL downstream, 503 upstream.
    Abort,
}

/// Reads the time for measuring how long a step inside the core takes; given, because the core has
/// no clock. Never used for deciding.
pub type Stopwatch = fn() -> Instant;

/// Requests under way for which there is room from the start.
const FIRST: usize = 256;

/// One worker's core.
#[derive(Debug)]
pub struct Core {
    worker: WorkerId,
    engine: Engine,
    contexts: Slab<Context>,
    deadlines: Wheel<Id<Context>>,
    warden: Option<Warden>,
    index: Index,
}

impl Core {
    /// Makes the core of a worker. Worker 0 also owns probes and states. All workers of a process
    /// get the same secret, and count calls in the same loads.
    pub fn new(
        worker: WorkerId,
        plan: Arc<Plan>,
        secret: &Secret,
        loads: &Arc<Loads>,
        stopwatch: Stopwatch,
        now: Instant,
    ) -> Self {
        let mut warden = (worker.0 == 0).then(|| Warden::new(&plan, secret, now));
        let mut engine = Engine::new(worker, Arc::clone(&plan), secret, loads, stopwatch, now);
        if let Some(warden) = &mut warden {
            let added = u32::try_from(plan.table().destinations().count()).unwrap_or(u32::MAX);
            engine.outbox.event(Event::ConfigApplied(Arc::new(ConfigApplied {
                trigger: None,
                hash: plan.settings().hash,
                added,
                sets_added: u32::try_from(plan.table().sets().count()).unwrap_or(u32::MAX),
                ..ConfigApplied::default()
            })));
            warden.publish(&mut engine);
        }
        Self {
            worker,
            engine,
            contexts: Slab::with_room(FIRST),
            deadlines: Wheel::with_room(now, FIRST),
            warden,
            index: Index::default(),
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Message { hop, bytes } => self.on_message(hop, bytes, now),
            Input::Undeliverable { hop, message, reason } => self.on_undeliverable(hop, message, reason, now),
            Input::Verdicts(verdicts) => self.engine.verdicts = verdicts,
            Input::Reload { plan, trigger } => self.reload(plan, Some(trigger), now),
            Input::Replan(plan) => self.reload(plan, None, now),
            Input::Resolved(resolution) => {
                self.with_warden(|warden, engine| warden.on_resolved(engine, resolution, now));
            }
            Input::SetAdmin { target, admin } => {
                self.with_warden(|warden, engine| warden.set_admin(engine, target, admin, now));
            }
            Input::Evidence { target, evidence } => {
                self.with_warden(|warden, engine| warden.on_evidence(engine, target, evidence, now));
            }
            Input::Probe(targets) => self.with_warden(|warden, _| warden.probe_now(&targets, now)),
            Input::Forget => {
                let plan = Arc::clone(&self.engine.plan);
                self.with_warden(|warden, engine| warden.forget(engine, &plan, now));
            }
            Input::Restore(remembered) => {
                self.with_warden(|warden, engine| warden.restore(engine, &remembered, now));
            }
            Input::Drain => self.drain(),
            Input::Abort => self.abort(now),
        }
    }

    /// Messages, events and evidence of the steps since it was last cleared.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.engine.outbox
    }

    /// Verdicts that changed since the last call, to be given to the other workers (worker 0 only).
    pub fn take_verdicts(&mut self) -> Option<Arc<Verdicts>> {
        self.warden.as_mut()?.take_verdicts()
    }

    /// Names to look up from now on, until the next list replaces this one; `Some` whenever the
    /// list has changed (worker 0 only).
    pub fn take_lookups(&mut self) -> Option<Vec<Lookup>> {
        self.warden.as_mut()?.take_lookups()
    }

    /// Whether anything has changed since the last call that is to survive a restart (worker 0 only).
    pub fn take_unsaved(&mut self) -> bool {
        self.warden.as_mut().is_some_and(Warden::take_unsaved)
    }

    /// What is to survive a restart (worker 0 only).
    pub fn remembered(&self) -> Vec<Remembered> {
        self.warden.as_ref().map_or(Vec::new(), Warden::remembered)
    }

    /// Answers what is, all at once.
    pub fn snapshot(&self, now: Instant, detail: Detail) -> Snapshot {
        let mut draft = self.begin_snapshot(now, detail);
        self.continue_snapshot(&mut draft, usize::MAX);
        draft.finish()
    }

    /// Takes some more destinations, this many at most unless it has to begin again, into a snapshot;
    /// whether it is complete.
    pub fn continue_snapshot(&self, draft: &mut Draft, at_most: usize) -> bool {
        self.warden.as_ref().is_none_or(|warden| warden.add_to(draft, &self.engine, at_most))
    }

    /// Begins to answer what is.
    pub fn begin_snapshot(&self, now: Instant, detail: Detail) -> Draft {
        let engine = &self.engine;
        let waiting = (0u32..).zip(&engine.waiting).filter(|(_, count)| **count > 0);
        let snapshot = Snapshot {
            worker: self.worker,
            at: now,
            in_flight: engine.transactions.open_counts().filter(|(_, _, count)| *count > 0).collect(),
            waiting: waiting.map(|(target, count)| (Target::new(target), *count)).collect(),
            early: engine.early.counts(),
            dialogs: engine.dialogs.by_set(),
            linger: u64::try_from(engine.transactions.linger_bytes()).unwrap_or(u64::MAX),
            probes_in_flight: self
                .warden
                .as_ref()
                .map_or(Vec::new(), |warden| warden.probes_in_flight(&engine.plan)),
            sets: vec![],
        };
        Draft::new(snapshot, detail)
    }

    /// Transactions that a drain waits for; after its deadline, what is still to be answered from
    /// below.
    pub fn unfinished(&self) -> u64 {
        if self.engine.is_aborted {
            return u64::try_from(self.contexts.len()).unwrap_or(u64::MAX);
        }
        self.engine.transactions.unfinished()
    }

    /// Everything held per request: (contexts, client transactions, server transactions, dialogs).
    /// All but the dialogs return to 0 when traffic stops.
    pub fn holdings(&self) -> (usize, usize, usize, usize) {
        let (clients, servers) = self.engine.transactions.alive();
        (self.contexts.len(), clients, servers, self.engine.dialogs.len())
    }

    /// What is kept for all of that, in chunks: messages, and Contacts of dialogs. Each is 0 when
    /// its owners are.
    pub fn kept(&self) -> (usize, usize) {
        (self.engine.transactions.messages().len(), self.engine.dialogs.contacts_kept())
    }

    /// Timers set: at most one for each context and each transaction, finished ones included.
    pub fn timers(&self) -> usize {
        self.engine.transactions.timers() + self.deadlines.count()
    }

    fn on_message(&mut self, hop: Hop, bytes: &[u8], now: Instant) {
        if hop.transport == Transport::Udp && is_keep_alive(bytes) {
            // RFC 5626 §3.5.1: line ends alone keep a binding open and say nothing.
            return;
        }
        let framing = match hop.transport {
            Transport::Udp => Framing::Datagram,
            Transport::Tcp => Framing::Stream,
        };
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut index = std::mem::take(&mut self.index);
        match parse(bytes, framing, &mut index) {
            Ok(message) => {
                let received =
                    Event::MessageReceived { transport: hop.transport, kind: message.kind(), bytes: size };
                self.engine.outbox.event(received);
                if message.is_request() {
                    self.on_request(message, hop, now);
                } else {
                    self.on_response(message, now);
                }
            }
            Err(error) => {
                let kind =
                    if bytes.starts_with(b"SIP/") { MessageKind::Response } else { MessageKind::Request };
                self.engine.outbox.event(Event::MessageReceived {
                    transport: hop.transport,
                    kind,
                    bytes: size,
                });
                self.on_malformed(partial(bytes, &index), error, hop, now);
            }
        }
        self.index = index;
    }

    fn on_response(&mut self, response: Message<'_>, now: Instant) {
        let engine = &mut self.engine;
        if response.via_count() < 2 && is_to_be_passed_on(response) {
            // RFC 3261 §16.7 step 3: without a Via of somebody else it must not be forwarded.
            return ack::drop_received(&mut engine.outbox, DropReason::Malformed);
        }
        let delivered = engine.transactions.receive_response(response, now, &mut engine.outbox);
        match delivered {
            Delivered::To(Owner::Attempt { slot, generation, attempt })
            | Delivered::Unacknowledged(Owner::Attempt { slot, generation, attempt }) => {
                let id = Id::from_parts(slot, generation);
                let Some(context) = self.contexts.get_mut(id) else { return };
                if matches!(delivered, Delivered::Unacknowledged(_)) {
                    engine.acknowledge(context, attempt as usize, response);
                }
                if response.status() < 200 {
                    engine.on_provisional(context, attempt as usize, response, now);
                } else {
                    engine.on_final(id, context, attempt as usize, response, now);
                }
                self.settle(id);
            }
            Delivered::To(Owner::Answered(server)) => engine.on_further_2xx(server, response, now),
            Delivered::To(Owner::Probe(probe)) => {
                self.with_warden(|warden, engine| warden.on_response(engine, probe, response, now));
            }
            Delivered::To(Owner::Nobody | Owner::Request { .. })
            | Delivered::Unacknowledged(_)
            | Delivered::Absorbed => {}
            Delivered::Stray(purpose) => {
                if purpose == Some(Purpose::Probe) {
                    engine.outbox.event(Event::ProbeUnmatched);
                }
                ack::drop_received(&mut engine.outbox, DropReason::Stray);
            }
        }
    }

    /// A message that cannot be parsed: answered where RFC 3261 says so and a peer can be told,
    /// else dropped. A probe's broken answer still counts for the probe.
    fn on_malformed(&mut self, message: Message<'_>, error: ParseError, from: Hop, now: Instant) {
        let is_response = message.bytes().starts_with(b"SIP/");
        let answered = error.reply.filter(|_| !is_response);
        let Engine { outbox, replies, transactions, .. } = &mut self.engine;
        outbox.event(Event::ParseFailed {
            transport: from.transport,
            source: from.remote,
            reason: error.reason,
            answered,
        });
        if let Some(code) = answered {
            let via = message.top_via();
            let stamp = stamp(&via, from);
            let warning = reject::warning(&format!("malformed: {}", error.reason));
            let headers = [("Warning", warning.as_bytes())];
            outbox.send_with(reply_hop(&via, from), |out| replies.write(message, code, stamp, &headers, out));
            return;
        }
        outbox.event(Event::MessageDropped { direction: Direction::Received, reason: DropReason::Malformed });
        if is_response
            && let Some(branch) = owner::branch_of(message.bytes())
            && branch.purpose == Purpose::Probe
            && let Some(Owner::Probe(probe)) = transactions.owner_of(&branch)
        {
            let response = message.bytes();
            self.with_warden(|warden, engine| warden.on_malformed(engine, probe, response, now));
        }
    }

    /// Says that a message of ours could not be delivered.
    fn on_undeliverable(&mut self, hop: Hop, message: &[u8], reason: TransportReason, now: Instant) {
        let Some(branch) = owner::branch_of(message) else { return };
        let Some((owner, retransmissions)) = self.engine.transactions.undeliverable(&branch, hop) else {
            return self.engine.fall_back_ack(hop, branch, message, reason, now);
        };
        match owner {
            Owner::Attempt { slot, generation, attempt } => {
                let id = Id::from_parts(slot, generation);
                let Some(context) = self.contexts.get_mut(id) else { return };
                if !self.engine.fall_back(id, context, attempt as usize, reason, now) {
                    let outcome = Outcome::Undelivered { sent_before: retransmissions > 0 };
                    let ended = AttemptOutcome::Transport(reason);
                    self.engine.on_failure(id, context, attempt as usize, outcome, ended, now);
                }
                self.settle(id);
            }
            Owner::Probe(probe) => self.with_warden(|warden, engine| {
                warden.on_undeliverable(engine, probe, reason, retransmissions, now);
            }),
            Owner::Request { .. } | Owner::Answered(_) | Owner::Nobody => {}
        }
    }

    fn reload(&mut self, plan: Arc<Plan>, trigger: Option<ReloadTrigger>, now: Instant) {
        self.engine.selector.reload(Arc::clone(plan.table()));
        self.engine.transactions.set_settings(plan.settings().timers.clone());
        let attempts = self.contexts.iter().flat_map(|(_, context)| &context.attempts);
        let in_use = attempts.map(|attempt| attempt.epoch).collect();
        let former = std::mem::replace(&mut self.engine.plan, Arc::clone(&plan));
        let (sets_added, sets_removed) = (plan.sets_missing_in(&former), former.sets_missing_in(&plan));
        self.engine.earlier.push(former, &in_use);
        self.with_warden(|warden, engine| {
            let reconciled = warden.reload(engine, &plan, now);
            if trigger.is_none() {
                return;
            }
            engine.outbox.event(Event::ConfigApplied(Arc::new(ConfigApplied {
                trigger,
                hash: plan.settings().hash,
                added: reconciled.added,
                removed: reconciled.removed,
                kept: reconciled.kept,
                changed: reconciled.changed,
                sets_added,
                sets_removed,
                needs_restart: Vec::new(),
            })));
        });
    }

    /// Lets the warden do something, then publishes what it changed. Nothing on workers other
    /// than 0.
    fn with_warden(&mut self, act: impl FnOnce(&mut Warden, &mut Engine)) {
        if let Some(warden) = &mut self.warden {
            act(warden, &mut self.engine);
            warden.publish(&mut self.engine);
        }
    }
}

/// Whether a response answers a request that somebody else sent us: not a probe, nor a CANCEL, which are
/// our own.
fn is_to_be_passed_on(response: Message<'_>) -> bool {
    let branch = response.top_via().branch.and_then(Branch::read);
    branch.is_some_and(|branch| branch.purpose == Purpose::Call) && response.method() != Method::Cancel
}
