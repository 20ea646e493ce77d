//! One destination as its owner knows it: facts, addresses, and the history behind them; what changes
//! them. What it tells of them is in the child.

mod view;

use super::addresses::{Addresses, Answer};
use super::facts::{Facts, Probe, Resolution, derive};
use super::flaps::Flaps;
use super::passive::Passive;
use crate::dispatch::{
    Destination, DestinationSettings, PassiveSettings, RetryAfterSettings, Set, Thresholds,
};
use crate::facts::event::{ChangeReason, ProbeOutcome, StateChange};
use crate::facts::evidence::Seen;
use crate::facts::lookup::Lookup;
use crate::facts::remembered::Remembered;
use crate::facts::snapshot::{ProbeNote, ProbeSnapshot};
use crate::facts::trace::SpanRef;
use crate::facts::{Admin, State, Target};
use std::collections::{BTreeMap, VecDeque};
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
    settings: Arc<DestinationSettings>,
    facts: Facts,
    addresses: Addresses,
    added: Instant,
    since: Instant,
    /// When it last came back from a state that gets no new requests.
    returned: Option<Instant>,
    /// Whether another machine stands where one stood before, and has not been found up yet.
    is_stranger: bool,
    has_had_verdict: bool,
    passive: Passive,
    flaps: Flaps,
    changes: VecDeque<StateChange>,
    probes: VecDeque<ProbeNote>,
    stats: ProbeSnapshot,
}

/// What another configuration meant for a destination.
#[derive(Debug, Clone, Copy)]
pub struct Reconfigured {
    /// Whether its settings are others.
    pub is_changed: bool,
    /// Whether it stands for another machine.
    pub is_elsewhere: bool,
    /// The change of its state.
    pub change: Option<StateChange>,
}

impl Member {
    /// Starts as configured; `known` is what its name was last found to stand for, if it has been
    /// looked up.
    pub fn new(destination: &Destination, known: Option<&Answer>, now: Instant) -> Self {
        let settings = Arc::clone(&destination.settings);
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
            returned: None,
            is_stranger: false,
            has_had_verdict: false,
            passive: Passive::default(),
            flaps: Flaps::default(),
            changes: VecDeque::new(),
            probes: VecDeque::new(),
            stats: ProbeSnapshot::default(),
        }
    }

    /// Takes over from another member of the same owner: the administrator's wish; of the same URI that
    /// it was down before a restart, which holds for the owner; and where both stand for one address
    /// everything that is known of it.
    pub fn inherit(&mut self, elder: &Self) {
        if elder.settings.admin == self.settings.admin {
            self.facts.admin = elder.facts.admin;
        }
        let is_probed = |member: &Self| member.settings.thresholds.is_some();
        if elder.settings.uri != self.settings.uri || is_probed(elder) != is_probed(self) {
            return;
        }
        if elder.address() != self.address() {
            if elder.facts.probe == Probe::Restored && self.facts.probe == Probe::Unknown {
                self.facts.probe = Probe::Restored;
                self.since = elder.since;
                self.changes.clone_from(&elder.changes);
            }
            return;
        }
        self.facts = Facts { admin: self.facts.admin, resolution: self.facts.resolution, ..elder.facts };
        self.since = elder.since;
        self.returned = elder.returned;
        self.is_stranger = elder.is_stranger;
        self.has_had_verdict = elder.has_had_verdict;
        self.changes.clone_from(&elder.changes);
        self.probes.clone_from(&elder.probes);
        self.stats = elder.stats.clone();
        self.passive = elder.passive.clone();
        self.flaps = elder.flaps.clone();
    }

    /// Another machine stands where one stood: it starts slowly.
    pub fn is_new_here(&mut self, now: Instant) {
        self.returned = Some(now);
        self.is_stranger = true;
    }

    /// What was learned of one machine says nothing of another. How often the destination fell stays:
    /// whoever changes its address with each fall would never be damped.
    fn meet_stranger(&mut self, facts: &mut Facts, now: Instant) {
        facts.probe = initial_probe(&self.settings);
        (facts.ejected_until, facts.retry_after_until) = (None, None);
        self.passive = Passive::default();
        (self.stats.consecutive_failures, self.stats.consecutive_successes) = (0, 0);
        self.is_new_here(now);
    }

    /// Takes a new configuration of the same destination. What was set at run time stays unless
    /// the configured value itself changed; what probes and requests said stays unless the URI
    /// changed. No ejection or pause lasts longer than the configuration allows from now on.
    pub fn reconfigure(
        &mut self,
        destination: &Destination,
        set: &Set,
        answers: &BTreeMap<Lookup, Answer>,
        now: Instant,
    ) -> Reconfigured {
        let settings = Arc::clone(&destination.settings);
        let old = std::mem::replace(&mut self.settings, settings);
        let new = &self.settings;
        // A reload leaves most as they were, in one memory with before; then nothing is looked at twice.
        let is_changed = old != *new;
        let mut facts = self.facts;
        if is_changed && old.admin != new.admin {
            facts.admin = new.admin;
        }
        let is_elsewhere = is_changed
            && (&old.uri, &old.endpoint, old.transport) != (&new.uri, &new.endpoint, new.transport);
        if is_changed && old.thresholds.is_some() != new.thresholds.is_some() {
            facts.probe = initial_probe(new);
            self.stats.consecutive_failures = 0;
            self.stats.consecutive_successes = 0;
        }
        if is_elsewhere {
            let known = new.lookup.as_ref().and_then(|lookup| answers.get(lookup));
            self.addresses = Addresses::new(&new.endpoint, known);
            facts.resolution = resolution(&self.addresses, known);
            self.flaps = Flaps::default();
            self.meet_stranger(&mut facts, now);
        }
        if !set.passive().enabled {
            self.passive = Passive::default();
            facts.ejected_until = None;
        }
        if !set.retry_after().honour {
            facts.retry_after_until = None;
        }
        let clamp = |until: Option<Instant>, max: Duration| until.map(|until| until.min(now + max));
        facts.ejected_until = clamp(facts.ejected_until, set.passive().max_ejection);
        facts.retry_after_until = clamp(facts.retry_after_until, set.retry_after().max);
        let change = self.settle(facts, ChangeReason::Reload, None, now);
        Reconfigured { is_changed, is_elsewhere, change }
    }

    /// Forgets what was learned and wished at run time; what happened stays on record.
    pub fn forget(
        &mut self,
        destination: &Destination,
        known: Option<&Answer>,
        now: Instant,
    ) -> Option<StateChange> {
        let fresh = Self::new(destination, known, now);
        let facts = fresh.facts;
        let (changes, probes) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.probes));
        let (added, since, before) = (self.added, self.since, self.facts);
        *self = Self { changes, probes, added, since, facts: before, ..fresh };
        self.settle(facts, ChangeReason::Reload, None, now)
    }

    /// What of it is to survive a restart; `None` if nothing is.
    pub fn remembered(&self, set: &Arc<str>) -> Option<Remembered> {
        let is_down = self.is_known_down();
        let is_worth_it = is_down || self.facts.admin != self.settings.admin;
        is_worth_it.then(|| Remembered {
            set: Arc::clone(set),
            id: Arc::clone(&self.settings.owner),
            uri: Arc::clone(&self.settings.uri),
            configured: self.settings.admin,
            admin: self.facts.admin,
            is_down,
            state: self.state(),
            since: self.since,
        })
    }

    /// Takes back what was remembered over a restart, before any probe has ended.
    pub fn restore(&mut self, remembered: &Remembered, now: Instant) -> Option<StateChange> {
        let mut facts = self.facts;
        if remembered.configured == self.settings.admin {
            facts.admin = remembered.admin;
        }
        if remembered.is_down && remembered.uri == self.settings.uri && facts.probe == Probe::Unknown {
            facts.probe = Probe::Restored;
        }
        let change = self.settle(facts, ChangeReason::Restored, None, now);
        if self.state() == remembered.state {
            self.since = remembered.since.min(now);
        }
        change
    }

    /// Takes in a finished probe. A destination that is not probed stays as it is. `has_substitute`
    /// tells whether another member can serve while this one has to prove more.
    pub fn on_probe(
        &mut self,
        seen: Seen,
        rtt: Option<Duration>,
        has_substitute: bool,
        now: Instant,
    ) -> Option<StateChange> {
        let thresholds = self.settings.thresholds?;
        let up_after = if has_substitute { self.up_needed(now) } else { thresholds.up_after };
        let thresholds = Thresholds { up_after, ..thresholds };
        let Seen { outcome, .. } = seen;
        self.note_probe(outcome, rtt, now);
        let mut facts = self.facts;
        // Without an address nothing was sent; the resolver's own answer decides.
        if facts.resolution == Resolution::Known {
            facts.probe = facts.probe.after(outcome.is_success(), thresholds);
        }
        if self.facts.is_known_up() && facts.probe == Probe::Down {
            self.flaps.on_fall(now);
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
        self.settle(facts, reason, Some(seen), now)
    }

    /// Successes in a row that bring it up.
    fn up_needed(&self, now: Instant) -> u32 {
        let up_after = self.settings.thresholds.map_or(0, |thresholds| thresholds.up_after);
        up_after.saturating_mul(self.flaps.factor(now))
    }

    /// Takes in that a request failed at it; ejects it if that may be and failures in a row are enough.
    pub fn on_failure(
        &mut self,
        seen: Seen,
        settings: &PassiveSettings,
        may_eject: bool,
        now: Instant,
    ) -> Option<StateChange> {
        // What fails now was sent before.
        if self.facts.ejected_until.is_some() || !settings.enabled {
            return None;
        }
        if !self.passive.on_failure(settings, now) || !may_eject {
            return None;
        }
        let ejected_until = Some(self.passive.eject(settings, now));
        self.settle(Facts { ejected_until, ..self.facts }, ChangeReason::Passive, Some(seen), now)
    }

    /// Takes in that it answered a request.
    pub fn on_answer(&mut self, now: Instant) {
        self.passive.on_answer(now);
    }

    /// Takes in that a 503 asked for a pause.
    pub fn on_pause(
        &mut self,
        wanted: Duration,
        span: Option<SpanRef>,
        settings: &RetryAfterSettings,
        now: Instant,
    ) -> Option<StateChange> {
        let until = now + wanted.min(settings.max);
        let retry_after_until = self.facts.retry_after_until.max(Some(until));
        let seen = Some(Seen { outcome: ProbeOutcome::Rejected(503), span });
        self.settle(Facts { retry_after_until, ..self.facts }, ChangeReason::RetryAfter, seen, now)
    }

    /// When an ejection or a pause ends next, and whose.
    pub fn expiry_of(&self) -> Option<(Instant, Target)> {
        let ends = [self.facts.ejected_until, self.facts.retry_after_until];
        ends.into_iter().flatten().min().map(|at| (at, self.target))
    }

    /// When its ejection ends, and whose that is.
    pub fn ejection_of(&self) -> Option<(Instant, Target)> {
        self.facts.ejected_until.map(|until| (until, self.target))
    }

    /// Ends the ejection or the pause whose time is over; the ejection, if both are.
    pub fn expire(&mut self, now: Instant) -> Option<StateChange> {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let mut facts = self.facts;
        let reason = if is_over(facts.ejected_until) {
            facts.ejected_until = None;
            ChangeReason::EjectionExpired
        } else {
            facts.retry_after_until = facts.retry_after_until.filter(|until| *until > now);
            ChangeReason::RetryAfter
        };
        self.settle(facts, reason, None, now)
    }

    /// Lifts its ejection before its time.
    pub fn lift_ejection(&mut self, reason: ChangeReason, now: Instant) -> Option<StateChange> {
        if self.facts.ejected_until.is_some() {
            self.passive.on_lifted(now);
        }
        self.settle(Facts { ejected_until: None, ..self.facts }, reason, None, now)
    }

    /// Lifts its ejection and its pause, because nobody else can be chosen. One that would not be usable
    /// all the same keeps them.
    pub fn lift_all(&mut self, now: Instant) -> Option<StateChange> {
        if self.facts.admin != Admin::Enabled || !self.facts.is_known_up() {
            return None;
        }
        if self.facts.ejected_until.is_some() {
            self.passive.on_lifted(now);
        }
        let facts = Facts { ejected_until: None, retry_after_until: None, ..self.facts };
        self.settle(facts, ChangeReason::LastResort, None, now)
    }

    /// Whether the workers are to tell of requests that it answers.
    pub fn is_suspect(&self) -> bool {
        self.passive.is_suspect()
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
    /// was learned of one address says nothing of another. Tells whether the addresses changed, and the
    /// change of state.
    pub fn set_answer(&mut self, answer: &Answer, now: Instant) -> (bool, Option<StateChange>) {
        let before = self.addresses.best;
        let is_changed = self.addresses.update(&self.settings.endpoint, answer);
        let mut facts = self.facts;
        if self.addresses.best.is_some() {
            facts.resolution = Resolution::Known;
        } else if facts.resolution == Resolution::Pending {
            facts.resolution = Resolution::Failed;
        }
        if before.is_some() && before != self.addresses.best {
            self.meet_stranger(&mut facts, now);
        }
        (is_changed, self.settle(facts, ChangeReason::Dns, None, now))
    }

    fn settle(
        &mut self,
        facts: Facts,
        reason: ChangeReason,
        seen: Option<Seen>,
        now: Instant,
    ) -> Option<StateChange> {
        let (from, to) = (derive(&self.facts), derive(&facts));
        self.facts = facts;
        if self.is_stranger && facts.is_known_up() {
            (self.is_stranger, self.returned) = (false, Some(now));
        }
        if from == to {
            return None;
        }
        let outcome = seen.map(|seen| seen.outcome);
        let span = seen.and_then(|seen| seen.span);
        let change =
            StateChange { target: self.target, at: now, from, to, reason, outcome, span, admin: facts.admin };
        self.since = now;
        if !is_serving(from) && is_serving(to) {
            self.returned = Some(now);
        }
        push_bounded(&mut self.changes, change, MAX_CHANGES);
        Some(change)
    }
}

/// Whether a destination in this state may get new requests.
const fn is_serving(state: State) -> bool {
    match state {
        State::Up | State::Failing | State::Unknown => true,
        State::Down | State::Ejected | State::Throttled | State::Draining | State::Disabled => false,
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
