//! Streams against real sockets on loopback.

use super::*;
use crate::net::{Bound, DnsSettings, Family, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;

const SOON: Duration = Duration::from_secs(10);
const MESSAGE: &[u8] = b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK1\r\n\
    From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: 1@x\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 3\r\n\r\nabc";

struct Bench {
    streams: Streams,
    queue: Receiver<Delivery>,
    address: SocketAddr,
}

fn limits() -> Settings {
    Settings {
        listeners: vec![Bind { transport: Transport::Tcp, address: ([127, 0, 0, 1], 0).into() }],
        max_message: 65_535,
        connections: 100,
        connections_per_source: 2,
        message_deadline: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(120),
        dns: DnsSettings {
            max_endpoints: 16,
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(300),
            family: Family::Auto,
        },
    }
}

fn bench(limits: Settings) -> Bench {
    let Bound::Tcp(address, socket) = bind("test", &limits.listeners[0], 1).unwrap() else { panic!("TCP") };
    let (exchange, mut queues) = Exchange::new(1);
    let streams = Streams::new(limits, exchange);
    tokio::spawn(streams.clone().accept(WorkerId(0), ListenerId::new(0), socket));
    Bench { streams, queue: queues.remove(0), address }
}

impl Bench {
    /// The next delivery that is not only to be recorded.
    async fn delivered(&mut self) -> Delivery {
        loop {
            let delivery = timeout(SOON, self.queue.recv()).await.unwrap().unwrap();
            if !matches!(delivery, Delivery::Happened(_)) {
                return delivery;
            }
        }
    }

    async fn happened(&mut self) -> Event {
        loop {
            if let Delivery::Happened(event) = timeout(SOON, self.queue.recv()).await.unwrap().unwrap() {
                return event;
            }
        }
    }

    async fn message(&mut self) -> (Hop, Vec<u8>) {
        match self.delivered().await {
            Delivery::Message { hop, bytes } => (hop, bytes),
            other => panic!("{other:?}"),
        }
    }
}

fn towards(remote: SocketAddr) -> Hop {
    Hop { transport: Transport::Tcp, listener: ListenerId::new(0), remote, connection: None }
}

async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(SOON, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn messages_are_framed_however_they_are_cut() {
    let mut bench = bench(limits());
    let mut peer = TcpStream::connect(bench.address).await.unwrap();
    let (head, tail) = MESSAGE.split_at(57);
    peer.write_all(head).await.unwrap();
    peer.flush().await.unwrap();
    tokio::task::yield_now().await;
    peer.write_all(&[tail, MESSAGE].concat()).await.unwrap();
    for _ in 0..2 {
        let (hop, bytes) = bench.message().await;
        assert_eq!(hop.remote, peer.local_addr().unwrap());
        assert_eq!(bytes, MESSAGE);
    }
}

#[tokio::test]
async fn an_answer_leaves_on_the_connection_that_the_request_came_on() {
    let mut bench = bench(limits());
    let mut peer = TcpStream::connect(bench.address).await.unwrap();
    peer.write_all(MESSAGE).await.unwrap();
    let (hop, _) = bench.message().await;
    assert!(hop.connection.is_some());
    bench.streams.send(WorkerId(0), hop, b"SIP/2.0 200 OK\r\n\r\n").unwrap();
    assert_eq!(read_exactly(&mut peer, 18).await, b"SIP/2.0 200 OK\r\n\r\n");
}

#[tokio::test]
async fn a_request_to_a_remote_leaves_on_the_connection_that_it_opened() {
    let mut bench = bench(limits());
    let mut peer = TcpStream::connect(bench.address).await.unwrap();
    peer.write_all(MESSAGE).await.unwrap();
    bench.message().await;
    bench.streams.send(WorkerId(0), towards(peer.local_addr().unwrap()), MESSAGE).unwrap();
    assert_eq!(read_exactly(&mut peer, MESSAGE.len()).await, MESSAGE);
}

#[tokio::test]
async fn a_keep_alive_is_answered_with_one_line_end() {
    let bench = bench(limits());
    let mut peer = TcpStream::connect(bench.address).await.unwrap();
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read_exactly(&mut peer, 2).await, b"\r\n");
}

#[tokio::test]
async fn one_connection_to_a_remote_serves_all_senders() {
    let bench = bench(limits());
    let remote = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = towards(remote.local_addr().unwrap());
    for text in [b"one", b"two"] {
        bench.streams.send(WorkerId(0), hop, text).unwrap();
    }
    let (mut accepted, _) = timeout(SOON, remote.accept()).await.unwrap().unwrap();
    assert_eq!(read_exactly(&mut accepted, 6).await, b"onetwo");
    bench.streams.send(WorkerId(0), hop, b"three").unwrap();
    assert_eq!(read_exactly(&mut accepted, 5).await, b"three");
    assert!(timeout(Duration::from_millis(50), remote.accept()).await.is_err());
}

#[tokio::test]
async fn a_connection_that_is_gone_is_replaced_by_one_to_its_remote() {
    let mut bench = bench(limits());
    let remote = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = towards(remote.local_addr().unwrap());
    bench.streams.send(WorkerId(0), hop, b"one").unwrap();
    let (accepted, _) = timeout(SOON, remote.accept()).await.unwrap().unwrap();
    drop(accepted);
    while !matches!(bench.happened().await, Event::ConnectionClosed { .. }) {}
    let gone = Hop { connection: Some(ConnectionChoice::Preferred(ConnectionId(1))), ..hop };
    bench.streams.send(WorkerId(0), gone, b"two").unwrap();
    let (mut accepted, _) = timeout(SOON, remote.accept()).await.unwrap().unwrap();
    assert_eq!(read_exactly(&mut accepted, 3).await, b"two");
}

#[tokio::test]
async fn every_message_for_a_remote_that_refuses_comes_back() {
    let mut bench = bench(limits());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for text in [b"one", b"two"] {
        bench.streams.send(WorkerId(0), towards(closed), text).unwrap();
    }
    for text in [b"one", b"two"] {
        let Delivery::Undeliverable { hop, message, reason } = bench.delivered().await else { panic!() };
        assert_eq!((hop.remote, reason), (closed, TransportReason::Refused));
        assert_eq!(message, text);
    }
}

#[tokio::test]
async fn a_source_over_its_limit_is_closed_and_counted() {
    let mut bench = bench(limits());
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(TcpStream::connect(bench.address).await.unwrap());
        let opened = bench.happened().await;
        assert!(matches!(opened, Event::ConnectionOpened { result: ConnectResult::Ok, .. }), "{opened:?}");
    }
    let mut third = TcpStream::connect(bench.address).await.unwrap();
    let refused = bench.happened().await;
    assert!(matches!(refused, Event::ConnectionOpened { result: ConnectResult::Refused, .. }), "{refused:?}");
    assert_eq!(timeout(SOON, third.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0);
    drop(peers);
    while !matches!(bench.happened().await, Event::ConnectionClosed { .. }) {}
    TcpStream::connect(bench.address).await.unwrap();
    while !matches!(bench.happened().await, Event::ConnectionOpened { result: ConnectResult::Ok, .. }) {}
}

#[tokio::test]
async fn a_partial_message_is_given_up_at_its_deadline_and_an_idle_stream_at_its_own() {
    let short = Duration::from_millis(50);
    for (limits, sent) in [
        (Settings { message_deadline: short, ..limits() }, &MESSAGE[..40]),
        (Settings { idle_timeout: short, ..limits() }, &b""[..]),
    ] {
        let bench = bench(limits);
        let mut peer = TcpStream::connect(bench.address).await.unwrap();
        peer.write_all(sent).await.unwrap();
        assert_eq!(timeout(SOON, peer.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_broken_stream_reaches_the_core_and_is_closed_after_the_answer() {
    let mut bench = bench(limits());
    let mut peer = TcpStream::connect(bench.address).await.unwrap();
    let broken = String::from_utf8_lossy(MESSAGE).replace("Content-Length: 3", "Content-Length: x");
    peer.write_all(broken.as_bytes()).await.unwrap();
    let (hop, bytes) = bench.message().await;
    assert!(bytes.starts_with(b"OPTIONS "), "{}", String::from_utf8_lossy(&bytes));
    bench.streams.send(WorkerId(0), hop, b"SIP/2.0 400 Bad Request\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    timeout(SOON, peer.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"SIP/2.0 400 Bad Request\r\n\r\n");
}
