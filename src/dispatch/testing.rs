//! Sets, destinations and verdicts for the tests of this module.

use super::{
    DestinationSettings, Endpoint, FailoverSettings, HashPart, Health, Host, PassiveSettings,
    RetryAfterSettings, SetSettings, Table, Thresholds, Verdict, Verdicts,
};
use crate::facts::event::SkipReason;
use crate::facts::snapshot::{Detail, LoadSnapshot, SetSnapshot};
use crate::facts::{Admin, Algorithm, Target, Transport, WhenAllDown};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// What all sets and their members are.
pub fn snapshots(health: &Health, now: Instant) -> Vec<SetSnapshot> {
    let (zero, load) = (Duration::ZERO, LoadSnapshot::default());
    let one = |target: &Target| health.destination_snapshot(*target, Detail::Full, zero, load, now);
    let all = health.table().sets().map(|set| SetSnapshot {
        destinations: set.members().iter().filter_map(one).collect(),
        ..health.set_snapshot(set, zero)
    });
    all.collect()
}

/// A probed destination of weight 1 whose address ends in the first byte of its id.
pub fn destination(id: &str) -> DestinationSettings {
    let last = id.as_bytes().first().copied().unwrap_or(1);
    DestinationSettings {
        id: id.into(),
        owner: id.into(),
        uri: format!("sip:192.0.2.{last}").into(),
        endpoint: Endpoint { host: Host::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))), port: 5060 },
        lookup: None,
        transport: Transport::Udp,
        weight: 1,
        priority: 0,
        rank: 0,
        admin: Admin::Enabled,
        listener: None,
        mtu: Some(1_300),
        thresholds: Some(Thresholds::default()),
        max_calls: None,
        max_cps: None,
    }
}

/// A round-robin set.
pub fn set(name: &str, destinations: Vec<DestinationSettings>) -> SetSettings {
    SetSettings {
        name: name.into(),
        algorithm: Algorithm::RoundRobin,
        hash_key: vec![HashPart::CallId],
        hash_compat: None,
        register_key: HashPart::To,
        objective: 0.999,
        reject_retry_after: Duration::from_secs(5),
        sources: vec![],
        destinations,
        failover: FailoverSettings::default(),
        passive: PassiveSettings::default(),
        retry_after: RetryAfterSettings::default(),
        fallback: None,
        when_all_down: WhenAllDown::Reject,
        slow_start: Duration::ZERO,
    }
}

/// Verdicts that call every weighted member usable, except those that `is_down` picks.
pub fn verdicts(table: &Table, is_down: impl Fn(Target) -> bool) -> Verdicts {
    let mut verdicts = Verdicts { shape: table.shape(), ..Verdicts::default() };
    let unknown = Verdict { skip: Some(SkipReason::Unknown), ..Verdict::default() };
    verdicts.by_target.resize(table.target_bound(), unknown);
    verdicts.usable.resize(table.set_bound(), vec![]);
    for set in table.sets() {
        let chosen = |position: &u32| {
            set.weight(*position) > 0 && set.member(*position).is_some_and(|target| !is_down(target))
        };
        verdicts.usable[set.id().index()] =
            set.tiers().iter().map(|tier| tier.members.iter().copied().filter(chosen).collect()).collect();
        for position in set.tiers().iter().flat_map(|tier| &tier.members) {
            let skip = (!chosen(position)).then_some(SkipReason::Down);
            verdicts.by_target[set.members()[*position as usize].index()].skip = skip;
        }
    }
    verdicts
}
