//! What a core allocates and keeps: nothing new for a message once it runs, and little for what it
//! has to remember. Counted by the allocator, so that neither clock nor machine matters.

#[path = "../benches/support/rig.rs"]
mod rig;

use allocation_counter::{AllocationInfo, measure};
use rig::{Rig, Shape};
use std::time::Duration;

/// More than any timer of a finished transaction: 64·T1 is 32 s.
const ALL_TIMERS: Duration = Duration::from_secs(40);

fn shape(pace: Duration) -> Shape {
    Shape { pace, ..Shape::default() }
}

/// Bytes that are held after `act` and were not before.
fn held(act: impl FnOnce()) -> u64 {
    let AllocationInfo { bytes_current, .. } = measure(act);
    u64::try_from(bytes_current).unwrap_or(0)
}

#[test]
fn a_call_in_steady_state_allocates_nothing() {
    for algorithm in ["round_robin", "weighted_round_robin", "hash", "random", "priority"] {
        let mut rig = Rig::new(Shape { algorithm, ..Shape::default() });
        // 32 s of finished transactions, and every table at its size.
        for _ in 0..5_000 {
            rig.call();
        }
        let counted = measure(|| {
            for _ in 0..500 {
                rig.call();
            }
        });
        assert_eq!(counted.count_total, 0, "{algorithm}: {counted:?} for 500 calls");
        rig.end();
    }
}

#[test]
fn a_failover_allocates_little_and_keeps_nothing() {
    let mut rig = Rig::new(Shape::default());
    (0..5_000).for_each(|_| rig.failover());
    let counted = measure(|| (0..500).for_each(|_| rig.failover()));
    println!("{counted:?} for 500 calls that failed over");
    assert_eq!(counted.bytes_current, 0, "{counted:?}");
    // The second attempt, its record, and the response that may become the caller's: eight in all.
    assert!(counted.count_total <= 8 * 500, "{counted:?}");
    rig.end();
}

#[test]
fn a_call_whose_trace_is_kept_allocates_nothing_but_its_batch() {
    // Nobody exports, so no buffer comes back: each batch takes a new one.
    const BATCH: u64 = 256 * 1024;
    const QUEUE: u64 = 32;
    const CALLS: u64 = 500;
    // Every table is at its size after 640 calls, long before the queue is full.
    let mut rig = Rig::new(Shape { traces: true, ..shape(Duration::from_millis(50)) });
    (0..1_500).for_each(|_| rig.call());
    let written = measure(|| (0..CALLS).for_each(|_| rig.call()));
    assert_eq!(rig.spans_lost(), 0);

    let mut calls = 1_500 + CALLS;
    while rig.spans_lost() == 0 {
        (0..50).for_each(|_| rig.call());
        calls += 50;
        assert!(calls < 20_000, "the queue has no end");
    }
    let lost = measure(|| (0..CALLS).for_each(|_| rig.call()));
    assert_eq!(lost.count_total, 0, "{lost:?} for {CALLS} calls that found the queue full");

    let per_call = BATCH * QUEUE / calls;
    let batches = CALLS * per_call / BATCH + 1;
    println!("{per_call} bytes of spans for each call; {written:?} for {CALLS} calls and {batches} batches");
    assert!((1_000..3_000).contains(&per_call), "{per_call} bytes of spans for each call");
    // The queue itself takes memory for every 32 batches.
    assert!(written.count_total <= batches + 1, "{written:?} for {CALLS} calls and {batches} batches");
    rig.end();
}

#[test]
fn an_invite_that_waits_takes_at_most_4_kib() {
    let mut rig = Rig::new(shape(Duration::ZERO));
    const CALLS: u64 = 10_000;
    let bytes = held(|| (0..CALLS).for_each(|_| rig.ring())) / CALLS;
    println!("{bytes} bytes for each INVITE that waits, of {} bytes", rig.size_of_invite());
    assert!(bytes <= 4_096, "{bytes} bytes for each INVITE that waits");
    rig.end();
}

#[test]
fn a_finished_transaction_takes_at_most_1_kib() {
    let mut rig = Rig::new(shape(Duration::ZERO));
    const CALLS: u64 = 10_000;
    // Each call leaves two server transactions, its INVITE and its BYE.
    let bytes = held(|| (0..CALLS).for_each(|_| rig.call())) / (2 * CALLS);
    println!("{bytes} bytes for each finished transaction");
    assert!(bytes <= 1_024, "{bytes} bytes for each finished transaction");
    rig.end();
}

#[test]
fn an_established_call_takes_at_most_1_kib() {
    let mut rig = Rig::new(shape(Duration::from_millis(1)));
    const CALLS: u64 = 10_000;
    let bytes = held(|| {
        (0..CALLS).for_each(|_| rig.establish());
        rig.pass(ALL_TIMERS);
    }) / CALLS;
    println!("{bytes} bytes for each established call");
    assert!(bytes <= 1_024, "{bytes} bytes for each established call");
    rig.end();
}

#[test]
fn memory_goes_back_when_calls_have_ended() {
    let mut rig = Rig::new(shape(Duration::from_millis(1)));
    let warm = |rig: &mut Rig| {
        (0..100).for_each(|_| rig.call());
        rig.pass(ALL_TIMERS);
    };
    let base = held(|| warm(&mut rig));
    let left = held(|| {
        (0..20_000).for_each(|_| rig.call());
        // Time goes on: timers give back what they held, in steps as they come.
        (0..8).for_each(|_| rig.pass(ALL_TIMERS));
        warm(&mut rig);
    });
    println!("{base} bytes after 100 calls, {left} more after 20,000");
    assert!(left < 256 * 1024, "{left} bytes are kept after the calls have ended");
    rig.end();
}

#[test]
fn what_has_finished_stays_within_its_limit_and_repetitions_are_still_absorbed() {
    const LIMIT: u64 = 4 << 20;
    let mut rig = Rig::new(Shape { linger_mib: 4, ..shape(Duration::ZERO) });
    let bytes = held(|| (0..20_000).for_each(|_| rig.call()));
    // Slabs, tables and queues have room beyond what is counted.
    assert!(bytes < 2 * LIMIT, "{bytes} bytes for a limit of {LIMIT}");
    assert!(rig.linger() <= LIMIT, "{} bytes counted for a limit of {LIMIT}", rig.linger());
    assert_eq!(rig.repeat_first_invite(), 0, "a repeated INVITE goes nowhere");
    rig.end();
}

/// A rig with that many destinations which answer no probe, after so many rounds of probes.
fn probed(destinations: usize, rounds: u32) -> Rig {
    let mut rig = Rig::new(Shape { destinations, probes: true, ..Shape::default() });
    // Rounds come every 10 s. Step by step, so that probes leave and run out as they would.
    (0..rounds * 40).for_each(|_| rig.pass(Duration::from_millis(250)));
    rig
}

/// Bytes that one more destination takes after so many rounds of probes.
fn bytes_per_destination(rounds: u32) -> u64 {
    let of = |destinations| {
        let mut rig = None;
        let bytes = held(|| rig = Some(probed(destinations, rounds)));
        rig.expect("it was made").end();
        bytes
    };
    (of(350) - of(100)) / 250
}

#[test]
fn a_destination_takes_at_most_7_kib() {
    let bytes = bytes_per_destination(0);
    println!("{bytes} bytes for each destination");
    assert!(bytes <= 7 * 1_024, "{bytes} bytes for each destination");
}

#[test]
fn a_destination_takes_at_most_10_kib_when_it_has_been_probed_for_long() {
    let bytes = bytes_per_destination(25);
    println!("{bytes} bytes for each destination after 25 rounds of probes");
    assert!(bytes <= 10 * 1_024, "{bytes} bytes for each destination after 25 rounds of probes");
    let longer = bytes_per_destination(50);
    assert!(longer < bytes + 256, "{bytes} bytes became {longer} in another 25 rounds");
}

#[test]
fn a_scrape_of_a_thousand_destinations_takes_2_mib_and_gives_them_back() {
    let mut rig = Rig::new(Shape { destinations: 1_000, probes: true, detail: "full", ..Shape::default() });
    (0..80).for_each(|_| rig.pass(Duration::from_millis(250)));
    // What is made once for all scrapes.
    rig.scrape();
    let mut text = 0;
    let counted = measure(|| text = rig.scrape());
    println!("{} bytes at most for a text of {text}", counted.bytes_max);
    assert!(text > 30_000_000, "{text} bytes are not what a thousand destinations have to say");
    assert!(counted.bytes_max <= 2 << 20, "{} bytes for a text of {text}", counted.bytes_max);
    assert_eq!(counted.bytes_current, 0, "{counted:?} for a text of {text}");
    rig.end();
}
