//! The wire: what it costs to index a message, and to write it again with a proxy's edits.

#[path = "support/messages.rs"]
mod messages;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sipwarden::sip::{Framing, Index, RequestEdit, Stamp, forward_request, forward_response, parse};
use std::hint::black_box;

/// Sizes of an INVITE, from a short body to all that a browser offers.
const SIZES: [usize; 4] = [500, 800, 2_048, 8_192];
const OUR_VIA: &[u8] = b"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1234567890abcdef1234567890abcdef";
const OUR_RECORD_ROUTE: &[u8] = b"<sip:10.0.0.1:5060;lr;c=1234567890abcdef>";

fn indexing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let invites = SIZES.map(|size| ("invite", messages::invite(size, 1)));
    let response = ("response", messages::ok(800, "z9hG4bKx"));
    for (kind, message) in invites.into_iter().chain([response]) {
        let size = message.len();
        let mut index = Index::default();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new(kind, size), |b| {
            b.iter(|| {
                let message = parse(black_box(&message), Framing::Datagram, &mut index).expect("well-formed");
                black_box(message.method());
            });
        });
    }
    group.finish();
}

fn forwarding(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    let edit = RequestEdit {
        request_uri: Some(b"sip:+4930123456@10.1.1.1:5060"),
        via: OUR_VIA,
        stamp: Stamp { received: None, rport: Some(6_000) },
        max_forwards: 69,
        record_routes: &[OUR_RECORD_ROUTE],
        ..RequestEdit::default()
    };
    let mut out = Vec::with_capacity(16_384);
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let (request, response) = (messages::invite(size, 1), messages::ok(size, "z9hG4bKx"));
        let (mut index, mut of_response) = (Index::default(), Index::default());
        let request = parse(&request, Framing::Datagram, &mut index).expect("well-formed");
        let response = parse(&response, Framing::Datagram, &mut of_response).expect("well-formed");
        group.bench_function(BenchmarkId::new("request", size), |b| {
            b.iter(|| {
                out.clear();
                forward_request(black_box(request), &edit, &mut out);
                black_box(out.len());
            });
        });
        group.bench_function(BenchmarkId::new("response", size), |b| {
            b.iter(|| {
                out.clear();
                forward_response(black_box(response), &mut out);
                black_box(out.len());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, indexing, forwarding);
criterion_main!(benches);
