//! A hundred thousand requests whose every text is chosen to do harm: no series comes of them, and
//! nothing of them reaches a label, a log line or a span but what may, in letters that do no harm.

use crate::rig::{Exports, http_collector};
use crate::sim::{CALLER, PROXY, address, plan};
use crate::watched::{Chance, surroundings, telemetry_settings};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use sipwarden::dispatch::Loads;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::snapshot::Detail;
use sipwarden::facts::{Hop, ListenerId, Transport, WorkerId};
use sipwarden::proxy::{Core, Input};
use sipwarden::telemetry::{Format, Recorder, Telemetry};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const REQUESTS: usize = 100_000;
/// Stands in everything that nobody may read: users, digests, agents, bodies.
const MARK: &str = "SECRET";

const KNOWN: [&[u8]; 14] = [
    b"INVITE",
    b"OPTIONS",
    b"REGISTER",
    b"MESSAGE",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"INFO",
    b"BYE",
    b"CANCEL",
    b"ACK",
    b"PRACK",
    b"UPDATE",
    b"REFER",
];
const UNKNOWN: [&[u8]; 6] = [b"invite", b"{set=\"x\"}", b"\x1b[31mRED", b"M%00", b"!!!!", b"\xff\xfe"];
/// Two of them are registered nowhere.
const CODES: [u16; 8] = [200, 302, 404, 486, 499, 503, 603, 699];

/// Where log lines go.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Fails if a line has a control character or a secret; how many there were.
    fn check(&self) -> usize {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).expect("lines are UTF-8");
        for line in text.lines() {
            assert!(!line.contains(char::is_control), "a control character: {line:?}");
            assert!(!line.contains(MARK), "a secret: {line}");
        }
        if let Some(line) = text.lines().next() {
            let _: serde_json::Value = serde_json::from_str(line).expect("a line is one JSON object");
        }
        text.lines().count()
    }
}

/// Between 1 and 24 bytes, the worst first.
fn noise(chance: &mut Chance) -> Vec<u8> {
    const BAD: &[u8] = b"\xc2\x9b\x00\x01\x07\x08\x1b[31m\x7f\x80\xc3\xe2\x82\xff\"\\{}=,;%\t\r";
    (0..=chance.below(24))
        .map(|_| if chance.below(3) > 0 { *chance.pick(BAD) } else { *chance.pick(b"abcXYZ019.-") })
        .collect()
}

/// A hostile request.
fn any(chance: &mut Chance, number: usize) -> Vec<u8> {
    let which = chance.below(KNOWN.len() + UNKNOWN.len());
    let method = KNOWN.iter().chain(&UNKNOWN).nth(which).unwrap();
    let (call_id, agent) = (noise(chance), noise(chance));
    let mut text = request(method, number, &call_id, &agent);
    if chance.below(50) == 0 {
        let cut = chance.below(text.len());
        text.truncate(cut.max(1));
    }
    text
}

fn request(method: &[u8], number: usize, call_id: &[u8], agent: &[u8]) -> Vec<u8> {
    let mut text = method.to_vec();
    let put = |text: &mut Vec<u8>, more: &[u8]| text.extend_from_slice(more);
    put(
        &mut text,
        format!(" sip:{MARK}@{PROXY} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK{number}\r\n")
            .as_bytes(),
    );
    put(
        &mut text,
        format!("From: <sip:{MARK}@a>;tag=f{number}\r\nTo: \"{MARK}\" <sip:{MARK}@b>\r\nCSeq: 1 ").as_bytes(),
    );
    put(&mut text, method);
    put(&mut text, format!("\r\nCall-ID: {number}-").as_bytes());
    // Some of them break the message, and most do not.
    text.extend(call_id.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    put(&mut text, b"\r\nUser-Agent: ");
    text.extend(agent.iter().filter(|byte| **byte != b'\r'));
    put(&mut text, format!("{MARK}\r\nMax-Forwards: 70\r\nContact: <sip:{MARK}@{CALLER}>\r\nAuthorization: Digest username=\"{MARK}\", response=\"{MARK}\"\r\nSession-ID: {MARK}\r\nTraceparent: 00-{MARK}\r\n").as_bytes());
    let body = format!("{MARK}\r\n");
    put(&mut text, format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    text
}

/// An answer to what came, with a reason that is as bad as the rest.
fn answer(code: u16, reason: &[u8], request: &[u8]) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {code} {MARK}").into_bytes();
    text.extend(reason.iter().filter(|byte| **byte != b'\r'));
    text.extend_from_slice(b"\r\n");
    for line in request.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let kept: [&[u8]; 5] = [b"Via:", b"From:", b"To:", b"CSeq:", b"Call-ID:"];
        if kept.iter().any(|name| line.starts_with(name)) {
            text.extend_from_slice(line);
            if line.starts_with(b"To:") && !line.windows(5).any(|part| part == b";tag=") {
                text.extend_from_slice(b";tag=callee");
            }
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    text
}

fn caller() -> Hop {
    let listener = ListenerId::new(0);
    Hop { transport: Transport::Udp, listener, remote: address(CALLER), connection: None }
}

struct Party {
    core: Core,
    recorder: Recorder,
    telemetry: Telemetry,
    now: Instant,
    /// What the destinations answer.
    callee: Callee,
}

/// How destinations answer.
enum Callee {
    /// With any code, and a reason that may be no text.
    Hostile(Chance),
    /// With these codes, one after the other, and then no more.
    Scripted(Vec<u16>),
}

impl Callee {
    /// The answer to a request, if there is one.
    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hostile(chance) => {
                let code = *chance.pick(&CODES);
                Some(answer(code, &noise(chance), request))
            }
            Self::Scripted(codes) if codes.is_empty() => None,
            Self::Scripted(codes) => Some(answer(codes.remove(0), b"", request)),
        }
    }
}

impl Party {
    /// Says something and then sees to what comes of it.
    fn say(&mut self, bytes: &[u8]) {
        self.core.handle_input(Input::Message { hop: caller(), bytes }, self.now);
        self.settle();
    }

    /// Lets time go by.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        while self.core.poll_timeout().is_some_and(|due| due <= self.now) {
            self.core.handle_timeout(self.now);
            self.settle();
        }
    }

    /// Takes what the core put out, answers it, and records what happened.
    fn settle(&mut self) {
        for _ in 0..8 {
            let caller = address(CALLER);
            let down = self.core.outbox().transmits().filter(|(hop, _)| hop.remote != caller);
            let answers: Vec<(Hop, Vec<u8>)> = down
                .filter(|(_, bytes)| !bytes.starts_with(b"ACK ") && !bytes.starts_with(b"SIP/"))
                .filter_map(|(hop, bytes)| Some((hop, self.callee.answer(bytes)?)))
                .collect();
            let recorder = &mut self.recorder;
            self.core.outbox().tell_events(|event| recorder.record(event));
            self.core.outbox().clear();
            for (hop, bytes) in &answers {
                self.core.handle_input(Input::Message { hop: *hop, bytes }, self.now);
            }
            if answers.is_empty() {
                return;
            }
        }
    }

    /// Has every outcome of every method once. More are possible than are worth a series each from the
    /// start, so one begins when it first happens. The unknown methods and codes are others than those that
    /// follow, which must add to the same series.
    fn go_through_what_can_happen(&mut self) {
        let mut number = REQUESTS;
        let codes = CODES.map(|code| if matches!(code, 499 | 699) { code - 1 } else { code });
        for method in KNOWN.into_iter().chain([&b"WHATEVER"[..]]) {
            let alone = codes.iter().map(|code| vec![*code]);
            let after_failover = codes.iter().map(|code| vec![503, *code]);
            for codes in alone.chain(after_failover).chain([vec![]]) {
                number += 1;
                self.callee = Callee::Scripted(codes);
                self.say(&request(method, number, b"id", b"agent"));
                // Longer than any timer, and in steps, so that none fires late.
                (0..200).for_each(|_| self.wait(Duration::from_secs(1)));
            }
        }
    }

    fn scrape(&self, format: Format) -> String {
        let snapshot = self.core.snapshot(self.now, Detail::Metrics);
        self.telemetry.render(vec![snapshot], surroundings(), format).collect()
    }

    /// The series of a scrape, none of which holds anything from the wire.
    fn series(&self) -> BTreeSet<String> {
        let text = self.scrape(Format::Text);
        for text in [&text, &self.scrape(Format::OpenMetrics)] {
            assert!(!text.contains(MARK) && !text.replace('\n', "").contains(char::is_control));
        }
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    }
}

/// Fails if a span that was exported has a control character or a secret; how many there were.
fn check_spans(exports: &mut Exports) -> usize {
    let mut count = 0;
    while let Ok(export) = exports.try_recv() {
        for span in export.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans) {
            count += 1;
            let events = span.events.iter().flat_map(|event| &event.attributes);
            let values =
                span.attributes.iter().chain(events).filter_map(|attribute| attribute.value.as_ref());
            let texts = values.filter_map(|value| match &value.value {
                Some(Value::StringValue(text)) => Some(text.as_str()),
                _ => None,
            });
            for text in texts.chain([span.name.as_str()]) {
                assert!(!text.contains(char::is_control), "a control character in a span: {text:?}");
                assert!(!text.contains(MARK), "a secret in a span: {text}");
            }
        }
    }
    count
}

#[test]
fn a_hundred_thousand_hostile_requests_leave_no_series_no_control_byte_and_no_secret() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (endpoint, mut exports) = runtime.block_on(http_collector(200));
    let yaml = format!(
        "listen: [\"udp://{PROXY}\"]\ntracing: {{otlp: \"{endpoint}\", protocol: http, ratio: 0.02}}\nsip: {{timer_c: 181s}}\n\
         sets: {{pbx: {{probe: {{enabled: false}}, passive: {{enabled: false}}, destinations: [\"sip:10.0.1.1:5060\", \"sip:10.0.1.2:5060\"]}}}}\n"
    );
    let plan = plan(&yaml, &mut Names::default());
    let directory = Arc::clone(plan.directory());
    let telemetry =
        Telemetry::start(&telemetry_settings(&yaml), directory, runtime.handle().clone()).unwrap();
    let now = Instant::now();
    let secret = Secret::new(*b"a secret of 16 b");
    let core = Core::new(WorkerId(0), plan, &secret, &Loads::new(now), Instant::now, now);
    let recorder = telemetry.recorder();
    let mut party = Party { core, recorder, telemetry, now, callee: Callee::Scripted(vec![]) };
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone());
    let (mut told, mut spans) = (0, 0);
    let before = tracing::subscriber::with_default(lines.finish(), || {
        party.go_through_what_can_happen();
        let before = party.series();
        party.callee = Callee::Hostile(Chance(0xca11ee));
        let mut chance = Chance(0xbad);
        for number in 0..REQUESTS {
            party.say(&any(&mut chance, number));
            party.wait(Duration::from_millis(2));
            if number % 1_000 == 0 {
                told += log.check();
                spans += check_spans(&mut exports);
            }
        }
        assert!(runtime.block_on(party.telemetry.flush(Duration::from_secs(20))), "spans are exported");
        before
    });
    told += log.check();
    spans += check_spans(&mut exports);
    let after = party.series();
    println!("{told} lines, {spans} spans, {} series", after.len());
    assert!(told > REQUESTS && spans > 5_000, "{told} lines and {spans} spans are not what they should be");
    let changed: Vec<&String> = after.symmetric_difference(&before).collect();
    assert!(changed.is_empty(), "{} series became {}: {changed:?}", before.len(), after.len());
}
