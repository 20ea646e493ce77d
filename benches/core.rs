//! The whole core for each call (INVITE, 100, 180, 200, ACK, BYE, 200: seven messages out), with
//! its telemetry, and without sockets: by destinations, by size of messages, by calls in flight.

#[path = "support/rig.rs"]
#[expect(dead_code, reason = "shared with the tests and the other benches, which use the rest")]
mod rig;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rig::{Rig, Shape};

/// So many calls that finished transactions run out as fast as new ones come (64·T1 at 10 ms a call).
const WARM: usize = 4_000;

fn warm(shape: Shape) -> Rig {
    let mut rig = Rig::new(shape);
    (0..WARM).for_each(|_| rig.call());
    rig
}

fn destinations(c: &mut Criterion) {
    let mut group = c.benchmark_group("call");
    for algorithm in ["round_robin", "hash"] {
        for destinations in [10, 1_000, 10_000] {
            let mut rig = warm(Shape { algorithm, destinations, ..Shape::default() });
            group.bench_function(BenchmarkId::new(algorithm, destinations), |b| b.iter(|| rig.call()));
            rig.end();
        }
    }
    group.finish();
}

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("call by size of INVITE");
    for padding in [0, 1_300, 7_400] {
        let mut rig = warm(Shape { padding, ..Shape::default() });
        let size = rig.size_of_invite();
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| rig.call()));
        rig.end();
    }
    group.finish();
}

fn in_flight(c: &mut Criterion) {
    let mut group = c.benchmark_group("call while others ring");
    for others in [100, 1_000, 10_000, 100_000] {
        let mut rig = Rig::new(Shape::default());
        (0..others).for_each(|_| rig.ring());
        (0..WARM).for_each(|_| rig.call());
        group.bench_function(BenchmarkId::from_parameter(others), |b| b.iter(|| rig.call()));
        rig.end();
    }
    group.finish();
}

criterion_group!(benches, destinations, sizes, in_flight);
criterion_main!(benches);
