//! What it costs to record a call's events as metrics: the difference of the two.

#[path = "support/rig.rs"]
#[expect(dead_code, reason = "shared with the tests and the other benches, which use the rest")]
mod rig;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rig::{Rig, Shape};

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("events of a call");
    for (name, records) in [("recorded", true), ("thrown away", false)] {
        let mut rig = Rig::new(Shape { records, ..Shape::default() });
        (0..4_000).for_each(|_| rig.call());
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| rig.call()));
        rig.end();
    }
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
