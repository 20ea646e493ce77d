//! Selection: the first destination for a request, by each algorithm, in one set and among many.
//!
//! After criterion's means it prints percentiles of single selections, each timed on its own: what a
//! mean hides is what a call feels.

#[path = "../tests/support/sets.rs"]
mod sets;

use criterion::{BenchmarkId, Criterion, criterion_group};
use sets::{Bench, Member, Row, flat, rows};
use sipwarden::facts::SetId;
use sipwarden::facts::secret::{Nonces, Secret};
use std::hint::black_box;
use std::time::Instant;

/// How many selections the percentiles are taken of.
const TIMED: usize = 400_000;

/// Whose weights differ, and whose do not.
const WEIGHTS: [(&str, [u32; 3]); 2] = [("equal", [1, 1, 1]), ("mixed", [1, 2, 3])];

fn members(count: usize, weights: [u32; 3]) -> Vec<Member> {
    flat(&weights.into_iter().cycle().take(count).collect::<Vec<_>>())
}

/// What is asked for: any set, any key.
struct Requests {
    sets: Vec<SetId>,
    nonces: Nonces,
}

impl Requests {
    fn to(bench: &Bench) -> Self {
        Self { sets: bench.sets.clone(), nonces: Nonces::new(Secret::new([3; 16])) }
    }

    fn next(&mut self) -> (SetId, Option<u64>) {
        let number = self.nonces.next_u64();
        let index = usize::try_from(number).expect("a number of 64 bits") % self.sets.len();
        (*self.sets.get(index).expect("the index is below the length"), Some(number))
    }
}

fn one_set(c: &mut Criterion) {
    let mut group = c.benchmark_group("select");
    for row in rows() {
        for count in [10, 100, 1_000] {
            for (name, weights) in WEIGHTS {
                let mut bench = Bench::new(row, &members(count, weights));
                let mut requests = Requests::to(&bench);
                group.bench_function(BenchmarkId::new(format!("{row}/{name}"), count), |b| {
                    b.iter_batched(
                        || requests.next(),
                        |(set, key)| bench.select_in(set, key),
                        criterion::BatchSize::SmallInput,
                    );
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, one_set);

/// 10,000 destinations in 100 sets, all of them usable.
fn many_sets(row: Row, weights: [u32; 3]) -> Bench {
    let members = members(100, weights);
    Bench::of(row, &vec![members.as_slice(); 100])
}

/// Nanoseconds of single selections, in ascending order; reading the clock is in them.
fn times(bench: &mut Bench) -> Vec<u128> {
    let mut requests = Requests::to(bench);
    let mut times: Vec<u128> = (0..TIMED)
        .map(|_| {
            let (set, key) = requests.next();
            let begun = Instant::now();
            black_box(bench.select_in(set, key));
            begun.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    times
}

fn percentiles() {
    println!("10,000 destinations in 100 sets, ns a selection, one at a time (the clock included):");
    println!("{:<34} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9");
    for row in rows() {
        for (name, weights) in WEIGHTS {
            let times = times(&mut many_sets(row, weights));
            let at = |share: usize| times.get(TIMED * share / 1_000).copied().unwrap_or_default();
            println!("{:<34} {:>8} {:>8} {:>8}", format!("{row}/{name}"), at(500), at(990), at(999));
        }
    }
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    percentiles();
}
