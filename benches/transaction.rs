//! Transactions by themselves: a step of the server's and of the client's machine, with the timers
//! that it sets and those that meanwhile run out.

#[path = "support/messages.rs"]
mod messages;

use criterion::{Criterion, criterion_group, criterion_main};
use sipwarden::facts::outbox::Outbox;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::{Hop, ListenerId, Method, Transport, WorkerId};
use sipwarden::sip::{Framing, Index, Message, parse};
use sipwarden::transaction::{Branch, Matched, Opening, Owner, Purpose, Settings, Transactions};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// From one transaction to the next: 64·T1 is 32 s, so 3,200 finished ones are kept.
const PACE: Duration = Duration::from_millis(10);
/// More than are kept: a message that comes round again is new.
const CALLS: usize = 8_192;
const SIZE: usize = 800;

struct Layer {
    transactions: Transactions,
    out: Outbox,
    now: Instant,
    hop: Hop,
}

impl Layer {
    fn new() -> Self {
        let now = Instant::now();
        let secret = Secret::new(*b"a secret of 16 b");
        let transactions = Transactions::new(Settings::default(), WorkerId(0), &secret, now);
        let remote = ([10, 9, 0, 1], 6_000).into();
        let hop = Hop { transport: Transport::Udp, listener: ListenerId::new(0), remote, connection: None };
        Self { transactions, out: Outbox::default(), now, hop }
    }

    /// Ends a step: what it put out is thrown away, time passes, timers fire.
    fn pass(&mut self) {
        self.out.clear();
        self.now += PACE;
        while let Some(fired) = self.transactions.poll_fired(self.now, &mut self.out) {
            black_box(fired);
        }
        self.out.clear();
    }

    fn open(&mut self, request: Message<'_>) {
        let Self { transactions, out, now, hop } = self;
        let Matched::New(key) = transactions.receive_request(request, *now, out) else {
            panic!("it is not new");
        };
        let id = transactions.open_server(key, Method::Invite, *hop, Owner::Nobody);
        for code in [100, 200] {
            transactions.respond(id, code, *now, out, |bytes| bytes.extend_from_slice(request.bytes()));
        }
    }

    fn ask(&mut self, request: Message<'_>, response: &mut [u8], index: &mut Index) {
        let Self { transactions, out, now, hop } = self;
        let (purpose, target, loop_hash) = (Purpose::Call, None, 1);
        let opening =
            Opening { purpose, method: Method::Invite, hop: *hop, target, owner: Owner::Nobody, loop_hash };
        transactions.send(opening, *now, out, |branch, bytes| {
            bytes.extend_from_slice(request.bytes());
            put_branch(branch, response);
        });
        let response = parse(response, Framing::Datagram, index).expect("well-formed");
        black_box(transactions.receive_response(response, *now, out));
    }
}

/// Where the branch of [`messages::ok`] stands.
const VIA: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=";

/// Puts a branch, which is always as long, into the response that comes back.
fn put_branch(branch: &Branch, response: &mut [u8]) {
    let mut text = Vec::with_capacity(128);
    branch.write(&mut text);
    let place = response.get_mut(VIA.len()..VIA.len() + text.len()).expect("the response has one");
    place.copy_from_slice(&text);
}

fn steps(c: &mut Criterion) {
    let messages: Vec<Vec<u8>> = (0..CALLS).map(|call| messages::invite(SIZE, call)).collect();
    let mut indexes: Vec<Index> = (0..CALLS).map(|_| Index::default()).collect();
    let requests: Vec<Message<'_>> = messages
        .iter()
        .zip(&mut indexes)
        .map(|(bytes, index)| parse(bytes, Framing::Datagram, index).expect("well-formed"))
        .collect();
    let mut group = c.benchmark_group("transaction");

    let (mut layer, mut next) = (Layer::new(), requests.iter().cycle());
    group.bench_function("server: INVITE, 100, 200", |b| {
        b.iter(|| {
            layer.open(*next.next().expect("they come round"));
            layer.pass();
        });
    });

    let mut layer = Layer::new();
    let first = *requests.first().expect("there are some");
    layer.open(first);
    group.bench_function("server: INVITE repeated", |b| {
        b.iter(|| {
            black_box(layer.transactions.receive_request(first, layer.now, &mut layer.out));
            layer.out.clear();
        });
    });

    let mut layer = Layer::new();
    let blank = Branch { purpose: Purpose::Call, worker: WorkerId(0), slot: 0, nonce: 0, loop_hash: 0 };
    let mut text = Vec::new();
    blank.write(&mut text);
    let mut response = messages::ok(SIZE, &String::from_utf8(text).expect("a branch is text"));
    let mut index = Index::default();
    group.bench_function("client: INVITE, 200 read and matched", |b| {
        b.iter(|| {
            layer.ask(first, &mut response, &mut index);
            layer.pass();
        });
    });
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
