//! Who is due for a probe, and which probes are under way.

use super::Settings;
use crate::facts::Target;
use crate::facts::secret::Nonces;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;

/// Knows who is due.
#[derive(Debug, Default)]
pub struct Prober {}

/// One probe under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(u32);

/// An endpoint that is to be probed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// A hash of the endpoint.
    pub endpoint: u128,
    /// How to probe it.
    pub settings: Settings,
    /// The destinations that it counts for.
    pub targets: Vec<Target>,
}

/// A probe to send.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub probe: ProbeId,
    /// The destinations that it counts for.
    pub targets: SmallVec<[Target; 1]>,
    /// When it was due.
    pub scheduled: Instant,
    /// How to probe.
    pub settings: Arc<Settings>,
}

/// A probe that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The destinations that it counts for.
    pub targets: SmallVec<[Target; 1]>,
    /// When it left.
    pub started: Instant,
    /// When it was due.
    pub scheduled: Instant,
}

impl Prober {
    /// Starts with nothing to probe.
    pub fn new() -> Self {
        Self::default()
    }
    /// Takes a new list of endpoints.
    pub fn reconcile(&mut self, wanted: Vec<Wanted>, now: Instant, nonces: &mut Nonces) {
        let _ = (wanted, now, nonces);
    }
    /// When [`Prober::due`] or [`Prober::expired`] next has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The next probe to send at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let _ = now;
        None
    }
    /// The next probe under way whose time has run out.
    pub fn expired(&mut self, now: Instant) -> Option<ProbeId> {
        let _ = now;
        None
    }
    /// Ends a probe and schedules the next.
    pub fn finish(
        &mut self,
        probe: ProbeId,
        in_doubt: bool,
        now: Instant,
        nonces: &mut Nonces,
    ) -> Option<Finished> {
        let _ = (probe, in_doubt, now, nonces);
        None
    }
    /// Makes the next probe of a destination due at once.
    pub fn hasten(&mut self, target: Target, now: Instant) {
        let _ = (target, now);
    }
    /// The destinations of each probe under way.
    pub fn in_flight(&self) -> impl Iterator<Item = &[Target]> {
        std::iter::empty()
    }
    /// How a destination is probed; `None` if it is not.
    pub fn settings_of(&self, target: Target) -> Option<&Settings> {
        let _ = target;
        None
    }
}
