//! Whole cores between simulated callers and destinations, over a link that loses, doubles,
//! delays and reorders, in many seeds; what must hold is checked after every step.
//!
//! `SEEDS=10000 cargo test --test simulation` runs more of them, `SEED=17 …` runs one and
//! `RUNGS=1000 …` shows more of what led to a failure.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "what is missing fails the test"
)]

#[path = "simulation/caller.rs"]
mod caller;
#[path = "simulation/chance.rs"]
mod chance;
#[path = "simulation/checks.rs"]
mod checks;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/destination.rs"]
mod destination;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/states.rs"]
mod states;
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use world::World;

type Seen = BTreeMap<&'static str, u64>;

/// Runs one seed and returns what stands for all that was sent, and what came about; the error says
/// what went wrong and what led to it.
fn run(seed: u64) -> Result<(u64, Seen), String> {
    let mut world = World::new(seed, number("RUNGS").unwrap_or(60) as usize);
    let end = catch_unwind(AssertUnwindSafe(|| world.run()));
    match end {
        Ok(()) => Ok((world.trace(), world.seen().clone())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_default();
            Err(format!(
                "{}\nseed {seed}: {text}\nreplay: SEED={seed} cargo test --test simulation every_seed\n",
                world.ladder()
            ))
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_every_promise() {
    let (first, last) = match number("SEED") {
        Some(seed) => (seed, seed),
        None => (1, number("SEEDS").unwrap_or(256)),
    };
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let seen: Mutex<Seen> = Mutex::new(Seen::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > last {
                return;
            }
            match run(seed) {
                Ok((_, of_seed)) => {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    of_seed.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
                }
                Err(failure) => {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push((seed, failure));
                    next.store(last + 1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort();
    if let Some((_, failure)) = failures.first() {
        panic!("\n{failure}");
    }
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("came about in {} seeds: {seen:?}", last - first + 1);
    if last - first >= 255 {
        let missing: Vec<&str> =
            checks::SITUATIONS.into_iter().filter(|what| !seen.contains_key(what)).collect();
        assert!(missing.is_empty(), "never came about: {missing:?}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 5, 8] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
