//! The one owner of probes and states: joins prober, health and the probes' transactions.
//!
//! Lives in the core of worker 0. Publishes verdicts; asks for names to be looked up.

mod snapshot;
mod template;

use super::engine::Engine;
use super::plan::Plan;
use crate::dispatch::{Change, Health, Reconciled, Table};
use crate::facts::event::{DnsResult, Event, ProbeOutcome, ProbeRecord, TransportReason};
use crate::facts::evidence::{Evidence, Seen};
use crate::facts::lookup::{Lookup, Resolution};
use crate::facts::remembered::Remembered;
use crate::facts::secret::{Nonces, Secret};
use crate::facts::snapshot::ProbeExchange;
use crate::facts::trace::SpanRef;
use crate::facts::{Admin, Hop, ListenerId, Method, SetId, Target, Transport};
use crate::probe::{Due, ProbeId, Prober};
use crate::sip::{Message, ProbeTemplate};
use crate::transaction::slab::Id;
use crate::transaction::{Client, Opening, Owner, Purpose};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the probe of a name waits for the first look-up of it.
const LOOKUP_PATIENCE: Duration = Duration::from_millis(500);

/// Probes and states.
#[derive(Debug)]
pub struct Warden {
    health: Health,
    prober: Prober,
    nonces: Nonces,
    running: HashMap<u32, Running>,
    /// The text of each destination's probes, and the plan that it was made for. One of another plan is
    /// made again with the next probe: all of them at once would hold up the calls.
    templates: HashMap<Target, (u64, ProbeTemplate)>,
    /// Counts the plans taken.
    plans: u64,
    lookups: Option<Vec<Lookup>>,
    generation: Option<Arc<crate::dispatch::Verdicts>>,
    /// The last probe of each destination as it went over the wire.
    exchanges: HashMap<Target, Arc<ProbeExchange>>,
    /// Whether anything has changed that is to survive a restart.
    is_unsaved: bool,
}

/// A probe under way.
#[derive(Debug)]
struct Running {
    probe: ProbeId,
    targets: SmallVec<[Target; 1]>,
    started: Instant,
    client: Id<Client>,
    hop: Hop,
    settings: Arc<crate::probe::Settings>,
    retransmissions: u32,
    request: Box<[u8]>,
    response: Box<[u8]>,
}

/// A probe that has just ended.
struct Ended<'a> {
    probe: ProbeId,
    targets: &'a [Target],
    hop: Option<Hop>,
    outcome: ProbeOutcome,
    request: Box<[u8]>,
    response: Box<[u8]>,
}

impl Warden {
    /// The warden of a configuration.
    pub fn new(plan: &Plan, secret: &Secret, now: Instant) -> Self {
        let mut warden = Self {
            health: Health::new(Arc::clone(plan.table()), now),
            prober: Prober::new(),
            nonces: Nonces::new(secret.derive("probes")),
            running: HashMap::new(),
            templates: HashMap::new(),
            plans: 0,
            lookups: None,
            generation: None,
            exchanges: HashMap::new(),
            is_unsaved: false,
        };
        warden.plan_probes(plan, now);
        warden.ask_for_names(&Table::default());
        warden
    }

    /// Takes a new configuration; destinations that stay keep state, history and probe phase.
    pub fn reload(&mut self, engine: &mut Engine, plan: &Plan, now: Instant) -> Reconciled {
        let former = Arc::clone(self.health.table());
        let reconciled = self.health.reconcile(Arc::clone(plan.table()), now);
        self.plan_probes(plan, now);
        if reconciled.removed > 0 {
            let is_configured = |target: &Target| plan.table().destination(*target).is_some();
            self.exchanges.retain(|target, _| is_configured(target));
            self.templates.retain(|target, _| is_configured(target));
        }
        self.is_unsaved = true;
        self.ask_for_names(&former);
        self.follow_probes(engine);
        self.tell_changes(engine);
        reconciled
    }

    /// After a reload, probes under way count for the destinations at their endpoint now; one whose
    /// endpoint is gone, or is probed otherwise, says nothing of anybody.
    fn follow_probes(&mut self, engine: &mut Engine) {
        let prober = &self.prober;
        self.running.retain(|_, running| {
            let targets = prober.targets_of(running.probe);
            match targets {
                Some(targets) => running.targets = SmallVec::from_slice(targets),
                None => engine.transactions.forget(running.client),
            }
            targets.is_some()
        });
    }

    /// Ends ejections, pauses and probes whose time has run out, and sends every probe that is due.
    pub fn handle_timeout(&mut self, engine: &mut Engine, now: Instant) {
        self.health.handle_timeout(now);
        self.tell_changes(engine);
        while let Some(probe) = self.prober.expired(now) {
            self.end(engine, probe.number(), ProbeOutcome::Timeout, now);
        }
        while let Some(due) = self.prober.due(now) {
            self.send(engine, &due, now);
        }
    }

    /// When [`Warden::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.prober.poll_timeout().into_iter().chain(self.health.poll_timeout()).min()
    }

    /// A response to a probe came.
    pub fn on_response(&mut self, engine: &mut Engine, probe: u32, response: Message<'_>, now: Instant) {
        let code = response.status();
        let Some(running) = self.running.get(&probe).filter(|_| code >= 200) else { return };
        let outcome = if running.settings.accept.contains(code) {
            ProbeOutcome::Accepted(code)
        } else {
            ProbeOutcome::Rejected(code)
        };
        self.note_response(probe, response.bytes());
        self.end(engine, probe, outcome, now);
    }

    /// A response to a probe came that could not be parsed.
    pub fn on_malformed(&mut self, engine: &mut Engine, probe: u32, response: &[u8], now: Instant) {
        self.note_response(probe, response);
        self.end(engine, probe, ProbeOutcome::Malformed, now);
    }

    /// A probe could not be delivered; its transaction is over.
    pub fn on_undeliverable(
        &mut self,
        engine: &mut Engine,
        probe: u32,
        reason: TransportReason,
        retransmissions: u32,
        now: Instant,
    ) {
        if let Some(running) = self.running.get_mut(&probe) {
            running.retransmissions = retransmissions;
        }
        self.end(engine, probe, ProbeOutcome::Transport(reason), now);
    }

    /// A look-up ended.
    pub fn on_resolved(&mut self, engine: &mut Engine, resolution: Resolution, now: Instant) {
        let Resolution { lookup, result, found, took } = resolution;
        let (name, addresses) = (Arc::clone(&lookup.name), found.len());
        engine.outbox.event(Event::NameResolved { name, result, addresses, took });
        let addresses: Vec<SocketAddr> = found.iter().map(|found| found.address).collect();
        for target in self.health.on_resolved(&lookup, &addresses, result != DnsResult::Ok, now) {
            engine.outbox.event(Event::AddressesChanged { target, addresses: addresses.clone() });
            self.abandon_probes(engine, target, now);
            self.prober.hasten(target, now);
        }
        self.tell_changes(engine);
    }

    /// What a former address of a destination answers, or does not, says nothing of the one it has.
    fn abandon_probes(&mut self, engine: &mut Engine, target: Target, now: Instant) {
        let (health, prober) = (&self.health, &mut self.prober);
        self.running.retain(|_, running| {
            let is_current = health.address(target) == Some(running.hop.remote);
            let is_kept = is_current || !running.targets.contains(&target);
            if !is_kept {
                engine.transactions.forget(running.client);
                prober.postpone(running.probe, Duration::ZERO, now);
            }
            is_kept
        });
    }

    /// An administrator wishes something of a destination.
    pub fn set_admin(&mut self, engine: &mut Engine, target: Target, admin: Admin, now: Instant) {
        self.health.set_admin(target, admin, now);
        self.tell_changes(engine);
    }

    /// A request showed something of its destination.
    pub fn on_evidence(&mut self, engine: &mut Engine, target: Target, evidence: Evidence, now: Instant) {
        self.health.on_evidence(target, evidence, now);
        self.tell_changes(engine);
    }

    /// Somebody wants to know how destinations are: probes each of them that is probed at all.
    pub fn probe_now(&mut self, targets: &[Target], now: Instant) {
        self.prober.demand(targets, now);
    }

    /// Forgets what was learned and wished at run time, and finds it out anew.
    pub fn forget(&mut self, engine: &mut Engine, plan: &Plan, now: Instant) {
        self.health.forget(now);
        let all: Vec<Target> = plan.table().destinations().map(|destination| destination.target).collect();
        self.prober.demand(&all, now);
        self.tell_changes(engine);
    }

    /// Takes back what was remembered over a restart; tells of how many destinations.
    pub fn restore(&mut self, engine: &mut Engine, remembered: &[Remembered], now: Instant) {
        let restored = self.health.restore(remembered, now);
        let ignored = u32::try_from(remembered.len()).unwrap_or(u32::MAX).saturating_sub(restored);
        engine.outbox.event(Event::StateRestored { restored, ignored });
        self.tell_changes(engine);
    }

    /// What is to survive a restart.
    pub fn remembered(&self) -> Vec<Remembered> {
        self.health.remembered()
    }

    /// Whether anything has changed since the last call that is to survive a restart.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.is_unsaved)
    }

    /// Verdicts that changed since the last call.
    pub fn take_verdicts(&mut self) -> Option<Arc<crate::dispatch::Verdicts>> {
        self.generation.take()
    }

    /// Names to look up, if the list changed since the last call.
    pub fn take_lookups(&mut self) -> Option<Vec<Lookup>> {
        self.lookups.take()
    }

    /// Probes under way, by set.
    pub fn probes_in_flight(&self, plan: &Plan) -> Vec<(SetId, u64)> {
        let names = &plan.directory().names;
        let mut counts = BTreeMap::new();
        for set in self.prober.in_flight().flatten().filter_map(|target| names.set_of(*target)) {
            *counts.entry(set).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Makes what changed known to this core, and to the others through [`Warden::take_verdicts`].
    pub fn publish(&mut self, engine: &mut Engine) {
        self.tell_changes(engine);
        if let Some(verdicts) = self.health.take_verdicts() {
            engine.verdicts = Arc::clone(&verdicts);
            self.generation = Some(verdicts);
        }
    }

    fn plan_probes(&mut self, plan: &Plan, now: Instant) {
        self.plans += 1;
        self.prober.reconcile(plan.roster(), now, &mut self.nonces);
    }

    /// Has the names looked up, if they are others than before.
    fn ask_for_names(&mut self, former: &Table) {
        let names = || self.health.table().lookups().keys();
        if !names().eq(former.lookups().keys()) {
            self.lookups = Some(names().cloned().collect());
        }
    }

    fn send(&mut self, engine: &mut Engine, due: &Due, now: Instant) {
        if due.targets.first().is_some_and(|&target| self.health.is_being_resolved(target)) {
            // Its first answer makes it due at once.
            return self.prober.postpone(due.probe, LOOKUP_PATIENCE, now);
        }
        engine.outbox.event(Event::ProbeSent { lag: now.saturating_duration_since(due.scheduled) });
        let slot = due.probe.number();
        let ready = due.targets.first().and_then(|&target| {
            let hop = engine_hop(engine, &self.health, target)?;
            let is_current = self.templates.get(&target).is_some_and(|(plan, _)| *plan == self.plans);
            if !is_current {
                let template = template::of(&engine.plan, target, &due.settings)?;
                self.templates.insert(target, (self.plans, template));
            }
            Some((hop, &self.templates.get(&target)?.1))
        });
        let Some((hop, template)) = ready else {
            let (request, response) = (Box::default(), Box::default());
            let (probe, targets, outcome) = (due.probe, &due.targets, ProbeOutcome::Dns);
            let ended = Ended { probe, targets, hop: None, outcome, request, response };
            return self.finish(engine, ended, None, 0, now);
        };
        let opening = Opening {
            purpose: Purpose::Probe,
            method: Method::from_token(due.settings.method.as_bytes()),
            hop,
            target: None,
            owner: Owner::Probe(slot),
            loop_hash: 0,
        };
        let local = engine.plan.local();
        let (call_id, tag) = (
            format!("{:032x}@sipwarden", self.nonces.next_u128()),
            format!("{:016x}", self.nonces.next_u64()),
        );
        let client = engine.transactions.send(opening, now, &mut engine.outbox, |branch, out| {
            let mut via = Vec::new();
            local.write_via(hop, branch, &mut via);
            template.write(&via, call_id.as_bytes(), 1, tag.as_bytes(), out);
        });
        let running = Running {
            probe: due.probe,
            targets: due.targets.clone(),
            started: now,
            client,
            hop,
            settings: Arc::clone(&due.settings),
            retransmissions: 0,
            request: ProbeExchange::keep(engine.outbox.last()),
            response: Box::default(),
        };
        self.running.insert(slot, running);
    }

    fn note_response(&mut self, probe: u32, response: &[u8]) {
        if let Some(running) = self.running.get_mut(&probe) {
            running.response = ProbeExchange::keep(response);
        }
    }

    /// Ends a probe that is under way.
    fn end(&mut self, engine: &mut Engine, slot: u32, outcome: ProbeOutcome, now: Instant) {
        let Some(running) = self.running.remove(&slot) else {
            engine.outbox.event(Event::ProbeUnmatched);
            return;
        };
        let retransmissions =
            running.retransmissions.max(engine.transactions.retransmissions(running.client));
        engine.transactions.forget(running.client);
        let Running { probe, targets, started, hop, request, response, .. } = running;
        let rtt = (outcome.code() > 0).then(|| now.saturating_duration_since(started));
        let ended = Ended { probe, targets: &targets, hop: Some(hop), outcome, request, response };
        self.finish(engine, ended, rtt, retransmissions, now);
    }

    fn finish(
        &mut self,
        engine: &mut Engine,
        ended: Ended<'_>,
        rtt: Option<Duration>,
        retransmissions: u32,
        now: Instant,
    ) {
        let Ended { probe, targets, hop, outcome, request, response } = ended;
        if let Some(rtt) = rtt.filter(|_| outcome.is_success()) {
            targets.iter().for_each(|target| engine.selector.loads().measure(*target, rtt));
        }
        let verdicts: SmallVec<[_; 1]> = targets
            .iter()
            .map(|&target| {
                let span = SpanRef::root(self.nonces.next_u128());
                (span, self.health.on_probe(target, Seen { outcome, span: Some(span) }, rtt, now))
            })
            .collect();
        let in_doubt = targets.iter().any(|&target| self.health.is_in_doubt(target));
        let Some(finished) = self.prober.finish(probe, in_doubt, now, &mut self.nonces) else { return };
        let remote = hop.map(|hop| hop.remote);
        let exchange = ProbeExchange { started: finished.started, ended: now, remote, request, response };
        let exchange = Arc::new(exchange);
        for (&target, (span, verdict)) in finished.targets.iter().zip(verdicts) {
            self.exchanges.insert(target, Arc::clone(&exchange));
            let transport =
                engine.plan.table().destination(target).map_or(Transport::Udp, |d| d.settings.transport);
            engine.outbox.event(Event::ProbeFinished(Box::new(ProbeRecord {
                target,
                span,
                scheduled: finished.scheduled,
                started: finished.started,
                ended: now,
                remote,
                listener: hop.map(|hop| hop.listener),
                transport,
                outcome,
                retransmissions,
                consecutive_failures: verdict.consecutive_failures,
                consecutive_successes: verdict.consecutive_successes,
                change: verdict.change,
            })));
        }
        self.tell_changes(engine);
    }

    fn tell_changes(&mut self, engine: &mut Engine) {
        for target in self.health.take_renewed() {
            engine.selector.loads().forget(target);
        }
        while let Some(change) = self.health.poll_change() {
            self.is_unsaved = true;
            engine.outbox.event(match change {
                Change::Destination(change) => Event::DestinationChanged(change),
                Change::Set { set, all_down } => Event::SetChanged { set, all_down },
            });
        }
    }
}

fn engine_hop(engine: &Engine, health: &Health, target: Target) -> Option<Hop> {
    let settings = &engine.plan.table().destination(target)?.settings;
    let remote = health.address(target)?;
    let preferred = settings.listener.unwrap_or(ListenerId::new(0));
    engine.plan.local().hop_to(settings.transport, remote, preferred)
}
