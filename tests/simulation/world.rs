//! One seed: cores, callers, destinations and the link between them, from event to event.

use crate::caller::Caller;
use crate::chance::Chance;
use crate::checks::{Checks, Told};
use crate::destination::{Destination, Mood};
use crate::link::Link;
use crate::scenario::{self, Act, Setup};
use crate::states::States;
use crate::wire;
use sipwarden::config;
use sipwarden::dispatch::{Loads, Verdicts};
use sipwarden::facts::event::{Event, ReloadTrigger, Role, TransportReason};
use sipwarden::facts::evidence::Evidence;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::Secret;
use sipwarden::facts::snapshot::Detail;
use sipwarden::facts::{Admin, Hop, ListenerId, Target, Transport, WorkerId};
use sipwarden::proxy::{Core, Input, Interfaces, Plan, owner, sender};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug)]
enum Happening {
    ToProxy { hop: Hop, text: Rc<str>, is_stray: bool },
    ToParty { hop: Hop, text: Rc<str> },
    Wake(Party),
    Undeliverable { hop: Hop, text: Rc<str>, reason: TransportReason },
    Act(Act),
    Evidence { target: Target, evidence: Evidence },
    Follow { worker: usize, plan: Option<Arc<Plan>>, verdicts: Arc<Verdicts> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Party {
    Caller(usize),
    Destination(usize),
}

pub struct World {
    cores: Vec<Core>,
    held: Vec<Arc<Verdicts>>,
    now: Instant,
    base: Instant,
    chance: Chance,
    link: Link,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
    woken: HashMap<Party, Instant>,
    callers: Vec<Caller>,
    destinations: Vec<Destination>,
    setup: Setup,
    names: Names,
    plan: Arc<Plan>,
    checks: Checks,
    /// Of the set, and of its fallback.
    states: [States; 2],
    loads: Arc<Loads>,
    /// Whose each address is or was, and how many calls that one takes.
    homes: BTreeMap<SocketAddr, (Target, Option<u32>)>,
    is_calm: bool,
    /// How late a worker wakes up at most, in milliseconds; and how late it does next.
    max_lag: u64,
    lag: Duration,
    /// How long verdicts and configurations take to the other workers.
    hand_over: Duration,
    steps: u64,
    idle_fires: u32,
    ladder: VecDeque<(Instant, String, Rc<str>)>,
    /// How many steps of the ladder are remembered.
    rungs: usize,
    trace: DefaultHasher,
}

impl World {
    pub fn new(seed: u64, rungs: usize) -> Self {
        let mut chance = Chance::new(seed);
        let base = Instant::now();
        let setup = Setup::new(&mut chance);
        let mut names = Names::default();
        let plan = compile(&setup, &mut names);
        let secret = Secret::new(*b"a secret of 16 b");
        let workers = chance.pick(&[1, 1, 2]);
        let loads = Loads::new(base);
        let core =
            |worker| Core::new(WorkerId(worker), Arc::clone(&plan), &secret, &loads, Instant::now, base);
        let link = Link::new(&mut chance);
        let start = base + Duration::from_millis(200);
        let callers = scenario::callers(&mut chance, start);
        let mut world = Self {
            cores: (0..workers).map(core).collect(),
            held: vec![Arc::default(); workers as usize],
            now: base,
            base,
            link,
            queue: BTreeMap::new(),
            queued: 0,
            woken: HashMap::new(),
            callers,
            destinations: Vec::new(),
            names,
            plan,
            checks: Checks::default(),
            states: Default::default(),
            loads,
            homes: BTreeMap::new(),
            is_calm: false,
            max_lag: chance.pick(&[0, 0, 2, 20]),
            lag: Duration::ZERO,
            hand_over: Duration::from_millis(chance.pick(&[1, 20, 200])),
            steps: 0,
            idle_fires: 0,
            ladder: VecDeque::new(),
            rungs,
            trace: DefaultHasher::new(),
            setup,
            chance,
        };
        world.take_setup();
        let begun = base;
        for (at, act) in scenario::acts(&mut world.chance, begun) {
            world.push(at, Happening::Act(act));
        }
        world
    }

    /// Runs until nothing is left to do but probing.
    pub fn run(&mut self) {
        self.after_step(0, &Told::Other, self.base);
        (0..self.callers.len()).for_each(|caller| self.rearm(Party::Caller(caller)));
        let limit = self.base + Duration::from_secs(900);
        loop {
            let (worker, due) = self.next_timer();
            let next = self.queue.keys().next().copied();
            let at = due.min(next.map_or(due, |(at, _)| at));
            if self.is_calm && self.is_settled() {
                break;
            }
            assert!(at < limit, "it does not come to rest: {:?}", self.holdings());
            if next.is_some_and(|(when, _)| when <= due) {
                let (_, happening) = self.queue.pop_first().expect("there is one");
                self.now = self.now.max(at);
                self.happen(happening);
            } else {
                self.fire(worker, at);
            }
        }
        self.finish();
    }

    /// The last steps, oldest first.
    pub fn ladder(&self) -> String {
        let mut out = String::new();
        for (at, who, text) in &self.ladder {
            let ms = at.duration_since(self.base).as_micros() as f64 / 1_000.0;
            let line = text.lines().next().unwrap_or_default();
            let about = if text.contains("\r\n") {
                format!("  {} {} {}", wire::call_id(text), wire::header(text, "CSeq"), wire::branch(text))
            } else {
                String::new()
            };
            out.push_str(&format!("{ms:>11.3} ms  {who:<28} {line}{about}\n"));
        }
        out
    }

    /// How often each situation came about.
    pub fn seen(&self) -> &BTreeMap<&'static str, u64> {
        &self.checks.seen
    }

    /// A number that stands for everything that was sent, and when.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }

    fn next_timer(&self) -> (usize, Instant) {
        let far = self.now + Duration::from_secs(1_000);
        let due = |core: &Core| core.poll_timeout().map_or(far, |due| due + self.lag);
        let timers = self.cores.iter().map(due).enumerate();
        timers.min_by_key(|(_, at)| *at).expect("there is a core")
    }

    fn fire(&mut self, worker: usize, at: Instant) {
        // The time never runs backwards, and firing a timer gets one on.
        self.idle_fires = if at > self.now { 0 } else { self.idle_fires + 1 };
        assert!(self.idle_fires < 200, "poll_timeout stands still");
        self.now = self.now.max(at);
        self.lag = self.chance.ms(0, self.max_lag);
        self.cores[worker].handle_timeout(self.now);
        if worker == 0 {
            self.states.iter_mut().for_each(|states| states.expire(self.now));
        }
        self.after_step(worker, &Told::Other, self.now);
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::ToProxy { hop, text, is_stray } => self.reach_proxy(hop, text, is_stray),
            Happening::ToParty { hop, text } => self.reach_party(hop, &text),
            Happening::Wake(party) => {
                self.woken.remove(&party);
                match party {
                    Party::Caller(index) => self.callers[index].on_time(now),
                    Party::Destination(index) => self.destinations[index].on_time(now),
                }
                self.party_speaks(party);
            }
            Happening::Undeliverable { hop, text, reason } => {
                let workers = self.cores.len() as u8;
                let is_stream = hop.transport == Transport::Tcp;
                // ICMP quotes the beginning; a stream gives back all of it.
                let quote = &text.as_bytes()[..if is_stream { text.len() } else { text.len().min(220) }];
                let worker = sender(quote, workers).map_or(0, |worker| worker.0 as usize);
                self.note(format!("{reason} > w{worker}"), text.clone());
                self.cores[worker].handle_input(Input::Undeliverable { hop, message: quote, reason }, now);
                self.after_step(worker, &Told::Undeliverable(text), now);
            }
            Happening::Act(act) => self.act(act),
            Happening::Evidence { target, evidence } => self.tell_owner(target, evidence),
            Happening::Follow { worker, plan, verdicts } => {
                if let Some(plan) = plan {
                    let reload = Input::Reload { plan, trigger: ReloadTrigger::Api };
                    self.cores[worker].handle_input(reload, now);
                }
                self.held[worker] = Arc::clone(&verdicts);
                self.cores[worker].handle_input(Input::Verdicts(verdicts), now);
                self.after_step(worker, &Told::Other, now);
            }
        }
    }

    fn reach_proxy(&mut self, hop: Hop, text: Rc<str>, is_stray: bool) {
        let workers = self.cores.len() as u8;
        let worker = owner(text.as_bytes(), workers).map_or(0, |worker| worker.0 as usize);
        let from = self.name_of(hop.remote);
        self.note(format!("{from} > w{worker}"), text.clone());
        self.cores[worker].handle_input(Input::Message { hop, bytes: text.as_bytes() }, self.now);
        let told = if is_stray { Told::Stray(text) } else { Told::Message(hop, text) };
        self.after_step(worker, &told, self.now);
    }

    fn reach_party(&mut self, hop: Hop, text: &Rc<str>) {
        let Some(party) = self.party_at(hop.remote) else {
            panic!("sent to nobody we know, {}:\n{text}", hop.remote);
        };
        let takes_tcp = match party {
            Party::Caller(index) => self.callers[index].is_tcp,
            Party::Destination(index) => self.destinations[index].is_tcp,
        };
        if hop.transport == Transport::Tcp && !takes_tcp {
            return self.refuse_connection(party, hop, text);
        }
        match party {
            Party::Caller(index) if self.callers[index].is_gone(self.now) => {}
            Party::Caller(index) => self.callers[index].on_message(text, self.now),
            Party::Destination(index) => self.reach_destination(index, hop, text),
        }
        self.party_speaks(party);
    }

    /// Nobody listens for connections there: refused, or silence where nobody is.
    fn refuse_connection(&mut self, party: Party, hop: Hop, text: &Rc<str>) {
        let is_dead = match party {
            Party::Caller(index) => self.callers[index].is_gone(self.now),
            Party::Destination(index) => self.destinations[index].mood == Mood::Dead,
        };
        let (reason, after) = match is_dead {
            true => (TransportReason::ConnectTimeout, Duration::from_millis(1_500)),
            false => (TransportReason::Refused, self.chance.ms(0, 15)),
        };
        let (at, text) = (self.now + after, text.clone());
        self.push(at, Happening::Undeliverable { hop, text, reason });
    }

    fn reach_destination(&mut self, index: usize, hop: Hop, text: &Rc<str>) {
        let mood = self.destinations[index].mood;
        if mood == Mood::Unreachable {
            if wire::status(text).is_none() && !self.chance.percent(15) {
                let is_stream = hop.transport == Transport::Tcp;
                let reason = if is_stream { TransportReason::Refused } else { TransportReason::Icmp };
                let at = self.now + self.chance.ms(0, 15);
                self.push(at, Happening::Undeliverable { hop, text: text.clone(), reason });
            }
        } else if mood.is_there() {
            if wire::branch(text).starts_with("z9hG4bKsp") {
                let code = if mood == Mood::Sick { 503 } else { 200 };
                let reply: Rc<str> = wire::reply(text, code, "probed", "").into();
                self.destinations[index].out.push(reply);
            } else {
                self.destinations[index].on_message(text, self.now);
            }
        }
    }

    /// Sends what a party has to say, and sets its alarm.
    fn party_speaks(&mut self, party: Party) {
        let (address, is_tcp, out, is_there) = match party {
            Party::Caller(index) => {
                let caller = &mut self.callers[index];
                let is_there = !caller.is_gone(self.now);
                (caller.address, caller.is_tcp, std::mem::take(&mut caller.out), is_there)
            }
            Party::Destination(index) => {
                let destination = &mut self.destinations[index];
                let is_there = destination.mood.is_there();
                (destination.address, destination.is_tcp, std::mem::take(&mut destination.out), is_there)
            }
        };
        for text in out.into_iter().filter(|_| is_there) {
            let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
            let listener = ListenerId::new(u8::from(is_tcp));
            let hop = Hop { transport, listener, remote: address, connection: None };
            let proxy: SocketAddr = wire::PROXY.parse().expect("an address");
            for at in self.arrivals(address, proxy, transport, &text) {
                self.push(at, Happening::ToProxy { hop, text: text.clone(), is_stray: false });
            }
        }
        self.rearm(party);
    }

    fn rearm(&mut self, party: Party) {
        let deadline = match party {
            Party::Caller(index) => {
                self.callers[index].deadline().filter(|_| !self.callers[index].is_gone(self.now))
            }
            Party::Destination(index) => self.destinations[index].deadline(),
        };
        let Some(at) = deadline.map(|at| at.max(self.now)) else { return };
        if self.woken.get(&party).is_none_or(|woken| at < *woken) {
            self.woken.insert(party, at);
            self.push(at, Happening::Wake(party));
        }
    }

    /// When the copies of a message arrive.
    fn arrivals(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        transport: Transport,
        text: &str,
    ) -> Vec<Instant> {
        let arrivals = self.link.arrivals((from, to), transport, text, self.now, &mut self.chance);
        if arrivals.is_empty() {
            let (from, to) = (self.name_of(from), self.name_of(to));
            self.note(format!("{from} > {to} LOST"), text.into());
        }
        arrivals
    }

    fn act(&mut self, act: Act) {
        if self.is_calm {
            return;
        }
        self.note("fate".into(), format!("{act:?}").into());
        match act {
            Act::Mood(whose, mood) => {
                let at = (whose % self.destinations.len() as u64) as usize;
                self.destinations[at].set_mood(mood);
            }
            Act::Admin(whose, admin) => {
                let targets = self.targets();
                let target = targets[(whose % targets.len() as u64) as usize];
                self.set_admin(target, admin);
            }
            Act::Reload => self.reload(),
            Act::Stray => self.stray(),
            Act::Drain => self.tell_all(|| Input::Drain),
            Act::Abort if self.drains() => self.tell_all(|| Input::Abort),
            Act::Abort => {}
            Act::Calm => {
                self.is_calm = true;
                for destination in &mut self.destinations {
                    destination.mood = Mood::Well;
                }
            }
        }
    }

    fn drains(&self) -> bool {
        self.ladder.iter().any(|(_, who, text)| who == "fate" && &**text == "Drain")
    }

    fn tell_all(&mut self, input: impl Fn() -> Input<'static>) {
        for worker in 0..self.cores.len() {
            self.cores[worker].handle_input(input(), self.now);
            self.after_step(worker, &Told::Other, self.now);
        }
    }

    fn set_admin(&mut self, target: Target, admin: Admin) {
        for states in self.states.iter_mut().filter(|states| states.has(target)) {
            states.set_admin(target, admin, self.now);
        }
        self.cores[0].handle_input(Input::SetAdmin { target, admin }, self.now);
        self.after_step(0, &Told::Other, self.now);
    }

    fn reload(&mut self) {
        let mut chance = self.chance.fork();
        self.setup.change(&mut chance);
        self.plan = compile(&self.setup, &mut self.names);
        self.take_setup();
        let reload = Input::Reload { plan: Arc::clone(&self.plan), trigger: ReloadTrigger::Api };
        self.cores[0].handle_input(reload, self.now);
        self.after_step(0, &Told::Other, self.now);
    }

    /// Makes the destinations of the configuration exist, and their states expected.
    fn take_setup(&mut self) {
        for spec in self.setup.specs.clone() {
            if !self.destinations.iter().any(|destination| destination.address == spec.address) {
                let chance = self.chance.fork();
                let name = format!("{}@{}", spec.id, spec.address.ip());
                self.destinations.push(Destination::new(name, spec.address, spec.is_tcp, chance));
            }
        }
        for destination in &self.destinations {
            let is_gone = !self.setup.specs.iter().any(|spec| spec.address == destination.address);
            self.checks.gone.extend(is_gone.then_some(destination.address));
        }
        let targets = self.targets();
        let homes: Vec<_> = self.setup.specs.iter().cloned().zip(targets).collect();
        for (spec, target) in &homes {
            self.homes.insert(spec.address, (*target, spec.max_calls));
        }
        for (states, is_backup) in self.states.iter_mut().zip([false, true]) {
            let of_set = homes.iter().filter(|(spec, _)| spec.is_backup == is_backup);
            states.reload(&self.setup, of_set, self.now);
        }
    }

    fn targets(&self) -> Vec<Target> {
        self.plan.directory().sets.iter().flat_map(|set| set.targets.clone()).collect()
    }

    /// A response to nothing, whose second Via names a third party.
    fn stray(&mut self) {
        let nonce = self.chance.next();
        let slot = self.chance.below(8);
        let at = self.chance.below(self.destinations.len() as u64) as usize;
        let remote = self.destinations[at].address;
        let text: Rc<str> = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bKsw00{slot:08x}{nonce:016x}.{nonce:016x}\r\n\
             Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKvictim\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
            wire::PROXY
        )
        .into();
        let hop = Hop { transport: Transport::Udp, listener: ListenerId::new(0), remote, connection: None };
        self.push(self.now, Happening::ToProxy { hop, text, is_stray: true });
    }

    /// Takes what a core put out, checks it, and carries it on.
    fn after_step(&mut self, worker: usize, told: &Told, now: Instant) {
        self.steps += 1;
        let core = &mut self.cores[worker];
        let sent: Vec<(Hop, Rc<str>)> = core
            .outbox()
            .transmits()
            .map(|(hop, bytes)| (hop, std::str::from_utf8(bytes).expect("text stays text").into()))
            .collect();
        let events: Vec<Event> = core.outbox().drain_events().collect();
        let evidence: Vec<(Target, Evidence)> = core.outbox().drain_evidence().collect();
        core.outbox().clear();
        for (hop, text) in &sent {
            let to = self.name_of(hop.remote);
            (now.duration_since(self.base), hop.remote, text).hash(&mut self.trace);
            self.note(format!("w{worker} > {to}"), text.clone());
        }
        let verdicts = Arc::clone(&self.held[worker]);
        self.checks.step(worker, told, &sent, &events, &verdicts, now);
        self.checks.on_evidence(told, &evidence);
        if worker == 0 {
            self.follow_states(&events, matches!(told, Told::Evidence));
        }
        if self.steps.is_multiple_of(16) {
            self.check_counts(worker);
        }
        if self.steps.is_multiple_of(8) {
            self.check_calls();
        }
        for (hop, text) in sent {
            let proxy: SocketAddr = wire::PROXY.parse().expect("an address");
            for at in self.arrivals(proxy, hop.remote, hop.transport, &text) {
                self.push(at, Happening::ToParty { hop, text: text.clone() });
            }
        }
        for (target, evidence) in evidence {
            if worker == 0 {
                self.tell_owner(target, evidence);
            } else if !self.chance.percent(10) {
                // Now and then the queue is full.
                self.push(self.now + self.hand_over, Happening::Evidence { target, evidence });
            }
        }
    }

    /// Worker 0 hears what a request showed of its destination.
    fn tell_owner(&mut self, target: Target, evidence: Evidence) {
        self.note("evidence > w0".into(), format!("{target:?} {evidence:?}").into());
        for states in self.states.iter_mut().filter(|states| states.has(target)) {
            states.on_evidence(target, evidence, self.now);
        }
        self.cores[0].handle_input(Input::Evidence { target, evidence }, self.now);
        self.after_step(0, &Told::Evidence, self.now);
    }

    /// Follows what worker 0 says of states, and hands its verdicts to the others.
    fn follow_states(&mut self, events: &[Event], is_evidence: bool) {
        let mut is_changed = is_evidence;
        let mut is_reload = false;
        for event in events {
            match event {
                Event::ProbeFinished(record) => {
                    let mut all = self.states.iter_mut();
                    let of_set = all.find(|states| states.has(record.target));
                    of_set.expect("probes are of destinations that are configured").on_probe(record);
                }
                Event::SetChanged { set, all_down } => {
                    self.states[set.index()].all_down_told = *all_down;
                }
                Event::ConfigApplied(_) => is_reload = true,
                Event::DestinationChanged(_) => {}
                _ => continue,
            }
            is_changed = true;
        }
        let published = self.cores[0].take_verdicts();
        if let Some(verdicts) = &published {
            self.held[0] = Arc::clone(verdicts);
        }
        if published.is_some() || is_reload {
            for worker in 1..self.cores.len() {
                let plan = is_reload.then(|| Arc::clone(&self.plan));
                let at = self.now + if self.steps == 1 { Duration::ZERO } else { self.hand_over };
                let verdicts = Arc::clone(&self.held[0]);
                self.push(at, Happening::Follow { worker, plan, verdicts });
            }
        }
        if is_changed {
            let snapshot = self.cores[0].snapshot(self.now, Detail::Metrics);
            let sets = snapshot.sets.iter().zip(&self.states);
            sets.for_each(|(set, states)| states.check(set, &self.held[0]));
        }
    }

    fn check_counts(&mut self, worker: usize) {
        let snapshot = self.cores[worker].snapshot(self.now, Detail::Metrics);
        let is_open = |(role, method, _): &&(Role, _, u64)| {
            *role == Role::Server && *method == sipwarden::facts::Method::Invite
        };
        let told = snapshot.in_flight.iter().find(is_open).map_or(0, |(_, _, count)| *count);
        let seen = self.checks.open_invites.get(&worker).copied().unwrap_or(0);
        assert_eq!(told, seen, "INVITEs in flight, as told and as seen");
    }

    /// Whether every destination has the calls that are on it, and no more than it takes.
    fn check_calls(&self) {
        let mut homes: Vec<(Target, Option<u32>)> = self.homes.values().copied().collect();
        homes.sort();
        homes.dedup();
        for (target, most) in homes {
            let is_at =
                |address: SocketAddr| self.homes.get(&address).is_some_and(|(home, _)| *home == target);
            let (counted, truth) = (self.loads.calls(target), self.checks.calls_at(is_at));
            assert!(truth.contains(&counted), "{counted} calls counted on {target:?}, there are {truth:?}");
            assert!(
                most.is_none_or(|most| counted <= u64::from(most)),
                "{counted} calls of at most {most:?}"
            );
        }
    }

    /// Lets every call that was never ended grow too old.
    fn outlive_calls(&mut self) {
        let held: usize = self.cores.iter().map(|core| core.holdings().3).sum();
        let counted: u64 = self.homes.values().map(|(target, _)| self.loads.calls(*target)).sum();
        assert_eq!(counted > 0, held > 0, "calls counted and dialogs held");
        let half_a_day = Duration::from_secs(12 * 3_600);
        for core in self.cores.iter().filter(|core| core.holdings().3 > 0) {
            let due = core.poll_timeout().expect("it looks after its calls");
            assert!(due <= self.now + half_a_day + half_a_day / 16, "nothing wakes it to forget its calls");
        }
        self.now += half_a_day * 13 / 12;
        let before = self.checks.forgotten;
        for core in &mut self.cores {
            core.handle_timeout(self.now);
            let expired =
                core.outbox().drain_events().filter(|event| matches!(event, Event::DialogExpired { .. }));
            self.checks.forgotten += expired.count();
            core.outbox().clear();
            assert_eq!(core.holdings().3, 0, "dialogs left over");
        }
        assert_eq!(self.checks.forgotten - before, held, "each call that is forgotten is counted");
        for (target, _) in self.homes.values() {
            assert_eq!(self.loads.calls(*target), 0, "calls left over on {target:?}");
        }
    }

    fn name_of(&self, address: SocketAddr) -> String {
        match self.party_at(address) {
            Some(Party::Caller(index)) => self.callers[index].name.clone(),
            Some(Party::Destination(index)) => self.destinations[index].name.clone(),
            None => address.to_string(),
        }
    }

    fn party_at(&self, address: SocketAddr) -> Option<Party> {
        let caller = self.callers.iter().position(|caller| caller.address == address).map(Party::Caller);
        caller.or_else(|| {
            let at = self.destinations.iter().position(|destination| destination.address == address);
            at.map(Party::Destination)
        })
    }

    fn note(&mut self, who: String, text: Rc<str>) {
        if self.ladder.len() >= self.rungs {
            self.ladder.pop_front();
        }
        self.ladder.push_back((self.now, who, text));
    }

    /// Contexts, clients without those of probes, servers, messages that matter.
    fn holdings(&self) -> (usize, usize, usize) {
        let mut sum = (0, 0, 0);
        for core in &self.cores {
            let (contexts, clients, servers, _) = core.holdings();
            sum = (sum.0 + contexts, sum.1 + clients, sum.2 + servers);
        }
        sum
    }

    fn is_settled(&self) -> bool {
        let (contexts, _, servers) = self.holdings();
        let matters = |happening: &Happening| match happening {
            Happening::ToProxy { text, .. } | Happening::ToParty { text, .. } => {
                !wire::branch(text).starts_with("z9hG4bKsp")
            }
            Happening::Wake(_)
            | Happening::Act(_)
            | Happening::Follow { .. }
            | Happening::Evidence { .. } => true,
            Happening::Undeliverable { .. } => false,
        };
        contexts == 0 && servers == 0 && !self.queue.values().any(matters)
    }

    /// What must hold once everything has run out.
    fn finish(&mut self) {
        // The last client transactions linger for 32 s.
        let until = self.now + Duration::from_secs(40);
        while let (worker, due) = self.next_timer()
            && due <= until
        {
            while let Some((&(at, _), _)) = self.queue.first_key_value()
                && at <= due
            {
                let (_, happening) = self.queue.pop_first().expect("there is one");
                self.now = self.now.max(at);
                self.happen(happening);
            }
            self.fire(worker, due);
        }
        let mut dialogs = 0;
        for worker in 0..self.cores.len() {
            let (contexts, clients, servers, alive) = self.cores[worker].holdings();
            let snapshot = self.cores[worker].snapshot(self.now, Detail::Metrics);
            let probes: u64 = snapshot.probes_in_flight.iter().map(|(_, count)| count).sum();
            assert_eq!((contexts, servers), (0, 0), "requests left over at worker {worker}");
            assert!(clients as u64 <= probes, "{clients} client transactions left over, {probes} probes");
            let (messages, contacts) = self.cores[worker].kept();
            // A probe is a few chunks; Contacts belong to dialogs.
            assert!(messages <= 4 * clients, "{messages} chunks of messages left over");
            assert!(contacts == 0 || alive > 0, "{contacts} chunks of Contacts left over");
            assert!(self.cores[worker].timers() <= clients, "timers left over");
            assert!(snapshot.waiting.is_empty(), "attempts left over: {:?}", snapshot.waiting);
            let in_flight: u64 = snapshot.in_flight.iter().map(|(_, _, count)| count).sum();
            assert!(in_flight <= probes, "left in flight: {:?}", snapshot.in_flight);
            assert_eq!(self.cores[worker].unfinished(), 0);
            dialogs += alive;
        }
        let not_ended = self.checks.at_the_end();
        assert!(not_ended.contains(&dialogs), "{dialogs} dialogs held and {not_ended:?} calls not ended");
        self.check_calls();
        for caller in &self.callers {
            let complaint = caller.complaint(self.now);
            // A destination that was away while it had to repeat its 2xx may have sent it in vain.
            let is_excused = self.checks.is_answered_by(&caller.name, |address| {
                let mut all = self.destinations.iter();
                all.any(|destination| destination.address == address && destination.was_away)
            });
            assert!(complaint.is_none() || is_excused, "{complaint:?}");
        }
        for destination in &self.destinations {
            assert!(destination.complaints.is_empty(), "{:#?}", destination.complaints);
            for (call, tag) in destination.unacknowledged().filter(|_| !destination.was_away) {
                let caller = self.callers.iter().find(|caller| caller.name == call).expect("a caller");
                let knows = !caller.intent.is_routeless || self.checks.was_remembered(call, tag);
                let expected = self.checks.went_up(call, tag) && knows && !caller.is_gone(self.now);
                assert!(!expected, "{} waited in vain for the ACK of {call} {tag}", destination.name);
            }
        }
        self.outlive_calls();
    }
}

fn compile(setup: &Setup, names: &mut Names) -> Arc<Plan> {
    let yaml = setup.yaml();
    let config =
        config::from_str(&yaml, "seed.yaml", &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Plan::new(config.proxy, &Interfaces::default(), names))
}
