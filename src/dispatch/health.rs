//! The one owner of the states of destinations and sets; it lives on worker 0.
//!
//! Takes in what was learned (probes, evidence of requests, an administrator's wish, addresses, a
//! reload), says what changed, in order, and publishes verdicts. Pure: the time is an argument. Never chooses a
//! destination and never decides when to probe.

mod addresses;
mod facts;
mod flaps;
mod member;
mod passive;
mod publish;

use super::{Destination, Set, Table, Verdicts};
use crate::facts::event::{ChangeReason, StateChange};
use crate::facts::evidence::{Evidence, Seen};
use crate::facts::lookup::Lookup;
use crate::facts::remembered::Remembered;
use crate::facts::snapshot::{DestinationSnapshot, Detail, LoadSnapshot, SetSnapshot};
use crate::facts::{Admin, SetId, State, Target};
use addresses::Answer;
use member::Member;
use publish::Publication;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is known of every destination.
#[derive(Debug, Default)]
pub struct Health {
    table: Arc<Table>,
    /// By target.
    members: Vec<Option<Member>>,
    /// The answers for the names of the table that have been looked up.
    answers: BTreeMap<Lookup, Answer>,
    publication: Publication,
    /// When an ejection or a pause of a destination ends next.
    expiries: BTreeSet<(Instant, Target)>,
    /// Changes not given out yet; the owner drains them after every step.
    changes: VecDeque<Change>,
    /// Destinations that began anew, not given out yet.
    renewed: Vec<Target>,
    /// Counts what changes the state of a destination or a set, or what there is of them.
    version: u64,
}

/// How many destinations a reload added, removed and kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Destinations that were not there before.
    pub added: u32,
    /// Destinations that are gone.
    pub removed: u32,
    /// Destinations that stay.
    pub kept: u32,
    /// Those of them that have other settings.
    pub changed: u32,
}

/// What a finished probe meant for one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// The change of state that it caused, if any; also given out by [`Health::poll_change`].
    pub change: Option<StateChange>,
    /// Failed probes in a row, this one included.
    pub consecutive_failures: u32,
    /// Successful probes in a row, this one included.
    pub consecutive_successes: u32,
}

/// Something that changed, for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A destination changed its state.
    Destination(StateChange),
    /// A set lost its last usable destination, or got one back.
    Set {
        /// The set.
        set: SetId,
        /// Whether at least one member is in service (enabled, and of a weight), none is usable, and every
        /// one in service has had its first verdict.
        all_down: bool,
    },
}

impl Health {
    /// Starts with every destination as configured, and unknown if it is probed.
    pub fn new(table: Arc<Table>, now: Instant) -> Self {
        let mut health = Self::default();
        health.reconcile(table, now);
        health
    }

    /// Takes a new configuration. Destinations that stay keep what was set at run time, their
    /// history and their state; a changed URI makes the state unknown again; a configured admin
    /// state counts only where it changed. A new destination of a known name gets its addresses, and
    /// what is known of them where another of the same owner stood for them.
    pub fn reconcile(&mut self, table: Arc<Table>, now: Instant) -> Reconciled {
        self.answers.retain(|lookup, _| table.lookups().contains_key(lookup));
        let newcomers = self.newcomers(&table, now);
        let former = std::mem::replace(&mut self.table, Arc::clone(&table));
        let mut reconciled = Reconciled { added: count(newcomers.len()), ..Reconciled::default() };
        for old in former.destinations().filter(|old| table.destination(old.target).is_none()) {
            if let Some(slot) = self.members.get_mut(old.target.index()) {
                *slot = None;
                reconciled.removed += 1;
            }
        }
        self.members.resize_with(table.target_bound(), || None);
        self.renewed.extend(newcomers.iter().map(Member::target));
        for newcomer in newcomers {
            let index = newcomer.target().index();
            if let Some(slot) = self.members.get_mut(index) {
                *slot = Some(newcomer);
            }
        }
        self.update_all(ChangeReason::Reload, now, |health, destination, set| {
            let member = health.members.get_mut(destination.target.index())?.as_mut()?;
            let told = member.reconfigure(destination, set, &health.answers, now);
            reconciled.kept += 1;
            reconciled.changed += u32::from(told.is_changed);
            health.renewed.extend(told.is_elsewhere.then_some(destination.target));
            told.change
        });
        reconciled.kept -= reconciled.added;
        reconciled
    }

    /// Forgets, of every destination, what was learned and wished at run time: each is as after a
    /// start. What happened stays on record, and names keep what they were found to stand for.
    pub fn forget(&mut self, now: Instant) {
        self.update_all(ChangeReason::Reload, now, |health, destination, _| {
            health.renewed.push(destination.target);
            let known = destination.settings.lookup.as_ref().and_then(|lookup| health.answers.get(lookup));
            let member = health.members.get_mut(destination.target.index())?.as_mut()?;
            member.forget(destination, known, now)
        });
    }

    /// What of every configured destination is to survive a restart. One that stands for several
    /// addresses is down if each of them is.
    pub fn remembered(&self) -> Vec<Remembered> {
        let mut remembered = Vec::new();
        for set in self.table.sets() {
            let members: Vec<&Member> =
                set.members().iter().filter_map(|target| self.member(*target)).collect();
            for siblings in members.chunk_by(|one, other| one.owner() == other.owner()) {
                let best = siblings.iter().max_by_key(|member| (!member.is_known_down(), member.since()));
                remembered.extend(best.and_then(|member| member.remembered(set.name())));
            }
        }
        remembered
    }

    /// Takes back what was remembered over a restart; tells of how many destinations that are still
    /// configured. To be called before any probe has ended.
    pub fn restore(&mut self, remembered: &[Remembered], now: Instant) -> u32 {
        let by_name: HashMap<(&str, &str), &Remembered> =
            remembered.iter().map(|remembered| ((&*remembered.set, &*remembered.id), remembered)).collect();
        let mut restored = 0;
        self.update_all(ChangeReason::Restored, now, |health, destination, set| {
            let remembered = by_name.get(&(&**set.name(), &*destination.settings.owner))?;
            let member = health.members.get_mut(destination.target.index())?.as_mut()?;
            restored += 1;
            member.restore(remembered, now)
        });
        restored
    }

    /// Applies an update to every destination and brings everything that follows from it in step; set by
    /// set, while its members are at hand.
    fn update_all(
        &mut self,
        reason: ChangeReason,
        now: Instant,
        mut update: impl FnMut(&mut Self, &Destination, &Set) -> Option<StateChange>,
    ) {
        let table = Arc::clone(&self.table);
        self.version += 1;
        self.expiries.clear();
        self.publication.start_over(&table);
        for set in table.sets() {
            for destination in set.members().iter().filter_map(|target| table.destination(*target)) {
                if let Some(change) = update(self, destination, set) {
                    self.changes.push_back(Change::Destination(change));
                }
                let expiry = self.member(destination.target).and_then(Member::expiry_of);
                self.expiries.extend(expiry);
            }
            self.publication.add(&table, set, &self.members);
            self.settle(&table, set, reason, now);
        }
        self.check_all();
    }

    /// Takes in a finished probe; ignored for a destination that is gone or not probed.
    pub fn on_probe(
        &mut self,
        target: Target,
        seen: Seen,
        rtt: Option<Duration>,
        now: Instant,
    ) -> ProbeVerdict {
        let change = self
            .update(target, now, |member, has_substitute| member.on_probe(seen, rtt, has_substitute, now));
        let (consecutive_failures, consecutive_successes) =
            self.member(target).map(Member::consecutive).unwrap_or_default();
        ProbeVerdict { change, consecutive_failures, consecutive_successes }
    }

    /// Takes in what a request showed of a destination; ignored for one that is gone. An ejection
    /// keeps within the cap and leaves another member; so does a pause.
    pub fn on_evidence(&mut self, target: Target, evidence: Evidence, now: Instant) {
        let table = Arc::clone(&self.table);
        let Some(destination) = table.destination(target) else { return };
        let Some(set) = table.set(destination.set) else { return };
        match evidence {
            Evidence::Answers => {
                self.update(target, now, |member, _| {
                    member.on_answer(now);
                    None
                });
            }
            Evidence::Fails(seen) => {
                let settings = set.passive();
                let may_eject = self.publication.may_eject(destination, settings.max_ejected_percent);
                self.update(target, now, |member, _| member.on_failure(seen, settings, may_eject, now));
            }
            Evidence::Pause { wanted, span } => {
                let settings = set.retry_after();
                if settings.honour && self.publication.leaves_another(destination) {
                    self.update(target, now, |member, _| member.on_pause(wanted, span, settings, now));
                }
            }
        }
    }

    /// Ends the ejections and pauses whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, target)) = self.expiries.first().filter(|(at, _)| *at <= now).copied() {
            self.update(target, now, |member, _| member.expire(now));
        }
    }

    /// When [`Health::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The members that a table has and we have not. Where a configured destination stands for other
    /// addresses than before, or for several in place of a literal one, its members follow each other.
    fn newcomers(&self, table: &Table, now: Instant) -> Vec<Member> {
        let is_new = |destination: &&Destination| self.table.destination(destination.target).is_none();
        let new: Vec<&Destination> = table.destinations().filter(is_new).collect();
        if new.is_empty() {
            return vec![];
        }
        let mut elders: HashMap<(SetId, &str), Vec<&Member>> = HashMap::new();
        for destination in self.table.destinations() {
            let elder = self.member(destination.target);
            elders.entry((destination.set, &destination.settings.owner)).or_default().extend(elder);
        }
        let newcomer = |destination: &Destination| {
            let mut member = Member::new(destination, self.answer(destination), now);
            let owner = (destination.set, &*destination.settings.owner);
            let elders = elders.get(&owner).map_or(&[][..], Vec::as_slice);
            elders.iter().for_each(|elder| member.inherit(elder));
            let is_known = |address| elders.iter().any(|elder| elder.sources().any(|known| known == address));
            let had_any = elders.iter().any(|elder| elder.address().is_some());
            if had_any && member.address().is_some_and(|address| !is_known(address)) {
                member.is_new_here(now);
            }
            member
        };
        new.into_iter().map(newcomer).collect()
    }

    fn answer(&self, destination: &Destination) -> Option<&Answer> {
        self.answers.get(destination.settings.lookup.as_ref()?)
    }

    /// Takes in an administrator's wish, which holds until the configured value changes. It is for
    /// all that belong to one configured id. Gives the change of the one named.
    pub fn set_admin(&mut self, target: Target, admin: Admin, now: Instant) -> Option<StateChange> {
        let table = Arc::clone(&self.table);
        let destination = table.destination(target)?;
        let mut told = None;
        for sibling in table.owned_by(destination.set, &destination.settings.owner) {
            let change = self.update(sibling.target, now, |member, _| member.set_admin(admin, now));
            told = change.filter(|_| sibling.target == target).or(told);
        }
        told
    }

    /// Takes in the end of a look-up, best address first, and gives the destinations whose addresses
    /// changed by it. An empty answer keeps the last good addresses; a name that never had one makes
    /// its destinations down.
    pub fn on_resolved(
        &mut self,
        lookup: &Lookup,
        addresses: &[SocketAddr],
        is_failure: bool,
        now: Instant,
    ) -> Vec<Target> {
        let table = Arc::clone(&self.table);
        let Some(named) = table.lookups().get(lookup) else { return vec![] };
        let mut answer = self.answers.remove(lookup).unwrap_or_default();
        answer.update(addresses, is_failure, now);
        let (mut changed, mut renewed) = (Vec::new(), Vec::new());
        for target in named {
            self.update(*target, now, |member, _| {
                let before = member.address();
                let (is_changed, change) = member.set_answer(&answer, now);
                changed.extend(is_changed.then_some(*target));
                renewed.extend((before != member.address()).then_some(*target));
                change
            });
        }
        self.renewed.append(&mut renewed);
        self.answers.insert(lookup.clone(), answer);
        if !changed.is_empty() {
            self.publication.note_addresses();
        }
        changed
    }

    /// The configuration.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Whether a destination has a name for which no look-up has ended yet.
    pub fn is_being_resolved(&self, target: Target) -> bool {
        let lookup = self.table.destination(target).and_then(|d| d.settings.lookup.as_ref());
        lookup.is_some_and(|lookup| !self.answers.contains_key(lookup))
    }

    /// Whether the next probe should come soon, because the state is not certain.
    pub fn is_in_doubt(&self, target: Target) -> bool {
        self.member(target).is_some_and(Member::is_in_doubt)
    }

    /// The address that a destination stands for, if known.
    pub fn address(&self, target: Target) -> Option<SocketAddr> {
        self.member(target)?.address()
    }

    /// The derived state; `None` for a destination that is gone.
    pub fn state(&self, target: Target) -> Option<State> {
        Some(self.member(target)?.state())
    }

    /// The next change that has not been given out.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Destinations that began anew since the last call: what was measured of them before, and how much
    /// they were sent, says nothing of what they are now.
    pub fn take_renewed(&mut self) -> Vec<Target> {
        std::mem::take(&mut self.renewed)
    }

    /// The verdicts, if anything in them changed since the last call; always at the first.
    pub fn take_verdicts(&mut self) -> Option<Arc<Verdicts>> {
        self.publication.take(&self.table, &self.members)
    }

    /// Answers what a set is, without its members. `detection` is the worst-case time to notice a death.
    pub fn set_snapshot(&self, set: &Set, detection: Duration) -> SetSnapshot {
        SetSnapshot {
            id: set.id(),
            name: Arc::clone(set.name()),
            algorithm: set.algorithm(),
            objective: set.objective(),
            all_down: self.publication.is_all_down(set.id()),
            detection,
            destinations: Vec::with_capacity(set.members().len()),
        }
    }

    /// Answers what a destination is, if it is configured. `interval` is the configured time between
    /// its probes, `load` what it has to do.
    pub fn destination_snapshot(
        &self,
        target: Target,
        detail: Detail,
        interval: Duration,
        load: LoadSnapshot,
        now: Instant,
    ) -> Option<DestinationSnapshot> {
        let is_usable = self.publication.is_usable(target);
        Some(self.member(target)?.snapshot(detail, is_usable, interval, now, load))
    }

    /// What grows with each change of a state, or of what there is that has one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn member(&self, target: Target) -> Option<&Member> {
        self.members.get(target.index())?.as_ref()
    }

    /// Applies an update to one destination and brings everything that follows from it in step.
    /// `update` is told whether another member can be chosen.
    fn update(
        &mut self,
        target: Target,
        now: Instant,
        update: impl FnOnce(&mut Member, bool) -> Option<StateChange>,
    ) -> Option<StateChange> {
        let table = Arc::clone(&self.table);
        let destination = table.destination(target)?;
        let has_substitute = self.publication.leaves_another(destination);
        let change = self.apply(&table, destination, |member| update(member, has_substitute));
        // But for a reload, only an administrator takes away from those that may be ejected.
        self.settle(&table, table.set(destination.set)?, ChangeReason::Admin, now);
        self.check(destination);
        change
    }

    /// Applies an update to one destination, and brings its verdict and its expiry in step.
    fn apply(
        &mut self,
        table: &Table,
        destination: &Destination,
        update: impl FnOnce(&mut Member) -> Option<StateChange>,
    ) -> Option<StateChange> {
        let member = self.members.get_mut(destination.target.index())?.as_mut()?;
        let (before, facts) = (member.expiry_of(), *member.facts());
        let change = update(member);
        let after = member.expiry_of();
        self.version += u64::from(*member.facts() != facts);
        if before != after {
            before.map(|before| self.expiries.remove(&before));
            self.expiries.extend(after);
        }
        self.changes.extend(change.map(Change::Destination));
        self.publication.refresh(table, &self.members, destination);
        change
    }

    /// Lifts what is beyond the cap, for this reason and the one that ends first, then everything that
    /// can be if nobody is left to choose; says whether the set is all down.
    fn settle(&mut self, table: &Table, set: &Set, reason: ChangeReason, now: Instant) {
        let percent = set.passive().max_ejected_percent;
        while self.publication.is_beyond_cap(set.id(), percent) {
            let members = set.members().iter().filter_map(|target| self.member(*target));
            let first = members.filter(|member| member.is_in_service()).filter_map(Member::ejection_of).min();
            let Some(destination) = first.and_then(|(_, target)| table.destination(target)) else { break };
            self.apply(table, destination, |member| member.lift_ejection(reason, now));
        }
        if self.publication.needs_last_resort(set.id()) {
            let members = set.members().iter().filter_map(|target| table.destination(*target));
            for destination in members.filter(|destination| destination.has_weight) {
                self.apply(table, destination, |member| member.lift_all(now));
            }
        }
        let all_down = self.publication.settle(set.id());
        self.changes.extend(all_down.map(|all_down| Change::Set { set: set.id(), all_down }));
    }

    fn check(&self, destination: &Destination) {
        debug_assert!(
            self.publication.is_consistent(&self.table, &self.members, destination.set),
            "the counts of a set differ from the facts of its members"
        );
    }

    fn check_all(&self) {
        for set in self.table.sets() {
            debug_assert!(
                self.publication.is_consistent(&self.table, &self.members, set.id()),
                "the counts of a set differ from the facts of its members"
            );
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod withholding_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::testing::{destination, set, snapshots};
    use crate::dispatch::{DestinationSettings, Endpoint, Host};
    use crate::facts::Transport;
    use crate::facts::event::{ChangeReason, ProbeOutcome, SkipReason};
    use crate::facts::names::Names;
    use crate::facts::secret::{Nonces, Secret};

    const OK: ProbeOutcome = ProbeOutcome::Accepted(200);
    const FAILED: ProbeOutcome = ProbeOutcome::Timeout;
    const A: Target = Target::new(0);
    const B: Target = Target::new(1);
    const PBX: SetId = SetId::new(0);

    struct Bench {
        health: Health,
        names: Names,
        now: Instant,
    }

    fn bench(members: Vec<DestinationSettings>) -> Bench {
        let mut names = Names::default();
        let table = Table::new(vec![set("pbx", members)], &mut names);
        let now = Instant::now();
        Bench { health: Health::new(Arc::new(table), now), names, now }
    }

    fn pair() -> Bench {
        bench(vec![destination("a"), destination("b")])
    }

    fn named(id: &str, host: &str) -> DestinationSettings {
        let endpoint = Endpoint { host: Host::Name(host.into()), port: 5070 };
        DestinationSettings { endpoint, lookup: Some(lookup(host)), ..destination(id) }
    }

    fn lookup(host: &str) -> Lookup {
        Lookup { name: host.into(), port: Some(5070), transport: Transport::Udp }
    }

    fn address(last: u8) -> SocketAddr {
        ([198, 51, 100, last], 5070).into()
    }

    /// One address of several that the name of `owner` stands for.
    fn one_of(owner: &str, last: u8) -> DestinationSettings {
        let endpoint = Endpoint { host: Host::Address(address(last).ip()), port: 5070 };
        let id = format!("{owner}@{}", address(last)).into();
        DestinationSettings { id, endpoint, ..named(owner, "pbx.example") }
    }

    impl Bench {
        fn probe(&mut self, target: Target, outcome: ProbeOutcome) -> ProbeVerdict {
            self.now += Duration::from_secs(1);
            self.health.on_probe(target, outcome.into(), None, self.now)
        }
        fn admin(&mut self, target: Target, admin: Admin) -> Option<StateChange> {
            self.health.set_admin(target, admin, self.now)
        }
        /// A look-up ended: with these addresses, or in vain with none.
        fn resolved(&mut self, host: &str, addresses: &[SocketAddr]) -> Vec<Target> {
            self.health.on_resolved(&lookup(host), addresses, addresses.is_empty(), self.now)
        }
        fn reload(&mut self, members: Vec<DestinationSettings>) -> Reconciled {
            let table = Table::new(vec![set("pbx", members)], &mut self.names);
            self.health.reconcile(Arc::new(table), self.now)
        }
        fn state(&self, target: Target) -> State {
            self.health.state(target).unwrap()
        }
        fn changes(&mut self) -> Vec<Change> {
            std::iter::from_fn(|| self.health.poll_change()).collect()
        }
        /// The changes of sets since the last call.
        fn set_changes(&mut self) -> Vec<bool> {
            let all_down = |change| match change {
                Change::Destination(_) => None,
                Change::Set { all_down, .. } => Some(all_down),
            };
            self.changes().into_iter().filter_map(all_down).collect()
        }
        fn snapshot(&self) -> SetSnapshot {
            snapshots(&self.health, self.now).remove(0)
        }
        fn verdicts(&mut self) -> Arc<Verdicts> {
            self.health.take_verdicts().expect("something changed")
        }
    }

    #[test]
    fn the_first_verdict_decides_alone_and_later_ones_by_threshold() {
        let mut bench = pair();
        assert_eq!(bench.state(A), State::Unknown);
        let change = bench.probe(A, FAILED).change.unwrap();
        assert_eq!(
            (change.from, change.to, change.reason),
            (State::Unknown, State::Down, ChangeReason::Start)
        );
        let change = bench.probe(A, OK).change.unwrap();
        assert_eq!((change.to, change.reason, change.outcome), (State::Up, ChangeReason::Probe, Some(OK)));
        let words: Vec<_> = (0..3).map(|_| bench.probe(A, FAILED).change.map(|change| change.to)).collect();
        assert_eq!(words, [Some(State::Failing), None, Some(State::Down)]);
        let verdict = bench.probe(A, FAILED);
        assert_eq!((verdict.change, verdict.consecutive_failures), (None, 4));
    }

    #[test]
    fn is_in_doubt_while_failing_or_recovering_only() {
        let mut slow = destination("a");
        slow.thresholds = Some(crate::dispatch::Thresholds { down_after: 2, up_after: 2 });
        let mut bench = bench(vec![slow]);
        let mut doubt = |outcome| {
            bench.probe(A, outcome);
            bench.health.is_in_doubt(A)
        };
        assert_eq!([OK, FAILED, FAILED, OK, OK].map(&mut doubt), [false, true, false, true, false]);
    }

    #[test]
    fn a_first_verdict_of_down_is_in_doubt_until_the_threshold_confirms_it() {
        let mut slow = destination("a");
        slow.thresholds = Some(crate::dispatch::Thresholds { down_after: 3, up_after: 1 });
        let mut bench = bench(vec![slow]);
        let mut doubt = |outcome| {
            bench.probe(A, outcome);
            bench.health.is_in_doubt(A)
        };
        assert_eq!([FAILED, FAILED, FAILED, FAILED].map(&mut doubt), [true, true, false, false]);
    }

    #[test]
    fn an_unknown_member_is_usable_until_another_is_known_up() {
        let mut bench = pair();
        assert_eq!(bench.verdicts().available(PBX), 2, "no selection waits for probes");
        bench.probe(A, OK);
        let verdicts = bench.verdicts();
        assert_eq!(verdicts.of(B).unwrap().skip, Some(SkipReason::Unknown));
        assert_eq!(verdicts.usable[0], [vec![0]]);
        bench.admin(A, Admin::Disabled);
        let verdicts = bench.verdicts();
        assert!(verdicts.is_usable(B), "one that is out of service holds nobody back");
        assert_eq!(verdicts.of(A).unwrap().skip, Some(SkipReason::Admin));
    }

    #[test]
    fn a_set_is_all_down_only_when_every_enabled_member_has_had_its_verdict() {
        let mut bench = pair();
        bench.probe(A, FAILED);
        assert!(bench.set_changes().is_empty(), "b may still be up");
        bench.probe(B, FAILED);
        assert_eq!(bench.set_changes(), [true]);
        assert!(bench.snapshot().all_down);
        bench.probe(B, OK);
        assert_eq!(bench.set_changes(), [false]);
        bench.admin(B, Admin::Draining);
        assert_eq!(bench.set_changes(), [true], "the only enabled one is down");
        bench.admin(A, Admin::Disabled);
        assert_eq!(bench.set_changes(), [false], "nobody is enabled");
    }

    #[test]
    fn changes_come_out_in_order_with_the_set_after_its_destination() {
        let mut bench = bench(vec![destination("a")]);
        let change = bench.probe(A, FAILED).change.unwrap();
        let set = Change::Set { set: PBX, all_down: true };
        assert_eq!(bench.changes(), [Change::Destination(change), set]);
    }

    #[test]
    fn a_destination_that_is_not_probed_is_up_and_stays_so() {
        let unprobed = DestinationSettings { thresholds: None, ..destination("a") };
        let mut bench = bench(vec![unprobed.clone()]);
        assert_eq!(bench.state(A), State::Up);
        assert_eq!(bench.probe(A, FAILED), ProbeVerdict::default());
        assert_eq!(bench.state(A), State::Up);
        bench.reload(vec![destination("a")]);
        assert_eq!(bench.state(A), State::Unknown, "probing begins");
        bench.probe(A, FAILED);
        bench.reload(vec![unprobed]);
        assert_eq!(bench.state(A), State::Up, "probing ends");
    }

    #[test]
    fn weight_nothing_is_up_but_gets_no_new_requests() {
        let idle = DestinationSettings { weight: 0, ..destination("a") };
        let mut bench = bench(vec![idle, destination("b")]);
        bench.probe(A, OK);
        let verdicts = bench.verdicts();
        assert_eq!(verdicts.of(A).unwrap().skip, Some(SkipReason::Admin));
        assert!(verdicts.is_usable(B), "the idle one holds nobody back");
        let snapshot = bench.snapshot();
        assert_eq!((snapshot.destinations[0].state, snapshot.destinations[0].usable), (State::Up, false));
    }

    #[test]
    fn a_set_is_all_down_when_only_members_of_weight_nothing_are_left() {
        let idle = DestinationSettings { weight: 0, ..destination("a") };
        let mut bench = bench(vec![idle, destination("b")]);
        bench.probe(B, FAILED);
        assert_eq!(bench.set_changes(), [true], "whether the idle one lives is not asked");
        bench.probe(A, OK);
        assert!(bench.set_changes().is_empty() && bench.snapshot().all_down, "it takes no calls");
        assert_eq!(bench.verdicts().available(PBX), 0);
        bench.probe(B, OK);
        bench.probe(A, FAILED);
        assert_eq!(bench.set_changes(), [false], "who takes none is not missed");
        bench.admin(B, Admin::Draining);
        assert!(bench.set_changes().is_empty(), "nobody is to take calls");
    }

    #[test]
    fn a_reload_keeps_what_was_set_at_run_time_until_the_configured_value_changes() {
        let mut bench = pair();
        bench.probe(A, OK);
        bench.admin(A, Admin::Draining);
        let reconciled = bench.reload(vec![destination("a"), destination("c")]);
        assert_eq!(reconciled, Reconciled { added: 1, removed: 1, kept: 1, changed: 0 });
        assert_eq!(bench.state(A), State::Draining);
        assert_eq!(bench.health.state(B), None);
        assert_eq!(bench.snapshot().destinations[0].changes.len(), 2, "history stays");
        bench.changes();
        bench.reload(vec![DestinationSettings { admin: Admin::Disabled, ..destination("a") }]);
        let changes = bench.changes();
        let Change::Destination(change) = changes[0] else { panic!("{changes:?}") };
        assert_eq!((change.to, change.reason), (State::Disabled, ChangeReason::Reload));
    }

    #[test]
    fn forgetting_makes_every_destination_as_after_a_start_but_keeps_the_record() {
        let mut bench = pair();
        bench.probe(A, FAILED);
        bench.probe(B, OK);
        bench.admin(B, Admin::Draining);
        bench.changes();
        bench.health.forget(bench.now);
        assert_eq!((bench.state(A), bench.state(B)), (State::Unknown, State::Unknown));
        assert_eq!(bench.verdicts().available(PBX), 2, "no selection waits for probes");
        let reasons: Vec<_> = bench
            .changes()
            .into_iter()
            .map(|change| match change {
                Change::Destination(change) => Some(change.reason),
                Change::Set { .. } => None,
            })
            .collect();
        assert_eq!(reasons[..2], [Some(ChangeReason::Reload); 2]);
        let destination = bench.snapshot().destinations.remove(0);
        assert_eq!((destination.changes.len(), destination.probes.len()), (2, 1));
        assert_eq!(destination.probe.consecutive_failures, 0);
        let change = bench.probe(A, FAILED).change.unwrap();
        assert_eq!((change.to, change.reason), (State::Down, ChangeReason::Start), "decides alone");
    }

    #[test]
    fn what_is_remembered_comes_back_after_a_restart() {
        let mut slow = destination("a");
        slow.thresholds = Some(crate::dispatch::Thresholds { down_after: 3, up_after: 2 });
        let members = || vec![slow.clone(), destination("b"), destination("c")];
        let mut before = bench(members());
        before.probe(A, FAILED);
        let down_since = before.now;
        before.probe(B, OK);
        before.admin(B, Admin::Draining);
        let remembered = before.health.remembered();
        assert_eq!(remembered.len(), 2, "c is as configured");

        let mut after = bench(members());
        after.now = down_since + Duration::from_secs(60);
        assert_eq!(after.health.restore(&remembered, after.now), 2);
        assert_eq!((after.state(A), after.state(B)), (State::Down, State::Draining));
        let [a, b, _] = &after.snapshot().destinations[..] else { panic!("three members") };
        assert_eq!((a.since, b.since), (down_since, before.now));
        assert!(after.health.is_in_doubt(A));
        let reasons: Vec<_> = a.changes.iter().chain(&b.changes).map(|change| change.reason).collect();
        assert_eq!(reasons, [ChangeReason::Restored; 2]);
        assert!(!after.verdicts().is_usable(A), "down holds until the first verdict");
        assert_eq!(after.health.remembered(), remembered, "nothing is lost by another restart");
        assert_eq!(after.probe(A, OK).change.unwrap().to, State::Up, "which decides alone");
    }

    #[test]
    fn a_name_of_several_addresses_is_remembered_by_its_configured_id() {
        let mut before = bench(vec![one_of("a", 1), one_of("a", 2), destination("z")]);
        before.admin(B, Admin::Draining);
        before.probe(A, FAILED);
        let [remembered] = &before.health.remembered()[..] else { panic!("one id") };
        assert_eq!((&*remembered.id, remembered.is_down), ("a", false), "one address may be up");
        before.probe(B, FAILED);
        let remembered = before.health.remembered();
        let told: Vec<_> = remembered.iter().map(|one| (&*one.id, one.is_down, one.admin)).collect();
        assert_eq!(told, [("a", true, Admin::Draining)]);

        let mut after = bench(vec![named("a", "pbx.example"), destination("z")]);
        assert_eq!(after.health.restore(&remembered, after.now), 1);
        assert_eq!(after.state(A), State::Draining);
        after.resolved("pbx.example", &[address(1), address(2)]);
        after.reload(vec![one_of("a", 1), one_of("a", 2), destination("z")]);
        let states: Vec<_> = after.snapshot().destinations.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Draining, State::Draining, State::Unknown], "for all of its addresses");
    }

    #[test]
    fn a_name_that_was_down_before_a_restart_is_down_at_each_of_its_addresses_until_that_is_judged() {
        let mut before = bench(vec![one_of("a", 1), one_of("a", 2), destination("z")]);
        before.probe(A, FAILED);
        before.probe(B, FAILED);
        let (since, remembered) = (before.now, before.health.remembered());

        let mut after = bench(vec![named("a", "pbx.example"), destination("z")]);
        after.now = since + Duration::from_secs(60);
        after.health.restore(&remembered, after.now);
        after.resolved("pbx.example", &[address(1), address(2), address(3)]);
        after.reload(vec![one_of("a", 1), one_of("a", 2), one_of("a", 3), destination("z")]);
        let [one, two, three] = [2, 3, 4].map(Target::new);
        for destination in &after.snapshot().destinations[..3] {
            let reasons: Vec<_> = destination.changes.iter().map(|change| change.reason).collect();
            assert_eq!((destination.state, destination.since), (State::Down, since), "{}", destination.id);
            assert_eq!(reasons, [ChangeReason::Restored], "{}", destination.id);
        }
        assert_eq!(after.health.remembered(), remembered, "nothing is lost by another restart");
        after.probe(one, OK);
        assert_eq!((after.state(one), after.state(two)), (State::Up, State::Down));
        after.resolved("pbx.example", &[address(1), address(3)]);
        after.reload(vec![one_of("a", 1), one_of("a", 3), destination("z")]);
        assert_eq!((after.state(one), after.state(three)), (State::Up, State::Down));
        let change = after.probe(three, FAILED).change;
        assert_eq!(change, None, "down it was");
        assert_eq!(after.health.remembered(), [], "one address is up");
    }

    #[test]
    fn what_is_remembered_yields_to_a_configuration_that_has_changed() {
        let mut before = pair();
        before.probe(A, FAILED);
        before.admin(A, Admin::Draining);
        before.probe(B, FAILED);
        let remembered = before.health.remembered();
        let moved = DestinationSettings { uri: "sip:elsewhere".into(), ..destination("b") };
        let disabled = DestinationSettings { admin: Admin::Disabled, ..destination("a") };
        let mut after = bench(vec![disabled, moved]);
        assert_eq!(after.health.restore(&remembered, after.now), 2);
        assert_eq!((after.state(A), after.state(B)), (State::Disabled, State::Unknown));
        let mut smaller = bench(vec![destination("z")]);
        assert_eq!(smaller.health.restore(&remembered, smaller.now), 0);
    }

    #[test]
    fn a_set_that_is_restored_as_down_is_all_down_with_the_first_verdict_of_each() {
        let mut before = pair();
        before.probe(A, FAILED);
        before.probe(B, FAILED);
        let mut after = pair();
        after.health.restore(&before.health.remembered(), after.now);
        assert!(after.set_changes().is_empty());
        after.probe(A, FAILED);
        assert!(after.set_changes().is_empty(), "b may be up by now");
        after.probe(B, FAILED);
        assert_eq!(after.set_changes(), [true]);
    }

    #[test]
    fn a_changed_uri_is_unknown_again_and_keeps_the_admin_state() {
        let mut bench = pair();
        bench.probe(A, FAILED);
        bench.admin(B, Admin::Disabled);
        let moved = |id| {
            let mut settings = destination(id);
            settings.endpoint.port = 5999;
            settings
        };
        bench.reload(vec![moved("a"), moved("b")]);
        assert_eq!((bench.state(A), bench.state(B)), (State::Unknown, State::Disabled));
        assert_eq!(bench.health.address(A).unwrap().port(), 5999);
        let change = bench.probe(A, FAILED).change.unwrap();
        assert_eq!((change.to, change.reason), (State::Down, ChangeReason::Probe), "decides alone");
    }

    #[test]
    fn a_name_is_unresolved_until_its_first_address_and_keeps_the_last_good_one() {
        let mut bench = bench(vec![named("a", "pbx.example")]);
        assert_eq!(bench.verdicts().of(A).unwrap().skip, Some(SkipReason::Unresolved));
        bench.probe(A, ProbeOutcome::Dns);
        assert_eq!(bench.state(A), State::Unknown, "the resolver has not answered");
        assert!(bench.health.is_in_doubt(A));
        assert_eq!(bench.resolved("pbx.example", &[]), []);
        let changes = bench.changes();
        let Change::Destination(change) = changes[0] else { panic!("{changes:?}") };
        assert_eq!((change.to, change.reason), (State::Down, ChangeReason::Dns));
        assert_eq!(changes[1], Change::Set { set: PBX, all_down: true });

        assert_eq!(bench.resolved("pbx.example", &[address(1), address(2)]), [A]);
        assert_eq!(bench.state(A), State::Unknown);
        assert_eq!(bench.health.address(A), Some(address(1)));
        assert_eq!(bench.resolved("pbx.example", &[address(2), address(1)]), [], "only turned");
        assert_eq!(bench.health.address(A), Some(address(1)));
        bench.resolved("pbx.example", &[]);
        let snapshot = bench.snapshot().destinations.remove(0);
        assert!(snapshot.dns_stale);
        assert_eq!(snapshot.addresses.len(), 2);
        assert_eq!(bench.resolved("pbx.example", &[address(2)]), [A]);
        assert_eq!(bench.health.address(A), Some(address(2)));
    }

    #[test]
    fn a_new_destination_of_a_known_name_needs_no_further_answer() {
        let mut bench = bench(vec![named("a", "pbx.example"), named("b", "none.example")]);
        bench.resolved("pbx.example", &[address(1)]);
        bench.resolved("none.example", &[]);
        bench.reload(vec![named("c", "pbx.example"), named("d", "none.example")]);
        assert_eq!(bench.health.address(Target::new(2)), Some(address(1)));
        assert_eq!(bench.state(Target::new(3)), State::Down);
    }

    #[test]
    fn what_was_good_of_one_address_says_nothing_of_another() {
        let mut bench = bench(vec![named("a", "pbx.example"), destination("b")]);
        bench.resolved("pbx.example", &[address(1)]);
        bench.probe(A, OK);
        bench.probe(B, OK);
        bench.resolved("pbx.example", &[address(2)]);
        assert_eq!((bench.state(A), bench.health.address(A)), (State::Unknown, Some(address(2))));
        assert_eq!(bench.verdicts().of(A).unwrap().skip, Some(SkipReason::Unknown));
        assert!(bench.probe(A, FAILED).change.is_some_and(|change| change.to == State::Down));
        bench.resolved("pbx.example", &[address(3)]);
        let change = bench.snapshot().destinations[0].last_change.unwrap();
        assert_eq!((change.to, change.reason), (State::Unknown, ChangeReason::Dns), "nor what was bad");
        bench.probe(A, OK);
        assert_eq!(bench.state(A), State::Up, "its first verdict decides alone");
    }

    #[test]
    fn another_machine_is_not_blamed_for_what_the_one_before_it_did() {
        let mut bench = bench(vec![named("a", "pbx.example"), destination("b"), destination("c")]);
        bench.resolved("pbx.example", &[address(1), address(2)]);
        for target in [A, B, Target::new(2)] {
            bench.probe(target, OK);
        }
        bench.health.take_renewed();
        let failed = Evidence::Fails(ProbeOutcome::Timeout.into());
        for _ in 0..5 {
            bench.health.on_evidence(A, failed, bench.now);
        }
        let wanted = Duration::from_secs(60);
        bench.health.on_evidence(A, Evidence::Pause { wanted, span: None }, bench.now);
        let before = bench.snapshot().destinations.remove(0);
        assert!(before.ejected_until.is_some() && before.retry_after_until.is_some());
        bench.resolved("pbx.example", &[address(2), address(1)]);
        assert_eq!((bench.state(A), bench.health.take_renewed()), (State::Ejected, vec![]), "it only turned");

        bench.resolved("pbx.example", &[address(3)]);
        let after = bench.snapshot().destinations.remove(0);
        assert_eq!((after.ejected_until, after.retry_after_until), (None, None));
        assert_eq!((after.state, bench.health.take_renewed()), (State::Unknown, vec![A]));
        assert_eq!(bench.health.poll_timeout(), None);
        bench.probe(A, OK);
        for _ in 0..4 {
            bench.health.on_evidence(A, failed, bench.now);
        }
        assert_eq!((bench.state(A), bench.snapshot().destinations[0].passive_failures), (State::Up, 4));
        bench.resolved("pbx.example", &[address(1)]);
        assert_eq!(bench.snapshot().destinations[0].passive_failures, 0);
    }

    #[test]
    fn falls_belong_to_the_destination_and_not_to_an_address() {
        let mut bench = bench(vec![named("a", "pbx.example"), destination("b")]);
        bench.probe(B, OK);
        for last in 1..5 {
            bench.resolved("pbx.example", &[address(last)]);
            bench.probe(A, OK);
            (0..3).for_each(|_| _ = bench.probe(A, FAILED));
        }
        assert!(bench.snapshot().destinations[0].probe.damped);
    }

    #[test]
    fn a_slow_start_begins_anew_with_another_address_and_goes_on_over_a_reload() {
        let mut bench = bench(vec![named("a", "pbx.example"), destination("b")]);
        let returned = |bench: &mut Bench, target| {
            bench.health.publication.note_addresses();
            bench.verdicts().of(target).unwrap().returned
        };
        bench.resolved("pbx.example", &[address(1), address(2)]);
        bench.probe(A, OK);
        bench.probe(B, OK);
        assert_eq!(returned(&mut bench, A), None, "what nobody knew to be down has not come back");
        bench.resolved("pbx.example", &[address(3)]);
        assert_eq!(returned(&mut bench, A), Some(bench.now));
        bench.probe(A, OK);
        let up = bench.now;
        assert_eq!(returned(&mut bench, A), Some(up), "it begins when the new one is up");
        bench.probe(A, OK);
        assert_eq!(returned(&mut bench, A), Some(up));

        bench.resolved("pbx.example", &[address(3), address(4)]);
        bench.reload(vec![one_of("a", 3), one_of("a", 4), destination("b")]);
        let (three, four) = (Target::new(2), Target::new(3));
        assert_eq!(returned(&mut bench, three), Some(up), "a ramp goes on under another number");
        assert_eq!(returned(&mut bench, four), None, "the name was known to stand for it");
        bench.resolved("pbx.example", &[address(3), address(5)]);
        bench.now += Duration::from_secs(1);
        bench.reload(vec![one_of("a", 3), one_of("a", 5), destination("b")]);
        let five = Target::new(4);
        assert_eq!(returned(&mut bench, five), Some(bench.now), "it is new");
        bench.probe(five, OK);
        assert_eq!(returned(&mut bench, five), Some(bench.now));

        let mut moved = destination("b");
        moved.endpoint.port = 5999;
        bench.reload(vec![one_of("a", 3), one_of("a", 5), moved]);
        bench.probe(B, OK);
        assert_eq!(returned(&mut bench, B), Some(bench.now), "so is what the configuration moved");
    }

    #[test]
    fn addresses_of_one_name_follow_each_other_with_state_history_and_admin() {
        let mut bench = bench(vec![named("a", "pbx.example")]);
        bench.resolved("pbx.example", &[address(1)]);
        bench.probe(A, OK);
        bench.admin(A, Admin::Draining);
        bench.resolved("pbx.example", &[address(1), address(2)]);
        bench.reload(vec![one_of("a", 1), one_of("a", 2)]);
        let (one, two) = (Target::new(1), Target::new(2));
        assert_eq!((bench.state(one), bench.state(two)), (State::Draining, State::Draining));
        assert_eq!(bench.snapshot().destinations[0].changes.len(), 2, "history stays");
        bench.admin(two, Admin::Enabled);
        assert_eq!((bench.state(one), bench.state(two)), (State::Up, State::Unknown), "one id, one wish");

        bench.resolved("pbx.example", &[]);
        let snapshot = bench.snapshot();
        assert!(
            snapshot.destinations.iter().all(|d| d.dns_stale && d.name.as_deref() == Some("pbx.example"))
        );
        bench.resolved("pbx.example", &[address(2)]);
        bench.probe(two, FAILED);
        bench.reload(vec![named("a", "pbx.example")]);
        assert_eq!((bench.state(A), bench.health.address(A)), (State::Down, Some(address(2))));
    }

    #[test]
    fn a_literal_uri_that_becomes_a_name_of_several_addresses_leaves_them_its_admin_state_alone() {
        let uri = "sip:pbx.example:5070";
        let at = |last| DestinationSettings { uri: uri.into(), ..one_of("a", last) };
        let endpoint = Endpoint { host: Host::Address(address(1).ip()), port: 5070 };
        let literal = || DestinationSettings { endpoint: endpoint.clone(), ..destination("a") };
        let known = || DestinationSettings { uri: uri.into(), ..named("z", "pbx.example") };
        let mut bench = bench(vec![literal(), known()]);
        bench.resolved("pbx.example", &[address(1), address(2)]);
        bench.probe(A, FAILED);
        bench.admin(A, Admin::Draining);
        bench.reload(vec![at(1), at(2), known()]);
        let (one, two) = (Target::new(2), Target::new(3));
        assert_eq!((bench.state(one), bench.state(two)), (State::Draining, State::Draining));
        bench.admin(one, Admin::Enabled);
        assert_eq!((bench.state(one), bench.state(two)), (State::Unknown, State::Unknown), "another URI");

        bench.admin(two, Admin::Draining);
        let configured = |last| DestinationSettings { admin: Admin::Disabled, ..at(last) };
        bench.reload(vec![literal(), known()]);
        assert_eq!(bench.state(A), State::Draining, "and back");
        bench.reload(vec![configured(1), configured(2), known()]);
        assert_eq!(bench.state(one), State::Disabled, "the configured value has changed");
    }

    #[test]
    fn sources_are_found_by_every_address_and_shared_between_sets() {
        let mut names = Names::default();
        let tcp = DestinationSettings { transport: Transport::Tcp, ..destination("t") };
        let one = set("one", vec![destination("a"), named("n", "pbx.example")]);
        let table = Table::new(vec![one, set("two", vec![destination("a"), tcp])], &mut names);
        let mut health = Health::new(Arc::new(table), Instant::now());
        let first = health.take_verdicts().unwrap();
        let a = health.address(A).unwrap();
        assert_eq!(first.endpoints.get(&(Transport::Udp, a)).unwrap().as_slice(), [A, Target::new(2)]);
        assert!(health.take_verdicts().is_none());

        health.on_probe(A, OK.into(), None, Instant::now());
        assert!(health.take_verdicts().is_none(), "it was usable before");
        health.on_probe(A, FAILED.into(), None, Instant::now());
        assert!(health.take_verdicts().is_none(), "it still is");
        health.set_admin(A, Admin::Draining, Instant::now());
        let second = health.take_verdicts().unwrap();
        assert!(Arc::ptr_eq(&first.endpoints, &second.endpoints), "no address changed");
        assert_eq!(second.generation, first.generation + 1);

        let pbx = lookup("pbx.example");
        health.on_resolved(&pbx, &[address(1), address(2)], false, Instant::now());
        let third = health.take_verdicts().unwrap();
        for last in [1, 2] {
            let source = (Transport::Udp, address(last));
            assert_eq!(third.endpoints.get(&source).unwrap().as_slice(), [B]);
        }
    }

    #[test]
    fn history_is_bounded_and_times_are_smoothed() {
        let mut bench = bench(vec![destination("a")]);
        for _ in 0..300 {
            bench.probe(A, OK);
            for _ in 0..3 {
                bench.probe(A, FAILED);
            }
        }
        let now = bench.now;
        bench.health.on_probe(A, OK.into(), Some(Duration::from_millis(10)), now);
        bench.health.on_probe(A, OK.into(), Some(Duration::from_millis(20)), now);
        let snapshot = bench.snapshot().destinations.remove(0);
        assert_eq!((snapshot.changes.len(), snapshot.probes.len()), (200, 20));
        assert_eq!(snapshot.probe.last_rtt, Some(Duration::from_millis(20)));
        assert_eq!(snapshot.since, now, "the change to up");
    }

    /// The checks after every step are the debug assertions of [`Health`] itself.
    #[test]
    fn counts_follow_the_facts_over_ten_thousand_random_steps() {
        let mut random = Nonces::new(Secret::new([7; 16]));
        let mut bench = pair();
        let mut all_down: HashMap<SetId, bool> = HashMap::new();
        for _ in 0..10_000 {
            random_step(&mut bench, &mut random);
            for change in bench.changes() {
                match change {
                    Change::Destination(change) => assert_ne!(change.from, change.to),
                    Change::Set { set, all_down: is } => {
                        assert_ne!(all_down.insert(set, is).unwrap_or(false), is, "told once");
                    }
                }
            }
            check_published(&mut bench);
        }
    }

    fn random_step(bench: &mut Bench, random: &mut Nonces) {
        let mut pick = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
        let target = Target::new(u32::try_from(pick(8)).unwrap());
        bench.now += Duration::from_secs(pick(8) as u64);
        bench.health.handle_timeout(bench.now);
        match pick(28) {
            0 => {
                let indexes: Vec<u8> = (0..8).filter(|_| pick(3) > 0).collect();
                let members = indexes.into_iter().map(|index| random_member(index, &mut pick)).collect();
                bench.reload(members);
            }
            1..4 => {
                bench.admin(target, Admin::ALL[pick(3)]);
            }
            20..26 => {
                let failed = [ProbeOutcome::Timeout, ProbeOutcome::Rejected(503)][pick(2)];
                for _ in 0..pick(8) {
                    bench.health.on_evidence(target, Evidence::Fails(failed.into()), bench.now);
                }
                if pick(4) == 0 {
                    bench.health.on_evidence(target, Evidence::Answers, bench.now);
                }
            }
            26 | 27 => {
                let wanted = Duration::from_secs(pick(100) as u64);
                bench.health.on_evidence(target, Evidence::Pause { wanted, span: None }, bench.now);
            }
            4..6 => {
                let addresses = [address(1), address(2)];
                bench.resolved("pbx.example", &addresses[..pick(3)]);
            }
            _ => {
                bench.probe(target, [OK, FAILED, ProbeOutcome::Dns][pick(3)]);
            }
        }
    }

    fn random_member(index: u8, pick: &mut impl FnMut(usize) -> usize) -> DestinationSettings {
        let id = char::from(b'a' + index).to_string();
        let mut settings = if pick(3) == 0 { named(&id, "pbx.example") } else { destination(&id) };
        settings.weight = u32::try_from(pick(3)).unwrap();
        settings.priority = u32::try_from(pick(2)).unwrap();
        if pick(4) == 0 {
            settings.thresholds = None;
        }
        settings
    }

    /// What is published agrees with what is answered.
    fn check_published(bench: &mut Bench) {
        let Some(verdicts) = bench.health.take_verdicts() else { return };
        for destination in &bench.snapshot().destinations {
            let verdict = verdicts.of(destination.target).unwrap();
            assert_eq!(verdict.skip.is_none(), destination.usable);
            assert!(!destination.usable || destination.weight > 0);
            assert_eq!(verdict.address, destination.address);
            assert!(!destination.usable || destination.address.is_some());
            assert_eq!(bench.health.state(destination.target), Some(destination.state));
        }
    }
}
