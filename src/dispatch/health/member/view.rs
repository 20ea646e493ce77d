//! What a destination tells of itself: its state, its addresses, and the snapshot of all of it.

use super::super::facts::{Facts, Probe, Resolution, derive};
use super::Member;
use crate::facts::snapshot::{DestinationSnapshot, Detail, LoadSnapshot, ProbeSnapshot};
use crate::facts::{Admin, State, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Member {
    /// Which destination it is.
    pub fn target(&self) -> Target {
        self.target
    }

    /// When it last came back from a state that gets no new requests, or another machine took its place;
    /// what nobody knew to be down has not come back.
    pub fn returned(&self) -> Option<Instant> {
        self.returned
    }

    /// Its facts.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its derived state.
    pub fn state(&self) -> State {
        derive(&self.facts)
    }

    /// Whether the next probe should come soon: it is failing or recovering, the last one told
    /// nothing, or it is down by fewer failures than the threshold asks for. That is so after a
    /// start, whose first verdict decides alone: what starts beside us may be up a moment later.
    pub fn is_in_doubt(&self) -> bool {
        match self.facts.resolution {
            Resolution::Pending => true,
            Resolution::Failed => false,
            Resolution::Known => match self.facts.probe {
                Probe::Unknown | Probe::Restored | Probe::Failing(_) | Probe::Recovering(_) => true,
                Probe::Down => self
                    .settings
                    .thresholds
                    .is_some_and(|thresholds| self.stats.consecutive_failures < thresholds.down_after),
                Probe::Up => false,
            },
        }
    }

    /// The address it stands for, if known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.best
    }

    /// Every address it may send from.
    pub fn sources(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.all.iter().copied()
    }

    /// Whether its probes say, or said before a restart, that it is down.
    pub fn is_known_down(&self) -> bool {
        matches!(self.facts.probe, Probe::Down | Probe::Recovering(_) | Probe::Restored)
    }

    /// Whether it is to get new requests if it is well: enabled, and of a weight.
    pub fn is_in_service(&self) -> bool {
        self.facts.admin == Admin::Enabled && self.settings.weight > 0
    }

    /// The configured id that it belongs to.
    pub fn owner(&self) -> &str {
        &self.settings.owner
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Failed and successful probes in a row.
    pub fn consecutive(&self) -> (u32, u32) {
        (self.stats.consecutive_failures, self.stats.consecutive_successes)
    }

    /// Answers what is.
    pub fn snapshot(
        &self,
        detail: Detail,
        is_usable: bool,
        interval: Duration,
        now: Instant,
        load: LoadSnapshot,
    ) -> DestinationSnapshot {
        let thresholds = self.settings.thresholds;
        let probe = ProbeSnapshot {
            enabled: thresholds.is_some(),
            interval,
            down_after: thresholds.map_or(0, |thresholds| thresholds.down_after),
            up_after: thresholds.map_or(0, |thresholds| thresholds.up_after),
            up_needed: self.up_needed(now),
            damped: thresholds.is_some() && self.flaps.factor(now) > 1,
            ..self.stats.clone()
        };
        let (changes, probes) = match detail {
            Detail::Metrics => (vec![], vec![]),
            Detail::Full => (self.changes.iter().copied().collect(), self.probes.iter().copied().collect()),
        };
        DestinationSnapshot {
            target: self.target,
            id: self.settings.id.clone(),
            uri: self.settings.uri.clone(),
            transport: self.settings.transport,
            address: self.address(),
            addresses: self.addresses.all.clone(),
            name: self.settings.lookup.as_ref().map(|lookup| Arc::clone(&lookup.name)),
            resolved: self.addresses.answered,
            dns_stale: self.addresses.is_stale,
            weight: self.settings.weight,
            priority: self.settings.priority,
            state: self.state(),
            usable: is_usable,
            admin: self.facts.admin,
            passive_failures: self.passive.failures(),
            ejected_until: self.facts.ejected_until,
            retry_after_until: self.facts.retry_after_until,
            added: self.added,
            since: self.since,
            last_change: self.changes.back().copied(),
            probe,
            load,
            changes,
            probes,
            exchange: None,
        }
    }
}
