//! Selection: the first destination for a call, by each algorithm, among few and many.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sipwarden::dispatch::{
    Basis, DestinationSettings, Endpoint, FailoverSettings, HashPart, Health, Host, Selector, SetSettings,
    Table,
};
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::{Nonces, Secret};
use sipwarden::facts::{Admin, Algorithm, Transport};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Destinations that are not probed, so that all of them count as up.
fn table(algorithm: Algorithm, count: u32) -> Arc<Table> {
    let destinations = (0..count).map(|n| DestinationSettings {
        id: format!("d{n}").into(),
        uri: format!("sip:d{n}.example.com").into(),
        endpoint: Endpoint {
            host: Host::Address(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + n))),
            port: 5060,
        },
        transport: Transport::Udp,
        weight: 1 + n % 3,
        priority: 0,
        admin: Admin::Enabled,
        listener: None,
        mtu: None,
        thresholds: None,
    });
    let set = SetSettings {
        name: "pbx".into(),
        algorithm,
        hash_key: vec![HashPart::CallId],
        register_key: HashPart::To,
        objective: 0.999,
        reject_retry_after: Duration::from_secs(5),
        sources: vec![],
        destinations: destinations.collect(),
        failover: FailoverSettings::default(),
    };
    Arc::new(Table::new(vec![set], &mut Names::default()))
}

fn selection(c: &mut Criterion) {
    let mut group = c.benchmark_group("select");
    for algorithm in Algorithm::ALL {
        for count in [10, 1_000, 10_000] {
            let table = table(*algorithm, count);
            let set = table.set_by_name("pbx").expect("the table has one set");
            let mut health = Health::new(Arc::clone(&table), Instant::now());
            let verdicts = health.take_verdicts().expect("the first call gives verdicts");
            let mut selector = Selector::new(table, 0);
            let mut nonces = Nonces::new(Secret::new([5; 16]));
            group.bench_function(BenchmarkId::new(algorithm.as_str(), count), |b| {
                b.iter(|| {
                    let (key, nonce) = (nonces.next_u64(), nonces.next_u64());
                    let (_, target) = selector
                        .select(set, Basis::Algorithm, key, nonce, &verdicts)
                        .expect("every member is usable");
                    black_box(target);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, selection);
criterion_main!(benches);
