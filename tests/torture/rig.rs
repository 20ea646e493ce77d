//! A caller and one destination around the real binary, and what became of each message.
//!
//! With one worker the proxy works in order: an OPTIONS sent behind a message on the same path is
//! answered only when the message has been dealt with, so nothing here waits for a fixed time.

use super::compare;
use super::harness::address;
use super::harness::metrics::Scrape;
use super::harness::product::{Config, Sipwarden, usize_of};
use super::harness::workspace::Workspace;
pub use super::table::Way;
use super::table::{self, Places};
use socket2::{Domain, Socket, Type};
use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// Within this an OPTIONS is answered on a machine that has time.
pub const PROMPT: Duration = Duration::from_millis(100);
/// Silence after which a datagram is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// The answer to a keep-alive (RFC 5626 §4.4.1).
const PONG: &[u8] = b"\r\n";

/// Ports to which replies go besides the caller's: the sent-by ports of the messages tried.
const FURTHER_PORTS: [u16; 1] = [5050];

/// The running product between a caller and a destination.
pub struct Rig {
    /// The product.
    pub product: Sipwarden,
    caller: UdpSocket,
    further: Vec<UdpSocket>,
    destination: UdpSocket,
    /// What has been received: what comes again is a retransmission.
    seen: HashSet<Vec<u8>>,
    barriers: u32,
    /// The longest time in which an OPTIONS behind a message was answered.
    pub slowest: Duration,
    /// How many were answered later than [`PROMPT`].
    pub late: usize,
    requests_received: usize,
    responses_received: usize,
    _workspace: Workspace,
}

/// Whether an outcome is one of those expected.
pub fn fits(outcome: &str, expected: &str) -> bool {
    expected.split(" / ").any(|expected| expected == outcome)
}

fn bind(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.set_read_timeout(Some(AGAIN)).expect("a timeout is accepted");
    socket
}

/// Everything a socket holds now.
fn drain(socket: &UdpSocket) -> Vec<(Vec<u8>, SocketAddr)> {
    socket.set_nonblocking(true).expect("a socket can be made non-blocking");
    let mut buffer = vec![0; 65_535];
    let mut all = Vec::new();
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        all.push((buffer[..length].to_vec(), from));
    }
    socket.set_nonblocking(false).expect("a socket can be made blocking");
    all
}

/// What an answer is called in an outcome.
fn code(answer: &[u8]) -> String {
    if answer == PONG { "pong".into() } else { String::from_utf8_lossy(&answer[8..11]).into_owned() }
}

fn is_trying(message: &[u8]) -> bool {
    message.starts_with(b"SIP/2.0 100 ")
}

impl Rig {
    /// Starts everything.
    pub fn start(test: &str) -> Self {
        Self::start_with(test, "limits: {message_deadline: 1s}", "{}")
    }

    /// The same with other lines of configuration, and the set's `failover`.
    pub fn start_with(test: &str, lines: &str, failover: &str) -> Self {
        let workspace = Workspace::new(test);
        let destination = bind(address::endpoint());
        let host = address::host();
        let caller = bind((host, 5060).into());
        let further = FURTHER_PORTS.map(|port| bind((host, port).into())).into();
        let set = format!(
            "workers: 1\nlog: {{level: error}}\n{lines}\nsets:\n  pbx:\n    probe: {{enabled: false}}\n    failover: {failover}\n    destinations: [{{id: d, uri: \"sip:{}\", mtu: 65535}}]",
            destination.local_addr().expect("a bound socket has an address")
        );
        let product = Sipwarden::start(&workspace, &Config::new().with(&set));
        Self {
            product,
            caller,
            further,
            destination,
            seen: HashSet::new(),
            barriers: 0,
            slowest: Duration::ZERO,
            late: 0,
            requests_received: 0,
            responses_received: 0,
            _workspace: workspace,
        }
    }

    /// Where the product listens.
    pub fn proxy(&self) -> SocketAddr {
        self.product.sip
    }

    /// Where the caller sends from.
    pub fn caller(&self) -> SocketAddr {
        self.caller.local_addr().expect("a bound socket has an address")
    }

    /// Where the only destination is.
    pub fn destination(&self) -> SocketAddr {
        self.destination.local_addr().expect("a bound socket has an address")
    }

    /// Who is where.
    pub fn places(&self) -> Places {
        Places { proxy: self.proxy(), destination: self.destination(), caller: self.caller() }
    }

    /// Sends a message and tells what became of it: `forward` for each copy the destination got,
    /// the status code of each answer of the product's own but 100, `pong` for an answered
    /// keep-alive, `close` if the connection was closed, and `drop` if nothing of it happened.
    pub fn run(&mut self, way: Way, message: &[u8]) -> String {
        let mut stream = (way == Way::Tcp).then(|| self.connect());
        let (answers, closed) = match &mut stream {
            None => (self.exchange_datagram(message), false),
            Some(stream) => self.exchange_stream(stream, message),
        };
        let mut outcome: Vec<String> = Vec::new();
        let copies = self.take_copies();
        let came = copies.len();
        for (position, (copy, _)) in copies.iter().enumerate() {
            // Of several messages in one stream only the first is compared.
            if position == 0
                && let Err(difference) = compare::check(message, copy, self.proxy(), self.caller())
            {
                outcome.push(format!("({difference})"));
            }
            outcome.push("forward".into());
        }
        outcome.extend(answers.iter().map(|answer| code(answer)));
        if closed {
            outcome.push("close".into());
        }
        if came == 1 && !closed {
            let (copy, proxy) = &copies[0];
            self.answer(stream.as_mut(), copy, *proxy);
        }
        self.product.process.expect_alive();
        if outcome.is_empty() { "drop".into() } else { outcome.join(" ") }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        socket.bind(&SocketAddr::new(self.caller().ip(), 0).into()).expect("the caller's address is its own");
        socket.connect(&self.proxy().into()).expect("the product accepts connections");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is accepted");
        stream
    }

    /// A request to the product itself that marks a moment, and its Call-ID.
    fn barrier(&mut self, way: Way) -> (Vec<u8>, String) {
        self.barriers += 1;
        let id = format!("barrier-{}", self.barriers);
        let (proxy, caller, transport) = (self.proxy(), self.caller(), way.token());
        let text = format!(
            "OPTIONS sip:{proxy} SIP/2.0\r\nVia: SIP/2.0/{transport} {caller};rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:b@{caller}>;tag=b\r\nTo: <sip:{proxy}>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        (text.into_bytes(), id)
    }

    /// Sends a datagram and collects the answers to it.
    fn exchange_datagram(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let (options, id) = self.barrier(Way::Udp);
        let proxy = self.proxy();
        self.caller.send_to(message, proxy).expect("a datagram can be sent");
        let asked = Instant::now();
        self.caller.send_to(&options, proxy).expect("a datagram can be sent");
        let mut answers = self.receive_until(&options, |answer| is_answer_to(answer, &id));
        self.note_answer(asked.elapsed());
        for socket in &self.further {
            answers.extend(drain(socket).into_iter().map(|(bytes, _)| bytes));
        }
        self.responses_received += answers.len();
        self.keep_new(answers)
    }

    /// Takes note of how long an OPTIONS took. Reported and not asserted: a busy machine is slow.
    fn note_answer(&mut self, took: Duration) {
        self.slowest = self.slowest.max(took);
        self.late += usize::from(took > PROMPT);
    }

    /// Receives at the caller until a message is the one waited for, which is not given. What asks
    /// for it is sent again now and then: a full buffer loses datagrams.
    fn receive_until(&mut self, asking: &[u8], mut is_last: impl FnMut(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 65_535];
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.caller.recv_from(&mut buffer) {
                Ok((length, _)) if is_last(&buffer[..length]) => {
                    self.responses_received += 1;
                    return all;
                }
                Ok((length, _)) => all.push(buffer[..length].to_vec()),
                Err(error) => {
                    assert!(
                        Instant::now() < deadline,
                        "no answer ({error}):\n{}",
                        self.product.process.log()
                    );
                    self.caller.send_to(asking, self.proxy()).expect("a datagram can be sent");
                }
            }
        }
    }

    fn keep_new(&mut self, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let new = messages.into_iter().filter(|message| message == PONG || self.seen.insert(message.clone()));
        new.filter(|message| !is_trying(message)).collect()
    }

    /// Sends a message on a connection and collects the answers; tells whether it was closed.
    fn exchange_stream(&mut self, stream: &mut TcpStream, message: &[u8]) -> (Vec<Vec<u8>>, bool) {
        // The first OPTIONS may become part of a message that has no end of its own.
        let (first, first_id) = self.barrier(Way::Tcp);
        let (second, id) = self.barrier(Way::Tcp);
        let all = [message, &first, &second].concat();
        let asked = Instant::now();
        // A broken stream is closed while it is being written.
        let _ = stream.write_all(&all);
        let mut answers = Vec::new();
        let closed = read_responses(stream, |answer| {
            let is_last = is_answer_to(&answer, &id);
            if !is_last && !is_answer_to(&answer, &first_id) {
                answers.push(answer);
            }
            is_last
        });
        if !closed {
            self.note_answer(asked.elapsed());
        }
        (self.keep_new(answers), closed)
    }

    /// The copies that the destination has got since the last look.
    fn take_copies(&mut self) -> Vec<(Vec<u8>, SocketAddr)> {
        let all = drain(&self.destination);
        self.requests_received += all.len();
        let new = all.into_iter().filter(|(bytes, _)| self.seen.insert(bytes.clone()));
        new.filter(|(bytes, _)| !is_hop_by_hop(bytes)).collect()
    }

    /// Answers a request as its destination, and checks that the answer comes back to the caller.
    fn answer(&mut self, stream: Option<&mut TcpStream>, request: &[u8], proxy: SocketAddr) {
        let method = compare::method(request);
        if method == b"ACK" {
            return;
        }
        let code = if method == b"INVITE" { 486 } else { 200 };
        let answer = compare::answer(request, code);
        self.destination.send_to(&answer, proxy).expect("a datagram can be sent");
        let begin = format!("SIP/2.0 {code} Answered\r\n");
        let mut came = Vec::new();
        match stream {
            Some(stream) => {
                let closed = read_responses(stream, |response| {
                    let is_it = response.starts_with(begin.as_bytes());
                    if is_it {
                        came = response;
                    }
                    is_it
                });
                assert!(!closed, "the connection was closed before the answer came");
            }
            None => {
                let mut further = Vec::new();
                let deadline = Instant::now() + PATIENCE;
                while came.is_empty() {
                    assert!(Instant::now() < deadline, "the answer of the destination does not come");
                    std::thread::yield_now();
                    for socket in std::iter::once(&self.caller).chain(&self.further) {
                        further.extend(drain(socket).into_iter().map(|(bytes, _)| bytes));
                    }
                    self.responses_received += further.len();
                    for message in further.drain(..) {
                        if message.starts_with(begin.as_bytes()) && !self.seen.contains(&message) {
                            came = message.clone();
                        }
                        self.seen.insert(message);
                    }
                }
            }
        }
        let below = &compare::lines(request, "via")[1..];
        assert_eq!(compare::lines(&came, "via"), below, "Via of the answer");
    }

    /// Sends whatever bytes, of which nothing is expected but that the product lives on: the OPTIONS
    /// behind it is answered, and what goes on is unchanged. Gives what [`Rig::run`] gives, without
    /// looking for the way back of the destination's answer.
    pub fn survive(&mut self, way: Way, bytes: &[u8]) -> String {
        let answers = match way {
            Way::Udp => self.exchange_datagram(bytes.get(..60_000).unwrap_or(bytes)),
            Way::Tcp => {
                let mut stream = self.connect();
                let (answers, closed) = self.exchange_stream(&mut stream, bytes);
                if closed {
                    // The connection cannot tell any more whether the rest still works.
                    let rest = self.exchange_datagram(b"\r\n\r\n");
                    assert!(rest.iter().all(|answer| answer.starts_with(b"SIP/2.0 ")));
                }
                answers
            }
        };
        let mut outcome: Vec<String> = answers.iter().map(|answer| code(answer)).collect();
        for (position, (copy, proxy)) in self.take_copies().into_iter().enumerate() {
            if position == 0
                && let Err(difference) = compare::check(bytes, &copy, self.proxy(), self.caller())
            {
                outcome.push(format!("({difference})"));
            }
            if injected(&copy) > injected(bytes) {
                outcome.push("(a line that was none has become one)".into());
            }
            outcome.push("forward".into());
            if compare::method(&copy) != b"ACK" {
                let code = if copy.starts_with(b"INVITE ") { 486 } else { 200 };
                self.destination
                    .send_to(&compare::answer(&copy, code), proxy)
                    .expect("a datagram can be sent");
            }
        }
        self.product.process.expect_alive();
        outcome.join(" ")
    }

    /// How many whole and readable messages the product sees in a stream.
    pub fn messages_seen(&mut self, bytes: &[u8]) -> usize {
        let readable = |scrape: &Scrape| {
            let tcp = [("transport", "tcp"), ("direction", "received")];
            let broken = usize_of(scrape.sum_or_zero("sipwarden_parse_errors_total", &tcp[..1]));
            usize_of(scrape.sum("sipwarden_messages_total", &tcp)).saturating_sub(broken)
        };
        let before = readable(&self.product.scrape());
        let mut stream = self.connect();
        let (first, first_id) = self.barrier(Way::Tcp);
        let (second, id) = self.barrier(Way::Tcp);
        let _ = stream.write_all(&[bytes, &first, &second].concat());
        let mut own = 0;
        read_responses(&mut stream, |answer| {
            let is_last = is_answer_to(&answer, &id);
            own += usize::from(is_last || is_answer_to(&answer, &first_id));
            is_last
        });
        readable(&self.product.scrape()) - before - own
    }

    /// Checks that every message the product sent has arrived at one of our sockets, or was
    /// refused by a closed port: nothing went to anybody else.
    pub fn finish(mut self) {
        let (options, id) = self.barrier(Way::Udp);
        self.caller.send_to(&options, self.proxy()).expect("a datagram can be sent");
        let rest = self.receive_until(&options, |answer| is_answer_to(answer, &id));
        self.responses_received += rest.len();
        // An answer whose connection is gone makes it try the sender (RFC 3261 §18.2.2), where nobody listens.
        let connected = [("role", "outbound"), ("result", "ok")];
        let connected =
            usize_of(self.product.scrape().sum_or_zero("sipwarden_transport_connects_total", &connected));
        assert_eq!(connected, 0, "the product is connected to somebody else");
        // Retransmissions go on: it must add up in a moment without any.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.product.scrape();
            for socket in std::iter::once(&self.caller).chain(&self.further) {
                self.responses_received += drain(socket).len();
            }
            self.requests_received += drain(&self.destination).len();
            let lost_responses: usize = std::iter::once(&self.caller).chain(&self.further).map(drops).sum();
            let after = self.product.scrape();
            let (refused, failed) = send_errors(&after);
            // From a loopback address the kernel refuses to send anywhere else, and says so.
            assert_eq!(failed, 0, "the product tried to send elsewhere");
            let sent = |scrape| (sent_over_udp(scrape, "request"), sent_over_udp(scrape, "response"));
            let arrived = (
                self.requests_received + drops(&self.destination),
                self.responses_received + lost_responses + refused,
            );
            if sent(&before) == sent(&after) && arrived == sent(&after) {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "(requests, responses): {:?} sent, {arrived:?} arrived",
                sent(&after)
            );
        }
        assert!(!self.product.process.log().contains("panicked"), "{}", self.product.process.log());
    }
}

/// Header lines that a message of the seeds tries to smuggle in, to any reader of line ends.
fn injected(message: &[u8]) -> usize {
    let lines = message.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.filter(|line| line.to_ascii_lowercase().starts_with(b"x-injected")).count()
}

/// Datagrams that a closed port refused, and datagrams that could not be sent for other reasons.
fn send_errors(scrape: &Scrape) -> (usize, usize) {
    let (mut refused, mut failed) = (0, 0);
    for sample in scrape.matching("sipwarden_transport_errors_total", &[("transport", "udp")]) {
        match sample.labels.get("reason").map(String::as_str) {
            Some("icmp_unreachable" | "refused") => refused += usize_of(sample.value),
            Some(_) | None => failed += usize_of(sample.value),
        }
    }
    (refused, failed)
}

/// Datagrams that the kernel threw away because a socket's buffer was full.
fn drops(socket: &UdpSocket) -> usize {
    let address = socket.local_addr().expect("a bound socket has an address");
    let SocketAddr::V4(address) = address else { panic!("{address}: the caller has an IPv4 address") };
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/udp").expect("/proc/net is there");
    let lines = table.lines().filter(|line| line.split_whitespace().nth(1) == Some(&wanted));
    lines.filter_map(|line| line.split_whitespace().last()?.parse::<usize>().ok()).sum()
}

fn sent_over_udp(scrape: &Scrape, kind: &str) -> usize {
    let labels = [("transport", "udp"), ("direction", "sent"), ("kind", kind)];
    usize_of(scrape.sum("sipwarden_messages_total", &labels))
}

/// What a transaction of the proxy sends by itself.
fn is_hop_by_hop(request: &[u8]) -> bool {
    let our_ack = request.starts_with(b"ACK ") && compare::lines(request, "via").len() == 1;
    our_ack || request.starts_with(b"CANCEL ")
}

fn is_answer_to(response: &[u8], call_id: &str) -> bool {
    response.starts_with(b"SIP/2.0 200 ")
        && compare::values(response, "call-id").iter().any(|value| value == call_id.as_bytes())
}

/// Reads responses off a connection until one is the last; tells whether it was closed before.
/// The answer to a keep-alive is given as it is, a line end.
fn read_responses(stream: &mut TcpStream, mut is_last: impl FnMut(Vec<u8>) -> bool) -> bool {
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 65_535];
    loop {
        while let Some(end) = end_of_first(&buffer) {
            let rest = buffer.split_off(end);
            if is_last(std::mem::replace(&mut buffer, rest)) {
                return false;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return true;
            }
            Err(error) => panic!("neither an answer nor an end of the connection: {error}"),
        }
    }
}

/// Where the first response, or answer to a keep-alive, ends.
fn end_of_first(buffer: &[u8]) -> Option<usize> {
    if buffer.starts_with(PONG) {
        return Some(PONG.len());
    }
    let head = table::find(buffer, b"\r\n\r\n")? + 4;
    let length = compare::values(buffer, "content-length");
    let length = length.first().and_then(|value| String::from_utf8_lossy(value).parse::<usize>().ok());
    let end = head + length.unwrap_or(0);
    (end <= buffer.len()).then_some(end)
}
