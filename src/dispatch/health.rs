//! The one owner of the states of destinations and sets.

use super::{Table, Verdicts};
use crate::facts::event::{ProbeOutcome, StateChange};
use crate::facts::snapshot::{Detail, SetSnapshot};
use crate::facts::{Admin, SetId, State, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is known of every destination.
#[derive(Debug)]
pub struct Health {
    table: Arc<Table>,
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
}

/// What a finished probe meant for one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// The change of state that it caused, if any.
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
        /// The new value of `set_all_down`.
        all_down: bool,
    },
}

impl Health {
    /// Starts with every destination as configured and unknown.
    pub fn new(table: Arc<Table>, now: Instant) -> Self {
        let _ = now;
        Self { table }
    }
    /// Takes a new configuration.
    pub fn reconcile(&mut self, table: Arc<Table>, now: Instant) -> Reconciled {
        let _ = now;
        self.table = table;
        Reconciled::default()
    }
    /// Takes in a finished probe.
    pub fn on_probe(
        &mut self,
        target: Target,
        outcome: ProbeOutcome,
        rtt: Option<Duration>,
        now: Instant,
    ) -> ProbeVerdict {
        let _ = (target, outcome, rtt, now);
        ProbeVerdict::default()
    }
    /// Takes in an administrator's wish.
    pub fn set_admin(&mut self, target: Target, admin: Admin, now: Instant) -> Option<StateChange> {
        let _ = (target, admin, now);
        None
    }
    /// Takes in the answer for a destination's name, best address first.
    pub fn set_addresses(&mut self, target: Target, addresses: &[IpAddr], stale: bool, now: Instant) -> bool {
        let _ = (target, addresses, stale, now);
        false
    }
    /// Whether the next probe should come soon.
    pub fn is_in_doubt(&self, target: Target) -> bool {
        let _ = target;
        false
    }
    /// The address that a destination stands for, if known.
    pub fn address(&self, target: Target) -> Option<SocketAddr> {
        let _ = target;
        None
    }
    /// The derived state.
    pub fn state(&self, target: Target) -> Option<State> {
        let _ = target;
        None
    }
    /// The next change that has not been given out.
    pub fn poll_change(&mut self) -> Option<Change> {
        None
    }
    /// The verdicts, if any changed since the last call.
    pub fn take_verdicts(&mut self) -> Option<Arc<Verdicts>> {
        None
    }
    /// Answers what is. `interval` and `detection` tell what only the prober's owner knows.
    pub fn set_snapshots(
        &self,
        detail: Detail,
        interval: impl Fn(Target) -> Duration,
        detection: impl Fn(SetId) -> Duration,
    ) -> Vec<SetSnapshot> {
        let _ = (detail, interval, detection);
        vec![]
    }
}
