//! The states of destinations, derived a second time from probes, wishes and reloads.

use crate::scenario::Spec;
use sipwarden::dispatch::Verdicts;
use sipwarden::facts::event::ProbeRecord;
use sipwarden::facts::snapshot::SetSnapshot;
use sipwarden::facts::{Admin, State, Target};
use std::net::SocketAddr;

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
    address: SocketAddr,
    configured: Admin,
    admin: Admin,
    probe: Probe,
}

/// What the states should be.
#[derive(Debug, Default)]
pub struct States {
    members: Vec<Member>,
    down_after: u32,
    up_after: u32,
    pub all_down_told: bool,
}

impl States {
    pub fn reload(&mut self, specs: &[Spec], targets: &[Target], down_after: u32, up_after: u32) {
        (self.down_after, self.up_after) = (down_after, up_after);
        let old = std::mem::take(&mut self.members);
        for (spec, target) in specs.iter().zip(targets) {
            let known = old.iter().find(|member| member.id == spec.id);
            let mut member = known.cloned().unwrap_or(Member {
                target: *target,
                id: spec.id.clone(),
                address: spec.address,
                configured: spec.admin,
                admin: spec.admin,
                probe: Probe::Unknown,
            });
            assert_eq!(member.target, *target, "a destination keeps its number");
            if member.configured != spec.admin {
                (member.configured, member.admin) = (spec.admin, spec.admin);
            }
            if member.address != spec.address {
                (member.address, member.probe) = (spec.address, Probe::Unknown);
            }
            self.members.push(member);
        }
    }

    pub fn set_admin(&mut self, target: Target, admin: Admin) {
        if let Some(member) = self.members.iter_mut().find(|member| member.target == target) {
            member.admin = admin;
        }
    }

    pub fn on_probe(&mut self, record: &ProbeRecord) {
        let Some(member) = self.members.iter_mut().find(|member| member.target == record.target) else {
            panic!("a probe of a destination that is not configured");
        };
        assert_eq!(
            record.remote,
            Some(member.address),
            "the probe of another address counts for {}",
            member.id
        );
        let count = |count, limit, reached, short: fn(u32) -> Probe| {
            if count >= limit { reached } else { short(count) }
        };
        member.probe = match (member.probe, record.outcome.is_success()) {
            (Probe::Unknown | Probe::Up | Probe::Failing(_), true) => Probe::Up,
            (Probe::Unknown | Probe::Down | Probe::Recovering(_), false) => Probe::Down,
            (Probe::Up, false) => count(1, self.down_after, Probe::Down, Probe::Failing),
            (Probe::Failing(n), false) => count(n + 1, self.down_after, Probe::Down, Probe::Failing),
            (Probe::Down, true) => count(1, self.up_after, Probe::Up, Probe::Recovering),
            (Probe::Recovering(n), true) => count(n + 1, self.up_after, Probe::Up, Probe::Recovering),
        };
    }

    fn is_usable(&self, member: &Member) -> bool {
        let up = |member: &Member| matches!(member.probe, Probe::Up | Probe::Failing(_));
        let enabled = |member: &&Member| member.admin == Admin::Enabled;
        let nobody_up = !self.members.iter().filter(enabled).any(up);
        enabled(&member) && (up(member) || member.probe == Probe::Unknown && nobody_up)
    }

    /// Whether what the core says is what follows from what it was told.
    pub fn check(&self, set: &SetSnapshot, verdicts: &Verdicts) {
        assert_eq!(set.destinations.len(), self.members.len(), "states and members");
        for (member, told) in self.members.iter().zip(&set.destinations) {
            let state = match (member.admin, member.probe) {
                (Admin::Disabled, _) => State::Disabled,
                (Admin::Draining, _) => State::Draining,
                (Admin::Enabled, Probe::Unknown) => State::Unknown,
                (Admin::Enabled, Probe::Up) => State::Up,
                (Admin::Enabled, Probe::Failing(_)) => State::Failing,
                (Admin::Enabled, Probe::Down | Probe::Recovering(_)) => State::Down,
            };
            let usable = self.is_usable(member);
            let expected = (&*member.id, state, usable, usable, Some(member.address));
            let published = verdicts.is_usable(member.target);
            assert_eq!((&*told.id, told.state, told.usable, published, told.address), expected);
        }
        let mut enabled = self.members.iter().filter(|member| member.admin == Admin::Enabled).peekable();
        let all_down = enabled.peek().is_some()
            && !self.members.iter().any(|member| self.is_usable(member))
            && enabled.all(|member| member.probe != Probe::Unknown);
        assert_eq!(set.all_down, all_down, "all down, by definition");
        assert_eq!(self.all_down_told, all_down, "all down, as told by events");
    }
}
