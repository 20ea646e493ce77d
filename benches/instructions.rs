//! Plays a fixed number of calls, for a profiler that counts (`scripts/instructions.sh`):
//!
//! - `instructions core CALLS`: through a core in memory;
//! - `instructions failover CALLS`: the same, each refused by the first destination that it goes to;
//! - `instructions scrape SCRAPES`: of 1,000 destinations, all of which have had a call, in memory;
//! - `instructions udp CALLS WORKERS PROFILER…`: through the real binary, started by that command,
//!   over loopback;
//! - `instructions traced CALLS WORKERS PROFILER…`: the same, with the spans of every call exported
//!   to a collector that is not counted.

#[path = "../tests/support/e2e/harness.rs"]
mod harness;
#[path = "support/ladder.rs"]
mod ladder;
#[path = "support/rig.rs"]
#[expect(dead_code, reason = "shared with the tests and the other benches, which use the rest")]
mod rig;

use harness::collector::Collector;
use ladder::Ladder;
use rig::{Rig, Shape};

const USAGE: &str = "usage: instructions core|failover CALLS | instructions scrape SCRAPES | instructions udp|traced CALLS WORKERS PROFILER…";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["core", calls] => core(number(calls)),
        ["failover", calls] => failover(number(calls)),
        ["scrape", scrapes] => scrape(number(scrapes)),
        ["udp", calls, workers, profiler @ ..] => {
            udp(number(calls), number(workers), None, profiler);
        }
        ["traced", calls, workers, profiler @ ..] => {
            udp(number(calls), number(workers), Some(&Collector::start()), profiler);
        }
        // `cargo bench` and `cargo test --benches` start every bench, and count nothing.
        [] | ["--bench"] => println!("{USAGE}"),
        _ => panic!("{USAGE}"),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number; {USAGE}"))
}

fn core(calls: u64) {
    let mut rig = Rig::new(Shape::default());
    (0..calls).for_each(|_| rig.call());
    rig.end();
}

fn failover(calls: u64) {
    let mut rig = Rig::new(Shape::default());
    (0..calls).for_each(|_| rig.failover());
    rig.end();
}

fn scrape(scrapes: u64) {
    let mut rig = Rig::new(Shape { destinations: 1_000, ..Shape::default() });
    (0..1_000).for_each(|_| rig.call());
    (0..scrapes).for_each(|_| _ = std::hint::black_box(rig.scrape()));
    rig.end();
}

fn udp(calls: u64, workers: u64, collector: Option<&Collector>, profiler: &[&str]) {
    let mut ladder = Ladder::start(workers, collector, profiler);
    (0..calls).for_each(|_| ladder.call());
    ladder.end();
}
