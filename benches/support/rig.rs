//! One core between a caller and destinations that live in memory: no socket, no clock.
//!
//! [`Rig::call`] plays a whole call through it, as fast as the core can. The parties use buffers of
//! their own again, so what is counted while it plays is the product's; [`product`] holds all that
//! is called of it, so that a profile can tell it from the parties.

#[path = "script.rs"]
pub mod script;

use script::Script;
use sipwarden::config;
use sipwarden::dispatch::Loads;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::snapshot::{Detail, Surroundings};
use sipwarden::facts::{Hop, ListenerId, Transport, WorkerId};
use sipwarden::proxy::{Core, Interfaces, Plan};
use sipwarden::telemetry::{Format, Recorder, Telemetry};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROXY: &str = "10.0.0.1:5060";
const CALLER: &str = "10.9.0.1:6000";
const CALLEE: &str = "10.1.1.1:5060";

/// What a rig is built for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many destinations the one set has.
    pub destinations: usize,
    /// The set's algorithm.
    pub algorithm: &'static str,
    /// Bytes added to the body of each INVITE and its answer.
    pub padding: usize,
    /// Virtual time from one call to the next.
    pub pace: Duration,
    /// `limits.linger`, in MiB.
    pub linger_mib: u64,
    /// Whether events are recorded as metrics.
    pub records: bool,
    /// Whether the spans of every call are written; nobody exports them.
    pub traces: bool,
    /// `metrics.detail`; what is not `auto` may have as many series as it makes.
    pub detail: &'static str,
    /// Whether destinations are probed, in vain; calls need some that are not.
    pub probes: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            destinations: 10,
            algorithm: "round_robin",
            padding: 0,
            pace: Duration::from_millis(10),
            linger_mib: 256,
            records: true,
            traces: false,
            detail: "auto",
            probes: false,
        }
    }
}

/// A core, its recorder, and the parties around it.
pub struct Rig {
    core: Core,
    telemetry: Telemetry,
    recorder: Option<Recorder>,
    now: Instant,
    pace: Duration,
    calls: u64,
    caller: Hop,
    /// Where the last request went.
    callee: Option<Hop>,
    script: Script,
    tokio: tokio::runtime::Runtime,
}

impl Rig {
    /// A core whose destinations are all up, or probed.
    pub fn new(shape: Shape) -> Self {
        let config = config::from_str(&yaml(shape), "rig.yaml", &BTreeMap::new())
            .unwrap_or_else(|error| panic!("the rig's own configuration: {error}"));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let plan = Arc::new(Plan::new(config.proxy, &Interfaces::default(), &mut Names::default()));
        let directory = Arc::clone(plan.directory());
        let telemetry = Telemetry::start(&config.telemetry, directory, tokio.handle().clone())
            .expect("there is nothing to connect to");
        let recorder = shape.records.then(|| telemetry.recorder());
        let now = Instant::now();
        let core = Core::new(
            WorkerId(0),
            plan,
            &Secret::new(*b"a secret of 16 b"),
            &Loads::new(now),
            Instant::now,
            now,
        );
        let remote: SocketAddr = CALLER.parse().expect("an address");
        let caller =
            Hop { transport: Transport::Udp, listener: ListenerId::new(0), remote, connection: None };
        let script = Script::new(PROXY, CALLER, CALLEE, shape.padding);
        let (pace, calls, callee) = (shape.pace, 0, None);
        let mut rig = Self { core, telemetry, recorder, now, pace, calls, caller, callee, script, tokio };
        rig.settle();
        rig
    }

    /// Plays one whole call and lets `pace` pass.
    pub fn call(&mut self) {
        self.ring();
        self.finish();
    }

    /// Plays one whole call that its first destination refuses, and lets `pace` pass.
    pub fn failover(&mut self) {
        self.invite();
        let refuses = self.callee;
        self.answer(503);
        assert!(self.script.down.starts_with(b"INVITE ") && self.callee != refuses, "it went on to another");
        self.answer(180);
        self.finish();
    }

    /// Begins a call that is never answered.
    pub fn ring(&mut self) {
        self.invite();
        self.answer(180);
    }

    /// Plays a call up to its ACK.
    pub fn establish(&mut self) {
        self.ring();
        self.pick_up();
    }

    fn invite(&mut self) {
        self.calls += 1;
        self.script.invite(self.calls);
        self.send(self.caller);
        assert!(self.script.down.starts_with(b"INVITE "), "the INVITE went down");
    }

    fn pick_up(&mut self) {
        self.answer(200);
        self.follow("ACK", 1);
    }

    /// The rest of a call that rings.
    fn finish(&mut self) {
        self.pick_up();
        self.follow("BYE", 2);
        self.answer(200);
        assert!(self.script.up.starts_with(b"SIP/2.0 200 "), "the BYE was answered");
        self.pass(self.pace);
    }

    /// Lets time pass; timers fire at its end.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.core.poll_timeout().is_some_and(|due| due <= self.now) {
            product::handle_timeout(&mut self.core, self.now);
            self.settle();
        }
    }

    /// Bytes of an INVITE as the caller sends it.
    pub fn size_of_invite(&mut self) -> usize {
        self.script.invite(self.calls);
        self.script.said.len()
    }

    /// What finished transactions take, as the core counts it.
    pub fn linger(&self) -> u64 {
        self.core.snapshot(self.now, Detail::Metrics).linger
    }

    /// Repeats the very first INVITE; how many messages came of it.
    pub fn repeat_first_invite(&mut self) -> usize {
        self.script.invite(1);
        product::receive(&mut self.core, self.caller, &self.script.said, self.now);
        let sent = self.core.outbox().pending();
        self.settle();
        sent
    }

    /// A whole scrape: snapshot and text; how long the text is.
    pub fn scrape(&self) -> usize {
        product::scrape(&self.core, &self.telemetry, self.now)
    }

    /// Spans that found the queue full.
    pub fn spans_lost(&self) -> u64 {
        const SERIES: &str = "sipwarden_otlp_spans_dropped_total{reason=\"queue_full\"} ";
        let text: String = self.telemetry.render(vec![], Surroundings::default(), Format::Text).collect();
        let value = text.lines().find_map(|line| line.strip_prefix(SERIES));
        value.and_then(|value| value.parse().ok()).expect("it is always there")
    }

    /// Ends the rig; there is nothing to wait for.
    pub fn end(self) {
        self.tokio.shutdown_background();
    }

    fn follow(&mut self, method: &str, cseq: u32) {
        self.script.follow(self.calls, method, cseq);
        self.send(self.caller);
        assert!(self.script.down.starts_with(method.as_bytes()), "the {method} went down");
    }

    fn answer(&mut self, code: u16) {
        self.script.answer(code);
        self.send(self.callee.expect("something went down before"));
    }

    /// Gives the core what was said.
    fn send(&mut self, from: Hop) {
        product::receive(&mut self.core, from, &self.script.said, self.now);
        self.settle();
    }

    /// Takes what the core put out, and records it.
    fn settle(&mut self) {
        let Self { core, script, callee, caller, recorder, .. } = self;
        for (hop, bytes) in core.outbox().transmits() {
            let seen = if hop.remote == caller.remote { &mut script.up } else { &mut script.down };
            seen.clear();
            seen.extend_from_slice(bytes);
            if hop.remote != caller.remote {
                *callee = Some(hop);
            }
        }
        product::record(core, recorder.as_mut());
        core.outbox().clear();
    }
}

/// The product's part of a step.
mod product {
    use sipwarden::facts::Hop;
    use sipwarden::facts::snapshot::{Detail, Surroundings};
    use sipwarden::proxy::{Core, Input};
    use sipwarden::telemetry::{Format, Recorder, Telemetry};
    use std::time::Instant;

    #[inline(never)]
    pub fn receive(core: &mut Core, hop: Hop, bytes: &[u8], now: Instant) {
        core.handle_input(Input::Message { hop, bytes }, now);
    }

    #[inline(never)]
    pub fn handle_timeout(core: &mut Core, now: Instant) {
        core.handle_timeout(now);
    }

    #[inline(never)]
    pub fn record(core: &mut Core, recorder: Option<&mut Recorder>) {
        match recorder {
            Some(recorder) => core.outbox().tell_events(|event| recorder.record(event)),
            None => core.outbox().tell_events(|_| {}),
        }
    }

    #[inline(never)]
    pub fn scrape(core: &Core, telemetry: &Telemetry, now: Instant) -> usize {
        let snapshot = core.snapshot(now, Detail::Metrics);
        let pieces = telemetry.render(vec![snapshot], Surroundings::default(), Format::OpenMetrics);
        pieces.map(|piece| piece.len()).sum()
    }
}

fn yaml(shape: Shape) -> String {
    let Shape { destinations, algorithm, linger_mib, traces, detail, probes, .. } = shape;
    let max_series = if detail == "auto" { 50_000 } else { 10_000_000 };
    let tracing = if traces { "tracing: {otlp: \"http://127.0.0.1:9\", ratio: 1.0}\n" } else { "" };
    let mut yaml = format!(
        "listen: [\"udp://{PROXY}\"]\nworkers: 1\nlog: {{level: error}}\n{tracing}metrics: {{detail: {detail}, max_series: {max_series}}}\nsip: {{mtu: 65535, timer_c: 1h}}\n\
         limits: {{linger: {linger_mib}MiB, transactions: 10000000}}\n\
         sets:\n  pbx:\n    algorithm: {algorithm}\n    probe: {{enabled: {probes}}}\n    destinations:\n"
    );
    for n in 0..destinations {
        let (high, low) = (n / 250 + 1, n % 250 + 1);
        yaml.push_str(&format!("      - {{id: d{n}, uri: \"sip:10.1.{high}.{low}:5060\"}}\n"));
    }
    yaml
}
