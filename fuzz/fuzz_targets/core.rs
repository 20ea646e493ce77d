//! Any sequence of inputs into a whole core: calls, answers, CANCELs, broken and doubled messages,
//! lost destinations, other configurations, names, drain, time. What `tests/support/promises.rs`
//! watches holds in every step, nothing goes to anybody else, and in the end nothing is left.
#![no_main]

#[path = "../../tests/support/sim.rs"]
#[allow(dead_code, reason = "shared with the flow tests, which use the rest")]
mod sim;

use libfuzzer_sys::fuzz_target;
use sim::{CALLER, Call, D1, D2, Health, Sent, TWO, World, header, reply};
use sipwarden::facts::event::{DnsResult, TransportReason};
use sipwarden::facts::names::Names;
use sipwarden::facts::{Admin, Hop, ListenerId, Transport};
use sipwarden::proxy::{Input, Plan};
use std::sync::{Arc, LazyLock};

const CODES: [u16; 14] = [100, 180, 183, 200, 202, 302, 401, 404, 408, 486, 487, 500, 503, 603];
const METHODS: [&str; 8] =
    ["INVITE", "BYE", "MESSAGE", "REGISTER", "OPTIONS", "UPDATE", "SUBSCRIBE", "NOTIFY"];
const HEALTH: [Health; 4] = [Health::Answers(200), Health::Answers(503), Health::Silent, Health::Unreachable];
const ADMIN: [Admin; 3] = [Admin::Enabled, Admin::Draining, Admin::Disabled];
const STEPS: [u64; 7] = [1, 40, 500, 2_000, 7_000, 33_000, 190_000];
/// What a message may be spliced with: what its readers look for.
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b"\r\n ",
    b";",
    b",",
    b"<",
    b">",
    b"\"",
    b":",
    b"@",
    b" ",
    b"\0",
    b";rport",
    b";lr",
    b";tag=x",
    b"\r\nRoute: <sip:192.0.2.99;lr>",
    b";maddr=255.255.255.255",
];

/// Stories are short: one failure is enough.
const QUICK: &str =
    "    passive: {consecutive_failures: 1, base_ejection: 5s}\n    retry_after: {max: 20s}\n";
/// What a 503 asks for.
const PAUSES: [&str; 4] =
    ["", "Retry-After: 7\r\n", "Retry-After: 300 (x);duration=5\r\n", "Retry-After: soon\r\n"];

/// Other sets, algorithms and limits, and a destination with a name.
const OTHER: &str = "
listen: [\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"]
limits: {transactions: 3}
sip: {record_route: false}
sets:
  pbx:
    algorithm: hash
    hash: {key: [from, \"header:Contact\"]}
    destinations: [{id: named, uri: \"sip:pbx.example\"}, {id: d2, uri: \"sip:10.0.1.2:5060\"}]
    probe: {interval: 3s, timeout: 1s, down_after: 1, up_after: 2}
    failover: {no_response_after: 500ms, no_progress_after: 3s, max_attempts: 2, after_18x: false}
    passive: {consecutive_failures: 2, base_ejection: 2s, max_ejection: 8s, max_ejected_percent: 100}
  messages:
    algorithm: weighted_round_robin
    destinations: [{id: d1, uri: \"sip:10.0.1.1:5060\", weight: 3}, {id: d2, uri: \"sip:10.0.1.2:5060\", priority: 1}]
    probe: {enabled: false}
routes: [{methods: [MESSAGE, OPTIONS], set: messages}, {from_set: messages, set: pbx}, {set: pbx}]
";

/// Compiled once: reading a configuration takes longer than a whole story.
static PLANS: LazyLock<([Arc<Plan>; 2], Names)> = LazyLock::new(|| {
    let mut names = Names::default();
    let quick = format!("{TWO}{QUICK}");
    let plans = [&quick, OTHER].map(|yaml| sim::plan(yaml, &mut names));
    (plans, names)
});

fuzz_target!(|data: &[u8]| {
    let mut story = Story::new(data);
    while story.step() {}
    story.world.settle();
});

struct Story<'a> {
    data: std::slice::Iter<'a, u8>,
    world: World,
    calls: Vec<Call>,
    /// What each destination received last, and what the caller sent last.
    last: [Option<(Hop, String)>; 2],
    said: String,
}

impl<'a> Story<'a> {
    fn new(data: &'a [u8]) -> Self {
        let (plans, names) = &*PLANS;
        let mut world = World::with_plan(Arc::clone(&plans[0]), names.clone());
        world.advance(1_500);
        let calls = (0..4).map(|n| Call::new(&format!("fuzz-{n}"))).collect();
        Self { data: data.iter(), world, calls, last: [None, None], said: String::new() }
    }

    fn byte(&mut self) -> usize {
        self.data.next().copied().map_or(0, usize::from)
    }

    fn step(&mut self) -> bool {
        let Some(&operation) = self.data.next() else { return false };
        match operation % 14 {
            0..=2 => self.request(),
            3..=5 => self.answer(),
            6 => self.companion(),
            7 => self.mangled_request(),
            8 => self.mangled_answer(),
            9 | 10 => {
                let ms = STEPS[self.byte() % 7];
                self.world.advance(ms);
            }
            11 => {
                let (at, health) = (self.destination(), HEALTH[self.byte() % 4]);
                self.world.set_health(at, health);
            }
            12 => self.undeliverable(),
            _ => self.control(),
        }
        self.collect();
        self.world.check_counts();
        true
    }

    fn destination(&mut self) -> &'static str {
        [D1, D2][self.byte() % 2]
    }

    fn request(&mut self) {
        let (call, method) = (self.byte() % 4, METHODS[self.byte() % 8]);
        self.said = self.calls[call].request(method);
        let said = self.said.clone();
        self.world.receive(CALLER, &said);
    }

    fn companion(&mut self) {
        let (call, kind) = (self.byte() % 4, self.byte() % 4);
        match kind {
            0 => self.said = self.calls[call].companion("CANCEL"),
            1 => self.said = self.calls[call].companion("ACK"),
            2 => self.said = self.calls[call].ack(),
            // The same again.
            _ => {}
        }
        let said = self.said.clone();
        self.world.receive(CALLER, &said);
    }

    /// A destination's answer to what it received last.
    fn reply(&mut self) -> Option<(&'static str, String)> {
        let (which, code) = (self.byte() % 2, CODES[self.byte() % 14]);
        let (_, request) = self.last[which].as_ref()?;
        let at = [D1, D2][which];
        let text = reply(request, code, "callee", &format!("sip:1000@{at}"));
        let pause = if code == 503 { PAUSES[self.byte() % 4] } else { "" };
        Some((at, text.replace("Content-Length", &format!("{pause}Content-Length"))))
    }

    fn answer(&mut self) {
        if let Some((at, text)) = self.reply() {
            self.world.receive(at, &text);
        }
    }

    /// The caller's last message again, damaged.
    fn mangled_request(&mut self) {
        let said = self.said.clone();
        self.receive_mangled(CALLER, said);
    }

    fn mangled_answer(&mut self) {
        if let Some((at, text)) = self.reply() {
            self.receive_mangled(at, text);
        }
    }

    fn receive_mangled(&mut self, from: &str, text: String) {
        let mut bytes = text.into_bytes();
        for _ in 0..self.byte() % 4 {
            let (place, kind, value) = (self.byte() << 8 | self.byte(), self.byte(), self.byte());
            let at = place % (bytes.len() + 1);
            let end = (at + 1).min(bytes.len());
            match kind % 4 {
                0 => drop(bytes.splice(at..end, [u8::try_from(value).expect("a byte")])),
                1 => drop(bytes.splice(at..at, PIECES[value % PIECES.len()].iter().copied())),
                2 => drop(bytes.drain(at..(at + value).min(bytes.len()))),
                _ => bytes.extend_from_within(at..),
            }
        }
        let is_tcp = self.byte() % 4 == 1;
        let hop = Hop {
            transport: if is_tcp { Transport::Tcp } else { Transport::Udp },
            listener: ListenerId::new(u8::from(is_tcp)),
            remote: sim::address(from),
            connection: None,
        };
        self.world.input(Input::Message { hop, bytes: &bytes });
    }

    fn undeliverable(&mut self) {
        let which = self.byte() % 2;
        let Some((hop, message)) = self.last[which].clone() else { return };
        let quote = message.as_bytes()[..message.len().min(self.byte() * 4)].to_vec();
        self.world.input(Input::Undeliverable { hop, message: &quote, reason: TransportReason::Icmp });
    }

    fn control(&mut self) {
        match self.byte() % 12 {
            0..=3 => {
                let (id, admin) = (["d1", "d2"][self.byte() % 2], ADMIN[self.byte() % 3]);
                if let Some(target) = self.world.find(id) {
                    self.world.input(Input::SetAdmin { target, admin });
                }
            }
            4..=6 => {
                let settings = PLANS.0[self.byte() % 2].settings().clone();
                self.world.reload_to(settings);
            }
            7 | 8 => {
                let at = self.destination();
                let is_unreachable = self.byte() % 2 == 0;
                self.world.set_unreachable(at, is_unreachable);
            }
            9 => self.resolved(),
            10 => self.world.input(Input::Drain),
            _ => {
                self.world.input(Input::Drain);
                self.world.input(Input::Abort);
            }
        }
    }

    /// The name of a destination gets an address, another one, or none.
    fn resolved(&mut self) {
        let (result, found) = match self.byte() % 4 {
            0 => (DnsResult::Ok, vec![sim::found(D1)]),
            1 => (DnsResult::Ok, vec![sim::found(D2), sim::found(D1)]),
            2 => (DnsResult::NxDomain, Vec::new()),
            _ => (DnsResult::Timeout, Vec::new()),
        };
        self.world.resolve("pbx.example", result, &found);
    }

    /// Looks at everything that was sent, and has the caller learn from its answers.
    fn collect(&mut self) {
        for sent in self.world.drain_all() {
            let to = sent.hop.remote.ip();
            let party = [D1, D2, CALLER].into_iter().position(|party| sim::address(party).ip() == to);
            let party = party.unwrap_or_else(|| panic!("sent to {}:\n{}", sent.hop.remote, sent.text));
            let is_response = sent.text.starts_with("SIP/2.0");
            if let Some(last) = self.last.get_mut(party).filter(|_| !is_response) {
                *last = Some((sent.hop, sent.text));
            } else if sent.text.starts_with("SIP/2.0 2") {
                self.learn(&sent);
            }
        }
        self.world.events.clear();
    }

    fn learn(&mut self, answer: &Sent) {
        let id = header(&answer.text, "Call-ID");
        let call = self.calls.iter_mut().find(|call| Some(call.id.as_str()) == id);
        if let Some(call) = call.filter(|_| header(&answer.text, "To").is_some()) {
            call.learn(&answer.text);
        }
    }
}
