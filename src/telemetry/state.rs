//! State gauges, built at scrape from snapshots.
//!
//! A gauge here is a field of a snapshot put into words; nothing is remembered between scrapes, so
//! a gauge cannot drift or outlive what it describes.

use super::metrics::{Families, Index, Metrics, float, label};
use super::process;
use super::table::Family as F;
use super::values::{METHODS, ROLES, STATES};
use crate::facts::clock::Clock;
use crate::facts::event::ConnectionRole;
use crate::facts::snapshot::{DestinationSnapshot, SetSnapshot, Snapshot};
use crate::facts::{Admin, State};
use prometheus::proto::{LabelPair, MetricFamily};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The state families of these snapshots.
pub fn families(snapshots: &[Snapshot], clock: Clock, metrics: &Metrics, index: &Index) -> Vec<MetricFamily> {
    let mut out = Families::default();
    transactions(snapshots, &mut out);
    let mut waiting: HashMap<_, u64> = HashMap::new();
    for (target, count) in snapshots.iter().flat_map(|snapshot| &snapshot.waiting) {
        *waiting.entry(*target).or_default() += count;
    }
    for set in snapshots.iter().flat_map(|snapshot| &snapshot.sets) {
        set_gauges(set, snapshots, &mut out);
        for destination in &set.destinations {
            let waiting = waiting.get(&destination.target).copied().unwrap_or(0);
            let owner = Owner { set: &set.name, id: &destination.id };
            destination_gauges(&owner, destination, waiting, clock, &mut out);
            probe_gauges(&owner, destination, clock, &mut out);
        }
    }
    let linger = snapshots.iter().map(|snapshot| snapshot.linger).sum();
    out.number(F::LingerBytes, vec![], float(linger));
    process_gauges(metrics, index, &mut out);
    out.finish()
}

struct Owner<'a> {
    set: &'a str,
    id: &'a str,
}

impl Owner<'_> {
    fn labels(&self, more: &[(&str, &str)]) -> Vec<LabelPair> {
        let own = [label("set", self.set), label("destination", self.id)];
        own.into_iter().chain(more.iter().map(|(name, value)| label(name, value))).collect()
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
            out.number(F::InFlight, vec![label("role", role), label("method", method)], float(count));
        }
    }
}

fn set_gauges(set: &SetSnapshot, snapshots: &[Snapshot], out: &mut Families) {
    let labels = || vec![label("set", &set.name)];
    let members = &set.destinations;
    let count = |wanted: &dyn Fn(&DestinationSnapshot) -> bool| {
        float(u64::try_from(members.iter().filter(|member| wanted(member)).count()).unwrap_or(u64::MAX))
    };
    out.number(F::SetAllDown, labels(), flag(set.all_down));
    for state in State::ALL {
        let labels = vec![label("set", &set.name), label("state", state.as_str())];
        out.number(F::SetDestinations, labels, count(&|member| member.state == *state));
    }
    out.number(F::SetConfigured, labels(), count(&|_| true));
    out.number(F::SetEnabled, labels(), count(&|member| member.admin == Admin::Enabled));
    out.number(F::SetAvailable, labels(), count(&|member| member.usable));
    out.number(F::SetObjective, labels(), set.objective);
    let algorithm = label("algorithm", set.algorithm.as_str());
    out.number(F::SetInfo, vec![label("set", &set.name), algorithm], 1.0);
    out.number(F::SetDetection, labels(), set.detection.as_secs_f64());
    let sum = |pick: fn(&Snapshot) -> &Vec<(crate::facts::SetId, u64)>| {
        float(snapshots.iter().flat_map(pick).filter(|(id, _)| *id == set.id).map(|(_, count)| count).sum())
    };
    out.number(F::ProbesInFlight, labels(), sum(|snapshot| &snapshot.probes_in_flight));
    let confirmed = vec![label("set", &set.name), label("state", "confirmed")];
    out.number(F::Dialogs, confirmed, sum(|snapshot| &snapshot.dialogs));
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
        out.number(F::DestinationState, owner.labels(&[("state", state)]), flag(here));
    }
    let priority = destination.priority.to_string();
    let properties = [
        ("uri", &*destination.uri),
        ("transport", destination.transport.as_str()),
        ("priority", &priority),
        ("source", "config"),
    ];
    out.number(F::DestinationInfo, owner.labels(&properties), 1.0);
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
    ] {
        out.number(family, owner.labels(&[]), value);
    }
}

fn probe_gauges(owner: &Owner<'_>, destination: &DestinationSnapshot, clock: Clock, out: &mut Families) {
    let probe = &destination.probe;
    let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
    for (family, value) in [
        (F::ProbeLastRtt, seconds(probe.last_rtt)),
        (F::ProbeEwma, seconds(probe.ewma_rtt)),
        (F::ProbeLastCode, probe.last_outcome.map_or(0.0, |outcome| f64::from(outcome.code()))),
        (F::ProbeFailures, f64::from(probe.consecutive_failures)),
        (F::ProbeSuccesses, f64::from(probe.consecutive_successes)),
        (F::ProbeInterval, probe.interval.as_secs_f64()),
    ] {
        out.number(family, owner.labels(&[]), value);
    }
    for (family, at) in [(F::ProbeLast, probe.last_finished), (F::ProbeLastSuccess, probe.last_success)] {
        if let Some(at) = at {
            out.number(family, owner.labels(&[]), unix(clock, at));
        }
    }
    for (kind, value) in [("down", probe.down_after), ("up", probe.up_after)] {
        out.number(F::ProbeThreshold, owner.labels(&[("kind", kind)]), f64::from(value));
    }
}

fn process_gauges(metrics: &Metrics, index: &Index, out: &mut Families) {
    let facts = &metrics.process;
    for role in ConnectionRole::ALL {
        let labels = vec![label("transport", "tcp"), label("role", role.as_str())];
        out.number(F::Connections, labels, float(metrics.open_connections(index, *role)));
    }
    let seconds = |millis: u64| float(millis) / 1_000.0;
    for (family, value) in [
        (F::ReloadSuccessful, float(facts.reload_successful.load(Ordering::Relaxed))),
        (F::ReloadTimestamp, seconds(facts.reload_accepted.load(Ordering::Relaxed))),
        (F::ConfigHash, float(facts.config_hash.load(Ordering::Relaxed))),
        (F::ExportSuccess, seconds(facts.export_accepted.load(Ordering::Relaxed))),
    ] {
        out.number(family, vec![], value);
    }
    let build = [
        label("version", env!("CARGO_PKG_VERSION")),
        label("revision", env!("BUILD_REVISION")),
        label("rustc", env!("BUILD_RUSTC")),
        label("features", "default"),
    ];
    out.number(F::BuildInfo, build.into(), 1.0);
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
        out.number(family, vec![], value);
    }
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
    use crate::facts::snapshot::ProbeSnapshot;
    use crate::facts::{Algorithm, Method, SetId, Target, Transport, WorkerId};
    use std::time::SystemTime;

    fn snapshot(worker: u8, at: Instant, sets: Vec<SetSnapshot>) -> Snapshot {
        Snapshot {
            worker: WorkerId(worker),
            at,
            in_flight: vec![(Role::Server, Method::Invite, 2)],
            waiting: vec![(Target::new(0), 3)],
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
            dns_stale: true,
            weight: 7,
            priority: 1,
            state: State::Down,
            usable: false,
            admin: Admin::Enabled,
            added: at,
            since: at + Duration::from_secs(3),
            last_change: None,
            probe: ProbeSnapshot {
                enabled: true,
                interval: Duration::from_secs(10),
                down_after: 3,
                up_after: 1,
                consecutive_failures: 4,
                last_outcome: Some(ProbeOutcome::Rejected(500)),
                last_finished: Some(at + Duration::from_secs(4)),
                ..ProbeSnapshot::default()
            },
            changes: vec![],
            probes: vec![],
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
        let snapshots = [snapshot(0, at, vec![set(at)]), snapshot(1, at, vec![])];
        let families = families(&snapshots, clock, &metrics, &metrics.index());
        let text = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
        for expected in [
            r#"sipwarden_destination_state{set="pbx",destination="a",state="down"} 1"#,
            r#"sipwarden_destination_state{set="pbx",destination="a",state="up"} 0"#,
            r#"sipwarden_destination_up{set="pbx",destination="a"} 0"#,
            r#"sipwarden_destination_weight{set="pbx",destination="a"} 7"#,
            r#"sipwarden_destination_dns_stale{set="pbx",destination="a"} 1"#,
            r#"sipwarden_destination_added_timestamp_seconds{set="pbx",destination="a"} 1000"#,
            r#"sipwarden_destination_last_state_change_timestamp_seconds{set="pbx",destination="a"} 1003"#,
            r#"sipwarden_destination_transactions_in_flight{set="pbx",destination="a"} 6"#,
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
