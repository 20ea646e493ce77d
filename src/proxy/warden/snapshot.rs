//! What the owner of states adds to a snapshot.

use super::super::draft::Draft;
use super::super::engine::Engine;
use super::Warden;
use crate::facts::Target;
use crate::facts::snapshot::{DestinationSnapshot, Detail, LoadSnapshot};
use std::time::{Duration, Instant};

impl Warden {
    /// Adds sets and destinations as they are, this many destinations at most; all that are missing if
    /// the draft has to begin again. Tells whether it is complete.
    pub fn add_to(&self, draft: &mut Draft, engine: &Engine, at_most: usize) -> bool {
        let mut room = if draft.begin_again(self.health.version()) { usize::MAX } else { at_most };
        let plan = &engine.plan;
        let sets = plan.table().sets().zip(&plan.settings().sets);
        for (set, settings) in sets.skip(draft.sets) {
            if draft.snapshot.sets.len() == draft.sets {
                let detection = settings.detection().unwrap_or_default();
                draft.snapshot.sets.push(self.health.set_snapshot(set, detection));
            }
            let Some(written) = draft.snapshot.sets.last_mut() else { return true };
            for target in set.members().iter().skip(draft.members) {
                if room == 0 {
                    return false;
                }
                room -= 1;
                draft.members += 1;
                let destination = self.destination_snapshot(engine, *target, draft.detail, draft.snapshot.at);
                written.destinations.extend(destination);
            }
            draft.sets += 1;
            draft.members = 0;
        }
        true
    }

    fn destination_snapshot(
        &self,
        engine: &Engine,
        target: Target,
        detail: Detail,
        now: Instant,
    ) -> Option<DestinationSnapshot> {
        let interval = self.prober.settings_of(target).map_or(Duration::ZERO, |settings| settings.interval);
        let load = load_of(engine, target, now);
        let exchange = self.exchanges.get(&target);
        let mut snapshot = self.health.destination_snapshot(target, detail, interval, load, now)?;
        snapshot.probe.last_started = exchange.map(|exchange| exchange.started);
        snapshot.exchange = exchange.filter(|_| detail == Detail::Full).cloned();
        Some(snapshot)
    }
}

/// What a destination has to do.
fn load_of(engine: &Engine, target: Target, now: Instant) -> LoadSnapshot {
    let loads = engine.selector.loads();
    let destination = engine.plan.table().destination(target);
    let set = destination.and_then(|destination| engine.plan.table().set(destination.set));
    let slow_start = set.map_or(Duration::ZERO, |set| set.slow_start());
    let verdict = engine.verdicts.of(target);
    LoadSnapshot {
        calls: loads.calls(target),
        max_calls: destination.and_then(|destination| destination.settings.max_calls),
        response_time: loads.response_time(target),
        ramp: verdict.map_or(1.0, |verdict| verdict.ramp(slow_start, now)),
    }
}
