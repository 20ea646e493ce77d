//! The states of destinations, derived a second time from probes, evidence of requests, wishes and
//! reloads.

use crate::scenario::{Passive, Setup, Spec};
use sipwarden::dispatch::Verdicts;
use sipwarden::facts::event::ProbeRecord;
use sipwarden::facts::evidence::Evidence;
use sipwarden::facts::snapshot::SetSnapshot;
use sipwarden::facts::{Admin, State, Target};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Unknown,
    Up,
    Failing(u32),
    Down,
    Recovering(u32),
}

#[derive(Debug, Clone)]
struct Member {
    target: Target,
    id: String,
    weight: u32,
    address: SocketAddr,
    configured: Admin,
    admin: Admin,
    probe: Probe,
    falls: Vec<Instant>,
    /// Requests that failed in a row.
    failures: u32,
    /// How many ejections count for the length of the next.
    weighty: f64,
    /// When the last ejection ended.
    calm_since: Option<Instant>,
    ejected: Option<Instant>,
    paused: Option<Instant>,
}

impl Member {
    fn is_up(&self) -> bool {
        matches!(self.probe, Probe::Up | Probe::Failing(_))
    }

    /// Whether it is to get calls if it is well.
    fn is_enabled(&self) -> bool {
        self.admin == Admin::Enabled && self.weight > 0
    }

    fn forget_requests(&mut self) {
        (self.failures, self.weighty, self.calm_since) = (0, 0.0, None);
        (self.ejected, self.paused) = (None, None);
    }
}

/// What the states of one set should be.
#[derive(Debug, Default)]
pub struct States {
    members: Vec<Member>,
    down_after: u32,
    up_after: u32,
    passive: Passive,
    pub all_down_told: bool,
}

impl States {
    pub fn reload<'a>(
        &mut self,
        setup: &Setup,
        specs: impl Iterator<Item = &'a (Spec, Target)>,
        now: Instant,
    ) {
        (self.down_after, self.up_after, self.passive) = (setup.down_after, setup.up_after, setup.passive);
        let old = std::mem::take(&mut self.members);
        for (spec, target) in specs {
            let known = old.iter().find(|member| member.id == spec.id);
            let mut member = known.cloned().unwrap_or(Member {
                target: *target,
                id: spec.id.clone(),
                weight: spec.weight,
                address: spec.address,
                configured: spec.admin,
                admin: spec.admin,
                probe: Probe::Unknown,
                falls: Vec::new(),
                failures: 0,
                weighty: 0.0,
                calm_since: None,
                ejected: None,
                paused: None,
            });
            assert_eq!(member.target, *target, "a destination keeps its number");
            member.weight = spec.weight;
            if member.configured != spec.admin {
                (member.configured, member.admin) = (spec.admin, spec.admin);
            }
            if member.address != spec.address {
                (member.address, member.probe) = (spec.address, Probe::Unknown);
                member.falls.clear();
                member.forget_requests();
            }
            self.members.push(member);
        }
        self.relieve(now);
    }

    /// Whether a destination is one of the set's.
    pub fn has(&self, target: Target) -> bool {
        self.members.iter().any(|member| member.target == target)
    }

    pub fn set_admin(&mut self, target: Target, admin: Admin, now: Instant) {
        if let Some(member) = self.members.iter_mut().find(|member| member.target == target) {
            member.admin = admin;
        }
        self.relieve(now);
    }

    pub fn on_probe(&mut self, record: &ProbeRecord) {
        let at = self.members.iter().position(|member| member.target == record.target);
        let at = at.expect("probes are of destinations that are configured");
        let others = self.usable_besides(at);
        let (down_after, plain) = (self.down_after, self.up_after);
        let member = &mut self.members[at];
        assert_eq!(
            record.remote,
            Some(member.address),
            "the probe of another address counts for {}",
            member.id
        );
        // Three falls within ten minutes, and each further one, double what it has to prove.
        let ten_minutes = Duration::from_secs(600);
        let recent = member.falls.iter().filter(|at| record.ended.duration_since(**at) < ten_minutes).count();
        let up_after = if others > 0 { plain << recent.saturating_sub(2).min(5) } else { plain };
        let count = |count, limit, reached, short: fn(u32) -> Probe| {
            if count >= limit { reached } else { short(count) }
        };
        let was_up = member.is_up();
        member.probe = match (member.probe, record.outcome.is_success()) {
            (Probe::Unknown | Probe::Up | Probe::Failing(_), true) => Probe::Up,
            (Probe::Unknown | Probe::Down | Probe::Recovering(_), false) => Probe::Down,
            (Probe::Up, false) => count(1, down_after, Probe::Down, Probe::Failing),
            (Probe::Failing(n), false) => count(n + 1, down_after, Probe::Down, Probe::Failing),
            (Probe::Down, true) => count(1, up_after, Probe::Up, Probe::Recovering),
            (Probe::Recovering(n), true) => count(n + 1, up_after, Probe::Up, Probe::Recovering),
        };
        if was_up && member.probe == Probe::Down {
            member.falls.push(record.ended);
        }
        self.relieve(record.ended);
    }

    pub fn on_evidence(&mut self, target: Target, evidence: Evidence, now: Instant) {
        let Some(at) = self.members.iter().position(|member| member.target == target) else { return };
        let others = self.usable_besides(at);
        let may_eject = self.is_usable(&self.members[at])
            && others > 0
            && (self.ejected() + 1) * 100 <= self.enabled() * self.passive.max_ejected_percent as usize;
        let passive = self.passive;
        let member = &mut self.members[at];
        match evidence {
            Evidence::Answers => member.failures = 0,
            Evidence::Fails(_) if member.ejected.is_none() => {
                member.failures += 1;
                if may_eject && member.failures >= passive.consecutive_failures {
                    let calm = member.calm_since.map_or(0, |since| now.duration_since(since).as_millis());
                    let spans = (calm / u128::from(passive.base_ejection * 1_000)) as f64;
                    member.weighty = (member.weighty - spans).max(0.0);
                    let seconds = passive.base_ejection as f64 * 2_f64.powf(member.weighty);
                    let seconds = seconds.min(passive.max_ejection as f64);
                    member.weighty += f64::from(u8::from(seconds < passive.max_ejection as f64));
                    let until = now + Duration::from_secs_f64(seconds);
                    (member.ejected, member.calm_since, member.failures) = (Some(until), Some(until), 0);
                }
            }
            Evidence::Fails(_) => {}
            Evidence::Pause { wanted, .. } if others > 0 => {
                let until = now + wanted.min(Duration::from_secs(passive.max_pause));
                member.paused = member.paused.max(Some(until));
            }
            Evidence::Pause { .. } => {}
        }
    }

    /// The owner of states looked at the time.
    pub fn expire(&mut self, now: Instant) {
        for member in &mut self.members {
            member.ejected = member.ejected.filter(|until| *until > now);
            member.paused = member.paused.filter(|until| *until > now);
        }
    }

    /// Lifts what may not be, and everything if nobody else is left.
    fn relieve(&mut self, now: Instant) {
        while self.ejected() * 100 > self.enabled() * self.passive.max_ejected_percent as usize {
            let ejected =
                self.members.iter_mut().filter(|member| member.is_enabled() && member.ejected.is_some());
            let first = ejected.min_by_key(|member| (member.ejected, member.target)).expect("one is ejected");
            (first.ejected, first.calm_since) = (None, Some(now));
        }
        if !self.members.iter().any(|member| self.is_usable(member)) {
            for member in self.members.iter_mut().filter(|member| member.is_enabled() && member.is_up()) {
                if member.ejected.take().is_some() {
                    member.calm_since = Some(now);
                }
                member.paused = None;
            }
        }
    }

    fn enabled(&self) -> usize {
        self.members.iter().filter(|member| member.is_enabled()).count()
    }

    fn ejected(&self) -> usize {
        self.members.iter().filter(|member| member.is_enabled() && member.ejected.is_some()).count()
    }

    fn usable_besides(&self, at: usize) -> usize {
        let others = self.members.iter().enumerate().filter(|(index, _)| *index != at);
        others.filter(|(_, member)| self.is_usable(member)).count()
    }

    fn is_usable(&self, member: &Member) -> bool {
        let nobody_up = !self.members.iter().any(|member| member.is_enabled() && member.is_up());
        member.is_enabled()
            && (member.is_up() || member.probe == Probe::Unknown && nobody_up)
            && member.ejected.is_none()
            && member.paused.is_none()
    }

    /// Whether what the core says is what follows from what it was told.
    pub fn check(&self, set: &SetSnapshot, verdicts: &Verdicts) {
        assert_eq!(set.destinations.len(), self.members.len(), "states and members");
        for (member, told) in self.members.iter().zip(&set.destinations) {
            let state = match (member.admin, member.probe) {
                (Admin::Disabled, _) => State::Disabled,
                (Admin::Draining, _) => State::Draining,
                (Admin::Enabled, Probe::Down | Probe::Recovering(_)) => State::Down,
                (Admin::Enabled, _) if member.ejected.is_some() => State::Ejected,
                (Admin::Enabled, _) if member.paused.is_some() => State::Throttled,
                (Admin::Enabled, Probe::Unknown) => State::Unknown,
                (Admin::Enabled, Probe::Up) => State::Up,
                (Admin::Enabled, Probe::Failing(_)) => State::Failing,
            };
            let usable = self.is_usable(member);
            let expected = (&*member.id, state, usable, usable, Some(member.address));
            let published = verdicts.is_usable(member.target);
            assert_eq!((&*told.id, told.state, told.usable, published, told.address), expected);
            let withheld = (told.ejected_until, told.retry_after_until, told.passive_failures);
            assert_eq!(withheld, (member.ejected, member.paused, member.failures), "{}", member.id);
        }
        let ejected = |told: &&sipwarden::facts::snapshot::DestinationSnapshot| {
            told.admin == Admin::Enabled && told.weight > 0 && told.ejected_until.is_some()
        };
        let share = set.destinations.iter().filter(ejected).count() * 100;
        let cap = self.enabled() * self.passive.max_ejected_percent as usize;
        assert!(share <= cap, "more ejected than may be: {share} of {cap}");
        let mut enabled = self.members.iter().filter(|member| member.is_enabled()).peekable();
        let all_down = enabled.peek().is_some()
            && !self.members.iter().any(|member| self.is_usable(member))
            && enabled.all(|member| member.probe != Probe::Unknown);
        assert_eq!(set.all_down, all_down, "all down, by definition");
        assert_eq!(self.all_down_told, all_down, "all down, as told by events");
    }
}
