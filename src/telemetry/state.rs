//! State gauges, built at scrape from snapshots.
//!
//! A gauge here is a field of a snapshot put into words; nothing is remembered between scrapes, so
//! a gauge cannot drift or outlive what it describes. Those of the process itself are in `process`.

mod process;
mod usage;

use super::metrics::{Index, Metrics, float, least};
use super::page::{Page, owner};
use super::table::{Family as F, Scope};
use super::values::DialogState;
use crate::facts::clock::Clock;
use crate::facts::snapshot::{DestinationSnapshot, ReceiveBuffer, SetSnapshot, Snapshot, Surroundings};
use crate::facts::{Admin, SetId, State, Target};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
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

/// One destination, and when it was looked at.
struct Member<'a> {
    at: Instant,
    clock: Clock,
    set: &'a SetSnapshot,
    is: &'a DestinationSnapshot,
    waiting: u64,
}

/// A gauge of a destination that is one number, or absent.
type OfMember = fn(&Member<'_>) -> Option<f64>;
/// A gauge of a set that is one number.
type OfSet = fn(&SetSnapshot) -> f64;

const OF_MEMBERS: &[(F, OfMember)] = &[
    (F::DestinationUp, |member| Some(flag(member.is.usable))),
    (F::DestinationProbing, |member| Some(flag(member.is.probe.enabled))),
    (F::DestinationWeight, |member| Some(f64::from(member.is.weight))),
    (F::DestinationAdded, |member| Some(member.unix(member.is.added))),
    (F::DestinationChanged, |member| Some(member.unix(member.is.since))),
    (F::DestinationAddresses, |member| Some(count(member.is.addresses.len()))),
    (F::DestinationDnsStale, |member| Some(flag(member.is.dns_stale))),
    (F::DestinationEjected, |member| Some(flag(member.is.ejected_until.is_some()))),
    (F::DestinationRetryAfter, |member| {
        let pause = member.is.retry_after_until.map(|end| end.saturating_duration_since(member.at));
        Some(pause.unwrap_or_default().as_secs_f64())
    }),
    (F::DestinationDamped, |member| Some(flag(member.is.probe.damped))),
    (F::DestinationInFlight, |member| Some(float(member.waiting))),
    (F::DestinationCalls, |member| Some(float(member.is.load.calls))),
    (F::DestinationCallsLimit, |member| Some(f64::from(member.is.load.max_calls.unwrap_or(0)))),
    (F::DestinationSlowStart, |member| Some(member.is.load.ramp)),
    (F::ProbeLastRtt, |member| Some(seconds(member.is.probe.last_rtt))),
    (F::ProbeEwma, |member| Some(seconds(member.is.load.response_time))),
    (F::ProbeLastCode, |member| {
        Some(member.is.probe.last_outcome.map_or(0.0, |outcome| f64::from(outcome.code())))
    }),
    (F::ProbeLast, |member| Some(member.unix(member.is.probe.last_finished?))),
    (F::ProbeLastSuccess, |member| Some(member.unix(member.is.probe.last_success?))),
    (F::ProbeFailures, |member| Some(f64::from(member.is.probe.consecutive_failures))),
    (F::ProbeSuccesses, |member| Some(f64::from(member.is.probe.consecutive_successes))),
    (F::ProbeInterval, |member| Some(member.is.probe.interval.as_secs_f64())),
];

const OF_SETS: &[(F, OfSet)] = &[
    (F::SetAllDown, |set| flag(set.all_down)),
    (F::SetConfigured, |set| count(set.destinations.len())),
    (F::SetEnabled, |set| members(set, |member| member.admin == Admin::Enabled && member.weight > 0)),
    (F::SetAvailable, |set| members(set, |member| member.usable)),
    (F::SetObjective, |set| set.objective),
    (F::SetDetection, |set| set.detection.as_secs_f64()),
];

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

    /// Lets go of some destinations, this many at most, once everything is written; whether there was
    /// anything left.
    pub fn shed(&mut self, at_most: usize) -> bool {
        let Some(snapshot) = self.snapshots.last_mut() else { return false };
        match snapshot.sets.last_mut() {
            Some(set) if !set.destinations.is_empty() => {
                set.destinations.truncate(set.destinations.len().saturating_sub(at_most));
            }
            Some(_) => drop(snapshot.sets.pop()),
            None => drop(self.snapshots.pop()),
        }
        true
    }

    /// Writes the families of the process.
    pub fn process(&self, metrics: &Metrics, index: &Index, page: &mut Page) {
        process::write(&self.snapshots, &self.surroundings, metrics, index, page);
    }

    /// How many owners a family has here.
    pub fn owners(&self, index: &Index, family: F) -> usize {
        let spec = family.spec();
        match spec.scope {
            _ if least(spec) > index.exposure.detail => 0,
            Scope::Process => 0,
            Scope::Listener => self.surroundings.receive.len(),
            Scope::Set | Scope::SetOrNone => self.sets().count(),
            Scope::Destination => self.members.len(),
        }
    }

    /// Writes what some of its owners have of a family.
    pub fn family(&self, index: &Index, family: F, range: Range<usize>, page: &mut Page) {
        let (skip, take) =
            (range.start, range.end.min(self.owners(index, family)).saturating_sub(range.start));
        match family.spec().scope {
            Scope::Process => {}
            Scope::Listener => {
                for (id, buffer) in self.surroundings.receive.iter().skip(skip).take(take) {
                    if let Some(listener) = index.listeners.get(id.index()) {
                        page.number(family, &listener.labels, &[], of_buffer(family, buffer));
                    }
                }
            }
            Scope::Set | Scope::SetOrNone => {
                let plain = find(OF_SETS, family);
                for set in self.sets().skip(skip).take(take) {
                    let own: Cow<'_, str> = match index.set(set.id) {
                        Some(known) => known.labels.as_str().into(),
                        None => owner(&[("set", &*set.name)]).into(),
                    };
                    match plain {
                        Some(value) => page.number(family, &own, &[], value(set)),
                        None => self.set(family, set, &own, page),
                    }
                }
            }
            Scope::Destination => {
                let plain = find(OF_MEMBERS, family);
                for place in self.members.iter().skip(skip).take(take) {
                    let Some(member) = self.member(*place) else { continue };
                    let own: Cow<'_, str> = match index.target(member.is.target) {
                        Some(known) => known.labels.as_str().into(),
                        None => owner(&[("set", &*member.set.name), ("destination", &*member.is.id)]).into(),
                    };
                    match plain.map(|value| value(&member)) {
                        Some(Some(value)) => page.number(family, &own, &[], value),
                        Some(None) => {}
                        None => member.write(family, &own, page),
                    }
                }
            }
        }
    }

    /// The families of a set that are more than one number.
    fn set(&self, family: F, set: &SetSnapshot, own: &str, page: &mut Page) {
        let sum = |pick: fn(&Snapshot) -> &Vec<(SetId, u64)>| {
            let counts = self.snapshots.iter().flat_map(pick).filter(|(id, _)| *id == set.id);
            float(counts.map(|(_, count)| count).sum())
        };
        if family == F::SetDestinations {
            for state in State::ALL {
                let here = members(set, |member| member.state == *state);
                page.number(family, own, &[("state", state.as_str())], here);
            }
        } else if family == F::SetInfo {
            page.number(family, own, &[("algorithm", set.algorithm.as_str())], 1.0);
        } else if family == F::ProbesInFlight {
            page.number(family, own, &[], sum(|snapshot| &snapshot.probes_in_flight));
        } else if family == F::Dialogs {
            let state = |state: DialogState| [("state", state.as_str())];
            page.number(family, own, &state(DialogState::Early), sum(|snapshot| &snapshot.early));
            page.number(family, own, &state(DialogState::Confirmed), sum(|snapshot| &snapshot.dialogs));
        }
    }

    fn sets(&self) -> impl Iterator<Item = &SetSnapshot> {
        self.snapshots.iter().flat_map(|snapshot| &snapshot.sets)
    }

    fn member(&self, (worker, set, member): (u32, u32, u32)) -> Option<Member<'_>> {
        let snapshot = self.snapshots.get(worker as usize)?;
        let set = snapshot.sets.get(set as usize)?;
        let is = set.destinations.get(member as usize)?;
        let waiting = self.waiting.get(&is.target).copied().unwrap_or(0);
        Some(Member { at: snapshot.at, clock: self.clock, set, is, waiting })
    }
}

impl Member<'_> {
    /// The families of a destination that are more than one number.
    fn write(&self, family: F, own: &str, page: &mut Page) {
        if family == F::DestinationState {
            for state in State::ALL {
                page.number(family, own, &[("state", state.as_str())], flag(*state == self.is.state));
            }
        } else if family == F::DestinationInfo {
            let properties = [
                ("uri", &*self.is.uri),
                ("transport", self.is.transport.as_str()),
                ("priority", &self.is.priority.to_string()),
                ("source", "config"),
            ];
            page.number(family, own, &properties, 1.0);
        } else if family == F::ProbeThreshold {
            for (kind, value) in [("down", self.is.probe.down_after), ("up", self.is.probe.up_after)] {
                page.number(family, own, &[("kind", kind)], f64::from(value));
            }
        }
    }

    fn unix(&self, at: Instant) -> f64 {
        self.clock.wall(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }
}

fn find<T: Copy>(table: &[(F, T)], family: F) -> Option<T> {
    table.iter().find(|(known, _)| *known == family).map(|(_, value)| *value)
}

fn of_buffer(family: F, buffer: &ReceiveBuffer) -> f64 {
    float(if family == F::UdpDrops { buffer.dropped } else { buffer.waiting })
}

fn members(set: &SetSnapshot, is: impl Fn(&DestinationSnapshot) -> bool) -> f64 {
    count(set.destinations.iter().filter(|member| is(member)).count())
}

fn count(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Format;
    use crate::telemetry::samples;
    use crate::telemetry::table::Source;
    use std::time::SystemTime;

    #[test]
    fn destinations_are_let_go_a_few_at_a_time_until_nothing_is_left() {
        let at = Instant::now();
        let of = |count| samples::set(at, count);
        let snapshots =
            vec![samples::snapshot(0, at, vec![of(5), of(0), of(64)]), samples::snapshot(1, at, vec![])];
        let mut view = View::new(snapshots, Surroundings::default(), Clock::new(at, SystemTime::now()));
        let left = |view: &View| view.sets().map(|set| set.destinations.len()).sum::<usize>();
        let (mut before, mut steps) = (left(&view), 0);
        while view.shed(32) {
            assert!(before - left(&view) <= 32);
            (before, steps) = (left(&view), steps + 1);
        }
        assert!(view.snapshots.is_empty() && steps < 12, "{steps} steps");
    }

    #[test]
    fn gauges_say_what_the_snapshots_say() {
        let at = Instant::now();
        let clock = Clock::new(at, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let metrics = Metrics::default();
        let view = View::new(
            vec![samples::snapshot(0, at, vec![samples::set(at, 1)]), samples::snapshot(1, at, vec![])],
            Surroundings::default(),
            clock,
        );
        let (index, mut page) = (metrics.index(), Page::new(Format::Text));
        view.process(&metrics, &index, &mut page);
        for family in F::ALL.iter().filter(|family| family.spec().source == Source::State) {
            view.family(&index, *family, 0..view.owners(&index, *family), &mut page);
        }
        let text = page.take(0);
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
