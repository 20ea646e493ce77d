//! State gauges, built at scrape from snapshots.
//!
//! A gauge here is a field of a snapshot put into words; nothing is remembered between scrapes, so
//! a gauge cannot drift or outlive what it describes.

use super::metrics::{Families, Index, Metrics, float};
use super::table::{Family as F, Scope};
use super::values::{DialogState, METHODS, ROLES, STATES};
use super::{panics, process};
use crate::facts::clock::Clock;
use crate::facts::event::{ConnectionRole, Queue};
use crate::facts::snapshot::{DestinationSnapshot, SetSnapshot, Snapshot, Surroundings};
use crate::facts::{Admin, State, Target};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// What is, as one scrape sees it.
#[derive(Debug)]
pub struct View {
    snapshots: Vec<Snapshot>,
    surroundings: Surroundings,
    clock: Clock,
    /// Every destination: the positions of its snapshot, its set, and itself in it.
    members: Vec<(u32, u32, u32)>,
    /// Transactions that wait, by destination.
    waiting: HashMap<Target, u64>,
}

impl View {
    /// Joins what the workers know.
    pub fn new(snapshots: Vec<Snapshot>, surroundings: Surroundings, clock: Clock) -> Self {
        let mut waiting: HashMap<_, u64> = HashMap::new();
        for (target, count) in snapshots.iter().flat_map(|snapshot| &snapshot.waiting) {
            *waiting.entry(*target).or_default() += count;
        }
        let mut members = Vec::new();
        for (worker, snapshot) in (0_u32..).zip(&snapshots) {
            for (position, set) in (0_u32..).zip(&snapshot.sets) {
                members
                    .extend((0_u32..).zip(&set.destinations).map(|(member, _)| (worker, position, member)));
            }
        }
        Self { snapshots, surroundings, clock, members, waiting }
    }

    /// Adds the families of the process.
    pub fn process(&self, metrics: &Metrics, index: &Index, out: &mut Families) {
        transactions(&self.snapshots, out);
        let linger = self.snapshots.iter().map(|snapshot| snapshot.linger).sum();
        out.number(F::LingerBytes, &[], float(linger));
        process_gauges(metrics, index, out);
        surrounding_gauges(&self.surroundings, out);
    }

    /// How many owners the families of this scope have here.
    pub fn owners(&self, scope: Scope) -> usize {
        match scope {
            Scope::Process => 0,
            Scope::Listener => self.surroundings.receive.len(),
            Scope::Set | Scope::SetOrNone => self.sets().count(),
            Scope::Destination => self.members.len(),
        }
    }

    /// Adds what is asked for of some of the owners of a scope.
    pub fn collect(&self, index: &Index, scope: Scope, range: Range<usize>, out: &mut Families) {
        let (skip, take) = (range.start, range.len());
        match scope {
            Scope::Process => {}
            Scope::Listener => {
                for (id, buffer) in self.surroundings.receive.iter().skip(skip).take(take) {
                    let Some(listener) = index.listeners.get(id.index()) else { continue };
                    let own = ("listener", &*listener.name);
                    out.number(F::UdpDrops, &[own], float(buffer.dropped));
                    out.number(F::UdpQueue, &[own], float(buffer.waiting));
                }
            }
            Scope::Set | Scope::SetOrNone => {
                self.sets().skip(skip).take(take).for_each(|set| set_gauges(set, &self.snapshots, out));
            }
            Scope::Destination => {
                for (at, set, destination) in
                    self.members.iter().skip(skip).take(take).filter_map(|place| self.member(*place))
                {
                    let waiting = self.waiting.get(&destination.target).copied().unwrap_or(0);
                    let owner = Owner { set: &set.name, id: &destination.id };
                    destination_gauges(&owner, destination, waiting, self.clock, out);
                    health_gauges(&owner, destination, at, out);
                    probe_gauges(&owner, destination, self.clock, out);
                }
            }
        }
    }

    fn sets(&self) -> impl Iterator<Item = &SetSnapshot> {
        self.snapshots.iter().flat_map(|snapshot| &snapshot.sets)
    }

    fn member(
        &self,
        (worker, set, member): (u32, u32, u32),
    ) -> Option<(Instant, &SetSnapshot, &DestinationSnapshot)> {
        let snapshot = self.snapshots.get(worker as usize)?;
        let set = snapshot.sets.get(set as usize)?;
        Some((snapshot.at, set, set.destinations.get(member as usize)?))
    }
}

struct Owner<'a> {
    set: &'a str,
    id: &'a str,
}

impl Owner<'_> {
    /// Adds a series of a family, if it is asked for.
    fn number(&self, out: &mut Families, family: F, more: &[(&str, &str)], value: f64) {
        if out.wants(family) {
            let own = [("set", self.set), ("destination", self.id)];
            let labels: SmallVec<[_; 6]> = own.into_iter().chain(more.iter().copied()).collect();
            out.number(family, &labels, value);
        }
    }
}

fn transactions(snapshots: &[Snapshot], out: &mut Families) {
    for (role_index, role) in ROLES.iter().enumerate() {
        for (method_index, method) in METHODS.iter().enumerate() {
            let mine = snapshots
                .iter()
                .flat_map(|snapshot| &snapshot.in_flight)
                .filter(|(r, m, _)| *r as usize == role_index && *m as usize == method_index);
            let count = mine.map(|(_, _, count)| count).sum();
            out.number(F::InFlight, &[("role", role), ("method", method)], float(count));
        }
    }
}

fn set_gauges(set: &SetSnapshot, snapshots: &[Snapshot], out: &mut Families) {
    let own = ("set", &*set.name);
    let members = &set.destinations;
    let count = |wanted: &dyn Fn(&DestinationSnapshot) -> bool| {
        float(u64::try_from(members.iter().filter(|member| wanted(member)).count()).unwrap_or(u64::MAX))
    };
    out.number(F::SetAllDown, &[own], flag(set.all_down));
    for state in State::ALL {
        let labels = [own, ("state", state.as_str())];
        out.number(F::SetDestinations, &labels, count(&|member| member.state == *state));
    }
    out.number(F::SetConfigured, &[own], count(&|_| true));
    out.number(F::SetEnabled, &[own], count(&|member| member.admin == Admin::Enabled));
    out.number(F::SetAvailable, &[own], count(&|member| member.usable));
    out.number(F::SetObjective, &[own], set.objective);
    out.number(F::SetInfo, &[own, ("algorithm", set.algorithm.as_str())], 1.0);
    out.number(F::SetDetection, &[own], set.detection.as_secs_f64());
    let sum = |pick: fn(&Snapshot) -> &Vec<(crate::facts::SetId, u64)>| {
        float(snapshots.iter().flat_map(pick).filter(|(id, _)| *id == set.id).map(|(_, count)| count).sum())
    };
    out.number(F::ProbesInFlight, &[own], sum(|snapshot| &snapshot.probes_in_flight));
    let state = |state: DialogState| ("state", state.as_str());
    out.number(F::Dialogs, &[own, state(DialogState::Early)], sum(|snapshot| &snapshot.early));
    out.number(F::Dialogs, &[own, state(DialogState::Confirmed)], sum(|snapshot| &snapshot.dialogs));
}

fn destination_gauges(
    owner: &Owner<'_>,
    destination: &DestinationSnapshot,
    waiting: u64,
    clock: Clock,
    out: &mut Families,
) {
    for state in STATES {
        let here = *state == destination.state.as_str();
        owner.number(out, F::DestinationState, &[("state", state)], flag(here));
    }
    let priority = destination.priority.to_string();
    let properties = [
        ("uri", &*destination.uri),
        ("transport", destination.transport.as_str()),
        ("priority", &priority),
        ("source", "config"),
    ];
    owner.number(out, F::DestinationInfo, &properties, 1.0);
    let load = &destination.load;
    let addresses = u64::try_from(destination.addresses.len()).unwrap_or(u64::MAX);
    for (family, value) in [
        (F::DestinationUp, flag(destination.usable)),
        (F::DestinationProbing, flag(destination.probe.enabled)),
        (F::DestinationWeight, f64::from(destination.weight)),
        (F::DestinationAdded, unix(clock, destination.added)),
        (F::DestinationChanged, unix(clock, destination.since)),
        (F::DestinationAddresses, float(addresses)),
        (F::DestinationDnsStale, flag(destination.dns_stale)),
        (F::DestinationInFlight, float(waiting)),
        (F::DestinationCalls, float(load.calls)),
        (F::DestinationCallsLimit, f64::from(load.max_calls.unwrap_or(0))),
        (F::DestinationSlowStart, load.ramp),
    ] {
        owner.number(out, family, &[], value);
    }
}

/// What requests, and how often it fell, have made of it.
fn health_gauges(owner: &Owner<'_>, destination: &DestinationSnapshot, at: Instant, out: &mut Families) {
    let pause = destination.retry_after_until.map_or(Duration::ZERO, |end| end.saturating_duration_since(at));
    for (family, value) in [
        (F::DestinationEjected, flag(destination.ejected_until.is_some())),
        (F::DestinationRetryAfter, pause.as_secs_f64()),
        (F::DestinationDamped, flag(destination.probe.damped)),
    ] {
        owner.number(out, family, &[], value);
    }
}

fn probe_gauges(owner: &Owner<'_>, destination: &DestinationSnapshot, clock: Clock, out: &mut Families) {
    let probe = &destination.probe;
    let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
    for (family, value) in [
        (F::ProbeLastRtt, seconds(probe.last_rtt)),
        (F::ProbeEwma, seconds(destination.load.response_time)),
        (F::ProbeLastCode, probe.last_outcome.map_or(0.0, |outcome| f64::from(outcome.code()))),
        (F::ProbeFailures, f64::from(probe.consecutive_failures)),
        (F::ProbeSuccesses, f64::from(probe.consecutive_successes)),
        (F::ProbeInterval, probe.interval.as_secs_f64()),
    ] {
        owner.number(out, family, &[], value);
    }
    for (family, at) in [(F::ProbeLast, probe.last_finished), (F::ProbeLastSuccess, probe.last_success)] {
        if let Some(at) = at {
            owner.number(out, family, &[], unix(clock, at));
        }
    }
    for (kind, value) in [("down", probe.down_after), ("up", probe.up_after)] {
        owner.number(out, F::ProbeThreshold, &[("kind", kind)], f64::from(value));
    }
}

fn process_gauges(metrics: &Metrics, index: &Index, out: &mut Families) {
    let facts = &metrics.process;
    for role in ConnectionRole::ALL {
        let labels = [("transport", "tcp"), ("role", role.as_str())];
        out.number(F::Connections, &labels, float(metrics.open_connections(index, *role)));
    }
    let seconds = |millis: u64| float(millis) / 1_000.0;
    for (family, value) in [
        (F::ReloadSuccessful, float(facts.reload_successful.load(Ordering::Relaxed))),
        (F::ReloadTimestamp, seconds(facts.reload_accepted.load(Ordering::Relaxed))),
        (F::ConfigHash, float(facts.config_hash.load(Ordering::Relaxed))),
        (F::ExportSuccess, seconds(facts.export_accepted.load(Ordering::Relaxed))),
    ] {
        out.number(family, &[], value);
    }
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("BUILD_REVISION")),
        ("rustc", env!("BUILD_RUSTC")),
        ("features", "default"),
    ];
    out.number(F::BuildInfo, &build, 1.0);
    let Some(usage) = process::usage() else { return };
    for (family, value) in [
        (F::ProcessCpu, usage.cpu),
        (F::ProcessResident, usage.resident),
        (F::ProcessVirtual, usage.virtual_memory),
        (F::ProcessFds, usage.fds),
        (F::ProcessMaxFds, usage.max_fds),
        (F::ProcessThreads, usage.threads),
        (F::ProcessStart, usage.started),
    ] {
        out.number(family, &[], value);
    }
}

fn surrounding_gauges(surroundings: &Surroundings, out: &mut Families) {
    for name in Queue::ALL {
        let known = surroundings.queues.iter().find(|known| known.queue == *name);
        let (depth, capacity) = known.map_or((0, 0), |known| (known.depth, known.capacity));
        let own = ("queue", name.as_str());
        out.number(F::QueueDepth, &[own], float(depth));
        out.number(F::QueueCapacity, &[own], float(capacity));
    }
    let threads = u64::try_from(surroundings.threads.len()).unwrap_or(u64::MAX);
    out.number(F::RuntimeWorkers, &[], float(threads));
    out.number(F::RuntimeTasks, &[], float(surroundings.tasks));
    out.number(F::RuntimeQueue, &[], float(surroundings.waiting_tasks));
    for (name, busy) in &surroundings.threads {
        out.number(F::RuntimeBusy, &[("worker", name)], busy.as_secs_f64());
    }
    out.number(F::Panics, &[], float(panics::panics()));
}

fn unix(clock: Clock, at: Instant) -> f64 {
    clock.wall(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::event::{ProbeOutcome, Role};
    use crate::facts::snapshot::{LoadSnapshot, ProbeSnapshot};
    use crate::facts::{Algorithm, Method, SetId, Transport, WorkerId};
    use std::time::SystemTime;

    fn snapshot(worker: u8, at: Instant, sets: Vec<SetSnapshot>) -> Snapshot {
        Snapshot {
            worker: WorkerId(worker),
            at,
            in_flight: vec![(Role::Server, Method::Invite, 2)],
            waiting: vec![(Target::new(0), 3)],
            early: vec![(SetId::new(0), 2)],
            dialogs: vec![(SetId::new(0), 5)],
            linger: 7,
            probes_in_flight: vec![],
            sets,
        }
    }

    fn set(at: Instant) -> SetSnapshot {
        let destination = DestinationSnapshot {
            target: Target::new(0),
            id: "a".into(),
            uri: "sip:192.0.2.1:5060".into(),
            transport: Transport::Udp,
            address: None,
            addresses: vec![],
            name: None,
            resolved: None,
            dns_stale: true,
            weight: 7,
            priority: 1,
            state: State::Down,
            usable: false,
            admin: Admin::Enabled,
            passive_failures: 0,
            ejected_until: Some(at + Duration::from_secs(30)),
            retry_after_until: Some(at + Duration::from_secs(20)),
            added: at,
            since: at + Duration::from_secs(3),
            last_change: None,
            probe: ProbeSnapshot {
                enabled: true,
                interval: Duration::from_secs(10),
                down_after: 3,
                up_after: 1,
                damped: true,
                consecutive_failures: 4,
                last_outcome: Some(ProbeOutcome::Rejected(500)),
                last_finished: Some(at + Duration::from_secs(4)),
                ..ProbeSnapshot::default()
            },
            load: LoadSnapshot { calls: 4, max_calls: Some(10), ramp: 0.25, ..LoadSnapshot::default() },
            changes: vec![],
            probes: vec![],
            exchange: None,
        };
        SetSnapshot {
            id: SetId::new(0),
            name: "pbx".into(),
            algorithm: Algorithm::Hash,
            objective: 0.999,
            all_down: true,
            detection: Duration::from_secs(19),
            destinations: vec![destination],
        }
    }

    #[test]
    fn gauges_say_what_the_snapshots_say() {
        let at = Instant::now();
        let clock = Clock::new(at, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let metrics = Metrics::default();
        let view = View::new(
            vec![snapshot(0, at, vec![set(at)]), snapshot(1, at, vec![])],
            Surroundings::default(),
            clock,
        );
        let mut families = Families::default();
        view.process(&metrics, &metrics.index(), &mut families);
        for scope in [Scope::Set, Scope::Destination] {
            view.collect(&metrics.index(), scope, 0..view.owners(scope), &mut families);
        }
        let text = prometheus::TextEncoder::new().encode_to_string(&families.finish()).unwrap();
        for expected in [
            r#"sipwarden_destination_state{set="pbx",destination="a",state="down"} 1"#,
            r#"sipwarden_destination_state{set="pbx",destination="a",state="up"} 0"#,
            r#"sipwarden_destination_up{set="pbx",destination="a"} 0"#,
            r#"sipwarden_destination_ejected{set="pbx",destination="a"} 1"#,
            r#"sipwarden_destination_retry_after_seconds{set="pbx",destination="a"} 20"#,
            r#"sipwarden_destination_damped{set="pbx",destination="a"} 1"#,
            r#"sipwarden_destination_weight{set="pbx",destination="a"} 7"#,
            r#"sipwarden_destination_dns_stale{set="pbx",destination="a"} 1"#,
            r#"sipwarden_destination_added_timestamp_seconds{set="pbx",destination="a"} 1000"#,
            r#"sipwarden_destination_last_state_change_timestamp_seconds{set="pbx",destination="a"} 1003"#,
            r#"sipwarden_destination_transactions_in_flight{set="pbx",destination="a"} 6"#,
            r#"sipwarden_destination_calls{set="pbx",destination="a"} 4"#,
            r#"sipwarden_destination_calls_limit{set="pbx",destination="a"} 10"#,
            r#"sipwarden_destination_slow_start_ratio{set="pbx",destination="a"} 0.25"#,
            r#"sipwarden_probe_last_rtt_seconds{set="pbx",destination="a"} NaN"#,
            r#"sipwarden_probe_last_status_code{set="pbx",destination="a"} 500"#,
            r#"sipwarden_probe_last_timestamp_seconds{set="pbx",destination="a"} 1004"#,
            r#"sipwarden_probe_threshold{set="pbx",destination="a",kind="down"} 3"#,
            r#"sipwarden_set_all_down{set="pbx"} 1"#,
            r#"sipwarden_set_destinations{set="pbx",state="down"} 1"#,
            r#"sipwarden_set_destinations_available{set="pbx"} 0"#,
            r#"sipwarden_set_destinations_enabled{set="pbx"} 1"#,
            r#"sipwarden_set_info{set="pbx",algorithm="hash"} 1"#,
            r#"sipwarden_set_detection_seconds{set="pbx"} 19"#,
            r#"sipwarden_dialogs{set="pbx",state="early"} 4"#,
            r#"sipwarden_dialogs{set="pbx",state="confirmed"} 10"#,
            r#"sipwarden_transactions_in_flight{role="server",method="INVITE"} 4"#,
            r#"sipwarden_transactions_in_flight{role="client",method="BYE"} 0"#,
            "sipwarden_config_last_reload_successful 1",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}");
        }
        assert!(!text.contains("probe_last_success_timestamp_seconds"), "absent before the first success");
    }
}
