//! The immutable snapshot of who is usable, published by the one owner of states to all workers.

use crate::facts::event::SkipReason;
use crate::facts::{SetId, Target, Transport};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Destinations by the address they stand for: who a source is.
pub type Endpoints = HashMap<(Transport, SocketAddr), SmallVec<[Target; 1]>, foldhash::fast::RandomState>;

/// What is known of one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it may not be chosen for a new request; `None` if it may.
    pub skip: Option<SkipReason>,
    /// The address it stands for, if known.
    pub address: Option<SocketAddr>,
    /// Whether requests to it failed of late, so that the owner of states wants to hear of those that
    /// do not, too.
    pub is_suspect: bool,
    /// When it last came back from a state that gets no new requests, or another machine took its place;
    /// `None` if it never did.
    pub returned: Option<Instant>,
}

impl Verdict {
    /// The part of its share that the destination gets at `now`, if it takes `slow_start` to get all.
    pub fn ramp(&self, slow_start: Duration, now: Instant) -> f64 {
        let Some(returned) = self.returned.filter(|_| !slow_start.is_zero()) else { return 1.0 };
        let since = now.saturating_duration_since(returned);
        (since.as_secs_f64() / slow_start.as_secs_f64()).min(1.0)
    }

    /// Whether the destination may be tried when nobody is usable: in service, and it has an address.
    pub fn is_conceivable(&self) -> bool {
        self.address.is_some()
            && self.skip.is_none_or(|skip| match skip {
                SkipReason::Down | SkipReason::Ejected | SkipReason::Throttled | SkipReason::Unknown => true,
                SkipReason::Admin | SkipReason::Unresolved | SkipReason::Tried | SkipReason::Full => false,
            })
    }
}

/// Who is usable, at one instant. Nothing is selected that the latest one calls unusable.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    /// Counts publications.
    pub generation: u64,
    /// The [`super::Table::shape`] that the positions in `usable` belong to; a reader with a table
    /// of another shape (a reload under way) must go by `by_target` alone.
    pub shape: u64,
    /// By target; a target beyond the end is unknown.
    pub by_target: Vec<Verdict>,
    /// By set: the usable members of each tier, as positions in the set's file order, tiers in
    /// ascending priority.
    pub usable: Vec<Vec<Vec<u32>>>,
    /// Who a source is.
    pub endpoints: Arc<Endpoints>,
}

impl Verdicts {
    /// The verdict on a destination.
    pub fn of(&self, target: Target) -> Option<Verdict> {
        self.by_target.get(target.index()).copied()
    }

    /// Whether a destination may be chosen for a new request.
    pub fn is_usable(&self, target: Target) -> bool {
        self.of(target).is_some_and(|verdict| verdict.skip.is_none())
    }

    /// The destinations at an address. Those at a datagram address are there over streams as well:
    /// large requests go to them so, and they answer and call on the connection.
    pub fn at(&self, transport: Transport, address: SocketAddr) -> Option<&SmallVec<[Target; 1]>> {
        let exact = self.endpoints.get(&(transport, address));
        exact.or_else(|| self.endpoints.get(&(Transport::Udp, address)).filter(|_| transport.is_reliable()))
    }

    /// How many members of a set are usable.
    pub fn available(&self, set: SetId) -> u32 {
        let tiers = self.usable.get(set.index()).map_or(&[][..], |tiers| tiers);
        u32::try_from(tiers.iter().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX)
    }
}
