//! What must hold after every step of a core, told from the messages and events alone.

use crate::wire;
use sipwarden::dispatch::Verdicts;
use sipwarden::facts::event::{
    Cause, ChangeReason, DropReason, Event, FatalTimer, ProbeOutcome, Refusal, SelectionFailure,
    SelectionReason,
};
use sipwarden::facts::evidence::Evidence;
use sipwarden::facts::record::TransactionRecord;
use sipwarden::facts::{Hop, Method, State, Target, Transport};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Call-ID, CSeq number and method: names a request from end to end.
pub type Name = (String, u32, String);

/// What a core was told.
#[derive(Debug, Clone)]
pub enum Told {
    Message(Hop, Rc<str>),
    /// A response that answers nothing.
    Stray(Rc<str>),
    /// What a request quoted here came to: it could not be delivered.
    Undeliverable(Rc<str>),
    /// What a request showed of its destination.
    Evidence,
    /// Anything else: time, verdicts, wishes.
    Other,
}

/// One client transaction as seen on the wire.
#[derive(Debug)]
struct Leg {
    to: SocketAddr,
    transport: Transport,
    /// Its request could not be delivered over TCP, and went over UDP in the next leg.
    fell_back: bool,
    request: Rc<str>,
    sent_at: Instant,
    /// How often it was sent.
    times: usize,
    was_undeliverable: bool,
    has_provisional: bool,
    /// Whether a 101–199 has come.
    is_early: bool,
    code: Option<u16>,
    is_cancelled: bool,
    /// Nobody had answered it when it could not be delivered.
    is_lost: bool,
    cancelled_at: Option<Instant>,
}

impl Leg {
    /// When it is over without an answer: Timer B, and 64·T1 after a CANCEL (RFC 3261 §9.1). Timer C
    /// sends a CANCEL first.
    fn gives_up_at(&self) -> Option<Instant> {
        let from = if self.has_provisional { self.cancelled_at } else { Some(self.sent_at) };
        from.map(|from| from + Duration::from_secs(32))
    }
}

/// One request as seen on the wire.
#[derive(Debug)]
struct Request {
    text: Rc<str>,
    from: SocketAddr,
    /// When it came first.
    at: Instant,
    legs: Vec<Leg>,
    finals: Vec<(u16, Rc<str>)>,
    is_acked: bool,
    is_cancelled: bool,
    is_told: bool,
}

/// How late a timer may be at most.
const SLACK: Duration = Duration::from_millis(100);

/// When Timer E of a client has grown to T2.
const TRYING: Duration = Duration::from_millis(3_500);

impl Request {
    /// The attempts at a peer: what went over TCP and then over UDP was one.
    fn tried(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(|leg| !leg.fell_back)
    }
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Checks {
    requests: BTreeMap<Name, Request>,
    by_branch: HashMap<String, (Name, usize)>,
    /// Dialogs by Call-ID and the callee's tag, with the callee's address.
    dialogs: HashMap<(String, String), SocketAddr>,
    /// Every dialog that was ever held.
    opened: HashSet<(String, String)>,
    /// Dialogs whose BYE failed in a way that need not end them.
    doubtful: HashSet<(String, String)>,
    /// Every 2xx to an INVITE that went up.
    answered: HashSet<(String, String)>,
    now: Option<Instant>,
    /// How often each situation came about.
    pub seen: BTreeMap<&'static str, u64>,
    failed_over: usize,
    failovers_recorded: usize,
    pub open_invites: HashMap<usize, u64>,
    /// Calls that ended without a BYE.
    pub forgotten: usize,
    /// What the response of this step must show of its destination: whether it fails, and the pause that
    /// it asks for.
    expected: Expected,
    /// Addresses that a reload took away: nobody is told of what they show.
    pub gone: HashSet<SocketAddr>,
    /// Whether the response of this step is from one.
    is_of_gone: bool,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Expected {
    fails: Fails,
    pause: Option<u64>,
}

/// Whether a response is a failure of its destination.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Fails {
    #[default]
    No,
    /// Unless its silence has been told before.
    Maybe(u16),
    Yes(u16),
}

fn pause(evidence: Evidence) -> Option<u64> {
    match evidence {
        Evidence::Pause { wanted, .. } => Some(wanted.as_secs()),
        Evidence::Answers | Evidence::Fails(_) => None,
    }
}

fn failure(evidence: Evidence) -> Option<ProbeOutcome> {
    match evidence {
        Evidence::Fails(seen) => Some(seen.outcome),
        Evidence::Answers | Evidence::Pause { .. } => None,
    }
}

/// What the first final response, or a provisional one, to an initial request shows.
fn expected(text: &str, code: u16, leg: &Leg, now: Instant) -> Expected {
    let is_failure = matches!(code, 500 | 502 | 503 | 504) && !leg.is_early;
    // No configuration here takes silence for a failure sooner.
    let is_prompt = now.duration_since(leg.sent_at) < Duration::from_secs(1);
    let fails = match (is_failure, is_prompt) {
        (false, _) => Fails::No,
        (true, false) => Fails::Maybe(code),
        (true, true) => Fails::Yes(code),
    };
    let asked = wire::header(text, "Retry-After").split([';', ' ']).next().unwrap_or_default();
    let pause = asked.parse().ok().filter(|seconds| code == 503 && *seconds > 0);
    Expected { fails, pause }
}

fn name_of(text: &str) -> Name {
    let (number, method) = wire::cseq(text);
    (wire::call_id(text).to_owned(), number, method.to_owned())
}

/// The parameters that the proxy stamps onto the Via of its peer taken off again.
fn is_same_via(returned: &str, original: &str) -> bool {
    let bare = |via: &str| {
        let kept = via.split(';').filter(|part| !part.starts_with("rport") && !part.starts_with("received"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    bare(returned) == bare(original)
}

/// Situations that the seeds together must bring about, or they prove little.
pub const SITUATIONS: [&str; 31] = [
    "a 2xx after a failure",
    "a failure told",
    "a pause told",
    "a second 2xx",
    "affinity",
    "all down",
    "all full",
    "all left are full",
    "an answer told",
    "cancelled",
    "challenged",
    "ejected",
    "exhausted",
    "failover",
    "fallback set",
    "last resort",
    "none usable",
    "not delivered",
    "over UDP after all",
    "reload",
    "repeated answer",
    "repeated request",
    "silence",
    "stray",
    "the end of a pause",
    "the end of an ejection",
    "throttled",
    "timer B",
    "timer C",
    "timer F",
    "try anyway",
];

fn situation(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::DestinationSelected { reason: SelectionReason::Affinity, .. } => "affinity",
        Event::DestinationSelected { reason: SelectionReason::FallbackSet, .. } => "fallback set",
        Event::DestinationSelected { reason: SelectionReason::TryAnyway, .. } => "try anyway",
        Event::RequestRefused { reason: Refusal::AllFull, .. } => "all full",
        Event::SelectionFailed { reason: SelectionFailure::AllFull, .. } => "all left are full",
        Event::SetChanged { all_down: true, .. } => "all down",
        Event::DestinationChanged(change) => match (change.to, change.reason) {
            (State::Ejected, ChangeReason::Passive) => "ejected",
            (State::Throttled, ChangeReason::RetryAfter) => "throttled",
            (_, ChangeReason::EjectionExpired) => "the end of an ejection",
            (_, ChangeReason::RetryAfter) => "the end of a pause",
            (_, ChangeReason::LastResort) => "last resort",
            _ => return None,
        },
        Event::TransactionFinished(record) if record.cancelled_at.is_some() => "cancelled",
        Event::TransactionFinished(record) if record.code == 401 => "challenged",
        Event::FailoversExhausted { .. } => "exhausted",
        Event::FailedOver { cause: Cause::TransportError, .. } => "not delivered",
        Event::FailedOver { .. } => "failover",
        Event::FellBackToUdp { .. } => "over UDP after all",
        Event::SelectionFailed { reason: SelectionFailure::NoneUsable, .. } => "none usable",
        Event::ConfigApplied(applied) if applied.trigger.is_some() => "reload",
        Event::ResponseRetransmitted { .. } => "repeated answer",
        Event::RequestAbsorbed { .. } => "repeated request",
        Event::MessageDropped { reason: DropReason::Stray, .. } => "stray",
        Event::AttemptTimedOut { timer: FatalTimer::B, .. } => "timer B",
        Event::AttemptTimedOut { timer: FatalTimer::C, .. } => "timer C",
        Event::AttemptTimedOut { timer: FatalTimer::F, .. } => "timer F",
        _ => return None,
    })
}

impl Checks {
    /// What a step showed of destinations is what its message proves, and nothing else.
    pub fn on_evidence(&mut self, told: &Told, evidence: &[(Target, Evidence)]) {
        let expected = std::mem::take(&mut self.expected);
        if std::mem::take(&mut self.is_of_gone) {
            return;
        }
        let pauses: Vec<u64> = evidence.iter().filter_map(|(_, evidence)| pause(*evidence)).collect();
        assert_eq!(pauses, expected.pause.into_iter().collect::<Vec<_>>(), "pauses of {told:?}");
        let failures: Vec<ProbeOutcome> =
            evidence.iter().filter_map(|(_, evidence)| failure(*evidence)).collect();
        match (told, expected.fails) {
            (Told::Message(..) | Told::Stray(_), Fails::No) => assert_eq!(failures, [], "of {told:?}"),
            (Told::Message(..) | Told::Stray(_), Fails::Maybe(code)) => {
                assert!(failures.iter().all(|failure| *failure == ProbeOutcome::Rejected(code)));
            }
            (Told::Message(..) | Told::Stray(_), Fails::Yes(code)) => {
                assert_eq!(failures, [ProbeOutcome::Rejected(code)], "of {told:?}");
            }
            (Told::Undeliverable(_), _) => {
                let is_transport = |failure: &ProbeOutcome| matches!(failure, ProbeOutcome::Transport(_));
                assert!(failures.len() <= 1 && failures.iter().all(is_transport), "{failures:?}");
            }
            (Told::Evidence | Told::Other, _) => {
                assert!(failures.iter().all(|failure| *failure == ProbeOutcome::Timeout), "{failures:?}");
            }
        }
        for (_, evidence) in evidence {
            let what = match evidence {
                Evidence::Answers => "an answer told",
                Evidence::Fails(_) => "a failure told",
                Evidence::Pause { .. } => "a pause told",
            };
            *self.seen.entry(what).or_default() += 1;
        }
    }

    pub fn step(
        &mut self,
        worker: usize,
        told: &Told,
        sent: &[(Hop, Rc<str>)],
        events: &[Event],
        verdicts: &Verdicts,
        now: Instant,
    ) {
        self.now = Some(now);
        let is_stray = events
            .iter()
            .any(|event| matches!(event, Event::MessageDropped { reason: DropReason::Stray, .. }));
        let touched = match told {
            Told::Message(hop, text) if wire::status(text).is_some() => {
                self.on_response(text, *hop, sent, is_stray)
            }
            Told::Message(hop, text) => self.on_request(worker, text, *hop, sent, events),
            Told::Stray(text) => {
                assert!(sent.is_empty(), "a stray response made the core send\n{text}");
                None
            }
            Told::Undeliverable(text) => {
                if let Some((name, at)) = self.by_branch.get(wire::branch(text)) {
                    let leg = &mut self.requests.get_mut(name).expect("a leg has its request").legs[*at];
                    leg.was_undeliverable = true;
                    leg.is_lost |= !leg.has_provisional && leg.code.is_none();
                }
                None
            }
            Told::Evidence | Told::Other => None,
        };
        let mut names: BTreeSet<Name> = touched.into_iter().collect();
        for (hop, text) in sent {
            names.extend(self.on_sent(worker, *hop, text));
        }
        for event in events {
            self.on_event(event, verdicts);
        }
        for name in names {
            self.check_cancelled(&name);
        }
    }

    /// A request reached the core.
    fn on_request(
        &mut self,
        worker: usize,
        text: &Rc<str>,
        hop: Hop,
        sent: &[(Hop, Rc<str>)],
        events: &[Event],
    ) -> Option<Name> {
        let name = name_of(text);
        let is_new = events.iter().any(|event| matches!(event, Event::RequestReceived { .. }));
        if name.2 == "ACK" {
            self.on_ack(text, sent);
            return None;
        }
        let known = self.requests.contains_key(&name);
        if known && is_new && name.2 == "OPTIONS" {
            // It asks for us, and is answered without a transaction: again, and nobody else hears of it.
            let is_answer = |(to, text): &(Hop, Rc<str>)| {
                to.remote.ip() == hop.remote.ip() && matches!(wire::status(text), Some(200 | 503))
            };
            assert!(sent.len() == 1 && sent.iter().all(is_answer), "{name:?} is not answered again");
            return None;
        }
        assert!(!(known && is_new), "a request sent again was taken for a new one: {name:?}");
        if !known && !is_new {
            // A CANCEL of nothing is answered without a transaction.
            let answers: Vec<_> = sent.iter().map(|(_, text)| wire::status(text)).collect();
            assert!(
                name.2 == "CANCEL" && answers == [Some(481)],
                "a new request was not taken for one: {name:?}"
            );
            return None;
        }
        if is_new {
            let request = Request {
                text: text.clone(),
                from: hop.remote,
                at: self.now.expect("a step has its time"),
                legs: Vec::new(),
                finals: Vec::new(),
                is_acked: false,
                is_cancelled: false,
                is_told: false,
            };
            self.requests.insert(name.clone(), request);
            self.check_in_dialog(&name, text, sent);
            *self.open_invites.entry(worker).or_default() += u64::from(name.2 == "INVITE");
        }
        if name.2 == "CANCEL" && is_new && sent.iter().any(|(_, text)| wire::status(text) == Some(200)) {
            let invite = (name.0, name.1, "INVITE".to_owned());
            let request =
                self.requests.get_mut(&invite).expect("a CANCEL that gets 200 belongs to an INVITE");
            request.is_cancelled |=
                request.finals.is_empty() || sent.iter().any(|(_, text)| wire::status(text) == Some(487));
            return Some(invite);
        }
        Some(name)
    }

    /// A request inside a call goes to the destination that answered the call, at once.
    fn check_in_dialog(&self, name: &Name, text: &str, sent: &[(Hop, Rc<str>)]) {
        let Some(tag) = wire::tag(text, "To").filter(|_| name.2 != "CANCEL") else { return };
        if let Some(at) = self.dialogs.get(&(name.0.clone(), tag.to_owned())) {
            let requests = sent.iter().filter(|(_, sent)| wire::status(sent).is_none());
            let to: Vec<SocketAddr> = requests.map(|(hop, _)| hop.remote).collect();
            assert_eq!(to, [*at], "a request of a call goes to the destination that answered it:\n{text}");
        }
    }

    fn on_ack(&mut self, text: &str, sent: &[(Hop, Rc<str>)]) {
        let (number, _) = wire::cseq(text);
        let invite = (wire::call_id(text).to_owned(), number, "INVITE".to_owned());
        let Some(request) = self.requests.get_mut(&invite) else { return };
        let acks: Vec<&(Hop, Rc<str>)> = sent.iter().filter(|(_, text)| text.starts_with("ACK ")).collect();
        if wire::branch(&request.text) == wire::branch(text) {
            request.is_acked = request.finals.iter().any(|(code, _)| *code >= 300);
            assert!(acks.is_empty(), "the ACK to a failure went on:\n{text}");
            return;
        }
        let Some(tag) = wire::tag(text, "To") else { return };
        if let Some(at) = self.dialogs.get(&(invite.0, tag.to_owned())) {
            let to: Vec<SocketAddr> = acks.iter().map(|(hop, _)| hop.remote).collect();
            assert_eq!(to, [*at], "an ACK goes to the destination that answered:\n{text}");
        }
    }

    /// A response reached the core.
    fn on_response(&mut self, text: &str, hop: Hop, sent: &[(Hop, Rc<str>)], is_stray: bool) -> Option<Name> {
        let code = wire::status(text)?;
        let (name, at) = self.by_branch.get(wire::branch(text))?.clone();
        if wire::cseq(text).1 == "CANCEL" {
            return None;
        }
        let now = self.now?;
        let request = self.requests.get_mut(&name)?;
        let is_initial = wire::tag(&request.text, "To").is_none();
        let leg = &mut request.legs[at];
        if is_stray {
            // Its transaction is over: answered, timed out (B, F), undeliverable, or long cancelled.
            let is_young = now.duration_since(leg.sent_at) < Duration::from_secs(32);
            let is_over = leg.code.is_some() || leg.was_undeliverable || leg.is_cancelled || !is_young;
            assert!(is_over, "an answer that is waited for was taken for a stray:\n{text}");
            return None;
        }
        assert_eq!(leg.to, hop.remote, "simulated answers come from where the request went");
        if is_initial && leg.code.is_none() && !self.gone.contains(&leg.to) {
            self.expected = expected(text, code, leg, now);
        }
        self.is_of_gone = self.gone.contains(&leg.to);
        if code < 200 {
            leg.has_provisional |= leg.code.is_none();
            leg.is_early |= code > 100;
            return Some(name);
        }
        let is_failed_invite = name.2 == "INVITE" && code >= 300 && leg.code.is_none_or(|code| code >= 300);
        if is_failed_invite {
            let acked = |(hop, sent): &(Hop, Rc<str>)| {
                sent.starts_with("ACK ") && hop.remote == leg.to && wire::way(sent) == wire::way(&leg.request)
            };
            assert_eq!(sent.iter().filter(|sent| acked(sent)).count(), 1, "a failure gets its ACK:\n{text}");
        }
        leg.code.get_or_insert(code);
        Some(name)
    }

    fn on_sent(&mut self, worker: usize, hop: Hop, text: &Rc<str>) -> Option<Name> {
        assert!(text.ends_with("\r\n\r\n"), "a whole message");
        if let Some(code) = wire::status(text) {
            return self.on_response_sent(worker, hop, text, code);
        }
        if wire::branch(text).starts_with("z9hG4bKsp") || text.starts_with("ACK ") {
            return None;
        }
        if text.starts_with("CANCEL ") {
            let (name, at) =
                self.by_branch.get(wire::branch(text)).expect("a CANCEL has its INVITE's branch");
            let leg = &mut self.requests.get_mut(name).expect("a leg has its request").legs[*at];
            assert_eq!(leg.to, hop.remote, "a CANCEL follows its INVITE");
            assert_eq!(wire::way(text), wire::way(&leg.request), "a CANCEL takes the way of its INVITE");
            assert_eq!(wire::header(text, "To"), wire::header(&leg.request, "To"));
            assert!(
                leg.has_provisional,
                "a CANCEL waits for a provisional response (RFC 3261 §9.1):\n{text}"
            );
            assert!(leg.is_cancelled || leg.code.is_none(), "a CANCEL after the final response:\n{text}");
            leg.is_cancelled = true;
            leg.cancelled_at.get_or_insert(self.now.expect("a step has its time"));
            return None;
        }
        let name = name_of(text);
        let branch = wire::branch(text).to_owned();
        let request = self.requests.get_mut(&name).expect("nothing is sent that was not received");
        if let Some((owner, at)) = self.by_branch.get(&branch) {
            assert_eq!(*owner, name, "a branch used for two requests");
            let leg = &request.legs[*at];
            assert_eq!((leg.to, &leg.request), (hop.remote, text), "a retransmission is the same again");
            assert!(leg.code.is_none(), "a request is not sent again after its final response");
            request.legs[*at].times += 1;
            return None;
        }
        // RFC 3261 §18.1.1: what TCP could not deliver goes over UDP, at the same peer.
        if let Some(last) = request.legs.last_mut().filter(|leg| leg.to == hop.remote) {
            let ways = (last.transport, hop.transport);
            assert_eq!(
                ways,
                (Transport::Tcp, Transport::Udp),
                "{} got the request twice: {name:?}",
                hop.remote
            );
            assert!(last.was_undeliverable, "over UDP although TCP took it: {name:?}");
            last.fell_back = true;
        }
        let again = request.tried().any(|leg| leg.to == hop.remote);
        assert!(!again, "{} got the request twice: {name:?}", hop.remote);
        assert!(!request.is_cancelled, "an attempt after CANCEL: {name:?}");
        assert!(request.finals.is_empty(), "an attempt after the answer: {name:?}");
        let hops = |text: &str| wire::header(text, "Max-Forwards").parse::<u32>().unwrap_or(0);
        assert_eq!(hops(text) + 1, hops(&request.text), "Max-Forwards counts down");
        let vias: Vec<&str> = wire::headers(text, "Via").collect();
        assert_eq!(vias.len(), 2, "our Via on top of the caller's:\n{text}");
        assert!(is_same_via(vias[1], wire::header(&request.text, "Via")), "the caller's Via stays:\n{text}");
        request.legs.push(Leg {
            to: hop.remote,
            transport: hop.transport,
            fell_back: false,
            request: text.clone(),
            sent_at: self.now.expect("a step has its time"),
            times: 1,
            was_undeliverable: false,
            has_provisional: false,
            is_early: false,
            code: None,
            is_cancelled: false,
            is_lost: false,
            cancelled_at: None,
        });
        self.by_branch.insert(branch, (name.clone(), request.legs.len() - 1));
        Some(name)
    }

    fn on_response_sent(&mut self, worker: usize, hop: Hop, text: &Rc<str>, code: u16) -> Option<Name> {
        let name = name_of(text);
        let is_invite = name.2 == "INVITE";
        let now = self.now.expect("a step has its time");
        let Some(request) = self.requests.get_mut(&name) else {
            assert!(name.2 == "CANCEL" && code == 481, "an answer has its request:\n{text}");
            return None;
        };
        assert_eq!(hop.remote, request.from, "an answer goes where its request came from");
        let vias: Vec<&str> = wire::headers(text, "Via").collect();
        assert_eq!(vias.len(), 1, "our Via comes off:\n{text}");
        assert!(
            is_same_via(vias[0], wire::header(&request.text, "Via")),
            "the caller's Via comes back:\n{text}"
        );
        if code < 200 {
            let is_late = now >= request.at + TRYING;
            assert!(
                is_invite || code == 100 && is_late,
                "{code} to {name:?} too soon, or at all (RFC 4320 §4.1)"
            );
            assert!(request.finals.is_empty(), "a provisional response after the final one: {name:?}");
            return None;
        }
        assert!(is_invite || code != 408, "408 to a request other than INVITE (RFC 4320 §4.2)");
        if request.finals.iter().any(|(_, known)| known == text) {
            assert!(!request.is_acked || code < 300, "an acknowledged answer is sent again: {name:?}");
            return None;
        }
        if name.2 == "OPTIONS" && !request.finals.is_empty() {
            // Asked again meanwhile, and answered by what is so now (RFC 3261 §8.2.7).
            return None;
        }
        // A 2xx goes up even after another final response: only the caller can end that call (RFC 3261
        // §16.7 step 5).
        let is_2xx = is_invite && (200..300).contains(&code);
        let earlier = request.finals.first().map(|(code, _)| *code);
        assert!(earlier.is_none() || is_2xx, "a second answer, {code} after {earlier:?}: {name:?}");
        if request.is_cancelled && earlier.is_none() && request.legs.iter().all(|leg| leg.code.is_none()) {
            // 503 is the end of a drain.
            assert!(matches!(code, 487 | 503), "{code} to a cancelled INVITE that nobody answered: {name:?}");
        }
        if earlier.is_some() {
            let situation = if earlier < Some(300) { "a second 2xx" } else { "a 2xx after a failure" };
            *self.seen.entry(situation).or_default() += 1;
        }
        if is_invite && earlier.is_none() {
            *self.open_invites.entry(worker).or_default() -= 1;
        }
        request.finals.push((code, text.clone()));
        let tag = wire::tag(text, "To").unwrap_or_default().to_owned();
        let opens = is_invite && code < 300 && wire::tag(&request.text, "To").is_none();
        if opens {
            self.answered.insert((name.0.clone(), tag.clone()));
            // The first 2xx of a destination opens the dialog that the core remembers.
            let contact = wire::address_of(wire::header(text, "Contact")).expect("a Contact");
            let first = request.legs.iter().position(|leg| leg.to == contact);
            let before = request.finals.iter().rev().skip(1);
            let is_first = !before
                .clone()
                .any(|(_, text)| wire::address_of(wire::header(text, "Contact")) == Some(contact));
            if first.is_some() && is_first {
                self.opened.insert((name.0.clone(), tag.clone()));
                self.dialogs.insert((name.0.clone(), tag), contact);
            }
        } else if name.2 == "BYE" && !request.legs.is_empty() {
            let bye = request.text.clone();
            self.end_dialog(&name.0, &bye, matches!(code, 200..300 | 408 | 481 | 504));
        }
        Some(name)
    }

    /// A BYE had its answer, or will have none. After some answers a dialog may be kept or forgotten.
    fn end_dialog(&mut self, call: &str, bye: &str, is_certain: bool) {
        for party in ["To", "From"] {
            let Some(tag) = wire::tag(bye, party) else { continue };
            let key = (call.to_owned(), tag.to_owned());
            let was_held = self.dialogs.remove(&key).is_some();
            if is_certain {
                self.doubtful.remove(&key);
            } else if was_held {
                self.doubtful.insert(key);
            }
        }
    }

    fn on_event(&mut self, event: &Event, verdicts: &Verdicts) {
        if let Some(situation) = situation(event) {
            *self.seen.entry(situation).or_default() += 1;
        }
        match event {
            Event::DestinationSelected { reason: SelectionReason::TryAnyway, target, .. } => {
                assert!(!verdicts.is_usable(*target), "usable, and yet tried anyway: {target:?}");
            }
            Event::DestinationSelected { target, .. } => {
                assert!(verdicts.is_usable(*target), "selected although unusable: {target:?}");
            }
            Event::DialogExpired { .. } => self.forgotten += 1,
            Event::FailedOver { .. } => self.failed_over += 1,
            Event::TransactionFinished(record) => self.on_finished(record),
            _ => {}
        }
    }

    fn on_finished(&mut self, record: &TransactionRecord) {
        let name = (record.call_id.as_str().to_owned(), record.cseq, record.method.as_str().to_owned());
        let request = self.requests.get_mut(&name).expect("what is finished was received");
        if name.2 == "OPTIONS" {
            // OPTIONS to us is answered without a transaction, and told of, as often as it comes.
            request.is_told = true;
            return;
        }
        assert!(!request.is_told, "finished twice: {name:?}");
        request.is_told = true;
        let code = request.finals.first().map(|(code, _)| *code);
        assert_eq!(code, Some(record.code), "told as finished with what went up: {name:?}");
        let legs: Vec<SocketAddr> = request.tried().map(|leg| leg.to).collect();
        let attempts: Vec<SocketAddr> = record.attempts.iter().map(|attempt| attempt.remote).collect();
        assert_eq!(attempts, legs, "attempts as told and as seen: {name:?}");
        let targets: BTreeSet<_> = record.attempts.iter().filter_map(|attempt| attempt.target).collect();
        assert!(targets.len() == record.attempts.len() || record.in_dialog, "a destination twice: {name:?}");
        let moved = record.failovers.iter().filter(|failover| failover.to.is_some()).count();
        assert_eq!(moved, record.attempts.len().saturating_sub(1), "a failover before every further attempt");
        self.failovers_recorded += moved;
        assert_eq!(
            record.cancelled_at.is_some() && record.method == Method::Invite,
            request.is_cancelled && record.cancelled_at.is_some()
        );
    }

    /// Every leg of an INVITE that nobody waits for any more has been cancelled, once it may be.
    fn check_cancelled(&self, name: &Name) {
        let Some(request) = self.requests.get(name).filter(|_| name.2 == "INVITE") else { return };
        for (at, leg) in request.legs.iter().enumerate() {
            let is_given_up =
                at + 1 < request.legs.len() || request.is_cancelled || !request.finals.is_empty();
            let is_open = leg.has_provisional && leg.code.is_none();
            assert!(!is_given_up || !is_open || leg.is_cancelled, "{} is left ringing: {name:?}", leg.to);
        }
    }

    /// How many calls are in progress at some addresses: INVITEs outside dialogs that have not failed,
    /// and dialogs that have not ended. What is just timing out may or may not be counted any more.
    pub fn calls_at(&self, is_at: impl Fn(SocketAddr) -> bool) -> RangeInclusive<u64> {
        let now = self.now.expect("a step has its time");
        let (mut certain, mut doubtful) = (0, 0);
        let calls = self.requests.iter().filter(|(name, _)| name.2 == "INVITE");
        let calls = calls.filter(|(_, request)| wire::tag(&request.text, "To").is_none());
        for leg in calls.flat_map(|(_, request)| &request.legs).filter(|leg| is_at(leg.to)) {
            let is_over = leg.fell_back || leg.is_lost || leg.code.is_some();
            match leg.gives_up_at() {
                _ if is_over => {}
                Some(at) if at + SLACK < now => {}
                Some(at) if at <= now => doubtful += 1,
                Some(_) | None => certain += 1,
            }
        }
        let hung_up: Vec<&Name> = self
            .requests
            .iter()
            .filter(|(name, request)| name.2 == "BYE" && request.finals.is_empty())
            .map(|(name, _)| name)
            .collect();
        for ((call, _), _) in self.dialogs.iter().filter(|(_, at)| is_at(**at)) {
            // The BYE of another dialog of the same call leaves more in doubt than it must.
            let is_ending = hung_up.iter().any(|name| name.0 == *call);
            *(if is_ending { &mut doubtful } else { &mut certain }) += 1;
        }
        // They are few, and nothing says where they were.
        doubtful += self.doubtful.len() as u64;
        certain..=certain + doubtful
    }

    /// Whether a 2xx went up that the caller can acknowledge.
    pub fn went_up(&self, call: &str, tag: &str) -> bool {
        self.answered.contains(&(call.to_owned(), tag.to_owned()))
    }

    /// Whether only 2xx to an INVITE of a call went up, one of them from such a destination.
    pub fn is_answered_by(&self, call: &str, is_such: impl Fn(SocketAddr) -> bool) -> bool {
        let invites = self.requests.iter().filter(|(name, _)| name.0 == call && name.2 == "INVITE");
        let mut answered = invites.filter(|(_, request)| request.finals.iter().all(|(code, _)| *code < 300));
        answered.any(|(_, request)| request.legs.iter().any(|leg| is_such(leg.to)))
    }

    /// Whether the core remembers, or remembered, that dialog: not one of a second answer on the same
    /// branch, whose requests travel by their Route set alone.
    pub fn was_remembered(&self, call: &str, tag: &str) -> bool {
        self.opened.contains(&(call.to_owned(), tag.to_owned()))
    }

    /// What must hold when everything has run out; returns how many dialogs may be held.
    pub fn at_the_end(&mut self) -> RangeInclusive<usize> {
        for (name, request) in &self.requests {
            let is_silent = request.finals.is_empty();
            *self.seen.entry("silence").or_default() += u64::from(is_silent);
            assert!(!is_silent || name.2 != "INVITE", "an INVITE without an answer: {name:?}");
            assert!(!is_silent || !request.legs.is_empty(), "no answer though nobody was asked: {name:?}");
            assert_eq!(request.is_told, !is_silent, "received and finished do not balance: {name:?}");
            // Timers A and B, E and F of RFC 3261: 0, 0.5, 1.5, 3.5 s and so on.
            let expected = if name.2 == "INVITE" { 7 } else { 11 };
            let unheard = |leg: &&Leg| !leg.has_provisional && leg.code.is_none() && !leg.was_undeliverable;
            for leg in request
                .legs
                .iter()
                .filter(unheard)
                .filter(|leg| !leg.request.contains("SIP/2.0/TCP 10.0.0.1"))
            {
                assert_eq!(leg.times, expected, "times that {} was sent {name:?} without a response", leg.to);
            }
        }
        let unfinished = self.requests.values().filter(|request| !request.is_told);
        let untold: usize = unfinished.map(|request| request.tried().count().saturating_sub(1)).sum();
        assert_eq!(
            self.failed_over,
            self.failovers_recorded + untold,
            "failovers as counted and as recorded"
        );
        let silent_byes =
            self.requests.iter().filter(|(name, request)| name.2 == "BYE" && request.finals.is_empty());
        let silent_byes: Vec<(String, Rc<str>)> =
            silent_byes.map(|(name, request)| (name.0.clone(), request.text.clone())).collect();
        for (call, bye) in silent_byes {
            self.end_dialog(&call, &bye, true);
        }
        self.dialogs.len()..=self.dialogs.len() + self.doubtful.len()
    }
}
