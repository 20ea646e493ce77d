//! Names into endpoints, off the call path: each name is looked up again as its answer expires.
//!
//! Owns when and how often: answers are kept for their time within the configured bounds, failures
//! are tried again with growing pauses, all with jitter, and few look-ups are under way at a time
//! however many names there are. What is asked is in `query`.

mod query;

use super::DnsSettings;
use crate::facts::event::DnsResult;
use crate::facts::lookup::{Lookup, Resolution};
use crate::facts::secret::{Nonces, Secret};
use query::{Memory, System};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest pause between attempts at a name that fails.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);
/// Look-ups under way at a time.
const CONCURRENCY: usize = 32;
/// Longest time for one look-up with all its queries, retransmissions included.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// A look-up comes earlier than it must by up to one part of this many, so that names whose answers
/// came together drift apart.
const JITTER_PARTS: u64 = 10;
/// When nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// Looks up the names of the latest list until its sender is gone. Every look-up is reported; a
/// list that keeps a name has its last report repeated, so that whatever the list is new for hears
/// of it.
pub async fn resolve(
    settings: DnsSettings,
    families: (bool, bool),
    names: watch::Receiver<Vec<Lookup>>,
    reports: mpsc::Sender<Resolution>,
) {
    let system = System::new(&settings, families);
    Schedule::new(settings, system, reports).follow(names).await;
}

/// Who is due when.
#[derive(Debug)]
struct Schedule {
    settings: DnsSettings,
    system: Arc<System>,
    reports: mpsc::Sender<Resolution>,
    names: BTreeMap<Lookup, Name>,
    due: BTreeSet<(Instant, Lookup)>,
    running: JoinSet<(Lookup, Ended)>,
    nonces: Nonces,
}

/// One name.
#[derive(Debug, Default)]
struct Name {
    /// What it was last found to stand for, in all that this took; with the look-up while that runs.
    memory: Option<Memory>,
    failures: u32,
    last: Option<Resolution>,
}

/// A look-up that ended.
#[derive(Debug)]
struct Ended {
    result: DnsResult,
    ttl: Duration,
    took: Duration,
    memory: Memory,
}

impl Schedule {
    fn new(settings: DnsSettings, system: System, reports: mpsc::Sender<Resolution>) -> Self {
        let mut seed = [0; 16];
        // Without randomness look-ups come at the times that they would have without jitter.
        let _ = getrandom::fill(&mut seed);
        let (names, due, running) = (BTreeMap::new(), BTreeSet::new(), JoinSet::new());
        let nonces = Nonces::new(Secret::new(seed));
        Self { settings, system: Arc::new(system), reports, names, due, running, nonces }
    }

    async fn follow(mut self, mut list: watch::Receiver<Vec<Lookup>>) {
        list.mark_changed();
        loop {
            let next = self.due.first().map_or_else(|| Instant::now() + IDLE, |(due, _)| *due);
            let has_room = self.running.len() < CONCURRENCY;
            tokio::select! {
                changed = list.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = list.borrow_and_update().clone();
                    self.take(wanted).await;
                }
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    if let Ok((lookup, ended)) = ended {
                        self.end(lookup, ended).await;
                    }
                }
                () = sleep_until(next), if has_room => self.begin(),
            }
        }
    }

    /// Takes another list of names.
    async fn take(&mut self, wanted: Vec<Lookup>) {
        let wanted: BTreeSet<Lookup> = wanted.into_iter().collect();
        self.names.retain(|lookup, _| wanted.contains(lookup));
        self.due.retain(|(_, lookup)| wanted.contains(lookup));
        for lookup in wanted {
            if let Some(known) = self.names.get(&lookup) {
                if let Some(last) = known.last.clone() {
                    let _ = self.reports.send(last).await;
                }
                continue;
            }
            self.names.insert(lookup.clone(), Name { memory: Some(Memory::default()), ..Name::default() });
            self.due.insert((Instant::now(), lookup));
        }
    }

    /// Begins the look-up that is due.
    fn begin(&mut self) {
        let Some((due, lookup)) = self.due.pop_first() else { return };
        if due > Instant::now() {
            self.due.insert((due, lookup));
            return;
        }
        let Some(memory) = self.names.get_mut(&lookup).and_then(|name| name.memory.take()) else { return };
        let system = Arc::clone(&self.system);
        self.running.spawn(async move {
            let ended = look_up(&system, &lookup, memory).await;
            (lookup, ended)
        });
    }

    async fn end(&mut self, lookup: Lookup, ended: Ended) {
        let Some(name) = self.names.get_mut(&lookup) else { return };
        name.failures = if ended.result == DnsResult::Ok { 0 } else { name.failures.saturating_add(1) };
        let pause = pause_after(&self.settings, name.failures, ended.ttl);
        let early = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX) / JITTER_PARTS;
        let pause = pause.saturating_sub(Duration::from_nanos(self.nonces.below(early.max(1))));
        let found = ended.memory.found(self.settings.max_endpoints);
        let report = Resolution { lookup: lookup.clone(), result: ended.result, found, took: ended.took };
        name.memory = Some(ended.memory);
        name.last = Some(report.clone());
        self.due.insert((Instant::now() + pause, lookup));
        // Nobody to report to means that all of it is about to end.
        let _ = self.reports.send(report).await;
    }
}

async fn look_up(system: &System, lookup: &Lookup, memory: Memory) -> Ended {
    let started = Instant::now();
    let (result, ttl, memory) = match timeout(LOOKUP_TIMEOUT, system.look_up(lookup, &memory)).await {
        Ok(answer) => (answer.result, answer.ttl, answer.memory),
        Err(_) => (DnsResult::Timeout, Duration::ZERO, memory),
    };
    Ended { result, ttl, took: started.elapsed(), memory }
}

/// The time to the next look-up: the answer's own within the configured bounds, or a pause that
/// doubles with each failure.
fn pause_after(settings: &DnsSettings, failures: u32, ttl: Duration) -> Duration {
    if failures == 0 {
        return ttl.clamp(settings.min_ttl, settings.max_ttl.max(settings.min_ttl));
    }
    let doubled = settings.min_ttl.saturating_mul(1 << (failures - 1).min(10));
    doubled.min(MAX_BACK_OFF).max(settings.min_ttl.min(MAX_BACK_OFF)).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests;
