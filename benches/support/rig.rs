//! One core between a caller and destinations that live in memory: no socket, no clock.
//!
//! [`Rig::call`] plays INVITE/100/180/200/ACK/BYE/200 through it, as fast as the core can. The
//! parties write into buffers of their own that are used again, so what is counted while it plays
//! (instructions, allocations, time) is the product's.

use sipwarden::config;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::snapshot::Detail;
use sipwarden::facts::{Hop, ListenerId, Transport, WorkerId};
use sipwarden::proxy::{Core, Input, Interfaces, Plan};
use sipwarden::telemetry::{Recorder, Telemetry};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CALLER: &str = "10.9.0.1:6000";
/// A body as telephones send it: two audio codecs and telephone events.
const SDP: &[u8] =
    b"v=0\r\no=caller 53655765 2353687637 IN IP4 10.9.0.1\r\ns=-\r\nc=IN IP4 10.9.0.1\r\nt=0 0\r\n\
m=audio 49170 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\na=ptime:20\r\n";

/// What a rig is built for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many destinations the one set has.
    pub destinations: usize,
    /// The set's algorithm.
    pub algorithm: &'static str,
    /// Bytes added to the body of each INVITE.
    pub padding: usize,
    /// Virtual time from one call to the next.
    pub pace: Duration,
    /// `limits.linger`, in MiB.
    pub linger_mib: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            destinations: 10,
            algorithm: "round_robin",
            padding: 0,
            pace: Duration::from_millis(10),
            linger_mib: 256,
        }
    }
}

/// A core, its recorder, and the parties around it.
pub struct Rig {
    core: Core,
    recorder: Option<Recorder>,
    now: Instant,
    pace: Duration,
    calls: u64,
    caller: Hop,
    body: Vec<u8>,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// What the core sent in the last step, by its beginning.
    seen: Seen,
    tokio: tokio::runtime::Runtime,
}

/// The last message of each kind that left the core.
#[derive(Debug, Default)]
struct Seen {
    down: Vec<u8>,
    down_hop: Option<Hop>,
    up: Vec<u8>,
}

impl Rig {
    /// A core whose destinations are all up. With `records`, events are recorded as metrics.
    pub fn new(shape: Shape, records: bool) -> Self {
        let yaml = yaml(shape);
        let config = config::from_str(&yaml, "rig.yaml", &BTreeMap::new())
            .unwrap_or_else(|error| panic!("the rig's own configuration: {error}"));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let plan = Arc::new(Plan::new(config.proxy, &Interfaces::default(), &mut Names::default()));
        let recorder = records.then(|| {
            let directory = Arc::clone(plan.directory());
            let telemetry = Telemetry::start(&config.telemetry, directory, tokio.handle().clone());
            telemetry.expect("nothing to connect to").recorder()
        });
        let now = Instant::now();
        let core = Core::new(WorkerId(0), plan, &Secret::new(*b"a secret of 16 b"), Instant::now, now);
        let remote: SocketAddr = CALLER.parse().expect("an address");
        let listener = ListenerId::new(0);
        let caller = Hop { transport: Transport::Udp, listener, remote, connection: None };
        let mut body = SDP.to_vec();
        body.extend(std::iter::repeat_n(b'x', shape.padding));
        let mut rig = Self {
            core,
            recorder,
            now,
            pace: shape.pace,
            calls: 0,
            caller,
            body,
            request: Vec::with_capacity(16_384),
            answer: Vec::with_capacity(16_384),
            seen: Seen::default(),
            tokio,
        };
        rig.settle();
        rig
    }

    /// The core.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// How many calls have been played.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Plays one whole call and lets `pace` pass.
    pub fn call(&mut self) {
        self.calls += 1;
        self.invite();
        self.answered(180, true);
        self.answered(200, true);
        self.follow("ACK", 1);
        self.follow("BYE", 2);
        self.answered(200, false);
        assert!(self.seen.up.starts_with(b"SIP/2.0 200 "), "the BYE was answered");
        self.pass(self.pace);
    }

    /// Begins a call that is never answered.
    pub fn ring(&mut self) {
        self.calls += 1;
        self.invite();
        self.answered(180, true);
    }

    /// Plays a call up to its ACK.
    pub fn establish(&mut self) {
        self.ring();
        self.answered(200, true);
        self.follow("ACK", 1);
        self.pass(self.pace);
    }

    /// Lets time pass; timers fire at its end.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.core.poll_timeout().is_some_and(|due| due <= self.now) {
            self.core.handle_timeout(self.now);
            self.settle();
        }
    }

    /// Bytes of an INVITE as the caller sends it.
    pub fn size_of_invite(&mut self) -> usize {
        self.write_invite(self.calls);
        self.request.len()
    }

    /// What finished transactions take, as the core counts it.
    pub fn linger(&self) -> u64 {
        self.core.snapshot(self.now, Detail::Metrics).linger
    }

    /// Repeats the very first INVITE; how many messages came of it.
    pub fn repeat_first_invite(&mut self) -> usize {
        self.write_invite(1);
        receive(&mut self.core, self.caller, &self.request, self.now);
        let sent = self.core.outbox().pending();
        self.settle();
        sent
    }

    fn invite(&mut self) {
        self.write_invite(self.calls);
        self.send(self.caller);
        assert!(self.seen.down.starts_with(b"INVITE "), "the INVITE went down");
    }

    fn write_invite(&mut self, calls: u64) {
        let Self { request, body, .. } = self;
        request.clear();
        write!(
            request,
            "INVITE sip:+4930123456@10.0.0.1:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bKi{calls}\r\n\
             Max-Forwards: 70\r\nFrom: \"Caller\" <sip:caller@10.9.0.1>;tag=f{calls}\r\n\
             To: <sip:+4930123456@10.0.0.1:5060>\r\nCall-ID: {calls:016x}@10.9.0.1\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:caller@{CALLER}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n\
             Supported: timer, 100rel\r\nUser-Agent: rig\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .expect("writing to a Vec cannot fail");
        request.extend_from_slice(body);
    }

    /// A request of the caller inside the dialog: by its Route set, to the callee's Contact.
    fn follow(&mut self, method: &str, cseq: u32) {
        let Self { calls, request, seen, .. } = self;
        request.clear();
        let route = value(&seen.up, b"Record-Route").unwrap_or_default();
        let contact = value(&seen.up, b"Contact").unwrap_or_default();
        let to = value(&seen.up, b"To").unwrap_or_default();
        write!(request, "{method} ").expect("writing to a Vec cannot fail");
        request.extend_from_slice(
            contact.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">")).unwrap_or(contact),
        );
        write!(
            request,
            " SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK{cseq}{method}{calls}\r\n\
             Max-Forwards: 70\r\nRoute: "
        )
        .expect("writing to a Vec cannot fail");
        request.extend_from_slice(route);
        write!(request, "\r\nFrom: \"Caller\" <sip:caller@10.9.0.1>;tag=f{calls}\r\nTo: ")
            .expect("writing to a Vec cannot fail");
        request.extend_from_slice(to);
        write!(
            request,
            "\r\nCall-ID: {calls:016x}@10.9.0.1\r\nCSeq: {cseq} {method}\r\nUser-Agent: rig\r\nContent-Length: 0\r\n\r\n"
        )
        .expect("writing to a Vec cannot fail");
        self.send(self.caller);
        assert!(self.seen.down.starts_with(method.as_bytes()), "the {method} went down");
    }

    /// The destination answers the last request that reached it.
    fn answered(&mut self, code: u16, is_invite: bool) {
        let Self { answer, seen, body, .. } = self;
        answer.clear();
        write!(answer, "SIP/2.0 {code} Fine\r\n").expect("writing to a Vec cannot fail");
        for line in lines(&seen.down) {
            let copied: [&[u8]; 5] = [b"Via:", b"Record-Route:", b"From:", b"Call-ID:", b"CSeq:"];
            if copied.iter().any(|name| line.starts_with(name)) {
                answer.extend_from_slice(line);
                answer.extend_from_slice(b"\r\n");
            } else if line.starts_with(b"To:") {
                answer.extend_from_slice(line);
                if is_invite {
                    answer.extend_from_slice(b";tag=callee");
                }
                answer.extend_from_slice(b"\r\n");
            }
        }
        let has_body = is_invite && code == 200;
        if is_invite {
            answer.extend_from_slice(b"Contact: <sip:callee@10.0.1.1:5060>\r\n");
        }
        let length = if has_body { body.len() } else { 0 };
        write!(answer, "Content-Length: {length}\r\n\r\n").expect("writing to a Vec cannot fail");
        if has_body {
            answer.extend_from_slice(body);
        }
        std::mem::swap(&mut self.request, &mut self.answer);
        let hop = self.seen.down_hop.expect("something went down before");
        self.send(hop);
        std::mem::swap(&mut self.request, &mut self.answer);
    }

    /// Gives the core what is in `request`.
    fn send(&mut self, from: Hop) {
        receive(&mut self.core, from, &self.request, self.now);
        self.settle();
    }

    /// Takes what the core put out, and records it.
    fn settle(&mut self) {
        let caller = self.caller.remote;
        for (hop, bytes) in self.core.outbox().transmits() {
            if hop.remote == caller {
                self.seen.up.clear();
                self.seen.up.extend_from_slice(bytes);
            } else {
                self.seen.down.clear();
                self.seen.down.extend_from_slice(bytes);
                self.seen.down_hop = Some(hop);
            }
        }
        record(&mut self.core, self.recorder.as_mut());
        self.core.outbox().clear();
    }

    /// Ends the rig; there is nothing to wait for.
    pub fn end(self) {
        self.tokio.shutdown_background();
    }
}

/// The product's part of a step, kept apart so that a profile can name it.
#[inline(never)]
fn receive(core: &mut Core, hop: Hop, bytes: &[u8], now: Instant) {
    core.handle_input(Input::Message { hop, bytes }, now);
}

/// The recorder's part of a step.
#[inline(never)]
fn record(core: &mut Core, recorder: Option<&mut Recorder>) {
    match recorder {
        Some(recorder) => core.outbox().tell_events(|event| recorder.record(event)),
        None => core.outbox().tell_events(|_| {}),
    }
}

fn yaml(shape: Shape) -> String {
    let mut yaml = format!(
        "listen: [\"udp://10.0.0.1:5060\"]\nworkers: 1\nlog: {{level: error}}\nlimits: {{linger: {}MiB}}\nsets:\n  pbx:\n    algorithm: {}\n    \
         probe: {{enabled: false}}\n    destinations:\n",
        shape.linger_mib, shape.algorithm
    );
    for n in 0..shape.destinations {
        let (high, low) = (n / 250 + 1, n % 250 + 1);
        yaml.push_str(&format!("      - {{id: d{n}, uri: \"sip:10.1.{high}.{low}:5060\"}}\n"));
    }
    yaml
}

fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = message.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty())
}

fn value<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(message).find_map(|line| line.strip_prefix(name)?.strip_prefix(b": "))
}
