//! A whole core between simulated parties, under a virtual clock.
//!
//! Messages are text, so a test reads like a ladder diagram: `receive` hands the core a message,
//! `advance` lets time pass, `sent_to` takes what the core sent. Probes are answered behind the
//! scenes as each destination's [`Health`] says. What [`Promises`] watches holds in every step.

mod promises;

use promises::Promises;
use sipwarden::config;
use sipwarden::dispatch::Loads;
use sipwarden::facts::event::{DnsResult, Event, ReloadTrigger, TransportReason};
use sipwarden::facts::evidence::Evidence;
use sipwarden::facts::lookup::{Found, Lookup, Resolution};
use sipwarden::facts::names::Names;
use sipwarden::facts::record::TransactionRecord;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::snapshot::{DestinationSnapshot, Detail, Snapshot};
use sipwarden::facts::{
    Admin, ConnectionChoice, ConnectionId, Hop, ListenerId, SetId, State, Target, Transport, WorkerId,
};
use sipwarden::proxy::{Answers, Core, Input, Interfaces, Plan, Settings};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const PROXY: &str = "10.0.0.1:5060";
pub const CALLER: &str = "192.0.2.7:5070";
pub const D1: &str = "10.0.1.1:5060";
pub const D2: &str = "10.0.1.2:5060";

/// Two destinations in one set, probed every 10 s with a time-out of 2 s.
pub const TWO: &str = "
listen: [\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"]
sets:
  pbx:
    algorithm: priority
    destinations: [{id: d1, uri: \"sip:10.0.1.1:5060\"}, {id: d2, uri: \"sip:10.0.1.2:5060\"}]
";

/// How a destination answers probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Answers(u16),
    Silent,
    Unreachable,
}

/// A message that the core sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub hop: Hop,
    pub text: String,
    pub at: Duration,
}

pub struct World {
    pub core: Core,
    pub now: Instant,
    base: Instant,
    names: Names,
    loads: Arc<Loads>,
    /// What is configured, and what its names stand for.
    settings: Settings,
    answers: Answers,
    /// The plan of both.
    pub expanded: Arc<Plan>,
    mailboxes: BTreeMap<SocketAddr, VecDeque<Sent>>,
    /// Sent and not yet where it goes.
    under_way: VecDeque<Sent>,
    pub events: Vec<Event>,
    /// What requests have shown of their destinations.
    pub evidence: Vec<(Target, Evidence)>,
    promises: Promises,
    /// Probes that nobody has answered.
    pub probes: Vec<Sent>,
    health: BTreeMap<SocketAddr, Health>,
    unreachable: BTreeSet<SocketAddr>,
    closed: BTreeSet<ConnectionId>,
}

impl World {
    /// A core with this configuration whose destinations have answered their first probes.
    pub fn new(yaml: &str) -> Self {
        let mut world = Self::cold(yaml);
        world.advance(1_500);
        world.events.clear();
        world
    }

    /// The same before any probe.
    pub fn cold(yaml: &str) -> Self {
        let mut names = Names::default();
        let plan = plan(yaml, &mut names);
        Self::with_plan(plan, names)
    }

    /// The same with a configuration that is compiled already.
    pub fn with_plan(plan: Arc<Plan>, names: Names) -> Self {
        let base = Instant::now();
        let secret = Secret::new(*b"a secret of 16 b");
        let loads = Loads::new(base);
        let mut core = Core::new(WorkerId(0), Arc::clone(&plan), &secret, &loads, Instant::now, base);
        let mut promises = Promises::default();
        promises.publish(core.take_verdicts().expect("a new core has verdicts"));
        Self {
            core,
            now: base,
            base,
            names,
            loads,
            settings: plan.settings().clone(),
            answers: Answers::new(),
            expanded: plan,
            mailboxes: BTreeMap::new(),
            under_way: VecDeque::new(),
            events: Vec::new(),
            evidence: Vec::new(),
            promises,
            probes: Vec::new(),
            health: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    pub fn set_health(&mut self, destination: &str, health: Health) {
        self.health.insert(address(destination), health);
    }

    /// Whether datagrams to an address come back as ICMP port unreachable.
    pub fn set_unreachable(&mut self, destination: &str, is_unreachable: bool) {
        let address = address(destination);
        if is_unreachable {
            self.unreachable.insert(address)
        } else {
            self.unreachable.remove(&address)
        };
    }

    /// Closes a connection: what is to leave on it and no other comes back.
    pub fn close(&mut self, connection: ConnectionId) {
        self.closed.insert(connection);
    }

    /// Reloads another configuration.
    pub fn reload(&mut self, yaml: &str) {
        self.reload_to(settings(yaml));
    }

    /// The same with settings that have been read already.
    pub fn reload_to(&mut self, settings: Settings) {
        self.settings = settings;
        self.expanded = self.plan();
        let plan = Arc::clone(&self.expanded);
        self.input(Input::Reload { plan, trigger: ReloadTrigger::Api });
    }

    /// The configuration with a destination for each endpoint that its names stand for.
    fn plan(&mut self) -> Arc<Plan> {
        let settings = self.settings.expanded(&self.answers);
        self.expanded.give_back(&mut self.names, &self.loads, self.now);
        Arc::new(Plan::new(settings, &Interfaces::default(), &mut self.names))
    }

    /// A look-up of a name ends; what it stands for then is made known as the control plane does.
    pub fn resolve(&mut self, name: &str, result: DnsResult, found: &[Found]) {
        let destinations = self.settings.sets.iter().flat_map(|set| &set.dispatch.destinations);
        let lookups = destinations.filter_map(|destination| destination.lookup.clone());
        let lookups: BTreeSet<Lookup> = lookups.filter(|lookup| &*lookup.name == name).collect();
        for lookup in lookups {
            if !found.is_empty() {
                self.answers.insert(lookup.clone(), found.to_vec());
            }
            let (found, took) = (found.to_vec(), Duration::from_millis(3));
            self.input(Input::Resolved(Resolution { lookup, result, found, took }));
        }
        let plan = self.plan();
        let (former, next) = (&self.expanded.settings().sets, &plan.settings().sets);
        if former != next {
            self.expanded = Arc::clone(&plan);
            self.input(Input::Replan(plan));
        }
    }

    pub fn set_admin(&mut self, id: &str, admin: Admin) {
        let target = self.target(id);
        self.input(Input::SetAdmin { target, admin });
    }

    /// The core receives a message over UDP.
    pub fn receive(&mut self, from: &str, text: &str) {
        self.receive_over(Transport::Udp, from, text);
    }

    pub fn receive_over(&mut self, transport: Transport, from: &str, text: &str) {
        self.receive_bytes(transport, from, text.as_bytes());
    }

    pub fn receive_bytes(&mut self, transport: Transport, from: &str, bytes: &[u8]) {
        let listener = ListenerId::new(u8::from(transport == Transport::Tcp));
        let hop = Hop { transport, listener, remote: address(from), connection: None };
        self.input(Input::Message { hop, bytes });
    }

    /// The core receives a message on a connection.
    pub fn receive_on(&mut self, connection: ConnectionId, from: &str, text: &str) {
        let connection = Some(ConnectionChoice::Preferred(connection));
        let listener = ListenerId::new(1);
        let hop = Hop { transport: Transport::Tcp, listener, remote: address(from), connection };
        self.input(Input::Message { hop, bytes: text.as_bytes() });
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.step(input);
        self.pump();
    }

    /// Lets time pass, firing timers at their times.
    pub fn advance(&mut self, ms: u64) {
        self.wakes_within(ms);
    }

    /// The same; how often they woke the core.
    pub fn wakes_within(&mut self, ms: u64) -> usize {
        let until = self.now + Duration::from_millis(ms);
        let mut wakes = 0;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            self.take_output(None);
            self.pump();
            wakes += 1;
        }
        self.now = until;
        wakes
    }

    fn step(&mut self, input: Input<'_>) {
        let told = if let Input::Message { bytes, .. } = &input { Some(*bytes) } else { None };
        self.core.handle_input(input, self.now);
        self.take_output(told);
    }

    /// Takes what one step of the core put out.
    fn take_output(&mut self, told: Option<&[u8]>) {
        let at = self.now.duration_since(self.base);
        let outbox = self.core.outbox();
        let sent: Vec<(Hop, Vec<u8>)> =
            outbox.transmits().map(|(hop, bytes)| (hop, bytes.to_vec())).collect();
        let events: Vec<Event> = outbox.drain_events().collect();
        let evidence: Vec<_> = outbox.drain_evidence().collect();
        outbox.clear();
        self.promises.step(told, &sent, &events);
        let (contexts, clients, servers, _) = self.core.holdings();
        let timers = self.core.timers();
        assert!(
            timers <= contexts + clients + servers,
            "{timers} timers for {contexts} contexts, {clients} clients, {servers} servers"
        );
        if let Some(verdicts) = self.core.take_verdicts() {
            self.promises.publish(verdicts);
        }
        self.events.extend(events);
        self.under_way.extend(sent.into_iter().map(|(hop, bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Sent { hop, text, at }
        }));
        // The owner of states hears of it at once, as with one worker.
        for (target, evidence) in evidence {
            self.evidence.push((target, evidence));
            self.step(Input::Evidence { target, evidence });
        }
    }

    /// Delivers what the core put out until it is quiet.
    fn pump(&mut self) {
        while let Some(message) = self.under_way.pop_front() {
            self.deliver(message);
        }
    }

    fn deliver(&mut self, sent: Sent) {
        let to = sent.hop.remote;
        let is_probe = sent.text.starts_with("OPTIONS ") && sent.text.contains(";branch=z9hG4bKsp");
        let health = self.health.get(&to).copied().unwrap_or(Health::Answers(200));
        if let Some(ConnectionChoice::Only(id)) = sent.hop.connection
            && self.closed.contains(&id)
        {
            let reason = TransportReason::Closed;
            self.step(Input::Undeliverable { hop: sent.hop, message: sent.text.as_bytes(), reason });
        } else if self.unreachable.contains(&to) || is_probe && health == Health::Unreachable {
            let reason = TransportReason::Icmp;
            // ICMP quotes the beginning only.
            let quote = sent.text.as_bytes()[..sent.text.len().min(200)].to_vec();
            self.step(Input::Undeliverable { hop: sent.hop, message: &quote, reason });
        } else if is_probe {
            if let Health::Answers(code) = health {
                let hop = sent.hop;
                let reply = reply(&sent.text, code, "probe", "");
                self.step(Input::Message { hop, bytes: reply.as_bytes() });
            } else {
                self.probes.push(sent);
            }
        } else {
            self.mailboxes.entry(to).or_default().push_back(sent);
        }
    }

    /// Takes the next message sent to an address; fails if it does not begin as said.
    #[track_caller]
    pub fn sent_to(&mut self, to: &str, begins: &str) -> Sent {
        let sent = self.mailboxes.get_mut(&address(to)).and_then(VecDeque::pop_front);
        let sent = sent
            .unwrap_or_else(|| panic!("nothing sent to {to}, expected {begins}; events {:#?}", self.events));
        assert!(sent.text.starts_with(begins), "expected {begins} to {to}, got:\n{}", sent.text);
        sent
    }

    /// Fails if anything was sent to an address that has not been taken.
    #[track_caller]
    pub fn quiet(&self, to: &str) {
        if let Some(sent) = self.mailboxes.get(&address(to)).and_then(|queue| queue.front()) {
            panic!("unexpected message to {to}:\n{}", sent.text);
        }
    }

    /// Whether anything waits for an address.
    pub fn core_sent(&self, to: &str) -> bool {
        self.mailboxes.get(&address(to)).is_some_and(|queue| !queue.is_empty())
    }

    /// Takes and counts everything sent to an address.
    pub fn drain(&mut self, to: &str) -> Vec<Sent> {
        self.mailboxes.remove(&address(to)).map_or(Vec::new(), Vec::from)
    }

    /// Takes everything sent to anybody.
    pub fn drain_all(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.mailboxes).into_values().flatten().collect()
    }

    pub fn target(&self, id: &str) -> Target {
        self.find(id).unwrap_or_else(|| panic!("no destination {id}"))
    }

    /// The target of the first destination with an id, if one is configured.
    pub fn find(&self, id: &str) -> Option<Target> {
        self.find_destination(id).map(|destination| destination.target)
    }

    pub fn destination(&self, id: &str) -> DestinationSnapshot {
        self.find_destination(id).unwrap_or_else(|| panic!("no destination {id}"))
    }

    fn find_destination(&self, id: &str) -> Option<DestinationSnapshot> {
        let snapshot = self.core.snapshot(self.now, Detail::Full);
        let mut all = snapshot.sets.into_iter().flat_map(|set| set.destinations);
        all.find(|destination| &*destination.id == id)
    }

    /// Calls in progress on a destination, as the core counts them.
    pub fn calls(&self, id: &str) -> u64 {
        self.destination(id).load.calls
    }

    /// How many dialogs are early, and how many confirmed.
    pub fn dialogs(&self) -> (u64, u64) {
        let snapshot = self.core.snapshot(self.now, Detail::Metrics);
        let sum = |counts: &[(SetId, u64)]| counts.iter().map(|(_, count)| count).sum();
        (sum(&snapshot.early), sum(&snapshot.dialogs))
    }

    pub fn state(&self, id: &str) -> State {
        self.destination(id).state
    }

    pub fn is_all_down(&self) -> bool {
        self.core.snapshot(self.now, Detail::Metrics).sets[0].all_down
    }

    /// The records of finished transactions of a method since the events were last cleared.
    pub fn records(&self, method: &str) -> Vec<&TransactionRecord> {
        let finished = self.events.iter().filter_map(|event| match event {
            Event::TransactionFinished(record) if record.method.as_str() == method => Some(&**record),
            _ => None,
        });
        finished.collect()
    }

    pub fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }

    /// Whether what the core counts is what its events say.
    #[track_caller]
    pub fn check_counts(&self) {
        self.promises.check_counts(&self.core.snapshot(self.now, Detail::Metrics));
    }

    /// Lets every timer of a request run out and checks that nothing is kept of any.
    #[track_caller]
    pub fn settle(&mut self) {
        // Timer C and what follows it end within 400 s.
        for _ in 0..40 {
            self.advance(10_000);
            if self.left_over().is_none() {
                break;
            }
        }
        assert_eq!(self.left_over(), None, "left over");
        self.check_counts();
        self.promises.check_the_end();
    }

    /// What is held of requests, if anything is.
    fn left_over(&self) -> Option<String> {
        let (contexts, clients, servers, dialogs) = self.core.holdings();
        let (messages, contacts) = self.core.kept();
        let Snapshot { probes_in_flight, waiting, in_flight, early, .. } =
            self.core.snapshot(self.now, Detail::Metrics);
        let probes: u64 = probes_in_flight.iter().map(|(_, count)| count).sum();
        let open: u64 = in_flight.iter().map(|(_, _, count)| count).sum();
        let is_clean = contexts + servers == 0
            && clients as u64 <= probes
            && open <= probes
            && waiting.is_empty()
            && early.is_empty()
            && self.core.unfinished() == 0
            // A probe is a few chunks; Contacts belong to dialogs.
            && messages <= 4 * clients
            && (contacts == 0 || dialogs > 0);
        (!is_clean).then(|| format!("{contexts} contexts, {clients} clients, {servers} servers, {probes} probes, {messages} chunks of messages, {contacts} of Contacts, waiting {waiting:?}, early {early:?}, in flight {in_flight:?}"))
    }
}

pub fn settings(yaml: &str) -> Settings {
    let config = config::from_str(yaml, "test.yaml", &BTreeMap::new());
    config.unwrap_or_else(|error| panic!("{error}")).proxy
}

pub fn plan(yaml: &str, names: &mut Names) -> Arc<Plan> {
    Arc::new(Plan::new(settings(yaml), &Interfaces::default(), names))
}

/// An address that a name stands for, by an A record.
pub fn found(text: &str) -> Found {
    Found { address: address(text), rank: 0, weight: None }
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is not an address"))
}

/// The value of the first header field with a name.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    headers(message, name).next()
}

pub fn headers<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = message.split("\r\n").take_while(|line| !line.is_empty());
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The answer of a user agent to a request; `contact` empty adds none.
pub fn reply(request: &str, code: u16, tag: &str, contact: &str) -> String {
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            let needs_tag = name == "To" && code > 100 && !value.contains(";tag=");
            let tag = if needs_tag { format!(";tag={tag}") } else { String::new() };
            text.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
    }
    if !contact.is_empty() {
        text.push_str(&format!("Contact: <{contact}>\r\n"));
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// A call as its caller sees it.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: String,
    pub from: String,
    pub cseq: u32,
    pub to_tag: Option<String>,
    pub routes: Vec<String>,
    pub uri: String,
    pub branches: u32,
}

impl Call {
    pub fn new(id: &str) -> Self {
        Self::from(id, CALLER)
    }

    pub fn from(id: &str, from: &str) -> Self {
        Self {
            id: id.into(),
            from: from.into(),
            cseq: 0,
            to_tag: None,
            routes: Vec::new(),
            uri: format!("sip:1000@{PROXY}"),
            branches: 0,
        }
    }

    /// A new request of the call, with the next CSeq.
    pub fn request(&mut self, method: &str) -> String {
        self.cseq += 1;
        self.branches += 1;
        self.text(method, self.cseq, &format!("z9hG4bK{}-{}", self.id, self.branches), "")
    }

    /// The same with further header lines, each ended by CRLF.
    pub fn request_with(&mut self, method: &str, lines: &str) -> String {
        self.cseq += 1;
        self.branches += 1;
        self.text(method, self.cseq, &format!("z9hG4bK{}-{}", self.id, self.branches), lines)
    }

    /// The CANCEL, or the ACK to a non-2xx, of the last INVITE: same branch, same CSeq number.
    pub fn companion(&self, method: &str) -> String {
        self.text(method, self.cseq, &format!("z9hG4bK{}-{}", self.id, self.branches), "")
    }

    /// The ACK to a 2xx: a branch of its own, the CSeq number of the INVITE.
    pub fn ack(&self) -> String {
        self.text("ACK", self.cseq, &format!("z9hG4bK{}-ack{}", self.id, self.branches), "")
    }

    fn text(&self, method: &str, cseq: u32, branch: &str, lines: &str) -> String {
        let Self { id, from, uri, .. } = self;
        let tag = self.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        let routes: String = self.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch={branch}\r\n{routes}Max-Forwards: 70\r\n\
             From: <sip:alice@{from}>;tag=from-{id}\r\nTo: <sip:1000@{PROXY}>{tag}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:alice@{from}>\r\n{lines}Content-Length: 0\r\n\r\n"
        )
    }

    /// Learns the dialog from a 2xx, as its caller.
    pub fn learn(&mut self, response: &str) {
        let to = header(response, "To").expect("a response has a To");
        self.to_tag = to.split(";tag=").nth(1).map(str::to_owned);
        self.routes = headers(response, "Record-Route").map(str::to_owned).collect();
        self.routes.reverse();
        if let Some(contact) = header(response, "Contact") {
            self.uri = contact.trim_matches(['<', '>']).to_owned();
        }
    }
}
