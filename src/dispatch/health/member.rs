//! One destination as its owner knows it: facts, addresses, and the history behind them.

use super::addresses::{Addresses, Answer};
use super::facts::{Facts, Probe, Resolution, derive};
use crate::dispatch::{Destination, DestinationSettings};
use crate::facts::event::{ChangeReason, ProbeOutcome, StateChange};
use crate::facts::snapshot::{DestinationSnapshot, Detail, ProbeNote, ProbeSnapshot};
use crate::facts::{Admin, State, Target};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many changes of state are remembered.
const MAX_CHANGES: usize = 200;
/// How many probes are remembered.
const MAX_PROBES: usize = 20;

/// One destination.
#[derive(Debug)]
pub struct Member {
    target: Target,
    settings: DestinationSettings,
    facts: Facts,
    addresses: Addresses,
    added: Instant,
    since: Instant,
    has_had_verdict: bool,
    changes: VecDeque<StateChange>,
    probes: VecDeque<ProbeNote>,
    stats: ProbeSnapshot,
}

impl Member {
    /// Starts as configured; `known` is what its name was last found to stand for, if it has been
    /// looked up.
    pub fn new(destination: &Destination, known: Option<&Answer>, now: Instant) -> Self {
        let settings = destination.settings.clone();
        let addresses = Addresses::new(&settings.endpoint, known);
        let facts = Facts {
            admin: settings.admin,
            probe: initial_probe(&settings),
            resolution: resolution(&addresses, known),
            ejected_until: None,
            retry_after_until: None,
        };
        Self {
            target: destination.target,
            settings,
            facts,
            addresses,
            added: now,
            since: now,
            has_had_verdict: false,
            changes: VecDeque::new(),
            probes: VecDeque::new(),
            stats: ProbeSnapshot::default(),
        }
    }

    /// Takes over from another member of the same owner: the administrator's wish, and where both
    /// stand for one address everything that is known of it.
    pub fn inherit(&mut self, elder: &Self) {
        if elder.settings.admin == self.settings.admin {
            self.facts.admin = elder.facts.admin;
        }
        let is_probed = |member: &Self| member.settings.thresholds.is_some();
        if elder.address() != self.address() || is_probed(elder) != is_probed(self) {
            return;
        }
        self.facts = Facts { admin: self.facts.admin, resolution: self.facts.resolution, ..elder.facts };
        self.since = elder.since;
        self.has_had_verdict = elder.has_had_verdict;
        self.changes.clone_from(&elder.changes);
        self.probes.clone_from(&elder.probes);
        self.stats = elder.stats.clone();
    }

    /// Takes a new configuration of the same destination. What was set at run time stays unless
    /// the configured value itself changed; what probes said stays unless the URI changed.
    pub fn reconfigure(
        &mut self,
        destination: &Destination,
        known: Option<&Answer>,
        now: Instant,
    ) -> Option<StateChange> {
        let settings = destination.settings.clone();
        let old = std::mem::replace(&mut self.settings, settings);
        let new = &self.settings;
        let mut facts = self.facts;
        if old.admin != new.admin {
            facts.admin = new.admin;
        }
        let is_elsewhere =
            (&old.uri, &old.endpoint, old.transport) != (&new.uri, &new.endpoint, new.transport);
        if is_elsewhere || old.thresholds.is_some() != new.thresholds.is_some() {
            facts.probe = initial_probe(new);
            self.stats.consecutive_failures = 0;
            self.stats.consecutive_successes = 0;
        }
        if is_elsewhere {
            self.addresses = Addresses::new(&new.endpoint, known);
            facts.resolution = resolution(&self.addresses, known);
        }
        self.settle(facts, ChangeReason::Reload, None, now)
    }

    /// Takes in a finished probe. A destination that is not probed stays as it is.
    pub fn on_probe(
        &mut self,
        outcome: ProbeOutcome,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Option<StateChange> {
        let thresholds = self.settings.thresholds?;
        self.note_probe(outcome, rtt, now);
        let mut facts = self.facts;
        // Without an address nothing was sent; the resolver's own answer decides.
        if facts.resolution == Resolution::Known {
            facts.probe = facts.probe.after(outcome.is_success(), thresholds);
        }
        let is_first = !self.has_had_verdict && facts.is_judged();
        self.has_had_verdict |= is_first;
        let reason = match outcome {
            ProbeOutcome::Dns => ChangeReason::Dns,
            _ if is_first => ChangeReason::Start,
            ProbeOutcome::Accepted(_)
            | ProbeOutcome::Rejected(_)
            | ProbeOutcome::Timeout
            | ProbeOutcome::Transport(_)
            | ProbeOutcome::Malformed => ChangeReason::Probe,
        };
        self.settle(facts, reason, Some(outcome), now)
    }

    fn note_probe(&mut self, outcome: ProbeOutcome, rtt: Option<Duration>, now: Instant) {
        let stats = &mut self.stats;
        if outcome.is_success() {
            stats.consecutive_successes = stats.consecutive_successes.saturating_add(1);
            stats.consecutive_failures = 0;
            stats.last_success = Some(now);
        } else {
            stats.consecutive_failures = stats.consecutive_failures.saturating_add(1);
            stats.consecutive_successes = 0;
        }
        stats.last_outcome = Some(outcome);
        stats.last_finished = Some(now);
        if let Some(rtt) = rtt {
            stats.last_rtt = Some(rtt);
            stats.ewma_rtt = Some(stats.ewma_rtt.map_or(rtt, |ewma| ewma / 5 * 4 + rtt / 5));
        }
        push_bounded(&mut self.probes, ProbeNote { at: now, outcome, rtt }, MAX_PROBES);
    }

    /// Takes in an administrator's wish.
    pub fn set_admin(&mut self, admin: Admin, now: Instant) -> Option<StateChange> {
        let facts = Facts { admin, ..self.facts };
        self.settle(facts, ChangeReason::Admin, None, now)
    }

    /// Takes in the answer for its name. An empty answer never takes addresses away; the address
    /// in use stays as long as the name still has it, so that a rotating answer moves nothing. What
    /// was good of one address says nothing of another, so that is unknown; what was bad stays so
    /// until a probe succeeds. Tells whether the addresses changed, and the change of state.
    pub fn set_answer(&mut self, answer: &Answer, now: Instant) -> (bool, Option<StateChange>) {
        let before = self.addresses.best;
        let is_changed = self.addresses.update(&self.settings.endpoint, answer);
        let mut facts = self.facts;
        if self.addresses.best.is_some() {
            facts.resolution = Resolution::Known;
        } else if facts.resolution == Resolution::Pending {
            facts.resolution = Resolution::Failed;
        }
        let is_good = matches!(facts.probe, Probe::Up | Probe::Failing(_));
        if before.is_some() && before != self.addresses.best && is_good {
            facts.probe = initial_probe(&self.settings);
        }
        (is_changed, self.settle(facts, ChangeReason::Dns, None, now))
    }

    fn settle(
        &mut self,
        facts: Facts,
        reason: ChangeReason,
        outcome: Option<ProbeOutcome>,
        now: Instant,
    ) -> Option<StateChange> {
        let (from, to) = (derive(&self.facts), derive(&facts));
        self.facts = facts;
        if from == to {
            return None;
        }
        let change =
            StateChange { target: self.target, at: now, from, to, reason, outcome, admin: facts.admin };
        self.since = now;
        push_bounded(&mut self.changes, change, MAX_CHANGES);
        Some(change)
    }

    /// Its facts.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its derived state.
    pub fn state(&self) -> State {
        derive(&self.facts)
    }

    /// Whether the next probe should come soon: it is failing or recovering, the last one told
    /// nothing, or it is down by fewer failures than the threshold asks for. That is so after a
    /// start, whose first verdict decides alone: what starts beside us may be up a moment later.
    pub fn is_in_doubt(&self) -> bool {
        match self.facts.resolution {
            Resolution::Pending => true,
            Resolution::Failed => false,
            Resolution::Known => match self.facts.probe {
                Probe::Unknown | Probe::Failing(_) | Probe::Recovering(_) => true,
                Probe::Down => self
                    .settings
                    .thresholds
                    .is_some_and(|thresholds| self.stats.consecutive_failures < thresholds.down_after),
                Probe::Up => false,
            },
        }
    }

    /// The address it stands for, if known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.best
    }

    /// Every address it may send from.
    pub fn sources(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.all.iter().copied()
    }

    /// Failed and successful probes in a row.
    pub fn consecutive(&self) -> (u32, u32) {
        (self.stats.consecutive_failures, self.stats.consecutive_successes)
    }

    /// Answers what is.
    pub fn snapshot(&self, detail: Detail, is_usable: bool, interval: Duration) -> DestinationSnapshot {
        let thresholds = self.settings.thresholds;
        let probe = ProbeSnapshot {
            enabled: thresholds.is_some(),
            interval,
            down_after: thresholds.map_or(0, |thresholds| thresholds.down_after),
            up_after: thresholds.map_or(0, |thresholds| thresholds.up_after),
            ..self.stats.clone()
        };
        let (changes, probes) = match detail {
            Detail::Metrics => (vec![], vec![]),
            Detail::Full => (self.changes.iter().copied().collect(), self.probes.iter().copied().collect()),
        };
        DestinationSnapshot {
            target: self.target,
            id: self.settings.id.clone(),
            uri: self.settings.uri.clone(),
            transport: self.settings.transport,
            address: self.address(),
            addresses: self.addresses.all.clone(),
            name: self.settings.lookup.as_ref().map(|lookup| Arc::clone(&lookup.name)),
            resolved: self.addresses.answered,
            dns_stale: self.addresses.is_stale,
            weight: self.settings.weight,
            priority: self.settings.priority,
            state: self.state(),
            usable: is_usable,
            admin: self.facts.admin,
            added: self.added,
            since: self.since,
            last_change: self.changes.back().copied(),
            probe,
            changes,
            probes,
        }
    }
}

fn initial_probe(settings: &DestinationSettings) -> Probe {
    if settings.thresholds.is_some() { Probe::Unknown } else { Probe::Up }
}

/// A name that is known to have no address has been looked up in vain.
fn resolution(addresses: &Addresses, known: Option<&Answer>) -> Resolution {
    match (addresses.best, known) {
        (Some(_), _) => Resolution::Known,
        (None, Some(_)) => Resolution::Failed,
        (None, None) => Resolution::Pending,
    }
}

fn push_bounded<T>(ring: &mut VecDeque<T>, item: T, limit: usize) {
    if ring.len() >= limit {
        ring.pop_front();
    }
    ring.push_back(item);
}
