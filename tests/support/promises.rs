//! What must hold after every step of a core, whatever it is told: told from its messages and events
//! alone. The simulation checks more, but of peers that keep to the rules.

use sipwarden::dispatch::Verdicts;
use sipwarden::facts::event::{Event, Role, SelectionReason};
use sipwarden::facts::record::TransactionRecord;
use sipwarden::facts::snapshot::{DestinationSnapshot, SetSnapshot, Snapshot};
use sipwarden::facts::{Hop, Method, State};
use sipwarden::sip::{Framing, Index, Message, parse};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What names a server transaction to us: RFC 3261 §17.2.3, and for RFC 2543 what a response has of it.
type Name = Vec<Vec<u8>>;

/// The server transactions of one name, one after the other.
#[derive(Debug, Default)]
struct Servers {
    begun: usize,
    /// Final responses that a transaction has only one of.
    finals: Vec<Vec<u8>>,
    has_2xx_to_invite: bool,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Promises {
    verdicts: Arc<Verdicts>,
    servers: HashMap<Name, Servers>,
    begun: usize,
    ended: usize,
    open_invites: u64,
    failed_over: usize,
    failovers_recorded: usize,
}

fn name_of(message: Message<'_>) -> Name {
    let (via, token) = (message.top_via(), message.header("CSeq").unwrap_or_default());
    let method = token.split(|byte| b" \t\r\n".contains(byte)).next_back().unwrap_or_default();
    let branch = via.branch.unwrap_or_default();
    let mut name = vec![branch.to_vec(), via.sent_by().to_vec(), method.to_vec()];
    if !branch.starts_with(b"z9hG4bK") || branch.len() == 7 {
        name.push(message.from_tag().unwrap_or_default().to_vec());
        name.push(message.call_id().to_vec());
        name.push(message.cseq().to_string().into_bytes());
    }
    name
}

impl Promises {
    /// Takes in one step: what the core was told, if it was a message, and what it put out.
    pub fn step(&mut self, told: Option<&[u8]>, sent: &[(Hop, Vec<u8>)], events: &[Event]) {
        let mut index = Index::default();
        let told = told.and_then(|bytes| parse(bytes, Framing::Datagram, &mut index).ok());
        let request = told.filter(Message::is_request).map(name_of);
        let is_new = events.iter().any(|event| matches!(event, Event::RequestReceived { .. }));
        if let Some(name) = request.clone().filter(|_| is_new) {
            self.servers.entry(name).or_default().begun += 1;
        }
        // Refused without a transaction: too broken, or one too many.
        let is_stateless = events.iter().any(|event| match event {
            Event::ParseFailed { .. } => true,
            Event::RequestRefused { .. } => request.is_some() && !is_new,
            _ => false,
        });
        for (_, bytes) in sent.iter().filter(|(_, bytes)| bytes.starts_with(b"SIP/") && !is_stateless) {
            self.on_response(bytes, request.as_ref().filter(|_| !is_new));
        }
        for event in events {
            self.on_event(event);
        }
    }

    /// Takes the verdicts that the last step published.
    pub fn publish(&mut self, verdicts: Arc<Verdicts>) {
        self.verdicts = verdicts;
    }

    /// A response went out; `repeated` is the request that came again, if one did.
    fn on_response(&mut self, bytes: &[u8], repeated: Option<&Name>) {
        let mut index = Index::default();
        // Below its topmost Via a response is passed on as it came.
        let Ok(response) = parse(bytes, Framing::Stream, &mut index) else { return };
        let name = name_of(response);
        let Some(servers) = self.servers.get_mut(&name).filter(|_| repeated != Some(&name)) else { return };
        let is_only = servers.begun == 1;
        let show = || String::from_utf8_lossy(bytes).into_owned();
        if response.status() < 200 {
            let is_answered = !servers.finals.is_empty() || servers.has_2xx_to_invite;
            assert!(!(is_only && is_answered), "a provisional response after the final one:\n{}", show());
        } else if response.status() < 300 && name.get(2).is_some_and(|method| method == b"INVITE") {
            servers.has_2xx_to_invite = true;
        } else if !servers.finals.iter().any(|known| known == bytes) {
            assert!(!(is_only && servers.has_2xx_to_invite), "a failure after a 2xx:\n{}", show());
            servers.finals.push(bytes.to_vec());
            assert!(servers.finals.len() <= servers.begun, "a second final response:\n{}", show());
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::DestinationSelected { reason: SelectionReason::TryAnyway, target, .. } => {
                assert!(!self.verdicts.is_usable(*target), "usable, and yet tried anyway: {target:?}");
            }
            Event::DestinationSelected { target, .. } => {
                assert!(self.verdicts.is_usable(*target), "selected although unusable: {target:?}");
            }
            Event::RequestReceived { method, .. } => {
                self.begun += 1;
                self.open_invites += u64::from(*method == Method::Invite);
            }
            Event::FailedOver { .. } => self.failed_over += 1,
            Event::TransactionFinished(record) | Event::RequestUnanswered(record) => self.on_ended(record),
            _ => {}
        }
    }

    fn on_ended(&mut self, record: &TransactionRecord) {
        self.ended += 1;
        assert!(self.ended <= self.begun, "{} requests ended of {}", self.ended, self.begun);
        if record.method == Method::Invite {
            self.open_invites = self.open_invites.checked_sub(1).expect("no more INVITEs end than begin");
        }
        assert!(record.started <= record.ended, "ended before it began");
        let targets: Vec<_> = record.attempts.iter().filter_map(|attempt| attempt.target).collect();
        let distinct: BTreeSet<_> = targets.iter().collect();
        assert_eq!(distinct.len(), targets.len(), "a destination twice: {record:#?}");
        let moved = record.failovers.iter().filter(|failover| failover.to.is_some()).count();
        assert_eq!(moved, record.attempts.len().saturating_sub(1), "a failover before every further attempt");
        self.failovers_recorded += moved;
    }

    /// Whether what the core says is under way is what follows from its events.
    pub fn check_counts(&self, snapshot: &Snapshot) {
        let mut open = snapshot.in_flight.iter();
        let invites = open.find(|(role, method, _)| (*role, *method) == (Role::Server, Method::Invite));
        assert_eq!(invites.map_or(0, |(_, _, count)| *count), self.open_invites, "INVITEs in flight");
        snapshot.sets.iter().for_each(check_withheld);
    }

    /// What must hold when everything has run out.
    pub fn check_the_end(&self) {
        assert_eq!(self.begun, self.ended, "requests received and ended");
        assert_eq!(self.open_invites, 0, "INVITEs left in flight");
        assert_eq!(self.failed_over, self.failovers_recorded, "failovers as counted and as recorded");
    }
}

/// Ejections and pauses never leave a set without anybody to choose.
fn check_withheld(set: &SetSnapshot) {
    let is_chosen = set.destinations.iter().any(|member| member.usable);
    let is_withheld = |member: &DestinationSnapshot| {
        // One that has not been probed may be no better than nobody.
        matches!(member.state, State::Ejected | State::Throttled) && is_known_up(member)
    };
    assert!(is_chosen || !set.destinations.iter().any(is_withheld), "nobody is left to choose: {set:#?}");
}

fn is_known_up(member: &DestinationSnapshot) -> bool {
    member.weight > 0 && (!member.probe.enabled || member.probe.consecutive_successes > 0)
}
