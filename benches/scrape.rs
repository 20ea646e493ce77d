//! A whole scrape, snapshot and text, after calls to every destination.

#[path = "support/rig.rs"]
#[expect(dead_code, reason = "shared with the tests and the other benches, which use the rest")]
mod rig;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rig::{Rig, Shape};
use std::hint::black_box;

fn scrape(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape");
    for destinations in [10, 1_000] {
        let mut rig = Rig::new(Shape { destinations, ..Shape::default() });
        (0..2 * destinations).for_each(|_| rig.call());
        group.throughput(Throughput::Bytes(rig.scrape() as u64));
        group.bench_function(BenchmarkId::new("destinations", destinations), |b| {
            b.iter(|| black_box(rig.scrape()));
        });
        rig.end();
    }
    let mut rig = Rig::new(Shape { destinations: 1_000, detail: "full", ..Shape::default() });
    (0..2_000).for_each(|_| rig.call());
    group.throughput(Throughput::Bytes(rig.scrape() as u64));
    group.bench_function("1000 destinations in full", |b| b.iter(|| black_box(rig.scrape())));
    rig.end();
    group.finish();
}

criterion_group!(benches, scrape);
criterion_main!(benches);
