//! Gauges of the process: what waits in it, its configuration, its build, what it takes.

use super::super::panics;
use super::super::values::{METHODS, ROLES};
use super::usage;
use crate::facts::event::{ConnectionRole, Queue};
use crate::facts::snapshot::{Snapshot, Surroundings};
use crate::telemetry::metrics::{Index, Metrics, float};
use crate::telemetry::page::Page;
use crate::telemetry::table::Family as F;
use std::sync::atomic::Ordering;

/// Writes all of them.
pub fn write(
    snapshots: &[Snapshot],
    surroundings: &Surroundings,
    metrics: &Metrics,
    index: &Index,
    page: &mut Page,
) {
    transactions(snapshots, page);
    let linger = snapshots.iter().map(|snapshot| snapshot.linger).sum();
    page.number(F::LingerBytes, "", &[], float(linger));
    queues(surroundings, page);
    threads(surroundings, page);
    facts(metrics, index, page);
    let Some(usage) = usage::read() else { return };
    for (family, value) in [
        (F::ProcessCpu, usage.cpu),
        (F::ProcessResident, usage.resident),
        (F::ProcessVirtual, usage.virtual_memory),
        (F::ProcessFds, usage.fds),
        (F::ProcessMaxFds, usage.max_fds),
        (F::ProcessThreads, usage.threads),
        (F::ProcessStart, usage.started),
    ] {
        page.number(family, "", &[], value);
    }
}

fn transactions(snapshots: &[Snapshot], page: &mut Page) {
    for (role_index, role) in ROLES.iter().enumerate() {
        for (method_index, method) in METHODS.iter().enumerate() {
            let mine = snapshots
                .iter()
                .flat_map(|snapshot| &snapshot.in_flight)
                .filter(|(r, m, _)| *r as usize == role_index && *m as usize == method_index);
            let count = mine.map(|(_, _, count)| count).sum();
            page.number(F::InFlight, "", &[("role", role), ("method", method)], float(count));
        }
    }
}

fn queues(surroundings: &Surroundings, page: &mut Page) {
    let known = |name: &Queue| surroundings.queues.iter().find(|known| known.queue == *name);
    for name in Queue::ALL {
        let depth = known(name).map_or(0, |queue| queue.depth);
        page.number(F::QueueDepth, "", &[("queue", name.as_str())], float(depth));
    }
    for name in Queue::ALL {
        let capacity = known(name).map_or(0, |queue| queue.capacity);
        page.number(F::QueueCapacity, "", &[("queue", name.as_str())], float(capacity));
    }
}

fn threads(surroundings: &Surroundings, page: &mut Page) {
    let threads = u64::try_from(surroundings.threads.len()).unwrap_or(u64::MAX);
    page.number(F::RuntimeWorkers, "", &[], float(threads));
    page.number(F::RuntimeTasks, "", &[], float(surroundings.tasks));
    page.number(F::RuntimeQueue, "", &[], float(surroundings.waiting_tasks));
    for (name, busy) in &surroundings.threads {
        page.number(F::RuntimeBusy, "", &[("worker", name)], busy.as_secs_f64());
    }
    page.number(F::Panics, "", &[], float(panics::panics()));
}

fn facts(metrics: &Metrics, index: &Index, page: &mut Page) {
    let facts = &metrics.process;
    for role in ConnectionRole::ALL {
        let labels = [("transport", "tcp"), ("role", role.as_str())];
        page.number(F::Connections, "", &labels, float(metrics.open_connections(index, *role)));
    }
    let seconds = |millis: u64| float(millis) / 1_000.0;
    for (family, value) in [
        (F::ReloadSuccessful, float(facts.reload_successful.load(Ordering::Relaxed))),
        (F::ReloadTimestamp, seconds(facts.reload_accepted.load(Ordering::Relaxed))),
        (F::ConfigHash, float(facts.config_hash.load(Ordering::Relaxed))),
        (F::ExportSuccess, seconds(facts.export_accepted.load(Ordering::Relaxed))),
    ] {
        page.number(family, "", &[], value);
    }
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("BUILD_REVISION")),
        ("rustc", env!("BUILD_RUSTC")),
        ("features", "default"),
    ];
    page.number(F::BuildInfo, "", &build, 1.0);
}
